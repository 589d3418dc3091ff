# SPDX-License-Identifier: Apache-2.0
"""One module per step; a step that was ever released is never changed."""
