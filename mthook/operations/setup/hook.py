# SPDX-License-Identifier: Apache-2.0
"""The hook's installation together with what it needs: its settings in the catalog, daemons that know of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from oslo_config import cfg

from mthook import conf as configuration
from mthook.errors import CatalogError, InstallError
from mthook.hook import daemons, install
from mthook.hook.daemons import Daemon
from mthook.operations.opening import opened_catalog
from mthook.operations.readiness import guard
from mthook.operations.readiness.context import Context, daemon_of
from mthook.text import now, printable


def install_hook(
    conf: cfg.ConfigOpts,
    files: Sequence[str],
    hooks_dir: str,
    stamp: str,
    *,
    offline: bool = False,
) -> tuple[str, list[Daemon], bool]:
    """Compile the configuration for the hook, then put it in place.

    What is known of earlier starts without the hook goes to the history: the hook counts as installed from now on.

    :param stamp: the fingerprint of the files, taken before they were read.
    :param offline: install it even where no daemon that runs would call it.
    :return: its path, the daemons that were told, and whether a whole sync has run before.
    :raises InstallError: the hook can't be written, or no daemon reads that directory.
    """
    if not offline:
        check_read(conf, hooks_dir)
    wiring = install.Wiring.of_this_process(conf.catalog.path, files)
    with opened_catalog(conf, create=True) as catalog:
        catalog.compile_settings(configuration.settings(conf, stamp))
        with Context(conf, files, hooks_dir) as context:
            list(guard.note(context))
        path, daemons = install.install(hooks_dir, wiring)
        told = [daemon.identity for daemon in daemons]
        catalog.set_daemons(json.dumps({"told": told, "at": now()}))
        return path, daemons, catalog.host().last_sync_at is not None


def uninstall_hook(conf: cfg.ConfigOpts, hooks_dir: str) -> tuple[str | None, list[Daemon]]:
    """Remove the hook; from now on nobody expects it to be called.

    :return: the path it had, ``None`` when it wasn't there, and the daemons that were told.
    :raises InstallError: it can't be removed.
    """
    path, daemons = install.uninstall(hooks_dir)
    with contextlib.suppress(CatalogError), opened_catalog(conf) as catalog:
        catalog.set_daemons(None)
    return path, daemons


def check_read(conf: cfg.ConfigOpts, hooks_dir: str) -> None:
    """Check that a libvirt daemon that runs looks for its hooks in a directory. None is woken for that.

    :raises InstallError: none does.
    """
    readers = daemons.running(hooks_dir)
    for one in readers:
        if one.is_contained:
            raise InstallError(
                f"{printable(hooks_dir)}: {one.name} (pid {one.pid}) runs in a container, which has no mthook:"
                " use 'mthook-admin hook render'"
            )
    if readers:
        return
    daemon = daemon_of(conf)
    which = printable(hooks_dir)
    if daemon is None:
        raise InstallError(
            f"{which}: no libvirt daemon runs that reads it: start libvirt first, or say --offline"
        )
    raise InstallError(
        f"{which}: {daemon.name} (pid {daemon.pid}) reads {daemon.root}{install.DEFAULT_DIRECTORY} instead:"
        " mount this directory there, or say --offline"
    )


def foresee_hook(
    conf: cfg.ConfigOpts, files: Sequence[str], hooks_dir: str, *, offline: bool = False
) -> tuple[str, list[Daemon], bool]:
    """Tell what :func:`install_hook` would do; nothing is changed.

    :return: the hook's path, the daemons that would be told, and whether it is as it should be already.
    :raises InstallError: libvirt is too old for a hook beside another, or no daemon reads that directory.
    """
    if not offline:
        check_read(conf, hooks_dir)
    path, running = install.place(hooks_dir), daemons.running(hooks_dir)
    wiring = install.Wiring.of_this_process(conf.catalog.path, files)
    told = [daemon.identity for daemon in running]
    return path, running, install.status(hooks_dir, wiring, told).current
