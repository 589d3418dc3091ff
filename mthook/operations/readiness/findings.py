# SPDX-License-Identifier: Apache-2.0
"""What a check has found, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_upgradecheck.upgradecheck import Code, Result

from mthook.text import printable

#: How many guests a sentence names.
_FEW = 3


class Findings:
    """Collects sentences; the worst of them decides."""

    def __init__(self) -> None:
        self._code = Code.SUCCESS
        self._sentences: list[str] = []

    def note(self, sentence: str) -> None:
        """Say something that is as it should be."""
        self._add(Code.SUCCESS, sentence)

    def warn(self, sentence: str) -> None:
        """Say something that should be looked into; the default may be changed all the same."""
        self._add(Code.WARNING, sentence)

    def fail(self, sentence: str) -> None:
        """Say something that has to be mended before the default may be changed."""
        self._add(Code.FAILURE, sentence)

    def result(self) -> Result:
        """Return all of it for oslo.upgradecheck."""
        return Result(self._code, " ".join(self._sentences))

    @property
    def well(self) -> bool:
        """Whether nothing is wrong so far."""
        return bool(self._code == Code.SUCCESS)

    def _add(self, code: Code, sentence: str) -> None:
        self._code = max(self._code, code)
        self._sentences.append(sentence)


def count(number: int, thing: str) -> str:
    """Return a number of things: ``1 guest``, ``3 guests``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def listed(things: Sequence[object], thing: str) -> str:
    """Return a number of things and a few of them: ``5 guests (db-1; db-2; web-1; ...)``."""
    few = [printable(one) for one in things[:_FEW]]
    rest = ["..."] if len(things) > _FEW else []
    return f"{count(len(things), thing)} ({'; '.join([*few, *rest])})"
