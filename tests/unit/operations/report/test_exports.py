# SPDX-License-Identifier: Apache-2.0
"""A directory of exports, as other hosts made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mthook.errors import Error
from mthook.operations.report import exports
from mthook.operations.report.aggregates import Aggregates, together

from .fleet import ASKED, HOSTILE, OLD, RAN, alone, drifter, host, machine

FIGURES = alone(
    host(HOSTILE, unstartable=None, ran_at=None, qemu_version=None),
    *(machine(OLD, 3), machine("", 1)),
    drift={"running": 1, "defined": 0, "nova": 0, "stopped": 0},
    drifters=[drifter(1), replace(drifter(2, "stopped"), pin="")],
)
PIN = '{"format": "mthook-pin-1"}'


def write(directory: Path, name: str, figures: Aggregates) -> str:
    """Write an export, and return its path."""
    file = directory / name
    file.write_text(f"{exports.to_line(figures)}\n{PIN}\n")
    return str(file)


def drawn(**more: object) -> Aggregates:
    """Return a host whose kinds of drift are all there, as every export has them."""
    drift = dict.fromkeys(("running", "defined", "nova", "stopped"), 0)
    return alone(host(**more), drift=drift)  # type: ignore[arg-type]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Whatever a host or a guest is called; pins are left to imports."""
    path = write(tmp_path, "alpha", FIGURES)

    (one,) = exports.read(str(tmp_path))

    assert (one.path, one.problem) == (path, "")
    assert one.figures is not None
    assert together([one.figures]) == together([FIGURES])


def test_of_two_exports_of_a_host_the_later_counts(tmp_path: Path) -> None:
    """And the other is named."""
    write(tmp_path, "a", drawn(as_of=RAN))
    later = write(tmp_path, "b", drawn(as_of=ASKED))

    old, new = exports.read(str(tmp_path))

    assert (old.figures, old.problem) == (None, f"{later} has later figures of that host")
    assert new.host == host(as_of=ASKED)


def _set(where: str, key: str, value: object) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        (content[where][0] if where in ("hosts", "machines", "drifters") else content[where])[
            key
        ] = value

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set("hosts", "guests", "5"), "guests is 5"),
        (_set("hosts", "guests", True), "guests is True"),
        (_set("hosts", "guests", -1), "guests is -1"),
        (_set("hosts", "guests", 10**400), "guests is 1000"),
        (_set("hosts", "name", None), "name is None"),
        (_set("hosts", "name", "\ud800"), "surrogates not allowed"),
        (_set("hosts", "mode", "on"), "mode is on"),
        (_set("hosts", "proven", 1), "proven is 1"),
        (_set("hosts", "as_of", "9999-01-01T00:00:00.000000Z"), "as_of is 9999-01-01"),
        (_set("hosts", "ran_at", "lately"), "ran_at is lately, which is no time"),
        (_set("machines", "name", "<b>"), "characters that no machine type's name has"),
        (_set("drifters", "pin", "x y"), "characters that no machine type's name has"),
        (_set("drifters", "where", "nowhere"), "where is nowhere"),
        (_set("drift", "nova", None), "nova is None"),
        (lambda content: content["hosts"].clear(), "not enough values"),
        (lambda content: content.pop("machines"), "machines is missing"),
        (lambda content: content["hosts"][0].pop("mode"), "mode is missing"),
        (lambda content: content.update(machines=[1]), "not subscriptable"),
        (lambda content: content.update(format="mthook-host-2"), "doesn't begin with the figures"),
    ],
)
def test_a_line_that_is_something_else_is_refused(
    tmp_path: Path, change: Callable[[Any], None], problem: str
) -> None:
    """With what is wrong about it; it may come from anywhere."""
    content = json.loads(exports.to_line(FIGURES))
    change(content)
    (tmp_path / "alpha").write_text(json.dumps(content))

    (one,) = exports.read(str(tmp_path))

    assert one.figures is None
    assert problem in one.problem


@pytest.mark.parametrize("text", [b"", b"\n", PIN.encode(), b"\xff\xfe", b"[" * 100_000, b"[1]"])
def test_a_file_without_a_host_is_refused(tmp_path: Path, text: bytes) -> None:
    """Also one that export --host printed."""
    (tmp_path / "alpha").write_bytes(text)

    (one,) = exports.read(str(tmp_path))

    assert one.figures is None
    assert "begin with the figures of a host" in one.problem or "decode" in one.problem


def test_a_directory_that_is_absent_is_named(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(Error, match="absent: No such file or directory"):
        list(exports.read(f"{tmp_path}/absent"))
    with pytest.raises(Error, match="null"):
        list(exports.read("a\0b"))


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    """A directory beside the exports."""
    (tmp_path / "older").mkdir()
    write(tmp_path, "alpha", drawn())

    assert [one.host for one in exports.read(str(tmp_path))] == [host()]
