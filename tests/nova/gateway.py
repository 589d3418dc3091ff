# SPDX-License-Identifier: Apache-2.0
"""What nova-compute does with a guest, by Nova's own classes. Run as a program: libvirt's URI, then files with domains.

Each is defined and launched, in place of the one before, as at a hard reboot.
"""

from __future__ import annotations

import os
import sys

from nova.cmd import compute  # noqa: F401  first of Nova's: it says how threads are made

from nova import config  # isort: skip
from nova.virt.libvirt import guest as guests  # isort: skip
from nova.virt.libvirt import host as hosts  # isort: skip


def main(uri: str, *domains: str) -> None:
    """Do it, and print each guest's machine type as Nova sees it."""
    config.parse_args(["nova-compute"], default_config_files=[])
    host = hosts.Host(uri, lifecycle_event_handler=lambda event: None)
    host.initialize()
    guest = None
    for domain in domains:
        if guest is not None:
            guest.poweroff()
            guest.delete_configuration()
        with open(domain) as file:
            guest = guests.Guest.create(file.read(), host)
        guest.launch()
        print(guest.get_config().os_mach_type, flush=True)
    print([one.name for one in host.list_guests()], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # Nova's threads never end
