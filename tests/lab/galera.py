# SPDX-License-Identifier: Apache-2.0
"""A real Galera cluster: MariaDB servers that each take writes, and have them all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pymysql

from tests.lab.mariadb import MariaDB
from tests.lab.processes import wait_until
from tests.lab.requirements import GALERA, LabError

if TYPE_CHECKING:
    from typing_extensions import Self

# A node that is gone is noticed a little sooner than Galera does by default.
_CONFIGURATION = f"""\
binlog_format = ROW
innodb_autoinc_lock_mode = 2
wsrep_on = ON
wsrep_provider = {GALERA}
wsrep_cluster_name = lab
wsrep_cluster_address = gcomm://{{members}}
wsrep_node_address = 127.0.0.1
wsrep_sst_method = lab
wsrep_sst_receive_address = 127.0.0.1:{{sst}}
wsrep_slave_threads = 4
wsrep_provider_options = "gmcast.listen_addr=tcp://127.0.0.1:{{port}}; ist.recv_addr=127.0.0.1:{{ist}}; \
gcache.size=32M; evs.suspect_timeout=PT3S; socket.ssl=NO"
"""

_SENDER = Path(__file__).with_name("wsrep_sst_lab")
_ALONE = "--wsrep_new_cluster"
#: Since MariaDB 11.4 each option of the provider is a variable of its own, and Debian's refuses the first form.
_ALL_THERE_IS = ("wsrep_provider_options = 'pc.bootstrap=YES'", "wsrep_provider_pc_bootstrap = ON")


class _Node(MariaDB):
    """One of the servers."""

    @property
    def member(self) -> str:
        """Where the other ones find it."""
        return f"127.0.0.1:{self.port + 1}"

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self._path("data")

    def become_member(self, members: Sequence[str]) -> None:
        """Be one of a cluster from its next start on."""
        more = _CONFIGURATION.format(
            members=",".join(members), port=self.port + 1, ist=self.port + 2, sst=self.port + 3
        )
        shutil.copy(_SENDER, self._path(_SENDER.name))
        with self._path("my.cnf").open("a") as file:
            file.write(more)

    def status(self, name: str) -> str:
        """Return one of the server's figures about the cluster."""
        rows = self.execute("SHOW GLOBAL STATUS LIKE %s", None, (f"wsrep_{name}",))
        return str(rows[0][1]) if rows else ""

    def carry_on(self) -> None:
        """Go on with those that are left: of half a cluster an administrator has to say that it is all there is."""
        wait_until("The node doesn't miss the others", lambda: not self._answers(), self.log)
        wait_until("The node doesn't carry on", self._carries_on, self.log)

    def _carries_on(self) -> bool:
        if self._answers():
            return True
        for setting in _ALL_THERE_IS:
            with contextlib.suppress(pymysql.err.MySQLError):  # it may be too soon
                self.execute(f"SET GLOBAL {setting}")
        return False


class Galera:
    """A context manager: all servers of a cluster are up inside the block, and their data are gone after it.

    They begin with the same data, so that none has to be sent a copy; see :class:`MariaDB`.

    :ivar nodes: the servers.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.nodes: list[_Node] = []

    def __enter__(self) -> Self:
        if not Path(GALERA).exists():
            raise LabError(f"A lab needs {GALERA}; on Debian install the package galera-4.")
        with contextlib.ExitStack() as stack:
            self.nodes = [stack.enter_context(_Node()) for _ in range(self._size)]
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _join(self) -> None:
        first, *others = self.nodes
        for node in self.nodes:
            node.stop()
            node.become_member([one.member for one in self.nodes])
        # Alone at first, so that its data say how far they go.
        first.start(_ALONE)
        first.stop()
        for node in others:
            shutil.rmtree(node.data)
            shutil.copytree(first.data, node.data)
        first.start(_ALONE)
        for node in others:
            node.start()
        wait_until("The cluster isn't whole", self._is_whole, first.log)

    def _is_whole(self) -> bool:
        return all(node.status("cluster_size") == str(self._size) for node in self.nodes)
