# SPDX-License-Identifier: Apache-2.0
"""``get``: the pin and nothing else, for scripts."""

from __future__ import annotations

import json

import libvirt
import pytest

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from mthook.text import now
from tests.programs import Said

from .conftest import DB, NOBODY, UNREACHABLE, WEB, Run, guest, pin, xml


@pytest.mark.parametrize(
    "how", [WEB, WEB.upper(), WEB.replace("-", ""), "web-1"], ids=["uuid", "upper", "plain", "name"]
)
def test_the_pin_is_all_that_is_printed(run: Run, web: Guest, how: str) -> None:
    """However the guest is named, standard output holds its pin alone."""
    assert run("get", how) == Said(0, "pc-i440fx-6.2\n", "")


def test_a_pin_of_a_guest_never_seen_here_is_found_by_its_uuid(run: Run, catalog: Catalog) -> None:
    """An imported pin has no guest on this host yet."""
    pin(catalog, WEB, "pc")

    assert run("get", WEB) == Said(0, "pc\n", "")


def test_an_unknown_instance_is_code_2(run: Run, catalog: Catalog) -> None:
    """Neither the catalog nor libvirt knows it."""
    said = run("get", NOBODY)

    assert said == Said(2, "", f"mthook-admin: no instance has the UUID or name '{NOBODY}'\n")


@pytest.mark.usefixtures("unreachable")
def test_what_nobody_can_tell_is_not_called_unknown(run: Run, catalog: Catalog) -> None:
    """Without libvirt a name that the catalog lacks may be a new guest's: code 1, not 2."""
    said = run("get", "web-1")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(
        "mthook-admin: no instance has the UUID or name 'web-1' in the catalog, and libvirt at "
        f"{UNREACHABLE} can't be reached: "
    )
    assert said.err.count("\n") == 1


def test_a_guest_without_a_pin_is_code_3(run: Run, catalog: Catalog) -> None:
    """The catalog has seen it and has no pin."""
    catalog.see_guests([guest()], now())

    assert run("get", "web-1") == Said(3, "", f"mthook-admin: web-1 ({WEB}): no pin\n")


def test_a_released_pin_is_no_pin(run: Run, catalog: Catalog, web: Guest) -> None:
    """After unset the row is there, without a machine type."""
    catalog.unset_pin(WEB, actor="operator alice")

    assert run("get", "web-1") == Said(3, "", f"mthook-admin: web-1 ({WEB}): no pin\n")


def test_a_guest_that_only_libvirt_knows_has_no_pin(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """A guest defined since the last sync is found, and has none."""
    driver.defineXML(xml())

    assert run("get", "web-1") == Said(3, "", f"mthook-admin: web-1 ({WEB}): no pin\n")


def test_two_guests_of_one_name_are_told_apart_by_uuid(run: Run, catalog: Catalog) -> None:
    """The message gives both."""
    catalog.see_guests([guest(WEB, "twin"), guest(DB, "twin")], now())

    said = run("get", "twin")

    assert said == Said(
        1, "", f"mthook-admin: several guests match 'twin', say which: twin ({WEB}), twin ({DB})\n"
    )


def test_a_gone_guest_gives_its_name_up(run: Run, catalog: Catalog) -> None:
    """A new guest of the name is meant; the old one still answers where there is no other."""
    catalog.see_guests([guest(WEB, "web-1")], now())
    catalog.see_guests([guest(DB, "web-1")], now())
    pin(catalog, WEB, "pc-i440fx-6.2")
    pin(catalog, DB, "pc-q35-7.2")

    assert run("get", "web-1").out == "pc-q35-7.2\n"

    catalog.see_guests([], now())
    catalog.forget(DB, actor="mthook-sync", reason=None)

    assert run("get", "web-1").out == "pc-i440fx-6.2\n"


def test_a_uuid_counts_before_a_guest_named_like_it(run: Run, catalog: Catalog) -> None:
    """Somebody called a guest by another's UUID."""
    catalog.see_guests([guest(WEB, "web-1"), guest(DB, WEB)], now())
    pin(catalog, WEB, "pc-i440fx-6.2")
    pin(catalog, DB, "pc-q35-7.2")

    assert run("get", WEB).out == "pc-i440fx-6.2\n"


def test_a_name_shaped_like_a_uuid_is_a_name_too(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """No instance has that UUID, so it is the name, in the catalog and in libvirt."""
    catalog.see_guests([guest(DB, NOBODY)], now())
    pin(catalog, DB, "pc-q35-7.2")
    driver.defineXML(xml("pc-q35-7.2", uuid=DB, name=NOBODY))

    assert run("get", NOBODY).out == "pc-q35-7.2\n"
    said = run("set", NOBODY, "pc-q35-7.2")
    assert said.err == f"{NOBODY} ({DB}): already pinned to pc-q35-7.2\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("--help", "--help"),
        ("-v", "-v"),
        ("two words", "two words"),
        ("line\nend", "line\\nend"),
        ("quo'te\"s", "quo'te\"s"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("$(reboot); DROP TABLE pins", "$(reboot); DROP TABLE pins"),
        ("größe-日本", "größe-日本"),
    ],
)
def test_any_name_is_only_a_name(run: Run, catalog: Catalog, name: str, shown: str) -> None:
    """After ``--`` whatever a guest is called finds it, and is printed in one harmless line."""
    catalog.see_guests([guest(name=name)], now())

    assert run("get", "--", name) == Said(3, "", f"mthook-admin: {shown} ({WEB}): no pin\n")


def test_a_name_that_is_no_text_is_refused(run: Run, catalog: Catalog) -> None:
    """Bytes that aren't UTF-8 reach Python as lone surrogates."""
    said = run("get", "web\udcff")

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "web\\udcff isn't UTF-8" in said.err


def test_an_overlong_name_is_cut_in_messages(run: Run, catalog: Catalog) -> None:
    """A line stays a line."""
    said = run("get", "x" * 100_000)

    assert said.err == f"mthook-admin: no instance has the UUID or name '{'x' * 200}...'\n"


def test_an_instance_without_a_guest_is_called_as_nova_calls_it(run: Run, catalog: Catalog) -> None:
    """One in ERROR has no domain; its pin is no nameless one."""
    catalog.see_instances({WEB: ("shop", "error")})
    catalog.unset_pin(WEB, actor="operator alice")

    assert run("get", "shop") == Said(3, "", f"mthook-admin: shop ({WEB}): no pin\n")


def test_with_a_format_all_that_is_known_is_printed(run: Run, web: Guest, catalog: Catalog) -> None:
    """By the keys that list has; code 3 is the same, and what there isn't is null."""
    pinned = catalog.get_pin(WEB)
    assert pinned is not None

    assert json.loads(run("get", "web-1", "-f", "json").out) == {
        "pin": "pc-i440fx-6.2",
        "uuid": WEB,
        "name": "web-1",
        "display_name": None,
        "source": "definition",
        "updated": pinned.updated_at,
        "seen": None,
        "by": "mthook-sync",
        "reason": None,
    }
    assert run("get", "web-1", "-c", "source", "-c", "UUID").out == f"{WEB}\ndefinition\n"
    assert "Source        definition\n" in run("get", "web-1", "-f", "table").out
    catalog.unset_pin(WEB, actor="operator alice")
    said = run("get", "web-1", "-f", "json")
    assert (said.code, set(json.loads(said.out).values())) == (3, {None, WEB, "web-1"})
    assert said.err == f"mthook-admin: web-1 ({WEB}): no pin\n"
