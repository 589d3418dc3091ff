# SPDX-License-Identifier: Apache-2.0
"""How many times a realignment reads a domain's XML from libvirt, and how many times it parses it."""

from __future__ import annotations

import pyexpat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from mthook.catalog.offers import Offers
from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.host import capabilities, realign
from mthook.host.connection import Host
from tests.unit.host.fakes import UUID, FakeDomain, domain_xml, host

AT = "2026-11-22T13:00:00.000000Z"


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many times each parser was given a document."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            found[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(pyexpat, "ParserCreate", counted("expat", pyexpat.ParserCreate))
    monkeypatch.setattr(etree, "fromstring", counted("lxml", etree.fromstring))
    return found


@pytest.fixture
def domain() -> FakeDomain:
    """A guest that is shut off."""
    return FakeDomain(domain_xml("pc-i440fx-7.2"))


@pytest.fixture
def here(domain: FakeDomain) -> Host:
    """Its host."""
    return host(domain)[0]


@pytest.fixture
def offers(here: Host) -> Offers:
    """What the host offers; to be asked for before anything is counted."""
    return Offers(capabilities.read_capabilities(here))


def pin(machine: str, at: str = AT) -> Pin:
    """Return a pin of the guest."""
    return Pin(UUID, machine, "x86_64", "operator", "root", at, at)


def test_a_change_of_family_reads_the_definition_once(
    offers: Offers, here: Host, domain: FakeDomain, parses: Counter[str], tmp_path: Path
) -> None:
    """Then only whether it is still the same, and what libvirt made of the new one."""
    parses.clear()
    with Catalog.open(str(tmp_path / "mthook" / "catalog.sqlite")) as catalog:
        planned = realign.prepare(here, pin("pc-q35-7.2"), offers, catalog)
        realign.realign(here, pin("pc-q35-7.2"), planned, offers, catalog)
        kept = catalog.original(UUID)

    assert kept is not None and planned is not None and planned.converted
    assert (domain.reads, dict(parses)) == (3, {"expat": 2, "lxml": 2})


def test_a_change_of_version_reads_the_definition_once(
    offers: Offers, here: Host, domain: FakeDomain, parses: Counter[str]
) -> None:
    """Also where the pin was recorded after it was worked out."""
    parses.clear()
    planned = realign.prepare(here, pin("pc-i440fx-6.2"), offers)
    realign.realign(here, pin("pc-i440fx-6.2", AT.replace("00Z", "01Z")), planned, offers)

    assert planned is not None
    assert (domain.reads, dict(parses)) == (2, {"expat": 1, "lxml": 1})


def test_a_guest_that_runs_is_read_once_more(
    offers: Offers, here: Host, domain: FakeDomain, parses: Counter[str]
) -> None:
    """For what it runs, which is another document."""
    domain.running = domain_xml("pc-i440fx-7.2")
    parses.clear()
    planned = realign.prepare(here, pin("pc-i440fx-6.2"), offers)
    realign.realign(here, pin("pc-i440fx-6.2"), planned, offers)

    assert len(domain.carried) == 1
    assert (domain.reads, dict(parses)) == (3, {"expat": 2, "lxml": 1})


def test_a_definition_that_is_right_is_read_once(
    offers: Offers, here: Host, domain: FakeDomain, parses: Counter[str]
) -> None:
    """And no tree is made of it."""
    parses.clear()

    assert realign.prepare(here, pin("pc-i440fx-7.2"), offers) is None
    assert (domain.reads, dict(parses)) == (1, {"expat": 1})
