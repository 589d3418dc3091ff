# SPDX-License-Identifier: Apache-2.0
"""Does every instance have a machine type, every guest a pin, and what becomes of machine types in snapshots?"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from oslo_config import cfg

from mthook import conf as configuration
from mthook.errors import CatalogError, HostError
from mthook.hook.answer import REMOVE
from mthook.operations.readiness import clouds
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    of_guest,
    unavailable,
)

if TYPE_CHECKING:
    from mthook.nova.instance import NovaInstance

_NAME = "non_inheritable_image_properties"
_PROPERTY = "hw_machine_type"
#: As nova/conf/compute.py has it.
_OPTION = cfg.ListOpt(_NAME, default=["cache_in_nova", "bittorrent"])


def check_recorded(context: Context) -> list[Finding]:
    """Look for Nova's instances without a machine type, and guests of this host without a pin."""
    found = _in_nova(context) if configuration.has_nova(context.conf) else []
    if context.cloud:
        return found
    try:
        return [*found, *check_guests(context)]
    except (CatalogError, HostError) as error:
        return [*found, unavailable(error)]


def _in_nova(context: Context) -> list[Finding]:
    pages, found = clouds.each_cell(context, lambda _, cell: list(cell.unset(context.nova_host)))
    instances = list(itertools.chain.from_iterable(pages))
    lacking = [_subject(one) for one in instances if one.has_guest]
    apart = [one for one in instances if not one.has_guest]
    facts = clouds.extent(context, pages)
    if lacking:
        listing = "mthook-admin list --unset --guests-only"
        found.append(Finding("instances_unset", Severity.FAILURE, lacking, facts, listing))
    elif pages:
        kind = "instances_of_host_ok" if context.nova_host else "instances_ok"
        found.append(as_success(kind, **facts))
    if apart:
        ironic = sum(one.ironic for one in apart)
        subjects = [_subject(one) for one in apart]
        found.append(as_success("not_counted", subjects, ironic=ironic, failed=len(apart) - ironic))
    return found


def _subject(instance: NovaInstance) -> Subject:
    return Subject(instance.uuid, instance.name, {"host": instance.host}, instance.name)


def check_guests(context: Context) -> list[Finding]:
    """Look for guests of this host without a pin."""
    guests = context.guests()
    left = clouds.left_behind(context, guests)
    known = {pin.uuid for pin in context.catalog().pins() if pin.machine is not None}
    known.update(guest.uuid for guest in left)
    unpinned = [of_guest(guest) for guest in guests if guest.uuid not in known]
    # With a database, --unset lists Nova's instances.
    has_nova = configuration.has_nova(context.conf)
    listing = "mthook-admin list" if has_nova else "mthook-admin list --unset"
    facts: Facts = {"guests": len(guests), "listed_by": listing}
    found = [as_success("guests_ok", guests=len(guests))]
    if unpinned:
        found = [Finding("guests_unpinned", Severity.FAILURE, unpinned, facts, "mthook-sync")]
    if left:
        subjects = [of_guest(guest) for guest in left]
        found.append(as_warning("deleted_in_nova", subjects, REMOVE, command=REMOVE))
    try:
        context.domains()
    except HostError as error:
        found.insert(0, unavailable(error, "libvirt_unavailable", Severity.WARNING))
    return found


def check_inherited(context: Context) -> list[Finding]:
    """Check whether ``hw_machine_type`` is among what images don't inherit, where that matters.

    The images that Nova makes of instances get their image properties, except those that
    ``non_inheritable_image_properties`` names (nova/compute/utils.py, ``initialize_instance_snapshot_metadata``).
    A shelved image is one of them, and all that counts when its instance is unshelved
    (nova/compute/manager.py, ``_unshelve_instance``).
    """
    conf = context.conf
    facts: Facts = {"option": _NAME, "property": _PROPERTY}
    needless = _needless(conf)
    if needless:
        return [as_success(needless, pin_style=conf.pin.style)]
    conf.register_opt(_OPTION)
    if _PROPERTY in conf[_NAME]:
        return [as_success(**facts)]
    found = [as_warning("inherited", **facts)]
    location = conf.get_location(_NAME)
    if location is None or location.location == cfg.Locations.opt_default:
        found.append(as_warning("option_not_set", **facts, config_files=list(context.files)))
    return found


def _needless(conf: cfg.ConfigOpts) -> str | None:
    """Return why versioned machine types aren't written to Nova's database; ``None`` where they are."""
    if not configuration.has_nova(conf):
        return "no_database"
    if not conf.sync.write_back:
        return "not_written_back"
    return None if conf.pin.style == "versioned" else "not_versioned"
