# SPDX-License-Identifier: Apache-2.0
"""The installed hook under a real libvirtd with real guests."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook import policy
from tests.lab import OLD_PC, PC, Host, guest_xml
from tests.lab.requirements import EMULATOR
from tests.lab.site import CATALOG, UUID, Site, fresh
from tests.libvirt import slowly
from tests.libvirt.conversion import LIBVIRT

OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
OLD, NEW = OLD_PC, PC
HOLDER = """
import sqlite3, sys, time
holder = sqlite3.connect(sys.argv[1], isolation_level=None)
holder.execute("PRAGMA locking_mode = EXCLUSIVE")
holder.execute("BEGIN EXCLUSIVE")
holder.execute("UPDATE settings SET mode = mode")
print("locked", flush=True)
time.sleep(60)
"""
SAVED = "/var/lib/libvirt/web-1.save"


@pytest.fixture(scope="module")
def beta() -> Iterator[Host]:
    """Another lab host, to migrate to."""
    with Host("beta") as host:
        yield host


@pytest.fixture
def here(alpha: Host) -> Iterator[Site]:
    """The host that guests start on."""
    yield fresh(alpha)
    alpha.remove_guests()


@pytest.fixture
def there(beta: Host) -> Iterator[Site]:
    """The host that guests move to."""
    yield fresh(beta)
    beta.remove_guests()


def test_the_first_boot_records_what_the_guest_runs(here: Site) -> None:
    """Defined by an alias, run by a versioned name, pinned to that."""
    here.node.boot("web-1", "pc", uuid=UUID)

    assert here.pin() == here.node.machine("web-1")
    row = here.row()
    assert row["source"] == "first boot"
    assert None not in (row["qemu_version"], row["libvirt_version"])
    assert here.ask("[(guest.name, guest.running) for guest in catalog.guests()]") == [
        ["web-1", here.pin()]
    ]


def test_a_changed_definition_is_stopped_and_the_client_is_told_all(here: Site) -> None:
    """The error in virsh names guest, pin, what was found and the remedy; the remedy works."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)

    error = here.start()

    assert (
        f"mthook: start of guest web-1 ({UUID}) stopped: its machine type is pinned to {NEW}, its definition "
        f"says {OLD}; 'mthook-sync --only repair --start' mends the definition and starts the guest, "
        f"'mthook-admin set {UUID} {OLD} --allow older' accepts the change"
    ) in error
    assert here.node.state("web-1") == "shut off"
    assert here.node.path("/var/lib/mthook/repair-wanted").exists()

    here.node.mthook("mthook-sync", "--only", "repair", "--start")

    assert here.node.state("web-1") == "running"
    assert here.node.machine("web-1") == NEW
    assert [event for event, _, _ in here.events()] == [
        "pinned",
        "stopped",
        "realigned",
        "repaired",
    ]
    assert not here.node.path("/var/lib/mthook/repair-wanted").exists()


def test_a_guest_that_was_mended_by_hand_is_not_started_behind_its_operators_back(
    here: Site,
) -> None:
    """A start that goes well calls off the repair."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)
    here.start()
    here.redefine(NEW)
    assert here.start() == ""
    here.node.virsh("destroy", "web-1")

    here.node.mthook("mthook-sync", "--only", "repair", "--start")

    assert here.node.state("web-1") == "shut off"


@pytest.mark.parametrize("only", [(), ("--only", "repair")])
def test_what_runs_by_itself_starts_no_guest(here: Site, only: tuple[str, ...]) -> None:
    """A cluster manager may have started it elsewhere meanwhile; the definition is right from then on."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)
    here.start()

    here.node.mthook("mthook-sync", *only)

    assert here.node.state("web-1") == "shut off"
    assert here.node.machine("web-1", "--inactive") == NEW


def test_a_pin_that_only_its_metadata_tells_is_repaired_by_it(here: Site) -> None:
    """A definition that came with its pin from elsewhere, and was changed before its first start."""
    carried = f"<m:pin xmlns:m='urn:mthook:pin:1' machine='{OLD}' instance='{UUID}' since=''/>"
    here.redefine(NEW, metadata=carried)

    assert f"pinned to {OLD}" in here.start()
    here.node.mthook("mthook-sync", "--only", "repair", "--start")

    assert (here.node.state("web-1"), here.node.machine("web-1")) == ("running", OLD)
    assert here.row()["source"] == "guest metadata"


