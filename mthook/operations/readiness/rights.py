# SPDX-License-Identifier: Apache-2.0
"""Does mthook's user have all the rights that it needs in Nova's databases?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mthook import conf as configuration
from mthook.errors import NovaError
from mthook.operations.opening import opened_nova
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, as_success, unavailable

if TYPE_CHECKING:
    from mthook.nova.cell import Cell
    from mthook.nova.rights import Lacking


def check(context: Context) -> list[Finding]:
    """Ask the API database, where it is configured, and each cell; rights to write count if mthook is to write."""
    if not configuration.has_nova(context.conf):
        return [as_success("no_database")]
    writes = context.conf.sync.write_back
    with opened_nova(context.conf) as cells:
        found = [_finding(one) for one in cells.lacking_rights(writes=writes)]
        try:
            each = cells.all()
        except NovaError:
            if not found:
                raise
            each = []  # without the missing rights they can't be found
        for cell in each:
            found += _of_cell(cell, writes)
    return found or [as_success()]


def _of_cell(cell: Cell, writes: bool) -> list[Finding]:
    try:
        return [_finding(one) for one in cell.lacking_rights(writes=writes)]
    except NovaError as error:
        return [unavailable(error)]


def _finding(one: Lacking) -> Finding:
    facts = {"table": f"{one.database}.{one.table}", "user": one.user, "rights": list(one.rights)}
    return Finding("lacking", Severity.FAILURE, (), facts, one.grant)
