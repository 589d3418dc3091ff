# SPDX-License-Identifier: Apache-2.0
"""``diff`` and ``rewrite``: XML in, XML or what would change out."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import libvirt
import pytest

from mthook.catalog.records import Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.text import now
from mthook.xmlrewrite.target import Kept, Original
from tests.programs import Said

from .conftest import NOBODY, WEB, Run, defined, events, pin, xml

WWN = "<disk type='file'><source file='/hda'/><target dev='hda' bus='ide'/><wwn>5000c50015ea71ac</wwn></disk>"
BILLION = (
    '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<domain type='kvm'><name>&b;</name></domain>"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a domain."""
    path = tmp_path / "web-1.xml"
    path.write_text(xml())
    return path


def test_diff_shows_what_realign_would_change(
    run: Run, catalog: Catalog, web: Guest, driver: libvirt.virConnect
) -> None:
    """The machine type and mthook's own element; no password; nothing is changed."""
    driver.defineXML(xml("pc-i440fx-7.2"))

    said = run("diff", "web-1")

    assert (said.code, said.err) == (0, "")
    changed = [line for line in said.out.splitlines() if line[0] in "+-"]
    assert changed[:2] == [
        f"--- web-1 ({WEB}) as defined",
        f"+++ web-1 ({WEB}) with pc-i440fx-6.2",
    ]
    assert '-    <type arch="x86_64" machine="pc-i440fx-7.2">hvm</type>' in changed
    assert '+    <type arch="x86_64" machine="pc-i440fx-6.2">hvm</type>' in changed
    assert any("mthook:pin" in line and WEB in line for line in changed)
    assert "sesame" not in said.out
    assert defined(driver) == "pc-i440fx-7.2"
    assert len(events(catalog)) == 1


def test_diff_of_what_is_right_is_empty(run: Run, web: Guest, driver: libvirt.virConnect) -> None:
    """Nothing to change, nothing to say."""
    driver.defineXML(xml())

    assert run("diff", "web-1") == Said(0, "", "")


def test_diff_without_a_pin_says_so(run: Run, catalog: Catalog, driver: libvirt.virConnect) -> None:
    """Nothing would change: code 0."""
    driver.defineXML(xml())

    assert run("diff", "web-1") == Said(0, "", f"web-1 ({WEB}): no pin\n")


def test_diff_of_a_domain_that_libvirt_lost_says_so(
    run: Run, web: Guest, driver: libvirt.virConnect
) -> None:
    """The catalog still knows it."""
    assert run("diff", "web-1") == Said(0, "", f"web-1 ({WEB}): libvirt has no such domain now\n")


def test_diff_of_a_domain_that_is_left_alone_says_why(
    run: Run, web: Guest, driver: libvirt.virConnect
) -> None:
    """Realign wouldn't touch a guest with snapshots."""
    driver.defineXML(xml("pc-i440fx-7.2")).snapshotCreateXML("<domainsnapshot/>")

    said = run("diff", "web-1")

    assert (said.code, said.out, said.err.count("\n")) == (0, "", 1)
    assert said.err.startswith(f"web-1 ({WEB}): left alone: ")


