# SPDX-License-Identifier: Apache-2.0
"""``hook install``, ``hook uninstall``, ``hook status``: the installer by its commands."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.hook import daemons, install
from tests.programs import Said

from .conftest import Run


class FakeDaemon(daemons.Daemon):
    """A libvirtd that has been told."""

    def look_again(self) -> None:
        """Take note without a signal."""


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """A hooks directory as libvirt's package leaves it."""
    directory = tmp_path / "hooks"
    directory.mkdir()
    return directory


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> list[daemons.Daemon]:
    """The daemons on this host: none unless a test adds some."""
    found: list[daemons.Daemon] = []
    monkeypatch.setattr(daemons, "running", lambda *_: found)
    monkeypatch.setattr(install, "_LOOK_SECONDS", 0)
    return found


def test_install_writes_the_hook_and_compiles_the_policy(
    run: Run, hooks: Path, config: Path, path: str
) -> None:
    """Catalog and configuration of this very command; the catalog is made where there is none."""
    config.write_text(config.read_text() + "[hook]\nmode = audit\n")

    said = run("hook", "install", "--offline", "--hooks-dir", str(hooks))

    assert said == Said(
        0,
        "",
        f"{hooks}/qemu: installed, mode audit; no libvirt daemon runs\n"
        "now run mthook-sync: it pins the guests that are there already\n",
    )
    text = (hooks / "qemu").read_text()
    assert f"catalog={shlex.quote(path)}\n" in text
    assert f"config={shlex.quote(str(config))}\n" in text
    with Catalog.open(path, create=False) as catalog:
        policy = catalog.settings()
    assert policy is not None
    assert policy.mode == "audit"
    assert policy.fingerprint.startswith(f"{config}:")


def test_install_names_the_daemons_that_were_told(
    run: Run, hooks: Path, catalog: Catalog, running: list[daemons.Daemon]
) -> None:
    """Status remembers it; after a sync there is nothing more to do."""
    running.append(FakeDaemon(4711, "libvirtd", 99, time.time() - 1000))
    catalog.set_last_sync("2026-11-22T13:00:00.000000Z", True)

    said = run("hook", "install", "--offline", "--hooks-dir", str(hooks))

    assert said.err == (
        f"{hooks}/qemu: installed, mode enforce; told libvirtd (pid 4711) to look for it\n"
    )
    assert json.loads(catalog.host().daemons or "")["told"] == ["4711:99"]
    assert run("hook", "status", "--hooks-dir", str(hooks)).code == 0


def test_a_directory_that_no_daemon_reads_is_refused(
    run: Run, hooks: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, in a dry run neither; where a daemon runs, it is told where that one looks."""
    for argv in ((), ("--dry-run",)):
        said = run("hook", "install", *argv, "--hooks-dir", str(hooks))
        assert said == Said(
            1,
            "",
            f"mthook-admin: {hooks}: no libvirt daemon runs that reads it: start libvirt first, or say --offline\n",
        )
    monkeypatch.setattr(daemons, "behind", lambda _: FakeDaemon(4711, "virtqemud", 99, 0.0))
    said = run("hook", "install", "--hooks-dir", str(hooks))
    assert said.err == (
        f"mthook-admin: {hooks}: virtqemud (pid 4711) reads /proc/4711/root/etc/libvirt/hooks instead:"
        " mount this directory there, or say --offline\n"
    )
    assert not Path(path).exists() and list(hooks.iterdir()) == []


def test_status_of_a_directory_that_the_daemon_does_not_read_is_code_1(
    run: Run, hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't loaded, whatever other daemons know of it."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))
    monkeypatch.setattr(daemons, "behind", lambda _: FakeDaemon(4711, "libvirtd", 99, 0.0))

    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "value")

    assert said.code == 1
    assert said.out == f"{hooks}/qemu True False True enforce False\n"
    assert said.err == (
        f"mthook-admin: {hooks}/qemu: not in the directory that libvirtd (pid 4711) reads, which is"
        f" /proc/4711/root/etc/libvirt/hooks: mount {hooks} there\n"
    )


def test_a_dry_run_installs_nothing(
    run: Run, hooks: Path, path: str, running: list[daemons.Daemon]
) -> None:
    """It says where the hook would go, and who would be told."""
    running.append(FakeDaemon(4711, "libvirtd", 99, time.time() - 1000))

    said = run("hook", "install", "--dry-run", "--hooks-dir", str(hooks))

    who = "mode enforce; would tell libvirtd (pid 4711) to look for it"
    assert said == Said(0, "", f"{hooks}/qemu: would be installed, {who}\n")
    assert not (hooks / "qemu").exists() and not Path(path).exists()
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))
    before = (hooks / "qemu").stat().st_ctime_ns
    said = run("hook", "install", "--dry-run", "--hooks-dir", str(hooks))
    assert said == Said(0, "", f"{hooks}/qemu: is up to date, {who}\n")
    assert (hooks / "qemu").stat().st_ctime_ns == before


def test_status_of_an_installed_hook_is_code_0(run: Run, hooks: Path) -> None:
    """All is well; no daemon runs that could be unaware."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))

    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "json")

    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == [
        {
            "hook": f"{hooks}/qemu",
            "installed": True,
            "loaded": None,
            "current": True,
            "mode": "enforce",
            "called": None,
        }
    ]


