# SPDX-License-Identifier: Apache-2.0
"""Every option of mthook, in Nova's groups and under Nova's names where Nova has one.

``/etc/nova/nova.conf`` may be one of the configuration files; what it says beyond these options is ignored.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import socket
from collections.abc import Iterable, Sequence

from oslo_config import cfg

from mthook.errors import ConfigError
from mthook.settings import Settings
from mthook.text import explain, printable

DEFAULT_FILE = "/etc/mthook/mthook.conf"
DEFAULT_CATALOG = "/var/lib/mthook/catalog.sqlite"

#: The options by group.
_GROUPS: dict[str, list[cfg.Opt]] = {}
_GROUPS["DEFAULT"] = [
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<host name>",
        help="Name of this host, as Nova knows it.",
    ),
]
_GROUPS["catalog"] = [
    cfg.StrOpt(
        "path",
        default=DEFAULT_CATALOG,
        help="The local catalog. Its directory belongs to root with mode 0700, the file with mode 0600.",
    ),
]
_GROUPS["hook"] = [
    cfg.StrOpt(
        "mode",
        default="audit",
        choices=[
            ("audit", "log what would be stopped; neither stop a start nor change a definition"),
            ("enforce", "stop a start that would change the guest's machine type"),
            ("off", "the hook does nothing, and no definition is changed"),
        ],
        help="What the hook does about a guest that doesn't match its pin. In mode audit, run "
        "'mthook-sync --dry-run' to see what mode enforce would do.",
    ),
    cfg.StrOpt(
        "on_error",
        default="allow",
        choices=[("allow", "let the guest start"), ("deny", "stop the start")],
        help="What a broken catalog or unreadable domain XML means for a guest's start.",
    ),
    cfg.StrOpt(
        "migrate_mismatch",
        default="accept",
        choices=[
            ("accept", "let it run as it is and record drift"),
            ("refuse", "cancel the migration or the restore; the source or the saved image stays"),
        ],
        help="What happens to an incoming or restored guest that doesn't match its pin. libvirt lets nobody change "
        "the machine type of such a guest.",
    ),
    cfg.StrOpt(
        "nova_stop",
        default="stop",
        choices=[
            (
                "stop",
                "stop it, put Nova's record right, and say which command starts the instance: an outage",
            ),
            (
                "allow",
                "let it start as it is, put Nova's record right, and record drift: other hardware",
            ),
        ],
        help="What happens in mode enforce when a Nova instance would start as something other than its pin. Nova puts "
        "an instance whose start is stopped into ERROR. If Nova connects through mthook-gate, its starts are right, "
        "and neither happens.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=5,
        min=0.5,
        max=60,
        help="Seconds that the hook's slow path may take in all. libvirt itself sets a hook no limit.",
    ),
    cfg.StrOpt(
        "socket",
        default="/run/mthook/hook.sock",
        help="Where 'mthook-admin hook serve' answers the hooks in libvirt's containers, which have neither mthook nor "
        "its catalog. Under systemd the socket unit says where it is, and this option counts for 'hook render'.",
    ),
]
_GROUPS["pin"] = [
    cfg.StrOpt(
        "style",
        default="versioned",
        choices=[
            ("versioned", "the versioned name that the guest runs, such as pc-i440fx-7.2"),
            ("alias", "the alias that stands for it on this host, such as pc"),
        ],
        help="What a new pin records.",
    ),
]
_GROUPS["libvirt"] = [
    cfg.StrOpt("connection_uri", default="qemu:///system", help="libvirt's connection URI."),
    cfg.ListOpt(
        "hw_machine_type",
        default=[],
        help="Nova's default machine types, such as x86_64=q35,aarch64=virt: the machine type that mthook "
        "assumes for an instance without a domain, a recorded machine type and an image property. mthook reads it as "
        "literally as Nova, which ignores entries that have spaces around the = or name no architecture.",
    ),
    cfg.IntOpt(
        "num_pcie_ports",
        default=0,
        min=0,
        max=28,
        help="How many PCIe root ports a guest gets when it is converted to q35; Nova gives its instances the "
        "same number. 0 leaves that to libvirt, which leaves one port to spare for hot-plugging.",
    ),
]
_GROUPS["database"] = [
    cfg.StrOpt(
        "connection",
        secret=True,
        help="Nova's cell database: mysql+pymysql://user:password@host/nova. Without it and without [api_database] "
        "connection, mthook works without Nova.",
    ),
]
_GROUPS["api_database"] = [
    cfg.StrOpt(
        "connection",
        secret=True,
        help="Nova's API database. With it all cells are found, and this host's own one, and request specs are "
        "written as well. It is for controllers and administrators' hosts, not for compute hosts.",
    ),
]
_GROUPS["fleet"] = [
    cfg.StrOpt(
        "connection",
        secret=True,
        help="The record that hosts share: mysql+pymysql://user:password@host/mthook, postgresql://user:password@host/"
        "mthook or, to try it, sqlite:////path/to/fleet.sqlite. mthook-sync writes what concerns its host there; it "
        "works on while the record can't be reached. 'mthook-admin fleet init' makes the tables.",
    ),
]
_GROUPS["glance"] = [
    cfg.StrOpt(
        "auth_type",
        help="How to log in to Keystone: password. With it the machine type of a shelved instance is written to its "
        "shelved image as well; without it the command to type is printed. All options of keystoneauth1 may be in this "
        "group, as in nova.conf; the usual ones follow.",
    ),
    cfg.StrOpt("auth_section", help="A group that has these options, in place of this one."),
    cfg.StrOpt("auth_url", help="Keystone's URL, such as https://keystone.example:5000/v3."),
    cfg.StrOpt("username", help="A user who may change the images of all projects."),
    cfg.StrOpt("password", secret=True, help="The user's password."),
    cfg.StrOpt("project_name", help="The project that the user works in."),
    cfg.StrOpt("user_domain_name", help="The domain of the user."),
    cfg.StrOpt("project_domain_name", help="The domain of the project."),
    cfg.StrOpt("region_name", help="The region whose Glance it is."),
    cfg.StrOpt("endpoint_override", help="Glance's URL in place of the catalog's."),
    cfg.StrOpt("cafile", help="Certificates of the authorities that are trusted, as PEM."),
]
_GROUPS["sync"] = [
    cfg.BoolOpt(
        "write_back",
        default=True,
        help="Write pins that Nova lacks to its database, so that Nova itself generates the right domain XML. If "
        "false, mthook-sync --cloud does only dry runs.",
    ),
    cfg.BoolOpt(
        "realign",
        default=True,
        help="Rewrite the definitions of domains to their pins, in mode enforce. If false, mthook-admin set and "
        "freeze change only pins, too. mthook-sync --only repair mends definitions in any case.",
    ),
]
_GROUPS["repair"] = [
    cfg.BoolOpt(
        "start",
        default=False,
        help="mthook-sync --only repair, which systemd runs a moment after the hook has stopped a start, also starts "
        "the guest, as --start makes it do. Only for guests that nobody else may have started meanwhile, here or on "
        "another host with the same disks: not with Pacemaker or another cluster manager.",
    ),
]
_GROUPS["metrics"] = [
    cfg.StrOpt(
        "textfile",
        regex=r"^/.*\.prom$",
        help="A file that mthook-sync writes figures for Prometheus to, after each run; 'mthook-status metrics' prints "
        "them. For the textfile collector of node_exporter it has to be in the collector's directory, and its name has "
        "to end in .prom, such as /var/lib/prometheus/node-exporter/mthook.prom.",
    ),
    cfg.BoolOpt(
        "per_guest",
        default=False,
        help="Also write a series for each guest, with its name, pin, machine type and state.",
    ),
]
_GROUPS["gate"] = [
    cfg.StrOpt(
        "listen",
        default="/run/mthook/libvirt-sock",
        help="The socket that clients connect to in place of libvirt's own: qemu+unix:///system?socket=<this>. "
        "Under systemd the socket unit says where it is and who owns it; this option then only tells the two "
        "sockets apart.",
    ),
    cfg.StrOpt(
        "listen_ro",
        default="",
        help="A second socket, for clients that only read, in front of upstream_ro; empty: none.",
    ),
    cfg.StrOpt(
        "upstream",
        default="/run/libvirt/libvirt-sock",
        help="The socket of libvirtd, or of virtqemud (/run/libvirt/virtqemud-sock). The gate connects to it as the "
        "same user that connects to the gate.",
    ),
    cfg.StrOpt("upstream_ro", default="/run/libvirt/libvirt-sock-ro", help="Its read-only socket."),
    cfg.StrOpt("owner", default="root", help="The user that the gate's sockets belong to."),
    cfg.StrOpt("group", default="libvirt", help="The group that the gate's sockets belong to."),
    cfg.StrOpt(
        "mode",
        default="0660",
        regex="^0?[0-7]{3}$",
        help="The mode of the gate's sockets, in octal. Whoever may connect to the gate but not to libvirt's own "
        "socket is turned away all the same.",
    ),
    cfg.StrOpt(
        "on_unconvertible",
        default="refuse",
        choices=[
            ("refuse", "answer the client with an error that says why"),
            ("pass", "send it on unchanged and leave it to the hook"),
        ],
        help="What happens to a definition that can't be brought to its pin, such as one with a device that the pinned "
        "machine type doesn't support.",
    ),
]

#: Groups that only mthook has.
_OWN_GROUPS = ("catalog", "hook", "pin", "sync", "repair", "metrics", "fleet", "gate")


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return all options by group, for oslo-config-generator."""
    return list(_GROUPS.items())


