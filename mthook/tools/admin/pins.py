# SPDX-License-Identifier: Apache-2.0
"""``get``, ``set`` and ``unset``: one instance's pin; with Nova's database, what Nova has recorded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from mthook.operations import change, novachange
from mthook.operations.lookup import Instance, look_up, see
from mthook.text import printable
from mthook.tools.admin import nova
from mthook.tools.admin.command import LOG, Told, UsageError, actor, add_instance, utf8
from mthook.tools.admin.exitcode import ExitCode

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host

_STATE = "the guest isn't shut off"
_SAVED = "has a managed-save image"
_NOTHING = "Nova has no machine type recorded"
_VM_STATE = "in Nova: isn't stopped, shelved or shelved_offloaded"


class Get(Told):
    """Print the machine type that an instance is pinned to.

    Where Nova's database is configured, it is the one that Nova has recorded.
    """

    codes: ClassVar = {
        ExitCode.OK: "the machine type, alone, is on standard output",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.NO_PIN: "the instance has no pin, or Nova has recorded none",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the instance."""
        add_instance(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the machine type."""
        machine, complaint = self._get(parsed_args.instance)
        if machine is None:
            self.complain(complaint)
            return ExitCode.NO_PIN
        print(printable(machine), file=self.app.stdout)
        return ExitCode.OK

    def _get(self, text: str) -> tuple[str | None, str]:
        """Return an instance's machine type, and what there is to say where it has none."""
        with nova.recorded(self, text) as recorded:
            if recorded is not None:
                return recorded.nova.machine, f"{recorded}: {_NOTHING}"
        with self.catalog() as catalog:
            instance = self.look_up(text, catalog)
        return instance.machine, f"{instance}: no pin"


class Set(Told):
    """Pin an instance to another machine type.

    The guest must be shut off. Its definition is changed as well, unless [sync] realign is off, so
    that its next start is right; when libvirt refuses that, nothing is changed. Old and new machine
    type go to standard error, and for another family what becomes of the guest's hardware.

    Where Nova's database is configured, the machine type is changed there first, whichever host the
    instance is on; that host's mthook-sync brings its pin along. What the instance's guest is
    defined as hinders nothing then: Nova defines it anew at the next start. TYPE may be left out
    where Nova has none recorded: then it is that of the image the instance was made from.
    """

    codes: ClassVar = {
        ExitCode.OK: "the pin is what was asked for, changed or not",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE}, or {_SAVED} or snapshots; {_VM_STATE} (--force overrides)",
        ExitCode.INCOMPATIBLE: "another family, an older version, alias against versioned name,"
        " another vendor's line, or a Windows guest (--force overrides; but what the machine type"
        " can't have the guest must not have)",
        ExitCode.UNSUPPORTED: "no QEMU of this host has the machine type, or for an instance"
        " elsewhere, it is none that mthook knows (--force overrides)",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add instance, machine type and options."""
        add_instance(parser)
        parser.add_argument(
            "machine",
            metavar="TYPE",
            nargs="?",
            help="machine type, such as pc-i440fx-7.2; in Nova also none, for the image's",
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="make warnings of refusals; do without libvirt if need be",
        )
        parser.add_argument(
            "--with-buses",
            action="store_true",
            help="in Nova, also make sata of the device buses recorded as ide, which only pc has",
        )
        parser.add_argument("--reason", metavar="TEXT", type=utf8, help="why, for the history")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="print what would change in the definition, change nothing",
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Change the machine type, in Nova or here alone."""
        libvirt = self.conf.sync.realign
        with nova.recorded(self, parsed_args.instance, libvirt=libvirt) as recorded:
            if recorded is not None:
                return self._set_in_nova(recorded, parsed_args)
        return self._set_here(parsed_args)

    def _set_in_nova(self, recorded: nova.Recorded, args: argparse.Namespace) -> ExitCode:
        instance = recorded.nova
        machine = self._of_image(recorded) if args.machine is None else args.machine
        if instance.machine == machine and not (
            args.with_buses and novachange.buses(instance, machine)
        ):
            self.say(f"{recorded}: {machine} is recorded already")
            return ExitCode.OK
        wish = change.Wish(machine, args.force, actor(), args.reason, arch=instance.arch)
        warnings = novachange.check(recorded, wish)
        buses = novachange.buses(instance, machine)
        host, planned, unable = novachange.foresee(recorded.here, wish)
        about = [] if args.with_buses else novachange.about(buses, machine)
        for warning in [*warnings, *about, *unable]:
            self.warn(warning)
        changes = buses if args.with_buses else []
        if not args.dry_run:
            self._tell(
                recorded, novachange.record(recorded, wish, changes, host, planned, self.warn)
            )
        elif host is not None and recorded.here is not None:
            here = recorded.here
            self._tell(recorded, self._show(here.catalog, host, here.instance, wish))
        self._report(str(recorded), instance.machine, machine, args.dry_run)
        for one in changes:
            self._report(f"{recorded}: {one.key}", one.old, one.new, args.dry_run)
        if recorded.here is None and instance.host is not None:
            LOG.info("the next mthook-sync on %s makes it the pin there", printable(instance.host))
        return ExitCode.OK

    def _of_image(self, recorded: nova.Recorded) -> str:
        """Return the machine type that the image had which an instance was made from.

        :raises UsageError: there is none, or one is recorded already: then TYPE must be given.
        """
        if recorded.nova.machine is not None:
            raise UsageError(f"{recorded} has {printable(recorded.nova.machine)}: give a TYPE")
        machine = recorded.cells.image_property(recorded.nova.uuid)
        if machine is None:
            raise UsageError(f"{recorded}: no machine type of its image is known: give a TYPE")
        self.say(f"{recorded}: its image has {printable(machine)}")
        return machine

    def _set_here(self, args: argparse.Namespace) -> ExitCode:
        if args.machine is None:
            raise UsageError("give a TYPE: only an instance of Nova's can do without")
        if args.with_buses:
            raise UsageError("--with-buses is for instances of Nova's")
        wish = change.Wish(args.machine, args.force, actor(), args.reason)
        with self.catalog() as catalog, self.host_unless(wish.force) as host:
            instance = look_up(args.instance, catalog, host)
            if instance.machine == wish.machine:
                self.say(f"{instance}: already pinned to {wish.machine}")
                return ExitCode.OK
            self._change(catalog, host, instance, wish, args.dry_run)
        self._report(str(instance), instance.machine, wish.machine, args.dry_run)
        return ExitCode.OK

    def _change(
        self, catalog: Catalog, host: Host | None, instance: Instance, wish: change.Wish, dry: bool
    ) -> None:
        follow = self.conf.sync.realign
        warnings = change.check(catalog, host, instance, wish)
        planned, unable = change.foresee(catalog, host, instance, wish, follow=follow)
        for warning in [*warnings, *unable]:
            self.warn(warning)
        if unable or not follow:
            host = None
        if not dry:
            self._tell(instance, change.apply(catalog, host, instance, wish, planned))
        elif host is not None and instance.domain is not None:
            self._tell(instance, self._show(catalog, host, instance, wish))

    def _show(
        self, catalog: Catalog, host: Host, instance: Instance, wish: change.Wish
    ) -> Sequence[str]:
        """Print what would change in a definition; return what a change of family changes."""
        pin = change.pin_of(instance, wish)
        report, text = change.difference(catalog, host, instance, pin, snapshots=wish.force)
        self.app.stdout.write(text)
        return report

    def _tell(self, what: Instance | nova.Recorded, report: Sequence[str]) -> None:
        for line in report:
            self.say(f"{what}: {line}")

    def _report(self, what: str, old: str | None, new: str, dry: bool) -> None:
        would = "would change " if dry else ""
        self.say(f"{what}: {would}{printable(old or 'none')} → {new}")


class Unset(Told):
    """Release an instance's pin: its next start records a new one.

    Where Nova's database is configured, what Nova has recorded is erased as well. Nova records its
    configured default when nova-compute restarts.
    """

    codes: ClassVar = {
        ExitCode.OK: "the instance has no pin, released or not",
        ExitCode.ERROR: "any other error, such as an instance that is on another host (--force"
        " overrides), a wrong command line included",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE}, or {_SAVED}; {_VM_STATE} (--force overrides)",
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
        with nova.recorded(self, parsed_args.instance) as recorded:
            if recorded is not None:
                return self._unset_in_nova(recorded, parsed_args)
        return self._unset_here(parsed_args)

    def _unset_in_nova(self, recorded: nova.Recorded, args: argparse.Namespace) -> ExitCode:
        machine = recorded.nova.machine
        if machine is None and (recorded.here is None or recorded.here.instance.machine is None):
            self.say(f"{recorded}: {_NOTHING}")
            return ExitCode.OK
        for warning in novachange.check_release(recorded, self.conf.host, force=args.force):
            self.warn(warning)
        novachange.erase(recorded, actor(), args.reason, self.warn)
        self.say(
            f"{recorded}: {printable(machine or 'none')} → none;"
            " Nova records its configured default when nova-compute restarts"
        )
        return ExitCode.OK

    def _unset_here(self, args: argparse.Namespace) -> ExitCode:
        force: bool = args.force
        with self.catalog() as catalog, self.host_unless(force) as host:
            instance = look_up(args.instance, catalog, host)
            if instance.machine is None:
                self.say(f"{instance}: no pin")
                return ExitCode.OK
            for warning in change.check_state(instance, force=force):
                self.warn(warning)
            see(catalog, instance)
            catalog.unset_pin(instance.uuid, actor=actor(), reason=args.reason)
        self.say(f"{instance}: {instance.machine} → none, its next start records a new one")
        return ExitCode.OK
