# SPDX-License-Identifier: Apache-2.0
"""The steps of setting a host up. Each can be done twice, and what is as it should be stays untouched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from oslo_config import cfg

from mthook import conf as configuration
from mthook import files
from mthook.errors import InstallError
from mthook.hook import install
from mthook.locks import Busy
from mthook.operations.acts import SyncResult
from mthook.operations.readiness import guard
from mthook.operations.readiness.context import Context
from mthook.operations.setup import places, units
from mthook.operations.setup.hook import install_hook
from mthook.operations.setup.plan import Plan, Step
from mthook.operations.sync.synchronize import synchronize
from mthook.settings import fingerprint
from mthook.text import explain

#: Seconds to wait for another mthook-sync, such as one that the timer of a setup a moment ago has started.
_PATIENCE = 60


def carry_out(plan: Plan, result: SyncResult) -> Iterator[Step]:
    """Do one step after the other, and yield each that is done.

    :param result: notes what the first sync does.
    :raises Error: a step fails; those before it are done, and setup can be called again.
    """
    conf, found = plan.conf, plan.found
    do: Mapping[str, Callable[[], None]] = {
        "configuration": lambda: _write_configuration(plan),
        "pins": lambda: _synchronize(plan, result),
        "hook": lambda: _install_hook(plan),
        "hookd": lambda: _install(units.hookd(found, conf)),
        "timer": lambda: _install(units.timer(found, conf)),
        "gate": lambda: _install(units.gate(found, conf)),
        "nova_conf": lambda: _rewrite(found.nova_conf or "", plan.nova_text),
        "completion": _install_completion,
    }
    for step in plan.steps:
        do[step.kind]()
        yield step


def hook_status(plan: Plan) -> install.Status:
    """Return how the hook is installed once all is done, as ``mthook-admin hook status`` has it.

    :raises InstallError: the hook can't be read.
    """
    with Context(_configured(plan), plan.found.files, plan.hooks_dir) as context:
        return guard.hook_status(context)


def write(path: str, text: str, mode: int) -> None:
    """Write a file that belongs to root, unless it says the same already.

    :raises InstallError: it can't be written.
    """
    try:
        if units.are_there({path: text}) and os.stat(path).st_mode & 0o777 == mode:
            return
        files.replace(os.path.realpath(path), text, mode)
    except OSError as error:
        raise InstallError(explain(error.filename or path, error)) from error


def rewrite(path: str, text: str) -> None:
    """Replace somebody else's file, which keeps its owner and its mode.

    :raises InstallError: it can't be written.
    """
    path = os.path.realpath(path)
    try:
        seen = os.stat(path)
        owner = (seen.st_uid, seen.st_gid)
        files.replace(path, text, seen.st_mode & 0o7777, owner=owner)
    except OSError as error:
        raise InstallError(explain(error.filename or path, error)) from error


def unlink(path: str) -> None:
    """Remove a file.

    :raises InstallError: it can't be removed.
    """
    try:
        os.unlink(path)
    except OSError as error:
        raise InstallError(explain(path, error)) from error


def _rewrite(path: str, text: str) -> None:
    if not units.are_there({path: text}):
        rewrite(path, text)


def _write_configuration(plan: Plan) -> None:
    _make_directory(plan.found.config)
    write(plan.found.config, plan.text, 0o600)


def _make_directory(path: str) -> None:
    """Make the directory of a file, where it isn't there."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    except OSError as error:
        raise InstallError(explain(error.filename, error)) from error


def _synchronize(plan: Plan, result: SyncResult) -> None:
    stamp = fingerprint(plan.found.files)
    conf = _configured(plan)
    settings = configuration.settings(conf, stamp)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            synchronize(conf, settings, result, None, lambda things, _: things)
            return
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _install_hook(plan: Plan) -> None:
    stamp = fingerprint(plan.found.files)
    # With --hooks-dir another hook may call this one: no daemon need read that directory.
    install_hook(_configured(plan), plan.found.files, plan.hooks_dir, stamp, offline=True)


def _install_completion() -> None:
    for path, text in places.completion().items():
        _make_directory(path)
        write(path, text, 0o644)


def _configured(plan: Plan) -> cfg.ConfigOpts:
    return configuration.load([path for path in plan.found.files if os.path.exists(path)])


def _install(texts: Mapping[str, str]) -> None:
    """Write cron's file, or write units and have systemd start what starts the others."""
    for path, text in texts.items():
        write(path, text, 0o644)
    _remove(units.shadowing(texts))
    enabled = units.to_enable(list(texts))
    if enabled:
        units.systemctl("daemon-reload")
        units.systemctl("enable", "--now", *enabled)


def _remove(copies: Sequence[str]) -> None:
    """Remove units in whose place a package's are to run; what systemd starts them by leads to these."""
    enabled = units.to_enable(copies)
    if enabled:
        units.systemctl("disable", *enabled)
    for path in copies:
        unlink(path)
