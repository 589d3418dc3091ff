# SPDX-License-Identifier: Apache-2.0
"""The rendered hook in a root of Debian 13 that has python3-minimal alone, with that release's own libvirtd.

``python -m tests.matrix.contained``; the root is kept from run to run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.lab import Host, guest_xml
from tests.lab.requirements import LabError
from tests.lab.roots import cache, kept
from tests.lab.site import Site
from tests.matrix import roots

SUITE = "trixie"
PACKAGES = (
    *("base-files", "coreutils", "dash", "util-linux"),
    *("python3-minimal", "libvirt-daemon", "libvirt-daemon-driver-qemu", "qemu-system-x86"),
)
#: The rest of Python's library, on which something of libvirt's depends.
_WITHOUT = ("libpython3-stdlib", "libpython3.13-stdlib")
DOWNLOAD = "about 170 MB"
UUID = "3f2c1d3e-0000-4000-8000-000000000001"
PINNED, OTHER = "pc-i440fx-10.0", "pc-i440fx-9.2"
INSIDE = "/mnt"
SOCKET = "/run/mthook/hook.sock"
#: The container: a root of its own, and the host's /run, as with kolla-ansible and openstack-helm.
MOUNT = f"""\
set -e
mkdir -p /run/upper /run/work
mount -n -t tmpfs none /run/upper
mkdir /run/upper/upper /run/upper/work
mount -n -t overlay -o lowerdir=$1,upperdir=/run/upper/upper,workdir=/run/upper/work container {INSIDE}
for directory in /dev /proc /run /sys; do mount -n --rbind $directory {INSIDE}$directory; done
cp /etc/passwd /etc/group {INSIDE}/etc/
cp /etc/libvirt/libvirtd.conf /etc/libvirt/qemu.conf {INSIDE}/etc/libvirt/
mkdir -p {INSIDE}/etc/libvirt/hooks {INSIDE}/var/log/libvirt
"""


def main() -> int:
    """Run it; what is wrong ends it with an assertion."""
    print(f"Debian {SUITE} in {cache()}: the first time it downloads {DOWNLOAD}.", flush=True)
    root = kept("contained", [SUITE, roots.MIRROR, *PACKAGES, *_WITHOUT], _make)
    assert not (root / "usr/lib/python3.13/sqlite3").exists(), "the root has all of Python"
    with Host("contained") as node:
        site = Site(node)
        site.configure("")
        node.daemon.stop()
        node.run(["sh", "-c", MOUNT, "sh", str(root)])
        _try(site)
    print(
        "A guest was pinned, stopped, started, proven; and let go unguarded while nobody answered."
    )
    return 0


def _make(root: Path) -> None:
    root.rmdir()
    with tempfile.TemporaryDirectory() as state:
        roots.unpack(SUITE, PACKAGES, Path(state), root, _WITHOUT)
    (root / "bin/sh").unlink(missing_ok=True)
    (root / "bin/sh").symlink_to("dash")
    for name in ("dev", "proc", "run", "sys", "tmp"):
        (root / name).mkdir(exist_ok=True)


def _try(site: Site) -> None:
    node = site.node
    hook = node.path(f"{INSIDE}/etc/libvirt/hooks/qemu")
    hook.write_text(node.mthook("mthook-admin", "hook", "render").stdout)
    hook.chmod(0o555)
    time.sleep(0.1)  # so that the daemon's start is later by any clock
    serving = node.popen([Path(sys.executable).with_name("mthook-admin"), "hook", "serve"])
    daemon = node.popen(["chroot", INSIDE, "libvirtd"])
    try:
        _wait(site)
        node.mthook("mthook-sync")
        assert (
            node.mthook("mthook-admin", "hook", "status", "-f", "value", "-c", "Loaded").stdout
            == "True\n"
        )
        node.boot("web-1", PINNED, uuid=UUID)
        assert site.pin() == PINNED
        node.virsh("destroy", "web-1")
        node.define(guest_xml("web-1", UUID, OTHER))
        assert f"stopped: its machine type is pinned to {PINNED}" in site.start()
        node.define(guest_xml("web-1", UUID, PINNED))
        assert site.start() == ""
        assert (
            node.mthook("mthook-admin", "hook", "status", "-f", "value", "-c", "Called").stdout
            == "True\n"
        )
        assert node.mthook("mthook-sync", "-v").stderr.count("unguarded") == 0
        node.run(["pkill", "-f", "[h]ook serve"])
        node.virsh("destroy", "web-1")
        assert site.start() == ""
        assert "web-1" in node.mthook("mthook-sync", check=False).stderr
    finally:
        node.remove_guests()
        for process in (serving, daemon):
            process.terminate()


def _wait(site: Site) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answers = site.node.virsh("list", check=False).returncode == 0
        if answers and site.node.path(SOCKET).exists():
            return
        time.sleep(0.2)
    raise LabError("The container's libvirtd doesn't answer.")


if __name__ == "__main__":
    sys.exit(main())
