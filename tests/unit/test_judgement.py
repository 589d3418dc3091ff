# SPDX-License-Identifier: Apache-2.0
"""What becomes of a guest, without a catalog, a database or libvirtd."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from mthook import judgement
from mthook.catalog.lookup import Known
from mthook.errors import MachineTypeError
from mthook.judgement import DEFINE, Judgement, NovaAnswer, judge
from mthook.nova.question import Recorded
from mthook.reconcile import FILLED_IN, NOBODY_KNOWS, SOMEBODY
from mthook.reconcile import NOVA as BY_NOVA
from mthook.settings import Settings
from mthook.xmlrewrite import summary
from tests.unit.hook.conftest import IMAGE, domain, travelling

OLD, NEW, NEWEST = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-8.2"
ALIASES = {"pc": NEW}
SINCE, BEFORE, NOW = (f"2026-0{month}-01T00:00:00.000000Z" for month in (5, 4, 6))
PLAIN = Settings(mode="enforce")
NOVA = Settings(mode="enforce", nova=True)


def known(machine: Optional[str] = OLD, **more: Any) -> Known:
    """What the catalog has of a guest with this pin."""
    values: dict[str, Any] = {
        "settings": None,
        "machine": machine,
        "seen": None,
        "updated_at": SINCE,
        "root_image": None,
        "source": "first boot",
        "has_row": True,
        "arrival": None,
        "gone_since": None,
        "repair": False,
        "latest": NOW,
        "kept": None,
    }
    return Known(**{**values, **more})


UNKNOWN = known(None, has_row=False, updated_at=None, source=None)


def judged(
    operation: str, xml: bytes, known: Known, settings: Settings = NOVA, **recorded: Any
) -> Judgement:
    """Judge, with Nova's answer where something is recorded there."""
    nova = None
    if recorded:
        default: dict[str, Any] = {
            "machine": OLD,
            "row": 7,
            "author": SOMEBODY,
            "rebuild": None,
            "rebuild_at": "",
            "rebuilding": False,
            "rescuing": False,
            "default": NEWEST,
            "way_back": "reboot --hard",
            "image": None,
            "buses": {},
        }
        nova = NovaAnswer(Recorded(**{**default, **recorded}), (OLD, 7, None), NOW)
    return judge(operation, summary.read(xml), known, ALIASES, settings, nova)


WRONG = domain(NEW, image=IMAGE)


@pytest.mark.parametrize("operation", ["prepare", DEFINE])
@pytest.mark.parametrize(
    ("machine", "known", "asks"),
    [
        (NEW, known(), True),
        (OLD, known(), False),
        (NEW, UNKNOWN, True),
        (NEW, known(None), False),
    ],
)
def test_nova_is_asked_about_a_wrong_start_and_the_first_one(
    operation: str, machine: str, known: Known, asks: bool
) -> None:
    """And about no other: a start as it should be needs no database."""
    assert judged(operation, domain(machine, image=IMAGE), known).asks_nova is asks


@pytest.mark.parametrize(
    ("operation", "xml", "settings"),
    [
        ("started", WRONG, NOVA),
        ("migrate", WRONG, NOVA),
        ("prepare", WRONG, PLAIN),
        ("prepare", domain(NEW), NOVA),
    ],
)
def test_nova_is_not_asked(operation: str, xml: bytes, settings: Settings) -> None:
    """Not when nothing can be stopped, not without its database, not about a guest that isn't Nova's."""
    assert not judged(operation, xml, known(), settings).asks_nova


def test_nova_is_asked_once() -> None:
    """Whatever it said: that it knows no such instance, too."""
    nova = NovaAnswer(None, None, NOW)

    again = judge("prepare", summary.read(WRONG), known(), ALIASES, NOVA, nova)

    assert (again.asks_nova, again.verdict, again.event) == (False, "deny", judgement.STOP)
    assert again.compared is None


@pytest.mark.parametrize("operation", ["prepare", DEFINE])
def test_what_nova_has_recorded_becomes_the_pin(operation: str) -> None:
    """From now on, and with what is needed for the next comparison; the guest doesn't run yet."""
    found = judged(operation, WRONG, known(), machine=NEW, row=8)

    assert (found.verdict, found.pin, found.origin, found.since) == ("allow", NEW, "Nova", NOW)
    assert found.new_pin is not None
    assert (found.new_pin.machine, found.new_pin.source) == (NEW, "Nova")
    assert (found.new_pin.reason, found.new_pin.running) == (None, None)
    assert (found.compared, found.released, found.event) == ((NEW, 8, None), "", "")


