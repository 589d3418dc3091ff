# SPDX-License-Identifier: Apache-2.0
"""Whether the gate is in use, and what that means for starts of Nova's."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from mthook.catalog.records import Compared
from mthook.gate import verdict
from mthook.text import now

from .conftest import DATABASE, NEW, NOVA, OLD, WEB, Answer, Desk

TITLE = "Pins known to Nova"
RIGHT = (
    f"The gate gives the definitions of 1 guest (web-1 ({WEB})) their pins on the way to libvirt."
    " The gate is in use: "
)
DAY = 86400


@pytest.fixture
def nova(desk: Desk) -> Desk:
    """A compute host in mode enforce, without a database."""
    desk.guest("web-1", WEB, OLD, NOVA)
    desk.pin(WEB, OLD)
    return desk


def rewrite(desk: Desk, at: str) -> None:
    """Record what the gate records."""
    with desk.catalog() as catalog:
        catalog.add_history(WEB, "rewritten", actor="gate uid 42", old=NEW, new=OLD, at=at)


def with_nova_conf(desk: Desk, uri: str) -> tuple[Answer, Path]:
    """Return what the check finds with nova.conf before mthook's own file, whose URI wins, and nova.conf's path."""
    own, file = desk.config, desk.config.with_name("nova.conf")
    file.write_text(f"[libvirt]\nconnection_uri = {uri}\n")
    desk.config = file
    return desk.check(TITLE, "--config-file", str(own)), file


def test_nova_conf_with_the_gates_socket_is_use(nova: Desk) -> None:
    """Though mthook itself goes another way."""
    uri = f"qemu+unix:///system?mode=direct&socket={nova.gate}"

    found, file = with_nova_conf(nova, uri)

    assert found == Answer(0, f"{RIGHT}{file} has its socket in [libvirt] connection_uri.")


@pytest.mark.parametrize(
    "uri",
    ["qemu+unix:///system?socket=/nowhere/libvirt-sock", "qemu:///system", "qemu://[/system"],
)
def test_another_uri_is_none(nova: Desk, uri: str) -> None:
    """It leads past the gate."""
    found, _ = with_nova_conf(nova, uri)

    assert found.code == 2
    assert found.details.endswith("The gate isn't in use.")


def test_a_recent_rewrite_is_use(nova: Desk) -> None:
    """The last of all guests' counts."""
    at = now(time.time() - DAY)
    rewrite(nova, at)
    rewrite(nova, now(time.time() - 9 * DAY))

    assert nova.check(TITLE) == Answer(0, f"{RIGHT}it rewrote a domain at {at.partition('.')[0]}Z.")


def test_as_data_use_is_a_kind_and_what_shows_it(nova: Desk) -> None:
    """Beside the guests that it is about."""
    at = now(time.time() - DAY)
    rewrite(nova, at)

    protection, use = nova.findings("stopped_starts")

    assert protection["kind"] == "gated"
    assert protection["subjects"] == [
        {"uuid": WEB, "name": "web-1", "facts": {}, "display_name": None}
    ]
    assert (use["kind"], use["facts"]) == ("gate_rewrote", {"last_rewrite_at": at})


def test_a_gate_that_only_watches_puts_nothing_right(nova: Desk) -> None:
    """In mode audit it logs what it would rewrite."""
    rewrite(nova, now())
    nova.configure("[hook]\nmode = audit\n")

    assert [one["kind"] for one in nova.findings("stopped_starts")] == [
        "no_database",
        "gate_rewrote",
    ]


def test_an_old_rewrite_is_none(nova: Desk) -> None:
    """Somebody may have taken the gate away since."""
    rewrite(nova, now(time.time() - 8 * DAY))

    assert nova.check(TITLE).code == 2


def test_a_socket_that_is_listened_on_is_no_use_yet(nova: Desk) -> None:
    """Nova may still go past it."""
    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(str(nova.gate))
        gate.listen()
        found = nova.check(TITLE)

    assert found.code == 2
    assert found.details.endswith(
        f"The gate isn't in use: it listens on {nova.gate}, but no configuration file given here"
        " names it in [libvirt] connection_uri."
    )


