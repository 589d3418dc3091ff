# SPDX-License-Identifier: Apache-2.0
"""The part of the configuration that the hook needs, compiled into the catalog. On the hook's fast path: builtins only.

The hook reads no configuration files as long as they match the fingerprint kept beside the settings.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Settings:
    """The options of :mod:`mthook.conf` that the hook goes by; without arguments, their defaults.

    :ivar nova: a Nova database is configured.
    :ivar write_back: [sync] write_back.
    :ivar nova_stop: [hook] nova_stop.
    :ivar fingerprint: of the configuration files that they were compiled from, see :func:`fingerprint`.
    :ivar compiled_at: when, as :func:`mthook.text.now` has it; the catalog fills it in.
    """

    def __init__(
        self,
        mode: str = "audit",
        on_error: str = "allow",
        migrate_mismatch: str = "accept",
        timeout: float = 5.0,
        style: str = "versioned",
        nova: bool = False,
        write_back: bool = True,
        nova_stop: str = "stop",
        fingerprint: str = "",
        compiled_at: str = "",
    ) -> None:
        self.mode, self.on_error, self.migrate_mismatch = mode, on_error, migrate_mismatch
        self.timeout, self.style, self.nova = timeout, style, bool(nova)
        self.write_back, self.nova_stop = bool(write_back), nova_stop
        self.fingerprint, self.compiled_at = fingerprint, compiled_at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.values() == other.values()

    def values(self) -> tuple[str | float, ...]:
        """Return the settings in the order of :data:`FIELDS`, for the catalog and for a pipe."""
        return tuple(vars(self).values())

    def but(self, **options: str) -> Settings:
        """Return the same settings with some of them replaced."""
        other = Settings()
        vars(other).update({**vars(self), **options})
        return other

    def same_options(self, other: Settings) -> bool:
        """Tell whether the options are the same, whichever files and time they come from."""
        return self.values()[:-2] == other.values()[:-2]


#: The settings by name, in the order of the catalog's columns.
FIELDS = tuple(vars(Settings()))


def fingerprint(paths: Iterable[str]) -> str:
    """Return a text that changes whenever one of the files is written, replaced, created or removed.

    The hook compares it with the one kept beside the settings: equal means that no file needs reading.

    :param paths: configuration files in the order in which they are read; later ones override earlier ones.
    """
    parts = []
    for path in map(os.path.abspath, paths):
        try:
            status = os.stat(path)
        except OSError:
            parts.append(f"{path}:-")
        else:
            parts.append(f"{path}:{status.st_mtime_ns}:{status.st_size}:{status.st_ino}")
    return "\n".join(parts)


def same_files(one: str, other: str) -> bool:
    """Tell whether two fingerprints are of the same files, changed or not."""
    return _paths(one) == _paths(other)


def _paths(taken: str) -> list[str]:
    # No configuration file of an installed hook has a colon in its name: the installer refuses it.
    return [part.partition(":")[0] for part in taken.split("\n")]
