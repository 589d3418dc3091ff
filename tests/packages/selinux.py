# SPDX-License-Identifier: Apache-2.0
"""The module for SELinux in Debian's policy: no kernel enforces it here, but the policy can be asked.

The types that only Fedora's policy has are made beside it.
"""

from __future__ import annotations

import json

from tests.lab.machine import Machine
from tests.lab.table import log
from tests.packages import confined
from tests.packages.services import Wrong

_FEDORAS = ("virtqemud_t", "virtproxyd_t", "nova_t", "spc_t", "unconfined_service_t", "virt_dbus_t")
_FEDORA = f"""\
module fedora 1.0;
require {{ attribute domain; attribute file_type; }}
{"".join(f"type {name}; typeattribute {name} domain;" for name in _FEDORAS)}
type virt_hook_t; typeattribute virt_hook_t file_type;
"""
_CONTEXTS = "/etc/selinux/default/contexts/files/file_contexts"
_POLICY = "ls /etc/selinux/default/policy/policy.*"
#: Say of each rule that is asked for whether the policy has it; sesearch takes a second for each.
_ASK = """\
import json, sys, setools
policy = setools.SELinuxPolicy(sys.argv[1])
asked = json.load(sys.stdin)
kinds = {kind for _, _, kind, _ in asked}
known = [
    (str(rule.source), str(rule.target), str(rule.tclass), rule)
    for rule in policy.terules()
    if str(rule.ruletype) in ("allow", "type_transition") and str(rule.tclass) in kinds
]
def names(name):
    return {name, *map(str, policy.lookup_type(name).attributes())}
def gives(rule, right):
    return right in (rule.perms if str(rule.ruletype) == "allow" else [str(rule.default)])
print(json.dumps([
    any(kind == c and s in source and t in target and gives(rule, right) for s, t, c, rule in known)
    for source, target, kind, right in ((names(a), names(b), c, d) for a, b, c, d in asked)
]))
"""
_DAEMONS = ("virtd_t", "virtqemud_t")
_SERVICES = ("mthook_gate_t", "mthook_sync_t", "mthook_hookd_t")
_CLIENTS = ("unconfined_t", "virsh_t", "mthook_sync_t", *_FEDORAS[2:])
#: Who, what, its class, and what has to be allowed to those who aren't mthook's own.
_ALLOWED = [
    *[(one, "mthook_hook_t", "process", "transition") for one in _DAEMONS],
    *[(one, "mthook_hook_exec_t", "file", "execute") for one in _DAEMONS],
    ("virtqemud_t", "virt_hook_t", "dir", "search"),
    *[
        (one, client, "file", "read")
        for one in (*_DAEMONS, "virtproxyd_t")
        for client in _SERVICES[:2]
    ],
    *[("init_t", one, "process", "transition") for one in _SERVICES],
    *[("init_t", one, "process2", "nnp_transition") for one in _SERVICES],
    *[("init_t", one, "unix_stream_socket", "listen") for one in (_SERVICES[0], _SERVICES[2])],
    ("init_t", "mthook_runtime_t", "dir", "add_name"),
    ("init_t", "mthook_runtime_t", "sock_file", "create"),
    ("init_t", "mthook_runtime_t", "lnk_file", "create"),
    ("init_t", "mthook_var_lib_t", "dir", "watch"),
    ("init_t", "mthook_var_lib_t", "file", "rename"),
    *[(one, "mthook_gate_t", "unix_stream_socket", "connectto") for one in _CLIENTS],
    *[(one, "mthook_runtime_t", "sock_file", "write") for one in _CLIENTS],
]
#: A guest's QEMU reaches nothing of mthook's.
_DENIED = [
    ("svirt_t", "mthook_gate_t", "unix_stream_socket", "connectto"),
    ("svirt_t", "mthook_runtime_t", "sock_file", "write"),
    ("svirt_t", "mthook_var_lib_t", "file", "read"),
]
_BECOMES = [
    *[(one, "mthook_hook_exec_t", "process", "mthook_hook_t") for one in _DAEMONS],
    ("init_t", "mthook_gate_exec_t", "process", "mthook_gate_t"),
    ("init_t", "mthook_sync_exec_t", "process", "mthook_sync_t"),
]
_LABELS = {
    "/etc/libvirt/hooks/qemu": "mthook_hook_exec_t",
    "/etc/libvirt/hooks/qemu.d/50-mthook": "mthook_hook_exec_t",
    "/etc/mthook/mthook.conf": "mthook_conf_t",
    "/run/mthook/libvirt-sock": "mthook_runtime_t",
    "/run/mthook-cleared/.seen/web-1": "mthook_runtime_t",
    "/var/lib/mthook/catalog.sqlite": "mthook_var_lib_t",
    **{
        f"{directory}/mthook-{name}": f"mthook_{name}_exec_t"
        for directory in (
            *("/usr/bin", "/usr/sbin", "/opt/mthook/bin"),
            "/opt/pipx/venvs/mthook/bin",
        )
        for name in ("gate", "sync")
    },
}


def check() -> None:
    """See that the module fits into a policy, and that this allows what mthook needs of others.

    :raises Wrong: it doesn't.
    """
    machine = Machine("selinux", [confined.root()])
    try:
        confined.load_modules(machine, "fedora", _FEDORA)
        _check_rules(machine, machine.run(["sh", "-c", _POLICY]).stdout.strip())
        _check_labels(machine)
    finally:
        machine.close()
    log("SELinux module: as it should be in Debian's policy")


def _check_rules(machine: Machine, policy: str) -> None:
    asked = [*_ALLOWED, *_BECOMES, *_DENIED]
    ask = ["python3", "-c", _ASK, policy]
    answers = json.loads(machine.run(ask, input=json.dumps(asked)).stdout)
    for rule, has in zip(asked, answers):
        if has is (rule in _DENIED):
            raise Wrong(f"the policy {'has' if has else 'lacks'} a rule for {' '.join(rule)}")


def _check_labels(machine: Machine) -> None:
    said = machine.run(["matchpathcon", "-f", _CONTEXTS, *_LABELS]).stdout
    labels = {line.split()[0]: line.split()[1].split(":")[2] for line in said.splitlines()}
    if labels != _LABELS:
        raise Wrong(f"the labels are {labels}")
