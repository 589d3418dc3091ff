# SPDX-License-Identifier: Apache-2.0
"""The way to a database of Nova's, and what goes wrong on it in one line without a password."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mthook.errors import NovaError
from mthook.text import printable

#: MySQL's code for a deadlock; Galera has the same for a write that another node was faster with.
_DEADLOCK = 1213
#: A value is longer than its column.
_TOO_LONG = 1406
#: Galera's for a node that takes no part in its cluster; MySQL's for a command that it doesn't know.
_NOT_READY = 1047
#: After these a connection is of no use any more, not even for a rollback; the second one is of a failed commit.
_FATAL = (_NOT_READY, 1180)
#: How many times one wait's seconds all answers of one block may take together.
_SHARES = 3


class Deadlock(NovaError):
    """The database has undone a transaction in favour of another one."""


class TooLong(NovaError):
    """The database has refused a value that is longer than its column."""


def parse_url(connection: str, what: str) -> sa.engine.URL:
    """Return a database URL for PyMySQL, whatever MySQL driver it names.

    :param what: what messages call it; they never quote it.
    :raises NovaError: it is none, or not one of MySQL or MariaDB.
    """
    try:
        url = sa.engine.make_url(connection)
    except (SQLAlchemyError, ValueError):
        raise NovaError(
            f"{what} is no database URL such as mysql+pymysql://user:password@host/nova"
        ) from None
    if url.get_backend_name() not in ("mysql", "mariadb"):
        raise NovaError(f"{what}: mthook reads Nova's data from MySQL and MariaDB only")
    if "@" in (url.host or ""):
        # Messages name the host: it would be the end of the password.
        raise NovaError(f"{what} has more than one @: in a password it is written %40")
    return url.set(drivername=f"{url.get_backend_name()}+pymysql")


def fill_in(template: str, default: str | None, what: str) -> str:
    """Return a cell's connection with the parts that it takes from ``[database] connection``.

    As nova/objects/cell_mapping.py, ``_format_url``.

    :param what: what messages call it; they never quote it.
    :raises NovaError: it takes parts that there aren't.
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
    """Return a way to a database of Nova's; it isn't reached yet.

    :param name: what messages call it.
    :param seconds: to wait for a connection, for each answer and for rows that others have locked.
    :raises NovaError: PyMySQL is missing, or the URL's options are wrong.
    """
    try:
        made = sa.create_engine(
            url,
            # future: the one style that SQLAlchemy 1.4 and 2 share.
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
                # Sooner than an answer is waited for: it says what the matter is.
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

    :ivar kept: whether the next question goes over the same one, without being asked first whether it is still there:
        for many questions at a time. After an error it is another one.
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
            self._connection.rollback()  # what was only read has begun one, too
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _give_up(context: sa.engine.ExceptionContext) -> None:
    """Have a connection closed that is of no use any more."""
    if reason_of(context.original_exception)[0] in _FATAL:
        context.is_disconnect = True


@contextlib.contextmanager
def asked(name: str, seconds: int) -> Iterator[None]:
    """Turn what a database of Nova's fails with into one line of a :class:`NovaError`.

    :param seconds: as of :func:`engine`; all that is asked of it in the block has to be answered in a few times that.
    """
    try:
        with _deadline(_SHARES * seconds):
            yield
    except TimeoutError as error:
        raise NovaError(f"{name}: {error}") from None
    except DBAPIError as error:
        code, text = reason_of(error.orig)
        kind = {_DEADLOCK: Deadlock, _TOO_LONG: TooLong}.get(code, NovaError)
        raise kind(f"{name}: {printable(text)}") from None
    except SQLAlchemyError as error:
        raise NovaError(f"{name}: {type(error).__name__}") from None
    except OSError as error:  # what goes wrong on the network comes as an error of MySQL's
        reason = printable(error.strerror or error)
        raise NovaError(
            f"{name}: the TLS files that its URL names can't be used: {reason}"
        ) from None
    except UnicodeError:  # it quotes the character, which may be of the password
        raise NovaError(
            f"{name}: its URL has a user, password or host in letters that can't be used"
        ) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise NovaError(
            f"{name}: its URL has an option that can't be used: {printable(error)}"
        ) from None


@contextlib.contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    """Interrupt the block when its time is up: a database that sends a byte now and then keeps each single wait short.

    Only the main thread can be interrupted; mthook asks from no other.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise TimeoutError(f"no whole answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    # Again each second: an interruption in the midst of a finalizer gets lost.
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    begun = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(
                signal.ITIMER_REAL, max(left - (time.monotonic() - begun), 0.001), interval
            )


def reason_of(error: BaseException | None) -> tuple[int, str]:
    """Return MySQL's code and words. Neither holds a statement, its values or a password."""
    args = error.args if error is not None else ()
    if len(args) > 1 and isinstance(args[0], int):
        about = "this node takes no part in its Galera cluster: " if args[0] == _NOT_READY else ""
        return args[0], f"{about}{args[1]}"
    return 0, " ".join(str(one) for one in args) or type(error).__name__
