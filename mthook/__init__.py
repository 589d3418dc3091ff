# SPDX-License-Identifier: Apache-2.0
"""mthook keeps a virtual machine's hardware what it was: every guest keeps its machine type."""

__version__ = "0.1.0"
