# SPDX-License-Identifier: Apache-2.0
"""By hand mthook-sync speaks; under cron it is silent, and repeats itself once a day."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mthook import conf
from mthook.locks import LOCK, only_one
from tests.unit.host.fakes import OTHER, UUID, FakeDomain, domain_xml
from tests.unit.operations.sync.setting import Setting, wait_for_repair

OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"


def test_on_a_terminal_each_guest_is_a_line_and_the_last_one_sums_up(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error; nothing is data. What is done to a guest in a row is joined."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    setting.libvirt.domains = [FakeDomain(domain_xml(NEW), running=domain_xml(OLD))]

    code, out, err = setting.sync()

    assert (code, out) == (0, "")
    assert err == (
        "hook: settings updated, mode enforce\n"
        f"web-1: pinned to {OLD} (from the running guest), definition mended ({NEW} → {OLD})\n"
        "mthook-sync: guests: 1, pinned: 1, realigned: 1, drift: 0, left alone: 0, errors: 0\n"
    )


#: What Nova puts into the definition of an instance that it calls "web one".
IN_NOVA = (
    "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>"
    "<nova:name>web one</nova:name></nova:instance>"
)


def test_a_repair_is_one_line(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition first, then the start."""
    setting.libvirt.domains = [FakeDomain(domain_xml(NEW))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, OLD, source="operator", actor="root")
    wait_for_repair(setting)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    _, _, err = setting.sync("--only", "repair", "--start")

    assert err.splitlines()[1] == f"web-1: definition mended ({NEW} → {OLD}), started"


def test_a_guest_of_novas_is_called_by_its_name_there(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that have the same name are two lines."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    setting.libvirt.domains = [
        FakeDomain(domain_xml(OLD, uuid=uuid, metadata=IN_NOVA), uuid=uuid, name=name)
        for uuid, name in ((UUID, "instance-1"), (OTHER, "instance-2"))
    ]

    pinned = f"web one: pinned to {OLD} (from the definition)"
    assert setting.sync()[2].splitlines()[1:3] == [pinned, pinned]


def test_everything_else_calls_a_guest_by_all_its_names(setting: Setting) -> None:
    """What -v prints, a dry run, and the errors; as mthook-admin does."""
    who = f"web one (instance-1, {UUID})"
    guest = FakeDomain(domain_xml(OLD, metadata=IN_NOVA), name="instance-1")
    setting.libvirt.domains = [guest]

    assert f"would pin {who} to {OLD}" in setting.sync("--dry-run")[1]
    assert f"mthook-sync: pinned {who} to {OLD}" in setting.sync("-v")[2]
    guest.defined = domain_xml("virt-7.2", metadata=IN_NOVA)
    error = setting.sync()[2]
    assert error.startswith(f"mthook-sync: {who}: ")


def test_json_on_a_terminal_is_json_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells all of it already."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert setting.sync("--format", "json")[2] == ""


def test_under_cron_it_is_silent(setting: Setting) -> None:
    """Cron would send mail."""
    setting.libvirt.domains = [FakeDomain(domain_xml(NEW))]

    assert setting.sync() == (0, "", "")


