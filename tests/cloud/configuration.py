# SPDX-License-Identifier: Apache-2.0
"""The configuration of every service of the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

#: The password of everybody everywhere.
PASSWORD = "secret"
CONTROLLER = "127.0.0.1"
#: The compute hosts and their addresses.
HOSTS = {"alpha": "127.0.0.11", "beta": "127.0.0.12"}
#: mthook's users of the databases, by the file in docs/ that has their rights.
MTHOOK = {"compute": "mthook", "admin": "mthook_admin"}

KEYSTONE = f"http://{CONTROLLER}:5000/v3"
GLANCE = f"http://{CONTROLLER}:9292"
PLACEMENT = f"http://{CONTROLLER}:8778"
NEUTRON = f"http://{CONTROLLER}:9696"
NOVA = f"http://{CONTROLLER}:8774/v2.1"

Options = Mapping[str, object]
Sections = Mapping[str, Options]

_RABBIT = {"transport_url": f"rabbit://openstack:{PASSWORD}@{CONTROLLER}:5672/"}


def database(name: str, user: str = "") -> str:
    """Return the URL of a database."""
    return f"mysql+pymysql://{user or name}:{PASSWORD}@{CONTROLLER}/{name}"


def cell(name: str) -> str:
    """Return the URL of a cell's database: whoever takes it from the API database comes by their own name."""
    return f"mysql+pymysql://{{username}}:{{password}}@{CONTROLLER}/{name}"


def ini(sections: Sections) -> str:
    """Return sections as the text of a configuration file."""
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in options.items()), ""])
        for name, options in sections.items()
    )


def files() -> dict[str, str]:
    """Return the configuration files of the controller, by path."""
    return {
        "/etc/hosts": "\n".join(
            ["127.0.0.1 localhost controller", *(f"{ip} {name}" for name, ip in HOSTS.items()), ""]
        ),
        "/etc/mysql/mariadb.conf.d/99-cloud.cnf": ini({"mariadbd": _MARIADB}),
        "/etc/rabbitmq/rabbitmq-env.conf": _RABBITMQ,
        "/etc/keystone/keystone.conf": ini(_KEYSTONE),
        "/etc/glance/glance-api.conf": ini(_GLANCE),
        "/etc/placement/placement.conf": ini(_PLACEMENT),
        "/etc/neutron/neutron.conf": ini(_NEUTRON),
        "/etc/neutron/plugins/ml2/ml2_conf.ini": ini(_ML2),
        "/etc/nova/nova.conf": ini(_NOVA_CONTROLLER),
    }


def compute(
    host: str, *, machine_type: Optional[str] = None, connection_uri: Optional[str] = None
) -> str:
    """Return a compute host's nova.conf.

    :param machine_type: ``[libvirt] hw_machine_type``.
    :param connection_uri: likewise.
    """
    asked = {"hw_machine_type": machine_type, "connection_uri": connection_uri}
    given = {name: value for name, value in asked.items() if value}
    ip = HOSTS[host]
    sections = dict(_NOVA)
    sections["DEFAULT"] = {**_NOVA["DEFAULT"], "host": host, "my_ip": ip}
    sections["libvirt"] = {**_LIBVIRT, "live_migration_inbound_addr": ip, **given}
    return ini(sections)


def mthook(*, machine_type: Optional[str], with_database: bool) -> str:
    """Return a compute host's mthook.conf."""
    sections: dict[str, Options] = {"hook": {"mode": "enforce"}}
    if machine_type:
        sections["libvirt"] = {"hw_machine_type": machine_type}
    if with_database:
        sections["database"] = {"connection": database("nova", MTHOOK["compute"])}
    return ini(sections)


def mthook_controller(*, machine_type: Optional[str]) -> str:
    """Return the controller's mthook.conf, for its run for the whole cloud."""
    user = MTHOOK["admin"]
    sections: dict[str, Options] = {
        "database": {"connection": database("nova", user)},
        "api_database": {"connection": database("nova_api", user)},
        "glance": _auth("glance"),
    }
    if machine_type:
        sections["libvirt"] = {"hw_machine_type": machine_type}
    return ini(sections)


def libvirt(host: str) -> dict[str, str]:
    """Return a compute host's configuration files of libvirt, by path."""
    number = list(HOSTS).index(host)
    first = 49152 + 100 * number
    return {
        "/etc/libvirt/libvirtd.conf": _LIBVIRTD.format(number=number, ip=HOSTS[host]),
        "/etc/libvirt/qemu.conf": _QEMU.format(first=first, last=first + 99, ip=HOSTS[host]),
    }


def _auth(user: str) -> Options:
    return {
        "www_authenticate_uri": KEYSTONE,
        "auth_url": KEYSTONE,
        "auth_type": "password",
        "memcached_servers": f"{CONTROLLER}:11211",
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "project_name": "service",
        "region_name": "RegionOne",
        "username": user,
        "password": PASSWORD,
    }


