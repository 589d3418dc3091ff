# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-status."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from mthook import __version__
from mthook import conf as configuration
from mthook.errors import ConfigError
from mthook.hook import install
from mthook.operations.readiness.sources import Sources
from mthook.text import printable
from mthook.tools import program
from mthook.tools import status_upgrade as upgrade

PROGRAM = "mthook-status"
#: What is no answer, kept apart from the answers 0, 1 and 2; as with nova-status.
UNEXPECTED = 255

_COMMAND = ["upgrade", "check"]
_DESCRIPTION = """\
Tell whether this host's default machine type (QEMU's, or Nova's [libvirt]
hw_machine_type) may be changed without changing a guest's. Nothing is changed."""
_EPILOG = f"""\
nova.conf should be one of the configuration files on a host of Nova's.

exit status:
  0  all checks found everything as it should be
  1  some found what should be looked into; the default may still be changed
  2  some found what has to be mended first
  {UNEXPECTED}  something else went wrong, a wrong command line or configuration included
  {program.INTERRUPTED}  interrupted
  {program.BROKEN_PIPE}  nobody read the answer to its end
"""


def run(arguments: Sequence[str]) -> int:
    """Do what a command line asks for.

    :return: an exit status as ``--help`` has them.
    :raises SystemExit: it asks for help, or is wrong.
    :raises OSError: standard output can't be written.
    """
    options = _parse(arguments)
    files = [os.path.abspath(path) for path in options.config_file or configuration.default_files()]

    def tell(line: str) -> None:
        if options.verbose:
            _say(line)

    try:
        conf = configuration.load(options.config_file)
        with Sources(conf, files, options.hooks_dir, tell) as sources:
            return upgrade.run(sources, json=options.json)
    except ConfigError as error:
        _say(str(error))
    except OSError:
        raise
    except Exception as error:
        tell(traceback.format_exc())
        _say(f"unexpected {type(error).__name__}: {printable(error)} (-v shows where)")
    return UNEXPECTED


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        self.exit(UNEXPECTED, f"{PROGRAM}: {printable(message)}; see '{PROGRAM} --help'\n")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--config-file FILE] [--hooks-dir DIR] [-v] upgrade check [--json]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--json", action="store_true", help="print JSON, as oslo.upgradecheck has it"
    )
    parser.add_argument(
        "--config-file",
        action="append",
        metavar="FILE",
        help="configuration file, may be repeated, later ones win"
        f" (default: {configuration.DEFAULT_FILE} where it exists)",
    )
    parser.add_argument(
        "--hooks-dir",
        metavar="DIR",
        type=os.path.abspath,
        default=install.DEFAULT_DIRECTORY,
        help="libvirt's hooks directory (default: %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is looked at")
    options = parser.parse_args(arguments)
    if options.command != _COMMAND:
        given = " ".join(options.command)
        parser.error(f"no command '{given}'" if given else "which command? 'upgrade check'")
    return options


def _say(line: str) -> None:
    print(f"{PROGRAM}: {line}", file=sys.stderr)
