# SPDX-License-Identifier: Apache-2.0
"""``freeze``: in place of an alias, the versioned name that the guest really runs."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from mthook import policy
from mthook.conf import has_nova
from mthook.errors import CatalogError, Error, NotFound, NovaConflict, NovaError
from mthook.machinetype import MachineType
from mthook.operations import change, novachange
from mthook.operations.lookup import Instance, look_up
from mthook.text import printable
from mthook.tools.admin import nova
from mthook.tools.admin.command import INSTANCE, Told, actor, utf8
from mthook.tools.admin.exitcode import ExitCode

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.nova.cells import Cells


class Freeze(Told):
    """Pin instances that are pinned to an alias to the versioned name they run.

    An alias such as pc is another machine type after an upgrade of QEMU. The name is that of the
    running guest; of one that is shut off, the name it ran with when it was pinned, else that of
    its definition. A line for each instance goes to standard error.

    Where Nova's database is configured, the alias is replaced there first.
    """

    codes: ClassVar = {
        ExitCode.OK: "every instance asked for has a versioned pin",
        ExitCode.ERROR: "some could not be frozen, or any other error; the others are frozen",
        ExitCode.NOT_FOUND: "no such instance as some of them; the others are frozen",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add instances, or all of them."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("instances", metavar=INSTANCE, type=utf8, nargs="*", default=[])
        which.add_argument(
            "--all", action="store_true", help="every instance that is pinned to an alias"
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Freeze them one by one; one that can't be frozen doesn't keep the others from it."""
        code = ExitCode.OK
        with contextlib.ExitStack() as stack:
            catalog = stack.enter_context(self.catalog())
            host = stack.enter_context(self.host())
            cells = stack.enter_context(self.nova()) if has_nova(self.conf) else None
            for text in _aliased(catalog) if parsed_args.all else parsed_args.instances:
                try:
                    self._freeze(catalog, host, cells, look_up(text, catalog, host))
                except NovaConflict as error:
                    self.complain(str(error))
                    code = max(code, ExitCode.ERROR)
                except (CatalogError, NovaError):
                    raise  # the next one would fail likewise
                except Error as error:
                    self.complain(str(error))
                    found = not isinstance(error, NotFound)
                    code = max(code, ExitCode.ERROR if found else ExitCode.NOT_FOUND)
        return code

    def _freeze(
        self, catalog: Catalog, host: Host, cells: Cells | None, instance: Instance
    ) -> None:
        if instance.machine is None:
            raise Error(f"{instance}: no pin")
        follow = host if self.conf.sync.realign else None
        here = nova.Here(catalog, instance, follow, "")
        recorded = nova.of_guest(cells, here) if cells else None
        if recorded is not None:
            _check_agreement(recorded, instance.machine, self.conf.host)
        if MachineType.parse(instance.machine).is_versioned:
            self.say(f"{instance}: {instance.machine} is a versioned name already")
            return
        machine = _runs(catalog, instance)
        wish = change.Wish(machine, force=False, actor=actor(), reason="frozen", seen=machine)
        if recorded is not None:
            able, planned, unable = novachange.foresee(here, wish)
            for warning in unable:
                self.warn(warning)
            novachange.record(recorded, wish, [], able, planned, self.warn)
        else:
            planned, _ = change.foresee(catalog, follow, instance, wish)
            change.apply(catalog, follow, instance, wish, planned)
        self.say(f"{instance}: {instance.machine} → {machine}")


def _check_agreement(recorded: nova.Recorded, machine: str, host: str) -> None:
    """Make sure that Nova has an instance on this host, and its pin recorded.

    :raises Error: it doesn't.
    """
    found = recorded.nova
    if found.host != host:
        where = f"on {printable(found.host)}" if found.host else "on no host"
        raise Error(f"{recorded}: Nova has it {where}, not here ([DEFAULT] host = {host})")
    if found.machine != machine:
        raise Error(
            f"{recorded}: pinned to {machine}, but Nova has {printable(found.machine or 'none')}:"
            " run mthook-sync first"
        )


def _aliased(catalog: Catalog) -> list[str]:
    """Return the instances that are pinned to an alias."""
    return [
        pin.uuid
        for pin in catalog.pins()
        if pin.machine and MachineType.parse(pin.machine).is_alias
    ]


def _runs(catalog: Catalog, instance: Instance) -> str:
    """Return the versioned name that an instance is to keep.

    :raises Error: nothing tells it, or what tells it isn't what the pin asks for.
    """
    assert instance.pin is not None and instance.pin.machine is not None
    machine = next(_evidence(instance), None)
    if machine is None or MachineType.parse(machine).is_alias:
        raise Error(
            f"{instance}: nothing tells which version of {instance.machine} it runs: start it once"
        )
    known = instance.summary or instance.guest
    aliases = catalog.aliases(known.emulator, known.arch, known.virt_type) if known else {}
    if not policy.satisfied(instance.pin.machine, machine, seen=instance.pin.seen, aliases=aliases):
        raise Error(
            f"{instance}: runs {machine}, which its pin {instance.machine} doesn't stand for"
        )
    return machine


def _evidence(instance: Instance) -> Iterator[str]:
    """Yield what an instance runs, best evidence first."""
    domain, pin = instance.domain, instance.pin
    if domain and domain.running and domain.running.machine:
        yield domain.running.machine
    if pin and pin.seen:
        yield pin.seen
    if domain and domain.defined and domain.defined.machine:
        yield domain.defined.machine
