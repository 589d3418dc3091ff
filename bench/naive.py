# SPDX-License-Identifier: Apache-2.0
"""A hook as one would write it at first, for comparison: lxml, oslo.config and SQLAlchemy at every call.

It answers ``prepare`` of a satisfied pin like mthook's hook: configuration from its file, domain
through lxml, pin through SQLAlchemy.
"""

from __future__ import annotations

import sys

import sqlalchemy as sa
from lxml import etree

from mthook import conf


def main(config: str) -> int:
    """Return 0 when the domain on standard input has the machine type that it is pinned to."""
    options = conf.load([config])
    domain = etree.fromstring(sys.stdin.buffer.read())
    with sa.create_engine(f"sqlite:///{options.catalog.path}").connect() as connection:
        pins = sa.table("pins", sa.column("uuid"), sa.column("machine"))
        query = sa.select(pins.c.machine).where(pins.c.uuid == domain.findtext("uuid"))
        machine = connection.execute(query).scalar()
    return 0 if machine == domain.find("os/type").get("machine") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
