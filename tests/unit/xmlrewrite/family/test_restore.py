# SPDX-License-Identifier: Apache-2.0
"""The way back to what a guest was, with what was changed since."""

from __future__ import annotations

import re
import time

import pytest
from lxml import etree

from mthook.errors import ConversionError
from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.pipeline import Original, Rewritten, Target, rewrite
from tests.corpus import CONVERTED, Case, ident, read
from tests.unit.xmlrewrite.fixtures import canonical

AT = "2026-11-22T13:00:00.000000Z"
CAPTURED = [case for case in CONVERTED if case.name.startswith("libvirt-")]
EVERYTHING = read("libvirt-pc-everything")
NIC = "52:54:00:00:00:01"


def original(case: Case) -> Original:
    assert case.out is not None
    return Original(case.xml, case.out, AT)


def back(case: Case, changed: bytes) -> Rewritten:
    machine = "pc-i440fx-7.2" if "q35" in case.target.machine else "pc-q35-7.2"
    return rewrite(changed, Target(machine, original=original(case)))


def edited(old: str, new: str) -> str:
    """Return the guest that has everything, converted, edited and led back."""
    assert EVERYTHING.out is not None
    text = EVERYTHING.out.decode()
    assert old in text
    return back(EVERYTHING, text.replace(old, new).encode()).xml.decode()


@pytest.mark.parametrize("case", CAPTURED, ids=ident)
def test_an_unchanged_guest_becomes_exactly_what_it_was(case: Case) -> None:
    """Canonically equal, in every part."""
    assert case.out is not None

    found = back(case, case.out)

    assert canonical(found.xml) == canonical(case.xml)
    assert found.changes[1] == (
        f"back to the definition kept on {AT}; changes made since then stay"
    )
    if case.name == EVERYTHING.name:  # every part that comes back is reported, with its place
        assert {
            "disk hda: as it was",
            "ide controller 0: restored, at PCI address 0000:00:01.1",
            f"interface {NIC}: as it was, at PCI address 0000:00:03.0",
        } <= set(found.changes)


WATCHDOG = (b"</devices>", b"  <watchdog model='ib700'/>\n  </devices>")
CHOSEN = (b"<os>", b"<os firmware='efi'>")


@pytest.mark.parametrize("what", [WATCHDOG, CHOSEN])
def test_what_a_guest_had_on_that_board_it_may_have_again(what: tuple[bytes, bytes]) -> None:
    """Though a guest that never had it there is refused, because of what other libvirts make of it."""
    here, there = read("libvirt-q35-minimal"), "pc-q35-7.2"
    assert here.out is not None
    had, has = here.xml.replace(*what), here.out.replace(*what)

    found = rewrite(has, Target(there, libvirt=7_000_000, original=Original(had, has, AT)))

    assert canonical(found.xml) == canonical(had)
    for nothing in (None, Original(here.xml, has, AT)):
        with pytest.raises(ConversionError):
            rewrite(has, Target(there, libvirt=7_000_000, original=nothing))


def test_what_comes_back_in_part_is_not_called_as_it_was() -> None:
    """A changed device gets its place back; a new one has none yet, for the one it has may be another's there.

    Nobody is to look for the old model, or for an old place.
    """
    assert EVERYTHING.out is not None
    changed = EVERYTHING.out.replace(b'<model type="rtl8139"/>', b'<model type="e1000e"/>')
    nic = b'<interface type="user"><mac address="52:54:00:00:00:99"/>%s</interface>'
    sound = b'<sound model="ac97">%s</sound>'
    new = nic % pci("0f", "00").encode() + sound % pci("00", "03").encode()

    found = back(EVERYTHING, changed.replace(b"</devices>", new + b"</devices>"))

    said = [line for line in found.changes if "as it was, except for" in line]
    assert len(said) == 1
    assert re.fullmatch(
        r"interface [0-9a-f:]+: as it was, except for what was changed since or isn't kept,"
        r" at PCI address 0000:[0-9a-f:.]+",
        said[0],
    )
    assert "interface 52:54:00:00:00:99: new since then, converted" in found.changes
    text = found.xml.decode()
    changed_nic = text[text.index("52:54:00:00:00:03") :].partition("</interface>")[0]
    assert "e1000e" in changed_nic and 'slot="0x05"' in changed_nic
    assert text[text.index('<sound model="ac97"') :].startswith('<sound model="ac97"/>')


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ('<memory unit="KiB">262144<', '<memory unit="KiB">524288<', "524288"),
        ("<name>web-1<", "<name>web-2<", "web-2"),
        ("<serial>ROOT-1<", "<serial>ROOT-2<", "ROOT-2"),
        ('<sound model="ich6"', '<sound model="ac97"', "ac97"),
        ('<model type="rtl8139"/>', '<model type="e1000e"/>', "e1000e"),
        ("<apic/>", '<apic/><vmcoreinfo state="on"/>', "vmcoreinfo"),
        ('port="-1" autoport="yes"', 'port="-1" autoport="yes" passwd="sesame"', "sesame"),
        ("<devices>", '<devices><tpm model="tpm-crb"/>', "tpm-crb"),
    ],
)
def test_what_was_changed_since_stays(old: str, new: str, kept: str) -> None:
    """And everything else is as it was."""
    found = edited(old, new)

    assert kept in found
    assert 'machine="pc-i440fx-7.2"' in found
    assert '<target dev="hda" bus="ide"/>' in found
    assert 'slot="0x03"' in found


