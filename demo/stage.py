# SPDX-License-Identifier: Apache-2.0
"""The hosts of the demonstration, and how it shows what happens on them."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.lab import Host

_WIDTH = 110
#: A host has process ids of its own.
_GATE = 'echo $$ >/run/gate.pid; exec "$0"'


class Unexpected(Exception):
    """Something didn't happen as the demonstration says it does."""


class Stage(contextlib.ExitStack):
    """Isolated hosts by their names; up inside the ``with`` block, gone after it."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names
        self._hosts: dict[str, Host] = {}
        self._steps = 0

    def __enter__(self) -> Stage:
        super().__enter__()
        self.say(
            f"Starting {len(self._names)} isolated hosts, a libvirtd each: {', '.join(self._names)} ..."
        )
        for name in self._names:
            self._hosts[name] = self.enter_context(Host(name))
            self._hosts[name].path("/etc/mthook").mkdir(exist_ok=True)
        return self

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def step(self, title: str) -> None:
        """Begin a step."""
        self._steps += 1
        print(f"\n{self._steps}. {title}\n", flush=True)

    def say(self, text: str) -> None:
        """Explain something."""
        print(
            textwrap.fill(text, _WIDTH, initial_indent="   ", subsequent_indent="   "), flush=True
        )

    def run(self, host: Host, program: str, *argv: str, fails: bool = False) -> str:
        """Run a command on a host, show it with what it prints, and return that.

        :raises Unexpected: it fails, or with ``fails`` doesn't.
        """
        print(f"   {host.name}# {shlex.join((program, *argv))}", flush=True)
        found = Path(sys.executable).with_name(program)
        done = host.run([found if found.exists() else program, *argv], check=False)
        return self._shown(done, " ".join((program, *argv)), fails)

    def migrate(self, name: str, source: Host, target: Host) -> None:
        """Live-migrate a guest and show it."""
        print(
            f"   {source.name}# virsh migrate --live --persistent --undefinesource {name} {target.name}"
        )
        self._shown(source.migrate(name, target, check=False), "virsh migrate", False)

    @contextlib.contextmanager
    def gate(self, host: Host) -> Iterator[None]:
        """Have mthook-gate run on a host inside the block.

        :raises Unexpected: it doesn't begin to listen.
        """
        print(f"   {host.name}# mthook-gate &", flush=True)
        # The hosts have no group libvirt.
        with host.path("/etc/mthook/mthook.conf").open("a") as config:
            config.write("[gate]\ngroup = root\n")
        process = host.popen(["sh", "-c", _GATE, Path(sys.executable).with_name("mthook-gate")])
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            print(f"   {line}", end="", flush=True)
            if "listening on" not in line:
                raise Unexpected("mthook-gate was to listen here")
            yield
        finally:
            host.run(["sh", "-c", "kill $(cat /run/gate.pid)"], check=False)
            process.communicate()

    def expect(self, output: str, text: str) -> None:
        """Check that what a command printed has a text in it.

        :raises Unexpected: it hasn't.
        """
        if text not in output:
            raise Unexpected(f"'{text}' was to be seen here")

    def same(self, found: str, wanted: str, what: str) -> None:
        """Check that two machine types are the same and say so.

        :raises Unexpected: they aren't.
        """
        if found != wanted:
            raise Unexpected(f"{what} {found}, not {wanted}")
        self.say(f"✓ {what} {found}")

    def _shown(self, done: subprocess.CompletedProcess[str], what: str, fails: bool) -> str:
        output = done.stdout + done.stderr
        for line in output.splitlines():
            if line.strip():
                print(
                    textwrap.indent(
                        textwrap.fill(line, _WIDTH) if len(line) > _WIDTH else line, "   "
                    )
                )
        if bool(done.returncode) != fails:
            raise Unexpected(f"{what} ended with {done.returncode}")
        return output