def test_the_other_remedy_works_too(here: Site) -> None:
    """Accepting the change pins what the definition says."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)
    here.start()

    here.node.mthook("mthook-admin", "set", UUID, OLD, "--force")

    assert here.start() == ""
    assert here.node.machine("web-1") == OLD


def test_audit_never_stops_anything(here: Site) -> None:
    """The guest starts with the wrong type, which is drift."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.configure("[hook]\nmode = audit\n")
    here.redefine(OLD)

    assert here.start() == ""
    assert here.node.machine("web-1") == OLD
    assert here.pin() == NEW
    assert here.events()[-1] == ["drift", NEW, OLD]


def test_a_live_migration_keeps_the_pin_and_the_destination_learns_it(
    here: Site, there: Site
) -> None:
    """Also an old machine type; nothing taints the guest."""
    here.node.boot("web-1", OLD, uuid=UUID)

    here.node.migrate("web-1", there.node)

    assert there.node.machine("web-1") == OLD
    assert there.pin() == OLD
    assert here.pin() == OLD
    assert "hook-script" not in there.node.virsh("dominfo", "web-1").stdout
    there.node.virsh("destroy", "web-1")
    assert there.start() == ""


def test_a_mismatch_that_migrates_in_is_accepted_as_drift(here: Site, there: Site) -> None:
    """The default: a running guest is what it is; its next cold start is stopped."""
    here.node.boot("web-1", OLD, uuid=UUID)
    there.set_pin(NEW)

    here.node.migrate("web-1", there.node)

    assert there.node.machine("web-1") == OLD
    assert there.events()[-1] == ["drift", NEW, OLD]
    there.node.virsh("destroy", "web-1")
    assert "pinned to" in there.start()


def test_a_mismatch_that_migrates_in_can_be_refused(here: Site, there: Site) -> None:
    """The source keeps running."""
    there.configure("[hook]\nmigrate_mismatch = refuse\n")
    here.node.boot("web-1", OLD, uuid=UUID)
    there.set_pin(NEW)

    done = here.node.migrate("web-1", there.node, check=False)

    assert done.returncode != 0
    assert f"mthook: migration of guest web-1 ({UUID}) stopped" in done.stderr
    assert here.node.state("web-1") == "running"
    assert there.node.virsh("list", "--all", "--name").stdout.strip() == ""


def test_a_persistent_definition_unlike_the_running_guest_is_realigned_after_the_move(
    here: Site, there: Site, tmp_path: Path
) -> None:
    """VIR_MIGRATE_PARAM_PERSIST_XML may bring another machine type than the guest runs with."""
    here.node.boot("web-1", NEW, uuid=UUID)
    persistent = tmp_path / "persistent.xml"
    persistent.write_text(guest_xml("web-1", UUID, OLD))

    here.node.migrate("web-1", there.node, "--persistent-xml", str(persistent))
    assert there.node.machine("web-1", "--inactive") == OLD
    there.node.mthook("mthook-sync")

    assert there.node.machine("web-1", "--inactive") == NEW
    assert there.node.machine("web-1") == NEW


def test_what_was_set_on_a_running_guest_moves_with_it(here: Site, there: Site) -> None:
    """The guest still runs the old type when it moves; the new one counts where it goes."""
    here.node.boot("web-1", OLD, uuid=UUID)
    here.node.mthook("mthook-admin", "set", "web-1", NEW, "--force")

    here.node.migrate("web-1", there.node)
    there.node.mthook("mthook-sync")

    assert there.pin() == NEW
    assert (there.node.machine("web-1"), there.node.machine("web-1", "--inactive")) == (OLD, NEW)
    there.node.virsh("destroy", "web-1")
    assert there.start() == ""
    assert there.node.machine("web-1") == NEW


