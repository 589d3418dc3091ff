# SPDX-License-Identifier: Apache-2.0
"""What becomes of a guest: its XML, its pin, the settings and Nova's database, in one judgement.

Pure, and builtins only. The hook submits what libvirtd is about to do, the gate a definition on its way to libvirtd;
each carries out the result itself: :mod:`mthook.hook.answer`, :mod:`mthook.gate.rewriting`.
"""

from __future__ import annotations

from mthook import policy, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mthook.catalog.lookup import Known
    from mthook.nova.question import Recorded
    from mthook.reconcile import Compared
    from mthook.settings import Settings
    from mthook.xmlrewrite.summary import Summary

#: An operation besides libvirt's own: a definition, which is judged as the start that follows it.
DEFINE = policy.DEFINE
#: The origin of a pin that has just come from Nova's database.
NOVA = "Nova"

# What happens to a guest, where the catalog or the log keeps it. ARRIVE: it is let in unlike its pin; WARN: it
# starts unlike its pin, as nothing is enforced; PASS: likewise, by [hook] nova_stop. Whether that becomes drift is
# known when it runs.
STOP, RUN, DRIFT, ARRIVE, WARN, PASS = "stop", "run", "drift", "arrive", "warn", "pass"

#: Operations before a start, which can still get another machine type.
_STARTS = policy.STARTS
#: Operations that report a guest as already running on this host.
_RUNS = ("started", "reconnect", "attach")
#: Operations in which libvirt brings in a guest whose machine type can no longer be changed.
_ARRIVES = ("migrate", "restore")
#: What stands for the machine type of a domain that leaves the choice to libvirt. QEMU's own word for a board without
#: anything on it; no guest is pinned to it.
_LEFT_OPEN = "none"
#: How many images a guest is known by, not counting the new one.
_KNOWN_IMAGES = 7


class NovaAnswer:
    """What came of asking Nova's database about a guest.

    :ivar recorded: what it says; None: Nova has no such instance.
    :ivar compared: what it said when the pin was last compared with it; None: it never was.
    :ivar at: when it was asked, as :func:`mthook.text.now` has it.
    """

    def __init__(self, recorded: Recorded | None, compared: Compared | None, at: str) -> None:
        self.recorded, self.compared, self.at = recorded, compared, at


class NewPin:
    """A pin to record.

    :ivar source: where the machine type comes from.
    :ivar running: the machine type that the guest runs with; None: it doesn't run yet.
    :ivar images: the images to know the guest by; None: the one that its XML names.
    :ivar replaces: it takes the place of another pin. Otherwise a pin that somebody else records
        meanwhile stays.
    """

    def __init__(self, machine: str, source: str, reason: str | None, replaces: bool) -> None:
        self.machine, self.source, self.reason, self.replaces = machine, source, reason, replaces
        self.running: str | None = None
        self.images: str | None = None


class Judgement:
    """What becomes of a guest, and what to record about it.

    :ivar found: the machine type that it comes with.
    :ivar pin: the one that counts; '' without one.
    :ivar origin: where the pin comes from: ``row``, ``metadata``, :data:`NOVA` or ''.
    :ivar since: when it was recorded; '' if unknown.
    :ivar verdict: ``allow``, ``deny`` or ``rewrite``, see :class:`mthook.policy.Decision`; for a definition, too.
    :ivar reason: one line that says what is wrong, '' when nothing is.
    :ivar asks_nova: Nova's database has to be asked before this is final.
    :ivar new_pin: the pin to record, if any.
    :ivar released: the pin to release because Nova rebuilt the guest; '' for none.
    :ivar compared: what Nova's database says now, to be kept with the pin that it changes.
    :ivar recorded: what Nova's database says, once it was asked about an instance that it has.
    :ivar mends: the pin is to replace Nova's record.
    :ivar unsure: Nova's record differs from the pin, and nothing tells who wrote it.
    :ivar was_let_in: a moment ago a ``migrate`` or ``restore`` let it in as it is, which is to be forgotten.
    :ivar event: what happens, one of this module's words in capitals; '' for nothing to keep.
    :ivar clear: the ``started`` that follows will have nothing to record.
    """

    def __init__(self, found: str, pin: str, origin: str, since: str) -> None:
        self.found, self.pin, self.origin, self.since = found, pin, origin, since
        self.verdict, self.reason, self.released, self.event = "allow", "", "", ""
        self.asks_nova = self.was_let_in = self.clear = self.mends = self.unsure = False
        self.recorded: Recorded | None = None
        self.new_pin: NewPin | None = None
        self.compared: Compared | None = None

    @property
    def changes_pin(self) -> bool:
        """Whether to change the pin, or the part of Nova's record that is kept with it."""
        return bool(self.new_pin or self.released) or self.compared is not None


