# SPDX-License-Identifier: Apache-2.0
"""``doctor``: is mthook at work on this host?"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mthook.catalog.records import Guest
from mthook.hook import daemons, install, seen
from mthook.hook.daemons import Daemon
from mthook.operations.readiness import guard, schedule
from mthook.operations.setup import places
from mthook.text import now
from mthook.tools import admin
from tests.unit.hook.likeqemu import like_qemu

from .conftest import DATABASE, DB, OLD, UNREACHABLE, WEB, Desk, Said

#: The directory of the hook's records.
Starts = Path
ENABLE = "systemctl enable --now mthook-sync.timer"


class Host:
    """A host, what runs mthook-sync on it, and the doctor."""

    def __init__(self, desk: Desk, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk = desk
        self.cron = directory / "cron.d"
        self.cron.mkdir()
        self._capsys = capsys

    def schedule(self) -> Path:
        """Have cron run it."""
        job = self.cron / "mthook"
        job.write_text("# mthook-sync\n*/5 * * * * root /usr/bin/mthook-sync --scheduled\n")
        return job

    def ask(self, *argv: str) -> Said:
        """Run the doctor."""
        self._capsys.readouterr()
        files = ["--config-file", str(self.desk.config)]
        code = admin.main([*files, "doctor", "--hooks-dir", str(self.desk.hooks), *argv])
        return Said(int(code), *self._capsys.readouterr())

    def findings(self, check: str) -> list[dict[str, Any]]:
        """Return what a check finds."""
        found = json.loads(self.ask("-f", "json").out)["checks"]
        return next(list(one["findings"]) for one in found if one["id"] == check)


@pytest.fixture
def host(
    web: Desk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Host:
    """A host where all is well: a hook that was called, cron, a guest that is what its pin says."""
    here = Host(web, tmp_path, capsys)
    monkeypatch.setattr(places, "CRON", str(here.cron))
    monkeypatch.setattr(places, "SYSTEMD_RUNS", str(tmp_path / "none"))
    monkeypatch.setattr(schedule, "_CRON", ())
    here.schedule()
    with web.catalog() as catalog:
        catalog.add_history(WEB, "pinned", actor="hook", new=OLD)
    return here


def test_a_host_where_all_is_well_is_told_in_lines_for_people(host: Host) -> None:
    """None longer than a terminal; code 0."""
    said = host.ask()

    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "OK: 12 checks found nothing wrong"
    assert [line.split(":")[0] for line in lines[1:] if not line.startswith(" ")] == [
        "Success  Hook",
        "Success  Hook called",
        "Success  Gate",
        "Success  Schedule",
        "Success  Last sync",
        "Success  Configuration files",
        "Success  Database rights",
        "Success  Guests pinned",
        "Success  Drift",
        "Success  Pins supported by QEMU",
        "Success  Next release of QEMU",
        "Success  Definitions and saved state",
    ]
    assert max(len(line) for line in lines if str(host.desk.hooks.parent) not in line) <= 80


def test_what_fails_is_told_with_the_command_that_helps(host: Host) -> None:
    """Once, and whole, to be copied; code 1."""
    (host.desk.hooks / "qemu").unlink()
    host.desk.configure(DATABASE)
    host.desk.config.chmod(0o644)

    said = host.ask()

    assert said.code == 1
    assert said.out.startswith("NOT OK: 3 failures (Hook, Configuration files, Database rights)\n")
    assert "'mthook-admin hook install'" in said.out
    assert f"'chmod o-rwx {host.desk.config}'" in said.out
    assert "sesame" not in said.out


def test_warnings_alone_are_code_0(host: Host) -> None:
    """A host that only watches does what it is to do."""
    host.desk.configure("[hook]\nmode = audit\n")

    said = host.ask()

    assert (said.code, said.out.splitlines()[0]) == (0, "OK, with 1 warning (Hook)")


def test_as_data_it_is_what_the_status_has(host: Host) -> None:
    """The same keys."""
    said = host.ask("--format", "json")

    found = json.loads(said.out)
    assert list(found) == ["answer", "severity", "counts", "checks"]
    assert list(found["checks"][0]["findings"][0]) == [
        *("kind", "severity", "subjects", "facts", "remedy"),
    ]


def test_without_root_it_is_one_line(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ten failures that all mean that."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert host.ask() == (
        1,
        "",
        "mthook-admin: 'mthook-admin doctor' reads what only root may read: run it as root\n",
    )


def test_no_job_and_no_lately_ended_sync_is_a_failure(host: Host) -> None:
    """A comment in another job's file is none."""
    job = host.schedule()
    job.write_text("# */5 * * * * root mthook-sync --scheduled\n0 0 * * * root true\n")
    with host.desk.catalog() as catalog:
        catalog.set_last_sync("2026-01-01T00:00:00.000000Z", ok=True)

    (found,) = host.findings("schedule")

    assert (found["kind"], found["severity"]) == ("not_scheduled", "failure")
    assert found["remedy"] == "mthook-admin setup"


