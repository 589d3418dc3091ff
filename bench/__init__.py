# SPDX-License-Identifier: Apache-2.0
"""What mthook costs: ``make bench``."""
