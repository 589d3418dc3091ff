# SPDX-License-Identifier: Apache-2.0
"""``hook install``, ``hook uninstall``, ``hook status``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from mthook.errors import CatalogError
from mthook.gate import listening
from mthook.hook import install
from mthook.hook.daemons import Daemon
from mthook.hook.serving import Answering
from mthook.operations.readiness import guard
from mthook.operations.readiness.context import Context
from mthook.operations.setup.hook import foresee_hook, install_hook, uninstall_hook
from mthook.settings import fingerprint
from mthook.text import printable
from mthook.tools import options
from mthook.tools.admin.command import DRY_RUN, AdminCommand, ExitCode, RowCommand, argument
from mthook.tools.admin.table import Answer
from mthook.tools.findings import hook_problem

#: How many guests a line names.
_FEW = 3
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

    arguments: ClassVar = (
        HOOKS_DIR,
        argument(
            "--offline",
            action="store_true",
            help="install it even if no libvirt daemon that runs reads DIR, as in an image",
        ),
        DRY_RUN,
    )
    codes: ClassVar = {ExitCode.OK: "installed"}
    examples: ClassVar = (
        "mthook-admin hook install",
        "mthook-admin hook install --config-file /etc/nova/nova.conf --config-file /etc/mthook/mthook.conf",
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compile the configuration for the hook, then put it in place."""
        files = options.files(self.app.options)
        if parsed_args.dry_run:
            self._foresee(files, parsed_args)
            return ExitCode.OK
        stamp = fingerprint(files)  # before they are read
        path, daemons, synced = install_hook(
            self.conf, files, parsed_args.hooks_dir, stamp, offline=parsed_args.offline
        )
        self.say(f"{path}: installed, mode {self.conf.hook.mode}{_about(daemons)}")
        if not synced:
            self.say("now run mthook-sync: it pins the guests that are there already")
        return ExitCode.OK

    def _foresee(self, files: Sequence[str], args: argparse.Namespace) -> None:
        """Say what would be done."""
        path, daemons, current = foresee_hook(
            self.conf, files, args.hooks_dir, offline=args.offline
        )
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
        path, daemons = uninstall_hook(self.conf, parsed_args.hooks_dir)
        self.say(
            removed(path, daemons) if path else f"{parsed_args.hooks_dir}: no hook of mthook's"
        )
        return ExitCode.OK


class Render(AdminCommand):
    """Print the hook for libvirt's container, whole in one text, which mthook on this host answers.

    It needs a shell and Debian's python3-minimal, or any Python 3.9 or newer. What it says of socket, time limit and
    [hook] on_error comes from the configuration: render it again when that changes.
    """

    codes: ClassVar = {ExitCode.OK: "printed"}
    examples: ClassVar = ("mthook-admin hook render > qemu",)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        self.app.stdout.write(guard.contained_hook(self.conf))
        return ExitCode.OK


class Serve(AdminCommand):
    """Answer the hooks in libvirt's containers, in the foreground.

    mthook-hookd.service of systemd does the same with Python's standard library alone. It listens on [hook] socket, or
    on the socket that systemd hands over, and answers root alone.
    """

    codes: ClassVar = {ExitCode.OK: "never: it runs until it is told to stop"}
    examples: ClassVar = ("mthook-admin hook serve",)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Serve."""
        files = options.files(self.app.options)
        passed = listening.from_systemd()
        sock = passed[0][0] if passed else listening.bound(self.conf.hook.socket, 0, 0, 0o600)
        Answering(self.conf.catalog.path, files, install.CLEARED).serve(sock)


class Status(RowCommand):
    """Tell whether the hook is installed, up to date, known to libvirt, and called.

    Mode is what the configuration says.
    """

    columns = ("Hook", "Installed", "Loaded", "Current", "Mode", "Called")
    arguments: ClassVar = (HOOKS_DIR,)
    codes: ClassVar = {
        ExitCode.OK: "not off, installed, current, known to every libvirt daemon that runs, and called for guests",
        ExitCode.ERROR: "it isn't, and standard error says what to do; or any other error",
    }
    examples: ClassVar = (
        "mthook-admin hook status",
        "mthook-admin hook status -f json",
    )

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield the one row."""
        with Context(self.conf, options.files(self.app.options), args.hooks_dir) as context:
            status = guard.hook_status(context)
            proof = _proof(context, status)
        if self.conf.hook.mode == "off":
            self.complain("[hook] mode = off: every guest starts unguarded")
            self.code = ExitCode.ERROR
        elif proof is not None and proof.reason == "unguarded":
            self.complain(_about_guests(proof))
            self.code = ExitCode.ERROR
        for problem in status.problems:
            self.complain(f"{status.path}: {hook_problem(problem)}")
            self.code = ExitCode.ERROR
        yield (
            status.path,
            Answer(status.installed),
            Answer(status.loaded),
            Answer(status.current),
            self.conf.hook.mode,
            Answer(proof.proven if proof else None),
        )


def _proof(context: Context, status: install.Status) -> guard.Proof | None:
    """Return the proof that the hook is called; ``None``: nobody knows which guests there are.

    libvirt isn't asked: that would wake a daemon that doesn't run.
    """
    try:
        guests = context.catalog().guests()
    except CatalogError:
        return None
    return guard.prove(context, [one for one in guests if one.gone_since is None], status)


def _about_guests(proof: guard.Proof) -> str:
    number, names = len(proof.unguarded), [printable(one.name) for one in proof.unguarded]
    listed = ", ".join([*names[:_FEW], *(["..."] if number > _FEW else [])])
    return f"guests started unguarded: {number} ({listed}): if it was called, the system log says what it failed with"


def removed(path: str, daemons: Sequence[Daemon]) -> str:
    """Return that the hook is gone, and who was told."""
    told = f"; told {_named(daemons)} to look again" if daemons else ""
    return f"{printable(path)}: removed{told}"


def _about(daemons: Sequence[Daemon], verb: str = "told") -> str:
    return f"; {verb} {_named(daemons)} to look for it" if daemons else "; no libvirt daemon runs"


def _named(daemons: Sequence[Daemon]) -> str:
    return ", ".join(f"{daemon.name} (pid {daemon.pid})" for daemon in daemons)
