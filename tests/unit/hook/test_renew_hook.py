# SPDX-License-Identifier: Apache-2.0
"""What a package runs after an upgrade: the hook in its place becomes the new version's, and may be run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mthook.hook import install

SCRIPT = Path(__file__).parents[3] / "etc" / "renew-hook"
NEW = "#!/bin/sh\n# mthook: new\nsocket=/run/mthook/hook.sock\n"


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """A hooks directory, and commands on PATH that note what they are called with."""
    (tmp_path / "hooks" / "qemu.d").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    stand_in(tmp_path, "mthook-admin", f"cat <<'END'\n{NEW}END")
    stand_in(tmp_path, "selinuxenabled", "exit 0")
    stand_in(tmp_path, "restorecon", "exit 0")
    return tmp_path / "hooks"


def stand_in(directory: Path, name: str, then: str) -> None:
    """Make a command that notes its call and does something then."""
    program = directory / "bin" / name
    program.write_text(f'#!/bin/sh\necho "{name} $*" >>{directory}/calls\n{then}\n')
    program.chmod(0o755)


def renew(directory: Path) -> tuple[int, list[str], str]:
    """Run it for a directory; return the exit code, the calls without the questions for SELinux, and what it says."""
    text = SCRIPT.read_text().replace("/etc/libvirt/hooks", str(directory / "hooks"))
    environment = {"PATH": f"{directory}/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", text], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    noted = (directory / "calls").read_text().splitlines()
    return done.returncode, [call for call in noted if call != "selinuxenabled "], done.stderr


@pytest.mark.parametrize("name", ["qemu", "qemu.d/50-mthook"])
def test_a_hook_for_a_container_becomes_the_new_one_and_gets_its_label(
    tmp_path: Path, hooks: Path, name: str
) -> None:
    """Not with -F: that would take a label away that was given for the container. Nothing is left beside it."""
    hook = hooks / name
    hook.write_text(install.render_contained("/run/mthook/hook.sock", 5, deny=False))

    assert renew(tmp_path) == (0, ["mthook-admin hook render", f"restorecon {hook}"], "")

    assert (hook.read_text(), hook.stat().st_mode & 0o777) == (NEW, 0o755)
    assert [path for path in hooks.rglob("*") if path.is_file()] == [hook]


@pytest.mark.parametrize("off", ["exit 1", None], ids=["off", "unknown"])
def test_without_selinux_nothing_is_labelled(tmp_path: Path, hooks: Path, off: str | None) -> None:
    """restorecon may be there nevertheless."""
    (hooks / "qemu").write_text(NEW)
    if off is None:
        (tmp_path / "bin" / "selinuxenabled").unlink()
    else:
        stand_in(tmp_path, "selinuxenabled", off)

    assert renew(tmp_path) == (0, ["mthook-admin hook render"], "")


@pytest.mark.parametrize("missing", [False, True], ids=["fails", "is missing"])
def test_a_restorecon_that_doesnt_work_is_told(tmp_path: Path, hooks: Path, missing: bool) -> None:
    """And the hook is the new one."""
    (hooks / "qemu").write_text(NEW.replace("new", "old"))
    stand_in(tmp_path, "restorecon", "exit 1")
    if missing:
        (tmp_path / "bin" / "restorecon").unlink()

    code, _, said = renew(tmp_path)

    assert (code, (hooks / "qemu").read_text()) == (0, NEW)
    assert said.endswith(
        f"mthook: SELinux may keep libvirt from running the hook: run 'restorecon {hooks}/qemu'\n"
    )


def test_a_hook_that_cant_be_rendered_stays(tmp_path: Path, hooks: Path) -> None:
    """Nothing is half written."""
    old = NEW.replace("new", "old")
    (hooks / "qemu").write_text(old)
    stand_in(tmp_path, "mthook-admin", "echo half; exit 1")

    assert renew(tmp_path)[0] == 1

    assert (hooks / "qemu").read_text() == old
    assert sorted(path.name for path in hooks.iterdir()) == ["qemu", "qemu.d"]
