# SPDX-License-Identifier: Apache-2.0
"""Instances on other hosts, as the fleet's record has them, and changes that are asked of those hosts."""

from __future__ import annotations

import contextlib
import uuid as uuids
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mthook.conf import has_nova
from mthook.errors import CatalogError, Error, NotFound
from mthook.machinetype import MachineType
from mthook.operations.lookup import look_up, uuid_of
from mthook.operations.opening import opened_catalog_if_any, opened_fleet
from mthook.text import label, may_begin_uuid, now, printable

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.fleet.connection import Record
    from mthook.fleet.reading import Found
    from mthook.fleet.rows import Wish, WishKind

#: How many instances a message lists.
_MAX_NAMED = 5


@dataclass(frozen=True)
class FleetInstance:
    """An instance of the fleet's record.

    :ivar found: the same instance on each host that has it; one where it runs comes first.
    """

    record: Record = field(repr=False)
    found: Sequence[Found]

    def __str__(self) -> str:
        guest = self.found[0].guest
        return label(guest.uuid, guest.name, guest.display)

    @property
    def hosts(self) -> str:
        """The hosts that have it, as messages name them."""
        return ", ".join(printable(one.host) for one in self.found)

    @property
    def machine(self) -> str | None:
        """Its pin, ``None`` without one."""
        return self.found[0].guest.pin

    @property
    def wishes(self) -> list[tuple[str, Wish]]:
        """What was asked for last, by host, where something was."""
        return [(one.host, one.wish) for one in self.found if one.wish is not None]

    @property
    def pending(self) -> bool:
        """Whether a host hasn't seen to it yet."""
        return any(wish.outcome is None for _, wish in self.wishes)


@contextlib.contextmanager
def found_in_fleet(conf: cfg.ConfigOpts, text: str) -> Iterator[FleetInstance | None]:
    """Look up an instance of another host in the fleet's record.

    :param text: its UUID, libvirt's name, Nova's name or the beginning of the UUID; in that order.
    :return: ``None`` without a record or with Nova's database, for a guest of this host, and for one that no host has
        where this host may know more.
    :raises NotFound: no host has it, and there is no catalog here.
    """
    if conf.fleet.connection is None or has_nova(conf):
        yield None
        return
    with contextlib.ExitStack() as stack:
        catalog = stack.enter_context(opened_catalog_if_any(conf))
        if not isinstance(catalog, CatalogError):
            with contextlib.suppress(NotFound):
                guest = look_up(text, catalog).guest
                if guest is not None and guest.gone_since is None:
                    yield None
                    return
        record = stack.enter_context(opened_fleet(conf))
        found = find(record, text)
        if not found and isinstance(catalog, CatalogError):
            raise NotFound(f"no instance has the UUID or name '{printable(text)}'")
        yield FleetInstance(record, found) if found else None


def find(record: Record, text: str) -> list[Found]:
    """Return an instance on each host that has it, where it runs first; nothing if none has.

    :raises Error: several instances match.
    """
    from mthook.fleet import reading
    from mthook.fleet.claims import GONE

    uuid = uuid_of(text)
    begins = uuid is None and may_begin_uuid(text)
    with record.reading() as connection:
        found = reading.find(connection, text, uuid or text.lower(), begins)
    present = [one for one in found if one.guest.state != GONE]
    exact = [one for one in present if one.guest.uuid == uuid]
    named = [one for one in present if one.guest.name == text]
    meant = exact or named or present
    which = {one.guest.uuid: one for one in meant}
    if len(which) > 1:
        some = [f"{one} on {printable(which[one].host)}" for one in sorted(which)[:_MAX_NAMED]]
        more = f" and {len(which) - len(some)} more" if len(which) > len(some) else ""
        raise Error(f"several guests match '{printable(text)}', say which: {', '.join(some)}{more}")
    return sorted(meant, key=lambda one: (one.guest.running is None, one.host))


def ask(
    instance: FleetInstance,
    kind: WishKind,
    *,
    actor: str,
    reason: str | None,
    machine: str | None = None,
    allowed: frozenset[str] = frozenset(),
) -> None:
    """Ask the hosts of an instance for a change; once this returns, the record has it.

    :param actor: who asks, told apart from operators on those hosts.
    :param machine: with ``set``: the machine type.
    :raises MachineTypeError: that can't be one.
    """
    from mthook.fleet import wishes
    from mthook.fleet.rows import Wish

    if machine is not None:
        MachineType.parse(machine)
    asked = {
        one.host_id: Wish(
            uuid=one.guest.uuid,
            token=str(uuids.uuid4()),
            kind=kind,
            pin=machine,
            allowed=",".join(sorted(allowed)) or None,
            actor=actor,
            reason=reason,
            made_at=now(),
            expected_at=one.guest.pinned_at,
        )
        for one in instance.found
    }
    wishes.make(instance.record, asked)
