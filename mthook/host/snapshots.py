# SPDX-License-Identifier: Apache-2.0
"""The machine types that a domain's snapshots hold: a revert brings them back."""

from __future__ import annotations

from lxml import etree

from mthook.host.connection import Host, libvirt_errors
from mthook.text import printable

#: Where a ``<domainsnapshot>`` has the domain: as it ran, and as it was defined.
_DOMAINS = ("domain/os/type", "inactiveDomain/os/type")


def machines_in_snapshots(host: Host, uuid: str) -> set[str]:
    """Return the machine types in a domain's snapshots.

    :raises NotFound: the domain is gone.
    :raises HostError: libvirt refused.
    """
    with libvirt_errors(f"the snapshots of guest {printable(uuid)} can't be read"):
        snapshots = host.connection.lookupByUUIDString(uuid).listAllSnapshots(0)
        texts = [snapshot.getXMLDesc(0) for snapshot in snapshots]
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    roots = [etree.fromstring(text.encode(), parser) for text in texts]
    types = [found for root in roots for path in _DOMAINS for found in root.iterfind(path)]
    return {machine for machine in (found.get("machine") for found in types) if machine}
