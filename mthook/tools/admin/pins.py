# SPDX-License-Identifier: Apache-2.0
"""``get``, ``set``, ``unset`` and ``freeze``: an instance's pin; with Nova's database, what Nova has recorded.

An instance that is on another host is known from the fleet's record: ``set``, ``accept`` and ``unset`` ask its host.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from oslo_config import cfg

from mthook.conf import has_nova
from mthook.errors import Error, GlanceError, NotFound
from mthook.machinetype import MachineType
from mthook.operations import change, fleetchange, novachange, shelved_image
from mthook.operations.caution import Caution, Kind
from mthook.operations.change import ChangeRequest
from mthook.operations.fleetchange import FleetInstance, found_in_fleet
from mthook.operations.freeze import aliased, freeze
from mthook.operations.lookup import (
    CloudInstance,
    Instance,
    found_in_nova,
    in_nova,
    look_up,
    look_up_or_ask,
)
from mthook.operations.opening import opened_catalog, opened_host, opened_nova
from mthook.policy import ALL
from mthook.text import printable
from mthook.tools.admin.command import (
    ALLOW,
    DRY_RUN,
    INSTANCE,
    INSTANCES,
    LOG,
    REASON,
    ExitCode,
    FieldCommand,
    GuestsCommand,
    UsageError,
    actor,
    argument,
    utf8,
)
from mthook.tools.admin.table import Time

if TYPE_CHECKING:
    from mthook.fleet.rows import Wish, WishKind
    from mthook.nova.cells import Cells
    from mthook.nova.instance import Change
    from mthook.operations.plans.recording import Record

_STATE = "the guest isn't shut off"
_SAVED = "has a managed-save image"
_NOTHING = "Nova has no machine type recorded"
#: What ``get`` has besides of an instance on another host.
_OF_FLEET = ("Host", "Wish", "Outcome", "Detail")
_OUTCOMES = {
    "refused": "because a rule forbids it",
    "failed": "because it failed",
    "overtaken": "because it came too late",
    "gone": "because the guest isn't there any more",
}
_VM_STATE = "in Nova: isn't stopped, shelved or shelved_offloaded"


class Get(FieldCommand):
    """Print the machine type that an instance is pinned to.

    Where Nova's database is configured, it is the one that Nova has recorded. An instance on
    another host is looked up in the fleet's record; a change that its host hasn't made yet is
    named. With -f everything known about the pin is printed.
    """

    columns = ("Pin", "UUID", "Name", "Display name", "Source", "Updated", "Seen", "By", "Reason")
    codes: ClassVar = {
        ExitCode.OK: "the machine type is on standard output; without -f and -c, alone",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.NO_PIN: "the instance has no pin, or Nova has recorded none",
    }
    examples: ClassVar = (
        "mthook-admin get web-1",
        "mthook-admin get 7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f",
    )

    arguments: ClassVar = (INSTANCE,)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Return the headings and what stands below them."""
        columns, values, complaint = self._get(parsed_args.instance)
        if values[0] is None:
            self.complain(complaint)
            self.code = ExitCode.NO_PIN
        return columns, values

    def _get(self, text: str) -> tuple[Sequence[str], Sequence[Any], str]:
        """Return the headings, what is known of an instance's pin, and what there is to say where it has none."""
        with found_in_nova(self.conf, text) as found:
            if found is not None:
                return self.columns, _of_nova(found), f"{found}: {_NOTHING}"
        with found_in_fleet(self.conf, text) as elsewhere:
            if elsewhere is not None:
                for host, wish in elsewhere.wishes:
                    self.say_of(elsewhere, _told(host, wish))
                headings = (*self.columns, *_OF_FLEET)
                return headings, _of_fleet(elsewhere), f"{elsewhere}: no pin"
        with opened_catalog(self.conf) as catalog:
            instance = look_up_or_ask(text, catalog, self.conf)
        return self.columns, _of_catalog(instance), f"{instance}: no pin"


def _of_nova(found: CloudInstance) -> Sequence[Any]:
    """Return the columns of ``get``: what Nova's database says."""
    nova, local = found.nova, found.local
    name = local.names[0] if local else None
    source = None if nova.machine is None else "Nova"
    written = Time(nova.recorded_at or None)
    return nova.machine, nova.uuid, name, nova.name or None, source, written, None, None, None


