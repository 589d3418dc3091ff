# SPDX-License-Identifier: Apache-2.0
"""A small process, forked before anything else is loaded, that forks the gate's other helpers.

It holds no configuration, no password and no client's data, so that neither do the processes it forks, some of which
go on as ordinary users. Every helper ends when the gate's end of its socket is closed, however the gate ended.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from mthook.errors import Error

# Loaded now: clients are let in even when mthook's files, or Python's, have been replaced meanwhile.
from mthook.gate import connector  # noqa: F401
from mthook.text import cause

if TYPE_CHECKING:
    import asyncio

_MAX_REQUEST = 65536


class Spawner:
    """The gate's side of the process.

    :ivar process: its process id.
    """

    def __init__(self, control: socket.socket, process: int) -> None:
        self._control = control
        self.process = process

    @classmethod
    def start(cls) -> Spawner:
        """Fork it. The caller must have no threads and hold nothing worth hiding."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = os.fork()
        if process == 0:
            ours.close()
            become_helper(lambda: _serve(theirs))
        theirs.close()
        return cls(ours, process)

    def fork(self, module: str, *arguments: Any) -> socket.socket:
        """Fork a helper and return the socket that leads to it.

        :param module: its ``serve(socket, *arguments)`` is what the helper runs.
        :param arguments: of plain types that :mod:`marshal` knows.
        :raises Error: the process is gone.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(
                    self._control, [marshal.dumps((module, arguments))], [theirs.fileno()]
                )
            except OSError as error:
                ours.close()
                raise Error(f"the gate's helper processes are gone: {cause(error)}") from error
        return ours

    def watch(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        """Call ``ended`` when the process is gone; it never says anything."""

        def gone() -> None:
            loop.remove_reader(self._control)
            ended()

        loop.add_reader(self._control, gone)

    def close(self) -> None:
        """End it; helpers end with their own sockets."""
        self._control.close()


def become_helper(work: Callable[[], object]) -> NoReturn:
    """Run ``work`` in a process just forked and end it, without returning to the caller's code."""
    code = 1
    try:
        # These signals are for the gate, which lets calls finish; helpers have to be there until then.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        work()
        code = 0
    except BaseException as error:
        sys.stderr.write(f"mthook-gate: a helper ended: {type(error).__name__}: {error}\n")
    finally:
        os._exit(code)


def close_others(kept: int) -> None:
    """Close every descriptor but the standard ones and one more."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):  # the one of the list itself
                os.close(int(name))


def _serve(control: socket.socket) -> None:
    """Fork what is asked for until the gate is gone."""
    close_others(control.fileno())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a helper's end
    while True:
        request, fds, _, _ = socket.recv_fds(control, _MAX_REQUEST, 1)
        if not request:
            return
        try:
            if os.fork() == 0:
                become_helper(lambda: _run(control, request, fds[0]))  # noqa: B023
        except OSError as error:  # the gate sees its socket closed
            sys.stderr.write(f"mthook-gate: no helper process: {cause(error)}\n")
        for fd in fds:
            os.close(fd)


def _run(control: socket.socket, request: bytes, fd: int) -> None:
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    module, arguments = marshal.loads(request)
    close_others(fd)
    with socket.socket(fileno=fd) as own:
        importlib.import_module(module).serve(own, *arguments)
