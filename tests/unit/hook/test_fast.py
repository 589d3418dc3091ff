# SPDX-License-Identifier: Apache-2.0
"""One call of the hook after another, as libvirtd makes them, against a real catalog."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from mthook import conf, journal, judgement, text
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError
from mthook.hook import fast, install, slow
from mthook.settings import Settings
from tests.unit.hook.conftest import IMAGE, UUID, Answer, Hooked, domain, travelling

SILENT = Answer(fast.ALLOWED, "", "", [])
OTHER_IMAGE = "00000000-7081-4293-a4b5-c6d7e8f90a1b"
REPAIR = "'mthook-sync --only repair --start' mends the definition and starts the guest"
ACCEPT = f"'mthook-admin set {UUID} pc-i440fx-6.2 --allow older' accepts the change"
STOPPED = (
    f"start of guest web-1 ({UUID}) stopped: its machine type is pinned to pc-i440fx-7.2, "
    f"its definition says pc-i440fx-6.2; {REPAIR}, {ACCEPT}"
)

WRONG = domain("pc-i440fx-6.2")
#: A user without processes.
_NOBODY = 65534


def test_a_first_start_is_allowed_and_recorded_once_the_guest_runs(hooked: Hooked) -> None:
    """What a definition says is a wish; what has started is a fact."""
    assert hooked.call("prepare") == SILENT
    assert hooked.pinned() is None

    started = hooked.call("started")

    assert started.code == fast.ALLOWED
    assert started.log == [
        f"started of guest web-1 ({UUID}): pinned to pc-i440fx-7.2, from the first boot"
    ]
    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
        assert pin is not None
        assert (pin.machine, pin.seen, pin.source, pin.actor) == ("pc-i440fx-7.2",) * 2 + (
            "first boot",
            "hook",
        )
        assert (pin.qemu_version, pin.libvirt_version) == ("7.2.22", "9.0.0")
        assert [(guest.name, guest.running) for guest in catalog.guests()] == [
            ("web-1", "pc-i440fx-7.2")
        ]
    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]


@pytest.mark.parametrize(
    "operation", ["prepare", "started", "migrate", "restore", "reconnect", "attach"]
)
def test_a_satisfied_pin_is_silence(hooked: Hooked, operation: str) -> None:
    """Nothing printed, logged or added to the history when all is well."""
    hooked.pin("pc-i440fx-7.2")

    assert hooked.call(operation) == SILENT
    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]


def test_an_alias_pin_is_satisfied_by_any_version_of_its_line(hooked: Hooked) -> None:
    """A hard reboot after an upgrade of QEMU isn't refused to a guest whose pin is an alias."""
    hooked.pin("pc", seen="pc-i440fx-6.2")

    assert hooked.call("prepare") == SILENT
    assert hooked.call("migrate") == SILENT


def test_a_start_unlike_its_pin_is_stopped_with_one_line_that_says_it_all(hooked: Hooked) -> None:
    """Guest, pin, what was found, and what to do."""
    hooked.pin("pc-i440fx-7.2")

    assert hooked.call("prepare", WRONG) == Answer(
        fast.STOPPED, "", f"mthook: {STOPPED}\n", [STOPPED]
    )
    with hooked.catalog() as catalog:
        repairs = catalog.repairs()
    assert [(r.uuid, r.name, r.pin, r.found, r.nova, r.restart) for r in repairs] == [
        (UUID, "web-1", "pc-i440fx-7.2", "pc-i440fx-6.2", False, True)
    ]
    assert hooked.events()[-1] == ("stopped", "pc-i440fx-7.2", "pc-i440fx-6.2")
    assert hooked.trigger.stat().st_mode & 0o777 == 0o600


def test_a_guest_whose_arguments_name_another_machine_type_gets_another_remedy(
    hooked: Hooked,
) -> None:
    """No definition could mend that: QEMU goes by the argument."""
    hooked.configure("[hook]\nmode = enforce\n")
    hooked.pin("pc-i440fx-6.2")
    arguments = (
        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<q:arg value='-machine'/><q:arg value='type=pc-i440fx-7.2'/></q:commandline></domain>"
    )

    answer = hooked.call(
        "prepare", domain("pc-i440fx-6.2").replace(b"</domain>", arguments.encode())
    )

    assert answer.code == fast.STOPPED
    assert answer.errors.endswith(
        "; take -machine out of its <qemu:commandline>,"
        f" or 'mthook-admin set {UUID} pc-i440fx-7.2' accepts the change\n"
    )


def test_a_stopped_guest_of_novas_gets_another_remedy(hooked: Hooked) -> None:
    """Nova makes the definition anew; mending this one and starting it behind Nova's back would help nobody."""
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call("prepare", domain("pc-i440fx-6.2", image=IMAGE))

    remedy = "give the instance the machine type pc-i440fx-7.2 in Nova and start it again, or "
    accept = ACCEPT.replace("--allow older", "--allow running,older")
    assert answer.errors == f"mthook: {STOPPED.partition(REPAIR)[0]}{remedy}{accept}\n"
    with hooked.catalog() as catalog:
        assert [(repair.nova, repair.restart) for repair in catalog.repairs()] == [(True, False)]


def test_audit_never_stops_a_start_but_tells(hooked: Hooked) -> None:
    """The mode to begin with."""
    hooked.configure("[hook]\nmode = audit\n")
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call("prepare", WRONG)

    told = (
        f"prepare of guest web-1 ({UUID}): would be stopped in mode enforce: "
        "pinned to pc-i440fx-7.2, but would start as pc-i440fx-6.2"
    )
    assert answer == Answer(fast.ALLOWED, "", "", [told])
    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]
    hooked.call("started", WRONG)
    assert hooked.events()[-1] == ("drift", "pc-i440fx-7.2", "pc-i440fx-6.2")


