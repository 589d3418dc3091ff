# SPDX-License-Identifier: Apache-2.0
"""The steps of mthook-sync, each in its own module."""
