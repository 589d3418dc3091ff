# SPDX-License-Identifier: Apache-2.0
"""What a guest starts as is kept, to lead it back to."""

from __future__ import annotations

from typing import Any

import pytest

from mthook.hook import fast, slow
from mthook.xmlrewrite.target import Kept
from tests.unit.hook.conftest import IMAGE, UUID, Answer, Hooked, domain

SILENT = Answer(fast.ALLOWED, "", "", [])
SECRETS = b"""<graphics type='vnc' passwd='sesame'/></devices>
<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='sesame'/></q:commandline>"""


def kept(hooked: Hooked) -> Kept | None:
    with hooked.catalog() as catalog:
        return catalog.kept(UUID)


@pytest.mark.parametrize("pin", [None, "pc-i440fx-7.2", "pc"])
def test_a_start_keeps_what_the_guest_starts_as(hooked: Hooked, pin: str | None) -> None:
    """Without secrets; also of the first start, which makes the pin."""
    if pin:
        hooked.pin(pin)

    assert hooked.call("prepare", domain().replace(b"</devices>", SECRETS)) == SILENT

    found = kept(hooked)
    assert found is not None
    assert found.machine == "pc-i440fx-7.2"
    assert b'<graphics type="vnc"/>' in found.xml
    assert b"sesame" not in found.xml


def test_only_what_has_changed_is_kept_anew(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next starts take no longer for it; that libvirt numbers them is no change."""
    hooked.pin("pc-i440fx-7.2")
    hooked.call("prepare", domain().replace(b"<domain type='kvm'>", b"<domain type='kvm' id='3'>"))
    asked: list[bytes] = []
    keep = slow.keep

    def counted(catalog: str, xml: bytes, *more: Any) -> None:
        asked.append(xml)
        keep(catalog, xml, *more)

    monkeypatch.setattr(slow, "keep", counted)
    hooked.call("prepare", domain().replace(b"<domain type='kvm'>", b"<domain type='kvm' id='4'>"))
    assert asked == []

    changed = domain().replace(b"</devices>", b"<sound model='ich6'/></devices>")
    hooked.call("prepare", changed)

    assert asked == [changed]
    found = kept(hooked)
    assert found is not None and b"ich6" in found.xml


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_what_is_wrong_is_nothing_to_go_back_to(hooked: Hooked, mode: str) -> None:
    """Stopped or not."""
    hooked.configure(f"[hook]\nmode = {mode}\n")
    hooked.pin("pc-i440fx-7.2")

    hooked.call("prepare", domain("pc-q35-7.2"))

    assert kept(hooked) is None


@pytest.mark.parametrize("operation", ["migrate", "restore", "started", "reconnect", "attach"])
def test_only_a_definition_is_kept(hooked: Hooked, operation: str) -> None:
    """What runs says more than its definition, such as the ports that it was given."""
    hooked.call(operation)

    assert kept(hooked) is None


def test_nova_makes_its_definitions_anew(hooked: Hooked) -> None:
    """Nothing is kept of them."""
    hooked.call("prepare", domain(image=IMAGE))

    assert kept(hooked) is None


def test_what_cant_be_kept_stops_no_guest(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged."""

    def fail(*_: object) -> None:
        raise slow.SlowPathError("no answer within 5.0 s")

    monkeypatch.setattr(slow, "keep", fail)

    assert hooked.call("prepare") == Answer(
        fast.ALLOWED,
        "",
        "",
        ["prepare of guest 'web-1': its definition isn't kept: no answer within 5.0 s"],
    )
