# SPDX-License-Identifier: Apache-2.0
"""The command line, the configuration, the lock, and what is printed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from mthook import __version__, journal
from mthook.errors import Error
from mthook.locks import only_one
from mthook.operations.acts import Act, Event, Failure, LeftAlone, SyncResult, Why
from mthook.tools import sync
from mthook.tools.sync import words
from mthook.tools.sync.command import Exit
from tests.unit.host.fakes import (
    QEMU,
    UUID,
    FakeDomain,
    domain_xml,
)
from tests.unit.operations.sync.setting import Setting
from tests.unit.test_docs import HOLE, fragments, is_explained


@pytest.mark.parametrize("mode", [0o755, 0o750])
def test_a_catalog_open_to_others_is_refused(setting: Setting, mode: int) -> None:
    """Neither lock nor catalog is made in a directory that others can look into."""
    os.mkdir(os.path.dirname(setting.path), mode)

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert os.path.dirname(setting.path) in err
    assert os.listdir(os.path.dirname(setting.path)) == []


def test_a_lock_that_is_a_symbolic_link_is_refused(setting: Setting, tmp_path: Path) -> None:
    """Nobody makes mthook-sync write its PID elsewhere."""
    os.mkdir(os.path.dirname(setting.path), 0o700)
    os.symlink(tmp_path / "target", tmp_path / "mthook" / "sync.lock")

    code, _, err = setting.sync()

    assert code == 1
    assert err == (f"mthook-sync: {tmp_path}/mthook/sync.lock: Too many levels of symbolic links\n")
    assert not (tmp_path / "target").exists()


def test_a_second_sync_is_told_who_runs(setting: Setting) -> None:
    """The exit status is the one for it, and the message names the PID."""
    setting.sync()

    with only_one(os.path.dirname(setting.path)):
        assert setting.sync("-v") == (
            3,
            "",
            f"mthook-sync: another mthook-sync is running: PID {os.getpid()}\n",
        )


def test_the_lock_names_its_last_holder_alone(setting: Setting) -> None:
    """What an earlier run left in the file, a longer PID, is no part of the message."""
    setting.sync()
    lock = Path(setting.path).with_name("sync.lock")
    lock.write_text("99999999999\n")

    with only_one(os.path.dirname(setting.path)):
        assert setting.sync()[2].endswith(f" is running: PID {os.getpid()}\n")


def test_a_wrong_configuration_is_one_line(setting: Setting) -> None:
    """It names the file, and nothing is created."""
    setting.configure("[hook]\nmode = loud\n")

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert str(setting.config) in err
    assert not os.path.exists(os.path.dirname(setting.path))


def test_a_full_disk_is_one_line(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system's that nobody foresaw is told without a traceback."""

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "/tmp")

    monkeypatch.setattr("tempfile.mkdtemp", full)

    assert setting.sync("--dry-run") == (
        1,
        "",
        "mthook-sync: [Errno 28] No space left on device: '/tmp'\n",
    )


@pytest.mark.parametrize("args", [["--only", "realing"], ["--no-such"], ["extra"]])
def test_a_wrong_command_line_ends_with_2(setting: Setting, args: list[str]) -> None:
    """As with any command: usage is 2."""
    assert setting.sync(*args)[:2] == (Exit.USAGE, "")


def test_what_the_configuration_forbids_cant_be_asked_for(setting: Setting) -> None:
    """`--only realign` where [sync] realign is off would do nothing: it says so."""
    setting.configure("[sync]\nrealign = false\n")

    assert setting.sync("--only", "realign")[:2] == (Exit.USAGE, "")


def test_help_tells_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """Each code is there with its meaning."""
    assert sync.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line[2:3].isdigit()] == [
        f"  {code:d}  {code.meaning}" for code in Exit
    ]


def test_version(setting: Setting) -> None:
    """Name and version on standard output."""
    assert setting.sync("--version") == (0, f"mthook-sync {__version__}\n", "")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The system log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
        log.bind(str(tmp_path / "log"))
        monkeypatch.setattr(journal, "SOCKET", str(tmp_path / "log"))
        yield log


def logged(log: socket.socket) -> list[str]:
    """Return the lines since the last call, with the priority and without the process."""
    lines: list[str] = []
    while True:
        try:
            head, _, text = log.recv(4096).decode().partition("]: ")
        except BlockingIOError:
            return lines
        lines.append(f"{head.partition('mthook[')[0]}{text}")


