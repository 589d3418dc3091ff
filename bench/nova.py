# SPDX-License-Identifier: Apache-2.0
"""mthook's commands beside Nova's own, on the databases of large clouds in a real MariaDB."""

from __future__ import annotations

import contextlib
import os
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


class Cost(NamedTuple):
    """What a process took.

    :ivar seconds: from its start to its end.
    :ivar kib: the memory it had at most.
    :ivar lines: what it printed.
    """

    seconds: float
    kib: int
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
    costs = {name: [_run(argv, 3)] for name, argv in things.items()}
    listed = {name: _uuids(cost) for name, (cost,) in costs.items()}
    same = listed[LIST] == listed[NOVAS_LIST] and len(listed[LIST]) == SOME
    whole = len(listed[LIST_MANY]) == MANY
    print(f"\nThe same {SOME:,} UUIDs from both: {same}; all of {MANY:,}: {whole}")
    # The first ones have warmed everything up.
    costs = {name: [] for name in things}
    for _ in range(3):
        for name, argv in things.items():
            costs[name] += [_run(argv, 3) for _ in range(1 if name == NOVAS_LIST else 3)]
    seconds = {name: min(one.seconds for one in cost) for name, cost in costs.items()}
    memory = {name: max(one.kib for one in cost) / 1024 for name, cost in costs.items()}
    kept = [
        report(
            "Instances without a machine type, a process each (the best of several)",
            seconds,
            [Ratio(LIST, NOVAS_LIST, 1 / 20), Ratio(LIST_MANY, LIST, 12)],
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
    with tempfile.TemporaryFile("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        complaints = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.stderr.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}\n{complaints}")
        output.seek(0)
        return Cost(seconds, usage.ru_maxrss, output.read().splitlines())


def _uuids(cost: Cost) -> set[str]:
    """Return the UUIDs that a list names; Nova's begins with a sentence."""
    return {line.split()[0] for line in cost.lines if line.count("-") >= 4}


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
