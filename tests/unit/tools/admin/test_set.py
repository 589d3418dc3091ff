# SPDX-License-Identifier: Apache-2.0
"""``set``: the pin and the definition change together, or neither does."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from mthook.errors import HostError
from mthook.host import domains, realign
from tests.programs import Said

from .conftest import NOBODY, WEB, Run, defined, events, pin, xml


def test_pin_definition_and_history_follow(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """One command changes all three, says old and new, and leaves nothing to the next sync."""
    said = run("set", "web-1", "pc-i440fx-7.2", "--reason", "TPM needs it")

    assert said == Said(0, "", f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n")
    now_pinned = catalog.get_pin(WEB)
    assert now_pinned is not None
    assert (now_pinned.machine, now_pinned.source, now_pinned.actor, now_pinned.reason) == (
        "pc-i440fx-7.2",
        "operator",
        "operator alice",
        "TPM needs it",
    )
    assert defined(driver) == "pc-i440fx-7.2"
    assert [known.defined for known in catalog.guests()] == ["pc-i440fx-7.2"]
    assert events(catalog) == [
        ("pinned", None, "pc-i440fx-6.2"),
        ("changed", "pc-i440fx-6.2", "pc-i440fx-7.2"),
        ("realigned", "pc-i440fx-6.2", "pc-i440fx-7.2"),
    ]


def test_the_definition_keeps_its_passwords(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """What is defined is the definition with everything in it."""
    run("set", "web-1", "pc-i440fx-7.2")

    assert "passwd='sesame'" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)


def test_the_same_machine_type_is_a_success_without_a_write(
    run: Run, catalog: Catalog, domain: libvirt.virDomain
) -> None:
    """Even while the guest runs: there is nothing to refuse."""
    domain.create()

    said = run("set", "web-1", "pc-i440fx-6.2", "--reason", "again")

    assert said == Said(0, "", f"web-1 ({WEB}): already pinned to pc-i440fx-6.2\n")
    assert events(catalog) == [("pinned", None, "pc-i440fx-6.2")]


def test_a_guest_without_a_pin_gets_one(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Also one that no sync has seen: architecture and versions are recorded with it."""
    driver.defineXML(xml())

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said == Said(0, "", f"web-1 ({WEB}): none → pc-i440fx-7.2\n")
    made = catalog.get_pin(WEB)
    assert made is not None
    assert (made.arch, made.qemu_version, made.libvirt_version) == ("x86_64", "7.2.22", "9.0.0")
    assert defined(driver) == "pc-i440fx-7.2"


def test_a_released_pin_is_set_anew(run: Run, catalog: Catalog, domain: libvirt.virDomain) -> None:
    """A row without a machine type is no pin to compare with."""
    catalog.unset_pin(WEB, actor="operator alice")

    assert run("set", "web-1", "pc-i440fx-6.2").err == f"web-1 ({WEB}): none → pc-i440fx-6.2\n"


