# SPDX-License-Identifier: Apache-2.0
"""A plan as a file: JSON with a line for each guest, so that neither side has all of it in memory.

The last line has a checksum of all the others. It is no protection: it tells an operator when what is applied
isn't what was reviewed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from mthook.errors import Error
from mthook.operations.plans.journal import DIGITS
from mthook.text import cause, printable

#: The format that a plan names. A later version would give another format another name.
FORMAT = "mthook-plan-1"
_ANY_FORMAT = "mthook-plan-"
_GUESTS = b', "guests": ['
_END = b"],\n"
#: A header, or a guest with all its warnings, is a fraction of that.
_MAX_LINE = 1 << 20


@dataclass(frozen=True)
class Task:
    """What is to be done to each guest.

    :ivar action: ``set``, ``accept``, ``freeze``, ``unset`` or ``realign``.
    :ivar machine: the machine type that is set.
    :ivar allowed: reasons for which policy must not refuse it.
    :ivar elsewhere: also where another host's sync would undo it.
    :ivar with_buses: in Nova, device buses that the machine type doesn't have are changed too.
    :ivar reason: why, in the operator's own words.
    """

    action: str
    machine: str | None = None
    allowed: Sequence[str] = ()
    elsewhere: bool = False
    with_buses: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Origin:
    """Who made a plan, when, and against what.

    :ivar host: ``[DEFAULT] host``.
    :ivar catalog: its catalog; None: there was none.
    :ivar cloud: see :meth:`mthook.nova.cells.Cells.identity`; None: Nova's database wasn't asked.
    :ivar all_hosts: it is about instances of any host.
    """

    made_at: str
    made_by: str
    mthook: str
    host: str
    catalog: str | None
    cloud: Sequence[str] | None
    all_hosts: bool


@dataclass(frozen=True)
class Planned:
    """What is to become of one guest.

    :ivar host: where it was; None: on no host.
    :ivar kind: ``nova`` or ``libvirt``.
    :ivar old: its pin, in Nova what is recorded; for a definition to be realigned, its machine type.
    :ivar why: ``asked``, or what tells the machine type: ``running``, ``defined``, ``alias``, ``drift``.
    :ivar refused: reason and text; None: it isn't refused.
    :ivar warnings: kinds of cautions and their facts.
    :ivar saw: what it was like, see :mod:`.subjects`.
    """

    uuid: str
    name: str
    host: str | None
    kind: str
    state: str
    old: str | None
    new: str | None
    why: str
    refused: Mapping[str, str] | None = None
    warnings: Sequence[Sequence[Any]] = ()
    saw: Mapping[str, Any] = field(default_factory=dict)


def lines(origin: Origin, task: Task, guests: Iterable[Planned]) -> Iterator[bytes]:
    """Yield a plan, a line at a time."""
    digest = hashlib.sha256()

    def counted(line: bytes) -> bytes:
        digest.update(line)
        return line

    head = json.dumps({"format": FORMAT, **asdict(origin), **asdict(task)}).encode()
    yield counted(head[:-1] + _GUESTS + b"\n")
    end = b""
    for one in guests:
        # The end of a line isn't known before the next one: JSON has no comma after the last.
        yield counted(end + json.dumps(asdict(one)).encode())
        end = b",\n"
    yield counted((b"\n" if end else b"") + _END)
    yield b'"checksum": "%s"}\n' % digest.hexdigest().encode()


class Document:
    """A plan that was read.

    :param path: the file that :func:`lines` made; it is read again for its guests.
    :raises Error: it can't be read, isn't a plan, has another version, isn't whole, or was edited.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                if not file.seekable():
                    raise self._error(
                        "can't be read twice: save the plan to a file, and apply that"
                    )
                head = self._head(file.readline(_MAX_LINE))
                self.id = self._checksum(file)[:DIGITS]
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
            raise Error(f"{printable(path)}: {cause(error)}") from error
        try:
            self.origin = Origin(**{key: head[key] for key in Origin.__dataclass_fields__})
            self.task = Task(**{key: head[key] for key in Task.__dataclass_fields__})
        except KeyError as error:
            raise self._error(f"isn't a whole plan: {error} is missing") from error

    def guests(self) -> Iterator[Planned]:
        """Yield the guests."""
        with open(self._path, "rb") as file:
            file.readline(_MAX_LINE)
            for line in iter(lambda: file.readline(_MAX_LINE), _END):
                try:
                    yield Planned(**json.loads(line.rstrip(b",\n")))
                except (ValueError, TypeError) as error:
                    what = f"has a line that isn't a guest: {printable(error)}"
                    raise self._error(what) from error

    def _head(self, line: bytes) -> dict[str, Any]:
        try:
            head = json.loads(line.rstrip() + b"]}")
        except (ValueError, RecursionError):
            raise self._error(
                "isn't a plan as mthook-admin printed it: make a new one, and don't reformat it"
            ) from None
        form = head.get("format") if isinstance(head, dict) else None
        if not isinstance(form, str) or not form.startswith(_ANY_FORMAT):
            raise self._error("isn't a plan that mthook-admin made: make one")
        if form != FORMAT:
            raise self._error(
                f"has the format {printable(form)}, and this mthook knows {FORMAT}: make a new one here"
            )
        return dict(head)

    def _checksum(self, file: BinaryIO) -> str:
        """Verify the checksum, and return it."""
        file.seek(0)
        digest, last = hashlib.sha256(), b""
        for line in iter(lambda: file.readline(_MAX_LINE), b""):
            digest.update(last)
            last = line
        found = last.decode("ascii", "replace").strip()
        if not found.startswith('"checksum"'):
            raise self._error("isn't a whole plan: its end is missing; make a new one")
        if found != f'"checksum": "{digest.hexdigest()}"}}':
            raise self._error("was edited since it was made: make a new one, with other options")
        return digest.hexdigest()

    def _error(self, what: str) -> Error:
        return Error(f"{printable(self._path)} {what}")
