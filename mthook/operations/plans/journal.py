# SPDX-License-Identifier: Apache-2.0
"""What applying a plan has done so far: how to go on after a kill, and how to take it back.

A file for each plan beside the catalog, which an administrator's host without guests needn't have; its name is the
change's. First what a guest was is put on disk, then the guest is changed, then that is noted. So a guest that was
begun and not done is one to look at again: it is as it was, or as it was to be.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mthook.catalog import files
from mthook.errors import CatalogError, NotFound
from mthook.locks import only_one
from mthook.text import printable

DIRECTORY = "changes"
_LOCK = "apply.lock"
_END = ".journal"
_ID = re.compile(r"[0-9a-f]{12}")
_FORMAT = "mthook-changes-1"


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

    :raises CatalogError: by every method, where the file can't be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with self._explained():
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, files.FILE_MODE)

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
            raise CatalogError(
                f"{printable(self.path)}: {error.strerror}: nothing is lost, make room or repair it,"
                " then run the same command again",
                self.path,
            ) from error


@contextlib.contextmanager
def locked(catalog: str) -> Iterator[str]:
    """Keep others from applying and undoing meanwhile; yield the directory of the journals.

    :param catalog: the path of the catalog, which needn't exist.
    :raises Busy: somebody else is at it.
    """
    home = os.path.dirname(catalog) or "."
    files.create_directory(home)
    directory = os.path.join(home, DIRECTORY)
    files.create_directory(directory)
    with only_one(directory, _LOCK, "'mthook-admin apply' or 'undo'"):
        yield directory


def path_of(directory: str, change: str) -> str:
    """Return where the journal of a change is."""
    return os.path.join(directory, f"{change}{_END}")


def can_undo(directory: str, change: str) -> bool:
    """Tell whether a change has anything that could be taken back."""
    state = load(path_of(directory, change))
    return state is not None and bool(state.left)


def load(path: str) -> State | None:
    """Read a journal; None: there is none yet. A last line that was cut short is taken off.

    :raises CatalogError: it can't be read, or isn't a journal.
    """
    try:
        with open(path, "r+b") as file:
            state, whole = State({}), 0
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(whole)
                    break
                whole += len(line)
                _take(state, line)
    except FileNotFoundError:
        return None
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


def find(directory: str, change: str | None) -> tuple[str, State]:
    """Return the ID and the journal of a change; None: of the last one that isn't taken back.

    :raises NotFound: there is none.
    """
    if change is not None:
        state = load(path_of(directory, change)) if _ID.fullmatch(change) else None
        if state is None:
            raise NotFound(f"no change is called '{printable(change)}'")
        return change, state
    found = [
        (name[: -len(_END)], load(os.path.join(directory, name))) for name in _names(directory)
    ]
    known = [(one, state) for one, state in found if state is not None and state.left]
    if not known:
        raise NotFound("no change is there that could be taken back")
    return max(known, key=lambda one: str(one[1].head["began_at"]))


def _names(directory: str) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name.endswith(_END))
