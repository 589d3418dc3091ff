# SPDX-License-Identifier: Apache-2.0
"""``forecast`` and ``offer``, on libvirt's test driver."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import libvirt
import pytest

from mthook.catalog.store import Catalog
from mthook.operations.forecast import offering
from tests.offers import OFFERS

from .cloud import Cloud
from .conftest import DB, WEB, Run, pin, xml

#: Width of the terminals that the table is made for.
LONG = "a guest with a very long name"


@pytest.fixture(autouse=True)
def empty(driver: libvirt.virConnect) -> None:
    """The test driver begins with a domain of its own."""
    for domain in driver.listAllDomains():
        domain.destroy()
        domain.undefine()


@pytest.fixture
def later(tmp_path: Path) -> str:
    """What Debian sid offers, for the test driver's kind of domain."""
    found = OFFERS["11.1.3"]
    rows = [
        dataclasses.replace(one, virt_type="test")
        for one in found.capabilities
        if one.virt_type == "kvm"
    ]
    path = tmp_path / "sid.json"
    path.write_text(offering.to_text(dataclasses.replace(found, capabilities=tuple(rows))))
    return str(path)


def test_one_line_where_nothing_breaks(run: Run, later: str, domain: libvirt.virDomain) -> None:
    """No table, and when the first machine type ends."""
    assert run("forecast", "--offer", later) == (
        0,
        "",
        "QEMU 11.1.3 of Debian sid: nothing breaks for 1 guest; the first machine type ends with"
        " QEMU 12.2 (2027-12)\n",
    )


def test_what_breaks_is_a_table_and_the_cure_a_command(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, later: str
) -> None:
    """A guest whose machine type goes, and one that an alias would change."""
    driver.defineXML(xml("pc-i440fx-2.0", name=LONG))
    driver.defineXML(xml("pc-i440fx-7.2", uuid=DB, name="db-1"))
    pin(catalog, WEB, "pc-i440fx-2.0")
    pin(catalog, DB, "pc", seen="pc-i440fx-7.2")

    code, out, err = run("forecast", "--offer", later)

    assert code == 3
    assert [re.split("  +", line) for line in out.splitlines()[1:]] == [
        [LONG, "start", "pc-i440fx-2.0", "isn't offered"],
        ["db-1", "start", "pc", "becomes pc-i440fx-11.1"],
    ]
    assert err.splitlines() == [
        "QEMU 11.1.3 of Debian sid: 2 of 2 guests would break; the first machine type ends with QEMU 9.1"
        " (2024-08)",
        f"{LONG} ({WEB}): mthook-admin set '{LONG}' pc-i440fx-7.2",
        f"db-1 ({DB}): mthook-admin freeze db-1",
    ]


@pytest.mark.parametrize(
    ("machine", "element", "part", "since"),
    [
        ("microvm", "<input type='mouse' bus='ps2'/>", "input ps2", "10.7"),
        ("pc-q35-7.2", "<watchdog model='ib700'/>", "watchdog ib700", "9.3"),
    ],
)
def test_what_a_newer_libvirt_refuses_is_told_where_its_version_is_known(
    run: Run,
    driver: libvirt.virConnect,
    catalog: Catalog,
    later: str,
    machine: str,
    element: str,
    part: str,
    since: str,
) -> None:
    """Older ones start it, and a binary or a number has no libvirt."""
    driver.defineXML(xml(machine).replace("</devices>", f"{element}</devices>"))
    offer = json.loads(Path(later).read_text())
    for version in (None, "9.0.0", f"{since}.0"):
        Path(later).write_text(json.dumps({**offer, "libvirt_version": version}))
        code, out, err = run("forecast", "--offer", later)
        assert code == (3 if version == f"{since}.0" else 0)

    assert re.split("  +", out.splitlines()[1]) == [
        "web-1",
        "start",
        machine,
        f"libvirt refuses {part}",
    ]
    assert err.splitlines()[1:] == [
        f"web-1 ({WEB}): start fails: libvirt {since} and newer refuse its {part}; change that once such a"
        " libvirt is installed",
        f"web-1 ({WEB}): virsh edit web-1",
    ]
    (found,) = json.loads(run("forecast", "--offer", later, "-f", "json").out)
    assert (found["start"], found["refused"], found["breaks"]) == ("fails", part, True)


def test_the_cure_works(run: Run, catalog: Catalog, domain: libvirt.virDomain) -> None:
    """Typed as it is printed, it leaves nothing to complain of."""
    assert run("forecast", "--qemu", "12.2").err.splitlines()[1:] == [
        f"web-1 ({WEB}): mthook-admin set web-1 pc-i440fx-7.2"
    ]

    assert run("set", "web-1", "pc-i440fx-7.2").code == 0
    assert run("forecast", "--qemu", "12.2").code == 0


def test_json_has_every_guest(run: Run, later: str, domain: libvirt.virDomain) -> None:
    """By stable keys."""
    (found,) = json.loads(run("forecast", "--offer", later, "-f", "json").out)

    assert found == {
        "uuid": WEB,
        "name": "web-1",
        "state": "shut off",
        "arch": "x86_64",
        "running": None,
        "pin": "pc-i440fx-6.2",
        "defined": "pc-i440fx-6.2",
        "saved": None,
        "snapshots": {},
        "nova": None,
        "request_spec": None,
        "start": "works",
        "restore": None,
        "revert": None,
        "migration": None,
        "becomes": None,
        "refused": None,
        "ends": "12.2",
        "ends_at": "2027-12",
        "breaks": False,
        "cures": [],
        "rehearsed": [],
    }


