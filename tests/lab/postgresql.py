# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL server of its own, in namespaces like a lab host."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote

import psycopg2

from tests.lab.namespaces import Namespaces
from tests.lab.ports import reserve_ports
from tests.lab.processes import ENVIRONMENT, child_of, run, wait_until
from tests.lab.requirements import LabError, check, find_postgresql

if TYPE_CHECKING:
    from typing_extensions import Self

_DIRECTORY = "/run/postgresql-lab"  # in memory, and seen inside alone
#: PostgreSQL refuses to run as root.
_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

# What a failing machine loses is lost anyway; what a killed server has acknowledged is kept.
_CONFIGURATION = f"""\
listen_addresses = '127.0.0.1'
port = {{port}}
unix_socket_directories = '{_DIRECTORY}'
fsync = off
password_encryption = scram-sha-256
max_connections = 200
shared_buffers = 256MB
"""
_ACCESS = """\
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


class PostgreSQL:
    """A context manager: the server is up inside the block, and its data are gone after it.

    It listens on 127.0.0.1, where processes on lab hosts reach it too, and on a Unix socket, through which its
    administrator is whoever asks.
    """

    #: The owner of the databases. Its password needs quoting, as good ones do.
    user = "owner"
    password = "s3cret@lab/1"

    def __enter__(self) -> Self:
        check({"setpriv": "util-linux", "unshare": "util-linux"})
        self._programs = find_postgresql()
        self._process: Optional[subprocess.Popen[str]] = None
        self._ports, self.port = reserve_ports()
        self._namespaces = Namespaces("postgresql")
        try:
            self._root = Path(f"/proc/{self._namespaces.pid}/root{_DIRECTORY}")
            self._install()
            self.start()
            self.execute(f"CREATE ROLE \"{self.user}\" LOGIN CREATEDB PASSWORD '{self.password}'")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._namespaces.close()
        self._ports.close()

    def url(self, database: str, user: Optional[str] = None, password: Optional[str] = None) -> str:
        """Return the URL of a database."""
        user = quote(self.user if user is None else user, safe="")
        password = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def connect(self, database: str = "postgres") -> Iterator[Any]:
        """Yield a cursor of the administrator's; each statement is a transaction."""
        connection = psycopg2.connect(
            host=str(self._root), port=self.port, user="postgres", dbname=database
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute SQL as the administrator and return the last statement's rows."""
        with self.connect(database) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def create(self, database: str) -> None:
        """Create a database that the ordinary user owns."""
        self.execute(f'CREATE DATABASE "{database}" OWNER "{self.user}"')

    def drop(self, database: str) -> None:
        """Drop a database, if there is one."""
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def start(self) -> None:
        """Start the server and wait until it answers; data and port are what they were."""
        inside = self._namespaces.command(
            [*_NOBODY, f"{self._programs}/postgres", "-D", f"{_DIRECTORY}/data"]
        )
        with (self._root / "log").open("a") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *inside],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        wait_until("PostgreSQL doesn't answer", self._answers, self.log)

    def pause(self) -> None:
        """Stop it in its tracks, sessions too: the kernel still accepts connections, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what the server has logged."""
        return (self._root / "log").read_text(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        master = child_of(self._process.pid)
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for pid in (master, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):  # a session that has ended meanwhile
                os.kill(pid, number)

    def _install(self) -> None:
        self._root.mkdir()
        os.chown(self._root, 65534, 65534)
        make = [f"{self._programs}/initdb", "--no-sync", "-U", "postgres", "-A", "trust"]
        options = ["-E", "UTF8", "--locale", "C.UTF-8", "-D", f"{_DIRECTORY}/data"]
        run(self._namespaces.command([*_NOBODY, *make, *options]))
        with (self._root / "data/postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION.format(port=self.port))
        (self._root / "data/pg_hba.conf").write_text(_ACCESS)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"PostgreSQL ended as soon as it was started.\n{self.log()}")
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True
