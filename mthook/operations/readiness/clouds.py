# SPDX-License-Identifier: Apache-2.0
"""What is asked of Nova's databases: what would a cold migration change, and which defaults does Nova take?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from mthook import conf as configuration
from mthook.catalog.records import Guest
from mthook.errors import NovaError
from mthook.operations.opening import opened_nova
from mthook.operations.readiness import gate
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    unavailable,
)

if TYPE_CHECKING:
    from mthook.nova.cell import Cell
    from mthook.nova.cells import Cells

LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

#: Nova's names of architectures (nova/objects/fields.py, ``Architecture``).
_ARCHITECTURES = """
aarch64 alpha armv6 armv7b armv7l cris i686 ia64 lm32 m68k microblaze microblazeel mips mips64 mips64el mipsel openrisc
parisc parisc64 ppc ppc64 ppc64le ppcemb ppcle s390 s390x sh4 sh4eb sparc sparc64 unicore32 x86_64 xtensa xtensaeb
"""


def each_cell(
    context: Context, look: Callable[[Cells, Cell], _Result]
) -> tuple[list[_Result], list[Finding]]:
    """Look at every cell, or only at those that have the host in question.

    :return: the results, and the failures; a failing cell doesn't hold up the others.
    """
    results: list[_Result] = []
    failed: list[Finding] = []
    host = context.nova_host
    try:
        with opened_nova(context.conf) as cells:
            for cell in cells.all():
                LOG.info("database: %s", cell)
                try:
                    if host is None or cell.has_host(host):
                        results.append(look(cells, cell))
                except NovaError as error:
                    failed.append(unavailable(error))
    except NovaError as error:
        failed.append(unavailable(error))
    if not results and not failed:
        kind, facts = ("no_cells", {}) if host is None else ("host_unknown", {"host": host})
        failed.append(Finding(kind, Severity.FAILURE, facts=facts))
    return results, failed


def extent(context: Context, results: Sequence[object]) -> Facts:
    """Return what was looked at, as facts: how many cells, and which host if there was one in question."""
    host = {"host": context.nova_host} if context.nova_host is not None else {}
    return {"cells": len(results), **host}


def left_behind(context: Context, guests: Sequence[Guest]) -> list[Guest]:
    """Return the guests whose instances Nova has deleted; none where its databases can't be asked."""
    of_nova = [guest.uuid for guest in guests if guest.nova]
    if not of_nova or not configuration.has_nova(context.conf):
        return []
    try:
        with opened_nova(context.conf) as cells:
            deleted = cells.deleted(cells.of_host(context.conf.host), of_nova, of_nova)
    except NovaError as error:
        LOG.info("%s", error)
        return []
    return [guest for guest in guests if guest.uuid in deleted]


def check_request_specs(context: Context) -> list[Finding]:
    """Check whether a cold migration or resize would change what is recorded: it takes the request spec's word.

    See nova/conductor/tasks/migrate.py. An instance without a request spec can't be migrated at all, or older releases
    of Nova make one for it from what is recorded.
    """
    if not context.conf.api_database.connection:
        return [_not_looked_at(context)]
    pages, found = each_cell(
        context, lambda cells, cell: list(_unlike(cells, cell, context.nova_host))
    )
    unlike = [subject for page in pages for subject in page]
    facts = extent(context, pages)
    if unlike:
        remedy = "mthook-sync --cloud"
        found.append(Finding("unlike_record", Severity.FAILURE, unlike, facts, remedy))
    elif pages:
        found.append(as_success("of_host_ok" if context.nova_host else "ok", **facts))
    return found


def _not_looked_at(context: Context) -> Finding:
    """Return what it means that request specs can't be looked at."""
    remedy = "mthook-status upgrade check --cloud"
    if context.cloud:
        return Finding("no_api_database", Severity.FAILURE, remedy=remedy)
    has_nova = configuration.has_nova(context.conf)
    if not has_nova and not any(guest.nova for guest in context.guests()):
        return as_success("no_nova")
    if gate.puts_right(context):
        return as_success("gated")
    return as_warning("no_api_database", remedy=remedy)


def _unlike(cells: Cells, cell: Cell, host: str | None) -> Iterator[Subject]:
    for page in cell.recorded(host):
        machines = cells.image_properties([one.uuid for one in page])
        for one in page:
            machine = machines.get(one.uuid, one.machine)
            if one.has_guest and machine != one.machine:
                facts = {"host": one.host, "recorded": one.machine, "request_spec": machine}
                yield Subject(one.uuid, one.name, facts, one.name)


def check_defaults(context: Context) -> list[Finding]:
    """Check whether Nova takes each entry of ``[libvirt] hw_machine_type`` as it is meant; it reads them literally.

    See nova/virt/libvirt/utils.py, ``get_default_machine_type``.
    """
    entries: list[str] = context.conf.libvirt.hw_machine_type
    wrong, left = [], set(_ARCHITECTURES.split())
    for entry in entries:
        arch, _, machine = entry.partition("=")
        if arch not in left or machine != machine.strip() or not machine:
            wrong.append(entry)
        left.discard(arch)
    if wrong:
        return [as_warning("not_taken", entries=wrong)]
    return [as_success(entries=entries) if entries else as_success("built_in")]
