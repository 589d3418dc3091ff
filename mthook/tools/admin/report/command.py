# SPDX-License-Identifier: Apache-2.0
"""``report``: this host, several by their exports, or all of the fleet's record, as text, JSON or a page."""

from __future__ import annotations

import argparse
import json
import os
import stat
from dataclasses import asdict
from typing import Any, ClassVar

from mthook import files
from mthook.errors import Error
from mthook.operations.readiness.context import Context
from mthook.operations.report import exports, here, judged
from mthook.operations.report.aggregates import Aggregates, together
from mthook.text import explain, now, printable
from mthook.tools import options
from mthook.tools.admin.command import AdminCommand, ExitCode, UsageError, argument, utf8
from mthook.tools.admin.hook import HOOKS_DIR
from mthook.tools.admin.report import page, plain, words


class Report(AdminCommand):
    """Tell whoever decides how things stand: protected or not, what ends when, what to do next.

    It has the hosts and what protects them, the machine types of the guests by family and age, when QEMU drops
    each, the guests that are unlike their pins, and the next commands in their order. Guests are as the last sync
    or hook saw them.

    The page of --html needs no network and no script, and can be printed.
    """

    codes: ClassVar = {
        ExitCode.OK: "the report was made, whatever it says",
        ExitCode.ERROR: "some files of --from have no figures of a host; or any other error",
    }
    examples: ClassVar = (
        "mthook-admin report",
        "mthook-admin report --html report.html",
        "mthook-admin report --from exports/ --html fleet.html",
        "mthook-admin report --all-hosts --html fleet.html",
    )
    arguments: ClassVar = (
        argument(
            "--html",
            metavar="FILE",
            type=utf8,
            help="write one page for a browser or a printer to this file, in place of printing",
        ),
        argument(
            "--from",
            dest="directory",
            metavar="DIR",
            type=utf8,
            help="several hosts: a directory with what 'mthook-admin export' printed on each, one file a host",
        ),
        argument(
            "--all-hosts",
            action="store_true",
            help="all hosts, from the fleet's record; needs [fleet] connection",
        ),
        argument(
            "-f",
            "--format",
            choices=("text", "json"),
            help="json: all figures as one JSON document; default: text",
        ),
        HOOKS_DIR,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make the report, and print or write it."""
        if parsed_args.html is not None and parsed_args.format is not None:
            raise UsageError("--html and --format don't go together: ask for one at a time")
        self._code = ExitCode.OK
        report = judged.judge(self._found(parsed_args), now())
        if parsed_args.html is not None:
            write(parsed_args.html, page.html(report))
            self.say(f"{parsed_args.html}: {words.headline(report)}")
        elif parsed_args.format == "json":
            print(json.dumps(document(report), indent=2), file=self.app.stdout)
        else:
            self.app.stdout.write(plain.text(report))
        return self._code

    def _found(self, args: argparse.Namespace) -> Aggregates:
        if args.all_hosts:
            if args.directory is not None:
                raise UsageError("--all-hosts and --from don't go together: ask for one at a time")
            from mthook.operations.report import everywhere  # here: it takes SQLAlchemy

            return everywhere.figures(self.conf)
        if args.directory is not None:
            return self._carried(args.directory)
        with Context(self.conf, options.files(self.app.options), args.hooks_dir) as context:
            return here.figures(context)

    def _carried(self, directory: str) -> Aggregates:
        """Return what exports say, and complain of the others.

        :raises Error: none says anything.
        """
        found = []
        for one in exports.read(directory):
            if one.figures is not None:
                found.append(one.figures)
            else:
                self.complain(f"{printable(one.path)} is left out: {one.problem}")
                self._code = ExitCode.ERROR
        if not found:
            raise Error(
                f"{printable(directory)} has no export: 'mthook-admin export > {printable(directory)}/HOST.jsonl'"
                " makes one"
            )
        return together(found)


def write(path: str, text: str) -> None:
    """Write a page as any program would, but all of it or nothing.

    :raises Error: it can't be written, or isn't a file.
    """
    try:
        target = os.path.realpath(path)
        if os.path.lexists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            raise Error(f"{printable(path)} is no regular file: --html takes the name of one")
        files.replace(target, text, 0o666 & ~_umask())
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        if isinstance(error, ValueError):
            raise Error(f"{printable(path)}: {error}") from error
        raise Error(explain(path, error, "choose another file")) from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def document(report: judged.Report) -> dict[str, Any]:
    """Return a report for programs."""
    return {
        "at": report.at,
        "standing": report.standing,
        "known": report.known,
        "summary": words.headline(report),
        "hosts": [
            {**asdict(one.host), "standing": one.standing, "problems": list(one.problems)}
            for one in report.hosts
        ],
        "machine_types": [
            {
                **asdict(one.figures),
                "family": family.name,
                "ends": words.version(one.end) if one.end else None,
                "left": one.left,
            }
            for family in report.families
            for one in family.types
        ],
        "endings": [
            {
                "release": words.version(one.release) if one.release else None,
                "month": one.month or None,
                "left": one.left,
                "pins": one.pins,
                "machine_types": {kind.name: kind.pins for kind in one.types},
            }
            for one in report.endings
        ],
        "drift": dict(report.drift),
        "drifting": [asdict(one) for one in report.drifters],
        "steps": [
            {
                "kind": one.kind,
                "hosts": list(one.hosts),
                "number": one.number,
                "commands": words.step(one, 1)[1],
            }
            for one in report.steps
        ],
    }
