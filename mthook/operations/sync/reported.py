# SPDX-License-Identifier: Apache-2.0
"""The faults of runs: when each was last reported, to report a lasting one once a day; and those of the last run."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence

from mthook import files
from mthook.operations.acts import Failure
from mthook.text import now, printable

_DAY = 86400
#: How many faults of a run the catalog keeps.
_MOST = 20


def for_catalog(faults: Sequence[Failure]) -> str | None:
    """Return the faults of a run as the catalog keeps them: JSON text, the first few in words; None: there are none."""
    if not faults:
        return None
    first = [
        {
            **{"uuid": one.uuid, "name": one.name, "display_name": one.display_name},
            "message": printable(one, limit=400),
        }
        for one in faults[:_MOST]
    ]
    return json.dumps({"at": now(), "number": len(faults), "errors": first})


class Reported:
    """The faults of earlier runs, and those that this run meets.

    :param path: where they are kept, beside the catalog. What can't be kept is reported each time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._known = _read(self._path)
        self._met: dict[str, str] = {}

    def is_due(self, fault: str) -> bool:
        """Tell whether a fault that this run meets is to be reported: it is new, or was last reported a day ago."""
        known = self._known.get(fault, "")
        due = not now(time.time() - _DAY) < known <= now()
        self._met[fault] = now() if due else known
        return due

    def keep(self, *, whole: bool) -> None:
        """Keep what this run met; a fault that a whole run doesn't meet is over."""
        recent = {} if whole else {f: at for f, at in self._known.items() if not self._is_old(at)}
        faults = {**recent, **self._met}
        if faults != self._known:
            with contextlib.suppress(OSError):
                files.replace(self._path, json.dumps(faults, indent=1), 0o600)

    @staticmethod
    def _is_old(at: str) -> bool:
        return at < now(time.time() - _DAY)


def _read(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return {str(fault): str(at) for fault, at in json.load(file).items()}
    except (OSError, ValueError, AttributeError):
        return {}
