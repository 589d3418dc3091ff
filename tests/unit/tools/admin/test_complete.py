# SPDX-License-Identifier: Apache-2.0
"""``complete``: the guests and machine types that the shells offer; see also ``tests/unit/test_completion.py``."""

from __future__ import annotations

from mthook.catalog.store import Catalog
from mthook.text import now

from .conftest import DB, WEB, Run, guest, pin


def test_guests_by_name_and_with_a_beginning_by_uuid(run: Run, catalog: Catalog) -> None:
    """Those that are here; a name that no terminal shows as it is can't be typed."""
    third = WEB[:-1] + "3"
    catalog.see_guests([guest(name="web 1"), guest(DB, "db\n1"), guest(third, "gone-1")], now())
    catalog.see_guests([guest(name="web 1"), guest(DB, "db\n1")], now())

    assert run("complete", "guests").out == "web 1\n"
    assert run("complete", "guests", "we").out == "web 1\n"
    assert run("complete", "guests", "3f2c").out == f"{WEB}\n{DB}\n"
    assert run("complete", "guests", "--", "-x").out == ""


def test_types_are_those_offered_and_those_pinned(run: Run, catalog: Catalog) -> None:
    """Aliases too."""
    pin(catalog, WEB, "pc-q35-99.9")

    assert run("complete", "types", "pc-q35").out == "pc-q35-7.2\npc-q35-99.9\n"
    assert run("complete", "types", "q").out == "q35\n"
