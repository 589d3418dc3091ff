# SPDX-License-Identifier: Apache-2.0
"""IDE, SATA, and Nova's CD-ROMs."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.errors import ConversionError
from mthook.xmlrewrite.family import disks
from mthook.xmlrewrite.family.drives import name_index

from .trees import NOVA, TO_PC, TO_Q35, nova, ran, ran_on


def disk(dev: str, bus: str, inside: str = "", device: str = "disk") -> str:
    return f'<disk device="{device}"><target dev="{dev}" bus="{bus}"/>{inside}</disk>'


def drive(unit: int, bus: int = 0, controller: int = 0) -> str:
    return f'<address type="drive" controller="{controller}" bus="{bus}" target="0" unit="{unit}"/>'


def test_ide_disks_become_sata_disks_with_their_names_and_serials() -> None:
    """The guest's operator knows them by these."""
    serial = "<serial>ROOT-1</serial>"

    assert ran(disks.ide_to_sata, disk("hda", "ide", serial), TO_Q35) == (
        disk("hda", "sata", serial),
        [
            "disk hda: bus ide → sata",
            "IDE disks are SATA disks now: to boot from one takes an AHCI driver",
        ],
    )


def test_a_disk_without_a_bus_is_on_that_of_its_name() -> None:
    """libvirt accepts it so, and says ``IDE controllers are unsupported`` on q35."""
    unnamed = '<disk device="{}"><target dev="{}"/></disk>'
    others = unnamed.format("disk", "sda") + unnamed.format("floppy", "hdb")

    found, changes = ran(disks.ide_to_sata, unnamed.format("disk", "hda") + others, TO_Q35)

    assert found == disk("hda", "sata") + others
    assert changes[0] == "disk hda: bus ide → sata"


def test_a_cdrom_alone_needs_no_word_about_booting() -> None:
    """Firmware reads it."""
    assert ran(disks.ide_to_sata, disk("hdc", "ide", device="cdrom"), TO_Q35)[1] == [
        "cdrom hdc: bus ide → sata"
    ]


def test_addresses_move_to_the_same_place_in_the_order() -> None:
    """hdc is the second bus's first; SATA has one bus."""
    found, changes = ran(
        disks.ide_to_sata, disk("hda", "ide", drive(0)) + disk("hdc", "ide", drive(0, 1)), TO_Q35
    )

    assert found == disk("hda", "sata", drive(0)) + disk("hdc", "sata", drive(2))
    assert "disk hdc: SATA unit 2 of controller 0" in changes


def test_disks_beside_sata_disks_get_units_that_are_free() -> None:
    """With six of them, on the next controller."""
    present = "".join(disk(f"sd{c}", "sata", drive(n)) for n, c in enumerate("abcdef"))

    found, _ = ran(disks.ide_to_sata, disk("hda", "ide", drive(0)) + present, TO_Q35)

    assert found == disk("hda", "sata", drive(0, controller=1)) + present


def test_disks_whose_names_mean_the_same_unit_get_addresses() -> None:
    """libvirt would give both the unit of their name, and refuse."""
    found, _ = ran(disks.ide_to_sata, disk("sda", "sata") + disk("hda", "ide"), TO_Q35)

    assert found == disk("sda", "sata") + disk("hda", "sata", drive(1))


def test_a_chs_translation_goes() -> None:
    """The rest of the geometry stays."""
    geometry = '<geometry cyls="16383" heads="16" secs="63"{}/>'

    found, changes = ran(
        disks.ide_to_sata, disk("hda", "ide", geometry.format(' trans="lba"')), TO_Q35
    )

    assert found == disk("hda", "sata", geometry.format(""))
    assert "disk hda: CHS translation removed, SATA has none" in changes


