# SPDX-License-Identifier: Apache-2.0
"""The steps, composed: bytes in, bytes out, and what was changed in an operator's words."""

from __future__ import annotations

from mthook.errors import Error
from mthook.xmlrewrite import safexml, summary
from mthook.xmlrewrite.machine import set_machine
from mthook.xmlrewrite.metadata import carry_pin
from mthook.xmlrewrite.target import Target

__all__ = ["Rewritten", "Target", "rewrite"]


class Rewritten:
    """A domain as the pipeline returns it.

    :ivar xml: the domain, the very same bytes when nothing had to change.
    :ivar changes: what was changed, a line each.
    """

    __slots__ = ("changes", "xml")

    def __init__(self, xml: bytes, changes: list[str]) -> None:
        self.xml = xml
        self.changes = changes


def rewrite(xml: bytes, target: Target) -> Rewritten:
    """Make a domain what its pin asks for.

    :raises DomainXMLError: if the XML can't be read safely.
    :raises ConversionError: if more than a name would have to change; ``.element`` says what.
    :raises MachineTypeError: if the target isn't a machine type's name.
    """
    tree = safexml.parse(xml)
    domain = tree.getroot()
    changes = set_machine(domain, target)
    if not changes:
        # A domain that is right already gets no element of ours either: mthook marks only what it
        # changes.
        return Rewritten(xml, [])
    changes += carry_pin(domain, target)
    result = safexml.serialize(tree, declaration=safexml.has_declaration(xml))
    _verify(result, target)
    return Rewritten(result, changes)


def _verify(result: bytes, target: Target) -> None:
    """Read the result with the reader that the hook trusts, before anybody hands it to libvirt."""
    machine = summary.read(result).machine
    if machine != target.machine:
        raise Error(f"the rewritten domain has machine type {machine}, not {target.machine}")
