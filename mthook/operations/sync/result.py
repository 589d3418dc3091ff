# SPDX-License-Identifier: Apache-2.0
"""What one run comes to."""

from __future__ import annotations

from collections.abc import Callable

from mthook.operations.acts import Act, Event, Failure, LeftAlone


class SyncResult:
    """Acts, guests left alone and errors in their order, each once however many steps meet it.

    :param tell: is called with each at once: what was done is to be known even if the run dies.
    :ivar guests: how many domains the host has.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._told: set[object] = set()
        self.guests = 0
        self.acts: list[Act] = []
        self.left_alone: list[LeftAlone] = []
        self.errors: list[Failure] = []

    def add(self, event: Event) -> None:
        """Take down what happened, unless it has been."""
        # Errors are never equal, their texts are.
        key = (event.uuid, str(event.error)) if isinstance(event, Failure) else event
        if key in self._told:
            return
        self._told.add(key)
        if isinstance(event, Act):
            self.acts.append(event)
        elif isinstance(event, LeftAlone):
            self.left_alone.append(event)
        else:
            self.errors.append(event)
        self._tell(event)
