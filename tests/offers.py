# SPDX-License-Identifier: Apache-2.0
"""What the QEMUs of four releases of Debian offer, as ``python -m tests.matrix --record`` has written it down."""

from __future__ import annotations

from pathlib import Path

from mthook.operations.forecast import offering

DIRECTORY = Path(__file__).with_name("fixtures") / "offers"
#: By version, oldest first.
OFFERS = {
    found.qemu_version: found
    for found in (
        offering.from_text((DIRECTORY / f"{suite}.json").read_text())
        for suite in ("bullseye", "bookworm", "trixie", "sid")
    )
}
