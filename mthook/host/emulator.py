# SPDX-License-Identifier: Apache-2.0
"""Ask a QEMU binary itself what it offers, through QMP, without a guest and without libvirt."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mthook.catalog.records import Capability
from mthook.errors import HostError
from mthook.text import printable

#: Seconds that a binary has to answer; the first time it must be read from disk.
_SECONDS = 30
#: A limit on the answer; QEMU's is some 100 KB long.
_MAX_BYTES = 1 << 22
#: How many lines of output other than QMP are quoted.
_MAX_LINES = 20
_ARGUMENTS = (
    *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "none"),
    *("-S", "-qmp", "stdio"),
)
_COMMANDS = ("qmp_capabilities", "query-version", "query-target", "query-machines", "quit")
#: The one QEMU machine type that libvirt leaves out (src/qemu/qemu_capabilities.c).
_NO_BOARD = "none"
_VIRT_TYPES = ("kvm", "qemu")


@dataclass(frozen=True)
class Emulator:
    """What a QEMU binary says of itself.

    :ivar version: as people write it: ``7.2.22``.
    :ivar capabilities: its machine types, for either domain type; libvirt tells which domain types a host can run.
    """

    path: str
    arch: str
    version: str
    capabilities: tuple[Capability, ...]


def ask(path: str) -> Emulator:
    """Ask a QEMU binary for its version, its architecture and its machine types.

    :raises HostError: it can't be run, isn't QEMU, or doesn't answer in time; its own words follow.
    """
    output = _run(path)
    answers, words = _read(output)
    try:
        version, target, machines = answers[1:4]
        numbers = version["qemu"]
        emulator = Emulator(
            path=path,
            arch=str(target["arch"]),
            version=f"{numbers['major']:d}.{numbers['minor']:d}.{numbers['micro']:d}",
            capabilities=tuple(_capabilities(path, str(target["arch"]), machines)),
        )
    except (KeyError, TypeError, ValueError) as error:
        said = f": {words}" if words else ""
        raise HostError(f"{printable(path)} doesn't answer as a QEMU does{said}") from error
    return emulator


def _run(path: str) -> bytes:
    """Run a binary on the commands and return its output; no process is left over."""
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise HostError(f"{printable(path)} isn't a program that can be run")
    # It ends with this process, even if that is killed.
    argv = ["setpriv", "--pdeathsig", "KILL", "--", os.path.abspath(path), *_ARGUMENTS]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    late = threading.Event()
    timer = threading.Timer(_SECONDS, _give_up, (process, late))
    timer.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("".join(_requests()).encode())
            process.stdin.close()
        output = process.stdout.read(_MAX_BYTES)
    finally:
        timer.cancel()
        _kill(process)
        process.stdout.close()
        process.wait()
    if late.is_set():
        raise HostError(f"{printable(path)} doesn't answer within {_SECONDS} s")
    return output


def _requests() -> Iterator[str]:
    return (json.dumps({"execute": command}) + "\n" for command in _COMMANDS)


def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _read(output: bytes) -> tuple[list[Any], str]:
    """Return the commands' results, in order, and the first other output as one line."""
    lines = output.decode(errors="replace").splitlines()
    answers = [found["return"] for found in map(_message, lines) if "return" in found]
    words = itertools.islice((line for line in lines if not _message(line)), _MAX_LINES)
    return answers, printable(" ".join(words))


def _message(line: str) -> dict[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _capabilities(path: str, arch: str, machines: list[dict[str, Any]]) -> Iterator[Capability]:
    """Yield machine types and aliases as libvirt lists them."""
    for virt_type in _VIRT_TYPES:
        for one in machines:
            name, alias, deprecated = one["name"], one.get("alias"), bool(one.get("deprecated"))
            if name == _NO_BOARD:
                continue
            yield Capability(path, arch, virt_type, name, deprecated=deprecated)
            if alias:
                yield Capability(path, arch, virt_type, alias, name, deprecated)
