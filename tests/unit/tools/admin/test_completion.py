# SPDX-License-Identifier: Apache-2.0
"""``complete``: bash completes commands and options."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import Run

#: bash-completion's own function, for a word that stands last on a line.
HARNESS = """
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=; words=("${COMP_WORDS[@]}"); }
%s
COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_mthook_admin
printf '%%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("mthook-admin un", ["undo", "uninstall", "unset"]),
        ("mthook-admin h", ["help", "history", "hook"]),
        ("mthook-admin hook ''", ["install", "status", "uninstall"]),
        ("mthook-admin set --f", ["--force"]),
        ("mthook-admin list --d", ["--drift", "--deprecated"]),
        ("mthook-admin hook install --h", ["--help", "--hooks-dir"]),
    ],
)
def test_bash_completes_what_is_typed(run: Run, typed: str, completed: list[str]) -> None:
    """The script that is printed runs, and knows the commands and their options."""
    said = run("complete")
    assert (said.code, said.err) == (0, "")

    done = subprocess.run(
        ["bash", "-c", HARNESS % (said.out, typed)], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert done.stdout.split() == completed
