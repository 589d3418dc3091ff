# SPDX-License-Identifier: Apache-2.0
"""Changes of many guests: planned, applied, taken back."""
