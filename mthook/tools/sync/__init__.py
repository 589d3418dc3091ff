# SPDX-License-Identifier: Apache-2.0
"""``mthook-sync``: what the hook can't do while libvirtd waits for it; for cron or a systemd timer.

One run updates the settings of the hook, records what the host's emulators offer, gives
guests without a pin theirs, realigns definitions, repairs guests whose start was stopped, and
forgets those that are long gone.
"""

import functools

from mthook.tools import program

main = functools.partial(program.run, "mthook-sync", "mthook.tools.sync.command")
