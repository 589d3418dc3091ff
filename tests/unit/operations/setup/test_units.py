# SPDX-License-Identifier: Apache-2.0
"""The units and cron's file as setup writes them, judged by systemd itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mthook import conf as configuration
from mthook.errors import InstallError
from mthook.operations.setup import places, units
from mthook.tools.sync.command import Exit
from tests.unit.operations.setup.test_configuration import found

DEFAULT = "/etc/mthook/mthook.conf"
DATABASE = "[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[4]


def conf(tmp_path: Path, text: str = "") -> configuration.cfg.ConfigOpts:
    """Return a configuration."""
    file = tmp_path / "mthook.conf"
    file.write_text(text)
    return configuration.load([str(file)])


@pytest.mark.parametrize("catalog", ["", "[catalog]\npath = /srv/pins/catalog.sqlite\n"])
def test_systemd_takes_the_units(tmp_path: Path, catalog: str) -> None:
    """All of them, wherever the programs and the catalog are."""
    options = conf(tmp_path, catalog + DATABASE)
    there = found(timer="systemd")
    texts = {
        **units.timer(there, options),
        **units.gate(there, options),
        **units.hookd(there, options),
    }
    paths = []
    for path, text in texts.items():
        paths.append(tmp_path / os.path.basename(path))
        paths[-1].write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, paths)], capture_output=True, text=True, check=False
    )

    assert len(paths) == 12
    assert [line for line in done.stderr.splitlines() if "mthook" in line] == []
    assert (
        f"ExecStart={BIN}/mthook-sync --scheduled\n"
        in texts[f"{places.SYSTEMD}/mthook-sync.service"]
    )
    hookd = texts[f"{places.SYSTEMD}/mthook-hookd.service"]
    assert f"\nEnvironment=PYTHON={sys.executable}\nEnvironment=PACKAGE={ROOT}\n" in hookd
    assert ("/srv/pins" in str(texts)) == bool(catalog)
    assert ("/var/lib/mthook" in str(texts)) != bool(catalog)
    assert ("StateDirectory" in str(texts)) != bool(catalog)


def test_a_sync_beside_another_is_no_failed_unit(tmp_path: Path) -> None:
    """The repair that the hook asked for may be at work when the timer elapses."""
    texts = units.timer(found(timer="systemd"), conf(tmp_path, DATABASE))
    for name in ("sync", "repair", "push"):
        lines = texts[f"{places.SYSTEMD}/mthook-{name}.service"].splitlines()
        assert f"SuccessExitStatus={Exit.BUSY.value}" in lines


@pytest.mark.parametrize("catalog", ["", "[catalog]\npath = /srv/pins/catalog.sqlite\n"])
def test_the_figures_can_be_written_where_the_option_says(tmp_path: Path, catalog: str) -> None:
    """Else where Debian's node_exporter looks, if that is there."""
    there, service = found(timer="systemd"), f"{places.SYSTEMD}/mthook-sync.service"
    option = "[metrics]\ntextfile = /srv/node\\1/mthook.prom\n"

    texts = [units.timer(there, conf(tmp_path, text)) for text in (catalog, catalog + option)]

    wanted = ["-/var/lib/prometheus/node-exporter", "-/srv/node\\1"]
    for text, place in zip(texts, wanted):
        lines = [line for line in text[service].splitlines() if line.startswith("ReadWritePaths")]
        assert f"ReadWritePaths={place}" in lines
        assert "ReadWritePaths=-/run/mthook-cleared" in lines  # the hook's notes are swept there
        assert len(lines) == 2 + bool(catalog)


def test_without_a_database_nothing_pushes(tmp_path: Path) -> None:
    """There is nothing to push to."""
    texts = units.timer(found(timer="systemd"), conf(tmp_path))

    assert units.to_enable(list(texts)) == ["mthook-sync.timer", "mthook-repair.path"]


def test_other_configuration_files_are_named_in_each_command(tmp_path: Path) -> None:
    """In their order, as the shell and systemd read them."""
    there = found(timer="cron", files=["/etc/nova/nova.conf", "/etc/my mthook.conf"])

    (text,) = units.timer(there, conf(tmp_path)).values()

    options = "--config-file /etc/nova/nova.conf --config-file '/etc/my mthook.conf'"
    assert f"* root {BIN}/mthook-sync {options} --scheduled\n" in text


@pytest.mark.parametrize(("gid", "group"), [(5, "tty"), (54321, "root")])
def test_the_gates_socket_is_as_configured_and_lets_in_whom_libvirts_does(
    tmp_path: Path, gid: int, group: str
) -> None:
    """A group that the host lacks keeps systemd from listening, and a group alone would keep Nova out.

    Under systemd, libvirt's socket is root's with mode 0666, and polkit decides.
    """
    socket = tmp_path / "libvirt-sock"
    socket.touch()
    socket.chmod(0o666)
    os.chown(socket, 0, gid)
    options = conf(tmp_path, f"[gate]\nlisten = /run/gate/sock\nupstream = {socket}\n")
    files = ["/etc/nova/nova.conf", "/etc/my mthook.conf"]

    texts = units.gate(found(timer="systemd", files=files), options)

    text = texts[f"{places.SYSTEMD}/mthook-gate.socket"]
    assert "\nListenStream=/run/gate/sock\n" in text
    assert f"\nSocketGroup={group}\nSocketMode=0666\n" in text
    assert "\nReadWritePaths=-/run/gate\n" in texts[f"{places.SYSTEMD}/mthook-gate.service"]
    bypass = texts[f"{places.SYSTEMD}/mthook-gate-bypass.service"]
    assert f"\nEnvironment=LISTEN=/run/gate/sock\nEnvironment=UPSTREAM={socket}\n" in bypass
    assert "\nEnvironment='CONFIG=/etc/nova/nova.conf:/etc/my mthook.conf'\n" in bypass
    assert "\nSyslogIdentifier=mthook-gate\n" in bypass


def test_without_a_socket_of_libvirt_the_gates_is_roots_alone(tmp_path: Path) -> None:
    """Until setup is called again."""
    options = conf(tmp_path, f"[gate]\nupstream = {tmp_path}/none\n")

    texts = units.gate(found(timer="systemd"), options)

    text = texts[f"{places.SYSTEMD}/mthook-gate.socket"]
    assert "\nSocketGroup=root\nSocketMode=0600\n" in text


def test_systemctl_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last one; or that there is none."""
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho one >&2; echo two >&2; exit 4\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match="^systemctl enable x: two$"):
        units.systemctl("enable", "x")
    program.unlink()

    with pytest.raises(InstallError, match="No such file"):
        units.systemctl("enable", "x")


def test_a_file_that_the_package_lacks_is_named() -> None:
    """As after half an installation."""
    with pytest.raises(InstallError, match="systemd/none is missing: reinstall mthook"):
        places.shared("systemd/none")
