# SPDX-License-Identifier: Apache-2.0
"""How packages are built: as setuptools does it, and a wheel gets the man pages, which Sphinx makes of the guide.

The pages have what the programs' parsers say, so that takes all that the programs need.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Optional, Union

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

_Settings = Optional[Mapping[str, Union[str, "list[str]", None]]]


def get_requires_for_build_wheel(config_settings: _Settings = None) -> list[str]:
    """Return what is needed besides setuptools."""
    setup = configparser.ConfigParser()
    setup.read("setup.cfg")
    needed = f"{setup['options']['install_requires']}\n{setup['options.extras_require']['docs']}"
    lines = [line for line in needed.splitlines() if line]
    return [*build_meta.get_requires_for_build_wheel(config_settings), *lines]


def build_wheel(
    wheel_directory: str,
    config_settings: _Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Make the man pages, then the wheel."""
    with tempfile.TemporaryDirectory() as metadata:
        # The commands are found by their entry points.
        build_meta.prepare_metadata_for_build_wheel(metadata, config_settings)
        path = os.pathsep.join([os.getcwd(), metadata, *sys.path])
        subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", "-b", "man", "docs", "build/man"],
            env={**os.environ, "PYTHONPATH": path},
            check=True,
        )
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str,
    config_settings: _Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Make what an editable installation needs: a path.

    setuptools' own finder takes longer to load than Python takes to start, in each process of the tests.
    """
    settings = {**(config_settings or {}), "editable_mode": "compat"}
    return build_meta.build_editable(wheel_directory, settings, metadata_directory)
