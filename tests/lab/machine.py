# SPDX-License-Identifier: Apache-2.0
"""A machine: namespaces with a root of their own that end with the process that asked for them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional, Union

from tests.lab.processes import ENVIRONMENT, SECONDS, child_of, hold, wait_until
from tests.lab.requirements import LabError

_UNSHARE = [
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("--propagation", "private"),
]
#: Arguments: the control group, and the command to run in it.
_ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
_HOLDER = Path(__file__).with_name("machine.sh")
_LOGS = "/var/log/mthook-lab"

Argument = Union[str, "os.PathLike[str]"]


class Machine:
    """It is up once it is made, and gone, with everything that was changed on it, after :meth:`close`.

    The network is its owner's. See :class:`tests.lab.namespaces.Namespaces` for what ends it; it must be made by
    the main thread, for the kernel ends it with the thread that made it.

    :param layers: directories that are its root together, the first one on top; they stay as they are.
    :param changes: the directory that keeps what is changed; by default nothing does.
    :param boots: it runs systemd, and is up once that has started everything. Its root must have systemd.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[Path] = (),
        *,
        changes: Optional[Path] = None,
        boots: bool = False,
    ) -> None:
        self.name = name
        self._holder: Optional[subprocess.Popen[str]] = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._group = _control_group() if boots else None
        root = [":".join(map(str, layers)), str(changes or "")]
        argv = [
            *(["sh", "-c", _ENTER, str(self._group)] if boots else []),
            *(*_UNSHARE, *(["--cgroup"] if boots else [])),
            *("sh", str(_HOLDER), name, str(os.getpid()), *root, *(["boot"] if boots else [])),
        ]
        with self.closed_on_failure():
            self._holder = hold(argv, f"No {name} on this machine")
            self._inside = child_of(self._holder.pid)
            self.root = Path(f"/proc/{self._inside}/root")
            self.path(_LOGS).mkdir(parents=True, exist_ok=True)
            if boots:
                wait_until(f"{name} doesn't boot", self._has_booted, self._journal)

    @contextlib.contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Close it where its making fails or is interrupted: nobody else can yet."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _journal(self) -> str:
        return self.run(["journalctl", "-b"], check=False).stdout[-8000:]

    def _has_booted(self) -> bool:
        state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        return state in ("running", "degraded")

    def close(self) -> None:
        """End every process on it; they are gone, and its root with them, when this returns."""
        if self._holder is not None:
            self._end(self._holder)
        for daemon in self._daemons.values():
            daemon.wait()
        if self._group is not None:
            _remove_control_group(self._group)

    def _end(self, holder: subprocess.Popen[str]) -> None:
        if self._group is not None:
            holder.kill()
        for stream in (holder.stdin, holder.stdout, holder.stderr):
            if stream is not None:
                stream.close()
        holder.wait()

    def path(self, inside: str) -> Path:
        """Return where a path of this machine is for a process outside."""
        return self.root / inside.lstrip("/")

    def command(self, argv: Sequence[Argument], user: Optional[str] = None) -> list[str]:
        """Return the command that runs another one here."""
        enter = ["nsenter", "--target", str(self._inside), "--mount", "--uts", "--ipc", "--pid"]
        enter += ["--root", "--wd", "--"]
        if user:
            enter += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return enter + [os.fspath(argument) for argument in argv]

    def run(
        self,
        argv: Sequence[Argument],
        *,
        user: Optional[str] = None,
        check: bool = True,
        input: str = "",
        env: Mapping[str, str] = ENVIRONMENT,
        timeout: float = 1800,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here.

        :raises LabError: it failed and ``check`` is set; its output follows.
        """
        done = subprocess.run(
            self.command(argv, user),
            check=False,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=env,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise LabError(f"{self.name}: {' '.join(map(str, argv))}: {done.returncode}\n{said}")
        return done

    def start(
        self,
        daemon: str,
        argv: Sequence[Argument],
        *,
        user: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Start a daemon that stays in the foreground; what it prints is in :meth:`log`."""
        if self.running(daemon):
            raise LabError(f"{daemon} runs on {self.name} already.")
        with self._log(daemon).open("ab") as log:
            self._daemons[daemon] = subprocess.Popen(
                self.command(argv, user),
                env={**ENVIRONMENT, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def running(self, daemon: str) -> bool:
        """Tell whether a daemon runs."""
        process = self._daemons.get(daemon)
        return process is not None and process.poll() is None

    def stop(self, daemon: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon, if it runs, and wait until it has ended."""
        if not self.running(daemon):
            return
        process = self._daemons[daemon]
        os.kill(child_of(process.pid), number)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(child_of(process.pid), signal.SIGKILL)
            process.wait()

    def await_socket(self, daemon: str, path: str) -> None:
        """Wait until a daemon has made its socket."""
        self.await_daemon(daemon, self.path(path).exists)

    def await_daemon(
        self, daemon: str, is_ready: Callable[[], bool], seconds: float = SECONDS
    ) -> None:
        """Wait until a daemon is ready.

        :raises LabError: it ended, or takes too long; its log follows.
        """

        def ready() -> bool:
            if not self.running(daemon):
                raise LabError(f"{daemon} ended on {self.name}.\n{self.log(daemon)}")
            return is_ready()

        failure = f"{daemon} on {self.name} isn't ready"
        wait_until(failure, ready, lambda: self.log(daemon), seconds)

    def log(self, daemon: str) -> str:
        """Return the end of what a daemon printed."""
        path = self._log(daemon)
        return path.read_text(errors="replace")[-8000:] if path.exists() else ""

    def _log(self, daemon: str) -> Path:
        return self.path(f"{_LOGS}/{daemon}.log")


def control_groups() -> Path:
    """Return where the kernel's control groups are.

    :raises LabError: they aren't mounted.
    """
    mounts = (line.split(" ") for line in Path("/proc/mounts").read_text().splitlines())
    top = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if top is None:
        raise LabError("No machine can boot here: the kernel has no cgroup2 mounted.")
    return Path(top)


def _control_group() -> Path:
    """Make a control group for a systemd, which has to be at the top of its own."""
    return Path(tempfile.mkdtemp(prefix="mthook-", dir=control_groups()))


def _remove_control_group(group: Path) -> None:
    events = group / "cgroup.events"
    wait_until(f"{group} isn't empty", lambda: "populated 0" in events.read_text(), lambda: "")
    for directory, _, _ in os.walk(group, topdown=False):
        os.rmdir(directory)
