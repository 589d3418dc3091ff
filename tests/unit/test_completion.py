# SPDX-License-Identifier: Apache-2.0
"""The shells complete commands, options, guests, states and machine types: real shells, on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.text import now

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "etc" / "share"
BASH = SCRIPTS / "bash-completion" / "completions"
UUID = "7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f"

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import completion  # noqa: E402

#: What makes a shell complete as it does on a host, and what it is started with.
SHELLS = {
    "bash": (
        ["bash", "--norc", "-i"],
        f". {BASH}/mthook-admin; bind 'set bell-style none'",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"fpath=({SCRIPTS}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D; setopt no_beep",
    ),
}
#: What is typed before TAB, and the last word of the line afterwards.
TYPED = [
    ("mthook-admin uni", "uninstall"),
    ("mthook-admin hook i", "install"),
    ("mthook-admin set --fo", "--force"),
    ("mthook-admin list --dr", "--drift"),
    ("mthook-admin list --state cra", "crashed"),
    ("mthook-admin list --state shu", "shut off"),
    ("mthook-admin list --state=cra", "--state=crashed"),
    ("mthook-admin setup --mode enf", "enforce"),
    ("mthook-admin set -v --reason get --all", "--allow"),
    ("mthook-admin set --allow fam", "family"),
    ("mthook-admin help unin", "uninstall"),
    ("mthook-admin import /etc/host.c", "/etc/host.conf"),
    ("mthook-admin get --config-file CONFIG we", "web-1"),
    ("mthook-admin get --config-file CONFIG old", "old one"),
    ("mthook-admin get --config-file CONFIG 7d3", UUID),
    ("mthook-admin freeze --config-file CONFIG --all we", "web-1"),
    ("mthook-admin --config-file CONFIG set web-1 pc-q", "pc-q35-7.2"),
    ("mthook-admin list --config-file CONFIG --machine pc-q", "pc-q35-7.2"),
    ("mthook-sync --only rea", "realign"),
    ("mthook-status up", "upgrade"),
    ("mthook-status upgrade ch", "check"),
    ("mthook-gate --vers", "--version"),
]

#: Type a line, press TAB, and return the words that stand there then.
Tab = Callable[[str], "list[str]"]


@pytest.fixture(scope="module", params=SHELLS)
def tab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tab:
    """A shell on a terminal, with a catalog that knows two guests."""
    directory = tmp_path_factory.mktemp("completion")
    config = directory / "mthook.conf"
    config.write_text(f"[catalog]\npath = {directory}/lib/catalog.sqlite\n")
    with Catalog.open(f"{directory}/lib/catalog.sqlite") as catalog:
        names = {"web-1": UUID, "old one": "3f2c1d3e-0000-4000-8000-000000000001"}
        guests = [Guest(uuid, name, "x86_64", "kvm") for name, uuid in names.items()]
        catalog.see_guests(guests, now())
        offer = Capability("", "x86_64", "kvm", "pc-q35-7.2")
        catalog.replace_capabilities([offer], HostFacts("here", "7.2.22", "9.0.0"))

    argv, source = SHELLS[request.param]
    main, end = pty.openpty()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{"TERM": "dumb", "HOME": str(directory), "LC_ALL": "C.UTF-8", "COLUMNS": "400"},
    }
    shell = subprocess.Popen(
        argv, stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True
    )
    os.close(end)

    def until(what: str) -> str:
        """Read until something was printed."""
        seen, deadline = "", time.monotonic() + 10
        while not re.search(what, seen):
            assert select.select([main], [], [], max(0, deadline - time.monotonic()))[0], seen
            seen += os.read(main, 4096).decode()
        return seen

    def typed(line: str) -> list[str]:
        # Ctrl-A goes to the beginning of the line, which becomes the arguments of another command.
        line = line.replace("CONFIG", str(config))
        os.write(main, f"{line}\t\x01printf '<%s>' \r".encode())
        return re.findall("<([^<>%]+)>", until(r"(?:<[^<>%]+>)+[^<]*ready "))

    request.addfinalizer(lambda: (shell.kill(), shell.wait(), os.close(main)))
    os.write(main, f"{source}; PS1='rea''dy '\r".encode())
    until("ready ")
    return typed


@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_tab_completes_the_last_word(tab: Tab, typed: str, completed: str) -> None:
    """And leaves the others alone."""
    words = tab(typed)

    assert words[-1] == completed
    assert len(words) == len(typed.split())


def test_where_several_words_may_follow_options_are_left_out_until_a_dash() -> None:
    """A dozen of them would hide the guests."""
    script = f"""
. {BASH}/mthook-admin
COMP_WORDS=(mthook-admin hook ''); COMP_CWORD=2; _mthook; echo "${{COMPREPLY[@]}}"
COMP_WORDS=(mthook-admin hook -); COMP_CWORD=2; _mthook; echo "${{COMPREPLY[@]}}"
COMP_WORDS=(mthook-sync ''); COMP_CWORD=1; _mthook; echo "${{COMPREPLY[@]:0:2}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert done.stderr == ""
    hook, options, sync = done.stdout.splitlines()
    assert hook == "install render serve status uninstall"
    assert options.startswith("--config-file ")
    assert sync == "-h --help"


def test_the_scripts_are_what_the_programs_make() -> None:
    """A changed option without new scripts (``make sample``) is noticed; the same script serves all programs."""
    for name, text in completion.scripts().items():
        assert (SCRIPTS / name).read_text() == text
    for program in completion.PROGRAMS:
        assert (BASH / program).samefile(BASH / "mthook-admin")