def test_a_start_unlike_what_nova_has_recorded_is_stopped_all_the_same() -> None:
    """By the pin that Nova brought."""
    found = judged("prepare", WRONG, known(), machine="pc-q35-7.2", row=8)

    assert (found.verdict, found.event) == ("deny", judgement.STOP)
    assert found.reason == f"pinned to pc-q35-7.2, but would start as {NEW}"


def test_a_rebuild_releases_the_pin_where_nova_has_no_record() -> None:
    """What the guest runs next is its pin."""
    found = judged("prepare", WRONG, known(), machine=None, row=None, rebuild=3, rebuilding=True)

    assert (found.verdict, found.pin, found.released) == ("allow", "", OLD)
    assert (found.compared, found.new_pin) == ((None, None, 3), None)


def test_novas_own_default_changes_nothing() -> None:
    """It lost the record and wrote what its configuration says."""
    found = judged(
        "prepare", domain(NEWEST, image=IMAGE), known(), machine=NEWEST, row=8, author=FILLED_IN
    )

    assert (found.verdict, found.pin, found.origin) == ("deny", OLD, "row")
    assert (found.mends, found.unsure) == (True, False)
    assert (found.compared, found.new_pin) == (None, None)


def test_a_rescue_image_may_be_what_it_likes() -> None:
    """It isn't the guest, whose pin stays."""
    found = judged("prepare", WRONG, known(), rescuing=True)

    assert (found.verdict, found.pin, found.reason) == ("allow", OLD, "")


def test_a_record_that_is_no_machine_type_is_no_pin() -> None:
    """Anything can stand in a database."""
    with pytest.raises(MachineTypeError):
        judged("prepare", WRONG, known(), machine="pc; reboot", row=8)


def test_a_definition_is_judged_as_the_start_that_follows_it() -> None:
    """But nobody was let in yet, and a domain that names no machine type isn't like any pin."""
    assert judged("prepare", domain(NEW), known(arrival=NEW), PLAIN).verdict == "allow"
    assert judged(DEFINE, domain(NEW), known(arrival=NEW), PLAIN).verdict == "deny"
    unnamed = domain(NEW).replace(f" machine='{NEW}'".encode(), b"")
    assert judged(DEFINE, unnamed, known(), PLAIN).verdict == "deny"
    assert judged(DEFINE, unnamed, known(None), PLAIN).verdict == "allow"


@pytest.mark.parametrize(
    ("operation", "machine", "mode", "event"),
    [
        ("prepare", NEW, "enforce", judgement.STOP),
        ("prepare", NEW, "audit", judgement.WARN),
        ("prepare", OLD, "enforce", ""),
        ("started", NEW, "enforce", judgement.DRIFT),
        ("started", OLD, "enforce", judgement.RUN),
        ("migrate", NEW, "enforce", judgement.ARRIVE),
        ("migrate", OLD, "enforce", ""),
        ("an-operation-of-the-future", NEW, "enforce", ""),
    ],
)
def test_what_happens_is_one_word(operation: str, machine: str, mode: str, event: str) -> None:
    """For the catalog and the log."""
    assert judged(operation, domain(machine), known(), Settings(mode=mode)).event == event


def test_a_pin_that_travels_is_recorded_when_its_guest_comes_or_is_stopped() -> None:
    """A start that goes well is recorded once it has gone well."""
    xml = domain(NEW, metadata=travelling(OLD, BEFORE))

    for operation, recorded in (("prepare", True), ("started", True), ("start", False)):
        found = judged(operation, xml, UNKNOWN, PLAIN)
        assert (found.pin, found.origin, found.since) == (OLD, "metadata", BEFORE)
        assert (found.new_pin is not None) is recorded
    satisfied = domain(OLD, metadata=travelling(OLD, BEFORE))
    assert judged("prepare", satisfied, UNKNOWN, PLAIN).new_pin is None


def test_what_nova_wrote_by_itself_is_put_right() -> None:
    """The pin stays, and takes the record's place."""
    found = judged("prepare", WRONG, known(), machine=NEW, row=7, author=BY_NOVA)

    assert (found.verdict, found.pin, found.origin) == ("deny", OLD, "row")
    assert (found.mends, found.unsure, found.compared) == (True, False, None)


def test_what_nobody_knows_the_author_of_stays_and_so_does_the_pin() -> None:
    """Somebody has to look."""
    found = judged("prepare", WRONG, known(), machine=NEW, row=7, author=NOBODY_KNOWS)

    assert (found.verdict, found.pin, found.event) == ("deny", OLD, judgement.STOP)
    assert (found.mends, found.unsure, found.new_pin) == (False, True, None)


