# SPDX-License-Identifier: Apache-2.0
"""``export`` and ``import``: pins from host to host."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from tests.programs import Said

from .conftest import DB, WEB, Run, pin


def test_what_one_host_exports_another_imports(
    run: Run, catalog: Catalog, config: Path, tmp_path: Path
) -> None:
    """Into a catalog that isn't there yet; a second time nothing changes."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    pin(catalog, DB, "q35", seen="pc-q35-7.2")
    exported = run("export")
    file = tmp_path / "pins"
    file.write_text(exported.out)
    config.write_text(config.read_text().replace("/lib/", "/other/"))

    assert run("import", str(file)) == Said(0, "", "2 added, 0 changed, 0 unchanged\n")
    assert run("import", str(file)) == Said(0, "", "0 added, 0 changed, 2 unchanged\n")
    assert run("export").out.splitlines()[1:] == exported.out.splitlines()[1:]
    assert [json.loads(line)["machine"] for line in exported.out.splitlines()[1:]] == [
        "pc-i440fx-6.2",
        "q35",
    ]


def test_standard_input_is_a_file_too(
    run: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named ``-``; an older pin than the one here stays out."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    older = json.loads(run("export").out.splitlines()[1])
    older.update(machine="pc-i440fx-2.0", updated_at="2020-01-01T00:00:00.000000Z")
    text = io.BytesIO(json.dumps(older).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(text))

    here = catalog.get_pin(WEB).updated_at  # type: ignore[union-attr]
    assert run("import", "-") == Said(
        0,
        "",
        f"{WEB}: the pin here stays: pc-i440fx-6.2, of {here}; the imported one is older: pc-i440fx-2.0,"
        " of 2020-01-01T00:00:00.000000Z\n0 added, 0 changed, 1 unchanged\n",
    )
    assert run("get", WEB).out == "pc-i440fx-6.2\n"


def test_a_dry_run_imports_nothing(
    run: Run, catalog: Catalog, config: Path, tmp_path: Path
) -> None:
    """Nor does it make a catalog where there is none."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    file = tmp_path / "pins"
    file.write_text(run("export").out.replace(WEB, DB))

    would = Said(0, "", "would be: 1 added, 0 changed, 0 unchanged\n")
    assert run("import", "--dry-run", str(file)) == would
    assert [one.uuid for one in catalog.pins()] == [WEB]
    config.write_text(config.read_text().replace("/lib/", "/other/"))
    assert run("import", "--dry-run", str(file)) == would
    assert not (tmp_path / "other").exists()


def test_an_empty_catalog_exports_the_host_alone(run: Run, catalog: Catalog) -> None:
    """No pins, and no lines about any."""
    said = run("export")

    assert (said.code, said.err) == (0, "")
    assert [json.loads(line)["format"] for line in said.out.splitlines()] == ["mthook-host-1"]


def test_an_export_without_the_host_is_imported(run: Run, catalog: Catalog, tmp_path: Path) -> None:
    """As --host prints it, which knows nothing of the host itself."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    file = tmp_path / "pins"
    file.write_text(run("export").out.splitlines()[1].replace(WEB, DB))

    assert run("import", str(file)) == Said(0, "", "1 added, 0 changed, 0 unchanged\n")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [(b"{}", "line 3: "), (b"nonsense", "line 3: "), (b"\xff", "not UTF-8 at byte ")],
)
def test_a_bad_line_imports_nothing_and_is_named(
    run: Run, catalog: Catalog, tmp_path: Path, bad: bytes, complaint: str
) -> None:
    """File and line, one line, code 1; the good line before it isn't taken over either."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    file = tmp_path / "pins"
    file.write_bytes(run("export").out.replace(WEB, DB).encode() + bad + b"\n")

    said = run("import", str(file))

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"mthook-admin: {file}: {complaint}")
    assert catalog.get_pin(DB) is None


def test_an_absent_file_is_named(run: Run, catalog: Catalog, tmp_path: Path) -> None:
    """One line, code 1."""
    said = run("import", f"{tmp_path}/absent")

    assert said == Said(1, "", f"mthook-admin: {tmp_path}/absent: No such file or directory\n")


def test_a_catalog_that_cannot_be_written_is_named(
    run: Run, catalog: Catalog, path: str, tmp_path: Path
) -> None:
    """Not the file that is imported."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    file = tmp_path / "pins"
    file.write_text(run("export").out.replace(WEB, DB))
    Path(path).chmod(0o644)

    said = run("import", str(file))

    assert said.code == 1
    assert said.err.startswith(f"mthook-admin: {path} has mode 0644")