def test_no_socket_is_looked_at_but_the_configured_one(
    nova: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that runs the tests may have a gate of its own."""
    seen = []
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: seen.append(str(path)) or exists(path))

    nova.check(TITLE)

    assert str(nova.gate) in seen
    assert not [path for path in seen if path.startswith("/run/")]


def test_a_socket_that_nobody_listens_on_is_none(nova: Desk) -> None:
    """As a gate that was killed leaves it."""
    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(str(nova.gate))

        assert nova.check(TITLE).code == 2


def test_beside_write_back_both_are_told(nova: Desk) -> None:
    """Each is enough."""
    rewrite(nova, now())
    nova.configure(DATABASE)
    with nova.catalog() as catalog:
        catalog.set_compared(Compared(WEB, OLD, 1, None))

    found = nova.check(TITLE)

    assert found.code == 0
    assert "mthook-sync writes them to its database" in found.details
    assert "The gate is in use: it rewrote a domain at " in found.details


def test_without_write_back_the_gate_is_enough(nova: Desk) -> None:
    """Nova needs to know nothing."""
    rewrite(nova, now())
    nova.configure(f"{DATABASE}[sync]\nwrite_back = false\n")

    assert nova.check(TITLE).details.startswith(RIGHT)


RESTART = "systemctl restart mthook-gate.service"


def test_a_gate_that_listens_is_as_it_should_be(nova: Desk) -> None:
    """Without one there is nothing to check."""
    assert nova.check("Gate") == Answer(0, "mthook-gate isn't in use.")

    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(str(nova.gate))
        gate.listen()

        assert nova.check("Gate") == Answer(0, f"mthook-gate listens on {nova.gate}.")


@pytest.mark.parametrize(("mode", "code"), [("enforce", 2), ("audit", 1)])
def test_a_gate_that_is_bypassed_is_told_and_of_no_use(nova: Desk, mode: str, code: int) -> None:
    """Though nova.conf leads to it and it has rewritten something of late; in mode audit it wouldn't rewrite."""
    rewrite(nova, now())
    nova.configure(f"[hook]\nmode = {mode}\n")
    with socket.socket(socket.AF_UNIX) as libvirtd:
        libvirtd.bind(f"{nova.gate}-libvirt")
        libvirtd.listen()
        nova.gate.symlink_to(f"{nova.gate}-libvirt")

        found = [nova.check("Gate"), nova.check(TITLE)]

    text = (
        f"mthook-gate doesn't start: its clients reach {nova.gate}-libvirt, and what they define passes"
        " unjudged."
    )
    assert found[0] == Answer(code, f"{text} Run '{RESTART}'.")
    assert found[1].code == 2
    assert found[1].details.endswith(f"The gate is of no use: {text}")


def test_a_gate_that_cant_judge_says_why(nova: Desk) -> None:
    """As it has left word."""
    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(str(nova.gate))
        gate.listen()
        verdict.note(str(nova.gate), "no worker\n")

        (found,) = nova.findings("gate")

    text = "mthook-gate can't judge what clients define: no worker\\n"
    assert (found["kind"], found["facts"]["reason"]) == ("unjudged", text)
    assert (found["severity"], found["remedy"]) == ("failure", RESTART)


def test_clients_that_are_led_to_no_gate_are_cut_off(nova: Desk) -> None:
    """Whatever the mode is."""
    nova.configure("[hook]\nmode = audit\n")
    own, file = nova.config, nova.config.with_name("nova.conf")
    file.write_text(f"[libvirt]\nconnection_uri = qemu+unix:///system?socket={nova.gate}\n")
    nova.config = file

    (found,) = nova.findings("gate", "--config-file", str(own))

    text = f"{file} leads clients to {nova.gate}, where mthook-gate doesn't listen"
    assert (found["kind"], found["severity"], found["facts"]["reason"]) == ("down", "failure", text)
