# SPDX-License-Identifier: Apache-2.0
"""The connection to the record's database, and its errors in one line without a password."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mthook.deadline import give_way, within
from mthook.errors import FleetError, FleetSchema
from mthook.fleet.tables import SCHEMA, VERSION, own
from mthook.text import now, printable

if TYPE_CHECKING:
    from typing_extensions import Self

_DRIVERS = {
    "mysql": ("mysql+pymysql", "PyMySQL"),
    "mariadb": ("mysql+pymysql", "PyMySQL"),
    "postgresql": ("postgresql+psycopg2", "psycopg2"),
    "sqlite": ("sqlite+pysqlite", "sqlite3"),
}
#: Seconds for a connection, for each answer, and for rows that others have locked; in all a few times that.
_SECONDS, _SHARES = 5, 3
#: Seconds for each piece of a long answer.
_LONG = 180
#: How often a transaction is tried that another one was preferred to, or that found a row which wasn't there before.
_TRIES = 5
#: The codes for that: MySQL's (Galera has the first for a write that lost against another node's), and PostgreSQL's.
_CONFLICTS = (1213, 1205, 1062, "40001", "40P01", "23505")
#: Codes after which a connection is useless, even for a rollback.
_FATAL = (1047, 1180)
_NO_TABLE = (1146, "42P01")

_Result = TypeVar("_Result")


class _Conflict(FleetError):
    """Another transaction was preferred."""


class _NoTable(FleetError):
    """There is no such table."""


def parse_url(connection: str) -> sa.engine.URL:
    """Return the URL of a record.

    :raises FleetError: it isn't one, or not one for a database that can hold a record; the message doesn't quote it.
    """
    try:
        url = sa.engine.make_url(connection)
    except (SQLAlchemyError, ValueError):
        raise FleetError(
            "[fleet] connection is no database URL such as mysql+pymysql://user:password@host/mthook"
        ) from None
    if url.get_backend_name() not in _DRIVERS:
        raise FleetError(
            "[fleet] connection: a record is kept in MariaDB, MySQL, PostgreSQL or SQLite only"
        )
    if url.username and "@" in f"{url.host}{url.database}":
        # Messages name the host, which here would be a part of the password.
        raise FleetError("[fleet] connection has more than one @: in a password it is written %40")
    if url.get_backend_name() == "sqlite" and not (url.database or "").startswith("/"):
        raise FleetError(
            "[fleet] connection: give the file an absolute path, as in sqlite:////srv/fleet"
        )
    return url.set(drivername=_DRIVERS[url.get_backend_name()][0])


class Record:
    """The record; at the end of a ``with`` block it is closed. Each method raises :class:`FleetError`.

    :ivar dialect: ``mysql``, ``postgresql`` or ``sqlite``.
    """

    def __init__(self, connection: str) -> None:
        url = parse_url(connection)
        self.dialect: str = url.get_backend_name()
        self.engine = _engine(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    def own(self, table: sa.Table) -> sa.Table:
        """Return what a host writes to in place of a table."""
        return own(table, self.dialect)

    def transact(self, work: Callable[[sa.engine.Connection], _Result]) -> _Result:
        """Do work in a transaction, again if another one was preferred to it, and return its result."""
        for left in reversed(range(_TRIES)):
            try:
                with asked(), self._connected() as connection:
                    result = work(connection)
                    connection.commit()
                    return result
            except _Conflict:
                if not left:
                    raise
                give_way()
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.engine.Connection]:
        """Yield a connection for :func:`answers`; all of them show the same moment."""
        level = "SERIALIZABLE" if self.dialect == "sqlite" else "REPEATABLE READ"
        options = {"stream_results": True, "yield_per": 1000, "isolation_level": level}
        with contextlib.ExitStack() as stack:
            with asked():
                connection = stack.enter_context(self._connected())
                connection = connection.execution_options(**options)
            yield connection

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.engine.Connection]:
        """Yield a connection; after an error it is closed, which undoes all: a rollback might wait or fail as well."""
        with self.engine.connect() as connection:
            try:
                yield connection
            except BaseException:
                connection.invalidate()
                raise

    def check(self) -> None:
        """Make sure that this mthook knows the record's tables.

        :raises FleetSchema: it doesn't.
        """
        try:
            with asked(), self._connected() as connection:
                found = connection.execute(sa.select(VERSION.c.version_num)).scalar()
        except _NoTable:
            found = None
        if found == SCHEMA:
            return
        if found is None:
            raise FleetSchema(
                "the fleet's record has no tables yet: run 'mthook-admin fleet init' as its owner"
            )
        older = found < SCHEMA
        raise FleetSchema(
            f"the fleet's record has schema {printable(found)}, this mthook needs {SCHEMA}: "
            + ("run 'mthook-admin fleet init' as its owner" if older else "install a newer mthook")
        )

    def time(self, connection: sa.engine.Connection) -> str:
        """Return the server's time."""
        with asked():
            found = connection.execute(sa.text(_TIME[self.dialect])).scalar()
        return f"{str(found).replace(' ', 'T')[:19]}.000000Z"


