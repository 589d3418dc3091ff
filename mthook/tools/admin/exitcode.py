# SPDX-License-Identifier: Apache-2.0
"""The exit codes of mthook-admin. Those of ``get``, ``set`` and ``list --unset`` are nova-manage's.

https://docs.openstack.org/nova/latest/cli/nova-manage.html#libvirt-commands
"""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Mapping

from mthook.errors import NotFound, Refused
from mthook.policy import Refusal
from mthook.tools import ending


class ExitCode(enum.IntEnum):
    """What a command tells its caller; the same number can answer different questions."""

    OK = 0
    #: Anything else: libvirt, the catalog, the configuration, the command line.
    ERROR = ending.ERROR
    #: No such instance.
    NOT_FOUND = 2
    #: ``get``: the instance has no pin.
    NO_PIN = 3
    #: ``set``, ``unset``: the guest isn't shut off, or has saved state that holds its machine type.
    WRONG_STATE = 3
    #: ``list --unset``: there are instances without a pin.
    SOME_UNSET = 3
    #: ``set``: another family, alias or versioned name, an older version, or a Windows guest.
    INCOMPATIBLE = 4
    #: ``set``: no known QEMU of this host has the machine type.
    UNSUPPORTED = 5
    INTERRUPTED = ending.INTERRUPTED
    BROKEN_PIPE = ending.BROKEN_PIPE


#: Every other reason for a refusal is :attr:`ExitCode.INCOMPATIBLE`.
_OF_REFUSAL = {
    Refusal.RUNNING: ExitCode.WRONG_STATE,
    Refusal.SAVED: ExitCode.WRONG_STATE,
    Refusal.UNSUPPORTED: ExitCode.UNSUPPORTED,
}

HEADING = "exit codes:"

_WIDTH = 78

#: What code 1 means where a command has nothing better to say.
ERROR_TEXT = "any other error, a wrong command line included"


def of(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, NotFound):
        return ExitCode.NOT_FOUND
    if isinstance(error, Refused):
        return _OF_REFUSAL.get(error.reason, ExitCode.INCOMPATIBLE)
    return ExitCode.ERROR


def describe(codes: Mapping[ExitCode, str]) -> str:
    """Return the exit codes of a command, by number, for the end of its help text."""
    told = sorted({ExitCode.ERROR: ERROR_TEXT, **codes}.items())
    lines = [
        textwrap.fill(
            f"{int(code)}  {text}", _WIDTH, initial_indent="  ", subsequent_indent="     "
        )
        for code, text in told
    ]
    return "\n".join([HEADING, *lines])
