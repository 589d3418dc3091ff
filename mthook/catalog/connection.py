# SPDX-License-Identifier: Apache-2.0
"""How to open a catalog, and what SQLite's errors mean to an operator. On the hook's fast path."""

from __future__ import annotations

# sqlite3's own core: the date converters that the package adds on top would cost every guest start
# more than the look-up.
import _sqlite3 as sqlite3
import os

from mthook.catalog import files
from mthook.errors import CatalogError, CatalogUnwritable
from mthook.text import printable

#: SQLite's messages, what they mean, and what to do about them. Python passes on SQLite's error
#: codes only from 3.11 on.
_ADVICE = (
    (
        "is locked",
        "has been in use by another process for too long: find that with fuser, then try again",
    ),
    ("locking protocol", "is in use by too many processes: try again"),
    ("readonly", "is on a read-only disk or can't be written: make it writable"),
    ("unable to open", "can't be opened: its directory must be writable and its disk not full"),
    ("is full", "is on a full disk: make room there"),
    ("disk I/O", "can't be read or written: make room on its disk, or repair that"),
    (
        "not a database",
        "is not an SQLite database: restore a copy, or move it away and run mthook-sync",
    ),
    ("malformed", "is damaged: restore a copy, or move it away and run mthook-sync"),
    ("no such", "is not a whole catalog: restore a copy, or move it away and run mthook-sync"),
)

#: Its messages when it can't create or fill the journal and its index.
_UNWRITABLE = ("unable to open", "disk I/O")

# Booleans, which SQLite stores as 0 or 1, come back as such from connections that detect types.
sqlite3.register_converter("BOOLEAN", lambda value: value != b"0")


class Connection(sqlite3.Connection):
    """A connection that knows which catalog it is of."""

    path = ""


def open_database(path: str, timeout: float, options: str = "mode=rw") -> Connection:
    """Open a catalog that exists, without looking at its content.

    Only we begin transactions (``isolation_level=None``).

    :param timeout: seconds to wait for other processes that write.
    :param options: SQLite's, in place of those to read and write.
    :raises CatalogError: see :func:`mthook.catalog.files.check`; or SQLite can't open it.
    """
    files.check(path)
    try:
        connection = sqlite3.connect(
            f"{_uri(path)}?{options}",
            timeout=timeout,
            detect_types=sqlite3.PARSE_DECLTYPES,
            isolation_level=None,
            factory=Connection,
            uri=True,
        )
    except sqlite3.Error as error:
        raise explain(path, error) from error
    connection.path = path
    return connection


def explain(path: str, error: BaseException) -> CatalogError:
    """Return an SQLite error as one line that names the catalog and says what to do."""
    said = str(error)
    kind = CatalogUnwritable if any(sign in said for sign in _UNWRITABLE) else CatalogError
    for sign, advice in _ADVICE:
        if sign in said:
            return kind(f"the catalog {printable(path)} {advice} ({printable(said)})", path)
    return CatalogError(f"the catalog {printable(path)} can't be used: {printable(said)}", path)


class Guard:
    """A ``with`` block in which SQLite's errors become :class:`CatalogError`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> Connection:
        return self.connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise explain(self.connection.path, error) from error


class Transaction(Guard):
    """A ``with`` block that writes all or nothing; once it ends well, that is on the disk.

    Inside another one it is part of that one.
    """

    def __enter__(self) -> Connection:
        with Guard(self.connection):
            self.is_inner = self.connection.in_transaction
            if not self.is_inner:
                self.connection.execute("PRAGMA synchronous = FULL")
                # IMMEDIATE: a transaction that first reads and then writes could otherwise fail
                # for want of the lock.
                self.connection.execute("BEGIN IMMEDIATE")
        return self.connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not self.is_inner:
            error = self._end(error)
        super().__exit__(kind, error, trace)

    def _end(self, error: BaseException | None) -> BaseException | None:
        """Commit or, on an error, roll back; return that error."""
        if error is None:
            try:
                self.connection.execute("COMMIT")
            except sqlite3.Error as failure:
                error = failure
        if self.connection.in_transaction:
            self.connection.rollback()
        return error


def _uri(path: str) -> str:
    """Return a path as SQLite wants it where options follow.

    Its own ``?``, ``#`` or ``%`` would otherwise end or change it. One of the options is a mode: SQLite must not
    create a catalog, least of all with the umask's mode.
    """
    whole = os.fsencode(os.path.join(os.getcwd(), path)) if path[:1] != "/" else os.fsencode(path)
    quoted = "".join(
        chr(b) if chr(b).isalnum() and b < 128 or b in b"/._-" else f"%{b:02X}" for b in whole
    )
    # Exactly three slashes: text between the second and the third would be a host.
    return f"file:///{quoted.lstrip('/')}"
