# SPDX-License-Identifier: Apache-2.0
"""TCP ports that labs share out among themselves."""

from __future__ import annotations

import socket

from tests.lab.requirements import LabError

#: How many ports one reservation holds.
PORTS = 32

_FIRST = 24576  # below the ports that Linux gives to clients
_BLOCKS = 256


def reserve_ports() -> tuple[socket.socket, int]:
    """Return what reserves :data:`PORTS` ports, and the first of them.

    No other lab on this machine uses them. A name in the abstract socket name space is the
    reservation: it vanishes with its owner, however that ends.

    :raises LabError: there are too many labs already.
    """
    for block in range(_BLOCKS):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0mthook-lab/ports/{block}")
        except OSError:
            reservation.close()
        else:
            return reservation, _FIRST + block * PORTS
    raise LabError("Too many labs run on this machine.")
