# SPDX-License-Identifier: Apache-2.0
"""``get``, ``set``, ``unset`` and ``freeze``: an instance's pin; with Nova's database, what Nova has recorded."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from mthook.conf import has_nova
from mthook.errors import CatalogError, Error, GlanceError, NotFound, NovaConflict, NovaError
from mthook.machinetype import MachineType
from mthook.operations import change, novachange, shelved_image
from mthook.operations.caution import Caution, Kind
from mthook.operations.change import ChangeRequest
from mthook.operations.freeze import aliased, freeze
from mthook.operations.lookup import CloudInstance, Instance, found_in_nova, look_up, look_up_or_ask
from mthook.operations.opening import opened_catalog, opened_host, opened_nova
from mthook.text import printable
from mthook.tools.admin.command import (
    INSTANCE,
    LOG,
    REASON,
    AdminCommand,
    ExitCode,
    UsageError,
    actor,
    argument,
    utf8,
)

if TYPE_CHECKING:
    from mthook.nova.cells import Cells

_STATE = "the guest isn't shut off"
_SAVED = "has a managed-save image"
_NOTHING = "Nova has no machine type recorded"
_VM_STATE = "in Nova: isn't stopped, shelved or shelved_offloaded"


class Get(AdminCommand):
    """Print the machine type that an instance is pinned to.

    Where Nova's database is configured, it is the one that Nova has recorded.
    """

    codes: ClassVar = {
        ExitCode.OK: "the machine type, alone, is on standard output",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.NO_PIN: "the instance has no pin, or Nova has recorded none",
    }

    arguments: ClassVar = (INSTANCE,)

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
        with found_in_nova(self.conf, text) as found:
            if found is not None:
                return found.nova.machine, f"{found}: {_NOTHING}"
        with opened_catalog(self.conf) as catalog:
            instance = look_up_or_ask(text, catalog, self.conf)
        return instance.machine, f"{instance}: no pin"


class Set(AdminCommand):
    """Pin an instance to another machine type.

    The guest must be shut off. Its definition is changed as well, unless [sync] realign is off, so
    that its next start is right; when libvirt refuses that, nothing is changed. Where the pin is
    that already, its definition alone is brought to it. Old and new machine type go to standard
    error, and for another family what becomes of the guest's hardware.

    Where Nova's database is configured, the machine type is changed there first, whichever host the
    instance is on; that host's mthook-sync brings its pin along. What the instance's guest is
    defined as hinders nothing then: Nova defines it anew at the next start. TYPE may be left out
    where Nova has none recorded: then it is that of the image the instance was made from.

    A shelved instance gets its machine type from its shelved image: with [glance] credentials that
    is changed as well, without them the command to type is printed.
    """

    codes: ClassVar = {
        ExitCode.OK: "the pin is what was asked for, changed or not",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE}, or {_SAVED} or snapshots; {_VM_STATE} (--force overrides)",
        ExitCode.INCOMPATIBLE: "another family, an older version, alias against versioned name,"
        " another vendor's line, or a Windows guest (--force overrides; but what the machine type"
        " can't have the guest must not have)",
        ExitCode.UNSUPPORTED: "no QEMU of a known host, which is this one, has the machine type; where"
        " none is known, it is of no shape that mthook knows (--force overrides)",
    }

    arguments: ClassVar = (
        INSTANCE,
        argument(
            "machine",
            metavar="TYPE",
            nargs="?",
            help="machine type, such as pc-i440fx-7.2; in Nova also none, for the image's",
        ),
        argument(
            "--force",
            action="store_true",
            help="make warnings of refusals; do without libvirt if need be",
        ),
        argument(
            "--with-buses",
            action="store_true",
            help="in Nova, also make sata of the device buses recorded as ide, which only pc has, those"
            " of disks and volumes included",
        ),
        REASON,
        argument(
            "--dry-run",
            action="store_true",
            help="print what would change in the definition, change nothing",
        ),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Change the machine type, in Nova or here alone."""
        follow = self.conf.sync.realign
        with found_in_nova(self.conf, parsed_args.instance, libvirt=follow) as found:
            if found is not None:
                self._set_in_nova(found, parsed_args)
        if found is None:
            self._set_here(parsed_args)
        return ExitCode.OK

    def _set_in_nova(self, found: CloudInstance, args: argparse.Namespace) -> None:
        nova = found.nova
        machine = self._of_image(found) if args.machine is None else args.machine
        request = ChangeRequest(machine, args.force, actor(), args.reason, arch=nova.arch)
        plan = novachange.plan(found, request, with_buses=args.with_buses)
        if plan is None:
            self.say(f"{found}: {machine} is recorded already")
            if not args.dry_run:
                self.caution(novachange.specify(found))
        else:
            self._carry_out(plan, args)
        self._change_image(found, machine, args.dry_run)

    def _carry_out(self, plan: novachange.Plan, args: argparse.Namespace) -> None:
        found, nova, machine = plan.found, plan.found.nova, plan.request.machine
        self.caution(plan.cautions)
        if args.dry_run:
            changes = self._preview(plan.local)
        else:
            changes, cautions = novachange.record(plan)
            self.caution(cautions)
        self.say_of(found, changes)
        self._report(str(found), nova.machine, machine, args.dry_run)
        for one in plan.beside:
            self._report(f"{found}: {one.key}", one.old, one.new, args.dry_run)
        if found.local is None and nova.host is not None:
            LOG.info("the next mthook-sync on %s makes it the pin there", printable(nova.host))

    def _of_image(self, found: CloudInstance) -> str:
        """Return the machine type of the image that an instance was made from, where none is recorded."""
        if found.nova.machine is not None:
            raise Error(f"{found} has {printable(found.nova.machine)}: give a TYPE")
        machine = found.cells.image_property(found.nova.uuid)
        if machine is None:
            raise Error(f"{found}: no machine type of its image is known: give a TYPE")
        self.say(f"{found}: its image has {printable(machine)}")
        return machine

    def _set_here(self, args: argparse.Namespace) -> None:
        if args.machine is None:
            raise UsageError("give a TYPE: only an instance of Nova's can do without")
        if args.with_buses:
            raise UsageError("--with-buses is for instances of Nova's")
        request = ChangeRequest(args.machine, args.force, actor(), args.reason)
        with opened_catalog(self.conf) as catalog, self.host_unless(args.force) as host:
            instance = look_up(args.instance, catalog, host)
            plan = change.plan(_following(instance, self.conf), request)
            if plan is None:
                self.say(f"{instance}: already pinned to {request.machine}")
                return
            self.caution(plan.cautions)
            self.say_of(instance, self._preview(plan) if args.dry_run else change.apply(plan))
        what, old = str(instance), instance.machine
        if old == request.machine and plan.realignment is not None:
            what, old = f"{instance}: its definition", plan.realignment.old
        self._report(what, old, request.machine, args.dry_run)

    def _preview(self, plan: change.Plan | None) -> Sequence[str]:
        """Print what would change in a definition; return what a change of family changes."""
        diff, changes = change.preview(plan) if plan else ("", ())
        self.app.stdout.write(diff)
        return changes

    def _change_image(self, found: CloudInstance, machine: str, dry: bool) -> None:
        """Give the image that a shelved instance is unshelved from its machine type, or print how that is done."""
        image = shelved_image.image_of(found.nova)
        if image is None:
            return
        wanted = shelved_image.properties(found.nova, machine)
        command = shelved_image.command(image, wanted)
        if dry or not shelved_image.has_credentials(self.conf):
            self.caution([Caution(Kind.SHELVED, (command,))])
            return
        try:
            with shelved_image.opened(self.conf) as images:
                for one in images.change(image, wanted):
                    self._report(f"image {image}: {one.key}", one.old, one.new, dry)
        except GlanceError as error:
            self.caution([Caution(Kind.SHELVED_FAILED, (error, command))])

    def _report(self, what: str, old: object, new: object, dry: bool) -> None:
        would = "would change " if dry else ""
        self.say(f"{what}: {would}{printable(old or 'none')} → {printable(new)}")


