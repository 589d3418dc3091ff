# SPDX-License-Identifier: Apache-2.0
"""The process that judges domains, so that neither lxml nor a hanging database holds up the gate's clients.

It has one thread. What has to wait for Nova's database is done in a process of its own, forked for it.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import signal
import socket
from collections.abc import Sequence
from typing import NoReturn

from mthook import text
from mthook.catalog import fastsql, recording
from mthook.errors import Error
from mthook.gate import log, rewriting
from mthook.gate.rewriting import Settings
from mthook.gate.verdict import REWRITE, Outcome

_PIECE = 1 << 18


def serve(control: socket.socket, files: Sequence[str]) -> None:
    """Judge what comes until the gate lets go.

    Each message brings a socket: on it come the XML, the call and the client's user id, and on it goes the outcome.
    """
    settings = Settings(files)
    if settings.policy.nova:
        _load_for_nova()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 16, 1)
        if not message:
            return
        for fd in fds:
            with socket.socket(fileno=fd) as channel, contextlib.suppress(ConnectionError):
                _serve_one(channel, settings)


def _load_for_nova() -> None:
    """Load what asking Nova's database takes, once: each process forked for that would else load it anew."""
    for module in ("mthook.catalog.cells", "sqlalchemy.dialects.mysql.pymysql", "pymysql"):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def _reap(number: int, frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve_one(channel: socket.socket, settings: Settings) -> None:
    asked = _read(channel)
    if (
        not asked
    ):  # the client went away meanwhile, or it's the gate that wants to know whether we are there
        return
    xml, call, uid = marshal.loads(asked)
    settings.refresh()
    outcome = rewriting.examine(xml, settings, may_wait=False)
    if outcome is not None:
        _answer(channel, outcome, settings, call, uid)
    elif os.fork() == 0:
        _wait_for_nova(channel, settings, xml, call, uid)


def _wait_for_nova(
    channel: socket.socket, settings: Settings, xml: bytes, call: str, uid: int
) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        outcome = rewriting.examine(xml, settings, may_wait=True)
        assert outcome is not None
        _answer(channel, outcome, settings, call, uid)
        code = 0
    finally:
        os._exit(code)


def _answer(
    channel: socket.socket, outcome: Outcome, settings: Settings, call: str, uid: int
) -> None:
    """Answer first, and then write down what was done: the disk takes longer than all the rest."""
    with contextlib.suppress(OSError):  # the client went away meanwhile
        channel.sendall(marshal.dumps((outcome.verdict, outcome.xml, outcome.message)))
        channel.shutdown(socket.SHUT_RDWR)
    if outcome.verdict != REWRITE:
        return
    try:
        connection = fastsql.connect(settings.catalog, settings.policy.timeout)
        try:
            recording.record_rewrite(
                connection,
                outcome.uuid,
                outcome.old,
                outcome.new,
                actor=f"gate uid {uid}",
                call=call,
                at=text.now(),
            )
        finally:
            connection.close()
    except Error as error:
        log.error(f"a rewrite of guest {outcome.uuid} isn't recorded: {error}")
    log.info(
        f"guest {outcome.uuid}: {outcome.old or 'no machine type'} rewritten to {outcome.new} for uid {uid} ({call})"
    )
    for line in outcome.changes:
        log.info(f"guest {outcome.uuid}: {line}")


def _read(channel: socket.socket) -> bytes:
    data = bytearray()
    while True:
        piece = channel.recv(_PIECE)
        if not piece:
            return bytes(data)
        data += piece
