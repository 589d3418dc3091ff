# SPDX-License-Identifier: Apache-2.0
"""Install, remove and inspect the hook in libvirt's hooks directory.

It installs ``hooks/qemu`` with five lines filled in: interpreter, package, catalog, configuration and the directory of
the notes. libvirt gives a hook next to no environment, so it has to know these by itself.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, NamedTuple

import mthook
from mthook import files, journal
from mthook.errors import InstallError
from mthook.hook import daemons
from mthook.text import cause, explain, printable

DEFAULT_DIRECTORY = daemons.DIRECTORY

#: Since this version libvirt also calls the scripts in ``qemu.d``, after ``qemu`` (https://libvirt.org/hooks.html).
QEMU_D_SINCE = (6, 5, 0)

#: Where ``prepare`` leaves notes for ``started``: no disk can hang there, and a reboot empties it.
CLEARED = "/run/mthook-cleared"

#: The interpreter that stands in for one that is gone; ``hooks/qemu`` names it too.
PYTHON = "/usr/bin/python3"

_BESIDE = os.path.join("qemu.d", "50-mthook")
_MARK = "# mthook:"
_MADE = "# mthook made: "
#: How a hook in a container asks mthook on the host.
_ASK_HOST = '\t"$python" -I -S -c "$client" "$socket" "$seconds" "$without" "$@"'
#: What a hook has in it that records its calls; that of mthook 0.1.0 doesn't.
_RECORDS = '"$cleared/.seen/$1"'
#: What an interpreter has to be able to do: load the hook's fast path from the directory that it is told.
_TRY = "import sys; sys.path.append(sys.argv[1]); import mthook.hook.fast"

# Seconds, many times what a daemon needs. It handles SIGHUP in a thread of its own and doesn't report when it has
# looked; a start that follows at once would run without the hook.
_LOOK_SECONDS = 0.5

#: It is there where SELinux is on (selinuxfs of the kernel).
_SELINUX = "/sys/fs/selinux/enforce"
#: Seconds that restorecon may take.
_LABEL_SECONDS = 10


@dataclass(frozen=True)
class Wiring:
    """How the installed hook is connected to mthook: what it has to know.

    :ivar python: the interpreter that runs it.
    :ivar package: the directory that holds the package ``mthook``.
    :ivar catalog: path of the catalog.
    :ivar config_files: the configuration files, in order; they need not exist.
    :ivar cleared: the directory of the notes.
    :ivar contained: the whole text of a hook in libvirt's container.
    """

    python: str
    package: str
    catalog: str
    config_files: Sequence[str]
    cleared: str = CLEARED
    contained: str = ""

    @classmethod
    def of_this_process(cls, catalog: str, config_files: Sequence[str]) -> Wiring:
        """Return the wiring that makes the hook run as this command does."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(mthook.__file__)))
        return cls(
            sys.executable, package, catalog, [os.path.abspath(path) for path in config_files]
        )


ProblemKind = Literal[
    "not_installed",
    "not_executable",
    "writable",  # by others than root
    "not_executable_rendered",  # the same of one that 'hook render' has made
    "writable_rendered",
    "refused",  # where it is, as on a file system mounted noexec
    "fails",  # its Python doesn't start, or doesn't find mthook
    "unanswered",  # by mthook on the host, which a hook in a container asks
    "stale",  # it isn't what 'hook install' would make now
    "stale_rendered",  # the same of 'hook render'
    "elsewhere",  # the daemon reads another directory
    "not_loaded",  # the daemon hasn't looked since it is there
    "not_restarted",  # the same in a container
]


class Problem(NamedTuple):
    """Something wrong with the hook's installation.

    :ivar facts: what concerns this kind alone, by stable keys.
    """

    kind: ProblemKind
    facts: Mapping[str, str] = {}


@dataclass(frozen=True)
class Status:
    """What is found in a hooks directory.

    :ivar path: the hook, or where it would be.
    :ivar installed: mthook's hook is there and libvirtd may run it.
    :ivar current: it is what this version, called as it is now, would install.
    :ivar loaded: every daemon has looked since the hook is there; ``None`` where no daemon runs.
    """

    path: str
    installed: bool
    current: bool
    loaded: bool | None
    problems: tuple[Problem, ...]

    @property
    def in_force(self) -> bool:
        """Whether libvirtd calls the hook, as far as its installation tells."""
        return self.installed and self.loaded is not False


def install(directory: str, wiring: Wiring) -> tuple[str, list[daemons.Daemon]]:
    """Put the hook in place, or bring an installed one up to date, and make the running daemons look.

    Somebody else's hook is left alone: mthook's then goes to ``qemu.d`` beside it.

    :return: the path of the hook and the daemons that were told.
    :raises InstallError: the directory can't be written, or libvirt is too old for ``qemu.d``.
    """
    directory = os.path.abspath(directory)
    found, path = find(directory), place(directory)
    if found and is_contained(found):
        raise InstallError(
            f"{printable(found)}: for libvirt's container, made by 'mthook-admin hook render': use that again"
        )
    made = _made(path) if found else _missing_directories(os.path.dirname(path))
    try:
        for missing in reversed(made):
            os.makedirs(missing, mode=0o755, exist_ok=True)
        # The draft is written in the hooks directory itself: libvirt runs only the names that it knows.
        files.replace(path, render(wiring, made), 0o755, directory)
    except OSError as error:
        raise InstallError(explain(error.filename or path, error)) from error
    _label(path, made)
    running = daemons.running(directory)
    _tell(running)
    return path, running


