# SPDX-License-Identifier: Apache-2.0
"""The guests of this host, with every place that holds one of their machine types."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mthook.conf import has_nova
from mthook.errors import DomainXMLError, MachineTypeError, NotFound
from mthook.machinetype import MachineType
from mthook.operations.opening import opened_nova

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.records import Pin
    from mthook.host.connection import Host
    from mthook.host.domains import Domain


@dataclass(frozen=True)
class Refusal:
    """A part of a definition that libvirt starts no guest with from a version on, though it did before.

    :ivar part: the element, and what of it matters.
    """

    part: str
    since: tuple[int, int]


#: By the family of the machine type. libvirt's NEWS of 9.3.0 has the first. Since 10.7.0 libvirt asks QEMU which types
#: have a PS/2 controller; before that it gave every x86 guest a mouse and a keyboard at one.
_REFUSALS = {
    "q35": ("devices/watchdog[@model='ib700']", Refusal("watchdog ib700", (9, 3))),
    "microvm": ("devices/input[@bus='ps2']", Refusal("input ps2", (10, 7))),
}


@dataclass(frozen=True)
class Guest:
    """A guest, and its machine type in each place; None: not there.

    :ivar name: untrusted text.
    :ivar display: what Nova calls it, as far as its XML says.
    :ivar pin: what it is pinned to.
    :ivar seen: the versioned name that it ran as when it was pinned.
    :ivar saved: in its managed-save image.
    :ivar snapshots: those in each snapshot, by its name.
    :ivar in_nova: whether Nova was asked for it, and has it.
    :ivar recorded: what Nova has recorded.
    :ivar has_spec: whether its request spec was read.
    :ivar spec: what that says.
    :ivar refusal: what of its definition newer libvirts refuse.
    :ivar problem: why its XML can't be read; nothing in it is known then.
    """

    uuid: str
    name: str
    state: str
    arch: str = ""
    virt_type: str = ""
    nova: bool = False
    windows: bool = False
    running: str | None = None
    defined: str | None = None
    pin: str | None = None
    seen: str | None = None
    saved: str | None = None
    snapshots: Mapping[str, Sequence[str]] = field(default_factory=dict)
    in_nova: bool = False
    recorded: str | None = None
    has_spec: bool = False
    spec: str | None = None
    refusal: Refusal | None = None
    problem: str | None = None
    display: str | None = None

    @property
    def active(self) -> bool:
        """Whether it runs."""
        return self.running is not None

    @property
    def machines(self) -> set[str]:
        """Every machine type that it is known to have."""
        places = (self.running, self.defined, self.pin, self.saved, self.recorded, self.spec)
        return {*filter(None, places), *(m for found in self.snapshots.values() for m in found)}


@dataclass(frozen=True)
class Recorded:
    """What Nova's databases say about an instance.

    :ivar spec: of its request spec, where that was read.
    """

    machine: str | None
    has_spec: bool
    spec: str | None


def read(
    domains: Iterable[Domain],
    host: Host,
    pins: Mapping[str, Pin],
    recorded: Mapping[str, Recorded],
) -> Iterator[Guest]:
    """Yield the guests of this host.

    :param domains: as libvirt has them now.
    :param host: libvirt, which is asked for snapshots.
    :param pins: by UUID.
    :param recorded: what Nova says, by UUID; see :func:`ask_nova`.
    """
    for domain in domains:
        pin, told = pins.get(domain.uuid), recorded.get(domain.uuid)
        summary = domain.summary
        yield Guest(
            uuid=domain.uuid,
            name=domain.name,
            state=domain.state,
            arch=summary.arch if summary else pin.arch if pin else "",
            virt_type=summary.virt_type if summary else "",
            nova=bool(told or (summary and summary.nova)),
            windows=bool(summary and summary.windows),
            running=domain.running.machine if domain.running else None,
            defined=domain.defined.machine if domain.defined else None,
            pin=pin.machine if pin else None,
            seen=pin.seen if pin else None,
            saved=domain.saved,
            snapshots=_snapshots(domain, host),
            in_nova=told is not None,
            recorded=told.machine if told else None,
            has_spec=bool(told and told.has_spec),
            spec=told.spec if told else None,
            refusal=_refusal(domain, host),
            problem=domain.problem,
            display=domain.display,
        )


def ask_nova(conf: cfg.ConfigOpts) -> dict[str, Recorded]:
    """Return what Nova's databases say about this host's instances; nothing if none is configured.

    :raises NovaError: one can't be asked.
    """
    if not has_nova(conf):
        return {}
    with opened_nova(conf) as cells:
        instances = cells.of_host(conf.host).of_host(conf.host)
        specs = cells.image_properties([one.uuid for one in instances])
    return {
        one.uuid: Recorded(one.machine, one.uuid in specs, specs.get(one.uuid)) for one in instances
    }


def _refusal(domain: Domain, host: Host) -> Refusal | None:
    machine = domain.defined.machine if domain.defined else None
    try:
        found = _REFUSALS.get(MachineType.parse(machine or "").family)
    except MachineTypeError:
        return None
    if found is None:
        return None
    from mthook.host.domains import definition

    path, refusal = found
    # It may be gone meanwhile, or have just been broken.
    with contextlib.suppress(NotFound, DomainXMLError):
        if definition(host, domain.uuid, secrets=False).tree.find(path) is not None:
            return refusal
    return None


def _snapshots(domain: Domain, host: Host) -> dict[str, list[str]]:
    if not domain.snapshots:
        return {}
    from mthook.host.domains import snapshot_machines

    with contextlib.suppress(NotFound):  # it is gone meanwhile
        return {name: sorted(found) for name, found in snapshot_machines(host, domain.uuid).items()}
    return {}
