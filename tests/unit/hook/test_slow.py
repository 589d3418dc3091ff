# SPDX-License-Identifier: Apache-2.0
"""The slow path: whatever the child does, the parent gets an answer in time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from mthook.errors import DomainXMLError
from mthook.hook import slow
from mthook.settings import Settings, fingerprint


@pytest.fixture
def others() -> list[str]:
    """Children that other tests of this process have, such as their module's daemons."""
    return children()


def children() -> list[str]:
    """Processes whose parent is this one."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_the_childs_result_comes_back() -> None:
    """Plain values of any size cross the pipe."""
    assert slow.in_child(lambda: {"pid": os.getpid(), "xml": b"x" * 5_000_000}, 5) != {
        "pid": os.getpid()
    }
    assert slow.in_child(lambda: [1, "é", None, b"\0"], 5) == [1, "é", None, b"\0"]


def test_what_the_child_prints_reaches_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """libvirtd takes the hook's standard output for domain XML."""

    def work() -> None:
        os.write(1, b"noise")
        os.write(2, b"noise")

    slow.in_child(work, 5)

    assert capfd.readouterr() == ("", "")


def test_the_childs_standard_input_is_empty() -> None:
    """It can't wait for libvirtd's pipe."""
    assert slow.in_child(lambda: os.read(0, 10), 5) == b""


def test_an_error_of_mthooks_keeps_its_message() -> None:
    """The parent can tell the operator what the child found."""

    def work() -> None:
        raise DomainXMLError("no <uuid>")

    with pytest.raises(slow.SlowPathError, match="^no <uuid>$"):
        slow.in_child(work, 5)


def test_a_bug_in_the_child_is_named() -> None:
    """Also what isn't an Exception."""

    def work() -> None:
        raise SystemExit("leaving")

    with pytest.raises(slow.SlowPathError, match="^SystemExit: leaving$"):
        slow.in_child(work, 5)


@pytest.mark.parametrize("signal", [9, 15])
def test_a_child_that_crashes_is_an_error_and_no_zombie(signal: int, others: list[str]) -> None:
    """lxml is C: it may crash, the guest may not notice."""
    with pytest.raises(slow.SlowPathError, match="^the slow path died$"):
        slow.in_child(lambda: os.kill(os.getpid(), signal), 5)
    assert children() == others


def test_a_result_that_cant_cross_the_pipe_is_an_error() -> None:
    """A programming error, but never a hang."""
    with pytest.raises(slow.SlowPathError):
        slow.in_child(lambda: sys, 5)


def test_a_child_that_hangs_is_killed_in_time(others: list[str]) -> None:
    """The limit holds, whatever hangs: a database, a name server, a disk."""
    begun = time.monotonic()

    with pytest.raises(slow.SlowPathError, match=r"^no answer within 0.3 s$"):
        slow.in_child(lambda: time.sleep(60), 0.3)

    assert 0.25 < time.monotonic() - begun < 2
    assert children() == others


def test_one_that_outlives_the_wait_does_its_work_all_the_same(tmp_path: Path) -> None:
    """Its parent is told in time that there is no answer yet."""
    done = tmp_path / "done"

    def work() -> None:
        time.sleep(1)
        done.write_text("")

    with pytest.raises(slow.SlowPathError, match=r"^no answer within 0.1 s$"):
        slow.in_child(work, 0.1, outlives=True)

    assert not done.exists()
    deadline = time.monotonic() + 20
    while not done.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.exists()


def test_no_time_left_is_an_error_at_once() -> None:
    """The time before the slow path counts too."""
    with pytest.raises(slow.SlowPathError, match=r"^no answer within"):
        slow.in_child(lambda: 1, -1)


def test_the_configuration_comes_back_compiled(tmp_path: Path) -> None:
    """With the fingerprint of the files it was read from; one that doesn't exist counts as empty."""
    file = tmp_path / "mthook.conf"
    file.write_text(
        "[catalog]\npath = /x/c.sqlite\n[hook]\nmode = audit\ntimeout = 2.5\n[pin]\nstyle = alias\n"
    )
    files = [str(file), str(tmp_path / "absent.conf")]

    assert slow.read_configuration(files, 10) == (
        "/x/c.sqlite",
        Settings(mode="audit", timeout=2.5, style="alias", fingerprint=fingerprint(files)),
    )


def test_a_wrong_option_is_told_in_one_line(tmp_path: Path) -> None:
    """It names the file and the option."""
    file = tmp_path / "mthook.conf"
    file.write_text("[hook]\nmode = enforec\n")

    with pytest.raises(slow.SlowPathError) as caught:
        slow.read_configuration([str(file)], 10)

    assert str(caught.value).startswith(f"configuration ({file}): ")
    assert "enforec" in str(caught.value) and "mode" in str(caught.value)
    assert "\n" not in str(caught.value)
