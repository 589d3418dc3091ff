# SPDX-License-Identifier: Apache-2.0
"""The figures of a host, from a catalog that says what there is."""

from __future__ import annotations

import socket
import sys
import time
import uuid as uuids
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mthook import __version__
from mthook import conf as configuration
from mthook.catalog.records import Capability, Compared, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.hook import daemons, install
from mthook.host import capabilities
from mthook.operations import exposition, metrics
from mthook.operations.metrics import Sample
from mthook.operations.readiness.context import Context
from mthook.text import now
from mthook.xmlrewrite.summary import Summary
from tests.unit.host.fakes import host
from tests.unit.test_prometheus import promtool

QEMU = "/usr/bin/qemu-system-x86_64"
NEW, OLD, OLDEST, GONE = "pc-i440fx-7.2", "pc-i440fx-6.2", "pc-i440fx-2.4", "pc-i440fx-1.0"
OLDER = "pc-i440fx-1.1"
HOSTILE = 'w"eb\n1\\ <script>ö\x1b' + "x" * 100
AT, LATER = "2026-11-22T13:00:00.000000Z", "2026-11-22T14:00:00.500000Z"


def uuid(number: int) -> str:
    """Return the UUID of a guest."""
    return str(uuids.UUID(int=number))


def guest(number: int, defined: str, running: str | None = None, state: str = "") -> Guest:
    """Return a guest as a sync saw it."""
    state = state or ("running" if running else "shut off")
    return Guest(
        uuid(number), f"g{number}", "x86_64", "kvm", QEMU, defined, running, state, seen_at=now()
    )


