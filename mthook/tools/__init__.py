# SPDX-License-Identifier: Apache-2.0
"""The commands; thin, they call the rooms beside them."""
