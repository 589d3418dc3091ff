# SPDX-License-Identifier: Apache-2.0
"""The checks in their order, as oslo.upgradecheck runs and prints them."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from mthook.errors import Error
from mthook.operations.readiness import (
    definitions,
    drift,
    inherited,
    installed,
    recorded,
    refused,
    supported,
    synced,
)
from mthook.operations.readiness.findings import Findings
from mthook.operations.readiness.sources import Sources
from mthook.tools import program

_CHECKS = (recorded, installed, synced, drift, supported, definitions, inherited, refused)

#: The table is to fit a terminal of 80 columns; oslo.upgradecheck puts a heading before the details.
_WIDTH = 75
_HEADING = "Details: "
_QUOTED = re.compile("'mthook-[^']*'")
#: Holds the words of a quoted command together.
_NO_BREAK = "\N{NO-BREAK SPACE}"


def _result(checks: Checks, check: Callable[[Sources], Findings]) -> upgradecheck.Result:
    """Run one check; what it needs and can't have makes it a failure."""
    try:
        return check(checks.sources).result()
    except Error as error:
        reason = str(error)
    except OSError as error:
        reason = program.explain(error)
    return upgradecheck.Result(upgradecheck.Code.FAILURE, f"{reason}.")


class Checks(upgradecheck.UpgradeCommands):
    """``upgrade check``.

    :param sources: what the checks look at.
    """

    _upgrade_checks = tuple(
        (module.TITLE, (_result, {"check": module.check})) for module in _CHECKS
    )

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def _get_details(self, upgrade_check_result: upgradecheck.Result) -> str:
        """Return the details wrapped for the table; no command or path is broken."""
        whole = _QUOTED.sub(
            lambda found: found[0].replace(" ", _NO_BREAK), upgrade_check_result.details or ""
        )
        lines = textwrap.wrap(
            whole,
            _WIDTH,
            initial_indent=_HEADING,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        return "\n".join(lines)[len(_HEADING) :].replace(_NO_BREAK, " ")


def run(sources: Sources, *, json: bool) -> int:
    """Run all checks and print what they found.

    :param json: in oslo.upgradecheck's JSON instead of its table.
    :return: the worst :class:`~oslo_upgradecheck.upgradecheck.Code`.
    :raises OSError: standard output can't be written.
    """
    options = cfg.ConfigOpts()
    upgradecheck.register_cli_options(options, Checks(sources))
    arguments = ["upgrade", "check", *(["--json"] if json else [])]
    options(arguments, project="mthook", default_config_files=[], default_config_dirs=[])
    upgradecheck.CONF = options
    code = int(options.command.action_fn())
    sys.stdout.flush()
    return code
