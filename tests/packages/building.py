# SPDX-License-Identifier: Apache-2.0
"""mthook's packages for Debian, built from this checkout in a clean release of Debian."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab import roots
from tests.lab.machine import Machine

SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
DOWNLOAD, SPACE = "about 900 MB", "5 GB"
#: Of the checkout's changelog.
VERSION = "0.1.0"
NEXT = f"{VERSION}+next"
#: What mthook needs, without libvirt.
DEPENDENCIES = [
    *("python3-alembic", "python3-cliff", "python3-jinja2", "python3-lxml"),
    *("python3-oslo.config", "python3-oslo.upgradecheck"),
    *("python3-prometheus-client", "python3-sqlalchemy", "python3-tqdm"),
]
_BUILDER = [
    *("build-essential", "debhelper", "dh-python", "furo", "lintian", "pkg-config"),
    *("pybuild-plugin-pyproject", "python3-all", "python3-setuptools", "python3-sphinx"),
    *("python3-sphinx-copybutton", "python3-wheel", "systemd", *DEPENDENCIES),
    # For the other distributions' package.
    *("checkpolicy", "python3-installer", "python3-pip", "rpm", "semodule-utils"),
]
CHECKOUT = Path(__file__).parents[2]


def builder(suite: str) -> Machine:
    """Return a machine that can build packages."""
    return Machine("builder", [root("builder", suite, [_BUILDER])])


def root(kind: str, suite: str, steps: Sequence[Sequence[str]]) -> Path:
    """Return the root of a release for one of the kinds of machines that packages are tried on."""
    return roots.debian(
        f"{kind}-{suite}",
        suite,
        steps,
        f"Making {SUITES[suite]} as a {kind} in {roots.cache()}, once: all of them download {DOWNLOAD} and take "
        f"{SPACE} of disk. Nothing is installed on this machine.",
    )


def build(machine: Machine, into: Path, version: str = VERSION) -> dict[str, Path]:
    """Build the packages and return them by their file names."""
    source = machine.path(f"/build/{version}/mthook")
    source.mkdir(parents=True)
    copy_checkout(source)
    changelog = source / "debian/changelog"
    changelog.write_text(changelog.read_text().replace(f"({VERSION})", f"({version})", 1))
    machine.run(["sh", "-c", f"cd /build/{version}/mthook && dpkg-buildpackage -us -uc -b"])
    return {deb.name: Path(shutil.copy(deb, into)) for deb in source.parent.glob("*.deb")}


def copy_checkout(into: Path) -> None:
    """Copy what git has here, changes included."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE).stdout
    for name in filter(None, names.decode().split("\0")):
        if (CHECKOUT / name).exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, into / name, follow_symlinks=False)
