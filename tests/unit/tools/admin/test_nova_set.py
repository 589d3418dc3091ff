# SPDX-License-Identifier: Apache-2.0
"""``set`` with Nova's database: there first, then here where the instance is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from mthook.catalog.records import Compared
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError, HostError, NovaError
from mthook.host import domains
from mthook.nova.instance import Disk, Hardware, NovaInstance, PropertyChange
from mthook.text import now
from tests.programs import Said

from .cloud import Cell, Cloud
from .conftest import DB, NOBODY, WEB, Run, defined, events, guest, pin, xml

WEB_LABEL = f"web ({WEB})"
#: Where this host knows it as well.
HERE = f"web (web-1, {WEB})"
OFFERS_UNKNOWN = "mthook-admin: warning: what a QEMU offers isn't known here, so nobody can tell whether one offers"
IDE = {"image_hw_disk_bus": "ide", "image_hw_cdrom_bus": "ide", "image_hw_rescue_bus": "virtio"}


IDE_DISK = (
    "<disk type='file' device='disk'><source file='/nowhere'/><target dev='hda' bus='ide'/></disk>"
)
DISK_WITH_WWN = IDE_DISK.replace("</disk>", "<wwn>5000c50015ea71ac</wwn></disk>")


@pytest.fixture
def novas(cloud: Cloud, catalog: Catalog, driver: libvirt.virConnect) -> libvirt.virDomain:
    """One of Nova's instances on this host, shut off; Nova and the pin say pc-i440fx-6.2."""
    cloud.add(WEB, machine="pc-i440fx-6.2", row=7, rebuild=3)
    catalog.see_guests([guest(nova=True)], now())
    pin(catalog, WEB, "pc-i440fx-6.2")
    return driver.defineXML(xml())


def test_nova_pin_and_definition_follow(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    driver: libvirt.virConnect,
) -> None:
    """All of them at once on the instance's own host; the next sync has nothing to do."""
    said = run("-v", "set", WEB, "pc-i440fx-7.2", "--reason", "TPM needs it")

    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines()[-1] == f"{HERE}: pc-i440fx-6.2 → pc-i440fx-7.2"
    assert cloud.machine(WEB) == "pc-i440fx-7.2"
    now_pinned = catalog.get_pin(WEB)
    assert now_pinned is not None
    assert (now_pinned.machine, now_pinned.source, now_pinned.reason) == (
        "pc-i440fx-7.2",
        "operator",
        "TPM needs it",
    )
    assert defined(driver) == "pc-i440fx-7.2"
    assert catalog.compared() == {WEB: Compared(WEB, "pc-i440fx-7.2", 1, 3)}


