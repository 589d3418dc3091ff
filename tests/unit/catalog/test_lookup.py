# SPDX-License-Identifier: Apache-2.0
"""What the hook reads."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from mthook.catalog import lookup
from mthook.catalog.connection import Connection
from mthook.catalog.records import Capability, Compared, HostFacts
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError
from mthook.settings import Settings
from mthook.text import now

from .samples import AT, KVM, OTHER, UUID, alias, pin, summary

SETTINGS = Settings("audit", "deny", "refuse", 2.5, "alias", True, "/etc/mthook/mthook.conf:1:2:3")


def _fields(value: lookup.Known) -> dict[str, object]:
    return vars(value)


def _known(connection: Connection, uuid: str = UUID, at: str = AT) -> dict[str, object]:
    return _fields(lookup.lookup(connection, uuid, at))


NOTHING = {
    "settings": None,
    "machine": None,
    "seen": None,
    "updated_at": None,
    "root_image": None,
    "source": None,
    "gone_since": None,
    "repair": False,
    "has_row": False,
    "arrival": None,
    "latest": "2026-11-23T13:00:00.000000Z",
    "kept": None,
}


def test_nothing_is_known_of_a_stranger(connection: Connection, catalog: Catalog) -> None:
    """An empty catalog answers with absence, not with an error; other guests don't matter."""
    catalog.add_pin(pin(OTHER))

    assert _known(connection) == NOTHING


def test_a_pin_is_found(connection: Connection, catalog: Catalog) -> None:
    """All that the hook needs of a pin comes back."""
    catalog.add_pin(pin())

    expected = {
        **NOTHING,
        "has_row": True,
        "machine": "pc-i440fx-7.2",
        "seen": "pc-i440fx-7.2",
        "updated_at": AT,
        "root_image": "0a000000-0000-4000-8000-00000000000a",
        "source": pin().source,
    }
    assert expected == _known(connection)


def test_a_released_pin_is_a_row_without_machine(connection: Connection, catalog: Catalog) -> None:
    """Released and never pinned can be told apart."""
    catalog.add_pin(pin())
    catalog.unset_pin(UUID, actor="root")
    known = lookup.lookup(connection, UUID, AT)

    assert (known.has_row, known.machine, known.seen) == (True, None, None)


def test_the_settings_come_with_any_lookup(connection: Connection, catalog: Catalog) -> None:
    """The compiled settings are there for pinned and unknown guests alike."""
    catalog.compile_settings(SETTINGS)
    found = lookup.lookup(connection, UUID, AT).settings

    assert found == SETTINGS


def test_the_hook_can_compile_the_settings_itself(connection: Connection, catalog: Catalog) -> None:
    """What the slow path has read from the configuration is kept for the next hooks."""
    catalog.compile_settings(Settings(fingerprint="old"))
    Catalog(connection).compile_settings(SETTINGS, AT)

    assert catalog.settings() == Settings(*SETTINGS.values()[:-1], compiled_at=AT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "arrival"), [(0, "pc-q35-7.2"), (119.9, "pc-q35-7.2"), (120.1, None)]
)
def test_an_arrival_is_known_for_two_minutes(
    connection: Connection, seconds: float, arrival: str | None
) -> None:
    """A ``prepare`` long after a ``migrate`` is another start."""
    Catalog(connection).record_arrival(UUID, "pc-q35-7.2", now(1000))

    at = now(1000 + seconds)
    assert _known(connection, at=at)["arrival"] == arrival


def test_aliases_are_those_of_the_emulator(connection: Connection, catalog: Catalog) -> None:
    """Every emulator resolves its own aliases; versioned names are none."""
    mine = [alias("pc", "pc-i440fx-7.2"), alias("q35", "pc-q35-7.2"), alias("pc-q35-7.2", None)]
    catalog.replace_capabilities([*mine, alias("pc", "pc-i440fx-8.0", "/opt/qemu")], HostFacts())

    expected = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}
    assert expected == lookup.aliases(connection, KVM, "x86_64", "kvm")


def test_nothing_is_known_of_an_emulator_whose_file_has_changed(
    connection: Connection, catalog: Catalog, tmp_path: Path
) -> None:
    """Its aliases mean something else by now, and an unknown emulator's may; another architecture's don't."""
    emulator = tmp_path / "qemu"
    emulator.write_text("7.2")
    seen = lookup.stamp(str(emulator))
    mine = Capability(str(emulator), "x86_64", "kvm", "pc", "pc-i440fx-7.2", stamp=seen)
    elsewhere = Capability(KVM, "aarch64", "kvm", "virt", "virt-7.2")
    catalog.replace_capabilities([mine, alias("pc", "pc-i440fx-7.2"), elsewhere], HostFacts())
    assert lookup.aliases(connection, str(emulator), "x86_64", "kvm") == {"pc": "pc-i440fx-7.2"}
    assert catalog.changed_archs() == set()

    emulator.write_text("10.0")

    assert lookup.aliases(connection, str(emulator), "x86_64", "kvm") == {}
    assert lookup.aliases(connection, None, "x86_64", "kvm") == {}
    assert lookup.aliases(connection, KVM, "x86_64", "kvm") == {"pc": "pc-i440fx-7.2"}
    assert (catalog.changed_archs(), catalog.capabilities()) == ({"x86_64"}, [elsewhere])


