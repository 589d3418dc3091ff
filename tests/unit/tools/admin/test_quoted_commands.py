# SPDX-License-Identifier: Apache-2.0
"""Every command line that mthook's messages and documents quote can be typed.

Nova's upgrade check named a command that didn't exist, for several releases.
"""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.tools.admin.application import Admin

ROOT = Path(__file__).parents[4]

#: A command line: at the begin of a line, in quotes, or after "run", to the end of line or quote.
QUOTED = re.compile(
    r"(?:^[ \t]*(?:[$#] )?(?:sudo )?|['`\"]|\brun |\bExecStart=\S*/|/usr/bin/)"
    r"(mthook-(?:admin|gate|status|sync)(?:[ \t]+[^\s'`\"|;&>:,()]+)*)",
    re.MULTILINE,
)
#: The completion in etc/share has beginnings of command lines as well, and a test of its own.
DOCUMENTS = ("*.md", "*.rst", "docs/**/*.md", "docs/**/*.rst", "etc/*", "etc/systemd/*", "hooks/*")


def texts() -> Iterator[tuple[str, str]]:
    """Yield every text that mthook may show to somebody, and where it is from."""
    for pattern in DOCUMENTS:
        for path in ROOT.glob(pattern):
            if path.is_file():
                yield str(path.relative_to(ROOT)), path.read_text()
    for path in (ROOT / "mthook").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
            elif isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "X" for p in node.values]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(map(str, parts))


def command_lines() -> list[tuple[str, str]]:
    """Return every command line that is quoted, each once, and where.

    A program's bare name is no command line: documents name those that are still to come.
    """
    found: dict[str, str] = {}
    for where, text in texts():
        for line in QUOTED.findall(text):
            words = line.split(" #")[0].rstrip(".").split()
            if len(words) > 1:
                found.setdefault(" ".join(words), where)
    return [(where, line) for line, where in sorted(found.items())]


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the help of a quoted command says; '' where there is no such command."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"]
    entry = re.search(rf"^{words[0]} *= *([\w.]+):(\w+)$", scripts, re.MULTILINE)
    if entry is None:
        return ""
    arguments = words[1:]
    if words[0] == "mthook-admin" and arguments and arguments[0] != "--config-file":
        known = [name for name, _ in Admin().command_manager]
        command = next((name for name in known if _starts(arguments, name)), None)
        if command is None and not arguments[0].startswith("-"):
            return ""
        arguments = command.split() if command else []
    else:
        arguments = []
    capsys.readouterr()
    try:
        getattr(importlib.import_module(entry[1]), entry[2])([*arguments, "--help"])
    except SystemExit as end:
        assert not end.code
    return capsys.readouterr().out


def _starts(arguments: list[str], name: str) -> bool:
    return arguments[: len(name.split())] == name.split()


@pytest.mark.parametrize(("where", "line"), command_lines())
def test_a_quoted_command_exists(capsys: pytest.CaptureFixture[str], where: str, line: str) -> None:
    """Program, command and every option."""
    words = line.split()

    text = help_of(words, capsys)

    assert text, f"{where}: there is no command {line}"
    everywhere = {"--config-file", "--debug", "-v", "-h", "--help", "--version"}
    for option in (word.split("=")[0] for word in words if re.match("--?[a-z]", word)):
        assert option in everywhere or re.search(rf"(?<![\w-]){option}(?![\w-])", text), (
            f"{where}: {line}: no option {option}"
        )


def test_the_search_finds_what_messages_quote() -> None:
    """Else the test above would prove nothing."""
    lines = {line for _, line in command_lines()}

    assert {"mthook-admin hook install", "mthook-sync --only repair"} <= lines
