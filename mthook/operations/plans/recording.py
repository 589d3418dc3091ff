# SPDX-License-Identifier: Apache-2.0
"""What a guest was before a change and what the change made of it, as a journal keeps them for ``undo``.

A command that changes single guests writes the same journal as ``apply``: one for all the guests that it names.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mthook.conf import has_nova
from mthook.errors import CatalogError, Error, NotFound
from mthook.nova import imprint
from mthook.nova.instance import MACHINE_KEY, Change, DiskChange, PropertyChange
from mthook.operations.caution import Caution, Kind
from mthook.operations.lookup import CloudInstance, Instance
from mthook.operations.plans import journal
from mthook.operations.plans.journal import Journal
from mthook.operations.plans.subjects import Subject
from mthook.reconcile import SOMEBODY
from mthook.text import now

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog


@dataclass(frozen=True)
class Intent:
    """What is to be done to a guest.

    :ivar host: where it is; None: on no host.
    :ivar beside: which of Nova's device buses change with it.
    """

    subject: Subject
    name: str
    host: str | None
    old: str | None
    new: str | None
    beside: Sequence[Change] = ()


def begun(intents: Sequence[Intent]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal that tell what guests were."""
    cells: dict[Any, list[str]] = {}
    for one in intents:
        if one.subject.cloud is not None:
            cells.setdefault(one.subject.cloud.cell, []).append(one.subject.uuid)
    disks = any(isinstance(change, DiskChange) for one in intents for change in one.beside)
    rows: dict[str, imprint.Imprint] = {}
    for cell, uuids in cells.items():
        rows.update(cell.imprints(uuids, disks=disks))
    for one in intents:
        yield {
            "begun": one.subject.uuid,
            **{"name": one.name, "host": one.host, "old": one.old, "new": one.new},
            "nova": _in_nova(one, rows.get(one.subject.uuid)),
            "here": _here(one.subject),
        }


def _in_nova(intent: Intent, was: imprint.Imprint | None) -> dict[str, Any] | None:
    subject, new = intent.subject, intent.new
    if subject.cloud is None or was is None:
        return None
    spec = imprint.spec_of(*subject.spec, new) if subject.spec else None
    buses = {one.key: one.new for one in intent.beside if isinstance(one, PropertyChange)}
    disks = [
        [asdict(one.old), asdict(one.new)] for one in intent.beside if isinstance(one, DiskChange)
    ]
    return {
        "was": asdict(was),
        "spec": asdict(spec) if spec else None,
        "made": {MACHINE_KEY: new, **buses},
        "disks": disks,
        # What Nova wrote by itself must not look like that once an operator brings it back.
        "times": subject.cloud.nova.author == SOMEBODY,
    }


def _here(subject: Subject) -> dict[str, Any] | None:
    local = subject.local
    if local is None:
        return None
    return {
        "pin": vars(local.pin) if local.pin else None,
        "defined": likeness_of(local.host, local.uuid),
    }


def became(subject: Subject) -> dict[str, Any]:
    """Return what a guest of this host is after its change; nothing for others."""
    if subject.local is None:
        return {}
    pin = subject.local.catalog.get_pin(subject.uuid)
    defined = likeness_of(subject.local.host, subject.uuid)
    return {"pin": vars(pin) if pin else None, "defined": defined}


def likeness_of(host: Any, uuid: str) -> Mapping[str, Any] | None:
    """Return what a guest's definition is recognized by, where there is one that may follow its pin."""
    if host is None:
        return None
    from mthook.host import putback

    try:
        found = putback.likeness(host, uuid)
    except NotFound:
        return None
    return asdict(found) if found else None


def subject_of(found: CloudInstance | Instance) -> Subject:
    """Return an instance that was looked up alone as the subject of a change."""
    if isinstance(found, Instance):
        return Subject(found.uuid, found, None)
    uuid = found.nova.uuid
    return Subject(uuid, found.local, found, found.cells.dated_specs([uuid]).get(uuid))


@contextlib.contextmanager
def part_of(catalog: Catalog | CatalogError, change: str) -> Iterator[None]:
    """Have the history name a change with everything that the block does to pins."""
    if isinstance(catalog, CatalogError):
        yield
        return
    catalog.change = change
    try:
        yield
    finally:
        catalog.change = None


class Record:
    """What one command changes, for ``undo``. The journal is made when the first guest is about to change.

    :ivar change: what ``undo`` calls it.
    """

    def __init__(self, conf: cfg.ConfigOpts, action: str, actor: str) -> None:
        self.change = secrets.token_hex(journal.DIGITS // 2)
        self._conf = conf
        self._about = {"action": action, "began_at": now(), "by": actor, "host": conf.host}
        self._head: Mapping[str, Any] | None = None
        self._problem: CatalogError | None = None

    @contextlib.contextmanager
    def of(
        self,
        subject: Subject,
        old: str | None,
        new: str | None,
        beside: Sequence[Change] = (),
    ) -> Iterator[Sequence[Caution]]:
        """Note what a guest is before the block changes it, and what it is afterwards.

        :return: a caution where that can't be noted: for want of rights, or on a full disk.
        """
        with contextlib.ExitStack() as stack:
            notes = self._begun(stack, Intent(subject, *self._place(subject), old, new, beside))
            if notes is None:
                yield [Caution(Kind.NO_RECORD, (str(self._problem),))]
                return
            with part_of(subject.catalog, self.change):
                yield ()
            # Without this note undo looks at the guest itself, as after a kill.
            with contextlib.suppress(Error):
                notes.note(done=subject.uuid, **became(subject))

    def _begun(self, stack: contextlib.ExitStack, intent: Intent) -> Journal | None:
        """Return the journal, with what a guest was on disk; None: it can't be written."""
        lines = list(begun([intent]))
        head = self._head or self._new_head(intent.subject.cloud)
        if head != self._head:
            lines.insert(0, dict(head))
        try:
            if self._problem is None:
                path = journal.path_of(journal.directory(self._conf.catalog.path), self.change)
                notes = stack.enter_context(Journal(path, held=True))
                notes.begin(lines)
                self._head = head
                return notes
        except CatalogError as error:
            self._problem = error  # the file may end in half a line: nothing is added to that
        return None

    def _new_head(self, cloud: CloudInstance | None) -> Mapping[str, Any]:
        identity = cloud.cells.identity() if cloud else None
        return journal.head(**self._about, cloud=identity, all_hosts=has_nova(self._conf))

    def _place(self, subject: Subject) -> tuple[str, str | None]:
        """Return what a guest is called, and its host."""
        if subject.cloud is not None:
            return subject.cloud.nova.name, subject.cloud.nova.host
        known = (subject.local.domain or subject.local.guest) if subject.local else None
        return known.name if known else "", self._conf.host
