# SPDX-License-Identifier: Apache-2.0
"""The root of the cloud's machines: Debian with its own OpenStack packages, kept from run to run."""

from __future__ import annotations

from pathlib import Path

from tests.lab import roots

SUITE = "bookworm"
DOWNLOAD = "about 330 MB"
SPACE = "2 GB"

_FIRST = ["ca-certificates", "dbconfig-no-thanks", "iproute2", "procps", "python3"]
PACKAGES = [
    *("rabbitmq-server", "mariadb-server", "mariadb-client", "memcached"),
    *("keystone", "glance-api", "placement-api", "neutron-server", "neutron-plugin-ml2"),
    *("nova-api", "nova-conductor", "nova-scheduler", "nova-compute", "nova-compute-kvm"),
    *("uwsgi-core", "uwsgi-plugin-python3", "python3-memcache", "python3-pymysql"),
    *("libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients", "python3-libvirt"),
    *("openssh-server", "openssh-client"),
    # What mthook needs.
    *("python3-venv", "python3-cliff", "python3-lxml"),
    *("python3-oslo.config", "python3-oslo.upgradecheck", "python3-sqlalchemy", "python3-tqdm"),
]


def packages() -> Path:
    """Return the root with all packages; make it unless there is one."""
    return roots.debian(
        "packages",
        SUITE,
        [_FIRST, PACKAGES],
        f"Making Debian {SUITE} with its OpenStack in {roots.cache()}, once: downloads {DOWNLOAD}, takes {SPACE} of "
        "disk and about ten minutes. Nothing is installed on this machine.",
    )
