# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-status, what it prints and how it ends."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_upgradecheck.upgradecheck import Code, Result

import mthook.host
from mthook import __version__
from mthook.operations.readiness import checks, installed
from mthook.tools import status
from mthook.tools.status.command import Table
from tests.programs import WAY_OUT

from .conftest import DATABASE, DB, NEW, OLD, UNREACHABLE, WEB, Desk

ROOT = Path(__file__).parents[4]
TITLES = [
    "Machine types recorded",
    "Hook",
    "Hook called",
    "Gate",
    "Last sync",
    "Drift",
    "Pins supported by QEMU",
    "Next release of QEMU",
    "Definitions and saved state",
    "Machine types in snapshots",
    "Pins known to Nova",
    "Request specs",
    "Nova's default machine types",
    "Configuration files",
]


def test_all_well_is_code_0(web: Desk) -> None:
    """Every check, in its order."""
    said = web.status("--json")

    found = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert found["name"] == "Upgrade Check Results"
    assert [one["check"] for one in found["checks"]] == TITLES
    assert {one["result"] for one in found["checks"]} == {0}


def test_json_has_names_for_results_and_counts_them(web: Desk) -> None:
    """Beside the numbers and sentences of oslo.upgradecheck."""
    web.pin(WEB, "pc-i440fx-5.0")

    found = json.loads(web.status("--json").out)

    assert list(found) == ["name", "answer", "severity", "counts", "checks"]
    assert found["severity"] == "failure"
    assert found["counts"] == {"success": 11, "warning": 2, "failure": 1}
    severities = {one["id"]: one["severity"] for one in found["checks"]}
    assert list(severities) == list(checks.UPGRADE)
    assert severities["pins_supported"] == "failure"
    assert list(found["checks"][0]) == [
        *("check", "result", "details"),
        *("id", "severity", "findings"),
    ]


def test_what_a_check_lacks_is_a_finding(desk: Desk, tmp_path: Path) -> None:
    """With its remedy, where there is one."""
    desk.configure(f"[catalog]\npath = {tmp_path}/other/catalog.sqlite\n")

    assert desk.findings("drift") == [
        {
            "kind": "unavailable",
            "severity": "failure",
            "subjects": [],
            "facts": {
                "cause": "catalog",
                "reason": f"no catalog: {tmp_path}/other does not exist: {WAY_OUT}",
            },
            "remedy": "mthook-admin setup",
        }
    ]


def test_a_warning_is_code_1(web: Desk) -> None:
    """It may be changed all the same."""
    web.pin(WEB, NEW)

    assert web.status().code == 1


def test_a_failure_is_code_2(web: Desk) -> None:
    """Whatever else is a warning."""
    web.pin(WEB, "pc-i440fx-5.0")

    assert web.status().code == 2


def test_the_table_is_that_of_oslo_upgradecheck(web: Desk) -> None:
    """As nova-status prints it."""
    lines = web.status().out.splitlines()

    assert lines[0] == "YES: every instance looked at keeps its machine type (1 guest here)"
    assert lines[2].split("|")[1].strip() == "Upgrade Check Results"
    cells = [line.strip("| ").split(": ")[0] for line in lines[4:] if not line.startswith("+")]
    assert [cell for cell in cells if cell in ("Check", "Result", "Details")] == [
        "Check",
        "Result",
        "Details",
    ] * len(TITLES)


def test_the_table_fits_80_columns(desk: Desk) -> None:
    """As an operator's terminal."""
    for number in range(5):
        desk.guest(f"a-rather-long-name-of-a-guest-{number}", WEB[:-1] + str(number), OLD)
    desk.pin(WEB, NEW)
    desk.configure(DATABASE)
    (desk.hooks / "qemu").unlink()

    said = desk.status("--config-file", str(desk.config))

    rows = [line for line in said.out.splitlines()[1:] if str(desk.hooks) not in line]
    assert {len(line) for line in rows if "a-rather" in line} == {len(rows[-1])}
    details = [line.strip("|").strip() for line in rows]
    assert max(len(line) for line in details if not line.startswith("+")) <= 76


@pytest.mark.parametrize("length", range(40, 90))
def test_no_command_is_broken_by_the_table(length: int) -> None:
    """Such a line is there to be copied, wherever in it the command stands."""
    text = f"{'x' * (length - 10)} Nova's: 'mthook-admin list --drift' lists them."

    lines = Table([])._get_details(Result(Code.WARNING, text)).split("\n")

    assert any("'mthook-admin list --drift'" in line for line in lines)
    assert " ".join(line.strip() for line in lines) == text


