# SPDX-License-Identifier: Apache-2.0
"""What there is on a host before anything is set up."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from oslo_config import cfg

from mthook import conf as configuration
from mthook.errors import InstallError
from mthook.hook import daemons, install
from mthook.operations.opening import opened_host
from mthook.operations.readiness.context import behind_gate
from mthook.operations.setup import inifile, places
from mthook.text import explain, printable


@dataclass(frozen=True)
class Found:
    """What there is.

    :ivar files: the configuration files; the last one is mthook's own.
    :ivar text: what that one says; "" where it isn't there.
    :ivar daemon: the libvirt daemon that is used, where it runs here.
    :ivar contained: it runs in a container, or has another directory for its hooks than this host.
    :ivar reads: it looks for its hooks in the directory that is given.
    :ivar socket: its socket.
    :ivar hook: where mthook's hook is already, in the container where there is one.
    :ivar other_hook: where somebody else's hook is.
    :ivar nova_conf: nova.conf; ``None`` where there is none.
    :ivar nova_text: what it says.
    :ivar guests: how many guests libvirt has.
    :ivar nova_guests: how many of them are Nova's.
    :ivar timer: what runs things by the clock here: ``systemd``, ``cron`` or ``None``.
    """

    files: Sequence[str]
    text: str
    daemon: daemons.Daemon | None
    contained: bool
    reads: bool
    socket: str
    hook: str | None
    other_hook: str | None
    nova_conf: str | None
    nova_text: str
    guests: int
    nova_guests: int
    timer: str | None

    @property
    def config(self) -> str:
        """mthook's own configuration file."""
        return self.files[-1]

    @property
    def daemon_name(self) -> str:
        """What the daemon is called; ``libvirt`` where none is known."""
        return self.daemon.name if self.daemon is not None else "libvirt"

    @property
    def out_of_reach(self) -> bool:
        """Whether no hook that is written here is called, and the container has none."""
        return self.contained and self.hook is None

    @property
    def nova(self) -> bool:
        """Whether this is one of Nova's compute hosts."""
        return self.nova_conf is not None or self.nova_guests > 0


def find(files: Sequence[str], hooks_dir: str, nova_conf: str | None) -> Found:
    """Look at this host; nothing is changed.

    :param nova_conf: nova.conf, if it isn't in its usual place.
    :raises ConfigError: mthook's configuration is wrong.
    :raises HostError: libvirt can't be reached.
    :raises InstallError: a file can't be read.
    """
    path = nova_conf or places.NOVA_CONF
    nova_text = read(path)
    if nova_text is None and nova_conf is not None:
        raise InstallError(f"{printable(path)}: no such file")
    text = read(files[-1]) or ""
    conf = configuration.load([path for path in files if os.path.exists(path)])
    uri = _uri(conf, text, nova_text or "")
    daemon, socket = _daemon(behind_gate(conf, uri), hooks_dir)
    reads = daemon is not None and daemon.reads(hooks_dir)
    ours = reads or (daemon is not None and daemon.reads(install.DEFAULT_DIRECTORY))
    contained = daemon is not None and (daemon.is_contained or not ours)
    hook = install.find_inside(daemon) if daemon and contained else install.find(hooks_dir)
    beside = os.path.join(hooks_dir, "qemu")
    other = os.path.lexists(beside) and beside != hook and not contained
    guests = _guests(conf, uri)
    return Found(
        files=files,
        text=text,
        daemon=daemon,
        contained=contained,
        reads=reads,
        socket=socket,
        hook=hook,
        other_hook=beside if other else None,
        nova_conf=path if nova_text is not None else None,
        nova_text=nova_text or "",
        guests=len(guests),
        nova_guests=sum(guests),
        timer=_timer(),
    )


def read(path: str) -> str | None:
    """Return a file's text, ``None`` where there is no such file.

    :raises InstallError: it can't be read.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(explain(path, error)) from error


def access_to(socket: str) -> tuple[str, str]:
    """Return the group of a libvirt socket and its mode, in octal: root and 0600 where there is no socket.

    A group that has no name on this host, such as a container's, is root's.
    """
    group, mode = "root", "0600"
    with contextlib.suppress(OSError, KeyError):
        seen = os.stat(socket)
        mode = f"{stat.S_IMODE(seen.st_mode):04o}"
        group = grp.getgrgid(seen.st_gid).gr_name
    return group, mode


def _uri(conf: cfg.ConfigOpts, text: str, nova_text: str) -> str:
    """Return libvirt's URI: mthook's own, else Nova's unless it leads to the gate."""
    own, theirs = (inifile.get(one, "libvirt", "connection_uri") for one in (text, nova_text))
    if own is None and theirs and daemons.socket_of(theirs) != conf.gate.listen:
        return theirs
    return str(conf.libvirt.connection_uri)


def _daemon(uri: str, hooks_dir: str) -> tuple[daemons.Daemon | None, str]:
    """Return the daemon at the other end of a URI, and its socket.

    Where systemd listens for it, one that has this host's hooks is taken for it, else any other.
    """
    sockets = daemons.sockets(uri)
    for path in sockets:
        daemon = daemons.serving(path)
        if daemon is not None:
            return daemon, path
    everywhere = sorted(daemons.everywhere(), key=lambda one: not one.reads(hooks_dir))
    return (everywhere[0] if everywhere else None), (sockets or daemons.SOCKETS[-1:])[0]


def _guests(conf: cfg.ConfigOpts, uri: str) -> list[bool]:
    """Return for each guest whether it is Nova's."""
    conf.set_override("connection_uri", uri, group="libvirt")
    with opened_host(conf, readonly=True) as host:
        from mthook.host.domains import list_domains  # here: it takes libvirt-python

        found = [domain.summary for domain in list_domains(host)]
    return [summary is not None and summary.nova for summary in found]


def _timer() -> str | None:
    if os.path.isdir(places.SYSTEMD_RUNS):
        return "systemd"
    return "cron" if os.path.isdir(places.CRON) else None
