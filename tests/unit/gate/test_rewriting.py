# SPDX-License-Identifier: Apache-2.0
"""What the gate writes where Nova's database has the last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mthook.catalog.records import HostFacts
from mthook.catalog.store import Catalog
from mthook.gate import rewriting
from mthook.gate.configuration import Configuration
from mthook.gate.history import HistoryQueue, Rewrite
from mthook.gate.verdict import PASS, REFUSE, REWRITE, Outcome
from mthook.hook import slow
from mthook.nova.question import Recorded
from mthook.reconcile import NOVA, SOMEBODY
from mthook.text import now
from mthook.xmlrewrite.target import Kept
from tests.programs import ENFORCE
from tests.unit.hook.conftest import IMAGE, UUID, domain

Q35 = "pc-q35-7.2"
OLD, NEW, NEWEST = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-8.2"


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ((NEW, 7, SOMEBODY, None, "", False, False, None, "", None, {}), NEW),
        ((None, None, SOMEBODY, 1, "", True, False, None, "", None, {}), None),
    ],
)
def test_a_pin_that_nova_changes_counts_and_is_changed_by_the_start_that_follows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[Any, ...],
    written: str | None,
) -> None:
    """Whether the client may define the guest at all libvirtd hasn't said yet."""
    config, path = tmp_path / "mthook.conf", str(tmp_path / "catalog" / "catalog.sqlite")
    config.write_text(
        f"{ENFORCE}[catalog]\npath = {path}\n[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(path) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    monkeypatch.setattr(slow, "ask_nova", lambda *_: Recorded(*said))
    settings = Configuration([str(config)])

    outcome = rewriting.examine(domain(NEWEST, image=IMAGE), settings, may_wait=True)

    with Catalog.open(path) as catalog:
        assert [entry.event for entry in catalog.history(UUID)] == ["pinned"]
    assert outcome is not None
    assert (outcome.verdict == REWRITE) == (written is not None)
    assert outcome.new == (written or "")


@pytest.mark.parametrize(("write_back", "asked"), [("true", True), ("false", False)])
def test_what_is_rewritten_for_nova_is_to_be_written_to_nova(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_back: str, asked: bool
) -> None:
    """Once libvirtd has taken it, and a moment later, when Nova has recorded what it made of the instance."""
    config, path = tmp_path / "mthook.conf", tmp_path / "catalog" / "catalog.sqlite"
    config.write_text(
        f"{ENFORCE}[catalog]\npath = {path}\n[sync]\nwrite_back = {write_back}\n"
        "[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(str(path)) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    said = Recorded(NEW, 7, NOVA, None, "", False, False, None, "", None, {})
    monkeypatch.setattr(slow, "ask_nova", lambda *_: said)
    settings = Configuration([str(config)])

    outcome = rewriting.examine(domain(NEW, image=IMAGE), settings, may_wait=True)

    assert outcome is not None and (outcome.verdict, outcome.new) == (REWRITE, OLD)
    assert not (path.parent / "push-wanted").exists()
    HistoryQueue(settings).add(Rewrite.of(outcome, "gate uid 42", "virDomainDefineXML"))
    wanted = path.parent / "push-wanted"
    assert (wanted.exists() and wanted.read_text().startswith(f"{UUID} ")) is asked


def test_a_pin_that_is_set_while_nova_is_asked_isnt_overwritten_by_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nova's word is older by then; the domain is judged anew by the new pin."""
    config, path = tmp_path / "mthook.conf", str(tmp_path / "catalog" / "catalog.sqlite")
    config.write_text(
        f"[catalog]\npath = {path}\n[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(path) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    asked = []

    def ask(*_: Any) -> Recorded:
        asked.append(1)
        with Catalog.open(path) as catalog:
            catalog.set_pin(UUID, NEWEST, source="operator", actor="root")
        return Recorded(NEW, 7, SOMEBODY, None, "", False, False, None, "", None, {})

    monkeypatch.setattr(slow, "ask_nova", ask)
    settings = Configuration([str(config)])

    outcome = rewriting.examine(domain(NEWEST, image=IMAGE), settings, may_wait=True)

    with Catalog.open(path) as catalog:
        pin = catalog.get_pin(UUID)
    assert outcome == Outcome(uuid=UUID, old=NEWEST)
    assert pin is not None and (pin.machine, pin.source) == (NEWEST, "operator")
    assert len(asked) == 1


@pytest.fixture
def settings(tmp_path: Path) -> Configuration:
    """The configuration of a host without Nova's database, on which the guest is pinned."""
    config, path = tmp_path / "mthook.conf", str(tmp_path / "catalog" / "catalog.sqlite")
    config.write_text(f"[catalog]\npath = {path}\n[hook]\nmode = enforce\n")
    with Catalog.open(path) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    return Configuration([str(config)])


def with_card(machine: str, bus: str, slot: str) -> bytes:
    """A guest with a network card in a slot."""
    address = f"<address type='pci' bus='{bus}' slot='{slot}'/>"
    card = f"<interface><mac address='52:54:00:00:00:01'/>{address}</interface>"
    return domain(machine).replace(b"</devices>", card.encode() + b"</devices>")


def test_a_definition_that_somebody_converted_becomes_what_is_kept(settings: Configuration) -> None:
    """With the network card in the slot that the guest knows it in."""
    here = with_card(OLD, "0", "9")
    with Catalog.open(settings.catalog) as catalog:
        catalog.keep(Kept(UUID, 1, OLD, now(), here))

    outcome = rewriting.examine(with_card(Q35, "1", "0"), settings, may_wait=False)

    assert outcome is not None and (outcome.verdict, outcome.new) == (REWRITE, OLD)
    assert b'slot="9"' in outcome.xml


@pytest.mark.parametrize(("says", "verdict"), [("refuse", REFUSE), ("pass", PASS)])
def test_a_definition_isnt_given_hardware_that_the_guest_never_had(
    settings: Configuration, says: str, verdict: str
) -> None:
    """Nothing is kept of it; [gate] on_unconvertible decides."""
    with open(settings.files[0], "a") as config:
        config.write(f"[gate]\non_unconvertible = {says}\n")
    settings.refresh()

    outcome = rewriting.examine(with_card(Q35, "1", "0"), settings, may_wait=False)

    assert outcome is not None and outcome.verdict == verdict
    if verdict == REFUSE:
        assert outcome.message == (
            f"mthook: guest web-1 ({UUID}) is pinned to {OLD}, its definition says {Q35}, and can't be"
            " rewritten: its earlier definition isn't kept, and mthook changes its hardware only if asked:"
            " 'mthook-admin rewrite FILE' converts a definition;"
            f" 'mthook-admin set {UUID} {Q35} --allow family' accepts the change"
        )


@pytest.mark.parametrize("image", [IMAGE, ""])
def test_what_is_made_anew_is_converted(settings: Configuration, image: str) -> None:
    """Nova makes its definitions anew, and one without a machine type says nothing of another board."""
    with Catalog.open(settings.catalog) as catalog:
        catalog.set_pin(UUID, Q35, source="operator", actor="root")
    xml = domain(NEW, image=image)
    xml = xml if image else xml.replace(f" machine='{NEW}'".encode(), b"")

    outcome = rewriting.examine(xml, settings, may_wait=False)

    assert outcome is not None and (outcome.verdict, outcome.new) == (REWRITE, Q35)


@pytest.mark.parametrize(
    ("version", "verdict"), [("7.2.0", REWRITE), ("7.0.0", REFUSE), (None, REWRITE)]
)
def test_what_this_hosts_libvirt_refuses_isnt_sent_to_it(
    settings: Configuration, version: str | None, verdict: str
) -> None:
    """By the version that the last sync saw."""
    with Catalog.open(settings.catalog) as catalog:
        catalog.replace_capabilities([], HostFacts(libvirt_version=version))
        catalog.set_pin(UUID, Q35, source="operator", actor="root")
    xml = domain(NEW, image=IMAGE)
    xml = xml.replace(b"<os>", b"<os firmware='efi'>")

    outcome = rewriting.examine(xml, settings, may_wait=False)

    assert outcome is not None and outcome.verdict == verdict
