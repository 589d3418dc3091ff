# SPDX-License-Identifier: Apache-2.0
"""Clients of the gate that read and define without pause, while it is restarted."""

from __future__ import annotations

import re

from tests.lab import OLD_Q35, Q35, guest_xml
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import wait_until
from tests.lab.table import log
from tests.packages.services import CLIENT, Wrong

_READERS = [f"reader-{number}" for number in range(4)]
_WRITERS = [f"writer-{number}" for number in range(4)]
#: A guest that every client sees; its pin is another machine type than the one that its clients ask for.
_UUID = "3f2c1d3e-0000-4000-8000-0000000000a{}"
_READ = f"""\
while timeout 60 {CLIENT} list --all --name >/root/$0.seen; [ $? != 124 ]; do
	[ ! -s /root/$0.seen ] || echo >>/root/$0.done
done
"""
#: Each definition has its number for a title; those that libvirtd has accepted are written down.
_WRITE = f"""\
n=0
while n=$((n + 1)); do
	sed "s,</name>,&<title>$n</title>," /root/$0.xml >/root/$0.next
	timeout 60 {CLIENT} define /root/$0.next >/dev/null
	case $? in 0) echo $n >>/root/$0.done ;; 124) exit ;; esac
done
"""
#: What virsh says where the gate ends its connection between two calls, as libvirtd does when it is restarted.
_CUT = re.compile(
    r"error: (?:Failed to (?:define domain|list domains|connect to the hypervisor|disconnect).*"
    r"|Disconnected from .*|(?:Cannot recv data|End of file while reading data|Cannot write data).*"
    r"|no valid connection|failed to connect to the hypervisor|internal error: client socket is closed.*)|\s*"
)


def begin(host: Hypervisor) -> None:
    """Start the clients, and wait until each has been served."""
    for number, name in enumerate(_WRITERS):
        uuid = _UUID.format(number)
        host.path(f"/root/{name}.xml").write_text(guest_xml(name, uuid, Q35))
        host.virsh("define", f"/root/{name}.xml")
    host.run(["mthook-sync"])
    for name in _WRITERS:
        path = host.path(f"/root/{name}.xml")
        path.write_text(path.read_text().replace(Q35, OLD_Q35))
    for name in (*_READERS, *_WRITERS):
        host.start(name, ["sh", "-c", _WRITE if name in _WRITERS else _READ, name])
    _await(host, dict.fromkeys((*_READERS, *_WRITERS), 0))


def end(host: Hypervisor) -> None:
    """See that each client goes on, that nothing accepted is lost and that nothing passed unjudged."""
    _await(host, {name: len(_done(host, name)) for name in (*_READERS, *_WRITERS)})
    for name in (*_READERS, *_WRITERS):
        host.stop(name)
    wait_until(
        "clients are left", lambda: not host.run(["pgrep", "-x", "virsh"], check=False).stdout, str
    )
    said = [line for name in (*_READERS, *_WRITERS) for line in host.log(name).splitlines()]
    strange = [line for line in said if not _CUT.fullmatch(line)]
    if strange:
        raise Wrong(f"a client of the gate was told: {strange[0]}")
    for name in _WRITERS:
        _check(host, name)
        host.virsh("undefine", name)
    calls = sum(len(_done(host, name)) for name in (*_READERS, *_WRITERS))
    log(f"{calls} calls of {len(_READERS) + len(_WRITERS)} clients, {len(said)} lines of errors")


def _check(host: Hypervisor, name: str) -> None:
    accepted, title = int(_done(host, name)[-1]), int(host.virsh("desc", name, "--title"))
    if title < accepted:
        raise Wrong(f"{name}: definition {accepted} was accepted, and {title} is there")
    if host.machine(name) != Q35:
        raise Wrong(f"{name}: defined as {host.machine(name)}")


def _await(host: Hypervisor, before: dict[str, int]) -> None:
    for name, number in before.items():
        wait_until(
            f"{name} isn't served",
            lambda name=name, number=number: len(_done(host, name)) > number + 1,  # type: ignore[misc]
            lambda name=name: host.log(name),  # type: ignore[misc]
        )


def _done(host: Hypervisor, name: str) -> list[str]:
    path = host.path(f"/root/{name}.done")
    return path.read_text().splitlines() if path.exists() else []
