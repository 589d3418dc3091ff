# SPDX-License-Identifier: Apache-2.0
"""The hook in libvirt's container, and what answers it: over a real socket, in processes of their own."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.errors import InstallError
from mthook.hook import client, daemons, fast, install
from mthook.hook.serving import Answering

from .conftest import Hooked, domain

WRONG = domain("pc-i440fx-6.2")
ROOT = Path(__file__).parents[3]
#: What systemd does: the socket becomes descriptor 3.
HAND_OVER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv('/bin/sh', ['sh', '-c', sys.argv[2]])"
)


class Container:
    """A hook that shares nothing with mthook but a socket."""

    def __init__(self, hooked: Hooked, directory: Path) -> None:
        self.path = str(directory / "hook.sock")
        self.cleared = hooked.cleared
        self._hook = directory / "rendered"
        self.render()

    def render(self, *, deny: bool = False, seconds: float = 30) -> None:
        """Write the hook anew."""
        text = install.render_contained(self.path, seconds, deny=deny)
        self._hook.write_text(text.replace(install.CLEARED, str(self.cleared)))
        self._hook.chmod(0o755)

    def call(self, operation: str, xml: bytes, name: str = "web-1") -> tuple[int, str, str]:
        """Call it as libvirtd does; return exit status, output and errors."""
        argv = [str(self._hook), name, operation, "begin", "-"]
        done = subprocess.run(argv, input=xml, capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def container(hooked: Hooked, tmp_path: Path) -> Container:
    """Nobody answers."""
    return Container(hooked, tmp_path)


@pytest.fixture
def answered(hooked: Hooked, container: Container) -> Iterator[int]:
    """Somebody does: return its process."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(container.path)
        listening.listen()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            Answering(str(hooked.path), [str(hooked.config)], str(hooked.cleared)).serve(listening)
        yield child
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)


def test_a_call_is_answered_as_on_the_host(
    hooked: Hooked, container: Container, answered: int
) -> None:
    """It records, lets go, stops with the same words; the next start begins with a note of the last prepare."""
    assert container.call("started", domain()) == (0, "", "")
    assert hooked.pinned() == "pc-i440fx-7.2"
    assert container.call("prepare", domain()) == (0, "", "")
    assert (hooked.cleared / "web-1").exists()

    status, output, errors = container.call("prepare", WRONG)

    assert (status, output) == (1, "")
    assert errors.startswith("mthook: start of guest web-1 (7d3f0a52")
    assert "stopped: its machine type is pinned to pc-i440fx-7.2" in errors
    assert (hooked.cleared / ".seen" / "web-1").exists()


def test_what_an_earlier_start_has_left_proves_no_later_one(
    hooked: Hooked, container: Container
) -> None:
    """Nobody answers any more: the start isn't taken for one that mthook has seen."""
    hooked.cleared.mkdir(exist_ok=True)
    uuid = domain().partition(b"<uuid>")[2].partition(b"<")[0]
    (hooked.cleared / "web-1").write_bytes(uuid + b"\n")

    for operation in ("prepare", "started"):
        assert container.call(operation, domain()) == (0, "", "")

    assert not (hooked.cleared / ".seen").exists()


def test_the_unit_answers_on_the_standard_library_though_its_python_has_gone(
    hooked: Hooked, container: Container
) -> None:
    """With the system's own; nothing of the virtual environment is needed."""
    unit = (ROOT / "etc/systemd/mthook-hookd.service").read_text()
    command = unit.partition("ExecStart=/bin/sh -c '")[2].partition("'\n")[0]
    for old, new in (("\\\n", ""), ("$$", "$"), (install.CLEARED, str(hooked.cleared))):
        command = command.replace(old, new)
    environment = {"PYTHON": "/nowhere/python3", "PACKAGE": str(ROOT)}
    environment.update(CATALOG=str(hooked.path), CONFIG=str(hooked.config))
    hooked.pin("pc-i440fx-7.2", seen="pc-i440fx-7.2")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(container.path)
        listening.listen()
        argv = [sys.executable, "-c", HAND_OVER, str(listening.fileno()), command]
        hookd = subprocess.Popen(argv, pass_fds=[listening.fileno()], env=environment)
    try:
        assert container.call("prepare", domain()) == (0, "", "")
        assert container.call("prepare", WRONG)[0] == 1
    finally:
        hookd.terminate()
        hookd.wait()


def test_what_a_migration_is_renamed_to_comes_back_whole(
    hooked: Hooked, container: Container, answered: int
) -> None:
    """A guest comes under an alias of its pin."""
    hooked.pin("pc-i440fx-7.2", seen="pc-i440fx-7.2")

    status, output, errors = container.call("migrate", domain("pc"))

    assert (status, errors) == (0, "")
    assert "machine='pc-i440fx-7.2'" in output or 'machine="pc-i440fx-7.2"' in output


