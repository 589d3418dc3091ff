# SPDX-License-Identifier: Apache-2.0
"""What setting a host up would do, worked out before anything is changed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from oslo_config import cfg

from mthook import conf as configuration
from mthook.hook import install
from mthook.operations.acts import SyncResult
from mthook.operations.setup import places, units
from mthook.operations.setup.configuration import Choices, compose, lead_to_gate
from mthook.operations.setup.found import Found
from mthook.operations.sync.synchronize import synchronize

Kind = Literal["configuration", "pins", "hook", "hookd", "timer", "gate", "nova_conf", "completion"]


@dataclass(frozen=True)
class Step:
    """One thing to be done.

    :ivar path: what it writes first of all.
    :ivar done: it is as it should be already.
    """

    kind: Kind
    path: str
    done: bool


@dataclass(frozen=True)
class Plan:
    """All that is to be done on a host.

    :ivar text: what mthook.conf is to say.
    :ivar conf: the same, read.
    :ivar foreseen: what the first sync would do in mode audit, and what mode enforce would do; ``written`` is the
        latter where the configuration has no ``write_back``.
    :ivar nova_text: what nova.conf is to say, where the gate is used.
    :ivar steps: in their order.
    """

    found: Found
    choices: Choices
    hooks_dir: str
    text: str
    conf: cfg.ConfigOpts
    foreseen: SyncResult
    nova_text: str
    steps: tuple[Step, ...]

    @property
    def mode(self) -> str:
        """[hook] mode."""
        mode: str = self.conf.hook.mode
        return mode

    @property
    def gated(self) -> bool:
        """Whether nova.conf leads Nova through the gate, or is made to."""
        found = self.found
        return self.has("nova_conf") or (found.nova and self.nova_text == found.nova_text)

    @property
    def leaves_errors(self) -> bool:
        """Whether a start that Nova asks for may be stopped, with nothing on its way to put it right."""
        return (
            self.found.nova
            and self.mode == "enforce"
            and not (self.gated or configuration.has_nova(self.conf))
        )

    def has(self, kind: Kind) -> bool:
        """Tell whether the plan has a step of a kind."""
        return any(step.kind == kind for step in self.steps)


def make(found: Found, choices: Choices, hooks_dir: str) -> Plan:
    """Work out what is to be done; nothing is changed.

    :raises Error: the configuration would be wrong, or libvirt, the catalog or a file can't be read.
    """
    text = compose(found, choices)
    conf = _read(found, text)
    nova_text = lead_to_gate(found.nova_text, conf.gate.listen)
    steps = _steps(found, choices, hooks_dir, text, conf, nova_text)
    return Plan(
        found, choices, hooks_dir, text, conf, _foresee(found, text), nova_text, tuple(steps)
    )


def _read(found: Found, text: str) -> cfg.ConfigOpts:
    """Read a configuration that isn't written yet; it may hold a password."""
    with tempfile.TemporaryDirectory(prefix="mthook-") as directory:
        path = os.path.join(directory, "mthook.conf")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        others = [path for path in found.files[:-1] if os.path.exists(path)]
        return configuration.load([*others, path])


def _foresee(found: Found, text: str) -> SyncResult:
    """Do a dry run in mode audit, which tells both: what is done now, and what mode enforce would do.

    Setup's mode enforce writes to Nova, too.
    """
    conf = _read(found, text)
    conf.set_override("mode", "audit", group="hook")
    conf.set_override("write_back", True, group="sync")
    result = SyncResult(lambda _: None, dry_run=True)
    settings = configuration.settings(conf, "")
    synchronize(conf, settings, result, None, lambda things, _: things)
    return result


def _steps(
    found: Found,
    choices: Choices,
    hooks_dir: str,
    text: str,
    conf: cfg.ConfigOpts,
    nova_text: str,
) -> list[Step]:
    steps = [
        Step("configuration", found.config, text == found.text),
        Step("pins", conf.catalog.path, False),
    ]
    if found.contained:
        if found.timer == "systemd":
            of_hookd = units.hookd(found, conf)
            steps.append(Step("hookd", next(iter(of_hookd)), _is_there(of_hookd)))
    else:
        current = found.hook is not None and _is_current(found, hooks_dir, conf)
        steps.append(Step("hook", found.hook or hooks_dir, current))
    if found.timer is not None:
        of_timer = units.timer(found, conf)
        steps.append(Step("timer", next(iter(of_timer)), _is_there(of_timer)))
    if choices.gate and found.nova and found.timer == "systemd":
        of_gate = units.gate(found, conf)
        steps.append(Step("gate", next(iter(of_gate)), _is_there(of_gate)))
        if choices.nova_conf and found.nova_conf is not None:
            steps.append(Step("nova_conf", found.nova_conf, nova_text == found.nova_text))
    completion = places.completion()
    if completion:
        steps.append(Step("completion", places.SHARE, units.are_there(completion)))
    return steps


def _is_there(texts: Mapping[str, str]) -> bool:
    there = units.are_there(texts) and not units.shadowing(texts)
    return there and units.are_enabled(list(texts))


def _is_current(found: Found, hooks_dir: str, conf: cfg.ConfigOpts) -> bool:
    wiring = install.Wiring.of_this_process(conf.catalog.path, found.files)
    return install.status(hooks_dir, wiring, ()).current
