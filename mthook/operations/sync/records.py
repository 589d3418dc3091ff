# SPDX-License-Identifier: Apache-2.0
"""Bring the catalog's pins and Nova's records together, for the instances of this host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from mthook import policy, reconcile
from mthook.catalog.records import Compared, Pin
from mthook.errors import Error, MachineTypeError, NotFound, NovaConflict, NovaError
from mthook.host.domains import Domain, get_domain
from mthook.locks import uninterrupted
from mthook.machinetype import MachineType
from mthook.nova import cells
from mthook.nova.cell import Cell
from mthook.nova.instance import NovaInstance
from mthook.operations.sync.run import ACTOR, Round
from mthook.operations.sync.seed import Evidence, observe, record
from mthook.text import printable

#: Where a pin taken from Nova's database says it came from.
SOURCE = "Nova"


class Side:
    """Nova's side of one run.

    :ivar instances: this host's instances by UUID, without deleted ones and those that Nova still builds.
    :ivar works: whether the database could be read so far.
    """

    def __init__(self, round_: Round, stack: contextlib.ExitStack) -> None:
        """Read it; connections are closed with ``stack``."""
        self._round = round_
        self.works = True
        self.instances: dict[str, NovaInstance] = {}
        self.compared = round_.catalog.compared()
        self._pins = {pin.uuid: pin.updated_at for pin in round_.catalog.pins()}
        with self.asking():
            self.cells = stack.enter_context(cells.opened(round_.conf))
            self.cell: Cell = self.cells.of_host(round_.conf.host)
            self.instances = {one.uuid: one for one in self.cell.of_host(round_.conf.host)}
            self._check_host()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Report a database that fails; nothing more is asked of it in this run."""
        try:
            yield
        except NovaConflict:
            raise
        except NovaError as error:
            self.works = False
            self._round.report.error(str(error))

    def who(self, instance: NovaInstance) -> str:
        """Return what messages call an instance."""
        domain = self._round.domains.get(instance.uuid)
        return str(domain) if domain else f"{printable(instance.name)} ({instance.uuid})"

    def is_free(self, uuid: str) -> bool:
        """Tell whether an instance is this host's, Nova isn't at work on it, and its domain isn't a rescue image's."""
        instance = self.instances.get(uuid)
        return instance is not None and instance.free

    def is_changed(self, pin: Pin) -> bool:
        """Tell whether a pin was changed after Nova's database was looked at."""
        return self._pins.get(pin.uuid) != pin.updated_at

    def compare(self, instance: NovaInstance, pin: Pin | None) -> tuple[str, bool]:
        """Return what is to be done about an instance, and whether it was rebuilt; see :mod:`.reconcile`."""
        known = self.compared.get(instance.uuid)
        before = (known.machine, known.row, known.rebuild) if known else None
        by_operator = pin is not None and pin.source == "operator"
        rebuilt = pin is not None and reconcile.is_rebuilt(
            instance.rebuild,
            instance.rebuild_at,
            before,
            pin.updated_at,
            by_operator=by_operator,
        )
        outcome = reconcile.reconcile(
            pin.machine if pin else None,
            instance.machine,
            instance.row,
            by_operator=by_operator,
            compared=before,
            rebuilt=rebuilt,
            default=self.default(instance),
            by_rescue=instance.by_rescue,
        )
        return outcome, rebuilt

    def agree(self, instance: NovaInstance, machine: str | None, row: int | None) -> None:
        """Keep what Nova has by now, for the next comparison."""
        said = Compared(instance.uuid, machine, row, instance.rebuild)
        self.compared[instance.uuid] = said
        self._round.catalog.set_compared(said)

    def default(self, instance: NovaInstance) -> str | None:
        """Return the machine type that Nova would record from its configuration."""
        configured = self._round.conf.libvirt.hw_machine_type
        return reconcile.default_machine(arch_of(instance), configured)

    def _check_host(self) -> None:
        """Make sure that [DEFAULT] host is the name that nova-compute has, and not another host's.

        :raises NovaError: Nova has this host's guests on another one, or has guests on this one that aren't there.
        """
        host, domains = self._round.conf.host, self._round.domains
        problem = ""
        # The database takes upper for lower case, where nothing else does.
        hosts = {one.host for one in self.instances.values() if one.host}
        if self.instances.keys().isdisjoint(domains):
            found = [domain.uuid for domain in domains.values() if is_novas(domain)]
            places = self.cell.whereabouts(found).values()
            hosts |= {one.host for one in places if one.host and one.settled}
            unknown = self.instances.keys().isdisjoint(self.compared)
            if unknown and any(one.must_run for one in self.instances.values()):
                problem = f"none of the instances that Nova has on {printable(host)} is here"
        if hosts - {host}:
            names = ", ".join(sorted(printable(one) for one in hosts))
            problem = f"Nova has this host's guests on {names}"
        if problem:
            self.instances = {}
            raise NovaError(
                f"{problem}: is [DEFAULT] host = {printable(host)} what nova-compute has?"
            )


