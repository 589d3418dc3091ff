# SPDX-License-Identifier: Apache-2.0
"""PCI controllers and addresses."""

from __future__ import annotations

import pytest

from mthook.xmlrewrite.family import buses
from mthook.xmlrewrite.family.board import Conversion

from .trees import TO_PC, TO_Q35, ran


def controller(model: str, inside: str = "", index: int = 0) -> str:
    tag = f'<controller type="pci" index="{index}" model="{model}"'
    return f"{tag}>{inside}</controller>" if inside else f"{tag}/>"


def at(slot: int, bus: int = 0, function: int = 0, more: str = "") -> str:
    return f'<address type="pci" domain="0" bus="{bus}" slot="{slot}" function="{function}"{more}/>'


@pytest.mark.parametrize(
    ("conversion", "models", "left"),
    [
        (TO_Q35, ["pci-root", "pci-bridge"], ""),
        (TO_PC, ["pcie-root", "pcie-root-port", "pcie-root-port", "dmi-to-pci-bridge"], ""),
        (TO_PC, ["pcie-root", "pcie-to-pci-bridge", "pci-bridge"], ""),
        (TO_PC, ["pcie-switch-upstream-port", "pcie-switch-downstream-port"], ""),
        (TO_PC, ["pci-root"], controller("pci-root")),
    ],
)
def test_the_old_boards_bridges_go(conversion: Conversion, models: list[str], left: str) -> None:
    """libvirt adds the new one's."""
    found, changes = ran(
        buses.drop_pci_controllers, "".join(controller(model) for model in models), conversion
    )

    assert found == left
    assert len(changes) == (0 if left else 1)


def test_removed_bridges_are_counted() -> None:
    """A q35 of Nova's has dozens."""
    ports = "".join(controller("pcie-root-port", index=n) for n in range(1, 17))

    _, changes = ran(buses.drop_pci_controllers, controller("pcie-root") + ports, TO_PC)

    assert changes == [
        "pci controllers removed, libvirt adds i440fx's: pcie-root, 16 × pcie-root-port"
    ]


@pytest.mark.parametrize(
    ("conversion", "old", "new"),
    [(TO_Q35, "pci-root", "pcie-root"), (TO_PC, "pcie-root", "pci-root")],
)
def test_the_size_of_the_64_bit_window_is_kept(conversion: Conversion, old: str, new: str) -> None:
    """Dropped with the root, libvirt would choose another one without a word."""
    hole = '<pcihole64 unit="KiB">8388608</pcihole64>'

    found, changes = ran(buses.drop_pci_controllers, controller(old, hole), conversion)

    assert found == controller(new, hole)
    assert changes == [f"pci controller 0: {old} → {new}, with its 64-bit window"]


def test_what_users_set_on_a_bridge_is_reported() -> None:
    """It can't be kept, so that somebody has to know."""
    inside = '<target hotplug="off"/><alias name="ua-port"/>'

    _, changes = ran(buses.drop_pci_controllers, controller("pcie-root-port", inside, 6), TO_PC)

    assert changes[:2] == [
        "pci controller 6: hot-plugging is no longer off there",
        "pci controller 6: alias ua-port removed",
    ]


def test_a_q35_has_no_switch_for_hot_plugging_on_its_root() -> None:
    """The window stays, the option goes."""
    hole = '<pcihole64 unit="KiB">8388608</pcihole64>'
    root = controller("pcie-root", f'<target hotplug="off"/>{hole}')

    assert ran(buses.drop_hotplug, root, TO_Q35) == (
        controller("pcie-root", hole),
        ["pci controller 0: hot-plugging is no longer off"],
    )


@pytest.mark.parametrize(
    ("conversion", "device", "stays"),
    [
        (TO_Q35, "<sound>{}</sound>", True),
        (TO_Q35, "<video>{}</video>", True),
        (TO_Q35, "<memballoon>{}</memballoon>", True),
        (TO_Q35, '<controller type="usb">{}</controller>', True),
        (TO_Q35, '<controller type="scsi">{}</controller>', False),
        (TO_Q35, "<interface>{}</interface>", False),
        (TO_Q35, '<disk type="file">{}</disk>', False),
        (TO_Q35, "<hostdev>{}</hostdev>", False),
        (TO_PC, "<interface>{}</interface>", True),
        (TO_PC, '<controller type="scsi">{}</controller>', True),
    ],
)
def test_an_address_stays_where_it_means_the_same(
    conversion: Conversion, device: str, stays: bool
) -> None:
    """On a q35's root bus nothing can be unplugged: only what nobody can unplug may stay there."""
    found, changes = ran(buses.drop_pci_addresses, device.format(at(9)), conversion)

    assert ("<address" in found) == stays
    assert len(changes) == (0 if stays else 1)


@pytest.mark.parametrize("conversion", [TO_Q35, TO_PC])
@pytest.mark.parametrize(
    "address",
    [
        at(0),
        at(1),
        at(2),
        at(0x1F),
        at(32),
        at(9, bus=1),
        at(9, function=1),
        '<address type="pci" domain="1" bus="0" slot="9" function="0"/>',
        '<address type="pci" domain="x" bus="0" slot="9" function="0"/>',
        '<address type="pci" bus="0" slot="-5"/>',
    ],
)
def test_an_address_that_the_other_board_needs_or_lacks_goes(
    conversion: Conversion, address: str
) -> None:
    """libvirt chooses another one."""
    found, changes = ran(buses.drop_pci_addresses, f"<sound>{address}</sound>", conversion)

    assert found == "<sound/>"
    assert len(changes) == 1


def test_functions_of_one_device_stay_together() -> None:
    """Or go together."""
    companions = "".join(
        f'<controller type="usb">{at(0x1D, function=n)}</controller>' for n in (7, 0, 1, 2)
    )
    mixed = f"<sound>{at(9)}</sound><interface>{at(9, function=1)}</interface>"

    assert ran(buses.drop_pci_addresses, companions, TO_Q35) == (companions, [])
    assert "<address" not in ran(buses.drop_pci_addresses, mixed, TO_Q35)[0]


@pytest.mark.parametrize(
    "device",
    [
        f'<interface type="hostdev"><source>{at(5, bus=6)}</source></interface>',
        f"<hostdev><source>{at(5, bus=6)}</source></hostdev>",
        '<disk type="nvme"><source type="pci"><address domain="0" bus="1"/></source></disk>',
        '<interface><address type="pci"/></interface>',
        '<disk><address type="drive" controller="0"/></disk>',
        '<hostdev><address type="unassigned"/></hostdev>',
    ],
)
def test_addresses_that_are_not_the_guests_are_left_alone(device: str) -> None:
    """Those of the host's devices, and those on other buses."""
    assert ran(buses.drop_pci_addresses, device, TO_Q35) == (device, [])
