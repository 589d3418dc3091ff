# SPDX-License-Identifier: Apache-2.0
"""All checks in their order."""

from __future__ import annotations

from collections.abc import Iterator

from mthook.errors import Error
from mthook.operations.readiness import (
    definitions,
    drift,
    inherited,
    installed,
    recorded,
    stopped,
    supported,
    synced,
)
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Result, unavailable

#: Each has a ``CHECK``, its stable name, and a function ``check``.
CHECKS = (recorded, installed, synced, drift, supported, definitions, inherited, stopped)


def run(context: Context) -> Iterator[Result]:
    """Yield what each check finds; what one needs and can't have makes it a failure."""
    for module in CHECKS:
        try:
            findings = module.check(context)
        except (Error, OSError) as error:
            findings = [unavailable(module.CHECK, error)]
        yield Result(module.CHECK, findings)
