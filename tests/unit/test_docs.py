# SPDX-License-Identifier: Apache-2.0
"""The operator guide says what the programs do. Links and markup are Sphinx's to check: ``tox -e docs``."""

from __future__ import annotations

import ast
import configparser
import enum
import functools
import re
import shlex
import sys
import urllib.parse
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import sqlalchemy as sa

from mthook import conf
from mthook.nova import rights, tables
from mthook.operations.acts import Why
from mthook.operations.readiness import checks
from mthook.tools.admin.command import ExitCode
from mthook.tools.findings import PROBLEMS, SUCCESSES, TITLES
from mthook.tools.status import command as status
from mthook.tools.sync.command import Exit
from tests import consoles

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text() for path in DOCS.glob("*.rst")}

sys.path.insert(0, str(DOCS / "_ext"))
import parsers  # noqa: E402

#: Options of nova.conf that the guide is about and mthook doesn't have.
NOVAS = {("DEFAULT", "non_inheritable_image_properties")}
#: What stands for something else in the guide's messages and in the program's strings.
HOLE = "…"


def commands_to_type() -> list[str]:
    """Return the command lines that stand in literal blocks of the guide and README, and in help texts."""
    helps = [[program] for program in parsers.PROGRAMS]
    helps += [["mthook-admin", *name.split()] for name in parsers.commands()]
    found = [line for words in helps for line in shown_in(words)]
    for text in [*PAGES.values(), (ROOT / "README.md").read_text()]:
        found += re.findall(r"^ {4,}(?:[#$] )?(mthook-\w+ .*)", text, re.MULTILINE)
        found += [line for line in consoles.commands(text) if line.startswith("mthook-")]
    return sorted({re.split(r" {3,}| +(?:[|>]|\|\||#|;|→) ?", line)[0].rstrip() for line in found})


def shown_in(words: list[str]) -> list[str]:
    """Return mthook's commands among the examples of a help text, those in pipes too."""
    lines = parsers.examples(parsers.parser_of(words))
    return re.findall(r"(?:^| )(mthook-\w+(?: (?![|>])\S+)*)", "\n".join(lines), re.MULTILINE)


def split(line: str) -> tuple[list[str], list[str]]:
    """Return program and command of a command line, and its arguments."""
    words = shlex.split(line)
    if words[0] != "mthook-admin":
        return words[:1], words[1:]
    names = sorted(parsers.commands(), key=len, reverse=True)
    name = next((one for one in names if words[1:][: len(one.split())] == one.split()), "")
    length = 1 + len(name.split())
    return words[:length], words[length:]


def without_global_options(arguments: list[str]) -> list[str]:
    """Return a command's own arguments."""
    text = " ".join(shlex.quote(word) for word in arguments)
    return shlex.split(re.sub(r"--config-file \S+|(?<!\S)(-v|-vv|--debug)(?!\S)", "", text))


@pytest.mark.parametrize("line", commands_to_type())
def test_a_command_of_the_guide_can_be_typed(line: str) -> None:
    """The parser of the program takes it as it stands, number and values of arguments included."""
    words, arguments = split(line)
    if words[0] == "mthook-admin":
        assert len(words) > 1, "no such command"
        arguments = without_global_options(arguments)

    parsers.parser_of(words).parse_args(arguments)


def test_the_guide_has_commands_to_type() -> None:
    """Else the test above would prove nothing."""
    lines = commands_to_type()

    assert "mthook-status upgrade check" in lines
    assert "mthook-admin set UUID pc-i440fx-8.0" in lines
    assert len(lines) > 40


def test_every_command_is_documented() -> None:
    """In the reference, from which the man page is made."""
    documented = re.findall(r"^\.\. program-help:: mthook-admin (.+)$", PAGES["mthook-admin"], re.M)

    assert {name for name in parsers.commands()} == set(documented)
    for program in ("mthook-sync", "mthook-status", "mthook-gate"):
        assert f".. program-help:: {program}\n" in PAGES[program]


def test_every_program_and_the_configuration_have_a_man_page() -> None:
    """As setup.cfg installs them."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = re.findall(
        r"^([\w-]+) *=", setup["options.entry_points"]["console_scripts"], re.MULTILINE
    )
    tree = ast.parse((DOCS / "conf.py").read_text())
    pages = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "man_pages"
    )
    assert isinstance(pages, ast.List)
    made = {ast.literal_eval(page.elts[1]) for page in pages.elts if isinstance(page, ast.Tuple)}

    assert {*scripts, "mthook.conf"} == made
    assert set(scripts) == set(parsers.PROGRAMS)


def known_options() -> set[tuple[str, str]]:
    """Return mthook's options by group."""
    return {(group, option.dest) for group, options in conf.list_opts() for option in options}


