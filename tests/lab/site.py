# SPDX-License-Identifier: Apache-2.0
"""A lab host with mthook installed as an operator installs it."""

from __future__ import annotations

import json
import sys
from typing import Any, Optional

from tests.lab.guests import guest_xml
from tests.lab.host import Host
from tests.programs import ENFORCE

#: The guest that most tests are about.
UUID = "3f2c1d3e-0000-4000-8000-000000000001"
CATALOG = "/var/lib/mthook/catalog.sqlite"
CONFIG = "/etc/mthook/mthook.conf"

_EMPTY = "rm -rf /var/lib/mthook/* /etc/mthook/* /var/lib/libvirt/*.save && mkdir -p /etc/mthook"
# Both change with whatever is done to the hook.
_HOOK = "stat -c '%i %z' /etc/libvirt/hooks/qemu"
_KEEP = f"rm -rf /run/new; cp -a /var/lib/mthook /run/new && {_HOOK} >/run/hook"
# To install takes a second and a half; where nothing was done to the hook, the catalog alone needs to be new.
_RESTORE = f'[ "$({_HOOK})" = "$(cat /run/hook)" ] && {_EMPTY} && cp -a /run/new/. /var/lib/mthook'


class Site:
    """The host and what its catalog says."""

    def __init__(self, node: Host) -> None:
        self.node = node

    def install(self) -> None:
        """Sync once and install the hook."""
        self.configure("")
        self.node.mthook("mthook-sync")
        self.node.mthook("mthook-admin", "hook", "install")

    def configure(self, text: str) -> None:
        """Write the configuration, in mode enforce unless it says otherwise; the hook notices by itself."""
        self.node.path(CONFIG).write_text(f"{ENFORCE}{text}")

    def ask(self, expression: str) -> Any:
        """Evaluate an expression about ``catalog`` on the host: SQLite can't follow a path that leads into it."""
        code = (
            "import json; from mthook.catalog.store import Catalog\n"
            f"with Catalog.open({CATALOG!r}, create=False) as catalog:\n"
            f"    print(json.dumps({expression}, default=vars))"
        )
        return json.loads(self.node.run([sys.executable, "-c", code]).stdout)

    def row(self, uuid: str = UUID) -> dict[str, Optional[str]]:
        """A guest's row among the pins."""
        row: dict[str, Optional[str]] = self.ask(f"catalog.get_pin({uuid!r})")
        return row

    def pin(self, uuid: str = UUID) -> Optional[str]:
        """A guest's pin, None without one."""
        return (self.row(uuid) or {}).get("machine")

    def set_pin(self, machine: str) -> None:
        """Pin the guest, and leave its definition alone."""
        self.ask(f"catalog.set_pin({UUID!r}, {machine!r}, source='operator', actor='test')")

    def events(self, uuid: str = UUID) -> list[list[Optional[str]]]:
        """What a guest's history says."""
        events: list[list[Optional[str]]] = self.ask(
            f"[(e.event, e.old, e.new) for e in catalog.history({uuid!r})]"
        )
        return events

    def redefine(self, machine: str, name: str = "web-1", uuid: str = UUID, **more: str) -> None:
        """Change a definition behind mthook's back."""
        self.node.define(guest_xml(name, uuid, machine, **more))

    def start(self, name: str = "web-1") -> str:
        """Try to start a guest; return libvirt's error, '' without one."""
        return self.node.virsh("start", "--domain", name, check=False).stderr


def fresh(host: Host) -> Site:
    """A host without guests and with mthook new on it."""
    host.remove_guests()
    if not host.daemon.running:
        host.daemon.start()
    site = Site(host)
    if host.run(["sh", "-c", _RESTORE], check=False).returncode == 0:
        site.configure("")
    else:
        host.run(["sh", "-c", _EMPTY])
        site.install()
        host.run(["sh", "-c", _KEEP])
    return site
