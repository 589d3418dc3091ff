# SPDX-License-Identifier: Apache-2.0
"""Files that others may read at any moment: replaced in one step, or not at all."""

from __future__ import annotations

import os
import tempfile


def replace(
    path: str,
    text: str,
    mode: int,
    directory: str | None = None,
    owner: tuple[int, int] = (-1, -1),
) -> None:
    """Replace a file's text; a reader sees either the old text or the new one.

    :param mode: its permissions from the start.
    :param directory: where the new file is written; ``None``: beside the old one.
    :param owner: user and group; -1: this process's.
    :raises OSError: it can't be written; the old one stays.
    """
    descriptor, temporary = tempfile.mkstemp(
        prefix=".mthook-", dir=directory or os.path.dirname(path)
    )
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
