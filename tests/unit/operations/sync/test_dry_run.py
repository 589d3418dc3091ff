# SPDX-License-Identifier: Apache-2.0
"""A dry run tells all and changes nothing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from mthook.locks import only_one
from tests.unit.host.fakes import (
    UUID,
    FakeDomain,
    domain_xml,
)
from tests.unit.operations.sync.setting import Setting, dump, wait_for_repair


def test_a_dry_run_creates_nothing(setting: Setting) -> None:
    """Without a catalog it works from none, and says what it would do in the order of the steps."""
    setting.libvirt.domains = [FakeDomain(domain_xml(), running=domain_xml("pc-i440fx-6.2"))]

    assert setting.sync("--dry-run") == (
        0,
        (
            "would update the hook's settings: mode enforce\n"
            f"would pin web-1 ({UUID}) to pc-i440fx-6.2, from the running guest\n"
            f"would realign web-1 ({UUID}) from pc-i440fx-7.2 to pc-i440fx-6.2\n"
        ),
        "",
    )
    assert setting.libvirt.defined == []
    assert not os.path.exists(os.path.dirname(setting.path))


def test_a_dry_run_changes_nothing(setting: Setting) -> None:
    """Catalog, libvirt and the file that asks for a repair stay as they are."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting)
    wanted = Path(setting.path).parent / "repair-wanted"
    wanted.touch()
    before = dump(setting.path), sorted(os.listdir(wanted.parent))

    assert setting.sync("--dry-run", "-v") == (
        0,
        (
            "would update the hook's settings: mode enforce\n"
            f"would realign web-1 ({UUID}) from pc-i440fx-7.2 to pc-i440fx-6.2\n"
        ),
        ("mthook-sync: dry run: guests: 1, realigned: 1, drift: 1, left alone: 0, errors: 0\n"),
    )
    assert (dump(setting.path), sorted(os.listdir(wanted.parent))) == before
    assert (domain.started, setting.libvirt.defined) == (0, [])


def test_a_dry_run_with_nothing_to_do_says_so(setting: Setting) -> None:
    """After a run nothing is left."""
    setting.libvirt.domains = [FakeDomain()]
    setting.sync()

    assert setting.sync("--dry-run") == (0, "nothing to do\n", "")


def test_a_dry_run_tells_of_a_changed_configuration(setting: Setting) -> None:
    """The real run would hand it to the hook; a file that was only touched changes nothing."""
    setting.sync()
    setting.configure("\n")
    said = [setting.sync("--dry-run")[1]]
    setting.configure("[hook]\ntimeout = 4\n")
    said.append(setting.sync("--dry-run")[1])

    assert said == [
        "nothing to do\n",
        "would update the hook's settings: mode enforce\n",
    ]


def test_a_dry_run_needs_no_lock(setting: Setting) -> None:
    """It reads, so it may do that beside a run that writes."""
    setting.sync()

    with only_one(os.path.dirname(setting.path)):
        assert setting.sync("--dry-run") == (0, "nothing to do\n", "")


def test_a_dry_run_refuses_a_catalog_of_a_newer_mthook(setting: Setting) -> None:
    """The message names the real catalog, not a copy."""
    setting.sync()
    connection = sqlite3.connect(setting.path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    code, _, err = setting.sync("--dry-run")

    assert (code, len(err.splitlines())) == (1, 1)
    assert setting.path in err


def test_a_dry_run_takes_an_empty_file_for_no_catalog(setting: Setting) -> None:
    """As the real run would, which makes a catalog of it."""
    os.mkdir(os.path.dirname(setting.path), 0o700)
    os.close(os.open(setting.path, os.O_CREAT, 0o600))

    assert setting.sync("--dry-run") == (
        0,
        "would update the hook's settings: mode enforce\n",
        "",
    )
    assert os.path.getsize(setting.path) == 0
