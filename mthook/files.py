# SPDX-License-Identifier: Apache-2.0
"""Files that others may read at any moment: replaced in one step, or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile

#: SELinux's label of a file (xattr(7)).
_LABEL = "security.selinux"


def replace(
    path: str,
    text: str,
    mode: int,
    directory: str | None = None,
    owner: tuple[int, int] = (-1, -1),
) -> None:
    """Replace a file's text; a reader sees either the old text or the new one. SELinux's label stays.

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
            _keep_label(path, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _keep_label(old: str, new: int) -> None:
    """Give a new file the label of the old one, which may say who can run it, unless it has it already."""
    with contextlib.suppress(OSError):  # no SELinux, or no old file
        label = os.getxattr(old, _LABEL)
        if os.getxattr(new, _LABEL) != label:
            os.setxattr(new, _LABEL, label)