def test_diff_shows_all_that_a_conversion_means(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """The diff on standard output, what becomes of the guest's hardware on standard error."""
    driver.defineXML(xml("pc-i440fx-7.2"))
    pin(catalog, WEB, "pc-q35-7.2")

    said = run("diff", "web-1")

    assert said.code == 0
    assert '+    <type arch="x86_64" machine="pc-q35-7.2">hvm</type>' in said.out.splitlines()
    assert said.err.splitlines()[0] == f"web-1 ({WEB}): machine type: pc-i440fx-7.2 → pc-q35-7.2"
    assert f"web-1 ({WEB}): not restored: the PCI addresses" in said.err
    assert "sesame" not in said.out + said.err
    assert defined(driver) == "pc-i440fx-7.2"


def test_diff_that_no_conversion_can_make_is_an_error(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """A definition of another family can't be brought to its pin; guest and device are named."""
    driver.defineXML(xml("pc-i440fx-7.2").replace("</devices>", f"{WWN}</devices>"))
    pin(catalog, WEB, "pc-q35-7.2")

    said = run("diff", "web-1")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"mthook-admin: web-1 ({WEB}): disk hda: pc-q35-7.2 has no IDE")


def test_diff_of_an_unknown_instance_is_code_2(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Neither the catalog nor libvirt knows it."""
    assert run("diff", NOBODY).code == 2


def test_rewrite_uses_the_pin_of_the_guest_in_the_xml(
    run: Run, catalog: Catalog, file: Path
) -> None:
    """XML on standard output, what changed on standard error; passwords stay in the XML."""
    pin(catalog, WEB, "pc-i440fx-7.2")

    said = run("rewrite", str(file))

    assert said.code == 0
    assert 'machine="pc-i440fx-7.2"' in said.out
    assert f'instance="{WEB}"' in said.out
    assert "sesame" in said.out
    assert f"{file}: machine type: pc-i440fx-6.2 → pc-i440fx-7.2\n" in said.err
    assert "sesame" not in said.err


def test_rewrite_gives_right_xml_back_byte_for_byte(run: Run, catalog: Catalog, file: Path) -> None:
    """Down to quotes and a missing line end."""
    pin(catalog, WEB, "pc-i440fx-6.2")

    assert run("rewrite", str(file)) == Said(0, xml(), "")


def test_rewrite_without_a_pin_gives_the_xml_back_and_says_so(
    run: Run, catalog: Catalog, file: Path
) -> None:
    """A filter before define must let a new guest through."""
    assert run("rewrite", str(file)) == Said(0, xml(), f"web-1 ({WEB}): no pin, unchanged\n")


def test_rewrite_to_a_named_machine_type_needs_no_catalog(run: Run, file: Path) -> None:
    """And leaves no pin in the metadata, for it isn't the guest's."""
    said = run("rewrite", str(file), "--machine", "pc-i440fx-7.2")

    assert said.code == 0
    assert 'machine="pc-i440fx-7.2"' in said.out
    assert "mthook" not in said.out


def test_rewrite_reads_standard_input(
    run: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For ``-``; bytes in, bytes out."""
    pin(catalog, WEB, "pc-i440fx-7.2")
    text = xml(name="größe").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="ascii"))

    said = run("rewrite", "-")

    assert said.code == 0
    assert "<name>größe</name>" in said.out
    assert said.err.startswith("standard input: machine type: ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the domain XML is empty"),
        (b"<domain", "not well-formed XML"),
        (b"<pool/>", "domain"),
        (b"\xff\xfe<domain/>", "isn't UTF-8"),
        (BILLION.encode(), "DOCTYPE"),
        (b"<domain type='kvm'><name>x</name></domain>", "no <uuid>, so whose pin? Say --machine"),
        (b"<domain><uuid>nonsense</uuid></domain>", "isn't a UUID"),
        (b" " * (16 * 1024 * 1024) + b"<domain/>", "is larger than"),
    ],
    ids=["empty", "cut", "pool", "latin", "laughs", "no-uuid", "bad-uuid", "huge"],
)
def test_rewrite_of_bad_input_names_the_file_and_prints_no_xml(
    run: Run, catalog: Catalog, file: Path, content: bytes, complaint: str
) -> None:
    """One line, code 1, nothing on standard output."""
    file.write_bytes(content)

    said = run("rewrite", str(file))

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"mthook-admin: {file}: ")
    assert complaint in said.err


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("absent.xml", "No such file or directory"), (".", "Is a directory"), ("a\0b", "null byte")],
)
def test_rewrite_of_what_cannot_be_read_names_it(
    run: Run, tmp_path: Path, name: str, complaint: str
) -> None:
    """One line, code 1."""
    said = run("rewrite", f"{tmp_path}/{name}", "--machine", "pc-i440fx-7.2")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert complaint in said.err


