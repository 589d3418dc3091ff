# SPDX-License-Identifier: Apache-2.0
"""An operator's place at a lab host: mthook's commands with a configuration and a catalog of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mthook.tools import sync
from mthook.tools.admin import main
from tests.lab import Host
from tests.programs import ENFORCE


class Commands:
    """What an operator runs there."""

    def __init__(self, node: Host, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.node = node
        self.path = str(directory / "mthook" / "catalog.sqlite")
        self._config = str(directory / "mthook.conf")
        Path(self._config).write_text(
            f"{ENFORCE}[catalog]\npath = {self.path}\n[libvirt]\nconnection_uri = {node.uri}\n"
        )
        self._capsys = capsys

    def admin(self, *argv: str) -> tuple[int, str, str]:
        """Run mthook-admin and return its exit code, standard output and standard error."""
        self._capsys.readouterr()
        code = main(["--config-file", self._config, *argv])
        said = self._capsys.readouterr()
        return int(code), said.out, said.err

    def sync(self) -> None:
        """Run mthook-sync, which pins every guest there is."""
        assert self.run_sync()[0] == 0

    def run_sync(self, *argv: str) -> tuple[int, str, str]:
        """Run mthook-sync and return its exit code, standard output and standard error."""
        self._capsys.readouterr()
        code = sync.main(["--config-file", self._config, *argv])
        said = self._capsys.readouterr()
        return int(code), said.out, said.err
