# SPDX-License-Identifier: Apache-2.0
"""Make a plan: look at every guest that is selected, and at what would become of it; change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mthook import __version__
from mthook.errors import CatalogError, Error, NotFound, NovaError, Refused
from mthook.operations.inventory import Selection, instances, unseen
from mthook.operations.plans import acts
from mthook.operations.plans.document import Origin, Planned, Task
from mthook.operations.plans.subjects import Found, Site, Subject, batched
from mthook.text import now


def origin(site: Site, actor: str, *, all_hosts: bool) -> Origin:
    """Return what a plan says of its making."""
    catalog = None if isinstance(site.catalog, CatalogError) else site.catalog.path
    cloud = site.cells.identity() if site.cells else None
    return Origin(now(), actor, __version__, site.here, catalog, cloud, all_hosts)


def guests(
    site: Site,
    task: Task,
    selection: Selection,
    actor: str,
    *,
    all_hosts: bool,
    already: Callable[[str], object],
) -> Iterator[Planned]:
    """Yield what is to become of the guests that are selected.

    :param all_hosts: Nova's instances, wherever they are, in place of this host's guests.
    :param already: is told the UUIDs of those that need no change.
    """
    uuids = _in_nova(site, selection) if all_hosts else _here(site, selection)
    for batch in batched(uuids):
        found = site.subjects(batch)
        for uuid in batch:
            planned = _planned(site, uuid, found[uuid], task, actor)
            if planned is None:
                already(uuid)
            else:
                yield planned


def _here(site: Site, selection: Selection) -> Iterator[str]:
    """Yield the UUIDs of this host's guests; those that are gone only where they are asked for."""
    assert not isinstance(site.catalog, CatalogError)
    known = site.catalog.guests()
    if selection.unset and site.host is not None:
        new = {guest.uuid: guest for guest in unseen(site.host, known)}
        known = [*(one for one in known if one.uuid not in new), *new.values()]
    for row in instances(site.catalog, known):
        if selection.has(row) and (row.present or row.state in selection.states):
            yield row.uuid


def _in_nova(site: Site, selection: Selection) -> Iterator[str]:
    assert site.cells is not None
    for cell in site.cells.all():
        for page in cell.pages():
            yield from (one.uuid for one in page if selection.has_in_nova(one))


def _planned(site: Site, uuid: str, found: Found, task: Task, actor: str) -> Planned | None:
    if isinstance(found, Error):
        reason = {"reason": "not_found", "text": str(found)}
        return Planned(uuid, "", None, "", "", None, task.machine, "asked", reason)
    try:
        prospect = acts.foresee(site, found, task, actor)
    except (CatalogError, NovaError):
        raise  # the next one would fail in the same way
    except Error as error:
        return _described(site, found, task.machine, "asked", error=error)
    if prospect is None:
        return None
    warnings = [[caution.kind.value, *map(str, caution.facts)] for caution in prospect.cautions]
    one = _described(site, found, prospect.new, prospect.why, old=prospect.old)
    return replace(one, warnings=warnings)


def _described(
    site: Site,
    subject: Subject,
    new: str | None,
    why: str,
    *,
    old: str | None = None,
    error: Error | None = None,
) -> Planned:
    local = subject.local
    known = (local.domain or local.guest) if local else None
    nova = subject.cloud.nova if subject.cloud else None
    refused = None
    if error is not None:
        reason = error.reason if isinstance(error, Refused) else _reason(error)
        refused = {"reason": reason, "text": str(error)}
    return Planned(
        uuid=subject.uuid,
        name=nova.name if nova else known.name if known else "",
        host=site.where(subject),
        kind=subject.kind,
        state=nova.vm_state if nova else known.state if known else "",
        old=old or subject.machine,
        new=new,
        why=why,
        refused=refused,
        saw=subject.saw(),
    )


def _reason(error: Error) -> str:
    return "not_found" if isinstance(error, NotFound) else "error"
