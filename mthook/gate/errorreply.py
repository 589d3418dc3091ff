# SPDX-License-Identifier: Apache-2.0
"""Answers that libvirt clients take for errors from libvirtd (``virNetMessageError``)."""

from __future__ import annotations

from mthook.gate import framing, xdr

#: Numbers of libvirt's ``virterror.h``.
CONFIG_UNSUPPORTED = 67
INTERNAL_ERROR = 1
SYSTEM_ERROR = 38
FROM_QEMU = 10
FROM_RPC = 7
_LEVEL_ERROR = 2

_MAX_MESSAGE = 4000


def not_open(call: framing.Header) -> bytes:
    """Return libvirtd's answer to a client that it hasn't let in (``remoteGetHypervisorConn``)."""
    return reply(
        call,
        "hypervisor connection not open",
        code=INTERNAL_ERROR,
        domain=FROM_RPC,
        form="internal error: %s",
    )


def reply(
    call: framing.Header,
    message: str,
    *,
    code: int = CONFIG_UNSUPPORTED,
    domain: int = FROM_QEMU,
    number: int = -1,
    form: str = "%s",
) -> bytes:
    """Return the message that answers a call with an error.

    :param code: libvirt's number of the error.
    :param domain: libvirt's number of the part it comes from.
    :param number: what libvirt puts in ``int1``: for a system error its ``errno``.
    :param form: the format string that libvirt puts the message into.
    """
    text = message.encode("utf-8", "backslashreplace")[:_MAX_MESSAGE]
    payload = b"".join(
        (
            xdr.integer(code),
            xdr.integer(domain),
            xdr.optional_string(form.encode().replace(b"%s", text)),
            xdr.integer(_LEVEL_ERROR),
            xdr.uint(0),  # no domain
            xdr.optional_string(form.encode()),
            xdr.optional_string(text),
            xdr.optional_string(None),
            xdr.integer(number),
            xdr.integer(-1),
            xdr.uint(0),  # no network
        )
    )
    header = call._replace(
        length=framing.HEADER_SIZE + len(payload), kind=framing.REPLY, status=framing.ERROR
    )
    return header.pack() + payload
