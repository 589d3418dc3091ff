# SPDX-License-Identifier: Apache-2.0
"""A domain's XML and what was read from it, for code that looks at one domain several times."""

from __future__ import annotations

import copy

from lxml import etree

from mthook.xmlrewrite import safexml, summary


class Definition:
    """A domain's XML; each part is read when it is first asked for, and kept.

    :ivar xml: the exact bytes. They may hold passwords: never print them.
    """

    __slots__ = ("_summary", "_tree", "xml")

    def __init__(self, xml: bytes, tree: etree._ElementTree | None = None) -> None:
        """Take the XML, and where we have just written it ourselves, the tree behind it."""
        self.xml = xml
        self._summary: summary.Summary | None = None
        self._tree = tree

    @property
    def summary(self) -> summary.Summary:
        """What it says.

        :raises DomainXMLError: as :func:`mthook.xmlrewrite.summary.read`.
        """
        if self._summary is None:
            self._summary = summary.read(self.xml)
        return self._summary

    @property
    def tree(self) -> etree._ElementTree:
        """The whole of it, to be looked at only.

        :raises DomainXMLError: as :func:`mthook.xmlrewrite.safexml.parse`.
        """
        if self._tree is None:
            # As in safexml.parse: what expat refuses never reaches libxml2.
            assert self.summary is not None
            self._tree = safexml.parse_kept(self.xml).getroottree()
        return self._tree

    def copy(self) -> etree._ElementTree:
        """Return a copy of the tree, to be changed.

        :raises DomainXMLError: as :attr:`tree`.
        """
        # lxml's own copy of a tree reverses what follows the root.
        root = self.tree.getroot()
        copied = copy.deepcopy(root)
        for node in reversed(list(root.itersiblings(preceding=True))):
            copied.addprevious(copy.copy(node))
        for node in reversed(list(root.itersiblings())):
            copied.addnext(copy.copy(node))
        return copied.getroottree()
