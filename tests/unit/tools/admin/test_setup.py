# SPDX-License-Identifier: Apache-2.0
"""``setup`` and ``uninstall`` where systemd runs, and with Nova: what is written where, and what systemctl is told."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from mthook import conf as configuration
from mthook.catalog.store import Catalog
from mthook.hook import daemons, install
from mthook.locks import only_one
from mthook.operations.readiness.context import behind_gate
from mthook.operations.setup import found, places
from mthook.xmlrewrite.summary import PIN_NAMESPACE
from tests.programs import Said
from tests.systemctl import systemctl

from .conftest import DB, WEB, Run, xml

GATE_LINE = "connection_uri = qemu+unix:///system?socket=/run/mthook/libvirt-sock\n"
NOVA_CONF = "[libvirt]\nvirt_type = kvm\n"
#: Nobody listens there.
URL = "mysql+pymysql://nova:sesame@127.0.0.1:1/nova"

#: Run setup, or uninstall, on this host.
Do = Callable[..., Said]


class Running(daemons.Daemon):
    """A virtqemud on this host, or in a container; nothing tells it anything."""

    is_contained = False
    #: The directories in which it looks for hooks.
    places: tuple[str, ...] = (install.DEFAULT_DIRECTORY,)

    def reads(self, directory: str) -> bool:
        """Whether it is one of them."""
        return directory in self.places

    def look_again(self) -> None:
        """Take note without a signal."""


class Place:
    """The directories of a host, and what its systemctl was told."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.systemd, self.cron = directory / "systemd", directory / "cron"
        self.share = directory / "share"
        self.nova_conf = directory / "nova" / "nova.conf"
        self.hooks, self.booted = directory / "hooks", directory / "booted"
        self.packaged_units = directory / "package"
        self._told = directory / "told"
        for path in (self.systemd, self.cron, self.hooks, self.booted):
            path.mkdir()
        self.nova_conf.parent.mkdir()
        program = directory / "bin" / "systemctl"
        program.parent.mkdir()
        program.write_text(systemctl(self.systemd, self._told))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        for name in ("SYSTEMD", "PACKAGED_UNITS", "CRON", "SHARE", "NOVA_CONF"):
            monkeypatch.setattr(places, name, str(getattr(self, name.lower())))
        monkeypatch.setattr(places, "SYSTEMD_RUNS", str(self.booted))

    def told(self) -> list[str]:
        """Return what systemctl was told since the last time."""
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        self._told.unlink(missing_ok=True)
        return lines

    def units(self) -> set[str]:
        """Return the names of the units that are there."""
        return {path.name.removeprefix("mthook-") for path in self.systemd.glob("*.*[!s]")}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A host where systemd runs, without Nova."""
    monkeypatch.setattr(install, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(daemons, "everywhere", lambda: [])
    return Place(tmp_path, monkeypatch)


@pytest.fixture
def do(run: Run, place: Place, driver: libvirt.virConnect) -> Do:
    """Run a command with --yes."""

    def call(command: str, *argv: str) -> Said:
        return run(command, "--yes", "--hooks-dir", str(place.hooks), *argv)

    return call


SYNC = {"sync.service", "sync.timer", "repair.service", "repair.path", "failure.service"}
PUSH = {"push.service", "push.path"}
GATE = {"gate.service", "gate.socket", "gate-bypass.service"}


def test_systemd_starts_what_was_written(place: Place, do: Do) -> None:
    """Without Nova neither push nor gate."""
    assert do("setup").code == 0

    assert place.units() == SYNC
    assert place.told() == [
        "daemon-reload",
        "enable --now mthook-sync.timer mthook-repair.path",
    ]
    assert list(place.cron.iterdir()) == []


def test_a_sync_that_the_timer_runs_just_then_is_waited_for(
    place: Place, do: Do, config: Path
) -> None:
    """A setup a moment ago has started the timer."""
    do("setup")
    catalog = configuration.load([str(config)]).catalog.path
    with contextlib.ExitStack() as other:
        other.enter_context(only_one(os.path.dirname(catalog)))
        threading.Timer(0.7, other.pop_all().close).start()

        assert do("setup", "--mode", "enforce").code == 0


def test_a_database_makes_it_push(place: Place, do: Do, tmp_path: Path, config: Path) -> None:
    """Its password is read from a file, and shown by nothing."""
    secret = tmp_path / "secret"
    secret.write_text(f"{URL}\n")

    said = do("setup", "--database", str(secret))

    assert place.units() == SYNC | PUSH
    assert URL in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    assert "sesame" not in said.out + said.err


def test_a_database_that_doesnt_answer_is_said_and_the_rest_is_done(
    place: Place, do: Do, tmp_path: Path
) -> None:
    """The host is watched all the same; the exit code tells that something is to be mended."""
    secret = tmp_path / "secret"
    secret.write_text(f"{URL}\n")

    said = do("setup", "--database", str(secret))

    assert said.code == 1
    assert said.err.startswith("mthook-admin: ")
    assert "127.0.0.1" in said.err
    assert "\nCan't be done now: " in said.out
    assert (
        "\nOnly partly set up, see above: 1 error. Mend that, then run 'mthook-sync'.\n" in said.out
    )
    assert (place.hooks / "qemu").exists()


def test_with_nova_the_gate_is_installed_and_its_line_is_shown(place: Place, do: Do) -> None:
    """nova.conf is its owner's."""
    place.nova_conf.write_text(NOVA_CONF)

    said = do("setup")

    assert place.units() == SYNC | GATE
    assert place.told()[-1] == "enable --now mthook-gate.socket"
    assert f"  [libvirt]\n  {GATE_LINE}" in said.out
    assert place.nova_conf.read_text() == NOVA_CONF


