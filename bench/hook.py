# SPDX-License-Identifier: Apache-2.0
"""What a call of the hook costs: whole processes, as libvirtd starts them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.timing import Ratio, medians, report
from mthook import conf
from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.hook import install
from mthook.settings import fingerprint
from mthook.text import now

FIXTURE = Path(__file__).parents[1] / "tests" / "fixtures" / "hook-stdin" / "alpha-prepare.xml"
UUID = "7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f"
IMAGE = "3c4d5e6f-7081-4293-a4b5-c6d7e8f90a1b"
MACHINE = "pc-i440fx-7.2"

PREPARE = "prepare, pin satisfied"
MANY = "prepare, pin satisfied, 100,000 pins in the catalog"
PYTHON = "python3 -I -S -c pass"
SHELL = "sh -c :"
NAIVE = "prepare, naive hook (lxml + oslo.config + SQLAlchemy)"
STARTED = "started, let go by its prepare, and recorded"
UNINTERESTING = ("start", "stopped", "release")


def run(rounds: int) -> bool:
    """Measure and print; return whether all limits are kept."""
    # The notes and records are in memory, as on a host.
    with (
        tempfile.TemporaryDirectory() as directory,
        tempfile.TemporaryDirectory(dir="/dev/shm") as run,
    ):
        few = _host(Path(directory) / "few", 100, f"{run}/few")
        many = _host(Path(directory) / "many", 100_000, f"{run}/many")
        things = {
            SHELL: _process(["sh", "-c", ":"]),
            PYTHON: _process([sys.executable, "-I", "-S", "-c", "pass"]),
            **{
                name: _process([few / "hooks" / "qemu", "web-1", name, "end", "-"])
                for name in UNINTERESTING
            },
            PREPARE: _process([few / "hooks" / "qemu", "web-1", "prepare", "begin", "-"]),
            STARTED: _process([few / "hooks" / "qemu", "web-1", "started", "begin", "-"]),
            MANY: _process([many / "hooks" / "qemu", "web-1", "prepare", "begin", "-"]),
        }
        cost = medians(things, rounds)
        naive = [
            sys.executable,
            str(Path(__file__).with_name("naive.py")),
            str(few / "mthook.conf"),
        ]
        cost.update(medians({NAIVE: _process(naive)}, max(rounds // 20, 3)))
    ratios = [Ratio(name, SHELL, 4.0) for name in UNINTERESTING]
    ratios.append(Ratio(STARTED, SHELL, 4.0))
    ratios += [Ratio(PREPARE, PYTHON, 2.5), Ratio(MANY, PREPARE, 1.1), Ratio(NAIVE, PREPARE)]
    return report("One call of the hook, a process each (median)", cost, ratios)


def _host(directory: Path, pins: int, cleared: str) -> Path:
    """Make a catalog with so many pins, the guest's among them, and a hook that uses it."""
    directory.mkdir(mode=0o700)
    config, path = directory / "mthook.conf", directory / "catalog.sqlite"
    config.write_text(f"[catalog]\npath = {path}\n")
    with Catalog.open(str(path)) as catalog, catalog.transaction():
        for number in range(pins):
            uuid = (
                UUID
                if number == pins // 2
                else f"{number:08x}-6a0e-4c6f-9f3b-{number * 7919 % 2**48:012x}"
            )
            catalog.add_pin(
                Pin(
                    uuid,
                    MACHINE,
                    "x86_64",
                    "running guest",
                    "bench",
                    now(),
                    now(),
                    seen=MACHINE,
                    root_image=IMAGE,
                )
            )
        catalog.compile_settings(
            conf.settings(conf.load([str(config)]), fingerprint([str(config)]))
        )
    made = install.Wiring.of_this_process(str(path), [str(config)])
    wiring = dataclasses.replace(made, cleared=cleared)
    install.install(str(directory / "hooks"), wiring)
    return directory


def _process(argv: list[str | Path]) -> Callable[[], None]:
    xml = FIXTURE.read_bytes()
    environment = {"LC_ALL": "C", "PATH": os.defpath, "HOME": "/root"}
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if str(argv[1]).endswith("naive.py"):
        environment["PYTHONPATH"] = package

    def once() -> None:
        subprocess.run(argv, input=xml, env=environment, check=True, stdout=subprocess.DEVNULL)

    return once
