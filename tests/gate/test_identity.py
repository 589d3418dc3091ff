# SPDX-License-Identifier: Apache-2.0
"""libvirtd sees who the client is, and nobody gets further than without the gate."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from mthook.gate import framing, xdr
from tests.gate.rig import Rig, is_closed, receive, receive_message, wait_until
from tests.unit.gate.messages import message

#: Connects as somebody else, makes a call, prints the answer, and waits for the end of its input.
CLIENT = """
import os, socket, sys
path, uid, gid, groups = sys.argv[1:5]
os.setgroups([int(group) for group in groups.split(",") if group])
os.setresgid(int(gid), int(gid), int(gid))
os.setresuid(int(uid), int(uid), int(uid))
client = socket.socket(socket.AF_UNIX)
client.connect(path)
client.sendall(bytes.fromhex(sys.argv[5]))
print(client.recv(10000).hex(), flush=True)
sys.stdin.read()
"""


def _as(
    rig: Rig, uid: int, gid: int, *groups: int, data: bytes = message(66)
) -> subprocess.Popen[str]:
    arguments = [str(rig.listen), str(uid), str(gid), ",".join(map(str, groups))]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CLIENT, *arguments, data.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _reach(rig: Rig) -> None:
    """Let anybody come as far as the sockets."""
    for directory in (rig.directory, *rig.directory.parents):
        mode = os.stat(directory).st_mode
        if mode & 0o011 != 0o011:
            os.chmod(directory, mode | 0o011)


def _peer(server: socket.socket) -> tuple[int, int, int]:
    raw = server.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, gid = struct.unpack("iII", raw)
    return pid, uid, gid


def _status(pid: int, name: str) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return [int(word) for word in line.split()[1:]]
    raise AssertionError(name)


def test_libvirtd_sees_the_clients_user_group_and_groups(rig: Rig) -> None:
    """Of a process that lives as long as the connection does: polkit looks at it."""
    _reach(rig)
    with _as(rig, 4242, 4343, 4444, 4545) as client:
        server, _ = rig.upstream.accept()
        assert receive(server, 28) == message(66)
        pid, uid, gid = _peer(server)
        assert (uid, gid) == (4242, 4343)
        assert pid != client.pid
        assert _status(pid, "Uid") == [4242] * 4
        assert _status(pid, "Gid") == [4343] * 4
        assert _status(pid, "Groups") == [4444, 4545]
        server.sendall(message(66, kind=framing.REPLY))
        client.stdout.readline()
        assert pid in rig.helpers()
        client.stdin.close()
        assert is_closed(server)
        server.close()
        wait_until(lambda: pid not in rig.helpers(), "the connector's end")


def test_one_process_stands_for_all_connections_of_a_user(rig: Rig) -> None:
    """And ends with the last of them."""
    with rig.pair() as (_, first), rig.pair() as (_, second):
        assert _peer(first) == _peer(second)
        pid = _peer(first)[0]
        first.close()
        assert len(rig.helpers()) == 2
        assert os.path.exists(f"/proc/{pid}")
    wait_until(lambda: pid not in rig.helpers(), "the connector's end")


def test_who_may_not_connect_to_libvirtd_may_not_through_the_gate(rig: Rig) -> None:
    """And is told just what libvirt's own library says."""
    _reach(rig)
    libvirt = rig.directory / "libvirt"
    os.chown(libvirt, 0, 4343)
    os.chmod(libvirt, 0o660)
    try:
        with _as(rig, 4242, 4242) as client:
            answer = bytes.fromhex(client.stdout.readline())
            client.stdin.close()
        with _as(rig, 4242, 4242, 4343) as client:  # may, by one of its groups
            server, _ = rig.upstream.accept()
            receive(server, 28)
            server.sendall(message(66, kind=framing.REPLY))
            assert client.stdout.readline() == message(66, kind=framing.REPLY).hex() + "\n"
            client.stdin.close()
            server.close()
    finally:
        os.chmod(libvirt, 0o777)
    assert answer[4:28] == message(66, kind=framing.REPLY, status=framing.ERROR)[4:28]
    text = f"Failed to connect socket to '{libvirt}': Permission denied"
    assert xdr.optional_string(text.encode()) in answer


def test_without_libvirtd_every_client_is_told_so(rig: Rig) -> None:
    """And finds it as soon as it is back."""
    path = rig.directory / "libvirt"
    path.rename(rig.directory / "away")
    try:
        with rig.client() as client:
            client.sendall(message(66, serial=8) + message(1))
            answer = receive_message(client)
            assert f"Failed to connect socket to '{path}': No such file".encode() in answer
            receive_message(client)
            assert is_closed(client)
    finally:
        (rig.directory / "away").rename(path)
    with rig.pair() as (client, server):
        client.sendall(message(66))
        assert receive(server, 28) == message(66)


def test_a_killed_connector_ends_no_connection(rig: Rig) -> None:
    """The user whose process it is could do that; the next connection gets a new one."""
    with rig.pair() as (client, server):
        client.sendall(message(157))
        receive(server, 28)  # the connection has been handed over
        pid = _peer(server)[0]
        os.kill(pid, 9)
        wait_until(lambda: pid not in rig.helpers(), "its end")
        client.sendall(message(157))
        assert receive(server, 28) == message(157)
        with rig.pair() as (_, other):
            assert _peer(other)[0] != pid
