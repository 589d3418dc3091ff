# SPDX-License-Identifier: Apache-2.0
"""The installer: one hook, in the right place, and nothing left when it goes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mthook import files, journal
from mthook.errors import InstallError
from mthook.hook import daemons, install

WIRING = install.Wiring(
    sys.executable, "/opt/my package", "/var/lib/mthook/catalog.sqlite", ["/etc/mthook/a.conf"]
)
FOREIGN = "#!/bin/sh\n# somebody's hook\nexit 0\n"


class FakeDaemon(daemons.Daemon):
    """A daemon that only notes that it was told."""

    told: list[int] = []

    def look_again(self) -> None:
        self.told.append(self.pid)

    def version(self) -> tuple[int, ...] | None:
        return (self.pid, 0, 0)  # a test picks the version by the pid


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """A hooks directory as libvirt's package leaves it: present and empty."""
    directory = tmp_path / "hooks"
    directory.mkdir()
    return directory


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> list[daemons.Daemon]:
    """The daemons that the installer finds; none unless a test adds some."""
    found: list[daemons.Daemon] = []
    FakeDaemon.told = []
    monkeypatch.setattr(daemons, "running", lambda directory: found)
    monkeypatch.setattr(install, "_LOOK_SECONDS", 0)
    return found


def tree(directory: Path) -> dict[str, str]:
    """Every file below a directory with its content, directories with an empty one."""
    return {
        str(path.relative_to(directory)): path.read_text() if path.is_file() else ""
        for path in directory.rglob("*")
    }


@pytest.fixture
def restorecon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with SELinux, and a restorecon on PATH that notes what it is called with."""
    monkeypatch.setattr(install, "_SELINUX", os.fspath(tmp_path))
    program = tmp_path / "bin" / "restorecon"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    stand_in(program, "")
    return program


def stand_in(program: Path, then: str) -> None:
    """Make a program that notes its arguments, and does something then."""
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"$0.calls"\n{then}\n')
    program.chmod(0o755)


def calls(program: Path) -> list[str]:
    """Return what a stand-in was called with."""
    noted = program.with_name("restorecon.calls")
    return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The errors that are logged."""
    lines: list[str] = []
    monkeypatch.setattr(journal, "error", lines.append)
    return lines