def uninstall(directory: str) -> tuple[str | None, list[daemons.Daemon]]:
    """Remove the hook and the directories that installing it made, and make the running daemons look.

    :return: the path it had, ``None`` when it wasn't there, and the daemons that were told.
    :raises InstallError: it can't be removed.
    """
    directory = os.path.abspath(directory)
    path = find(directory)
    if path is None:
        return None, []
    running = daemons.running(directory)
    made = _made(path)
    try:
        os.unlink(path)
        for own in made:
            if not os.listdir(own):
                os.rmdir(own)
    except OSError as error:
        raise InstallError(explain(error.filename or path, error)) from error
    _tell(running)
    return path, running


def status(
    directory: str,
    wiring: Wiring,
    told: Sequence[str],
    daemon: daemons.Daemon | None = None,
) -> Status:
    """Return what is installed, whether it is what it should be, and whether the daemons know of it.

    :param told: identities of the daemons that were told to look when the hook was installed.
    :param daemon: the one that is to call the hook, where it is known.
    """
    directory = os.path.abspath(directory)
    path = find(directory)
    if path is None:
        missing = Problem("not_installed")
        return Status(os.path.join(directory, "qemu"), False, False, None, (missing,))
    contained = is_contained(path)
    problems = [*_faults(path, contained=contained), *_unrunnable(path)]
    installed = not problems
    current = _read(path) == (wiring.contained if contained else render(wiring, _made(path)))
    if not current:
        problems.append(Problem("stale_rendered" if contained else "stale"))
    if daemon is not None and not daemon.reads(directory):
        reads = {"reads": daemon.root + daemons.DIRECTORY, "directory": directory}
        problems.append(Problem("elsewhere", {**_named(daemon), **reads}))
        return Status(path, installed, current, False, tuple(problems))
    running = daemons.running(directory)
    unaware = [d for d in running if d.identity not in told and d.since < os.stat(path).st_ctime]
    kind: ProblemKind = "not_restarted" if contained else "not_loaded"
    problems += [Problem(kind, _named(one)) for one in unaware]
    return Status(path, installed, current, not unaware if running else None, tuple(problems))


def config_files(directory: str) -> list[str]:
    """Return the configuration files that an installed hook reads, in order; none where there is no hook."""
    path = find(os.path.abspath(directory))
    value = _value(path, "config") if path else ""
    return value.split(":") if value else []


def render(wiring: Wiring, made: Sequence[str]) -> str:
    """Return the hook's text.

    :param made: directories that installing it makes, innermost first; uninstalling removes them again.
    :raises InstallError: a path has a character that the hook can't carry.
    """
    config = ":".join(wiring.config_files)
    if config.count(":") != len(wiring.config_files) - 1 or "\n" in config:
        raise InstallError(
            f"configuration file {printable(config)}: its name may have no colon or line end"
        )
    values = {
        "python": wiring.python,
        "package": wiring.package,
        "catalog": wiring.catalog,
        "config": config,
        "cleared": wiring.cleared,
    }
    lines = _template()
    for number, line in enumerate(lines):
        name, equals, _ = line.partition("=")
        if equals and name in values:
            lines[number] = f"{name}={shlex.quote(values.pop(name))}"
    assert not values, "hooks/qemu lacks a line to fill in"
    if made:
        lines.insert(2, _MADE + " ".join(shlex.quote(directory) for directory in made))
    return "\n".join(lines) + "\n"


def render_contained(at: str, seconds: float, *, deny: bool) -> str:
    """Return a hook for libvirt's container, whole in one text: mthook on the host answers it.

    It has no double braces, which Helm would take for its own.

    :param at: the socket where mthook answers, as the container sees it.
    :param seconds: how long an answer may take.
    :param deny: a start without an answer is stopped.
    """
    client = resources.files("mthook.hook").joinpath("client.py").read_text(encoding="utf-8")
    values = {"socket": at, "seconds": f"{seconds:g}", "without": "deny" if deny else "allow"}
    lines = []
    for line in _template():
        name, equals, _ = line.partition("=")
        if line.startswith(_MARK):
            lines.append(f"{_MARK} mthook-admin hook render")
        elif equals and name == "cleared":
            lines += [line, *(f"{key}={shlex.quote(value)}" for key, value in values.items())]
        elif line.startswith("ask()"):
            lines += [f"client={shlex.quote(client)}", line, _ASK_HOST]
        elif not (equals and name in ("package", "catalog", "config")) and "$package" not in line:
            lines += [] if "mthook.hook.fast" in line else [line]
    return "\n".join(lines) + "\n"


