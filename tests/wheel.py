# SPDX-License-Identifier: Apache-2.0
"""Prove that an installed wheel has all it needs. Run by ``tox -e wheel``, away from the checkout, without pytest.

On a host where mthook never was, it is two commands from the wheel to mode audit, and a third one to enforce.
"""

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

#: Completion and man pages.
FOR_PEOPLE = (
    "zsh/site-functions/_mthook",
    "man/man5/mthook.conf.5",
    *(
        name.format(program)
        for program in ("mthook-admin", "mthook-gate", "mthook-status", "mthook-sync")
        for name in ("bash-completion/completions/{}", "man/man8/{}.8")
    ),
)


def main() -> None:
    """Look at what is installed, then set a host up with it."""
    check_package()
    check_commands()
    print("the wheel is whole")


def check_package() -> None:
    """Make a catalog, install the hook, and let it record a guest."""
    package = Path(mthook.__file__).parent
    assert sys.prefix in str(package), f"{package} isn't the installed one"
    assert (package / "py.typed").exists()
    shared = Path(sys.prefix) / "share"
    alerts, unit = "mthook/prometheus/mthook-alerts.yml", "mthook/systemd/mthook-sync.timer"
    for name in ("mthook/mthook.conf.sample", unit, alerts, *FOR_PEOPLE):
        assert (shared / name).stat().st_size, f"{name} is missing"
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "state", "catalog.sqlite")
        config = os.path.join(directory, "mthook.conf")
        Path(config).write_text(f"[catalog]\npath = {path}\n")
        Catalog.open(path).close()
        hook, _ = install.install(directory, install.Wiring.of_this_process(path, [config]))
        subprocess.run(
            [hook, "web-1", "started", "begin", "-"], input=DOMAIN.encode(), check=True, env={}
        )
        with Catalog.open(path) as catalog:
            pin = catalog.get_pin(UUID)
    assert pin is not None and pin.machine == "pc-i440fx-7.2", "the installed hook recorded nothing"


def check_commands() -> None:
    """Count the commands; the first one, pip's, was tox's."""
    # Behind what is installed: the lab is the checkout's, mthook isn't.
    sys.path.append(str(Path(__file__).parents[1]))
    from tests.lab import OLD_PC as OLD
    from tests.lab import PC as NEW
    from tests.lab import Host, guest_xml

    with Host("fresh") as host:
        pinned = host.boot("web-1", OLD, uuid=UUID) and host.machine("web-1")
        host.mthook("mthook-admin", "setup", "--yes")
        assert host.mthook("mthook-admin", "get", "web-1").stdout == f"{pinned}\n"
        host.virsh("destroy", "web-1")
        host.define(guest_xml("web-1", UUID, NEW))
        host.virsh("start", "web-1")  # mode audit: as if mthook weren't there
        assert host.machine("web-1") == NEW
        host.virsh("destroy", "web-1")
        host.mthook("mthook-admin", "setup", "--yes", "--mode", "enforce")
        host.virsh("start", "web-1")
        assert host.machine("web-1") == OLD, "mode enforce left the definition as it was"
        host.virsh("destroy", "web-1")
        host.define(guest_xml("web-1", UUID, NEW))
        stopped = host.virsh("start", "web-1", check=False).stderr
        assert f"pinned to {OLD}" in stopped, "mode enforce stopped nothing"
        host.mthook("mthook-admin", "report", "--html", "/run/report.html")
        assert "web-1" in host.path("/run/report.html").read_text(), "the report has no template"


if __name__ == "__main__":
    main()