def test_what_is_done_is_logged(setting: Setting, log: socket.socket) -> None:
    """A line of priority daemon.info for each; nothing of a dry run, nothing when all is well."""
    setting.libvirt.domains = [FakeDomain(domain_xml(), running=domain_xml("pc-i440fx-6.2"))]

    setting.sync("--dry-run")
    assert logged(log) == []

    setting.sync()
    assert logged(log) == [
        "<30>sync: updated the hook's settings: mode enforce",
        f"<30>sync: pinned web-1 ({UUID}) to pc-i440fx-6.2, from the running guest",
        f"<30>sync: realigned web-1 ({UUID}) from pc-i440fx-7.2 to pc-i440fx-6.2",
    ]
    setting.sync()
    assert logged(log) == []


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (
            Act("repaired", UUID, "web-1", reason="it runs"),
            f"repaired web-1 ({UUID}): nothing left to mend (it runs)",
        ),
        (Act("forgotten", UUID, reason="x"), f"forgot the pin of {UUID}: x"),
        (
            Act("drifting", UUID, "web\n1", "q35", "pc"),
            f"noted that web\\n1 ({UUID}) runs pc, unlike its pin q35",
        ),
        (
            Act("realigned", UUID, "web-1", None, "pc", changes=("a", "b")),
            f"realigned web-1 ({UUID}) from  to pc\nsync: web-1 ({UUID}): a\nsync: web-1 ({UUID}): b",
        ),
        (
            Act("released", UUID, "web-1", "pc", reason="rebuilt in Nova"),
            f"released web-1 ({UUID}): rebuilt in Nova",
        ),
        (Act("written", UUID, "web-1", None, "pc"), f"wrote pc of web-1 ({UUID}) to Nova"),
        (
            Act("written", UUID, "web-1", "q35", "pc"),
            f"wrote pc of web-1 ({UUID}) to Nova in place of q35",
        ),
        (
            Act("written", UUID, "web-1", "pc", "pc", reason="one row in place of 2"),
            f"wrote pc of web-1 ({UUID}) to Nova, one row in place of 2",
        ),
        (
            Act("pinned", UUID, "web-1", None, "pc", "Nova"),
            f"pinned web-1 ({UUID}) to pc, as Nova has it",
        ),
        (
            Act("pinned", UUID, "web-1", "q35", "pc", "Nova", "rebuilt in Nova"),
            f"pinned web-1 ({UUID}) to pc in place of q35, as Nova has it, rebuilt in Nova",
        ),
        (
            Act("pinned", UUID, "web-1", "q35", "pc", "definition", "rebuilt in Nova"),
            f"pinned web-1 ({UUID}) to pc, rebuilt in Nova",
        ),
        (
            Act("pinned", UUID, "web-1", "q35", "pc", "guest metadata", "a newer pin"),
            f"pinned web-1 ({UUID}) to pc, from its own metadata",
        ),
    ],
)
def test_what_is_done_is_logged_in_the_past_tense(act: Act, line: str) -> None:
    """A line, and one for each change of a guest's hardware."""
    assert "\n".join(words.done(act)) == line.replace("\nsync: ", "\n")


def test_what_several_steps_meet_is_told_once() -> None:
    """An act, or an error of which only the text is the same."""
    told: list[Event] = []
    result = SyncResult(told.append)
    for _ in range(2):
        result.add(Act("repaired", UUID, "web-1", reason="it runs"))
        result.add(Failure(Error("no memory"), UUID, "web-1"))

    assert [type(one) for one in told] == [Act, Failure]
    assert (len(result.acts), len(result.errors)) == (1, 1)


@pytest.mark.parametrize("why", get_args(Why))
def test_why_a_guest_is_left_alone_is_explained_in_the_guide(why: Why) -> None:
    """But for the text of an error, which is explained as such."""
    line = words.left_alone(LeftAlone(HOLE, HOLE, why, HOLE))

    assert not fragments(line) or is_explained(line)


def test_left_alone_guests_are_told_of_on_request(setting: Setting) -> None:
    """Silence is for cron; with -v there is a line for each, and a summary."""
    saved = FakeDomain(domain_xml("pc-i440fx-7.2"), saved=domain_xml("pc-i440fx-6.2"))
    setting.libvirt.domains = [saved]

    assert setting.sync() == (0, "", "")
    assert setting.sync("-v")[2] == (
        f"mthook-sync: web-1 ({UUID}): left alone: it has a managed-save image, which holds its "
        "own machine type\n"
        "mthook-sync: guests: 1, drift: 1, left alone: 1, errors: 0\n"
    )


def test_an_unsupported_pin_is_an_error_at_every_run(setting: Setting) -> None:
    """The guest would not start again: that is worth a mail."""
    setting.libvirt.domains = [FakeDomain()]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.1", source="operator", actor="root")

    said = {setting.sync() for _ in range(2)}

    assert said == {
        (
            1,
            "",
            (
                f"mthook-sync: web-1 ({UUID}): pinned to pc-i440fx-6.1, which {QEMU} (kvm) doesn't "
                "offer on this host; nearest: pc-i440fx-6.2, pc-i440fx-7.2, pc-i440fx-1.7\n"
            ),
        )
    }


@pytest.mark.parametrize(
    ("guests", "terminal", "bar"), [(201, True, True), (200, True, False), (201, False, False)]
)
def test_a_progress_bar_is_for_many_guests_and_a_terminal(
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
    guests: int,
    terminal: bool,
    bar: bool,
) -> None:
    """Neither cron nor an operator with few guests sees one."""
    setting.libvirt.domains = [
        FakeDomain(domain_xml(uuid=uuid), uuid=uuid)
        for uuid in (f"3f2c1d3e-0000-4000-8000-{number:012}" for number in range(guests))
    ]
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)

    code, out, err = setting.sync("--only", "repair")

    assert (code, out, f"/{guests}" in err) == (0, "", bar)
