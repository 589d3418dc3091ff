# SPDX-License-Identifier: Apache-2.0
"""Transcripts and the guide have the machine types of Debian 12; this machine may have others in their place."""

from __future__ import annotations

from tests.lab import OFFER

_RELEASES = OFFER.releases(deprecated=False)
#: As wide as in the files: then lines end and tables begin where they do there.
NEW, OLD = (
    [name for name in _RELEASES if len(name) == len("pc-i440fx-7.2")][ago] for ago in (0, 3)
)
_NAMES = {NEW: "pc-i440fx-7.2", OLD: "pc-i440fx-6.2"}
_NAMES.update(
    {
        here.replace("i440fx", "q35"): there.replace("i440fx", "q35")
        for here, there in _NAMES.items()
    }
)
#: What is proposed is the newest.
_PROPOSED = {
    ", ".join(_RELEASES[:3]): "pc-i440fx-7.2, pc-i440fx-7.1, pc-i440fx-7.0",
    _RELEASES[0]: "pc-i440fx-7.2",
}


def shown(text: str) -> str:
    """Return what is shown here as the files have it."""
    for here, there in {**_PROPOSED, **_NAMES}.items():
        text = text.replace(here, there)
    return text


def typed(command: str) -> str:
    """Return a command of the files as it is typed here."""
    for here, there in _NAMES.items():
        command = command.replace(there, here)
    return command
