# SPDX-License-Identifier: Apache-2.0
"""``mthook-admin setup`` and ``uninstall`` on a real host: from nothing to protected in two commands, and back."""

from __future__ import annotations

import re
import subprocess
import uuid as uuids
from collections.abc import Iterator

import pytest

from tests.lab import OLD_PC, PC, Host, guest_xml

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OLD, NEW = OLD_PC, PC
CONFIG = "/etc/mthook/mthook.conf"
HOOK = "/etc/libvirt/hooks/qemu"
#: All that setup may touch.
TOUCHED = "/etc /usr/local /var/lib/mthook"
#: libvirt leaves an empty element where the last metadata goes.
OTHERS = "<others:note xmlns:others='urn:others'/>"


@pytest.fixture
def here(alpha: Host) -> Iterator[Host]:
    """That host with web-1, which runs what it was before somebody redefined it; mthook was never here."""
    alpha.boot("web-1", OLD, uuid=UUID, metadata=OTHERS)
    alpha.define(guest_xml("web-1", UUID, NEW, metadata=OTHERS))
    yield alpha
    admin(alpha, "uninstall", "--yes", "--metadata")
    alpha.remove_guests()
    alpha.run(["sh", "-c", "rm -rf /etc/mthook/* /var/lib/mthook/* /etc/libvirt/hooks/*"])


