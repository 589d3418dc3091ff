# SPDX-License-Identifier: Apache-2.0
"""What mthook-sync leaves of itself: how it ended, and figures for Prometheus."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import libvirt
import pytest

from mthook.hook import daemons
from mthook.locks import only_one
from mthook.text import now
from tests.unit.host.fakes import FakeDomain, domain_xml
from tests.unit.operations.sync.setting import Setting

#: libvirt.open itself.
OPEN = libvirt.open
UNREACHABLE = "[libvirt]\nconnection_uri = qemu+unix:///system?socket=/nonexistent\n"


class Told:
    """The file that node_exporter reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.option = f"[metrics]\ntextfile = {path}\n"

    def __getitem__(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.path.read_text(), re.MULTILINE)
        assert found is not None, name
        return float(found[1])


@pytest.fixture
def told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A host that is to have the file."""
    monkeypatch.setattr(daemons, "running", lambda *_: [])
    told = Told(setting.config.with_name("mthook.prom"))
    setting.configure(told.option)
    return told


def test_a_run_writes_the_figures(setting: Setting, told: Told) -> None:
    """As it leaves the host, itself included."""
    begun = now()
    setting.libvirt.domains = [FakeDomain(domain_xml(), running=domain_xml("pc-i440fx-6.2"))]

    assert setting.sync() == (0, "", "")

    labels = '{deprecated="no",machine="pc-i440fx-6.2",state="running"}'
    assert told[f"mthook_guests{labels}"] == 1
    assert told['mthook_rewrites_total{line="realign"}'] == 1
    assert told["mthook_sync_errors"] == 0
    with setting.catalog() as catalog:
        host = catalog.host()
    assert host.ran_at is not None and host.ran_at == host.succeeded_at
    assert begun < host.ran_at <= now()


def test_a_run_looks_for_libvirts_daemon_once(
    setting: Setting, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all that it sweeps, proves and counts: each look reads all of /proc."""
    asked: list[str] = []
    monkeypatch.setattr(daemons, "behind", asked.append)

    setting.sync()

    assert len(asked) == 1
    assert told["mthook_guard_proven"] == 0


@pytest.mark.parametrize("argv", [("--dry-run",), ("--only", "seed")])
def test_half_a_run_writes_nothing(setting: Setting, told: Told, argv: tuple[str, ...]) -> None:
    """Nor does it count as one."""
    setting.sync()
    with setting.catalog() as catalog:
        before = catalog.host()
    told.path.unlink()

    assert setting.sync(*argv)[0] == 0

    assert not told.path.exists()
    with setting.catalog() as catalog:
        assert catalog.host() == before


def test_a_run_with_errors_is_counted_as_such(setting: Setting, told: Told) -> None:
    """The last one that went well is still known."""
    setting.sync()
    succeeded = told["mthook_sync_last_success_timestamp_seconds"]
    setting.libvirt.domains = [FakeDomain("<domain>")]

    assert setting.sync()[0] == 1

    assert told["mthook_sync_errors"] == 1
    assert told["mthook_sync_last_success_timestamp_seconds"] == succeeded
    assert told["mthook_sync_last_run_timestamp_seconds"] > succeeded


def test_a_run_that_broke_off_is_told(
    setting: Setting, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just then somebody should hear of it; guests are as they were."""
    setting.libvirt.domains = [FakeDomain()]
    setting.sync()
    monkeypatch.setattr(libvirt, "open", OPEN)
    setting.configure(UNREACHABLE + told.option)

    code, _, err = setting.sync()

    assert (code, len(err.splitlines())) == (1, 1)
    assert told["mthook_sync_errors"] == 1
    assert (
        told["mthook_sync_last_run_timestamp_seconds"]
        > told["mthook_sync_last_success_timestamp_seconds"]
    )
    assert told["mthook_unpinned_guests"] == 0


def test_a_gate_that_is_bypassed_is_an_error_of_each_run(setting: Setting, told: Told) -> None:
    """systemd has led its clients past it, and nothing else may be wrong."""
    gate = told.path.with_name("gate")
    gate.symlink_to("/run/libvirt/libvirt-sock")
    setting.configure(f"[gate]\nlisten = {gate}\n{told.option}")

    code, _, err = setting.sync()

    assert (code, told["mthook_sync_errors"], told["mthook_gate_judges"]) == (1, 1, 0)
    assert err == (
        "mthook-sync: mthook-gate doesn't start: its clients reach /run/libvirt/libvirt-sock, and what they define"
        " passes unjudged: 'mthook-admin doctor' says what to do\n"
    )


def test_a_run_that_had_to_wait_is_none(setting: Setting, told: Told) -> None:
    """The other one writes the figures."""
    setting.sync()
    told.path.unlink()

    with only_one(os.path.dirname(setting.path)):
        assert setting.sync()[0] == 3

    assert not told.path.exists()


def test_without_a_catalog_the_error_is_told_once(setting: Setting, told: Told) -> None:
    """There is nothing to count then, and nothing is made up."""
    os.mkdir(os.path.dirname(setting.path), 0o755)

    code, _, err = setting.sync()

    assert (code, len(err.splitlines())) == (1, 1)
    assert not told.path.exists()


def test_a_file_that_cant_be_written_is_an_error_after_all_else(
    setting: Setting, told: Told
) -> None:
    """Pins are there, definitions are mended, and the run itself counts as one that went well."""
    setting.libvirt.domains = [FakeDomain(domain_xml(), running=domain_xml("pc-i440fx-6.2"))]
    missing = told.path.parent / "missing"
    setting.configure(f"[metrics]\ntextfile = {missing}/mthook.prom\n")

    assert setting.sync() == (
        1,
        "",
        f"mthook-sync: [metrics] textfile: {missing}/mthook.prom can't be written: No such file or directory; make the"
        f" directory {missing}, or correct the option\n",
    )

    assert [event for event, *_ in setting.events()] == ["pinned", "realigned"]
    with setting.catalog() as catalog:
        host = catalog.host()
    assert (host.last_sync_ok, host.ran_errors) == (True, 0)


@pytest.mark.parametrize("value", ["mthook.prom", "/var/lib/mthook.txt", ""])
def test_a_name_that_node_exporter_doesnt_read_is_refused(setting: Setting, value: str) -> None:
    """One line names the option's value."""
    setting.configure(f"[metrics]\ntextfile = {value}\n")

    code, _, err = setting.sync()

    assert (code, len(err.splitlines())) == (1, 1)
    assert "textfile" in err


def test_who_doesnt_want_figures_doesnt_pay_for_them(setting: Setting) -> None:
    """Nothing of Prometheus' is loaded."""
    setting.configure(UNREACHABLE)
    script = (
        "import sys; from mthook.tools import sync\n"
        "sync.main(['--config-file', sys.argv[1]])\n"
        "print(*[name for name in sys.modules if 'prometheus' in name or 'operations.metrics' in name])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(setting.config)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "can't be reached" in done.stderr
    assert done.stdout == "\n"
