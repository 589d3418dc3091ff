# SPDX-License-Identifier: Apache-2.0
"""One isolated host: its libvirtd, its guests, its file system."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid as uuids
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from tests.lab.daemon import Daemon
from tests.lab.guests import PC, guest_xml
from tests.lab.namespaces import Argument, Namespaces
from tests.lab.requirements import PATH, LabError, check

if TYPE_CHECKING:
    from typing_extensions import Self

_SECONDS = 120
_FIRMWARE = Path("/usr/share/seabios/bios-256k.bin")
#: A firmware of SeaBIOS's size at whose last 16 bytes, where a processor begins, it stands still: cli; hlt; jmp to hlt.
_STILL = bytes((256 << 10) - 16) + b"\xfa\xf4\xeb\xfd".ljust(16, b"\0")


class Host:
    """A context manager: the host, with its libvirtd, is up inside the block.

    :param name: its host name.
    :param firmware: whether SeaBIOS runs in guests. It takes three seconds of processor time to find nothing to boot.
    """

    def __init__(self, name: str = "alpha", *, firmware: bool = False) -> None:
        self.name = name
        self._firmware = firmware

    def __enter__(self) -> Self:
        check()
        self._namespaces = Namespaces(self.name)
        try:
            self.daemon = Daemon(self._namespaces)
            (self.daemon.root / "etc/libvirt/hooks").mkdir()
            if not self._firmware and _FIRMWARE.exists():
                self._keep_guests_still()
            self.daemon.start()
        except BaseException:
            self._namespaces.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._namespaces.close()
        self.daemon.close()

    def _keep_guests_still(self) -> None:
        self.path("/run/still").write_bytes(_STILL)
        self.run(["mount", "--bind", "/run/still", _FIRMWARE])

    @property
    def uri(self) -> str:
        """libvirt's URI of this host for a client outside."""
        return self.daemon.uri

    def path(self, inside: str) -> Path:
        """Return where a path of this host is for a process outside."""
        return self.daemon.root / inside.lstrip("/")

    def run(
        self, argv: Sequence[Argument], check: bool = True, input: Optional[str] = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this host.

        :raises LabError: it failed and ``check`` is set; its output follows.
        """
        return _run(self._namespaces.command(argv), check=check, input=input)

    def popen(self, argv: Sequence[Argument]) -> subprocess.Popen[str]:
        """Start a command on this host and return without waiting for it."""
        return self._namespaces.popen(
            argv,
            _environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @contextlib.contextmanager
    def holding(self, *argv: Argument) -> Iterator[None]:
        """Run a Python program that says a line and then holds something until its standard input ends."""
        process = self._namespaces.popen(
            [sys.executable, *argv], _environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                raise LabError(f"{argv[0]} has ended.")
            yield
        finally:
            process.communicate()

    def virsh(
        self, *argv: str, check: bool = True, input: Optional[str] = None
    ) -> subprocess.CompletedProcess[str]:
        """Run virsh on this host."""
        return self.run(["virsh", "--quiet", "--connect", "qemu:///system", *argv], check, input)

    def mthook(
        self, program: str, *argv: str, check: bool = True, input: Optional[str] = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of mthook's commands on this host, from this process's Python environment."""
        return self.run([Path(sys.executable).with_name(program), *argv], check, input)

    def define(self, xml: str) -> None:
        """Define a guest."""
        self.virsh("define", "/dev/stdin", input=xml)

    def boot(self, name: str, machine: str = PC, *, uuid: Optional[str] = None, **more: str) -> str:
        """Define a guest, start it and return its UUID.

        :param more: see :func:`~tests.lab.guests.guest_xml`.
        """
        uuid = uuid or str(uuids.uuid4())
        self.define(guest_xml(name, uuid, machine, **more))  # type: ignore[arg-type]
        self.virsh("start", "--domain", name)
        return uuid

    def state(self, name: str) -> str:
        """Return libvirt's word for a guest's state."""
        return self.virsh("domstate", "--domain", name).stdout.strip()

    def machine(self, name: str, *options: str) -> str:
        """Return the machine type a guest runs with.

        With ``--inactive``, or when it is shut off, its definition's.
        """
        return (
            self.virsh("dumpxml", "--domain", name, *options)
            .stdout.partition(" machine='")[2]
            .partition("'")[0]
        )

    def migrate(
        self, name: str, to: Host, *options: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Live-migrate a guest, definition and all.

        The client runs outside, where it can reach both hosts.
        """
        argv = [
            "virsh",
            "--quiet",
            "--connect",
            self.uri,
            "migrate",
            "--live",
            "--persistent",
            "--undefinesource",
        ]
        return _run([*argv, *options, name, to.uri, "tcp://127.0.0.1"], check=check)

    def remove_guests(self) -> None:
        """End and undefine every guest, with what is kept for it."""
        for name in self.virsh("list", "--all", "--name").stdout.split("\n"):
            if name:
                self.virsh("destroy", "--domain", name, check=False)
                self.virsh(
                    "undefine",
                    "--domain",
                    name,
                    "--managed-save",
                    "--snapshots-metadata",
                    check=False,
                )


def _environment() -> dict[str, str]:
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
    # Commands run from a checkout, measured by coverage, and with authorities, as in the process that runs them.
    passed = (
        name
        for name in os.environ
        if name in ("PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_FILE", "SSL_CERT_FILE")
    )
    return {**environment, **{name: os.environ[name] for name in passed}}


def _run(
    argv: list[str], *, check: bool, input: Optional[str] = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv,
        check=False,
        input=input if input is not None else "",
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=_SECONDS,
        env=_environment(),
        cwd="/",
    )
    if check and done.returncode:
        raise LabError(
            f"{' '.join(argv)} ended with {done.returncode}.\n{done.stderr}{done.stdout}"
        )
    return done
