# SPDX-License-Identifier: Apache-2.0
"""What guests were before their last change of family."""

from __future__ import annotations

from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.xmlrewrite.target import Original

from .samples import AT, OTHER, UUID

FIRST = Original("<domain>größe</domain>".encode(), b"<domain/>", AT)
SECOND = Original(b"<domain>2</domain>", b"<domain>3</domain>", AT)


def kept(catalog: Catalog, uuid: str = UUID) -> tuple[bytes, bytes, str] | None:
    original = catalog.original(uuid)
    return original and (original.before, original.after, original.at)  # type: ignore[return-value]


def test_what_is_kept_comes_back(catalog: Catalog) -> None:
    """Byte for byte, for this guest alone."""
    catalog.keep_original(UUID, FIRST)

    assert kept(catalog) == (FIRST.before, FIRST.after, AT)
    assert kept(catalog, OTHER) is None


def test_the_last_one_counts(catalog: Catalog) -> None:
    """And can be taken away."""
    catalog.keep_original(UUID, FIRST)
    catalog.keep_original(UUID, SECOND)

    assert kept(catalog) == (SECOND.before, SECOND.after, AT)

    catalog.keep_original(UUID, None)

    assert kept(catalog) is None


def test_a_forgotten_guest_leaves_no_definition(catalog: Catalog) -> None:
    """It goes with the pin."""
    catalog.add_pin(Pin(UUID, "pc", "x86_64", "operator", "root", AT, AT))
    catalog.keep_original(UUID, FIRST)
    catalog.keep_original(OTHER, SECOND)

    assert catalog.forget(UUID, actor="mthook-sync", reason="gone")
    assert kept(catalog) is None
    assert kept(catalog, OTHER) is not None