def test_a_guests_name_cannot_break_the_table(desk: Desk) -> None:
    """It is untrusted text."""
    desk.guest("evil&#x1b;[2J&#10;| Result: Success", WEB, OLD)

    said = desk.status()

    assert "\x1b" not in said.out
    assert r"evil" in said.out
    assert not any(line.startswith("| Result: Success |  ") for line in said.out.split("evil")[1:])


def test_verbose_says_what_is_looked_at(web: Desk) -> None:
    """On standard error, and no password."""
    web.configure(DATABASE)

    said = web.status("-v")

    lines = said.err.splitlines()
    assert f"mthook-status: catalog: {web.path}" in lines
    assert any(line.startswith("mthook-status: libvirt: test://") for line in lines)
    assert "mthook-status: database: Nova's database" in lines
    assert "sesame" not in said.out + said.err


@pytest.mark.parametrize("option", [[], ["--json"], ["-v"]])
def test_a_password_is_never_printed(web: Desk, option: list[str]) -> None:
    """The database can't be reached, and its URL holds one."""
    web.configure(DATABASE)

    said = web.status(*option)

    assert said.code == 2
    assert "Nova's database: Can't connect to MySQL server on '127.0.0.1'" in said.out.replace(
        "\n", " "
    ).replace("|", "").replace("  ", " ")
    assert "sesame" not in said.out + said.err
    assert "Traceback" not in said.out + said.err


def test_without_root_it_is_one_line(web: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ten failures that all mean that; on a controller has nothing of root's to look at."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert web.status() == (
        255,
        "",
        "mthook-status: 'mthook-status upgrade check' reads what only root may read:"
        " run it as root, or with --cloud\n",
    )
    web.configure(DATABASE)
    assert web.status("--cloud").err == ""