def is_novas(domain: Domain) -> bool:
    """Tell whether a domain is one of Nova's, as far as its XML can be read."""
    seen = domain.running or domain.defined
    return seen is not None and seen.nova


def arch_of(instance: NovaInstance) -> str:
    """Return an instance's architecture: its image's, else this host's."""
    return instance.arch or os.uname().machine


def pull(round_: Round, side: Side) -> None:
    """Take over what Nova has recorded, and release pins from before a rebuild."""
    for instance in side.instances.values():
        with round_.guest(side.who(instance)):
            if instance.rebuilding:
                round_.report.left_alone(f"{side.who(instance)}: Nova is rebuilding it")
                continue
            _pull(round_, side, instance)


def _pull(round_: Round, side: Side, instance: NovaInstance) -> None:
    pin = round_.catalog.get_pin(instance.uuid)
    if pin is not None and side.is_changed(pin):
        return  # the hook's or an operator's work meanwhile; what Nova has by now the next run sees
    outcome, rebuilt = side.compare(instance, pin)
    reason = "rebuilt in Nova" if rebuilt else None
    if instance.machine is not None and outcome in (reconcile.PULL, reconcile.OVERRULE):
        _check(side.who(instance), instance.machine)
        if outcome == reconcile.OVERRULE:
            reason = "changed in Nova as well as here"
        _take_over(round_, side, instance, instance.machine, pin, reason)
    elif outcome == reconcile.ASK_GUEST and rebuilt and pin is not None:
        _record_anew(round_, side, instance, pin)
    elif outcome == reconcile.PUSH:
        return
    side.agree(instance, instance.machine, instance.row)


def _check(who: str, machine: str) -> None:
    try:
        MachineType.parse(machine)
    except MachineTypeError as error:
        raise Error(
            f"{who}: Nova has a machine type that is none: {error}: give it another"
        ) from error


def _take_over(
    round_: Round,
    side: Side,
    instance: NovaInstance,
    machine: str,
    pin: Pin | None,
    reason: str | None,
) -> None:
    """Make what Nova has recorded the pin."""
    domain = round_.domains.get(instance.uuid)
    seen = _seen(round_, domain, machine, pin)
    old = pin.machine if pin else None
    if pin is None:
        record(round_, instance.uuid, machine, SOURCE, seen, _xml(domain), arch_of(instance))
    else:
        round_.catalog.set_pin(
            instance.uuid,
            machine,
            source=SOURCE,
            actor=ACTOR,
            reason=reason,
            seen=seen,
            expect=old,
        )
    before = f" in place of {old}" if old else ""
    why = f", {reason}" if reason else ""
    round_.report.done(
        "pinned", f"pin {side.who(instance)} to {machine}{before}, as Nova has it{why}"
    )


def _xml(domain: Domain | None) -> Evidence | None:
    return observe(domain) if domain is not None else None


def _seen(round_: Round, domain: Domain | None, machine: str, pin: Pin | None) -> str | None:
    """Return the versioned name that an instance is known to run, or to have run, as a pin's."""
    if domain is not None and domain.running is not None and domain.running.machine:
        return domain.running.machine
    known = [name for name in (pin.seen, pin.machine) if name] if pin else []
    offered = round_.offer(domain.defined).aliases if domain and domain.defined else {}
    for name in known:
        if MachineType.parse(name).is_versioned and policy.satisfied(
            machine, name, aliases=offered
        ):
            return name
    return None


def _record_anew(round_: Round, side: Side, instance: NovaInstance, pin: Pin) -> None:
    """Pin a rebuilt instance, of which Nova says nothing, to what its guest is now."""
    domain = round_.domains.get(instance.uuid)
    evidence = _xml(domain)
    if evidence is None:
        if round_.catalog.unset_pin(instance.uuid, actor=ACTOR, reason="rebuilt in Nova"):
            round_.report.done("released", f"release {side.who(instance)}: rebuilt in Nova")
        return
    machine, seen, source = evidence
    wanted = policy.pin_for(machine, round_.conf.pin.style, round_.offer(seen).aliases)
    if wanted != pin.machine:
        round_.catalog.set_pin(
            instance.uuid,
            wanted,
            source=source,
            actor=ACTOR,
            reason="rebuilt in Nova",
            seen=machine,
            expect=pin.machine,
        )
        round_.report.done("pinned", f"pin {side.who(instance)} to {wanted}, rebuilt in Nova")


