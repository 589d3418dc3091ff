# SPDX-License-Identifier: Apache-2.0
"""What mthook.conf is to say, and the one line of nova.conf."""

from __future__ import annotations

from typing import Any

import pytest

from mthook.errors import InstallError
from mthook.operations.setup import inifile
from mthook.operations.setup.configuration import (
    Choices,
    compose,
    lead_back,
    lead_to_gate,
    read_database,
)
from mthook.operations.setup.found import Found

URL = "mysql+pymysql://mthook:s%40me@db.example/nova_cell1"
GATE = "/run/mthook/libvirt-sock"
NOVA = """\
[DEFAULT]
host = compute-1
[libvirt]
virt_type = kvm
connection_uri = qemu+unix:///system?socket=/run/other
hw_machine_type = x86_64=q35
num_pcie_ports = 16
"""


def found(text: str = "", nova: str = "", **more: Any) -> Found:
    """Return what was found on a host."""
    facts: dict[str, Any] = {
        "daemon": None,
        "contained": False,
        "reads": True,
        "guests": 0,
        "nova_guests": 0,
    }
    facts.update(hook=None, other_hook=None, nova_conf="/etc/nova/nova.conf" if nova else None)
    facts.update(files=["/etc/mthook/mthook.conf"], socket="/run/libvirt/libvirt-sock", timer=None)
    return Found(text=text, nova_text=nova, **{**facts, **more})


def options(text: str) -> dict[str, str]:
    """Return what a configuration sets, without comments: group, name and value in a line each."""
    group, known = "", {}
    for line in text.splitlines():
        if line.startswith("["):
            group = line
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            known[f"{group} {name.strip()}"] = value.strip()
    return known


def test_a_new_configuration_watches() -> None:
    """And says nothing else."""
    assert options(compose(found(), Choices())) == {"[hook] mode": "audit"}


@pytest.mark.parametrize("mode", ["enforce", "audit", "off"])
def test_what_is_configured_stays(mode: str) -> None:
    """To the byte, unless the operator asks for something else."""
    text = f"# mine\n[hook]\nmode={mode}  \n[pin]\nstyle = alias\n"

    assert compose(found(text), Choices()) == text
    assert options(compose(found(text), Choices("enforce")))["[hook] mode"] == "enforce"


def test_what_nova_conf_says_is_taken_over_once() -> None:
    """What mthook has to know as Nova knows it; later on mthook.conf's own counts."""
    text = compose(found(nova=NOVA), Choices())

    assert options(text) == {
        "[hook] mode": "audit",
        "[DEFAULT] host": "compute-1",
        "[libvirt] connection_uri": "qemu+unix:///system?socket=/run/other",
        "[libvirt] hw_machine_type": "x86_64=q35",
        "[libvirt] num_pcie_ports": "16",
    }
    assert compose(found(text, NOVA.replace("16", "8")), Choices()) == text


def test_a_database_isnt_written_to_while_watching() -> None:
    """With enforce it has to be: a start of Nova's that is stopped leaves an instance in ERROR."""
    watching = compose(found(), Choices(database=URL))
    enforcing = compose(found(watching), Choices("enforce"))

    assert options(watching)["[database] connection"] == URL
    assert options(watching)["[sync] write_back"] == "false"
    assert options(enforcing)["[sync] write_back"] == "true"
    assert options(enforcing)["[database] connection"] == URL


def test_an_operators_write_back_stays_while_watching() -> None:
    """It is a step of its own on the way to enforce."""
    text = f"[hook]\nmode = audit\n[database]\nconnection = {URL}\n[sync]\nwrite_back = true\n"

    assert compose(found(text), Choices()) == text


def test_novas_database_is_taken_from_nova_conf() -> None:
    """Unless another one is named."""
    nova = f"[database]\nconnection = {URL}\n"

    assert options(compose(found(nova=nova), Choices()))["[database] connection"] == URL
    other = compose(found(nova=nova), Choices(database=f"{URL}2"))
    assert options(other)["[database] connection"] == f"{URL}2"


@pytest.mark.parametrize("value", ["$my_ip", "${my_ip}-x", "a$$$my_ip"])
def test_a_value_that_refers_to_another_option_isnt_copied(value: str) -> None:
    """mthook doesn't have that option."""
    with pytest.raises(InstallError, match=r"nova\.conf: host in \[DEFAULT\] refers to another"):
        compose(found(nova=f"[DEFAULT]\nhost = {value}\n"), Choices())


@pytest.mark.parametrize("socket", ["/run/libvirt/virtqemud-sock", "/run/kolla/libvirt-sock"])
def test_the_gate_connects_to_the_daemon_that_is_used(socket: str) -> None:
    """virtqemud's socket has another name than libvirtd's; and any may be elsewhere."""
    text = compose(found(socket=socket), Choices())

    assert options(text)["[gate] upstream"] == socket
    assert options(text)["[gate] upstream_ro"] == f"{socket}-ro"


def test_an_operators_upstream_stays() -> None:
    """The gate may stand in front of virtproxyd."""
    text = "[hook]\nmode = audit\n[gate]\nupstream = /run/libvirt/libvirt-sock\n"

    assert compose(found(text, socket="/run/libvirt/virtqemud-sock"), Choices()) == text


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (f"{URL}\n", URL),
        ("mysql+pymysql://nova:pa$s@db/nova", "mysql+pymysql://nova:pa$$s@db/nova"),
        (
            "[database]\nconnection = mysql+pymysql://n:pa$$s@db/nova\n",
            "mysql+pymysql://n:pa$$s@db/nova",
        ),
    ],
)
def test_a_database_is_read_from_a_file(text: str, url: str) -> None:
    """A URL alone as it is, or an option as oslo.config writes it."""
    assert read_database(text, "file") == url


@pytest.mark.parametrize(
    "text", ["", "sesame", "[database]\nconnection = sesame\n", "a://b\nc://d"]
)
def test_what_is_no_database_is_refused_without_quoting_it(text: str) -> None:
    """It holds a password."""
    with pytest.raises(InstallError) as caught:
        read_database(text, "/root/db")

    assert str(caught.value) == (
        "/root/db: no database URL in it, neither alone nor as [database] connection"
    )


@pytest.mark.parametrize(
    "nova", ["", "[DEFAULT]\nhost = a\n", "[libvirt]\nvirt_type = kvm\n", NOVA]
)
def test_nova_is_led_to_the_gate_and_back(nova: str) -> None:
    """What it said is kept as a comment, and comes back; twice is once."""
    led = lead_to_gate(nova, GATE)

    assert inifile.get(led, "libvirt", "connection_uri") == f"qemu+unix:///system?socket={GATE}"
    assert lead_to_gate(led, GATE) == led
    back = lead_back(led, GATE)
    assert back is not None
    assert options(back) == options(nova)
    assert "[libvirt] connection_uri" not in options(compose(found(nova=led), Choices()))


def test_whom_somebody_else_led_to_the_gate_isnt_led_back() -> None:
    """Nobody knows what it said before."""
    nova = f"[libvirt]\nconnection_uri = qemu+unix:///system?socket={GATE}\n"

    assert lead_back(nova, GATE) is None
    assert lead_back(NOVA, GATE) == NOVA
