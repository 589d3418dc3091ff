# SPDX-License-Identifier: Apache-2.0
"""What goes along with a machine type wherever Nova keeps it: the buses, as far as a board has them.

On the hook's fast path: modules it needs are imported where they are used.
"""

from __future__ import annotations

from mthook.machinetype import MachineType
from mthook.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The board that has IDE, and the bus that takes its place on the others.
IDE_FAMILY, IDE, IN_PLACE_OF_IDE = "i440fx", "ide", "sata"
#: What Nova puts before the names of image properties.
_PREFIX = "image_"


def on_board(buses: Mapping[str, str], machine: str) -> dict[str, str]:
    """Return the buses recorded for an instance, by key, adapted to what a machine type has.

    Only the i440fx has IDE; Nova would still ask for it elsewhere, and every start would fail.
    """
    if MachineType.parse(machine).family == IDE_FAMILY:
        return dict(buses)
    return {key: IN_PLACE_OF_IDE if bus == IDE else bus for key, bus in buses.items()}


def properties(buses: Mapping[str, str], machine: str) -> dict[str, str]:
    """Return the properties that an image needs for an instance to be unshelved from it."""
    fitting = sorted(on_board(buses, machine).items())
    return {"hw_machine_type": machine, **{key[len(_PREFIX) :]: bus for key, bus in fitting}}


def command(image: str, wanted: Mapping[str, str]) -> str:
    """Return the command line that gives an image its properties."""
    import shlex

    pairs = (
        f"--property {shlex.quote(printable(f'{key}={value}'))}" for key, value in wanted.items()
    )
    return " ".join(["openstack image set", *pairs, shlex.quote(printable(image))])
