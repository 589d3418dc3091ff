# SPDX-License-Identifier: Apache-2.0
"""A forecast for the guests of all hosts, as the fleet's record has them, each by the QEMU of its own host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mthook.errors import Error
from mthook.fleet import reading
from mthook.fleet.claims import GONE
from mthook.operations.forecast import offering, outlook
from mthook.operations.forecast.guests import Guest
from mthook.operations.forecast.prospects import Offered, Prospect, Qemu

if TYPE_CHECKING:
    import sqlalchemy as sa
    from oslo_config import cfg

    from mthook.fleet import rows
    from mthook.operations.forecast.outlook import Outlook


@dataclass(frozen=True)
class Foreseen:
    """What would become of one guest.

    :ivar host: where it is; untrusted text.
    :ivar unseen: it has a managed-save image or snapshots, in which only its host can look.
    """

    host: str
    outlook: Outlook
    unseen: bool


def forecast(
    conf: cfg.ConfigOpts,
    connection: sa.engine.Connection,
    qemu: Qemu | None,
    defaults: Mapping[str, str],
    host: str | None = None,
) -> Iterator[Foreseen]:
    """Yield what would become of all guests, by host and name.

    :param qemu: the QEMU to come; None: the one that each host has.
    :param defaults: the default machine types to come, by architecture.
    :param host: only this host.
    :raises NotFound: the record has no such host.
    """
    reading.check_host(connection, host)
    offers = {digest: _read(text) for digest, text in reading.offers(connection)}
    prospects = {
        one.host: _prospect(conf, one, offers.get(one.offer or ""), qemu, defaults)
        for one in reading.hosts(connection)
    }
    for name, guest in reading.guests(connection, reading.Selected(host=host)):
        if guest.state != GONE and name in prospects:
            (found,) = outlook.forecast([_guest(guest)], prospects[name])
            yield Foreseen(name, found, guest.managed_save or guest.snapshots > 0)


def _read(text: str) -> offering.Offering | None:
    """Return an offer, as a host has written it; None: that isn't one."""
    try:
        return offering.from_text(text)
    except Error:
        return None


def _prospect(
    conf: cfg.ConfigOpts,
    host: rows.Host,
    offer: offering.Offering | None,
    qemu: Qemu | None,
    defaults: Mapping[str, str],
) -> Prospect:
    current = Offered(offer or offering.Offering(host.host, host.qemu_version or "", None, ()))
    return Prospect(
        qemu=qemu or current,
        current=current,
        enforcing=host.mode == "enforce",
        nova_defaults=tuple(conf.libvirt.hw_machine_type),
        new_defaults=defaults,
    )


def _guest(guest: rows.Guest) -> Guest:
    return Guest(
        uuid=guest.uuid,
        name=guest.name or guest.display or "",
        state=guest.state,
        arch=guest.arch,
        virt_type=guest.virt_type,
        nova=guest.nova,
        windows=guest.windows,
        running=guest.running,
        defined=guest.defined,
        pin=guest.pin,
        seen=guest.seen,
        in_nova=guest.recorded is not None,
        recorded=guest.recorded,
    )
