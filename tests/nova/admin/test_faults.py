# SPDX-License-Identifier: Apache-2.0
"""A database that can't be used: one line, code 1, and never a password."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.text import now
from tests.lab.nova import Cloud

from .conftest import Run

WEB = "3f2c1d3e-0000-4000-8000-000000000001"
COMMANDS = (
    ["get", WEB],
    ["set", WEB, "pc-i440fx-7.2"],
    ["set", WEB, "pc-i440fx-7.2", "--force", "--dry-run"],
    ["set", WEB, "--with-buses"],
    ["unset", WEB],
    ["list", "--unset"],
    ["list", "--unset", "-f", "value"],
    ["freeze", WEB],
    ["freeze", "--all"],
    ["export", "--host", "here"],
    ["import", "pins"],
)

#: What a connection is wrong in, from the right one.
FAULTS: dict[str, Callable[[Cloud, str], str]] = {
    "password": lambda cloud, database: cloud.mariadb.url(database, password="wr0ng-s3cret"),
    "user": lambda cloud, database: cloud.mariadb.url(database, user="nob0dy-s3cret"),
    "database": lambda cloud, database: cloud.mariadb.url("nova_nowhere"),
    "port": lambda cloud, database: cloud.mariadb.url(database).replace(
        f":{cloud.mariadb.port}/", f":{_unused_port()}/"
    ),
    "option": lambda cloud, database: cloud.mariadb.url(database, ssl_ca="/nonexistent"),
    "unknown option": lambda cloud, database: cloud.mariadb.url(database, sl_ca="s3cret"),
}


def _unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[None]:
    """A guest of Nova's on this host, pinned to an alias; pins to import."""
    driver = libvirt.open("test:///default")
    domain = driver.defineXML(
        f"<domain type='test'><name>web-1</name><uuid>{WEB}</uuid><memory>8192</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    with Catalog.open(str(tmp_path / "lib" / "catalog.sqlite")) as catalog:
        offered = [Capability("", "x86_64", "test", "pc-i440fx-7.2")]
        catalog.replace_capabilities(offered, HostFacts("here", "7.2.22", "9.0.0"))
        seen = Guest(WEB, "web-1", "x86_64", "test", nova=True)
        catalog.see_guests([seen], now())
        catalog.set_pin(WEB, "pc", source="definition", actor="mthook-sync", seen="pc-i440fx-7.2")
    pin = {
        "format": "mthook-pin-1",
        "uuid": WEB,
        "machine": "pc",
        "arch": "x86_64",
        "source": "definition",
        "actor": "mthook-sync",
        "created_at": "2026-01-02T03:04:05.000000Z",
        "updated_at": "2026-01-02T03:04:05.000000Z",
    }
    (tmp_path / "pins").write_text(json.dumps(pin))
    yield
    domain.undefine()
    driver.close()


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("where", ["cell alone", "API", "cell by API"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_command_tells_it_in_one_line(
    cloud: Cloud,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    where: str,
) -> None:
    """Which database it is, and nothing secret, however much is asked to be said; no pin changes."""
    cloud.add_instance(WEB, host="here", vm_state="stopped", machine="pc")
    monkeypatch.chdir(tmp_path)
    break_it = FAULTS[fault]
    cell, api = (break_it(cloud, cloud.databases[name]) for name in ("cell1", "api"))
    if where == "cell by API":
        change = "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'"
        cloud.execute(change, (cell,), "api")
    cloud.mthook_conf(
        tmp_path,
        host="here",
        catalog=tmp_path / "lib" / "catalog.sqlite",
        cell=None,
        api=False,
        libvirt={"connection_uri": "test:///default"},
        **{
            "cell alone": {"database": {"connection": cell}},
            "API": {"api_database": {"connection": api}},
            "cell by API": {"api_database": {"connection": cloud.api_url}},
        }[where],
    )

    for command in COMMANDS:
        said = run(*command)

        lines = said.err.splitlines()
        if command[0] == "import":
            assert lines.pop(0).endswith(" unchanged")
        assert (command, said.code, len(lines)) == (command, 1, 1), said
        assert lines[0].startswith("mthook-admin: Nova's "), said
        for option in ("-vv", "--debug"):
            more = run(option, *command)
            assert more.code == 1
            assert not _secrets(said.err + said.out + more.err + more.out)
    assert cloud.machine(WEB) == "pc"
    with Catalog.open(str(tmp_path / "lib" / "catalog.sqlite")) as catalog:
        assert [entry.event for entry in catalog.history(WEB)] == ["pinned"]


def _secrets(text: str) -> list[str]:
    """Return the parts of passwords that a text has."""
    return [word for word in ("s3cret@", "s3cret%40", "wr0ng", "://nova:") if word in text]
