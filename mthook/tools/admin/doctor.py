# SPDX-License-Identifier: Apache-2.0
"""``doctor``: is mthook at work on this host?"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import ClassVar

from mthook.errors import Error
from mthook.operations.readiness import checks
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Result, Severity
from mthook.tools import options
from mthook.tools.admin.command import NAME, AdminCommand, ExitCode, argument
from mthook.tools.admin.hook import HOOKS_DIR
from mthook.tools.findings import TITLES, document, health, sentence, wrapped

_WIDTH = 80
_INDENT = " " * 9


class Doctor(AdminCommand):
    """Tell whether mthook is at work on this host, and what to do where it isn't.

    Nothing is changed. Is the hook installed, loaded and called, does the gate judge what passes it, does something run
    mthook-sync, was the last sync recent and without errors, are the configuration files safe, does the database user
    have its rights, does every guest have a pin and match it, can QEMU run the pins?

    Whether the default machine type may be changed is what 'mthook-status upgrade check' tells.
    """

    codes: ClassVar = {
        ExitCode.OK: "nothing failed; there may be warnings",
        ExitCode.ERROR: "something has failed, and the output says what to do; or any other error",
    }
    examples: ClassVar = ("mthook-admin doctor", "mthook-admin doctor -f json")
    arguments: ClassVar = (
        argument(
            "-f",
            "--format",
            choices=("text", "json"),
            default="text",
            help="json: all findings as one JSON document, default: %(default)s",
        ),
        HOOKS_DIR,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Check, and print what was found."""
        if os.geteuid() != 0:
            raise Error(f"'{NAME} doctor' reads what only root may read: run it as root")
        files = options.files(self.app.options)
        with Context(self.conf, files, parsed_args.hooks_dir) as context:
            results = list(checks.run(context, checks.DOCTOR))
        line = health(results)
        if parsed_args.format == "json":
            lines = [json.dumps(document(results, line), indent=2)]
        else:
            lines = [line, *(text for result in results for text in _shown(result))]
        self.app.stdout.write("\n".join(lines) + "\n")
        worst = max(result.severity for result in results)
        return ExitCode.ERROR if worst is Severity.FAILURE else ExitCode.OK


def _shown(result: Result) -> Iterator[str]:
    """Yield the lines about a check: each finding, and below it the command that helps, to be copied."""
    for finding in result.findings:
        text = sentence(result.check, finding)
        severity = finding.severity.name.capitalize().ljust(len(_INDENT))
        yield from wrapped(f"{TITLES[result.check]}: {text}", _WIDTH, severity, _INDENT)
        if finding.severity and finding.remedy and finding.remedy not in text:
            yield f"{_INDENT}-> {finding.remedy}"