def answers(connection: sa.engine.Connection, query: Any) -> Iterator[Any]:
    """Yield the rows of a query as they come. The time that the caller takes in between is its own.

    :raises FleetError: there is no answer, or not in time.
    """
    with asked(_LONG):
        parts = connection.execute(query).partitions()
    rows: Any = ()
    while rows is not None:
        yield from rows
        with asked(_LONG):
            rows = next(parts, None)


def earlier(at: str, seconds: int) -> str:
    """Return the moment that many seconds before another."""
    return now(datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() - seconds)


#: How a server tells its time, in UTC.
_TIME = {
    "mysql": "SELECT UTC_TIMESTAMP()",
    "postgresql": "SELECT timezone('utc', clock_timestamp())",
    "sqlite": "SELECT datetime('now')",
}


@contextlib.contextmanager
def asked(seconds: int | None = None) -> Iterator[None]:
    """Turn a database's errors into a :class:`FleetError` of one line.

    :param seconds: for all questions of the block; None: as long as a sync waits.
    """
    try:
        with within(seconds or _SHARES * _SECONDS):
            yield
    except TimeoutError as error:
        raise FleetError(f"the fleet's record: {error}") from None
    except DBAPIError as error:
        code, text = _reason(error.orig)
        conflict = code in _CONFLICTS or "UNIQUE constraint" in text
        kind = _Conflict if conflict else _NoTable if code in _NO_TABLE else FleetError
        if "no such table" in text:
            kind = _NoTable
        raise kind(f"the fleet's record: {printable(text)}") from None
    except SQLAlchemyError as error:
        raise FleetError(f"the fleet's record: {type(error).__name__}") from None
    except (OSError, UnicodeError, AttributeError, TypeError, ValueError):
        # Its message may hold parts of the URL.
        raise FleetError(
            "the fleet's record: [fleet] connection has an option that can't be used"
        ) from None


def _reason(error: BaseException | None) -> tuple[object, str]:
    """Return a database's code and message. Neither holds a statement, its values or a password."""
    args = error.args if error is not None else ()
    code = getattr(error, "pgcode", None)
    if code is None and len(args) > 1 and isinstance(args[0], int):
        return args[0], str(args[1])
    text = " ".join(str(one) for one in args) or type(error).__name__
    # PostgreSQL adds the statement, with a mark below it, and libpq each address that it tried.
    return code, text.strip().splitlines()[0]


def _engine(url: sa.engine.URL) -> sa.engine.Engine:
    kind = url.get_backend_name()
    try:
        made = sa.create_engine(
            url,
            # future: the only style that both SQLAlchemy 1.4 and 2 support.
            future=True,
            poolclass=sa.pool.QueuePool,
            pool_size=1,
            max_overflow=1,
            hide_parameters=True,
            connect_args=_arguments(kind),
            **({} if kind == "sqlite" else {"isolation_level": "READ COMMITTED"}),
        )
        if kind == "postgresql":
            from psycopg2 import extensions

            # libpq waits without a limit, and no signal interrupts it.
            extensions.set_wait_callback(_wait)
    except ImportError as error:
        raise FleetError(f"the fleet's record: {error}: install {_DRIVERS[kind][1]}") from error
    except (SQLAlchemyError, TypeError, ValueError):
        raise FleetError("[fleet] connection has options that can't be used") from None
    sa.event.listen(made, "handle_error", _give_up)
    if kind == "sqlite":
        sa.event.listen(made, "connect", _heed_references)
    return made


def _arguments(kind: str) -> dict[str, Any]:
    """Return what a driver is told."""
    if kind == "mysql":
        return {
            "connect_timeout": _SECONDS,
            "read_timeout": _SECONDS * _SHARES,
            "write_timeout": _SECONDS,
            # Strict: a value that doesn't fit is refused, not cut.
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {max(_SECONDS // 2, 1)},"
            " SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
            "charset": "utf8mb4",
        }
    if kind == "postgresql":
        limits = {"lock_timeout": _SECONDS, "statement_timeout": _SECONDS * _SHARES}
        options = [f"-c {name}={seconds * 1000}" for name, seconds in limits.items()]
        return {"options": " ".join(options), "client_encoding": "utf8"}
    return {"timeout": _SECONDS}


def _wait(connection: Any) -> None:
    """Wait until PostgreSQL has answered; each piece of it has to come in time."""
    from psycopg2 import extensions

    while (state := connection.poll()) != extensions.POLL_OK:
        reads = [connection] if state == extensions.POLL_READ else []
        writes = [connection] if state == extensions.POLL_WRITE else []
        if select.select(reads, writes, [], _SECONDS * _SHARES) == ([], [], []):
            connection.close()
            raise TimeoutError(f"no answer within {_SECONDS * _SHARES} s")


def _give_up(context: sa.engine.ExceptionContext) -> None:
    """Have a useless connection closed."""
    if _reason(context.original_exception)[0] in _FATAL:
        context.is_disconnect = True


def _heed_references(connection: Any, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
