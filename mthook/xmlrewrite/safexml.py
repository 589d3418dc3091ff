# SPDX-License-Identifier: Apache-2.0
"""Domain XML to tree and back: nothing in it opens a file or a socket, or exhausts memory."""

from __future__ import annotations

import difflib

from lxml import etree

from mthook.errors import DomainXMLError
from mthook.text import printable
from mthook.xmlrewrite import summary


def parse(xml: bytes) -> etree._ElementTree:
    """Parse a domain that :func:`mthook.xmlrewrite.summary.read` accepts.

    :raises DomainXMLError: as there, and for what libxml2 alone objects to, such as a
        namespace that isn't a URI.
    """
    # expat, without entities, goes first: no DOCTYPE, foreign encoding or deep nesting reaches
    # libxml2.
    summary.read(xml)
    return _parse(xml).getroottree()


def parse_kept(xml: bytes) -> etree._Element:
    """Return the root of a domain that :func:`serialize` wrote, or that has been read already.

    :raises DomainXMLError: it can't be read.
    """
    return _parse(xml)


def _parse(xml: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_blank_text=False,
        strip_cdata=False,
    )
    try:
        return etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise DomainXMLError(f"not well-formed XML: {printable(error)}") from error


def has_declaration(xml: bytes) -> bool:
    """Whether a document starts with an XML declaration."""
    return xml.removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml ")


def serialize(tree: etree._ElementTree, *, declaration: bool = False) -> bytes:
    """Write a tree as UTF-8; comments and instructions around the root get a line each.

    :param declaration: start with an XML declaration.
    """
    root = tree.getroot()
    before = reversed(list(root.itersiblings(preceding=True)))
    nodes = [*before, root, *root.itersiblings()]
    parts = [
        etree.tostring(node, encoding="UTF-8", xml_declaration=False, with_tail=False)
        for node in nodes
    ]
    if declaration:
        parts.insert(0, b'<?xml version="1.0" encoding="UTF-8"?>')
    return b"\n".join(parts) + b"\n"


def unified_diff(
    before: etree._ElementTree, after: etree._ElementTree, label_before: str, label_after: str
) -> str:
    """Return what differs between two domains, for a terminal; '' when nothing does.

    Both are written the same way first, so that quotes and empty elements make no difference. The
    context shows neighbouring lines as they are: the text is for an operator's eyes, never for a
    log.
    """
    old, new = (serialize(tree).decode().split("\n")[:-1] for tree in (before, after))
    lines = difflib.unified_diff(old, new, label_before, label_after, lineterm="")
    return "".join(_visible(line) + "\n" for line in lines)


def _visible(line: str) -> str:
    return "\t".join(printable(part, limit=len(part)) for part in line.split("\t"))
