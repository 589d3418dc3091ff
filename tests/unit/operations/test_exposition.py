# SPDX-License-Identifier: Apache-2.0
"""The file that node_exporter reads: whole, readable, and nothing beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mthook.errors import MetricsError
from mthook.operations import exposition
from mthook.operations.metrics import Metric, Sample

ROOT = Path(__file__).parents[3]
#: Writes to a full disk, then lets others read while it writes to one with room.
FULL = """
import json, os, subprocess, sys
from mthook.errors import MetricsError
from mthook.operations import exposition
from mthook.operations.metrics import Metric
directory = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory], check=True)
path = f"{directory}/mthook.prom"
metric = Metric("mthook_guest_info", "A guest", ("name",))
exposition.write(path, [(metric, [(("old",), 1)])])
old = open(path).read()
try:
    exposition.write(path, [(metric, [((f"{n:0100}",), 1) for n in range(10000)])])
except MetricsError as error:
    print(json.dumps([str(error), os.listdir(directory), open(path).read() == old]))
"""


def figures(number: int = 1) -> list[tuple[Metric, list[Sample]]]:
    """Return figures."""
    return [(Metric("mthook_info", "Versions", ("version",)), [((str(number),), number)])]


def test_it_is_what_prometheus_reads() -> None:
    """With its help and type; a counter keeps its name."""
    counter = Metric("mthook_stops_total", "Stops", kind="counter")

    assert exposition.render([*figures(), (counter, [((), 3)])]) == (
        "# HELP mthook_info Versions\n"
        "# TYPE mthook_info gauge\n"
        'mthook_info{version="1"} 1.0\n'
        "# HELP mthook_stops_total Stops\n"
        "# TYPE mthook_stops_total counter\n"
        "mthook_stops_total 3.0\n"
    )


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_everybody_may_read_it_and_only_its_owner_write(tmp_path: Path, umask: int) -> None:
    """Whatever the service's umask; a file that is there gets the same mode."""
    path = tmp_path / "mthook.prom"
    before = os.umask(umask)
    try:
        for number in range(2):
            exposition.write(str(path), figures(number))
            assert path.stat().st_mode & 0o7777 == 0o644
            path.chmod(0o600)
    finally:
        os.umask(before)

    assert os.listdir(tmp_path) == ["mthook.prom"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """The directory may be another user's."""
    (tmp_path / "shadow").write_text("secret")
    (tmp_path / "mthook.prom").symlink_to(tmp_path / "shadow")

    exposition.write(str(tmp_path / "mthook.prom"), figures())

    assert (tmp_path / "shadow").read_text() == "secret"
    assert not (tmp_path / "mthook.prom").is_symlink()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A real one; the message says which file, why, and what to do."""
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", FULL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == [
        f"[metrics] textfile: {tmp_path}/mthook.prom can't be written: No space left on device; make room and let"
        f" root write in {tmp_path}, under systemd with ReadWritePaths={tmp_path}",
        ["mthook.prom"],
        True,
    ]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """It isn't made: a slip of the pen would never be noticed."""
    path = tmp_path / "no\nde" / "mthook.prom"

    with pytest.raises(MetricsError) as caught:
        exposition.write(str(path), figures())

    assert str(caught.value) == (
        f"[metrics] textfile: {tmp_path}/no\\nde/mthook.prom can't be written: No such file or directory;"
        f" make the directory {tmp_path}/no\\nde, or correct the option"
    )
    assert os.listdir(tmp_path) == []


def test_a_directory_in_the_files_place_is_left(tmp_path: Path) -> None:
    """And nothing is left beside it."""
    (tmp_path / "mthook.prom").mkdir()

    with pytest.raises(MetricsError, match="can't be written: Is a directory; "):
        exposition.write(str(tmp_path / "mthook.prom"), figures())

    assert os.listdir(tmp_path) == ["mthook.prom"]


def test_without_prometheus_client_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an installation without dependencies."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(MetricsError, match=": install prometheus_client$"):
        exposition.render(figures())


def test_no_half_of_a_file_can_be_read(tmp_path: Path) -> None:
    """While it is written over and over."""
    path = tmp_path / "mthook.prom"
    metric = Metric("mthook_guest_info", "A guest", ("name",))
    exposition.write(str(path), [(metric, [(("0",), 1)])])
    program = (
        "import sys; from pathlib import Path\n"
        "print('ready', flush=True)\n"
        "while not Path(sys.argv[1] + '.end').exists():\n"
        "    text = Path(sys.argv[1]).read_text()\n"
        "    assert text.endswith(' 1.0\\n') and text.startswith('# HELP'), text[-50:]\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    for number in range(100):
        exposition.write(
            str(path), [(metric, [((str(one),), 1) for one in range(number * 10 + 1)])]
        )
    Path(f"{path}.end").touch()

    assert reader.wait(30) == 0
    reader.stdout.close()
