# SPDX-License-Identifier: Apache-2.0
"""What an operator should know about a change that is allowed, as data; and what policy says about it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

from mthook import machinetype, policy
from mthook.catalog.offers import Offer
from mthook.errors import MachineTypeError, Refused
from mthook.policy import Refusal
from mthook.text import printable

#: What uses up a managed-save image.
_RESUME = "start it and shut it down"


class Kind(enum.Enum):
    """What there is to know; the facts that go with it come after the colon."""

    #: Policy would refuse it if it weren't allowed: its own words.
    FORCED = "forced"
    #: A revert to a snapshot brings back another machine type: how many there are.
    SNAPSHOTS = "snapshots"
    #: What QEMU offers isn't known here, so the machine type isn't checked: its name.
    OFFERS_UNKNOWN = "offers_unknown"
    #: This host's QEMU deprecates the machine type: its name.
    DEPRECATED = "deprecated"
    #: The definition isn't allowed to follow, and stays: why.
    DEFINITION_STAYS = "definition_stays"
    #: The configuration lets no definition follow, and this one isn't as the pin will be.
    REALIGN_OFF = "realign_off"
    #: The definition can't follow, and stays until Nova makes it anew: why.
    UNTIL_NOVA = "until_nova"
    #: An instance that isn't stopped gets the machine type at a cold start: its name.
    COLD_START = "cold_start"
    #: A shelved instance gets the machine type of its shelved image: the command that changes that.
    SHELVED = "shelved"
    #: The same, where Glance was to be told and fails: why, and the command.
    SHELVED_FAILED = "shelved_failed"
    #: Secure boot is optional, and can't be had: what asks for it, the machine type.
    NO_SECURE_BOOT = "no_secure_boot"
    #: The instance is on another host, which would write its pin back: the host.
    OTHER_HOST = "other_host"
    #: Nova keeps device buses that the machine type doesn't have: the rows, the machine type, a bus that it has.
    BUSES = "buses"
    #: The request spec, which counts at a cold migration or resize, is left alone: why.
    SPEC = "spec"
    #: There is no catalog here that would keep the history.
    NO_CATALOG = "no_catalog"
    #: The catalog that would keep the history can't be used: why.
    NO_HISTORY = "no_history"
    #: What it was can't be noted, so ``undo`` can't take it back: why.
    NO_RECORD = "no_record"


class Caution(NamedTuple):
    """One thing to know.

    :ivar facts: as :class:`Kind` tells.
    """

    kind: Kind
    facts: tuple[object, ...] = ()


def ask_policy(
    what: object,
    old: str | None,
    new: str,
    *,
    names: Sequence[str] = (),
    supported: bool | None,
    state: str = "running",
    shut_off: str = "stop it",
    release: bool = False,
    **facts: Any,
) -> list[Caution]:
    """Ask policy whether the machine type of an instance, ``what``, may be changed.

    :param names: the machine types that this host's QEMU supports, as far as they are known.
    :param supported: whether QEMU supports the new one; ``None``: go by its name.
    :param state: the instance's state if it isn't stopped, for the message.
    :param shut_off: what stops it.
    :param release: the pin is to go, not to change.
    :param facts: more for :func:`mthook.policy.may_update`, which says when it is refused.
    """
    try:
        nearest = _nearest(new, names)
        warnings = policy.may_update(old, new, supported=supported, nearest=nearest, **facts)
    except MachineTypeError as error:
        raise Refused(str(error), Refusal.UNSUPPORTED) from error
    except Refused as error:
        word = policy.allowance(error.reason)
        if error.reason == Refusal.RUNNING:
            then = "release it all the same" if release else "change it at its next cold start"
            text = f"{what} is {printable(state)}: {shut_off} first, or --allow {word} to {then}"
        elif error.reason == Refusal.SAVED:
            then = "release it all the same" if release else "change the pin alone"
            text = f"{what} has a managed-save image: {_RESUME} first, or --allow {word} to {then}"
        else:
            text = f"{what}: {error} (--allow {word} overrides)"
        raise Refused(text, error.reason) from error
    return [Caution(Kind.FORCED, (text,)) for text in warnings]


def may_release(what: object, **facts: Any) -> list[Caution]:
    """Ask policy whether a pin may be released: only the guest's state counts, not a machine type."""
    return ask_policy(what, None, "pc", supported=True, release=True, **facts)


def about_age(offer: Offer, machine: str) -> list[Caution]:
    """Return a caution if an emulator of this host deprecates a machine type."""
    return [Caution(Kind.DEPRECATED, (machine,))] if machine in offer.deprecated else []


def _nearest(machine: str, names: Sequence[str]) -> list[str]:
    """Return supported names to offer in place of one that isn't; for a bare family, its newest."""
    return machinetype.nearest(machine, names) or machinetype.nearest(f"{machine}-999.0", names)