@pytest.fixture(autouse=True)
def runnable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook whose interpreter works, whatever directory its wiring names."""
    monkeypatch.setattr(install, "_TRY", "")


def test_first_install_makes_an_executable_qemu_with_its_wiring_filled_in(hooks: Path) -> None:
    """The hook names interpreter, package, catalog and configuration, quoted for the shell."""
    path, told = install.install(str(hooks), WIRING)

    assert path == str(hooks / "qemu")
    assert told == []
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o755
    assert Path(path).read_text().splitlines()[2:6] == [
        f"python={sys.executable}",
        "package='/opt/my package'",
        "catalog=/var/lib/mthook/catalog.sqlite",
        "config=/etc/mthook/a.conf",
    ]
    assert subprocess.run(["sh", "-n", path]).returncode == 0
    assert list(tree(hooks)) == ["qemu"]


def test_a_second_install_changes_nothing(hooks: Path) -> None:
    """Installing twice is installing once."""
    install.install(str(hooks), WIRING)
    before = tree(hooks)

    install.install(str(hooks), WIRING)

    assert tree(hooks) == before


def test_with_selinux_the_hook_gets_its_label_before_a_daemon_hears_of_it(
    hooks: Path, restorecon: Path, running: list[daemons.Daemon], logged: list[str]
) -> None:
    """One that a daemon may not run stops every start."""

    class Listening(FakeDaemon):
        def look_again(self) -> None:
            assert calls(restorecon) == [f"-F {hooks}/qemu"]
            self.told.append(self.pid)

    running.append(Listening(9, "libvirtd", 77, 0.0))

    install.install(str(hooks), WIRING)

    assert (FakeDaemon.told, logged) == ([9], [])


def test_with_selinux_the_directories_that_are_made_get_their_labels(
    tmp_path: Path, restorecon: Path
) -> None:
    """The outer ones first, and none that was there."""
    install.install(str(tmp_path / "etc" / "hooks"), WIRING)

    assert calls(restorecon) == [
        f"-F {tmp_path}/etc {tmp_path}/etc/hooks {tmp_path}/etc/hooks/qemu"
    ]


def test_without_selinux_nothing_is_labelled(
    hooks: Path, restorecon: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """restorecon may be there nevertheless."""
    monkeypatch.setattr(install, "_SELINUX", "/nowhere/enforce")

    install.install(str(hooks), WIRING)

    assert calls(restorecon) == []


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ("echo one >&2; echo no such context >&2; exit 255", "no such context"),
        ("exit 1", "exit code 1"),
        ("exec sleep 60", "timed out after 0.2 seconds"),
        (None, "No such file or directory"),
    ],
    ids=["fails", "fails silently", "hangs", "is missing"],
)
def test_a_restorecon_that_doesnt_work_keeps_no_hook_from_its_place(
    hooks: Path,
    restorecon: Path,
    running: list[daemons.Daemon],
    logged: list[str],
    monkeypatch: pytest.MonkeyPatch,
    then: str | None,
    why: str,
) -> None:
    """The daemons are told, and the log says what to do."""
    monkeypatch.setattr(install, "_LABEL_SECONDS", 0.2)
    restorecon.unlink()
    if then is not None:
        stand_in(restorecon, then)
    else:
        monkeypatch.setenv("PATH", str(restorecon.parent))
    running.append(FakeDaemon(9, "libvirtd", 77, 0.0))

    path, _ = install.install(str(hooks), WIRING)

    assert (FakeDaemon.told, os.access(path, os.X_OK)) == ([9], True)
    (line,) = logged
    assert line.startswith(
        f"SELinux may keep libvirt from running {path}, because restorecon fails: "
    )
    assert why in line
    assert line.endswith(f": run 'restorecon -F {path}'")


def test_a_new_version_of_a_hook_never_lacks_its_label(
    hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest may start between its writing and restorecon."""
    labels = {os.stat(hooks).st_ino: b"virt_hook_t"}
    (hooks / "qemu").write_text("# mthook: older\n")
    labels[os.stat(hooks / "qemu").st_ino] = b"mthook_hook_exec_t"

    def getxattr(which: str | int, name: str) -> bytes:
        assert name == "security.selinux"
        return labels.get(os.stat(which).st_ino, b"virt_hook_t")

    def setxattr(which: int, name: str, label: bytes) -> None:
        labels[os.stat(which).st_ino] = label

    monkeypatch.setattr(files.os, "getxattr", getxattr)
    monkeypatch.setattr(files.os, "setxattr", setxattr)

    install.install(str(hooks), WIRING)

    assert labels[os.stat(hooks / "qemu").st_ino] == b"mthook_hook_exec_t"


def test_install_brings_an_older_hook_up_to_date(hooks: Path) -> None:
    """An upgrade replaces mthook's own hook where it is."""
    other = install.Wiring("/old/python", "/old", "/old.sqlite", ["/old.conf"])
    install.install(str(hooks), other)

    install.install(str(hooks), WIRING)

    assert tree(hooks) == {"qemu": install.render(WIRING, [])}


def test_a_foreign_hook_is_left_alone_and_mthook_goes_beside_it(hooks: Path) -> None:
    """Somebody else's hook keeps its place and its text."""
    (hooks / "qemu").write_text(FOREIGN)

    path, _ = install.install(str(hooks), WIRING)

    assert path == str(hooks / "qemu.d" / "50-mthook")
    assert (hooks / "qemu").read_text() == FOREIGN
    assert sorted(tree(hooks)) == ["qemu", "qemu.d", "qemu.d/50-mthook"]


def test_a_foreign_hook_under_an_old_libvirt_is_an_error_and_nothing_is_written(
    hooks: Path, running: list[daemons.Daemon]
) -> None:
    """Before 6.5.0 libvirt never runs what lies in qemu.d, so installing there would only look like it."""
    (hooks / "qemu").write_text(FOREIGN)
    running.append(FakeDaemon(6, "libvirtd", 1, 0.0))

    with pytest.raises(InstallError) as caught:
        install.install(str(hooks), WIRING)

    assert str(caught.value) == (
        f"{hooks}/qemu is somebody else's hook, and libvirtd 6.0.0 runs no other beside it (6.5.0 would): "
        "call mthook's hook from it"
    )
    assert tree(hooks) == {"qemu": FOREIGN}


