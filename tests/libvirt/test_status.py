# SPDX-License-Identifier: Apache-2.0
"""mthook-status on a real libvirtd with real guests, as an operator runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import OFFER, Host, guest_xml
from tests.lab.site import CATALOG, CONFIG, UUID, Site, fresh
from tests.libvirt.conversion import LIBVIRT
from tests.programs import WAY_OUT

OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
NEW, OLD, *_ = OFFER.releases(deprecated=False)
DEPRECATED, *_ = OFFER.releases(deprecated=True)
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"

RECORDED = "Machine types recorded"
HOOK = "Hook"
SYNC = "Last sync"
DRIFT = "Drift"
SUPPORTED = "Pins supported by QEMU"
DEFINITIONS = "Definitions and saved state"
STOPPED = "Pins known to Nova"
SPECS = "Request specs"


@pytest.fixture
def here(alpha: Host) -> Iterator[Site]:
    """The host with mthook just installed, and a guest that was booted since."""
    site = fresh(alpha)
    alpha.boot("web-1", OLD, uuid=UUID)
    yield site
    alpha.remove_guests()


def wrong(here: Site, *arguments: str) -> dict[str, tuple[int, str]]:
    """Return the checks that found something: result and details by title."""
    arguments = ("upgrade", "check", "--json", *arguments)
    done = here.node.mthook("mthook-status", *arguments, check=False)
    assert done.stderr == ""
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == max(one["result"] for one in checks)
    return {one["check"]: (one["result"], one["details"]) for one in checks if one["result"]}


def test_a_host_with_mthook_at_work_is_well(here: Site) -> None:
    """A running guest that the hook has pinned; the table is for people."""
    done = here.node.mthook("mthook-status", "upgrade", "check")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "YES: every instance looked at keeps its machine type (1 guest here)\n"
    )
    assert done.stdout.count("| Result: Success ") == 14
    assert "The only guest on this host is pinned." in done.stdout


def test_a_host_without_mthook_is_told_what_to_do(here: Site) -> None:
    """No hook, no catalog; nothing is made."""
    here.node.mthook("mthook-admin", "hook", "uninstall")
    here.node.run(["sh", "-c", "rm -r /var/lib/mthook/*"])

    found = wrong(here)

    assert found[HOOK] == (
        2,
        "/etc/libvirt/hooks/qemu: not installed: run 'mthook-admin hook install'.",
    )
    missing = (
        2,
        f"no catalog: {CATALOG} does not exist: {WAY_OUT}.",
    )
    assert [found[title] for title in (RECORDED, SYNC, DRIFT, SUPPORTED)] == [missing] * 4
    assert list(here.node.path("/var/lib/mthook").iterdir()) == []


def test_a_daemon_that_found_no_hook_at_its_start_is_told(here: Site) -> None:
    """It doesn't look again by itself; the remedy that is named makes it."""
    hook = here.node.path("/etc/libvirt/hooks/qemu")
    away = hook.rename(hook.with_name("away"))
    here.node.daemon.stop()
    here.node.daemon.start()
    away.rename(hook)

    code, details = wrong(here)[HOOK]

    assert code == 2
    assert "not loaded: libvirtd (pid " in details
    here.node.mthook("mthook-admin", "hook", "install")
    assert wrong(here) == {}


def test_a_stale_sync_is_told(here: Site) -> None:
    """Cron has stopped."""
    here.ask("catalog.set_last_sync('2026-01-01T00:00:00.000000Z', True)")

    found = wrong(here)

    assert list(found) == [SYNC]
    assert found[SYNC][0] == 1
    assert "ended at 2026-01-01T00:00:00Z, more than an hour ago" in found[SYNC][1]


def test_drift_is_told_at_once(here: Site) -> None:
    """Before any sync has seen it: the definition, and what runs."""
    here.redefine(NEW)

    found = wrong(here)

    assert {title: code for title, (code, _) in found.items()} == {DRIFT: 1, DEFINITIONS: 1}
    assert f"(web-1 ({UUID}): defined {NEW})" in found[DRIFT][1]
    assert f"(web-1 ({UUID}): {NEW} instead of {OLD})" in found[DEFINITIONS][1]
    here.set_pin(NEW)
    assert f"(web-1 ({UUID}): runs {OLD})" in wrong(here)[DRIFT][1]


