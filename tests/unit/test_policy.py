# SPDX-License-Identifier: Apache-2.0
"""The rules: the table "what the hook does", row by row and mode by mode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mthook.errors import MachineTypeError
from mthook.policy import Decision, decide

MODES = ("enforce", "audit", "off")
OPERATIONS = [
    "prepare",
    "start",
    "started",
    "migrate",
    "restore",
    "reconnect",
    "attach",
    "stopped",
    "release",
    "future",
]
ALIASES = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2", "virt": "virt-7.2"}
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"

NOTHING = ("allow", "nothing", "")
PIN = ("allow", "pin", "")
REWRITE = ("rewrite", "nothing", "")


def shown(decision: Decision) -> tuple[str, str, str]:
    return (decision.verdict, decision.record, decision.reason)


def drift(how: str) -> tuple[str, str, str]:
    return ("allow", "drift", f"pinned to {OLD}, but {how} {NEW}")


def deny(how: str) -> tuple[str, str, str]:
    return ("deny", "nothing", f"pinned to {OLD}, but {how} {NEW}")


def in_each_mode(
    operation: str, pin: str | None, observed: str = NEW, **options: object
) -> list[tuple[str, str, str]]:
    """Decide in the modes enforce, audit and off."""
    return [
        shown(decide(operation, observed, pin, aliases=ALIASES, mode=mode, **options))  # type: ignore[arg-type]
        for mode in MODES
    ]


@pytest.mark.parametrize("operation", ["start", "stopped", "release", "future", "", "PREPARE"])
@pytest.mark.parametrize("pin", [None, OLD, NEW])
def test_operations_without_a_rule_are_allowed_at_once(operation: str, pin: str | None) -> None:
    """Start, stopped, release and what a future libvirt may add decide and record nothing."""
    assert in_each_mode(operation, pin) == [NOTHING] * 3


def test_prepare_without_a_pin_is_allowed_and_records_nothing() -> None:
    """A guest that hasn't run yet may still fail to start: nothing is recorded."""
    assert in_each_mode("prepare", None) == [NOTHING] * 3


@pytest.mark.parametrize("operation", ["started", "migrate", "restore", "reconnect", "attach"])
def test_a_guest_without_a_pin_that_runs_is_recorded(operation: str) -> None:
    """Whatever shows real hardware makes a pin, in audit mode too."""
    assert in_each_mode(operation, None) == [PIN, PIN, NOTHING]


@pytest.mark.parametrize("operation", ["started", "migrate", "restore", "reconnect", "attach"])
def test_a_released_pin_is_recorded_anew(operation: str) -> None:
    """During a rebuild the old pin counts no more."""
    assert in_each_mode(operation, OLD, released=True) == [PIN, PIN, NOTHING]


def test_prepare_of_a_rebuild_is_allowed() -> None:
    """A released pin stops no start, and a start records nothing."""
    assert in_each_mode("prepare", OLD, released=True) == [NOTHING] * 3


@pytest.mark.parametrize(
    "operation", ["prepare", "started", "migrate", "restore", "reconnect", "attach"]
)
@pytest.mark.parametrize("pin", [NEW, "pc"])
def test_a_satisfied_pin_leaves_the_guest_alone(operation: str, pin: str) -> None:
    """Nothing is printed, recorded or stopped when the guest is what its pin asks for."""
    assert in_each_mode(operation, pin) == [NOTHING] * 3


def test_prepare_with_another_machine_type_is_stopped() -> None:
    """Enforce stops the start; audit lets it run and records drift."""
    assert in_each_mode("prepare", OLD) == [
        deny("would start as"),
        drift("would start as"),
        NOTHING,
    ]


def test_prepare_after_an_accepted_arrival_is_let_through() -> None:
    """The start that completes a migration or restore is the same guest, mismatch and all."""
    assert in_each_mode("prepare", OLD, arrived=True) == [NOTHING] * 3


@pytest.mark.parametrize("operation", ["started", "reconnect", "attach"])
@pytest.mark.parametrize("migrate_mismatch", ["accept", "refuse"])
def test_a_running_guest_is_never_stopped(operation: str, migrate_mismatch: str) -> None:
    """Another machine type than the pin's is drift; a refusal would kill the guest."""
    found = in_each_mode(operation, OLD, migrate_mismatch=migrate_mismatch)

    assert found == [drift("runs as"), drift("runs as"), NOTHING]


