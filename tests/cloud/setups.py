# SPDX-License-Identifier: Apache-2.0
"""The set-ups that every path is tried in, and the defaults that change under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class SetUp:
    """What there is of mthook on both compute hosts.

    :param name: what ``--set-up`` calls it.
    """

    name: str
    title: str
    mthook: bool = True
    database: bool = False
    gate: bool = False

    @property
    def knows_at_once(self) -> bool:
        """Whether a compute host knows all that it must, whatever the controller has done by then."""
        return not self.mthook or (self.database and self.gate)


@dataclass(frozen=True)
class Defaults:
    """The default before and after a change, and the machine types that those are with the QEMU here.

    :param name: what ``--defaults`` calls them.
    """

    name: str
    title: str
    old: Optional[str]
    new: str
    old_machine: str
    new_machine: str


#: What the QEMU here has them for.
_ALIASES = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}


def versioned(machine_type: Optional[str]) -> Optional[str]:
    """Return a machine type by the name that a running guest has."""
    return _ALIASES.get(machine_type or "", machine_type)


SET_UPS = (
    SetUp("nova", "Nova alone", mthook=False),
    SetUp("hook", "database + hook", database=True),
    SetUp("gate", "database + hook + gate", database=True, gate=True),
    SetUp("offline", "hook + gate without database", gate=True),
)
DEFAULTS = (
    Defaults("family", "pc → q35", None, "x86_64=q35", "pc-i440fx-7.2", "pc-q35-7.2"),
    Defaults(
        "version",
        "pc-i440fx-7.2 → pc-i440fx-6.2",
        *("x86_64=pc-i440fx-7.2", "x86_64=pc-i440fx-6.2"),
        *("pc-i440fx-7.2", "pc-i440fx-6.2"),
    ),
)
