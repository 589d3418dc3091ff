# SPDX-License-Identifier: Apache-2.0
"""What an operation has done or, in a dry run, would do: plain data, which only the tools turn into sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Union, get_args

from mthook.errors import HostError, NotFound, Refused
from mthook.text import label

if TYPE_CHECKING:
    from mthook.fleet.rows import Outcome

Kind = Literal[
    "compiled",
    "pinned",
    "released",
    "written",
    "specified",
    "imaged",
    "realigned",
    "repaired",
    "forgotten",
    "drifting",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: The reason of a repair that ended with the guest's start.
STARTED = "started again"

Why = Literal[
    "changed_meanwhile",
    "unconvertible",
    "saved_state",
    "being_rebuilt",
    "unknown_author",
    "not_found_here",
    "no_default",
    "wish_refused",
    "nova_at_work",
    "unconfirmed",
    "image_unseen",
    "image_missing",
    "spec_missing",
    "spec_not_json",
    "spec_unknown",
    "spec_unknown_version",
    "spec_no_image",
    "spec_no_properties",
    "spec_too_large",
]


@dataclass(frozen=True)
class Act:
    """One change of one guest, or of the hook's settings.

    :ivar kind: what was done; ``written``: to Nova's record; ``specified``: to the request spec; ``imaged``: to the
        shelved image; ``drifting``: noted that the guest runs something other than its pin.
    :ivar name: untrusted text; None: not known.
    :ivar old: the machine type before, or the pin that a guest doesn't match; for settings, the hook's mode.
    :ivar new: the machine type after, or the one found; for settings, the hook's mode.
    :ivar source: where a new pin comes from, in the catalog's words.
    :ivar changes: what a change of family does to the guest's hardware, or what else of an image was changed, a line
        each.
    :ivar display_name: what Nova calls the guest, as far as that is known; so below.
    """

    kind: Kind
    uuid: str | None = None
    name: str | None = None
    old: str | None = None
    new: str | None = None
    source: str | None = None
    reason: str | None = None
    changes: Sequence[str] = ()
    display_name: str | None = None


@dataclass(frozen=True)
class Foreseen:
    """What mode enforce would do to a guest, where the mode is another one.

    :ivar effect: ``realign`` its definition; ``stop`` its next start, as its definition couldn't be realigned.
    :ivar old: the machine type that it is defined as.
    :ivar new: its pin.
    :ivar reason: why its definition couldn't be realigned.
    :ivar changes: what a change of family would do to the guest's hardware, a line each.
    """

    effect: Literal["realign", "stop"]
    uuid: str
    name: str
    old: str | None
    new: str | None
    reason: str | None = None
    changes: Sequence[str] = ()
    display_name: str | None = None


@dataclass(frozen=True)
class LeftAlone:
    """A guest that needs something that mthook doesn't do by itself.

    :ivar detail: the text of the error behind it, the architecture that has no default, or the command to type.
    """

    uuid: str
    name: str
    reason: Why
    detail: str | None = None
    display_name: str | None = None


@dataclass(frozen=True)
class Failure:
    """An error, and the guest that it concerns, if any."""

    error: Exception
    uuid: str | None = None
    name: str | None = None
    display_name: str | None = None

    def __str__(self) -> str:
        if self.uuid is None or isinstance(self.error, (HostError, NotFound, Refused)):
            return str(self.error)  # it names the guest itself
        return f"{label(self.uuid, self.name, self.display_name)}: {self.error}"


@dataclass(frozen=True)
class StartedUnguarded:
    """A guest that was started without the hook.

    :ivar name: untrusted text.
    :ivar at: when it was started.
    """

    uuid: str
    name: str
    at: str
    display_name: str | None = None


Event = Union[Act, Foreseen, LeftAlone, Failure, StartedUnguarded]


class Result:
    """What a run of mthook-sync comes to, in figures.

    :param report: is called with each thing at once, so that what was done is known even if the run dies.
    :param dry_run: the acts are what would be done.
    :ivar guests: how many domains the host has, or how many instances were looked at.
    :ivar counts: how many acts there are of each kind.
    :ivar left: how many guests were left alone.
    :ivar failed: how many errors there were, each guest that was started unguarded included.
    """

    def __init__(self, report: Callable[[Event], None], *, dry_run: bool = False) -> None:
        self._report = report
        self.dry_run = dry_run
        self.guests = 0
        self.counts: Counter[Kind] = Counter()
        self.left = 0
        self.failed = 0

    def add(self, event: Event) -> None:
        """Note what happened."""
        if isinstance(event, Act):
            self.counts[event.kind] += 1
        elif isinstance(event, LeftAlone):
            self.left += 1
        elif isinstance(event, (Failure, StartedUnguarded)):
            self.failed += 1
        self._report(event)


class SyncResult(Result):
    """The same, with everything that happened: each thing once, however many steps meet it.

    :ivar displays: what Nova calls guests, by UUID; every event gets the name of its guest from there.
    :ivar foreseen: for a dry run in a mode other than enforce.
    :ivar drift: how many instances don't match their pins at the end of the run.
    :ivar outcomes: what became of wishes in the fleet's record, which doesn't know it yet.
    """

    def __init__(self, report: Callable[[Event], None], *, dry_run: bool = False) -> None:
        super().__init__(report, dry_run=dry_run)
        self._known: set[object] = set()
        self.displays: dict[str, str] = {}
        self.acts: list[Act] = []
        self.foreseen: list[Foreseen] = []
        self.drift = 0
        self.left_alone: list[LeftAlone] = []
        self.errors: list[Failure] = []
        self.outcomes: list[Outcome] = []
        self.unguarded: list[StartedUnguarded] = []

    def add(self, event: Event) -> None:
        """Note what happened, unless it has been noted."""
        event = replace(event, display_name=self.displays.get(event.uuid or ""))
        # Errors are never equal, but their texts can be.
        key = (event.uuid, str(event.error)) if isinstance(event, Failure) else event
        if key in self._known:
            return
        self._known.add(key)
        if isinstance(event, Act):
            self.acts.append(event)
        elif isinstance(event, Foreseen):
            self.foreseen.append(event)
        elif isinstance(event, LeftAlone):
            self.left_alone.append(event)
        elif isinstance(event, StartedUnguarded):
            self.unguarded.append(event)
        else:
            self.errors.append(event)
        super().add(event)