class Place:
    """A host's catalog and configuration, whose libvirt can't be reached."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "mthook.conf"
        self.textfile = directory / "mthook.prom"
        self.hooks = directory / "hooks"
        self.hooks.mkdir()
        self.configure()

    def configure(self, text: str = "") -> None:
        """Write the configuration."""
        self.file.write_text(
            f"[catalog]\npath = {self.directory}/lib/catalog.sqlite\n"
            "[libvirt]\nconnection_uri = qemu+unix:///system?socket=/nonexistent\n"
            f"[gate]\nlisten = {self.directory}/gate\n"
            f"[metrics]\ntextfile = {self.textfile}\n{text}"
        )
        self.conf = configuration.load([str(self.file)])

    def catalog(self) -> Catalog:
        """Open the catalog."""
        return Catalog.open(self.conf.catalog.path)

    def context(self) -> Context:
        """Return what figures are made of."""
        return Context(self.conf, [str(self.file)], str(self.hooks))

    def pin(self, number: int, machine: str, seen: str | None = None) -> None:
        """Pin a guest."""
        with self.catalog() as catalog:
            catalog.set_pin(uuid(number), machine, source="definition", actor="test", seen=seen)

    def see(self, *guests: Guest) -> None:
        """See all guests there are."""
        with self.catalog() as catalog:
            catalog.see_guests(guests, now())

    def figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return all figures, by name and labels."""
        with self.context() as context:
            return {metric.name: dict(samples) for metric, samples in metrics.measure(context)}

    def figure(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of one figure."""
        return self.figures()[name]

    def text(self) -> str:
        """Return all figures as Prometheus reads them."""
        with self.context() as context:
            return exposition.render(metrics.measure(context))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A host that has been synced, without guests; QEMU has four machine types, of which two are aliases."""
    monkeypatch.setattr(daemons, "running", lambda *_: [])
    place = Place(tmp_path)
    offered = [
        ("pc", NEW, False),
        (NEW, None, False),
        (OLD, None, False),
        (OLDEST, None, True),
    ]
    with place.catalog() as catalog:
        listed = [Capability(QEMU, "x86_64", "kvm", *machine) for machine in offered]
        catalog.replace_capabilities(listed, HostFacts("here", "7.2.22", "9.0.0"))
    yield place


def test_guests_are_counted_by_what_they_run_or_would_be_started_as(place: Place) -> None:
    """Shut off ones too; an alias counts as what it stands for; who has left isn't counted."""
    place.see(guest(9, OLD))
    for number, machine in enumerate((OLD, OLDEST, "pc", OLDEST)):
        place.pin(number, machine)
    place.see(
        guest(0, NEW, NEW),  # drifted
        guest(1, OLDEST),
        guest(2, "pc"),
        guest(3, NEW),  # to be realigned
        guest(4, OLD, OLD, "paused"),
        guest(5, GONE, GONE),
    )

    assert place.figure("mthook_guests") == {
        (NEW, "running", "no"): 1,
        (NEW, "shut off", "no"): 1,
        (OLDEST, "shut off", "yes"): 2,
        (OLD, "paused", "no"): 1,
        (GONE, "running", "unknown"): 1,
    }
    assert place.figure("mthook_unpinned_guests") == {(): 2}


def test_drift_is_counted_by_kind(place: Place) -> None:
    """Those that there is none of too: a series that comes and goes is none to count with."""
    assert place.figure("mthook_drift") == {
        (kind,): 0 for kind in ("defined", "nova", "running", "stopped")
    }
    for number in range(3):
        place.pin(number, OLD)
    place.see(guest(0, NEW, NEW), guest(1, NEW), guest(2, OLD))
    with place.catalog() as catalog:
        catalog.set_compared(Compared(uuid(2), NEW, 1, None))

    assert place.figure("mthook_drift") == {
        ("defined",): 2,
        ("nova",): 1,
        ("running",): 1,
        ("stopped",): 0,
    }


def test_what_qemu_cant_start_is_counted(place: Place) -> None:
    """Pins without a guest too; a libvirt that doesn't answer for a pin doesn't have it."""
    for number, machine in enumerate((GONE, GONE, OLD, "pc")):
        place.pin(number, machine)
    place.see(*(guest(number, NEW) for number in range(1, 4)))

    assert place.figure("mthook_unstartable_guests") == {(): 2}


def test_libvirt_is_asked_once_for_what_many_are_pinned_to(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question takes it milliseconds, and a host has thousands of guests."""
    asked = []
    monkeypatch.setattr(capabilities, "supports", lambda *question: asked.append(question[2]))
    for number in range(20):
        place.pin(number, (GONE, OLDER)[number % 2])
    place.see(*(guest(number, NEW) for number in range(20)))
    with place.context() as context:
        context.host = lambda: host()[0]
        told = {metric.name: dict(samples) for metric, samples in metrics.measure(context)}

    assert told["mthook_unstartable_guests"] == {(): 20}
    assert sorted(asked) == [GONE, OLDER]


def test_while_nobody_knows_what_qemu_offers_nothing_is_said_of_it(place: Place) -> None:
    """Neither that all guests can start nor that none can."""
    place.pin(0, OLD)
    with place.catalog() as catalog:
        catalog.replace_capabilities([], HostFacts())

    assert place.figure("mthook_unstartable_guests") == {}


def test_pins_are_counted_by_the_release_that_ends_them(place: Place) -> None:
    """Of guests that are shut off too, not of those that have left."""
    place.see(guest(7, NEW))
    others = ("pc", "pc-i440fx-rhel7.6.0", "pc-i440fx-focal", "pc-i440fx-9.2+pve1")
    for number, machine in enumerate((NEW, NEW, OLD, OLDEST, *others[:3], NEW, others[3], GONE)):
        place.pin(number, machine)
    place.see(guest(0, NEW), guest(2, OLD, OLD))

    assert place.figure("mthook_pins_ending") == {
        ("6.0",): 1,  # deleted long before there was a rule
        ("13.2",): 2,
        ("12.2",): 1,
        ("10.1",): 1,
        ("unknown",): 4,
    }


def start(number: int) -> Summary:
    """Return a guest as the hook sees it."""
    seen = Summary()
    seen.uuid, seen.name, seen.arch, seen.virt_type, seen.emulator = (
        uuid(number),
        f"g{number}",
        "x86_64",
        "kvm",
        QEMU,
    )
    seen.nova = seen.windows = False
    return seen


COUNTERS = (
    "mthook_stops_total",
    "mthook_refusals_total",
    "mthook_rewrites_total",
    "mthook_hook_records_total",
)


def test_what_happened_is_counted_and_no_count_falls(place: Place) -> None:
    """A guest that is forgotten leaves its history; a repair that came to nothing is no rewrite."""
    before = place.figures()
    with place.catalog() as catalog:
        catalog.record_pin(start(0), OLD, source="first boot", at=AT, running=OLD)
        for operation, at in (("prepare", AT), ("prepare", AT), ("migrate", LATER)):
            catalog.record_stop(start(0), OLD, NEW, operation, at)
        catalog.record_drift(start(0), OLD, NEW, "started", AT)
        for event in ("rewritten", "rewritten", "realigned", "repaired", "drift", "stopped"):
            catalog.add_history(uuid(0), event, actor="mthook-sync", reason="it <runs>")
    counted = place.figures()
    with place.catalog() as catalog:
        assert catalog.forget(uuid(0), actor="mthook-sync", reason="gone")

    assert [before[name] for name in COUNTERS] == [
        {(): 0},
        {("migrate",): 0, ("restore",): 0},
        {("gate",): 0, ("realign",): 0},
        {},
    ]
    assert [counted[name] for name in COUNTERS] == [
        {(): 3},
        {("migrate",): 1, ("restore",): 0},
        {("gate",): 2, ("realign",): 1},
        {
            ("drift", "started"): 1,
            ("pinned", "unknown"): 1,
            ("stopped", "migrate"): 1,
            ("stopped", "prepare"): 2,
        },
    ]
    assert [place.figure(name) for name in COUNTERS] == [counted[name] for name in COUNTERS]
    last = "mthook_hook_last_record_timestamp_seconds"
    assert (before[last], counted[last]) == ({(): 0}, {(): 1795356000.5})


def test_the_syncs_end_success_and_errors_are_told(place: Place) -> None:
    """Times are seconds; 0 is never."""
    names = ("last_run_timestamp_seconds", "last_success_timestamp_seconds", "errors")
    told = []
    for runs in ((), ((AT, 0),), ((LATER, 3),)):
        with place.catalog() as catalog:
            for at, errors in runs:
                catalog.set_run(at, errors)
        told.append([place.figure(f"mthook_sync_{name}")[()] for name in names])

    assert told == [[0, 0, 0], [1795352400, 1795352400, 0], [1795356000.5, 1795352400, 3]]


def test_versions_and_mode_are_told(place: Place) -> None:
    """A mode each, so that a query needs no text."""
    assert place.figure("mthook_info") == {(__version__, "7.2.22", "9.0.0"): 1}
    assert place.figure("mthook_hook_mode") == {("audit",): 1, ("enforce",): 0, ("off",): 0}
    place.configure("[hook]\nmode = enforce\n")
    assert place.figure("mthook_hook_mode") == {("audit",): 0, ("enforce",): 1, ("off",): 0}


@pytest.mark.parametrize(
    ("installed", "daemon", "proven"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_the_guard_is_proven_where_a_daemon_knows_the_hook(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    installed: bool,
    daemon: bool,
    proven: bool,
) -> None:
    """Without a daemon nothing shows that anybody calls it."""
    if installed:
        wiring = install.Wiring.of_this_process(place.conf.catalog.path, [str(place.file)])
        install.install(str(place.hooks), wiring)
    running = [daemons.Daemon(4711, "libvirtd", 99, 2e9)] if daemon else []
    monkeypatch.setattr(daemons, "running", lambda *_: running)

    assert place.figure("mthook_guard_proven") == {(): proven}
    assert place.figure("mthook_hook_check") == {
        ("installed",): installed,
        ("current",): installed,
        ("loaded",): proven,
    }


def test_a_hook_that_cant_be_looked_at_is_not_proven(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other figures are there all the same."""

    def fail(*_: object) -> None:
        raise install.InstallError("qemu: Permission denied")

    monkeypatch.setattr(install, "status", fail)

    assert place.figure("mthook_guard_proven") == {(): 0}
    assert place.figure("mthook_info")


def test_series_of_guests_are_there_where_asked_for(place: Place) -> None:
    """One for each; their names are text from strangers."""
    place.pin(0, OLD)
    place.see(replace(guest(0, NEW, NEW), name=HOSTILE), guest(1, OLD))
    assert "mthook_guest_info" not in place.figures()
    place.configure("per_guest = true\n")

    told = place.figure("mthook_guest_info")

    name = 'w"eb\\n1\\ <script>ö\\x1b' + "x" * 46 + "..."
    assert told == {
        (uuid(0), name, OLD, NEW, "running", "yes"): 1,
        (uuid(1), "g1", "none", OLD, "shut off", "no"): 1,
    }


def samples(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the labels of all samples as Prometheus' own parser reads them."""
    families = [family.samples for family in text_string_to_metric_families(text)]
    return {found[0].name: [one.labels for one in found] for found in families if found}


def test_hostile_names_stay_in_their_labels(place: Place) -> None:
    """Quotes, line ends, HTML: Prometheus reads back what was said, and has no complaint."""
    place.configure("per_guest = true\n")
    place.see(replace(guest(0, NEW, NEW), name=HOSTILE), replace(guest(1, NEW), defined='p"c\n<b>'))

    text = place.text()

    assert promtool("check", "metrics", text=text).returncode == 0
    told = samples(text)
    assert told["mthook_guest_info"][1]["name"].startswith('w"eb\\n1\\ <script>')
    assert [one["machine"] for one in told["mthook_guests"]] == ["other", NEW]


def test_series_are_bounded(place: Place) -> None:
    """Of names that no emulator offers the most frequent have their own; those too long have none."""
    names = [f"pc-i440fx-{number}.0" for number in range(100, 400)]
    machines = [*names, NEW, OLDEST, *[GONE] * 2, *["x" * 65] * 3]
    place.see(*(guest(number, machine) for number, machine in enumerate(machines)))

    told = place.figure("mthook_guests")

    assert len(told) == 50 - 1 + 2 + 1
    assert told[GONE, "shut off", "unknown"] == 2
    assert told[NEW, "shut off", "no"] == told[OLDEST, "shut off", "yes"] == 1
    assert sum(told.values()) == len(machines)
    assert told["other", "shut off", "unknown"] == 300 - 48 + 3


def crowd(place: Place, number: int) -> None:
    """Put guests on a host, with their pins and a history of ten rows each."""
    machines = (NEW, OLD, OLDEST, GONE)
    guests = [guest(one, machines[one % 4], machines[one % 4]) for one in range(number)]
    place.see(*guests)
    pins = (
        "INSERT INTO pins (uuid, machine, arch, source, actor, created_at, updated_at)"
        " SELECT uuid, defined, arch, 'definition', 'test', seen_at, seen_at FROM guests"
    )
    drift = (
        "INSERT INTO history (uuid, at, event, reason, actor)"
        " SELECT uuid, seen_at, 'drift', 'started', 'hook' FROM guests"
    )
    with place.catalog() as catalog, catalog.transaction() as connection:
        connection.execute(pins)
        for _ in range(10):
            connection.execute(drift)


@pytest.mark.parametrize("per_guest", [False, True])
def test_ten_thousand_guests_are_written_in_half_a_second(place: Place, per_guest: bool) -> None:
    """Processor time of the fastest of five: other programs run on this machine, too."""
    place.configure(f"per_guest = {per_guest}\n")
    crowd(place, 10_000)
    taken = []
    for _ in range(5):
        begun = time.process_time()
        with place.context() as context:
            exposition.write(str(place.textfile), metrics.measure(context))
        taken.append(time.process_time() - begun)

    # What measures coverage takes as long again.
    assert min(taken) < 0.5 * (2 if sys.gettrace() else 1)
    text = place.textfile.read_text()
    assert len(text.splitlines()) < 200 + per_guest * 10_002
    assert samples(text)["mthook_unstartable_guests"] == [{}]


def test_metrics_have_distinct_names_that_tell_their_kind() -> None:
    """As Prometheus wants them."""
    kinds = {metric.name: metric.kind for metric in metrics.METRICS}

    assert len(kinds) == len(metrics.METRICS)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds.items())


def labels(measured: Sequence[Sample]) -> set[int]:
    """Return how many labels samples have."""
    return {len(values) for values, _ in measured}


def test_every_sample_has_its_metrics_labels(place: Place) -> None:
    """No more, no fewer."""
    place.configure("per_guest = true\n")
    place.pin(0, OLD)
    place.see(guest(0, OLD))
    with place.context() as context:
        for metric, measured in metrics.measure(context):
            assert labels(measured) <= {len(metric.labels)}, metric.name


def test_a_gate_judges_or_it_doesnt(place: Place) -> None:
    """Without one there is no sample."""
    gate = place.directory / "gate"
    assert place.figure("mthook_gate_judges") == {}

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(gate))
        listening.listen()
        assert place.figure("mthook_gate_judges") == {(): 1}
    gate.unlink()
    gate.symlink_to("libvirt-sock")  # as mthook-gate-bypass.service makes it
    assert place.figure("mthook_gate_judges") == {(): 0}
