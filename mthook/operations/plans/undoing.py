# SPDX-License-Identifier: Apache-2.0
"""Take a change back: each guest becomes what it was, where nobody has changed it since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mthook.catalog.records import Compared, Pin
from mthook.errors import (
    CatalogConflict,
    Error,
    HostError,
    NotFound,
    NovaConflict,
    RequestSpecError,
)
from mthook.locks import uninterrupted
from mthook.nova.imprint import Imprint, Property, Spec, moment_of, restored_spec
from mthook.nova.instance import MACHINE_KEY, Disk, DiskChange
from mthook.operations import change
from mthook.operations.caution import Caution, Kind
from mthook.operations.lookup import CloudInstance, Instance
from mthook.operations.plans import acts, outcomes, subjects
from mthook.operations.plans.journal import Journal, State
from mthook.operations.plans.outcomes import Outcome
from mthook.operations.plans.subjects import Found, Site, Subject
from mthook.text import printable

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.host.connection import Host
    from mthook.host.putback import PutBack


@dataclass(frozen=True)
class Undoing:
    """A change that is being taken back.

    :ivar change: its ID.
    :ivar path: of its journal.
    :ivar dry_run: look, and change nothing.
    """

    conf: cfg.ConfigOpts
    change: str
    path: str
    state: State
    actor: str
    dry_run: bool = False

    def run(self, only: str | None = None) -> Iterator[Outcome]:
        """Put one guest back after the other; yield what becomes of each.

        :param only: the UUID of the one guest that is to be put back.
        :raises NotFound: the change doesn't include that one.
        :raises Error: the next guest would fail in the same way. Another run goes on where this one ended.
        """
        uuids = [uuid for uuid in self.state.left if only in (None, uuid)]
        if only is not None and not uuids:
            raise NotFound(f"change {self.change} has nothing of {only} to take back")
        head = self.state.head
        everywhere = bool(head["all_hosts"])
        with subjects.opened(self.conf, all_hosts=everywhere) as site:
            outcomes.check_origin(site, head["host"], head["cloud"], all_hosts=everywhere)
            with Journal(self.path) as notes:
                for batch in subjects.batched(uuids):
                    found = site.subjects(batch)
                    for uuid in batch:
                        yield from self._one(site, notes, uuid, found[uuid])

    def _one(self, site: Site, notes: Journal, uuid: str, found: Found) -> Iterator[Outcome]:
        was = self.state.was(uuid)

        def outcome(kind: outcomes.Kind, detail: str = "", cautions: Any = ()) -> Outcome:
            return Outcome(kind, uuid, was["name"], was["new"], was["old"], detail, cautions)

        if isinstance(found, Error):
            yield outcome("gone" if isinstance(found, NotFound) else "failed", str(found))
            return
        if site.where(found) != was["host"]:
            yield outcome("elsewhere", site.where(found) or "")
            return
        try:
            cautions = self._put_back(found, was, site.problem)
        except (NovaConflict, CatalogConflict, _Changed) as error:
            yield outcome("changed_since", str(error))
        except Error as error:
            if outcomes.is_fatal(error):
                raise
            yield outcome("failed", str(error))
        else:
            if not self.dry_run:
                notes.note(undone=uuid)
            # What was begun and never done is as it was.
            if cautions is not None:
                yield outcome("foreseen" if self.dry_run else "put_back", "", cautions)

    def _put_back(
        self, found: Subject, was: Mapping[str, Any], problem: str
    ) -> Sequence[Caution] | None:
        """Put one guest back, Nova first; return ``None`` where it is as it was already.

        What fails half-way is done by the next run: what is as it was stays.

        :param problem: why libvirt can't be asked, if it can't.
        """
        local, cloud, reason = found.local, found.cloud, f"change {self.change} taken back"
        became = self.state.became(found.uuid)
        here = None
        if local is not None and was["here"]:
            here = _Here.of(local, was, became, problem)
        nova = _InNova.of(cloud, was, found) if cloud is not None and was["nova"] else None
        if not (here or (nova and (became or nova.differs))):
            return None
        if self.dry_run:
            return _cautions(found, was)
        with uninterrupted():
            if nova is not None:
                nova.put_back()
            if here is not None:
                here.put_back(self.actor, reason)
            if cloud is not None and local is not None:
                now = cloud.cell.get(found.uuid)
                compared = Compared(found.uuid, now.machine, now.row, now.rebuild)
                local.catalog.set_compared(compared)
        return _cautions(found, was)


class _Changed(Error):
    """A guest has been changed since."""


@dataclass(frozen=True)
class _InNova:
    """What is to be put back in Nova's databases.

    :ivar spec: the request spec as it is, as it was, and what is known of that.
    """

    cloud: CloudInstance
    before: Imprint
    made: Mapping[str, str | None]
    disks: Sequence[DiskChange]
    times: bool
    spec: tuple[str, str, Spec] | None
    differs: bool

    @classmethod
    def of(cls, cloud: CloudInstance, was: Mapping[str, Any], found: Subject) -> _InNova:
        about = was["nova"]
        before, machine = _imprint(about["was"]), about["made"][MACHINE_KEY]
        disks = [DiskChange(Disk(**old), Disk(**new)) for old, new in about["disks"]]
        spec = None
        if about["spec"] and found.spec:
            was_spec, text = Spec(**about["spec"]), found.spec[0]
            try:
                back = restored_spec(text, was_spec, machine)
            except RequestSpecError as error:
                raise _Changed(f"its request spec isn't understood: it {error}") from error
            spec = (text, back, was_spec) if back is not None else None
        differs = cloud.nova.machine != was["old"] or spec is not None
        return cls(cloud, before, about["made"], disks, bool(about["times"]), spec, differs)

    def put_back(self) -> None:
        """Make the rows of the cell what they were, then the request spec."""
        uuid = self.cloud.nova.uuid
        self.cloud.cell.put_back(uuid, self.before, self.made, self.disks, times=self.times)
        if self.spec is not None:
            text, back, was = self.spec
            self.cloud.cells.replace_spec(uuid, text, back, moment_of(was))


@dataclass(frozen=True)
class _Here:
    """What is to be put back on this host: pin and definition.

    :ivar pin: the row that was there; None: there was none.
    :ivar since: when the row that is there was changed.
    :ivar stays: the row is as it was.
    """

    local: Instance
    pin: Pin | None
    since: str | None
    stays: bool
    definition: PutBack | None

    @classmethod
    def of(
        cls, local: Instance, was: Mapping[str, Any], became: Mapping[str, Any], problem: str
    ) -> _Here | None:
        before = was["here"]
        pin = Pin(**before["pin"]) if before["pin"] else None
        since = local.pin.updated_at if local.pin else None
        is_now = vars(local.pin) if local.pin else None
        stays = _is_same(is_now, before["pin"])
        is_ours = _is_same(is_now, became["pin"]) if became else local.machine == was["new"]
        if not stays and not is_ours:
            raise _Changed(f"its pin was changed since, to {local.machine or 'none'}")
        definition = None
        if before["defined"]:
            definition = _definition(local, before["defined"], became.get("defined"), problem)
        if stays and definition is None:
            return None
        return cls(local, pin, since, stays, definition)

    def put_back(self, actor: str, reason: str) -> None:
        """Put the pin back, then the definition; or neither."""
        local, pin = self.local, self.pin
        if not self.stays:
            about = {"actor": actor, "reason": reason}
            pin = local.catalog.put_back(local.uuid, pin, since=self.since, **about)
        if self.definition is not None and local.host is not None:
            self._define(local.host, self.definition, pin, actor, reason)
        change.carry(local, pin)

    def _define(
        self, host: Host, definition: PutBack, pin: Pin | None, actor: str, reason: str
    ) -> None:
        from mthook.host import putback

        local = self.local
        try:
            putback.carry_out(host, definition, pin)
        except Error as error:
            if not self.stays:
                since = pin.updated_at if pin else None
                again = f"as before: {error}"
                local.catalog.put_back(
                    local.uuid, local.pin, since=since, actor=actor, reason=again
                )
            raise
        old, new = definition.old, definition.new
        local.catalog.add_history(
            local.uuid, "realigned", actor=actor, old=old, new=new, reason=reason
        )
        local.catalog.touch_defined(local.uuid, new)


def _is_same(pin: Mapping[str, Any] | None, known: Mapping[str, Any] | None) -> bool:
    """Tell whether a pin is one that is known, or was put back since, which gives it another time.

    Nor do the images count: they are added when the guest is seen with one.
    """
    if pin is None or known is None:
        return pin is known
    return all(pin[key] == known[key] for key in pin if key not in ("updated_at", "root_image"))


def _definition(
    local: Instance, old: Mapping[str, Any], made: Mapping[str, Any] | None, problem: str
) -> PutBack | None:
    """Work out how a definition becomes what it was; ``None``: it is so already.

    :param problem: why libvirt can't be asked, if it can't.
    """
    if local.host is None:
        why = problem or "[sync] realign = false: its definition stays as it is"
        raise HostError(f"{local}: {why}")
    from mthook.host import putback

    # Where the process was killed, it didn't note what the change made of it.
    known = putback.Likeness(**made) if made else putback.likeness(local.host, local.uuid)
    if known is None:
        raise _Changed("its definition is gone")
    try:
        return putback.prepare(
            local.host, local.uuid, putback.Likeness(**old), known, local.catalog
        )
    except putback.Unlike as error:
        raise _Changed(str(error)) from error


def _imprint(about: Mapping[str, Any]) -> Imprint:
    properties = {key: Property(**one) for key, one in about["properties"].items()}
    beside = about["neighbour"]
    return Imprint(properties, tuple(beside) if beside else None, about["disks"])


def _cautions(found: Subject, was: Mapping[str, Any]) -> list[Caution]:
    """Return what an operator should know: running guests don't change, and another host may disagree."""
    nova, old = found.cloud.nova if found.cloud else None, was["old"]
    cautions = []
    if nova is not None and old is None and found.local is None and nova.host is not None:
        cautions.append(Caution(Kind.OTHER_HOST, (printable(nova.host),)))
    if nova is not None and old is not None and not nova.stopped:
        cautions.append(Caution(Kind.COLD_START, (old,)))
    if found.cloud is not None and nova is not None and old is not None and nova.shelved_image:
        now = replace(found.cloud, nova=found.cloud.cell.get(found.uuid))
        cautions += acts.about_image(now, old)
    return cautions