def _of_catalog(instance: Instance) -> Sequence[Any]:
    """Return the columns of ``get``: what this host's catalog says."""
    pin = instance.pin if instance.machine else None
    known = (
        (pin.source, Time(pin.updated_at), pin.seen, pin.actor, pin.reason) if pin else (None,) * 5
    )
    return (instance.machine, instance.uuid, *instance.names, *known)


def _of_fleet(found: FleetInstance) -> Sequence[Any]:
    """Return the columns of ``get``: what the fleet's record says, and what was asked for last."""
    guest = found.found[0].guest
    pin = (guest.source, Time(guest.pinned_at), guest.seen, guest.actor, guest.reason)
    known = pin if guest.pin else (None,) * 5
    wish = next((wish for _, wish in found.wishes), None)
    asked = (_wished(wish), wish.outcome or "pending", wish.detail) if wish else (None,) * 3
    return guest.pin, guest.uuid, guest.name, guest.display, *known, found.hosts, *asked


def _wished(wish: Wish) -> str:
    return f"{wish.kind} {wish.pin}" if wish.pin else wish.kind


def _told(host: str, wish: Wish) -> Iterator[str]:
    """Yield what there is to say of a wish; where it was fulfilled, that is to be seen."""
    what = f"'{printable(_wished(wish))}' of {printable(wish.actor)}"
    if wish.outcome is None:
        yield f"{printable(host)} hasn't seen {what} yet: its next sync does"
    elif wish.outcome != "done":
        detail = f": {printable(wish.detail, limit=400)}" if wish.detail else ""
        yield f"{printable(host)} didn't do {what} {_OUTCOMES[wish.outcome]}{detail}"


class _FleetCommand(GuestsCommand):
    """A command that asks other hosts for what it does on this one."""

    def ask(
        self, found: FleetInstance, kind: WishKind, args: argparse.Namespace, **what: Any
    ) -> None:
        """Ask an instance's hosts for a change, and say so."""
        who = f"{actor()} on {printable(self.conf.host)}"
        asked = f"{kind} {printable(what['machine'])}" if what.get("machine") else kind
        would = "would ask" if args.dry_run else "asked"
        if not args.dry_run:
            fleetchange.ask(found, kind, actor=who, reason=args.reason, **what)
        self.say(
            f"{found}: {would} {found.hosts} for '{asked}': the next mthook-sync there decides"
        )


class _UndoableCommand(_FleetCommand):
    """A command whose changes ``undo`` takes back, all of them as one."""

    @functools.cached_property
    def _record(self) -> Record:
        from mthook.operations.plans.recording import Record  # here: it needs SQLAlchemy

        return Record(self.conf, type(self).__name__.lower(), actor())

    @contextlib.contextmanager
    def noted(
        self,
        found: CloudInstance | Instance,
        old: str | None,
        new: str | None,
        beside: Sequence[Change] = (),
    ) -> Iterator[None]:
        """Note for ``undo`` what the block does to an instance."""
        from mthook.operations.plans.recording import subject_of

        with self._record.of(subject_of(found), old, new, beside) as cautions:
            self.caution(found, cautions)
            yield