def test_every_option_that_is_named_exists() -> None:
    """In the guide and in README: ``[group] option``."""
    texts = [*PAGES.values(), (ROOT / "README.md").read_text()]
    named = {
        pair
        for text in texts
        for pair in re.findall(r"\[(\w+)\](?:``)? (?:``)?(?!or\b)([a-z]+_?\w+)", text)
    }
    groups = {group for group, _ in known_options()}
    named = {(group, option) for group, option in named if group in groups}

    assert ("sync", "write_back") in named
    assert named <= known_options() | NOVAS


def test_the_groups_that_are_checked_are_named() -> None:
    """In them an unknown option is an error, in those that other programs may have it isn't."""
    sentence = re.search(
        r"own groups \((.+?)\) an unknown option is an error", PAGES["mthook.conf"]
    )

    assert sentence is not None
    assert set(re.findall(r"\[(\w+)\]", sentence[1])) == set(conf._OWN_GROUPS)


def test_the_reference_has_every_option() -> None:
    """It is made from what ``oslo.config.opts`` leads to."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")

    assert "mthook = mthook.conf:list_opts" in setup["options.entry_points"]["oslo.config.opts"]
    assert ".. show-options::\n\n   mthook\n" in PAGES["mthook.conf"]


def documented_codes(program: str) -> set[int]:
    """Return the exit codes that the guide's table of a program has."""
    table = PAGES["exit-codes"].partition(f".. list-table:: {program}\n")[2]
    return {
        int(code) for code in re.findall(r"^   \* - (\d+)$", table.partition(".. list")[0], re.M)
    }


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        ("mthook-admin", ExitCode),
        ("mthook-sync", Exit),
        ("mthook-status", status.Exit),
        ("mthook-gate", None),
    ],
)
def test_every_exit_code_is_documented(program: str, codes: type[enum.IntEnum] | None) -> None:
    """In the table of all, which has no others."""
    known = (
        {int(code) for code in codes}
        if codes is not None
        else set(parsers.exit_codes(parsers.parser_of([program])))
    )

    assert known == documented_codes(program)


@pytest.mark.parametrize("name", sorted(parsers.commands()))
def test_the_help_of_every_command_tells_codes_that_the_guide_has(name: str) -> None:
    """And tells some."""
    codes = parsers.exit_codes(parsers.parser_of(["mthook-admin", *name.split()]))

    assert {0, 1} <= set(codes) <= documented_codes("mthook-admin")


def test_every_check_of_the_status_is_documented() -> None:
    """In its order."""
    table = PAGES["default"].partition("* - check\n")[2]
    rows = re.findall(r"^   \* - (.+)$", table.partition("\nChange ")[0], re.MULTILINE)

    assert [TITLES[name] for name in checks.UPGRADE] == rows
    assert list(TITLES) == list(checks.CHECKS)
    assert {*checks.UPGRADE, *checks.CLOUD, *checks.DOCTOR} == set(checks.CHECKS)
    assert {*PROBLEMS, *SUCCESSES} == set(checks.CHECKS)


#: Methods that print or log what an operator should act on.
TOLD = ("complain", "error", "fail", "left_alone", "warn", "warning")


@functools.cache
def program_strings() -> list[tuple[str, str, bool]]:
    """Return every string of the programs, with holes, where it is, and whether it begins a message."""
    return list(_strings())


