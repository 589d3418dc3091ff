# SPDX-License-Identifier: Apache-2.0
"""The catalog's directory and file: whose they are, who may touch them. On the hook's fast path.

The catalog decides which hardware a guest gets, so only root may be able to change it. SQLite gives
the ``-wal`` and ``-shm`` files beside a database the database's own mode, whatever the umask, so
only the modes of the directory and of that one file need looking after.
"""

from __future__ import annotations

import os
import stat

from mthook.errors import CatalogError, CatalogMissing, CatalogUnsafe
from mthook.text import explain, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

#: Modes of what mthook creates.
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
#: The user who owns every part of the catalog: root, the user libvirtd runs hooks as.
OWNER = 0


def check(path: str) -> None:
    """Make sure that a catalog is there and that only root can read or change it.

    :param path: the catalog's file.
    :raises CatalogMissing: there is no such directory or file.
    :raises CatalogUnsafe: the directory or the file is a symbolic link, anything but a directory or
        a regular file, not root's, or open to group or others.
    :raises CatalogError: the directory can't be accessed.
    """
    check_directory(os.path.dirname(path) or ".")
    _check_one(path, _status(path), FILE_MODE, stat.S_ISREG, "a regular file")


def check_directory(directory: str) -> None:
    """Make sure that a directory can hold a catalog; raises what :func:`check` raises."""
    _check_one(directory, _status(directory), DIRECTORY_MODE, stat.S_ISDIR, "a directory")


def create_directory(directory: str) -> None:
    """Create the catalog's directory in an existing one; if it is there already, it must be safe.

    :raises CatalogUnsafe: it exists, and users other than root can reach into it.
    :raises CatalogError: it can't be created.
    """
    try:
        os.mkdir(directory, DIRECTORY_MODE)
        os.chmod(directory, DIRECTORY_MODE)  # the umask may have taken bits away
    except FileExistsError:
        pass
    except OSError as error:
        raise _refused(directory, error) from error
    check_directory(directory)


def create_file(path: str) -> None:
    """Create an empty file that only root can read, for SQLite to fill.

    :raises CatalogError: it exists already, or can't be created.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
        os.fchmod(descriptor, FILE_MODE)
        os.close(descriptor)
    except OSError as error:
        raise _refused(path, error) from error


def _status(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError as error:
        raise CatalogMissing(
            f"no catalog: {printable(path)} does not exist: 'mthook-admin setup' sets this host up,"
            " mthook-sync makes the catalog alone",
            path,
        ) from error
    except OSError as error:
        raise _refused(path, error) from error


def _check_one(
    path: str, status: os.stat_result, mode: int, is_kind: Callable[[int], bool], kind: str
) -> None:
    shown = printable(path)
    if stat.S_ISLNK(status.st_mode):
        raise CatalogUnsafe(
            f"{shown} is a symbolic link: name the real place in [catalog] path", path
        )
    if not is_kind(status.st_mode):
        raise CatalogUnsafe(f"{shown} is not {kind}: move it away and run mthook-sync", path)
    if status.st_uid != OWNER:
        raise CatalogUnsafe(
            f"{shown} belongs to user {status.st_uid}, not to root: "
            f"if you trust its content, run 'chown root {shown}'",
            path,
        )
    if status.st_mode & 0o077:
        found = stat.S_IMODE(status.st_mode)
        raise CatalogUnsafe(
            f"{shown} has mode {found:04o}, which lets others than root in: "
            f"if you trust its content, run 'chmod {mode:04o} {shown}'",
            path,
        )


def _refused(path: str, error: OSError) -> CatalogError:
    return CatalogError(explain(path, error, "check [catalog] path"), path)
