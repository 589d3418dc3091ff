# SPDX-License-Identifier: Apache-2.0
"""What makes systemd or cron run mthook: the texts, and whether they are there."""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from oslo_config import cfg

from mthook import conf as configuration
from mthook.errors import InstallError
from mthook.hook.install import Wiring
from mthook.operations.setup import places
from mthook.operations.setup.found import Found, access_to, read
from mthook.text import printable

CRON = ("mthook", "mthook-cloud")
_CATALOG = os.path.dirname(configuration.DEFAULT_CATALOG)
_FAILURE = "mthook-failure.service"
_SYNC = (
    *("mthook-sync.timer", "mthook-sync.service"),
    *("mthook-repair.path", "mthook-repair.service", _FAILURE),
)
_PUSH = ("mthook-push.path", "mthook-push.service")
_HOOKD = ("mthook-hookd.socket", "mthook-hookd.service", _FAILURE)
_GATE = ("mthook-gate.socket", "mthook-gate.service", "mthook-gate-bypass.service")
#: Those of a controller: whoever removes mthook removes them, too.
_OTHERS = (
    "mthook-gate-ro.socket",
    "mthook-cloud.timer",
    "mthook-cloud.service",
    "mthook-cloud-watch.service",
)
#: The kinds of units that are enabled: these start the others.
_ENABLED = (".timer", ".path", ".socket")
_HEAD = "# Written by mthook-admin setup.\n"


def timer(found: Found, conf: cfg.ConfigOpts) -> dict[str, str]:
    """Return what runs mthook-sync by the clock and after a stop: paths and texts."""
    if found.timer == "cron":
        text = _named(places.shared("mthook.cron"), found.files)
        return {os.path.join(places.CRON, CRON[0]): text}
    return _units(_SYNC + _PUSH if configuration.has_nova(conf) else _SYNC, found, conf)


def gate(found: Found, conf: cfg.ConfigOpts) -> dict[str, str]:
    """Return the gate's units: paths and texts. Its socket lets in those whom the one behind it lets in."""
    listen = conf.gate.listen
    group, mode = access_to(conf.gate.upstream)
    lines = {
        "ListenStream=": listen,
        "SocketGroup=": group,
        "SocketMode=": mode,
        "ReadWritePaths=-/run/": f"-{os.path.dirname(listen)}",
        "Environment=LISTEN=": _setting("LISTEN", listen),
        "Environment=UPSTREAM=": _setting("UPSTREAM", conf.gate.upstream),
        "Environment=CONFIG=": _setting("CONFIG", ":".join(found.files)),
    }
    return _units(_GATE, found, conf, lines)


def hookd(found: Found, conf: cfg.ConfigOpts) -> dict[str, str]:
    """Return what answers the hooks in libvirt's containers: paths and texts."""
    here = Wiring.of_this_process(conf.catalog.path, found.files)
    lines = {
        "ListenStream=": conf.hook.socket,
        "Environment=PYTHON=": _setting("PYTHON", here.python),
        "Environment=PACKAGE=": _setting("PACKAGE", here.package),
        "Environment=CATALOG=": _setting("CATALOG", here.catalog),
        "Environment=CONFIG=": _setting("CONFIG", ":".join(here.config_files)),
    }
    return _units(_HOOKD, found, conf, lines)


def _setting(name: str, value: str) -> str:
    """Return a setting of a unit's environment."""
    return shlex.quote(f"{name}={value}")


def _units(
    names: Sequence[str], found: Found, conf: cfg.ConfigOpts, values: Mapping[str, str] = {}
) -> dict[str, str]:
    """Return units: those of a package where they say what is wanted, else units of an administrator's, which win.

    :param values: what lines are to set, by how they begin.
    """
    texts = {}
    for name in names:
        text, packaged = _unit(name, found, conf), os.path.join(places.PACKAGED_UNITS, name)
        for key, value in values.items():
            setting = f"{key.partition('=')[0]}={value}"
            text = re.sub(rf"^{key}.*$", lambda _: setting, text, flags=re.M)  # noqa: B023
        if read(packaged) == text:
            texts[packaged] = text
        else:
            texts[os.path.join(places.SYSTEMD, name)] = _HEAD + text
    return texts


