# SPDX-License-Identifier: Apache-2.0
"""What systemd lets the services do: the capabilities that each has, and what the guide says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "etc/systemd").glob("*.service"))
#: It runs other programs only to see that they start.
READS_NOTHING = "mthook-failure.service"


def capabilities(unit: Path) -> set[str]:
    """Return the capabilities that a service may have."""
    found = re.findall(r"^CapabilityBoundingSet=(.*)$", unit.read_text(), re.MULTILINE)
    assert len(found) == 1, unit.name
    return set(found[0].split())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_service_reads_the_configuration_whosever_it_is(unit: Path) -> None:
    """nova.conf may be one of the files, and readable for nova alone."""
    reads = unit.name != READS_NOTHING

    assert ("CAP_DAC_READ_SEARCH" in capabilities(unit)) is reads


def test_the_guide_names_the_capabilities_of_each_service() -> None:
    """All of them, and which services have those that not every one has."""
    page = (ROOT / "docs/security.rst").read_text()
    told = dict(re.findall(r"^\* ((?:``CAP_\w+``(?: and )?)+):(.*(?:\n  .*)*)", page, re.MULTILINE))
    named = {
        name: set(re.findall(r"``(mthook-\S+\.service)``", text))
        for names, text in told.items()
        for name in re.findall(r"CAP_\w+", names)
    }
    have = {unit.name: capabilities(unit) for unit in UNITS}

    assert set(named) == set.union(*have.values())
    for name, services in named.items():
        if services:
            assert {unit for unit, its in have.items() if name in its} == services, name
