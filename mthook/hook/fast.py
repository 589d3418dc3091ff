# SPDX-License-Identifier: Apache-2.0
"""The hook's fast path: one call of libvirtd, judged with the standard library alone.

A call of an operation that matters reads the domain XML, makes one look-up in the catalog and has the guest judged
(:mod:`mthook.judgement`).
Configuration files are not read here: they are compiled into the catalog, and the slow path reads them again, once,
only when one of them is newer than that. Modules that a guest with a satisfied pin doesn't need are imported where they
are used: every start of a guest waits for this one.

What libvirt does with a hook's answer: https://libvirt.org/hooks.html, and as measured: it reads standard output at
``migrate`` and ``restore`` only, and kills a running guest whose ``reconnect`` isn't answered with 0.
"""

from __future__ import annotations

import _signal
import os
import sys
import time

from mthook import text
from mthook.catalog import lookup
from mthook.errors import CatalogConflict, CatalogError, DomainXMLError, Error
from mthook.settings import Settings, fingerprint
from mthook.xmlrewrite import summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO, NoReturn, TextIO

    from mthook.catalog.connection import Connection
    from mthook.judgement import NovaAnswer

ALLOWED = 0
#: The exit status by which ``hooks/qemu`` tells mthook's own "stop it" from any failure of the interpreter.
STOPPED = 77
#: The one by which it tells that a guest goes on unguarded: it couldn't be judged, or [hook] mode is off.
UNGUARDED = 78

#: The part of the time limit that one wait for a locked catalog may take; a second wait or the slow path may follow.
LOCK_SHARE = 0.5

#: Seconds past the time limit after which a call that hangs on the catalog's disk is killed. By then everything that
#: keeps to the limit has ended.
_GRACE = 1.0
#: The descriptor of libvirtd's standard error, as ``hooks/qemu`` passes it on.
_ERRORS = 3
#: How often a guest is judged when others keep changing its pin meanwhile.
_TRIES = 3


class HookCall:
    """One call of the hook by libvirtd.

    :param argv: catalog, configuration files (joined by ``:``), the directory of the notes, then libvirt's own
        arguments: the guest's name, the operation, the sub-operation and an extra one. ``hooks/qemu`` puts ``hung`` for
        the sub-operation where the first call was ended by its alarm.
    :param caller: the process that libvirtd has started, where it isn't an ancestor of this one.
    :ivar alarmed: an alarm ends the process when the catalog hangs.
    :ivar catalog: path of the catalog; follows the configuration when that is newer.
    :ivar clear: all is in order, and ``started`` will have nothing to record.
    :ivar hung: the catalog's disk hangs.
    :ivar misconfigured: a configuration file is broken: only the hook works, by the settings before.
    :ivar guarded: the guest was judged by its pin, or needn't be.
    :ivar note: the file by which ``prepare`` tells ``hooks/qemu`` so.
    :ivar name: the guest's name, untrusted text.
    :ivar settings: the compiled configuration, once it is known.
    :ivar xml: the domain as libvirtd wrote it. It may hold passwords: never to be logged or kept.
    """

    def __init__(
        self, argv: Sequence[str], output: BinaryIO, errors: TextIO, *, caller: int = 0
    ) -> None:
        self.catalog, files, cleared, self.name, self.operation = argv[:5]
        self.files = files.split(":")
        self.note = os.path.join(cleared, self.name)
        self.hung = argv[5:6] == ["hung"]
        self.alarmed = self.clear = self.misconfigured = False
        self.guarded = True
        self.uuid = ""
        self.caller = caller or os.getppid()
        self.begun = time.monotonic()
        self.settings: Settings | None = None
        self.connection: Connection | None = None
        self.xml = b""
        self.output = output
        self.errors = errors

    @property
    def limit(self) -> float:
        """The seconds that this call may take in all."""
        return Settings().timeout if self.settings is None else self.settings.timeout

    @property
    def patience(self) -> float:
        """The seconds to wait for other writers, once. The time until a busy machine runs us doesn't count:
        with hundreds of hooks at once, the last of them would otherwise be too late before they begin.
        """
        return self.limit * LOCK_SHARE

    def left(self) -> float:
        """Return the seconds left of the time limit."""
        return max(self.begun + self.limit - time.monotonic(), 0.0)

    def status(self, code: int) -> int:
        """Return the exit status that tells ``hooks/qemu`` an answer: also whether the guest goes on unguarded."""
        return code if self.guarded or code else UNGUARDED

    def set_alarm(self) -> None:
        """Have the process killed if the next step outlasts the time limit: libvirt has no limit of its own.

        A process that waits for a disk that doesn't answer can't be interrupted: at best the kernel lets it die.
        """
        if self.alarmed:
            _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
            _signal.setitimer(_signal.ITIMER_REAL, self.limit + _GRACE)

    def tell(self, line: str) -> None:
        """Say something to libvirtd's client. Whether it arrives doesn't change the answer."""
        try:
            self.errors.write(f"{line}\n")
            self.errors.flush()
        except (AttributeError, OSError, ValueError):
            # Standard error may be closed, or nobody may be reading it.
            return

    def __str__(self) -> str:
        return f"{self.operation} of guest '{text.printable(self.name)}'"


