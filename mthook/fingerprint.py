# SPDX-License-Identifier: Apache-2.0
"""Tell cheaply whether configuration files changed. Part of the hook's fast path: builtins only."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def fingerprint(paths: Iterable[str]) -> str:
    """Return a text that differs whenever one of the files was written, replaced, created or removed.

    The hook compares it with the one kept beside the compiled policy: equal means that no file needs reading.

    :param paths: configuration files in the order in which they are read; later ones override earlier ones.
    """
    parts = []
    for path in map(os.path.abspath, paths):
        try:
            seen = os.stat(path)
        except OSError:
            parts.append(f"{path}:-")
        else:
            parts.append(f"{path}:{seen.st_mtime_ns}:{seen.st_size}:{seen.st_ino}")
    return "\n".join(parts)


def same_files(one: str, other: str) -> bool:
    """Tell whether two fingerprints are of the same files, changed or not."""
    return _paths(one) == _paths(other)


def _paths(taken: str) -> list[str]:
    # No configuration file of an installed hook has a colon in its name: the installer refuses it.
    return [part.partition(":")[0] for part in taken.split("\n")]
