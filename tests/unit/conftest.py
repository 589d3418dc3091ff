# SPDX-License-Identifier: Apache-2.0
"""What keeps unit tests off the machine that they run on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from mthook import journal
from mthook.hook import seen

#: Where the machine's own libvirt, gate and log listen.
_MACHINES = ("/dev/log", "/run/libvirt/", "/run/mthook/", "/var/run/libvirt/")

_guarded = False

# Either would measure the machine: it may be busy with something else.
settings.register_profile("mthook", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mthook")


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Let no test connect to a socket of the machine's own: it would see another answer on every machine."""
    if _guarded and event == "socket.connect" and str(arguments[1]).startswith(_MACHINES):
        raise AssertionError(f"a unit test connects to {arguments[1]}, which is the machine's own")


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def _off_the_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    global _guarded
    monkeypatch.setattr(journal, "SOCKET", "/nowhere/log")
    monkeypatch.setattr(seen, "RECORDS", "/nowhere/seen")
    _guarded = True
    yield
    _guarded = False
