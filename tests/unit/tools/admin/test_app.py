# SPDX-License-Identifier: Apache-2.0
"""The application: help, wrong command lines, exit codes, and how it ends when it is ended."""

from __future__ import annotations

import configparser
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mthook import __version__
from mthook.catalog.store import Catalog
from mthook.errors import CatalogNewer, ConfigError, HostError, NotFound, Refused
from mthook.operations.caution import Kind
from mthook.policy import Refusal
from mthook.tools.admin import command, main
from mthook.tools.admin.application import Admin
from mthook.tools.admin.command import ExitCode, UsageError, exit_code_of
from tests.programs import Said

from .conftest import WEB, Run

ROOT = Path(__file__).parents[4]
COMMANDS = sorted(name for name, _ in Admin().command_manager)


def test_the_commands_are_those_of_setup_cfg() -> None:
    """What is installed is what setup.cfg names, beside cliff's two."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options.entry_points"]["mthook.admin"].strip().splitlines()
    named = {line.split("=")[0].strip().replace("_", " ") for line in lines}

    assert set(COMMANDS) == named | {"complete", "help"}


@pytest.mark.parametrize("command", ["get", "list", "history", "diff", "hook status", "complete"])
def test_a_command_starts_without_what_others_need(command: str) -> None:
    """SQLAlchemy alone takes longer to import than all that a question to the local catalog needs."""
    code = (
        "import sys; from mthook.tools.admin.application import Admin;"
        f"Admin().command_manager.find_command({command.split()}); print('sqlalchemy' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (said.stdout, said.stderr) == ("False\n", "")


def test_help_lists_every_command_in_one_line(run: Run) -> None:
    """With what it is for."""
    said = run("--help")

    assert (said.code, said.err) == (0, "")
    listed = said.out.split("Commands:\n")[1].splitlines()
    assert [re.split(r" {2,}", line.strip())[0] for line in listed] == COMMANDS
    assert all(len(line) <= 110 for line in listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_gives_examples_before_the_formatters(run: Run, command: str) -> None:
    """What only this command has comes first; its usage isn't drowned in the options of tables."""
    said = run(*command.split(), "--help").out

    shown = said.partition("\nexamples:\n")[2].partition("\n\n")[0].splitlines()
    assert shown and all(f"mthook-admin {command}" in line for line in shown)
    assert all(len(line) <= 100 for line in shown)
    assert "\noutput formatters:\n" not in said.partition("\nexit codes:\n")[0]
    assert "--max-width" not in said.partition("\n\n")[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_its_exit_codes(run: Run, command: str) -> None:
    """In --help, whichever way it is asked for, with 0 and 1 at least; lines fit a terminal."""
    said = run(*command.split(), "--help")

    assert (said.code, said.err) == (0, "")
    codes = said.out.split("exit codes:\n")[1].partition("\n\n")[0].splitlines()
    assert [line[2] for line in codes if line[2] != " "][:2] == ["0", "1"]
    assert all(len(line) <= 78 for line in codes)
    assert said == run("help", *command.split())


def test_help_needs_no_configuration_and_no_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    """A broken installation can still be asked how it is meant to work."""
    assert main(["--config-file", "/nonexistent", "set", "--help"]) == 0


def test_version(run: Run) -> None:
    """Name and version on standard output."""
    assert run("--version") == Said(0, f"mthook-admin {__version__}\n", "")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "which command? see 'mthook-admin --help'"),
        (["nonsense"], "no command 'nonsense'"),
        (["help", "nonsense"], "no command 'nonsense'"),
        (
            ["hook"],
            "needs a subcommand: 'hook install', 'hook render', 'hook serve', 'hook status', 'hook uninstall'",
        ),
        (["hook", "remove"], "'hook' needs a subcommand: 'hook install'"),
        (
            ["help", "hook"],
            "needs a subcommand: 'hook install', 'hook render', 'hook serve', 'hook status', 'hook uninstall'",
        ),
        (["lst"], "no command 'lst', did you mean 'list'?"),
        (["list", "--state", "bogus"], "no state 'bogus', there are running, paused, "),
        (["--bogus", "get", WEB], "no option '--bogus'"),
        (["get"], "the following arguments are required: GUEST; see 'mthook-admin get --help'"),
        (["get", WEB, "--bogus"], "unrecognized arguments: --bogus"),
        (["get", "--forc", WEB], "unrecognized arguments: --forc"),
        (["set", "--for", WEB, "pc"], "unrecognized arguments: --for"),
        (["list", "-f", "xml"], "invalid choice"),
        (["get", "a\nb", "c\nd"], "unrecognized arguments: c\\nd"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    run: Run, catalog: Catalog, argv: list[str], complaint: str
) -> None:
    """As with all of the programs; nothing on standard output."""
    said = run(*argv)

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("mthook-admin: ")
    assert complaint in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), 2),
        (Refused("x", Refusal.RUNNING), 3),
        (Refused("x", Refusal.OLDER), 4),
        (Refused("x", Refusal.UNSUPPORTED), 5),
        (UsageError("x"), 2),
        (ConfigError("x"), 1),
        (HostError("x"), 1),
        (CatalogNewer("x", "y"), 1),
        (ValueError("x"), 1),
    ],
)
def test_every_error_has_its_code(error: Exception, code: int) -> None:
    """One rule for all commands."""
    assert exit_code_of(error) == code


