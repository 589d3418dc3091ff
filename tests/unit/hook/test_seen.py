# SPDX-License-Identifier: Apache-2.0
"""The hook's record of its calls, beside the start times of guests."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.hook import daemons, seen
from tests.unit.hook.likeqemu import like_qemu

#: What libvirt writes of a guest that it has nothing to do with.
DONE = "<domstatus state='running' reason='booted' pid='1'><domain type='kvm'/></domstatus>"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root directory of a daemon whose guests' processes are seen there."""
    for directory in (seen.RECORDS, seen.PID_FILES):
        (tmp_path / directory.lstrip("/")).mkdir(parents=True)
    (tmp_path / "proc").symlink_to("/proc")
    return tmp_path


@contextlib.contextmanager
def running(root: Path, name: str, *argv: str) -> Iterator[int]:
    """Run what has a guest's command line, with its number and state in files; yield the number."""
    with like_qemu(*argv) as pid:
        put(root, seen.PID_FILES, f"{name}.pid", pid)
        put(root, seen.PID_FILES, f"{name}.xml", DONE)
        yield pid


def put(root: Path, directory: str, name: str, text: object) -> Path:
    """Write a file below a root directory."""
    path = root / directory.lstrip("/") / name
    path.write_text(f"{text}\n")
    return path


@pytest.mark.parametrize(
    ("record", "expected"), [(None, False), (-1, False), (0, True), (5, True), ("rubbish", False)]
)
def test_a_start_was_seen_if_the_hook_was_called_no_earlier(
    root: Path, record: object, expected: bool
) -> None:
    """A name with blanks, as libvirt allows it; rubbish is no record."""
    with running(root, "a guest", "-name", "guest=a guest,debug-threads=on") as pid:
        process = daemons.process("", pid)
        assert process is not None
        if record is not None:
            text = process.started + record if isinstance(record, int) else record
            put(root, seen.RECORDS, "a guest", text)

        (start,) = seen.starts(str(root), ["a guest"])

    assert (start.name, start.seen) == ("a guest", expected)
    assert 0 <= time.time() - start.since < 86400


@pytest.mark.parametrize(
    ("status", "is_over"),
    [
        ("<domstatus><job type='none' async='start'/><domain/></domstatus>", False),
        ("<domstatus><job type='none' async='migration in'/><domain/></domstatus>", False),
        ("<domstatus><job type='none' async='migration out'/><domain/></domstatus>", True),
        ("<domstatus><job type='destroy' async='none'/><domain/></domstatus>", True),
        ("<domstatus><domain><metadata><job async='start'/></metadata></domain></domstatus>", True),
        (DONE, True),
        ("<domstatus><job type='none' async='start'", True),
        (None, False),
    ],
)
def test_a_start_that_was_not_seen_counts_once_libvirt_is_done_with_it(
    root: Path, status: str | None, is_over: bool
) -> None:
    """A guest without a status has ended; what its owner writes into the definition doesn't matter."""
    with running(root, "web-1", "-name", "guest=web-1"):
        path = put(root, seen.PID_FILES, "web-1.xml", status)
        if status is None:
            path.unlink()
        found = [(start.name, start.seen) for start in seen.starts(str(root), ["web-1"])]

    assert found == ([("web-1", False)] if is_over else [])


def test_a_start_seen_while_it_is_looked_at_was_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt writes that it is over a moment after the hook has answered."""

    def is_over(*_: str) -> bool:
        put(root, seen.RECORDS, "web-1", process.started)
        return True

    monkeypatch.setattr(seen, "_is_over", is_over)
    with running(root, "web-1", "-name", "guest=web-1") as pid:
        process = daemons.process("", pid)
        assert process is not None

        assert [start.seen for start in seen.starts(str(root), ["web-1"])] == [True]


def test_guests_that_dont_run_have_no_start(root: Path) -> None:
    """One that was never started, and one whose process has ended."""
    put(root, seen.PID_FILES, "ended.pid", 2**22 + 1)

    assert list(seen.starts(str(root), ["ended", "never"])) == []


@pytest.mark.parametrize(
    ("argument", "runs"),
    [
        ("guest=a,,b,debug-threads=on", True),
        ("guest=a,,b", True),
        ("guest=a", False),
        ("guest=a,,b,,c,debug-threads=on", False),
        ("guest=a,,b2,debug-threads=on", False),
        ("guest=5f8f,debug-threads=on", False),
    ],
)
def test_a_number_that_is_another_process_by_now_is_no_guests(
    root: Path, argument: str, runs: bool
) -> None:
    """A crash of the host's daemon leaves the file, and pids come round. Commas in names stand twice."""
    with running(root, "a,b", "-name", argument):
        starts = [start.name for start in seen.starts(str(root), ["a,b"])]

    assert starts == (["a,b"] if runs else [])


def test_the_last_call_is_the_latest_record(root: Path) -> None:
    """Of guests that have ended, too; None where there is none since the host booted."""
    assert seen.last(str(root)) is None
    assert seen.last("/nonexistent") is None
    put(root, seen.RECORDS, "one", 100)
    put(root, seen.RECORDS, "two", 300)
    put(root, seen.RECORDS, "broken", "")

    last = seen.last(str(root))

    assert last is not None
    assert abs(last - daemons.since_epoch(300)) < 1


def test_old_records_of_guests_that_dont_run_are_removed(root: Path) -> None:
    """Not that of a guest whose start is under way, nor of one that runs for years."""
    for name in ("runs", "ended"):
        os.utime(put(root, seen.RECORDS, name, 1), (1, 1))
    begins = put(root, seen.RECORDS, "begins", 1)

    with running(root, "runs", "-name", "guest=runs"):
        seen.sweep(str(root))

    assert sorted(os.listdir(begins.parent)) == ["begins", "runs"]
    seen.sweep("/nonexistent")
