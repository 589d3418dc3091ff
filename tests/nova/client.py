# SPDX-License-Identifier: Apache-2.0
"""Asks real Nova."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from tests.lab import Host
from tests.lab.nova import Cloud
from tests.lab.novaschema import nova_manage

if TYPE_CHECKING:
    from typing_extensions import Self

_ROOT = Path(__file__).parents[2]


class NovaError(Exception):
    """Nova raised something; the text begins with its class."""


class Answer(NamedTuple):
    """What a command of Nova's says."""

    code: int
    output: str


class Nova:
    """A context manager: Nova can be asked about a cloud inside the block.

    :param directory: for what Nova writes.
    :param conf: the configuration for Nova's processes.
    """

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self._directory = directory
        self.conf = cloud.conf(directory / "nova.conf")
        self._touches = 0
        self._host: Optional[Host] = None

    def __enter__(self) -> Self:
        with (self._directory / "nova.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nova.real", self.conf],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=_ROOT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.terminate()
        if self._host is not None:
            self._host.__exit__()

    def get(self, uuid: str) -> Answer:
        """Ask ``nova-manage libvirt get_machine_type``."""
        return Answer(*self._ask("get", uuid=uuid))

    def update(self, uuid: str, machine: str, force: bool = False) -> Answer:
        """Ask ``nova-manage libvirt update_machine_type``."""
        return Answer(*self._ask("update", uuid=uuid, machine=machine, force=force))

    def list_unset(self, cell: Optional[str] = None) -> Answer:
        """Ask ``nova-manage libvirt list_unset_machine_type``.

        :param cell: the UUID of the only cell to look into.
        """
        return Answer(*self._ask("list_unset", cell=cell))

    def set_property(self, uuid: str, text: str) -> Answer:
        """Ask ``nova-manage image_property set``, such as ``hw_machine_type=pc``."""
        return Answer(*self._ask("set_property", uuid=uuid, text=text))

    def show_property(self, uuid: str, which: str) -> Answer:
        """Ask ``nova-manage image_property show``."""
        return Answer(*self._ask("show_property", uuid=uuid, which=which))

    def make_spec(self, uuid: str) -> None:
        """Have Nova keep a request spec for an instance."""
        self._ask("make_spec", uuid=uuid)

    def spec(self, uuid: str) -> tuple[Optional[str], Any]:
        """Return the machine type that Nova reads in a request spec, and all of it as data."""
        machine, primitive = self._ask("spec", uuid=uuid)
        return machine, primitive

    def save_spec(self, uuid: str) -> None:
        """Have Nova change and save a request spec."""
        self._ask("save_spec", uuid=uuid)

    def load(self, uuid: str) -> None:
        """Have Nova load an instance, which the next :meth:`save` or :meth:`touch` saves.

        Without it they load it themselves.
        """
        self._ask("load", uuid=uuid)

    def save(self, uuid: str, **metadata: Optional[str]) -> None:
        """Have Nova save an instance with changed system metadata; None takes a key away."""
        self._ask("save", uuid=uuid, metadata=metadata)

    def touch(self, uuid: str) -> None:
        """Have Nova save an instance with other metadata than the machine type changed."""
        self._touches += 1
        self.save(uuid, touched=str(self._touches))

    def request(self, uuid: str) -> None:
        """Have Nova keep what was asked for when an instance was made."""
        self._ask("request", uuid=uuid)

    def machine(self, uuid: str, hw_machine_type: Sequence[str] = ()) -> Optional[str]:
        """Return the machine type that Nova would give a guest.

        :param hw_machine_type: that option's value, such as ``["x86_64=q35"]``.
        """
        machine: Optional[str] = self._ask("machine", uuid=uuid, hw_machine_type=hw_machine_type)
        return machine

    def xml(self, uuid: str, hw_machine_type: Sequence[str] = (), uri: Optional[str] = None) -> str:
        """Return the domain XML that Nova would write for a guest.

        :param uri: of the compute host's libvirtd; a lab host of its own unless given.
        """
        options = {"hw_machine_type": hw_machine_type, "connection_uri": uri or self._own_uri()}
        xml: str = self._ask("xml", uuid=uuid, **options)
        return xml

    def manage(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run the real nova-manage."""
        return nova_manage(self.conf, *argv)

    def _own_uri(self) -> str:
        if self._host is None:
            self._host = Host("nova").__enter__()
        return self._host.uri

    def _ask(self, name: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([name, arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise NovaError((self._directory / "nova.log").read_text())
        answer = json.loads(line)
        if "error" in answer:
            raise NovaError(answer["error"])
        return answer["result"]
