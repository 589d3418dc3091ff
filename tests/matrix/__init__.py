# SPDX-License-Identifier: Apache-2.0
"""Forecast and rehearsal against the QEMUs of four releases of Debian; ``make matrix``."""
