# SPDX-License-Identifier: Apache-2.0
"""Real daemons, guests and databases: for tests, the demonstration and benchmarks alike.

Each host of a lab is in namespaces of its own. Nothing of it is on the machine's own file system,
the machine's own daemon is never touched, and whatever ends the process that started a lab ends
the lab.
"""

from tests.lab.footprint import exit_code, leftovers, traces
from tests.lab.guests import LAST_PC, OFFER, OLD_PC, OLD_Q35, PC, Q35, VIRT_TYPE, guest_xml
from tests.lab.host import Host
from tests.lab.mariadb import MariaDB
from tests.lab.requirements import LabError, check

__all__ = [
    "LAST_PC",
    "OFFER",
    "OLD_PC",
    "OLD_Q35",
    "PC",
    "Q35",
    "VIRT_TYPE",
    "Host",
    "LabError",
    "MariaDB",
    "check",
    "exit_code",
    "guest_xml",
    "leftovers",
    "traces",
]
