# SPDX-License-Identifier: Apache-2.0
"""Whether the next release of QEMU still has what this host's guests are."""

from __future__ import annotations

import pytest

from mthook.catalog.records import Capability, HostFacts

from .conftest import DB, OLD, WEB, Answer, Desk

TITLE = "Next release of QEMU"


def version(desk: Desk, text: str | None) -> None:
    """Let the last sync have seen a version of QEMU."""
    with desk.catalog() as catalog:
        offered = [Capability("", "x86_64", "test", OLD)]
        catalog.replace_capabilities(offered, HostFacts("here", text, "9.0.0"))


def test_what_the_next_release_drops_is_a_warning(web: Desk) -> None:
    """With the command that tells what to do."""
    version(web, "12.1.0")
    web.guest("db-1", DB, "pc-i440fx-7.2")
    web.pin(DB, "pc-i440fx-7.2")

    assert web.check(TITLE) == Answer(
        1,
        f"QEMU 12.2, due 2027-12, drops machine types of 1 guest (web-1 ({WEB}): {OLD}):"
        " 'mthook-admin forecast --qemu 12.2' tells what to do before it is installed.",
    )


@pytest.mark.parametrize("text", ["7.2.22", "12.0.0", "12.2.0"])
def test_what_ends_later_or_has_ended_is_not_its_matter(web: Desk, text: str) -> None:
    """What has ended already another check tells."""
    version(web, text)

    assert web.check(TITLE).code == 0


def test_a_host_whose_qemu_is_not_known_is_not_judged(web: Desk) -> None:
    """The check for pins says that nothing is known."""
    version(web, None)

    assert web.check(TITLE) == Answer(0, "This host's version of QEMU isn't known yet.")
