# SPDX-License-Identifier: Apache-2.0
"""The part of a run that talks to libvirt: look at the host, then step by step."""

from __future__ import annotations

import contextlib
import os

from oslo_config import cfg

from mthook.catalog.store import Catalog
from mthook.conf import has_nova
from mthook.host.connection import Host
from mthook.operations.acts import SyncResult
from mthook.operations.sync.align import align, note_drift
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.prune import prune, prune_instances, sweep
from mthook.operations.sync.pull import pull
from mthook.operations.sync.push import push
from mthook.operations.sync.repair import repair
from mthook.operations.sync.run import Progress, SyncRun
from mthook.operations.sync.seed import seed, seed_without_domain
from mthook.text import now


def do_steps(
    host: Host,
    catalog: Catalog,
    conf: cfg.ConfigOpts,
    result: SyncResult,
    only: str | None,
    progress: Progress,
) -> None:
    """Go through the guests of this host, and through its instances in Nova where there is a database.

    The parameters are those of :func:`mthook.operations.sync.synchronize.synchronize`.
    """
    with contextlib.ExitStack() as stack:
        run = SyncRun(host, catalog, conf, result, progress)
        if has_nova(conf):
            run.nova = NovaRecords(conf, catalog, run.domains, result, stack)
        _pins(run, only)
        _definitions(run, only)
        if only is None:
            note_drift(run)
        run.see_guests()
        if only is None:
            _finish(run)


def _pins(run: SyncRun, only: str | None) -> None:
    """Bring pins, guests and Nova's records together."""
    nova = run.working_nova
    if nova is not None and only in (None, "pull"):
        pull(run, nova)
    if only in (None, "seed"):
        seed(run)
        if nova is not None:
            seed_without_domain(run, nova)
    if nova is not None and run.conf.sync.write_back:
        if only in (None, "push"):
            push(run, nova)
        elif only == "repair":
            push(run, nova, {row.uuid for row in run.catalog.repairs() if row.nova})


def _definitions(run: SyncRun, only: str | None) -> None:
    """Bring definitions to their pins. In audit mode nothing is changed unless asked for by name."""
    conf = run.conf
    enforced = only is None and conf.hook.mode == "enforce" and conf.sync.realign
    if only == "realign" or enforced:
        align(run)
    if only == "repair" or enforced:
        repair(run, restart=only == "repair")


def _finish(run: SyncRun) -> None:
    """Forget what is gone, and say when the last whole run was."""
    prune(run)
    if run.working_nova is not None:
        prune_instances(run, run.working_nova)
    if not run.result.dry_run:
        sweep(os.path.dirname(run.catalog.path))
    run.catalog.set_last_sync(now(), ok=not run.result.errors)
