# SPDX-License-Identifier: Apache-2.0
"""What messages are made of."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest

from mthook import text

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, FULL, "/var/lib/mthook/catalog.sqlite"), FULL),
        (ConnectionResetError("Connection lost"), "Connection lost"),  # as asyncio raises it
        (socket.timeout("timed out"), "timed out"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (asyncio.IncompleteReadError(b"", 4), "0 bytes read on a total of 4 expected bytes"),
    ],
)
def test_the_cause_of_an_error_is_words_alone(error: Exception, said: str) -> None:
    """Never a number, and never None where the system has given no words."""
    assert text.cause(error) == said
