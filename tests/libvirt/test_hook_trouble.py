# SPDX-License-Identifier: Apache-2.0
"""The hook under a real libvirtd where the interpreter, the system log or the catalog's disk fail it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab import OLD_PC, PC, Host, hanging, silentlog
from tests.lab.site import CATALOG, UUID, Site, fresh

OLD, NEW = OLD_PC, PC
DISK = "/var/lib/mthook"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A lab host for the tests of this module."""
    with Host("gamma") as host:
        yield host


@pytest.fixture
def here(host: Host) -> Iterator[Site]:
    """The host that guests start on, with a guest that is pinned to NEW and shut off."""
    site = fresh(host)
    site.node.boot("web-1", NEW, uuid=UUID)
    site.node.virsh("destroy", "web-1")
    yield site
    host.remove_guests()


@pytest.fixture
def silent(host: Host) -> Iterator[None]:
    """A system log that is full and that nobody reads."""
    with host.holding(silentlog.__file__):
        yield
    host.run(["umount", "--lazy", "/dev"])


def without_mthook(site: Site) -> None:
    """Remove mthook and its interpreter, and leave its hook."""
    hook = site.node.path("/etc/libvirt/hooks/qemu")
    lines = hook.read_text().splitlines(keepends=True)
    gone = {"python": "python=/nowhere/python3\n", "package": "package=/nowhere\n"}
    hook.write_text("".join(gone.get(line.partition("=")[0], line) for line in lines))


@pytest.mark.usefixtures("silent")
def test_a_hook_without_mthook_waits_for_no_log(here: Site) -> None:
    """Neither prepare nor started nor reconnect, and libvirtd answers everybody."""
    without_mthook(here)
    begun = time.monotonic()

    assert here.start() == ""
    here.node.daemon.kill()
    here.node.daemon.start()
    assert here.node.state("web-1") == "running"
    assert "web-1" in here.node.virsh("list", "--all").stdout
    here.node.virsh("destroy", "web-1")

    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("silent")
def test_a_hook_that_stops_a_start_waits_for_no_log(here: Site) -> None:
    """The client is told all the same."""
    here.redefine(OLD)

    assert f"pinned to {NEW}" in here.start()


def full(site: Site) -> None:
    """Leave no room on the catalog's disk."""
    site.node.run(["mount", "-o", "remount,size=200k", DISK])
    site.node.run(["dd", "if=/dev/zero", f"of={DISK}/ballast", "bs=4k"], check=False)


def read_only(site: Site) -> None:
    """As after errors of the disk."""
    site.node.run(["mount", "-o", "remount,ro", DISK])


@pytest.fixture
def mended(host: Host) -> Iterator[None]:
    """Undo both, whatever the test did."""
    yield
    host.run(["mount", "-o", "remount,rw,size=50%", DISK])


@pytest.mark.parametrize("breaks", [full, read_only])
@pytest.mark.usefixtures("mended")
def test_a_wrong_start_is_stopped_where_nothing_can_be_recorded(here: Site, breaks: object) -> None:
    """on_error = allow, the default, is for what can't be read; a right start goes on."""
    breaks(here)  # type: ignore[operator]
    assert here.start() == ""
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)

    assert f"mthook: start of guest web-1 ({UUID}) stopped" in here.start()
    assert here.node.state("web-1") == "shut off"


@pytest.fixture
def hung(host: Host, here: Site) -> Iterator[None]:
    """A catalog whose disk doesn't answer."""
    with host.holding(hanging.__file__, DISK):
        yield
    host.run(["umount", "--lazy", DISK])


@pytest.mark.usefixtures("hung")
def test_a_disk_that_hangs_delays_guests_and_harms_none(here: Site) -> None:
    """A start, a restart of libvirtd with a guest that runs, and a start where on_error is deny."""
    assert here.start() == ""
    here.node.daemon.kill()
    here.node.daemon.start()
    assert here.node.state("web-1") == "running"
    here.node.virsh("destroy", "web-1")
    here.configure("[hook]\non_error = deny\n")

    assert f"the catalog {CATALOG} doesn't answer: its disk hangs" in here.start()
