# SPDX-License-Identifier: Apache-2.0
"""There and back again on a real libvirtd, through mthook-admin and the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from mthook.catalog.store import Catalog
from mthook.tools import sync
from mthook.xmlrewrite import summary
from tests.corpus import CONVERTED, Case
from tests.lab import LAST_PC, OLD_PC, PC, Q35, Host, guest_xml
from tests.libvirt.conversion import LIBVIRT, Daemon, each, fitted, lacks, startable
from tests.libvirt.desk import Commands

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OLD = OLD_PC
#: Captured from libvirt: they have the addresses that are to come back.
_CAPTURED = [c for c in CONVERTED if c.name.startswith("libvirt-") and not lacks(c.xml)]
_MORE = {
    # 11.3 chooses Secure Boot for a q35, which no i440fx has; 9.0 doesn't.
    "libvirt-q35-uefi-chosen": pytest.mark.needs(
        LIBVIRT < (11,), "a libvirt that chooses no Secure Boot"
    ),
    "libvirt-pc-uefi-chosen": pytest.mark.needs(
        LIBVIRT >= (7, 2), "a libvirt that can be asked for a firmware"
    ),
    "libvirt-pc-hotplug-off": pytest.mark.needs(
        LIBVIRT >= (9,), "a libvirt that can turn hotplug off at the root of PCI"
    ),
}
DISK = "/var/lib/libvirt/images/hda.img"
DEVICES = f"""
<disk type='file' device='disk'><source file='{DISK}'/><target dev='hda' bus='ide'/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>
  <address type='pci' domain='0' bus='0' slot='9' function='0'/></interface>
<graphics type='vnc' port='-1' passwd='sesame'/>
"""


class Desk(Commands):
    """With a guest, web-1, that changes its family."""

    def set(self, machine: str, *options: str) -> str:
        """Set web-1's machine type, which works; return what was said."""
        return self.run("set", "web-1", machine, "--force", *options)[1]

    def run(self, *argv: str) -> tuple[str, str]:
        """Run mthook-admin, which works; return standard output and standard error."""
        code, out, err = self.admin(*argv)
        assert code == 0, err
        return out, err

    def try_sync(self) -> tuple[int, str]:
        """Run mthook-sync; return its exit code and what it said."""
        self._capsys.readouterr()
        return sync.main(["--config-file", self._config]), self._capsys.readouterr().err

    def shown(self, *options: str) -> str:
        """Return web-1's definition, without mthook's own element."""
        xml = self.node.virsh("dumpxml", "--inactive", "web-1", *options).stdout
        lines = xml.replace("<metadata/>", "").splitlines()
        return "\n".join(line for line in lines if "mthook" not in line and "metadata>" not in line)

    def edit(self, old: str, new: str) -> None:
        """Change web-1's definition as ``virsh edit`` would."""
        xml = self.node.virsh("dumpxml", "--inactive", "--security-info", "web-1").stdout
        assert old in xml
        self.node.define(xml.replace(old, new))


def parts(xml: str) -> list[bytes]:
    """Return a domain's parts, whatever their order."""
    domain = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    found = [*domain.findall("devices/*"), *(one for one in domain if one.tag != "devices")]
    return sorted(etree.tostring(part, method="c14n") for part in found)


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """A lab host for the tests of this module."""
    with Host("node-1") as host:
        Daemon(host).close()  # makes the disks
        yield host


