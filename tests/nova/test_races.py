# SPDX-License-Identifier: Apache-2.0
"""Several writers of one instance's metadata at once: syncs, an operator, and Nova, whose table has no unique key."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

import pytest

from tests.lab.nova import MACHINE_KEY, Cloud
from tests.nova import happenings
from tests.nova.client import Nova
from tests.nova.moments import await_lock, before
from tests.nova.place import Place
from tests.nova.racer import Racer

ROUNDS = 500
UUID = "3f2c1d3e-0000-4000-8000-000000000001"
NEIGHBOUR = "3f2c1d3e-0000-4000-8000-000000000002"
#: The database's users, by which the writers can be told apart.
NOVA, SYNC, OPERATOR = "nova", "sync", "operator"
#: None is what Nova would record by itself.
MACHINES = [f"pc-i440fx-{version}" for version in ("6.0", "6.1", "6.2", "7.0", "7.1", "7.2")]


class Write(NamedTuple):
    """One row added, deleted, or given another value."""

    user: str
    verb: str
    uuid: str
    key: str
    value: Optional[str]


class Ledger:
    """What becomes another in a cell's ``instance_system_metadata``, taken down by the database itself."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._seen = 0
        cloud.execute(
            "CREATE TABLE ledger (number SERIAL, user TEXT, verb TEXT, uuid TEXT, `key` TEXT, value TEXT)"
        )
        changed = "NOT (NEW.value <=> OLD.value)"
        for verb, row, condition in (
            ("INSERT", "NEW", "TRUE"),
            ("UPDATE", "NEW", changed),
            ("DELETE", "OLD", "TRUE"),
        ):
            cloud.execute(
                f"CREATE TRIGGER ledger_{verb} AFTER {verb} ON instance_system_metadata FOR EACH ROW"
                f" INSERT INTO ledger SELECT NULL, SUBSTRING_INDEX(USER(), '@', 1), '{verb}',"
                f" {row}.instance_uuid, {row}.key, {row}.value FROM DUAL WHERE {condition}"
            )

    def close(self) -> None:
        """Take nothing down any more."""
        for verb in ("INSERT", "UPDATE", "DELETE"):
            self._cloud.execute(f"DROP TRIGGER ledger_{verb}")
        self._cloud.execute("DROP TABLE ledger")

    def read(self) -> list[Write]:
        """Return what was written since the last time."""
        rows = self._cloud.execute(
            "SELECT * FROM ledger WHERE number > %s ORDER BY number", (self._seen,)
        )
        if rows:
            self._seen = rows[-1][0]
        return [Write(*row[1:]) for row in rows]


@pytest.fixture
def ledger(cloud: Cloud) -> Iterator[Ledger]:
    """A ledger of cell1's, and database users for it to tell apart."""
    opened = Ledger(cloud)
    for user in (SYNC, OPERATOR):
        cloud.mariadb.execute(f"CREATE USER {user}@'%%' IDENTIFIED BY %s", None, ("p",))
        cloud.mariadb.execute(f"GRANT ALL ON `{cloud.databases['cell1']}`.* TO {user}@'%'")
    yield opened
    for user in (SYNC, OPERATOR):
        cloud.mariadb.execute(f"DROP USER {user}@'%'")
    opened.close()


