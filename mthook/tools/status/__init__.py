# SPDX-License-Identifier: Apache-2.0
"""``mthook-status``: may this host's default machine type be changed? As ``nova-status`` asks for an upgrade."""

import functools

from mthook.tools import program

main = functools.partial(program.run, "mthook-status", "mthook.tools.status.command", failure=255)
