# SPDX-License-Identifier: Apache-2.0
"""What the hook does with Nova's database at a ``prepare``: it has the last word on what a guest is pinned to."""

from __future__ import annotations

from mthook import journal, reconcile, text
from mthook.catalog import lookup
from mthook.hook import slow
from mthook.machinetype import MachineType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.hook.judge import Case
    from mthook.nova.question import Recorded


def consult(case: Case, wrong: str) -> None:
    """Bring a guest's pin up to what Nova's database says now: changed there a moment ago, or rebuilt.

    :param wrong: in what the guest is unlike its pin, '' in nothing.
    :raises SlowPathError: the database can't be asked, or not in time; [hook] on_error decides then.
    """
    case.connection.close()  # SQLite's locks don't survive the slow path's fork
    try:
        recorded = slow.ask_nova(case.call.files, case.uuid, case.call.left())
    except slow.SlowPathError as error:
        raise slow.SlowPathError(f"{wrong}; {error}" if wrong else str(error)) from error
    # The time limit is for what may hang; the catalog has its own.
    case.connection = lookup.connect(case.call.catalog, case.call.patience)
    if recorded is not None:
        _reconcile(case, recorded)
        # The rescue image isn't the guest, and its machine type not the guest's: to stop it would help nobody.
        case.rescue = recorded.rescuing


def _reconcile(case: Case, recorded: Recorded) -> None:
    from mthook.catalog.records import Compared

    before = lookup.compared(case.connection, case.uuid)
    by_operator = case.known.source == "operator" and case.origin == "row"
    rebuilt = recorded.rebuilding or reconcile.is_rebuilt(
        recorded.rebuild, recorded.rebuild_at, before, case.since, by_operator=by_operator
    )
    outcome = reconcile.reconcile(
        case.pin or None,
        recorded.machine,
        recorded.row,
        by_operator=by_operator,
        before=before,
        rebuilt=rebuilt,
        default=recorded.default,
        by_rescue=recorded.by_rescue,
    )
    if recorded.machine is not None and outcome in (reconcile.PULL, reconcile.OVERRULE):
        MachineType.parse(recorded.machine)
        _take_over(case, recorded.machine, "rebuilt in Nova" if rebuilt else None)
    elif outcome == reconcile.ASK_GUEST and case.pin:
        _release(case)
    else:
        return
    case.catalog.set_compared(Compared(case.uuid, recorded.machine, recorded.row, recorded.rebuild))


def _take_over(case: Case, machine: str, reason: str | None) -> None:
    """Make what Nova has recorded the pin."""
    at = text.now()
    case.catalog.record_pin(
        case.guest,
        machine,
        source="Nova",
        actor=case.call.actor,
        reason=reason,
        at=at,
        replace=True,
    )
    journal.info(f"{case.call} ({case.uuid}): pinned to {machine}, as Nova has it")
    case.pin, case.origin, case.since = machine, "row", at
    case.known.machine, case.known.seen, case.known.has_row = machine, None, True


def _release(case: Case) -> None:
    """Let what the rebuilt guest runs be its new pin."""
    case.catalog.unset_pin(
        case.uuid,
        actor=case.call.actor,
        reason="rebuilt in Nova",
        at=text.now(),
    )
    journal.info(f"{case.call} ({case.uuid}): pin {case.pin} released, rebuilt in Nova")
    case.pin, case.origin, case.known.machine = "", "", None