class _ChangeCommand(_UndoableCommand):
    """A command that makes the pins of instances others."""

    def change_in_nova(self, plan: novachange.Plan, *, dry: bool) -> None:
        """Carry out a change that Nova's database is the first to have, and report it."""
        found, nova, machine = plan.found, plan.found.nova, plan.request.machine
        self.caution(found, plan.cautions)
        if dry:
            changes = self._preview(plan.local)
        else:
            with self.noted(found, nova.machine, machine, plan.beside):
                changes, cautions = novachange.record(plan)
            self.caution(found, cautions)
        self.say_of(found, changes)
        self.report(found, nova.machine, machine, dry=dry)
        for one in plan.beside:
            self.report(f"{found}: {one.key}", one.old, one.new, dry=dry)
        if found.local is None and nova.host is not None:
            LOG.info("the next mthook-sync on %s makes it the pin there", printable(nova.host))

    def change_here(self, instance: Instance, request: ChangeRequest, *, dry: bool) -> None:
        """Make a change that concerns this host alone, and report it."""
        plan = change.plan(_following(instance, self.conf), request)
        if plan is None:
            self.say(f"{instance}: already pinned to {request.machine}")
            return
        self.caution(instance, plan.cautions)
        what, old = str(instance), instance.machine
        if old == request.machine and plan.realignment is not None:
            what, old = f"{instance}: its definition", plan.realignment.old
        if dry:
            changes = self._preview(plan)
        else:
            with self.noted(plan.instance, old, request.machine):
                changes = change.apply(plan)
        self.say_of(instance, changes)
        self.report(what, old, request.machine, dry=dry)

    def _preview(self, plan: change.Plan | None) -> Sequence[str]:
        """Print what would change in a definition; return what a change of family changes."""
        diff, changes = change.preview(plan) if plan else ("", ())
        self.app.stdout.write(diff)
        return changes


