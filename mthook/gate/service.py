# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-gate."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from mthook import __version__
from mthook.errors import Error
from mthook.gate import log
from mthook.gate.spawner import Spawner

_DESCRIPTION = """\
Stand between libvirt's clients and libvirtd, and give every domain that they
define or create the machine type it is pinned to."""
_EPILOG = """\
exit status:
  0  it was told to stop, by SIGTERM or SIGINT
  1  something failed; standard error says what
  2  the command line is wrong
"""


def run(arguments: Sequence[str]) -> int:
    """Run the gate until it is told to stop; return 0, or 1 after an error.

    :raises SystemExit: the command line asks for help, or is wrong.
    """
    # Before anything else is loaded: what is forked from it shall know as little as possible.
    spawner = Spawner.start()
    from mthook import conf as configuration
    from mthook.gate.listening import listeners
    from mthook.gate.server import Server

    try:
        options = _parser(configuration.DEFAULT_FILE).parse_args(arguments)
        files = options.config_file or configuration.default_files()
        conf = configuration.load(options.config_file)
        settings = configuration.settings(conf, "")
        return asyncio.run(Server(spawner, files, settings, listeners(conf)).serve())
    except Error as error:
        log.error(str(error))
        return 1
    finally:
        spawner.close()


def _parser(default_file: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mthook-gate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file",
        action="append",
        metavar="FILE",
        help=f"configuration file, may be repeated (default: {default_file} where it exists)",
    )
    parser.add_argument("--version", action="version", version=f"mthook-gate {__version__}")
    return parser
