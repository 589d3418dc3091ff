# SPDX-License-Identifier: Apache-2.0
"""When a pin holds that an operator sets."""

from __future__ import annotations

import time

import pytest

from mthook.host.domains import Domain
from mthook.operations.change import ChangeRequest, pin_of
from mthook.operations.lookup import Instance
from mthook.text import now
from mthook.xmlrewrite import summary
from tests.unit.hook.conftest import travelling
from tests.unit.host.fakes import UUID, domain_xml


@pytest.mark.parametrize("days", [-1, 0.05, 400])
def test_a_pin_is_later_than_the_one_that_its_guest_carries(days: float) -> None:
    """Else that would take it back some day, when its time has come."""
    since = now(time.time() + days * 86400)
    carried = domain_xml(metadata=travelling("pc-i440fx-6.2", since, instance=UUID))
    domain = Domain.__new__(Domain)
    object.__setattr__(domain, "defined", summary.read(carried.encode()))
    object.__setattr__(domain, "running", None)
    instance = Instance(UUID, None, domain=domain)  # type: ignore[arg-type]
    before = now()

    pin = pin_of(instance, ChangeRequest("pc-i440fx-7.2", actor="root"))

    assert pin.updated_at > max(since, before)