@pytest.mark.parametrize(
    ("operation", "how"), [("migrate", "arrives as"), ("restore", "was saved as")]
)
def test_an_unlike_arrival_is_drift_where_accepted(operation: str, how: str) -> None:
    """migrate_mismatch = accept lets the guest in and records drift."""
    assert in_each_mode(operation, OLD) == [drift(how), drift(how), NOTHING]


@pytest.mark.parametrize(
    ("operation", "how"), [("migrate", "arrives as"), ("restore", "was saved as")]
)
def test_an_unlike_arrival_is_denied_where_refused(operation: str, how: str) -> None:
    """migrate_mismatch = refuse denies it; audit turns that into drift."""
    found = in_each_mode(operation, OLD, migrate_mismatch="refuse")

    assert found == [deny(how), drift(how), NOTHING]


@pytest.mark.parametrize("operation", ["migrate", "restore"])
@pytest.mark.parametrize("migrate_mismatch", ["accept", "refuse"])
def test_an_alias_of_the_pin_is_rewritten_on_arrival(operation: str, migrate_mismatch: str) -> None:
    """The pinned name for its alias is all that libvirt's ABI check lets a hook change."""
    found = in_each_mode(operation, NEW, "pc", migrate_mismatch=migrate_mismatch)

    assert found == [REWRITE, NOTHING, NOTHING]


@pytest.mark.parametrize("operation", ["prepare", "started", "reconnect", "attach"])
def test_an_alias_of_the_pin_is_no_matter_elsewhere(operation: str) -> None:
    """Where nothing can be printed, an alias of the pinned name satisfies the pin."""
    assert in_each_mode(operation, NEW, "pc") == [NOTHING] * 3


def test_a_family_alias_of_another_line_is_drift_not_a_rewrite() -> None:
    """Printing the alias wouldn't bring the other vendor's hardware back."""
    found = decide("migrate", NEW, "pc", seen="pc-i440fx-rhel7.6.0", aliases=ALIASES)

    assert shown(found) == ("allow", "drift", f"pinned to pc, but arrives as {NEW}")


def test_decisions_need_no_options() -> None:
    """Without them it enforces, accepts, and knows no aliases."""
    assert shown(decide("prepare", NEW, OLD)) == deny("would start as")
    assert shown(decide("migrate", NEW, OLD)) == drift("arrives as")


@pytest.mark.parametrize("names", [("pc q35", OLD), (OLD, "pc q35")])
def test_a_name_that_is_none_is_an_error(names: tuple[str, str]) -> None:
    """Neither a broken pin nor a broken XML value is ever taken for a match."""
    with pytest.raises(MachineTypeError):
        decide("prepare", *names)


names = st.sampled_from([OLD, NEW, "pc", "q35", "pc-q35-7.2", "pc-i440fx-jammy", "foo", "virt"])
decisions = st.fixed_dictionaries(
    {
        "observed": names,
        "pin": st.none() | names,
        "seen": st.none() | names,
        "aliases": st.sampled_from([{}, ALIASES]),
        "migrate_mismatch": st.sampled_from(["accept", "refuse"]),
        "arrived": st.booleans(),
        "released": st.booleans(),
    }
)


@given(st.sampled_from(OPERATIONS), decisions)
def test_nothing_but_a_cold_start_or_an_arrival_is_ever_denied(
    operation: str, facts: dict[str, object]
) -> None:
    """No combination of facts denies or rewrites another operation, or anything in audit or off."""
    verdicts = {mode: decide(operation, mode=mode, **facts).verdict for mode in MODES}  # type: ignore[arg-type]

    assert (verdicts["audit"], verdicts["off"]) == ("allow", "allow")
    if operation not in ("prepare", "migrate", "restore"):
        assert verdicts["enforce"] == "allow"


@given(st.sampled_from(OPERATIONS), decisions)
def test_audit_records_at_least_what_enforce_records(
    operation: str, facts: dict[str, object]
) -> None:
    """Audit differs from enforce in what it stops, and records that as drift."""
    enforce = decide(operation, mode="enforce", **facts)  # type: ignore[arg-type]
    audit = decide(operation, mode="audit", **facts)  # type: ignore[arg-type]

    assert audit.record == ("drift" if enforce.verdict == "deny" else enforce.record)
    assert audit.reason == enforce.reason


@given(decisions)
def test_reasons_are_one_line(facts: dict[str, object]) -> None:
    """A reason is given exactly for what is wrong, in one printable line."""
    found = decide("prepare", **facts)  # type: ignore[arg-type]

    assert bool(found.reason) == (found.verdict == "deny")
    assert found.reason.isprintable()
