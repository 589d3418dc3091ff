# SPDX-License-Identifier: Apache-2.0
"""Starts of guests that take as long as a test wants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from tests.lab import Host
from tests.lab.processes import wait_until
from tests.lab.requirements import EMULATOR

#: An emulator that waits, as one does that preallocates memory.
SLOW = "/run/slow-qemu"
_HOLD, _WAITS = "/run/hold", "/run/waits"
#: What waits, in sh.
WAIT = f"if [ -e {_HOLD} ]; then : >{_WAITS}; while [ -e {_HOLD} ]; do sleep 0.05; done; fi"
# libvirt also asks it what it offers.
_SCRIPT = f"""\
#!/bin/sh
case "$*" in *guest=*) {WAIT} ;; esac
exec {EMULATOR} "$@"
"""


def provide(host: Host) -> None:
    """Put the emulator in place."""
    host.path(SLOW).write_text(_SCRIPT)
    host.path(SLOW).chmod(0o755)


@contextlib.contextmanager
def under_way(host: Host, start: Callable[[], object]) -> Iterator[None]:
    """Have a start come as far as to what waits; it goes on to its end after the block."""
    hold, waits = host.path(_HOLD), host.path(_WAITS)
    waits.unlink(missing_ok=True)
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        try:
            begun = pool.submit(start)
            wait_until("Nothing waits", waits.exists, host.daemon.log)
            yield
        finally:
            hold.unlink()
        begun.result()
