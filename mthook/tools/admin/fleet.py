# SPDX-License-Identifier: Apache-2.0
"""``fleet init`` and ``fleet forget``: for the owner of the record that hosts share."""

from __future__ import annotations

import argparse
from typing import ClassVar

from mthook.errors import NotFound
from mthook.operations.opening import opened_fleet
from mthook.text import printable
from mthook.tools.admin.command import AdminCommand, ExitCode, GuestsCommand, argument, utf8


class Init(AdminCommand):
    """Make the tables of the fleet's record, or bring those of an older mthook up to date.

    The database user in [fleet] connection must be allowed to make tables and views; on hosts it is another one, that
    may only change rows. Run it once, and again after an upgrade of mthook, before the hosts are upgraded.
    """

    codes: ClassVar = {ExitCode.OK: "the tables are as this mthook needs them"}
    examples: ClassVar = ("mthook-admin fleet init --config-file admin.conf",)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make what is missing."""
        from mthook.fleet.making import bring_up
        from mthook.fleet.tables import SCHEMA

        with opened_fleet(self.conf, check=False) as record:
            before = bring_up(record)
        if before == SCHEMA:
            self.say(f"the fleet's record has schema {SCHEMA} already")
        else:
            self.say(f"the fleet's record: schema {before or 'none'} → {SCHEMA}")
        return ExitCode.OK


class Forget(GuestsCommand):
    """Remove what the fleet's record has of hosts that are no more; their history stays.

    A host that still runs mthook-sync writes its rows anew.
    """

    codes: ClassVar = {
        ExitCode.OK: "nothing is left of the hosts but their history",
        ExitCode.NOT_FOUND: "no such host as one of them",
    }
    examples: ClassVar = ("mthook-admin fleet forget compute-17",)
    arguments: ClassVar = (
        argument("hosts", metavar="HOST", type=utf8, nargs="+", help="[DEFAULT] host of each"),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Remove one after the other."""
        from mthook.fleet.making import forget

        with opened_fleet(self.conf) as record:
            for host in parsed_args.hosts:
                with self.others_go_on():
                    if not forget(record, host):
                        raise NotFound(f"the fleet's record has no host '{printable(host)}'")
                    self.say(f"{printable(host)}: forgotten")
        return self.code
