# SPDX-License-Identifier: Apache-2.0
"""What an operator types on a lab host and reads there, beside a file that a person has read as a whole."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from tests import recorded
from tests.lab import Host

DIRECTORY = Path(__file__).parent / "transcripts"
#: A terminal of 80 columns without colour.
_TERMINAL = "stty cols 80 rows 50; export NO_COLOR=1 PATH={path}:$PATH; {line}"
#: What asks a question on it.
_QUESTION = "[y/N] "
#: What differs from run to run, or from one machine to another, and what stands for it.
_MASKS = (
    # Whole times, and those that a narrow column breaks.
    (r"\d{4}-\d\d-(?=\d\dT|\s)", "YYYY-MM-"),
    (r"\b\d\dT\d\d:\d\d", "DDThh:mm"),
    (r"(?<=DDThh:mm):\d\d(\.\d+)?", ":ss"),
    (r"\b\d\dZ", "ssZ"),
    (r"\(pid \d+\)", "(pid N)"),
    (r"\b\d+ (second|minute)s? (ago|old)", r"N \1s \2"),
    (r"\b\d+ (s|min) ago", "N s ago"),
    # In a box, which is as wide whatever the version.
    (r"QEMU (\d\.\d), due \d{4}-\d\d", r"QEMU N.N, due YYYY-MM"),
    (r"QEMU (\d\d\.\d), due \d{4}-\d\d([^|\n]*)\|", r"QEMU N.N, due YYYY-MM\2 |"),
    (r"(QEMU|libvirt|mthook) \d+\.\d+(\.\d+)*", r"\1 N.N"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(?<![-0-9a-f])[0-9a-f]{12}(?=\n)", "CHANGE"),
    (r"Child process \(.*?\) unexpected", "Child process (…) unexpected"),
)


class Transcript:
    """A session at a host.

    :param name: of the file that it is to be like.
    """

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self._path = DIRECTORY / f"{name}.txt"
        self._text = ""

    def say(self, text: str) -> None:
        """Tell the reader what comes next."""
        self._text += f"\n## {text}\n"

    def type(self, *lines: str, answer: str = "") -> None:
        """Type commands, one after the other, and note what the terminal shows.

        :param answer: what is typed when they ask.
        """
        for line in lines:
            shown, code = self._run(line, answer)
            self._text += f"\n# {line}\n{shown}" + (f"[exit code {code}]\n" if code else "")

    def check(self, rewrite: bool) -> None:
        """Compare with the file, or write it."""
        text = recorded.shown(self._text)
        if rewrite:
            self._path.write_text(text)
        assert text == self._path.read_text(), "pytest --rewrite-transcripts, then read it"

    def _run(self, line: str, answer: str) -> tuple[str, int]:
        if line.startswith("virsh"):  # on a terminal it looks for polkit
            done = self._host.run(["sh", "-c", f"{line} 2>&1"], check=False)
            return _masked(done.stdout), done.returncode
        inside = _TERMINAL.format(path=Path(sys.executable).parent, line=line)
        done = self._host.run(
            ["script", "-qec", f"sh -c {shlex.quote(inside)}", "/dev/null"],
            check=False,
            input=answer,
        )
        shown = done.stdout.replace("\r", "")
        if answer:  # the terminal has echoed it before it was asked for
            shown = shown.removeprefix(answer).replace(_QUESTION, f"{_QUESTION}{answer}")
        return _masked(shown), done.returncode


def _masked(text: str) -> str:
    for pattern, instead in _MASKS:
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return "".join(f"{line}\n" for line in lines)