def test_without_an_option_it_is_this_hosts_qemu(run: Run, domain: libvirt.virDomain) -> None:
    """As the last sync saw it."""
    code, out, err = run("forecast")

    assert (code, out) == (0, "")
    assert err.startswith("QEMU 7.2.22 of this host: nothing breaks for 1 guest; ")


def test_vendors_lines_cannot_be_judged_by_a_number(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """That is no success."""
    driver.defineXML(xml("pc-i440fx-rhel7.6.0"))

    code, out, err = run("forecast", "--qemu", "10.0")

    assert code == 4
    assert "can't be judged" in out
    assert err == "QEMU 10.0: 1 of 1 guests can't be judged\n"


def test_a_default_leaves_libvirts_guests_alone(run: Run, domain: libvirt.virDomain) -> None:
    """Their definitions have a machine type."""
    code, _, err = run("forecast", "--default", "x86_64=q35")

    assert code == 0
    assert err.startswith("the default x86_64=q35: nothing breaks")


def test_an_instance_without_a_record_gets_the_default(
    run: Run, cloud: Cloud, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Nova's database is asked; another one that has a record keeps its machine type."""
    cloud.add(WEB, host="here", machine=None)
    driver.defineXML(xml("pc-i440fx-7.2"))

    (found,) = json.loads(run("forecast", "--default", "x86_64=q35", "-f", "json").out)

    assert (found["start"], found["becomes"]) == ("changes", "pc-q35-7.2")
    assert found["cures"] == ["mthook-sync --only seed"]


def test_a_name_that_a_shell_would_misread_is_quoted(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, later: str
) -> None:
    """And one that virsh would take for an option is called by its UUID."""
    driver.defineXML(xml("pc-i440fx-2.0", name="$(reboot)"))
    driver.defineXML(xml("pc-i440fx-2.0", uuid=DB, name="--all"))

    err = run("forecast", "--offer", later).err

    assert "mthook-admin set '$(reboot)' pc-i440fx-7.2" in err
    assert f"mthook-admin set {DB} pc-i440fx-7.2" in err


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        (("--qemu", "ten"), 2, "'ten' isn't a version of QEMU such as 10.0"),
        (("--offer", "/nonexistent"), 1, "/nonexistent: No such file or directory"),
        (("--qemu-binary", "/nonexistent"), 1, "/nonexistent isn't a program that can be run"),
        (("--qemu-binary", "/bin/true"), 1, "/bin/true doesn't answer as a QEMU does"),
    ],
)
def test_what_is_no_qemu_is_said_in_one_line(
    run: Run, catalog: Catalog, arguments: tuple[str, ...], expected: int, words: str
) -> None:
    """A wrong version is a wrong command line."""
    code, out, err = run("forecast", *arguments)

    assert (code, out, err.count("\n")) == (expected, "", 1)
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--qemu", "10.0", "--default", "x86_64=pc"), "--qemu and --default don't go together"),
        (("--rehearse",), "--rehearse needs --qemu-binary PATH"),
        (("--default", "q35"), "--default is ARCH=TYPE, such as x86_64=q35"),
        (("--default", "x86_64=a b"), "--default: machine type 'a b' holds characters"),
    ],
)
def test_a_wrong_command_line_is_told_so(
    run: Run, catalog: Catalog, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2."""
    code, out, err = run("forecast", *arguments)

    assert (code, out) == (2, "")
    assert words in err


def test_an_offer_of_another_architecture_is_refused(
    run: Run, later: str, tmp_path: Path, domain: libvirt.virDomain
) -> None:
    """Nothing could be judged by it."""
    path = tmp_path / "arm.json"
    path.write_text(Path(later).read_text().replace('"x86_64"', '"aarch64"'))

    code, out, err = run("forecast", "--offer", str(path))

    assert (code, out) == (1, "")
    assert err == (
        "mthook-admin: QEMU 11.1.3 of Debian sid is for aarch64, armv7l, this host's guests are x86_64\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff", "not UTF-8 at byte 0"), (b"{}", "not an offer in the format mthook-offer-1")],
)
def test_a_file_that_is_no_offer_is_named(
    run: Run, tmp_path: Path, domain: libvirt.virDomain, content: bytes, words: str
) -> None:
    """With the command that makes one."""
    path = tmp_path / "offer"
    path.write_bytes(content)

    code, _, err = run("forecast", "--offer", str(path))

    assert (code, err.count("\n")) == (1, 1)
    assert f"{path}: {words}" in err


def test_offer_prints_what_forecast_reads(
    run: Run, tmp_path: Path, domain: libvirt.virDomain
) -> None:
    """That of a binary; and of this host, whose libvirt lists nothing here."""
    path = tmp_path / "offer.json"
    path.write_text(run("offer", "--qemu-binary", "/usr/bin/qemu-system-x86_64").out)

    found = offering.from_text(path.read_text())
    assert (found.name, found.libvirt_version) == ("/usr/bin/qemu-system-x86_64", None)
    assert {one.virt_type for one in found.capabilities} == {"kvm", "qemu"}
    assert run("forecast", "--offer", str(path)).code == 4  # libvirt's test driver has neither
    assert json.loads(run("offer").out)["format"] == "mthook-offer-1"