def test_novas_disks_are_renamed_as_nova_does() -> None:
    """In the order of their names, to names that are free."""
    given = disk("sda", "scsi") + disk("hdb", "ide", device="cdrom") + disk("hda", "ide")

    found, changes = ran(disks.ide_to_sata, given, nova(TO_Q35))

    assert found == (
        disk("sda", "scsi") + disk("sdc", "sata", device="cdrom") + disk("sdb", "sata")
    )
    assert "disk hda: name → sdb" in changes


def test_novas_cdroms_go_back_to_ide() -> None:
    """Its disks on SATA stay: the image asked for that bus."""
    given = disk("sda", "sata", drive(0)) + disk("sdb", "sata", drive(1), "cdrom")

    assert ran(disks.sata_to_ide, given, nova(TO_PC)) == (
        disk("sda", "sata", drive(0)) + disk("hda", "ide", device="cdrom"),
        [
            "cdrom sdb: name → hda",
            "cdrom hda: bus sata → ide",
            "cdrom hda: drive address → chosen by libvirt",
        ],
    )


def test_a_fifth_cdrom_stays_on_sata() -> None:
    """IDE takes four."""
    given = "".join(disk(f"sd{c}", "sata", device="cdrom") for c in "abcde")

    found, _ = ran(disks.sata_to_ide, given, nova(TO_PC))

    assert found.count('bus="ide"') == 4
    assert found.endswith(disk("sde", "sata", device="cdrom"))


def test_an_image_that_asks_for_sata_keeps_it() -> None:
    """On either board."""
    asked = f'<n:property xmlns:n="{NOVA}" name="hw_cdrom_bus">sata</n:property>'
    inside = (
        f'<metadata><n:instance xmlns:n="{NOVA}">{asked}</n:instance></metadata>'
        f"<devices>{disk('sda', 'sata', device='cdrom')}</devices>"
    )

    assert ran_on(disks.sata_to_ide, inside, nova(TO_PC))[1] == []


@pytest.mark.parametrize("device", ["disk", "cdrom"])
def test_others_keep_what_they_have(device: str) -> None:
    """An i440fx can have an AHCI card."""
    given = disk("sda", "sata", drive(0), device)

    assert ran(disks.sata_to_ide, given, TO_PC) == (given, [])


def test_the_boards_own_controllers_go_with_it() -> None:
    """SATA only if nothing is on it, or if it is another one than the board's."""
    ide, sata = '<controller type="ide" index="0"/>', '<controller type="sata" index="0"/>'
    second = '<controller type="sata" index="1"/>'

    assert ran(disks.drop_built_in, ide + sata, TO_Q35)[0] == sata
    assert ran(disks.drop_built_in, sata + second, TO_PC)[0] == second
    used = sata + disk("sda", "sata")
    assert ran(disks.drop_built_in, used, TO_PC) == (used, [])


def test_a_guest_that_would_boot_from_another_disk_is_refused() -> None:
    """libvirt keeps the disks of a bus in the order of their names, and boots from the first."""
    os_element = '<os><boot dev="hd"/></os>'
    devices = disk("sdb", "sata") + disk("hda", "ide")

    with pytest.raises(ConversionError, match="^disk sdb would no longer be the first disk"):
        ran_on(disks.ide_to_sata, f"{os_element}<devices>{devices}</devices>", TO_Q35)


def test_another_order_is_reported_where_it_decides_nothing() -> None:
    """Every disk has its own place in the boot order."""
    _, changes = ran(disks.ide_to_sata, disk("sdb", "sata") + disk("hda", "ide"), TO_Q35)

    assert (
        changes[-1] == "disks: IDE and SATA disks are on one bus now, in the order of their names"
    )


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("hda", 0),
        ("sdb", 1),
        ("sdz", 25),
        ("sdaa", 26),
        ("vdab", 27),
        ("sda1", 0),
        ("", 0),
        ("hdÄ", 0),
    ],
)
def test_a_disks_name_says_which_one_it_is(name: str, index: int) -> None:
    """As libvirt counts."""
    assert name_index(etree.fromstring(disk(name, "sata"))) == index