def broken(uuid: str = UUID, name: str = "web-1") -> FakeDomain:
    """A guest whose XML can't be read."""
    return FakeDomain("<domain>", uuid=uuid, name=name)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time go by."""
    real = time.time

    def pass_by(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return pass_by


def test_a_fault_that_lasts_is_reported_once_and_then_once_a_day(
    setting: Setting, later: Callable[[float], None]
) -> None:
    """By runs from a timer; each ends with exit code 1 all the same."""
    setting.libvirt.domains = [broken()]

    runs = {}
    for seconds in (0, 300, 86000, 86700, 87000):
        later(seconds)
        runs[seconds] = setting.sync("--scheduled")

    assert {code for code, _, _ in runs.values()} == {1}
    assert [bool(err) for _, _, err in runs.values()] == [True, False, False, True, False]
    assert f"web-1 ({UUID})" in runs[0][2]


def test_another_fault_is_reported_at_once(setting: Setting) -> None:
    """And alone."""
    setting.libvirt.domains = [broken()]
    setting.sync("--scheduled")
    setting.libvirt.domains.append(broken(OTHER, "web-2"))

    said = setting.sync("--scheduled")[2]

    assert "web-2" in said
    assert "web-1" not in said


def test_a_fault_that_comes_back_is_a_new_one(setting: Setting) -> None:
    """A run of one step in between doesn't look at it, and so doesn't end it."""
    setting.libvirt.domains = [broken()]
    setting.sync("--scheduled")
    setting.libvirt.domains = []
    setting.sync("--scheduled", "--only", "repair")
    setting.libvirt.domains = [broken()]
    assert setting.sync("--scheduled")[2] == ""

    setting.libvirt.domains = []
    setting.sync("--scheduled")
    setting.libvirt.domains = [broken()]

    assert setting.sync("--scheduled")[2] != ""


def test_a_run_that_breaks_off_ends_no_fault(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While libvirt is away nobody knows how the guests are."""
    setting.libvirt.domains = [broken()]
    setting.sync("--scheduled")
    setting.configure("[hook]\nmode = loud\n")
    monkeypatch.setattr(conf, "DEFAULT_CATALOG", setting.path)
    assert setting.sync("--scheduled")[2] != ""
    assert setting.sync("--scheduled")[2] == ""
    setting.configure()

    assert setting.sync("--scheduled")[2] == ""


def test_without_the_option_every_run_complains(setting: Setting) -> None:
    """A script that gets exit code 1 is told why."""
    setting.libvirt.domains = [broken()]
    setting.sync("--scheduled")

    assert setting.sync()[2] == setting.sync()[2] != ""


def test_a_dry_run_keeps_nothing(setting: Setting) -> None:
    """It changes nothing."""
    setting.libvirt.domains = [broken()]
    with setting.catalog():
        assert setting.sync("--scheduled", "--dry-run")[2] != ""

    assert not Path(setting.path).with_name("reported.json").exists()


@pytest.mark.parametrize("text", ["", "[", "[]", '{"x": 1}'])
def test_what_was_kept_and_cant_be_read_is_reported_again(setting: Setting, text: str) -> None:
    """And then kept anew, for root alone."""
    setting.libvirt.domains = [broken()]
    setting.sync("--scheduled")
    kept = Path(setting.path).with_name("reported.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_text(text)

    assert setting.sync("--scheduled")[2] != ""
    assert len(json.loads(kept.read_text())) == 1


def test_a_run_that_another_one_keeps_out_is_told_once(setting: Setting) -> None:
    """Whichever it is; once a run came through, that is another time."""
    setting.sync()
    directory = os.path.dirname(setting.path)
    said = []
    for pid in ("4711", "4712"):
        with only_one(directory):
            Path(directory, LOCK).write_text(f"{pid}\n")
            said.append(setting.sync("--scheduled"))
    setting.sync("--scheduled")
    with only_one(directory):
        said.append(setting.sync("--scheduled"))

    assert [code for code, _, _ in said] == [3, 3, 3]
    assert ["another mthook-sync is running" in err for _, _, err in said] == [True, False, True]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("--cloud",), "--cloud: the configuration has no [api_database] connection"),
        (("--only", "push"), "--only push: the configuration has no [database] connection"),
    ],
)
def test_what_the_configuration_forbids_is_told_once_too(
    setting: Setting, argv: tuple[str, ...], text: str
) -> None:
    """A timer that asks for it does so every time; exit code 2, which no timer takes for done."""
    setting.sync()

    assert setting.sync("--scheduled", *argv) == (2, "", f"mthook-sync: {text}\n")
    assert setting.sync("--scheduled", *argv) == (2, "", "")
    assert setting.sync(*argv) == (2, "", f"mthook-sync: {text}\n")


def test_on_a_terminal_a_timers_run_speaks_too(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody looks on."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    assert "pinned" not in setting.sync("--scheduled")[2]
    assert setting.sync("--scheduled")[2] == (
        "mthook-sync: guests: 0, drift: 0, left alone: 0, errors: 0\n"
    )


def test_what_cant_be_kept_is_reported_each_time(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or no directory at all."""
    monkeypatch.setattr(conf, "DEFAULT_CATALOG", f"{os.path.dirname(setting.path)}/none/c.sqlite")
    setting.configure("[hook]\nmode = loud\n")

    assert setting.sync("--scheduled")[2] == setting.sync("--scheduled")[2] != ""
