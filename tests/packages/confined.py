# SPDX-License-Identifier: Apache-2.0
"""A host whose kernel confines libvirt, by SELinux or by AppArmor, both as Debian has them, and both enforcing.

It is a virtual machine with a kernel of its own: another machine's may know neither. Without KVM, it is slow.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from tests.lab import guest_xml
from tests.lab.machine import Machine
from tests.lab.processes import wait_until
from tests.lab.table import log
from tests.packages import building, services
from tests.packages.services import Wrong

PACKAGES = [
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "python3-libvirt"),
    *("python3-pymysql", "dbus", "procps", "systemd-sysv", "udev", *building.DEPENDENCIES),
    *("apparmor", "auditd", "checkpolicy", "policycoreutils", "selinux-policy-default"),
    *("selinux-utils", "semodule-utils", "setools"),
    *("e2fsprogs", "initramfs-tools", "linux-image-cloud-amd64"),
    *("openssh-client", "openssh-server"),
]
#: What Debian's policy denies its own libvirt, as the kernel's log had it on 2026-11-29: no guest starts there, mthook
#: or not. The guests themselves are let off.
_BASELINE = """\
module baseline 1.0;
require {
	type virtd_t, svirt_t, virtlogd_t, systemd_logind_t, systemd_machined_t;
	type device_t, devpts_t, hugetlbfs_t, tmpfs_t, unlabeled_t, initrc_runtime_t;
	class filesystem unmount;
	class dir { mounton write };
	class file { lock open read };
	class dbus send_msg;
	class anon_inode create;
	class bpf { map_create map_read map_write prog_load prog_run };
	class capability2 { bpf perfmon };
}
permissive svirt_t;
permissive virtlogd_t;
allow virtd_t { device_t devpts_t hugetlbfs_t tmpfs_t }:filesystem unmount;
allow virtd_t devpts_t:dir write;
allow virtd_t unlabeled_t:dir mounton;
allow virtd_t initrc_runtime_t:file { lock open read };
allow virtd_t self:anon_inode create;
allow virtd_t self:bpf { map_create map_read map_write prog_load prog_run };
allow virtd_t self:capability2 { bpf perfmon };
allow virtd_t { systemd_logind_t systemd_machined_t }:dbus send_msg;
allow { systemd_logind_t systemd_machined_t } virtd_t:dbus send_msg;
"""
_NETWORK = "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\n"
_LOAD = """\
cd /root/module
for name in mthook $0; do
	checkmodule -M -m -o $name.mod $name.te
	semodule_package -o $name.pp -m $name.mod $([ ! -e $name.fc ] || echo "-f $name.fc")
done
semodule -n -s default -i mthook.pp $0.pp
"""
_MAKE = f"""\
ssh-keygen -q -N '' -t ed25519 -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
systemctl enable -q systemd-networkd ssh auditd
dpkg -i /root/mthook_{building.VERSION}_all.deb
mount -t tmpfs lab /mnt
mkdir /mnt/root
cp -ax /. /mnt/root
setfiles -F -r /mnt/root /etc/selinux/default/contexts/files/file_contexts /mnt/root
mkfs.ext4 -q -d /mnt/root /mnt/disk 5G
rm -rf /mnt/root
"""
_BOOT = """\
exec qemu-system-x86_64 -accel tcg,thread=single -cpu max -m 1500 -nodefaults -display none \
	-kernel /vmlinuz -initrd /initrd.img -append "root=/dev/vda rw console=ttyS0 $1" -serial file:/dev/stdout \
	-drive file=/mnt/disk,if=virtio,format=raw,snapshot=on \
	-netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$2-:22 -device virtio-net-pci,netdev=net
