# SPDX-License-Identifier: Apache-2.0
"""mthook's commands beside Nova's own, on the databases of large clouds in a real MariaDB."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from bench.timing import Ratio, medians, report
from mthook import conf
from mthook.nova import connection, reading
from mthook.operations.acts import Result
from mthook.operations.cloud import watch
from tests.lab.mariadb import MariaDB
from tests.lab.nova import Cloud
from tests.lab.novaschema import make_schema
from tests.specs import request_spec

FEW, SOME, MANY = 1_000, 10_000, 100_000
#: Of them, so many are the measured host's.
OWN = 100

#: What the images of Linux distributions say, beside what every image does.
IMAGE = {
    "image_architecture": "x86_64",
    "image_hw_disk_bus": "scsi",
    "image_hw_qemu_guest_agent": "yes",
    "image_hw_rng_model": "virtio",
    "image_hw_scsi_model": "virtio-scsi",
    "image_hw_video_model": "virtio",
    "image_os_admin_user": "ubuntu",
    "image_os_distro": "ubuntu",
    "image_os_require_quiesce": "yes",
    "image_os_type": "linux",
    "image_os_version": "24.04",
    "image_owner_specified.openstack.md5": "",
    "image_owner_specified.openstack.object": "images/ubuntu-24.04",
    "image_owner_specified.openstack.sha256": "",
}

GET, NOVAS_GET = "mthook-admin get", "nova-manage libvirt get_machine_type"
LIST, NOVAS_LIST = f"list --unset of {SOME:,}", f"nova-manage's list of {SOME:,}"
LIST_MANY = f"list --unset of {MANY:,}"
FIRST, FIRST_MANY = (f"first sync of {OWN} instances among {count:,}" for count in (FEW, MANY))
AGAIN, AGAIN_MANY = (f"next sync of {OWN} instances among {count:,}" for count in (FEW, MANY))
CLOUD, CLOUD_MANY = (f"mthook-sync --cloud of {count:,}, nothing to do" for count in (SOME, MANY))
CLOUD_FIRST = f"mthook-sync --cloud of {SOME:,}, all to be written"
IDLE, IDLE_MANY = (f"a look of the watch at {count:,}, nothing changed" for count in (SOME, MANY))
BUSY_MANY = f"a look of the watch at {MANY:,}, {OWN} changed"
MACHINE = "pc-i440fx-7.2"


#: Runs a program's script and writes the most memory it had, in KiB, to a file. What the kernel tells a parent of its
#: child begins with the parent's own.
_WATCHED = """
import atexit, re, runpy, sys
file, *sys.argv = sys.argv[1:]
def tell():
    status = open("/proc/self/status").read()
    open(file, "w").write(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
atexit.register(tell)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Cost(NamedTuple):
    """What a process took.

    :ivar seconds: from its start to its end.
    :ivar lines: what it printed.
    """

    seconds: float
    lines: list[str]


class Site:
    """A cloud's databases, and a host of it without guests."""

    def __init__(self, cloud: Cloud, directory: Path, others: int) -> None:
        directory.mkdir()
        self.cloud = cloud
        self.own = cloud.add_instances(OWN, vm_state="stopped", metadata=IMAGE)
        for begun in range(0, others, SOME):
            cloud.add_instances(min(others - begun, SOME), host="beta", metadata=IMAGE)
        (directory / "node.xml").write_text("<node/>")
        self._catalog = directory / "lib" / "catalog.sqlite"
        self._mthook = cloud.mthook_conf(
            directory,
            catalog=self._catalog,
            libvirt={"connection_uri": f"test://{directory}/node.xml"},
        )
        self._nova = cloud.conf(directory / "nova.conf")

    def mthook(self, program: str, *argv: str) -> list[str]:
        """Return a command line of mthook's."""
        return [_program(program), "--config-file", str(self._mthook), *argv]

    def nova(self, *argv: str) -> list[str]:
        """Return a command line of nova-manage's."""
        return [_program("nova-manage"), "--config-file", str(self._nova), "libvirt", *argv]

    def sync(self) -> None:
        """Sync the host."""
        _run(self.mthook("mthook-sync"), 0)

    def keep_specs(self) -> None:
        """Record a machine type for all instances, and keep a request spec without it for each."""
        self.cloud.execute(
            "DELETE FROM instance_system_metadata WHERE `key` = 'image_hw_machine_type'"
        )
        self.cloud.execute(
            "INSERT INTO instance_system_metadata (created_at, instance_uuid, `key`, value, deleted)"
            " SELECT UTC_TIMESTAMP(), uuid, 'image_hw_machine_type', %s, 0 FROM instances",
            (MACHINE,),
        )
        # As they come about in time, not all in one second.
        self.cloud.execute(
            "UPDATE instances SET updated_at = UTC_TIMESTAMP() - INTERVAL 3600 + id SECOND"
        )
        uuids = [uuid for (uuid,) in self.cloud.execute("SELECT uuid FROM instances")]
        for begun in range(0, len(uuids), FEW):
            self.cloud.add_specs({uuid: request_spec(uuid) for uuid in uuids[begun : begun + FEW]})

    def watch(self) -> _Looks:
        """Return what looks as the service does."""
        return _Looks(str(self._mthook))

    def change(self) -> None:
        """Change some instances, as a resize does."""
        self.cloud.execute(
            "UPDATE instances SET updated_at = UTC_TIMESTAMP() WHERE uuid IN %s", (self.own,)
        )

    def forget(self) -> None:
        """Make it as before the first sync."""
        self._catalog.unlink()
        self.cloud.execute(
            "DELETE FROM instance_system_metadata WHERE instance_uuid IN %s"
            " AND `key` = 'image_hw_machine_type'",
            (self.own,),
        )


def run(rounds: int) -> bool:
    """Measure and print; return whether all limits are kept."""
    with tempfile.TemporaryDirectory() as name, MariaDB() as mariadb:
        directory = Path(name)
        schema = make_schema(mariadb, directory)
        with contextlib.ExitStack() as stack:
            few, some, many = (
                Site(
                    stack.enter_context(Cloud(mariadb, schema, f"{total}_")),
                    directory / str(total),
                    total - OWN,
                )
                for total in (FEW, SOME, MANY)
            )
            kept = [
                _lists(some, many),
                _syncs(few, many, rounds),
                _starts(few, rounds),
                _cloud(some, many, rounds),
            ]
    return all(kept)


def _lists(some: Site, many: Site) -> bool:
    """Listing costs a fraction of what it costs Nova, in proportion to the instances, and no more memory for more."""
    ours = ("mthook-admin", "list", "--unset", "-f", "value")
    things = {
        LIST: some.mthook(*ours),
        NOVAS_LIST: some.nova("list_unset_machine_type"),
        LIST_MANY: many.mthook(*ours),
    }
    first = {name: _run(argv, 3) for name, argv in things.items()}
    listed = {name: _uuids(cost.lines) for name, cost in first.items()}
    same = listed[LIST] == listed[NOVAS_LIST] and len(listed[LIST]) == SOME
    whole = len(listed[LIST_MANY]) == MANY
    print(f"\nThe same {SOME:,} UUIDs from both: {same}; all of {MANY:,}: {whole}")
    taken: dict[str, list[float]] = {name: [] for name in things}
    for _ in range(3):
        for name, argv in things.items():
            taken[name] += [_run(argv, 3).seconds for _ in range(1 if name == NOVAS_LIST else 3)]
    seconds = {name: min(times) for name, times in taken.items()}
    memory = {name: _memory(argv, 3) for name, argv in things.items()}
    kept = [
        report(
            "Instances without a machine type, a process each (the best of several)",
            seconds,
            # Half of ours is the server, which has to read all that it has of an instance, as no index has the key.
            [Ratio(LIST, NOVAS_LIST, 1 / 8), Ratio(LIST_MANY, LIST, 12)],
        ),
        report(
            "The memory it takes, at most",
            memory,
            [Ratio(LIST, NOVAS_LIST, 1 / 4), Ratio(LIST_MANY, LIST, 1.1)],
            unit="MiB",
        ),
    ]
    return same and whole and all(kept)


def _syncs(few: Site, many: Site, rounds: int) -> bool:
    """A sync of a host costs the same, however large the cloud is."""
    first = medians(
        {FIRST: few.sync, FIRST_MANY: many.sync},
        rounds,
        {FIRST: few.forget, FIRST_MANY: many.forget},
    )
    again = medians({AGAIN: few.sync, AGAIN_MANY: many.sync}, rounds)
    return report(
        "A sync of a host, a process each (median)",
        {**first, **again},
        [Ratio(FIRST_MANY, FIRST, 1.3), Ratio(AGAIN_MANY, AGAIN, 1.3)],
    )


def _starts(few: Site, rounds: int) -> bool:
    uuid = few.own[0]
    things = {
        GET: lambda: _run(few.mthook("mthook-admin", "get", uuid), 0),
        NOVAS_GET: lambda: _run(few.nova("get_machine_type", uuid), 0),
    }
    return report(
        "One machine type, a process each (median)",
        medians(things, max(rounds // 2, 3)),
        [Ratio(GET, NOVAS_GET, 1 / 4)],
    )


class _Looks:
    """The watch, a look at a time."""

    def __init__(self, config: str) -> None:
        options = conf.load([config])
        self._cells = watch.opened_nova(options)
        self._opened = self._cells.__enter__()
        self.result = Result(lambda _: None)
        self._watch = watch._Watch(options, self.result, threading.Event())

    def __call__(self) -> None:
        """Look once."""
        if not self._watch.look(self._opened):
            raise RuntimeError("a look failed")


def _cloud(some: Site, many: Site, rounds: int) -> bool:
    """A run is in proportion to the instances and takes no more memory for more; a look to what has changed."""
    for site in (some, many):
        site.keep_specs()
    first = {CLOUD_FIRST: _run(some.mthook("mthook-sync", "--cloud"), 0).seconds}
    _run(many.mthook("mthook-sync", "--cloud"), 0)
    runs = {
        CLOUD: some.mthook("mthook-sync", "--cloud"),
        CLOUD_MANY: many.mthook("mthook-sync", "--cloud"),
    }
    again = {name: min(_run(argv, 0).seconds for _ in range(2)) for name, argv in runs.items()}
    idle, idle_many, busy = some.watch(), many.watch(), many.watch()
    looks = medians({IDLE: idle, IDLE_MANY: idle_many}, rounds)
    busy()
    looks |= medians({BUSY_MANY: busy}, rounds, {BUSY_MANY: lambda: (time.sleep(1), many.change())})
    _print_rows(many)
    return all(
        [
            report(
                "Runs for the whole cloud, a process each",
                {**first, **again},
                [Ratio(CLOUD_MANY, CLOUD, 12)],
            ),
            report(
                "The memory they take, at most",
                {name: _memory(argv, 0) for name, argv in runs.items()},
                [Ratio(CLOUD_MANY, CLOUD, 1.1)],
                unit="MiB",
            ),
            report("Looks of the watch (median)", looks, [Ratio(IDLE_MANY, IDLE, 2)]),
        ]
    )


def _print_rows(site: Site) -> None:
    """Print what the server reads for the queries of a look that finds as many changed as one host has."""
    url = connection.parse_url(site.cloud.cell_url(), "the cell")
    engine = connection.engine(url, "the cell", 60)
    with contextlib.closing(engine.connect()) as session:
        newest = reading.newest_change(session)
        assert newest is not None
        since = newest - watch.OVERLAP
        for name, query in (
            ("the newest change", lambda: reading.newest_change(session)),
            ("what has changed", lambda: reading.changed(session, since, "")),
        ):
            before = _rows_read(session)
            begun = time.perf_counter()
            query()
            seconds = time.perf_counter() - begun
            read = _rows_read(session) - before
            print(f"  {name} among {MANY:,}: {read:,} rows read, {seconds * 1000:.1f} ms")
    engine.dispose()


def _rows_read(session: sa.engine.Connection) -> int:
    """Return how many rows the server has read for a session."""
    rows = session.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(value) for _, value in rows)


def _run(argv: Sequence[str], expected: int) -> Cost:
    """Run a command and return what it took.

    :param expected: the exit code that it must have.
    """
    begun = time.perf_counter()
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    if done.returncode != expected:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}\n{done.stderr}")
    return Cost(seconds, done.stdout.splitlines())


def _memory(argv: Sequence[str], expected: int) -> float:
    """Return the memory that a command of Python's has at most, in MiB."""
    with tempfile.NamedTemporaryFile("r") as file:
        _run([sys.executable, "-c", _WATCHED, file.name, *argv], expected)
        return int(file.read()) / 1024


def _uuids(lines: Sequence[str]) -> set[str]:
    """Return the UUIDs that a list begins its lines with; Nova's begins with a sentence."""
    return {line.split()[0] for line in lines if line.count("-") >= 4}


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
