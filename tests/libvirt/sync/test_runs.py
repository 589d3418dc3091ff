# SPDX-License-Identifier: Apache-2.0
"""Whole runs: again, dry, two at once, interrupted, without libvirtd, with hundreds of guests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from mthook.catalog.store import Catalog
from tests.lab import guest_xml
from tests.libvirt.sync.setting import NEW, OLD, OTHER, UUID, Setting


def test_a_second_run_changes_nothing(setting: Setting) -> None:
    """Neither a definition nor anything in the catalog but when guests were last seen."""
    setting.boot("web-1", UUID, OLD)
    setting.node.define(guest_xml("web-1", UUID, NEW))
    setting.node.define(guest_xml("web-2", OTHER, NEW))
    setting.sync()
    before = setting.dump(), setting.definitions()

    assert setting.sync() == (0, "", "")
    assert (setting.dump(), setting.definitions()) == before


def test_a_dry_run_changes_nothing(setting: Setting) -> None:
    """Not what libvirt has, not the catalog, not even a guest that waits to be started."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    setting.node.define(guest_xml("two words", OTHER, NEW))
    setting.pin(OLD)
    setting.stop_start()
    before = setting.dump(), setting.definitions()

    assert setting.sync("--dry-run") == (
        0,
        (
            "would update the hook's settings: mode enforce\n"
            f"would pin two words ({OTHER}) to {NEW}, from the definition\n"
            f"would realign web-1 ({UUID}) from {NEW} to {OLD}\n"
        ),
        "",
    )
    assert (setting.dump(), setting.definitions()) == before
    assert setting.node.state("web-1") == "shut off"


def test_two_at_once_are_one(setting: Setting) -> None:
    """The second one ends at once and names the first; killed, the first one leaves no lock."""
    setting.sync()
    hold = (
        "import sys, time; from mthook.locks import only_one\n"
        "with only_one(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    directory = str(Path(setting.path).parent)
    with subprocess.Popen(
        [sys.executable, "-c", hold, directory], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"

        assert setting.sync() == (
            3,
            "",
            f"mthook-sync: another mthook-sync is running: PID {first.pid}\n",
        )
        first.kill()

    assert setting.sync() == (0, "", "")


def test_an_interrupted_run_leaves_nothing_half_done(setting: Setting) -> None:
    """Every definition that was changed has its history row; the next run does the rest."""
    with setting.many(60) as uuids:
        for uuid in uuids:
            setting.pin(OLD, uuid)
        with setting.start() as process:
            while not _realigned(setting, uuids):
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)

        recorded = _realigned(setting, uuids)
        assert (process.returncode, out) == (1, "")
        assert err == (
            "mthook-sync: interrupted: what was begun is finished, "
            "the rest waits for the next run\n"
        )
        assert 0 < len(recorded) < len(uuids)
        assert {uuid for uuid in uuids if setting.machines(uuid)[0] == OLD} == recorded
        assert setting.sync() == (0, "", "")
        assert _realigned(setting, uuids) == set(uuids)


def test_a_daemon_that_is_down_changes_nothing(setting: Setting) -> None:
    """The guests are not gone because libvirt is."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    setting.sync()
    before = setting.dump()
    setting.node.daemon.stop()

    code, out, err = setting.sync()

    setting.node.daemon.start()
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"mthook-sync: libvirt at {setting.node.uri} can't be reached: ")
    with Catalog.open(setting.path) as catalog:
        kept = catalog.host().last_sync_errors or ""
    assert "can't be reached" in kept
    differing = {line.partition(" VALUES")[0] for line in set(setting.dump()) ^ set(before)}
    assert differing == {'INSERT INTO "host"'}


def test_hundreds_of_guests_are_a_matter_of_seconds(setting: Setting) -> None:
    """300 guests get their pins, are realigned, and are looked at again with nothing to do."""
    took = []
    with setting.many(300) as uuids:
        for _ in range(3):
            begun = time.monotonic()
            assert setting.sync() == (0, "", "")
            took.append(time.monotonic() - begun)
            if len(took) == 1:
                for uuid in uuids:
                    setting.pin(OLD, uuid)

        assert len(_realigned(setting, uuids)) == 300
        assert max(took) < 60


def _realigned(setting: Setting, uuids: list[str]) -> set[str]:
    with Catalog.open(setting.path) as catalog:
        return {
            uuid
            for uuid in uuids
            if any(entry.event == "realigned" for entry in catalog.history(uuid))
        }
