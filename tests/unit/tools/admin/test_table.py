# SPDX-License-Identifier: Apache-2.0
"""Tables: on a real terminal of 80 columns, with whatever guests are called."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.text import now
from mthook.tools.admin.table import shortened, width_of

from .conftest import guest, pin

#: As long as names get, with umlauts, spaces, characters of two columns, and of none.
NAMES = [
    "x" * 60,
    "kunde-a-projekt-berlin-frontend-zone-1-webserver-instanz-001",
    "kunde-a-projekt-berlin-frontend-zone-1-webserver-instanz-002",
    "größe und maß für die bücherei in köln",
    "日本語の仮想マシン、とても長い名前のサーバー番号百二十三",
    "ni\u0303no " * 10,
    "🐧" * 20,
    "web-1",
]
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


def uuid(number: int) -> str:
    """Return the UUID of a guest."""
    return f"{number:08x}-0000-4000-8000-000000000000"


@pytest.fixture
def fleet(catalog: Catalog) -> Catalog:
    """A guest of each name, and a pin without any."""
    guests = [
        guest(uuid(number), name, display=f"Shop {number} " * 4, running="pc-q35-7.2", nova=True)
        for number, name in enumerate(NAMES)
    ]
    catalog.see_guests(guests, now())
    for number in range(len(NAMES) + 1):
        pin(catalog, uuid(number), "pc-i440fx-6.2")
    return catalog


def on_a_terminal(config: Path, *args: str, width: int = 80, **environment: str) -> list[str]:
    """Return the lines that a terminal gets to see, without those of standard error."""
    command = [
        sys.executable,
        "-c",
        "import sys; from mthook.tools.admin import main; sys.exit(main())",
    ]
    known = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")
    }
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.environ.clear()
        os.environ.update(known, TERM="xterm", **environment)
        os.execv(command[0], [*command, "--config-file", str(config), *args])
    printed = b""
    try:
        while piece := os.read(terminal, 65536):
            printed += piece
    except OSError:  # the end, as Linux tells it
        pass
    os.close(terminal)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 0
    return printed.decode().splitlines()


@pytest.mark.parametrize("width", [80, 60, 200])
def test_every_line_of_a_list_is_one_guest(config: Path, fleet: Catalog, width: int) -> None:
    """None is wider than the terminal, so that none is broken; names that differ at their ends stay different."""
    lines = on_a_terminal(config, "list", width=width, NO_COLOR="1")

    assert len(lines) == 1 + len(NAMES) + 1
    assert [line for line in lines if width_of(line) > width] == []
    assert len({line for line in lines}) == len(lines)
    assert all("pc-i440fx-6.2" in line for line in lines[1:])
    assert lines[-1].split()[0] == uuid(len(NAMES))[:8]


@pytest.mark.parametrize(
    "command", [["list", "--long"], ["history", "--long"], ["list", "-c", "UUID"]]
)
def test_no_uuid_is_shortened(config: Path, fleet: Catalog, command: list[str]) -> None:
    """Nor is anything else, where all is asked for."""
    lines = on_a_terminal(config, *command, width=30, NO_COLOR="1")

    assert all(re.search("[0-9a-f]{8}-0000-4000-8000-000000000000", line) for line in lines[1:])
    assert len(lines) == 1 + len(NAMES) + 1
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("width", [80, 40, 20])
@pytest.mark.parametrize("command", [["list"], ["history"], ["history", "web-1"]])
def test_no_heading_is_cut(config: Path, fleet: Catalog, command: list[str], width: int) -> None:
    """However narrow the terminal: a column is at least as wide as its heading."""
    heading, *_ = on_a_terminal(config, *command, width=width, NO_COLOR="1")

    assert "…" not in heading
    assert {"Pin", "To"} & {*heading.split()}


def test_history_fits_as_well(config: Path, fleet: Catalog) -> None:
    """With times that can be read."""
    lines = on_a_terminal(config, "history", NO_COLOR="1")

    assert [line for line in lines if width_of(line) > 80] == []
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  ", line) for line in lines[1:])
    assert all("pinned" in line and "pc-i440fx-6.2" in line for line in lines[1:])


def test_colours_are_for_terminals_alone(config: Path, fleet: Catalog, unreachable: None) -> None:
    """And for those who want them (no-color.org); they take no room."""
    fleet.unset_pin(uuid(0), actor="operator alice")
    coloured = on_a_terminal(config, "list")
    plain = on_a_terminal(config, "list", NO_COLOR="1")

    assert [ESCAPES.sub("", line) for line in coloured] == plain
    assert coloured[0].startswith("\x1b[1mName\x1b[0m")
    text = "\n".join(coloured)
    assert "\x1b[33mnone\x1b[0m" in text and re.search("\x1b\\[31mruns pc", text)
    assert not ESCAPES.search("\n".join(plain))
    assert ESCAPES.search("\n".join(on_a_terminal(config, "list", NO_COLOR="")))


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("web-1", 5, "web-1"),
        ("web-01", 5, "we…01"),
        ("web-001", 6, "web…01"),
        ("日本語日本語", 6, "日…語"),
        ("日本語日本語", 12, "日本語日本語"),
        ("ab", 1, "…"),
        ("e\u0301" * 5, 5, "e\u0301" * 5),
    ],
)
def test_a_text_is_shortened_in_its_middle(text: str, width: int, expected: str) -> None:
    """By columns of a terminal, not by characters."""
    assert shortened(text, width) == expected
    assert width_of(expected) <= width
