# SPDX-License-Identifier: Apache-2.0
"""What the hook does for an instance of Nova's that isn't what its pin says, with a stand-in for the database."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from mthook.hook import fast, slow
from mthook.hook.slow import SlowPathError
from mthook.nova.question import Recorded
from mthook.reconcile import NOBODY_KNOWS, NOVA, SOMEBODY
from tests.unit.hook.conftest import IMAGE, UUID, Hooked, domain

OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"
DATABASE = "[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
ACCEPT = f"'mthook-admin set {UUID} {NEW} --allow running' accepts the change"
STOPPED = (
    f"start of guest web-1 ({UUID}) stopped: its machine type is pinned to {OLD}, its definition "
    f"says {NEW}; "
)
WRONG = domain(NEW, image=IMAGE)


class StandIn:
    """Nova's database as the hook's slow path reaches it.

    :ivar recorded: what it says.
    :ivar written: what was written over what.
    :ivar error: what writing fails with.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recorded: Optional[Recorded] = None
        self.written: list[tuple[str, Optional[str]]] = []
        self.error = ""
        monkeypatch.setattr(slow, "ask_nova", lambda *_: self.recorded)
        monkeypatch.setattr(slow, "put_right", self._write)

    def say(
        self,
        machine: Optional[str],
        author: str,
        back: str = "reboot --hard",
        image: Optional[str] = None,
        **buses: str,
    ) -> None:
        """Have something recorded."""
        self.recorded = Recorded(
            machine, 7, author, None, "", False, False, None, back, image, buses
        )

    def _write(self, _files: Any, uuid: str, machine: str, expect: Optional[str], _: float) -> None:
        if self.error:
            raise SlowPathError(self.error)
        assert uuid == UUID
        self.written.append((machine, expect))


