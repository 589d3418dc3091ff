# SPDX-License-Identifier: Apache-2.0
"""All checks in their order."""

from __future__ import annotations

from collections.abc import Iterator

from mthook.errors import Error
from mthook.operations.readiness import clouds, coming, installed, pins, recorded, stopped
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Result, unavailable

#: By stable names, for programs read them.
CHECKS = {
    "machine_types_recorded": recorded.check_recorded,
    "hook": installed.check_hook,
    "last_sync": installed.check_last_sync,
    "drift": pins.check_drift,
    "pins_supported": pins.check_supported,
    "next_qemu": coming.check,
    "definitions_and_saved_state": pins.check_definitions,
    "machine_types_in_snapshots": recorded.check_inherited,
    "stopped_starts": stopped.check,
    "request_specs": clouds.check_request_specs,
    "default_machine_types": clouds.check_defaults,
}
#: Those that need no catalog, libvirt or hook.
_OF_CLOUD = (
    "machine_types_recorded",
    "machine_types_in_snapshots",
    "request_specs",
    "default_machine_types",
)


def run(context: Context) -> Iterator[Result]:
    """Yield what each check finds; what one needs and can't have makes it a failure."""
    for name in _OF_CLOUD if context.cloud else CHECKS:
        try:
            findings = CHECKS[name](context)
        except (Error, OSError) as error:
            findings = [unavailable(error)]
        yield Result(name, findings)
