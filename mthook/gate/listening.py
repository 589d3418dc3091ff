# SPDX-License-Identifier: Apache-2.0
"""The sockets that clients connect to: systemd's, or made here."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import stat
from typing import NamedTuple

from oslo_config import cfg

from mthook.errors import ConfigError, Error
from mthook.text import cause, printable

_FIRST = 3
_BACKLOG = 4096
_READ_ONLY = "read-only"


class Listener(NamedTuple):
    """A socket that clients connect to.

    :ivar path: of a socket that was made here and is removed when the gate ends; None: it is systemd's.
    """

    sock: socket.socket
    upstream: str
    read_only: bool
    path: str | None = None


def listeners(conf: cfg.ConfigOpts) -> list[Listener]:
    """Return the sockets to listen on: those handed over by systemd, else the configured ones.

    :raises ConfigError: an option can't be applied.
    :raises Error: another program listens there.
    """
    passed = from_systemd()
    if not passed:
        return _made(conf)
    found = []
    for sock, name in passed:
        read_only = name == _READ_ONLY or sock.getsockname() == conf.gate.listen_ro
        found.append(Listener(sock, _upstream(conf, read_only), read_only))
    return found


def from_systemd() -> list[tuple[socket.socket, str]]:
    """Return sockets with their names as sd_listen_fds(3) has them; none where systemd passed none."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    found = []
    for number in range(count):
        os.set_inheritable(_FIRST + number, False)
        found.append((socket.socket(fileno=_FIRST + number), names[number]))
    return found


def _upstream(conf: cfg.ConfigOpts, read_only: bool) -> str:
    return str(conf.gate.upstream_ro if read_only else conf.gate.upstream)


def _made(conf: cfg.ConfigOpts) -> list[Listener]:
    owner, group, mode = _owner(conf), _group(conf), int(conf.gate.mode, 8)
    made = []
    for path, read_only in ((conf.gate.listen, False), (conf.gate.listen_ro, True)):
        if path:
            sock = bound(path, owner, group, mode)
            made.append(Listener(sock, _upstream(conf, read_only), read_only, path))
    return made


def _owner(conf: cfg.ConfigOpts) -> int:
    try:
        return pwd.getpwnam(conf.gate.owner).pw_uid
    except KeyError:
        raise ConfigError(f"[gate] owner: no user {printable(conf.gate.owner)}") from None


def _group(conf: cfg.ConfigOpts) -> int:
    try:
        return grp.getgrnam(conf.gate.group).gr_gid
    except KeyError:
        raise ConfigError(f"[gate] group: no group {printable(conf.gate.group)}") from None


def bound(path: str, owner: int, group: int, mode: int) -> socket.socket:
    """Listen on a Unix socket, which nobody else may do.

    :raises Error: it can't be made, or another program listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        _clear(path)
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        os.chown(path, owner, group)
        os.chmod(path, mode)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise Error(f"can't listen on {printable(path)}: {cause(error)}") from error
    except Error:
        sock.close()
        raise
    return sock


def _clear(path: str) -> None:
    """Remove a socket that nobody listens on any more."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Error(
                f"can't listen on {printable(path)}: something other than a socket is there"
            )
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
        raise Error(f"can't listen on {printable(path)}: another program does")
