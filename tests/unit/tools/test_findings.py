# SPDX-License-Identifier: Apache-2.0
"""The sentences about the hook's installation."""

from __future__ import annotations

from typing import get_args

import pytest

from mthook.hook.install import Problem, ProblemKind
from mthook.tools import findings


def test_each_problem_of_the_hook_has_its_sentence() -> None:
    """And no sentence is left of one that there isn't any more."""
    assert set(findings._HOOK) == set(get_args(ProblemKind))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            Problem("fails", {"python": "/gone\n/python3", "reason": "No such file or directory"}),
            "guests start unguarded, because /gone\\n/python3 fails: No such file or directory:"
            " run 'mthook-admin hook install'",
        ),
        (
            Problem("unanswered", {"socket": "/run/sock", "reason": "Connection refused"}),
            "guests start unguarded, because nobody answers at /run/sock: Connection refused:"
            " run 'systemctl enable --now mthook-hookd.socket'",
        ),
        (
            Problem("not_restarted", {"daemon": "virtqemud", "pid": "4711"}),
            "not loaded: virtqemud (pid 4711) was started before the hook was installed: restart it",
        ),
    ],
)
def test_what_is_wrong_with_the_hook_is_said_with_the_way_out(problem: Problem, said: str) -> None:
    """In one line, whatever paths have in them."""
    assert findings.hook_problem(problem) == said
