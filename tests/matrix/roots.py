# SPDX-License-Identifier: Apache-2.0
"""The QEMUs of several releases of Debian, each beside its own libraries, in a directory that goes afterwards."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.requirements import LabError

#: By the release's name: what messages call it.
SUITES = {
    "bullseye": "Debian 11",
    "bookworm": "Debian 12",
    "trixie": "Debian 13",
    "sid": "Debian sid",
}
MIRROR = "http://deb.debian.org/debian"
_PACKAGE = "qemu-system-x86"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_MODULES = f"/{_LIBRARIES}/qemu"
#: QEMU takes modules of its own build alone, and looks for them in a fixed place as well.
_WRAPPER = """\
#!/bin/sh
QEMU_MODULE_DIR={root}{modules} exec unshare --mount --propagation private sh -c '
mount -n --bind {root}{modules} {modules} && exec "$@"' sh \\
    {loader} --library-path {libraries} {root}/usr/bin/qemu-system-x86_64 \\
    -L {root}/usr/share/qemu -L {root}/usr/share/seabios -L {root}/usr/lib/ipxe/qemu "$@"
"""


def emulator(suite: str, directory: Path) -> Path:
    """Download the QEMU of a release, and return a program that runs it here.

    Nothing is installed: the packages are unpacked into ``directory``.
    """
    root = directory / f"root-{suite}"
    unpack(suite, [_PACKAGE], directory / f"apt-{suite}", root)
    return _wrapper(suite, directory, root)


def unpack(
    suite: str, packages: Sequence[str], state: Path, root: Path, without: tuple[str, ...] = ()
) -> None:
    """Download packages of a release with all that they depend on, and unpack them to ``root``, which is made.

    :param state: a directory for apt, which is made, too.
    :param without: what the names of packages begin with that are left out though others depend on them.
    """
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    source = f"deb [signed-by={_KEYRING}] {MIRROR} {suite} main\n"
    (state / "sources.list").write_text(source)
    apt = ["apt-get", "-qq", *_options(state)]
    _execute([*apt, "update"])
    _execute([*apt, "-y", "--download-only", "install", *packages])
    root.mkdir()
    for package in sorted((state / "cache/archives").glob("*.deb")):
        if not package.name.startswith(without):
            _execute(["dpkg", "-x", str(package), str(root)])
        package.unlink()


def _options(state: Path) -> list[str]:
    values = {
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    return [word for key, value in values.items() for word in ("-o", f"{key}={value}")]


def _wrapper(suite: str, directory: Path, root: Path) -> Path:
    (root / _MODULES.lstrip("/")).mkdir(parents=True, exist_ok=True)  # there are none before 7
    loader = next(root.rglob("ld-linux-x86-64.so.2"))
    libraries = (
        root / path for path in ("lib/x86_64-linux-gnu", _LIBRARIES, f"{_LIBRARIES}/pulseaudio")
    )
    text = _WRAPPER.format(
        root=shlex.quote(str(root)),
        modules=_MODULES,
        loader=shlex.quote(str(loader)),
        libraries=shlex.quote(":".join(map(str, libraries))),
    )
    path = directory / f"qemu-{suite}"
    path.write_text(text)
    path.chmod(0o755)
    return path


def _execute(argv: list[str]) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=quiet)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.returncode}\n{done.stderr[-2000:]}")
