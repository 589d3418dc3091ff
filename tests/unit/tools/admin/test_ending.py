# SPDX-License-Identifier: Apache-2.0
"""How mthook-admin ends when it is ended: Ctrl-C, a reader that leaves, a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.tools.admin.application import Admin
from tests.programs import Said

from .conftest import WEB, Run, pin

ROOT = Path(__file__).parents[4]
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from mthook.tools.admin import main; sys.exit(main())",
]


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_an_interrupted_start_is_quiet(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Before any command runs, cliff doesn't catch it for us."""

    def interrupt(*_: object) -> None:
        raise error

    monkeypatch.setattr(Admin, "__init__", interrupt)
    monkeypatch.setattr("mthook.tools.program._abandon_output", lambda: None)

    said = run("list")

    assert (said.out, said.err) == ("", "")
    assert said.code == (130 if error is KeyboardInterrupt else 141)


def test_output_that_fails_at_the_end_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cliff is done and the last of the output is written."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Admin, "run", fail)
    monkeypatch.setattr("mthook.tools.program._abandon_output", lambda: None)

    assert run("list") == Said(1, "", "mthook-admin: standard output: No space left on device\n")


def test_ctrl_c_is_code_130_without_a_word() -> None:
    """While it waits for standard input."""
    process = subprocess.Popen(
        [*PROGRAM, "rewrite", "-", "--machine", "pc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    _wait_until_it_reads(process.pid)
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130


def _wait_until_it_reads(pid: int) -> None:
    """Wait until a process sleeps in read(2) of its standard input."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        # proc(5): number of the system call (0 is read on x86-64, 63 on arm64), then its arguments
        call = Path(f"/proc/{pid}/syscall").read_text().split()
        if call[0] in ("0", "63") and int(call[1], 16) == 0:
            return
        time.sleep(0.02)
    raise AssertionError("it never read its standard input")


@pytest.fixture
def many(catalog: Catalog) -> Catalog:
    """More pins than a pipe holds."""
    with catalog.transaction():
        for number in range(2000):
            pin(catalog, f"00000000-0000-4000-8000-{number:012d}", "pc-i440fx-6.2")
    return catalog


def test_a_reader_that_leaves_ends_it_quietly(many: Catalog, config: Path) -> None:
    """As in ``mthook-admin export | head -1``."""
    process = subprocess.Popen(
        [*PROGRAM, "--config-file", str(config), "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"format"')
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait(timeout=20) == 141
    process.stderr.close()


def test_a_full_standard_output_is_told(many: Catalog, config: Path) -> None:
    """A truncated export must not look like a whole one."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "--config-file", str(config), "export"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "mthook-admin: standard output: No space left on device\n"


def test_a_full_standard_output_is_told_at_the_end_too(catalog: Catalog, config: Path) -> None:
    """A short answer fails only when it is flushed."""
    pin(catalog, WEB, "pc")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "--config-file", str(config), "get", WEB],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "mthook-admin: standard output: No space left on device\n"


def test_a_poor_terminal_gets_escapes(catalog: Catalog, config: Path) -> None:
    """Where its encoding lacks a character."""
    done = subprocess.run(
        [*PROGRAM, "--config-file", str(config), "get", "日本"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == b"mthook-admin: no instance has the UUID or name '\\u65e5\\u672c'\n"
