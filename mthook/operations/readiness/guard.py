# SPDX-License-Identifier: Apache-2.0
"""The proof of guard: did the hook see each guest start, as far as that can be known?"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from oslo_config import cfg

from mthook import conf as configuration
from mthook.catalog.records import Guest
from mthook.errors import CatalogMissing, ConfigError
from mthook.hook import daemons, install, seen
from mthook.hook.daemons import Daemon
from mthook.operations.readiness.context import Context
from mthook.text import now

Reason = Literal["off", "not_installed", "not_loaded", "unguarded", "no_start", "called"]

#: Seconds past [hook] timeout after which the hook in a container no longer waits: by then whatever hangs was ended.
_SLACK = 2
#: Whom the history names.
ACTOR = "mthook-sync"


@dataclass(frozen=True)
class Unguarded:
    """A guest that runs, and was started without the hook.

    :ivar name: untrusted text.
    :ivar started_at: when that was.
    """

    uuid: str
    name: str
    started_at: str


@dataclass(frozen=True)
class Proof:
    """What is known of the guard.

    :ivar proven: whether the hook is called; ``None``: not known yet.
    :ivar reason: ``off``: by [hook] mode; ``not_installed``, ``not_loaded``: as 'mthook-admin hook status' has it;
        ``unguarded``: a guest was started without it since it was last called; ``no_start``: no guest was started since
        it was installed, or since the host booted; ``called``.
    :ivar called_at: when the hook last saw a guest run, since the host booted.
    :ivar unguarded: the guests that run and were started without it since it was installed, also where it has been
        called again since.
    """

    proven: bool | None
    reason: Reason
    called_at: str | None
    unguarded: tuple[Unguarded, ...]


def prove(context: Context, guests: Iterable[Guest], status: install.Status | None = None) -> Proof:
    """Tell whether the hook guards starts, by its own record of its calls and the start times of guests.

    :param guests: those of this host; one that doesn't run doesn't matter.
    :param status: how the hook is installed, where somebody has looked already.
    """
    unguarded, last = started_unguarded(context, guests), seen.last(context.root)
    called_at = None if last is None else now(last)
    reason = _reason(context, called_at, unguarded, status)
    proven = {"called": True, "no_start": None}.get(reason, False)
    return Proof(proven, reason, called_at, unguarded)


def started_unguarded(context: Context, guests: Iterable[Guest]) -> tuple[Unguarded, ...]:
    """Return the guests that run and were started without the hook since it was installed, by name.

    :param guests: those of this host; one that doesn't run doesn't matter.
    """
    since = _baseline(context)
    uuids = {one.name: one.uuid for one in guests} if since is not None else {}
    return tuple(
        Unguarded(uuids[start.name], start.name, start.at)
        for start in seen.starts(context.root, sorted(uuids))
        if not start.seen and start.at > (since or "")
    )


def note(context: Context) -> Iterator[Unguarded]:
    """Write to the history which guests were started without the hook, and yield those that weren't in it yet."""
    catalog = context.catalog()
    guests = {one.uuid: one for one in catalog.guests() if one.gone_since is None}
    for one in started_unguarded(context, guests.values()):
        known = catalog.history(one.uuid, since=one.started_at)
        if not any(entry.event == "unguarded" for entry in known):
            pin, runs = catalog.get_pin(one.uuid), guests[one.uuid].running
            machines = {"old": pin.machine if pin else None, "new": runs}
            catalog.add_history(one.uuid, "unguarded", actor=ACTOR, **machines)
            yield one


def out_of_reach(context: Context) -> daemons.Daemon | None:
    """Return libvirt's daemon if it runs in a container without mthook's hook, else ``None``."""
    daemon = context.daemon()
    if daemon is None or not daemon.is_contained or daemon.reads(context.hooks_dir):
        return None
    return daemon if install.find_inside(daemon) is None else None


def refused(context: Context) -> str | None:
    """Return the path of a hook that can't be run where it is; see :func:`.install.is_refused`."""
    path = install.find(_directory(context, context.daemon()))
    return path if path is not None and install.is_refused(path) else None


def hook_status(context: Context) -> install.Status:
    """Return how the hook is installed, and what is known of the daemons that were notified of it."""
    files = install.config_files(context.hooks_dir)
    if not _say_the_same(files, context.conf):
        files = list(context.files)
    daemon = context.daemon()
    made = install.Wiring.of_this_process(context.conf.catalog.path, files)
    wiring = dataclasses.replace(made, contained=contained_hook(context.conf))
    directory = _directory(context, daemon)
    told = [*_notified(context)[0], *([daemon.identity] if daemon and _has_called(daemon) else [])]
    return install.status(directory, wiring, told, daemon)


def _has_called(daemon: Daemon) -> bool:
    """Tell whether a daemon has called the hook, which may be another file since: it remembers that there is one."""
    last = seen.last(daemon.root)
    return last is not None and last >= daemon.since


def contained_hook(conf: cfg.ConfigOpts) -> str:
    """Return the hook for libvirt's container; see :func:`.install.render_contained`."""
    deny = conf.hook.mode == "enforce" and conf.hook.on_error == "deny"
    return install.render_contained(conf.hook.socket, conf.hook.timeout + _SLACK, deny=deny)


def _directory(context: Context, daemon: daemons.Daemon | None) -> str:
    """Return where the hook is to be looked at: in libvirt's container where it is there alone."""
    is_default = context.hooks_dir == install.DEFAULT_DIRECTORY
    if daemon is None or not is_default or daemon.reads(context.hooks_dir):
        return context.hooks_dir
    inside = install.find_inside(daemon) is not None
    return daemon.root + install.DEFAULT_DIRECTORY if inside else context.hooks_dir


def _say_the_same(files: Sequence[str], conf: cfg.ConfigOpts) -> bool:
    """Tell whether these files make the hook act like a configuration read from other files."""
    try:
        other = configuration.load([path for path in files if os.path.exists(path)])
    except ConfigError:
        return False
    return _what_the_hook_reads(other) == _what_the_hook_reads(conf)


def _what_the_hook_reads(conf: cfg.ConfigOpts) -> tuple[object, ...]:
    databases = conf.database.connection, conf.api_database.connection
    asked = conf.host, conf.libvirt.hw_machine_type, *databases
    return conf.catalog.path, asked, configuration.settings(conf, "").values()


def _reason(
    context: Context,
    called_at: str | None,
    unguarded: tuple[Unguarded, ...],
    status: install.Status | None,
) -> Reason:
    if context.conf.hook.mode == "off":
        return "off"
    status = status or hook_status(context)
    if not status.installed:
        return "not_installed"
    if status.loaded is False:
        return "not_loaded"
    if any(called_at is None or one.started_at > called_at for one in unguarded):
        return "unguarded"
    return "no_start" if called_at is None else "called"


def _baseline(context: Context) -> str | None:
    """Return the time from which on the hook should have seen each start; ``None``: it isn't to see any.

    That is when 'mthook-admin hook install' ran. A hook that something else has put there tells it by its file.
    """
    _, at = _notified(context)
    installed = None if at is not None else install.since(context.root + install.DEFAULT_DIRECTORY)
    return at if installed is None else now(installed)


def _notified(context: Context) -> tuple[list[str], str | None]:
    """Return which daemons were told of the hook when it was installed, and when that was."""
    with contextlib.suppress(CatalogMissing):
        kept = json.loads(context.catalog().host().daemons or "[]")
        # mthook 0.1.0 kept the daemons alone, and its hook doesn't record its calls.
        return (kept, None) if isinstance(kept, list) else (kept["told"], kept["at"])
    return [], None
