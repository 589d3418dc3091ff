# SPDX-License-Identifier: Apache-2.0
"""Words for data that several programs print."""

from __future__ import annotations

from collections.abc import Iterable

from mthook.operations.drift import Drift
from mthook.text import printable

_WHERE = {
    "running": "runs {}",
    "defined": "defined {}",
    "nova": "Nova has {}",
    "stopped": "start stopped",
}


def drift_of(drift: Iterable[Drift]) -> str:
    """Return in what an instance is unlike its pin: ``runs pc-i440fx-7.2, start stopped``."""
    return ", ".join(_WHERE[one.where].format(printable(one.machine)) for one in drift)
