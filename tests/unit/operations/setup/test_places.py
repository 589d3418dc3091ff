# SPDX-License-Identifier: Apache-2.0
"""Where completion and man pages are put, and where they are left."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from mthook.operations.setup import places

PARTS = {
    "bash-completion/completions": "mthook-admin",
    "zsh/site-functions": "_mthook",
    "man/man5": "mthook.conf.5",
    "man/man8": "mthook-admin.8",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a wheel has put below the directory it was installed into; others' files are there, too."""
    share = tmp_path / "venv" / "share"
    for part, name in PARTS.items():
        (share / part).mkdir(parents=True)
        (share / part / name).write_text(name)
        (share / part / "other").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(share.parent))
    monkeypatch.setattr(places, "SHARE", str(tmp_path / "local"))
    return share


def test_what_came_with_a_virtual_environment_belongs_where_shells_and_man_look(
    package: Path,
) -> None:
    """Each file in the directory of its kind."""
    wanted = {f"{places.SHARE}/{part}/{name}": name for part, name in PARTS.items()}

    assert places.completion() == wanted


def test_what_is_there_already_is_the_package_managers(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither written over nor removed."""
    monkeypatch.setattr(places, "SHARE", str(package))

    assert places.completion() == {}
    assert places.installed_completion() == []


def test_mthooks_files_alone_are_taken_back(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever version of mthook put them there."""
    local = Path(places.SHARE, "man/man8")
    local.mkdir(parents=True)
    for name in ("mthook-old.8", "nova-compute.8"):
        (local / name).touch()

    assert places.installed_completion() == [str(local / "mthook-old.8")]