def test_off_does_nothing_at_all(hooked: Hooked) -> None:
    """Neither stops nor records."""
    hooked.configure("[hook]\nmode = off\n")
    hooked.pin("pc-i440fx-7.2")

    for operation in ("prepare", "started", "migrate", "reconnect"):
        assert hooked.call(operation, WRONG) == SILENT
    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]


@pytest.mark.parametrize("operation", ["started", "reconnect", "attach"])
def test_a_running_guest_unlike_its_pin_is_drift_and_goes_on(
    hooked: Hooked, operation: str
) -> None:
    """Told once, however often libvirtd is restarted."""
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call(operation, WRONG)
    hooked.call(operation, WRONG)

    told = f"{operation} of guest web-1 ({UUID}): drift: pinned to pc-i440fx-7.2, it runs pc-i440fx-6.2"
    assert answer == Answer(fast.ALLOWED, "", "", [told])
    assert hooked.events()[1:] == [("drift", "pc-i440fx-7.2", "pc-i440fx-6.2")]
    assert hooked.pinned() == "pc-i440fx-7.2"


@pytest.mark.parametrize("operation", ["migrate", "restore", "reconnect", "attach"])
def test_a_guest_without_a_pin_gets_the_one_it_runs(hooked: Hooked, operation: str) -> None:
    """Whoever comes to this host or is found running on it."""
    hooked.call(operation, WRONG)

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None
    assert (pin.machine, pin.source) == ("pc-i440fx-6.2", "running guest")


def test_alias_style_records_the_alias_and_what_was_seen(hooked: Hooked) -> None:
    """[pin] style = alias."""
    hooked.configure("[pin]\nstyle = alias\n")

    hooked.call("started")

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None
    assert (pin.machine, pin.seen) == ("pc", "pc-i440fx-7.2")


@pytest.mark.parametrize("operation", ["migrate", "restore"])
def test_an_accepted_mismatch_lets_the_prepare_after_it_through_once(
    hooked: Hooked, operation: str
) -> None:
    """The guest has its hardware already; but its next cold start is stopped again."""
    hooked.pin("pc-i440fx-7.2")

    assert hooked.call(operation, WRONG).code == fast.ALLOWED
    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]
    assert hooked.call("prepare", WRONG) == SILENT
    assert hooked.call("started", WRONG).code == fast.ALLOWED
    assert hooked.events()[-1] == ("drift", "pc-i440fx-7.2", "pc-i440fx-6.2")
    assert hooked.call("prepare", WRONG).code == fast.STOPPED


def test_an_accepted_arrival_lets_no_other_machine_type_through(hooked: Hooked) -> None:
    """Only the guest that arrived, as it arrived."""
    hooked.pin("pc-i440fx-7.2")
    hooked.call("migrate", WRONG)

    assert hooked.call("prepare", domain("pc-i440fx-5.2")).code == fast.STOPPED


