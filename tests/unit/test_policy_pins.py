# SPDX-License-Identifier: Apache-2.0
"""What a pin means, what a new one records, and which one counts."""

from __future__ import annotations

import pytest

from mthook.policy import effective_pin, pin_for, satisfied
from tests.unit.test_policy import ALIASES, NEW, OLD, OPERATIONS


@pytest.mark.parametrize(
    ("pin", "observed", "seen", "aliases", "expected"),
    [
        # a versioned pin
        ("pc-i440fx-7.2", "pc-i440fx-7.2", None, {}, True),
        ("pc-i440fx-7.2", "pc-i440fx-7.1", None, {}, False),
        ("pc-i440fx-7.2", "pc", None, ALIASES, True),
        ("pc-i440fx-7.2", "pc", None, {"pc": "pc-i440fx-2.11"}, False),
        ("pc-i440fx-7.2", "pc", None, {}, False),
        ("pc-q35-4.0", "pc-q35-4.0.0", None, {}, False),
        ("pc-i440fx-focal", "pc-i440fx-jammy", None, {}, False),
        ("pc-q35-jammy", "pc-q35-jammy-hpb", None, {}, False),
        # an alias: its line is that of what was seen
        ("pc", "pc-i440fx-10.0", "pc-i440fx-2.11", ALIASES, True),
        ("pc", "pc-i440fx-rhel7.6.0", "pc-i440fx-2.11", {}, False),
        ("pc", "pc-i440fx-7.2", "pc-i440fx-rhel7.6.0", ALIASES, False),
        ("pc", "pc-i440fx-9.0+pve0", "pc-i440fx-9.2+pve1", {}, True),
        # else of what the alias resolves to here
        ("pc", "pc-i440fx-2.0", None, ALIASES, True),
        ("pc", "pc-i440fx-jammy", None, ALIASES, False),
        ("pc", "pc", None, ALIASES, True),
        ("pc", "pc", "pc-i440fx-rhel7.6.0", ALIASES, False),
        # else any
        ("pc", "pc-i440fx-jammy", None, {}, True),
        ("pc", "pc", None, {}, True),
        ("pc", "ubuntu", None, {}, True),
        ("pc", "pc-q35-7.2", None, {}, False),
        ("pc", "q35", None, ALIASES, False),
        ("virt", "virt-rhel9.4.0", None, {}, True),
        # an alias that names its vendor needs no host
        ("ubuntu", "pc-i440fx-noble", None, {}, True),
        ("ubuntu", "pc-i440fx-7.2", "pc-i440fx-7.2", ALIASES, False),
        ("ubuntu", "pc", None, {}, False),
        # a guest of another family than its pin says nothing about the pin
        ("pc", "pc-q35-rhel9.4.0", "pc-q35-rhel9.4.0", {}, False),
        ("pc", "pc-i440fx-7.2", "pc-q35-rhel9.4.0", {}, True),
        # what was seen must be versioned to say anything
        ("pc", "pc-i440fx-jammy", "q35", {}, True),
        # aliases that the parser doesn't know
        ("foo", "foo", None, {}, True),
        ("foo", "pc-q35-7.2", None, {}, False),
        ("foo", "pc-q35-6.2", None, {"foo": "pc-q35-7.2"}, True),
        ("foo", "pc-q35-6.2", "pc-q35-5.0", {}, True),
        ("foo", "pc-i440fx-6.2", "pc-q35-5.0", {}, False),
        ("isapc", "isapc", None, {}, True),
        ("isapc", "pc", None, {}, False),
    ],
)
def test_what_satisfies_a_pin(
    pin: str, observed: str, seen: str | None, aliases: dict[str, str], expected: bool
) -> None:
    """A versioned pin by its very name, an alias by any version of its family and vendor line."""
    assert satisfied(pin, observed, seen=seen, aliases=aliases) is expected


@pytest.mark.parametrize(
    ("observed", "style", "aliases", "expected"),
    [
        (NEW, "versioned", ALIASES, NEW),
        (NEW, "alias", ALIASES, "pc"),
        (NEW, "alias", {"ubuntu": NEW, "zz": NEW, "pc": NEW, "q": OLD}, "pc"),
        (OLD, "alias", ALIASES, OLD),
        (NEW, "alias", {}, NEW),
        ("pc", "alias", ALIASES, "pc"),
        # what an argument for QEMU may name
        ("pc", "versioned", ALIASES, NEW),
        ("pc", "versioned", {}, "pc"),
    ],
)
def test_what_a_new_pin_records(
    observed: str, style: str, aliases: dict[str, str], expected: str
) -> None:
    """The name itself, or on request its shortest, then first, alias here."""
    assert pin_for(observed, style, aliases) == expected


EARLY, LATE = "2026-01-01T00:00:00.000000Z", "2026-06-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("row", "travelled", "on_migrate", "elsewhere"),
    [
        (None, None, (None, ""), (None, "")),
        (None, ("q35", EARLY), ("q35", "metadata"), ("q35", "metadata")),
        (None, ("q35", ""), ("q35", "metadata"), ("q35", "metadata")),
        (("pc", EARLY), None, ("pc", "row"), ("pc", "row")),
        (("pc", EARLY), ("q35", LATE), ("q35", "metadata"), ("pc", "row")),
        (("pc", LATE), ("q35", EARLY), ("pc", "row"), ("pc", "row")),
        (("pc", EARLY), ("q35", EARLY), ("pc", "row"), ("pc", "row")),
        (("pc", EARLY), ("q35", ""), ("pc", "row"), ("pc", "row")),
        ((None, EARLY), None, (None, ""), (None, "")),
        ((None, EARLY), ("q35", LATE), ("q35", "metadata"), (None, "")),
        ((None, LATE), ("q35", EARLY), (None, ""), (None, "")),
    ],
)
def test_which_pin_counts(
    row: tuple[str | None, str] | None,
    travelled: tuple[str, str] | None,
    on_migrate: tuple[str | None, str],
    elsewhere: tuple[str | None, str],
) -> None:
    """The catalog's row, unless a guest moves in with a newer pin; released stays released."""
    found = {op: effective_pin(op, row, travelled, latest=LATE) for op in OPERATIONS}

    assert found == {op: on_migrate if op == "migrate" else elsewhere for op in OPERATIONS}
