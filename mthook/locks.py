# SPDX-License-Identifier: Apache-2.0
"""One program of a kind at a time, and none interrupted between a change and its record."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator

from mthook.errors import CatalogError, Error
from mthook.text import explain, printable

LOCK = "sync.lock"


class Busy(Error):
    """Another program of the same kind is running."""


@contextlib.contextmanager
def only_one(directory: str, name: str = LOCK, what: str = "mthook-sync") -> Iterator[None]:
    """Hold a lock in a catalog's directory. It ends with the process; the file stays.

    :param what: what messages call the other program.
    :raises Busy: another process has it; the message names its PID.
    :raises CatalogError: the file can't be opened.
    """
    path = os.path.join(directory, name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CatalogError(explain(path, error), path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise Busy(f"another {what} is running: PID {printable(holder) or 'unknown'}") from None
        with contextlib.suppress(OSError):  # on a full disk others don't learn the PID
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C and a service manager's stop until the end of the block, which must be short."""
    caught: list[int] = []

    def keep(number: int, _: object) -> None:
        caught.append(number)

    # Handlers, not a mask: a library's thread that has none would take the signal all the same.
    before = {number: signal.signal(number, keep) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught_number in caught:
            signal.raise_signal(caught_number)
