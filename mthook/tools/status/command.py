# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-status; findings become a table, JSON and an exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence

from oslo_upgradecheck import upgradecheck

from mthook import conf as configuration
from mthook.errors import ConfigError, Error
from mthook.hook import install
from mthook.operations import exposition, metrics
from mthook.operations.readiness import checks
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Result
from mthook.text import printable
from mthook.tools import options, program
from mthook.tools.findings import TITLES, answer, details, document, wrapped

PROGRAM = "mthook-status"

_COMMAND = ["upgrade", "check"]
_METRICS = ["metrics"]
_DESCRIPTION = """\
Tell whether this host's default machine type (QEMU's, or Nova's [libvirt]
hw_machine_type) may be changed without changing a guest's. Nothing is changed.
The first line is the answer, YES or NO. The checks that it comes from follow.
'metrics' prints figures about this host for Prometheus.

On a Nova host, nova.conf should be one of the configuration files."""
_EXAMPLES = (
    "mthook-status upgrade check",
    "mthook-status upgrade check --json | jq '.checks[] | select(.result > 0)'",
    "mthook-status upgrade check --config-file admin.conf --cloud",
)

#: The table is to fit a terminal of 80 columns; oslo.upgradecheck puts a heading before the details.
_WIDTH = 75
_HEADING = "Details: "


class Exit(options.Exit):
    """What mthook-status ends with; as with nova-status, 255 is kept apart from the answers."""

    SUCCESS = 0, "yes: the default may be changed; metrics: printed or written"
    WARNING = 1, "yes, with warnings, which should be read first"
    FAILURE = 2, "no: something has to be mended first; or the command line is wrong"
    UNEXPECTED = 255, "something else went wrong, a wrong configuration included"
    INTERRUPTED = program.INTERRUPTED, "interrupted"
    BROKEN_PIPE = program.BROKEN_PIPE, "the reader of the pipe went away"


def run(arguments: Sequence[str]) -> int:
    """Do what a command line asks for, and return an :class:`Exit`."""
    args = _parse(arguments)
    try:
        if os.geteuid() != 0 and not args.cloud:
            raise ConfigError(
                "'mthook-status metrics' reads what only root may read: run it as root"
                if args.command == _METRICS
                else "'mthook-status upgrade check' reads what only root may read: run it as root, or with --cloud"
            )
        conf = configuration.load(args.config_file)
        if (args.cloud or args.host is not None) and not configuration.has_nova(conf):
            raise ConfigError("--cloud and --host need [api_database] or [database] connection")
        where = {"cloud": args.cloud, "nova_host": args.host}
        with (
            options.narrated(PROGRAM, args.verbose),
            Context(conf, options.files(args), args.hooks_dir, **where) as context,
        ):
            if args.command == _METRICS:
                return _tell_figures(context, args.textfile)
            results = list(checks.run(context, checks.CLOUD if args.cloud else checks.UPGRADE))
        line = answer(results)
        if args.json:
            name = str(Table.display_title)
            print(json.dumps({"name": name, **document(results, line)}))
        else:
            print(line)
            Table(results).check()
        sys.stdout.flush()
        return Exit[max(result.severity for result in results).name]
    except Error as error:
        options.say(PROGRAM, str(error))
    except OSError:
        raise
    except Exception as error:
        if args.verbose:
            options.say(PROGRAM, traceback.format_exc())
        options.say(
            PROGRAM, f"unexpected {type(error).__name__}: {printable(error)} (-v shows where)"
        )
    return Exit.UNEXPECTED


def _tell_figures(context: Context, to_textfile: bool) -> Exit:
    """Print the figures of this host, or write them where mthook-sync does."""
    figures, path = metrics.measure(context), context.conf.metrics.textfile
    if not to_textfile:
        sys.stdout.write(exposition.render(figures))
    elif path is None:
        raise ConfigError("--textfile needs [metrics] textfile")
    else:
        exposition.write(path, figures)
    return Exit.SUCCESS


class Table(upgradecheck.UpgradeCommands):
    """Prints results as nova-status does."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._upgrade_checks = tuple(
            (TITLES[result.check], (_shown, {"result": result})) for result in results
        )

    def _get_details(self, upgrade_check_result: upgradecheck.Result) -> str:
        """Return the details wrapped for the table; no command or path is broken."""
        lines = wrapped(upgrade_check_result.details or "", _WIDTH, _HEADING, "  ")
        return "\n".join(lines)[len(_HEADING) :]


def _shown(_: Table, result: Result) -> upgradecheck.Result:
    return upgradecheck.Result(upgradecheck.Code[result.severity.name], details(result))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    usage = (
        f"{PROGRAM} [--config-file FILE] [--hooks-dir DIR] [-v]\n"
        "                     upgrade check [--cloud] [--host HOST] [--json]\n"
        f"       {PROGRAM} [--config-file FILE] [--hooks-dir DIR] [-v]\n"
        "                     metrics [--textfile]"
    )
    parser = options.Parser(PROGRAM, _DESCRIPTION, Exit, usage, examples=_EXAMPLES)
    parser.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: what nova-status prints, and the same as data",
    )
    parser.add_argument(
        "--cloud",
        action="store_true",
        help="look only at Nova's databases, as on a controller, which has no guests",
    )
    parser.add_argument(
        "--host",
        metavar="HOST",
        help="in Nova's databases, look only at the instances of this host",
    )
    parser.add_argument(
        "--hooks-dir",
        metavar="DIR",
        type=os.path.abspath,
        default=install.DEFAULT_DIRECTORY,
        help="libvirt's hooks directory (default: %(default)s)",
    )
    parser.add_argument(
        "--textfile",
        action="store_true",
        help="metrics: write [metrics] textfile in place of standard output",
    )
    args = parser.parse_args(arguments)
    if args.command not in (_COMMAND, _METRICS):
        given = " ".join(args.command)
        which = "which command? 'upgrade check' or 'metrics'"
        parser.error(f"no command '{given}'" if given else which)
    _check_options(parser, args)
    return args


def _check_options(parser: options.Parser, args: argparse.Namespace) -> None:
    """Refuse the options of one command with the other."""
    if args.command == _METRICS and (args.json or args.cloud or args.host is not None):
        parser.error("--json, --cloud and --host are for 'upgrade check'")
    if args.command == _COMMAND and args.textfile:
        parser.error("--textfile is for 'metrics'")