def seed_without_domain(round_: Round, side: Side) -> None:
    """Pin the instances that have no domain here, such as shelved ones, to what Nova would give them.

    After the guest, which there is none of, the order of the blueprint "libvirt-default-machine-type": image property,
    configuration, built-in default.
    """
    for instance in side.instances.values():
        with round_.guest(side.who(instance)):
            absent = instance.uuid not in round_.domains and side.is_free(instance.uuid)
            if (
                absent
                and instance.machine is None
                and round_.catalog.get_pin(instance.uuid) is None
            ):
                _seed(round_, side, instance)


def _has_come(round_: Round, uuid: str) -> bool:
    """Tell whether a domain has come since the host was looked at."""
    try:
        get_domain(round_.host, uuid)
    except NotFound:
        return False
    return True


def _seed(round_: Round, side: Side, instance: NovaInstance) -> None:
    if instance.must_run or _has_come(round_, instance.uuid):
        round_.report.left_alone(f"{side.who(instance)}: it runs, but wasn't found here")
        return
    machine: str | None = None
    with side.asking():
        machine, source = side.cells.image_property(instance.uuid), "image property"
    if not side.works:
        return
    if machine is None:
        machine = side.default(instance)
        built_in = reconcile.default_machine(arch_of(instance), ())
        source = "built-in default" if machine == built_in else "configuration"
    if machine is None:
        round_.report.left_alone(
            f"{side.who(instance)}: no domain here, and no default machine type for {arch_of(instance)}"
        )
        return
    _check(side.who(instance), machine)
    record(round_, instance.uuid, machine, source, None, None, arch_of(instance))
    round_.report.done("pinned", f"pin {side.who(instance)} to {machine}, from the {source}")


def push(round_: Round, side: Side, only: Collection[str] | None = None) -> None:
    """Write to Nova's database the pins that it lacks, and those that operators changed here.

    :param only: the instances to do this for; None: all of this host's.
    """
    for instance in side.instances.values():
        if not side.works:
            return
        wanted = only is None or instance.uuid in only
        if wanted and not instance.rebuilding:
            with round_.guest(side.who(instance)), side.asking():
                _push(round_, side, instance)


def _push(round_: Round, side: Side, instance: NovaInstance) -> None:
    pin = round_.catalog.get_pin(instance.uuid)
    if pin is None or pin.machine is None:
        return
    outcome, _ = side.compare(instance, pin)
    if outcome != reconcile.PUSH and not (outcome == reconcile.KEEP and instance.rows > 1):
        return
    if not round_.report.dry_run:
        try:
            with uninterrupted():
                row = side.cell.record(
                    instance.uuid, pin.machine, expect=instance.machine, host=round_.conf.host
                )
                side.agree(instance, pin.machine, row)
        except (NovaConflict, NotFound) as error:
            # Somebody was faster: the next run sees what they made of it.
            round_.report.left_alone(f"{side.who(instance)}: {error}")
            return
    before = f" in place of {printable(instance.machine)}" if instance.machine else ""
    if instance.machine == pin.machine:
        before = f", once in place of {instance.rows} times"
    round_.report.done("written", f"write {pin.machine} of {side.who(instance)} to Nova{before}")


def prune(round_: Round, side: Side) -> None:
    """Forget the instances that live elsewhere or are deleted, where Nova says so."""
    guests = {guest.uuid: guest for guest in round_.catalog.guests()}
    gone = []
    for pin in round_.catalog.pins():
        guest = guests.get(pin.uuid)
        novas = guest.nova if guest else pin.uuid in side.compared
        if novas and pin.uuid not in round_.domains and pin.uuid not in side.instances:
            gone.append(pin.uuid)
    with side.asking():
        for uuid, place in side.cell.whereabouts(gone).items():
            elsewhere = place.settled and place.host not in (None, round_.conf.host)
            if place.deleted or elsewhere:
                reason = (
                    "deleted in Nova" if place.deleted else f"on {printable(place.host)} by now"
                )
                guest = guests.get(uuid)
                since = guest.gone_since if guest else None
                if round_.catalog.forget(uuid, actor=ACTOR, reason=reason, gone_since=since):
                    name = printable(guest.name) if guest else uuid
                    round_.report.done("forgotten", f"forget the pin of {name} ({uuid}): {reason}")
