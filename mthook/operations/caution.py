# SPDX-License-Identifier: Apache-2.0
"""What an operator should know of a change beside that it is allowed, as data."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple


class Kind(enum.Enum):
    """What there is to know; the facts that go with it stand behind."""

    #: Policy would refuse it without ``force``: its own words.
    FORCED = "forced"
    #: A revert to a snapshot brings back another machine type: how many there are.
    SNAPSHOTS = "snapshots"
    #: This host's QEMU deprecates the machine type: its name.
    DEPRECATED = "deprecated"
    #: The definition may not follow, so that it stays: why.
    DEFINITION_STAYS = "definition_stays"
    #: The configuration lets no definition follow, and this one isn't as the pin will be.
    REALIGN_OFF = "realign_off"
    #: The definition can't follow, and stays until Nova makes it anew: why.
    UNTIL_NOVA = "until_nova"
    #: An instance that isn't stopped gets the machine type at a cold start: its name.
    COLD_START = "cold_start"
    #: A shelved instance may get that of its shelved image.
    SHELVED = "shelved"
    #: The instance is another host's, which would write its pin back: the host.
    OTHER_HOST = "other_host"
    #: Nova keeps device buses that the machine type doesn't have: the rows, the machine type, a bus that it has.
    BUSES = "buses"
    #: There is no catalog here that would keep the history.
    NO_CATALOG = "no_catalog"
    #: The catalog that would keep the history can't be used: why.
    NO_HISTORY = "no_history"


class Caution(NamedTuple):
    """One thing to know.

    :ivar facts: as :class:`Kind` tells.
    """

    kind: Kind
    facts: tuple[object, ...] = ()


def forced(warnings: Iterable[str]) -> list[Caution]:
    """Return what policy has to say of a change that it lets pass."""
    return [Caution(Kind.FORCED, (text,)) for text in warnings]
