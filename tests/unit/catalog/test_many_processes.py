# SPDX-License-Identifier: Apache-2.0
"""Hundreds of hooks at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from mthook.catalog import lookup
from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog

from .samples import AT, UUID, alias

ROOT = str(Path(lookup.__file__).parents[2])
#: How many hooks run at once.
HOOKS = 200

#: What a hook does for a new guest.
_HOOK = f"""
import sys; sys.path.insert(0, {ROOT!r})
from mthook.catalog import lookup
from mthook.catalog.store import Catalog
class Guest:
    arch, virt_type, emulator = "x86_64", "kvm", None
    root_image, nova, windows, display = None, False, False, ""
guest = Guest()
guest.uuid = guest.name = sys.argv[2]
at = "2026-11-22T13:00:00.000000Z"
sys.stdin.readline()
connection = lookup.connect(sys.argv[1], 30)
if lookup.lookup(connection, guest.uuid, at).has_row:
    sys.exit("there already")
new = Catalog(connection).record_pin(guest, "pc", source="first boot", at=at, running="pc")
connection.close()
print(new)
"""


def _write_once(catalog: Catalog, number: int) -> None:
    """Write as a sync does."""
    catalog.see_guests([Guest(f"sync-{number}", f"g{number}", "x86_64", "kvm")], AT)
    catalog.replace_capabilities([alias("pc", "pc-i440fx-7.2")], catalog.host())
    catalog.set_pin(f"sync-{number}", "q35", source="definition", actor="mthook-sync")


def test_hundreds_of_hooks_and_a_sync_lose_nothing(path: str) -> None:
    """Every one of 200 processes records its guest while a sync writes all the time."""
    uuids = [f"{UUID[:-3]}{number:03}" for number in range(HOOKS)]
    catalog = Catalog.open(path, timeout=30)
    hooks = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _HOOK, path, uuid],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for uuid in uuids
    ]
    for hook in hooks:
        assert hook.stdin
        hook.stdin.write("go\n")
        hook.stdin.flush()
    rounds = 0
    while rounds < 10 or any(hook.poll() is None for hook in hooks):
        _write_once(catalog, rounds)
        rounds += 1
        time.sleep(
            0.005
        )  # who writes without a break keeps others out; a sync looks at guests between
    answers = [(*hook.communicate(), hook.returncode) for hook in hooks]
    pins = {pin.uuid: pin.machine for pin in catalog.pins()}
    histories = [len(catalog.history(uuid)) for uuid in pins]
    running = {guest.uuid for guest in catalog.guests() if guest.running == "pc"}
    catalog.close()

    assert answers == [("True\n", "", 0)] * HOOKS
    ours = {f"sync-{number}": "q35" for number in range(rounds)}
    assert pins == {**dict.fromkeys(uuids, "pc"), **ours}
    assert histories == [1] * len(pins)
    assert running == set(uuids)