def judge(
    operation: str,
    guest: Summary,
    known: Known,
    aliases: Mapping[str, str],
    settings: Settings,
    nova: NovaAnswer | None = None,
) -> Judgement:
    """Judge a guest.

    :param operation: libvirt's word for what happens, or :data:`DEFINE`.
    :param guest: its XML in brief.
    :param known: what the catalog knows of it.
    :param aliases: what aliases resolve to for its emulator, here.
    :param nova: what came of asking Nova's database, once a judgement wanted that.
    :raises MachineTypeError: what the guest comes with, its pin or Nova's record isn't a machine type.
    """
    judged = _begin(operation, guest, known)
    rebuilt = False
    if not settings.nova:
        _follow_xml(judged, operation, guest, known, aliases)
        # Nova's database would tell about rebuilds; another root image alone is no proof of one.
        rebuilt = policy.is_rebuilt(
            known.root_image, guest.root_image, pin=known.machine, recorded=guest.recorded
        )
    recorded = nova.recorded if nova is not None else None
    if nova is not None and recorded is not None:
        _follow_nova(judged, known, nova, recorded)
    passes = _may_pass(operation, guest, settings)
    decision = policy.decide(
        operation,
        judged.found,
        judged.pin or None,
        seen=known.seen if judged.origin == "row" else None,
        aliases=aliases,
        mode="audit" if passes else settings.mode,
        migrate_mismatch=settings.migrate_mismatch,
        # A rescue image isn't the guest, and its machine type isn't the guest's: stopping it would help nobody.
        arrived=judged.was_let_in or (recorded is not None and recorded.rescuing),
        released=rebuilt,
    )
    judged.verdict, judged.reason = decision.verdict, decision.reason
    judged.event = _event(operation, decision)
    if passes and judged.event == WARN:
        judged.event = PASS
    # Nova has the last word on a start that would be wrong, and on the first one on this host.
    doubtful = bool(judged.reason) or not (known.has_row or judged.was_let_in)
    may_ask = nova is None and settings.nova and guest.nova and operation in _STARTS
    judged.asks_nova = may_ask and doubtful
    if decision.record == "pin":
        machine = policy.pin_for(judged.found, settings.style, aliases)
        judged.new_pin = _pin_of_running(judged, operation, guest, known, machine, rebuilt)
    elif judged.origin == "metadata" and (judged.event == STOP or operation in _RUNS + _ARRIVES):
        # For a stopped start, too: its repair goes by the catalog's pin.
        judged.new_pin = NewPin(judged.pin, "guest metadata", None, known.has_row)
    if judged.new_pin is not None and operation not in _STARTS:
        judged.new_pin.running = judged.found
    judged.clear = not rebuilt and _is_clear(judged, guest, known)
    return judged


def _may_pass(operation: str, guest: Summary, settings: Settings) -> bool:
    """Tell whether a start must not be stopped. What the gate has rewritten before is right anyway."""
    unstopped = settings.mode == "enforce" and settings.nova_stop == "allow"
    return unstopped and guest.nova and operation == "prepare"


