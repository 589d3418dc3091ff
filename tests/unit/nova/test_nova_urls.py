# SPDX-License-Identifier: Apache-2.0
"""Database URLs with something wrong in them: one line, and nothing of the password."""

from __future__ import annotations

import pytest

from mthook.errors import NovaError
from mthook.nova.cell import Cell
from mthook.nova.connection import parse_url

#: Nothing listens there.
_CLOSED = "127.0.0.1:1/nova"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql+pymysql://nova:g@eheim@{_CLOSED}", "more than one @: in a password it is written"),
        (
            f"mysql+pymysql://nova:x@ge/heim@{_CLOSED}",
            "more than one @: in a password it is written",
        ),
        (f"mysql+pymysql://nova:g€heim@{_CLOSED}", "user, password or host in letters that can't"),
        (f"mysql+pymysql://nova:geheim@{_CLOSED}?charset=x", "option that can't be used"),
        (f"mysql+pymysql://nova:geheim@{_CLOSED}?eheim=x", "unexpected keyword argument"),
        ("mysql+pymysql://nova:geheim@127.0.0.1:x/nova", "is no database URL"),
        ("", "is no database URL"),
        (f"postgresql://nova:geheim@{_CLOSED}", "MySQL and MariaDB only"),
        (f"mysql+pymysql://nova:geheim@{_CLOSED}", "Can't connect to MySQL server on '127.0.0.1'"),
    ],
)
def test_a_wrong_url_is_told_without_the_password(url: str, words: str) -> None:
    """Whatever of it SQLAlchemy takes for something else."""
    with pytest.raises(NovaError) as caught:
        Cell(parse_url(url, "[database] connection"), "Nova's database", 2).get("x")

    said = str(caught.value)
    assert words in said
    assert "\n" not in said
    assert "u20ac" not in said and "€" not in said
    assert "heim" not in said.replace("argument 'eheim'", "")