def test_without_the_gate_if_so_asked(place: Place, do: Do) -> None:
    """--no-gate."""
    place.nova_conf.write_text(NOVA_CONF)

    said = do("setup", "--no-gate")

    assert place.units() == SYNC
    assert "connection_uri" not in said.out


def test_the_line_is_written_on_request_and_taken_back_first(place: Place, do: Do) -> None:
    """nova-compute would lose libvirt if the gate went before it was restarted."""
    place.nova_conf.write_text(NOVA_CONF)
    os.chown(place.nova_conf, 1, 5)
    place.nova_conf.chmod(0o640)

    said = do("setup", "--write-nova-conf")

    assert GATE_LINE in place.nova_conf.read_text()
    assert "The line that leads Nova" not in do("setup").out
    assert "\nNext: restart nova-compute, which then connects through the gate\n" in said.out
    status = place.nova_conf.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1, 5, 0o640)

    first = do("uninstall")
    assert first.code == 1
    assert f"{place.nova_conf}: leads Nova back to libvirt\n" in first.out
    assert first.err == (
        "mthook-admin: mthook-gate stays: nova-compute may be connected through it. See that connection_uri"
        f" in {place.nova_conf} doesn't lead to it, restart nova-compute, then 'mthook-admin uninstall' again\n"
    )
    assert place.nova_conf.read_text() == NOVA_CONF
    assert place.units() == GATE

    assert do("uninstall").code == 0
    assert place.units() == set()


