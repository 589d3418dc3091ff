# SPDX-License-Identifier: Apache-2.0
"""A real MariaDB server of its own, in namespaces like a lab host."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote, urlencode

import pymysql

from tests.lab.certificates import make_certificates
from tests.lab.namespaces import Namespaces
from tests.lab.ports import reserve_ports
from tests.lab.processes import ENVIRONMENT, SECONDS, child_of, run, state_of, wait_until
from tests.lab.requirements import MARIADB, PATH, LabError, check

if TYPE_CHECKING:
    from typing_extensions import Self

_SECONDS_TO_ANSWER = 300
_OPTIONS = ["mariadbd", "--no-defaults", "--verbose", "--help"]
_DIRECTORY = "/run/mariadb"  # in memory, and seen inside alone

# What a failing machine loses is lost anyway; what a killed server has acknowledged is kept.
_CONFIGURATION = f"""\
[mariadbd]
user = root
datadir = {_DIRECTORY}/data
tmpdir = {_DIRECTORY}/tmp
pid_file = {_DIRECTORY}/pid
socket = {_DIRECTORY}/socket
log_error = {_DIRECTORY}/log.err
bind_address = 127.0.0.1
port = {{port}}
skip_name_resolve
skip_log_bin
max_connections = 500
innodb_buffer_pool_size = 256M
innodb_log_file_size = 64M
innodb_flush_log_at_trx_commit = 2
innodb_flush_method = fsync
innodb_doublewrite = 0
ssl_ca = {_DIRECTORY}/tls/ca.pem
ssl_cert = {_DIRECTORY}/tls/server.pem
ssl_key = {_DIRECTORY}/tls/server-key.pem
"""


def can_isolate() -> bool:
    """Whether a server can refuse to write a row that somebody has changed since the transaction first read."""
    return b"innodb-snapshot-isolation" in run(_OPTIONS)


class MariaDB:
    """A context manager: the server is up inside the block, and its data are gone after it.

    It listens on 127.0.0.1, where processes on lab hosts reach it too, and on a Unix socket. An
    ordinary user, :attr:`user`, may do anything with any database; the server's administrator is
    root, through the Unix socket alone.
    """

    #: The user of :meth:`url`. Its password needs quoting, as good ones do.
    user = "nova"
    password = "s3cret@lab/1"

    def __enter__(self) -> Self:
        check(MARIADB)
        self._process: Optional[subprocess.Popen[str]] = None
        self._spare: dict[Optional[str], pymysql.connections.Connection[Any]] = {}
        self._ports, self.port = reserve_ports()
        self._namespaces = Namespaces("mariadb")
        try:
            self._root = Path(f"/proc/{self._namespaces.pid}/root")
            self._install()
            self.start()
            self._make_user()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            # The namespaces would wait a second for it, and for a paused one for ever.
            self.kill()
        self._namespaces.close()
        self._ports.close()

    @property
    def socket(self) -> Path:
        """The Unix socket, for a process outside."""
        return self._path("socket")

    @property
    def ca(self) -> Path:
        """The certificate that the server's own is signed with, for a process outside."""
        return self._path("tls/ca.pem")

    @property
    def running(self) -> bool:
        """Whether the server runs, be it paused."""
        return self._process is not None and self._process.poll() is None

    def url(
        self,
        database: str,
        user: Optional[str] = None,
        password: Optional[str] = None,
        **query: object,
    ) -> str:
        """Return the URL of a database, as Nova's ``connection`` options have it."""
        user = quote(self.user if user is None else user, safe="")
        password = quote(self.password if password is None else password, safe="")
        options = f"?{urlencode(query)}" if query else ""
        return f"mysql+pymysql://{user}:{password}@127.0.0.1:{self.port}/{database}{options}"

    @contextmanager
    def connect(self, database: Optional[str] = None) -> Iterator[pymysql.cursors.Cursor]:
        """Yield a cursor of the administrator's: one transaction, committed at the end."""
        # To connect takes longer than most of what is asked.
        connection = self._spare.pop(database, None) or pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            charset="utf8mb4",
            connect_timeout=SECONDS,
            ssl_disabled=True,  # it takes longer than all the rest
            read_timeout=_SECONDS_TO_ANSWER,
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except BaseException:
            connection.close()
            raise
        if self._spare.setdefault(database, connection) is not connection:
            connection.close()

    def execute(
        self, sql: str, database: Optional[str] = None, parameters: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement as the administrator and return its rows."""
        with self.connect(database) as cursor:
            # Without parameters a percent sign is itself.
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def create(self, database: str) -> None:
        """Create a database."""
        self.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb3")

    def drop(self, database: str) -> None:
        """Drop a database, if there is one."""
        self.execute(f"DROP DATABASE IF EXISTS `{database}`")

    def dump(self, database: str, *tables: str) -> bytes:
        """Return a database, or some of its tables, as SQL."""
        options = ["--single-transaction", "--skip-comments", "--hex-blob"]
        return self._client("mariadb-dump", *options, database, *tables)

    def load(self, database: str, dump: bytes) -> None:
        """Execute SQL, such as a dump's, in a database."""
        self._client("mariadb", database, input=dump)

    def start(self, *options: str) -> None:
        """Start the server and wait until it answers; data and port are what they were.

        :param options: beside those of its configuration.
        :raises LabError: it runs already, ended at once, or doesn't answer; its log follows.
        """
        if self.running:
            raise LabError("MariaDB runs already.")
        self._spare.clear()
        # nsenter stops along with a paused server, and would then outlive its owner.
        inside = self._namespaces.command(
            ["mariadbd", f"--defaults-file={_DIRECTORY}/my.cnf", *options]
        )
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *inside],
            # Programs that it runs by their names are beside its data.
            env={**ENVIRONMENT, "PATH": f"{_DIRECTORY}:{PATH}"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        wait_until("MariaDB doesn't answer", self._answers, self.log)

    def stop(self) -> None:
        """End the server as a service manager does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it in its tracks: the kernel still accepts connections, and nobody answers."""
        process = self._running()
        os.kill(child_of(process.pid), signal.SIGSTOP)
        wait_until("MariaDB doesn't pause", lambda: state_of(process.pid) == "T", self.log)

    def resume(self) -> None:
        """Let a paused server go on."""
        process = self._running()
        os.kill(child_of(process.pid), signal.SIGCONT)
        process.send_signal(signal.SIGCONT)

    def recover(self) -> None:
        """See to it that the server runs, whatever has happened to it."""
        if not self.running:
            self.start()
        self.resume()

    def log(self) -> str:
        """Return what the server has logged since it was first started."""
        path = self._path("log.err")
        return path.read_text(errors="replace") if path.exists() else ""

    def _path(self, name: str) -> Path:
        return self._root / _DIRECTORY.lstrip("/") / name

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or not self.running:
            raise LabError("MariaDB doesn't run.")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        os.kill(child_of(process.pid), number)
        if state_of(process.pid) == "T":
            self.resume()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise LabError(f"MariaDB doesn't end within {SECONDS} s.\n{self.log()}") from None

    def _install(self) -> None:
        """Make the data directory, the certificates and the configuration."""
        for name in ("tmp", "tls"):
            self._path(name).mkdir(parents=True)
        make_certificates(self._path("tls"))
        self._path("my.cnf").write_text(_CONFIGURATION.format(port=self.port))
        run(
            self._namespaces.command(
                [
                    "mariadb-install-db",
                    f"--defaults-file={_DIRECTORY}/my.cnf",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ]
            )
        )

    def _make_user(self) -> None:
        with self.connect() as cursor:
            cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (self.user, self.password))
            cursor.execute("GRANT ALL ON `%%`.* TO %s@'%%'", (self.user,))

    def _answers(self) -> bool:
        if not self.running:
            raise LabError(f"MariaDB ended as soon as it was started.\n{self.log()}")
        try:
            self.execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True

    def _client(self, program: str, *argv: str, input: bytes = b"") -> bytes:
        options = ["--no-defaults", f"--socket={self.socket}", "--user=root"]
        return run([program, *options, *argv], input)
