# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-gate."""

from __future__ import annotations

from collections.abc import Sequence

from mthook import conf as configuration
from mthook import journal
from mthook.errors import Error
from mthook.gate.configuration import Configuration
from mthook.gate.listening import listeners
from mthook.gate.server import Server
from mthook.gate.spawner import Spawner
from mthook.tools import options

PROGRAM = "mthook-gate"
_DESCRIPTION = """\
Stand between libvirt's clients and its daemon, and give every domain that they
define or create the machine type it is pinned to. -v also logs the domains of
known guests that are passed unchanged."""

_EXAMPLES = (
    "mthook-gate -v",
    "mthook-gate --config-file /etc/nova/nova.conf --config-file /etc/mthook/mthook.conf",
)


class Exit(options.Exit):
    """What mthook-gate ends with, and what that means."""

    DONE = 0, "it was told to stop, by SIGTERM or SIGINT"
    ERROR = 1, "something failed; standard error says what"
    USAGE = options.USAGE, "the command line is wrong"


def run(arguments: Sequence[str], spawner: Spawner) -> int:
    """Run the gate until it is told to stop."""
    parser = options.Parser(PROGRAM, _DESCRIPTION, Exit, examples=_EXAMPLES)
    given = parser.parse_args(arguments)
    journal.serve(PROGRAM, verbose=given.verbose)
    try:
        files = given.config_file or configuration.default_files()
        conf = configuration.load(given.config_file)
        server = Server(spawner, Configuration(files), listeners(conf), verbose=given.verbose)
        return Exit.DONE if server.serve() else Exit.ERROR
    except Error as error:
        journal.error(str(error))
        return Exit.ERROR