def test_without_root_the_figures_name_their_own_command(
    web: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no --cloud."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert status.main(["metrics", "--config-file", str(web.config)]) == 255
    said = "mthook-status: 'mthook-status metrics' reads what only root may read: run it as root\n"
    assert capsys.readouterr().err == said


def test_nothing_is_changed(web: Desk) -> None:
    """Neither the catalog nor the hook; there is nothing left beside them."""
    web.guest("db-1", DB, NEW)
    web.pin(WEB, NEW)
    before = everything(web)

    web.status("-v")

    assert everything(web) == before


def everything(desk: Desk) -> object:
    """Return what there is on the disk."""
    connection = sqlite3.connect(desk.path)
    rows = list(connection.iterdump())
    connection.close()
    directory = desk.config.parent
    files = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    files.pop(Path(desk.path))
    return (
        rows,
        {path: at for path, at in files.items() if "catalog" not in path.name},
        sorted(files),
    )


def test_no_catalog_is_made(desk: Desk, tmp_path: Path) -> None:
    """Where there is none, each check that needs it says so."""
    desk.configure(f"[catalog]\npath = {tmp_path}/other/catalog.sqlite\n")

    said = desk.status("--json")

    missing = f"no catalog: {tmp_path}/other does not exist: {WAY_OUT}."
    found = {one["check"]: one for one in json.loads(said.out)["checks"]}
    without = [title for title in TITLES if found[title]["details"] == missing]
    assert without == [TITLES[number] for number in (0, 2, 4, 5, 6, 7, 8, 10, 11)]
    assert {found[title]["result"] for title in without} == {2}
    assert not (tmp_path / "other").exists()


def test_without_libvirt_the_checks_say_so(web: Desk) -> None:
    """In words, and with what the last sync saw."""
    web.configure(uri=UNREACHABLE)

    said = web.status()

    assert (said.code, said.err) == (1, "")
    assert "Traceback" not in said.out


def test_without_libvirts_python_the_checks_say_so(
    web: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes with the distribution, not with mthook."""
    # What is imported anew meanwhile becomes the package's attribute, which has to go again, too.
    monkeypatch.setattr(mthook, "host", mthook.host)
    for module in [name for name in sys.modules if name.startswith("mthook.host")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "libvirt", None)

    found = web.check("Next release of QEMU")

    assert found.code == 1
    assert "install libvirt-python" in found.details


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which command? 'upgrade check' or 'metrics'"),
        (["metrics", "more"], "no command 'metrics more'"),
        (["metrics", "--json"], "--json, --cloud and --host are for 'upgrade check'"),
        (["metrics", "--host", "a"], "--json, --cloud and --host are for 'upgrade check'"),
        (["upgrade", "check", "--textfile"], "--textfile is for 'metrics'"),
        (["upgrade"], "no command 'upgrade'"),
        (["upgrade", "chekc"], "no command 'upgrade chekc'"),
        (["upgrade", "check", "more"], "no command 'upgrade check more'"),
        (["upgrade", "check", "--xml"], "unrecognized arguments: --xml"),
        (["upgrade", "check", "--js"], "unrecognized arguments: --js"),
        (["upgrade", "check", "--config-file"], "argument --config-file: expected one argument"),
        (["upgrade", "check\n"], "no command 'upgrade check\\n'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    """As with the other programs."""
    assert status.main(arguments) == 2
    assert capsys.readouterr() == ("", f"mthook-status: {complaint}; see 'mthook-status --help'\n")


@pytest.mark.parametrize("text", ["[hook]\nmode = sometimes\n", "no section\n", "[pin]\nsytle=x\n"])
def test_a_wrong_configuration_is_one_line_and_code_255(desk: Desk, text: str) -> None:
    """It names the file."""
    desk.config.write_text(text)

    said = desk.status()

    assert (said.code, said.out, said.err.count("\n")) == (255, "", 1)
    assert said.err.startswith("mthook-status: configuration (")
    assert str(desk.config) in said.err


def test_a_configuration_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Given by --config-file it must exist."""
    assert status.main(["upgrade", "check", "--config-file", f"{tmp_path}/absent"]) == 255
    assert f"{tmp_path}/absent" in capsys.readouterr().err


def test_what_nobody_expects_is_code_255(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; -v shows where."""

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise ZeroDivisionError("no luck\n")

    monkeypatch.setattr(installed, "now", Broken().__getattr__)

    said = desk.status()

    expected = "mthook-status: unexpected ZeroDivisionError: no luck\\n (-v shows where)\n"
    assert said == (255, "", expected)
    said = desk.status("-v")
    assert said.err.endswith(expected)
    assert "Traceback" in said.err


def test_help_tells_the_exit_status_and_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Also after the command's name."""
    assert status.main(["upgrade", "check", "--help"]) == 0

    text = capsys.readouterr().out
    for code in (0, 1, 2, 255, 130, 141):
        assert f"\n  {code}  " in text
    for option in (
        "--config-file",
        "--cloud",
        "--host",
        "--json",
        "--hooks-dir",
        "--version",
        "-v",
        "-h",
    ):
        assert option in text
    assert max(map(len, text.splitlines())) <= 90


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Of mthook."""
    assert status.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mthook-status {__version__}\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_answer_that_cannot_be_written_is_code_255(web: Desk, form: list[str]) -> None:
    """Even where there are warnings, whose code would pass for the answer."""
    web.pin(WEB, NEW)
    arguments = (*options(web), "upgrade", "check", *form)

    assert shell(">/dev/full", *arguments) == (
        255,
        "mthook-status: standard output: No space left on device\n",
    )


def test_nobody_who_reads_is_code_141_without_a_word(web: Desk) -> None:
    """As with the other commands."""
    said = shell(
        "| (exec <&-; sleep 0); exit ${PIPESTATUS[0]}",
        *(*options(web), "upgrade", "check"),
    )

    assert said == (141, "")


def test_ctrl_c_while_it_is_loaded_is_code_130_without_a_word() -> None:
    """The signal comes in the midst of the import that takes longest."""
    interrupt = (
        "import os, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'oslo_upgradecheck': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )

    assert shell("", "upgrade", "check", first=interrupt) == (130, "")


def test_the_entry_point_alone_imports_nothing_heavy() -> None:
    """Else Ctrl-C would meet Python before there is anybody to catch it."""
    slow = {"argparse", "cliff", "lxml", "oslo_config", "oslo_upgradecheck", "sqlalchemy"}
    code = f"import sys, mthook.tools.status; print({slow} & {{*sys.modules}})"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == (
        "set()\n"
    )


def shell(redirected: str, *argv: str, first: str = "") -> tuple[int, str]:
    """Run mthook-status as a process and return its exit code and standard error."""
    code = f"import sys\n{first}\nfrom mthook.tools.status import main; sys.exit(main())"
    done = subprocess.run(
        ["bash", "-c", f'unset PYTHONUNBUFFERED; "$@" {redirected}', "-", sys.executable, "-c"]
        + [code, *argv],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return done.returncode, done.stderr


def options(desk: Desk) -> tuple[str, ...]:
    """Return the options that keep the command off the machine's own configuration and hooks."""
    return ("--config-file", str(desk.config), "--hooks-dir", str(desk.hooks))
