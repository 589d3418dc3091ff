# SPDX-License-Identifier: Apache-2.0
"""``get``, ``set`` and ``unset``: one instance's pin."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, ClassVar

from mthook.tools.admin import change
from mthook.tools.admin.command import Told, actor, add_instance, utf8
from mthook.tools.admin.exitcode import ExitCode
from mthook.tools.admin.instances import Instance, look_up, see

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host

_STATE = "the guest isn't shut off, or has a managed-save image or snapshots"


class Get(Told):
    """Print the machine type that an instance is pinned to."""

    codes: ClassVar = {
        ExitCode.OK: "the pin, alone, is on standard output",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.NO_PIN: "the instance has no pin",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the instance."""
        add_instance(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the pin."""
        with self.catalog() as catalog:
            instance = self.look_up(parsed_args.instance, catalog)
        if instance.machine is None:
            self.complain(f"{instance}: no pin")
            return ExitCode.NO_PIN
        print(instance.machine, file=self.app.stdout)
        return ExitCode.OK


class Set(Told):
    """Pin an instance to another machine type.

    The guest must be shut off. Its definition is changed as well, unless [sync] realign is off, so
    that its next start is right; when libvirt refuses that, nothing is changed. Old and new machine
    type go to standard error, and for another family what becomes of the guest's hardware.
    """

    codes: ClassVar = {
        ExitCode.OK: "the pin is what was asked for, changed or not",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE} (--force overrides)",
        ExitCode.INCOMPATIBLE: "another family, an older version, alias against versioned name,"
        " another vendor's line, or a Windows guest (--force overrides; but what the machine type"
        " can't have the guest must not have)",
        ExitCode.UNSUPPORTED: "no QEMU of this host has the machine type (--force overrides)",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add instance, machine type and options."""
        add_instance(parser)
        parser.add_argument("machine", metavar="TYPE", help="machine type, such as pc-i440fx-7.2")
        parser.add_argument(
            "--force",
            action="store_true",
            help="make warnings of refusals; do without libvirt if need be",
        )
        parser.add_argument("--reason", metavar="TEXT", type=utf8, help="why, for the history")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="print what would change in the definition, change nothing",
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Change the pin and the definition."""
        wish = change.Wish(parsed_args.machine, parsed_args.force, actor(), parsed_args.reason)
        with self.catalog() as catalog, self.host_unless(wish.force) as host:
            instance = look_up(parsed_args.instance, catalog, host)
            if instance.machine == wish.machine:
                self.say(f"{instance}: already pinned to {wish.machine}")
                return ExitCode.OK
            follow = host if self.conf.sync.realign else None
            self._change(catalog, follow, instance, wish, parsed_args.dry_run)
        before = instance.machine or "none"
        would = "would change " if parsed_args.dry_run else ""
        self.say(f"{instance}: {would}{before} → {wish.machine}")
        return ExitCode.OK

    def _change(
        self, catalog: Catalog, host: Host | None, instance: Instance, wish: change.Wish, dry: bool
    ) -> None:
        warnings = change.check(catalog, host, instance, wish)
        unable = change.foresee(catalog, host, instance, wish)
        for warning in [*warnings, *unable]:
            self.warn(warning)
        if unable:
            host = None
        if not dry:
            report = change.apply(catalog, host, instance, wish)
        elif host is not None:
            pin = change.pin_of(instance, wish)
            report, text = change.difference(catalog, host, instance, pin)
            self.app.stdout.write(text)
        else:
            report = ()
        for line in report:
            self.say(f"{instance}: {line}")


class Unset(Told):
    """Release an instance's pin: its next start records a new one."""

    codes: ClassVar = {
        ExitCode.OK: "the instance has no pin, released or not",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: "the guest isn't shut off, or has a managed-save image"
        " (--force overrides)",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add instance and options."""
        add_instance(parser)
        parser.add_argument(
            "--force",
            action="store_true",
            help="release it whatever the guest does; do without libvirt if need be",
        )
        parser.add_argument("--reason", metavar="TEXT", type=utf8, help="why, for the history")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Release the pin."""
        force: bool = parsed_args.force
        with self.catalog() as catalog, self.host_unless(force) as host:
            instance = look_up(parsed_args.instance, catalog, host)
            if instance.machine is None:
                self.say(f"{instance}: no pin")
                return ExitCode.OK
            for warning in change.check_state(instance, force=force):
                self.warn(warning)
            see(catalog, instance)
            catalog.unset_pin(instance.uuid, actor=actor(), reason=parsed_args.reason)
        self.say(f"{instance}: {instance.machine} → none, its next start records a new one")
        return ExitCode.OK