def test_an_arrival_that_never_became_a_start_expires(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that failed half-way doesn't open the door for a cold start much later."""
    hooked.pin("pc-i440fx-7.2")
    hooked.call("migrate", WRONG)
    later = text.now(time.time() + 121)
    monkeypatch.setattr(text, "now", lambda: later)

    assert hooked.call("prepare", WRONG).code == fast.STOPPED


@pytest.mark.parametrize(("operation", "word"), [("migrate", "migration"), ("restore", "restore")])
def test_a_refused_mismatch_says_so_and_wants_no_repair(
    hooked: Hooked, operation: str, word: str
) -> None:
    """The source keeps running, the saved image stays; there is no definition here to mend."""
    hooked.configure("[hook]\nmigrate_mismatch = refuse\n")
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call(operation, WRONG)

    assert answer.code == fast.STOPPED
    assert answer.errors == (
        f"mthook: {word} of guest web-1 ({UUID}) stopped: its machine type is pinned to pc-i440fx-7.2, it comes "
        f"with pc-i440fx-6.2; {ACCEPT}, so does [hook] migrate_mismatch = accept for all guests\n"
    )
    assert hooked.events()[-1] == ("stopped", "pc-i440fx-7.2", "pc-i440fx-6.2")
    assert not hooked.trigger.exists()
    with hooked.catalog() as catalog:
        assert catalog.repairs() == []


@pytest.mark.parametrize("operation", ["migrate", "restore"])
def test_an_alias_that_means_the_pin_is_rewritten_to_it(hooked: Hooked, operation: str) -> None:
    """The one change that libvirt's ABI check accepts, printed for libvirtd to read."""
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call(operation, domain("pc"))

    assert answer.code == fast.ALLOWED
    assert 'machine="pc-i440fx-7.2"' in answer.output
    assert answer.errors == ""
    assert answer.log == [f"{operation} of guest web-1 ({UUID}): pc renamed to pc-i440fx-7.2"]


def test_a_rewrite_that_fails_prints_nothing_and_lets_the_guest_in(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a document would be worse than none: libvirt resolves the alias by itself."""
    hooked.pin("pc-i440fx-7.2")
    monkeypatch.setattr(fast.HookCall, "left", lambda call: 0.0)
    monkeypatch.setattr(fast, "LOCK_SHARE", 1)

    answer = hooked.call("migrate", domain("pc"))

    assert (answer.code, answer.output) == (fast.ALLOWED, "")
    assert answer.log == [
        f"migrate of guest web-1 ({UUID}): not renamed to pc-i440fx-7.2: no answer within 0.0 s"
    ]


def test_a_rebuild_from_another_image_releases_the_pin(hooked: Hooked) -> None:
    """Allowed at prepare, recorded anew when it runs."""
    hooked.call("started", domain(image=IMAGE))

    assert hooked.call("prepare", domain("pc-q35-7.2", image=OTHER_IMAGE)) == SILENT
    hooked.call("started", domain("pc-q35-7.2", image=OTHER_IMAGE))

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None
    assert (pin.machine, pin.root_image, pin.reason) == (
        "pc-q35-7.2",
        OTHER_IMAGE,
        "rebuilt from another image",
    )
    assert hooked.events()[-1] == ("changed", "pc-i440fx-7.2", "pc-q35-7.2")


def test_an_unset_pin_is_recorded_anew_at_the_next_start(hooked: Hooked) -> None:
    """Even if an old pin still travels in the guest's metadata."""
    hooked.pin("pc-i440fx-7.2")
    with hooked.catalog() as catalog:
        catalog.unset_pin(UUID, actor="test")
    xml = domain("pc-i440fx-6.2", metadata=travelling("pc-i440fx-7.2", text.now()))

    assert hooked.call("prepare", xml) == SILENT
    hooked.call("started", xml)

    assert hooked.pinned() == "pc-i440fx-6.2"


def test_a_pin_that_travels_with_its_guest_is_learned_where_there_is_no_row(hooked: Hooked) -> None:
    """Also one that the guest that comes isn't like."""
    since = "2026-01-01T00:00:00.000000Z"
    xml = domain("pc-i440fx-6.2", metadata=travelling("pc-i440fx-7.2", since))

    hooked.call("migrate", xml)

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None
    assert (pin.machine, pin.source, pin.seen) == (
        "pc-i440fx-7.2",
        "guest metadata",
        "pc-i440fx-6.2",
    )


def test_a_start_stopped_for_a_travelling_pin_leaves_that_pin_to_the_repair(hooked: Hooked) -> None:
    """The remedy that the message names goes by the catalog."""
    since = "2026-01-01T00:00:00.000000Z"
    xml = domain("pc-i440fx-6.2", metadata=travelling("pc-i440fx-7.2", since))

    assert hooked.call("prepare", xml).code == fast.STOPPED

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
        assert [(repair.pin, repair.found) for repair in catalog.repairs()] == [
            ("pc-i440fx-7.2", "pc-i440fx-6.2")
        ]
    assert pin is not None
    assert (pin.machine, pin.source, pin.seen) == ("pc-i440fx-7.2", "guest metadata", None)


def test_a_clone_doesnt_inherit_the_pin_of_its_original(hooked: Hooked) -> None:
    """A copied definition carries the element of another UUID."""
    xml = domain(
        "pc-i440fx-6.2", metadata=travelling("pc-i440fx-7.2", text.now(), instance=OTHER_IMAGE)
    )

    assert hooked.call("prepare", xml) == SILENT


def test_the_newer_of_two_pins_counts_when_a_guest_comes_back(hooked: Hooked) -> None:
    """It may have been changed where the guest lived meanwhile; an older copy changes nothing."""
    hooked.pin("pc-i440fx-7.2")
    older = travelling("pc-i440fx-6.2", "2020-01-01T00:00:00.000000Z")
    newer = travelling("pc-i440fx-6.2", text.now(time.time() + 3600))

    hooked.call("migrate", domain("pc-i440fx-7.2", metadata=older))
    assert hooked.pinned() == "pc-i440fx-7.2"
    hooked.call("migrate", domain("pc-i440fx-6.2", metadata=newer))
    assert hooked.pinned() == "pc-i440fx-6.2"
    assert hooked.events()[-1] == ("changed", "pc-i440fx-7.2", "pc-i440fx-6.2")


@pytest.mark.parametrize("operation", ["start", "stopped", "release", "prepare-something-new"])
def test_an_operation_that_isnt_known_is_allowed(hooked: Hooked, operation: str) -> None:
    """A newer libvirt may call for more than there is today."""
    hooked.pin("pc-i440fx-7.2")

    assert hooked.call(operation, WRONG) == SILENT


def test_a_guests_name_cant_forge_lines(hooked: Hooked) -> None:
    """Names are whatever a tenant likes."""
    hooked.pin("pc-i440fx-7.2")

    answer = hooked.call("prepare", WRONG, name="a\nmthook: all is well\x1b[2J'; rm -rf /")

    assert answer.errors.count("\n") == 1
    assert "\x1b" not in answer.errors
    assert "guest a\\nmthook: all is well\\x1b[2J'; rm -rf / (" in answer.errors


def test_a_guest_of_novas_is_called_by_both_names(hooked: Hooked) -> None:
    """As commands take and print them; the catalog knows both from then on."""
    nova = "http://openstack.org/xmlns/libvirt/nova/1.1"
    xml = domain(
        name="instance-0000000f",
        metadata=f'<n:instance xmlns:n="{nova}"><n:name>shop</n:name></n:instance>',
    )

    answer = hooked.call("started", xml, name="instance-0000000f")

    assert answer.log == [
        f"started of guest shop (instance-0000000f, {UUID}): pinned to pc-i440fx-7.2, from the first boot"
    ]
    with hooked.catalog() as catalog:
        assert [(one.name, one.display) for one in catalog.guests()] == [
            ("instance-0000000f", "shop")
        ]


BROKEN_XML = {
    "empty": (b"", "the domain XML is empty"),
    "cut off": (domain()[:-9], "not well-formed XML"),
    "no UUID": (
        domain().replace(UUID.encode(), b"").replace(b"<uuid></uuid>", b""),
        "domain XML has no <uuid>",
    ),
    "no machine": (
        domain().replace(b"machine=", b"x="),
        "domain XML has no machine type in <os><type>",
    ),
    "not UTF-8": (
        domain(name="\udcff".encode("utf-8", "surrogatepass").decode("latin-1")).replace(
            b"\xc3", b"\xff"
        ),
        "isn't UTF-8",
    ),
    "a DOCTYPE": (b"<!DOCTYPE a [<!ENTITY x 'y'>]>" + domain(name="&x;"), "has a DOCTYPE"),
    "huge": (b"<domain>" + b" " * (16 << 20), "larger than 16777216 bytes"),
    "shell in the machine": (domain("$(reboot)"), "machine type '$(reboot)'"),
}


@pytest.mark.parametrize("kind", BROKEN_XML)
def test_unreadable_xml_is_allowed_unless_on_error_says_deny(hooked: Hooked, kind: str) -> None:
    """One line in the log either way; the client is told when the start is stopped."""
    xml, why = BROKEN_XML[kind]

    allowed = hooked.call("prepare", xml)
    hooked.configure("[hook]\non_error = deny\n")
    denied = hooked.call("prepare", xml)

    assert (allowed.code, allowed.output, allowed.errors) == (fast.ALLOWED, "", "")
    assert len(allowed.log) == 1 and why in allowed.log[0]
    assert denied.code == fast.STOPPED
    assert denied.errors.startswith(
        "mthook: start of guest 'web-1' stopped ([hook] on_error = deny): "
    )
    assert why in denied.errors and denied.errors.count("\n") == 1


@pytest.mark.parametrize("operation", ["started", "migrate", "restore", "reconnect", "attach"])
def test_unreadable_xml_stops_nothing_but_a_start(hooked: Hooked, operation: str) -> None:
    """Whatever on_error says."""
    hooked.configure("[hook]\non_error = deny\n")

    assert hooked.call(operation, b"<domain>").code == fast.ALLOWED


def corrupt(hooked: Hooked) -> None:
    """Overwrite the catalog's pages."""
    hooked.path.write_bytes(b"not a database, not at all" * 1000)


def missing(hooked: Hooked) -> None:
    """Remove the catalog."""
    hooked.path.unlink()


def world_writable(hooked: Hooked) -> None:
    """Let everybody write pins."""
    hooked.path.chmod(0o666)


def newer(hooked: Hooked) -> None:
    """Pretend that a newer mthook was here."""
    connection = sqlite3.connect(hooked.path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("breaks", [corrupt, missing, world_writable, newer])
def test_a_broken_catalog_is_allowed_unless_on_error_says_deny(
    hooked: Hooked, breaks: object
) -> None:
    """The configuration is read from its files when the catalog can't tell."""
    hooked.pin("pc-i440fx-7.2")
    breaks(hooked)  # type: ignore[operator]

    allowed = hooked.call("prepare", WRONG)
    hooked.write("[hook]\non_error = deny\n")
    denied = hooked.call("prepare", WRONG)

    assert (allowed.code, allowed.errors) == (fast.ALLOWED, "")
    assert len(allowed.log) == 1 and str(hooked.path) in allowed.log[0]
    assert denied.code == fast.STOPPED
    assert denied.errors.count("\n") == 1 and str(hooked.path) in denied.errors
    for operation in ("started", "migrate", "restore", "reconnect", "attach"):
        assert hooked.call(operation, WRONG).code == fast.ALLOWED


def test_a_locked_catalog_costs_at_most_the_time_limit(hooked: Hooked) -> None:
    """A start isn't held up by somebody who sits on the catalog."""
    hooked.configure("[hook]\ntimeout = 1\non_error = deny\n")
    holder = sqlite3.connect(hooked.path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE settings SET mode = mode")
    begun = time.monotonic()

    answer = hooked.call("prepare", WRONG)

    holder.close()
    assert answer.code == fast.STOPPED
    assert "has been in use by another process" in answer.errors
    assert time.monotonic() - begun < Settings().timeout + 1


@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_a_stop_that_cant_be_recorded_is_one_all_the_same(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    """The verdict was known: only its record has failed."""
    hooked.configure(f"[hook]\non_error = {on_error}\n")
    hooked.pin("pc-i440fx-7.2")
    monkeypatch.setattr(Catalog, "record_stop", full_disk)

    answer = hooked.call("prepare", WRONG)

    assert (answer.code, answer.errors) == (fast.STOPPED, f"mthook: {STOPPED}\n")
    assert answer.log == [
        "prepare of guest 'web-1': what it found isn't recorded: the catalog /c is on a full disk",
        STOPPED,
    ]
    assert hooked.trigger.exists()


def test_what_else_cant_be_recorded_is_logged(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest goes on; the next sync finds it."""
    monkeypatch.setattr(Catalog, "record_pin", full_disk)

    answer = hooked.call("started")

    assert answer.code == fast.ALLOWED
    assert answer.log == [
        "started of guest 'web-1': what it found isn't recorded: the catalog /c is on a full disk"
    ]


def full_disk(*_: object, **__: object) -> None:
    """Fail as the catalog does on a full disk."""
    raise CatalogError("the catalog /c is on a full disk", "/c")


def test_a_start_that_goes_well_calls_off_the_repair(hooked: Hooked) -> None:
    """The operator mended it by hand: nobody waits for mthook to start the guest any more."""
    hooked.pin("pc-i440fx-7.2")
    hooked.call("prepare", WRONG)

    assert hooked.call("prepare") == SILENT
    assert not (hooked.cleared / "web-1").exists()
    hooked.call("started")

    with hooked.catalog() as catalog:
        assert catalog.repairs() == []


def test_unshelving_is_no_rebuild(hooked: Hooked) -> None:
    """Nova shows the shelved image once and then the first again; a real rebuild still counts."""
    hooked.call("started", domain(image=IMAGE))
    hooked.call("prepare", domain(image=OTHER_IMAGE))
    hooked.call("started", domain(image=OTHER_IMAGE))

    assert hooked.call("prepare", domain("pc-i440fx-6.2", image=IMAGE)).code == fast.STOPPED
    assert hooked.call("prepare", domain("pc-i440fx-6.2", image=OTHER_IMAGE)).code == fast.STOPPED
    third = OTHER_IMAGE.replace("0000", "1111")
    assert hooked.call("prepare", domain("pc-i440fx-6.2", image=third)).code == fast.ALLOWED


def test_an_image_that_a_pin_doesnt_know_yet_is_learned_at_a_good_start(hooked: Hooked) -> None:
    """A pin set by an operator knows none; without one a rebuild would never be noticed."""
    hooked.pin("pc-i440fx-7.2")

    hooked.call("prepare", domain(image=IMAGE))
    hooked.call("started", domain(image=IMAGE))

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None and pin.root_image == IMAGE
    assert hooked.call("prepare", domain("pc-q35-7.2", image=OTHER_IMAGE)).code == fast.ALLOWED


def test_a_guest_that_left_and_comes_back_is_what_it_became_elsewhere(hooked: Hooked) -> None:
    """A row from before it left mustn't turn it back; an operator's newer word counts."""
    hooked.call("started")
    with hooked.catalog() as catalog:
        catalog.see_guests([], text.now(time.time() + 1))

    hooked.call("migrate", WRONG)

    assert hooked.pinned() == "pc-i440fx-6.2"
    assert hooked.events()[-1] == ("changed", "pc-i440fx-7.2", "pc-i440fx-6.2")
    with hooked.catalog() as catalog:
        catalog.see_guests([], text.now(time.time() + 2))
        reason = catalog.history(UUID)[-1].reason
    assert reason is not None and reason.startswith("lived elsewhere since 2")


@pytest.mark.parametrize("image", ["", IMAGE])
def test_a_pin_that_qemu_lacks_here_is_not_to_be_mended(hooked: Hooked, image: str) -> None:
    """A mended definition wouldn't start either."""
    hooked.pin("pc-i440fx-5.1")

    errors = hooked.call("prepare", domain("pc-i440fx-6.2", image=image)).errors

    allow = " --allow running" if image else ""
    assert errors.endswith(
        "; QEMU on this host doesn't offer pc-i440fx-5.1: start it on a host that does, or"
        f" 'mthook-admin set {UUID} pc-i440fx-6.2{allow}' accepts the change\n"
    )


def test_a_guest_without_a_definition_is_to_be_created_right(
    hooked: Hooked, tmp_path: Path
) -> None:
    """virsh create: there is nothing to mend. libvirt keeps definitions by the guest's name."""
    hooked.pin("pc-i440fx-7.2")
    (tmp_path / "qemu").mkdir()

    assert hooked.call("prepare", WRONG).errors.endswith(
        f"; it has no definition to mend: create it as pc-i440fx-7.2, or {ACCEPT}\n"
    )
    (tmp_path / "qemu" / "web-1.xml").touch()
    assert hooked.call("prepare", WRONG).errors == f"mthook: {STOPPED}\n"


def test_what_systemd_does_nobody_is_told_to_do(hooked: Hooked, tmp_path: Path) -> None:
    """Its path unit has the definition mended; starting the guest is the operator's."""
    hooked.pin("pc-i440fx-7.2")
    (tmp_path / "mthook-repair.path").symlink_to("/nonexistent")

    assert hooked.call("prepare", WRONG).errors.endswith(
        f"; its definition will be mended in a moment: start it again then, or {ACCEPT}\n"
    )


def test_what_accepts_a_change_allows_no_more_than_that_needs(hooked: Hooked) -> None:
    """A newer version of a guest that is shut off needs nothing."""
    hooked.pin("pc-i440fx-6.2")

    errors = hooked.call("prepare").errors

    assert errors.endswith(f"'mthook-admin set {UUID} pc-i440fx-7.2' accepts the change\n")


@pytest.mark.parametrize(
    ("found", "kept", "remedy"),
    [
        ("pc-q35-7.2", True, "'mthook-sync --only repair --start' mends the definition"),
        ("pc-q35-7.2", False, f"'mthook-admin set {UUID} pc-i440fx-7.2' converts the definition, "),
        ("microvm", True, "redefine the guest with its pinned machine type, or 'mthook-admin set"),
    ],
)
def test_another_family_gets_a_remedy_that_works(
    hooked: Hooked, found: str, kept: bool, remedy: str
) -> None:
    """A repair leads i440fx and q35 back to what they were, and turns no guest into what it never was."""
    hooked.pin("pc-i440fx-7.2")
    if kept:
        hooked.call("prepare")

    errors = hooked.call("prepare", domain(found)).errors

    assert remedy in errors
    assert ("mthook-sync" in errors) == (kept and found == "pc-q35-7.2")


def test_a_bug_of_mthooks_stops_no_guest(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged in one line like any other fault."""

    def bug(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(judgement, "judge", bug)

    for operation in ("prepare", "started", "migrate", "restore", "reconnect", "attach"):
        assert hooked.call(operation, WRONG) == Answer(
            fast.ALLOWED, "", "", [f"{operation} of guest 'web-1': RuntimeError: two\\nlines"]
        )


def test_a_newer_configuration_counts_at_once_and_is_read_once(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow path compiles it into the catalog; the next call is fast again."""
    hooked.pin("pc-i440fx-7.2")
    hooked.write("[hook]\nmode = audit\n")

    assert hooked.call("prepare", WRONG).code == fast.ALLOWED
    monkeypatch.setattr(slow, "read_configuration", lambda *_: pytest.fail("read again"))
    assert hooked.call("prepare", WRONG).code == fast.ALLOWED
    with hooked.catalog() as catalog:
        policy = catalog.settings()
    assert policy is not None and policy.mode == "audit"


@pytest.mark.parametrize(
    "wrong", ["[hook]\nmode = enforec\n", "[hook\nmode = off\n", "[hook]\ntimeout = never\n"]
)
def test_a_broken_configuration_leaves_the_last_good_one_in_force(
    hooked: Hooked, wrong: str
) -> None:
    """A typing error in mthook.conf neither opens the door nor shuts it."""
    hooked.configure("[hook]\nmigrate_mismatch = refuse\n")
    hooked.pin("pc-i440fx-7.2")
    hooked.write(wrong)

    answer = hooked.call("migrate", WRONG)

    assert answer.code == fast.STOPPED
    assert str(hooked.config) in answer.log[0]
    assert answer.log[0].endswith("; the last good configuration stays in force")
    assert hooked.call("prepare").code == fast.ALLOWED


def test_with_a_broken_configuration_nobody_is_told_to_wait(hooked: Hooked, tmp_path: Path) -> None:
    """What systemd runs to mend the definition, and each command, ends at the configuration."""
    hooked.configure("")
    hooked.pin("pc-i440fx-7.2")
    (tmp_path / "mthook-repair.path").symlink_to("/nonexistent")
    hooked.write("[hook]\nmode = enforec\n")

    assert hooked.call("prepare", WRONG).errors.endswith(
        f"; correct the configuration first, 'mthook-sync' says where; then {REPAIR}, {ACCEPT}\n"
    )


def test_a_broken_configuration_without_a_catalog_means_the_defaults(hooked: Hooked) -> None:
    """on_error = allow is the documented default."""
    missing(hooked)
    hooked.write("[hook]\non_error = dney\n")

    answer = hooked.call("prepare", WRONG)

    assert answer.code == fast.ALLOWED
    assert answer.log[-1].endswith("; the defaults apply")


def test_the_hooks_defaults_are_the_options_defaults() -> None:
    """They stand twice, because the fast path can't read oslo.config."""
    assert conf.settings(conf.load([]), "") == Settings()


def test_a_removed_configuration_brings_the_defaults_back(hooked: Hooked) -> None:
    """The default catalog path, too: nothing of the removed file lingers."""
    hooked.configure("[hook]\nmode = off\n")
    hooked.config.unlink()
    call = fast.HookCall(
        [str(hooked.path), str(hooked.config), str(hooked.cleared), "web-1", "prepare"], None, None
    )  # type: ignore[arg-type]

    fast._reload(call)

    assert call.settings is not None
    assert (call.settings.mode, call.catalog) == ("audit", "/var/lib/mthook/catalog.sqlite")


def test_a_moved_catalog_is_followed(hooked: Hooked, tmp_path: Path) -> None:
    """[catalog] path in a newer configuration wins over the path that the installed hook has."""
    hooked.pin("pc-i440fx-7.2")
    elsewhere = tmp_path / "elsewhere"
    old = hooked.path
    hooked.path.parent.rename(elsewhere)
    hooked.path = elsewhere / "catalog.sqlite"
    hooked.write("")
    with Hooked.catalog(hooked):
        pass
    hooked.path, new = old, hooked.path
    old.parent.mkdir(mode=0o700)
    with hooked.catalog():
        pass  # an empty one at the old place, with no policy

    answer = hooked.call("prepare", WRONG)

    assert answer.code == fast.STOPPED
    assert (new.parent / "repair-wanted").exists()


def test_without_a_system_log_the_hook_works_all_the_same(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for a log daemon."""
    hooked.pin("pc-i440fx-7.2")
    monkeypatch.setattr(journal, "SOCKET", "/nowhere")

    assert hooked.call("prepare", WRONG).code == fast.STOPPED


def test_a_trigger_that_cant_be_touched_changes_nothing_else(hooked: Hooked) -> None:
    """The repair is in the catalog; the next sync finds it there."""
    hooked.pin("pc-i440fx-7.2")
    hooked.trigger.symlink_to("/nowhere/at/all")

    answer = hooked.call("prepare", WRONG)

    assert answer.code == fast.STOPPED
    assert answer.log[0] == f"{hooked.trigger}: Too many levels of symbolic links"


def test_the_fast_path_loads_nothing_heavy(hooked: Hooked) -> None:
    """A satisfied start in a fresh interpreter as hooks/qemu runs it, and the modules that it took."""
    hooked.pin("pc-i440fx-7.2")
    package = str(Path(fast.__file__).parents[2])
    program = (
        "import os, sys; sys.path.append(sys.argv[1]); from mthook.hook.fast import run;"
        "os._exit = lambda code: print(*sys.modules, sep='\\n') or sys.exit(code); run(sys.argv[2:])"
    )
    argv = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        program,
        package,
        str(hooked.path),
        str(hooked.config),
        str(hooked.cleared),
    ]

    done = subprocess.run(
        [*argv, "web-1", "prepare", "begin", "-"], input=domain(), capture_output=True, check=True
    )

    loaded = set(done.stdout.decode().split())
    assert "mthook.catalog.lookup" in loaded
    heavy = "lxml sqlalchemy oslo_config logging json re enum dataclasses typing datetime socket pathlib"
    assert loaded.isdisjoint(heavy.split())
    assert done.stderr == b""


def test_the_environment_of_a_hook_is_enough(hooked: Hooked) -> None:
    """libvirtd gives a hook LC_ALL=C, PATH and HOME."""
    hooked.pin("pc-i440fx-7.2")
    hooked.write("[hook]\nmode = audit\n")  # the slow path too
    package = str(Path(fast.__file__).parents[2])
    program = "import sys; sys.path.append(sys.argv[1]); from mthook.hook.fast import run; run(sys.argv[2:])"
    argv = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        program,
        package,
        str(hooked.path),
        str(hooked.config),
        str(hooked.cleared),
    ]

    done = subprocess.run(
        [*argv, "wéb\n1", "prepare", "begin", "-"],
        input=WRONG,
        capture_output=True,
        env={"LC_ALL": "C", "PATH": os.defpath, "HOME": "/"},
    )

    assert (done.returncode, done.stdout, done.stderr) == (fast.ALLOWED, b"", b"")
    with hooked.catalog() as catalog:
        policy = catalog.settings()
    assert policy is not None and policy.mode == "audit"


@pytest.fixture
def installed(hooked: Hooked) -> Callable[[str, bytes], int]:
    """The installed hook, called as libvirtd calls it: with its operation and the domain."""
    directory = hooked.path.parent.parent / "hooks"
    made = install.Wiring.of_this_process(str(hooked.path), [str(hooked.config)])
    wiring = dataclasses.replace(made, cleared=str(hooked.cleared))
    path, _ = install.install(str(directory), wiring)

    def call(operation: str, xml: bytes, name: str = "web-1", closed: tuple[int, ...] = ()) -> int:
        def close() -> None:
            for stream in closed:
                os.close(stream)

        argv, environment = [path, name, operation, "begin", "-"], {"PATH": os.defpath}
        done = subprocess.run(argv, input=xml, env=environment, check=False, preexec_fn=close)
        return done.returncode

    return call


def test_a_cleared_start_is_let_go_by_at_started(
    hooked: Hooked, installed: Callable[[str, bytes], int]
) -> None:
    """The interpreter isn't even asked (it would record drift here), until another prepare."""
    hooked.pin("pc-i440fx-7.2")

    assert installed("prepare", domain()) == 0
    assert installed("started", WRONG) == 0
    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]
    hooked.configure("[hook]\nmode = audit\n")
    assert installed("prepare", WRONG) == 0
    assert installed("started", WRONG) == 0
    assert hooked.events()[-1] == ("drift", "pc-i440fx-7.2", "pc-i440fx-6.2")


def test_a_note_of_another_guest_of_that_name_is_none(
    hooked: Hooked, installed: Callable[[str, bytes], int]
) -> None:
    """It holds the UUID; the domain reaches the interpreter whole, as libvirt writes it and as nobody does."""
    hooked.pin("pc-i440fx-7.2")
    assert installed("prepare", domain()) == 0
    other = UUID[:-1] + "0"
    for machine, sep in (("pc-i440fx-6.2", b"\n  "), ("pc-q35-7.2", b"")):
        for uuid in (UUID, other):
            xml = domain(machine, uuid=uuid).replace(b"><name", b">" + sep + b"<name")
            xml = xml.replace(b"<uuid", sep + b"<uuid").replace(b"<meta", sep + b"<meta")
            assert installed("started", xml) == 0

    assert hooked.events() == [("pinned", None, "pc-i440fx-7.2")]
    with hooked.catalog() as catalog:
        events = [(entry.event, entry.new) for entry in catalog.history(other)]
    assert events == [("pinned", "pc-i440fx-6.2"), ("drift", "pc-q35-7.2")]


@pytest.mark.parametrize("xml", [domain("pc-q35-7.2"), b"rubbish"])
def test_a_clearance_is_taken_back_by_the_next_prepare(hooked: Hooked, xml: bytes) -> None:
    """A start that was cleared but failed leaves nothing to a later one of the same name."""
    hooked.pin("pc-i440fx-7.2")
    hooked.call("prepare")
    cleared = hooked.cleared / "web-1"
    assert cleared.exists()

    hooked.call("prepare", xml)

    assert not cleared.exists()


def test_only_a_start_with_nothing_to_record_is_cleared(hooked: Hooked) -> None:
    """Not without a pin, not one that only travels with the guest, not an arrival unlike its pin."""
    cleared = hooked.cleared / "web-1"
    travelled = domain(metadata=travelling("pc-i440fx-7.2", "2026-01-01T00:00:00.000000Z"))

    hooked.call("prepare")
    assert not cleared.exists()
    hooked.call("prepare", travelled)
    assert not cleared.exists()
    hooked.pin("pc-i440fx-7.2")
    hooked.call("migrate", WRONG)
    hooked.call("prepare", WRONG)
    assert not cleared.exists()
    hooked.pin("pc", seen="pc-i440fx-7.2")
    hooked.call("prepare", WRONG)
    assert cleared.exists()


@pytest.mark.parametrize("name", ["..", "a/b", "x" * 300, "-n", "a\nb", "two words"])
def test_any_name_can_be_cleared_or_is_recorded(
    hooked: Hooked, installed: Callable[..., int], name: str
) -> None:
    """A name that makes no file name costs a second interpreter and nothing else."""
    hooked.pin("pc-i440fx-7.2")

    assert installed("prepare", domain(), name) == 0
    assert installed("started", WRONG, name) == 0
    cleared = [one for one in hooked.cleared.glob("*") if one.name != ".seen"]
    assert bool(cleared) == (hooked.events()[-1][0] == "pinned")


@pytest.mark.parametrize(
    ("operation", "answers", "wanted"),
    [
        ("prepare", 77, 1),
        ("migrate", 77, 1),
        ("restore", 77, 1),
        ("started", 77, 0),
        ("reconnect", 77, 0),
        ("attach", 77, 0),
        ("prepare", 1, 0),
        ("prepare", 0, 0),
        ("reconnect", 139, 0),
        ("stopped", 77, 0),
        ("an-operation-of-the-future", 77, 0),
    ],
)
def test_only_mthooks_own_word_stops_and_never_a_guest_that_runs(
    tmp_path: Path, operation: str, answers: int, wanted: int
) -> None:
    """hooks/qemu turns every accident of the interpreter into an allowed start."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {answers}\n")
    python.chmod(0o755)
    wiring = install.Wiring(
        str(python), "/nowhere", str(tmp_path / "c"), ["/etc/mthook.conf"], str(tmp_path)
    )
    path, _ = install.install(str(tmp_path / "hooks"), wiring)

    argv = [path, "web-1", operation, "begin", "-"]
    done = subprocess.run(argv, input=b"", env={"PATH": "/nowhere"}, check=False)

    assert done.returncode == wanted


def test_a_missing_interpreter_stops_no_guest(tmp_path: Path) -> None:
    """mthook may be removed without its hook."""
    wiring = install.Wiring(
        "/nowhere/python3", "/nowhere", "/nowhere/c", ["/etc/mthook.conf"], str(tmp_path)
    )
    path, _ = install.install(str(tmp_path / "hooks"), wiring)

    for operation in ("prepare", "started", "migrate", "reconnect"):
        argv = [path, "web-1", operation, "begin", "-"]
        done = subprocess.run(argv, input=domain(), capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (0, b"")


def seen(hooked: Hooked, name: str = "web-1") -> int | None:
    """When the hook last recorded that it saw a guest run, in ticks since boot."""
    record = hooked.cleared / ".seen" / name
    return int(record.read_text()) if record.exists() else None


@pytest.mark.parametrize("operation", ["started", "reconnect", "attach"])
def test_each_call_for_a_guest_that_runs_is_recorded(
    hooked: Hooked, installed: Callable[..., int], operation: str
) -> None:
    """By the clock that tells the start of its process; what only leads to a start is no proof of one."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    for lead in ("migrate", "restore", "prepare"):
        assert installed(lead, domain()) == 0
    assert seen(hooked) is None

    assert installed(operation, domain()) == 0

    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = seen(hooked)
    assert found is not None
    assert before - 0.01 <= found / os.sysconf("SC_CLK_TCK") <= after
    assert stat.S_IMODE((hooked.cleared / ".seen").stat().st_mode) == 0o700


def test_a_start_that_is_let_go_at_once_is_recorded(
    hooked: Hooked, installed: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell does it, without an interpreter."""
    hooked.pin("pc-i440fx-7.2")
    assert installed("prepare", domain()) == 0
    hooked.path.unlink()  # an interpreter would fail

    assert installed("started", domain()) == 0

    assert seen(hooked) is not None


@pytest.mark.parametrize("closed", [(2,), (1,), (1, 2)])
def test_a_caller_without_streams_for_answers_changes_none(
    hooked: Hooked, installed: Callable[..., int], closed: tuple[int, ...]
) -> None:
    """A script that calls this hook may have closed them."""
    hooked.pin("pc-i440fx-7.2")

    assert installed("prepare", WRONG, closed=closed) == 1
    assert installed("prepare", domain(), closed=closed) == 0
    assert installed("reconnect", domain(), closed=closed) == 0
    assert seen(hooked) is not None


@pytest.mark.parametrize("closed", [(0,), (0, 1), (0, 2), (0, 1, 2)])
def test_without_a_domain_nothing_is_judged(
    hooked: Hooked, installed: Callable[..., int], closed: tuple[int, ...]
) -> None:
    """[hook] on_error decides about a start; a guest that runs goes on."""
    for operation in ("prepare", "started", "reconnect", "attach"):
        assert installed(operation, domain(), closed=closed) == 0
    assert seen(hooked) is None
    hooked.configure("[hook]\non_error = deny\n")

    assert installed("prepare", domain(), closed=closed) == 1
    assert installed("reconnect", domain(), closed=closed) == 0


@pytest.mark.parametrize("operation", ["prepare", "started", "reconnect", "attach"])
def test_where_no_process_can_be_started_no_guest_is_stopped(operation: str) -> None:
    """A shell that can't fork ends itself."""

    def limit() -> None:
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)  # root has no limit
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

    hook = resources.files("mthook.hook").joinpath("qemu").read_text(encoding="utf-8")
    argv = ["sh", "-c", hook, "qemu", "web-1", operation, "begin", "-"]
    done = subprocess.run(
        argv, input=domain(), capture_output=True, preexec_fn=limit, check=False, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_note_that_cant_be_emptied_keeps_no_start_from_being_judged() -> None:
    """As on a file system that has become read-only. The stop comes through."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        place = Path(directory)
        place.chmod(0o755)
        (place / "web-1").touch()
        (place / "python").write_text("#!/bin/sh\nexit 77\n")
        (place / "python").chmod(0o755)
        hook = resources.files("mthook.hook").joinpath("qemu").read_text(encoding="utf-8")
        for name, value in (("python", place / "python"), ("cleared", place)):
            hook = re.sub(f"^{name}=.*$", f"{name}={value}", hook, flags=re.M)

        done = subprocess.run(
            ["sh", "-c", hook, "qemu", "web-1", "prepare", "begin", "-"],
            input=domain(),
            preexec_fn=lambda: os.setuid(_NOBODY),
            check=False,
        )

    assert done.returncode == 1


@pytest.mark.parametrize("broken", ["[hook]\nmode = off\n", ""])
def test_a_call_that_judges_nothing_is_not_recorded(
    hooked: Hooked, installed: Callable[..., int], broken: str
) -> None:
    """In mode off, and where the catalog is broken: the guest goes on unguarded."""
    hooked.configure(broken)
    if not broken:
        hooked.path.write_bytes(b"no database")
    for operation in ("prepare", "started", "reconnect", "attach"):
        assert installed(operation, domain()) == 0

    assert seen(hooked) is None


def test_the_systems_python_stands_in_for_one_that_is_gone(hooked: Hooked) -> None:
    """An upgrade of the system takes a versioned interpreter away; the fast path runs on any."""
    made = install.Wiring.of_this_process(str(hooked.path), [str(hooked.config)])
    wiring = dataclasses.replace(made, cleared=str(hooked.cleared), python="/gone/python3.9")
    path, _ = install.install(str(hooked.path.parents[1] / "hooks"), wiring)

    done = subprocess.run([path, "web-1", "started", "begin", "-"], input=domain(), check=False)

    assert done.returncode == 0
    assert hooked.pinned() == "pc-i440fx-7.2"
    assert seen(hooked) is not None