def test_the_codes_are_nova_manages() -> None:
    """Scripts written for ``nova-manage libvirt`` read them alike."""
    assert {name: int(code) for name, code in ExitCode.__members__.items()} == {
        "OK": 0,
        "ERROR": 1,
        "NOT_FOUND": 2,
        "USAGE": 2,
        "NO_PIN": 3,
        "WRONG_STATE": 3,
        "SOME_UNSET": 3,
        "NO_HOOK": 3,
        "BREAKS": 3,
        "INCOMPATIBLE": 4,
        "UNJUDGED": 4,
        "UNSUPPORTED": 5,
        "INTERRUPTED": 130,
        "BROKEN_PIPE": 141,
    }


def test_every_caution_has_words() -> None:
    """Those that go with each kind of it."""
    assert set(command.CAUTIONS) == set(Kind)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: get fails in a way nobody foresaw."""

    def fail(*_: object) -> None:
        raise KeyError("no\nsuch key")

    monkeypatch.setattr("mthook.operations.lookup.look_up", fail)


@pytest.mark.usefixtures("broken")
def test_a_bug_is_one_line_too(run: Run, catalog: Catalog) -> None:
    """It says what it is, and how to see more."""
    said = run("get", WEB)

    assert said == Said(
        1,
        "",
        "mthook-admin: unexpected KeyError: 'no\\nsuch key' (--debug shows where)\n",
    )


@pytest.mark.usefixtures("broken")
def test_debug_shows_where_a_bug_is(run: Run, catalog: Catalog) -> None:
    """The traceback follows the line."""
    said = run("--debug", "get", WEB)

    assert said.code == 1
    assert "Traceback (most recent call last):" in said.err
    assert said.err.rstrip().endswith("KeyError: 'no\\nsuch key'")


def test_debug_shows_where_a_known_error_comes_from(run: Run) -> None:
    """Also of an error that has its own line."""
    said = run("get", WEB, "--debug")

    assert said.err.startswith("mthook-admin: no catalog: ")
    assert "Traceback (most recent call last):" in said.err


def test_verbose_names_what_is_asked(run: Run, catalog: Catalog, path: str) -> None:
    """Catalog and, where it is asked, libvirt."""
    said = run("-v", "get", WEB)

    assert said.err.splitlines()[:2] == [
        f"mthook-admin: catalog: {path}",
        "mthook-admin: libvirt: test:///default",
    ]


def test_the_logging_of_the_caller_is_left_alone(run: Run) -> None:
    """mthook-admin in one process with something else adds no handler for good."""
    before = logging.getLogger().handlers[:]

    run("list")

    assert logging.getLogger().handlers == before
