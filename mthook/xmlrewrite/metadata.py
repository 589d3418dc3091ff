# SPDX-License-Identifier: Apache-2.0
"""The step that lets a pin travel with its guest, as mthook's own element in ``<metadata>``.

libvirt keeps one element per namespace there through define, start, live migration, save and
restore (libvirt docs/formatdomain.rst, "General metadata"), so that a host which never saw the
guest learns its pin.
"""

from __future__ import annotations

from lxml import etree

from mthook.xmlrewrite import elements
from mthook.xmlrewrite.summary import PIN_NAMESPACE
from mthook.xmlrewrite.target import Target

_PIN = f"{{{PIN_NAMESPACE}}}pin"


def carry_pin(domain: etree._Element, target: Target) -> list[str]:
    """Make the metadata hold exactly one pin: the target's; nothing for one without instance.

    :return: the change in words, nothing when there is none.
    """
    if target.instance is None:
        return []
    wanted = [("instance", target.instance), ("machine", target.machine)]
    if target.since is not None:
        wanted.append(("since", target.since))
    metadata = _metadata(domain)
    pin, *others = metadata.findall(_PIN) or [_new_pin(metadata)]
    for other in others:
        elements.remove(other)
    if pin.attrib.items() == wanted and not others:
        return []
    present = pin.get("machine")
    pin.attrib.clear()
    for name, value in wanted:
        pin.set(name, value)
    return [f"pin in the metadata: {present or 'none'} → {target.machine}"]


def _metadata(domain: etree._Element) -> etree._Element:
    """Return ``<metadata>``, made beside name and uuid: libvirt's schema leaves the order free."""
    metadata = domain.find("metadata")
    if metadata is None:
        metadata = etree.Element("metadata")
        heads = [child for child in domain if child.tag in ("name", "uuid")]
        if heads:
            elements.insert_after(heads[-1], metadata)
        else:
            elements.append(domain, metadata)
    return metadata


def _new_pin(metadata: etree._Element) -> etree._Element:
    pin = etree.Element(_PIN, nsmap={"mthook": PIN_NAMESPACE})
    elements.append(metadata, pin)
    return pin
