# SPDX-License-Identifier: Apache-2.0
"""Is the hook installed, known to libvirt, up to date, and does it protect?"""

from __future__ import annotations

import json

from mthook.errors import CatalogMissing
from mthook.hook import install
from mthook.operations.readiness.findings import Findings
from mthook.operations.readiness.sources import Sources
from mthook.text import printable

TITLE = "Hook"


def check(sources: Sources) -> Findings:
    """Look at what ``mthook-admin hook status`` looks at."""
    findings = Findings()
    settings = install.Settings.of_this_process(sources.conf.catalog.path, sources.files)
    status = install.status(sources.hooks, settings, _told(sources))
    path = printable(status.path)
    if not status.installed or status.loaded is False:
        for problem in status.problems:
            findings.fail(f"{path}: {problem}.")
        return findings
    if not status.current:
        findings.warn(
            f"{path} isn't what this mthook would install for these configuration files:"
            " run 'mthook-admin hook install', with the same --config-file."
        )
    if status.loaded is None:
        findings.warn("No libvirt daemon runs that could call it.")
    _check_mode(sources, findings)
    if findings.well:
        findings.note(f"{path} is installed, up to date and known to libvirt, in mode enforce.")
    return findings


def _check_mode(sources: Sources, findings: Findings) -> None:
    mode = sources.conf.hook.mode
    if mode != "enforce":
        findings.warn(
            f"[hook] mode = {mode}: it stops no start and no definition is changed;"
            " only mode = enforce protects."
        )


def _told(sources: Sources) -> list[str]:
    """Return the daemons that know of the hook, as the catalog keeps them."""
    try:
        daemons = sources.catalog().host().daemons
    except CatalogMissing:
        return []
    return list(json.loads(daemons)) if daemons else []