def test_an_emulator_out_of_sight_has_not_changed(
    connection: Connection, catalog: Catalog, tmp_path: Path
) -> None:
    """It is in another container, where it can't be looked at: at the sync, or now."""
    emulator = tmp_path / "qemu"
    unseen = Capability(str(emulator), "x86_64", "kvm", "pc", "pc-i440fx-7.2")
    for one in (unseen, replace(unseen, stamp="1:1")):
        catalog.replace_capabilities([one], HostFacts())
        assert lookup.aliases(connection, str(emulator), "x86_64", "kvm") != {}
    emulator.write_text("7.2")
    catalog.replace_capabilities([unseen], HostFacts())
    assert lookup.aliases(connection, str(emulator), "x86_64", "kvm") != {}


@pytest.mark.parametrize("emulator", [None, "/usr/libexec/unknown"])
def test_an_unknown_emulator_has_what_all_agree_on(
    connection: Connection, catalog: Catalog, emulator: str | None
) -> None:
    """An alias that two emulators resolve differently says nothing about a third."""
    common = [alias("q35", "pc-q35-7.2"), alias("q35", "pc-q35-7.2", "/opt/qemu")]
    differing = [alias("pc", "pc-i440fx-7.2"), alias("pc", "pc-i440fx-8.0", "/opt/qemu")]
    elsewhere = [
        Capability(KVM, "aarch64", "kvm", "virt", "virt-7.2"),
        Capability(KVM, "x86_64", "qemu", "isa", "isa-1.0"),
        alias("pc-q35-7.2", None),
    ]
    catalog.replace_capabilities(common + differing + elsewhere, HostFacts())

    assert lookup.aliases(connection, emulator, "x86_64", "kvm") == {"q35": "pc-q35-7.2"}


def test_a_host_without_capabilities_has_no_aliases(connection: Connection) -> None:
    """Before the first sync nothing can be resolved."""
    assert lookup.aliases(connection, KVM, "x86_64", "kvm") == {}


def test_looking_up_leaves_nothing_behind(path: str, catalog: Catalog) -> None:
    """The last to close takes the -wal and -shm files away; the catalog is as it was."""
    catalog.add_pin(pin())
    catalog.close()
    before = Path(path).read_bytes()
    connection = lookup.connect(path, timeout=5)
    lookup.lookup(connection, UUID, AT)
    connection.close()

    assert [path] == [str(file) for file in Path(path).parent.iterdir()]
    assert before == Path(path).read_bytes()


@pytest.mark.parametrize(
    "call",
    [
        lambda conn: lookup.lookup(conn, UUID, AT),
        lambda conn: lookup.aliases(conn, KVM, "x86_64", "kvm"),
        lambda conn: lookup.compared(conn, UUID),
        lambda conn: Catalog(conn).record_pin(summary(), "q35", source="first boot", at=AT),
        lambda conn: Catalog(conn).record_drift(summary(), "pc", "q35", "started", AT),
        lambda conn: Catalog(conn).record_running(summary(), "pc", AT),
        lambda conn: Catalog(conn).record_stop(summary(), "pc", "q35", "prepare", AT),
        lambda conn: Catalog(conn).record_arrival(UUID, "pc", AT),
        lambda conn: Catalog(conn).take_arrival(UUID),
        lambda conn: Catalog(conn).unset_pin(UUID, actor="hook", reason="", at=AT),
        lambda conn: Catalog(conn).set_compared(Compared(UUID, "pc", 1, None)),
        lambda conn: Catalog(conn).pins().__next__(),
        lambda conn: Catalog(conn).compile_settings(SETTINGS, AT),
    ],
)
def test_every_failure_names_the_catalog(path: str, connection: Connection, call: object) -> None:
    """SQLite's errors never reach the hook as they are."""
    connection.close()
    with pytest.raises(CatalogError) as caught:
        call(connection)  # type: ignore[operator]

    expected = f"the catalog {path} can't be used: Cannot operate on a closed database."
    assert (expected, path) == (str(caught.value), caught.value.path)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