def default_files() -> list[str]:
    """Return the configuration files to read when none is named; they need not exist."""
    return [DEFAULT_FILE]


def load(config_files: Sequence[str] | None = None) -> cfg.ConfigOpts:
    """Read the configuration and check the value of every option.

    :param config_files: files in the order in which they are read; ``None``: the default file, where it exists.
    :raises ConfigError: a file can't be read or parsed, or an option has an invalid value.
    """
    if config_files is None:
        config_files = [path for path in default_files() if os.path.exists(path)]
    conf = cfg.ConfigOpts()
    for group, options in _GROUPS.items():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    try:
        conf(
            args=[],
            project="mthook",
            default_config_files=list(config_files),
            default_config_dirs=[],
        )
        _check_names(config_files)
        _check_values(conf)
    except cfg.ConfigFilesPermissionDeniedError as error:
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise ConfigError(explain(next(iter(error.config_files)), denied)) from error
    except (cfg.Error, OSError, UnicodeDecodeError, ValueError) as error:
        names = ", ".join(config_files) or "the built-in defaults"
        raise ConfigError(f"configuration ({printable(names)}): {_one_line(error)}") from error
    return conf


def has_nova(conf: cfg.ConfigOpts) -> bool:
    """Tell whether a Nova database is configured."""
    return bool(conf.database.connection or conf.api_database.connection)


