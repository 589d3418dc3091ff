# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-status; findings become a table, JSON and an exit code."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import textwrap
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from oslo_upgradecheck import upgradecheck

from mthook import conf as configuration
from mthook.errors import ConfigError, Error
from mthook.hook import install
from mthook.operations import exposition, metrics
from mthook.operations.readiness import checks
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Result, Severity
from mthook.text import printable
from mthook.tools import options, program
from mthook.tools.status.sentences import TITLES, details

PROGRAM = "mthook-status"

_COMMAND = ["upgrade", "check"]
_METRICS = ["metrics"]
_DESCRIPTION = """\
Tell whether this host's default machine type (QEMU's, or Nova's [libvirt]
hw_machine_type) may be changed without changing a guest's. Nothing is changed.
'metrics' prints figures about this host for Prometheus.

nova.conf should be one of the configuration files on a host of Nova's."""

#: The table is to fit a terminal of 80 columns; oslo.upgradecheck puts a heading before the details.
_WIDTH = 75
_HEADING = "Details: "
_QUOTED = re.compile("'mthook-[^']*'")
#: Holds the words of a quoted command together.
_NO_BREAK = "\N{NO-BREAK SPACE}"


class Exit(options.Exit):
    """What mthook-status ends with; as with nova-status, 255 is kept apart from the answers."""

    SUCCESS = 0, "all checks found everything as it should be; metrics: printed or written"
    WARNING = 1, "some found what should be looked into; the default may still be changed"
    FAILURE = 2, "some found what has to be mended first; or the command line is wrong"
    UNEXPECTED = 255, "something else went wrong, a wrong configuration included"
    INTERRUPTED = program.INTERRUPTED, "interrupted"
    BROKEN_PIPE = program.BROKEN_PIPE, "nobody read the answer to its end"


def run(arguments: Sequence[str]) -> int:
    """Do what a command line asks for, and return an :class:`Exit`."""
    args = _parse(arguments)
    try:
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
            results = list(checks.run(context))
        if args.json:
            print(json.dumps(document(results)))
        else:
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


def document(results: Sequence[Result]) -> dict[str, Any]:
    """Return results as JSON has them: what nova-status prints, and the same as data."""
    counts = Counter(result.severity for result in results)
    return {
        "name": str(Table.display_title),
        "severity": max(counts).name.lower(),
        "counts": {severity.name.lower(): counts[severity] for severity in Severity},
        "checks": [
            {
                "check": TITLES[result.check],
                "result": int(result.severity),
                "details": details(result),
                "id": result.check,
                "severity": result.severity.name.lower(),
                "findings": [
                    {**asdict(one), "severity": one.severity.name.lower()}
                    for one in result.findings
                ],
            }
            for result in results
        ],
    }


def _shown(_: Table, result: Result) -> upgradecheck.Result:
    return upgradecheck.Result(upgradecheck.Code[result.severity.name], details(result))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    usage = (
        f"{PROGRAM} [--config-file FILE] [--hooks-dir DIR] [-v]\n"
        "                     upgrade check [--cloud] [--host HOST] [--json]\n"
        f"       {PROGRAM} [--config-file FILE] [--hooks-dir DIR] [-v]\n"
        "                     metrics [--textfile]"
    )
    parser = options.Parser(PROGRAM, _DESCRIPTION, Exit, usage)
    parser.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--json", action="store_true", help="print JSON: what nova-status prints, and all as data"
    )
    parser.add_argument(
        "--cloud",
        action="store_true",
        help="look at Nova's databases alone, as on a controller, which has no guests",
    )
    parser.add_argument(
        "--host",
        metavar="HOST",
        help="in Nova's databases, look at the instances of this host alone",
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
