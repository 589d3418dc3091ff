# SPDX-License-Identifier: Apache-2.0
"""What is the same in every run: databases as the services' own tools make them, the catalog of services, keys.

With them an empty environment of Python's, for mthook.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.cloud import configuration, root
from tests.cloud.api import Api
from tests.cloud.configuration import KEYSTONE, MTHOOK, PASSWORD, cell
from tests.cloud.controller import (
    configure,
    make_run_directories,
    start_keystone,
    start_mariadb,
    start_rabbitmq,
)
from tests.lab import roots
from tests.lab.machine import Machine
from tests.lab.processes import ENVIRONMENT

#: The databases, each with its owner.
DATABASES = {
    **{name: name for name in ("keystone", "glance", "placement", "neutron", "nova")},
    **{"nova_api": "nova", "nova_cell0": "nova"},
}
_SERVICES = {
    "glance": ("image", configuration.GLANCE),
    "placement": ("placement", configuration.PLACEMENT),
    "neutron": ("network", configuration.NEUTRON),
    "nova": ("compute", configuration.NOVA),
}
_DOCS = Path(__file__).parents[2] / "docs"
_ML2 = "/etc/neutron/plugins/ml2/ml2_conf.ini"
_KEYS = "--keystone-user keystone --keystone-group keystone"
#: Each service's user and command.
_MANAGE = [
    ("keystone", "keystone-manage db_sync"),
    ("keystone", f"keystone-manage fernet_setup {_KEYS}"),
    ("keystone", f"keystone-manage credential_setup {_KEYS}"),
    (
        "keystone",
        f"keystone-manage bootstrap --bootstrap-password {PASSWORD} --bootstrap-region-id RegionOne "
        + " ".join(
            f"--bootstrap-{face}-url {KEYSTONE}" for face in ("admin", "internal", "public")
        ),
    ),
    ("glance", "glance-manage db_sync"),
    ("placement", "placement-manage db sync"),
    (
        "neutron",
        f"neutron-db-manage --config-file /etc/neutron/neutron.conf --config-file {_ML2} upgrade heads",
    ),
    ("nova", "nova-manage api_db sync"),
    (
        "nova",
        f"nova-manage cell_v2 map_cell0 --database_connection {cell('nova_cell0')}",
    ),
    ("nova", f"nova-manage cell_v2 create_cell --name cell1 --database_connection {cell('nova')}"),
    ("nova", "nova-manage db sync"),
]
_RABBIT = {**ENVIRONMENT, "HOME": "/var/lib/rabbitmq"}
# Hosts copy disks to each other as Nova's user.
_SSH = """\
set -e
usermod --shell /bin/sh --password '*' nova
install -d -o nova -g nova -m 0700 /var/lib/nova/.ssh
cd /var/lib/nova/.ssh
ssh-keygen -q -t ed25519 -N '' -f id_ed25519
cp id_ed25519.pub authorized_keys
printf 'StrictHostKeyChecking no\\nUserKnownHostsFile /dev/null\\nLogLevel ERROR\\n' >config
chown nova: *
"""


def layers() -> list[Path]:
    """Return the directories that are a machine's root together; make them unless they are there."""
    packages = root.packages()
    recipe = [packages.name, _SSH, _grants(), *map(repr, (DATABASES, _SERVICES, _MANAGE))]

    def make(directory: Path) -> None:
        print("Preparing the databases, once: about three minutes.", flush=True)
        machine = Machine("controller", [packages], changes=directory)
        try:
            prepare(machine)
        finally:
            machine.close()

    return [roots.kept("prepared", recipe, make), packages]


def prepare(machine: Machine) -> None:
    """Configure a controller that has only the packages, and make the databases."""
    configure(machine)
    machine.run(["sh", "-c", _SSH])
    machine.run(["python3", "-m", "venv", "--system-site-packages", "/opt/mthook"])
    machine.run(["install", "-d", "-o", "glance", "-g", "glance", "/var/lib/glance/images"])
    make_run_directories(machine)
    start_mariadb(machine)
    machine.run(["mariadb"], input=_databases())
    start_rabbitmq(machine)
    rabbit = f"add_user openstack {PASSWORD}", "set_permissions openstack .* .* .*"
    for command in rabbit:
        machine.run(["rabbitmqctl", *command.split()], user="rabbitmq", env=_RABBIT)
    for user, command in _MANAGE:
        machine.run(shlex.split(command), user=user)
    machine.run(["mariadb"], input=_grants())
    start_keystone(machine)
    _register(Api())
    for daemon in ("keystone", "rabbitmq", "mariadb"):
        machine.stop(daemon)
    machine.run(["sh", "-c", "rm -rf /tmp/* /var/log/*/*"])


def _databases() -> str:
    owners = sorted(set(DATABASES.values()))
    users = [f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}';" for user in owners]
    return "\n".join(
        [
            *users,
            *(f"CREATE DATABASE {name} CHARACTER SET utf8mb3;" for name in DATABASES),
            *(f"GRANT ALL ON {name}.* TO '{user}'@'%';" for name, user in DATABASES.items()),
        ]
    )


def _grants() -> str:
    """Return what gives mthook's users the rights that the documentation asks for, and no others."""
    lines = []
    for name, user in MTHOOK.items():
        text = (_DOCS / f"grants-{name}.sql").read_text()
        lines += [f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}';", text]
    return "\n".join(lines).replace("nova_cell1.", "nova.")


def _register(api: Api) -> None:
    """Tell keystone about the other services, and their users."""
    project = api.keystone("POST", "/projects", {"project": {"name": "service"}})["project"]["id"]
    roles = {role["name"]: role["id"] for role in api.keystone("GET", "/roles")["roles"]}
    service = api.keystone("POST", "/roles", {"role": {"name": "service"}})["role"]["id"]
    for name, (kind, url) in _SERVICES.items():
        user = {"name": name, "password": PASSWORD, "domain_id": "default"}
        uuid = api.keystone("POST", "/users", {"user": user})["user"]["id"]
        for role in (roles["admin"], service):
            api.keystone("PUT", f"/projects/{project}/users/{uuid}/roles/{role}")
        about = {"name": name, "type": kind}
        identity = api.keystone("POST", "/services", {"service": about})["service"]["id"]
        for face in ("public", "internal", "admin"):
            endpoint = {"service_id": identity, "interface": face, "url": url}
            api.keystone("POST", "/endpoints", {"endpoint": {**endpoint, "region_id": "RegionOne"}})