@pytest.mark.usefixtures("unreachable")
def test_another_hosts_instance_changes_in_nova_alone(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """Libvirt isn't asked, no pin is made here; the history is kept."""
    cloud.add(WEB, machine="pc-i440fx-6.2", host="beta", cell="c2")

    said = run("-v", "set", WEB, "pc-i440fx-7.2", "--reason", "why not")

    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines()[2:] == [
        f"{WEB_LABEL}: pc-i440fx-6.2 → pc-i440fx-7.2",
        "mthook-admin: the next mthook-sync on beta makes it the pin there",
    ]
    assert cloud.machine(WEB) == "pc-i440fx-7.2"
    assert catalog.get_pin(WEB) is None
    assert events(catalog) == [("changed", "pc-i440fx-6.2", "pc-i440fx-7.2")]
    (entry,) = catalog.history(WEB)
    assert (entry.actor, entry.source, entry.reason) == ("operator alice", "operator", "why not")


@pytest.mark.usefixtures("unreachable")
def test_without_a_catalog_history_is_not_kept(run: Run, cloud: Cloud) -> None:
    """An administrator's host need not have one; it isn't made."""
    cloud.add(WEB, host="beta")

    said = run("set", WEB, "virt-rhel9.4.0")

    assert said == Said(
        0,
        "",
        f"{OFFERS_UNKNOWN} virt-rhel9.4.0\n"
        "mthook-admin: warning: history isn't kept: there is no catalog here\n"
        f"{WEB_LABEL}: none → virt-rhel9.4.0\n",
    )
    assert cloud.machine(WEB) == "virt-rhel9.4.0"


@pytest.mark.usefixtures("unreachable")
def test_what_is_so_of_this_host_is_said_once_of_several(run: Run, cloud: Cloud) -> None:
    """And of none of them."""
    cloud.add(WEB, host="beta")
    cloud.add(DB, host="beta")

    said = run("set", WEB, DB, "virt-rhel9.4.0")

    warnings = [one for one in said.err.splitlines() if "warning" in one]
    assert warnings == [
        f"{OFFERS_UNKNOWN} virt-rhel9.4.0",
        "mthook-admin: warning: history isn't kept: there is no catalog here",
    ]


def test_a_catalog_that_cannot_be_used_is_named(
    run: Run, cloud: Cloud, catalog: Catalog, path: str
) -> None:
    """Nova's value is what counts; the pin follows at the next sync."""
    cloud.add(WEB, machine="pc-i440fx-6.2")
    Path(path).chmod(0o644)

    said = run("set", WEB, "pc-i440fx-7.2")

    assert said.code == 0
    assert f"\nmthook-admin: warning: history isn't kept: {path} has mode 0644" in said.err
    assert cloud.machine(WEB) == "pc-i440fx-7.2"


def test_the_same_value_is_a_success_without_a_write(run: Run, cloud: Cloud) -> None:
    """Whatever the instance's state."""
    cloud.add(WEB, machine="pc-i440fx-6.2", vm_state="active")

    said = run("set", WEB, "pc-i440fx-6.2")

    assert said == Said(0, "", f"{WEB_LABEL}: pc-i440fx-6.2 is recorded already\n")
    assert cloud.cells["c1"].written == 0


@pytest.mark.parametrize(
    ("facts", "machine", "code", "complaint"),
    [
        (
            {"vm_state": "active"},
            "pc-q35-7.2",
            3,
            f"is active in Nova: 'openstack server stop {WEB}' first, or ",
        ),
        (
            {"vm_state": "error"},
            "nonsense",
            3,
            "is in error in Nova: stop it first, or --allow running ",
        ),
        (
            {"machine": "pc-q35-7.2"},
            "nonsense",
            5,
            "mthook knows no machine type like nonsense, and what a QEMU offers isn't known here (--allow",
        ),
        ({"machine": "pc"}, "q35", 4, "q35 is of another family (q35) than pc (i440fx)"),
        ({"machine": "pc-q35-7.2"}, "pc-q35-6.2", 4, "pc-q35-6.2 is older than pc-q35-7.2"),
        ({"machine": "pc-q35-7.2", "windows": True}, "pc-q35-8.0", 4, "Windows may lose"),
        ({}, "pc q35", 5, "holds characters that no machine type's name has"),
    ],
)
def test_what_is_refused_has_nova_manages_code_and_changes_nothing(
    run: Run, cloud: Cloud, facts: dict[str, object], machine: str, code: int, complaint: str
) -> None:
    """State before support, support before family and age."""
    before = cloud.add(WEB, host="beta", **facts)

    said = run("set", WEB, machine)

    assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)
    assert complaint in said.err
    assert cloud.find(WEB)[1] == before


@pytest.mark.parametrize("machine", ["pc-i440fx-focal", "pseries-rhel7.6.0-sxxm", "microvm"])
def test_elsewhere_any_known_name_will_do(run: Run, cloud: Cloud, machine: str) -> None:
    """This host's QEMU says nothing of another's."""
    cloud.add(WEB, host="beta")

    assert run("set", WEB, machine).code == 0


def test_here_what_qemu_offers_counts(
    run: Run, cloud: Cloud, catalog: Catalog, novas: libvirt.virDomain
) -> None:
    """As the last sync saw it."""
    said = run("set", WEB, "pc-i440fx-9.2")

    assert said.code == 5
    assert "QEMU on this host doesn't offer pc-i440fx-9.2; nearest: pc-i440fx-7.2" in said.err


