# SPDX-License-Identifier: Apache-2.0
"""``mthook-status metrics``."""

from __future__ import annotations

from mthook.tools import status
from tests.programs import WAY_OUT
from tests.unit.test_prometheus import promtool

from .conftest import OLD, UNREACHABLE, WEB, Desk, Said


def metrics(desk: Desk, *argv: str) -> Said:
    """Run ``mthook-status metrics``."""
    desk._capsys.readouterr()
    argv = ("--config-file", str(desk.config), "--hooks-dir", str(desk.hooks), "metrics", *argv)
    return Said(int(status.main(argv)), *desk._capsys.readouterr())


def test_the_figures_are_printed(desk: Desk) -> None:
    """As Prometheus reads them; the hook that is looked at is the one of --hooks-dir."""
    desk.pin(WEB, OLD)

    said = metrics(desk)

    assert (said.code, said.err) == (0, "")
    assert promtool("check", "metrics", text=said.out).returncode == 0
    assert "\nmthook_guard_proven 1.0\n" in said.out
    assert '\nmthook_pins_ending{qemu="12.2"} 1.0\n' in said.out


def test_they_are_printed_while_libvirt_cant_be_reached(desk: Desk) -> None:
    """Just then somebody wants them."""
    desk.configure(uri=UNREACHABLE)

    said = metrics(desk)

    assert (said.code, said.err) == (0, "")
    assert "\nmthook_guests" not in said.out
    assert "\nmthook_unpinned_guests 0.0\n" in said.out


def test_they_are_written_where_sync_writes_them(desk: Desk) -> None:
    """Nothing is printed then."""
    path = desk.config.with_name("mthook.prom")
    desk.configure(f"[metrics]\ntextfile = {path}\n")

    assert metrics(desk, "--textfile") == (0, "", "")
    assert path.read_text() == metrics(desk).out


def test_without_the_option_there_is_no_file_to_write(desk: Desk) -> None:
    """The message names it."""
    assert metrics(desk, "--textfile") == (
        255,
        "",
        "mthook-status: --textfile needs [metrics] textfile\n",
    )


def test_a_file_that_cant_be_written_is_one_line(desk: Desk) -> None:
    """With the way out."""
    desk.configure(f"[metrics]\ntextfile = {desk.gate}/missing/mthook.prom\n")

    code, out, err = metrics(desk, "--textfile")

    assert (code, out, len(err.splitlines())) == (255, "", 1)
    assert f"make the directory {desk.gate}/missing, or correct the option" in err


def test_without_a_catalog_it_is_named(desk: Desk) -> None:
    """Nothing is made, nothing is made up."""
    desk.config.parent.chmod(0o700)  # older ones of pytest let others look
    desk.path = str(desk.config.with_name("none.sqlite"))
    desk.configure()

    code, out, err = metrics(desk)

    assert (code, out, len(err.splitlines())) == (255, "", 1)
    assert f"mthook-status: no catalog: {desk.path} does not exist: {WAY_OUT}" in err
