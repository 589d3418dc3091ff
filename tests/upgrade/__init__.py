# SPDX-License-Identifier: Apache-2.0
"""A host with real guests goes from Debian 12 to Debian 13; ``make upgrade``."""
