# SPDX-License-Identifier: Apache-2.0
"""The steps, composed: bytes in, bytes out, and what was changed in an operator's words."""

from __future__ import annotations

from lxml import etree

from mthook.errors import Error
from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.family import restore
from mthook.xmlrewrite.family.arguments import check_machine
from mthook.xmlrewrite.family.board import Conversion, disks_by_bus, nova_instance
from mthook.xmlrewrite.family.convert import change, convert
from mthook.xmlrewrite.machine import change_of_family, set_machine
from mthook.xmlrewrite.metadata import carry_pin
from mthook.xmlrewrite.target import Original, Target

__all__ = ["Original", "Rewritten", "Target", "carrying", "rewrite"]


class Rewritten:
    """A domain as the pipeline returns it.

    :ivar xml: the domain, the very same bytes when nothing had to change.
    :ivar changes: what was changed, a line each.
    :ivar converted: whether the domain is of another family now.
    :ivar restored: whether what it was before had been kept, and it is that again.
    :ivar tree: what ``xml`` was written from, None when nothing had to change.
    """

    __slots__ = ("changes", "converted", "restored", "tree", "xml")

    def __init__(
        self,
        xml: bytes,
        changes: list[str],
        *,
        converted: bool = False,
        restored: bool = False,
        tree: etree._ElementTree | None = None,
    ) -> None:
        self.xml = xml
        self.changes = changes
        self.converted = converted
        self.restored = restored
        self.tree = tree


def rewrite(domain: bytes | Definition, target: Target) -> Rewritten:
    """Make a domain what its pin asks for.

    :param domain: a :class:`.Definition` where the caller reads more of it.

    :raises DomainXMLError: if the XML can't be read safely.
    :raises ConversionError: if it can't become that, or would lose a device; ``.element`` says
        which element stands in the way.
    :raises MachineTypeError: if the target isn't a machine type's name.
    """
    if isinstance(domain, Definition):
        return _rewrite(domain.xml, domain.copy(), target)
    return _rewrite(domain, safexml.parse(domain), target)


def carrying(definition: Definition, target: Target) -> Definition:
    """Return a definition that carries the target's pin, and is otherwise as it was."""
    tree = definition.copy()
    carry_pin(tree.getroot(), target)
    return Definition(safexml.serialize(tree), tree)


def _rewrite(xml: bytes, tree: etree._ElementTree, target: Target) -> Rewritten:
    domain = tree.getroot()
    family = change_of_family(domain, target)
    changes = set_machine(domain, target)
    if not changes:
        # A domain that is right already gets no element of ours either: mthook marks only what it
        # changes.
        return Rewritten(xml, [])
    restored = False
    if family is not None:
        nova = nova_instance(domain) is not None
        conversion = Conversion(*family, nova=nova, ports=target.ports, libvirt=target.libvirt)
        converting, restored = _convert(domain, conversion, target)
        changes += converting
    changes += carry_pin(domain, target)
    _verify(domain, target)
    result = safexml.serialize(tree, declaration=safexml.has_declaration(xml))
    return Rewritten(result, changes, converted=family is not None, restored=restored, tree=tree)


def _convert(
    domain: etree._Element, conversion: Conversion, target: Target
) -> tuple[list[str], bool]:
    """Convert a domain, or lead it back to what it was before where that was kept; return whether it was."""
    way_back = restore.WayBack.of(domain, conversion, target.original)
    if way_back is None:
        return [*convert(domain, conversion), restore.without(conversion)], False
    change(domain, conversion, disks_by_bus(domain), way_back.before)
    return way_back.take(), True


def _verify(domain: etree._Element, target: Target) -> None:
    """Look once more, before anybody hands the result to libvirt."""
    os_type = domain.find("os/type")
    machine = os_type.get("machine") if os_type is not None else None
    if machine != target.machine:
        raise Error(f"the rewritten domain has machine type {machine}, not {target.machine}")
    check_machine(domain, target.machine)
