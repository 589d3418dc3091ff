# SPDX-License-Identifier: Apache-2.0
"""How long a browser takes to open a page: Chromium, without a window, driven through its debugging pipe."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: From the navigation to the end of the load, and on to the first frame after it has been laid out.
_OPENED = (
    "new Promise(done => requestAnimationFrame(() => setTimeout(() => done("
    "performance.now() - performance.getEntriesByType('navigation')[0].startTime))))"
)
_CHROMIUM = "exec chromium --headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir={} "
#: Chromium reads from descriptor 3 and writes to 4.
_PIPES = "3<&0 4>&1 >/dev/null 2>&1"


class Browser:
    """A running browser."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._number = 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self._call("Page.enable")

    def open(self, page: Path) -> float:
        """Open a page and return how many seconds that took, until it is drawn."""
        self._call("Page.navigate", url=page.as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass
        told = self._call("Runtime.evaluate", expression=_OPENED, awaitPromise=True)
        return float(told["result"]["value"]) / 1000

    def _call(self, method: str, **parameters: object) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        answer = self._read()
        while answer.get("id") != self._number:
            answer = self._read()
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        text = b""
        while not text.endswith(b"\0"):
            byte = self._process.stdout.read(1)
            if not byte:
                raise EOFError("chromium has ended")
            text += byte
        return json.loads(text[:-1])  # type: ignore[no-any-return]


@contextlib.contextmanager
def opened() -> Iterator[Browser | None]:
    """Start a browser; None: there is none here."""
    if shutil.which("chromium") is None:
        yield None
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        line = _CHROMIUM.format(profile) + _PIPES
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(["sh", "-c", line], **pipes) as process:  # type: ignore[call-overload]
            try:
                yield Browser(process)
            finally:
                process.terminate()
