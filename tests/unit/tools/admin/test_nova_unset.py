# SPDX-License-Identifier: Apache-2.0
"""``unset`` with Nova's database: erased there, released here."""

from __future__ import annotations

import pytest

from mthook.catalog.records import Compared
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError
from tests.programs import Said

from .cloud import Cell, Cloud
from .conftest import NOBODY, WEB, Run, events, pin

pytestmark = pytest.mark.usefixtures("unreachable")

LABEL = f"web ({WEB})"
#: Where this host knows it as well.
HERE = f"web (web-1, {WEB})"
END = "none; Nova records its configured default when nova-compute restarts\n"


def test_novas_value_is_erased_and_the_pin_released(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """Libvirt isn't needed: Nova tells the state."""
    cloud.add(WEB, machine="pc-i440fx-6.2", rebuild=4)
    pin(catalog, WEB, "pc-i440fx-6.2")

    said = run("unset", WEB, "--reason", "new board")

    assert said == Said(0, "", f"{LABEL}: pc-i440fx-6.2 → {END}")
    assert cloud.machine(WEB) is None
    assert catalog.history(WEB)[-1].reason == "new board"
    released = catalog.get_pin(WEB)
    assert released is not None and released.machine is None
    assert catalog.compared() == {WEB: Compared(WEB, None, None, 4)}


def test_a_pin_that_nova_lacks_is_released_too(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """Else the next sync would write it to Nova."""
    cloud.add(WEB)
    pin(catalog, WEB, "pc-i440fx-6.2")

    assert run("unset", WEB) == Said(0, "", f"{LABEL}: none → {END}")
    assert cloud.cells["c1"].written == 0
    assert events(catalog)[-1] == ("unset", "pc-i440fx-6.2", None)


def test_none_recorded_is_a_success_without_a_write(run: Run, cloud: Cloud) -> None:
    """Whatever the state."""
    cloud.add(WEB, vm_state="active")

    assert run("unset", WEB) == Said(0, "", f"{LABEL}: Nova has no machine type recorded\n")


def test_an_unknown_instance_is_code_2(run: Run, cloud: Cloud) -> None:
    """As nova-manage has it."""
    assert run("unset", NOBODY).code == 2


def test_a_running_instance_is_code_3(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """By its vm_state; --force warns."""
    cloud.add(WEB, machine="pc", vm_state="paused")

    assert run("unset", WEB) == Said(
        3,
        "",
        f"mthook-admin: {LABEL} is paused in Nova: stop it first, or --allow running to release it all"
        " the same\n",
    )
    assert cloud.machine(WEB) == "pc"

    said = run("unset", WEB, "--force")
    assert (said.code, cloud.machine(WEB)) == (0, None)
    assert said.err.startswith("mthook-admin: warning: the guest isn't shut off: ")


def test_another_hosts_instance_is_refused(run: Run, cloud: Cloud) -> None:
    """Before its state counts; --force erases Nova's value alone, and warns."""
    cloud.add(WEB, machine="pc", host="beta")
    back = "it is on beta, whose mthook-sync would write its pin back"

    assert run("unset", WEB) == Said(
        1, "", f"mthook-admin: {LABEL}: {back}: unset it there (--force overrides)\n"
    )
    assert cloud.machine(WEB) == "pc"

    said = run("unset", WEB, "--force")
    assert (said.code, cloud.machine(WEB)) == (0, None)
    assert said.err.splitlines()[:2] == [
        f"mthook-admin: warning: {back}",
        "mthook-admin: warning: history isn't kept: there is no catalog here",
    ]


def test_an_offloaded_instance_is_anybodys(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """A pin that was left here goes, for it would be written back after an unshelve."""
    cloud.add(WEB, machine="pc", host=None, vm_state="shelved_offloaded")
    pin(catalog, WEB, "pc")

    assert run("unset", WEB).code == 0
    assert events(catalog)[-1] == ("unset", "pc", None)


def test_history_is_kept_of_what_is_not_pinned_here(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """One line, no pin."""
    cloud.add(WEB, machine="pc", host=None, vm_state="shelved_offloaded")

    assert run("unset", WEB).code == 0
    assert (events(catalog), catalog.get_pin(WEB)) == ([("unset", "pc", None)], None)


def test_when_the_pin_cannot_be_released_nova_gets_its_value_back(
    run: Run, cloud: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both or neither."""
    cloud.add(WEB, machine="pc")
    pin(catalog, WEB, "pc")

    def fail(*_: object, **__: object) -> None:
        raise CatalogError("the catalog is on a full disk", catalog.path)

    monkeypatch.setattr(Catalog, "unset_pin", fail)

    said = run("unset", WEB)

    assert said == Said(
        1,
        "",
        "mthook-admin: the catalog is on a full disk: Nova's database has its old value again\n",
    )
    assert cloud.machine(WEB) == "pc"


def test_a_value_that_changed_meanwhile_is_not_erased(
    run: Run, cloud: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another operator was faster: nothing is released either."""
    cloud.add(WEB, machine="pc")
    pin(catalog, WEB, "pc")
    erase = Cell.erase

    def meanwhile(cell: Cell, uuid: str, *, expect: str) -> None:
        cloud.add(WEB, machine="q35")
        erase(cell, uuid, expect=expect)

    monkeypatch.setattr(Cell, "erase", meanwhile)

    said = run("unset", WEB)

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert (cloud.machine(WEB), len(events(catalog))) == ("q35", 1)