def test_an_unknown_instance_is_code_2(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Neither the catalog nor libvirt knows it."""
    said = run("set", NOBODY, "pc-i440fx-7.2")

    assert said == Said(2, "", f"mthook-admin: no instance has the UUID or name '{NOBODY}'\n")


def test_a_guest_that_libvirt_lost_can_be_pinned(
    run: Run, catalog: Catalog, web: Guest, driver: libvirt.virConnect
) -> None:
    """It is undefined now, as a Nova guest is while it is rebooted hard."""
    dry = run("set", "web-1", "pc-i440fx-7.2", "--dry-run")
    said = run("set", "web-1", "pc-i440fx-7.2")

    assert dry == Said(0, "", f"web-1 ({WEB}): would change pc-i440fx-6.2 → pc-i440fx-7.2\n")
    assert said == Said(0, "", f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n")


def test_a_renamed_guest_answers_to_the_name_that_the_last_sync_saw(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """Its definition follows under the new name."""
    domain.rename("web-one")

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said.err == f"web-one ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n"
    assert defined(driver) == "pc-i440fx-7.2"


def test_with_realign_off_the_definition_stays(
    run: Run, config: Path, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """[sync] realign = false: definitions are somebody else's business."""
    config.write_text(f"{config.read_text()}[sync]\nrealign = false\n")

    warned = "mthook-admin: warning: [sync] realign = false: its definition stays as it is\n"

    assert run("set", "web-1", "pc-i440fx-7.2").err == (
        f"{warned}web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n"
    )
    assert run("get", "web-1").out == "pc-i440fx-7.2\n"
    assert defined(driver) == "pc-i440fx-6.2"

    # Where the definition is right already there is nothing to warn of.
    assert warned not in run("set", "web-1", "pc-i440fx-6.2", "--force").err


def test_when_libvirt_refuses_the_definition_the_old_pin_is_put_back(
    run: Run,
    catalog: Catalog,
    domain: libvirt.virDomain,
    driver: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is half done: pin, source and definition are what they were, the history tells it."""

    def refuse(*_: object) -> None:
        raise HostError("libvirt refuses the new definition: too many CPUs")

    monkeypatch.setattr(domains, "redefine", refuse)

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said == Said(1, "", "mthook-admin: libvirt refuses the new definition: too many CPUs\n")
    restored = catalog.get_pin(WEB)
    assert restored is not None
    assert (restored.machine, restored.source) == ("pc-i440fx-6.2", "definition")
    assert defined(driver) == "pc-i440fx-6.2"
    assert events(catalog)[1:] == [
        ("changed", "pc-i440fx-6.2", "pc-i440fx-7.2"),
        ("changed", "pc-i440fx-7.2", "pc-i440fx-6.2"),
    ]
    assert catalog.history(WEB)[-1].reason == (
        "put back: libvirt refuses the new definition: too many CPUs"
    )


def test_a_first_pin_that_libvirt_refuses_is_released(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no old pin to put back."""
    driver.defineXML(xml())

    def refuse(*_: object) -> None:
        raise HostError("no")

    monkeypatch.setattr(domains, "redefine", refuse)

    assert run("set", "web-1", "pc-i440fx-7.2").code == 1
    assert run("get", "web-1").code == 3


def test_a_pin_that_changed_meanwhile_is_not_overwritten(
    run: Run,
    catalog: Catalog,
    domain: libvirt.virDomain,
    driver: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another operator was faster, after this one's command had looked."""
    look = realign.prepare

    def meanwhile(*arguments: object, **more: object) -> object:
        pin(catalog, WEB, "pc-i440fx-2.0")
        return look(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(realign, "prepare", meanwhile)

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "somebody else changed it" in said.err
    assert run("get", "web-1").out == "pc-i440fx-2.0\n"


def test_a_pin_recorded_meanwhile_is_not_overwritten(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest's first boot came between looking and writing."""
    driver.defineXML(xml())
    look = realign.prepare

    def meanwhile(*arguments: object, **more: object) -> object:
        pin(catalog, WEB, "pc-i440fx-6.2")
        return look(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(realign, "prepare", meanwhile)

    said = run("set", "web-1", "pc-i440fx-7.2")

    assert said == Said(
        1, "", f"mthook-admin: web-1 ({WEB}): its pin has just been recorded, look again\n"
    )
    assert run("get", "web-1").out == "pc-i440fx-6.2\n"


def test_dry_run_shows_the_difference_and_changes_nothing(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """The unified diff is on standard output, without passwords; warnings as always."""
    said = run("set", "--dry-run", "web-1", "pc-i440fx-7.2")

    assert said.code == 0
    assert said.err == f"web-1 ({WEB}): would change pc-i440fx-6.2 → pc-i440fx-7.2\n"
    assert '-    <type arch="x86_64" machine="pc-i440fx-6.2">hvm</type>\n' in said.out
    assert '+    <type arch="x86_64" machine="pc-i440fx-7.2">hvm</type>\n' in said.out
    assert "sesame" not in said.out
    assert len(events(catalog)) == 1
    assert defined(driver) == "pc-i440fx-6.2"


def test_dry_run_refuses_like_the_real_one(
    run: Run, catalog: Catalog, domain: libvirt.virDomain
) -> None:
    """Code and message are those that set would give."""
    assert run("set", "--dry-run", "web-1", "pc-i440fx-2.0") == run("set", "web-1", "pc-i440fx-2.0")


@pytest.mark.parametrize(
    ("sudo", "login", "who"),
    [
        ("bob", "root", "bob"),
        (None, "alice", "alice"),
        (None, None, "root"),
        ("e\nvil", "x", "e\\nvil"),
    ],
)
def test_the_history_names_the_person(
    run: Run,
    catalog: Catalog,
    domain: libvirt.virDomain,
    monkeypatch: pytest.MonkeyPatch,
    sudo: str | None,
    login: str | None,
    who: str,
) -> None:
    """The one behind sudo, else the login's, else the process's."""
    for name, value in (("SUDO_USER", sudo), ("LOGNAME", login)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    run("set", "web-1", "pc-i440fx-7.2")

    assert {entry.actor for entry in catalog.history(WEB)[1:]} == {f"operator {who}"}


def test_a_user_without_a_name_is_named_by_number(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container without a user database."""
    monkeypatch.delenv("LOGNAME")

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)

    run("set", "web-1", "pc-i440fx-7.2")

    assert catalog.history(WEB)[-1].actor == "operator uid 0"
