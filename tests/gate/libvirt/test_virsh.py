# SPDX-License-Identifier: Apache-2.0
"""virsh and virt-install through the gate: every start is right the first time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.gate.node import GATE, Node, gated, uri
from tests.lab import OLD_PC, PC, Q35, Host, guest_xml
from tests.lab.guests import VIRT_TYPE
from tests.lab.site import UUID

OLD, NEW = OLD_PC, PC
SAVED = "/var/lib/libvirt/web-1.save"
EDITOR = f"sed -i s/{OLD}/{NEW}/"


@pytest.fixture
def pinned(here: Node) -> Node:
    """A host with a guest that has run as OLD, and is shut off and undefined."""
    here.through("create", "/dev/stdin", input=guest_xml("web-1", UUID, OLD))
    here.through("destroy", "web-1")
    assert here.pin() == OLD
    return here


def define(node: Node, machine: str = NEW) -> None:
    """Define the guest through the gate, as Nova would after an upgrade."""
    node.through("define", "/dev/stdin", input=guest_xml("web-1", UUID, machine))


def stops(node: Node) -> int:
    """How often a start was stopped."""
    return sum(event[0] == "stopped" for event in node.events())


def test_a_defined_guest_starts_as_what_it_is_pinned_to(pinned: Node) -> None:
    """At the first attempt; the hook has nothing to say."""
    define(pinned)
    pinned.through("start", "web-1")

    assert pinned.node.machine("web-1") == OLD
    assert stops(pinned) == 0
    pinned.await_event("rewritten", NEW, OLD)


def test_without_the_gate_the_same_start_is_stopped(pinned: Node) -> None:
    """What the gate is for."""
    pinned.redefine(NEW)

    assert f"pinned to {OLD}" in pinned.start()


def test_a_created_guest_starts_as_what_it_is_pinned_to(pinned: Node) -> None:
    """Transient ones too."""
    pinned.through("create", "/dev/stdin", "--validate", input=guest_xml("web-1", UUID, NEW))

    assert pinned.node.machine("web-1") == OLD
    assert stops(pinned) == 0


@pytest.mark.parametrize("options", [(), ("--transient",)])
def test_virt_install_makes_a_guest_anew(pinned: Node, options: Sequence[str]) -> None:
    """It creates the guest as one that ends with its installation, defines it, and listens to its events."""
    # Debian 11's 3.2 doesn't ask which system is to be installed, nor how the processor is checked.
    is_old = pinned.node.run(["virt-install", "--version"]).stdout.startswith("3.")
    processor = "kvm64" if is_old else "qemu64,check=none --osinfo require=off"
    guest = (
        f"--name web-1 --uuid {UUID} --virt-type {VIRT_TYPE} --machine {NEW} --cpu {processor}"
        " --memory 64 --disk none --network none --graphics none --boot hd"
        " --install no_install=yes --noautoconsole"
    )
    install = ("env", "HOME=/var/lib/libvirt", "virt-install", "--connect", uri(GATE))
    pinned.node.run([*install, *guest.split(), *options])

    assert pinned.node.machine("web-1") == OLD
    assert stops(pinned) == 0
    pinned.await_event("rewritten", NEW, OLD)


def test_an_edited_definition_keeps_its_pin(pinned: Node) -> None:
    """virsh edit reads, edits, and defines with validation."""
    define(pinned, OLD)
    pinned.node.run(
        ["env", f"EDITOR={EDITOR}", "virsh", "--quiet", "--connect", uri(GATE), "edit", "web-1"]
    )

    assert pinned.node.machine("web-1", "--inactive") == OLD
    pinned.await_event("rewritten", NEW, OLD)


def test_save_restore_and_managed_save(pinned: Node) -> None:
    """A saved guest comes back as it was."""
    define(pinned)
    pinned.through("start", "web-1")
    pinned.through("save", "web-1", SAVED)
    pinned.through("restore", SAVED)
    pinned.through("managedsave", "web-1")
    pinned.through("start", "web-1")

    assert pinned.node.machine("web-1") == OLD


def test_snapshots(pinned: Node) -> None:
    """Taken, listed, reverted to and deleted."""
    define(pinned)
    pinned.through("start", "web-1")
    pinned.through("snapshot-create-as", "web-1", "s1", "--memspec", "file=/var/lib/libvirt/s1.mem")
    assert pinned.through("snapshot-list", "web-1", "--name").stdout.split() == ["s1"]
    pinned.through("snapshot-delete", "web-1", "s1", "--metadata")

    assert pinned.node.machine("web-1") == OLD


def test_a_definition_of_another_family_becomes_what_the_guest_was(pinned: Node) -> None:
    """As the hook has kept it at its start; libvirt takes it, and the guest starts."""
    define(pinned, Q35)
    pinned.through("start", "web-1")

    assert pinned.node.machine("web-1") == pinned.node.machine("web-1", "--inactive") == OLD


def test_a_definition_that_would_lose_a_device_is_refused(pinned: Node) -> None:
    """In libvirt's own way, with all that an operator has to know."""
    xml = guest_xml("web-1", UUID, Q35, devices="<iommu model='intel'/>")
    done = pinned.through("define", "/dev/stdin", input=xml, check=False)

    assert done.returncode == 1
    assert (
        f"error: mthook: guest web-1 ({UUID}) is pinned to {OLD}, its definition says {Q35}, "
        "and can't be rewritten: "
    ) in done.stderr
    assert pinned.through("list", "--all", "--name").stdout.strip() == ""