def test_status_as_a_table_speaks_in_words(run: Run, hooks: Path) -> None:
    """Yes and no, and nothing where there is nothing to say."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))

    cells = run("hook", "status", "--hooks-dir", str(hooks)).out.splitlines()[1].split()

    assert cells == [
        f"{hooks}/qemu",
        "yes",
        "-",
        "yes",
        "enforce",
        "-",
    ]


def test_status_without_a_hook_is_code_1_and_says_what_to_do(run: Run, hooks: Path) -> None:
    """The row is there for programs, the remedy for people."""
    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "value")

    assert said == Said(
        1,
        f"{hooks}/qemu False None False enforce None\n",
        f"mthook-admin: {hooks}/qemu: not installed: run 'mthook-admin hook install'\n",
    )


def test_status_of_a_stale_hook_is_code_1(run: Run, hooks: Path) -> None:
    """Somebody changed it."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))
    with (hooks / "qemu").open("a") as file:
        file.write("exit 0\n")

    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "value", "-c", "Current")

    assert (said.code, said.out) == (1, "False\n")
    assert said.err.startswith(f"mthook-admin: {hooks}/qemu: stale: ")


def test_status_of_a_daemon_that_does_not_know_is_code_1(
    run: Run, hooks: Path, running: list[daemons.Daemon]
) -> None:
    """It was started before the hook was installed, and nobody told it."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))
    running.append(FakeDaemon(4711, "libvirtd", 99, time.time() - 1000))

    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "value", "-c", "Loaded")

    assert (said.code, said.out) == (1, "False\n")
    assert "not loaded: libvirtd (pid 4711)" in said.err


def test_uninstall_leaves_the_directory_as_found(run: Run, hooks: Path) -> None:
    """A second time there is nothing to remove, which is no error."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))

    assert run("hook", "uninstall", "--hooks-dir", str(hooks)) == Said(
        0, "", f"{hooks}/qemu: removed\n"
    )
    assert list(hooks.iterdir()) == []
    assert run("hook", "uninstall", "--hooks-dir", str(hooks)) == Said(
        0, "", f"{hooks}: no hook of mthook's\n"
    )


def test_status_tells_the_configured_mode(run: Run, config: Path, hooks: Path) -> None:
    """Whether or not the hook is there."""
    config.write_text(config.read_text() + "[hook]\nmode = audit\n")

    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "value", "-c", "Mode")

    assert said.out == "audit\n"


def test_status_of_a_hook_that_is_off_is_code_1(run: Run, config: Path, hooks: Path) -> None:
    """Guests that started unguarded lead here."""
    run("hook", "install", "--offline", "--hooks-dir", str(hooks))
    config.write_text(config.read_text() + "[hook]\nmode = off\n")

    said = run("hook", "status", "--hooks-dir", str(hooks), "-f", "value", "-c", "Mode")

    text = "mthook-admin: [hook] mode = off: every guest starts unguarded\n"
    assert said == Said(1, "off\n", text)


def test_a_relative_directory_is_one_of_here(
    run: Run, hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed, and what it says of itself, doesn't depend on where a command is typed."""
    monkeypatch.chdir(hooks.parent)

    said = run("hook", "install", "--offline", "--hooks-dir", "hooks")

    assert said.err.startswith(f"{hooks}/qemu: installed, ")


def test_a_directory_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    """One line, code 1."""
    (tmp_path / "file").touch()

    said = run("hook", "install", "--offline", "--hooks-dir", f"{tmp_path}/file/hooks")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"mthook-admin: {tmp_path}/file")