@pytest.mark.parametrize(
    "operation", ["prepare", "started", "migrate", "restore", "reconnect", "attach"]
)
@pytest.mark.parametrize("deny", [False, True])
def test_without_an_answer_a_start_alone_may_be_stopped(
    hooked: Hooked, container: Container, operation: str, deny: bool
) -> None:
    """As [hook] on_error says; nobody listens, or whoever does dies."""
    container.render(deny=deny)
    stopped = deny and operation == "prepare"

    status, output, errors = container.call(operation, domain(), "a\nb")

    assert (status, output) == (int(stopped), "")
    assert errors == (
        "mthook: start of guest 'a?b' stopped ([hook] on_error = deny): no answer from mthook on the host,"
        f" {container.path}: [Errno 2] No such file or directory\n"
        if stopped
        else ""
    )
    assert not (hooked.cleared / ".seen").exists()


@pytest.mark.parametrize(
    "answer", [b"", b"0\0", b"77\x0012\0broken off\0half", b"no number\x000\0\0"]
)
def test_an_answer_that_breaks_off_is_none(container: Container, answer: bytes) -> None:
    """A process that dies stops nobody's guest."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(container.path)
        listening.listen()
        child = os.fork()
        if child == 0:
            asking, _ = listening.accept()
            while asking.recv(4096):
                pass
            asking.sendall(answer)
            os._exit(0)
        assert container.call("prepare", WRONG) == (0, "", "")
        os.waitpid(child, 0)


def test_one_that_never_answers_is_not_waited_for(container: Container) -> None:
    """libvirt has no time limit of its own."""
    container.render(seconds=0.3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(container.path)
        listening.listen()
        begun = time.monotonic()

        assert container.call("prepare", WRONG) == (0, "", "")

        assert 0.3 <= time.monotonic() - begun < 20


def test_only_root_is_answered(hooked: Hooked, container: Container, answered: int) -> None:
    """Anybody else gets an end without an answer, and the log says so."""
    os.chmod(container.path, 0o777)
    for directory in list(Path(container.path).parents)[:-2]:
        directory.chmod(0o755)
    code = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); print(s.recv(100))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, container.path], capture_output=True, check=True
    )

    assert done.stdout == b"b''\n"
    assert hooked.lines() == ["uid 65534 is no hook: it isn't answered"]


def test_a_question_that_is_none_harms_no_other(
    hooked: Hooked, container: Container, answered: int
) -> None:
    """One that only looks whether somebody is there isn't even logged."""
    for question, said in ((b"", 0), (b"rubbish", 1)):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(container.path)
            asking.sendall(question)
            asking.shutdown(socket.SHUT_WR)
            assert asking.recv(100) == b""
        assert len(hooked.lines()) == said
    assert container.call("prepare", domain())[0] == 0


def test_the_caller_is_found_by_the_process_that_asks(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirtd is no ancestor of what answers."""
    argv = [str(hooked.path), str(hooked.config), str(hooked.cleared), "web-1", "restore"]

    assert fast.HookCall(argv, io.BytesIO(), io.StringIO(), caller=4711).caller == 4711
    assert fast.HookCall(argv, io.BytesIO(), io.StringIO()).caller == os.getppid()


def test_the_text_is_whole_and_helm_takes_none_of_it_for_its_own() -> None:
    """A shell takes it; it names no directory of mthook's."""
    text = install.render_contained("/run/my mthook/hook.sock", 7, deny=True)

    assert subprocess.run(["sh", "-n"], input=text.encode(), check=False).returncode == 0
    assert "{{" not in text and "}}" not in text
    assert "socket='/run/my mthook/hook.sock'\nseconds=7\nwithout=deny\n" in text
    assert "mthook.hook.fast" not in text and "$package" not in text


def test_status_and_install_know_a_rendered_hook(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote it there keeps it; it is compared with what would be rendered now, and its socket is tried."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    text = install.render_contained(container.path, 7, deny=False)
    (hooks / "qemu").write_text(text)
    (hooks / "qemu").chmod(0o555)
    wiring = install.Wiring(sys.executable, "/p", "/c", ["/f"], contained=text)

    (problem,) = install.status(str(hooks), wiring, []).problems
    assert problem == (
        "unanswered",
        {"socket": container.path, "reason": "No such file or directory"},
    )
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(container.path)
        listening.listen()
        assert install.status(str(hooks), wiring, []).problems == ()
        old = daemons.Daemon(4711, "libvirtd", 99, 0.0)
        monkeypatch.setattr(daemons, "running", lambda _: [old])
        assert install.status(str(hooks), wiring, []).problems == (
            ("not_restarted", {"daemon": "libvirtd", "pid": "4711"}),
        )
        monkeypatch.setattr(daemons, "running", lambda _: [])
        other = install.Wiring(sys.executable, "/p", "/c", ["/f"], contained="other")
        assert install.status(str(hooks), other, []).problems == (("stale_rendered", {}),)
    with pytest.raises(
        InstallError, match="for libvirt's container, made by 'mthook-admin hook render'"
    ):
        install.install(str(hooks), wiring)
    assert (hooks / "qemu").read_text() == text


def test_the_client_is_quiet_about_names_that_are_none() -> None:
    """Its own last resort: bytes that are no text."""
    errors = io.StringIO()
    argv = ["/nonexistent/sock", "1", "deny", os.fsdecode(b"w\xff"), "prepare"]

    assert client.main(argv, io.BytesIO(b""), io.BytesIO(), errors) == client.STOPPED
    assert "guest 'w?' stopped" in errors.getvalue()