class Unset(AdminCommand):
    """Release an instance's pin: its next start records a new one.

    Where Nova's database is configured, what Nova has recorded is erased as well. Nova records its
    configured default when nova-compute restarts.
    """

    codes: ClassVar = {
        ExitCode.OK: "the instance has no pin, released or not",
        ExitCode.ERROR: "any other error, such as an instance that is on another host (--force"
        " overrides)",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE}, or {_SAVED}; {_VM_STATE} (--force overrides)",
    }

    arguments: ClassVar = (
        INSTANCE,
        argument(
            "--force",
            action="store_true",
            help="release it whatever the guest does; do without libvirt if need be",
        ),
        REASON,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Release the pin."""
        with found_in_nova(self.conf, parsed_args.instance) as found:
            if found is not None:
                self._unset_in_nova(found, parsed_args)
        if found is None:
            self._unset_here(parsed_args)
        return ExitCode.OK

    def _unset_in_nova(self, found: CloudInstance, args: argparse.Namespace) -> None:
        machine = found.nova.machine
        if machine is None and (found.local is None or found.local.machine is None):
            self.say(f"{found}: {_NOTHING}")
            return
        self.caution(novachange.check_release(found, self.conf.host, force=args.force))
        self.caution(novachange.erase(found, actor=actor(), reason=args.reason))
        self.say(
            f"{found}: {printable(machine or 'none')} → none;"
            " Nova records its configured default when nova-compute restarts"
        )

    def _unset_here(self, args: argparse.Namespace) -> None:
        with opened_catalog(self.conf) as catalog, self.host_unless(args.force) as host:
            instance = look_up(args.instance, catalog, host)
            if instance.machine is None:
                self.say(f"{instance}: no pin")
                return
            self.caution(change.check_release(instance, force=args.force))
            change.release(instance, actor=actor(), reason=args.reason)
        self.say(f"{instance}: {instance.machine} → none, its next start records a new one")


class Freeze(AdminCommand):
    """Pin instances that are pinned to an alias to the versioned name they run.

    An alias such as pc is another machine type after an upgrade of QEMU. The name is that of the
    running guest; of one that is shut off, the name it ran with when it was pinned, else that of
    its definition. A line for each instance goes to standard error.

    Where Nova's database is configured, the alias is replaced there first.
    """

    codes: ClassVar = {
        ExitCode.OK: "every instance asked for has a versioned pin, or a machine type without versions",
        ExitCode.ERROR: "some could not be frozen, or any other error; the others are frozen",
        ExitCode.NOT_FOUND: "no such instance as some of them; the others are frozen",
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser: instances, or all of them."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("instances", metavar="UUID|NAME", type=utf8, nargs="*", default=[])
        which.add_argument(
            "--all",
            action="store_true",
            help="every instance on this host that is pinned to an alias",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Freeze them one by one; one that can't be frozen doesn't keep the others from it."""
        self._code = ExitCode.OK
        with contextlib.ExitStack() as stack:
            catalog = stack.enter_context(opened_catalog(self.conf))
            host = stack.enter_context(opened_host(self.conf))
            cells = stack.enter_context(opened_nova(self.conf)) if has_nova(self.conf) else None
            if parsed_args.all:
                self._freeze_all(aliased(catalog, host), cells)
            for text in parsed_args.instances:
                with self._others_go_on():
                    self._freeze(look_up(text, catalog, host), cells)
        return self._code

    def _freeze_all(self, instances: Iterable[Instance], cells: Cells | None) -> None:
        for instance in instances:
            if instance.domain is None:
                self.say(f"{instance}: not on this host any more, left alone")
                continue
            with self._others_go_on():
                self._freeze(instance, cells)

    @contextlib.contextmanager
    def _others_go_on(self) -> Iterator[None]:
        """Report why one can't be frozen; what the next one would fail of likewise ends it."""
        try:
            yield
        except Error as error:
            fatal = isinstance(error, (CatalogError, NovaError))
            if fatal and not isinstance(error, NovaConflict):
                raise
            self.complain(str(error))
            found = not isinstance(error, NotFound)
            self._code = max(self._code, ExitCode.ERROR if found else ExitCode.NOT_FOUND)

    def _freeze(self, instance: Instance, cells: Cells | None) -> None:
        old = instance.machine
        new, cautions = freeze(_following(instance, self.conf), cells, self.conf.host, actor())
        self.caution(cautions)
        if new != old:
            self.say(f"{instance}: {old} → {new}")
        elif MachineType.parse(new).is_versioned:
            self.say(f"{instance}: {old} is a versioned name already")
        else:
            self.say(f"{instance}: {old} has no versions, there is nothing to freeze")


def _following(instance: Instance, conf: cfg.ConfigOpts) -> Instance:
    """Return an instance whose definition stays as it is where the configuration says so."""
    return instance if conf.sync.realign else replace(instance, host=None)
