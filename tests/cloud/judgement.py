# SPDX-License-Identifier: Apache-2.0
"""What must be true of every result."""

from __future__ import annotations

from collections.abc import Iterator

from tests.cloud.paths import CHOSEN, Outcome
from tests.cloud.setups import versioned
from tests.cloud.trial import Result

_GOOD = "ACTIVE"


def breaches(result: Result) -> list[str]:
    """Return what is wrong with a result, one short phrase each.

    Nova alone may change the machine type, that is why mthook is there; but each of its paths ends well.
    """
    found = list(_states(result))
    if result.set_up.mthook:
        found += _machines(result)
    return found


def _states(result: Result) -> Iterator[str]:
    if result.state != _GOOD:
        yield result.state
    if result.finally_ != _GOOD:
        yield f"{result.finally_} at the end"


def _machines(result: Result) -> Iterator[str]:
    right = expected(result)
    if any(machine != right for machine in result.during):
        yield "changed"
    if any(machine != right for machine in result.after):
        yield "changed at the next reboot"
    if result.path.record not in (None, result.record):
        yield f"record isn't {result.path.record}"
    untold = result.path.erased and not result.set_up.database
    if versioned(result.requested) != right and not untold:
        yield "the request spec is wrong"


def expected(result: Result) -> str:
    """Return the machine type that the server must have."""
    return {
        Outcome.KEPT: result.before,
        Outcome.DEFAULT: result.defaults.new_machine,
        Outcome.CHOSEN: CHOSEN,
    }[result.path.outcome]
