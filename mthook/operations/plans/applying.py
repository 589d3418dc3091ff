# SPDX-License-Identifier: Apache-2.0
"""Apply a plan: each guest is looked at again, and left alone where it isn't what the plan saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mthook.errors import Error, NotFound
from mthook.operations.plans import acts, journal, outcomes, recording, subjects
from mthook.operations.plans.document import Document, Planned
from mthook.operations.plans.journal import Journal, State
from mthook.operations.plans.outcomes import Limits, Outcome
from mthook.operations.plans.recording import Intent
from mthook.operations.plans.subjects import Found, Site, Subject
from mthook.text import now

if TYPE_CHECKING:
    from oslo_config import cfg

#: A guest to be changed.
Ready = tuple[Planned, Subject, acts.Prospect]


@dataclass(frozen=True)
class Application:
    """A plan that is being applied.

    :ivar path: of its journal; None: nothing is changed, it only tells what would be.
    :ivar state: what the journal said at first.
    """

    conf: cfg.ConfigOpts
    plan: Document
    path: str | None
    state: State
    actor: str
    limits: Limits

    def __len__(self) -> int:
        """How many guests are left to look at."""
        return sum(1 for _ in self._left())

    def run(self, number: int = 0, of: int = 1) -> Iterator[Outcome]:
        """Change one guest after the other; yield what becomes of each.

        :param number: this process's, among those that share the guests.
        :raises Error: the next guest would fail in the same way. Another run goes on where this one ended.
        """
        mine = (one for index, one in enumerate(self._left()) if index % of == number)
        origin, parent = self.plan.origin, os.getppid()

        def orphaned() -> bool:
            """Tell whether the process that shares out the guests was killed: its end is to be the end of it all."""
            return of > 1 and os.getppid() != parent

        with subjects.opened(self.conf, all_hosts=origin.all_hosts) as site:
            outcomes.check_origin(site, origin.host, origin.cloud, all_hosts=origin.all_hosts)
            with recording.part_of(site.catalog, self.plan.id):
                for batch in subjects.batched(mine):
                    if self.limits.used_up or orphaned():
                        return
                    yield from self._batch(site, batch, orphaned)

    def _left(self) -> Iterator[Planned]:
        done, undone = self.state.done, self.state.undone
        for one in self.plan.guests():
            if one.refused is None and one.uuid not in done and one.uuid not in undone:
                yield one

    def _batch(
        self, site: Site, batch: Sequence[Planned], orphaned: Callable[[], bool]
    ) -> Iterator[Outcome]:
        found = site.subjects([one.uuid for one in batch])
        ready: list[Ready] = []
        for planned in batch:
            outcome = self._look(site, planned, found[planned.uuid])
            if isinstance(outcome, Outcome):
                yield outcome
            else:
                ready.append(outcome)
        if self.path is None:
            yield from (_foreseen(one, prospect) for one, _, prospect in ready)
            return
        with Journal(self.path) as notes:
            # For one begun earlier, what was noted then counts.
            fresh = [one for one in ready if _is_untouched(*one[:2])]
            notes.begin(recording.begun([_intent(*one) for one in fresh]))
            for one in ready:
                if orphaned() or not self.limits.take():
                    return
                yield self._do(notes, *one)

    def _look(self, site: Site, planned: Planned, found: Found) -> Outcome | Ready:
        """Return what is to be done to a guest, or why nothing is."""
        if isinstance(found, Error):
            return _outcome(
                "gone" if isinstance(found, NotFound) else "failed", planned, str(found)
            )
        where, begun = site.where(found), planned.uuid in self.state.begun
        if where != planned.host:
            return _outcome("elsewhere", planned, where or "")
        if not _is_untouched(planned, found) and not (begun and _is_half_done(planned, found)):
            return _outcome("changed_since", planned, ", ".join(_changed(planned, found)))
        try:
            prospect = self._foresee(site, planned, found)
        except Error as error:
            return self._failed(planned, error)
        if prospect.new != planned.new:
            return _outcome("changed_since", planned, str(prospect.new))
        return planned, found, prospect

    def _foresee(self, site: Site, planned: Planned, found: Subject) -> acts.Prospect:
        task = self.plan.task
        if _is_untouched(planned, found):
            prospect = acts.foresee(site, found, task, self.actor)
        else:
            prospect = acts.finish(site, found, task, self.actor, planned.new)
        # It was done, but the process was killed before noting that.
        return prospect or acts.Prospect(planned.old, planned.new, planned.why, (), lambda: ())

    def _do(
        self, notes: Journal, planned: Planned, subject: Subject, prospect: acts.Prospect
    ) -> Outcome:
        try:
            cautions = prospect.act()
        except Error as error:
            self.limits.give_back()
            return self._failed(planned, error)
        notes.note(done=planned.uuid, **recording.became(subject))
        return replace(_outcome("changed", planned), cautions=[*prospect.cautions, *cautions])

    def _failed(self, planned: Planned, error: Error) -> Outcome:
        if outcomes.is_fatal(error):
            raise error
        self.limits.fail()
        return _outcome("failed", planned, str(error))


def begin(
    conf: cfg.ConfigOpts, plan: Document, directory: str | None, actor: str, limits: Limits
) -> Application:
    """Return the application of a plan; one that was begun is continued.

    :param directory: of the journals; None: nothing is to be changed.
    :raises Error: the plan has been taken back.
    """
    path = journal.path_of(directory, plan.id) if directory is not None else None
    state = journal.load(path) if path is not None else None
    if state is None:
        origin, task = plan.origin, plan.task
        state = State(
            journal.head(
                action=task.action,
                began_at=now(),
                by=actor,
                host=origin.host,
                cloud=origin.cloud,
                all_hosts=origin.all_hosts,
            )
        )
        if path is not None:
            with Journal(path) as notes:
                notes.begin([state.head])
    if state.undone:
        raise Error(f"change {plan.id} was taken back: make a new plan")
    return Application(conf, plan, path, state, actor, limits)


def _outcome(kind: outcomes.Kind, planned: Planned, detail: str = "") -> Outcome:
    return Outcome(kind, planned.uuid, planned.name, planned.old, planned.new, detail)


def _intent(planned: Planned, subject: Subject, prospect: acts.Prospect) -> Intent:
    about = planned.name, planned.host, planned.old, planned.new
    return Intent(subject, *about, prospect.beside)


def _foreseen(planned: Planned, prospect: acts.Prospect) -> Outcome:
    return replace(_outcome("foreseen", planned), cautions=prospect.cautions)


def _is_untouched(planned: Planned, found: Subject) -> bool:
    return not _changed(planned, found)


def _changed(planned: Planned, found: Subject) -> list[str]:
    """Return the parts of a guest that aren't what the plan saw."""
    # As JSON has it: the plan has been through that.
    return [part for part, is_now in found.saw().items() if planned.saw[part] != is_now]


def _is_half_done(planned: Planned, found: Subject) -> bool:
    """Tell whether each machine type of a guest is what the plan saw, or what it was to become."""
    seen, is_now = planned.saw, found.saw()
    pairs = [
        (seen["spec"], is_now["spec"]),
        *(
            (seen[part] and seen[part][0], is_now[part] and is_now[part][0])
            for part in ("pin", "nova")
        ),
    ]
    return all(one in (then, planned.new) for then, one in pairs)
