# SPDX-License-Identifier: Apache-2.0
"""Taking mthook off a host: what starts it, the hook, the gate, and on request the pins that guests carry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from oslo_config import cfg

from mthook.errors import Error, NotFound
from mthook.hook.daemons import Daemon
from mthook.operations.opening import opened_host
from mthook.operations.setup import places, units
from mthook.operations.setup.configuration import lead_back
from mthook.operations.setup.found import read
from mthook.operations.setup.hook import uninstall_hook
from mthook.operations.setup.steps import rewrite, unlink


@dataclass(frozen=True)
class Removed:
    """One thing that is gone, or had to stay.

    :ivar kind: ``file``, ``disabled`` (a unit that a package brought), ``hook``, ``completion`` (and man pages),
        ``pin`` (out of a guest's metadata), ``led_back`` (nova.conf no longer leads to the gate); ``gate_stays``: Nova
        may still be connected through it; ``pin_stays``.
    :ivar what: the path, or the guest.
    :ivar told: of a hook: the daemons that were told.
    """

    kind: Literal[
        "file", "disabled", "hook", "completion", "pin", "led_back", "gate_stays", "pin_stays"
    ]
    what: str
    error: Error | None = None
    told: Sequence[Daemon] = ()


def remove(
    conf: cfg.ConfigOpts, hooks_dir: str, nova_conf: str | None, *, metadata: bool
) -> Iterator[Removed]:
    """Undo all that setup does except the configuration and the catalog; yield what is done.

    First goes what would do it all again, then the rest. The gate goes last: in the run after the one that leads Nova
    back, when Nova has been restarted.

    :param metadata: also the pins in the guests' own metadata.
    :raises Error: a step fails; what was yielded is done.
    """
    paths = units.of_mthook()
    gate = units.of_gate(paths)
    yield from _remove([path for path in paths if path not in gate])
    cron = [os.path.join(places.CRON, name) for name in units.CRON]
    yield from _remove([path for path in cron if os.path.exists(path)])
    # Figures that are no longer written would be taken for current ones.
    figures: str | None = conf.metrics.textfile
    yield from _remove([figures] if figures and os.path.exists(figures) else [])
    path, told = uninstall_hook(conf, hooks_dir)
    if path is not None:
        yield Removed("hook", path, told=told)
    completion = places.installed_completion()
    if list(_remove(completion)):
        yield Removed("completion", places.SHARE)
    if metadata:
        yield from _without_pins(conf)
    yield from _without_gate(conf, nova_conf or places.NOVA_CONF, gate)


def _remove(paths: Sequence[str]) -> Iterator[Removed]:
    """Disable units and remove files."""
    names = [os.path.basename(path) for path in paths if units.is_unit(path)]
    if names and os.path.isdir(places.SYSTEMD_RUNS):
        units.systemctl("disable", "--now", *names)
    for path in paths:
        if units.is_packaged(path):
            yield Removed("disabled", os.path.basename(path))
            continue
        unlink(path)
        yield Removed("file", path)
    if names and os.path.isdir(places.SYSTEMD_RUNS):
        units.systemctl("daemon-reload")


def _without_pins(conf: cfg.ConfigOpts) -> Iterator[Removed]:
    with opened_host(conf) as host:
        from mthook.host import domains  # here: it takes libvirt-python

        for domain in sorted(domains.list_domains(host), key=str):
            try:
                if domains.drop_pin(host, domain.uuid):
                    yield Removed("pin", str(domain))
            except NotFound:
                continue
            except Error as error:
                yield Removed("pin_stays", str(domain), error)


def _without_gate(conf: cfg.ConfigOpts, nova_conf: str, gate: Sequence[str]) -> Iterator[Removed]:
    """Lead Nova back to libvirt, or remove a gate that Nova isn't led to."""
    text = read(nova_conf)
    before = text if text is None else lead_back(text, conf.gate.listen)
    if before == text:
        yield from _remove(gate)
        _remove_links(conf.gate.listen)
        return
    if before is not None:
        rewrite(nova_conf, before)
        yield Removed("led_back", nova_conf)
    yield Removed("gate_stays", nova_conf)


def _remove_links(listen: str) -> None:
    """Remove what has led clients to libvirt itself, because the gate didn't start."""
    for path in (listen, f"{listen}-ro"):
        if os.path.islink(path):
            unlink(path)