def _strings() -> Iterator[tuple[str, str, bool]]:
    for path in sorted((ROOT / "mthook").rglob("*.py")):
        tree = ast.parse(path.read_text())
        messages = set(_messages(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else HOLE for p in node.values)
                text = "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = re.sub(r"%[sd]", HOLE, node.value)
            else:
                continue
            yield text, f"{path.relative_to(ROOT)}:{node.lineno}", id(node) in messages
    for check, sentences in PROBLEMS.items():
        for kind, text in sentences.items():
            yield re.sub(r"{.+?}", HOLE, text), f"{check}: {kind}", True
    hook = (ROOT / "hooks/qemu").read_text()
    yield hook.replace("$2", HOLE).replace("$status", HOLE), "hooks/qemu", False
    for unit in sorted((ROOT / "etc/systemd").iterdir()):
        for text in re.findall('"<3>(.+?)"', unit.read_text()):
            yield re.sub(r"\$\$\w+", HOLE, text).replace("\\'", "'"), unit.name, True


def _messages(tree: ast.AST) -> Iterator[int]:
    """Yield the first arguments of errors that are raised, and of what is told."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = ast.unparse(call.func).split(".")[-1]
        if name in TOLD if call is node else name != "AssertionError":
            yield id(call.args[0])


def documented_messages() -> list[str]:
    """Return the messages that the guide explains."""
    terms = re.findall(r"^ {3,6}``(.+)``$", PAGES["troubleshooting"], re.MULTILINE)
    return [term for term in terms if not DATABASES.match(term)]


#: What databases say in their own words.
DATABASES = re.compile(
    "Access denied|SELECT command|UPDATE command|Can't connect|Lost connection|timed out|"
    "The MariaDB server|Deadlock found|Lock wait timeout"
)


def fragments(text: str) -> list[str]:
    """Return the words between the holes of a message, those long enough to know it by."""
    return [
        piece for piece in (one.strip(" :,;.()'[]") for one in text.split(HOLE)) if len(piece) > 4
    ]


@pytest.mark.parametrize("message", documented_messages())
def test_a_message_that_the_guide_explains_is_printed(message: str) -> None:
    """Word by word, but for what differs each time."""
    strings = " ".join(text for text, _, _ in program_strings())

    assert fragments(message)
    assert [piece for piece in fragments(message) if piece not in strings] == []


def is_explained(text: str) -> bool:
    """Tell whether the guide has a message, or its beginning; its longest piece is enough."""
    known = documented_messages()
    longest = max(fragments(text), key=len)
    return any(
        longest in message or all(piece in text for piece in fragments(message))
        for message in known
    )


def test_every_message_is_explained() -> None:
    """Errors, warnings and findings."""
    missing = [
        f"{where}: {text}"
        for text, where, is_message in program_strings()
        if is_message and fragments(text) and not is_explained(text)
    ]

    assert missing == []


def granted(name: str) -> dict[tuple[str, str], set[str]]:
    """Return the columns that a file of GRANT statements names, by right and table."""
    found: dict[tuple[str, str], set[str]] = {}
    for statement in (DOCS / name).read_text().split(";"):
        table = re.search(r"ON nova_\w+\.(\w+) TO", statement)
        for right, columns in re.findall(r"\b([A-Z]+) \(([^)]+)\)", statement):
            assert table is not None
            names = {column.strip(" `\n") for column in columns.split(",")}
            found.setdefault((right, table[1]), set()).update(names)
    return found


def columns(*schemas: sa.MetaData) -> dict[tuple[str, str], set[str]]:
    """Return what mthook reads of Nova's tables."""
    return {
        ("SELECT", table.name): {column.name for column in table.columns}
        for schema in schemas
        for table in schema.tables.values()
    }


def test_every_reason_to_leave_a_guest_alone_is_documented() -> None:
    """Programs read them."""
    documented = set(re.findall(r"``(\w+)``", PAGES["mthook-sync"].partition("``left_alone``")[2]))

    assert set(get_args(Why)) <= documented


def test_the_rights_to_read_are_those_of_the_columns_that_are_read() -> None:
    """No more, no less; a test with a database runs with them."""
    compute, admin = granted("grants-compute.sql"), granted("grants-admin.sql")

    assert {key: names for key, names in compute.items() if key[0] == "SELECT"} == columns(
        tables.CELL
    )
    assert {key: names for key, names in admin.items() if key[0] == "SELECT"} == columns(
        tables.CELL, tables.API
    )
    assert {right for right, _ in [*compute, *admin]} == {"SELECT", "INSERT", "UPDATE"}
    written = {(right, table.name): set(names) for right, table, names in rights.WRITTEN if names}
    assert {key: names for key, names in admin.items() if key[0] != "SELECT"} == written
    assert compute.items() <= admin.items()


def test_the_picture_is_well_formed() -> None:
    """And has a title for those who can't see it."""
    root = xml.etree.ElementTree.parse(DOCS / "lines-of-defence.svg").getroot()

    assert root.find("{http://www.w3.org/2000/svg}title") is not None


def test_links_out_of_the_guide_are_well_formed() -> None:
    """Encrypted, and with a host; whether they lead anywhere isn't asked here."""
    texts = {**PAGES, **{name: (ROOT / name).read_text() for name in MARKDOWN}}
    links = [
        (name, link)
        for name, text in texts.items()
        for link in re.findall(r"\bhttps?:[^\s)>`'\"]*", text)
    ]

    assert links
    for name, link in links:
        parts = urllib.parse.urlsplit(link)
        assert (name, parts.scheme, "." in parts.netloc) == (name, "https", True), link


#: What is read on its own, beside the guide.
MARKDOWN = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_to_files_lead_to_files(name: str) -> None:
    """Sphinx looks after those between the guide's pages."""
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text())
    files = [link for link in links if "://" not in link]

    assert [link for link in files if not (ROOT / link.partition("#")[0]).exists()] == []


def test_the_guide_names_all_that_runs_by_itself() -> None:
    """Each unit that starts others, and how often."""
    page = PAGES["files"].partition("\nFiles\n")[0]
    minutes = {"1": "one minute", "2": "two minutes", "5": "five minutes", "15": "fifteen minutes"}
    for path in (ROOT / "etc/systemd").iterdir():
        text = path.read_text()
        if path.suffix in (".timer", ".path") or "[Install]" in text:
            name = path.name.replace("gate-ro", "gate")
            assert f"``{name}``" in page
        row = page.partition(f"``{path.name}``")[2].partition("\n   * - ")[0]
        for found in re.findall(r"^On\w+=(\d+)min$", text, re.MULTILINE):
            assert minutes[found] in row, path.name
