# SPDX-License-Identifier: Apache-2.0
"""Prove that an installed wheel has all it needs. Run by ``tox -e wheel``, away from the checkout, without pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mthook
from mthook.catalog.store import Catalog
from mthook.hook import install

UUID = "7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f"
DOMAIN = f"<domain type='kvm'><uuid>{UUID}</uuid><os><type machine='pc-i440fx-7.2'>hvm</type></os></domain>"


def main() -> None:
    """Make a catalog, install the hook, and let it record a guest."""
    package = Path(mthook.__file__).parent
    assert sys.prefix in str(package), f"{package} isn't the installed one"
    assert (package / "py.typed").exists()
    shared = Path(sys.prefix) / "share" / "mthook"
    assert (shared / "mthook.conf.sample").exists() and (
        shared / "systemd" / "mthook-sync.timer"
    ).exists()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "state", "catalog.sqlite")
        config = os.path.join(directory, "mthook.conf")
        Path(config).write_text(f"[catalog]\npath = {path}\n")
        Catalog.open(path).close()
        hook, _ = install.install(directory, install.Settings.of_this_process(path, [config]))
        subprocess.run(
            [hook, "web-1", "started", "begin", "-"], input=DOMAIN.encode(), check=True, env={}
        )
        with Catalog.open(path) as catalog:
            pin = catalog.get_pin(UUID)
    assert pin is not None and pin.machine == "pc-i440fx-7.2", "the installed hook recorded nothing"
    print("the wheel is whole")


if __name__ == "__main__":
    main()
