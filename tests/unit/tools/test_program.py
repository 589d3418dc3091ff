# SPDX-License-Identifier: Apache-2.0
"""How both commands end when they are ended, or can't say what they have to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog

ROOT = Path(__file__).parents[3]

#: Program, module of its entry point, what imports longest, and arguments that make it print.
PROGRAMS = [
    ("mthook-admin", "mthook.tools.admin", "cliff", ["list", "-f", "csv"]),
    ("mthook-sync", "mthook.tools.sync", "oslo_config", ["--dry-run"]),
]
parametrize = pytest.mark.parametrize(
    ("program", "module", "heavy", "arguments"), PROGRAMS, ids=[one[0] for one in PROGRAMS]
)


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    """The option that names a configuration: a new catalog, libvirt's test driver."""
    Catalog.open(f"{tmp_path}/state/catalog.sqlite").close()
    file = tmp_path / "mthook.conf"
    file.write_text(
        f"[catalog]\npath = {tmp_path}/state/catalog.sqlite\n"
        "[libvirt]\nconnection_uri = test:///default\n"
    )
    return ["--config-file", str(file)]


def python(module: str, first: str = "") -> list[str]:
    """Return the command line of a program, with something to do before it."""
    return [
        sys.executable,
        "-c",
        f"{first}\nimport sys; from {module} import main; sys.exit(main())",
    ]


def shell(redirected: str, command: list[str]) -> tuple[int, str, str]:
    """Run a command with redirections and return its exit code, standard output and error."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "-", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@parametrize
def test_ctrl_c_while_it_is_loaded_is_code_130_without_a_word(
    program: str, module: str, heavy: str, arguments: list[str]
) -> None:
    """The signal comes in the midst of the import that takes longest."""
    interrupt = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {heavy!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())"""

    assert shell("", [*python(module, interrupt), *arguments]) == (130, "", "")


@parametrize
def test_the_entry_point_alone_imports_nothing_heavy(
    program: str, module: str, heavy: str, arguments: list[str]
) -> None:
    """Else Ctrl-C would meet Python before there is anybody to catch it."""
    slow = {"argparse", "cliff", "lxml", "oslo_config", "sqlalchemy"}
    code = f"import sys, {module}; print({slow} & {{*sys.modules}})"

    assert shell("", [sys.executable, "-c", code]) == (0, "set()\n", "")


@parametrize
@pytest.mark.parametrize(
    ("redirected", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_cannot_be_written_is_told(
    config: list[str],
    program: str,
    module: str,
    heavy: str,
    arguments: list[str],
    redirected: str,
    reason: str,
) -> None:
    """One line, code 1: what was asked for didn't arrive."""
    said = shell(redirected, [*python(module), *config, *arguments])

    assert said == (1, "", f"{program}: standard output: {reason}\n")


@parametrize
def test_help_that_cannot_be_written_is_told(
    program: str, module: str, heavy: str, arguments: list[str]
) -> None:
    """The same, where the parser ends the program."""
    said = shell(">/dev/full", [*python(module), "--help"])

    assert said == (1, "", f"{program}: standard output: No space left on device\n")


@parametrize
def test_nobody_who_reads_is_code_141_without_a_word(
    config: list[str], program: str, module: str, heavy: str, arguments: list[str]
) -> None:
    """The reader was gone before the first line."""
    said = shell(
        "| (exec <&-; sleep 0); exit ${PIPESTATUS[0]}", [*python(module), *config, *arguments]
    )

    assert said == (141, "", "")


@parametrize
@pytest.mark.parametrize("redirected", ["<&-", "2>&-", "<&- 2>&-"])
def test_other_closed_streams_do_no_harm(
    config: list[str], program: str, module: str, heavy: str, arguments: list[str], redirected: str
) -> None:
    """No message among the data, and no other file under the number of a stream."""
    usual = shell("", [*python(module), *config, *arguments])

    assert usual[0] == 0
    assert shell(redirected, [*python(module), *config, *arguments]) == usual


def test_a_closed_output_that_nothing_is_written_to_does_no_harm(config: list[str]) -> None:
    """mthook-sync changes what there is to change, and has nothing to say."""
    assert shell(">&-", [*python("mthook.tools.sync"), *config]) == (0, "", "")


def test_a_closed_input_is_told() -> None:
    """By the one who wants to read it."""
    command = [*python("mthook.tools.admin"), "rewrite", "-", "--machine", "pc"]

    assert shell("<&-", command) == (
        1,
        "",
        "mthook-admin: standard input: Bad file descriptor\n",
    )