def test_a_broken_link_in_the_hooks_place_counts_as_foreign(hooks: Path) -> None:
    """A link that leads nowhere is still somebody's."""
    (hooks / "qemu").symlink_to("/nowhere")

    path, _ = install.install(str(hooks), WIRING)

    assert path == str(hooks / "qemu.d" / "50-mthook")
    assert os.readlink(hooks / "qemu") == "/nowhere"


@pytest.mark.parametrize(
    "before", [{}, {"qemu": FOREIGN}, {"qemu": FOREIGN, "qemu.d/10-other": FOREIGN}]
)
def test_uninstall_leaves_the_directory_as_found(hooks: Path, before: dict[str, str]) -> None:
    """Directories that were there stay, those that installing made go."""
    for name, content in before.items():
        (hooks / name).parent.mkdir(exist_ok=True)
        (hooks / name).write_text(content)
    found = tree(hooks)
    path, _ = install.install(str(hooks), WIRING)

    assert install.uninstall(str(hooks)) == (path, [])
    assert tree(hooks) == found


def test_uninstall_removes_a_hooks_directory_that_install_made(tmp_path: Path) -> None:
    """Also after an upgrade in between, which finds the directory there."""
    hooks = tmp_path / "etc" / "hooks"
    install.install(str(hooks), WIRING)
    install.install(str(hooks), WIRING)

    install.uninstall(str(hooks))

    assert list(tmp_path.iterdir()) == []


def test_uninstall_keeps_a_directory_that_others_use_by_now(tmp_path: Path) -> None:
    """A directory that isn't empty is not removed, whoever made it."""
    hooks = tmp_path / "hooks"
    install.install(str(hooks), WIRING)
    (hooks / "network").write_text(FOREIGN)

    install.uninstall(str(hooks))

    assert tree(tmp_path) == {"hooks": "", "hooks/network": FOREIGN}


def test_uninstall_without_a_hook_does_nothing(hooks: Path) -> None:
    """A foreign hook isn't mthook's to remove."""
    (hooks / "qemu").write_text(FOREIGN)

    assert install.uninstall(str(hooks)) == (None, [])
    assert tree(hooks) == {"qemu": FOREIGN}


def test_running_daemons_are_told_at_install_and_at_uninstall(
    hooks: Path, running: list[daemons.Daemon]
) -> None:
    """libvirtd remembers whether there is a hook, so it has to look again both times."""
    running.append(FakeDaemon(9, "libvirtd", 1, 0.0))

    _, told = install.install(str(hooks), WIRING)
    told_again = install.uninstall(str(hooks))[1]

    assert told == told_again == running
    assert FakeDaemon.told == [9, 9]


def test_a_hooks_directory_that_cant_be_made_is_an_error(tmp_path: Path) -> None:
    """A file in the directory's place is named."""
    (tmp_path / "etc").write_text("")

    with pytest.raises(InstallError) as caught:
        install.install(str(tmp_path / "etc" / "hooks"), WIRING)

    assert str(caught.value) == f"{tmp_path}/etc: File exists"


