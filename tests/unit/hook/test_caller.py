# SPDX-License-Identifier: Apache-2.0
"""Which libvirt calls, and what it can bear."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mthook.hook import caller, fast
from tests.unit.hook.conftest import Hooked, domain

WRONG = domain("pc-i440fx-6.2")


@pytest.mark.parametrize("version", [(11, 3, 0), (10, 0, 1), (12, 7, 9), None])
def test_a_restore_is_let_in_where_libvirt_would_delete_the_image(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int] | None
) -> None:
    """It is drift then; the prepare that follows is let through."""
    monkeypatch.setattr(caller, "libvirt_version", lambda _: version)
    hooked.configure("[hook]\nmigrate_mismatch = refuse\n")
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call("restore", WRONG)

    assert (answer.code, answer.errors) == (fast.ALLOWED, "")
    assert "drift: pinned to pc-i440fx-7.2, it runs pc-i440fx-6.2" in answer.log[0]
    assert hooked.call("prepare", WRONG).code == fast.ALLOWED
    assert hooked.call("started", WRONG).code == fast.ALLOWED
    assert hooked.events()[-1] == ("drift", "pc-i440fx-7.2", "pc-i440fx-6.2")


@pytest.mark.parametrize("version", [(9, 0, 0), (10, 0, 0), (12, 8, 0), (13, 0, 0)])
def test_a_restore_is_refused_where_that_keeps_the_image(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    """As the configuration says."""
    monkeypatch.setattr(caller, "libvirt_version", lambda _: version)
    hooked.configure("[hook]\nmigrate_mismatch = refuse\n")
    hooked.pin("pc-i440fx-7.2")

    assert hooked.call("restore", WRONG).code == fast.STOPPED


def test_a_migration_is_refused_whatever_libvirt_it_is(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source goes on with the guest."""
    monkeypatch.setattr(caller, "libvirt_version", lambda _: (11, 3, 0))
    hooked.configure("[hook]\nmigrate_mismatch = refuse\n")
    hooked.pin("pc-i440fx-7.2")

    assert hooked.call("migrate", WRONG).code == fast.STOPPED


MAPS = """\
7f0000000000-7f0000001000 r--p 00000000 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000002000-7f0000003000 r--p 00000000 fe:00 2 {}
"""


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/lib/x86_64-linux-gnu/libvirt.so.0.9000.0", (9, 0, 0)),
        ("/usr/lib64/libvirt.so.0.11003.0", (11, 3, 0)),
        ("/usr/lib/x86_64-linux-gnu/libvirt.so.0.12008.1 (deleted)", (12, 8, 1)),
        ("/usr/lib/libvirt-qemu.so.0.11003.0", None),
        ("/usr/lib/libvirt.so.0.odd", None),
    ],
)
def test_the_version_is_that_of_the_library_in_an_ancestor(
    monkeypatch: pytest.MonkeyPatch, path: str, version: tuple[int, int, int] | None
) -> None:
    """After an upgrade it is the one that runs, not the one on the disk."""
    files = {
        "/proc/7/maps": "7f0000000000-7f0000001000 r--p 00000000 fe:00 1 /usr/bin/dash\n",
        "/proc/7/stat": "7 (sh) (odd) S 3 7 7 0",
        "/proc/3/maps": MAPS.format(path),
        "/proc/3/stat": "3 (libvirtd) S 0 3 3 0",
    }

    def look(name: str, **_: Any) -> io.StringIO:
        if name not in files:
            raise FileNotFoundError(name)
        return io.StringIO(files[name])

    monkeypatch.setattr("builtins.open", look)

    assert caller.libvirt_version(7) == version
