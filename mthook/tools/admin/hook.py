# SPDX-License-Identifier: Apache-2.0
"""``hook install``, ``hook uninstall``, ``hook status``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from mthook.hook import install
from mthook.hook.daemons import Daemon
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.installed import hook_status
from mthook.operations.setup.hook import foresee_hook, install_hook
from mthook.settings import fingerprint
from mthook.tools import options
from mthook.tools.admin.command import DRY_RUN, AdminCommand, ExitCode, RowCommand, argument
from mthook.tools.admin.table import Answer

HOOKS_DIR = argument(
    "--hooks-dir",
    metavar="DIR",
    type=os.path.abspath,
    default=install.DEFAULT_DIRECTORY,
    help="libvirt's hooks directory, default: %(default)s",
)


class Install(AdminCommand):
    """Install the hook, or bring it up to date, and make running libvirt daemons use it.

    It becomes DIR/qemu; where that is another program's, DIR/qemu.d/50-mthook beside it. Called with
    --config-file, the hook uses those files too.
    """

    arguments: ClassVar = (HOOKS_DIR, DRY_RUN)
    codes: ClassVar = {ExitCode.OK: "installed"}
    examples: ClassVar = (
        "mthook-admin hook install",
        "mthook-admin hook install --config-file /etc/nova/nova.conf --config-file /etc/mthook/mthook.conf",
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compile the configuration for the hook, then put it in place."""
        files = options.files(self.app.options)
        if parsed_args.dry_run:
            self._foresee(files, parsed_args.hooks_dir)
            return ExitCode.OK
        stamp = fingerprint(files)  # before they are read
        path, daemons, synced = install_hook(self.conf, files, parsed_args.hooks_dir, stamp)
        self.say(f"{path}: installed, mode {self.conf.hook.mode}{_about(daemons)}")
        if not synced:
            self.say("now run mthook-sync: it pins the guests that are there already")
        return ExitCode.OK

    def _foresee(self, files: Sequence[str], hooks_dir: str) -> None:
        """Say what would be done."""
        path, daemons, current = foresee_hook(self.conf, files, hooks_dir)
        what = "is up to date" if current else "would be installed"
        about = _about(daemons, "would tell")
        self.say(f"{path}: {what}, mode {self.conf.hook.mode}{about}")


class Uninstall(AdminCommand):
    """Remove the hook and leave the hooks directory as it was found. The catalog stays."""

    arguments: ClassVar = (HOOKS_DIR,)
    codes: ClassVar = {ExitCode.OK: "the hook isn't there, removed or not"}
    examples: ClassVar = ("mthook-admin hook uninstall",)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Remove the hook."""
        path = install.uninstall(parsed_args.hooks_dir)
        self.say(f"{path}: removed" if path else f"{parsed_args.hooks_dir}: no hook of mthook's")
        return ExitCode.OK


class Status(RowCommand):
    """Tell whether the hook is installed, known to the running libvirt daemons, and up to date.

    Mode is what the configuration says.
    """

    columns = ("Hook", "Installed", "Loaded", "Current", "Mode")
    arguments: ClassVar = (HOOKS_DIR,)
    codes: ClassVar = {
        ExitCode.OK: "installed, current, and known to every libvirt daemon that runs",
        ExitCode.ERROR: "it isn't, and standard error says what to do; or any other error",
    }
    examples: ClassVar = (
        "mthook-admin hook status",
        "mthook-admin hook status -f json",
    )

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield the one row."""
        with Context(self.conf, options.files(self.app.options), args.hooks_dir) as context:
            status = hook_status(context)
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


def _about(daemons: Sequence[Daemon], verb: str = "told") -> str:
    if not daemons:
        return "; no libvirt daemon runs"
    names = ", ".join(f"{daemon.name} (pid {daemon.pid})" for daemon in daemons)
    return f"; {verb} {names} to look for it"
