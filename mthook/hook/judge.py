# SPDX-License-Identifier: Apache-2.0
"""What the hook does about one guest: it asks the policy, records what the answer is about, and carries it out.

Part of the fast path, but left alone by the start of a guest whose pin is exactly what its definition says.
"""

from __future__ import annotations

import os

from mthook import journal, machinetype, policy, text
from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError
from mthook.hook import slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.catalog.connection import Connection
    from mthook.hook.fast import Call
    from mthook.xmlrewrite.summary import Summary

#: The hook touches this file beside the catalog when it stopped a start; systemd's path unit then runs the repair.
TRIGGER = "repair-wanted"

#: Operations that tell of a guest that runs on this host by now.
_RUNS = ("started", "reconnect", "attach")
#: Operations at which libvirt brings a guest with its own machine type, which nobody can change any more.
_ARRIVES = ("migrate", "restore")


#: What an operator calls the operations that can be stopped.
_WORDS = {"prepare": "start", "migrate": "migration", "restore": "restore"}


class Case:
    """One guest in one call of the hook.

    :param guest: its XML in brief; has a UUID and a machine type.
    """

    __slots__ = (
        "aliases",
        "call",
        "connection",
        "found",
        "guest",
        "known",
        "origin",
        "pin",
        "policy",
        "rebuilt",
        "rescue",
        "since",
        "uuid",
    )

    def __init__(
        self,
        call: Call,
        guest: Summary,
        connection: Connection,
        known: lookup.Known,
    ) -> None:
        assert call.policy is not None and guest.uuid is not None and guest.machine is not None
        self.call, self.guest, self.connection, self.known = call, guest, connection, known
        self.policy = call.policy
        #: Where Nova's database tells of rebuilds, another root image is no proof of one.
        self.rebuilt = not call.policy.nova and policy.is_rebuilt(
            known.root_image, guest.root_image
        )
        #: Nova starts a rescue image in the guest's place.
        self.rescue = False
        self.uuid, self.found = guest.uuid, guest.machine
        row = (known.machine, known.updated_at or "") if known.has_row else None
        pin, self.origin = policy.effective_pin(
            call.operation, row, guest.travelled, known.gone_since
        )
        #: '' without a pin: no verdict that speaks of one is ever reached then.
        self.pin = pin or ""
        metadata_since = guest.travelled[1] if guest.travelled else ""
        self.since = metadata_since if self.origin == "metadata" else known.updated_at or ""
        # Reading has come through; what is to be written may wait as long as a call may take.
        connection.execute(f"PRAGMA busy_timeout = {int(call.limit * 1000)}")
        self.aliases = lookup.aliases(connection, guest.emulator, guest.arch, guest.virt_type)

    @property
    def catalog(self) -> Catalog:
        """The catalog, to record in."""
        return Catalog(self.connection)

    def answer(self) -> int:
        """Judge the guest and return the hook's answer."""
        from mthook.hook.fast import ALLOWED, STOPPED

        decision = self.decide()
        if self.is_for_nova(decision):
            from mthook.hook import nova

            nova.consult(self, decision.reason)
            decision = self.decide()
        try:
            self._record(decision)
        except CatalogError as error:
            if decision.verdict == "deny":
                raise  # a catalog that can't be written is a broken one: [hook] on_error decides
            journal.error(f"{self.call}: what it found isn't recorded: {error}")
        if decision.verdict == "deny":
            self._stop()
            return STOPPED
        if decision.verdict == "rewrite":
            self._rewrite()
        self.call.clear = self._leaves_nothing(decision)
        return ALLOWED

    def decide(self) -> policy.Decision:
        """Return what the policy says of the guest and what is known of it so far."""
        return policy.decide(
            self.call.operation,
            self.found,
            self.pin or None,
            seen=self.known.seen if self.origin == "row" else None,
            aliases=self.aliases,
            mode=self.policy.mode,
            migrate_mismatch=self.policy.migrate_mismatch,
            arrived=self._arrived() or self.rescue,
            released=self.rebuilt,
        )

    def is_for_nova(self, decision: policy.Decision) -> bool:
        """Has Nova's database to say what counts: of a start that would be wrong, or the first one on this host?"""
        asked = self.policy.nova and self.guest.nova and self.call.operation == "prepare"
        return asked and (bool(decision.reason) or not (self.known.has_row or self._arrived()))

    def _leaves_nothing(self, decision: policy.Decision) -> bool:
        """Is there nothing that ``started`` would have to record about this guest?"""
        settled = self.known.root_image is not None or self.guest.root_image is None
        satisfied = self.origin == "row" and not decision.reason and not self._arrived()
        return satisfied and settled and not self.rebuilt and not self.known.repair

    def _arrived(self) -> bool:
        """Is this the ``prepare`` of a guest that a ``migrate`` or ``restore`` a moment ago let in as it is?"""
        return self.call.operation == "prepare" and self.known.arrival == self.found

    def _record(self, decision: policy.Decision) -> None:
        operation = self.call.operation
        if self._arrived():
            self.catalog.take_arrival(self.uuid)
        if decision.verdict == "deny":
            if self.origin == "metadata":
                self._record_pin()  # the repair goes by the catalog's pin
            self.catalog.record_stop(self.guest, self.pin, self.found, operation, text.now())
        elif operation in _RUNS or operation in _ARRIVES:
            if decision.record == "pin" or (self.origin == "metadata" and not self.rebuilt):
                self._record_pin()
            if decision.record == "drift":
                self._record_drift()
            elif decision.record == "nothing" and operation in _RUNS:
                self.catalog.record_running(self.guest, self.found, text.now())
        elif decision.record == "drift":
            # A start in audit mode; whether it comes to drift is known when the guest runs.
            journal.warning(
                f"{self.call} ({self.uuid}): would be stopped in mode enforce: {decision.reason}"
            )

    def _record_pin(self) -> None:
        if self.origin == "metadata" and not self.rebuilt:
            machine, source = self.pin, "guest metadata"
        else:
            machine = policy.pin_for(self.found, self.policy.style, self.aliases)
            source = "first boot" if self.call.operation == "started" else "running guest"
        reason = None
        if self.rebuilt:
            reason = "rebuilt from another image"
        elif not self.pin and self.known.machine is not None:
            reason = f"lived elsewhere since {self.known.gone_since}"
        runs = self.found if self.call.operation != "prepare" else None
        recorded = self.catalog.record_pin(
            self.guest,
            machine,
            running=runs,
            source=source,
            actor=self.call.actor,
            seen=runs,
            reason=reason,
            at=text.now(),
            # Where there was no row somebody else may have recorded a pin by now; that one stays.
            replace=self.known.has_row,
            images=self._images(machine),
        )
        if recorded:
            journal.info(f"{self.call} ({self.uuid}): pinned to {machine}, from the {source}")

    def _images(self, machine: str) -> str | None:
        """Return the images to know the guest by: one more where nothing else changed."""
        if not self.rebuilt or machine != self.known.machine:
            return self.guest.root_image
        return " ".join([*(self.known.root_image or "").split()[-7:], self.guest.root_image or ""])

    def _record_drift(self) -> None:
        if self.call.operation in _ARRIVES:
            # The guest isn't here yet, and may fail to come: `started` records the drift, `prepare` lets it through.
            self.catalog.record_arrival(self.uuid, self.found, text.now())
        else:
            self.catalog.record_drift(
                self.guest, self.pin, self.found, self.call.operation, text.now()
            )
        journal.warning(
            f"{self.call} ({self.uuid}): drift: pinned to {self.pin}, it runs {self.found}"
        )

    def _stop(self) -> None:
        """Say in one line, which libvirt hands on to the client, what is stopped, why and what to do."""
        if self.call.operation == "prepare":
            _touch(os.path.join(os.path.dirname(self.call.catalog), TRIGGER))
            what = "its definition says"
        else:
            what = "it comes with"
        start = _WORDS[self.call.operation]
        message = (
            f"{start} of guest '{text.printable(self.call.name)}' ({self.uuid}) stopped: "
            f"its machine type is pinned to {self.pin}, "
            f"{what} {self.found}; {self._remedy()}"
        )
        journal.warning(message)
        self.call.errors.write(f"mthook: {message}\n")

    def _remedy(self) -> str:
        accept = f"'mthook-admin set {self.uuid} {self.found} --force' accepts the change"
        if self.call.operation != "prepare":
            return f"{accept}, so does [hook] migrate_mismatch = accept for all guests"
        if self.guest.nova and self.policy.nova:
            return f"'mthook-sync --only repair' writes the pin to Nova's database, then start it again; {accept}"
        if self.guest.nova:
            return f"give the instance the machine type {self.pin} in Nova and start it again, or {accept}"
        if not machinetype.is_convertible(self.pin, self.found):
            return f"redefine the guest as what it is pinned to, or {accept}"
        return f"'mthook-sync --only repair' mends the definition and starts the guest, {accept}"

    def _rewrite(self) -> None:
        """Print the domain with the name that the pin has for its machine type; printing nothing changes nothing."""
        self.connection.close()  # SQLite's locks don't survive the slow path's fork
        try:
            xml = slow.rewrite(self.call.xml, self.pin, self.uuid, self.since, self.call.left())
        except slow.SlowPathError as error:
            journal.error(f"{self.call} ({self.uuid}): not renamed to {self.pin}: {error}")
            return
        self.call.output.write(xml)
        self.call.output.flush()
        journal.info(f"{self.call} ({self.uuid}): {self.found} renamed to {self.pin}")


def _touch(path: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        journal.error(f"{text.printable(path)}: {error.strerror}")