def test_a_relative_directory_is_one_below_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made where it is missing, and removed again."""
    monkeypatch.chdir(tmp_path)

    path, _ = install.install("etc/hooks", WIRING)

    assert path == str(tmp_path / "etc" / "hooks" / "qemu")
    assert install.status("etc/hooks", WIRING, []).installed
    assert install.uninstall("etc/hooks") == (path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_neither_hook_nor_temporary_file(
    hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is half installed."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(InstallError) as caught:
        install.install(str(hooks), WIRING)

    assert str(caught.value) == f"{hooks}/qemu: No space left on device"
    assert tree(hooks) == {}


@pytest.mark.parametrize("name", ["/etc/a:b.conf", "/etc/a\nb.conf"])
def test_a_configuration_file_that_the_hook_cant_carry_is_refused(hooks: Path, name: str) -> None:
    """The hook joins its configuration files with colons, on one line."""
    with pytest.raises(InstallError, match="its name may have no colon or line end"):
        install.install(str(hooks), install.Wiring("/p", "/q", "/c", [name]))

    assert tree(hooks) == {}


def test_status_of_nothing_says_how_to_install(hooks: Path) -> None:
    """An empty directory is no error."""
    assert install.status(str(hooks), WIRING, []) == install.Status(
        str(hooks / "qemu"), False, False, None, (install.Problem("not_installed"),)
    )


def test_status_of_a_fresh_install_has_no_problems(
    hooks: Path, running: list[daemons.Daemon]
) -> None:
    """A daemon that was told knows of the hook, however long it runs."""
    daemon = FakeDaemon(9, "libvirtd", 77, 0.0)
    running.append(daemon)
    path, _ = install.install(str(hooks), WIRING)

    assert install.status(str(hooks), WIRING, ["9:77"]) == install.Status(
        path, True, True, True, ()
    )


def test_status_names_a_daemon_that_never_looked(
    hooks: Path, running: list[daemons.Daemon]
) -> None:
    """A hook that was copied there under a running daemon isn't called."""
    running.append(FakeDaemon(9, "virtqemud", 77, 0.0))
    path, _ = install.install(str(hooks), WIRING)

    found = install.status(str(hooks), WIRING, ["9:76"])

    assert (found.installed, found.current, found.loaded) == (True, True, False)
    assert found.problems == (("not_loaded", {"daemon": "virtqemud", "pid": "9"}),)


def test_status_knows_a_daemon_that_started_later(
    hooks: Path, running: list[daemons.Daemon]
) -> None:
    """A daemon looks at its start."""
    path, _ = install.install(str(hooks), WIRING)
    running.append(FakeDaemon(9, "libvirtd", 77, os.stat(path).st_ctime + 1))

    assert install.status(str(hooks), WIRING, []).loaded is True


def test_status_tells_a_stale_hook(hooks: Path) -> None:
    """What another version or configuration installed is to be brought up to date."""
    install.install(str(hooks), WIRING)
    newer = install.Wiring("/new/python", "/q", "/c", ["/f"])

    found = install.status(str(hooks), newer, [])

    assert (found.installed, found.current) == (True, False)
    assert found.problems == (("stale", {}),)


@pytest.mark.parametrize(("mode", "fault"), [(0o644, "not_executable"), (0o775, "writable")])
def test_status_sees_wrong_modes(hooks: Path, mode: int, fault: str) -> None:
    """libvirtd ignores what it can't execute; what others can write they can run as root."""
    path, _ = install.install(str(hooks), WIRING)
    os.chmod(path, mode)

    found = install.status(str(hooks), WIRING, [])

    assert found.installed is False
    assert found.problems[0] == (fault, {})


def test_the_wiring_of_this_process_leads_to_this_package() -> None:
    """The installed hook runs the very code that installed it."""
    wiring = install.Wiring.of_this_process("/c", ["relative.conf"])

    assert wiring.python == sys.executable
    assert os.path.exists(os.path.join(wiring.package, "mthook", "hook", "fast.py"))
    assert wiring.config_files == [os.path.abspath("relative.conf")]


@pytest.mark.parametrize("python", [sys.executable, "/gone/python3"])
def test_status_tries_the_interpreter_or_the_one_that_stands_in(
    hooks: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    """An upgrade of the system took one of them away, or the package."""
    wiring = install.Wiring(python, "/opt/my package", "/c", ["/f"])
    install.install(str(hooks), wiring)
    assert install.status(str(hooks), wiring, []).problems == ()
    monkeypatch.setattr(install, "_TRY", "import nothing_like_it")
    tried = python if python == sys.executable else "/usr/bin/python3"

    found = install.status(str(hooks), wiring, [])

    why = "ModuleNotFoundError: No module named 'nothing_like_it'"
    assert (found.installed, found.problems) == (
        False,
        (("fails", {"python": tried, "reason": why}),),
    )


def test_without_any_interpreter_guests_start_unguarded(
    hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that stands in is missing, too."""
    monkeypatch.setattr(install, "PYTHON", "/gone/too")
    wiring = install.Wiring("/gone/python3", "/q", "/c", ["/f"])
    install.install(str(hooks), wiring)

    (problem,) = install.status(str(hooks), wiring, []).problems

    assert (problem.kind, problem.facts["python"]) == ("fails", "/gone/too")