class Track:
    """An instance, and those who write its metadata.

    :ivar configs: of two syncs of its host, with a catalog each, and of an operator, who has the first one's.
    :ivar last: what was last asked for, by whomever.
    :ivar strict: Nova can't have put back what it had read before somebody asked for it.
    :ivar refused: what an operator has asked for, and then undone, as the pin had changed meanwhile.
    :ivar reverted: how often Nova has put back what was there when it had begun.
    """

    def __init__(self, cloud: Cloud, nova: Nova, ledger: Ledger, directory: Path) -> None:
        self.cloud = cloud
        self.nova = nova
        self.ledger = ledger
        self.last = MACHINES[0]
        self.strict = True
        self.refused: Optional[str] = None
        self.reverted = 0
        self.configs = []
        (directory / "node.xml").write_text("<node/>")
        for name, user, catalog in (("a", SYNC, "a"), ("b", SYNC, "b"), ("o", OPERATOR, "a")):
            (directory / name).mkdir()
            # Without TLS, which would cost more than all the rest.
            url = cloud.mariadb.url(cloud.databases["cell1"], user, "p", ssl_disabled="true")
            self.configs.append(
                cloud.mthook_conf(
                    directory / name,
                    catalog=directory / catalog / "catalog" / "catalog.sqlite",
                    cell=None,
                    api=False,
                    database={"connection": url},
                    libvirt={"connection_uri": f"test://{directory}/node.xml"},
                )
            )

    def sync(self, config: int = 0) -> list[str]:
        """Return a sync's command line."""
        return ["mthook-sync", "--config-file", str(self.configs[config])]

    def set(self, machine: str) -> list[str]:
        """Return an operator's command line."""
        options = ["--config-file", str(self.configs[2])]
        return ["mthook-admin", *options, "set", UUID, machine, "--force"]

    def live(self) -> list[str]:
        """Return what is recorded, once if all is well."""
        return [str(row["value"]) for row in self.cloud.rows(UUID) if row["deleted"] == 0]

    def check(self) -> None:
        """Check what a round has come to, one sync after it."""
        writes = self.ledger.read()
        mine = [one for one in writes if one.user in (SYNC, OPERATOR)]
        assert {(one.uuid, one.key) for one in mine} <= {(UUID, MACHINE_KEY)}
        # A sync replaces a value only where Nova has put back what an operator had changed.
        replaced = {one.value for one in mine if (one.user, one.verb) == (SYNC, "UPDATE")}
        assert replaced <= {self.last}
        (found,) = self.live()
        if found != self.last and found == self.refused:
            self.last = found  # a sync has seen it before it was undone
        elif found != self.last:
            assert not self.strict, writes
            assert [one for one in writes if (one.user, one.value) == (NOVA, found)], writes
            self.reverted += 1
            self.last = found


@pytest.fixture
def track(cloud: Cloud, nova: Nova, ledger: Ledger, tmp_path: Path) -> Track:
    """An instance with a recorded machine type, another one beside it, and one elsewhere."""
    cloud.add_instance(UUID, vm_state="stopped", machine=MACHINES[0])
    cloud.add_instance(NEIGHBOUR, vm_state="stopped", machine="q35")
    cloud.add_instance(host="beta", vm_state="stopped")
    ledger.read()
    return Track(cloud, nova, ledger, tmp_path)


def _another(track: Track, chance: random.Random) -> str:
    return chance.choice([machine for machine in MACHINES if machine != track.last])


@pytest.mark.timeout(600)
def test_after_any_race_one_sync_makes_it_right(
    track: Track, cloud: Cloud, databases: Cloud, tmp_path: Path
) -> None:
    """Two syncs, a running update of Nova's and, in turn, what else can happen at the same time."""
    (tmp_path / "second").mkdir()
    with Nova(databases, tmp_path / "second") as second, Racer() as a, Racer() as b, Racer() as o:
        for number in range(ROUNDS):
            chance = random.Random(number)
            _round(track, (a, b, o), second, number, chance)
            a.begin(*track.sync())
            assert a.end() == (0, "", "")
            track.check()
            if number % 50 == 49:
                _agree(track, b)

    assert cloud.machine(NEIGHBOUR) == "q35"
    # In the last round a second Nova may save what it had read before the first one did.
    (touched,) = [row["value"] for row in cloud.rows(UUID, "touched")]
    assert touched in (str(ROUNDS - 1), str(ROUNDS))
    # To be seen with -rP; that Nova undoes a change by saving what it had read before is not mthook's doing.
    print(f"Nova put back {track.reverted} of {ROUNDS // 5} changes")


