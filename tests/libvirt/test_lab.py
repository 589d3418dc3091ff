# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what the other tests, the demonstration and the measurements stand on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from tests.lab import OLD_Q35, Q35, Host, LabError, leftovers, requirements, traces

PINNED, OTHER = Q35, OLD_Q35
IMAGE = "/var/lib/libvirt/qemu/web-1.save"
SECONDS_TO_VANISH = 10

OWNER = """\
import time
from tests.lab import Host

with Host("owned") as host:
    host.boot("web-1")
    print("up", flush=True)
    time.sleep(100)
"""

#: Runs a command in a chroot that has all that the machine has, but for /run; and a file "chroot".
IN_A_CHROOT = """\
set -e
root=$1
mount -t tmpfs none "$root"
for entry in /*; do
    [ "$entry" = /run ] && continue
    if [ -L "$entry" ]; then cp -P "$entry" "$root"
    elif [ -d "$entry" ]; then mkdir "$root$entry"; mount --rbind "$entry" "$root$entry"
    fi
done
mkdir "$root/run"
touch "$root/chroot"
shift
exec chroot "$root" "$@"
"""

CHROOTED = """\
import sys
sys.path.insert(0, sys.argv[1])
from tests.lab import Host

with Host("chrooted") as host:
    print(host.run(["ls", "-d", "/chroot", "chroot"]).stdout.split())
    print(host.path("/run/libvirt/libvirt-sock").exists())
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two lab hosts for the tests of this module."""
    with Host("alpha") as alpha, Host("beta") as beta:
        yield alpha, beta


@pytest.fixture
def alpha(hosts: tuple[Host, Host]) -> Iterator[Host]:
    """The first host, without guests."""
    yield hosts[0]
    hosts[0].remove_guests()


@pytest.fixture
def beta(hosts: tuple[Host, Host]) -> Iterator[Host]:
    """The second host, without guests."""
    yield hosts[1]
    hosts[1].remove_guests()


@pytest.fixture
def files() -> frozenset[str]:
    """What the machine has of libvirt and mthook before the test."""
    return traces()


