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


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 guests"), (1, "1 guest"), (2, "2 guests"), (12345, "12,345 guests")]
)
def test_a_number_comes_with_what_it_counts(number: int, said: str) -> None:
    """In messages as in the report."""
    assert text.counted(number, "guest") == said
