# SPDX-License-Identifier: Apache-2.0
"""The hook's slow path: what needs more than the standard library or may have to wait, within a time limit.

It runs in a child process, so that nothing it does, even a hang or a crash, can hold up or harm the guest: libvirt sets
no time limit for hooks. The parent stays on the fast path and only waits; it leaves behind a child that even SIGKILL
can't end, because its disk hangs. Every function raises :class:`SlowPathError` with the child's own error message, or
because its time is up.
"""

from __future__ import annotations

import marshal
import os
import select
import time

from mthook.errors import Error
from mthook.nova import question
from mthook.nova.question import Recorded
from mthook.settings import Settings, fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_SIGKILL = 9
#: Seconds to wait for the end of a child that was killed.
_LAST_WAIT = 0.2


class SlowPathError(Error):
    """The slow path failed, or its time is up."""


def in_child(work: Callable[[], Any], seconds: float, *, outlives: bool = False) -> Any:
    """Run ``work`` in a child process and return what it returns.

    The caller may hold no open catalog: SQLite's locks don't survive a fork.

    :param work: its result has to be of plain types that :mod:`marshal` knows.
    :param seconds: the child is killed when it takes longer.
    :param outlives: don't kill it then, just stop waiting: on a busy machine others may have had all that time.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _be_child(work, send)
    os.close(send)
    try:
        answer = _read_all(receive, time.monotonic() + max(seconds, 0))
    finally:
        os.close(receive)
        if not outlives:
            os.kill(child, _SIGKILL)
    if answer is not None or not outlives:
        _wait_for(child, patient=answer is not None)
    if answer is None:
        raise SlowPathError(f"no answer within {seconds:.1f} s")
    try:
        done, result = marshal.loads(answer)
    except (ValueError, EOFError, TypeError):
        raise SlowPathError("the slow path died") from None
    if not done:
        raise SlowPathError(result)
    return result


def _wait_for(child: int, *, patient: bool) -> None:
    """Wait for the end of a child that is ending or has been killed.

    :param patient: the child is ending by itself; otherwise wait only a moment.
    """
    options, deadline = 0 if patient else os.WNOHANG, time.monotonic() + _LAST_WAIT
    while os.waitpid(child, options) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.005)


def _be_child(work: Callable[[], Any], send: int) -> None:
    """Do the work, answer through the pipe and end, without ever returning to the caller's code."""
    try:
        # Nothing the child prints may reach libvirtd, which takes standard output for domain XML.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        answer = (True, work())
    except Error as error:
        answer = (False, str(error))
    except BaseException as error:  # whatever it is, the parent has to learn of it
        answer = (False, f"{type(error).__name__}: {error}")
    try:
        _write_all(send, marshal.dumps(answer))
    finally:  # also when nobody waits for the answer any longer
        os._exit(0)


def _find_packages() -> None:
    """Make importable what ``-S`` left out: lxml, oslo.config and SQLAlchemy."""
    import site

    site.main()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _read_all(descriptor: int, deadline: float) -> bytes | None:
    """Return what comes until end of file, or ``None`` when the deadline passes first."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        piece = os.read(descriptor, 1 << 20)
        if not piece:
            return data
        data += piece


def read_configuration(files: Sequence[str], seconds: float) -> tuple[str, Settings]:
    """Return the catalog's path and the settings as the configuration files have them now.

    A file that doesn't exist counts as empty, so that removing one brings its defaults back.
    """

    def work() -> tuple[str, tuple[Any, ...]]:
        _find_packages()
        from mthook import conf

        taken = fingerprint(files)
        options = conf.load([path for path in files if os.path.exists(path)])
        return options.catalog.path, conf.settings(options, taken).values()

    path, values = in_child(work, seconds)
    return path, Settings(*values)


def ask_nova(files: Sequence[str], uuid: str, seconds: float, wrong: str) -> Recorded | None:
    """Return what Nova has recorded for an instance; see :func:`mthook.nova.question.ask`.

    :param wrong: how the guest differs from its pin; '' if it doesn't.
    """

    def work() -> tuple[Any, ...] | None:
        _find_packages()
        recorded = question.ask(files, uuid)
        return recorded.values() if recorded else None

    try:
        values = in_child(work, seconds)
    except SlowPathError as error:
        why = f"Nova can't be asked: {error}"
        raise SlowPathError(f"{wrong}; {why}" if wrong else why) from None
    return Recorded(*values) if values else None


def put_right(
    files: Sequence[str], uuid: str, machine: str, expect: str | None, seconds: float
) -> None:
    """Write a pin over what Nova has recorded; see :func:`mthook.nova.question.put_right`.

    :raises SlowPathError: the database can't be written, or not in time.
    """

    def work() -> None:
        _find_packages()
        question.put_right(files, uuid, machine, expect)

    in_child(work, seconds)


def keep(catalog: str, xml: bytes, uuid: str, machine: str, seconds: float) -> None:
    """Keep a guest's definition in the catalog, without anything in it that may be secret."""

    def work() -> None:
        _find_packages()
        from mthook.catalog import lookup
        from mthook.catalog.store import Catalog
        from mthook.text import now
        from mthook.xmlrewrite import secrets, summary
        from mthook.xmlrewrite.definition import Definition
        from mthook.xmlrewrite.target import Kept

        plain = secrets.without_secrets(Definition(xml))
        with Catalog(lookup.connect(catalog, seconds)) as opened:
            opened.keep(Kept(uuid, summary.checksum(xml), machine, now(), plain))

    in_child(work, seconds)


def rewrite(xml: bytes, machine: str, instance: str, since: str, seconds: float) -> bytes:
    """Return a domain's XML with the pinned machine type."""

    def work() -> bytes:
        _find_packages()
        from mthook.xmlrewrite import pipeline

        return pipeline.rewrite(
            xml, pipeline.Target(machine=machine, instance=instance, since=since)
        ).xml

    rewritten: bytes = in_child(work, seconds)
    return rewritten