"""
_SSH = [
    *("ssh", "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=30", "root@127.0.0.1"),
]
_SECONDS = 400
_RIGHT, _OTHER, _UUID = "pc-i440fx-5.2", "pc-i440fx-7.2", "3f2c1d3e-0000-4000-8000-0000000000c0"
_START = "virsh start web && virsh destroy web"
_AUDITED = "grep avc: /var/log/audit/audit.log | grep -E 'context=[^ ]*:mthook_' || :"
#: The guide's commands for a Python that isn't the system's.
_RULE = re.compile(r"echo '/opt/.*\n +apparmor_parser .*")
_REFUSED = "grep 'apparmor=\"DENIED\"' /var/log/audit/audit.log || :"


class Confined:
    """The host, once it has booted.

    :param machine: what it was made on.
    :param arguments: for its kernel.
    """

    def __init__(self, machine: Machine, arguments: str) -> None:
        self._machine = machine
        with socket.create_server(("127.0.0.1", 0)) as one:
            self._port = str(one.getsockname()[1])
        machine.start("qemu", ["sh", "-c", _BOOT, "sh", arguments, self._port])
        machine.await_daemon("qemu", self._answers, _SECONDS)

    def _answers(self) -> bool:
        time.sleep(1)
        return self.try_("true").returncode == 0

    def try_(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script there."""
        argv = [*_SSH, "-p", self._port, "sh", "-e"]
        return self._machine.run(argv, input=script, check=False)

    def run(self, script: str) -> str:
        """Run a script there and return what it prints.

        :raises Wrong: it failed.
        """
        done = self.try_(script)
        if done.returncode:
            raise Wrong(f"{script.strip()}: {done.stdout}{done.stderr}")
        return done.stdout

    def await_(self, failure: str, script: str) -> None:
        """Wait until a script succeeds.

        :raises LabError: it doesn't.
        """
        wait_until(failure, lambda: self.try_(script).returncode == 0, self._journal, _SECONDS)

    def _journal(self) -> str:
        return self.try_("journalctl -n 40 --no-pager").stdout

    def expect(self, script: str, text: str) -> None:
        """See that a script prints a text.

        :raises Wrong: it doesn't.
        """
        done = self.try_(script)
        if text not in done.stdout + done.stderr:
            raise Wrong(f"{script} doesn't say {text!r}: {done.stdout}{done.stderr}")


def check(debs: Mapping[str, Path]) -> None:
    """See that mthook does its work on such a host, and that nothing of it is denied.

    :raises Wrong: it doesn't.
    """
    machine = Machine("confined", [root()])
    try:
        _make(machine, debs)
        for name, (arguments, steps) in _KERNELS.items():
            host = Confined(machine, arguments)
            for step in (_guard, *steps):
                step(host)
                log(f"{name}: {(step.__doc__ or '').rstrip('.')}: as it should be")
            machine.stop("qemu")
    finally:
        machine.close()


def root() -> Path:
    """Return the root of such a host."""
    return building.root("confined", "bookworm", [PACKAGES])


def load_modules(machine: Machine, name: str, text: str, *, enforced: bool = False) -> None:
    """Make mthook's module, and one beside it, part of the policy on a machine.

    :param enforced: mthook's domains aren't permissive there.
    """
    module = machine.path("/root/module")
    shutil.copytree(building.CHECKOUT / "deploy/selinux", module)
    (module / f"{name}.te").write_text(text)
    if enforced:
        own = module / "mthook.te"
        own.write_text(re.sub("^permissive .*\n", "", own.read_text(), flags=re.MULTILINE))
    machine.run(["sh", "-ec", _LOAD, name])