_MARIADB = {
    "bind-address": CONTROLLER,
    "skip-name-resolve": "ON",
    "skip-log-bin": "ON",
    "max-connections": 500,
    "innodb-buffer-pool-size": "256M",
    "innodb-log-file-size": "32M",
    "innodb-flush-log-at-trx-commit": 0,
    "innodb-doublewrite": 0,
}

_RABBITMQ = """\
NODENAME=rabbit@localhost
NODE_IP_ADDRESS=127.0.0.1
SERVER_START_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +S 2:2"
export ERL_EPMD_ADDRESS=127.0.0.1
"""

_KEYSTONE: Sections = {
    "DEFAULT": {},
    "database": {"connection": database("keystone")},
    "token": {"provider": "fernet", "expiration": 86400},
    "cache": {
        "enabled": True,
        "backend": "dogpile.cache.memcached",
        "memcache_servers": f"{CONTROLLER}:11211",
    },
}
_GLANCE: Sections = {
    "DEFAULT": {
        **_RABBIT,
        "bind_host": CONTROLLER,
        "workers": 1,
        "enabled_backends": "files:file",
    },
    "database": {"connection": database("glance")},
    "glance_store": {"default_backend": "files"},
    "files": {"filesystem_store_datadir": "/var/lib/glance/images"},
    "keystone_authtoken": _auth("glance"),
    "paste_deploy": {"flavor": "keystone"},
}
_PLACEMENT: Sections = {
    "DEFAULT": {},
    "api": {"auth_strategy": "keystone"},
    "placement_database": {"connection": database("placement")},
    "keystone_authtoken": _auth("placement"),
}
_NEUTRON: Sections = {
    "DEFAULT": {
        **_RABBIT,
        "bind_host": CONTROLLER,
        "core_plugin": "ml2",
        "service_plugins": "",
        "api_workers": 1,
        "rpc_workers": 0,
        "rpc_state_report_workers": 0,
        "notify_nova_on_port_status_changes": False,
        "notify_nova_on_port_data_changes": False,
        "state_path": "/var/lib/neutron",
    },
    "database": {"connection": database("neutron")},
    "keystone_authtoken": _auth("neutron"),
    "oslo_concurrency": {"lock_path": "/var/lib/neutron/tmp"},
}
_ML2: Sections = {
    # The vlan driver queries the database when it starts; without that, neutron's first query of ports fails.
    "ml2": {"type_drivers": "vlan,local", "tenant_network_types": "local", "mechanism_drivers": ""}
}

_NOVA: Sections = {
    "DEFAULT": {
        **_RABBIT,
        "state_path": "/var/lib/nova",
        "compute_driver": "libvirt.LibvirtDriver",
        "service_down_time": 30,
        "report_interval": 5,
        "shelved_offload_time": -1,
        "heal_instance_info_cache_interval": -1,
        "allow_resize_to_same_host": True,
        "reserved_host_memory_mb": 0,
        # Idle guests of one MiB.
        "ram_allocation_ratio": 4,
        "cpu_allocation_ratio": 100,
        "disk_allocation_ratio": 100,
    },
    "keystone_authtoken": _auth("nova"),
    "placement": _auth("placement"),
    "neutron": _auth("neutron"),
    "glance": {"endpoint_override": GLANCE},
    "vnc": {"enabled": False},
    "spice": {"enabled": False},
    "oslo_concurrency": {"lock_path": "/var/lib/nova/tmp"},
}
_NOVA_CONTROLLER: Sections = {
    **_NOVA,
    "DEFAULT": {
        **_NOVA["DEFAULT"],
        "my_ip": CONTROLLER,
        "enabled_apis": "osapi_compute",
    },
    "api": {"auth_strategy": "keystone"},
    "api_database": {"connection": database("nova_api", "nova")},
    "database": {"connection": database("nova")},
    "conductor": {"workers": 2},
    "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 5},
    "filter_scheduler": {
        # The last one lets a flavor name the host.
        "enabled_filters": "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,"
        "AggregateInstanceExtraSpecsFilter"
    },
}
_LIBVIRT: Options = {
    # Where this machine is a guest itself, KVM takes thirty times as long to boot one of a MiB.
    "virt_type": "qemu",
    "cpu_mode": "none",
    "num_pcie_ports": 0,
    "inject_partition": -2,
    "wait_soft_reboot_seconds": 20,
    "live_migration_uri": "qemu+tcp://%s/system",
    "live_migration_scheme": "tcp",
}

_LIBVIRTD = """\
host_uuid = "6d74686f-0000-4000-8000-{number:012}"
listen_tls = 0
listen_tcp = 1
listen_addr = "{ip}"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
max_clients = 200
max_workers = 40
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
_QEMU = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
migration_address = "{ip}"
migration_port_min = {first}
migration_port_max = {last}
"""
