# SPDX-License-Identifier: Apache-2.0
"""What becomes of one domain on its way to libvirtd: the hook's rules, asked before there is anything to stop.

A definition is judged as the hook would judge the start that follows it; where the hook would stop that, the domain is
rewritten to its pin.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from mthook import conf, journal, text
from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import CatalogConflict, CatalogError, ConfigError, Error
from mthook.gate.verdict import REFUSE, REWRITE, Outcome, broken
from mthook.gate.xdr import MAX_STRING, Malformed
from mthook.hook import answer, slow
from mthook.hook.fast import LOCK_SHARE
from mthook.judgement import DEFINE, Judgement, NovaAnswer, judge
from mthook.settings import fingerprint
from mthook.xmlrewrite import pipeline, summary
from mthook.xmlrewrite.summary import Summary

#: How often a domain is judged anew whose pin is changed by others meanwhile.
_TRIES = 3


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
            journal.error(f"{error}; the last good configuration holds")
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
    settings = configuration.settings
    if settings.mode == "off":
        return Outcome()
    try:
        guest = summary.read(xml)
        if guest.uuid is None:
            # A new guest: libvirt doesn't take it for one it has by that name.
            return Outcome()
        label = f"guest '{text.printable(guest.name)}' ({guest.uuid})"
        judged = _judge(guest, guest.uuid, label, configuration, actor, may_wait)
        return None if judged.asks_nova else _rewrite(xml, guest, label, judged, configuration)
    except Error as error:
        return broken(settings, str(error))
    except Exception as error:  # a bug of mthook's counts like a broken catalog
        return broken(settings, f"{type(error).__name__}: {error}")


def _judge(
    guest: Summary,
    uuid: str,
    label: str,
    configuration: Configuration,
    actor: str,
    may_wait: bool,
) -> Judgement:
    """Judge a domain, anew where somebody changes its guest's pin meanwhile."""
    for left in reversed(range(_TRIES)):
        try:
            return _judge_once(guest, uuid, label, configuration, actor, may_wait)
        except CatalogConflict:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _judge_once(
    guest: Summary,
    uuid: str,
    label: str,
    configuration: Configuration,
    actor: str,
    may_wait: bool,
) -> Judgement:
    settings = configuration.settings
    patience = settings.timeout * LOCK_SHARE
    connection = lookup.connect_to_read(configuration.catalog, patience)
    try:
        known = lookup.lookup(connection, uuid, text.now())
        aliases = {}
        if known.machine is None or known.machine != guest.machine:
            aliases = lookup.aliases(connection, guest.emulator, guest.arch, guest.virt_type)
        judged = judge(DEFINE, guest, known, aliases, settings)
        compared = lookup.compared(connection, uuid) if judged.asks_nova else None
    finally:
        connection.close()  # SQLite's locks don't survive the fork
    if judged.asks_nova and may_wait:
        recorded = slow.ask_nova(configuration.files, uuid, settings.timeout, judged.reason)
        nova = NovaAnswer(recorded, compared, text.now())
        judged = judge(DEFINE, guest, known, aliases, settings, nova)
        if judged.compared is not None:
            _record(guest, judged, actor, label, configuration, (known.updated_at, compared))
    return judged


def _record(
    guest: Summary,
    judged: Judgement,
    actor: str,
    label: str,
    configuration: Configuration,
    read: answer.Read,
) -> None:
    """Record what Nova's database brought; the verdict holds whether or not that can be done.

    :raises CatalogConflict: the pin was changed meanwhile.
    """
    patience = configuration.settings.timeout * LOCK_SHARE
    try:
        with (
            Catalog(lookup.connect(configuration.catalog, patience)) as catalog,
            catalog.transaction(),
        ):
            lines = answer.record_pin(catalog, guest, judged, actor, read)
    except CatalogConflict:
        raise
    except CatalogError as error:
        journal.error(f"{label}: what Nova's database says isn't recorded here: {error}")
        return
    for line in lines:
        journal.info(f"{label}: {line}")


def _rewrite(
    xml: bytes, guest: Summary, label: str, judged: Judgement, configuration: Configuration
) -> Outcome:
    uuid, found = guest.uuid or "", guest.machine
    if judged.verdict != "deny":
        if judged.reason:
            journal.warning(f"{label}: would be rewritten in mode enforce: {judged.reason}")
        return Outcome(uuid=uuid, old=found)
    target = pipeline.Target(judged.pin, uuid, judged.since or None, ports=configuration.ports)
    try:
        rewritten = pipeline.rewrite(xml, target)
        if len(rewritten.xml) > MAX_STRING:
            raise Malformed(f"rewritten it is longer than {MAX_STRING} bytes")
    except Error as error:
        says = f"says {found}" if found else "names no machine type"
        what = f"{label} is pinned to {judged.pin}, its definition {says}"
        return _unconvertible(what, uuid, found, error, configuration.refuses)
    settings = configuration.settings
    if guest.nova and settings.nova and settings.write_back:
        # It has to do with what Nova has recorded, or will have in a moment.
        answer.ask_for_push(configuration.catalog, uuid)
    changes = rewritten.changes if rewritten.converted else ()
    return Outcome(REWRITE, rewritten.xml, uuid=uuid, old=found, new=judged.pin, changes=changes)


def _unconvertible(what: str, uuid: str, found: str | None, error: Error, refuses: bool) -> Outcome:
    if not refuses:
        journal.warning(f"{what}; passed unchanged ([gate] on_unconvertible): {error}")
        return Outcome(uuid=uuid, old=found)
    journal.warning(f"{what}; refused: {error}")
    accept = f"; 'mthook-admin set {uuid} {found} --force' accepts the change" if found else ""
    return Outcome(REFUSE, message=f"mthook: {what}, and can't be rewritten: {error}{accept}")
