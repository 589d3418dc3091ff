# SPDX-License-Identifier: Apache-2.0
"""The limit on client messages that wait in the gate, all clients together."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mthook.gate.connection import Connection

#: Bytes of messages that may be held back. A message has at most 10 MiB, a usual domain 20 KiB.
LIMIT = 128 * 1024 * 1024
#: What a message takes besides its own bytes.
_EACH = 2048


class Budget:
    """Counts what is held back, and disconnects the client that holds most when it is too much.

    That is the largest client of the user whose clients together hold the most: nobody can have another user's clients
    disconnected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: dict[Connection, int] = {}
        self._total = 0

    def take(self, holder: Connection, size: int) -> None:
        """Count a message of ``size`` bytes, as soon as it says that it will have so many."""
        self._add(holder, size + _EACH)
        while self._total > LIMIT:
            most = self._most()
            self.forget(most)
            # Later: the caller may be in the middle of reading from it.
            self._loop.call_soon(most.close, "its messages wait, and there is no room for more")

    def keep(self, holder: Connection, size: int) -> None:
        """Count only ``size`` bytes for this holder: everything before has gone on."""
        if holder in self._held:
            self.forget(holder)
            if size:
                self._add(holder, size)

    def forget(self, holder: Connection) -> None:
        """Stop counting for this holder."""
        self._total -= self._held.pop(holder, 0)

    def _add(self, holder: Connection, size: int) -> None:
        self._held[holder] = self._held.get(holder, 0) + size
        self._total += size

    def _most(self) -> Connection:
        users: collections.Counter[int] = collections.Counter()
        for holder, size in self._held.items():
            users[holder.uid] += size
        return max(self._held, key=lambda holder: (users[holder.uid], self._held[holder]))