def test_what_was_removed_since_stays_away() -> None:
    """Only what went with the board comes back."""
    assert EVERYTHING.out is not None
    sound = re.search(rb"<sound .*?</sound>", EVERYTHING.out, re.DOTALL)
    assert sound is not None

    found = back(EVERYTHING, EVERYTHING.out.replace(sound.group(), b"")).xml.decode()

    assert "<sound" not in found
    assert '<controller type="ide"' in found


def test_a_new_disk_gives_way_to_one_that_comes_back() -> None:
    """Both can't be at one drive address."""
    drive = '<address type="drive" controller="0" bus="0" target="0" unit="{}"/>'
    new = f'<disk type="file" device="disk"><target dev="hdb" bus="scsi"/>{drive}</disk>'
    taken, free = (new.replace("hdb", "sdx").format(unit) for unit in (0, 5))

    assert drive.format(0) not in edited("</devices>", f"{taken}</devices>").partition("sdx")[2]
    assert drive.format(5) in edited("</devices>", f"{free}</devices>").partition("sdx")[2]


def domain(machine: str, devices: str) -> bytes:
    return (
        f"<domain><os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        f"<devices>{devices}</devices></domain>"
    ).encode()


def led_back(before: str, after: str, now: str) -> str:
    """Return the devices of an i440fx that was a q35 for a while."""
    placed = f"<sound model='ac97'>{pci('00', '0a')}</sound>"
    kept = Original(domain("pc", before + placed), domain("q35", after + placed), AT)
    found = safexml.parse(rewrite(domain("q35", now + placed), Target("pc", original=kept)).xml)
    return re.sub(
        r"\n *", "", "".join(etree.tostring(d).decode() for d in found.iterfind("devices/*"))
    )


def pci(bus: str, slot: str) -> str:
    return f'<address type="pci" domain="0x0000" bus="0x{bus}" slot="0x{slot}" function="0x0"/>'


def drive(bus: int, unit: int) -> str:
    return f'<address type="drive" controller="0" bus="{bus}" target="0" unit="{unit}"/>'


def disk(name: str, bus: str, address: str) -> str:
    return f'<disk device="disk"><target dev="{name}" bus="{bus}"/>{address}</disk>'


def test_a_disk_that_was_moved_to_another_bus_has_no_place_of_the_old_one() -> None:
    """libvirt refuses a PCI address with a SATA disk, and a q35's with a virtio one on i440fx."""
    ide, sata = disk("hda", "ide", drive(0, 0)), disk("hda", "sata", drive(0, 0))
    here, there = disk("vda", "virtio", pci("00", "05")), disk("vda", "virtio", pci("03", "00"))

    to_virtio = led_back(ide, sata, disk("hda", "virtio", pci("03", "00")))
    to_sata = led_back(here, there, disk("vda", "sata", drive(0, 0)))

    assert disk("hda", "virtio", "") in to_virtio
    assert disk("vda", "sata", drive(0, 0)) in to_sata


def test_an_ide_disk_gets_its_place_back_whichever_it_had_on_sata() -> None:
    """IDE has no unit 4: ``Can't create IDE unit 4, bus supports only 2 units``."""
    ide, sata = disk("hdc", "ide", drive(1, 0)), disk("hdc", "sata", drive(0, 2))

    assert ide in led_back(ide, sata, disk("hdc", "sata", drive(0, 4)))


def test_a_place_on_a_bus_that_stayed_is_kept_where_it_was_changed_since() -> None:
    """As a whole."""
    scsi, moved = (disk("sda", "scsi", drive(0, unit)) for unit in (0, 3))

    assert moved in led_back(scsi, scsi, moved)


