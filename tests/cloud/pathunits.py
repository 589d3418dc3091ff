# SPDX-License-Identifier: Apache-2.0
"""A stand-in for systemd on a compute host: does what mthook's path units say."""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
import threading
import time
from pathlib import Path

UNITS = Path("/opt/mthook/share/mthook/systemd")
SECONDS = 0.2


def main() -> None:
    """Watch for every path unit."""
    for unit in UNITS.glob("*.path"):
        threading.Thread(target=watch, args=[unit]).start()


def watch(unit: Path) -> None:
    """Start a path unit's service whenever its file exists."""
    path = read(unit)["Path"]["PathExists"]
    service = read(unit.with_suffix(".service"))["Service"]
    commands = [service[name] for name in ("ExecStartPre", "ExecStart") if name in service]
    again = service.get("RestartForceExitStatus", "").split()
    pause = float(service.get("RestartSec", "0"))
    while True:
        if os.path.exists(path):
            while str(run(commands)) in again:
                time.sleep(pause)
        time.sleep(SECONDS)


def run(commands: list[str]) -> int:
    """Run commands one after the other and return the last one's exit code."""
    codes = [subprocess.run(shlex.split(command.lstrip("-"))).returncode for command in commands]
    return codes[-1]


def read(unit: Path) -> configparser.ConfigParser:
    """Return what a unit says; of an option that it has twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(unit)
    return parser


if __name__ == "__main__":
    main()
