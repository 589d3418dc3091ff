# SPDX-License-Identifier: Apache-2.0
"""Tests with real Nova and a real MariaDB; ``tox -e nova`` has what they need."""