def run(argv: Sequence[str]) -> NoReturn:
    """Answer a call of ``hooks/qemu`` and leave.

    The interpreter's cleanup is skipped: it costs as much as the answer. So is closing the catalog: at every call
    SQLite would write the journal to the database and remove it; the next sync does that.
    """
    try:
        os.dup2(_ERRORS, 2)
        os.close(_ERRORS)  # libvirtd waits until nobody holds it any more, so no child may
    except OSError:
        pass  # not called by hooks/qemu
    call = HookCall(argv, sys.stdout.buffer, sys.stderr)
    call.alarmed = True
    os._exit(call.status(answer(call, sys.stdin.buffer)))


def answer(call: HookCall, source: BinaryIO) -> int:
    """Answer one call of libvirtd.

    :param source: where libvirtd writes the domain's XML.
    :return: :data:`ALLOWED` or :data:`STOPPED`; never another, and never :data:`STOPPED` for a guest that runs.
    """
    code = _respond(call, source)
    if call.operation == "prepare":
        _leave_note(call)
    return code


def _respond(call: HookCall, source: BinaryIO) -> int:
    try:
        if call.hung:
            where = text.printable(call.catalog)
            raise CatalogError(f"the catalog {where} doesn't answer: its disk hangs", call.catalog)
        call.xml = source.read(summary.MAX_BYTES + 1)
        call.begun = time.monotonic()  # how long libvirtd takes to write it doesn't count
        call.set_alarm()
        guest = summary.read(call.xml)
        if guest.uuid is None:
            raise DomainXMLError("domain XML has no <uuid>")
        if guest.machine is None:
            raise DomainXMLError("domain XML has no machine type in <os><type>")
        call.uuid = guest.uuid
        connection, known = _look_up(call, guest.uuid)
        return _judge(call, guest, connection, known)
    except Error as error:
        return _broken(call, str(error))
    except Exception as error:  # a bug of mthook's counts like a broken catalog
        return _broken(call, f"{type(error).__name__}: {error}")


def _leave_note(call: HookCall) -> None:
    """Tell ``hooks/qemu`` whether the ``started`` of this start has anything to record.

    If it hasn't, the catalog keeps the guest's state as the last sync saw it. A name that no file can have, or a full
    disk, costs a second interpreter and nothing else. The note names the guest by its UUID: another guest of that name
    has a start of its own to record.
    """
    if "/" in call.name:
        return
    try:
        if call.clear:
            _write_note(call.note, call.uuid)
        else:
            os.unlink(call.note)
    except (OSError, ValueError):
        return