class Set(_ChangeCommand):
    """Pin an instance to another machine type.

    The guest must be shut off. Its definition is changed as well, unless [sync] realign is off, so
    that its next start is right; when libvirt refuses that, nothing is changed. If the pin is
    TYPE already, only the definition is brought to it. Old and new machine type go to standard
    error, and for another family the changes to the guest's hardware.

    Where Nova's database is configured, the machine type is changed there first, whichever host the
    instance is on; that host's mthook-sync brings its pin along. The current libvirt definition
    doesn't matter then: Nova makes a new one at the next start. TYPE may be left out where Nova has
    none recorded: then it is that of the image the instance was made from.

    An instance on another host is looked up in the fleet's record, where there is one: its host is
    asked for the change, and decides with its next mthook-sync. What becomes of it 'mthook-admin
    get' tells.

    A shelved instance gets its machine type from its shelved image: with [glance] credentials that
    is changed as well, without them the command to type is printed.
    """

    codes: ClassVar = {
        ExitCode.OK: "the pin is what was asked for, changed or not",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE}, or {_SAVED} or snapshots; {_VM_STATE} (--allow overrides)",
        ExitCode.INCOMPATIBLE: "another family, an older version, alias against versioned name,"
        " another vendor's line, or a Windows guest (--allow overrides; it can't add what the machine"
        " type doesn't support)",
        ExitCode.UNSUPPORTED: "QEMU on this host doesn't offer the machine type; where that isn't known,"
        " its name has no form that mthook knows (--allow overrides)",
    }
    examples: ClassVar = (
        "mthook-admin set web-1 db-1 pc-i440fx-8.0 --reason 'QEMU 9 drops 4.x'",
        "mthook-admin set web-1 pc-i440fx-8.0 --allow running",
        "mthook-admin set web-1 pc-q35-8.0 --allow family --dry-run",
    )

    arguments: ClassVar = (
        argument(
            "words",
            metavar="GUEST",
            type=utf8,
            nargs="+",
            help="UUID, its beginning, or name, of one or more guests; TYPE, such as pc-i440fx-7.2, comes last. In Nova"
            " it may be left out: then it is the image's",
        ),
        ALLOW,
        argument(
            "--force",
            action="store_true",
            help="turn all refusals into warnings; proceed even if libvirt can't be reached",
        ),
        argument(
            "--with-buses",
            action="store_true",
            help="in Nova, also change device buses recorded as ide, which only pc has, to sata, including"
            " those of disks and volumes",
        ),
        REASON,
        argument(
            "--dry-run",
            action="store_true",
            help="print what would change in the definition, change nothing",
        ),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser, whose last word is no guest."""
        parser = super().get_parser(prog_name)
        parser.usage = f"{prog_name} [option ...] GUEST [GUEST ...] TYPE"
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Change the machine type of one after the other."""
        *guests, machine = parsed_args.words
        if not guests:
            guests, machine = [machine], None
        allowed = ALL if parsed_args.force else parsed_args.allow
        request = ChangeRequest(machine or "", actor(), allowed, parsed_args.reason)
        by_image = machine is None
        return self.each(guests, lambda text: self._set(text, request, by_image, parsed_args))

    def _set(
        self, text: str, request: ChangeRequest, by_image: bool, args: argparse.Namespace
    ) -> None:
        """Change one, in Nova or here alone.

        :param by_image: to the machine type of its image.
        """
        follow = self.conf.sync.realign
        with found_in_nova(self.conf, text, libvirt=follow) as found:
            if found is not None:
                machine = self._of_image(found) if by_image else request.machine
                self._set_in_nova(found, replace(request, machine=machine), args)
        if found is None:
            if by_image:
                raise UsageError("give a TYPE: only Nova instances can do without")
            if args.with_buses:
                raise UsageError("--with-buses is for Nova instances")
            self._set_elsewhere(text, request, args)

    def _set_elsewhere(self, text: str, request: ChangeRequest, args: argparse.Namespace) -> None:
        """Ask another host for the change, or make it here."""
        with found_in_fleet(self.conf, text) as found:
            if found is None:
                self._set_here(text, request, args)
            elif found.machine == request.machine and not found.pending:
                self.say(f"{found}: already pinned to {request.machine}")
            else:
                self.ask(found, "set", args, machine=request.machine, allowed=request.allowed)

    def _set_in_nova(
        self, found: CloudInstance, request: ChangeRequest, args: argparse.Namespace
    ) -> None:
        machine, request = request.machine, replace(request, arch=found.nova.arch)
        plan = novachange.plan(found, request, with_buses=args.with_buses)
        if plan is None:
            self.say(f"{found}: {machine} is recorded already")
            if not args.dry_run:
                self._specify(found)
        else:
            self.change_in_nova(plan, dry=args.dry_run)
        self._change_image(found, machine, args.dry_run)

    def _specify(self, found: CloudInstance) -> None:
        """Bring the request spec to what Nova has recorded."""
        from mthook.operations.plans.recording import subject_of

        subject, machine = subject_of(found), found.nova.machine
        with contextlib.ExitStack() as stack:
            if subject.spec is not None and subject.specified != machine:
                stack.enter_context(self.noted(found, machine, machine))
            self.caution(found, novachange.specify(found))

    def _of_image(self, found: CloudInstance) -> str:
        """Return the machine type of the image that an instance was made from, where none is recorded."""
        if found.nova.machine is not None:
            raise Error(f"{found} has {printable(found.nova.machine)}: give a TYPE")
        machine = found.cells.image_property(found.nova.uuid)
        if machine is None:
            raise Error(f"{found}: no machine type of its image is known: give a TYPE")
        self.say(f"{found}: its image has {printable(machine)}")
        return machine

    def _set_here(self, text: str, request: ChangeRequest, args: argparse.Namespace) -> None:
        with opened_catalog(self.conf) as catalog, self.host_unless(args.force) as host:
            self.change_here(look_up(text, catalog, host), request, dry=args.dry_run)

    def _change_image(self, found: CloudInstance, machine: str, dry: bool) -> None:
        """Give the image that a shelved instance is unshelved from its machine type, or print how that is done."""
        image = shelved_image.image_of(found.nova)
        if image is None:
            return
        wanted = shelved_image.properties(found.nova, machine)
        command = shelved_image.command(image, wanted)
        if dry or not shelved_image.has_credentials(self.conf):
            self.caution(found, [Caution(Kind.SHELVED, (command,))])
            return
        try:
            with shelved_image.opened(self.conf) as images:
                for one in images.change(image, wanted):
                    self.report(f"image {image}: {one.key}", one.old, one.new, dry=dry)
        except GlanceError as error:
            self.caution(found, [Caution(Kind.SHELVED_FAILED, (error, command))])


class Accept(_ChangeCommand):
    """Pin instances to what they are: what they run, else what they are defined as.

    Nothing changes under the guest, so nothing is refused. Where Nova's database is configured, it
    has the machine type first; the instance must be on this host. Where the fleet's record has an
    instance on another host, that host is asked.
    """

    codes: ClassVar = {
        ExitCode.OK: "every pin is what its instance runs or is defined as, changed or not",
        ExitCode.ERROR: "nothing tells what an instance runs, or any other error",
        ExitCode.NOT_FOUND: "no such instance as one of them",
        ExitCode.INCOMPATIBLE: "Nova doesn't start the instance as what it runs now",
    }
    examples: ClassVar = (
        "mthook-admin accept web-1 --reason 'converted by hand'",
        "mthook-admin accept web-1 db-1 --dry-run",
    )

    arguments: ClassVar = (INSTANCES, REASON, DRY_RUN)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Accept what one after the other is."""
        return self.each(parsed_args.instances, lambda text: self._accept(text, parsed_args))

    def _accept(self, text: str, args: argparse.Namespace) -> None:
        with found_in_nova(self.conf, text, libvirt=True) as found:
            if found is not None:
                self._accept_in_nova(found, args)
        if found is None:
            with found_in_fleet(self.conf, text) as elsewhere:
                if elsewhere is not None:
                    self.ask(elsewhere, "accept", args)
                    return
            with opened_catalog(self.conf) as catalog, opened_host(self.conf) as host:
                instance = look_up(text, catalog, host)
                request = change.accepted(instance, actor(), args.reason)
                self.change_here(instance, request, dry=args.dry_run)

    def _accept_in_nova(self, found: CloudInstance, args: argparse.Namespace) -> None:
        if found.local is None:
            where = f"on {printable(found.nova.host)}" if found.nova.host else "on no host"
            raise Error(f"{found}: it is {where}, which alone knows what it runs")
        request = change.accepted(found.local, actor(), args.reason)
        plan = novachange.plan(found, request)
        if plan is not None:
            self.change_in_nova(plan, dry=args.dry_run)
        else:
            self.change_here(found.local, request, dry=args.dry_run)


class Unset(_UndoableCommand):
    """Release an instance's pin: its next start records a new one.

    Where the fleet's record has an instance on another host, that host is asked.

    Where Nova's database is configured, what Nova has recorded is erased as well. Nova records its
    configured default when nova-compute restarts.
    """

    codes: ClassVar = {
        ExitCode.OK: "the instance has no pin, released or not",
        ExitCode.ERROR: "any other error, such as an instance that is on another host (--force"
        " overrides)",
        ExitCode.NOT_FOUND: "no such instance",
        ExitCode.WRONG_STATE: f"{_STATE}, or {_SAVED}; {_VM_STATE} (--allow overrides)",
    }
    examples: ClassVar = (
        "mthook-admin unset web-1 --reason 'reinstalled'",
        "mthook-admin unset web-1 db-1 --allow running --dry-run",
    )

    arguments: ClassVar = (
        INSTANCES,
        ALLOW,
        argument(
            "--force",
            action="store_true",
            help="release it whatever the guest does; proceed even if libvirt can't be reached",
        ),
        REASON,
        DRY_RUN,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Release one pin after the other."""
        return self.each(parsed_args.instances, lambda text: self._unset(text, parsed_args))

    def _unset(self, text: str, args: argparse.Namespace) -> None:
        allowed = ALL if args.force else args.allow
        with found_in_nova(self.conf, text) as found:
            if found is not None:
                self._unset_in_nova(found, allowed, args)
        if found is None:
            with found_in_fleet(self.conf, text) as elsewhere:
                if elsewhere is not None:
                    self._unset_elsewhere(elsewhere, allowed, args)
                    return
            self._unset_here(text, allowed, args)

    def _unset_elsewhere(
        self, found: FleetInstance, allowed: frozenset[str], args: argparse.Namespace
    ) -> None:
        if found.machine is None and not found.pending:
            self.say(f"{found}: no pin")
        else:
            self.ask(found, "unset", args, allowed=allowed)

    def _unset_in_nova(
        self, found: CloudInstance, allowed: frozenset[str], args: argparse.Namespace
    ) -> None:
        machine = found.nova.machine
        if machine is None and (found.local is None or found.local.machine is None):
            self.say(f"{found}: {_NOTHING}")
            return
        here, elsewhere = self.conf.host, args.force
        self.caution(found, novachange.check_release(found, here, allowed, elsewhere=elsewhere))
        if not args.dry_run:
            with self.noted(found, machine, None):
                cautions = novachange.erase(found, actor=actor(), reason=args.reason)
            self.caution(found, cautions)
        self.report(
            found,
            machine,
            "none; Nova records its configured default when nova-compute restarts",
            dry=args.dry_run,
        )

    def _unset_here(self, text: str, allowed: frozenset[str], args: argparse.Namespace) -> None:
        with opened_catalog(self.conf) as catalog, self.host_unless(args.force) as host:
            instance = look_up(text, catalog, host)
            if instance.machine is None:
                self.say(f"{instance}: no pin")
                return
            self.caution(instance, change.check_release(instance, allowed))
            if not args.dry_run:
                with self.noted(instance, instance.machine, None):
                    change.release(instance, actor=actor(), reason=args.reason)
        new = "none, its next start records a new one"
        self.report(instance, instance.machine, new, dry=args.dry_run)


class Freeze(_UndoableCommand):
    """Pin instances that are pinned to an alias to the versioned name they run.

    An alias such as pc means another machine type after an upgrade of QEMU. The name is what the
    guest runs; for a guest that is shut off, what it ran when it was pinned, else what it is
    defined as. A line for each instance goes to standard error.

    Where Nova's database is configured, the alias is replaced there first.
    """

    codes: ClassVar = {
        ExitCode.OK: "every instance asked for has a versioned pin, or a machine type without versions",
        ExitCode.ERROR: "some could not be frozen, or any other error; the others are frozen",
        ExitCode.NOT_FOUND: "no such instance as some of them; the others are frozen",
    }
    examples: ClassVar = (
        "mthook-admin freeze --all --dry-run",
        "mthook-admin freeze web-1",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser: instances, or all of them."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("instances", metavar="GUEST", type=utf8, nargs="*", default=[])
        which.add_argument(
            "--all",
            action="store_true",
            help="every instance on this host that is pinned to an alias",
        )
        parser.add_argument(*DRY_RUN[0], **DRY_RUN[1])
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Freeze them one by one; one that can't be frozen doesn't keep the others from it."""
        with contextlib.ExitStack() as stack:
            catalog = stack.enter_context(opened_catalog(self.conf))
            host = stack.enter_context(opened_host(self.conf))
            cells = stack.enter_context(opened_nova(self.conf)) if has_nova(self.conf) else None
            dry = parsed_args.dry_run
            if parsed_args.all:
                self._freeze_all(aliased(catalog, host), cells, dry=dry)
            return self.each(
                parsed_args.instances,
                lambda text: self._freeze(look_up(text, catalog, host), cells, dry=dry),
            )

    def code_of(self, error: Error) -> ExitCode:
        """Return whether there is no such instance, or anything else."""
        return ExitCode.NOT_FOUND if isinstance(error, NotFound) else ExitCode.ERROR

    def _freeze_all(self, instances: Iterable[Instance], cells: Cells | None, *, dry: bool) -> None:
        self.several, instance = True, None
        for instance in instances:
            if instance.domain is None:
                self.say(f"{instance}: not on this host any more, left alone")
                continue
            with self.others_go_on():
                self._freeze(instance, cells, dry=dry)
        if instance is None:
            self.say("no instance is pinned to an alias")

    def _freeze(self, instance: Instance, cells: Cells | None, *, dry: bool) -> None:
        old, followed = instance.machine, _following(instance, self.conf)
        found = in_nova(cells, followed) if cells is not None else None
        run = functools.partial(freeze, followed, found, self.conf.host, actor())
        new, cautions = run(dry_run=True)
        if new != old and not dry:
            with self.noted(found or followed, old, new):
                new, cautions = run()
        self.caution(instance, cautions)
        if new != old:
            self.report(instance, old, new, dry=dry)
        elif MachineType.parse(new).is_versioned:
            self.say(f"{instance}: {old} is a versioned name already")
        else:
            self.say(f"{instance}: {old} has no versions, there is nothing to freeze")


def _following(instance: Instance, conf: cfg.ConfigOpts) -> Instance:
    """Return an instance whose definition stays as it is where the configuration says so."""
    return instance if conf.sync.realign else replace(instance, host=None)
