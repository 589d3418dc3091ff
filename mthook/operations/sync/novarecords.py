# SPDX-License-Identifier: Apache-2.0
"""What Nova's database has recorded for the instances of this host, and how that compares with their pins."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mthook import reconcile
from mthook.catalog.records import Compared, Pin
from mthook.errors import NovaConflict, NovaError
from mthook.host.domains import Domain
from mthook.nova import cells
from mthook.nova.cell import Cell
from mthook.nova.instance import NovaInstance
from mthook.operations.acts import Failure
from mthook.operations.defaults import default_machine
from mthook.text import printable

if TYPE_CHECKING:
    from mthook.operations.sync.run import SyncRun


class NovaRecords:
    """This host's instances as Nova has them.

    :param stack: closes the connections.
    :ivar instances: by UUID, without deleted ones and those that Nova still builds; one that has a domain here is
        called as libvirt calls it.
    :ivar compared: what Nova had when a pin was last compared with it, by UUID.
    :ivar works: whether the database could be read so far.
    """

    def __init__(self, run: SyncRun, stack: contextlib.ExitStack) -> None:
        self._run = run
        self.works = True
        self.instances: dict[str, NovaInstance] = {}
        self.compared = run.catalog.compared()
        self._pins = {pin.uuid: pin.updated_at for pin in run.catalog.pins()}
        with self.guarded():
            self.cells = stack.enter_context(cells.opened(run.conf))
            self.cell: Cell = self.cells.of_host(run.conf.host)
            found = {one.uuid: one for one in self.cell.of_host(run.conf.host)}
            self._check_host(found, run.domains)
            run.catalog.see_instances(
                {uuid: (one.name, one.vm_state) for uuid, one in found.items()}
            )
            for uuid, one in found.items():
                domain = run.domains.get(uuid)
                run.result.displays[uuid] = one.name
                named = dataclasses.replace(one, name=domain.name) if domain else one
                self.instances[uuid] = named

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Note that the database fails; it isn't asked again in this run."""
        try:
            yield
        except NovaConflict:
            raise
        except NovaError as error:
            self.works = False
            self._run.result.add(Failure(error))

    def is_free(self, uuid: str) -> bool:
        """Tell whether an instance is this host's, Nova isn't at work on it, and its domain isn't a rescue image's."""
        instance = self.instances.get(uuid)
        return instance is not None and instance.free

    def is_changed(self, pin: Pin) -> bool:
        """Tell whether a pin was changed after Nova's database was looked at."""
        return self._pins.get(pin.uuid) != pin.updated_at

    def known(self, uuid: str) -> reconcile.Compared | None:
        """Return what the database had when an instance's pin was last compared with it; None: it never was."""
        known = self.compared.get(uuid)
        return (known.machine, known.row, known.rebuild) if known else None

    def compare(self, instance: NovaInstance, pin: Pin | None) -> tuple[str, bool]:
        """Return what is to be done about an instance, and whether it was rebuilt; see :mod:`mthook.reconcile`."""
        compared = self.known(instance.uuid)
        by_operator = pin is not None and pin.source == "operator"
        rebuilt = pin is not None and reconcile.is_rebuilt(
            instance.rebuild,
            instance.rebuild_at,
            compared,
            pin.updated_at,
            by_operator=by_operator,
        )
        outcome = reconcile.reconcile(
            pin.machine if pin else None,
            instance.machine,
            instance.row,
            by_operator=by_operator,
            compared=compared,
            rebuilt=rebuilt,
            default=default_machine(instance, self._run.conf),
            author=instance.author,
        )
        return outcome, rebuilt

    def keep_compared(self, instance: NovaInstance, machine: str | None, row: int | None) -> None:
        """Keep what Nova has by now, for the next comparison.

        :raises CatalogConflict: the hook or an operator has kept something since, which is newer.
        """
        compared, catalog = (
            Compared(instance.uuid, machine, row, instance.rebuild),
            self._run.catalog,
        )
        catalog.set_compared(compared, expect=self.known(instance.uuid))
        self.compared[instance.uuid] = compared

    def _check_host(self, found: Mapping[str, NovaInstance], domains: Mapping[str, Domain]) -> None:
        """Make sure that [DEFAULT] host is the name that nova-compute has, and not another host's.

        Else Nova has this host's guests on another one, or has guests on this one that aren't there. A move that failed
        half-way leaves its guest behind, and so does an evacuation until nova-compute runs here again.
        """
        host = self._run.conf.host
        problem = ""
        # The database ignores case, where nothing else does.
        hosts = {one.host for one in found.values() if one.host}
        if found.keys().isdisjoint(domains):
            here = [uuid for uuid, one in domains.items() if one.summary and one.summary.nova]
            places, moved = self.cell.whereabouts(here), self.cell.moved_from(host, here)
            hosts |= {
                one.host
                for uuid, one in places.items()
                if one.host and one.settled and uuid not in moved
            }
            unknown = found.keys().isdisjoint(self.compared)
            if unknown and any(one.must_run for one in found.values()):
                problem = f"none of the instances that Nova has on {printable(host)} is here"
        if hosts - {host}:
            names = ", ".join(sorted(printable(one) for one in hosts))
            problem = f"Nova has this host's guests on {names}"
        if problem:
            raise NovaError(
                f"{problem}: is [DEFAULT] host = {printable(host)} what nova-compute has?"
            )