def are_there(texts: Mapping[str, str]) -> bool:
    """Tell whether files say what they are to say."""
    return all(read(path) == text for path, text in texts.items())


def shadowing(paths: Iterable[str]) -> list[str]:
    """Return the units that setup wrote once and that systemd takes in place of a package's among these.

    An administrator's own, which win likewise, are meant to.
    """
    copies = [
        os.path.join(places.SYSTEMD, os.path.basename(path)) for path in paths if is_packaged(path)
    ]
    return [path for path in copies if (read(path) or "").startswith(_HEAD)]


def are_enabled(paths: Sequence[str]) -> bool:
    """Tell whether systemd starts what these units start."""
    return all(_enabled(name) for name in to_enable(paths))


def _enabled(name: str) -> bool:
    """Tell whether systemd starts a unit: ``systemctl enable`` has made a link for it."""
    return bool(glob.glob(os.path.join(places.SYSTEMD, "*.wants", name)))


def of_mthook() -> list[str]:
    """Return the paths of all mthook units that an administrator has written, or enabled though a package's."""
    names = dict.fromkeys((*_SYNC, *_PUSH, *_HOOKD, *_GATE, *_OTHERS))
    paths = [os.path.join(places.SYSTEMD, name) for name in names]
    packaged = [os.path.join(places.PACKAGED_UNITS, name) for name in names if _enabled(name)]
    return [path for path in paths + packaged if os.path.exists(path)]


def is_unit(path: str) -> bool:
    """Tell whether a file is a systemd unit."""
    return os.path.dirname(path) in (places.SYSTEMD, places.PACKAGED_UNITS)


def is_packaged(path: str) -> bool:
    """Tell whether a unit is a package's."""
    return os.path.dirname(path) == places.PACKAGED_UNITS


def of_gate(paths: Sequence[str]) -> list[str]:
    """Return those that are the gate's."""
    return [path for path in paths if os.path.basename(path).startswith("mthook-gate")]


def to_enable(paths: Sequence[str]) -> list[str]:
    """Return the names of the units among these that start the others."""
    return [os.path.basename(path) for path in paths if path.endswith(_ENABLED)]


def systemctl(*argv: str) -> None:
    """Run systemctl.

    :raises InstallError: it isn't there, or fails; the text has the last thing it said.
    """
    try:
        done = subprocess.run(
            ["systemctl", *argv], capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"systemctl {' '.join(argv)}: {printable(error)}") from error
    if done.returncode:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise InstallError(f"systemctl {' '.join(argv)}: {printable(said)}")


def _unit(name: str, found: Found, conf: cfg.ConfigOpts) -> str:
    text = _named(places.shared(f"systemd/{name}"), found.files)
    if conf.metrics.textfile is not None:
        writable = f"ReadWritePaths=-{os.path.dirname(conf.metrics.textfile)}"
        text = re.sub(r"^ReadWritePaths=-/var/lib/.*$", lambda _: writable, text, flags=re.M)
    directory = os.path.dirname(conf.catalog.path)
    if directory != _CATALOG:
        text = text.replace(_CATALOG, directory)
        text = re.sub(
            r"^StateDirectory=.*\nStateDirectoryMode=.*$",
            f"ReadWritePaths={directory}",
            text,
            flags=re.M,
        )
    return text


def _named(text: str, files: Sequence[str]) -> str:
    """Return a text in which mthook's commands have their paths, and configuration files other than the default."""
    given = list(files) != configuration.default_files()
    options = "".join(f" --config-file {shlex.quote(path)}" for path in files) if given else ""
    return re.sub(
        r"(?<=[= ])(?<!Identifier=)mthook-(?:sync|gate)(?= --|$)",
        lambda found: places.program(found[0]) + options,
        text,
        flags=re.M,
    )
