# SPDX-License-Identifier: Apache-2.0
"""How many times ``set`` reads a guest's XML from libvirt."""

from __future__ import annotations

import libvirt
import pytest

from mthook.catalog.store import Catalog

from .conftest import WEB, Run, defined


@pytest.mark.parametrize(
    ("arguments", "machine", "reads"),
    [
        # To find the guest, to work the change out, and at the last moment; for undo, before and after.
        (("web-1", "pc-i440fx-7.2"), "pc-i440fx-7.2", 5),
        # What libvirt made of it, too.
        (("--force", "web-1", "pc-q35-7.2"), "pc-q35-7.2", 6),
        # To find out whether it can be done, and to show it.
        (("--dry-run", "web-1", "pc-i440fx-7.2"), "pc-i440fx-6.2", 3),
    ],
)
def test_a_definition_is_worked_out_once(
    run: Run,
    catalog: Catalog,
    domain: libvirt.virDomain,
    driver: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    machine: str,
    reads: int,
) -> None:
    """What was found out before the pin was written is what is defined then."""
    read = libvirt.virDomain.XMLDesc
    flags: list[int] = []

    def counted(self: libvirt.virDomain, flag: int = 0) -> str:
        flags.append(flag)
        text: str = read(self, flag)
        return text

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", counted)

    assert run("set", *arguments).code == 0
    assert len(flags) == reads
    assert defined(driver, WEB) == machine
