# SPDX-License-Identifier: Apache-2.0
"""What the commands make of an instance's request spec: it goes along, or it is said that it doesn't."""

from __future__ import annotations

import libvirt
import pytest

from mthook.catalog.store import Catalog
from mthook.errors import Error, HostError, NovaError, RequestSpecError
from mthook.host import domains
from mthook.text import now
from tests.programs import Said

from .cloud import Cloud
from .conftest import WEB, Run, guest, pin, xml

LABEL = f"web ({WEB})"
#: Where this host knows it as well.
HERE = f"web (web-1, {WEB})"
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"
LEFT = RequestSpecError("it isn't JSON", "spec_not_json")
DOWN = NovaError("Nova's API database: UPDATE command denied")


@pytest.fixture
def novas(cloud: Cloud, catalog: Catalog, driver: libvirt.virConnect) -> libvirt.virDomain:
    """One of Nova's instances on this host, shut off; Nova, its request spec and the pin say the same."""
    cloud.add(WEB, machine=OLD, row=7)
    cloud.specs[WEB] = OLD
    catalog.see_guests([guest(nova=True)], now())
    pin(catalog, WEB, OLD)
    return driver.defineXML(xml())


def test_set_writes_it(run: Run, cloud: Cloud, novas: libvirt.virDomain) -> None:
    """With the record."""
    assert run("set", WEB, NEW).code == 0

    assert cloud.specs == {WEB: NEW}


def test_set_writes_that_of_another_hosts_instance(run: Run, cloud: Cloud) -> None:
    """As an administrator does."""
    cloud.add(WEB, "c2", host="elsewhere", machine=OLD)

    assert run("set", WEB, NEW).code == 0

    assert cloud.specs == {WEB: NEW}


def test_setting_what_is_recorded_already_mends_it(
    run: Run, cloud: Cloud, novas: libvirt.virDomain
) -> None:
    """A dry run doesn't."""
    cloud.specs[WEB] = "q35"

    assert run("set", WEB, OLD, "--dry-run").code == 0
    assert cloud.specs == {WEB: "q35"}
    assert run("set", WEB, OLD).code == 0
    assert cloud.specs == {WEB: OLD}


def test_unset_takes_it_out(run: Run, cloud: Cloud, novas: libvirt.virDomain) -> None:
    """Else the next resize would bring it back."""
    assert run("unset", WEB).code == 0

    assert cloud.specs == {WEB: None}


def test_freeze_writes_it(
    run: Run, cloud: Cloud, catalog: Catalog, novas: libvirt.virDomain
) -> None:
    """The versioned name."""
    cloud.add(WEB, machine="pc", row=7)
    pin(catalog, WEB, "pc", seen=OLD)

    assert run("freeze", WEB).code == 0

    assert cloud.specs == {WEB: OLD}


@pytest.mark.parametrize("command", [["set", WEB, NEW], ["unset", WEB], ["set", WEB, OLD]])
def test_one_that_is_left_alone_is_told_of(
    run: Run, cloud: Cloud, novas: libvirt.virDomain, command: list[str]
) -> None:
    """The rest is done."""
    cloud.spec_fault = LEFT

    said = run(*command)

    assert said.code == 0
    assert "its request spec is left alone: it isn't JSON; a cold migration or resize" in said.err
    assert cloud.machine(WEB) == {"set": command[-1], "unset": None}[command[0]]


def test_a_freeze_that_leaves_it_alone_says_so(
    run: Run, cloud: Cloud, catalog: Catalog, novas: libvirt.virDomain
) -> None:
    """It is frozen all the same."""
    cloud.add(WEB, machine="pc", row=7)
    pin(catalog, WEB, "pc", seen=OLD)
    cloud.spec_fault = LEFT

    said = run("freeze", WEB)

    assert (said.code, cloud.machine(WEB)) == (0, OLD)
    assert "its request spec is left alone: it isn't JSON" in said.err


@pytest.mark.parametrize("command", [["set", WEB, NEW], ["unset", WEB]])
@pytest.mark.parametrize("host", ["here", "elsewhere", None])
def test_where_the_api_database_fails_nothing_is_changed(
    run: Run,
    cloud: Cloud,
    catalog: Catalog,
    novas: libvirt.virDomain,
    command: list[str],
    host: str | None,
) -> None:
    """Neither in Nova's cell nor here."""
    cloud.add(WEB, machine=OLD, row=7, host=host, vm_state="shelved_offloaded")
    cloud.spec_fault = DOWN

    said = run(*command, *(["--force"] if command[0] == "unset" else []))

    assert said.code == 1
    assert said.err.endswith("UPDATE command denied: Nova's database has its old value again\n")
    assert cloud.machine(WEB) == OLD
    found = catalog.get_pin(WEB)
    assert found is not None
    assert found.machine == OLD


def test_what_fails_here_afterwards_undoes_it_too(
    run: Run, cloud: Cloud, novas: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record and request spec are as they were."""

    def refuse(*_: object) -> None:
        raise HostError("libvirt refuses")

    monkeypatch.setattr(domains, "redefine", refuse)

    assert run("set", WEB, NEW) == Said(
        1, "", "mthook-admin: libvirt refuses: Nova's database has its old value again\n"
    )
    assert (cloud.machine(WEB), cloud.specs) == (OLD, {WEB: OLD})


def test_an_undo_that_fails_is_told(
    run: Run, cloud: Cloud, novas: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both reasons."""

    def refuse(*_: object) -> None:
        cloud.spec_fault = DOWN
        raise HostError("libvirt refuses")

    monkeypatch.setattr(domains, "redefine", refuse)

    said = run("set", WEB, NEW)

    assert isinstance(cloud.spec_fault, Error)
    assert "libvirt refuses; and Nova's database keeps the change: Nova's API" in said.err