def test_rewrite_to_another_family_reports_all_of_it(run: Run, file: Path) -> None:
    """A line each on standard error, with the file's name."""
    said = run("rewrite", str(file), "--machine", "pc-q35-7.2")

    assert said.code == 0
    assert 'machine="pc-q35-7.2"' in said.out
    assert f"{file}: machine type: pc-i440fx-6.2 → pc-q35-7.2\n" in said.err
    assert f"{file}: hot-plugging: libvirt leaves one PCIe port to spare" in said.err


def test_rewrite_gives_a_q35_the_configured_ports(run: Run, file: Path, config: Path) -> None:
    """[libvirt] num_pcie_ports, as Nova does."""
    config.write_text(config.read_text().replace("[libvirt]", "[libvirt]\nnum_pcie_ports = 3"))

    said = run("rewrite", str(file), "--machine", "pc-q35-7.2")

    assert said.out.count("pcie-root-port") == 3


def test_rewrite_leads_a_guest_back_to_what_it_was(run: Run, catalog: Catalog, file: Path) -> None:
    """With the PCI address that the catalog has kept."""
    here = "<interface><mac address='52:54:00:00:00:01'/>{}</interface>"
    place = "<address type='pci' domain='0' bus='{}' slot='{}' function='0'/>"
    before = xml("pc-i440fx-7.2").replace(
        "</devices>", here.format(place.format(0, 9)) + "</devices>"
    )
    after = xml("pc-q35-7.2").replace("</devices>", here.format(place.format(1, 0)) + "</devices>")
    catalog.keep_original(WEB, Original(before.encode(), after.encode(), now()))
    pin(catalog, WEB, "pc-i440fx-7.2")
    file.write_text(after)

    said = run("rewrite", str(file))

    assert said.code == 0
    assert 'slot="9"' in said.out
    assert "interface 52:54:00:00:00:01: as it was, at PCI address 0000:00:09.0" in said.err


def test_rewrite_leads_back_what_somebody_converted(run: Run, catalog: Catalog, file: Path) -> None:
    """To the last definition that was right."""
    here = "<interface><mac address='52:54:00:00:00:01'/>{}</interface></devices>"
    place = "<address type='pci' bus='{}' slot='{}'/>"
    before = xml("pc-i440fx-7.2").replace("</devices>", here.format(place.format(0, 9)))
    catalog.keep(Kept(WEB, 1, "pc-i440fx-7.2", now(), before.encode()))
    pin(catalog, WEB, "pc-i440fx-7.2")
    file.write_text(xml("pc-q35-7.2").replace("</devices>", here.format(place.format(1, 0))))

    said = run("rewrite", str(file))

    assert said.code == 0
    assert "interface 52:54:00:00:00:01: as it was, at PCI address 0000:00:09.0" in said.err


@pytest.mark.parametrize("named", [True, False])
def test_rewrite_to_what_this_hosts_libvirt_cannot_have_is_refused(
    run: Run, catalog: Catalog, file: Path, named: bool
) -> None:
    """As far as the catalog knows libvirt's version."""
    catalog.replace_capabilities([], HostFacts(libvirt_version="7.0.0"))
    pin(catalog, WEB, "pc-q35-7.2")
    file.write_text(xml().replace("<os>", "<os firmware='efi'>"))

    said = run("rewrite", str(file), *(("--machine", "pc-q35-7.2") if named else ()))

    assert (said.code, said.out) == (1, "")
    assert "libvirt before 7.2 gives pc-q35-7.2 a firmware with Secure Boot" in said.err


def test_rewrite_to_what_the_other_family_cannot_have_is_refused(run: Run, file: Path) -> None:
    """Nothing half converted is printed."""
    file.write_text(xml().replace("</devices>", f"{WWN}</devices>"))

    said = run("rewrite", str(file), "--machine", "pc-q35-7.2")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("machine", ["pc; reboot", "' OR 1=1", "-v", "x" * 300])
def test_rewrite_to_what_is_no_machine_type_is_refused(run: Run, file: Path, machine: str) -> None:
    """It would go into XML that a hypervisor reads."""
    said = run("rewrite", str(file), f"--machine={machine}")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
