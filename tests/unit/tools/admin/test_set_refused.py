# SPDX-License-Identifier: Apache-2.0
"""``set``: what is refused, with which code, and what --force makes of it."""

from __future__ import annotations

import sys

import libvirt
import pytest

from mthook.catalog.records import Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.text import now
from tests.programs import Said

from .conftest import DB, WEB, Run, defined, events, guest, pin, xml


def test_a_running_guest_is_code_3(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """The state comes before every other objection, and nothing is changed."""
    domain.create()

    said = run("set", "web-1", "pc-q35-99.9")

    assert said == Said(
        3,
        "",
        f"mthook-admin: web-1 ({WEB}) is running: 'virsh shutdown web-1' first, or --allow running to change it"
        " at its next cold start\n",
    )
    assert defined(driver) == "pc-i440fx-6.2"
    assert len(events(catalog)) == 1


def test_a_forced_running_guest_keeps_its_machine_type_until_its_next_cold_start(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """Pin and definition change, the running guest doesn't, and the operator is told."""
    domain.create()

    said = run("set", "--force", "web-1", "pc-i440fx-7.2")

    assert said.code == 0
    assert said.err == (
        "mthook-admin: warning: the guest isn't shut off: it keeps its machine type until its next"
        f" cold start\nweb-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n"
    )
    assert "pc-i440fx-6.2" in domain.XMLDesc()
    assert defined(driver) == "pc-i440fx-7.2"


def test_a_managed_save_image_is_code_3(
    run: Run, catalog: Catalog, domain: libvirt.virDomain
) -> None:
    """The next start would resume the image, with the machine type in it."""
    domain.create()
    domain.managedSave()

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said.code == 3
    assert said.err == (
        f"mthook-admin: web-1 ({WEB}) has a managed-save image: start it and shut it down first, or --allow saved"
        " to change the pin alone\n"
    )
    assert len(events(catalog)) == 1


def test_snapshots_are_code_3(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """A sync leaves such a guest alone, so its pin stays with its definition."""
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said.code == 3
    assert said.err == (
        f"mthook-admin: web-1 ({WEB}) has a snapshot, which holds its own machine type: delete it first, or"
        " --allow saved to change it all the same; a revert brings the old one back\n"
    )
    assert len(events(catalog)) == 1
    assert defined(driver) == "pc-i440fx-6.2"


@pytest.mark.parametrize("machine", ["pc-i440fx-7.2", "pc-q35-7.2"])
def test_forced_with_snapshots_the_definition_follows(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect, machine: str
) -> None:
    """The next start would be stopped otherwise; a revert still brings back what the snapshot has."""
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")

    looked = run("set", "--force", "--dry-run", "web-1", machine)
    said = run("set", "--force", "web-1", machine)

    assert f'+    <type arch="x86_64" machine="{machine}">' in looked.out
    assert (looked.code, said.code, said.out) == (0, 0, "")
    assert (
        "mthook-admin: warning: it has snapshots (1), which hold machine types of their own;"
        " reverting to one restores its machine type\n"
    ) in said.err
    assert said.err.endswith(f"web-1 ({WEB}): pc-i440fx-6.2 → {machine}\n")
    assert run("get", "web-1").out == f"{machine}\n"
    assert defined(driver) == machine


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ("pc-i440fx-2.0", "pc-i440fx-2.0 is older than pc-i440fx-6.2"),
        (
            "pc",
            "'pc' is an alias: what it means changes with QEMU; use a versioned name such as pc-i440fx-6.2",
        ),
    ],
)
def test_an_alias_or_an_older_version_is_code_4(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, machine: str, why: str
) -> None:
    """The message says what, why and what overrides it."""
    said = run("set", "web-1", machine)

    assert said == Said(4, "", f"mthook-admin: web-1 ({WEB}): {why} (--allow older overrides)\n")
    assert len(events(catalog)) == 1


@pytest.mark.parametrize(
    ("machine", "allowed", "code"),
    [
        ("pc-i440fx-2.0", "older", 0),
        ("pc-i440fx-2.0", "running,older,saved", 0),
        ("pc-i440fx-2.0", "running,family", 4),
        ("pc-q35-7.2", "family", 0),
        ("pc-i440fx-9.9", "unsupported", 0),
        ("pc-i440fx-9.9", "older", 5),
    ],
)
def test_what_is_allowed_by_name_is_not_refused(
    run: Run, domain: libvirt.virDomain, machine: str, allowed: str, code: int
) -> None:
    """And nothing else is let through; libvirt has the last word."""
    assert run("set", "--allow", allowed, "web-1", machine).code == code


def test_a_name_that_allows_nothing_is_a_wrong_command_line(run: Run) -> None:
    """With those that there are."""
    said = run("set", "--allow", "running,all", "web-1", "pc")

    assert said.code == 2
    assert "no 'all', there are running,saved,windows,older,family,unsupported" in said.err


def test_several_guests_are_set_one_by_one(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """One that is refused, or isn't there, keeps no other from it; the code is the highest."""
    driver.defineXML(xml(uuid=DB, name="db")).create()
    pin(catalog, DB, "pc-i440fx-6.2")

    said = run("set", "nobody", "db", "web-1", "pc-i440fx-7.2")

    assert said.code == 3
    assert [line.partition(" ")[0] for line in said.err.splitlines()] == [
        "mthook-admin:",
        "mthook-admin:",
        "web-1",
    ]
    assert (run("get", "db").out, run("get", "web-1").out) == ("pc-i440fx-6.2\n", "pc-i440fx-7.2\n")


def test_an_older_version_can_be_forced(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """With a warning of what it does to the guest."""
    said = run("set", "--force", "web-1", "pc-i440fx-2.0")

    assert said == Said(
        0,
        "",
        "mthook-admin: warning: pc-i440fx-2.0 is older than pc-i440fx-6.2: the guest's ABI will"
        " likely break\nmthook-admin: warning: this host's QEMU deprecates pc-i440fx-2.0\n"
        f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-2.0\n",
    )
    assert defined(driver) == "pc-i440fx-2.0"


def test_another_family_is_code_4(run: Run, catalog: Catalog, domain: libvirt.virDomain) -> None:
    """Nobody's guest gets another board by a slip of the hand."""
    said = run("set", "web-1", "pc-q35-7.2")

    assert said == Said(
        4,
        "",
        f"mthook-admin: web-1 ({WEB}): pc-q35-7.2 is of another family (q35) than pc-i440fx-6.2 (i440fx)"
        " (--allow family overrides)\n",
    )
    assert len(events(catalog)) == 1


def test_a_guest_defined_as_another_family_wants_nothing_but_force(
    run: Run, driver: libvirt.virConnect, domain: libvirt.virDomain
) -> None:
    """Then nothing has to be converted."""
    driver.defineXML(xml("pc-q35-7.2"))

    assert run("set", "web-1", "pc-q35-7.2") == Said(
        4,
        "",
        f"mthook-admin: web-1 ({WEB}): pc-q35-7.2 is of another family (q35) than pc-i440fx-6.2 (i440fx)"
        " (--allow family overrides)\n",
    )
    assert run("set", "web-1", "pc-q35-7.2", "--force").code == 0
    assert run("get", "web-1").out == "pc-q35-7.2\n"


def test_what_the_other_family_cannot_have_is_code_4_though_forced(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """The definition can't be converted, and a pin alone would only stop the next start."""
    disk = "<disk type='file'><source file='/hda'/><target dev='hda' bus='ide'/><wwn>5000c50015ea71ac</wwn></disk>"
    driver.defineXML(xml().replace("</devices>", f"{disk}</devices>"))
    pin(catalog, WEB, "pc-i440fx-6.2")

    said = run("set", "--force", "web-1", "pc-q35-7.2")

    assert said.code == 4
    assert said.err.splitlines()[-1] == (
        f"mthook-admin: web-1 ({WEB}): disk hda: pc-q35-7.2 has no IDE, and a SATA disk can't have its WWN"
    )
    assert len(events(catalog)) == 1
    assert defined(driver) == "pc-i440fx-6.2"


def test_an_alias_can_be_forced_and_leaves_the_definition(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """The versioned name in the definition is what the alias asks for."""
    assert run("set", "--force", "web-1", "pc").code == 0
    assert run("get", "web-1").out == "pc\n"
    assert defined(driver) == "pc-i440fx-6.2"


def test_a_windows_guest_wants_force(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, web: Guest
) -> None:
    """Its definition says that it is one; a newer version of the same family is code 4."""
    hyperv = "<features><hyperv><relaxed state='on'/></hyperv></features>"
    driver.defineXML(xml().replace("<devices>", f"{hyperv}<devices>"))

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert (said.code, said.err.count("\n")) == (4, 1)
    assert said.err.startswith(f"mthook-admin: web-1 ({WEB}): Windows may lose ")


@pytest.mark.parametrize("machine", ["pc-i440fx-9.9", "pc; rm -rf /", "x' OR 1=1 --", "$(id)", ""])
def test_what_no_qemu_has_is_code_5(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, machine: str
) -> None:
    """A made-up name and what can't be a name: nothing is written."""
    said = run("set", "web-1", machine)

    assert (said.code, said.out, said.err.count("\n")) == (5, "", 1)
    assert len(events(catalog)) == 1


def test_the_nearest_supported_names_are_offered(run: Run, domain: libvirt.virDomain) -> None:
    """Of the same family, nearest first."""
    said = run("set", "web-1", "pc-i440fx-9.9")

    assert "pc-i440fx-7.2, pc-i440fx-6.2, pc-i440fx-2.0" in said.err


def test_of_a_bare_family_the_newest_names_are_offered(run: Run, domain: libvirt.virDomain) -> None:
    """A name cut short, which is no machine type."""
    said = run("set", "web-1", "pc-i440fx")

    assert said.code == 5
    assert "pc-i440fx-7.2, pc-i440fx-6.2, pc-i440fx-2.0" in said.err
    assert "nearest: pc-q35-7.2" in run("set", "web-1", "pc-q35").err


@pytest.mark.usefixtures("picky")
def test_a_machine_type_that_no_qemu_has_is_no_way_out(run: Run, domain: libvirt.virDomain) -> None:
    """Forced, the pin says so, and the definition stays."""
    said = run("set", "web-1", "pc-q35-99.9", "--force")

    assert (said.code, "its definition stays as it is" in said.err) == (0, True)


def test_a_deprecated_machine_type_is_warned_of(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """It is set all the same."""
    driver.defineXML(xml())

    assert run("set", "web-1", "pc-i440fx-2.0") == Said(
        0,
        "",
        "mthook-admin: warning: this host's QEMU deprecates pc-i440fx-2.0\n"
        f"web-1 ({WEB}): none → pc-i440fx-2.0\n",
    )


@pytest.mark.parametrize("machine", ["pc; rm -rf /", "-pc", "", "a" * 256])
def test_force_makes_no_name_of_what_is_none(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, machine: str
) -> None:
    """--force overrides rules, not what a name is."""
    said = run("set", "--force", "--", "web-1", machine)

    assert (said.code, len(events(catalog))) == (5, 1)


def test_without_capabilities_the_operator_is_sent_to_sync(
    run: Run, catalog: Catalog, domain: libvirt.virDomain
) -> None:
    """What is supported is known only after the first sync."""
    catalog.replace_capabilities([], HostFacts())

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said == Said(
        1, "", "mthook-admin: no machine types of x86_64 are known yet: run mthook-sync\n"
    )


def test_capabilities_of_another_architecture_do_not_count(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """An aarch64 guest can't have what the x86_64 emulator offers."""
    driver.defineXML(xml("virt-6.2").replace("x86_64", "aarch64"))
    catalog.see_guests([Guest(WEB, "web-1", "aarch64", "test", defined="virt-6.2")], now())
    pin(catalog, WEB, "virt-6.2")

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said.err == "mthook-admin: no machine types of aarch64 are known yet: run mthook-sync\n"


@pytest.mark.usefixtures("unreachable")
def test_without_libvirt_nothing_is_changed(run: Run, catalog: Catalog, web: Guest) -> None:
    """The state is unknown: code 1, and how to insist."""
    said = run("set", "web-1", "pc-i440fx-7.2")

    assert (said.code, said.err.count("\n"), len(events(catalog))) == (1, 1, 1)
    assert said.err.startswith("mthook-admin: libvirt at ")
    assert said.err.endswith("(--force changes the catalog alone)\n")


@pytest.mark.usefixtures("unreachable")
def test_without_libvirt_force_changes_the_catalog_alone_and_says_so(
    run: Run, catalog: Catalog, web: Guest
) -> None:
    """The last known state is warned of all the same."""
    catalog.see_guests([guest(running="pc-i440fx-6.2", state="running")], now())

    said = run("set", "--force", "web-1", "pc-i440fx-7.2")

    lines = said.err.splitlines()
    assert said.code == 0
    assert lines[0].startswith("mthook-admin: warning: libvirt at ")
    assert lines[0].endswith(": only the catalog is changed")
    assert lines[1].startswith("mthook-admin: warning: the guest isn't shut off")
    assert lines[2] == f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2"
    assert run("get", "web-1").out == "pc-i440fx-7.2\n"


def test_without_libvirt_python_the_operator_learns_what_to_install(
    run: Run, web: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog's own commands do without it."""
    monkeypatch.setitem(sys.modules, "mthook.host.connection", None)

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert said.err.startswith("mthook-admin: libvirt can't be asked: ")
    assert "install libvirt-python" in said.err
    assert run("get", "web-1").code == 0


@pytest.mark.parametrize("name", ["with space", "-v", "17", "it's"])
def test_a_command_to_type_names_the_guest_so_that_virsh_takes_it(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, name: str
) -> None:
    """A name may need quotes, or be an option or a domain's ID to virsh."""
    driver.defineXML(xml(uuid=DB, name=name)).create()
    pin(catalog, DB, "pc-i440fx-6.2")

    said = run("set", DB, "pc-i440fx-7.2")

    assert said.err.startswith(
        f"mthook-admin: {name} ({DB}) is running: 'virsh shutdown {DB}' first, "
    )


def test_warnings_about_one_of_several_guests_name_it(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """With a single one, who it is goes without saying."""
    driver.defineXML(xml(uuid=DB, name="db"))
    pin(catalog, DB, "pc-i440fx-6.2")
    warning = "this host's QEMU deprecates pc-i440fx-2.0\n"

    said = run("set", "--allow", "older", "web-1", "db", "pc-i440fx-2.0")

    for name, uuid in (("web-1", WEB), ("db", DB)):
        assert f"mthook-admin: warning: {name} ({uuid}): {warning}" in said.err
    pin(catalog, WEB, "pc-i440fx-6.2")
    assert f"mthook-admin: warning: {warning}" in run("set", "--force", WEB, "pc-i440fx-2.0").err