def test_elsewhere_too_what_no_known_host_offers_is_refused(
    run: Run, cloud: Cloud, catalog: Catalog, novas: libvirt.virDomain
) -> None:
    """This host is one that is known; --force is for those who know of a better one."""
    cloud.add(DB, machine="pc-i440fx-6.2", host="beta", cell="c2")

    said = run("set", DB, "pc-i440fx-99.2")

    assert said.code == 5
    assert "QEMU on this host doesn't offer pc-i440fx-99.2; nearest: pc-i440fx-7.2" in said.err
    assert cloud.machine(DB) == "pc-i440fx-6.2"
    assert run("set", DB, "pc-i440fx-99.2", "--force").code == 0
    assert cloud.machine(DB) == "pc-i440fx-99.2"


def test_where_no_offer_is_known_that_is_said(run: Run, cloud: Cloud) -> None:
    """As on an administrator's host, which has no guests."""
    cloud.add(WEB, machine="pc-i440fx-6.2", host="beta")

    said = run("set", WEB, "pc-i440fx-99.2")

    assert (said.code, said.err.splitlines()[0]) == (0, f"{OFFERS_UNKNOWN} pc-i440fx-99.2")


def test_force_on_a_running_instance_says_when_it_takes_effect(run: Run, cloud: Cloud) -> None:
    """The guest keeps what it runs."""
    cloud.add(WEB, machine="pc-i440fx-6.2", vm_state="active", host="beta")

    said = run("set", WEB, "pc-i440fx-7.2", "--force")

    warning = "mthook-admin: warning:"
    assert (said.code, said.err.splitlines()[:2]) == (
        0,
        [
            f"{warning} the guest isn't shut off: it keeps its machine type until its next cold"
            " start",
            f"{warning} a cold start (hard reboot, stop and start, cold migration) makes it"
            " pc-i440fx-7.2",
        ],
    )
    assert cloud.machine(WEB) == "pc-i440fx-7.2"