def _begin(operation: str, guest: Summary, known: Known) -> Judgement:
    """Find the pin that counts here, whatever Nova says."""
    row = (known.machine, known.updated_at or "") if known.has_row else None
    pin, origin = policy.effective_pin(
        operation, row, guest.travelled, known.gone_since, latest=known.latest
    )
    since = known.updated_at or ""
    if guest.travelled and origin == "metadata":
        carried = guest.travelled[1]
        since = carried if text.is_time(carried) and carried <= known.latest else ""
    judged = Judgement(guest.machine or _LEFT_OPEN, pin or "", origin, since)
    judged.was_let_in = operation == "prepare" and known.arrival == judged.found
    return judged


def _follow_xml(
    judged: Judgement, operation: str, guest: Summary, known: Known, aliases: Mapping[str, str]
) -> None:
    """Pin a guest that was never here to what Nova has recorded, where it would start as something else.

    A cold migration brings such a guest: Nova makes it from the image's properties, and tells in the XML what it has
    recorded for the instance.
    """
    if operation not in _STARTS or known.has_row or judged.pin or judged.was_let_in:
        return
    recorded = guest.recorded
    if recorded and not policy.satisfied(recorded, judged.found, aliases=aliases):
        judged.pin, judged.origin = recorded, "metadata"


def _follow_nova(judged: Judgement, known: Known, nova: NovaAnswer, recorded: Recorded) -> None:
    """Bring the pin up to date with Nova's database: changed there a moment ago, or rebuilt."""
    from mthook import machinetype, reconcile  # here: few guests need Nova's word

    by_operator = known.source == "operator" and judged.origin == "row"
    rebuilt = recorded.rebuilding or reconcile.is_rebuilt(
        recorded.rebuild, recorded.rebuild_at, nova.compared, judged.since, by_operator=by_operator
    )
    outcome = reconcile.reconcile(
        judged.pin or None,
        recorded.machine,
        recorded.row,
        by_operator=by_operator,
        compared=nova.compared,
        rebuilt=rebuilt,
        default=recorded.default,
        author=recorded.author,
    )
    judged.recorded = recorded
    judged.mends = outcome == reconcile.PUSH
    judged.unsure = outcome == reconcile.UNSURE
    if recorded.machine is not None and outcome in (reconcile.PULL, reconcile.OVERRULE):
        machinetype.MachineType.parse(recorded.machine)
        reason = "rebuilt in Nova" if rebuilt else None
        judged.new_pin = NewPin(recorded.machine, NOVA, reason, replaces=True)
        judged.pin, judged.origin, judged.since = recorded.machine, NOVA, nova.at
    elif outcome == reconcile.ASK_GUEST and judged.pin:
        judged.released, judged.pin, judged.origin = judged.pin, "", ""
    else:
        return
    judged.compared = (recorded.machine, recorded.row, recorded.rebuild)


def _event(operation: str, decision: policy.Decision) -> str:
    if decision.verdict == "deny":
        return STOP
    if decision.record == "drift":
        if operation in _ARRIVES:
            return ARRIVE
        return DRIFT if operation in _RUNS else WARN
    return RUN if decision.record == "nothing" and operation in _RUNS else ""


def _pin_of_running(
    judged: Judgement, operation: str, guest: Summary, known: Known, machine: str, rebuilt: bool
) -> NewPin:
    source = "first boot" if operation == "started" else "running guest"
    new = NewPin(machine, source, None, known.has_row)
    if rebuilt:
        new.reason = "rebuilt from another image"
        if machine == known.machine:  # nothing else changed: it is known by one more image
            before = (known.root_image or "").split()[-_KNOWN_IMAGES:]
            new.images = " ".join([*before, guest.root_image or ""])
    elif not judged.pin and known.machine is not None:
        new.reason = f"lived elsewhere since {known.gone_since}"
    return new


def _is_clear(judged: Judgement, guest: Summary, known: Known) -> bool:
    satisfied = judged.origin in ("row", NOVA) and not (judged.reason or judged.was_let_in)
    image_known = known.root_image is not None or guest.root_image is None
    return satisfied and image_known and not known.repair
