# SPDX-License-Identifier: Apache-2.0
"""forecast and rehearsal on a real libvirtd, with the QEMU that is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from lxml import etree

from mthook.host import stage
from tests.corpus import CASES
from tests.lab import OFFER, PC, Q35, Host, guest_xml
from tests.lab.processes import wait_until
from tests.lab.requirements import EMULATOR
from tests.libvirt.conversion import Daemon, fitted, is_known, lacks, startable

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
NEW, OLD, *_ = OFFER.releases(deprecated=False)
#: Of the corpus, what this machine knows; not each QEMU has Spice. The whole of it is ``make matrix``.
DOMAINS = [
    case
    for case in CASES
    if case.name.startswith("libvirt-")
    and is_known(case.xml)
    and not (lacks(case.xml) or b"spice" in case.xml or b"qxl" in case.xml)
][::8]
#: A device that no QEMU has.
WRONG = (
    "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
    "<qemu:arg value='-cpu'/><qemu:arg value='nobody'/></qemu:commandline></domain>"
)


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """A lab host with mthook's configuration."""
    with Host("forecaster") as host:
        host.path("/etc/mthook/mthook.conf").write_text("[hook]\nmode = enforce\n")
        yield host


@pytest.fixture(autouse=True)
def without_guests(node: Host) -> Iterator[None]:
    """Nothing is left of the test before."""
    yield
    node.remove_guests()


def forecast(node: Host, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, guests by name, and what was said."""
    node.mthook("mthook-sync", check=False)
    done = node.mthook("mthook-admin", "forecast", "-f", "json", *arguments, check=False)
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}, done.stderr


def rehearse(node: Host, binary: str = EMULATOR) -> tuple[int, dict[str, Any], str]:
    """Rehearse under a binary."""
    return forecast(node, "--qemu-binary", binary, "--rehearse")


def test_a_saved_guest_and_a_snapshot_are_found(node: Host) -> None:
    """With the machine types that they hold, and what there is to do before QEMU lacks them."""
    node.boot("web-1", OLD, uuid=UUID)
    node.virsh("snapshot-create-as", "web-1", "before", "--halt", check=False)
    node.boot("db-1", OLD)
    node.virsh("managedsave", "db-1")

    code, found, said = forecast(node, "--qemu", "99.0")

    assert code == 3
    assert (found["db-1"]["saved"], found["db-1"]["restore"]) == (OLD, "fails")
    assert "): virsh start db-1\n" in said and "): virsh shutdown db-1\n" in said


def test_every_distinct_definition_is_started(node: Host) -> None:
    """Those that start do, and the host is as it was before."""
    names = []
    for number, (machine, devices) in enumerate(
        (
            (PC, ""),
            (Q35, "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"),
            (OLD, "<interface type='user'><model type='e1000'/></interface>"),
        )
    ):
        names.append(f"guest-{number}")
        uuid = f"{UUID[:-1]}{number}"
        node.define(guest_xml(names[-1], uuid, machine, devices=devices))
    before = _state(node)

    code, found, _ = rehearse(node)

    assert code == 0
    assert {name: [one["error"] for one in found[name]["rehearsed"]] for name in names} == {
        name: [None] for name in names
    }
    assert _state(node) == before


def _state(node: Host) -> list[str]:
    """Return what a rehearsal mustn't change: guests, files, network devices, processes."""
    looks = (
        "find /var/lib/libvirt /run/libvirt /etc/libvirt ! -type d ! -name '*.pid' | sort",
        "ls /sys/class/net; ls -d /sys/fs/cgroup/*",
        "pgrep -c qemu-system",
        "virsh -q list --all",
    )
    return [node.run(["sh", "-c", look], check=False).stdout for look in looks]


def test_what_does_not_start_is_told_in_qemus_words(node: Host) -> None:
    """The others are tried all the same; and nothing of the guest's files is touched."""
    node.define(guest_xml("bad", UUID).replace("</domain>", WRONG))
    node.define(guest_xml("good", f"{UUID[:-1]}2"))

    code, found, said = rehearse(node)

    assert code == 3
    assert [one["error"] for one in found["good"]["rehearsed"]] == [None]
    assert "unable to find CPU model 'nobody'" in found["bad"]["rehearsed"][0]["error"]
    assert f"bad ({UUID}): start fails: " in said
    assert found["bad"]["cures"] == ["virsh edit bad"]


def test_a_qemu_that_hangs_is_given_up(node: Host, tmp_path: Path) -> None:
    """It answers about itself, and then no more: it is killed, with all that it started."""
    node.define(guest_xml("web-1", UUID))
    binary = tmp_path / "qemu"
    binary.write_text(
        f'#!/bin/sh\ncase "$*" in *"-qmp stdio"*) exec {EMULATOR} "$@";; esac\nsleep 4711\n'
    )
    binary.chmod(0o755)

    patient = "from mthook.host import rehearsal; rehearsal.SECONDS = 3"
    main = "import sys; from mthook.tools.admin import main; sys.exit(main(sys.argv[1:]))"
    asked = ["forecast", "-f", "json", "--qemu-binary", str(binary), "--rehearse"]
    node.mthook("mthook-sync", check=False)
    done = node.run([sys.executable, "-c", f"{patient}\n{main}", *asked], check=False)
    found = {one["name"]: one for one in json.loads(done.stdout)}

    assert done.returncode == 3
    assert "doesn't start within" in found["web-1"]["rehearsed"][0]["error"]
    _await_end(node, "sleep 4711")


def test_a_killed_rehearsal_leaves_nothing(node: Host) -> None:
    """The namespaces end with the command."""
    node.define(guest_xml("web-1", UUID))
    node.mthook("mthook-sync", check=False)
    script = "mthook-admin forecast --qemu-binary {} --rehearse & sleep 3; kill -9 $!"
    directory = Path(sys.executable).parent
    node.run(["sh", "-c", f"PATH={directory}:$PATH; {script.format(EMULATOR)}"], check=False)

    _await_end(node, "mthook.host.stage|qemu-system")


def _await_end(node: Host, processes: str) -> None:
    """Namespaces end a moment after those who had them made."""
    found = lambda: node.run(["pgrep", "-fa", processes], check=False).stdout  # noqa: E731
    wait_until("Something is left", lambda: found() == "", found)


def test_the_corpus_starts_in_rehearsal_as_it_does(node: Host) -> None:
    """What libvirtd starts a rehearsal starts, and the other way round; ``make matrix`` tries all of them."""
    daemon = Daemon(node)
    real = {}
    for number, case in enumerate(DOMAINS):
        xml = fitted(startable(case.xml)).decode()
        name, uuid = f"case-{number}", f"{UUID[:-3]}{number:03x}"
        xml = _renamed(xml, name, uuid)
        real[name] = daemon.refusal(xml.encode(), start=True) == ""
        node.define(xml)
    daemon.close()

    _, found, _ = rehearse(node)

    told = {name: found[name]["rehearsed"][0]["error"] is None for name in real}
    assert told == real
    assert len(real) > 5


def _renamed(xml: str, name: str, uuid: str) -> str:
    domain = etree.fromstring(xml)
    for tag, text in (("name", name), ("uuid", uuid)):
        found = domain.find(tag)
        assert found is not None
        found.text = text
    return etree.tostring(domain, encoding="unicode")


def test_the_stage_is_covered() -> None:
    """What holds guests' files on a host is hidden from domains that are tried."""
    assert {"/run", "/var/lib/libvirt", "/etc/libvirt"} <= set(stage._COVERED)
    assert libvirt.getVersion() >= 6001000  # the first with qemu:///embed
