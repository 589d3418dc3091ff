# SPDX-License-Identifier: Apache-2.0
"""The machine type in a request spec. That real Nova reads what is written is in tests/nova."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mthook.errors import RequestSpecError
from mthook.nova.requestspecs import machine_of, with_machine
from tests.specs import properties_of, request_spec

UUID = "c1000000-0000-4000-8000-000000000001"
PC, Q35 = "pc-i440fx-7.2", "q35"


def _without(spec: str) -> Any:
    """Return a spec as data, without what may change of it."""
    found = json.loads(spec)
    properties = found["nova_object.data"]["image"]["nova_object.data"]["properties"]
    properties["nova_object.data"].pop("hw_machine_type", None)
    changes = properties["nova_object.changes"]
    properties["nova_object.changes"] = [one for one in changes if one != "hw_machine_type"]
    return found


@pytest.mark.parametrize("before", [{}, {"hw_machine_type": Q35}])
def test_a_machine_type_is_written_and_nothing_else(before: dict[str, str]) -> None:
    """Order, numbers and what nobody here knows of stay."""
    spec = request_spec(
        UUID, {"hw_from_the_future": [1, 2.5, {"a": None}], "x": "ü\ud800", **before}
    )

    after = with_machine(spec, PC)

    assert machine_of(after) == PC
    assert list(json.loads(after)) == list(json.loads(spec))
    assert json.dumps(_without(after)) == json.dumps(_without(spec))
    assert after.isascii()


def test_writing_it_again_changes_nothing() -> None:
    """Not a byte."""
    once = with_machine(request_spec(UUID), PC)

    assert with_machine(once, PC) == once


def test_a_machine_type_is_taken_out() -> None:
    """Also from the list of changed fields, which Nova goes through."""
    spec = with_machine(request_spec(UUID), PC)

    after = with_machine(spec, None)

    assert machine_of(after) is None
    assert after == request_spec(UUID)
    assert with_machine(after, None) == after


def test_a_spec_without_a_list_of_changes_gets_none() -> None:
    """Older releases write it so."""
    spec = json.loads(request_spec(UUID))
    del spec["nova_object.data"]["image"]["nova_object.data"]["properties"]["nova_object.changes"]

    after = with_machine(json.dumps(spec), PC)

    assert after.count("nova_object.changes") == json.dumps(spec).count("nova_object.changes")


@pytest.mark.parametrize("value", [None, "", 7, ["q35"]])
def test_what_is_no_name_counts_as_none(value: Any) -> None:
    """And is replaced."""
    spec = request_spec(UUID, {"hw_machine_type": value})

    assert machine_of(spec) is None
    assert properties_of(with_machine(spec, PC))["hw_machine_type"] == PC


def _damaged(path: str, value: Any) -> str:
    """Return a spec in which one thing is another."""
    spec = json.loads(request_spec(UUID))
    *names, last = path.split("/")
    place = spec
    for name in names:
        place = place[f"nova_object.{name}" if name in ("data", "name") else name]
    place[f"nova_object.{last}" if last in ("name", "namespace", "version", "data") else last] = (
        value
    )
    return json.dumps(spec)


IMAGE, PROPERTIES = "data/image", "data/image/data/properties"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "spec_not_json"),
        ("{", "spec_not_json"),
        (request_spec(UUID)[:2000], "spec_not_json"),
        ("[" * 100_000, "spec_not_json"),
        ("[]", "spec_unknown"),
        ("7", "spec_unknown"),
        ("null", "spec_unknown"),
        (_damaged("name", "Flavor"), "spec_unknown"),
        (_damaged("name", ["RequestSpec"]), "spec_unknown"),
        (_damaged("namespace", "watcher"), "spec_unknown"),
        (_damaged("data", []), "spec_unknown"),
        (_damaged(IMAGE, "cirros"), "spec_unknown"),
        (_damaged(PROPERTIES, {"hw_machine_type": "pc"}), "spec_unknown"),
        (_damaged(f"{PROPERTIES}/name", "ImageMeta"), "spec_unknown"),
        (_damaged("version", "2.0"), "spec_unknown_version"),
        (_damaged("version", 1.15), "spec_unknown_version"),
        (_damaged(f"{IMAGE}/version", "10.0"), "spec_unknown_version"),
        (_damaged(f"{PROPERTIES}/version", None), "spec_unknown_version"),
        (_damaged(IMAGE, None), "spec_no_image"),
        (_damaged(f"{IMAGE}/data", {}), "spec_no_properties"),
        (_damaged(PROPERTIES, None), "spec_no_properties"),
    ],
)
def test_what_isnt_understood_is_refused(spec: str, reason: str) -> None:
    """By name, whether it is read or written."""
    with pytest.raises(RequestSpecError) as read:
        machine_of(spec)
    with pytest.raises(RequestSpecError) as written:
        with_machine(spec, PC)

    assert (read.value.reason, written.value.reason) == (reason, reason)


def test_a_newer_minor_version_is_understood() -> None:
    """Nova raises it with each new field."""
    assert machine_of(_damaged("version", "1.99")) is None
