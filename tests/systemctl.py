# SPDX-License-Identifier: Apache-2.0
"""A systemctl that starts nothing, for hosts where systemd only seems to run; tests/packages has real ones."""

from __future__ import annotations

from pathlib import Path

_SCRIPT = """\
#!/bin/sh
echo "$@" >>{told}
verb=$1
[ "$2" != --now ] || shift 2
for unit in "$@"; do
	case $verb in
	enable) mkdir -p {wants} && touch {wants}/$unit ;;
	disable) rm -f {wants}/$unit ;;
	esac
done
"""


def systemctl(units: Path, told: Path = Path("/dev/null")) -> str:
    """Return its text: it makes the links of what it enables, and notes how it was called.

    :param units: the directory of an administrator's units.
    """
    return _SCRIPT.format(told=told, wants=units / "any.wants")
