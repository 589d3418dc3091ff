# SPDX-License-Identifier: Apache-2.0
"""The configuration that domains are judged by, kept up to date."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mthook import conf, journal
from mthook.errors import ConfigError
from mthook.settings import fingerprint


class Configuration:
    """The configuration, as new as its files.

    :param tells: log what is wrong with new files; one of the gate's processes does.
    :raises ConfigError: it is wrong from the beginning.
    """

    def __init__(self, files: Sequence[str], *, tells: bool = True) -> None:
        self.files = list(files)
        self._tells = tells
        self._seen = ""
        self._broken = ""
        self._load(fingerprint(self.files))

    def refresh(self) -> None:
        """Read the files again if they changed; a broken one leaves the last good configuration in force."""
        seen = fingerprint(self.files)
        if seen in (self._seen, self._broken):
            return
        try:
            self._load(seen)
        except ConfigError as error:
            if self._tells:
                journal.error(f"{error}; the last good configuration stays in force")
            self._broken = seen

    def _load(self, seen: str) -> None:
        options = conf.load([path for path in self.files if os.path.exists(path)])
        self.settings = conf.settings(options, seen)
        self.catalog: str = options.catalog.path
        self.refuses: bool = options.gate.on_unconvertible == "refuse"
        self.ports: int = options.libvirt.num_pcie_ports
        self.listen: str = options.gate.listen
        self._seen = seen
