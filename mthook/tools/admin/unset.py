# SPDX-License-Identifier: Apache-2.0
"""``list --unset`` where Nova's database is configured: instances without a machine type, of all cells."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mthook.errors import NovaError
from mthook.text import printable
from mthook.tools.admin.command import Told, UsageError

if TYPE_CHECKING:
    from mthook.nova.cell import Cell
    from mthook.nova.cells import Cells

COLUMNS = ("UUID", "Name", "State", "Host", "Cell")
#: Options of ``list`` that ask for what the database can't tell.
_LOCAL = ("drift", "machine", "deprecated")


def check(args: argparse.Namespace) -> None:
    """Check which options were given.

    :raises UsageError: one makes no sense here.
    """
    for name in _LOCAL:
        if getattr(args, name):
            raise UsageError(
                f"--{name} doesn't go with --unset here: that lists instances from Nova's database"
            )


class Unset:
    """The rows, which are read as they are printed: there can be more of them than memory is good for.

    :param state: only instances in this state; ``None``: in any.
    :ivar some: whether there were any.
    :ivar failed: whether a cell could not be asked; the others are listed.
    """

    def __init__(self, command: Told, cell_uuid: str | None, state: str | None) -> None:
        """Find out which cells to ask.

        :raises NotFound: there is no such cell.
        :raises NovaError: the API database failed.
        """
        self._command = command
        self._state = state
        self.some = self.failed = False
        with contextlib.ExitStack() as stack:
            cells: Cells = stack.enter_context(command.nova())
            self._cells = [cells.cell(cell_uuid)] if cell_uuid else cells.all()
            self._stack = stack.pop_all()

    def __iter__(self) -> Iterator[Sequence[str]]:
        """Yield the rows, by cell and UUID."""
        with self._stack:
            for cell in self._cells:
                try:
                    yield from self._rows(cell)
                except NovaError as error:
                    self._command.complain(str(error))
                    self.failed = True

    def _rows(self, cell: Cell) -> Iterator[Sequence[str]]:
        name = cell.name.removeprefix("Nova's cell ")  # what messages call it
        for found in cell.unset():
            if self._state in (None, found.vm_state):
                self.some = True
                host = printable(found.host or "")
                yield found.uuid, printable(found.name), found.vm_state, host, name