def test_a_guest_that_waits_for_a_repair_is_drift(here: Site) -> None:
    """And the remedy is one: afterwards all is well."""
    here.node.virsh("destroy", "web-1")
    here.redefine(NEW)
    assert "stopped: its machine type is pinned" in here.start()

    assert f"web-1 ({UUID}): defined {NEW}, start stopped" in wrong(here)[DRIFT][1]
    here.node.mthook("mthook-sync", "--only", "repair", "--start")
    assert wrong(here) == {}


def test_a_guest_without_a_pin_is_counted(here: Site) -> None:
    """Defined since the last sync; the command that is named finds it too."""
    here.redefine(OLD, "db-1", OTHER)

    found = wrong(here)

    assert list(found) == [RECORDED]
    assert f"Without a pin: 1 guest (db-1 ({OTHER})) of this host." in found[RECORDED][1]
    listed = here.node.mthook("mthook-admin", "list", "--unset", "-f", "value", check=False)
    assert (listed.returncode, listed.stdout.split()[:2]) == (3, [OTHER, "db-1"])


def test_a_pin_that_qemu_lacks_is_a_failure(here: Site) -> None:
    """By the lists of this host's real QEMU, and by asking it."""
    here.set_pin("pc-i440fx-99.9")

    code, details = wrong(here)[SUPPORTED]

    assert code == 2
    assert f"(web-1 ({UUID}): pc-i440fx-99.9, nearest pc-i440fx-" in details


@pytest.mark.needs(LIBVIRT >= (9,), "a libvirt that tells what QEMU deprecates")
def test_a_pin_that_qemu_deprecates_is_a_warning(here: Site) -> None:
    """The command that is named lists it."""
    here.node.boot("db-1", DEPRECATED, uuid=OTHER)

    code, details = wrong(here)[SUPPORTED]

    assert code == 1
    assert f"(db-1 ({OTHER}): {DEPRECATED})" in details
    listed = here.node.mthook("mthook-admin", "list", "--deprecated", "-f", "value", "-c", "UUID")
    assert listed.stdout == f"{OTHER}\n"


def test_saved_state_with_another_machine_type_is_told(here: Site) -> None:
    """A managed-save image; before its pin was changed it was no news."""
    here.node.virsh("managedsave", "web-1")
    assert wrong(here) == {}

    here.set_pin(NEW)

    _, details = wrong(here)[DEFINITIONS]
    assert f"in a saved image or in snapshots: 1 guest (web-1 ({UUID}): {OLD})." in details


def test_nova_guests_without_a_database_are_told(here: Site) -> None:
    """In audit, too: they would get the new default."""
    here.node.boot("db-1", OLD, uuid=OTHER, metadata=NOVA)

    found = wrong(here)

    assert {title: code for title, (code, _) in found.items()} == {STOPPED: 2, SPECS: 1}
    assert f"Nova redefines 1 guest (db-1 ({OTHER})) at each start" in found[STOPPED][1]
    here.configure("[hook]\nmode = audit\n")
    assert list(wrong(here)) == [HOOK, STOPPED, SPECS]


def test_a_daemon_that_is_down_is_told(here: Site) -> None:
    """With what the last sync saw."""
    here.node.mthook("mthook-sync")
    here.node.virsh("destroy", "web-1")
    here.node.daemon.stop()
    try:
        found = wrong(here)
    finally:
        here.node.daemon.start()

    assert set(found) == {RECORDED, HOOK, "Next release of QEMU", DEFINITIONS}
    assert {code for code, _ in found.values()} == {1}
    assert found[HOOK][1] == "No libvirt daemon runs that could call it."
    assert "this is how the last sync saw the guests" in found[RECORDED][1]


def test_another_configuration_than_the_hooks_is_told(here: Site) -> None:
    """What is checked is what the files say that are named."""
    here.node.path("/etc/mthook/more.conf").write_text("[hook]\nmode = audit\n")

    found = wrong(here, "--config-file", CONFIG, "--config-file", "/etc/mthook/more.conf")

    assert list(found) == [HOOK]
    assert found[HOOK][0] == 1
    assert "run 'mthook-admin hook install', with the same --config-file." in found[HOOK][1]
    assert "[hook] mode = audit" in found[HOOK][1]


