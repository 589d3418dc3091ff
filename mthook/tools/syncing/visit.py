# SPDX-License-Identifier: Apache-2.0
"""The part of a run that talks to libvirt: look at the host, then step by step."""

from __future__ import annotations

import os

from oslo_config import cfg

from mthook.catalog.store import Catalog
from mthook.host.connection import connect
from mthook.text import now
from mthook.tools.syncing.align import align, note_drift
from mthook.tools.syncing.prune import prune, sweep
from mthook.tools.syncing.repair import repair
from mthook.tools.syncing.report import Report
from mthook.tools.syncing.round import Round
from mthook.tools.syncing.seed import seed


def visit(catalog: Catalog, conf: cfg.ConfigOpts, only: str | None, report: Report) -> None:
    """Go through the guests of this host.

    :param only: the one step to do: ``seed``, ``realign`` or ``repair``; ``None``: all of them.
    :raises HostError: libvirt can't be reached or has gone.
    :raises CatalogError: the catalog fails.
    """
    with connect(conf.libvirt.connection_uri) as host:
        round_ = Round(host, catalog, conf, report)
        if only in (None, "seed"):
            seed(round_)
        # Who only watches wants nothing changed, unless it is asked for.
        enforced = only is None and conf.hook.mode == "enforce" and conf.sync.realign
        if only == "realign" or enforced:
            align(round_)
        if only == "repair" or enforced:
            repair(round_, restart=only == "repair")
        if only is None:
            note_drift(round_)
        round_.see_guests()
        if only is None:
            prune(round_)
            if not report.dry_run:
                sweep(os.path.dirname(catalog.path))
            catalog.set_last_sync(now(), ok=not report.errors)
