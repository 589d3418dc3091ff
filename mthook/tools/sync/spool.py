# SPDX-License-Identifier: Apache-2.0
"""The JSON document of a run for the whole cloud: too long to be kept in memory, it is on disk until it is printed."""

from __future__ import annotations

import json
import shutil
import tempfile
from typing import TextIO

from mthook.operations.acts import Act, Event, LeftAlone, Result
from mthook.tools.sync import words


class Spool:
    """Keeps what happened by the names that the document has for it."""

    def __init__(self) -> None:
        # They end with the process.
        self._parts = {
            name: tempfile.TemporaryFile("w+")  # noqa: SIM115
            for name in ("acts", "left_alone", "errors")
        }

    def add(self, event: Event) -> None:
        """Keep one thing."""
        name = {Act: "acts", LeftAlone: "left_alone"}.get(type(event), "errors")
        part = self._parts[name]
        part.write(",\n" if part.tell() else "\n")
        json.dump(words.item(event), part)

    def print(self, result: Result, output: TextIO) -> None:
        """Print the document."""
        output.write("{\n")
        for name, part in self._parts.items():
            output.write(f'"{name}": [')
            part.seek(0)
            shutil.copyfileobj(part, output)
            output.write("],\n")
        pairs = (
            f"{json.dumps(key)}: {json.dumps(value)}"
            for key, value in words.figures(result).items()
        )
        output.write(",\n".join(pairs) + "\n}\n")
