# SPDX-License-Identifier: Apache-2.0
"""From a host without mthook to a guarded guest, by the two commands of a page of the guide."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import wait_until
from tests.packages import services
from tests.packages.services import Wrong

_GUIDE = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^\.\. two commands\n.*?::\n\n(.*?)\n(?=\S)", re.MULTILINE | re.DOTALL)
_RIGHT, _WRONG = "pc-q35-5.2", "pc-q35-5.1"
_HOOKS, _INSIDE = "/etc/libvirt/hooks", "/mnt"
_DAEMONS = ["libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"]
#: libvirt's container: a root of its own without mthook, and of the host what kolla-ansible and openstack-helm mount.
_MAKE = f"""\
mkdir /run/container
mount -n -t tmpfs none /run/container
mkdir /run/container/upper /run/container/work
mount -n -t overlay -o lowerdir=/,upperdir=/run/container/upper,workdir=/run/container/work container {_INSIDE}
for directory in /dev /proc /run /sys /etc/libvirt/qemu /var/lib/libvirt; do
	mount -n --rbind $directory {_INSIDE}$directory
done
rm -rf {_INSIDE}/usr/lib/python3/dist-packages/mthook {_INSIDE}/usr/sbin/mthook-*
mkdir -p {_INSIDE}{_HOOKS}
echo 'namespaces = []' >>{_INSIDE}/etc/libvirt/qemu.conf
"""
_ANEW = f"systemctl stop nova_libvirt; systemd-run -q --unit=nova_libvirt chroot {_INSIDE} libvirtd"


def commands(page: str) -> list[str]:
    """Return the two commands of a page; one may have several lines."""
    block = _BLOCK.search((_GUIDE / f"start-{page}.rst").read_text())
    assert block is not None, page
    text = re.sub("^    ", "", block[1], flags=re.MULTILINE).strip()
    first, _, second = text.rpartition("\n")
    return [first, second]


def plain(host: Hypervisor) -> None:
    """libvirtd runs on the host."""
    for command in commands("libvirt"):
        host.run(["sh", "-ec", f"cd /root/debs; export DEBIAN_FRONTEND=noninteractive; {command}"])
    _prove(host)


def kolla(host: Hypervisor) -> None:
    """libvirtd runs in a container to which the host's hooks directory is mounted."""
    contain(host)
    mount_hook(host)
    host.run(["sh", "-ec", commands("kolla-ansible")[1]])
    host.virsh("start", "off")
    host.virsh("destroy", "off")
    services.renew_hook(host)
    _prove(host)


def helm(host: Hypervisor) -> None:
    """libvirtd runs in a pod, and its hook comes from the chart's values."""
    contain(host)
    render, setup = commands("openstack-helm")
    host.run(["sh", "-ec", f"cd /root; {render}"])
    values = yaml.safe_load(host.path("/root/mthook-hook.yaml").read_text())
    hook = host.path(f"{_INSIDE}{_HOOKS}/qemu")
    hook.write_text(values["conf"]["hooks"]["scripts"]["qemu"])
    hook.chmod(0o555)
    _start_anew(host)
    host.run(["sh", "-ec", setup])
    _prove(host)


def mount_hook(host: Hypervisor) -> None:
    """Render the hook, and let libvirt's container have the host's directory."""
    host.run(["sh", "-ec", commands("kolla-ansible")[0]])
    host.run(["mount", "-n", "--bind", _HOOKS, _INSIDE + _HOOKS])
    _start_anew(host)


def contain(host: Hypervisor) -> None:
    """Move libvirtd to a container, with mthook's package on the host."""
    host.apt("install", "/root/debs/mthook_0.1.0_all.deb")
    for guest in host.virsh("list", "--name").split():
        host.virsh("destroy", guest)
    host.run(["systemctl", "disable", "--now", *_DAEMONS])
    host.run(["sh", "-ec", _MAKE])
    _start_anew(host)


def _start_anew(host: Hypervisor) -> None:
    host.run(["sh", "-c", _ANEW])
    said = lambda: host.run(["journalctl", "-u", "nova_libvirt", "-n", "20"]).stdout  # noqa: E731
    answers = lambda: host.try_virsh("list").returncode == 0  # noqa: E731
    wait_until("libvirtd in a container doesn't answer", answers, said)


def _prove(host: Hypervisor) -> None:
    """A right start works, a wrong one is stopped and its definition mended, and the proof of guard says so."""
    host.virsh("start", "off")
    host.virsh("destroy", "off")
    host.run(["sh", "-c", f"virsh dumpxml off | sed s/{_RIGHT}/{_WRONG}/ >/root/guest.xml"])
    host.virsh("define", "/root/guest.xml")
    done = host.try_virsh("start", "off")
    if done.returncode == 0 or f"is pinned to {_RIGHT}" not in done.stderr:
        raise Wrong(f"a start with another machine type wasn't stopped: {done.stderr}")
    mended = lambda: host.machine("off", "--inactive") == _RIGHT  # noqa: E731
    wait_until("no repair", mended, lambda: host.run(["journalctl", "-t", "mthook"]).stdout)
    host.virsh("start", "off")
    status = ["hook", "status", "-f", "value", "-c", "Loaded", "-c", "Called"]
    proof = host.admin(*status).split()
    unguarded = host.run(["mthook-sync", "-v"]).stderr.count("unguarded")
    if (proof, unguarded) != (["True", "True"], 0):
        raise Wrong(f"hook status says {proof}, and mthook-sync finds {unguarded} unguarded guests")


KINDS = {"plain": plain, "like kolla-ansible's": kolla, "like openstack-helm's": helm}