def test_something_else_may_run_it(host: Host) -> None:
    """As far as the last sync shows: a warning."""
    host.schedule().unlink()

    assert host.findings("schedule")[0]["severity"] == "warning"


Systemd = Callable[[str, str], None]


@pytest.fixture
def systemd(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """What systemd says of the timer; cron has no job."""
    host.schedule().unlink()
    monkeypatch.setattr(places, "SYSTEMD_RUNS", str(tmp_path))

    def say(enabled: str, active: str) -> None:
        def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            if argv[0] != "systemctl":  # the hook's own interpreter is tried
                return subprocess.CompletedProcess(argv, 0, "", "")
            assert argv[2] == "mthook-sync.timer"
            word = {"is-enabled": enabled, "is-active": active}[argv[1]]
            return subprocess.CompletedProcess(argv, 0, f"{word}\n", "")

        monkeypatch.setattr(subprocess, "run", run)

    return say


@pytest.mark.parametrize(
    ("enabled", "active", "kind", "severity"),
    [
        ("enabled", "active", "timer", "success"),
        ("disabled", "active", "timer_off", "warning"),
        ("enabled", "inactive", "timer_off", "failure"),
        ("enabled", "failed", "timer_off", "failure"),
        ("masked", "inactive", "timer_off", "failure"),
        ("not-found", "inactive", "not_scheduled", "warning"),
        ("", "inactive", "not_scheduled", "warning"),
    ],
)
def test_the_timer_is_well_if_it_runs_now_and_after_a_boot(
    host: Host, systemd: Systemd, enabled: str, active: str, kind: str, severity: str
) -> None:
    """As systemd says; the last sync was a moment ago."""
    systemd(enabled, active)

    (found,) = host.findings("schedule")

    assert (found["kind"], found["severity"]) == (kind, severity)
    if kind == "timer_off":
        assert found["remedy"] == ENABLE
        words = " ".join(host.ask().out.split())
        assert f"mthook-sync.timer is {enabled} and {active}. Run '{ENABLE}'." in words


def test_without_systemctl_cron_is_asked(
    host: Host, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that shares the host's /run."""

    def run(*_: object, **__: object) -> None:
        raise FileNotFoundError("systemctl")

    monkeypatch.setattr(subprocess, "run", run)
    job = host.schedule()

    assert host.findings("schedule")[0]["facts"] == {"path": str(job)}


@pytest.fixture
def starts(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    """Two guests, for whose QEMUs one process stands, on a host whose hook was installed before."""
    records, pids = tmp_path / "seen", tmp_path / "pids"
    monkeypatch.setattr(seen, "RECORDS", str(records))
    monkeypatch.setattr(seen, "PID_FILES", str(pids))
    monkeypatch.setattr(install, "DEFAULT_DIRECTORY", str(host.desk.hooks))
    host.desk.configure(uri=UNREACHABLE)
    with host.desk.catalog() as catalog:
        guest = {"arch": "x86_64", "virt_type": "test", "running": OLD, "state": "running"}
        catalog.see_guests([Guest(WEB, "web-1", **guest), Guest(DB, "db-1", **guest)], now())
        catalog.set_daemons(json.dumps({"told": [], "at": "2001-01-01T00:00:00.000000Z"}))
    records.mkdir()
    pids.mkdir()
    names = ("web-1", "db-1")
    with like_qemu(*(f"guest={name}" for name in names)) as pid:
        for name in names:
            (pids / f"{name}.pid").write_text(f"{pid}\n")
            (pids / f"{name}.xml").write_text("<domstatus/>")
        yield records


def record(records: Path, name: str, after: int) -> None:
    """Have the hook see a guest so many ticks after its start."""
    process = daemons.process("", int((records.with_name("pids") / f"{name}.pid").read_text()))
    assert process is not None
    (records / name).write_text(f"{process.started + after}\n")


def test_a_hook_that_saw_each_start_was_called(host: Host, starts: Starts) -> None:
    """When last, to the second."""
    record(starts, "web-1", 0)
    record(starts, "db-1", 100)

    (found,) = host.findings("hook_called")

    assert (found["kind"], found["severity"], found["subjects"]) == ("ok", "success", [])
    assert "the last one was at 20" in " ".join(host.ask().out.split())


def test_where_no_guest_was_started_nobody_knows(host: Host, starts: Starts) -> None:
    """Both run since before the hook was installed."""
    with host.desk.catalog() as catalog:
        catalog.set_daemons(json.dumps({"told": [], "at": now()}))

    (found,) = host.findings("hook_called")

    assert (found["kind"], found["severity"]) == ("not_seen", "success")


def test_a_start_that_the_hook_did_not_see_is_a_failure(host: Host, starts: Starts) -> None:
    """It saw an earlier one of that guest, and another guest's before this one."""
    record(starts, "web-1", -1)

    (found,) = host.findings("hook_called")

    assert (found["kind"], found["severity"]) == ("not_called", "failure")
    assert [one["name"] for one in found["subjects"]] == ["db-1", "web-1"]
    words = " ".join(host.ask().out.split())
    assert "Guests started unguarded: 2 guests (db-1 (" in words


def test_a_start_that_it_saw_later_is_a_new_proof(host: Host, starts: Starts) -> None:
    """Who was started before is named all the same."""
    record(starts, "web-1", 1)

    (found,) = host.findings("hook_called")

    assert (found["kind"], found["severity"]) == ("called_again", "success")
    assert [one["name"] for one in found["subjects"]] == ["db-1"]


def test_the_hook_of_an_older_mthook_is_expected_to_see_nothing(host: Host, starts: Starts) -> None:
    """It doesn't record its calls; its installation is known by the daemons alone."""
    hook = host.desk.hooks / "qemu"
    hook.write_text(hook.read_text().replace(".seen", ".old"))
    with host.desk.catalog() as catalog:
        catalog.set_daemons('["4711:99"]')

    assert host.findings("hook_called")[0]["kind"] == "not_seen"


def test_in_a_container_without_a_hook_nothing_is_called(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the hook tells what to do."""
    monkeypatch.setattr(guard, "out_of_reach", lambda _: Daemon(4711, "libvirtd", 1, 0.0))

    assert host.findings("hook_called")[0]["kind"] == "in_container"


def test_a_hook_that_is_gone_has_not_proven_anything(host: Host, starts: Starts) -> None:
    """Though it saw the last start of each guest that runs."""
    record(starts, "web-1", 0)
    record(starts, "db-1", 0)
    (host.desk.hooks / "qemu").unlink()

    (found,) = host.findings("hook_called")

    assert (found["kind"], found["severity"]) == ("not_installed", "warning")
    assert "No start is judged: the hook isn't installed, or it can't run." in " ".join(
        host.ask().out.split()
    )


def test_a_hook_that_is_off_is_not_called_to_account(host: Host) -> None:
    """It does nothing, as it was told."""
    host.desk.configure("[hook]\nmode = off\n")

    assert host.findings("hook_called")[0]["kind"] == "switched_off"


def test_without_a_catalog_each_check_says_so(host: Host, tmp_path: Path) -> None:
    """As right after the installation."""
    host.desk.configure(f"[catalog]\npath = {tmp_path}/none/catalog.sqlite\n")

    said = host.ask()

    assert said.code == 1
    assert "NOT OK: 7 failures (Hook called, Last sync, Guests pinned, ...)" in said.out
    assert not (tmp_path / "none").exists()


def test_an_unknown_format_is_a_wrong_command_line(host: Host) -> None:
    """One line."""
    said = host.ask("-f", "yaml")

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
