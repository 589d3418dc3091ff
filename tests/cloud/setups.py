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
