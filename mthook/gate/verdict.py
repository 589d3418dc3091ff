# SPDX-License-Identifier: Apache-2.0
"""What becomes of a domain, in terms that the gate's processes share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from mthook import files, journal, text
from mthook.settings import Settings

PASS, REWRITE, REFUSE = "pass", "rewrite", "refuse"
#: What the worker is asked for: a verdict; to write a rewrite down.
JUDGE, KEEP = "judge", "keep"


@dataclass(frozen=True)
class Outcome:
    """What is to be done about a domain.

    :ivar verdict: :data:`PASS`, :data:`REWRITE` or :data:`REFUSE`.
    :ivar xml: the domain to send on in place of the client's.
    :ivar message: what a refused client is told, one line.
    :ivar uuid: the guest's, if the domain names one and can be judged.
    :ivar old: the machine type that the client wants; None: it leaves that open.
    :ivar new: the machine type that it has after a rewrite.
    :ivar push: Nova is to have that machine type, too.
    :ivar changes: what else a change of family changed, a line each.
    """

    verdict: str = PASS
    xml: bytes = b""
    message: str = ""
    uuid: str = ""
    old: str | None = None
    new: str = ""
    push: bool = False
    changes: Sequence[str] = ()


#: The fields of an outcome that the worker sends back; it has logged the changes itself.
ANSWERED = ("verdict", "xml", "message", "uuid", "old", "new", "push")


def broken(settings: Settings, why: str) -> Outcome:
    """Return what becomes of a domain that can't be judged: [hook] on_error decides."""
    if settings.mode == "off":
        return Outcome()
    journal.error(f"a domain can't be judged: {why}")
    if settings.mode != "enforce" or settings.on_error != "deny":
        return Outcome()
    why = text.printable(why, limit=1000)
    return Outcome(REFUSE, message=f"mthook: refused ([hook] on_error = deny): {why}")


def note(listen: str, why: str) -> None:
    """Leave word beside the gate's socket that it judges nothing, and why; '': it does.

    In /run, where no disk can hang.
    """
    path = _note(listen)
    with contextlib.suppress(OSError):  # the log has it, too
        if why:
            files.replace(path, text.printable(why, limit=1000), 0o600)
        else:
            os.unlink(path)


def noted(listen: str) -> str:
    """Return why the gate judges nothing, as :func:`note` left word; '': as far as that goes, it does."""
    try:
        with open(_note(listen), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _note(listen: str) -> str:
    return f"{listen}.unjudged"