def _make(machine: Machine, debs: Mapping[str, Path]) -> None:
    shutil.copy(debs[f"mthook_{building.VERSION}_all.deb"], machine.path("/root"))
    load_modules(machine, "baseline", _BASELINE, enforced=True)
    for name, machine_type in (("right", _RIGHT), ("other", _OTHER)):
        xml = guest_xml("web", _UUID, machine_type, virt_type="qemu")
        machine.path(f"/root/{name}.xml").write_text(xml)
    machine.path("/etc/systemd/network/lab.network").write_text(_NETWORK)
    machine.path("/etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=default\n")
    machine.path("/etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    machine.path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
    machine.run(["sh", "-ec", _MAKE])


def _guard(host: Confined) -> None:
    """Guests start, with mthook and without, and a wrong start is stopped and mended."""
    host.run(f"virsh define right.xml; {_START}")
    host.run("mthook-admin setup --yes --mode enforce")
    # A sync by the clock would mend the definition before the start.
    host.run("systemctl stop mthook-sync.timer mthook-sync.service")
    host.run(f"{_START}; virsh define other.xml")
    host.expect("virsh start web", f"stopped: its machine type is pinned to {_RIGHT}")
    host.await_("the definition isn't mended", f"virsh dumpxml web | grep machine=.{_RIGHT}")
    host.run("virsh start web; systemctl restart libvirtd; virsh domstate web | grep running")
    host.run("systemctl start mthook-sync.service")
    host.expect("mthook-admin hook status -f value -c Called -c Loaded", "True True")


def _pass_the_gate(host: Confined) -> None:
    """What a client defines through the gate has the pinned machine type, also after a restart."""
    host.run("virsh destroy web; systemctl enable -q --now mthook-gate.socket")
    for _ in range(2):
        host.run(f"{services.CLIENT} define other.xml; virsh dumpxml web | grep machine=.{_RIGHT}")
        host.run("systemctl restart mthook-gate.service")


def _lead_past_the_gate(host: Confined) -> None:
    """The clients of a gate that doesn't start reach libvirt."""
    host.run("chmod -x /usr/sbin/mthook-gate; systemctl restart mthook-gate.service || :")
    host.await_("clients don't get past the gate", f"{services.CLIENT} list")
    host.run("[ -h /run/mthook/libvirt-sock ]; chmod +x /usr/sbin/mthook-gate")
    host.run(f"systemctl restart mthook-gate.service; {services.CLIENT} list")
    host.run("[ ! -h /run/mthook/libvirt-sock ]")


def _answer_hooks(host: Confined) -> None:
    """A hook in a container gets its answer from mthook-hookd."""
    host.run("systemctl enable -q --now mthook-hookd.socket; mthook-admin hook render >/root/hook")
    host.run("sh /root/hook web prepare begin - <right.xml")
    host.expect("sh /root/hook web prepare begin - <other.xml", f"pinned to {_RIGHT}")


def _reach_databases(host: Confined) -> None:
    """Nova's database and the fleet's are asked, if there is one."""
    url = "mysql+pymysql://nova:secret@127.0.0.1/nova"
    host.run(
        "cp /etc/mthook/mthook.conf kept\n"
        f"printf '[database]\\nconnection = {url}\\n[fleet]\\nconnection = {url}\\n' >>/etc/mthook/mthook.conf"
    )
    host.try_("systemctl start mthook-sync.service")
    host.expect("journalctl -o cat -t mthook-sync", "Nova's database: Can't connect")
    host.expect("journalctl -o cat -t mthook-sync", "[Errno 111] Connection refused")
    host.run("cat kept >/etc/mthook/mthook.conf")


def _have_own_domains(host: Confined) -> None:
    """Each program runs in its domain, and nothing is denied to any."""
    for name, domain in (("gate", "mthook_gate_t"), ("hookd", "mthook_hookd_t")):
        process = f"$(systemctl show --property=MainPID --value mthook-{name}.service)"
        host.expect(f"cat /proc/{process}/attr/current", f":{domain}:")
    host.expect("ls -Z /run/mthook-cleared/.seen/web", ":mthook_runtime_t:")
    _find_nothing(host, _AUDITED)


def _find_nothing(host: Confined, query: str) -> None:
    denied = host.run(query)
    if denied:
        raise Wrong(f"it denies\n{denied}")


def _lose_label(host: Confined) -> None:
    """A hook that SELinux keeps from libvirt is told, until it has its label again."""
    again = "systemctl restart libvirtd; virsh start web; systemctl start mthook-sync.service || :"
    host.run(f"chcon -t shadow_t /etc/libvirt/hooks/qemu; {again}")
    host.expect("mthook-status upgrade check", "NO: mend 1 failure (Hook called) first")
    host.expect("mthook-admin list", "guests started unguarded: 1 (web)")
    host.run(f"virsh destroy web; restorecon /etc/libvirt/hooks/qemu; {again}")
    host.expect("mthook-admin hook status -f value -c Called", "True")


def _be_denied_nothing(host: Confined) -> None:
    """Nothing is denied."""
    _find_nothing(host, _REFUSED)


def _need_a_rule(host: Confined) -> None:
    """A Python elsewhere needs the guide's rule."""
    host.run("mkdir -p /opt/python3.11/bin; cp /usr/bin/python3.11 /opt/python3.11/bin/python3")
    host.run("sed -i s,^python=.*,python=/opt/python3.11/bin/python3, /etc/libvirt/hooks/qemu")
    host.run("virsh define right.xml; virsh start web; systemctl start mthook-sync.service || :")
    host.expect("journalctl -o cat -t mthook", "hook prepare failed with status 126")
    host.expect(_REFUSED, 'name="/opt/python3.11/bin/python3"')
    host.expect("mthook-admin hook status -f value -c Called", "False")
    host.run("virsh destroy web")
    rule = _RULE.search((building.CHECKOUT / "docs/security.rst").read_text())
    host.run(rule[0] if rule else "false")
    host.run("virsh start web; systemctl start mthook-sync.service || :")
    host.expect("mthook-admin hook status -f value -c Called", "True")


Step = Callable[[Confined], None]
_KERNELS: dict[str, tuple[str, list[Step]]] = {
    "SELinux": (
        "security=selinux selinux=1 enforcing=1",
        [
            *(_pass_the_gate, _lead_past_the_gate, _answer_hooks, _reach_databases),
            *(_have_own_domains, _lose_label),
        ],
    ),
    "AppArmor": (
        "security=apparmor",
        [_pass_the_gate, _lead_past_the_gate, _answer_hooks, _be_denied_nothing, _need_a_rule],
    ),
}
