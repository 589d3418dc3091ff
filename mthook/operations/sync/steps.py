# SPDX-License-Identifier: Apache-2.0
"""The part of a run that talks to libvirt: look at the host, then step by step."""

from __future__ import annotations

import contextlib
import os

from oslo_config import cfg

from mthook.catalog.store import Catalog
from mthook.conf import has_nova
from mthook.host.connection import connect
from mthook.operations.sync import records as nova
from mthook.operations.sync.align import align, note_drift
from mthook.operations.sync.prune import prune, sweep
from mthook.operations.sync.repair import repair
from mthook.operations.sync.report import Report
from mthook.operations.sync.run import Round
from mthook.operations.sync.seed import seed
from mthook.text import now


def visit(catalog: Catalog, conf: cfg.ConfigOpts, only: str | None, report: Report) -> None:
    """Go through the guests of this host, and through its instances in Nova where there is a database.

    :param only: the one step to do: ``pull``, ``seed``, ``push``, ``realign`` or ``repair``; ``None``: all of them.
    :raises HostError: libvirt can't be reached or has gone.
    :raises CatalogError: the catalog fails.
    """
    with contextlib.ExitStack() as stack:
        uri, ports = conf.libvirt.connection_uri, conf.libvirt.num_pcie_ports
        host = stack.enter_context(connect(uri, ports=ports))
        round_ = Round(host, catalog, conf, report)
        if has_nova(conf):
            round_.nova = nova.Side(round_, stack)
        _agree(round_, only)
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
            if round_.nova is not None and round_.nova.works:
                nova.prune(round_, round_.nova)
            if not report.dry_run:
                sweep(os.path.dirname(catalog.path))
            catalog.set_last_sync(now(), ok=not report.errors)


def _agree(round_: Round, only: str | None) -> None:
    """Bring pins, guests and Nova's records together."""
    side = round_.nova if round_.nova is not None and round_.nova.works else None
    if side is not None and only in (None, "pull"):
        nova.pull(round_, side)
    if only in (None, "seed"):
        seed(round_)
        if side is not None:
            nova.seed_without_domain(round_, side)
    if side is not None and round_.conf.sync.write_back:
        if only in (None, "push"):
            nova.push(round_, side)
        elif only == "repair":
            nova.push(round_, side, {row.uuid for row in round_.catalog.repairs() if row.nova})
