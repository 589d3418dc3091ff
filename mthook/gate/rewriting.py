# SPDX-License-Identifier: Apache-2.0
"""What becomes of one domain on its way to libvirtd: the hook's rules, asked before there is anything to stop.

A definition is judged as the hook would judge the start that follows it; where the hook would stop that, the domain is
rewritten to its pin.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from mthook import conf, policy, text
from mthook.catalog import lookup
from mthook.errors import ConfigError, Error
from mthook.gate import log
from mthook.gate.verdict import REFUSE, REWRITE, Outcome, broken
from mthook.gate.xdr import MAX_STRING, Malformed
from mthook.hook import fast, judge, nova
from mthook.settings import fingerprint
from mthook.xmlrewrite import pipeline, summary

#: What stands for the machine type of a domain that leaves the choice to libvirt. QEMU's own word for a board without
#: anything on it; no guest is pinned to it.
_LEFT_OPEN = "none"


class Configuration:
    """The configuration, as new as its files.

    :raises ConfigError: it is wrong from the beginning.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)
        self._seen = ""
        self._broken = ""
        self._load(fingerprint(self.files))

    def refresh(self) -> None:
        """Read the files again if they changed; a broken one leaves the last good configuration in force."""
        seen = fingerprint(self.files)
        if seen in (self._seen, self._broken):
            return
        try:
            self._load(seen)
        except ConfigError as error:
            log.error(f"{error}; the last good configuration holds")
            self._broken = seen

    def _load(self, seen: str) -> None:
        options = conf.load([path for path in self.files if os.path.exists(path)])
        self.settings = conf.settings(options, seen)
        self.catalog: str = options.catalog.path
        self.refuses: bool = options.gate.on_unconvertible == "refuse"
        self.ports: int = options.libvirt.num_pcie_ports
        self._seen = seen


def examine(
    xml: bytes, configuration: Configuration, actor: str, *, may_wait: bool
) -> Outcome | None:
    """Judge a domain.

    :param actor: whom the history is to name where a pin changes by that.
    :param may_wait: whether Nova's database may be asked, within the hook's time limit.
    :return: None: it has to be asked, and mustn't.
    """
    if configuration.settings.mode == "off":
        return Outcome()
    try:
        guest = summary.read(xml)
        if guest.uuid is None:
            # A new guest: libvirt doesn't take it for one it has by that name.
            return Outcome()
        return _judge(xml, guest, configuration, actor, may_wait)
    except Error as error:
        return broken(configuration.settings.mode, configuration.settings.on_error, str(error))
    except Exception as error:  # a bug of mthook's counts like a broken catalog
        why = f"{type(error).__name__}: {error}"
        return broken(configuration.settings.mode, configuration.settings.on_error, why)


def _judge(
    xml: bytes, guest: summary.Summary, configuration: Configuration, actor: str, may_wait: bool
) -> Outcome | None:
    found = guest.machine
    guest.machine = found or _LEFT_OPEN
    arguments = [configuration.catalog, ":".join(configuration.files), guest.name, "prepare"]
    call = fast.Call(arguments, io.BytesIO(), io.StringIO())
    call.policy = configuration.settings
    call.actor = actor
    connection = lookup.connect(call.catalog, call.patience)
    try:
        assert guest.uuid is not None
        known = lookup.lookup(connection, guest.uuid, text.now())
        # It was let in with the hardware it had; this is about the hardware it shall have.
        known.arrival = None
        if known.machine == found and found:
            return Outcome()
        case = judge.Case(call, guest, connection, known)
        decision = case.decide()
        if case.is_for_nova(decision):
            if not may_wait:
                return None
            nova.consult(case, decision.reason)
            connection = case.connection
            decision = case.decide()
    finally:
        connection.close()
    return _carry_out(xml, case, decision, found, configuration)


def _carry_out(
    xml: bytes,
    case: judge.Case,
    decision: policy.Decision,
    found: str | None,
    configuration: Configuration,
) -> Outcome:
    guest = f"guest '{text.printable(case.guest.name)}' ({case.uuid})"
    if decision.verdict != "deny":
        if decision.reason:
            log.warning(f"{guest}: would be rewritten in mode enforce: {decision.reason}")
        return Outcome()
    target = pipeline.Target(case.pin, case.uuid, case.since, ports=configuration.ports)
    try:
        rewritten = pipeline.rewrite(xml, target)
        if len(rewritten.xml) > MAX_STRING:
            raise Malformed(f"rewritten it is longer than {MAX_STRING} bytes")
    except Error as error:
        return _unconvertible(case, guest, found, error, configuration)
    changes = rewritten.changes if rewritten.converted else ()
    return Outcome(REWRITE, rewritten.xml, uuid=case.uuid, old=found, new=case.pin, changes=changes)


def _unconvertible(
    case: judge.Case, guest: str, found: str | None, error: Error, configuration: Configuration
) -> Outcome:
    says = f"says {found}" if found else "names no machine type"
    what = f"{guest} is pinned to {case.pin}, its definition {says}"
    if not configuration.refuses:
        log.warning(f"{what}; passed unchanged ([gate] on_unconvertible): {error}")
        return Outcome()
    log.warning(f"{what}; refused: {error}")
    accept = f"; 'mthook-admin set {case.uuid} {found} --force' accepts the change" if found else ""
    return Outcome(REFUSE, message=f"mthook: {what}, and can't be rewritten: {error}{accept}")
