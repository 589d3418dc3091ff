# SPDX-License-Identifier: Apache-2.0
"""mthook's commands beside Nova's own, on the databases of large clouds in a real MariaDB."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.timing import Ratio, medians, report
from tests.lab.mariadb import MariaDB
from tests.lab.nova import Cloud
from tests.lab.novaschema import make_schema

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
            kept = [_lists(some, many), _syncs(few, many, rounds), _starts(few, rounds)]
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
