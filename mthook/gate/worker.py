# SPDX-License-Identifier: Apache-2.0
"""The process that judges domains, so that neither lxml nor a hanging database holds up the gate's clients.

It has one thread. Anything that has to wait for Nova's database runs in a process of its own, forked for that.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import select
import signal
import socket
from collections.abc import Sequence

from mthook import journal
from mthook.gate import rewriting
from mthook.gate.configuration import Configuration
from mthook.gate.history import HistoryQueue, Rewrite
from mthook.gate.spawner import become_helper, close_others
from mthook.gate.verdict import ANSWERED, KEEP, PASS, REWRITE, Outcome, broken
from mthook.text import cause

_PIECE = 1 << 18
#: Seconds that a domain may take, on top of its wait for the catalog.
_SLACK = 5.0


def serve(control: socket.socket, files: Sequence[str], verbose: bool) -> None:
    """Judge what comes until the gate lets go.

    Each message brings a socket. It carries :data:`.verdict.JUDGE` with the XML, the call and the client's user id, and
    takes the outcome back; or :data:`.verdict.KEEP` with a rewrite, which is acknowledged. The answer to the message
    says that the worker is ready for the next one, though a process forked for Nova may not have answered yet.

    :param verbose: also log the domains that pass unchanged.
    """
    journal.serve("mthook-gate", verbose=verbose)
    configuration = Configuration(files, tells=False)
    queue = HistoryQueue(configuration)
    if configuration.settings.nova:
        _load_for_nova()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        if not select.select([control], [], [], queue.wait)[0]:
            queue.write()
            continue
        message, fds, _, _ = socket.recv_fds(control, 16, 1)
        if not message:
            break
        for fd in fds:
            with socket.socket(fileno=fd) as channel, contextlib.suppress(ConnectionError):
                # A domain that hangs it ends this process, and a new one carries on.
                signal.setitimer(signal.ITIMER_REAL, configuration.settings.timeout + _SLACK)
                _serve_one(channel, configuration, queue)
                signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(OSError):  # the gate has gone; reading the next message shows that
            control.send(b"!")
        queue.write()
    queue.close(configuration.settings.timeout)


def _load_for_nova() -> None:
    """Load once what asking Nova's database needs: else each process forked for it would do so."""
    for module in ("mthook.nova.cells", "sqlalchemy.dialects.mysql.pymysql", "pymysql"):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def _reap(number: int, frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve_one(channel: socket.socket, configuration: Configuration, queue: HistoryQueue) -> None:
    try:
        what, *rest = marshal.loads(_read(channel))
    except (EOFError, ValueError, TypeError):
        # The client went away meanwhile, or the gate only wants to know whether we are there.
        return
    configuration.refresh()
    if what == KEEP:
        queue.add(Rewrite(*rest))
        channel.sendall(b"!")
        return
    xml, call, uid = rest
    outcome = rewriting.examine(xml, configuration, may_wait=False)
    if outcome is None:
        outcome = _fork_for_nova(channel, configuration, xml, call, uid)
    if outcome is not None:
        _conclude(channel, outcome, call, uid)


def _fork_for_nova(
    channel: socket.socket, configuration: Configuration, xml: bytes, call: str, uid: int
) -> Outcome | None:
    """Have a forked process ask Nova's database and answer; if it can't fork, return the answer."""
    try:
        child = os.fork()
    except OSError as error:
        return broken(configuration.settings, f"no helper process: {cause(error)}")
    if child == 0:
        become_helper(lambda: _wait_for_nova(channel, configuration, xml, call, uid))
    return None


def _wait_for_nova(
    channel: socket.socket, configuration: Configuration, xml: bytes, call: str, uid: int
) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # If this process kept the worker's socket, the gate wouldn't learn of the worker's end.
    close_others(channel.fileno())
    signal.setitimer(signal.ITIMER_REAL, 2 * configuration.settings.timeout + _SLACK)
    outcome = rewriting.examine(xml, configuration, may_wait=True)
    assert outcome is not None
    _conclude(channel, outcome, call, uid)


def _conclude(channel: socket.socket, outcome: Outcome, call: str, uid: int) -> None:
    """Answer and log."""
    values = [getattr(outcome, name) for name in ANSWERED]
    with contextlib.suppress(OSError):  # the client went away meanwhile
        channel.sendall(marshal.dumps(values))
        channel.shutdown(socket.SHUT_RDWR)
    what = f"guest {outcome.uuid}: {outcome.old or 'no machine type'}"
    if outcome.verdict == PASS and outcome.uuid:
        journal.detail(f"{what} passed unchanged for uid {uid} ({call})")
    if outcome.verdict != REWRITE:
        return
    journal.info(f"{what} rewritten to {outcome.new} for uid {uid} ({call})")
    for line in outcome.changes:
        journal.info(f"guest {outcome.uuid}: {line}")


def _read(channel: socket.socket) -> bytes:
    data = bytearray()
    while True:
        piece = channel.recv(_PIECE)
        if not piece:
            return bytes(data)
        data += piece
