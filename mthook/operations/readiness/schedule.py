# SPDX-License-Identifier: Apache-2.0
"""Does systemd or cron run mthook-sync?"""

from __future__ import annotations

import glob
import os
import re
import subprocess

from mthook.errors import CatalogMissing
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, as_success
from mthook.operations.readiness.installed import is_fresh
from mthook.operations.setup import places

_TIMER = "mthook-sync.timer"
#: Where root's cron jobs may be besides cron's own directory.
_CRON = ("/etc/crontab", "/var/spool/cron/crontabs/root", "/var/spool/cron/root")
_JOB = re.compile(r"^[^#\n]*\bmthook-sync\b", re.MULTILINE)


def check(context: Context) -> list[Finding]:
    """Look for the timer, else for a cron job. Something else may run it: then the last sync is fresh."""
    enabled, active = _systemctl("is-enabled"), _systemctl("is-active")
    if enabled.startswith("enabled") and active == "active":
        return [as_success("timer", unit=_TIMER)]
    job = _job()
    if job is not None:
        return [as_success("cron", path=job)]
    if enabled not in ("", "not-found"):
        facts = {"unit": _TIMER, "enabled": enabled, "active": active}
        remedy = f"systemctl enable --now {_TIMER}"
        return [Finding("timer_off", _severity(active == "active"), (), facts, remedy)]
    return [Finding("not_scheduled", _severity(_is_run(context)), remedy="mthook-admin setup")]


def _is_run(context: Context) -> bool:
    """Tell whether something else seems to run it."""
    try:
        return is_fresh(context.catalog().host().last_sync_at)
    except CatalogMissing:
        return False


def _severity(runs: bool) -> Severity:
    """Return how bad it is, by whether syncs run all the same."""
    return Severity.WARNING if runs else Severity.FAILURE


def _systemctl(verb: str) -> str:
    """Return systemd's word for the timer's state; "" where it has none."""
    if not os.path.isdir(places.SYSTEMD_RUNS):
        return ""
    argv = ["systemctl", verb, _TIMER]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _job() -> str | None:
    """Return the file that has cron run it; ``None``: there is none."""
    for path in (*sorted(glob.glob(os.path.join(places.CRON, "*"))), *_CRON):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                if _JOB.search(file.read()):
                    return path
        except OSError:
            continue
    return None
