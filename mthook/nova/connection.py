# SPDX-License-Identifier: Apache-2.0
"""The connection to a Nova database, and its errors in one line without a password."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mthook.deadline import within
from mthook.errors import NovaError
from mthook.text import cause, printable

#: MySQL's code for a deadlock; Galera also uses it for a write that lost against another node's.
_DEADLOCK = 1213
#: MySQL's code for a value that is longer than its column.
_TOO_LONG = 1406
#: Galera's code for a node that isn't part of its cluster; MySQL's for an unknown command.
_NOT_READY = 1047
#: After these a connection is useless, even for a rollback; the second one is the code for a failed commit.
_FATAL = (_NOT_READY, 1180)
#: How long all answers of one block may take together, as a multiple of the seconds for one wait.
_SHARES = 3


class Deadlock(NovaError):
    """The database has rolled back a transaction in favour of another one."""


class TooLong(NovaError):
    """The database has refused a value that is longer than its column."""


def parse_url(connection: str, what: str) -> sa.engine.URL:
    """Return a database URL for PyMySQL, whatever MySQL driver it names.

    :param what: what messages call it; they never quote it.
    :raises NovaError: it isn't a URL, or not one for MySQL or MariaDB.
    """
    try:
        url = sa.engine.make_url(connection)
    except (SQLAlchemyError, ValueError):
        raise NovaError(
            f"{what} is no database URL such as mysql+pymysql://user:password@host/nova"
        ) from None
    if url.get_backend_name() not in ("mysql", "mariadb"):
        raise NovaError(f"{what}: mthook reads Nova's data from MySQL and MariaDB only")
    if "@" in f"{url.host}{url.database}":
        # Messages name the host, which here would be a part of the password.
        raise NovaError(f"{what} has more than one @: in a password it is written %40")
    return url.set(drivername=f"{url.get_backend_name()}+pymysql")


def fill_in(template: str, default: str | None, what: str) -> str:
    """Return a cell's connection, with the parts it takes from ``[database] connection`` filled in.

    Works like ``_format_url`` in nova/objects/cell_mapping.py.

    :param what: what messages call it; they never quote it.
    :raises NovaError: it takes parts that don't exist.
    """
    if default is None:
        if re.search(r"{[a-z]+}", template):
            raise NovaError(f"{what} is a template, and [database] connection isn't set")
        return template
    try:
        parts = urlsplit(default)
        names = ("scheme", "username", "password", "hostname", "port", "query", "fragment")
        values = {name: getattr(parts, name) for name in names}
        return template.format(**values, path=parts.path.lstrip("/"))
    except (AttributeError, LookupError, TypeError, ValueError):
        raise NovaError(f"{what} is a template that [database] connection doesn't fill") from None


def engine(url: sa.engine.URL, name: str, seconds: int) -> sa.engine.Engine:
    """Return an engine for a Nova database, without connecting to it yet.

    :param name: what messages call it.
    :param seconds: to wait for a connection, for each answer and for rows that others have locked.
    :raises NovaError: PyMySQL is missing, or the URL's options are wrong.
    """
    try:
        made = sa.create_engine(
            url,
            # future: the only style that both SQLAlchemy 1.4 and 2 support.
            future=True,
            isolation_level="REPEATABLE READ",  # whose locks also cover rows that aren't there yet
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": seconds,
                "read_timeout": seconds,
                "write_timeout": seconds,
                # Shorter than the wait for an answer: its error says what is wrong.
                # Strict: a value that doesn't fit is refused, not cut.
                "init_command": f"SET SESSION innodb_lock_wait_timeout = {max(seconds // 2, 1)},"
                " SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
            },
        )
    except ImportError as error:
        raise NovaError(f"{name}: {error}: install PyMySQL") from error
    except (SQLAlchemyError, TypeError, ValueError):
        raise NovaError(f"{name}: its URL has options that can't be used") from None
    sa.event.listen(made, "handle_error", _give_up)
    return made


class Line:
    """The connections to a database, one after the other.

    :ivar kept: whether the next question uses the same connection, without checking first that it is still there: for
        many questions in a row. After an error a new one is used.
    """

    def __init__(self, way: sa.engine.Engine) -> None:
        self.way, self.kept = way, False
        self._connection: sa.engine.Connection | None = None

    def close(self) -> None:
        """Close all connections."""
        self._drop()
        self.way.dispose()

    @contextlib.contextmanager
    def connected(self) -> Iterator[sa.engine.Connection]:
        """Yield a connection without a transaction."""
        if not self.kept:
            with self.way.connect() as connection:
                yield connection
            return
        if self._connection is None:
            self._connection = self.way.connect()
        try:
            yield self._connection
            self._connection.rollback()  # even reading has begun a transaction
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _give_up(context: sa.engine.ExceptionContext) -> None:
    """Have a useless connection closed."""
    if reason_of(context.original_exception)[0] in _FATAL:
        context.is_disconnect = True


@contextlib.contextmanager
def asked(name: str, seconds: int) -> Iterator[None]:
    """Turn the errors of a Nova database into a :class:`NovaError` of one line.

    :param seconds: as for :func:`engine`; all questions in the block must be answered within a few times that.
    """
    try:
        with within(_SHARES * seconds):
            yield
    except TimeoutError as error:
        raise NovaError(f"{name}: {error}") from None
    except DBAPIError as error:
        code, text = reason_of(error.orig)
        kind = {_DEADLOCK: Deadlock, _TOO_LONG: TooLong}.get(code, NovaError)
        raise kind(f"{name}: {printable(text)}") from None
    except SQLAlchemyError as error:
        raise NovaError(f"{name}: {type(error).__name__}") from None
    except OSError as error:  # network errors come as MySQL errors instead
        reason = printable(cause(error))
        raise NovaError(
            f"{name}: the TLS files that its URL names can't be used: {reason}"
        ) from None
    except UnicodeError:  # it quotes the character, which may be part of the password
        raise NovaError(
            f"{name}: its URL has a user, password or host in letters that can't be used"
        ) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise NovaError(
            f"{name}: its URL has an option that can't be used: {printable(error)}"
        ) from None


def reason_of(error: BaseException | None) -> tuple[int, str]:
    """Return MySQL's code and message. Neither holds a statement, its values or a password."""
    args = error.args if error is not None else ()
    if len(args) > 1 and isinstance(args[0], int):
        about = "this node takes no part in its Galera cluster: " if args[0] == _NOT_READY else ""
        return args[0], f"{about}{args[1]}"
    return 0, " ".join(str(one) for one in args) or type(error).__name__
