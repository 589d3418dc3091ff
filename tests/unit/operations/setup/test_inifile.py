# SPDX-License-Identifier: Apache-2.0
"""A configuration file is changed in the one place that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from mthook.operations.setup import inifile

TEXT = """\
# of the operator
[DEFAULT]
host = alpha
#[hook]
[hook]
# mode = off
mode: audit
on-error = allow
on_error = deny
  and more
timeout=5
[libvirt]
connection_uri = "qemu:///system"
"""


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("DEFAULT", "host", "alpha"),
        ("hook", "mode", "audit"),
        ("hook", "on_error", "deny\nand more"),
        ("hook", "timeout", "5"),
        ("libvirt", "connection_uri", "qemu:///system"),
        ("hook", "host", None),
        ("sync", "realign", None),
    ],
)
def test_a_value_is_read_as_oslo_config_reads_it(
    group: str, name: str, value: str | None, tmp_path: Path
) -> None:
    """The last one, whichever way its name is written."""
    file = tmp_path / "x.conf"
    file.write_text(TEXT)
    groups: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(str(file), groups).parse()
    found = {key.replace("-", "_"): values for key, values in groups.get(group, {}).items()}

    assert inifile.get(TEXT, group, name) == value
    assert found.get(name, [None])[-1] == value


@pytest.mark.parametrize(
    ("group", "name", "old", "new"),
    [
        ("hook", "mode", "mode: audit\n", "mode = X\n"),
        ("hook", "on_error", "on-error = allow\non_error = deny\n  and more\n", "on_error = X\n"),
        ("hook", "new", "[hook]\n# mode = off", "[hook]\nnew = X\n# mode = off"),
    ],
)
def test_a_value_is_put_and_the_rest_stays(group: str, name: str, old: str, new: str) -> None:
    """Comments, order, other groups."""
    assert inifile.put(TEXT, group, name, "X") == TEXT[: TEXT.index("[hook]\n# mode")] + TEXT[
        TEXT.index("[hook]\n# mode") :
    ].replace(old, new)


def test_a_group_that_isnt_there_comes_last() -> None:
    """After an empty line; of an empty file it is the beginning."""
    assert inifile.put(TEXT, "sync", "realign", "false") == f"{TEXT}\n[sync]\nrealign = false\n"
    assert inifile.put("", "sync", "realign", "no", "why") == "[sync]\n# why\nrealign = no\n"


def test_what_was_added_can_be_dropped() -> None:
    """To the byte."""
    assert inifile.drop(inifile.put(TEXT, "hook", "new", "X"), "hook", "new") == TEXT
    assert inifile.get(inifile.drop(TEXT, "hook", "on_error"), "hook", "on_error") is None
