# SPDX-License-Identifier: Apache-2.0
"""What mthook.conf is to say, and the one line of nova.conf."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mthook.errors import InstallError
from mthook.hook import daemons
from mthook.operations.setup import inifile
from mthook.operations.setup.found import Found, read
from mthook.text import printable

#: The options that mthook must have as Nova has them.
_AS_NOVA = (
    ("DEFAULT", "host"),
    ("libvirt", "connection_uri"),
    ("libvirt", "hw_machine_type"),
    ("libvirt", "num_pcie_ports"),
)
_HEAD = "# Written by mthook-admin setup. All options: mthook.conf.sample.\n"
_MARK = "mthook-admin setup: mthook-gate"
_WAS = f"{_MARK}, in place of "
#: An option that oslo.config fills in: $name or ${name}, but not $$.
_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$[\w{]")


@dataclass(frozen=True)
class Choices:
    """What the operator wants.

    :ivar mode: of the hook; ``None``: as it is configured, at first audit.
    :ivar database: the URL of Nova's cell database, as oslo.config reads it; ``None``: as it is configured, else
        nova.conf's.
    :ivar gate: install the gate, where Nova is.
    :ivar nova_conf: write the line that leads Nova to the gate.
    """

    mode: str | None = None
    database: str | None = None
    gate: bool = True
    nova_conf: bool = False


def compose(found: Found, choices: Choices) -> str:
    """Return what mthook.conf is to say; what it says already stays, comments included.

    :raises InstallError: nova.conf has a value that can't be taken over.
    """
    text = found.text or _HEAD
    for group, name, value in _wanted(found, choices):
        if inifile.get(text, group, name) != value:
            text = inifile.put(text, group, name, value)
    return text


def read_database(text: str, name: str) -> str:
    """Return the URL of a database from a file that holds nothing else, or from one like nova.conf.

    :param name: how messages call the file. They never quote it: it holds a password.
    :raises InstallError: there is none.
    """
    url = inifile.get(text, "database", "connection")
    if url is None:
        url = text.strip().replace("$", "$$")
    if not re.fullmatch(r"\w+(\+\w+)?://\S+", url):
        raise InstallError(
            f"{name}: no database URL in it, neither alone nor as [database] connection"
        )
    return url


def lead_to_gate(text: str, socket: str) -> str:
    """Return nova.conf with the line that leads Nova to the gate; what it said before is a comment above it."""
    uri = gate_uri(socket)
    before = inifile.get(text, "libvirt", "connection_uri")
    if before == uri:
        return text
    comment = _MARK if before is None else f"{_WAS}{before}"
    return inifile.put(text, "libvirt", "connection_uri", uri, comment)


def lead_back(text: str, socket: str) -> str | None:
    """Return nova.conf as it was before :func:`lead_to_gate`, ``None`` where somebody else led Nova to the gate."""
    if daemons.socket_of(inifile.get(text, "libvirt", "connection_uri") or "") != socket:
        return text
    lines = text.splitlines()
    marks = [n for n, line in enumerate(lines) if line.startswith(f"# {_MARK}")]
    if not marks:
        return None
    comment = lines.pop(marks[-1]).removeprefix("# ")
    bare = "".join(f"{line}\n" for line in lines)
    if comment.startswith(_WAS):
        return inifile.put(bare, "libvirt", "connection_uri", comment[len(_WAS) :])
    return inifile.drop(bare, "libvirt", "connection_uri")


def gate_uri(socket: str) -> str:
    """Return libvirt's URI of the gate."""
    return f"qemu+unix:///system?socket={socket}"


def _wanted(found: Found, choices: Choices) -> Iterator[tuple[str, str, str]]:
    """Yield the options that are to be set: group, name, value."""
    mode = choices.mode or inifile.get(found.text, "hook", "mode") or "audit"
    yield "hook", "mode", mode
    yield from _as_nova(found)
    database = _database(found, choices)
    if database is not None:
        yield "database", "connection", database
        # Watching also means not writing to Nova's database; enforcing without that would stop Nova's starts.
        fresh = inifile.get(found.text, "sync", "write_back") is None
        if choices.mode is not None or (fresh and mode == "audit"):
            yield "sync", "write_back", "true" if mode == "enforce" else "false"
    if inifile.get(found.text, "gate", "upstream") is None and found.socket != daemons.SOCKETS[-1]:
        yield "gate", "upstream", found.socket
        yield "gate", "upstream_ro", f"{found.socket}-ro"


def _as_nova(found: Found) -> Iterator[tuple[str, str, str]]:
    for group, name in _AS_NOVA:
        value = inifile.get(found.nova_text, group, name)
        if not value or inifile.get(found.text, group, name) is not None:
            continue
        if name == "connection_uri" and f"# {_MARK}" in found.nova_text:
            continue  # it leads to the gate
        yield group, name, _taken_over(found, group, name, value)


def _database(found: Found, choices: Choices) -> str | None:
    own = inifile.get(found.text, "database", "connection")
    theirs = inifile.get(found.nova_text, "database", "connection")
    if choices.database is None and own is None and theirs:
        return _taken_over(found, "database", "connection", theirs)
    return choices.database or own


def _taken_over(found: Found, group: str, name: str, value: str) -> str:
    if _REFERENCE.search(value) or "\n" in value:
        path = printable(found.nova_conf or "")
        raise InstallError(
            f"{path}: {name} in [{group}] refers to another option:"
            f" write its value to {printable(found.config)} first"
        )
    return value


def database_from(path: str) -> str:
    """Return the URL of a database from a file; see :func:`read_database`."""
    text = read(path)
    if text is None:
        raise InstallError(f"{printable(path)}: no such file")
    return read_database(text, printable(path))
