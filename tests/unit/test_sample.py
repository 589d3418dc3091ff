# SPDX-License-Identifier: Apache-2.0
"""The sample configuration in the wheel."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import generator

ROOT = Path(__file__).parents[2]


def test_the_sample_configuration_is_what_the_options_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed option without a new sample (``make sample``) is noticed."""
    monkeypatch.chdir(ROOT)
    made = tmp_path / "mthook.conf.sample"

    generator.main(["--config-file", "etc/config-generator.conf", "--output-file", str(made)])

    assert made.read_text() == Path("etc/mthook.conf.sample").read_text()
