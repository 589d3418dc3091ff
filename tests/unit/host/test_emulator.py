# SPDX-License-Identifier: Apache-2.0
"""A QEMU binary is asked; and what isn't one, hangs or crashes."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from mthook.errors import HostError
from mthook.host import emulator
from tests.lab import OFFER
from tests.lab.requirements import EMULATOR

#: Without the board's name before 1.4, when there was no other.
I440FX = re.compile(r"pc-(?:i440fx-)?[0-9.]+")


def test_a_binary_says_what_it_offers() -> None:
    """The installed one, as its own help has it."""
    found = emulator.ask(EMULATOR)

    names = {one.machine: one for one in found.capabilities if one.virt_type == "kvm"}
    assert found.arch == "x86_64"
    assert names["pc"].canonical == OFFER.stands_for("pc")
    releases = [*OFFER.releases(deprecated=False), *OFFER.releases(deprecated=True)]
    found_here = {name: one for name, one in names.items() if I440FX.fullmatch(name)}
    assert found_here.keys() == set(releases)
    deprecated = {name for name, one in found_here.items() if one.deprecated}
    assert deprecated == set(OFFER.releases(deprecated=True))
    assert "none" not in names


def program(directory: Path, text: str) -> str:
    """Return a program that is no QEMU."""
    path = directory / "qemu"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exit 0", "doesn't answer as a QEMU does"),
        ("cat", "doesn't answer as a QEMU does"),
        ("yes", "doesn't answer as a QEMU does: y y"),
        ("echo 'libfdt.so.1: no such file' >&2; exit 127", r"libfdt\.so\.1: no such file"),
        ("kill -SEGV $$", "doesn't answer as a QEMU does"),
        ("printf '{\"return\": {}}\\n%.0s' 1 2 3 4", "doesn't answer as a QEMU does"),
        ("printf '\\033[31m'", r"QEMU does: \\x1b\[31m"),
    ],
)
def test_what_is_no_qemu_is_refused_with_its_words(tmp_path: Path, text: str, words: str) -> None:
    """In one line."""
    with pytest.raises(HostError, match=words) as caught:
        emulator.ask(program(tmp_path, text))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["nothing", ".", "plain"])
def test_what_cannot_be_run_is_refused(tmp_path: Path, name: str) -> None:
    """Missing, a directory, not executable."""
    (tmp_path / "plain").write_text("")

    with pytest.raises(HostError, match="isn't a program that can be run"):
        emulator.ask(str(tmp_path / name))


def test_one_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the time limit."""
    monkeypatch.setattr(emulator, "_SECONDS", 0.5)
    path = program(tmp_path, f"sleep 1000 & echo $! >{tmp_path}/child; wait")
    begun = time.monotonic()

    with pytest.raises(HostError, match=r"doesn't answer within 0\.5 s"):
        emulator.ask(path)

    assert time.monotonic() - begun < 10
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not _runs(child):
            break
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