def test_a_guest_that_comes_back_is_what_it_became_elsewhere(here: Site, there: Site) -> None:
    """The row of a host that it left mustn't turn it back."""
    here.node.boot("web-1", OLD, uuid=UUID)
    here.node.migrate("web-1", there.node)
    here.node.mthook("mthook-sync")  # notices that it is gone
    there.node.virsh("destroy", "web-1")
    there.node.mthook("mthook-admin", "unset", "web-1")
    there.redefine(NEW)
    assert there.start() == ""

    there.node.migrate("web-1", here.node)
    here.node.mthook("mthook-sync")

    assert here.pin() == NEW
    assert here.node.machine("web-1", "--inactive") == NEW
    assert here.events()[-1] == ["changed", OLD, NEW]


def test_an_incoming_guest_is_not_told_as_unguarded(here: Site, there: Site) -> None:
    """Before its QEMU listens, nor ever after."""
    for host in (here.node, there.node):
        slowly.provide(host)
    here.node.define(guest_xml("web-1", UUID, NEW).replace(EMULATOR, slowly.SLOW))
    here.start()

    with slowly.under_way(there.node, lambda: here.node.migrate("web-1", there.node)):
        early = there.node.mthook("mthook-sync")

    assert there.node.state("web-1") == "running"
    assert (early.stderr, there.node.mthook("mthook-sync").stderr) == ("", "")


def test_save_restore_and_managed_save_go_through(here: Site) -> None:
    """A saved guest comes back as it was saved."""
    here.node.boot("web-1", OLD, uuid=UUID)

    here.node.virsh("save", "web-1", SAVED)
    here.node.virsh("restore", SAVED)
    assert here.node.state("web-1") == "running"
    here.node.virsh("managedsave", "web-1")
    assert here.start() == ""

    assert here.node.machine("web-1") == OLD
    assert [event for event, _, _ in here.events()] == ["pinned"]


@pytest.mark.parametrize("mismatch", ["accept", "refuse"])
def test_a_saved_guest_unlike_its_pin_follows_migrate_mismatch(here: Site, mismatch: str) -> None:
    """Nobody can change a saved guest's machine type: let it run as drift, or leave the image where it is.

    A libvirt that would delete the image then has its way.
    """
    refused = mismatch == "refuse" and policy.may_refuse_restore(LIBVIRT)
    here.configure(f"[hook]\nmigrate_mismatch = {mismatch}\n")
    here.node.boot("web-1", OLD, uuid=UUID)
    here.node.virsh("managedsave", "web-1")
    here.set_pin(NEW)

    error = here.start()

    if not refused:
        assert error == ""
        assert here.events()[-1] == ["drift", NEW, OLD]
    else:
        assert f"restore of guest web-1 ({UUID}) stopped" in error
        assert (
            "yes"
            in here.node.virsh("dominfo", "web-1")
            .stdout.partition("Managed save:")[2]
            .splitlines()[0]
        )


def corrupt(site: Site) -> None:
    """Write rubbish over the catalog."""
    site.node.path(CATALOG).write_bytes(b"rubbish, not a database" * 4000)


def missing(site: Site) -> None:
    """Remove the catalog, directory and all."""
    site.node.run(["sh", "-c", "rm -rf /var/lib/mthook/* "])


def unwritable(site: Site) -> None:
    """Put the catalog on a read-only file system."""
    site.node.run(["mount", "-o", "remount,ro", "/var/lib/mthook"])


def locked(site: Site) -> None:
    """Let another process hold the catalog for longer than any hook waits."""
    holder = site.node.popen([sys.executable, "-c", HOLDER, CATALOG])
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"


BREAKS = {"corrupt": corrupt, "missing": missing, "unwritable": unwritable, "locked": locked}


@pytest.fixture
def mended(alpha: Host) -> Iterator[None]:
    """Undo ``unwritable`` and ``locked``, whatever the test did."""
    yield
    alpha.run(["mount", "-o", "remount,rw", "/var/lib/mthook"])
    alpha.run(["pkill", "-9", "-f", "PRAGMA locking_mode"], check=False)


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.usefixtures("mended")
def test_every_guest_survives_a_restart_of_libvirtd_with_a_broken_catalog(
    here: Site, kind: str
) -> None:
    """After reconnect libvirtd kills a guest whose hook fails; on_error = deny makes no difference."""
    here.configure("[hook]\non_error = deny\n")
    for number in range(3):
        here.node.boot(f"web-{number}", NEW)
    BREAKS[kind](here)

    here.node.daemon.stop()
    here.node.daemon.start()

    assert [here.node.state(f"web-{number}") for number in range(3)] == ["running"] * 3