def test_a_definition_without_uuid_is_of_another_guest(pinned: Node) -> None:
    """libvirt never takes it for the guest that has the name: it refuses it, or gives it a UUID of its own."""
    nameless = guest_xml("web-1", UUID, NEW).replace(f"<uuid>{UUID}</uuid>", "")
    define(pinned, OLD)
    done = pinned.through("define", "/dev/stdin", input=nameless, check=False)
    assert f"domain 'web-1' already exists with uuid {UUID}" in done.stderr

    pinned.through("undefine", "web-1")
    pinned.through("define", "/dev/stdin", input=nameless)
    assert pinned.node.machine("web-1") == NEW


def test_a_machine_type_left_to_libvirt_is_the_pins(pinned: Node) -> None:
    """Not what libvirt would choose today."""
    xml = guest_xml("web-1", UUID, NEW).replace(f' machine="{NEW}"', "")
    assert "machine=" not in xml
    pinned.through("define", "/dev/stdin", input=xml)

    assert pinned.node.machine("web-1") == OLD


@pytest.fixture(scope="module")
def beta() -> Iterator[Host]:
    """A host to migrate to."""
    with Host("beta") as host:
        yield host


@pytest.fixture
def there(beta: Host) -> Iterator[Node]:
    """That host with a gate, which other hosts reach too."""
    with gated(beta) as node:
        yield node


def test_a_migration_brings_the_right_definition_along(
    pinned: Node, there: Node, tmp_path: object
) -> None:
    """Through a gate on both sides; the persistent definition that the client sends along is wrong."""
    define(pinned)
    pinned.through("start", "web-1")
    persistent = f"{tmp_path}/persistent.xml"
    with open(persistent, "w") as file:
        file.write(guest_xml("web-1", UUID, NEW))
    argv = ["virsh", "--quiet", "--connect", pinned.outside(), "migrate", "--live", "--persistent"]
    argv += ["--undefinesource", "--persistent-xml", persistent]
    done = _outside([*argv, "web-1", there.outside(), "tcp://127.0.0.1"])

    assert done == ""
    assert there.node.machine("web-1") == OLD
    assert there.node.machine("web-1", "--inactive") == OLD
    pinned.await_event("rewritten", NEW, OLD)
    assert there.pin() == OLD


def test_a_tunnelled_migration_goes_through_the_gate(pinned: Node, there: Node) -> None:
    """All of the guest's memory is a stream on the destination's socket."""
    shared = "/tmp/mthook-gate-test"
    there.node.run(["rm", "-rf", shared])
    there.stop_gate()
    there.start_gate(f"listen = {shared}/sock\n")
    try:
        define(pinned)
        pinned.through("start", "web-1")
        pinned.through(
            *("migrate", "--live", "--p2p", "--tunnelled", "--persistent", "--undefinesource"),
            *("web-1", uri(f"{shared}/sock")),
        )
        assert there.node.machine("web-1") == OLD
        assert there.node.state("web-1") == "running"
    finally:
        there.node.run(["rm", "-rf", shared])


def _outside(argv: list[str]) -> str:
    import subprocess

    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr + done.stdout if done.returncode else ""
