# SPDX-License-Identifier: Apache-2.0
"""``mthook-admin``: ask for and change the machine types that guests are held to."""

import functools

from mthook.tools import program

main = functools.partial(program.run, "mthook-admin", "mthook.tools.admin.application")