def _write_note(path: str, uuid: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.mkdir(os.path.dirname(path), 0o700)
        descriptor = os.open(path, flags, 0o600)
    os.write(descriptor, f"{uuid}\n".encode())
    os.close(descriptor)


def _look_up(call: HookCall, uuid: str) -> tuple[Connection, lookup.Known]:
    """Open the catalog and read what it knows of the guest, with settings as new as the configuration."""
    connection, known = _open(call, uuid)
    call.settings = known.settings
    if known.settings is not None and known.settings.fingerprint == fingerprint(call.files):
        return connection, known
    connection.close()  # SQLite's locks don't survive the slow path's fork
    newer = _reload(call)
    connection, known = _open(call, uuid)
    if newer is not None:
        from mthook import journal
        from mthook.catalog.store import Catalog

        try:
            Catalog(connection).compile_settings(newer)
        except CatalogError as error:
            journal.error(f"{call}: the configuration can't be compiled: {error}")
    return connection, known


def _open(call: HookCall, uuid: str) -> tuple[Connection, lookup.Known]:
    connection = lookup.connect_to_read(call.catalog, min(call.patience, call.left()))
    call.connection = connection
    return connection, lookup.lookup(connection, uuid, text.now())


def _reload(call: HookCall) -> Settings | None:
    """Bring ``call`` up to the configuration's present state; a broken one leaves the last good settings in force.

    :return: the settings to compile into the catalog, if there are new ones.
    """
    from mthook import journal
    from mthook.hook import slow

    try:
        call.catalog, call.settings = slow.read_configuration(call.files, call.left())
    except slow.SlowPathError as error:
        which = (
            "the last good configuration stays in force" if call.settings else "the defaults apply"
        )
        journal.error(f"{call}: {error}; {which}")
        call.settings, call.misconfigured = call.settings or Settings(), True
        return None
    return call.settings


def _judge(
    call: HookCall, guest: summary.Summary, connection: Connection, known: lookup.Known
) -> int:
    """Answer when both the guest and the catalog could be read."""
    settings = call.settings
    assert settings is not None
    if settings.mode == "off":
        call.guarded = False
        return ALLOWED
    settled = known.root_image == guest.root_image and not known.repair
    if known.machine == guest.machine and call.operation == "prepare" and settled:
        call.clear = True
        _keep(call, guest, known, connection)
        return ALLOWED  # by far the most frequent case, kept free of all that follows
    for left in reversed(range(_TRIES)):
        try:
            return _judge_whole(call, guest, connection, known)
        except CatalogConflict:
            if not left:
                raise
            call.begun = time.monotonic()
            connection, known = _open(call, call.uuid)
    raise AssertionError("the last try returns or raises")


def _judge_whole(
    call: HookCall, guest: summary.Summary, connection: Connection, known: lookup.Known
) -> int:
    """Judge a guest and carry the judgement out.

    :raises CatalogConflict: somebody has changed its pin meanwhile; nothing is done.
    """
    from mthook.catalog.store import ANY
    from mthook.hook import answer
    from mthook.judgement import judge

    settings = call.settings
    assert settings is not None
    if call.operation == "restore" and settings.migrate_mismatch == "refuse":
        from mthook.hook import caller

        settings = caller.for_restore(settings, call.caller)
    call.set_alarm()  # reading has come through: what follows has a limit of its own
    aliases = lookup.aliases(connection, guest.emulator, guest.arch, guest.virt_type)
    judged = judge(call.operation, guest, known, aliases, settings)
    compared: object = ANY
    if judged.asks_nova:
        nova = _ask_nova(call, connection, judged.reason)
        compared = nova.compared
        judged = judge(call.operation, guest, known, aliases, settings, nova)
        call.set_alarm()
    if not answer.carry_out(call, guest, judged, (known.updated_at, compared), connection):
        return STOPPED
    if call.operation == "prepare" and not (judged.reason or judged.was_let_in):
        _keep(call, guest, known, connection)
    return ALLOWED


def _keep(
    call: HookCall, guest: summary.Summary, known: lookup.Known, connection: Connection
) -> None:
    """Keep the definition a guest is about to start with, if new. Nova makes its guests' anew."""
    if not guest.nova and known.kept != summary.checksum(call.xml):
        from mthook.hook import answer  # here: most starts are like the one before

        connection.close()  # SQLite's locks don't survive the slow path's fork
        answer.keep(call, guest)


def _ask_nova(call: HookCall, connection: Connection, wrong: str) -> NovaAnswer:
    """Ask Nova's database; the connection is closed then.

    :raises SlowPathError: it can't be asked, or not in time; [hook] on_error decides then.
    """
    from mthook.hook import slow
    from mthook.judgement import NovaAnswer

    # Read before asking Nova: a comparison made meanwhile doesn't belong to the answer that Nova is about to give.
    compared = lookup.compared(connection, call.uuid)
    connection.close()  # SQLite's locks don't survive the slow path's fork
    recorded = slow.ask_nova(call.files, call.uuid, call.left(), wrong)
    return NovaAnswer(recorded, compared, text.now())


def _broken(call: HookCall, why: str) -> int:
    """Answer without catalog or XML: only a start can be stopped, and only if the configuration asks for that."""
    from mthook import journal

    journal.error(f"{call}: {why}")
    call.guarded = False
    if call.operation != "prepare":
        return ALLOWED
    if call.settings is None:
        _reload(call)
    assert call.settings is not None
    if call.settings.mode != "enforce" or call.settings.on_error != "deny":
        return ALLOWED
    name = text.printable(call.name)
    why = text.printable(why, limit=1000)
    call.tell(f"mthook: start of guest '{name}' stopped ([hook] on_error = deny): {why}")
    return STOPPED
