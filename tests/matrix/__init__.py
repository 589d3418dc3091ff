# SPDX-License-Identifier: Apache-2.0
"""Forecasts against the QEMUs of four releases of Debian, and mthook on each of them; ``make matrix``."""
