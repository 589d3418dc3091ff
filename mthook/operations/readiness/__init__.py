# SPDX-License-Identifier: Apache-2.0
"""The checks: may this host's default machine type be changed? They only read."""
