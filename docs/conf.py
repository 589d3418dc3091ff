# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes the operator guide and the man pages: ``tox -e docs``."""

from __future__ import annotations

import sys
from pathlib import Path

import mthook

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "mthook"
author = "mthook developers"
project_copyright = author
version = release = mthook.__version__

extensions = ["oslo_config.sphinxext", "programs", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # what stands in quotes is to be typed
highlight_language = "none"

html_theme = "furo"
html_title = f"mthook {version}"
html_static_path = ["_static"]
html_css_files = ["mthook.css"]
html_show_sourcelink = False
# Of a console its commands are copied, of everything else all of it.
copybutton_prompt_text = "root@[a-z0-9-]+# "
copybutton_prompt_is_regexp = True

man_pages = [
    ("mthook-admin", "mthook-admin", "ask for and change machine types of guests", author, 8),
    (
        "mthook-sync",
        "mthook-sync",
        "bring pins, Nova's records and definitions together",
        author,
        8,
    ),
    ("mthook-status", "mthook-status", "may the default machine type be changed?", author, 8),
    ("mthook-gate", "mthook-gate", "machine types put right on the way to libvirtd", author, 8),
    ("mthook.conf", "mthook.conf", "configuration of mthook", author, 5),
]
man_show_urls = True
