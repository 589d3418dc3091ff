# SPDX-License-Identifier: Apache-2.0
"""What one emulator offers, and what several offer together."""

from __future__ import annotations

import pytest

from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Capability, Guest

NEW, OLD = "/usr/bin/qemu-system-x86_64", "/opt/qemu-2.12/qemu-system-x86_64"
OFFERS = Offers(
    [
        Capability(NEW, "x86_64", "kvm", "pc-i440fx-7.2"),
        Capability(NEW, "x86_64", "kvm", "pc-i440fx-2.12", deprecated=True),
        Capability(NEW, "x86_64", "kvm", "pc", "pc-i440fx-7.2"),
        Capability(NEW, "x86_64", "kvm", "q35", "pc-q35-7.2"),
        Capability(OLD, "x86_64", "kvm", "pc", "pc-i440fx-2.12"),
        Capability(OLD, "x86_64", "kvm", "pc-i440fx-2.12"),
        Capability("/usr/bin/qemu-system-aarch64", "aarch64", "qemu", "virt", "virt-7.2"),
    ]
)


def guest(emulator: str | None) -> Guest:
    """Return a guest of an emulator."""
    return Guest("", "web-1", "x86_64", "kvm", emulator=emulator)


def test_a_guests_own_emulator_counts() -> None:
    """Names, what is deprecated, and what an alias stands for are that emulator's."""
    offer = OFFERS.of(guest(NEW))

    assert offer.names == ["pc", "pc-i440fx-2.12", "pc-i440fx-7.2", "q35"]
    assert offer.aliases == {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}
    assert offer.deprecated == {"pc-i440fx-2.12"}
    assert (offer.has("pc"), offer.has("virt")) == (True, False)
    assert OFFERS.of(guest(OLD)).stands_for("pc") == "pc-i440fx-2.12"
    assert offer.stands_for("pc-i440fx-2.12") == "pc-i440fx-2.12"


@pytest.mark.parametrize("emulator", ["/elsewhere", None])
def test_an_emulator_that_is_not_listed_offers_nothing(emulator: str | None) -> None:
    """Or none at all."""
    offer = OFFERS.of(guest(emulator))

    assert (offer.names, offer.aliases, offer.deprecated) == ([], {}, set())


def test_several_offer_together_what_any_has() -> None:
    """But an alias only where all that know it mean the same."""
    offer = OFFERS.like("x86_64", "kvm")

    assert offer.names == ["pc", "pc-i440fx-2.12", "pc-i440fx-7.2", "q35"]
    assert offer.aliases == {"q35": "pc-q35-7.2"}
    assert OFFERS.like("x86_64", "kvm", NEW).aliases == OFFERS.of(guest(NEW)).aliases
    assert OFFERS.like("aarch64").names == ["virt"]
    assert OFFERS.like("s390x").names == []


@pytest.mark.parametrize("arch", [None, ""])
def test_of_an_unknown_architecture_any_fits(arch: str | None) -> None:
    """All names there are."""
    assert OFFERS.like(arch).names[-1] == "virt"


def test_nothing_known_is_false() -> None:
    """Before the first sync."""
    assert (bool(Offers([])), bool(OFFERS)) == (False, True)
    assert Offer().names == []
