# SPDX-License-Identifier: Apache-2.0
"""Changing a machine type: each refusal, its exit code, their order, and what --force does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mthook.errors import MachineTypeError, Refused
from mthook.policy import ALL, ALLOWANCES, Refusal, allowance, may_update
from mthook.tools.admin.command import exit_code_of

OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"
ABI = "the guest's ABI will likely break"
RUNNING = "the guest isn't shut off"
SAVED = "the guest has a managed-save image"
UNSUPPORTED = f"QEMU on this host doesn't offer {NEW}"
WINDOWS = "Windows may lose IP addresses, disks and its activation with another machine type"

# What an operator asks, and the refusal that is due: exit code and what stands in the way.
REFUSALS = [
    (OLD, NEW, {"stopped": False}, 3, RUNNING),
    (OLD, NEW, {"managed_save": True}, 3, SAVED),
    (OLD, NEW, {"supported": False}, 5, UNSUPPORTED),
    (OLD, NEW, {"windows": True}, 4, WINDOWS),
    (
        OLD,
        "pc-q35-7.2",
        {},
        4,
        "pc-q35-7.2 is of another family (q35) than pc-i440fx-6.2 (i440fx)",
    ),
    ("pc", "q35", {}, 4, "q35 is of another family (q35) than pc (i440fx)"),
    (
        "pc",
        NEW,
        {},
        4,
        "its pin 'pc' is an alias; 'mthook-admin freeze' replaces it by the version that the guest runs",
    ),
    (
        NEW,
        "pc",
        {},
        4,
        f"'pc' is an alias: what it means changes with QEMU; use a versioned name such as {NEW}",
    ),
    (NEW, OLD, {}, 4, "pc-i440fx-6.2 is older than pc-i440fx-7.2"),
    ("virt-10.0", "virt-9.2", {}, 4, "virt-9.2 is older than virt-10.0"),
    (
        OLD,
        "pc-i440fx-rhel7.6.0",
        {},
        4,
        "pc-i440fx-rhel7.6.0 is of another vendor's line than pc-i440fx-6.2",
    ),
    ("pc", "ubuntu", {}, 4, "ubuntu is of another vendor's line than pc"),
    (
        "pc-i440fx-focal",
        "pc-i440fx-jammy",
        {},
        4,
        "pc-i440fx-jammy can't be compared with pc-i440fx-focal",
    ),
    (
        "pc-q35-jammy",
        "pc-q35-jammy-hpb",
        {},
        4,
        "pc-q35-jammy-hpb can't be compared with pc-q35-jammy",
    ),
    ("pc;\nid", NEW, {}, 4, r"pc-i440fx-7.2 can't be compared with the pin 'pc;\nid'"),
    # without a pin only state and support count
    (None, NEW, {"stopped": False}, 3, RUNNING),
    (None, NEW, {"managed_save": True}, 3, SAVED),
    (None, NEW, {"supported": False}, 5, UNSUPPORTED),
    # nova-manage's order: state, support, then the change itself
    (NEW, OLD, {"stopped": False, "supported": False}, 3, RUNNING),
    (
        "q35",
        NEW,
        {"supported": False, "windows": True},
        5,
        UNSUPPORTED,
    ),
    (
        NEW,
        OLD,
        {"windows": True},
        4,
        "pc-i440fx-6.2 is older than pc-i440fx-7.2",
    ),
]

OUTCOMES = {
    RUNNING: "it keeps its machine type until its next cold start",
    SAVED: "its next start restores that, with the machine type in it",
    UNSUPPORTED: "the guest can't start where it isn't supported",
}


def ask(old: str | None, new: str, **facts: object) -> list[str]:
    return may_update(old, new, **{"stopped": True, "supported": True, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OLD, NEW),
        ("pc-i440fx-9.2", "pc-i440fx-10.0"),
        ("pc-q35-rhel9.2.0", "pc-q35-rhel9.4.0"),
        ("pc-i440fx-9.2+pve0", "pc-i440fx-9.2+pve1"),
        ("pc-q35-4.0", "pc-q35-4.0.0"),
        (None, NEW),
        (None, "pc"),
    ],
)
def test_a_newer_version_of_the_line_is_allowed(old: str | None, new: str) -> None:
    """A stopped guest may go forward, and a first pin may be anything supported."""
    assert ask(old, new) == []


def test_a_first_pin_for_windows_is_allowed() -> None:
    """Nothing changes under a Windows guest that had no pin."""
    assert ask(None, NEW, windows=True) == []


@pytest.mark.parametrize("allowed", [(), ALL])
def test_the_same_value_is_always_a_success(allowed: Collection[str]) -> None:
    """Setting what is set changes nothing, whatever the guest's state: as nova-manage does it."""
    facts = {"stopped": False, "supported": False, "managed_save": True, "windows": True}

    assert ask(OLD, OLD, allowed=allowed, **facts) == []