def settings(conf: cfg.ConfigOpts, fingerprint: str) -> Settings:
    """Return the part of the configuration that the hook's fast path needs.

    :param fingerprint: the :func:`~mthook.settings.fingerprint` of the files, taken *before* they were read: a file
        that changes in between then counts as newer, and is read again.
    """
    return Settings(
        mode=conf.hook.mode,
        on_error=conf.hook.on_error,
        migrate_mismatch=conf.hook.migrate_mismatch,
        timeout=float(conf.hook.timeout),
        style=conf.pin.style,
        nova=has_nova(conf),
        write_back=conf.sync.write_back,
        nova_stop=conf.hook.nova_stop,
        fingerprint=fingerprint,
    )


def _check_names(files: Sequence[str]) -> None:
    """Refuse an option or a group that can only be a typo: oslo.config would ignore it.

    Groups that other programs may have in the same file, as in nova.conf, aren't checked.
    """
    own = {name: options for name, options in _GROUPS.items() if name in _OWN_GROUPS}
    for path in files:
        groups: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, groups).parse()
        for group, found in groups.items():
            if group in own:
                _check_options(path, group, found, [option.dest for option in own[group]])
            elif group not in _GROUPS and (meant := _meant(group, own, 0.75)):
                raise ValueError(f"{printable(path)}: no group [{printable(group)}]{meant}")


def _check_options(path: str, group: str, found: Iterable[str], known: Sequence[str]) -> None:
    for name in found:
        if name.replace("-", "_") not in known:
            meant = _meant(name, known, 0.6)
            raise ValueError(f"{printable(path)}: no option {printable(name)} in [{group}]{meant}")


def _meant(name: str, known: Iterable[str], likeness: float) -> str:
    names = difflib.get_close_matches(name, list(known), 1, likeness)
    return f"; did you mean {names[0]}?" if names else ""


def _check_values(conf: cfg.ConfigOpts) -> None:
    """Read every option once: oslo.config checks a value only when it is asked for."""
    for group, options in _GROUPS.items():
        values = conf if group == "DEFAULT" else conf[group]
        for option in options:
            try:
                values[option.dest]
            except (cfg.Error, ValueError, RecursionError):
                if not option.secret:
                    raise
                # The message would quote what follows the $ in a password.
                raise ValueError(
                    f"the value of {option.dest} in [{group}] can't be read: a $ in it is written $$"
                ) from None
    if not os.path.isabs(conf.catalog.path):
        raise ValueError(f"[catalog] path must be absolute, not {printable(conf.catalog.path)}")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # oslo.config names the place of a wrong value by an object's repr.
    text = re.sub(r" from LocationInfo\(.*?detail='?(.*?)'?\)(?= is)", r" in \1", text)
    if isinstance(error, cfg.ConfigFileParseError):
        # It quotes the line, which may hold a password.
        text = re.sub(r""": ['"].*""", "", text)
    return printable(text, limit=400)
