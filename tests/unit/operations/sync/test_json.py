# SPDX-License-Identifier: Apache-2.0
"""One JSON document of a run, for programs."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from mthook.locks import only_one
from mthook.operations.acts import KINDS
from tests.unit.host.fakes import (
    OTHER,
    UUID,
    FakeDomain,
    domain_xml,
)
from tests.unit.operations.sync.setting import Setting, kept, wait_for_repair

#: Whom an error of no guest names.
NOBODY = dict.fromkeys(("uuid", "name", "display_name"))
#: What every act has.
NOTHING = dict.fromkeys(("uuid", "name", "old", "new", "source", "reason", "display_name")) | {
    "changes": []
}


def document(setting: Setting, *args: str, code: int = 0) -> dict[str, Any]:
    """Run mthook-sync and return what it prints."""
    ended, out, _ = setting.sync("-f", "json", *args)
    assert ended == code
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_run_tells_what_it_did_as_data(setting: Setting) -> None:
    """What has nothing of is null or an empty list; nothing else is on standard output."""
    setting.libvirt.domains = [FakeDomain(domain_xml(), running=domain_xml("pc-i440fx-6.2"))]
    guest = {"uuid": UUID, "name": "web-1"}

    assert document(setting) == {
        "dry_run": False,
        "guests": 1,
        "acts": [
            NOTHING | {"kind": "compiled", "new": "enforce"},
            NOTHING | guest | {"kind": "pinned", "new": "pc-i440fx-6.2", "source": "running guest"},
            NOTHING | guest | {"kind": "realigned", "old": "pc-i440fx-7.2", "new": "pc-i440fx-6.2"},
        ],
        "in_enforce": [],
        "left_alone": [],
        "errors": [],
        "unguarded": [],
        "drift": 0,
        "counts": dict.fromkeys(KINDS, 0) | {"compiled": 1, "pinned": 1, "realigned": 1},
    }


def test_nothing_to_do_is_empty_lists(setting: Setting) -> None:
    """Of a run as of a dry run."""
    setting.sync()

    for args in ([], ["--dry-run"]):
        assert document(setting, *args) == {
            "dry_run": bool(args),
            "guests": 0,
            "acts": [],
            "in_enforce": [],
            "left_alone": [],
            "errors": [],
            "unguarded": [],
            "drift": 0,
            "counts": dict.fromkeys(KINDS, 0),
        }


def test_a_dry_run_tells_the_acts_of_the_run_after_it(setting: Setting) -> None:
    """Pins, a change of family, a repair, a changed configuration; each once though two steps meet it."""
    setting.libvirt.domains = [
        FakeDomain(domain_xml("pc-q35-7.2")),
        FakeDomain(domain_xml(uuid=OTHER), uuid=OTHER, name="web\n2"),
    ]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="root")
        catalog.keep(kept())
    wait_for_repair(setting, age=6000)

    planned, done = document(setting, "--dry-run"), document(setting)

    assert planned.pop("dry_run") is not done.pop("dry_run")
    assert (planned.pop("drift"), done.pop("drift")) == (1, 0)
    assert planned == done
    kinds = [(act["kind"], act["name"]) for act in done["acts"]]
    assert kinds == [
        ("compiled", None),
        ("pinned", "web\n2"),
        ("realigned", "web-1"),
        ("repaired", "web-1"),
    ]
    assert [bool(act["changes"]) for act in done["acts"]] == [False, False, True, False]


def test_errors_and_guests_left_alone_are_told_by_uuid_and_name(setting: Setting) -> None:
    """Errors on standard error as well, as ever."""
    setting.libvirt.domains = [
        FakeDomain("<domain>", name="web\n1"),
        FakeDomain(domain_xml("pc-i440fx-7.2", uuid=OTHER), uuid=OTHER, saved=domain_xml()),
    ]
    with setting.catalog() as catalog:
        catalog.set_pin(OTHER, "pc-i440fx-6.2", source="operator", actor="root")

    code, out, err = setting.sync("-f", "json")

    found = json.loads(out)
    (error,), (left,) = found["errors"], found["left_alone"]
    assert (code, err) == (1, f"mthook-sync: {error['message']}\n")
    assert (error["uuid"], error["name"]) == (UUID, "web\n1")
    assert error["message"].startswith(f"web\\n1 ({UUID}): not well-formed XML: ")
    detail = f"web-1 ({OTHER}): left alone: it has a managed-save image, which holds its own machine type"
    who = {"uuid": OTHER, "name": "web-1", "display_name": None}
    assert left == {**who, "reason": "saved_state", "detail": detail}


def test_a_run_that_ends_early_tells_how_far_it_came(setting: Setting) -> None:
    """Another one that is running, and a configuration that can't be read, are errors of no guest."""
    setting.sync()

    with only_one(os.path.dirname(setting.path)):
        found = document(setting, code=3)
    message = f"another mthook-sync is running: PID {os.getpid()}"
    assert found["errors"] == [NOBODY | {"message": message}]

    setting.configure("[hook]\nmode = loud\n")
    (error,) = document(setting, "--dry-run", code=1)["errors"]
    assert str(setting.config) in error["message"]


@pytest.mark.parametrize("args", [["-f", "xml"], ["-f", "json", "--only", "pull"]])
def test_a_wrong_command_line_gives_no_document(setting: Setting, args: list[str]) -> None:
    """One line says what is wrong."""
    code, out, err = setting.sync(*args)

    assert (code, out, err.count("\n")) == (2, "", 1)
