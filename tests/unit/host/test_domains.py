# SPDX-License-Identifier: Apache-2.0
"""Reading domains that change, vanish or can't be read while they are looked at."""

from __future__ import annotations

import libvirt
import pytest

from mthook.errors import HostError, NotFound
from mthook.host.domains import find_domain, list_domains
from tests.unit.host.fakes import OTHER, UUID, FakeDomain, domain_xml, failure, host


def test_a_domain_that_vanishes_while_listed_is_left_out() -> None:
    """A guest undefined between the list and the look at it doesn't hide the others."""
    gone = FakeDomain(uuid=OTHER, failing=failure(libvirt.VIR_ERR_NO_DOMAIN))
    here, _ = host(gone, FakeDomain())

    assert [domain.uuid for domain in list_domains(here)] == [UUID]


def test_a_broken_connection_ends_the_list_with_an_error() -> None:
    """A list cut short must not look like a list of all domains."""
    domain = FakeDomain(failing=failure(libvirt.VIR_ERR_SYSTEM_ERROR, "Cannot recv data"))
    here, connection = host(domain)
    connection.alive = False

    with pytest.raises(HostError) as caught:
        list(list_domains(here))

    assert str(caught.value) == f"web-1 ({UUID}): can't be looked at: Cannot recv data"


def test_one_domain_that_cant_be_looked_at_doesnt_hide_the_others() -> None:
    """It is listed with its problem, and nothing else is claimed of it."""
    odd = FakeDomain(failing=failure(libvirt.VIR_ERR_INTERNAL_ERROR, "odd"))
    here, _ = host(odd, FakeDomain(uuid=OTHER, name="web-2"))

    first, second = list_domains(here)

    assert first.problem == f"web-1 ({UUID}): can't be looked at: odd"
    assert (first.defined, first.running, first.persistent) == (None, None, False)
    assert (second.name, second.problem) == ("web-2", None)


def test_xml_that_cant_be_read_is_a_problem_of_its_domain() -> None:
    """The problem names the guest in one line, and nothing is claimed to be known of its XML."""
    unreadable = FakeDomain(domain_xml("pc;reboot"), name="a\nb")
    here, _ = host(unreadable)

    (domain,) = list_domains(here)

    assert domain.problem is not None
    assert domain.problem.startswith(f"a\\nb ({UUID}): ")
    assert "\n" not in domain.problem
    assert (domain.defined, domain.running, domain.saved) == (None, None, None)


def test_a_guest_that_ended_meanwhile_does_not_count_as_running_its_definition() -> None:
    """libvirt gives the definition instead of the live XML of a guest that has just ended."""
    ending = FakeDomain(running=domain_xml("pc-i440fx-6.2"))
    answers = iter([1, 0])
    ending.isActive = lambda: next(answers)  # type: ignore[method-assign]
    here, _ = host(ending)

    (domain,) = list_domains(here)

    assert domain.running is None


def test_a_uuid_counts_before_a_name() -> None:
    """A guest that is named like another's UUID doesn't stand in for it."""
    impostor = FakeDomain(uuid=OTHER, name=UUID)
    here, _ = host(impostor, FakeDomain())

    assert find_domain(here, UUID.upper()).name == "web-1"


def test_a_name_that_looks_like_a_uuid_is_found() -> None:
    """Where no guest has that UUID, one may have it for its name."""
    here, _ = host(FakeDomain(uuid=OTHER, name=UUID))

    assert find_domain(here, UUID).uuid == OTHER


def test_no_such_guest_is_told_in_one_line() -> None:
    """What was asked for is quoted, without its line ends."""
    here, _ = host()

    with pytest.raises(NotFound) as caught:
        find_domain(here, "no\nbody")

    assert str(caught.value) == "guest no\\nbody can't be found: Domain not found"