@pytest.fixture
def owner(files: frozenset[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has a lab host with a running guest."""
    command = [sys.executable, "-c", OWNER]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def qemu(host: Host, name: str) -> str:
    """Return the process id, inside the host, of a guest's QEMU."""
    return host.path(f"/run/libvirt/qemu/{name}.pid").read_text()


def programs(owner: int) -> set[str]:
    """Return the names of the programs that run in the labs of a process."""
    return {line.split()[2].rpartition("/")[2] for line in leftovers(owner)}


def wait_until_gone(owner: int, files: frozenset[str]) -> list[str]:
    """Return what a dead process's labs have left after a fair time."""
    deadline = time.monotonic() + SECONDS_TO_VANISH
    while leftovers(owner, before=files) and time.monotonic() < deadline:
        time.sleep(0.05)
    return leftovers(owner, before=files)


def test_a_guest_runs_the_machine_type_asked_for(alpha: Host) -> None:
    """A real QEMU, whose command line agrees with libvirt."""
    alpha.boot("web-1", PINNED)

    command = alpha.run(["cat", f"/proc/{qemu(alpha, 'web-1').strip()}/cmdline"]).stdout
    assert alpha.state("web-1") == "running"
    assert alpha.machine("web-1") == PINNED
    assert command.split("\0")[command.split("\0").index("-machine") + 1].split(",")[0] == PINNED


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_guests_survive_their_libvirtd(alpha: Host, ending: str) -> None:
    """The same QEMU runs on, and the next libvirtd knows it."""
    alpha.boot("web-1")
    before = qemu(alpha, "web-1")

    getattr(alpha.daemon, ending)()
    assert not alpha.daemon.running
    alpha.daemon.start()

    assert alpha.state("web-1") == "running"
    assert qemu(alpha, "web-1") == before


def test_sighup_leaves_libvirtd_running(alpha: Host) -> None:
    """It is how libvirtd is told to look for hooks again."""
    alpha.daemon.reload()

    assert alpha.virsh("list", "--all", "--name").stdout.strip() == ""
    assert alpha.daemon.running


def test_a_guest_migrates_while_it_runs(alpha: Host, beta: Host) -> None:
    """Definition and all; the source forgets it."""
    alpha.boot("web-1", PINNED)

    alpha.migrate("web-1", beta)

    assert (beta.state("web-1"), beta.machine("web-1")) == ("running", PINNED)
    assert alpha.virsh("list", "--all", "--name").stdout.strip() == ""


def test_a_migration_can_bring_another_definition(alpha: Host, beta: Host, tmp_path: Path) -> None:
    """The guest runs what it ran; its next start wouldn't."""
    alpha.boot("web-1", PINNED)
    definition = alpha.virsh("dumpxml", "--migratable", "--inactive", "web-1").stdout
    persistent = tmp_path / "persistent.xml"
    persistent.write_text(definition.replace(PINNED, OTHER))

    alpha.migrate("web-1", beta, "--persistent-xml", str(persistent))

    assert (beta.machine("web-1"), beta.machine("web-1", "--inactive")) == (PINNED, OTHER)


def test_a_guest_is_saved_and_restored(alpha: Host) -> None:
    """The image is in the host's own file system."""
    alpha.boot("web-1", PINNED)

    alpha.virsh("save", "web-1", IMAGE)
    assert alpha.state("web-1") == "shut off"
    assert alpha.path(IMAGE).exists() and not Path(IMAGE).exists()
    alpha.virsh("restore", IMAGE)

    assert (alpha.state("web-1"), alpha.machine("web-1")) == ("running", PINNED)


def test_every_host_has_its_own_name_files_and_ports(alpha: Host, beta: Host) -> None:
    """Two hosts on one machine don't see each other, nor does the machine see them."""
    alpha.path("/etc/mthook/mthook.conf").write_text("[hook]\n")
    names = [host.run(["hostname"]).stdout.strip() for host in (alpha, beta)]
    ports = [host.path("/etc/libvirt/qemu.conf").read_text() for host in (alpha, beta)]

    assert names == ["alpha", "beta"]
    assert os.uname().nodename not in names
    assert alpha.run(["cat", "/etc/mthook/mthook.conf"]).stdout == "[hook]\n"
    assert not beta.path("/etc/mthook/mthook.conf").exists()
    assert ports[0] != ports[1]


def test_a_failed_command_says_what_it_printed(alpha: Host) -> None:
    """A test that fails over it needs no second run to be understood."""
    with pytest.raises(LabError, match="ended with 7.\nso be it"):
        alpha.run(["sh", "-c", "echo so be it >&2; exit 7"])


def test_nothing_is_left_when_a_host_has_ended() -> None:
    """No process, no mount, and no file that wasn't there before."""
    files, others = traces(), set(leftovers(os.getpid()))
    with Host("short") as host:
        host.boot("web-1")
        host.path("/var/lib/mthook/catalog.sqlite").write_text("")
        assert len(set(leftovers(os.getpid())) - others) >= 3  # the holder, libvirtd, QEMU

    assert set(leftovers(os.getpid(), before=files)) - others == set()


def test_on_a_machine_of_a_lab_its_own_mounts_are_no_leftovers(tmp_path: Path) -> None:
    """The suite runs there, too."""
    mount = f"mount -n -t tmpfs mthook-lab {tmp_path}"
    script = "from tests.lab import leftovers; print(leftovers(0))"

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{mount} && "$0" -c "{script}"', sys.executable],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_lab_ends_with_its_owner(
    files: frozenset[str], owner: subprocess.Popen[str], number: signal.Signals
) -> None:
    """Ctrl-C, kill and kill -9 alike: libvirtd and QEMU don't outlive who started them."""
    assert {"libvirtd", "qemu-system-x86_64"} < programs(owner.pid)

    os.killpg(owner.pid, number)

    owner.wait(SECONDS_TO_VANISH)
    assert wait_until_gone(owner.pid, files) == []


def test_a_lab_of_an_owner_in_a_chroot_is_in_there_too(tmp_path: Path) -> None:
    """What is started in it isn't the outer machine's, by absolute path or by relative one."""
    script = ["sh", "-c", IN_A_CHROOT, "sh", str(tmp_path)]
    command = [sys.executable, "-c", CHROOTED, str(Path(__file__).parents[2])]

    done = subprocess.run(
        ["unshare", "--mount", *script, *command], capture_output=True, text=True, timeout=120
    )

    assert (done.stdout, done.stderr) == ("['/chroot', 'chroot']\nTrue\n", "")


def test_a_lab_wants_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so in one sentence rather than fail over a mount."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(
        LabError, match=r"^A lab runs real libvirt daemons and needs root; run it as root\.$"
    ):
        Host().__enter__()


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("libvirtd", "libvirt-daemon"),
        (requirements.EMULATOR, "qemu-system-x86"),
        ("unshare", "util-linux"),
    ],
)
def test_a_lab_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, program: str, package: str
) -> None:
    """The program, and the package that has it."""
    present = shutil.which

    def which(name: str, path: Optional[str] = None) -> Optional[str]:
        return None if name == program else present(name, path=path)

    monkeypatch.setattr(shutil, "which", which)

    with pytest.raises(LabError) as error:
        Host().__enter__()
    wanted = f"A lab needs the program {program}; on Debian install the package {package}."
    assert str(error.value) == wanted
