# SPDX-License-Identifier: Apache-2.0
"""Values that read better in a table than in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliff import columns

if TYPE_CHECKING:
    _TextColumn = columns.FormattableColumn[str]
    _AnswerColumn = columns.FormattableColumn["bool | None"]
else:  # generic only in newer releases of cliff
    _TextColumn = _AnswerColumn = columns.FormattableColumn


class Time(_TextColumn):
    """A moment as :func:`mthook.text.now` writes it; people see it to the second."""

    def human_readable(self) -> str:
        """Return it without the fraction: ``2026-11-22T13:00:00Z``."""
        whole, point, _ = self._value.partition(".")
        return f"{whole}Z" if point else whole


class Answer(_AnswerColumn):
    """A yes, a no, or neither."""

    def human_readable(self) -> str:
        """Return it as a word."""
        return {True: "yes", False: "no", None: "-"}[self._value]
