# SPDX-License-Identifier: Apache-2.0
"""mthook-admin: what an operator asks and tells mthook. Thin commands over the rooms below."""