@pytest.mark.parametrize(
    ("operation", "xml", "mode", "verdict", "event"),
    [
        ("prepare", WRONG, "enforce", "allow", judgement.PASS),
        ("prepare", WRONG, "audit", "allow", judgement.WARN),
        ("prepare", domain(OLD, image=IMAGE), "enforce", "allow", ""),
        ("started", WRONG, "enforce", "allow", judgement.DRIFT),
        ("prepare", domain(NEW), "enforce", "deny", judgement.STOP),  # not one of Nova's
        (DEFINE, WRONG, "enforce", "deny", judgement.STOP),  # the gate makes it right
    ],
)
def test_a_start_of_novas_may_pass(
    operation: str, xml: bytes, mode: str, verdict: str, event: str
) -> None:
    """[hook] nova_stop = allow."""
    found = judged(operation, xml, known(), Settings(mode=mode, nova_stop="allow"))

    assert (found.verdict, found.event) == (verdict, event)


OTHER_IMAGE = "3c4d5e6f-7081-4293-a4b5-c6d7e8f90a1c"


@pytest.mark.parametrize(
    ("image", "recorded", "pinned", "verdict"),
    [
        (
            OTHER_IMAGE,
            "",
            OLD,
            "allow",
        ),  # a Nova that doesn't tell, or a rebuild from an image that names none
        (OTHER_IMAGE, NEW, OLD, "allow"),  # a rebuild
        (OTHER_IMAGE, OLD, OLD, "deny"),  # an unshelve
        (OTHER_IMAGE, "pc", OLD, "deny"),  # likewise, with what Nova had from the beginning
        (IMAGE, NEW, OLD, "deny"),  # a record that has changed
        (IMAGE, "", OLD, "deny"),
    ],
)
def test_without_the_database_the_xml_tells_a_rebuild(
    image: str, recorded: str, pinned: str, verdict: str
) -> None:
    """Nova 32 and newer write into it what they have recorded."""
    xml = domain(NEW, image=image, recorded=recorded)

    found = judged("prepare", xml, known(pinned, root_image=IMAGE), PLAIN)

    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("operation", "xml", "known", "pin"),
    [
        (DEFINE, domain(NEW, image=IMAGE, recorded=OLD), UNKNOWN, OLD),
        ("prepare", domain(NEW, image=IMAGE, recorded=OLD), UNKNOWN, OLD),
        ("prepare", domain(NEW, image=IMAGE, recorded="pc"), UNKNOWN, ""),
        ("prepare", domain(NEW, image=IMAGE, recorded="q35; reboot"), UNKNOWN, ""),
        ("prepare", domain(NEW, image=IMAGE, recorded=OLD), known(None), ""),  # released
        ("migrate", domain(NEW, image=IMAGE, recorded=OLD), UNKNOWN, ""),  # it runs
    ],
)
def test_without_the_database_the_xml_tells_the_pin_of_a_newcomer(
    operation: str, xml: bytes, known: Known, pin: str
) -> None:
    """A cold migration makes it from the image's properties, and says what is recorded."""
    found = judged(operation, xml, known, PLAIN)

    assert (found.pin, found.verdict) == (pin, "deny" if pin else "allow")
    assert pin == "" or (found.new_pin is not None and found.new_pin.machine == pin)
    assert not judged(operation, xml, known, NOVA).pin


@pytest.mark.parametrize("aliases", [{"pc": OLD}, {"pc": NEW}, {}])
def test_a_definition_with_an_alias_gets_its_pins_version(aliases: dict[str, str]) -> None:
    """Whatever the alias is taken for here: after an upgrade of QEMU it starts as something else."""
    judged = judge(DEFINE, summary.read(domain("pc")), known(), aliases, Settings(mode="enforce"))

    assert judged.verdict in ("rewrite", "deny")
    assert bool(judged.reason) == (aliases != {"pc": OLD})


@pytest.mark.parametrize(
    ("operation", "pin", "mode"),
    [("prepare", OLD, "enforce"), (DEFINE, "pc", "enforce"), (DEFINE, OLD, "audit")],
)
def test_an_alias_that_stands_for_the_pin_is_let_be(operation: str, pin: str, mode: str) -> None:
    """At a start it is what starts; where the pin is an alias nothing is to be written out; audit changes nothing."""
    guest = summary.read(domain("pc"))
    judged = judge(operation, guest, known(pin), {"pc": OLD}, Settings(mode=mode))

    assert (judged.verdict, judged.reason) == ("allow", "")