def test_the_host_device_behind_an_interface_is_the_one_it_has_now() -> None:
    """Its address looks like one of the guest's."""
    nic = '<interface type="hostdev"><mac address="{}"/><source>{}</source>{}</interface>'
    before = nic.format(NIC, pci("81", "10"), pci("00", "05"))
    after = nic.format(NIC, pci("81", "10"), pci("03", "00"))
    now = nic.format(NIC, pci("82", "11"), pci("03", "00"))

    assert nic.format(NIC, pci("82", "11"), pci("00", "05")) in led_back(before, after, now)


def test_of_devices_that_nothing_tells_apart_the_one_that_is_left_gets_its_own_place_back() -> None:
    """Not that of the one which was removed."""
    rng = '<rng model="virtio"><backend model="random">{}</backend>{}</rng>'
    here = [rng.format(name, pci("00", slot)) for name, slot in (("/a", "05"), ("/b", "06"))]
    there = [rng.format(name, pci(bus, "00")) for name, bus in (("/a", "03"), ("/b", "04"))]

    found = led_back("".join(here), "".join(there), there[1])

    assert here[1] in found and here[0] not in found


def test_the_order_in_which_a_guest_boots_is_the_one_it_has_now() -> None:
    """Elements that stay, but in another order."""
    boot = [f'<boot dev="{name}"/>' for name in ("hd", "network", "cdrom")]
    before, after = (
        domain(machine, f"<sound>{pci('00', '0a')}</sound>").replace(
            b"</os>", f"{boot[0]}{boot[1]}</os>".encode()
        )
        for machine in ("pc", "q35")
    )
    now = after.replace("".join(boot[:2]).encode(), f"{boot[1]}{boot[2]}{boot[0]}".encode())

    found = rewrite(now, Target("pc", original=Original(before, after, AT))).xml.decode()

    assert re.findall("<boot[^>]*>", found) == [boot[1], boot[2], boot[0]]


def test_another_version_of_the_old_family_is_as_good() -> None:
    """The board is what was kept."""
    assert EVERYTHING.out is not None

    found = rewrite(EVERYTHING.out, Target("pc-i440fx-6.2", original=original(EVERYTHING)))

    assert b'machine="pc-i440fx-6.2"' in found.xml
    assert "ide controller 0: restored, at PCI address 0000:00:01.1" in found.changes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("libvirt-q35-everything", "libvirt-q35-everything"),
        ("libvirt-pc-everything", "libvirt-pc-everything"),
    ],
)
def test_what_was_kept_of_another_change_is_not_used(before: str, after: str) -> None:
    """The report says that nothing is restored."""
    assert EVERYTHING.out is not None
    other = Original(read(before).xml, read(after).xml, AT)

    changes = rewrite(EVERYTHING.out, Target("pc-i440fx-7.2", original=other)).changes

    assert changes[-1].startswith("not restored: the PCI addresses, ")


def test_a_definition_made_anew_is_not_mixed_with_the_old_one() -> None:
    """Nova's has no addresses at all: nothing of it is as it was."""
    anew = read("nova-config-drive-q35-to-pc")
    kept = Original(EVERYTHING.xml, read("libvirt-q35-everything").xml, AT)

    found = rewrite(anew.xml, Target("pc", ports=8, original=kept))

    assert found.xml == anew.out


def test_novas_disks_are_found_by_their_old_names() -> None:
    """They have others on each board: here another image is in the drive."""
    case = read("nova-config-drive-pc-to-q35")
    assert case.out is not None
    changed = case.out.replace(b"disk.config", b"other.config")

    found = rewrite(changed, Target("pc", original=original(case)))

    assert found.xml.count(b"<disk ") == case.xml.count(b"<disk ")
    assert b"other.config" in found.xml
    assert b'<target dev="hda" bus="ide"/>' in found.xml


def test_the_way_back_of_a_large_guest_takes_no_longer_than_its_size_asks() -> None:
    """Ten times what the way there took would be another order of growth."""
    inside = "<driver name='qemu'/><source file='/a'/><serial>A</serial><boot order='1'/>\n"
    places = [pci(f"{n // 31 + 1:x}", f"{n % 31 + 1:x}") for n in range(3000)]
    devices = "".join(disk(f"vd{n}", "virtio", inside + place) for n, place in enumerate(places))
    before = domain("pc", devices + f"<sound>{pci('00', '0a')}</sound>")
    before = before.replace(b"</domain>", b"<name>web-1</name></domain>")

    # This process's own time: others may keep the machine busy.
    begun = time.process_time()
    after = rewrite(before, Target("q35")).xml
    there = time.process_time() - begun
    begun = time.process_time()
    found = rewrite(after, Target("pc", original=Original(before, after, AT)))
    back_again = time.process_time() - begun

    assert len(found.changes) > 3000
    assert back_again < 10 * there