@pytest.fixture
def desk(node: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """The lab host without guests, and without a catalog."""
    yield Desk(node, tmp_path, capsys)
    for name in node.virsh("list", "--all", "--name").stdout.split():
        node.virsh("destroy", name, check=False)
        node.virsh("undefine", name, "--nvram", check=False)


@each(_CAPTURED, recorded=False, more=_MORE)
def test_a_guest_that_goes_back_is_exactly_what_it_was(desk: Desk, case: Case) -> None:
    """Every PCI address, controller and bus; it starts."""
    xml = fitted(startable(case.xml))
    here = str(summary.read(xml).machine)
    boards = ("i440fx", "q35") if "i440fx" in here else ("q35", "i440fx")
    there = here.replace(*boards)
    desk.node.define(xml.decode())
    desk.sync()
    before = desk.shown()

    desk.set(there)
    between = desk.shown()
    desk.set(here)

    assert f"machine='{there}'" in between
    assert desk.shown() == before

    desk.set(there)

    # libvirt itself changes the order of controllers when it is given its own XML.
    assert parts(desk.shown()) == parts(between)


def test_what_was_changed_since_stays_changed(desk: Desk) -> None:
    """Memory, a new disk, a password, a link; the rest is as it was."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    before = desk.shown()
    desk.set(Q35)
    desk.edit("<memory unit='KiB'>65536<", "<memory unit='KiB'>131072<")
    desk.edit("<model type='virtio'/>", "<model type='virtio'/><link state='down'/>")
    desk.edit("sesame", "open")
    disk = DEVICES.splitlines()[1].replace("hda", "vda").replace("'ide'", "'virtio'")
    desk.edit("</devices>", f"{disk}</devices>")

    said = desk.set(PC)

    after = desk.shown("--security-info")
    assert "<memory unit='KiB'>131072</memory>" in after
    assert "<link state='down'/>" in after
    assert "passwd='open'" in after
    assert "<target dev='vda' bus='virtio'/>" in after
    assert "<target dev='hda' bus='ide'/>" in after
    assert "slot='0x09'" in after
    assert (
        f"web-1 ({UUID}): interface 52:54:00:00:00:01: as it was, except for what was changed since or isn't kept,"
        " at PCI address 0000:00:09.0\n"
    ) in said
    gone = {line.strip() for line in before.splitlines()} - {
        line.strip() for line in after.splitlines()
    }
    assert gone - {""} == {
        "<memory unit='KiB'>65536</memory>",
        "<graphics type='vnc' port='-1' autoport='yes'>",
    }


def test_what_was_removed_since_does_not_come_back(desk: Desk) -> None:
    """A disk that is gone is gone."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    desk.set(Q35)
    shown = desk.shown()
    disk = shown[shown.index("<disk") : shown.index("</disk>") + len("</disk>")]
    desk.edit(disk, "")

    desk.set(PC)

    assert "<disk" not in desk.shown()
    desk.node.virsh("start", "web-1")


#: What libvirt shows everybody, though it may hold a secret.
SHOWN = """
<sysinfo type='fwcfg'><entry name='opt/com.coreos/config'>sesame</entry></sysinfo>
<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<qemu:env name='TOKEN' value='sesame'/></qemu:commandline>
</domain>"""


def test_no_secret_is_kept(desk: Desk) -> None:
    """The guest keeps it; the catalog never has it."""
    notes = "<n:notes xmlns:n='urn:notes'>sesame</n:notes>"
    xml = guest_xml("web-1", UUID, PC, devices=DEVICES, metadata=notes)
    desk.node.define(xml.replace("</domain>", SHOWN))
    desk.sync()
    before = desk.shown("--security-info")

    desk.set(Q35)
    desk.set(PC)

    with Catalog.open(desk.path) as catalog:
        kept = catalog.original(UUID)
    assert kept is not None
    assert b"sesame" not in kept.before + kept.after
    assert before.count("sesame") == 4
    assert desk.shown("--security-info") == before


def test_a_dry_run_shows_all_and_changes_nothing(desk: Desk) -> None:
    """Report and diff; neither the pin nor the definition nor what is kept."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    before = desk.shown()

    out, said = desk.run("set", "web-1", Q35, "--force", "--dry-run")

    assert f"web-1 ({UUID}): disk hda: bus ide → sata\n" in said
    assert f"web-1 ({UUID}): interface 52:54:00:00:00:01: PCI address 0000:00:09.0 → chosen" in said
    assert '+      <target dev="hda" bus="sata"/>' in out.splitlines()
    assert "sesame" not in out + said
    assert desk.shown() == before
    with Catalog.open(desk.path) as catalog:
        assert catalog.original(UUID) is None


#: It counts more than what the definition says.
OVERRIDE = f"""
<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<qemu:arg value='-machine'/><qemu:arg value='type={OLD}'/></qemu:commandline>
</domain>"""


def test_a_machine_type_in_an_argument_for_qemu_is_drift_and_cannot_be_set(desk: Desk) -> None:
    """What really runs is another type than libvirt says, and no definition changes that."""
    desk.node.define(guest_xml("web-1", UUID, PC))
    desk.sync()
    desk.node.define(guest_xml("web-1", UUID, PC).replace("</domain>", OVERRIDE))
    desk.node.virsh("start", "web-1")
    asked = '{"execute": "qom-get", "arguments": {"path": "/machine", "property": "type"}}'
    assert f"{OLD}-machine" in desk.node.virsh("qemu-monitor-command", "web-1", asked).stdout
    assert desk.node.machine("web-1") == PC

    code, said = desk.try_sync()

    assert code == 1 and f"an argument for QEMU makes it {OLD}, whatever <os><type> says" in said
    with Catalog.open(desk.path) as catalog:
        last = catalog.history(UUID)[-1]
    assert (last.event, last.old, last.new) == ("drift", PC, OLD)
    desk.node.virsh("destroy", "web-1")
    for other in (LAST_PC, Q35):
        code, _, said = desk.admin("set", "web-1", other, "--force")
        assert code != 0 and "take -machine out of <qemu:commandline>" in said
    desk.set(OLD)
    assert desk.try_sync()[0] == 0


def test_what_is_shown_has_no_secret(desk: Desk) -> None:
    """Neither the kernel's command line nor values for the firmware, in diff as in a dry run."""
    cmdline = "<kernel>/boot/vmlinuz</kernel><cmdline>token=sesame</cmdline></os>"
    xml = guest_xml("web-1", UUID, PC, devices=DEVICES).replace("</os>", cmdline)
    desk.node.define(xml.replace("</domain>", SHOWN))
    desk.sync()
    desk.node.virsh("undefine", "web-1")
    desk.node.define(xml.replace(PC, OLD).replace("</domain>", SHOWN))

    diff = desk.run("diff", "web-1")[0]
    dry = desk.run("set", "web-1", Q35, "--force", "--dry-run")[0]

    assert f'+    <type arch="x86_64" machine="{PC}">hvm</type>' in diff.splitlines()
    assert "<cmdline>(hidden)</cmdline>" in dry
    assert "sesame" not in diff + dry


def test_sync_converts_what_somebody_defined_as_another_family(desk: Desk) -> None:
    """Nova's default changed, say: the pin brings the guest back, and it starts."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    desk.node.virsh("undefine", "web-1")
    desk.node.define(guest_xml("web-1", UUID, Q35))

    desk.sync()

    assert f"machine='{PC}'" in desk.shown()
    desk.node.virsh("start", "web-1")
