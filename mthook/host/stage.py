# SPDX-License-Identifier: Apache-2.0
"""Where domains are started for a moment: a process with a libvirt of its own, in namespaces of its own.

libvirt's QEMU driver runs inside the process (``qemu:///embed``, libvirt 6.1): no daemon knows of these domains, no
hook is called, and all of its files are in the private ``/run``. The namespaces have no network, and everything in them
ends with their first process. Run by :mod:`mthook.host.rehearsal`; one JSON document a line comes in and goes out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt

#: Directories of the host that no domain here may reach; empty ones cover them.
_COVERED = ("/run", "/dev/shm", "/etc/libvirt", "/var/lib/libvirt")
_ROOT = "/run/libvirt-embed"
_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
"""
#: Bytes of a disk, which is empty and takes no space.
_DISK = 1 << 20
_NICE = 19


def main() -> int:
    """Be the first process: reap processes that end in here, and end when the worker does."""
    worker = os.fork()
    if worker:
        while True:
            ended, status = os.wait()
            if ended == worker:
                return os.waitstatus_to_exitcode(status) & 0xFF
    return work()


def work() -> int:
    """Start one domain after the other."""
    try:
        _isolate()
        connection = _connect()
    except (OSError, subprocess.CalledProcessError, libvirt.libvirtError) as error:
        words = getattr(error, "stderr", None) or str(error)
        _say({"problem": words})
        return 1
    _say({"problem": None})
    for line in sys.stdin:
        request = json.loads(line)
        _say({"error": _try(connection, request["xml"], request["files"])})
    return 0


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


def _isolate() -> None:
    os.nice(_NICE)
    # Without a cgroup mount libvirt creates no cgroups, which would outlive all this.
    subprocess.run(["umount", "-n", "-R", "-l", "/sys/fs/cgroup"], check=False, capture_output=True)
    for directory in filter(os.path.isdir, _COVERED):
        subprocess.run(
            ["mount", "-n", "-t", "tmpfs", "-o", "mode=0755", "mthook-rehearsal", directory],
            check=True,
            capture_output=True,
            text=True,
        )


def _connect() -> Any:
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_serve, daemon=True).start()
    etc = Path(_ROOT, "etc")
    etc.mkdir(parents=True)
    (etc / "qemu.conf").write_text(_QEMU_CONF)
    return libvirt.open(f"qemu:///embed?root={_ROOT}")


def _serve() -> None:
    """Run libvirt's event loop, which listens to QEMU."""
    while True:
        libvirt.virEventRunDefaultImpl()


def _try(connection: Any, text: str, files: dict[str, int]) -> str | None:
    """Start a domain, paused, and end it; return why it doesn't start."""
    with _provided(text, files):
        try:
            domain = connection.createXML(text, libvirt.VIR_DOMAIN_START_PAUSED)
            domain.destroy()
        except libvirt.libvirtError as error:
            return str(error)
    return None


@contextmanager
def _provided(text: str, files: dict[str, int]) -> Iterator[None]:
    """Make the empty files that a domain asks for."""
    sources = ElementTree.fromstring(text).iterfind("devices/disk/source[@file]")
    sizes = {**files, **{source.get("file", ""): _DISK for source in sources}}
    for name, size in sizes.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with open(name, "wb") as file:
            file.truncate(size)
    yield
    for name in sizes:
        os.unlink(name)


if __name__ == "__main__":
    sys.exit(main())
