# SPDX-License-Identifier: Apache-2.0
"""A domain without what may be secret in it, to be kept.

libvirt itself leaves out what it takes for a secret, such as a screen's password, where it isn't
asked for it. It shows everybody who may look at a guest what else may hold one: values for the
guest's firmware (cloud-init, Ignition), its kernel's command line, arguments for QEMU, and whatever
other programs keep in the metadata.
"""

from __future__ import annotations

from mthook.xmlrewrite import elements, safexml
from mthook.xmlrewrite.definition import Definition

#: Whose text is left out.
_TEXTS = ("os/cmdline", "sysinfo//*", "launchSecurity//*", "devices//cookie")
#: Which attributes are, of which elements.
_ATTRIBUTES = (("devices/graphics", "passwd"), ("devices//source", "query"))


def without_secrets(definition: Definition) -> bytes:
    """Return a domain without secrets, and without elements of others' namespaces.

    What is left out counts as changed when :mod:`~mthook.xmlrewrite.family.restore` compares it
    with a whole domain, and so stays as the domain has it.

    :raises DomainXMLError: it can't be read.
    """
    tree = definition.copy()
    domain = tree.getroot()
    for child in [*domain, *domain.iterfind("metadata/*")]:
        if str(child.tag).startswith("{"):
            elements.remove(child)
    for path in _TEXTS:
        for found in domain.iterfind(path):
            if not len(found):
                found.text = None
    for path, name in _ATTRIBUTES:
        for found in domain.iterfind(f"{path}[@{name}]"):
            del found.attrib[name]
    return safexml.serialize(tree)