@pytest.fixture
def nova(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A database beside a host with a guest that is pinned to OLD."""
    hooked.configure(DATABASE)
    with hooked.catalog() as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    return StandIn(monkeypatch)


def asked(hooked: Hooked) -> list[str]:
    """For whom a push is asked for."""
    path = hooked.path.parent / "push-wanted"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("recorded", [NEW, None])
def test_a_stop_puts_novas_record_right(
    hooked: Hooked, nova: StandIn, recorded: Optional[str]
) -> None:
    """And says what brings the instance back."""
    nova.say(recorded, NOVA)

    answer = hooked.call("prepare", WRONG)

    back = f"'openstack server reboot --hard {UUID}' starts it as {OLD}; "
    assert (answer.code, answer.errors) == (fast.STOPPED, f"mthook: {STOPPED}{back}{ACCEPT}\n")
    assert nova.written == [(OLD, recorded)]
    assert asked(hooked) == [UUID]
    assert f"wrote {OLD} to Nova in place of {recorded or 'nothing'}" in answer.log[0]


@pytest.mark.parametrize(
    ("back", "image", "says"),
    [
        ("start", None, f"'openstack server start {UUID}' starts it as {OLD}; "),
        ("unshelve", None, f"'openstack server unshelve {UUID}' starts it as {OLD}; "),
        (
            "unshelve",
            IMAGE,
            f"'openstack image set --property hw_machine_type={OLD} --property hw_cdrom_bus=ide {IMAGE}' gives"
            f" its shelved image the pin, then 'openstack server unshelve {UUID}' starts it as {OLD}; ",
        ),
    ],
)
def test_each_path_has_its_way_back(
    hooked: Hooked, nova: StandIn, back: str, image: Optional[str], says: str
) -> None:
    """Nova has the pin recorded, and made the guest from something else.

    A shelved image brings the buses along; an instance with its root on a volume has none.
    """
    nova.say(OLD, SOMEBODY, back, image, image_hw_cdrom_bus="ide")

    answer = hooked.call("prepare", WRONG)

    assert answer.errors == f"mthook: {STOPPED}{says}{ACCEPT}\n"
    assert (nova.written, asked(hooked)) == ([], [UUID])


def test_a_shelved_image_gets_no_bus_that_the_pin_hasnt(hooked: Hooked, nova: StandIn) -> None:
    """A q35 has no IDE."""
    with hooked.catalog() as catalog:
        catalog.set_pin(UUID, "pc-q35-7.2", source="operator", actor="root")
    nova.say("pc-q35-7.2", SOMEBODY, "unshelve", IMAGE, image_hw_cdrom_bus="ide")

    answer = hooked.call("prepare", WRONG)

    assert "--property hw_machine_type=pc-q35-7.2 --property hw_cdrom_bus=sata" in answer.errors


@pytest.mark.parametrize("more", ["", "[sync]\nwrite_back = false\n"])
def test_what_cant_be_written_is_left_to_the_repair(
    hooked: Hooked, nova: StandIn, more: str
) -> None:
    """A database without the right to, a time limit, or a choice."""
    hooked.configure(f"{DATABASE}{more}")
    nova.say(NEW, NOVA)
    nova.error = "Nova's database: UPDATE command denied"

    answer = hooked.call("prepare", WRONG)

    later = (
        "'mthook-sync --only repair' writes the pin to Nova's database, then "
        f"'openstack server reboot --hard {UUID}' starts it as {OLD}; "
    )
    assert answer.errors == f"mthook: {STOPPED}{later}{ACCEPT}\n"
    assert any("UPDATE command denied" in line for line in answer.log) is (more == "")
    assert asked(hooked) == ([] if more else [UUID])


def test_a_record_of_which_nobody_knows_the_author_is_left_alone(
    hooked: Hooked, nova: StandIn
) -> None:
    """And so is the pin; it is said."""
    nova.say(NEW, NOBODY_KNOWS)

    answer = hooked.call("prepare", WRONG)

    take_back = (
        f"Nova has {NEW} recorded, and nothing shows who wrote it: "
        f"'mthook-admin set {UUID} {OLD} --force' takes it back; "
    )
    assert answer.errors == f"mthook: {STOPPED}{take_back}{ACCEPT}\n"
    assert (nova.written, hooked.pinned()) == ([], OLD)


def test_an_instance_that_nova_has_deleted_is_to_be_removed(hooked: Hooked, nova: StandIn) -> None:
    """No command of mthook's changes it any more, and Nova starts it no more."""
    answer = hooked.call("prepare", WRONG)

    assert answer.errors == (
        f"mthook: {STOPPED}Nova has deleted this instance: when nobody needs its guest any more, 'virsh undefine"
        f" --managed-save --snapshots-metadata --nvram {UUID}' removes it; to start it, redefine it as {OLD}\n"
    )


def test_an_operators_change_is_followed_at_once(hooked: Hooked, nova: StandIn) -> None:
    """As ever."""
    nova.say(NEW, SOMEBODY)

    assert hooked.call("prepare", WRONG).code == fast.ALLOWED

    assert (nova.written, hooked.pinned(), asked(hooked)) == ([], NEW, [])


def test_a_start_may_pass_and_is_drift(hooked: Hooked, nova: StandIn) -> None:
    """[hook] nova_stop = allow: an instance that runs as something else in place of one in ERROR."""
    hooked.configure(f"[hook]\nnova_stop = allow\n{DATABASE}")
    nova.say(OLD, SOMEBODY)

    answer = hooked.call("prepare", WRONG)

    assert (answer.code, answer.errors) == (fast.ALLOWED, "")
    assert answer.log == [
        f"prepare of guest web-1 ({UUID}): is let through by [hook] nova_stop = allow: "
        f"pinned to {OLD}, but would start as {NEW}"
    ]
    assert asked(hooked) == [UUID]
    hooked.call("started", WRONG)
    assert hooked.events()[-1] == ("drift", OLD, NEW)
    assert hooked.pinned() == OLD


@pytest.mark.parametrize(
    ("more", "image", "asks"),
    [
        (DATABASE, IMAGE, True),
        (DATABASE, "", False),
        (f"{DATABASE}[sync]\nwrite_back = false\n", IMAGE, False),
        ("", IMAGE, False),
    ],
)
def test_a_first_boot_asks_for_a_push(hooked: Hooked, more: str, image: str, asks: bool) -> None:
    """A hard reboot seconds later is right then, on every release of Nova."""
    hooked.configure(more)

    hooked.call("started", domain(NEW, image=image))

    assert hooked.pinned() == NEW
    assert asked(hooked) == ([UUID] if asks else [])
    hooked.call("started", domain(NEW, image=image))
    assert len(asked(hooked)) == asks
