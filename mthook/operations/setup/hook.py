# SPDX-License-Identifier: Apache-2.0
"""The hook's installation together with what it needs: its settings in the catalog, daemons that know of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from oslo_config import cfg

from mthook import conf as configuration
from mthook.hook import daemons, install
from mthook.hook.daemons import Daemon
from mthook.operations.opening import opened_catalog


def install_hook(
    conf: cfg.ConfigOpts, files: Sequence[str], hooks_dir: str, stamp: str
) -> tuple[str, list[Daemon], bool]:
    """Compile the configuration for the hook, then put it in place.

    :param stamp: the fingerprint of the files, taken before they were read.
    :return: its path, the daemons that were told, and whether a whole sync has run before.
    :raises InstallError: the hook can't be written.
    """
    settings = install.Settings.of_this_process(conf.catalog.path, files)
    with opened_catalog(conf, create=True) as catalog:
        catalog.compile_settings(configuration.settings(conf, stamp))
        path, daemons = install.install(hooks_dir, settings)
        catalog.set_daemons(json.dumps([daemon.identity for daemon in daemons]))
        return path, daemons, catalog.host().last_sync_at is not None


def foresee_hook(
    conf: cfg.ConfigOpts, files: Sequence[str], hooks_dir: str
) -> tuple[str, list[Daemon], bool]:
    """Tell what :func:`install_hook` would do; nothing is changed.

    :return: the hook's path, the daemons that would be told, and whether it is as it should be already.
    :raises InstallError: libvirt is too old for a hook beside another.
    """
    path, running = install.place(hooks_dir), daemons.running(hooks_dir)
    settings = install.Settings.of_this_process(conf.catalog.path, files)
    told = [daemon.identity for daemon in running]
    return path, running, install.status(hooks_dir, settings, told).current