@pytest.mark.parametrize(("old", "new", "facts", "code", "what"), REFUSALS)
def test_each_rule_refuses_with_its_code(
    old: str | None, new: str, facts: dict[str, object], code: int, what: str
) -> None:
    """3 for the state, 5 for support, 4 for the change: the first that applies."""
    with pytest.raises(Refused) as caught:
        ask(old, new, **facts)

    assert (exit_code_of(caught.value), str(caught.value)) == (code, what)


@pytest.mark.parametrize(("old", "new", "facts", "code", "what"), REFUSALS)
def test_force_makes_the_refusal_a_warning(
    old: str | None, new: str, facts: dict[str, object], code: int, what: str
) -> None:
    """The first warning is the refusal with what will come of it; code 4 means a broken ABI."""
    warnings = ask(old, new, allowed=ALL, **facts)

    assert warnings[0] == f"{what}: {OUTCOMES.get(what, ABI)}"


def test_force_warns_of_everything() -> None:
    """Every rule that would have refused has a line of its own, in the order of the checks."""
    facts = {"stopped": False, "supported": False, "managed_save": True, "windows": True}

    assert ask("pc-q35-7.2", NEW, allowed=ALL, **facts) == [
        f"{RUNNING}: {OUTCOMES[RUNNING]}",
        f"{SAVED}: {OUTCOMES[SAVED]}",
        f"{UNSUPPORTED}: {OUTCOMES[UNSUPPORTED]}",
        f"{NEW} is of another family (i440fx) than pc-q35-7.2 (q35): {ABI}",
        f"{WINDOWS}: {ABI}",
    ]


def test_an_unsupported_type_comes_with_the_nearest_supported_ones() -> None:
    """The message offers what the hosts do have."""
    with pytest.raises(Refused) as caught:
        ask(OLD, "pc-i440fx-8.0", supported=False, nearest=iter([NEW, "pc-i440fx-7.1"]))

    assert str(caught.value) == (
        "QEMU on this host doesn't offer pc-i440fx-8.0; nearest: pc-i440fx-7.2, pc-i440fx-7.1"
    )


@pytest.mark.parametrize("allowed", [(), ALL])
def test_no_force_makes_a_name_of_what_is_none(allowed: Collection[str]) -> None:
    """A machine type with shell characters is an error even when forced."""
    with pytest.raises(MachineTypeError):
        ask(OLD, "pc;reboot", allowed=allowed)


names = st.sampled_from([OLD, NEW, "pc", "ubuntu", "q35", "pc-q35-7.2", "pc-i440fx-jammy", "foo"])


@given(
    st.none() | names,
    names,
    st.fixed_dictionaries(
        {key: st.booleans() for key in ("stopped", "supported", "managed_save", "windows")}
    ),
)
def test_force_warns_exactly_where_a_refusal_would_come(
    old: str | None, new: str, facts: dict[str, object]
) -> None:
    """Without warnings nothing is refused, and the other way round; all are printable lines."""
    warnings = ask(old, new, allowed=ALL, **facts)

    assert all(line.isprintable() for line in warnings)
    if warnings:
        with pytest.raises(Refused):
            ask(old, new, **facts)
    else:
        assert ask(old, new, **facts) == []


@pytest.mark.parametrize(("old", "new", "facts", "code", "what"), REFUSALS)
def test_what_is_allowed_by_name_is_that_alone(
    old: str | None, new: str, facts: dict[str, object], code: int, what: str
) -> None:
    """The name that belongs to the reason makes a warning of it; all the others don't."""
    with pytest.raises(Refused) as caught:
        ask(old, new, **facts)
    name = allowance(caught.value.reason)
    assert name is not None

    with pytest.raises(Refused, match=re.escape(what)):
        ask(old, new, allowed=ALL.difference(ALLOWANCES[name]), **facts)
    with contextlib.suppress(Refused):  # another reason may come behind
        assert ask(old, new, allowed=ALLOWANCES[name], **facts)[0].startswith(what)


def test_what_cannot_be_converted_cannot_be_allowed() -> None:
    """The guest has what the other board can't have."""
    assert allowance(Refusal.UNCONVERTIBLE) is None
