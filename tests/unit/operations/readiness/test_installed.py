# SPDX-License-Identifier: Apache-2.0
"""Whether the hook is there, known to libvirt, up to date, and protects."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook import conf
from mthook.hook import daemons, install
from mthook.hook.daemons import Daemon
from mthook.operations.readiness import guard

from .conftest import OLD, WEB, Answer, Desk, FakeDaemon, libvirt_has

TITLE = "Hook"


def test_an_installed_hook_is_well(desk: Desk) -> None:
    """Named, for there may be two places for it."""
    assert desk.check(TITLE) == Answer(
        0, f"{desk.hooks}/qemu is installed, up to date and known to libvirt, in mode enforce."
    )


def test_a_missing_hook_is_a_failure(desk: Desk) -> None:
    """Nothing would stop a wrong start."""
    (desk.hooks / "qemu").unlink()

    assert desk.check(TITLE) == Answer(
        2, f"{desk.hooks}/qemu: not installed: run 'mthook-admin hook install'."
    )


def test_as_data_it_is_a_path_and_a_remedy(desk: Desk) -> None:
    """With what the hook's installer says."""
    (desk.hooks / "qemu").unlink()

    assert desk.findings("hook") == [
        {
            "kind": "not_installed",
            "severity": "failure",
            "subjects": [],
            "facts": {"path": f"{desk.hooks}/qemu", "problem": "not_installed"},
            "remedy": "mthook-admin hook install",
        }
    ]


def test_a_hook_that_libvirt_may_not_run_is_a_failure(desk: Desk) -> None:
    """As good as none."""
    (desk.hooks / "qemu").chmod(0o644)

    assert desk.check(TITLE) == Answer(
        2, f"{desk.hooks}/qemu: not executable: run 'mthook-admin hook install'."
    )


def test_a_daemon_that_does_not_know_is_a_failure(desk: Desk) -> None:
    """It was started before the hook was installed."""
    desk.daemons.append(FakeDaemon(4712, "virtqemud", 98, 1e9))

    found = desk.check(TITLE)

    assert found.code == 2
    assert "not loaded: virtqemud (pid 4712) was started before" in found.details


def test_a_daemon_that_was_told_knows(desk: Desk) -> None:
    """As the catalog has it."""
    desk.daemons.append(FakeDaemon(4712, "virtqemud", 98, 1e9))
    with desk.catalog() as catalog:
        catalog.set_daemons('["4712:98"]')

    assert desk.check(TITLE).code == 0


def test_without_a_daemon_nobody_calls_it(desk: Desk) -> None:
    """A warning: libvirt may be about to be upgraded."""
    desk.daemons.clear()

    assert desk.check(TITLE) == Answer(1, "No libvirt daemon runs that could call it.")


@pytest.mark.parametrize(
    "text",
    [
        "[DEFAULT]\nhost = elsewhere\n",
        "[hook]\nnova_stop = allow\n",
        "[database]\nconnection = mysql+pymysql://nova:sesame@192.0.2.1/nova\n",
    ],
)
def test_a_hook_that_acts_by_another_configuration_is_a_warning(desk: Desk, text: str) -> None:
    """What is checked here isn't what it does."""
    other = desk.config.with_name("nova.conf")
    other.write_text(text)

    assert desk.check(TITLE, "--config-file", str(other)) == Answer(
        1,
        f"{desk.hooks}/qemu isn't what this mthook would install for these configuration files:"
        " run 'mthook-admin hook install', with the same --config-file.",
    )


def test_other_files_that_tell_the_hook_the_same_are_none(desk: Desk) -> None:
    """Both forms that the documentation has: nova.conf behind mthook's own file, or before it."""
    other = desk.config.with_name("nova.conf")
    other.write_text("[libvirt]\nvirt_type = kvm\n")

    for argv in (
        ("--config-file", str(other)),
        ("--config-file", str(other), "--config-file", str(desk.config)),
    ):
        assert desk.check(TITLE, *argv).code == 0


def test_a_hook_whose_files_cannot_be_read_is_a_warning(desk: Desk) -> None:
    """Nobody knows how it acts."""
    hook = desk.hooks / "qemu"
    for broken in ("config='", f"config={desk.hooks}"):
        hook.write_text(hook.read_text().replace(f"config={desk.config}", broken))

        assert desk.check(TITLE).code == 1
        hook.write_text(hook.read_text().replace(broken, f"config={desk.config}"))


@pytest.mark.parametrize("mode", ["audit", "off"])
def test_a_mode_that_only_watches_is_a_warning(desk: Desk, mode: str) -> None:
    """It doesn't protect yet."""
    desk.configure(f"[hook]\nmode = {mode}\n")

    assert desk.check(TITLE) == Answer(
        1,
        f"[hook] mode = {mode}: it stops no start, and no definition is changed."
        " Only mode = enforce protects.",
    )


@pytest.mark.parametrize(
    ("version", "told"), [(11003000, "11.3.0"), (9000000, None), (12008000, None)]
)
def test_that_restores_arent_refused_is_told_with_the_reason(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, version: int, told: str | None
) -> None:
    """libvirt 11.3 would delete what the guest was saved in."""
    monkeypatch.setattr("libvirt.virConnect.getLibVersion", lambda _: version)
    desk.configure("[hook]\nmigrate_mismatch = refuse\n")

    details = desk.check(TITLE).details

    assert (
        f"[hook] migrate_mismatch = refuse holds for migrations alone: libvirt {told} would believe that"
        " a guest whose restore is refused has started, and delete its managed-save image."
        in details
    ) == (told is not None)