@pytest.mark.parametrize("kind", [kind for kind in BREAKS if kind != "unwritable"])
@pytest.mark.usefixtures("mended")
def test_a_broken_catalog_at_a_start_follows_on_error(here: Site, kind: str) -> None:
    """allow is the default; deny says what is broken."""
    here.node.define(guest_xml("web-1", UUID, NEW))
    here.configure("[hook]\ntimeout = 2\n")
    BREAKS[kind](here)

    assert here.start() == ""
    here.node.virsh("destroy", "web-1")
    here.configure("[hook]\ntimeout = 2\non_error = deny\n")
    error = here.start()

    assert "mthook: start of guest 'web-1' stopped ([hook] on_error = deny): " in error
    assert CATALOG in error
    assert here.node.state("web-1") == "shut off"


def test_autostart_goes_through_the_hook(here: Site) -> None:
    """A wrong definition isn't started with the host; a right one is."""
    for name, uuid in (("web-1", UUID), ("web-2", OTHER)):
        here.node.boot(name, NEW, uuid=uuid)
        here.node.virsh("autostart", name)
        here.node.virsh("destroy", name)
    here.redefine(OLD)

    # libvirtd starts them once after boot only; the mark of that is a file in /run.
    here.node.daemon.stop()
    here.node.run(["sh", "-c", "rm -f /run/libvirt/qemu/autostarted /run/libvirt/qemu/driver.pid"])
    here.node.daemon.start()

    deadline = time.monotonic() + 20
    while here.node.state("web-2") != "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (here.node.state("web-1"), here.node.state("web-2")) == ("shut off", "running")
    assert here.events()[-1] == ["stopped", NEW, OLD]


