# SPDX-License-Identifier: Apache-2.0
"""``complete`` and ``help``: cliff's own, with mthook's words in their help."""

from __future__ import annotations

from typing import ClassVar

from cliff import complete
from cliff import help as cliff_help

from mthook.tools.admin.command import Told
from mthook.tools.admin.exitcode import ExitCode


class Complete(Told, complete.CompleteCommand):
    """Print what makes bash complete the commands and options of mthook-admin.

    For all users: mthook-admin complete > /etc/bash_completion.d/mthook-admin
    """

    codes: ClassVar = {ExitCode.OK: "the script is on standard output"}


class Help(Told, cliff_help.HelpCommand):
    """Print the help of a command."""

    codes: ClassVar = {ExitCode.OK: "the help is on standard output"}
