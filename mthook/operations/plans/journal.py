# SPDX-License-Identifier: Apache-2.0
"""What a change has done so far: how to go on after a kill, and how to take it back.

A file for each plan that is applied, and for each command that changes single guests, beside the catalog, which an
administrator's host without guests needn't have; its name is the change's. First what a guest was is put on disk, then
the guest is changed, then that is noted. So a guest that was begun and not done is one to look at again: it is as it
was, or as it was to be.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mthook.catalog import files
from mthook.errors import CatalogError, NotFound
from mthook.locks import Busy, only_one
from mthook.text import explain, printable

DIRECTORY = "changes"
_LOCK = "apply.lock"
_END = ".journal"
#: How many digits name a change. Those of an applied plan are the first of its checksum.
DIGITS = 12
_ID = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
_FORMAT = "mthook-changes-1"
_AGAIN = "nothing is lost, make room or repair it, then run the same command again"


@dataclass
class State:
    """What a journal says.

    :ivar head: of the change: its action, who made it, and when.
    :ivar begun: guests by UUID, each with what it was; the bytes of a line, as there can be many.
    :ivar done: those that were changed, with what the change made of them.
    :ivar undone: those that were put back.
    """

    head: Mapping[str, Any]
    begun: dict[str, bytes] = field(default_factory=dict)
    done: dict[str, bytes] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)

    @property
    def left(self) -> list[str]:
        """The UUIDs of those that can be put back."""
        return [uuid for uuid in self.begun if uuid not in self.undone]

    def was(self, uuid: str) -> dict[str, Any]:
        """Return what a guest was when its change was begun."""
        return dict(json.loads(self.begun[uuid]))

    def became(self, uuid: str) -> dict[str, Any]:
        """Return what was noted when a guest was done; nothing where that was cut short."""
        return dict(json.loads(self.done.get(uuid, b"{}")))


class Journal:
    """An open journal; lines are added at its end, from whichever process.

    :param held: nobody else may read it until it is closed: it is that of a command that changes single guests.
    :raises CatalogError: by every method, where the file can't be written.
    """

    def __init__(self, path: str, *, held: bool = False) -> None:
        self.path, self._way_out = path, "" if held else _AGAIN
        with self._explained():
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, files.FILE_MODE)
            if held:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def begin(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Add lines, and return when they are on disk."""
        text = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
        with self._explained():
            self._write(text)
            os.fsync(self._descriptor)

    def note(self, **line: Any) -> None:
        """Add a line. A power cut may take it: what it says can be seen from the guest."""
        with self._explained():
            self._write(json.dumps(line).encode() + b"\n")

    def _write(self, text: bytes) -> None:
        while text:
            text = text[os.write(self._descriptor, text) :]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CatalogError(explain(self.path, error, self._way_out), self.path) from error


@contextlib.contextmanager
def locked(catalog: str) -> Iterator[str]:
    """Keep others from applying and undoing meanwhile; yield the directory of the journals.

    :param catalog: the path of the catalog, which needn't exist.
    :raises Busy: somebody else is at it.
    """
    place = directory(catalog)
    with only_one(place, _LOCK, "'mthook-admin apply' or 'undo'"):
        yield place


def directory(catalog: str) -> str:
    """Return the directory of the journals, which is made if necessary.

    :param catalog: the path of the catalog, which needn't exist.
    """
    home = os.path.dirname(catalog) or "."
    files.create_directory(home)
    place = os.path.join(home, DIRECTORY)
    files.create_directory(place)
    return place


def path_of(directory: str, change: str) -> str:
    """Return where the journal of a change is."""
    return os.path.join(directory, f"{change}{_END}")


def can_undo(directory: str, change: str) -> bool:
    """Tell whether a change has anything that could be taken back."""
    state = load(path_of(directory, change))
    return state is not None and bool(state.left)


def load(path: str) -> State | None:
    """Read a journal; None: there is none yet. A last line that was cut short is taken off.

    :raises Busy: the change is still being made.
    :raises CatalogError: it can't be read, or isn't a journal.
    """
    try:
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            state, whole = State({}), 0
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(whole)
                    break
                whole += len(line)
                _take(state, line)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        name = os.path.basename(path)[: -len(_END)]
        raise Busy(f"change {name} is still being made: try again when it has ended") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        said = error.strerror if isinstance(error, OSError) else f"isn't a journal ({error})"
        raise CatalogError(f"{printable(path)}: {printable(said)}", path) from error
    return state if state.head else None


def _take(state: State, line: bytes) -> None:
    content = json.loads(line)
    kind = next(iter(content))
    if kind == "format":
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']}, this mthook knows {_FORMAT}")
        state.head = content
    elif kind == "begun":
        state.begun[content["begun"]] = line
    elif kind == "done":
        state.done[content["done"]] = line
    else:
        state.undone.add(content["undone"])


def head(**about: Any) -> dict[str, Any]:
    """Return the first line of a journal."""
    return {"format": _FORMAT, **about}


def find(directory: str, change: str) -> State:
    """Return the journal of a change.

    :raises NotFound: there is none.
    """
    state = load(path_of(directory, change)) if _ID.fullmatch(change) else None
    if state is None:
        raise NotFound(f"no change is called '{printable(change)}'")
    return state


def newest_first(directory: str) -> Iterator[tuple[str, State]]:
    """Yield the changes that aren't taken back yet, each with its name."""
    names = [name[: -len(_END)] for name in os.listdir(directory) if name.endswith(_END)]
    for name in sorted(names, key=lambda one: _began_at(path_of(directory, one)), reverse=True):
        state = load(path_of(directory, name))
        if state is not None and state.left:
            yield name, state


def _began_at(path: str) -> str:
    """Return when a change was begun; one that doesn't tell counts as the latest, so that it is looked at."""
    try:
        with open(path, "rb") as file:
            return str(json.loads(file.readline())["began_at"])
    except (OSError, ValueError, LookupError, TypeError):
        return "~"
