# SPDX-License-Identifier: Apache-2.0
"""What a record of 10,000 hosts with 50 guests each costs: a host's push, and what is read of all of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Union

import sqlalchemy as sa

from bench.timing import medians, report
from mthook import conf as configuration
from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.fleet import pushing, rows, tables
from mthook.fleet.connection import Record
from mthook.fleet.making import bring_up
from mthook.operations.acts import SyncResult
from mthook.operations.readiness.context import Context
from mthook.operations.sync import fleet
from mthook.text import now
from tests.lab import MariaDB
from tests.lab.postgresql import PostgreSQL

HOSTS, GUESTS = 10_000, 50
PUSH = "push of a host, {} of 50 guests changed"
#: Milliseconds that a push, and seconds and MiB that a command may take.
LIMIT_PUSH, LIMIT, LIMIT_MEMORY = 50.0, 3.0, 150
RARE, COMMON = "pc-i440fx-2.11", "pc-q35-6.2"
COMMANDS = {
    "report --all-hosts -f json": True,
    f"list --all-hosts --machine {RARE} -f csv": True,
    f"list --all-hosts --machine {COMMON} --state paused -f csv": True,
    "list --all-hosts --drift -f csv": True,
    "list --all-hosts -f csv": False,  # half a million lines
}
#: The peak of a process's memory; that of rusage would be its parent's, where that has more.
_MEASURED = """
import sys
from mthook.tools.admin import main
code = main()
print(*[line for line in open("/proc/self/status") if line.startswith("VmHWM")], file=sys.stderr)
raise SystemExit(code)
"""
_QEMU = "/usr/bin/qemu-system-x86_64"
_MACHINES = ("pc-i440fx-7.2", "pc-i440fx-6.2", "pc-q35-7.2", COMMON)
_AT = "2026-01-01T00:00:00.000000Z"
#: Each host is like one of so many.
_ALIKE = 50


def run(rounds: int) -> bool:
    """Measure and print; return whether the limits are kept."""
    kept = True
    for kind in (MariaDB, PostgreSQL):
        with kind() as server, tempfile.TemporaryDirectory() as directory:
            server.create("mthook")
            kept &= _measure(server, Path(directory), rounds)
    return kept


def _measure(server: Union[MariaDB, PostgreSQL], place: Path, rounds: int) -> bool:
    options = {"ssl_disabled": "true"} if isinstance(server, MariaDB) else {}
    url, name = server.url("mthook", **options), type(server).__name__
    begun = time.monotonic()
    _fill(url)
    print(
        f"\n{name}: {HOSTS} hosts with {GUESTS} guests each, filled in {time.monotonic() - begun:.0f} s"
    )
    file = place / "mthook.conf"
    file.write_text(f"[catalog]\npath = {place}/lib/catalog.sqlite\n[fleet]\nconnection = {url}\n")
    kept = _pushes(name, configuration.load([str(file)]), rounds)
    for command, limited in COMMANDS.items():
        seconds, memory = _run(file, command)
        within = (seconds <= LIMIT or not limited) and memory <= LIMIT_MEMORY
        kept = kept and within
        limit = f"{LIMIT:.0f} s, {LIMIT_MEMORY} MiB" if limited else f"{LIMIT_MEMORY} MiB"
        verdict = "kept" if within else "EXCEEDED"
        print(f"  {command:<58} {seconds:6.2f} s {memory:5.0f} MiB  limit {limit}: {verdict}")
    return kept


def _pushes(name: str, conf: configuration.cfg.ConfigOpts, rounds: int) -> bool:
    """Measure pushes of one more host."""
    uuids = [str(uuid.UUID(int=HOSTS * GUESTS + number)) for number in range(GUESTS)]
    guests = [
        Guest(one, f"new-{one[-4:]}", "x86_64", "kvm", _QEMU, _MACHINES[0], _MACHINES[0], "running")
        for one in uuids
    ]
    with closing(Catalog.open(conf.catalog.path)) as catalog:
        offered = [Capability(_QEMU, "x86_64", "kvm", machine) for machine in _MACHINES]
        catalog.replace_capabilities(offered, HostFacts("bench", "7.2.22", "9.0.0"))
        catalog.see_guests(guests, now())
        for one in uuids:
            catalog.set_pin(one, _MACHINES[0], source="running guest", actor="bench")
        turn = iter(range(10**9))

        def push(changed: int) -> None:
            state = "paused" if next(turn) % 2 else "running"
            for one in guests[:changed]:
                catalog.connection.execute(
                    "UPDATE guests SET state = ? WHERE uuid = ?", (state, one.uuid)
                )

        things = {PUSH.format(number): number for number in (0, 5, GUESTS)}
        result = SyncResult(lambda _: None)

        def measured(changed: int) -> Any:
            def go() -> None:
                push(changed)
                with Context(conf, [], str(Path(conf.catalog.path).parent)) as context:
                    fleet.push(context, result, now(), 0)

            return go

        cost = medians({thing: measured(number) for thing, number in things.items()}, rounds)
    report(f"{name} (median)", cost, [])
    within = all(seconds * 1000 <= LIMIT_PUSH for seconds in cost.values())
    print(f"  each push: limit {LIMIT_PUSH:.0f} ms: {'kept' if within else 'EXCEEDED'}")
    return within and not result.failed


def _run(config: Path, command: str) -> tuple[float, float]:
    """Return the seconds and the MiB at most that a command takes."""
    argv = [sys.executable, "-c", _MEASURED, "--config-file", str(config), *command.split()]
    begun = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return time.monotonic() - begun, int(done.stderr.split()[-2]) / 1024


def _fill(url: str) -> None:
    """Write what so many hosts would have written: the first few in full, the others like them by the server."""
    with Record(url) as record:
        bring_up(record)
        with record.engine.begin() as connection:
            connection.execute(sa.insert(tables.HOSTS), [_host(number) for number in range(HOSTS)])
            for number in range(_ALIKE):
                connection.execute(sa.insert(tables.GUESTS), list(_guests(number)))
                connection.execute(sa.insert(tables.MACHINES), list(_machines(number)))
        for number in range(_ALIKE):
            with record.engine.begin() as connection:
                for table in (tables.GUESTS, tables.MACHINES):
                    connection.execute(_like(table, number))
        with record.engine.begin() as connection:
            analyze = {"postgresql": "ANALYZE", "mysql": "ANALYZE TABLE hosts, guests, machines"}
            connection.exec_driver_sql(analyze[record.dialect])


def _like(table: sa.Table, number: int) -> Any:
    """Return the statement that gives the hosts which are like one the same rows, under names of their own."""
    host, names = tables.HOSTS.c, [column.name for column in table.columns]
    values = {name: table.c[name] for name in names}
    values["host_id"] = host.id
    if table is tables.GUESTS:
        values["uuid"] = sa.func.concat(
            sa.func.substr(host.id, 1, 8), sa.func.substr(table.c.uuid, 9)
        )
        values["name"] = host.host + "-" + table.c.name
    ends = [host.host.like(f"%{one:02}") for one in range(number, 100, _ALIKE)]
    alike = (
        (table.c.host_id == _key(number)) & (host.host >= f"compute-{_ALIKE:05}") & sa.or_(*ends)
    )
    query = sa.select(*(values[name] for name in names)).select_from(
        table.join(tables.HOSTS, alike)
    )
    return sa.insert(table).from_select(names, query)


def _key(number: int) -> str:
    return pushing.key_of("bench", f"compute-{number:05}")


def _host(number: int) -> dict[str, Any]:
    name, drifting = f"compute-{number:05}", int(number % 50 == 0)
    versions = ("0.1.0", "7.2.22", "9.0.0", "enforce", now(), now(), 0, None, True, True, True, _AT)
    found = rows.Host(_key(number), name, *versions, None, GUESTS, 40, 0, drifting, 0, 0)
    more = {"owner": "owner", "pushed_at": now(), "history_id": 0, "history_at": ""}
    return {**vars(found), **more}


def _guests(number: int) -> Iterator[dict[str, Any]]:
    for one in range(GUESTS):
        machine = RARE if one == 0 and number % 50 == 0 else _MACHINES[one % len(_MACHINES)]
        running = machine if one % 5 else None
        state = "shut off" if running is None else "paused" if one == 3 else "running"
        drift = "running" if one == 1 and number % 50 == 0 else ""
        guest = rows.Guest(
            *(str(uuid.UUID(int=number * GUESTS + one)), f"guest-{number}-{one}", None),
            *("x86_64", "kvm", state, False, False, running, machine, machine, False, 0),
            *(
                machine,
                machine,
                "first boot",
                "hook",
                None,
                _AT,
                None,
                None,
                None,
                drift,
                False,
                False,
            ),
        )
        yield {**vars(guest), "digest": guest.digest, "host_id": _key(number)}


def _machines(number: int) -> Iterator[dict[str, Any]]:
    for name in (*_MACHINES, *((RARE,) if number % 50 == 0 else ())):
        yield {**vars(rows.Machine(name, 12, 10, 12)), "host_id": _key(number)}