def admin(host: Host, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run mthook-admin."""
    return host.mthook("mthook-admin", *argv, check=False)


def files(host: Host) -> str:
    """Return names, modes and sizes of all that setup might touch but the catalog's own."""
    find = f"find {TOUCHED} -path /var/lib/mthook -prune -o -type f -printf '%p %m %s\\n' | sort"
    return host.run(["sh", "-c", find]).stdout


def test_two_commands_lead_from_nothing_to_protected(here: Host) -> None:
    """The first one watches, the second one protects; starts show which."""
    watched = admin(here, "setup", "--yes")
    assert (watched.returncode, watched.stderr) == (0, "")
    assert "\nWatched: 1 guest. In mode audit nothing is stopped or changed.\n" in watched.stdout
    here.virsh("destroy", "web-1")
    here.virsh("start", "web-1")
    assert here.machine("web-1") == NEW  # as without mthook

    protected = admin(here, "setup", "--yes", "--mode", "enforce")
    assert (protected.returncode, protected.stderr) == (0, "")
    assert "\nProtected: 1 guest. " in protected.stdout
    here.virsh("destroy", "web-1")
    here.virsh("start", "web-1")
    assert here.machine("web-1") == OLD  # its definition was realigned
    here.virsh("destroy", "web-1")
    here.define(guest_xml("web-1", UUID, NEW))
    stopped = here.virsh("start", "web-1", check=False)
    assert f"pinned to {OLD}" in stopped.stderr


def test_the_plan_is_shown_and_nothing_done_without_an_answer(here: Host) -> None:
    """Which pins, from what, and what mode enforce would change."""
    before = files(here)

    said = admin(here, "setup")

    assert (said.returncode, said.stderr) == (
        2,
        "mthook-admin: nothing was changed: there is no terminal to ask, so say --yes\n",
    )
    assert "Found: 1 guest\n" in said.stdout
    assert f"New pins from the running guest: 1\n  web-1 ({UUID}): {OLD}\n" in said.stdout
    assert (
        "In mode enforce: 1 definition to realign, 0 starts to stop\n"
        f"  web-1 ({UUID}): {NEW} → {OLD}\n"
    ) in said.stdout
    assert files(here) == before
    assert here.run(["ls", "/var/lib/mthook"]).stdout == ""


@pytest.mark.parametrize("answer", ["n", "", "y"])
def test_on_a_terminal_it_asks(here: Host, answer: str) -> None:
    """Anything but yes is no."""
    program = here.mthook("mthook-admin", "--version").args[-2]
    typed = f"printf '{answer}\\n' | script -qec '{program} setup' /dev/null"

    said = here.run(["sh", "-c", typed], check=False)

    assert "Do it? [y/N] " in said.stdout
    assert ("nothing was changed" in said.stdout) == (answer != "y")
    assert (said.returncode == 0) == (answer == "y")
    assert here.path(HOOK).exists() == (answer == "y")


def test_the_configuration_is_roots_alone_and_keeps_what_it_says(here: Host) -> None:
    """Mode 0600 from the beginning on, and comments too."""
    here.path(CONFIG).write_text("# ours\n[pin]\nstyle = versioned\n")
    here.path(CONFIG).chmod(0o644)

    assert admin(here, "setup", "--yes").returncode == 0

    assert here.path(CONFIG).read_text() == (
        "# ours\n[pin]\nstyle = versioned\n\n[hook]\nmode = audit\n"
    )
    assert here.path(CONFIG).stat().st_mode & 0o777 == 0o600


def test_twice_is_harmless(here: Host) -> None:
    """All is as it is, and nothing is written anew."""
    admin(here, "setup", "--yes")
    before = files(here)

    said = admin(here, "setup", "--yes")

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.count(" (done already)\n") == 4
    assert "\nNew pins: none\n" in said.stdout
    assert files(here) == before


def test_uninstall_takes_all_back(here: Host) -> None:
    """But configuration and catalog; on request also what guests carry. Twice is harmless."""
    before = files(here)
    admin(here, "setup", "--yes", "--mode", "enforce")
    assert "urn:mthook" in here.virsh("dumpxml", "--inactive", "web-1").stdout

    said = admin(here, "uninstall", "--yes", "--metadata")

    assert (said.returncode, said.stderr) == (0, "")
    assert re.sub(r"pid \d+", "pid N", said.stdout) == (
        "/etc/cron.d/mthook: removed\n"
        f"{HOOK}: removed; told libvirtd (pid N) to look again\n"
        "completion and man pages below /usr/local/share: removed\n"
        f"web-1 ({UUID}): pin removed from its metadata\n"
        f"kept, with all pins and their history: {CONFIG}, /var/lib/mthook\n"
    )
    assert "urn:mthook" not in here.virsh("dumpxml", "--inactive", "web-1").stdout
    assert "urn:mthook" not in here.virsh("dumpxml", "web-1").stdout
    assert here.machine("web-1") == OLD
    assert admin(here, "uninstall", "--yes").stdout == (
        f"kept, with all pins and their history: {CONFIG}, /var/lib/mthook\n"
    )
    here.run(["rm", CONFIG])
    # What was realigned stays so, and a machine type's name may be longer than another's.
    here.define(guest_xml("web-1", UUID, NEW, metadata=OTHERS))
    assert files(here) == before


def test_guests_keep_their_pins_in_their_metadata_unless_asked(here: Host) -> None:
    """A host that they go to later may want to know."""
    admin(here, "setup", "--yes", "--mode", "enforce")

    admin(here, "uninstall", "--yes")

    assert "urn:mthook" in here.virsh("dumpxml", "--inactive", "web-1").stdout


def test_somebody_elses_hook_stays_and_mthooks_goes_beside_it(here: Host) -> None:
    """And back."""
    here.path(HOOK).write_text("#!/bin/sh\nexit 0\n")
    here.path(HOOK).chmod(0o755)

    said = admin(here, "setup", "--yes")

    assert (
        f"  {HOOK} is another program's hook; it stays, and mthook's goes beside it\n"
        in said.stdout
    )
    assert here.path("/etc/libvirt/hooks/qemu.d/50-mthook").exists()
    admin(here, "uninstall", "--yes")
    assert here.path(HOOK).exists()
    assert not here.path("/etc/libvirt/hooks/qemu.d").exists()


def test_a_daemon_in_a_container_is_told_from_one_on_the_host(here: Host) -> None:
    """It reads the image's hooks directory: a hook that is written here would guard nothing."""
    program = here.mthook("mthook-admin", "--version").args[-2]
    cover = f"mount -t tmpfs none /etc/libvirt/hooks && exec {program} setup --yes"

    said = here.run(["unshare", "--mount", "sh", "-c", cover], check=False)

    assert said.returncode == 3
    assert ") runs in a container of its own\n" in said.stdout
    assert (
        "  no hook: 'mthook-admin hook render' prints the one for libvirt's container\n"
        in said.stdout
    )
    assert (
        "\nNo hook guards starts yet: libvirtd runs in a container. Put what 'mthook-admin hook render' prints"
    ) in said.stdout
    assert "install the hook" not in said.stdout


def test_a_hook_in_a_directory_that_libvirtd_doesnt_read_protects_nobody(here: Host) -> None:
    """It says so, as 'hook status' does: libvirtd would never call it."""
    elsewhere = ("--hooks-dir", "/etc/mthook/hooks")

    said = admin(here, "setup", "--yes", "--mode", "enforce", *elsewhere)

    status = admin(here, "hook", "status", *elsewhere)
    assert (said.returncode, said.stderr) == (status.returncode, status.stderr)
    assert "/etc/mthook/hooks/qemu: not in the directory that libvirtd (pid " in said.stderr
    assert "\nNo hook guards starts yet, see above. " in said.stdout
    assert "Protected" not in said.stdout
    admin(here, "uninstall", "--yes", *elsewhere)


def test_without_libvirt_nothing_is_changed(here: Host) -> None:
    """One line says why."""
    before = files(here)
    here.daemon.stop()
    try:
        said = admin(here, "setup", "--yes")
    finally:
        here.daemon.start()

    assert said.returncode == 1
    assert said.stderr.startswith("mthook-admin: libvirt at qemu:///system can't be reached: ")
    assert said.stderr.count("\n") == 1
    assert files(here) == before


def test_with_nova_what_nova_conf_says_counts(here: Host) -> None:
    """A compute host without a database: mthook knows it by Nova's name."""
    here.run(["mkdir", "-p", "/etc/nova"])
    here.path("/etc/nova/nova.conf").write_text(
        "[DEFAULT]\nhost = compute-1\n[libvirt]\nhw_machine_type = x86_64=q35\n"
    )
    nova = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
    here.define(guest_xml("instance-1", str(uuids.uuid4()), NEW, metadata=nova))
    try:
        said = admin(here, "setup", "--yes")
    finally:
        here.run(["rm", "-r", "/etc/nova"])

    assert said.returncode == 0
    assert "Found: 2 guests, 1 of them Nova's\n" in said.stdout
    assert "\nNova doesn't learn the pins: its database isn't configured." in said.stdout
    text = here.path(CONFIG).read_text()
    assert "host = compute-1\n" in text
    assert "hw_machine_type = x86_64=q35\n" in text


def test_only_root_may(here: Host) -> None:
    """It says so at once."""
    program = here.mthook("mthook-admin", "--version").args[-2]

    for command in ("setup", "uninstall"):
        said = here.run(["setpriv", "--reuid", "1", str(program), command, "--yes"], check=False)
        assert said.returncode == 1
        assert said.stderr == (
            f"mthook-admin: 'mthook-admin {command}' changes this host: run it as root\n"
        )
