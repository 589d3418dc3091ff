# SPDX-License-Identifier: Apache-2.0
"""A domain without anything that may be secret, to be kept or shown.

libvirt itself leaves out what it takes for a secret, such as a display's password, unless it is
asked for it. Everybody who may look at a guest sees what else may hold one: values for the
guest's firmware (cloud-init, Ignition), its kernel's command line, arguments for QEMU, and whatever
other programs keep in the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from mthook.xmlrewrite import elements, safexml
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.summary import NOVA_NAMESPACES, PIN_NAMESPACE

#: The elements whose text is left out.
_TEXTS = ("os/cmdline", "sysinfo//*", "launchSecurity//*", "devices//cookie")
#: The attributes that are left out, by element.
_ATTRIBUTES = (("devices/graphics", "passwd"), ("devices//source", "query"))
#: What is shown in place of a secret.
HIDDEN = "(hidden)"
#: Others' namespaces that hold no secrets: what Nova, libosinfo and mthook note.
_PLAIN = (*NOVA_NAMESPACES, PIN_NAMESPACE, "http://libosinfo.org/xmlns/libvirt/domain/1.0")


def without_secrets(definition: Definition) -> bytes:
    """Return a domain without secrets, and without elements of others' namespaces.

    What is left out counts as changed when :mod:`~mthook.xmlrewrite.family.restore` compares it
    with a whole domain, and so stays as the domain has it.

    :raises DomainXMLError: it can't be read.
    """
    tree = definition.copy()
    domain = tree.getroot()
    for child in _others(domain):
        elements.remove(child)
    for found in _texts(domain):
        found.text = None
    for found, name in _attributes(domain):
        del found.attrib[name]
    return safexml.serialize(tree)


def masked(definition: Definition) -> etree._ElementTree:
    """Return a domain to be shown, with :data:`HIDDEN` in place of each secret.

    :raises DomainXMLError: it can't be read.
    """
    tree = definition.copy()
    domain = tree.getroot()
    for found in _texts(domain):
        found.text = found.text and HIDDEN
    for found, name in _attributes(domain):
        found.set(name, HIDDEN)
    for other in _others(domain):
        if etree.QName(other).namespace not in _PLAIN:
            for found in other.iter("*"):
                found.attrib.update(dict.fromkeys(found.keys(), HIDDEN))
                found.text = HIDDEN if (found.text or "").strip() else found.text
    return tree


def _others(domain: etree._Element) -> list[etree._Element]:
    """Return the elements of others' namespaces: arguments for QEMU, other programs' metadata."""
    found = [*domain, *domain.iterfind("metadata/*")]
    return [child for child in found if str(child.tag).startswith("{")]


def _texts(domain: etree._Element) -> Iterator[etree._Element]:
    for path in _TEXTS:
        yield from (found for found in domain.iterfind(path) if not len(found))


def _attributes(domain: etree._Element) -> Iterator[tuple[etree._Element, str]]:
    for path, name in _ATTRIBUTES:
        for found in domain.iterfind(f"{path}[@{name}]"):
            yield found, name
