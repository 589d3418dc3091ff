# SPDX-License-Identifier: Apache-2.0
"""What the hook and the gate write: pins, drift, stopped starts, arrivals, rewrites. On the hook's fast path.

Every function is one transaction, and returns once that is on the disk. ``at`` is UTC text as
:func:`mthook.text.now` makes it; ``guest`` is a domain's XML in brief.
"""

from __future__ import annotations

from mthook.catalog.opening import Connection, Guard, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.settings import Settings
    from mthook.xmlrewrite.summary import Summary

#: Who the history names for what is recorded here.
HOOK = "hook"

_RECORD_PIN = """
INSERT INTO pins (uuid, machine, seen, arch, source, reason, actor, root_image,
                  qemu_version, libvirt_version, created_at, updated_at)
VALUES (:uuid, :machine, :seen, :arch, :source, :reason, :actor, :root_image,
        (SELECT qemu_version FROM host WHERE id = 1),
        (SELECT libvirt_version FROM host WHERE id = 1), :at, :at)
ON CONFLICT (uuid) DO UPDATE SET
    machine = excluded.machine, seen = excluded.seen, arch = excluded.arch,
    source = excluded.source, reason = excluded.reason, actor = excluded.actor,
    root_image = excluded.root_image, qemu_version = excluded.qemu_version,
    libvirt_version = excluded.libvirt_version, updated_at = excluded.updated_at
"""
_ADD_HISTORY = """
INSERT INTO history (uuid, at, event, old, new, source, reason, actor)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SEE_RUNNING = """
INSERT INTO guests (uuid, name, arch, virt_type, emulator, running, state,
                    managed_save, snapshots, nova, windows, seen_at)
VALUES (?, ?, ?, ?, ?, ?, 'running', 0, 0, ?, ?, ?)
ON CONFLICT (uuid) DO UPDATE SET
    name = excluded.name, arch = excluded.arch, virt_type = excluded.virt_type,
    emulator = excluded.emulator, running = excluded.running, state = excluded.state,
    nova = excluded.nova, windows = excluded.windows, seen_at = excluded.seen_at, gone_since = NULL
"""
_LACKS_IMAGE = "SELECT 1 FROM pins WHERE uuid = ? AND root_image IS NULL"
_ADD_IMAGE = "UPDATE pins SET root_image = ? WHERE uuid = ? AND root_image IS NULL"


def record_pin(
    conn: Connection,
    guest: Summary,
    machine: str,
    *,
    source: str,
    at: str,
    actor: str = HOOK,
    seen: str | None = None,
    reason: str | None = None,
    running: str | None = None,
    replace: bool = False,
    images: str | None = None,
) -> bool:
    """Record a guest's pin where it has none or a released one.

    :param seen: the versioned name that it runs with.
    :param running: the machine type that it was found to run with; None when it does not run yet.
    :param images: the images its root disk was seen with; None: the one that its XML names.
    :param replace: replace a pin as well (a rebuild; a guest that lived elsewhere since).
    :return: False when it has a pin already, which then stays.
    """
    with Transaction(conn):
        if running is not None:
            _see_running(conn, guest, running, at)
        row = conn.execute("SELECT machine FROM pins WHERE uuid = ?", (guest.uuid,)).fetchone()
        old = row[0] if row else None
        if old is not None and not replace:
            return False
        values = {
            "uuid": guest.uuid,
            "machine": machine,
            "seen": seen,
            "arch": guest.arch,
            "source": source,
        }
        values.update(reason=reason, actor=actor, root_image=images or guest.root_image, at=at)
        conn.execute(_RECORD_PIN, values)
        event = "pinned" if old is None else "changed"
        conn.execute(_ADD_HISTORY, (guest.uuid, at, event, old, machine, source, reason, actor))
    return True


def release_pin(conn: Connection, uuid: str, *, actor: str, reason: str, at: str) -> None:
    """Release a guest's pin, if it has one: what it runs next is recorded anew."""
    with Transaction(conn):
        row = conn.execute("SELECT machine FROM pins WHERE uuid = ?", (uuid,)).fetchone()
        if row is None or row[0] is None:
            return
        conn.execute(
            "UPDATE pins SET machine = NULL, seen = NULL, actor = ?, reason = ?, updated_at = ?"
            " WHERE uuid = ?",
            (actor, reason, at, uuid),
        )
        conn.execute("DELETE FROM repairs WHERE uuid = ?", (uuid,))
        conn.execute(_ADD_HISTORY, (uuid, at, "unset", row[0], None, None, reason, actor))


def record_compared(
    conn: Connection, uuid: str, machine: str | None, row: int | None, rebuild: int | None
) -> None:
    """Keep what Nova's database says of a guest; see :class:`mthook.catalog.records.Compared`."""
    with Transaction(conn):
        conn.execute(
            "INSERT OR REPLACE INTO compared (uuid, machine, row, rebuild) VALUES (?, ?, ?, ?)",
            (uuid, machine, row, rebuild),
        )


