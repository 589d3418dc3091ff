# SPDX-License-Identifier: Apache-2.0
"""Many clients, other users, and a libvirtd that goes away and comes back."""

from __future__ import annotations

import ast
import subprocess
import sys
import time

from tests.gate.node import DIRECT, GATE, GATE_RO, Node, uri
from tests.lab import OLD_PC, PC, guest_xml
from tests.lab.site import UUID

OLD, NEW = OLD_PC, PC
#: Users that every system has, daemon and bin, each with its group.
ALLOWED, OTHER = (1, 1), (2, 2)
MANY = """
import libvirt, sys, threading
uri, count = sys.argv[1], int(sys.argv[2])
xml = open("/var/lib/libvirt/web-1.xml").read()
failed = []
def work(number):
    try:
        for _ in range(4):
            connections[number].getLibVersion()
        if number % 50 == 0:
            connections[number].defineXML(xml)
    except libvirt.libvirtError as error:
        failed.append(str(error))
connections = [libvirt.openReadOnly(uri) if number % 2 else libvirt.open(uri) for number in range(count)]
threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(failed), failed[:3])
input()
"""
LOAD = """
import libvirt, sys, threading, time
uri = sys.argv[1]
libvirt.registerErrorHandler(lambda *_: None, None)
errors, reopened = set(), []
end = time.monotonic() + float(sys.argv[2])
def work():
    connection = None
    lost = False
    while time.monotonic() < end:
        try:
            if connection is None:
                connection = libvirt.open(uri)
                if lost:
                    reopened.append(1)
            connection.listAllDomains()
        except libvirt.libvirtError as error:
            errors.add((error.get_error_code(), error.get_error_domain()))
            connection, lost = None, True
            time.sleep(0.05)
threads = [threading.Thread(target=work) for _ in range(20)]
[thread.start() for thread in threads]
print("under load", flush=True)
[thread.join() for thread in threads]
print(sorted(errors), len(reopened))
"""


def test_five_hundred_connections_at_once(here: Node) -> None:
    """All are served, a define among them is rewritten, and memory stays low."""
    here.through("create", "/dev/stdin", input=guest_xml("web-1", UUID, OLD))
    here.through("destroy", "web-1")
    here.node.path("/var/lib/libvirt/web-1.xml").write_text(guest_xml("web-1", UUID, NEW))
    python = ["sh", "-c", 'ulimit -n 8192; exec "$@"', "sh"]
    client = subprocess.Popen(
        here.node._namespaces.command([*python, sys.executable, "-c", MANY, uri(GATE), "500"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None and client.stdout is not None
    assert client.stdout.readline() == "0 []\n"
    assert here.memory() < 80
    client.communicate("\n")
    assert here.node.machine("web-1") == OLD
    # Nothing to do is nothing done.
    before = here.ticks()
    time.sleep(2)
    assert here.ticks() == before


def test_a_libvirtd_restarted_under_load(here: Node) -> None:
    """Clients get errors that libvirt's library has for this, and are served again."""
    process = here.node.popen([sys.executable, "-c", LOAD, uri(GATE), "6"])
    assert process.stdout is not None
    assert process.stdout.readline() == "under load\n"
    time.sleep(1)
    for end in (here.node.daemon.kill, here.node.daemon.stop):
        end()
        here.node.daemon.start()
    output, _ = process.communicate(timeout=60)
    errors, reopened = output.strip().rsplit(" ", 1)

    # A socket that can't be reached or used (38), a connection that ends (1: internal error; 39: RPC), from RPC (7).
    assert int(reopened) >= 20
    assert set(ast.literal_eval(errors)) <= {(38, 7), (1, 7), (39, 7)}
    assert here.through("list", "--all").returncode == 0


def _as(here: Node, user: int, group: int, *argv: str) -> str:
    """What virsh says to another user."""
    changed = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={group}",
        "--clear-groups",
        "env",
        "HOME=/tmp",
    ]
    done = here.node.run([*changed, "virsh", "--quiet", *argv], check=False)
    return done.stdout.strip() + done.stderr.strip()


def test_two_users_with_different_rights_see_what_they_see_directly(here: Node) -> None:
    """Who may do all, who may read, and who may nothing at all."""
    here.node.define(guest_xml("web-1", UUID, OLD))
    here.node.run(["chmod", "0711", "/run/libvirt", "/run/mthook"])
    here.node.run(["chgrp", str(ALLOWED[1]), DIRECT])
    here.node.run(["chmod", "0770", DIRECT])
    here.node.run(["chmod", "0777", f"{DIRECT}-ro", GATE, GATE_RO])
    try:
        seen = {}
        for user, group in (ALLOWED, OTHER):
            for path, name in (
                (DIRECT, "all"),
                (GATE, "all"),
                (f"{DIRECT}-ro", "ro"),
                (GATE_RO, "ro"),
            ):
                said = _as(here, user, group, "--connect", uri(path), "domstate", "web-1")
                seen.setdefault((user, name), []).append(said)
    finally:
        here.node.run(["chgrp", "0", DIRECT])

    for direct, through in seen.values():
        assert direct == through
    assert seen[ALLOWED[0], "all"][0] == "shut off"
    assert seen[ALLOWED[0], "ro"][0] == "shut off"
    assert seen[OTHER[0], "ro"][0] == "shut off"
    assert f"Failed to connect socket to '{DIRECT}': Permission denied" in seen[OTHER[0], "all"][0]


def test_libvirtd_names_the_user_who_is_at_the_other_end(here: Node) -> None:
    """As virt-admin shows it: user, group, and a process that is that user's."""
    here.node.run(["chmod", "0711", "/run/libvirt", "/run/mthook"])
    here.node.run(["chmod", "0777", DIRECT, GATE])
    code = f"import libvirt; c = libvirt.open({uri(GATE)!r}); print('open', flush=True); input()"
    changed = ["setpriv", f"--reuid={OTHER[0]}", f"--regid={OTHER[1]}", "--clear-groups"]
    client = subprocess.Popen(
        here.node._namespaces.command([*changed, sys.executable, "-c", code]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"HOME": "/tmp"},
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "open\n"
    admin = ["virt-admin", "--quiet", "--connect", "libvirtd:///system"]
    number = here.node.run([*admin, "client-list", "libvirtd"]).stdout.split()[0]
    lines = here.node.run([*admin, "client-info", "libvirtd", number]).stdout.splitlines()
    info = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    assert (info["unix_user_id"], info["unix_group_id"]) == tuple(map(str, OTHER))
    status = here.node.path(f"/proc/{info['unix_process_id']}/status").read_text()
    assert "\nUid:" + f"\t{OTHER[0]}" * 4 + "\n" in status
    client.communicate("\n")
