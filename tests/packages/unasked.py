# SPDX-License-Identifier: Apache-2.0
"""What a real systemd does by itself: a sync by the clock, a push when the hook asks for it."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from mthook.nova import tables
from mthook.nova.instance import MACHINE_KEY
from tests.lab import Q35, MariaDB, guest_xml
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import wait_until
from tests.packages import services

_TIMER = "mthook-sync.timer"
#: The package's own unit, with all its lines, but faster.
_FASTER = (
    f"sed 's/5min/2s/; s/30s/0s/' /usr/lib/systemd/system/{_TIMER} >/etc/systemd/system/{_TIMER}"
)
_ANEW = f"systemctl daemon-reload && systemctl restart {_TIMER}"
_UUID = "3f2c1d3e-0000-4000-8000-0000000000b0"
_NOVA = '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"/>'


def sync(host: Hypervisor) -> None:
    """The timer runs mthook-sync again and again, each time some time after the last run."""
    host.run(["sh", "-c", f"{_FASTER} && {_ANEW}"])
    for _ in range(2):
        before = _synced(host)
        wait_until("the timer runs nothing", lambda: _synced(host) != before, lambda: _log(host))  # noqa: B023
    host.run(["sh", "-c", f"rm /etc/systemd/system/{_TIMER} && {_ANEW}"])


def _synced(host: Hypervisor) -> str:
    (finding,) = services.findings(host, "last_sync")
    return str(finding["facts"]["ended_at"])


def _log(host: Hypervisor) -> str:
    return host.run(["systemctl", "status", _TIMER, "mthook-sync.service"], check=False).stdout


def push(host: Hypervisor) -> None:
    """The first start of one of Nova's guests is written to Nova's database within seconds, without any sync."""
    path = host.path(services.CONFIG)
    config = path.read_text()
    with MariaDB() as mariadb:
        mariadb.create("nova")
        url = mariadb.url("nova")
        services.record(url, host)
        path.write_text(f"{config}\n[database]\nconnection = {url}\n")
        host.run(["mthook-admin", "setup", "--yes", "--no-gate"])
        _add(url, host.run(["uname", "-n"]).stdout.strip())
        host.path("/root/guest.xml").write_text(guest_xml("new", _UUID, Q35, metadata=_NOVA))
        host.virsh("define", "/root/guest.xml")
        host.virsh("start", "new")
        said = lambda: host.run(["journalctl", "-n", "40"]).stdout  # noqa: E731
        wait_until("the pin isn't pushed", lambda: _recorded(url) == [Q35], said)
    host.virsh("destroy", "new")
    host.virsh("undefine", "new")
    path.write_text(config)


def _add(url: str, host: str) -> None:
    """Give Nova an instance for which it has no machine type."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    instance = {"uuid": _UUID, "display_name": "new", "host": host, "node": host, "deleted": 0}
    instance.update(vm_state="active", task_state=None, updated_at=now, image_ref="")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(tables.INSTANCES.insert(), instance)
    engine.dispose()


def _recorded(url: str) -> list[str]:
    columns = tables.PROPERTIES.c
    wanted = (columns.instance_uuid == _UUID) & (columns.key == MACHINE_KEY)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = [row[0] for row in connection.execute(sa.select(columns.value).where(wanted))]
    engine.dispose()
    return found
