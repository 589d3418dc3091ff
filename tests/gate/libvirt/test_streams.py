# SPDX-License-Identifier: Apache-2.0
"""Streams, events and file descriptors through the gate, with libvirt's own client library."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.gate.node import DIRECT, GATE, Node, uri
from tests.lab import OLD_PC, PC, Host, guest_xml
from tests.lab.site import UUID

OLD, NEW = OLD_PC, PC
MIB = 128
POOL = "/var/lib/libvirt/pool"
BOOTED = "SeaBIOS (version"

# Old libvirts have it come from a screen: before each character it says where that is.
CONSOLE = r"""
import libvirt, re, sys
connection = libvirt.open(sys.argv[1])
domain = connection.lookupByName("web-1")
stream = connection.newStream()
domain.openConsole(None, stream)
domain.resume()
seen = text = b""
while b"SeaBIOS (version" not in text:
    seen += stream.recv(1000)
    text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", seen)
print(text.decode(errors="replace"))
stream.abort()
print(domain.name())
"""
EVENTS = """
import libvirt, sys, threading
libvirt.virEventRegisterDefaultImpl()
seen = []
done = threading.Event()
def life(connection, domain, event, detail, opaque):
    seen.append((domain.name(), event))
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        done.set()
def loop():
    while not done.is_set():
        libvirt.virEventRunDefaultImpl()
connection = libvirt.open(sys.argv[1])
connection.setKeepAlive(1, 3)
connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, life, None)
threading.Thread(target=loop, daemon=True).start()
domain = connection.defineXML(open(sys.argv[2]).read())
domain.create()
done.wait(4)  # some rounds of keepalive
domain.destroy()
assert done.wait(10)
print(seen, connection.isAlive())
"""
GRAPHICS = """
import libvirt, os, socket, sys
connection = libvirt.open(sys.argv[1])
domain = connection.lookupByName("web-1")
fd = domain.openGraphicsFD(0, 0)
with socket.socket(fileno=fd) as screen:
    screen.settimeout(10)
    print(screen.recv(12))
print(domain.name())
"""
FILES = """
import libvirt, os, sys
connection = libvirt.open(sys.argv[1])
read, write = os.pipe()
domain = connection.createXMLWithFiles(open(sys.argv[2]).read(), [write], 0)
print(domain.name())
"""


@pytest.fixture(scope="module")
def alpha() -> Iterator[Host]:
    """A lab host whose guests have something to say on their consoles."""
    with Host("alpha", firmware=True) as host:
        yield host


@pytest.fixture
def pinned(here: Node) -> Node:
    """A guest with console and screen that is pinned to OLD, and its definition as NEW."""
    here.through("create", "/dev/stdin", input=guest_xml("web-1", UUID, OLD))
    here.through("destroy", "web-1")
    devices = "<serial type='pty'/><graphics type='vnc' autoport='yes'/><video><model type='vga'/></video>"
    xml = guest_xml("web-1", UUID, NEW, devices=devices)
    xml = xml.replace("</os>", "<bios useserial='yes'/></os>")
    here.node.path("/var/lib/libvirt/web-1.xml").write_text(xml)
    return here


def test_the_console_shows_the_guest(pinned: Node) -> None:
    """From its first line: the guest waits until somebody looks."""
    pinned.through("define", "/var/lib/libvirt/web-1.xml")
    pinned.through("start", "web-1", "--paused")

    seen = pinned.python(CONSOLE, uri(GATE))

    assert BOOTED in seen
    assert seen.endswith("web-1\n")
    assert pinned.node.machine("web-1") == OLD


def test_events_and_keepalive(pinned: Node) -> None:
    """All of them, in order, over some rounds of keepalive."""
    seen = pinned.python(EVENTS, uri(GATE), "/var/lib/libvirt/web-1.xml")

    # Defined, resumed, started, shut down, stopped.
    assert seen == f"{[('web-1', event) for event in (0, 4, 2, 6, 5)]} 1\n"
    pinned.await_event("rewritten", NEW, OLD)


def test_a_screen_comes_as_a_descriptor(pinned: Node) -> None:
    """From libvirtd to the client."""
    pinned.through("define", "/var/lib/libvirt/web-1.xml")
    pinned.through("start", "web-1")

    assert pinned.python(GRAPHICS, uri(GATE)) == "b'RFB 003.008\\n'\nweb-1\n"


def test_files_go_along_with_a_guest(pinned: Node) -> None:
    """From the client to libvirtd, which for QEMU says that it takes none; the call with its descriptor arrived."""
    outcomes = []
    for path in (DIRECT, GATE):
        code = FILES.replace("domain = ", "try:\n    domain = ").replace(
            "print(domain.name())",
            "    print(domain.name())\nexcept libvirt.libvirtError as error:\n    print(error)\n"
            "print(connection.getHostname())",
        )
        outcomes.append(pinned.python(code, uri(path), "/var/lib/libvirt/web-1.xml"))

    assert outcomes[0] == outcomes[1]
    assert outcomes[0].endswith("alpha\n")
    # libvirtd has not taken it, so that there is no history of it.
    assert ["rewritten", NEW, OLD] not in pinned.events()


def test_a_large_volume_arrives_bit_for_bit(here: Node) -> None:
    """Both ways, at half of the direct speed at least, in little memory."""
    here.node.run(
        ["sh", "-c", f"mkdir -p {POOL}; head -c {MIB}M /dev/urandom >/var/lib/libvirt/source"]
    )
    here.through("pool-create-as", "pool", "dir", "--target", POOL)
    here.through("vol-create-as", "pool", "volume", f"{MIB}M")
    speed = {DIRECT: 0.0, GATE: 0.0}
    for number in range(6):
        for path in speed:
            speed[path] = max(speed[path], _there_and_back(here, path))
        assert here.memory() < 80
        # The best of several: other programs want the processors as well.
        if number and speed[GATE] > speed[DIRECT] / 2:
            break
    assert speed[GATE] > speed[DIRECT] / 2


def _there_and_back(here: Node, path: str) -> float:
    """Upload and download the volume; return the MiB per second that this took."""
    begun = time.monotonic()
    for call, file in (("vol-upload", "source"), ("vol-download", "copy")):
        here.through(call, "--pool", "pool", "volume", f"/var/lib/libvirt/{file}", socket=path)
    seconds = time.monotonic() - begun
    here.node.run(["cmp", "/var/lib/libvirt/source", "/var/lib/libvirt/copy"])
    here.node.run(["rm", "/var/lib/libvirt/copy"])
    print(f"{path}: {MIB * 2 / seconds:.0f} MiB/s, {here.memory():.0f} MiB of memory")
    return MIB * 2 / seconds