def is_contained(path: str) -> bool:
    """Tell whether a hook is one for libvirt's container."""
    return bool(_value(path, "socket"))


def _template() -> list[str]:
    text = resources.files("mthook.hook").joinpath("qemu").read_text(encoding="utf-8")
    return text.splitlines()


def since(directory: str) -> float | None:
    """Return when the hook was last installed, or somebody last changed it, in seconds since the epoch.

    :return: None where there is none, or one that doesn't record its calls yet.
    """
    path = find(directory)
    return os.stat(path).st_mtime if path is not None and _RECORDS in _read(path) else None


def find(directory: str) -> str | None:
    """Return the path of mthook's hook, wherever it is."""
    for name in ("qemu", _BESIDE):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and any(
            line.startswith(_MARK) for line in _read(path).splitlines()[:2]
        ):
            return path
    return None


def find_inside(daemon: daemons.Daemon) -> str | None:
    """Return the path of mthook's hook in the directory that a daemon in a container reads by default."""
    return find(daemon.root + DEFAULT_DIRECTORY)


def place(directory: str) -> str:
    """Return where the hook is, else where it goes.

    :raises InstallError: libvirt is too old for ``qemu.d``, which it would have to go to.
    """
    found = find(directory)
    if found is not None:
        return found
    path = os.path.join(directory, "qemu")
    if not os.path.lexists(path):
        return path
    for daemon in daemons.running(directory):
        version = daemon.version()
        if version is not None and version < QEMU_D_SINCE:
            raise InstallError(
                f"{printable(path)} is somebody else's hook, and {daemon.name} {'.'.join(map(str, version))} "
                "runs no other beside it (6.5.0 would): call mthook's hook from it"
            )
    return os.path.join(directory, _BESIDE)


def _missing_directories(path: str) -> list[str]:
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _made(path: str) -> list[str]:
    for line in _read(path).splitlines():
        if line.startswith(_MADE):
            return shlex.split(line[len(_MADE) :])
    return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise InstallError(explain(path, error)) from error


def _named(daemon: daemons.Daemon) -> dict[str, str]:
    return {"daemon": daemon.name, "pid": str(daemon.pid)}


def is_refused(path: str) -> bool:
    """Tell whether a hook can't be run though its mode allows it: libvirt stops each start that it can't ask about.

    It isn't run to find out: in a container it may be anybody's.
    """
    return bool(os.stat(path).st_mode & 0o100) and not os.access(path, os.X_OK)


def _faults(path: str, *, contained: bool) -> list[Problem]:
    """Return what keeps libvirtd from running the hook, or lets users other than root change it."""
    seen = os.stat(path)
    faults = []
    if not seen.st_mode & 0o100:
        faults.append(Problem("not_executable_rendered" if contained else "not_executable"))
    if seen.st_uid != 0 or seen.st_mode & 0o022:
        faults.append(Problem("writable_rendered" if contained else "writable"))
    if is_refused(path):
        faults.append(Problem("refused"))
    return faults


def _unrunnable(path: str) -> list[Problem]:
    """Return what keeps the hook's Python from starting, by trying: an upgrade of the system may have taken it away.

    That of a hook in a container can't be tried from here, but what answers it can.
    """
    if is_contained(path):
        return _unanswered(_value(path, "socket"))
    python, package = _value(path, "python"), _value(path, "package")
    python = python if os.access(python, os.X_OK) else PYTHON
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", _TRY, package],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = printable(error)
    else:
        why = printable((done.stderr.strip().splitlines() or [""])[-1])
        if done.returncode == 0:
            return []
    return [Problem("fails", {"python": python, "reason": why})]


def _unanswered(path: str) -> list[Problem]:
    """Return why a hook in a container isn't answered."""
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            asking.connect(path)
    except OSError as error:
        return [Problem("unanswered", {"socket": path, "reason": cause(error)})]
    return []


def _value(path: str, name: str) -> str:
    """Return what an installed hook has in one of its lines; "": nothing that can be read."""
    for line in _read(path).splitlines():
        key, equals, value = line.partition("=")
        if equals and key == name:
            with contextlib.suppress(ValueError):  # somebody has changed it
                return "".join(shlex.split(value))
    return ""


def _label(path: str, made: Sequence[str]) -> None:
    """Give the hook, and directories made for it, the labels of the policy where SELinux is on.

    Before a daemon is told of it: a hook that it may not run stops every start. That restorecon fails is no reason to
    leave the host without a hook.
    """
    if not os.path.exists(_SELINUX):
        return
    argv = ["restorecon", "-F", *reversed(made), path]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LABEL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = printable(error)
    else:
        if done.returncode == 0:
            return
        why = printable((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    journal.error(
        f"SELinux may keep libvirt from running {printable(path)}, because restorecon fails: {why}:"
        f" run '{shlex.join(argv)}'"
    )


def _tell(running: Sequence[daemons.Daemon]) -> None:
    for daemon in running:
        daemon.look_again()
    if running:
        time.sleep(_LOOK_SECONDS)
