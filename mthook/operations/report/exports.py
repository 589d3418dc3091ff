# SPDX-License-Identifier: Apache-2.0
"""Figures of a host as the first line of its export, and a directory of such exports."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from mthook.errors import Error
from mthook.machinetype import MachineType
from mthook.operations.exchange import HOST_FORMAT
from mthook.operations.inventory import WHERE
from mthook.operations.report.aggregates import Aggregates, Drifter, HostFigures, MachineFigures
from mthook.text import cause, is_time, latest, printable

#: A host with a thousand different machine types has some 100 KB.
_LONGEST = 1 << 22
#: No host has more of anything.
_MOST = 10**9
#: The Python types of the fields, by their annotations.
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "int | None": (int, type(None)),
    "bool": (bool,),
}
_TIMES, _MACHINES = ("as_of", "ran_at"), ("machine", "pin")
_MODES = ("enforce", "audit", "off")
_Record = TypeVar("_Record", HostFigures, MachineFigures, Drifter)


@dataclass(frozen=True)
class Export:
    """One file of a directory.

    :ivar path: its name, untrusted.
    :ivar figures: those of its host; None: it has none that count.
    :ivar problem: why.
    """

    path: str
    figures: Aggregates | None
    problem: str = ""

    @property
    def host(self) -> HostFigures | None:
        """Its host."""
        return self.figures.hosts[0] if self.figures else None


def to_line(figures: Aggregates) -> str:
    """Return one host's figures as one line of JSON without its line end."""
    return json.dumps({"format": HOST_FORMAT, **asdict(figures)})


def read(directory: str) -> Iterator[Export]:
    """Yield the exports of several hosts, one a file; of two of one host the later one counts.

    :raises Error: the directory can't be read.
    """
    try:
        paths = sorted(one.path for one in os.scandir(directory) if one.is_file())
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise Error(f"{printable(directory)}: {cause(error)}") from error
    found = [_read(path) for path in paths]
    hosts = sorted(((one.host, one) for one in found if one.host), key=lambda pair: pair[0].as_of)
    counting = {host.name: one for host, one in hosts}
    for one in found:
        newer = counting[one.host.name] if one.host else one
        if newer is one:
            yield one
        else:
            yield Export(one.path, None, f"{printable(newer.path)} has later figures of that host")


def _read(path: str) -> Export:
    try:
        with open(path, "rb") as file:
            return Export(path, from_line(file.readline(_LONGEST).decode()))
    except OSError as error:
        return Export(path, None, cause(error))
    except (ValueError, TypeError, KeyError, Error) as error:
        words = f"{error.args[0]} is missing" if isinstance(error, KeyError) else printable(error)
        return Export(path, None, words)


def from_line(line: str) -> Aggregates:
    """Read what :func:`to_line` wrote.

    :raises ValueError, TypeError, KeyError, Error: it is something else.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != HOST_FORMAT:
        raise ValueError(
            "it doesn't begin with the figures of a host: make it anew there with 'mthook-admin export'"
        )
    (host,) = content["hosts"]
    drift = {where: content["drift"][where] for where in WHERE}
    for where, number in drift.items():
        _check(where, number, "int")
    return Aggregates(
        (_record(HostFigures, host),),
        [_record(MachineFigures, one) for one in content["machines"]],
        drift,
        [_record(Drifter, one) for one in content["drifters"]],
    )


def _record(kind: type[_Record], content: dict[str, Any]) -> _Record:
    values = {field.name: content[field.name] for field in fields(kind)}
    for field in fields(kind):
        _check(field.name, values[field.name], str(field.type))
    if kind is MachineFigures and values["name"]:
        MachineType.parse(values["name"])
    return kind(**values)


def _check(name: str, value: Any, kind: str) -> None:
    if type(value) not in _KINDS[kind] or (isinstance(value, int) and not 0 <= value <= _MOST):
        raise TypeError(f"{name} is {printable(value, 40)}, which no export says")
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair isn't Unicode
        if name in _MACHINES and value:
            MachineType.parse(value)
    if name in _TIMES and value is not None and not (is_time(value) and value <= latest()):
        raise ValueError(
            f"{name} is {printable(value, 40)}, which is no time, or yet to come: look after the clocks"
        )
    if (name == "mode" and value not in _MODES) or (name == "where" and value not in WHERE):
        raise ValueError(f"{name} is {printable(value, 40)}, which no export says")
