# SPDX-License-Identifier: Apache-2.0
"""Turning an i440fx guest into a q35 one and back: one small pass per rule.

A pass takes the domain's tree and a :class:`~mthook.xmlrewrite.family.board.Conversion`, changes
one thing and returns what it changed, a line each in an operator's words. It is pure: no file, no
libvirt. Run again it finds nothing left to do. Its docstring gives the outside reason, and
what libvirt 9.0 with QEMU 7.2 says to a definition without it.
:mod:`~mthook.xmlrewrite.family.convert` composes them.
"""