def record_drift(
    conn: Connection, guest: Summary, pin: str, found: str, operation: str, at: str
) -> None:
    """Record that a guest runs unlike its pin; the same twice in a row is recorded once."""
    with Guard(conn):
        known = _last_event(conn, guest) == ("drift", pin, found) and _is_seen_running(
            conn, guest, found
        )
    if known:
        return
    with Transaction(conn):
        _see_running(conn, guest, found, at)
        if _last_event(conn, guest) != ("drift", pin, found):
            conn.execute(_ADD_HISTORY, (guest.uuid, at, "drift", pin, found, None, operation, HOOK))


def record_running(conn: Connection, guest: Summary, found: str, at: str) -> None:
    """Record what a guest runs with. Nothing is written when there is nothing new about it.

    A guest that runs waits for no repair any more; an image that its pin doesn't know yet is added.
    """
    with Guard(conn):
        known = _is_seen_running(conn, guest, found)
        waits = conn.execute("SELECT 1 FROM repairs WHERE uuid = ?", (guest.uuid,)).fetchone()
        lacks = guest.root_image and conn.execute(_LACKS_IMAGE, (guest.uuid,)).fetchone()
    if not known or waits or lacks:
        with Transaction(conn):
            _see_running(conn, guest, found, at)


def record_stop(
    conn: Connection, guest: Summary, pin: str, found: str, operation: str, at: str
) -> None:
    """Record that a guest was stopped; at ``prepare`` also that its definition is to be mended.

    What arrives by ``migrate`` or ``restore`` has no definition here that could be at fault. A
    guest of Nova's is not to be started again by us: Nova does, with a definition made anew.
    """
    with Transaction(conn):
        if operation == "prepare":
            conn.execute("UPDATE guests SET defined = ? WHERE uuid = ?", (found, guest.uuid))
            conn.execute(
                "INSERT OR REPLACE INTO repairs (uuid, name, at, pin, found, nova, restart)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (guest.uuid, guest.name, at, pin, found, guest.nova, not guest.nova),
            )
        conn.execute(_ADD_HISTORY, (guest.uuid, at, "stopped", pin, found, None, operation, HOOK))


def record_arrival(conn: Connection, uuid: str, machine: str, at: str) -> None:
    """Record that ``migrate`` or ``restore`` let a guest in, for the ``prepare`` that follows."""
    with Transaction(conn):
        conn.execute(
            "INSERT OR REPLACE INTO arrivals (uuid, at, machine) VALUES (?, ?, ?)",
            (uuid, at, machine),
        )


def take_arrival(conn: Connection, uuid: str) -> str | None:
    """Forget that a guest was let in; return the machine type it came with, None if it was not.

    Nothing is written when there is nothing to forget.
    """
    with Guard(conn):
        if not conn.execute("SELECT 1 FROM arrivals WHERE uuid = ?", (uuid,)).fetchone():
            return None
    with Transaction(conn):
        row = conn.execute("SELECT machine FROM arrivals WHERE uuid = ?", (uuid,)).fetchone()
        conn.execute("DELETE FROM arrivals WHERE uuid = ?", (uuid,))
    return str(row[0]) if row else None


def record_rewrite(
    conn: Connection, uuid: str, old: str | None, new: str, *, actor: str, call: str, at: str
) -> None:
    """Record that a definition was rewritten on its way to libvirtd.

    :param old: the machine type that the client asked for; None: it left that open.
    :param actor: for whom it was.
    :param call: libvirt's name of what the client did.
    """
    with Transaction(conn):
        conn.execute(_ADD_HISTORY, (uuid, at, "rewritten", old, new, None, call, actor))


def compile_settings(conn: Connection, settings: Settings, at: str) -> None:
    """Keep what the configuration says by now, so that the next hooks needn't read it."""
    with Transaction(conn):
        conn.execute(
            "INSERT OR REPLACE INTO policy (id, mode, on_error, migrate_mismatch, timeout, style,"
            " nova, fingerprint, compiled_at) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*settings.values()[:-1], at),
        )


def _see_running(conn: Connection, guest: Summary, found: str, at: str) -> None:
    facts = (
        guest.uuid,
        guest.name,
        guest.arch,
        guest.virt_type,
        guest.emulator,
        found,
    )
    conn.execute(_SEE_RUNNING, (*facts, guest.nova, guest.windows, at))
    conn.execute("DELETE FROM repairs WHERE uuid = ?", (guest.uuid,))
    conn.execute(_ADD_IMAGE, (guest.root_image, guest.uuid))


def _is_seen_running(conn: Connection, guest: Summary, found: str) -> bool:
    row = conn.execute(
        "SELECT name, running FROM guests WHERE uuid = ? AND gone_since IS NULL", (guest.uuid,)
    ).fetchone()
    return bool(row == (guest.name, found))


def _last_event(conn: Connection, guest: Summary) -> object:
    return conn.execute(
        "SELECT event, old, new FROM history WHERE uuid = ? ORDER BY id DESC LIMIT 1", (guest.uuid,)
    ).fetchone()
