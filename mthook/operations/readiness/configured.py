# SPDX-License-Identifier: Apache-2.0
"""Can nobody else read the configuration files that hold a password, or change any of the files?"""

from __future__ import annotations

import os
import re
import shlex
import stat

from oslo_config import cfg

from mthook.hook import install
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, as_success

#: Options that hold a secret, in nova.conf too.
_SECRET = re.compile(r"(?:password|passwd|secret|secret_key)$")
#: A URL with a password, such as ``mysql+pymysql://user:password@host/nova``.
_WITH_PASSWORD = re.compile(r"://[^/?#\s:@]*:[^/?#\s]+@")


def check(context: Context) -> list[Finding]:
    """Look at the files of this command, and at those that the installed hook reads."""
    paths = dict.fromkeys((*context.files, *install.config_files(context.hooks_dir)))
    there = [path for path in paths if os.path.exists(path)]
    found = [one for path in there if (one := _look_at(path)) is not None]
    return found or [as_success(files=there)]


def _look_at(path: str) -> Finding | None:
    mode = os.stat(path).st_mode
    facts = {"path": path, "mode": f"{stat.S_IMODE(mode):04o}"}
    remedy = f"chmod o-rwx {shlex.quote(path)}"
    if mode & stat.S_IROTH and _holds_password(path):
        return Finding("readable", Severity.FAILURE, (), facts, remedy)
    if mode & stat.S_IWOTH:
        return Finding("writable", Severity.FAILURE, (), facts, remedy)
    return None


def _holds_password(path: str) -> bool:
    groups: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(path, groups).parse()
    except (cfg.ParseError, UnicodeDecodeError):
        return False  # no mthook program runs with it
    options = [pair for options in groups.values() for pair in options.items()]
    return any(_is_secret(name, value) for name, values in options for value in values)


def _is_secret(name: str, value: str) -> bool:
    named = _SECRET.search(name.lower()) and value.lower() not in ("", "true", "false")
    return bool(named or _WITH_PASSWORD.search(value))
