# SPDX-License-Identifier: Apache-2.0
"""The connection to libvirt, and its errors in mthook's words."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import libvirt

from mthook.errors import HostError, NotFound
from mthook.text import printable


class Host:
    """One open connection to libvirt.

    :ivar uri: the connection URI it was opened with.
    :ivar connection: libvirt's own object; only the modules of this package use it.
    :ivar ports: how many PCIe root ports a guest gets when it becomes a q35; 0: libvirt decides.
    """

    def __init__(self, uri: str, connection: Any, ports: int = 0) -> None:
        self.uri = uri
        self.connection = connection
        self.ports = ports

    @property
    def version(self) -> int:
        """libvirt's version as it counts it: 9000000 is 9.0.0."""
        with libvirt_errors("libvirt doesn't tell its version"):
            return int(self.connection.getLibVersion())

    def is_alive(self) -> bool:
        """Tell whether the connection is still up: the daemon at the other end may have gone."""
        return bool(self.connection.isAlive())


#: What libvirt says to a client that lacks rights; its error codes for that also mean other errors.
_RIGHTS = re.compile("Permission denied|[Aa]uthentication|access denied")


@contextlib.contextmanager
def connect(uri: str, *, readonly: bool = False, ports: int = 0) -> Iterator[Host]:
    """Open a connection to libvirt and close it at the end.

    libvirt's habit of printing every error on standard error is switched off: each is raised, once.

    :param uri: as in ``qemu:///system``.
    :param readonly: ask for a connection that can neither change anything nor read passwords.
    :param ports: see :class:`Host`.
    :raises HostError: libvirt can't be reached there.
    """
    libvirt.registerErrorHandler(_say_nothing, None)
    libvirt.virEventRegisterDefaultImpl()  # for mthook.host.watching; libvirt wants it before a connection
    try:
        with libvirt_errors(f"libvirt at {printable(uri)} can't be reached"):
            connection = libvirt.openReadOnly(uri) if readonly else libvirt.open(uri)
    except HostError as error:
        if os.geteuid() != 0 and _RIGHTS.search(str(error)):
            raise HostError(f"{error}: run it as root") from error
        raise
    try:
        yield Host(uri, connection, ports)
    finally:
        # An error here means that the daemon is gone already: nothing is left to close.
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()


@contextlib.contextmanager
def libvirt_errors(failure: str) -> Iterator[None]:
    """Turn libvirt's errors into mthook's, in one line.

    :param failure: what it means when the call fails; libvirt's reason is added to it.
    :raises NotFound: there is no such domain, or no longer.
    :raises HostError: any other error.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        kind = NotFound if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN else HostError
        raise kind(f"{failure}: {printable(str(error), limit=500)}") from error


def _say_nothing(_context: object, _error: object) -> None:
    """Stand in for libvirt's own error handler, which prints."""
