# SPDX-License-Identifier: Apache-2.0
"""Notice that a domain was undefined while it is being redefined: libvirt would then define it anew.

libvirt can't be told to redefine only a domain that still exists, but it reports in order what happens to one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import libvirt

from mthook.errors import NotFound
from mthook.host.connection import Host, libvirt_errors

#: Seconds to wait for libvirt's word about a definition, which comes together with the answer to the call.
_PATIENCE = 2.0
_TICK_MS = 50

_UNDEFINED, _DEFINED = libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED


@contextlib.contextmanager
def still_there(host: Host, uuid: str) -> Iterator[None]:
    """Undefine a domain again after the block redefines it, if somebody undefined it meanwhile.

    :raises NotFound: somebody did.
    :raises HostError: libvirt is gone.
    """
    seen: list[int] = []
    with libvirt_errors(f"{uuid}: libvirt doesn't tell what happens to it"):
        domain = host.connection.lookupByUUIDString(uuid)
        watch = host.connection.domainEventRegisterAny(
            domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _note, seen
        )
    try:
        yield
        _wait_for_definition(seen)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            host.connection.domainEventDeregisterAny(watch)
    if _UNDEFINED in seen[: seen.index(_DEFINED) if _DEFINED in seen else None]:
        with libvirt_errors(f"{uuid}: undefined meanwhile, and libvirt doesn't undefine it again"):
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
        raise NotFound(f"{uuid}: undefined meanwhile")


def _note(_connection: object, _domain: object, event: int, _detail: int, seen: list[int]) -> None:
    seen.append(event)


def _wait_for_definition(seen: list[int]) -> None:
    if _DEFINED in seen:
        return
    deadline = time.monotonic() + _PATIENCE
    tick = libvirt.virEventAddTimeout(_TICK_MS, lambda *_: None, None)
    try:
        while _DEFINED not in seen and time.monotonic() < deadline:
            libvirt.virEventRunDefaultImpl()
    finally:
        libvirt.virEventRemoveTimeout(tick)
