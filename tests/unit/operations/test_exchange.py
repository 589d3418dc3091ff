# SPDX-License-Identifier: Apache-2.0
"""Pins as JSON lines."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mthook.catalog.records import Guest, HistoryEntry
from mthook.catalog.store import Catalog
from mthook.errors import Error
from mthook.operations.exchange import Imported, exported, import_lines, to_line
from mthook.text import now
from tests.unit.catalog.samples import AT, LATER, OTHER, THIRD, UUID, pin


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A new catalog, open."""
    with Catalog.open(str(tmp_path / "mthook" / "catalog.sqlite")) as opened:
        yield opened


GOOD = {"format": "mthook-pin-1", **asdict(pin())}
UNNAMED = {"name": None, "display_name": None}


def _line(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def counted(done: list[Imported]) -> Counter[str]:
    """Return what became of pins, in figures."""
    return Counter(one.fate for one in done)


def test_a_line_is_a_pin(catalog: Catalog) -> None:
    """One JSON object per pin, without line ends, released pins too."""
    odd = replace(pin(), reason="two\nlines, ü")
    catalog.add_pin(odd)
    catalog.add_pin(pin(OTHER, None))
    lines = list(map(to_line, catalog.pins()))

    expected = [
        {"format": "mthook-pin-1", **asdict(one), **UNNAMED} for one in (odd, pin(OTHER, None))
    ]
    assert expected == [json.loads(line) for line in lines]
    assert "\n" not in "".join(lines)


def test_a_line_has_the_names_of_the_guest(catalog: Catalog) -> None:
    """Libvirt's and Nova's, for whoever reads it; a pin that was imported has none."""
    for uuid in (UUID, OTHER, THIRD):
        catalog.add_pin(pin(uuid))
    catalog.see_guests([Guest(UUID, "instance-0000000f", "x86_64", "kvm", display="shop")], AT)
    catalog.see_instances({OTHER: ("db", "error")})

    names = [(one["name"], one["display_name"]) for one in map(json.loads, exported(catalog))]

    assert names == [("instance-0000000f", "shop"), (None, "db"), (None, None)]
    (done,) = import_lines(catalog, [_line(name="web", display_name="shop")], actor="root")
    assert str(done) == f"shop (web, {UUID})"


def test_a_dry_run_tells_what_would_become_of_each_and_writes_nothing(catalog: Catalog) -> None:
    """Also where there is no catalog yet."""
    catalog.add_pin(pin(machine="pc-i440fx-8.0", updated_at=LATER))
    lines = [_line(), _line(uuid=OTHER), _line(uuid=OTHER, updated_at=LATER)]

    done = import_lines(catalog, lines, actor="root", dry_run=True)

    assert [(one.fate, one.refused, one.machine_before) for one in done] == [
        ("unchanged", True, "pc-i440fx-8.0"),
        ("added", False, None),
        ("changed", False, "pc-i440fx-7.2"),
    ]
    assert [one.uuid for one in catalog.pins()] == [UUID]
    assert len(catalog.history()) == 1
    none = import_lines(None, lines[:2], actor="root", dry_run=True)
    assert [one.fate for one in none] == ["added", "added"]


def test_pins_survive_the_way_to_another_host(catalog: Catalog, tmp_path: Path) -> None:
    """What is exported here is there after the import, with its history saying so."""
    everything = [pin(), replace(pin(OTHER, "q35"), reason="ü\n"), pin(THIRD, None)]
    for one in everything:
        catalog.add_pin(one)
    with Catalog.open(str(tmp_path / "other" / "catalog.sqlite")) as other:
        counts = counted(import_lines(other, map(to_line, catalog.pins()), actor="root"))
        found, history = list(other.pins()), other.history(UUID)

    assert counts == {"added": 3}
    assert everything == found
    expected = HistoryEntry(
        UUID, history[0].at, "imported", "root", None, "pc-i440fx-7.2", "import"
    )
    assert [expected] == history


def test_a_second_import_changes_nothing(catalog: Catalog) -> None:
    """The same pins are left as they are."""
    catalog.add_pin(pin())
    counts = counted(import_lines(catalog, list(map(to_line, catalog.pins())), actor="root"))

    assert counts == {"unchanged": 1}
    assert len(catalog.history(UUID)) == 1


def test_the_images_that_a_guest_is_known_by_here_stay(catalog: Catalog) -> None:
    """Nova's export knows none, and a rebuild is told by them on a host without its database."""
    catalog.add_pin(replace(pin(), root_image=OTHER))

    for image, known in ((None, OTHER), (THIRD, THIRD)):
        at = now(time.time() + (120 if image else 60))
        import_lines(catalog, [_line(updated_at=at, root_image=image)], actor="root")
        assert catalog.get_pin(UUID).root_image == known  # type: ignore[union-attr]


def test_a_newer_pin_here_stays(catalog: Catalog) -> None:
    """An old export doesn't bring old pins back."""
    catalog.add_pin(pin(machine="pc-i440fx-8.0", updated_at=LATER))

    assert counted(import_lines(catalog, [_line()], actor="root")) == {"unchanged": 1}
    assert pin(machine="pc-i440fx-8.0", updated_at=LATER) == catalog.get_pin(UUID)


def test_a_newer_pin_is_taken(catalog: Catalog) -> None:
    """The history says what it was."""
    catalog.add_pin(pin())
    newer = pin(machine="q35", updated_at=LATER)
    line = json.dumps({"format": "mthook-pin-1", **asdict(newer)})

    assert counted(import_lines(catalog, [line], actor="root")) == {"changed": 1}
    assert newer == catalog.get_pin(UUID)
    entry = catalog.history(UUID)[-1]
    assert (entry.event, entry.old, entry.new) == ("imported", "pc-i440fx-7.2", "q35")


def test_optional_keys_and_empty_lines_may_be_left_out(catalog: Catalog) -> None:
    """What may be unknown needn't be written."""
    needed = ("format", "uuid", "machine", "arch", "source", "actor", "created_at", "updated_at")
    short = json.dumps({key: GOOD[key] for key in needed})
    counts = counted(import_lines(catalog, ["\n", f"{short}\n", "  "], actor="root"))

    expected = replace(
        pin(), seen=None, reason=None, root_image=None, qemu_version=None, libvirt_version=None
    )
    assert counts == {"added": 1}
    assert expected == catalog.get_pin(UUID)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("{", "not a pin in the format mthook-pin-1"),
        ("[" * 100000, "not a pin in the format mthook-pin-1"),
        ("[]", "not a pin in the format mthook-pin-1"),
        ('"text"', "not a pin in the format mthook-pin-1"),
        (_line(format="mthook-pin-2"), "not a pin in the format mthook-pin-1"),
        (json.dumps(asdict(pin())), "not a pin in the format mthook-pin-1"),
        (_line(**{"evil\nkey": 1}), "unknown key evil\\nkey"),
        (json.dumps({**GOOD, "machine": None}).replace("machine", "mach"), "unknown key mach"),
        (json.dumps({"format": "mthook-pin-1"}), "actor is missing"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "machine"}), "machine is missing"),
        (_line(uuid=None), "uuid is not a text"),
        (_line(uuid=7), "uuid is not a text"),
        (_line(uuid="web1"), "badly formed hexadecimal UUID string"),
        (_line(uuid=UUID.upper()), "uuid is not in its canonical form"),
        (_line(actor=None), "actor is not a text"),
        (_line(seen=["x"]), "seen is not a text"),
        (_line(machine={}), "machine is not a text"),
        (_line(created_at="now"), "created_at is not a time such as 2026-11-22T13:00:00.000000Z"),
        (_line(seen="pc; rm -rf /"), "machine type 'pc; rm -rf /' holds characters"),
        (_line(seen=""), "the machine type is empty"),
        (_line(updated_at="2026-99-99T00:00:00.000000Z"), "updated_at is not a time such as"),
        (_line(updated_at="2026-02-29T00:00:00.000000Z"), "updated_at is not a time such as"),
        (_line(updated_at="2026-01-01T24:00:00.000000Z"), "updated_at is not a time such as"),
        (
            _line(updated_at="9999-01-01T00:00:00.000000Z"),
            "updated_at is 9999-01-01T00:00:00.000000Z, which is in the future: check the clocks",
        ),
        (
            _line(created_at="2999-01-01T00:00:00.000000Z"),
            "created_at is 2999-01-01T00:00:00.000000Z, which is in the future",
        ),
        (_line(source="\x1b[2J"), "source holds control characters"),
        (_line(arch="x86\n64"), "arch holds control characters"),
        (_line(root_image="1234"), "badly formed hexadecimal UUID string"),
        (_line(root_image=UUID.upper()), "root_image isn't a list of UUIDs separated by spaces"),
        (_line(reason="\ud800"), "reason isn't Unicode"),
        (
            _line(updated_at=f"{AT}\n"),
            "updated_at is not a time such as 2026-11-22T13:00:00.000000Z",
        ),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    catalog: Catalog, bad: str, complaint: str
) -> None:
    """Good lines before and after it don't count either."""
    with pytest.raises(Error) as caught:
        import_lines(catalog, [_line(), bad, _line(uuid=OTHER)], actor="root")

    message = str(caught.value)
    assert message.startswith(f"line 2: {complaint}")
    assert message.endswith(": nothing was imported")
    assert "\n" not in message
    assert list(catalog.pins()) == []


def test_a_clock_that_is_a_little_ahead_is_no_fault(catalog: Catalog) -> None:
    """Hosts' clocks differ."""
    ahead = now(time.time() + 3600)

    assert counted(import_lines(catalog, [_line(updated_at=ahead)], actor="root")) == {"added": 1}


def test_a_bad_machine_type_is_named(catalog: Catalog) -> None:
    """What can't be a machine type never becomes a pin."""
    with pytest.raises(Error) as caught:
        import_lines(catalog, [_line(machine="pc; rm -rf /")], actor="root")

    assert str(caught.value).startswith("line 1: ")
    assert "pc; rm -rf /" in str(caught.value)
    assert list(catalog.pins()) == []


def test_an_import_that_fails_half_way_imports_nothing(catalog: Catalog) -> None:
    """All pins are one transaction."""
    with catalog.transaction() as direct:
        direct.execute(
            "CREATE TRIGGER no BEFORE INSERT ON pins WHEN new.uuid LIKE '%2'"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(Error):
        import_lines(catalog, [_line(), _line(uuid=OTHER)], actor="root")

    assert (list(catalog.pins()), catalog.history(UUID)) == ([], [])
