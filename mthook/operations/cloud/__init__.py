# SPDX-License-Identifier: Apache-2.0
"""mthook-sync --cloud: what no host does, for the instances of all cells."""
