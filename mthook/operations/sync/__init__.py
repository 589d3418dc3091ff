# SPDX-License-Identifier: Apache-2.0
"""The steps of a sync, each in its own module."""
