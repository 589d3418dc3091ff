# SPDX-License-Identifier: Apache-2.0
"""``hook install``, ``hook uninstall``, ``hook status``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from mthook import conf
from mthook.errors import CatalogMissing
from mthook.hook import install
from mthook.hook.daemons import Daemon
from mthook.operations.opening import opened_catalog
from mthook.settings import fingerprint
from mthook.tools.admin.command import AdminCommand, Answer, RowCommand, argument
from mthook.tools.admin.exitcode import ExitCode


class _HookCommand(AdminCommand):
    """A command about the installed hook."""

    arguments: ClassVar = (
        argument(
            "--hooks-dir",
            metavar="DIR",
            type=os.path.abspath,
            default=install.DEFAULT_DIRECTORY,
            help="libvirt's hooks directory, default: %(default)s",
        ),
    )

    @property
    def files(self) -> Sequence[str]:
        """The configuration files, whether they exist or not."""
        return [
            os.path.abspath(path) for path in self.app.options.config_file or conf.default_files()
        ]

    def settings(self) -> install.Settings:
        """Return what the installed hook has to know."""
        return install.Settings.of_this_process(self.conf.catalog.path, self.files)

    def informed(self) -> list[str]:
        """Return the daemons that know of the hook, as the catalog keeps them."""
        try:
            with opened_catalog(self.conf) as catalog:
                daemons = catalog.host().daemons
        except CatalogMissing:
            return []
        return list(json.loads(daemons)) if daemons else []


class Install(_HookCommand):
    """Install the hook, or bring it up to date, and make running libvirt daemons use it.

    It becomes DIR/qemu; where that is somebody else's, DIR/qemu.d/50-mthook beside it. Called with
    --config-file, the hook uses those files too.
    """

    codes: ClassVar = {ExitCode.OK: "installed"}

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compile the configuration for the hook, then put it in place."""
        seen = fingerprint(self.files)  # before they are read
        with opened_catalog(self.conf, create=True) as catalog:
            catalog.compile_settings(conf.settings(self.conf, seen))
            path, daemons = install.install(parsed_args.hooks_dir, self.settings())
            catalog.set_daemons(json.dumps([daemon.identity for daemon in daemons]))
            synced = catalog.host().last_sync_at is not None
        self.say(f"{path}: installed, mode {self.conf.hook.mode}{_about(daemons)}")
        if not synced:
            self.say("now run mthook-sync: it pins the guests that are there already")
        return ExitCode.OK


class Uninstall(_HookCommand):
    """Remove the hook and leave the hooks directory as it was found. The catalog stays."""

    codes: ClassVar = {ExitCode.OK: "the hook isn't there, removed or not"}

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Remove the hook."""
        path = install.uninstall(parsed_args.hooks_dir)
        self.say(f"{path}: removed" if path else f"{parsed_args.hooks_dir}: no hook of mthook's")
        return ExitCode.OK


class Status(_HookCommand, RowCommand):
    """Tell whether the hook is installed, known to the running libvirt daemons, and up to date.

    Mode is what the configuration says.
    """

    columns = ("Hook", "Installed", "Loaded", "Current", "Mode")
    codes: ClassVar = {
        ExitCode.OK: "installed, current, and known to every libvirt daemon that runs",
        ExitCode.ERROR: "it isn't, and standard error says what to do; or any other error",
    }

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield the one row."""
        status = install.status(args.hooks_dir, self.settings(), self.informed())
        for problem in status.problems:
            self.complain(f"{status.path}: {problem}")
            self.code = ExitCode.ERROR
        yield (
            status.path,
            Answer(status.installed),
            Answer(status.loaded),
            Answer(status.current),
            self.conf.hook.mode,
        )


def _about(daemons: Sequence[Daemon]) -> str:
    if not daemons:
        return "; no libvirt daemon runs"
    names = ", ".join(f"{daemon.name} (pid {daemon.pid})" for daemon in daemons)
    return f"; told {names} to look for it"
