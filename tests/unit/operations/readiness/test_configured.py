# SPDX-License-Identifier: Apache-2.0
"""Whether the configuration files are safe from others."""

from __future__ import annotations

import os

import pytest

from .conftest import DATABASE, Answer, Desk

TITLE = "Configuration files"
WITHOUT = "[database]\nconnection = mysql+pymysql://nova@127.0.0.1/nova?ssl_ca=/a:b@c\n"
SECRETS = [
    DATABASE,
    DATABASE.replace("[database]", "[api_database]"),
    "[glance]\npassword = sesame\n",
    "[DEFAULT]\ntransport_url = rabbit://nova:sesame@one:5672,nova:sesame@two:5672/\n",
    "[neutron]\nmetadata_proxy_shared_secret = sesame\n",
]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o660])
@pytest.mark.parametrize("text", SECRETS)
def test_what_others_cannot_read_is_well(desk: Desk, text: str, mode: int) -> None:
    """A group of its own, as nova.conf's, is no stranger."""
    desk.configure(text)
    desk.config.chmod(mode)

    assert desk.check(TITLE) == Answer(
        0, "Nobody but root can change them or read a password in them."
    )


@pytest.mark.parametrize("text", SECRETS)
def test_a_password_that_others_can_read_is_a_failure(desk: Desk, text: str) -> None:
    """With the command that mends it; the password isn't printed."""
    desk.configure(text)
    desk.config.chmod(0o644)

    assert desk.check(TITLE) == Answer(
        2,
        f"{desk.config} holds a password, and every user of this host can read it (mode 0644). Run"
        f" 'chmod o-rwx {desk.config}'.",
    )
    os.system(desk.findings("configuration_files")[0]["remedy"])
    assert desk.check(TITLE).code == 0


@pytest.mark.parametrize("text", ["", WITHOUT, "[libvirt]\ninject_password = false\n"])
def test_a_file_without_a_password_may_be_read(desk: Desk, text: str) -> None:
    """By everybody."""
    other = desk.config.with_name("nova.conf")
    other.write_text(text)
    other.chmod(0o644)

    assert desk.check(TITLE, "--config-file", str(other)).code == 0


def test_a_file_that_others_can_change_is_a_failure(desk: Desk) -> None:
    """Its catalog would be wherever they like; the hook runs as root."""
    desk.config.chmod(0o606)

    code, details = desk.check(TITLE)

    assert code == 2
    assert details.startswith(
        f"Every user of this host can change {desk.config} (mode 0606), which "
    )


def test_the_files_of_the_hook_are_looked_at_too(desk: Desk) -> None:
    """Though this command was given others."""
    desk.config.chmod(0o666)
    other = desk.config.with_name("other file.conf")
    other.write_text(desk.config.read_text() + DATABASE)
    other.chmod(0o644)
    hooked, desk.config = desk.config, other

    found = desk.findings("configuration_files")

    assert [(one["kind"], one["facts"]["path"], one["remedy"]) for one in found] == [
        ("readable", str(other), f"chmod o-rwx '{other}'"),
        ("writable", str(hooked), f"chmod o-rwx {hooked}"),
    ]