def test_an_instance_of_this_host_without_a_domain_is_pinned_all_the_same(
    run: Run, cloud: Cloud, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """A shelved one, say; Nova tells its architecture."""
    cloud.add(DB, vm_state="shelved", arch="x86_64")

    assert run("set", DB, "pc-q35-7.2").code == 0
    made = catalog.get_pin(DB)
    assert made is not None
    assert (made.machine, made.arch, made.source) == ("pc-q35-7.2", "x86_64", "operator")


def test_an_offloaded_instance_that_was_here_takes_its_pin_along(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """No host has it; another one's catalog doesn't know it."""
    cloud.add(WEB, machine="pc-i440fx-6.2", host=None, vm_state="shelved_offloaded")
    cloud.add(DB, machine="pc-i440fx-6.2", host=None, vm_state="shelved_offloaded")
    pin(catalog, WEB, "pc-i440fx-6.2")

    assert run("set", WEB, "pc-i440fx-7.2").code == run("set", DB, "pc-i440fx-7.2").code == 0
    pinned = catalog.get_pin(WEB)
    assert pinned is not None and pinned.machine == "pc-i440fx-7.2"
    assert catalog.get_pin(DB) is None


@pytest.mark.usefixtures("unreachable")
def test_libvirt_is_not_asked_for_an_offloaded_instance(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """It has no domain anywhere."""
    cloud.add(WEB, machine="pc-i440fx-6.2", host=None, vm_state="shelved_offloaded")
    pin(catalog, WEB, "pc-i440fx-6.2")

    said = run("set", WEB, "pc-i440fx-7.2")

    assert said == Said(0, "", f"{WEB_LABEL}: pc-i440fx-6.2 → pc-i440fx-7.2\n")


def test_a_definition_that_cannot_follow_is_a_warning(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    driver: libvirt.virConnect,
) -> None:
    """Nova makes another one at the next start."""
    driver.defineXML(xml().replace("<devices>", f"<devices>{DISK_WITH_WWN}"))

    said = run("set", WEB, "pc-q35-7.2", "--force")

    assert said.code == 0
    assert "can't have its WWN: the definition stays until Nova redefines it\n" in said.err
    assert (cloud.machine(WEB), defined(driver)) == ("pc-q35-7.2", "pc-i440fx-6.2")


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_another_family_is_reported(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    driver: libvirt.virConnect,
    options: Sequence[str],
) -> None:
    """What becomes of the guest's hardware, before and after it."""
    driver.defineXML(xml().replace("<devices>", f"<devices>{IDE_DISK}"))

    said = run("set", WEB, "pc-q35-7.2", "--force", *options)

    assert said.code == 0
    assert f"{HERE}: disk hda: bus ide → sata\n" in said.err
    assert ('<target dev="hda" bus="sata"' in said.out) == bool(options)
    assert defined(driver) == ("pc-i440fx-6.2" if options else "pc-q35-7.2")


@pytest.mark.usefixtures("unreachable")
def test_without_libvirt_the_definition_waits_for_nova(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """Which asks for no --force: its state is Nova's to tell."""
    cloud.add(WEB, machine="pc-i440fx-6.2")
    pin(catalog, WEB, "pc-i440fx-6.2")

    said = run("set", WEB, "pc-i440fx-7.2")

    assert said.code == 0
    assert said.err.startswith("mthook-admin: warning: libvirt at ")
    assert "the definition stays until Nova redefines it" in said.err
    assert run("get", WEB).out == "pc-i440fx-7.2\n"


@pytest.mark.parametrize("machine", ["pc-i440fx-6.2", None])
def test_when_libvirt_refuses_nova_gets_its_old_value_back(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    monkeypatch: pytest.MonkeyPatch,
    machine: str | None,
) -> None:
    """And the pin too; device buses as well."""
    cloud.add(WEB, machine=machine, buses=IDE)

    def refuse(*_: object) -> None:
        raise HostError("libvirt refuses the new definition: too many CPUs")

    monkeypatch.setattr(domains, "redefine", refuse)
    monkeypatch.setattr(
        "mthook.operations.boards.changes",
        lambda *_: [PropertyChange("image_hw_disk_bus", "ide", "sata")],
    )

    said = run("set", WEB, "pc-i440fx-7.2", "--with-buses")

    assert said == Said(
        1,
        "",
        "mthook-admin: libvirt refuses the new definition: too many CPUs: Nova's database has its"
        " old value again\n",
    )
    assert (cloud.machine(WEB), cloud.find(WEB)[1].buses) == (machine, IDE)
    restored = catalog.get_pin(WEB)
    assert restored is not None
    assert (restored.machine, restored.source) == ("pc-i440fx-6.2", "definition")
    assert catalog.compared() == {}


def test_when_the_old_value_cannot_be_put_back_both_faults_are_told(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The operator has to know that Nova has the new one."""

    def refuse(*_: object) -> None:
        cloud.cells["c1"].fault = "Lost connection"
        raise HostError("libvirt refuses the new definition")

    monkeypatch.setattr(domains, "redefine", refuse)

    said = run("set", WEB, "pc-i440fx-7.2")

    assert said == Said(
        1,
        "",
        "mthook-admin: libvirt refuses the new definition; and Nova's database keeps the change:"
        " Nova's cell cell1: Lost connection\n",
    )


def overtake(monkeypatch: pytest.MonkeyPatch, instance: NovaInstance) -> None:
    """Let an instance become something else right before it is written."""
    record = Cell.record

    def meanwhile(cell: Cell, *arguments: object, **options: object) -> int:
        cell.instances[instance.uuid] = instance
        return record(cell, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Cell, "record", meanwhile)


def test_a_value_that_changed_meanwhile_is_not_overwritten(
    run: Run, cloud: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another operator was faster."""
    before = cloud.add(WEB, machine="pc-i440fx-6.2")
    pin(catalog, WEB, "pc-i440fx-6.2")
    overtake(monkeypatch, replace(before, machine="pc-i440fx-2.0"))

    said = run("set", WEB, "pc-i440fx-7.2")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "look again" in said.err
    assert cloud.machine(WEB) == "pc-i440fx-2.0"
    assert len(events(catalog)) == 1


def test_an_instance_that_has_just_moved_away_is_left_alone(
    run: Run, cloud: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pin is another host's business now."""
    before = cloud.add(WEB, machine="pc-i440fx-6.2")
    pin(catalog, WEB, "pc-i440fx-6.2")
    overtake(monkeypatch, replace(before, host="beta"))

    said = run("set", WEB, "pc-i440fx-7.2")

    assert said.code == 2
    assert said.err.endswith(f"mthook-admin: instance {WEB} is no longer on here\n")
    assert (cloud.machine(WEB), len(events(catalog))) == ("pc-i440fx-6.2", 1)


def test_history_that_cannot_be_written_undoes_nothing(
    run: Run, cloud: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host's instance: this catalog has no say in it."""
    cloud.add(WEB, host="beta")

    def fail(*_: object, **__: object) -> None:
        raise CatalogError("the catalog is on a full disk", catalog.path)

    monkeypatch.setattr(Catalog, "add_history", fail)

    said = run("set", WEB, "pc-q35-7.2")

    assert said.code == 0
    assert "warning: history isn't kept: the catalog is on a full disk\n" in said.err
    assert cloud.machine(WEB) == "pc-q35-7.2"


def test_buses_that_q35_lacks_are_named(run: Run, cloud: Cloud) -> None:
    """With what would mend them; they stay."""
    cloud.add(WEB, machine="pc-i440fx-7.2", host="beta", buses=IDE)

    said = run("set", WEB, "pc-q35-7.2", "--force")

    assert said.code == 0
    assert (
        "mthook-admin: warning: image_hw_cdrom_bus = ide, image_hw_disk_bus = ide: pc-q35-7.2 has"
        " no IDE, so every later start fails; --with-buses changes it to sata\n"
    ) in said.err
    assert cloud.find(WEB)[1].buses == IDE


@pytest.mark.parametrize("machine", ["pc-i440fx-7.2", "pc-q35-7.2"])
def test_with_buses_changes_them_too(run: Run, cloud: Cloud, machine: str) -> None:
    """In the same transaction; also afterwards, when the machine type is so already."""
    cloud.add(WEB, machine=machine, host="beta", buses=IDE)

    said = run("set", WEB, "pc-q35-7.2", "--force", "--with-buses")

    assert said.code == 0
    assert said.err.splitlines()[-3:] == [
        f"{WEB_LABEL}: {machine} → pc-q35-7.2",
        f"{WEB_LABEL}: image_hw_cdrom_bus: ide → sata",
        f"{WEB_LABEL}: image_hw_disk_bus: ide → sata",
    ]
    assert "has no IDE" not in said.err
    instance = cloud.find(WEB)[1]
    assert (instance.machine, cloud.cells["c1"].written) == ("pc-q35-7.2", 1)
    assert instance.buses == {**IDE, "image_hw_cdrom_bus": "sata", "image_hw_disk_bus": "sata"}


def test_disks_on_ide_are_named_and_changed_along(run: Run, cloud: Cloud) -> None:
    """Their names as well, as a bus follows from a name; nobody else's name is taken."""
    cloud.add(WEB, machine="pc-i440fx-7.2", host="beta")
    cell = cloud.cells["c1"]
    disks = [
        Disk(1, "/dev/hda", "ide"),
        Disk(2, "/dev/sda", "scsi"),
        Disk(3, "hdc", None),
        Disk(4, "/dev/hdd", "virtio"),
        Disk(5, None, "ide"),
        Disk(6, None, None),
    ]
    cell.parts[WEB] = Hardware(disks, {})

    said = run("set", WEB, "pc-q35-7.2", "--force", "--dry-run")

    assert (
        "block_device_mapping 1 = /dev/hda on ide, block_device_mapping 3 = hdc on any bus,"
        " block_device_mapping 5 = unnamed on ide: pc-q35-7.2 has no IDE, so every later start fails;"
        " --with-buses changes it to sata\n"
    ) in said.err
    assert cell.parts[WEB].disks == disks

    said = run("set", WEB, "pc-q35-7.2", "--force", "--with-buses")

    assert said.err.splitlines()[-3:] == [
        f"{WEB_LABEL}: block_device_mapping 1: /dev/hda on ide → /dev/sdb on sata",
        f"{WEB_LABEL}: block_device_mapping 3: hdc on any bus → sdc on sata",
        f"{WEB_LABEL}: block_device_mapping 5: unnamed on ide → unnamed on sata",
    ]
    assert [(disk.name, disk.bus) for disk in cell.parts[WEB].disks] == [
        ("/dev/sdb", "sata"),
        ("/dev/sda", "scsi"),
        ("sdc", "sata"),
        ("/dev/hdd", "virtio"),
        (None, "sata"),
        (None, None),
    ]
    assert cell.written == 1


def test_disks_come_back_when_libvirt_refuses(
    run: Run, cloud: Cloud, novas: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all else."""
    cloud.cells["c1"].parts[WEB] = Hardware([Disk(1, "/dev/hda", "ide")], {})

    def refuse(*_: object) -> None:
        raise HostError("libvirt refuses the new definition")

    monkeypatch.setattr(domains, "redefine", refuse)

    assert run("set", WEB, "pc-q35-7.2", "--force", "--with-buses").code == 1
    assert cloud.cells["c1"].parts[WEB].disks == [Disk(1, "/dev/hda", "ide")]


def test_within_a_family_no_hardware_is_asked_for(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take further rights."""
    cloud.add(WEB, machine="pc-i440fx-6.2", host="beta")
    monkeypatch.setattr(Cell, "hardware", lambda *_: pytest.fail("it was"))

    assert run("set", WEB, "pc-i440fx-7.2").code == 0


UEFI = {"hw_firmware_type": "uefi"}


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({**UEFI, "os_secure_boot": "required"}, "os_secure_boot = required"),
        ({**UEFI, "os:secure_boot": "required"}, "os:secure_boot = required"),
        ({"hw_viommu_model": "virtio"}, "hw_viommu_model = virtio"),
        ({"hw:viommu_model": "auto"}, "hw:viommu_model = auto"),
        ({"hw_mem_encryption": "True"}, "hw_mem_encryption = True"),
        *(
            (
                {"hw:mem_encryption": "yes", "hw_mem_encryption_model": model},
                f"hw:mem_encryption = yes, hw_mem_encryption_model = {model}",
            )
            for model in ("amd-sev", "amd-sev-es", "amd-sev-snp", "intel-tdx")
        ),
    ],
)
def test_what_only_q35_can_is_refused_towards_pc(
    run: Run, cloud: Cloud, asked: dict[str, str], named: str
) -> None:
    """As Nova would refuse every start; not even force helps."""
    before = cloud.add(WEB, machine="pc-q35-7.2", host="beta")
    cloud.cells["c1"].parts[WEB] = Hardware([], asked)

    said = run("set", WEB, "pc-i440fx-7.2", "--force")

    assert said == Said(
        4,
        "",
        f"mthook-admin: {WEB_LABEL}: {named}: Nova starts that only as q35, not as pc-i440fx-7.2\n",
    )
    assert cloud.find(WEB)[1] == before
    assert run("set", WEB, "pc-q35-8.0").code == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"os_secure_boot": "required"},  # without UEFI it is nobody's business
        {**UEFI, "os_secure_boot": "disabled"},
        {"hw_mem_encryption": "False", "hw_mem_encryption_model": "amd-sev"},
        {"hw_mem_encryption_model": "amd-sev"},
    ],
)
def test_what_asks_for_nothing_is_no_hindrance(
    run: Run, cloud: Cloud, asked: dict[str, str]
) -> None:
    """Nova doesn't look at it either."""
    cloud.add(WEB, machine="pc-q35-7.2", host="beta")
    cloud.cells["c1"].parts[WEB] = Hardware([], asked)

    said = run("set", WEB, "pc-i440fx-7.2", "--force")

    assert (said.code, "secure" in said.err) == (0, False)


def test_secure_boot_where_it_can_be_had_is_lost(run: Run, cloud: Cloud) -> None:
    """Nova starts such an instance without it: a warning."""
    cloud.add(WEB, machine="pc-q35-7.2", host="beta")
    cloud.cells["c1"].parts[WEB] = Hardware([], {**UEFI, "os_secure_boot": "optional"})

    said = run("set", WEB, "pc-i440fx-7.2", "--force")

    assert said.code == 0
    assert (
        "mthook-admin: warning: os_secure_boot = optional: pc-i440fx-7.2 doesn't support secure boot, so"
        " Nova starts it without\n"
    ) in said.err


def test_buses_alone_are_no_history_of_the_machine_type(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """It stays what it was."""
    cloud.add(WEB, machine="pc-q35-7.2", host="beta", buses=IDE)

    assert run("set", WEB, "pc-q35-7.2", "--with-buses").code == 0
    assert (cloud.cells["c1"].written, events(catalog)) == (1, [])


@pytest.mark.parametrize("machine", ["pc-i440fx-7.2", "pc-q35-7.2"])
def test_with_buses_needs_none_to_change(run: Run, cloud: Cloud, machine: str) -> None:
    """i440fx has IDE, and where nothing is recorded Nova chooses by itself."""
    buses = IDE if "i440fx" in machine else {"image_hw_disk_bus": "virtio"}
    cloud.add(WEB, host="beta", buses=buses)

    assert run("set", WEB, machine, "--with-buses").code == 0
    assert cloud.find(WEB)[1].buses == buses
    assert run("set", WEB, machine, "--with-buses").err == (
        f"{WEB_LABEL}: {machine} is recorded already\n"
    )


def test_a_dry_run_prints_the_difference_and_changes_nothing(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    driver: libvirt.virConnect,
) -> None:
    """Of the definition, on the instance's own host."""
    said = run("set", WEB, "pc-i440fx-7.2", "--dry-run")

    assert (said.code, said.err) == (
        0,
        f"{HERE}: would change pc-i440fx-6.2 → pc-i440fx-7.2\n",
    )
    assert '+    <type arch="x86_64" machine="pc-i440fx-7.2">hvm</type>' in said.out
    assert "sesame" not in said.out
    assert (cloud.cells["c1"].written, len(events(catalog))) == (0, 1)
    assert defined(driver) == "pc-i440fx-6.2"


def test_without_a_type_the_images_is_taken(run: Run, cloud: Cloud) -> None:
    """As the blueprint wants it for a shelved and offloaded instance; it is checked as any other."""
    cloud.add(WEB, vm_state="shelved_offloaded", host=None)
    cloud.image = "q35"

    said = run("set", WEB)

    assert said.code == 0
    assert said.err.startswith(f"{WEB_LABEL}: its image has q35\n")
    assert said.err.endswith(f"{WEB_LABEL}: none → q35\n")

    cloud.add(DB, vm_state="active", host="beta")
    assert run("set", DB).code == 3


@pytest.mark.parametrize(
    ("machine", "complaint"),
    [(None, "no machine type of its image is known: give a TYPE"), ("pc", "has pc: give a TYPE")],
)
def test_without_a_type_and_an_image_that_has_one_it_must_be_given(
    run: Run, cloud: Cloud, machine: str | None, complaint: str
) -> None:
    """Code 1; nor is a recorded one replaced by the image's."""
    cloud.add(WEB, machine=machine, host=None, vm_state="shelved_offloaded")
    cloud.image = "q35" if machine else None

    said = run("set", WEB)

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert said.err.endswith(f"{complaint}\n")
    assert cloud.machine(WEB) == machine


def test_without_a_database_a_type_must_be_given(run: Run, catalog: Catalog) -> None:
    """There is no image to ask for."""
    assert run("set", WEB) == Said(
        2, "", "mthook-admin: give a TYPE: only Nova instances can do without\n"
    )
    assert run("set", WEB, "pc", "--with-buses") == Said(
        2, "", "mthook-admin: --with-buses is for Nova instances\n"
    )


def test_a_plain_guest_beside_novas_is_set_here(
    run: Run, cloud: Cloud, catalog: Catalog, web: object, driver: libvirt.virConnect
) -> None:
    """Nova knows nothing of it."""
    driver.defineXML(xml())

    assert run("set", "web-1", "pc-i440fx-7.2") == Said(
        0, "", f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n"
    )


def test_an_unknown_instance_is_code_2(run: Run, cloud: Cloud) -> None:
    """As nova-manage has it."""
    assert run("set", NOBODY, "pc").code == 2


def test_a_database_that_fails_is_code_1(
    run: Run, cloud: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is changed here."""
    cloud.add(WEB, machine="pc-i440fx-6.2")
    pin(catalog, WEB, "pc-i440fx-6.2")

    def fail(*_: object, **__: object) -> None:
        raise NovaError("Nova's cell cell1: the server is read-only")

    monkeypatch.setattr(Cell, "record", fail)

    said = run("set", WEB, "pc-i440fx-7.2")

    assert (said.code, len(events(catalog))) == (1, 1)
    assert said.err.endswith("mthook-admin: Nova's cell cell1: the server is read-only\n")
