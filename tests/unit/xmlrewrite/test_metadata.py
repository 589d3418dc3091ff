# SPDX-License-Identifier: Apache-2.0
"""The step that writes the pin into the guest's own metadata."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite import summary
from mthook.xmlrewrite.metadata import carry_pin
from mthook.xmlrewrite.target import Target

from .hostile import UUID

SINCE = "2026-11-22T13:00:00.000000Z"
TARGET = Target("pc-q35-7.2", UUID, SINCE)
PIN = (
    f'<mthook:pin xmlns:mthook="urn:mthook:pin:1" instance="{UUID}" '
    f'machine="pc-q35-7.2" since="{SINCE}"/>'
)


def step(inside: str, target: Target = TARGET) -> tuple[str, list[str]]:
    domain = etree.fromstring(f"<domain>{inside}</domain>")
    changes = carry_pin(domain, target)
    return "".join(etree.tostring(child).decode() for child in domain), changes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<os/>", "<os/><metadata>{}</metadata>"),
        ("", "<metadata>{}</metadata>"),
        ("<name>x</name><os/>", "<name>x</name><metadata>{}</metadata><os/>"),
        ("<uuid/><memory/><name/><os/>", "<uuid/><memory/><name/><metadata>{}</metadata><os/>"),
        ("<name/><metadata/><os/>", "<name/><metadata>{}</metadata><os/>"),
        ("<os/><metadata><x/></metadata>", "<os/><metadata><x/>{}</metadata>"),
    ],
)
def test_a_pin_is_added(before: str, after: str) -> None:
    """Into the metadata, which is made behind name and uuid where it is missing."""
    assert step(before) == (after.format(PIN), ["pin in the metadata: none → pc-q35-7.2"])


def test_the_pin_written_is_the_pin_read() -> None:
    """What the step writes travels: the reader finds it."""
    xml, _ = step(f"<uuid>{UUID}</uuid><os/>")

    assert summary.read(f"<domain>{xml}</domain>".encode()).travelled == ("pc-q35-7.2", SINCE)


def test_a_pin_without_a_time_has_none() -> None:
    """Where it isn't known since when the pin holds, no time is invented."""
    xml, _ = step("<metadata/>", Target("pc", UUID))

    assert xml == (
        f'<metadata><mthook:pin xmlns:mthook="urn:mthook:pin:1" instance="{UUID}" machine="pc"/>'
        "</metadata>"
    )


def test_nothing_is_written_for_no_instance() -> None:
    """A pin that names no instance would travel with every clone."""
    assert step("<metadata/>", Target("pc")) == ("<metadata/>", [])


def test_the_right_pin_is_no_change() -> None:
    """Doing it twice is doing it once, whatever the prefix."""
    xml = f"<metadata>{PIN}</metadata>".replace("mthook:pin ", "m:pin ").replace(":mthook=", ":m=")

    assert step(xml) == (xml, [])


@pytest.mark.parametrize(
    "old",
    [
        '<mthook:pin xmlns:mthook="urn:mthook:pin:1" machine="pc"/>',
        f'<mthook:pin xmlns:mthook="urn:mthook:pin:1" instance="x" machine="pc" since="{SINCE}"/>',
        '<mthook:pin xmlns:mthook="urn:mthook:pin:1" other="x" machine="pc"/>',
    ],
)
def test_another_pin_is_replaced(old: str) -> None:
    """No attribute of the old pin stays."""
    assert step(f"<metadata>{old}<x/></metadata>") == (
        f"<metadata>{PIN}<x/></metadata>",
        ["pin in the metadata: pc → pc-q35-7.2"],
    )


def test_of_many_pins_one_remains() -> None:
    """Later ones go, also when the first is right: libvirt keeps only one per namespace."""
    assert step(f"<metadata>{PIN}<x/>{PIN}{PIN}</metadata>") == (
        f"<metadata>{PIN}<x/></metadata>",
        ["pin in the metadata: pc-q35-7.2 → pc-q35-7.2"],
    )


def test_pins_elsewhere_are_not_ours() -> None:
    """A pin in another element or namespace is left alone."""
    other = '<x><pin xmlns="urn:mthook:pin:1"/></x><pin xmlns="urn:mthook:pin:2"/><pin/>'

    assert step(f"<metadata>{other}</metadata>")[0] == f"<metadata>{other}{PIN}</metadata>"