def test_nobody_who_answers_is_no_url(
    place: Place, run: Run, driver: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-D at the question: one line, and nothing is done."""
    place.nova_conf.write_text(NOVA_CONF)

    def end(_: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", end)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    said = run("setup", "--hooks-dir", str(place.hooks))

    assert (said.code, said.out, place.units()) == (1, "", set())
    assert said.err == (
        "mthook-admin: nobody answers: give --database FILE, or --yes to go without\n"
    )


def test_a_line_of_somebody_elses_stays_and_so_does_the_gate(place: Place, do: Do) -> None:
    """However often uninstall is called."""
    place.nova_conf.write_text(NOVA_CONF)
    do("setup")
    own = NOVA_CONF + GATE_LINE
    place.nova_conf.write_text(own)

    for _ in range(2):
        assert do("uninstall").code == 1
        assert (place.nova_conf.read_text(), place.units()) == (own, GATE)


def test_nobody_is_led_past_a_gate_that_is_removed(place: Place, do: Do, config: Path) -> None:
    """systemd had done so, because it didn't start."""
    do("setup")
    gate = place.systemd.with_name("gate")
    gate.symlink_to("/run/libvirt/libvirt-sock")
    config.write_text(f"{config.read_text()}[gate]\nlisten = {gate}\n")

    assert do("uninstall").code == 0

    assert not gate.is_symlink()


@pytest.mark.parametrize(
    ("options", "minds"),
    [
        (("--mode", "enforce"), True),
        (("--mode", "enforce", "--write-nova-conf"), False),
        (("--mode", "audit"), False),
    ],
)
def test_that_a_stop_would_leave_an_instance_in_error_is_said_before(
    place: Place, do: Do, options: tuple[str, ...], minds: bool
) -> None:
    """Where neither Nova's database nor the gate puts a start right."""
    place.nova_conf.write_text(NOVA_CONF)

    assert ("\nCareful: Nova neither learns the pins " in do("setup", *options).out) == minds


def test_a_packages_units_are_enabled_and_disabled_where_they_are(place: Place, do: Do) -> None:
    """One that says something else than this host needs is written over, as an administrator would."""
    do("setup")
    place.packaged_units.mkdir()
    for path in place.systemd.glob("mthook-*"):
        path.rename(place.packaged_units / path.name)
        text = (place.packaged_units / path.name).read_text()
        (place.packaged_units / path.name).write_text(text.partition("\n")[2])
    (place.packaged_units / "mthook-repair.service").write_text("of another version")
    shutil.rmtree(place.systemd / "any.wants")
    place.told()

    first, second = do("setup"), do("setup")

    assert "done: run mthook-sync" in first.out
    assert place.units() == {"repair.service"}
    assert place.told()[1] == "enable --now mthook-sync.timer mthook-repair.path"
    assert "run mthook-sync" in second.out and "done: run mthook-sync" not in second.out

    said = do("uninstall")

    assert "\nmthook-sync.timer: disabled\n" in said.out
    assert {"disable", "mthook-sync.timer", "mthook-repair.path"} < set(place.told()[0].split())
    assert place.units() == set()
    assert len(list(place.packaged_units.iterdir())) == len(SYNC)


def test_the_copies_of_an_earlier_setup_give_way_to_a_packages_units(place: Place, do: Do) -> None:
    """As after a wheel that the package replaces. An administrator's own unit wins, as ever."""
    do("setup")
    place.packaged_units.mkdir()
    for path in place.systemd.glob("mthook-*"):
        head, _, rest = path.read_text().partition("\n")
        (place.packaged_units / path.name).write_text(rest)
        path.write_text(f"{head}\n{rest.replace(sys.prefix, '/opt/mthook')}")
    (place.systemd / "mthook-repair.path").write_text("of an administrator")
    place.told()

    first, second = do("setup"), do("setup")

    assert "done: run mthook-sync" in first.out
    assert place.units() == {"repair.path"}
    assert place.told()[:3] == [
        "disable mthook-sync.timer",
        "daemon-reload",
        "enable --now mthook-sync.timer mthook-repair.path",
    ]
    assert "done: run mthook-sync" not in second.out


def test_uninstall_disables_before_it_removes(place: Place, do: Do) -> None:
    """Those of a controller as well, and cron's files."""
    do("setup")
    (place.systemd / "mthook-cloud.timer").touch()
    (place.systemd / "other.timer").touch()
    for name in ("mthook", "mthook-cloud", "other"):
        (place.cron / name).touch()
    place.told()

    assert do("uninstall").code == 0

    first, last = place.told()
    assert set(first.split()) == {"disable", "--now", "mthook-cloud.timer"} | {
        f"mthook-{name}" for name in SYNC
    }
    assert last == "daemon-reload"
    assert place.units() == {"other.timer"}
    assert [path.name for path in place.cron.iterdir()] == ["other"]
    assert not [path for path in place.share.rglob("*") if path.is_file()]


def test_a_systemctl_that_fails_ends_it_with_one_line(
    place: Place, do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Setup can be called again."""
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho refused >&2\nexit 1\n")

    said = do("setup")

    assert (said.code, said.err) == (1, "mthook-admin: systemctl daemon-reload: refused\n")


def test_without_systemd_and_cron_it_says_what_is_missing(place: Place, do: Do) -> None:
    """mthook-sync has to be called by something."""
    place.booted.rmdir()
    place.cron.rmdir()

    said = do("setup")

    assert said.code == 0
    assert (
        "  neither systemd nor cron runs here: have something else run mthook-sync every few minutes\n"
        in said.out
    )


def test_many_guests_are_counted_and_some_are_named(
    place: Place, do: Do, driver: libvirt.virConnect
) -> None:
    """The plan fits a screen."""
    for number in range(30):
        uuid = f"3f2c1d3e-0000-4000-8000-0000000000{number:02x}"
        driver.defineXML(xml(uuid=uuid, name=f"web-{number:02}"))

    said = do("setup")

    assert "\nNew pins from the definition: 30\n" in said.out
    assert "\n  and 20 more: 'mthook-sync --dry-run' names them\n" in said.out
    assert said.out.count(": pc-i440fx-6.2\n") == 10


@pytest.mark.usefixtures("picky")
def test_a_start_that_enforce_would_stop_is_named(
    place: Place, do: Do, driver: libvirt.virConnect, catalog: Catalog
) -> None:
    """With the reason why its definition can't be realigned."""
    driver.defineXML(xml("pc-i440fx-2.0"))
    catalog.set_pin(WEB, "pc-q35-99.9", source="operator", actor="root")

    said = do("setup")

    assert "\nIn mode enforce: 0 definitions to realign, 1 start to stop\n" in said.out
    assert f"  web-1 ({WEB}) wouldn't start: " in said.out


def test_figures_that_nobody_writes_any_more_are_removed(
    place: Place, do: Do, config: Path, tmp_path: Path
) -> None:
    """The service may write them where the option says; uninstall takes them with it."""
    (tmp_path / "node").mkdir()
    textfile = tmp_path / "node" / "mthook.prom"
    config.write_text(f"{config.read_text()}[metrics]\ntextfile = {textfile}\n")

    assert do("setup").code == 0
    textfile.touch()
    service = (place.systemd / "mthook-sync.service").read_text()
    said = do("uninstall")

    assert f"\nReadWritePaths=-{tmp_path}/node\n" in service
    assert f"{textfile}: removed\n" in said.out
    assert list(textfile.parent.iterdir()) == []
    assert do("uninstall").code == 0


def test_pins_that_guests_carry_are_taken_out_on_request(
    place: Place, do: Do, driver: libvirt.virConnect
) -> None:
    """Of running and shut off guests; what else is in the metadata stays."""
    carried = f"<metadata><o:x xmlns:o='urn:o'/><m:pin xmlns:m='{PIN_NAMESPACE}' machine='pc'/></metadata>"
    domains = [
        driver.defineXML(xml(uuid=uuid, name=name).replace("<memory>", f"{carried}<memory>"))
        for uuid, name in ((WEB, "web-1"), (DB, "db-1"))
    ]
    domains[0].create()

    said = do("uninstall", "--metadata")

    assert said.out.count(": pin removed from its metadata\n") == 2
    assert all(PIN_NAMESPACE not in domain.XMLDesc(0) for domain in domains)
    assert all("urn:o" in domain.XMLDesc(0) for domain in domains)


def test_a_file_that_isnt_there_is_named(place: Place, do: Do) -> None:
    """nova.conf and the database's."""
    for option in ("--nova-conf", "--database"):
        said = do("setup", option, "/nonexistent/file")
        assert (said.code, said.err) == (1, "mthook-admin: /nonexistent/file: no such file\n")


def test_the_daemon_is_the_one_at_the_sockets_other_end(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where systemd listens for it, one that has this host's hooks directory is taken for it."""
    here, elsewhere = (daemons.Daemon(pid, "libvirtd", 1, 0.0) for pid in (1, 2))
    monkeypatch.setattr(daemons.Daemon, "reads", lambda self, _: self is here)
    uri = f"qemu+unix:///system?socket={tmp_path}/sock"
    monkeypatch.setattr(daemons, "everywhere", lambda: [elsewhere, here])
    assert found._daemon(uri, "/hooks") == (here, f"{tmp_path}/sock")

    monkeypatch.setattr(daemons, "serving", lambda _: elsewhere)

    assert found._daemon(uri, "/hooks") == (elsewhere, f"{tmp_path}/sock")


@pytest.fixture
def virtqemud(monkeypatch: pytest.MonkeyPatch, place: Place) -> daemons.Daemon:
    """The daemon at the other end of the configuration's URI."""
    daemon = Running(os.getpid(), "virtqemud", 1, 0.0)
    monkeypatch.setattr(daemons, "everywhere", lambda: [daemon])
    monkeypatch.setattr(daemons, "behind", lambda _: daemon)
    return daemon


def test_a_hook_that_no_daemon_calls_protects_nobody(
    place: Place, do: Do, run: Run, virtqemud: daemons.Daemon
) -> None:
    """Setup says what 'hook status' says, and ends as that does."""
    said = do("setup", "--mode", "enforce")
    status = run("hook", "status", "--hooks-dir", str(place.hooks))

    assert (said.code, said.err) == (status.code, status.err)
    assert said == Said(
        1,
        said.out,
        f"mthook-admin: {place.hooks}/qemu: not in the directory that virtqemud (pid {os.getpid()}) reads, which is"
        f" {virtqemud.root}/etc/libvirt/hooks: mount {place.hooks} there\n",
    )
    assert (
        "\nNo hook guards starts yet, see above. Mend that, then 'mthook-admin setup' again\n"
        in said.out
    )
    assert "Protected" not in said.out and "look for it" not in said.out


def test_the_daemon_that_is_there_is_named(
    place: Place,
    do: Do,
    run: Run,
    virtqemud: daemons.Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By setup, and by those that remove the hook."""
    monkeypatch.setattr(Running, "places", (str(place.hooks),))

    said = do("setup", "--mode", "enforce")

    assert (said.code, said.err) == (0, "")
    assert (
        f"\ndone: install the hook in {place.hooks}, and make virtqemud look for it\n" in said.out
    )
    assert "\nProtected: " in said.out
    told = f"{place.hooks}/qemu: removed; told virtqemud (pid {os.getpid()}) to look again\n"
    assert told in do("uninstall").out
    do("setup")
    removed = run("hook", "uninstall", "--hooks-dir", str(place.hooks))
    assert removed.err == told


@pytest.mark.parametrize("shared", [False, True])
def test_a_container_without_a_hook_is_told_of_even_if_it_shares_the_directory(
    place: Place, do: Do, virtqemud: daemons.Daemon, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """No hook is written on the host: the container has no mthook."""
    monkeypatch.setattr(Running, "is_contained", True)
    monkeypatch.setattr(Running, "places", (str(place.hooks),) if shared else ())
    monkeypatch.setattr(install, "find_inside", lambda _: None)

    said = do("setup")

    assert (said.code, said.err, list(place.hooks.iterdir())) == (3, "", [])
    assert "\nNo hook guards starts yet: virtqemud runs in a container. Put what " in said.out


def test_a_connection_through_the_gate_tells_of_the_socket_behind_it(tmp_path: Path) -> None:
    """Else the gate would be made to connect to itself."""
    file = tmp_path / "mthook.conf"
    file.write_text("[gate]\nlisten = /run/gate\nupstream = /run/libvirt/virtqemud-sock\n")
    conf = configuration.load([str(file)])

    behind = behind_gate(conf, "qemu+unix:///system?socket=/run/gate")

    assert daemons.socket_of(behind) == "/run/libvirt/virtqemud-sock"
    assert behind_gate(conf, "qemu:///system") == "qemu:///system"
