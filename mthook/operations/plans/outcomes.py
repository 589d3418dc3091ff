# SPDX-License-Identifier: Apache-2.0
"""What became of each guest, and how far to go: for applying a plan and for taking it back."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mthook.errors import CatalogConflict, CatalogError, Error, NovaConflict, NovaError
from mthook.operations.caution import Caution
from mthook.operations.plans.subjects import Site

Kind = Literal["changed", "foreseen", "put_back", "gone", "elsewhere", "changed_since", "failed"]
#: The guest is left alone.
LEFT: tuple[Kind, ...] = ("gone", "elsewhere", "changed_since")


@dataclass(frozen=True)
class Outcome:
    """What became of a guest.

    :ivar kind: ``elsewhere``, ``gone``, ``changed_since``: it isn't what was seen, and is left alone.
    :ivar detail: where it is now, what has changed, or why it failed.
    """

    kind: Kind
    uuid: str
    name: str
    old: str | None
    new: str | None
    detail: str = ""
    cautions: Sequence[Caution] = ()


class Limits:
    """How many guests are changed at most, and at how many failures it stops; for all processes together."""

    def __init__(self, maximum: int | None = None, errors: int | None = None) -> None:
        self._changes = multiprocessing.Value("q", -1 if maximum is None else maximum)
        self._errors = multiprocessing.Value("q", -1 if errors is None else errors)

    @property
    def paused(self) -> bool:
        """Whether so many have failed that it stops."""
        return int(self._errors.value) == 0

    @property
    def used_up(self) -> bool:
        """Whether no more guests may be changed."""
        return self.paused or int(self._changes.value) == 0

    def take(self) -> bool:
        """Tell whether another guest may be changed, which counts as one that is."""
        with self._changes.get_lock():
            if self.used_up:
                return False
            if self._changes.value > 0:
                self._changes.value -= 1
            return True

    def give_back(self) -> None:
        """Take back the count of a guest that wasn't changed."""
        with self._changes.get_lock():
            if self._changes.value >= 0:
                self._changes.value += 1

    def fail(self) -> None:
        """Count a failure."""
        with self._errors.get_lock():
            if self._errors.value > 0:
                self._errors.value -= 1


def is_fatal(error: Error) -> bool:
    """Tell whether the next guest would fail in the same way: a database can't be used."""
    conflict = isinstance(error, (NovaConflict, CatalogConflict))
    return isinstance(error, (NovaError, CatalogError)) and not conflict


def check_origin(site: Site, host: str, cloud: Sequence[str] | None, *, all_hosts: bool) -> None:
    """Make sure that this is the host and the cloud that something was made for.

    :raises Error: it isn't.
    """
    if not all_hosts and host != site.here:
        raise Error(f"it was made on {host}, for its guests: apply it there (this is {site.here})")
    known = site.cells.identity() if site.cells else None
    if known != (None if cloud is None else list(cloud)):
        raise Error("it was made with other Nova databases than those configured here")
