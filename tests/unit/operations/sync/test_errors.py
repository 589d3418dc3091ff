# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with one guest, with libvirt, or with the catalog."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import libvirt
import pytest

from tests.unit.host.fakes import (
    OTHER,
    UUID,
    FakeDomain,
    domain_xml,
    failure,
)
from tests.unit.operations.sync.setting import Setting, dump

OPEN = libvirt.open


def test_one_unreadable_guest_does_not_stop_the_others(setting: Setting) -> None:
    """Its line names it, once; the others get their pins, and it doesn't count as gone."""
    setting.libvirt.domains = [FakeDomain(), FakeDomain(domain_xml(uuid=OTHER), uuid=OTHER)]
    setting.sync("--only", "repair")
    setting.libvirt.domains[0] = FakeDomain("<domain>", name="web\n1")

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"mthook-sync: web\\n1 ({UUID}): not well-formed XML: ")
    assert setting.pins() == {OTHER: ("pc-i440fx-7.2", "definition")}
    assert [guest.gone_since for guest in setting.guests().values()] == [None, None]


def test_an_unreadable_guest_that_was_never_seen_is_not_made_up(setting: Setting) -> None:
    """Of a guest whose XML can't be read there is nothing to keep."""
    setting.libvirt.domains = [FakeDomain("<domain>")]

    assert setting.sync()[0] == 1
    assert setting.guests() == {}


def test_libvirt_that_goes_away_ends_the_run(setting: Setting) -> None:
    """The rest of the guests is not taken for gone, and the error is told once."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2"))]
    setting.sync()
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    before = dump(setting.path)

    def die(domain: FakeDomain) -> None:
        setting.libvirt.alive = False
        raise failure(libvirt.VIR_ERR_RPC, "client socket is closed")

    setting.libvirt.on_lookup = die

    assert setting.sync() == (
        1,
        "",
        f"mthook-sync: guest {UUID} can't be found: client socket is closed\n",
    )
    assert kept_errors(setting) == [(None, f"guest {UUID} can't be found: client socket is closed")]
    after = dump(setting.path)
    changed = [line for line in after if line not in before]
    assert [line.partition(" VALUES")[0] for line in changed] == ['INSERT INTO "host"']
    assert len(after) == len(before)


def kept_errors(setting: Setting) -> list[tuple[str | None, str]]:
    """Return what the catalog keeps of the last sync's errors: name and words."""
    with setting.catalog() as catalog:
        text = catalog.host().last_sync_errors
    return [(one["name"], one["message"]) for one in json.loads(text)["errors"]] if text else []


def test_the_errors_of_a_sync_are_kept_until_one_goes_well(setting: Setting) -> None:
    """Those of a run that breaks off too; a run of one step or a dry run says nothing about the whole."""
    setting.libvirt.domains = [FakeDomain("<domain>", name="web-1")]
    setting.sync()
    ((name, words),) = kept_errors(setting)
    assert (name, words.startswith("web-1 (")) == ("web-1", True)

    setting.libvirt.domains = []
    for args in (["--only", "seed"], ["--dry-run"]):
        setting.sync(*args)
        assert kept_errors(setting) == [(name, words)]
    setting.sync()

    assert kept_errors(setting) == []


def test_of_very_many_errors_the_first_are_kept_and_the_number(setting: Setting) -> None:
    """What a host with thousands of guests meets doesn't fill the catalog."""
    uuids = [f"3f2c1d3e-0000-4000-8000-{number:012}" for number in range(30)]
    setting.libvirt.domains = [FakeDomain("<domain>", uuid=uuid, name=uuid[-2:]) for uuid in uuids]

    setting.sync()

    assert len(kept_errors(setting)) == 20
    with setting.catalog() as catalog:
        assert json.loads(catalog.host().last_sync_errors or "")["number"] == 30


def test_without_libvirt_the_policy_is_compiled_all_the_same(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names URI and reason; the hook gets its configuration, nothing else changes."""
    monkeypatch.setattr(libvirt, "open", OPEN)
    setting.configure(
        "[hook]\nmode = audit\n[libvirt]\nconnection_uri = qemu+unix:///system?socket=/nonexistent\n"
    )

    assert setting.sync() == (
        1,
        "",
        (
            "mthook-sync: libvirt at qemu+unix:///system?socket=/nonexistent can't be reached: "
            "Failed to connect socket to '/nonexistent': No such file or directory\n"
        ),
    )
    with setting.catalog() as catalog:
        policy, host = catalog.settings(), catalog.host()
    assert policy is not None and policy.mode == "audit"
    assert (host.last_sync_at, host.qemu_version) == (None, None)


def test_without_libvirt_python_one_line_says_what_to_install(setting: Setting) -> None:
    """It is an optional dependency; the hook's configuration is compiled all the same."""
    code = (
        "import sys; sys.modules['libvirt'] = None\n"
        "from mthook.tools.sync import main; sys.exit(main(sys.argv[1:]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "--config-file", str(setting.config)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        (
            "mthook-sync: libvirt can't be asked: import of libvirt halted; None in sys.modules: "
            "install libvirt-python\n"
        ),
    )
    with setting.catalog() as catalog:
        assert catalog.settings() is not None


def test_a_catalog_that_fails_ends_the_run(setting: Setting) -> None:
    """An error that every guest would meet is told once."""
    setting.libvirt.domains = [FakeDomain(), FakeDomain(domain_xml(uuid=OTHER), uuid=OTHER)]
    setting.sync("--only", "repair")
    connection = sqlite3.connect(setting.path)
    connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON pins BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    connection.commit()
    connection.close()

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert setting.path in err
