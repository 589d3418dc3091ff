# SPDX-License-Identifier: Apache-2.0
"""What the pipeline is asked to make of a domain."""

from __future__ import annotations


class Target:
    """What a domain shall become.

    :ivar machine: its machine type.
    :ivar instance: its UUID, None to leave no pin in its metadata.
    :ivar since: since when the pin holds, as :func:`mthook.text.now` writes it; None when that
        isn't known.
    """

    __slots__ = ("instance", "machine", "since")

    def __init__(self, machine: str, instance: str | None = None, since: str | None = None) -> None:
        self.machine = machine
        self.instance = instance
        self.since = since