def test_without_a_catalog_no_daemon_was_told(desk: Desk) -> None:
    """One that was started since knows of the hook by itself."""
    desk.configure("[catalog]\npath = /nonexistent/c\n")

    assert "isn't what this mthook would install" in desk.check(TITLE).details


def test_what_the_system_refuses_is_a_failure_in_words(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a hook on a disk that fails."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/etc/libvirt/hooks/qemu")

    monkeypatch.setattr(install, "status", fail)

    assert desk.check(TITLE) == Answer(2, "/etc/libvirt/hooks/qemu: Input/output error.")


@pytest.fixture
def rendered(desk: Desk, tmp_path: Path) -> Iterator[Path]:
    """The hook is one for libvirt's container, and it is answered."""
    path = tmp_path / "hook.sock"
    desk.configure(f"[hook]\nmode = enforce\nsocket = {path}\n")
    (desk.hooks / "qemu").write_text(guard.contained_hook(conf.load([str(desk.config)])))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield path


def test_a_rendered_hook_is_well(desk: Desk, rendered: Path) -> None:
    """As it was printed."""
    assert desk.check(TITLE).code == 0


def test_a_rendered_hook_that_is_stale_is_rendered_again(desk: Desk, rendered: Path) -> None:
    """'hook install' would refuse."""
    desk.configure(f"[hook]\nmode = enforce\ntimeout = 6\nsocket = {rendered}\n")

    (found,) = desk.findings("hook")

    assert (found["kind"], found["remedy"]) == ("outdated_rendered", "mthook-admin hook render")
    assert desk.check(TITLE) == Answer(
        1,
        f"{desk.hooks}/qemu isn't what 'mthook-admin hook render' prints now for these configuration files: put"
        " that in its place.",
    )


def test_what_is_wrong_with_a_rendered_hook_isnt_mended_by_hook_install(
    desk: Desk, rendered: Path
) -> None:
    """Its mode is a matter of whoever put it there, its socket one of the host's service."""
    hook = desk.hooks / "qemu"
    for mode, problem in ((0o644, "not_executable"), (0o775, "writable")):
        hook.chmod(mode)
        (found,) = desk.findings("hook")
        assert (found["facts"]["problem"], found["remedy"]) == (f"{problem}_rendered", None)
        assert "hook install" not in desk.check(TITLE).details
    hook.chmod(0o755)
    desk.daemons.append(FakeDaemon(4712, "virtqemud", 98, 1e9))
    (found,) = desk.findings("hook")
    assert (found["facts"]["problem"], found["remedy"]) == ("not_restarted", None)
    desk.daemons.clear()
    rendered.unlink()

    (found,) = desk.findings("hook")

    assert found["facts"]["problem"] == "unanswered"
    assert found["remedy"] == "systemctl enable --now mthook-hookd.socket"


def test_a_hook_in_a_directory_that_the_daemon_doesnt_read_isnt_installed_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """'hook install' would refuse that, too."""
    monkeypatch.setattr(daemons, "behind", lambda _: Daemon(4711, "libvirtd", 1, 0.0))
    monkeypatch.setattr(Daemon, "reads", lambda self, directory: False)

    (found,) = desk.findings("hook")

    assert (found["facts"]["problem"], found["remedy"]) == ("elsewhere", None)


@pytest.fixture
def contained(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """libvirtd is at the other end of its socket, but has other hooks; none is here."""
    (desk.hooks / "qemu").unlink()
    libvirt_has(monkeypatch)
    desk.configure(
        "[hook]\nmode = enforce\n", uri="qemu+unix:///system?socket=/nowhere/libvirt-sock"
    )
    daemon = Daemon(4711, "libvirtd", 1, 0.0)
    monkeypatch.setattr(daemons, "serving", {"/nowhere/libvirt-sock": daemon}.get)
    monkeypatch.setattr(Daemon, "is_contained", True)
    monkeypatch.setattr(Daemon, "reads", lambda self, directory: False)
    return desk


def test_a_hook_is_no_remedy_where_libvirtd_is_in_a_container(contained: Desk) -> None:
    """It would never be called; one that is rendered for the container is, and the gate."""
    (found,) = contained.findings("hook")

    assert (found["kind"], found["severity"]) == ("out_of_reach", "failure")
    assert found["facts"] == {"daemon": "libvirtd", "pid": "4711"}
    assert found["remedy"] == "mthook-admin hook render"
    details = contained.check(TITLE).details
    assert details.startswith("libvirtd (pid 4711) runs in a container and reads")
    assert "hook render" in details and "hook install" not in details


def test_where_the_gate_is_used_that_is_a_warning(contained: Desk) -> None:
    """What comes another way isn't stopped."""
    with contained.catalog() as catalog:
        about = {"actor": "gate uid 0", "reason": None}
        catalog.add_history(WEB, "rewritten", old=OLD, new=OLD, **about)

    (found,) = contained.findings("hook")

    assert (found["kind"], found["severity"]) == ("gated", "warning")