def test_a_renamed_guest_keeps_its_pin(here: Site) -> None:
    """Names change, UUIDs don't."""
    here.node.boot("web-1", OLD, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.node.virsh("domrename", "web-1", "www-1")
    here.redefine(NEW, name="www-1")

    assert f"start of guest www-1 ({UUID}) stopped" in here.start("www-1")


def test_a_clone_doesnt_inherit_the_pin(here: Site) -> None:
    """Even if its original's pin stands in the metadata that was cloned."""
    here.node.boot("web-1", OLD, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(NEW)
    here.node.mthook("mthook-sync")  # realigns, and writes the pin into the metadata
    original = here.node.virsh("dumpxml", "web-1").stdout
    assert "urn:mthook:pin:1" in original

    clone = (
        original.replace("web-1", "web-2")
        .replace(f"<uuid>{UUID}", f"<uuid>{OTHER}")
        .replace(OLD, NEW)
    )
    here.node.define(clone)

    assert here.start("web-2") == ""
    assert here.pin(OTHER) == NEW


def test_the_pin_in_the_metadata_teaches_a_destination_without_a_row(
    here: Site, there: Site
) -> None:
    """An alias pin arrives as the alias."""
    here.node.boot("web-1", OLD, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(NEW)
    here.node.mthook("mthook-sync")
    here.start()

    here.node.migrate("web-1", there.node)

    row = there.row()
    assert (row["machine"], row["source"]) == (OLD, "guest metadata")


def test_drift_by_an_outside_redefine_is_seen_and_realigned(here: Site) -> None:
    """list --drift names it, diff shows it, the next sync mends it."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.redefine(OLD)
    here.configure("[sync]\nrealign = false\n")
    here.node.mthook("mthook-sync")

    assert "web-1" in here.node.mthook("mthook-admin", "list", "--drift").stdout
    assert (
        f'+    <type arch="x86_64" machine="{NEW}">'
        in here.node.mthook("mthook-admin", "diff", UUID).stdout
    )
    here.configure("")
    here.node.mthook("mthook-sync")

    assert here.node.machine("web-1", "--inactive") == NEW
    assert here.node.mthook("mthook-admin", "list", "--drift", "-f", "json").stdout.strip() == "[]"


def test_libvirt_tells_the_hook_of_every_operation_it_knows(here: Site) -> None:
    """A libvirt that calls for more than the prelude lists would show here."""
    log = here.node.path("/run/calls")
    hook = here.node.path("/etc/libvirt/hooks/qemu")
    hook.write_text(
        hook.read_text().replace("case $2 in", 'echo "$2 $3" >>/run/calls\ncase $2 in', 1)
    )
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("save", "web-1", SAVED)
    here.node.virsh("restore", SAVED)
    here.node.daemon.kill()
    here.node.daemon.start()
    # Waits for the end of the reconnection, with which a destroy would collide.
    here.node.virsh("qemu-monitor-command", "web-1", '{"execute": "query-status"}')
    here.node.virsh("destroy", "web-1")

    assert log.read_text().split("\n")[:-1] == [
        *("prepare begin", "start begin", "started begin", "stopped end", "release end"),
        *("restore begin", "prepare begin", "start begin", "started begin"),
        *("reconnect begin", "stopped end", "release end"),
    ]


def test_installing_and_removing_needs_no_restart(here: Site) -> None:
    """libvirtd looks at once; without the hook a wrong start goes through."""
    here.node.boot("web-1", NEW, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)
    status = here.node.mthook("mthook-admin", "hook", "status", "-f", "json")
    assert '"/etc/libvirt/hooks/qemu"' in status.stdout

    here.node.mthook("mthook-admin", "hook", "uninstall")

    assert not here.node.path("/etc/libvirt/hooks/qemu").exists()
    assert here.node.mthook("mthook-admin", "hook", "status", check=False).returncode == 1
    assert here.start() == ""


def test_beside_a_foreign_hook_both_are_called(here: Site) -> None:
    """qemu.d, since libvirt 6.5.0."""
    here.node.mthook("mthook-admin", "hook", "uninstall")
    foreign = here.node.path("/etc/libvirt/hooks/qemu")
    foreign.write_text("#!/bin/sh\ntouch /run/foreign\n")
    foreign.chmod(0o755)
    here.node.mthook("mthook-admin", "hook", "install")

    here.node.boot("web-1", NEW, uuid=UUID)

    assert here.node.path("/run/foreign").exists()
    assert here.pin() == NEW
    here.node.mthook("mthook-admin", "hook", "uninstall")
    foreign.unlink()
    assert list(foreign.parent.iterdir()) == []


HOOKS = """
import resource, subprocess, sys
hook, template, count = "/etc/libvirt/hooks/qemu", sys.stdin.read(), int(sys.argv[1])
running = []
for number in range(count):
    argv = [hook, f"many-{number}", "started", "begin", "-"]
    running.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
for number, process in enumerate(running):
    xml = template.replace("NUMBER", f"{number:012}")
    print(process.communicate(xml)[1] + str(process.returncode))
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""


def test_two_hundred_hooks_at_once_with_a_sync_running_lose_nothing(here: Site) -> None:
    """Every guest that started is pinned, every hook ends well, and so does every sync."""
    # On a busy machine they may wait for a core longer than the usual five seconds, but not much longer for each other;
    # what they use themselves, on two cores, takes no longer.
    here.configure("[hook]\ntimeout = 15\n")
    for number in range(20):
        here.node.define(guest_xml(f"off-{number}", f"3f2c1d3e-0000-4000-9000-{number:012}", NEW))
    template = guest_xml("many", "3f2c1d3e-0000-4000-8000-NUMBER", OLD)
    stop = here.node.path("/run/enough")
    loop = here.node.popen(
        [
            "sh",
            "-c",
            'until [ -e /run/enough ]; do "$0" || echo failed; done',
            _program("mthook-sync"),
        ]
    )

    done = here.node.run([sys.executable, "-c", HOOKS, "200"], input=template)
    stop.write_text("")
    said = loop.communicate()
    stop.unlink()

    *ends, seconds = done.stdout.split()
    assert ends == ["0"] * 200
    assert float(seconds) < 2 * 5
    assert said == ("", "")
    wanted = {f"3f2c1d3e-0000-4000-8000-{number:012}": OLD for number in range(200)}
    machines = "{p.uuid: p.machine for p in catalog.pins() if '-8000-' in p.uuid}"
    # Where there was no core for it in time, what is recorded is recorded after the hook's answer.
    deadline = time.monotonic() + 60
    while here.ask(machines) != wanted and time.monotonic() < deadline:
        time.sleep(1)
    assert here.ask(machines) == wanted


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
