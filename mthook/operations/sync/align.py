# SPDX-License-Identifier: Apache-2.0
"""Bring definitions back to their pins, and write down which guests run something else."""

from __future__ import annotations

from mthook.catalog.records import Pin
from mthook.errors import ConversionError, NotFound, Refused
from mthook.host import realign
from mthook.host.domains import Domain
from mthook.locks import uninterrupted
from mthook.operations.sync.run import ACTOR, Round
from mthook.policy import Refusal
from mthook.text import printable


def align(round_: Round) -> None:
    """Redefine every persistent domain, active or not, whose definition isn't what its pin says."""
    for domain in round_.domains.values():
        with round_.guest(domain):
            pin = round_.catalog.get_pin(domain.uuid)
            if pin is None or domain.defined is None or not round_.is_ours(domain):
                continue
            pin = _newest(round_, domain, pin, domain.defined.travelled)
            if not realign.is_aligned(pin, domain.defined, round_.offer(domain.defined)):
                _try(round_, domain, pin)


def align_one(round_: Round, domain: Domain, pin: Pin, *, snapshots: bool = False) -> None:
    """Redefine one domain, unless by now its definition is right.

    :param snapshots: also one that has snapshots, see :func:`mthook.host.realign.prepare`.
    :raises Error: as :func:`mthook.host.realign.prepare` does; nothing is changed then.
    """
    try:
        change = _change(round_, pin, snapshots)
    except ConversionError as error:
        # Whoever reads the reason at night is to see what it is about.
        found = domain.defined.machine if domain.defined else None
        raise ConversionError(
            f"pinned to {pin.machine}, defined as {printable(found)}: {error}", error.element
        ) from error
    latest = round_.catalog.get_pin(domain.uuid)
    if change is not None and latest is not None and latest.machine != pin.machine:
        align_one(round_, domain, latest, snapshots=snapshots)  # an operator changed it meanwhile
    elif change is not None:
        round_.report.done(
            "realigned", f"realign {domain} from {printable(change.old)} to {printable(change.new)}"
        )
        if change.converted:
            round_.report.detail(str(domain), change.changes)


def _change(round_: Round, pin: Pin, snapshots: bool) -> realign.Realignment | None:
    """Realign a pin's domain, or in a dry run only work out what that means."""
    host, offers, originals = round_.host, round_.offers, round_.catalog
    change = realign.prepare(host, pin, offers, originals, snapshots=snapshots)
    if round_.report.dry_run:
        return change
    with uninterrupted():
        realign.realign(host, pin, change, offers, originals)
        if change is not None:
            round_.touched = True
            round_.catalog.add_history(
                pin.uuid, "realigned", actor=ACTOR, old=change.old, new=change.new
            )
    return change


def _newest(round_: Round, domain: Domain, pin: Pin, travelled: tuple[str, str] | None) -> Pin:
    """Return the pin that counts: a newer one in the definition came with it from another host."""
    if travelled is None or travelled[0] == pin.machine or travelled[1] <= pin.updated_at:
        return pin
    machine = travelled[0]
    round_.report.done("pinned", f"pin {domain} to {machine}, from its own metadata")
    return round_.catalog.set_pin(
        domain.uuid,
        machine,
        source="guest metadata",
        actor=ACTOR,
        reason="its definition carries a newer pin",
        expect=pin.machine,
    )


def note_drift(round_: Round) -> None:
    """Write down, once for each pin, which guests run something else until a cold start."""
    for domain in round_.domains.values():
        with round_.guest(domain):
            pin = round_.catalog.get_pin(domain.uuid)
            if pin is None or domain.running is None:
                continue
            if not realign.is_aligned(pin, domain.running, round_.offer(domain.running)):
                _note_drift(round_, domain, pin, domain.running.machine)


def _try(round_: Round, domain: Domain, pin: Pin) -> None:
    """Realign a domain, or say why it is left alone. One that vanished meanwhile needs neither."""
    try:
        align_one(round_, domain, pin)
    except NotFound:
        return
    except ConversionError as error:
        nova = domain.defined is not None and domain.defined.nova
        if round_.nova is None or not round_.nova.works or not nova:
            raise
        round_.report.left_alone(
            f"{domain}: {error}; Nova makes another definition at its next start"
        )
    except Refused as refusal:
        if refusal.reason != Refusal.SAVED:
            raise
        round_.report.left_alone(str(refusal))


def _note_drift(round_: Round, domain: Domain, pin: Pin, found: str | None) -> None:
    history = round_.catalog.history(domain.uuid)
    since = [entry for entry in history if entry.event == "drift" and entry.at >= pin.updated_at]
    if not any((entry.old, entry.new) == (pin.machine, found) for entry in since):
        round_.catalog.add_history(domain.uuid, "drift", actor=ACTOR, old=pin.machine, new=found)
        round_.report.done(
            "drifting", f"note that {domain} runs {found}, unlike its pin {pin.machine}"
        )