def test_after_an_upgrade_of_qemu_it_is_asked_what_it_offers(here: Site) -> None:
    """What runs is supported though the old one's list lacked it, and what the new one lacks isn't."""
    here.ask(
        "[catalog.connection.execute(\"UPDATE capabilities SET stamp = '1:1'\"),"
        f" catalog.connection.execute(\"DELETE FROM capabilities WHERE machine = '{OLD}'\"),"
        " catalog.connection.execute(\"UPDATE capabilities SET machine = 'pc-i440fx-0.1'"
        f" WHERE machine = '{NEW}'\")] and None"
    )
    here.ask(f"catalog.set_pin({OTHER!r}, 'pc-i440fx-0.1', source='operator', actor='test')")
    here.node.define(guest_xml("web-2", OTHER, NEW))

    code, details = wrong(here)[SUPPORTED]

    assert code == 2
    assert "web-2" in details and "pc-i440fx-0.1" in details
    assert "web-1" not in details
    said = here.node.mthook("mthook-admin", "list", "--deprecated", "-f", "csv").stderr
    assert (
        "QEMU has changed since the last sync, so what it offers isn't known: run mthook-sync"
        in said
    )
    done = here.node.mthook("mthook-admin", "set", OTHER, NEW, check=False)
    assert "no machine types of x86_64 are known yet: run mthook-sync" in done.stderr
    here.node.mthook("mthook-sync", check=False)
    assert here.node.mthook("mthook-admin", "list", "--deprecated", "-f", "csv").stderr == ""


def test_after_an_upgrade_of_qemu_without_libvirt_nothing_is_known(here: Site) -> None:
    """It isn't guessed from the old list."""
    here.ask("[catalog.connection.execute(\"UPDATE capabilities SET stamp = '1:1'\")] and None")
    here.node.daemon.stop()
    try:
        code, details = wrong(here)[SUPPORTED]
    finally:
        here.node.daemon.start()
    assert code == 2
    assert "mthook-sync" in details


def doctor(here: Site) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the doctor's exit code, and the checks that found something: severity and kind of their first finding."""
    done = here.node.mthook("mthook-admin", "doctor", "-f", "json", check=False)
    assert done.stderr == ""
    return done.returncode, {
        one["id"]: (one["severity"], one["findings"][0]["kind"])
        for one in json.loads(done.stdout)["checks"]
        if one["result"]
    }


def test_the_doctor_finds_nothing_on_a_host_with_mthook_at_work(here: Site) -> None:
    """The hook was called, as its history shows; nothing but the lab runs mthook-sync, which is a warning."""
    assert doctor(here) == (0, {"schedule": ("warning", "not_scheduled")})
    here.node.path("/etc/cron.d").mkdir(exist_ok=True)
    here.node.path("/etc/cron.d/mthook").write_text("*/5 * * * * root mthook-sync --scheduled\n")
    try:
        done = here.node.mthook("mthook-admin", "doctor")
    finally:
        here.node.path("/etc/cron.d/mthook").unlink()

    assert done.stdout.startswith("OK: 12 checks found nothing wrong\n")
    assert "the hook has missed no start" in " ".join(done.stdout.split())


def test_the_doctor_finds_a_guest_that_was_started_without_the_hook(here: Site) -> None:
    """libvirtd had found none at its start."""
    hook = here.node.path("/etc/libvirt/hooks/qemu")
    away = hook.rename(hook.with_name("away"))
    here.node.daemon.stop()
    here.node.daemon.start()
    away.rename(hook)
    here.node.boot("db-1", OLD, uuid=OTHER)

    code, found = doctor(here)

    assert code == 1
    assert found["hook"] == ("failure", "not_loaded")
    assert found["hook_called"] == ("failure", "not_called")
    assert found["guests_pinned"] == ("failure", "guests_unpinned")
    here.node.mthook("mthook-admin", "hook", "install")
    here.node.mthook("mthook-sync")
    assert set(doctor(here)[1]) == {"schedule"}


def test_what_a_sync_fails_with_is_told_until_one_goes_well(here: Site) -> None:
    """Also where it broke off, as libvirt was away: by status and doctor alike."""
    here.node.daemon.stop()
    here.node.mthook("mthook-sync", check=False)
    here.node.daemon.start()

    code, details = wrong(here)[SYNC]

    assert code == 1
    assert (
        " met 1 error, which 'mthook-sync -v' tells in full: libvirt at qemu:///system" in details
    )
    assert doctor(here)[1]["last_sync"] == ("warning", "had_errors")
    here.node.mthook("mthook-sync")
    assert wrong(here) == {}
