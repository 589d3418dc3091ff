# SPDX-License-Identifier: Apache-2.0
"""The exit codes of mthook-admin. Those of ``get``, ``set`` and ``list --unset`` are nova-manage's.

https://docs.openstack.org/nova/latest/cli/nova-manage.html#libvirt-commands
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from mthook.errors import Error, NotFound, Refused
from mthook.policy import Refusal
from mthook.tools import options, program


class ExitCode(enum.IntEnum):
    """What a command tells its caller; the same number can answer different questions."""

    OK = 0
    #: Anything else: libvirt, the catalog, the configuration.
    ERROR = program.ERROR
    #: No such instance.
    NOT_FOUND = 2
    #: The command line is wrong, or asks for what the configuration has no means for.
    USAGE = options.USAGE
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
    INTERRUPTED = program.INTERRUPTED
    BROKEN_PIPE = program.BROKEN_PIPE


class UsageError(Error):
    """The command line asks for something that there isn't."""


#: Every other reason for a refusal is :attr:`ExitCode.INCOMPATIBLE`.
_OF_REFUSAL = {
    Refusal.RUNNING: ExitCode.WRONG_STATE,
    Refusal.SAVED: ExitCode.WRONG_STATE,
    Refusal.UNSUPPORTED: ExitCode.UNSUPPORTED,
}


def of(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, NotFound):
        return ExitCode.NOT_FOUND
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, Refused):
        return _OF_REFUSAL.get(error.reason, ExitCode.INCOMPATIBLE)
    return ExitCode.ERROR


def describe(codes: Mapping[ExitCode, str]) -> str:
    """Return the exit codes of a command, by number, for the end of its help text."""
    known = {ExitCode.ERROR: "any other error", **codes}
    other = known.get(ExitCode.NOT_FOUND)
    known[ExitCode.USAGE] = f"{other}, or a wrong command line" if other else "a wrong command line"
    return options.describe(sorted(known.items()))
