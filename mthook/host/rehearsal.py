# SPDX-License-Identifier: Apache-2.0
"""Start domains for a moment, apart from everything on this host, to see whether a QEMU can run them."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from mthook.errors import HostError
from mthook.text import printable
from mthook.xmlrewrite import alone

#: Seconds that a domain has to start before its QEMU is killed; the first one also waits for libvirt to learn what that
#: QEMU can do.
SECONDS = 60
_MAX_LINE = 1 << 20
_ENDED = "the rehearsal ended by itself: is libvirt's QEMU driver installed on this host?"
#: Everything inside ends with this process, even if that is killed, and has no network.
_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("--propagation", "private", "--"),
)
#: A limit on a reason: libvirt's errors begin with their kind; QEMU's own words come last.
_WORDS = 1000


class TooLate(HostError):
    """Nothing was heard within the time limit."""


def start_each(domains: Iterator[tuple[bytes, str]]) -> Iterator[str | None]:
    """Start domains, one at a time, and yield for each why it doesn't start; None: it does.

    :param domains: each as :func:`mthook.xmlrewrite.alone.alone` returns it, and its architecture.
    :raises HostError: no domain can be started at all.
    """
    stage = None
    try:
        for xml, arch in domains:
            stage = stage or Stage()
            try:
                yield stage.start(xml, arch)
            except TooLate as error:
                stage.close()
                stage = None
                yield str(error)
    finally:
        if stage is not None:
            stage.close()


class Stage:
    """The process that starts them; see :mod:`mthook.host.stage`."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise HostError("only root can rehearse: it takes namespaces")
        self._process = subprocess.Popen(
            [*_NAMESPACES, sys.executable, "-I", "-m", "mthook.host.stage"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libvirt's log
            cwd="/",
            start_new_session=True,
        )
        try:
            problem = self._hear().get("problem")
            if problem is not None:
                raise HostError(f"nothing can be rehearsed here: {printable(problem, _WORDS)}")
        except BaseException:
            self.close()
            raise

    def start(self, xml: bytes, arch: str) -> str | None:
        """Start a domain and end it; return why it doesn't start.

        :raises TooLate: it has neither started nor failed by then.
        """
        files = {alone.NVRAM: alone.nvram_size(arch)}
        request = json.dumps({"xml": xml.decode(), "files": files})
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{request}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise HostError(_ENDED) from None
        error = self._hear().get("error")
        return None if error is None else printable(error, _WORDS)

    def close(self) -> None:
        """End it, and everything that it started."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def _hear(self) -> dict[str, Any]:
        """Wait for the next answer."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(SECONDS):
                raise TooLate(f"it doesn't start within {SECONDS} s")
        line = self._process.stdout.readline(_MAX_LINE)
        if not line:
            raise HostError(_ENDED)
        answer: dict[str, Any] = json.loads(line)
        return answer
