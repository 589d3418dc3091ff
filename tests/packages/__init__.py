# SPDX-License-Identifier: Apache-2.0
"""Debian's packages of mthook, built and tried in clean roots; ``make packages``."""