def _agree(track: Track, racer: Racer) -> None:
    """Check that the other catalog has, after a sync of its own, the same pin."""
    racer.begin(*track.sync(1))
    assert racer.end() == (0, "", "")
    for config in (0, 1):
        racer.begin(
            "mthook-admin",
            "--config-file",
            track.configs[config],
            "list",
            "-f",
            "value",
            "-c",
            "Pin",
        )
        assert sorted(racer.end().out.split()) == sorted([track.last, "q35"])


def _round(
    track: Track, racers: tuple[Racer, ...], second: Nova, number: int, chance: random.Random
) -> None:
    kind, (a, b, operator) = number % 5, racers
    quiet = number % 10 < 5  # Nova has nothing in hand while the operator is at work
    if kind == 1:  # Nova knows nothing of the machine type, and takes away what others record
        happenings.lose(track.cloud, UUID)
        track.nova.load(UUID)
    elif kind == 2:
        happenings.add_row(track.cloud, UUID, track.last)
    elif kind == 3 and quiet:  # the syncs are about to write what was there before
        happenings.lose(track.cloud, UUID)
    update = threading.Thread(target=_save, args=(track, number, chance.uniform(0, 0.03)))
    update.start()
    if quiet:
        update.join()
    a.begin(*track.sync())
    b.begin(*track.sync(1))
    track.refused = None
    if kind == 3:
        machine = _another(track, chance)
        operator.begin(*track.set(machine))
        said = operator.end()
        assert said.code == 0 or "somebody else" in said.err, said
        if said.code == 0:
            track.last = machine
        track.refused = machine if said.code else None
    elif kind == 4:
        track.last = _another(track, chance)
        assert second.update(UUID, track.last, force=True).code == 0
    update.join()
    for racer in (a, b):
        assert racer.end() == (0, "", "")
    track.strict = quiet
    if quiet:  # mthook itself never makes two rows
        assert len(track.live()) <= 1


def _save(track: Track, number: int, after: float) -> None:
    time.sleep(after)
    track.nova.save(UUID, touched=str(number + 1))


def test_a_second_row_of_novas_own_making_goes_with_the_next_sync(
    cloud: Cloud, nova: Nova, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nova has read that there is none, waits for the sync that records one, and adds its own."""
    place = Place(cloud, tmp_path, capsys)
    cloud.add_instance(UUID, vm_state="stopped", machine=MACHINES[0])
    assert place.sync() == (0, "", "")
    nova.load(UUID)
    happenings.lose(cloud, UUID)
    save = threading.Thread(target=nova.touch, args=(UUID,))

    def meanwhile() -> None:
        save.start()
        await_lock(cloud)

    with before("FOR UPDATE", 1, meanwhile):
        assert place.sync() == (0, "", "")
    save.join()
    assert place.recorded() == {UUID: [MACHINES[0]] * 2}

    assert place.sync() == (0, "", "")
    assert place.recorded() == {UUID: [MACHINES[0]]}
    assert nova.get(UUID) == (0, f"{MACHINES[0]}\n")


def test_an_operators_change_isnt_overwritten_by_what_nova_has_read_before(
    cloud: Cloud, nova: Nova, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nova, in the middle of a save, writes only what it has changed itself."""
    place = Place(cloud, tmp_path, capsys)
    cloud.add_instance(UUID, vm_state="stopped", machine=MACHINES[0])
    assert place.sync() == (0, "", "")
    save = threading.Thread(target=nova.touch, args=(UUID,))

    def meanwhile() -> None:
        save.start()
        await_lock(cloud)

    with before("FOR UPDATE", 1, meanwhile):
        assert place.admin("set", UUID, MACHINES[1]).code == 0
    save.join()

    assert place.recorded() == {UUID: [MACHINES[1]]}
    assert place.sync() == (0, "", "")
    assert place.pins() == {UUID: MACHINES[1]}
