# SPDX-License-Identifier: Apache-2.0
"""Has every instance a machine type, and every guest a pin?"""

from __future__ import annotations

import logging

from mthook import conf as configuration
from mthook.errors import CatalogError, HostError, NovaError
from mthook.operations.opening import opened_nova
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    unavailable,
)

LOG = logging.getLogger(__name__)


def check(context: Context) -> list[Finding]:
    """Look for Nova's instances without a machine type, and guests of this host without a pin."""
    found = _in_nova(context) if configuration.has_nova(context.conf) else []
    try:
        return [*found, *_on_this_host(context)]
    except CatalogError as error:
        return [*found, unavailable(error)]


def _in_nova(context: Context) -> list[Finding]:
    found: list[Finding] = []
    unset: list[Subject] = []
    reached = 0
    try:
        with opened_nova(context.conf) as cells:
            for cell in cells.all():
                LOG.info("database: %s", cell)
                try:
                    unset += [Subject(vm.uuid, vm.name, {"host": vm.host}) for vm in cell.unset()]
                    reached += 1
                except NovaError as error:
                    found.append(unavailable(error))
    except NovaError as error:
        found.append(unavailable(error))
    if unset:
        found.append(
            as_warning("instances_unset", unset, "mthook-admin list --unset", cells=reached)
        )
    elif reached:
        found.append(as_success("instances_ok", cells=reached))
    return found


def _on_this_host(context: Context) -> list[Finding]:
    guests = context.guests()
    pinned = {pin.uuid for pin in context.catalog().pins() if pin.machine is not None}
    unpinned = [Subject(guest.uuid, guest.name) for guest in guests if guest.uuid not in pinned]
    # With a database, --unset lists Nova's instances.
    has_nova = configuration.has_nova(context.conf)
    listing = "mthook-admin list" if has_nova else "mthook-admin list --unset"
    facts = {"guests": len(guests), "listed_by": listing}
    found = [as_success("guests_ok", guests=len(guests))]
    if unpinned:
        found = [as_warning("guests_unpinned", unpinned, "mthook-sync", **facts)]
    try:
        context.domains()
    except HostError as error:
        found.insert(0, unavailable(error, "libvirt_unavailable", Severity.WARNING))
    return found
