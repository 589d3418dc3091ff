# SPDX-License-Identifier: Apache-2.0
"""polkit decides about the user who is at the other end of the gate."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.gate.node import DIRECT, GATE, Node, gated, uri
from tests.lab import Host

#: Users that every system has: daemon and bin.
ALLOWED, OTHER = 1, 2
ACTIONS = "/usr/share/polkit-1/actions"
POLICY = """\
<policyconfig><action id="org.libvirt.unix.manage"><description>x</description><message>x</message>
<defaults><allow_any>no</allow_any><allow_inactive>no</allow_inactive><allow_active>no</allow_active></defaults>
</action></policyconfig>
"""
RULES = """\
polkit.addRule(function(action, subject) {
    if (action.id == "org.libvirt.unix.manage" && subject.user == "daemon") return polkit.Result.YES;
});
"""
#: The same for Debian 11's, which knows no such rules.
AUTHORITY = """\
[test]
Identity=unix-user:daemon
Action=org.libvirt.unix.manage
ResultAny=yes
"""
GRANTS = {
    "/etc/polkit-1/rules.d/00-test.rules": RULES,
    "/etc/polkit-1/localauthority/50-local.d/test.pkla": AUTHORITY,
}
BUS = "mkdir -p /run/dbus; dbus-uuidgen --ensure; exec dbus-daemon --system --fork --nopidfile"
POLKIT = "$(ls -d /usr/lib/*/polkitd) --no-debug </dev/null >/run/polkitd.log 2>&1 &"
READY = "busctl --system list --no-legend | grep -q org.freedesktop.PolicyKit1"


@pytest.fixture(scope="module")
def here() -> Iterator[Node]:
    """A host whose libvirtd asks polkit, with a gate."""
    with Host("alpha") as host:
        # In here only: these are the namespace's own mounts and files.
        host.run(["mount", "-n", "-t", "tmpfs", "-o", "mode=0755", "mthook-lab", ACTIONS])
        host.path(f"{ACTIONS}/test.policy").write_text(POLICY)
        for path, text in GRANTS.items():
            directory = path.rpartition("/")[0]
            host.run(["sh", "-c", f"mkdir -p {directory}; chmod 0755 {directory}"])
            host.path(path).write_text(text)
        host.run(["sh", "-c", BUS])
        host.run(["sh", "-c", POLKIT])
        _wait(host)
        conf = host.path("/etc/libvirt/libvirtd.conf")
        text = conf.read_text().replace('auth_unix_rw = "none"', 'auth_unix_rw = "polkit"')
        conf.write_text(text.replace('rw_perms = "0700"', 'rw_perms = "0777"'))
        host.daemon.stop()
        host.daemon.start()
        with gated(host) as node:
            host.run(["chmod", "0711", "/run/libvirt", "/run/mthook"])
            host.run(["chmod", "0777", GATE])
            yield node


def _wait(host: Host) -> None:
    deadline = time.monotonic() + 20
    while host.run(["sh", "-c", READY], check=False).returncode:
        assert time.monotonic() < deadline, host.path("/run/polkitd.log").read_text()
        time.sleep(0.1)


def _says(node: Node, user: int, path: str) -> str:
    changed = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        "env",
        "HOME=/tmp",
    ]
    argv = ["virsh", "--quiet", "--connect", uri(path), "hostname"]
    done = node.node.run([*changed, *argv], check=False)
    return (done.stdout + done.stderr).strip()


def test_polkit_lets_in_whom_it_lets_in_directly(here: Node) -> None:
    """And nobody else; libvirt gives it the process that stands for the client."""
    for user in (ALLOWED, OTHER):
        assert _says(here, user, GATE) == _says(here, user, DIRECT)
    assert _says(here, ALLOWED, GATE) == "alpha"
    assert "access denied by policy" in _says(here, OTHER, GATE)
