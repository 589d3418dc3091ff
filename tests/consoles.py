# SPDX-License-Identifier: Apache-2.0
"""The consoles of the guide: what is typed in them is typed on a lab host, and has to print what stands there.

A console is a ``.. code-block:: console``; its commands begin with ``root@HOST# ``. Where something has to happen on
the host that the reader doesn't type, a comment before the console says what: ``.. here: redefined``. ``pytest
--rewrite-transcripts`` writes the pages anew, with what the commands print now.
"""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mthook.operations.setup import places
from tests import recorded
from tests.lab import Host
from tests.systemctl import systemctl

DOCS = Path(__file__).parents[1] / "docs"
_CONSOLE = re.compile(r"^( *)\.\. code-block:: console\n((?:\n|\1 {3}.*\n)+)", re.MULTILINE)
_HERE = re.compile(r"^ *\.\. here: (.+)$", re.MULTILINE)
_PROMPT = re.compile(r" *(root@[a-z0-9-]+# )(.*)")
#: No page is wider, and no line of it is so that a console has to be scrolled.
_WIDTH = 93
#: What is different each time.
_VARYING = (
    (re.compile(r"\(pid \d+\)"), "(pid …)"),
    (re.compile(r"\b\d+ (s|min) ago"), "… ago"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "…"),
)
#: virsh on a terminal of a host without polkit.
_OF_THE_LAB = re.compile(r"^Authorization not available\..*\n", re.MULTILINE)
_STAND_IN = "/run/stand-in"
_TYPIST = Path(__file__).with_name("typist.py")

Typed = Callable[[str], str]


def retyped(page: str, typed: Typed, here: Mapping[str, Callable[[], None]]) -> str:
    """Return a page with what its commands print now."""
    parts, end = [], 0
    for console in _CONSOLE.finditer(page):
        for name in _HERE.findall(page, end, console.start()):
            here[name]()
        parts += [page[end : console.start(2)], _block(console[1], console[2], typed)]
        end = console.end()
    return "".join([*parts, page[end:]])


def normal(page: str) -> str:
    """Return a page without what is different each time."""
    for pattern, text in _VARYING:
        page = pattern.sub(text, page)
    return page


def commands(page: str) -> list[str]:
    """Return the commands of a page's consoles."""
    lines = (line for console in _CONSOLE.finditer(page) for line in console[2].splitlines())
    return [found[2] for line in lines if (found := _PROMPT.fullmatch(line))]


def check(
    name: str,
    host: Host,
    here: Mapping[str, Callable[[], None]],
    rewrite: bool,
    *,
    contained: bool = False,
) -> None:
    """Type the commands of a page on a host.

    :param here: what the page's comments stand for.
    :param rewrite: write down what they print, in place of comparing it.
    :param contained: libvirtd has a hooks directory of its own, as in a container.
    """
    path = DOCS / name
    page = path.read_text()
    equip(host)

    def typed(command: str) -> str:
        return recorded.shown(on_terminal(host, recorded.typed(command), contained))

    now = retyped(page, typed, here)
    if rewrite and normal(now) != normal(page):
        path.write_text(now)
        return
    assert normal(now) == normal(page), f"{name} shows something else: pytest --rewrite-transcripts"


def on_terminal(host: Host, command: str, contained: bool = False) -> str:
    """Return what a command prints on a terminal of 80 columns where questions are answered with yes."""
    path = f"{_STAND_IN}:{Path(sys.executable).parent}:$PATH"
    line = f"stty cols 80 rows 50; export NO_COLOR=1 PATH={path}; {command}"
    cover = "mount -n -t tmpfs none /etc/libvirt/hooks;" if contained else ""
    typed = shlex.join([sys.executable, str(_TYPIST), line])
    done = host.run(["unshare", "--mount", "sh", "-c", f"{cover}{typed}"])
    return _OF_THE_LAB.sub("", done.stdout.replace("\r\n", "\n"))


def equip(host: Host) -> None:
    """Make a host one where systemd seems to run; its systemctl starts nothing."""
    host.run(["mkdir", "-p", _STAND_IN, "/run/systemd/system"])
    program = host.path(f"{_STAND_IN}/systemctl")
    program.write_text(systemctl(Path(places.SYSTEMD)))
    program.chmod(0o755)


def _block(indent: str, block: str, typed: Typed) -> str:
    lines = [""]
    for line in block.splitlines():
        found = _PROMPT.fullmatch(line)
        if found:
            lines += [*([""] if len(lines) > 1 else []), line.strip(), *_lines(typed(found[2]))]
    text = "\n".join(lines) + "\n"
    return textwrap.indent(text, indent + 3 * " ") + "\n"


def _lines(output: str) -> Iterator[str]:
    """Yield what a command has printed, in lines that a page has room for."""
    for line in output.strip("\n").splitlines():
        if len(line) <= _WIDTH:
            yield line.rstrip()
            continue
        after = " " * (len(line) - len(line.lstrip()) + 2)
        yield from textwrap.wrap(
            line, _WIDTH, subsequent_indent=after, break_long_words=False, break_on_hyphens=False
        )
