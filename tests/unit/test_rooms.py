# SPDX-License-Identifier: Apache-2.0
"""The rooms of the package: imports go down its layers, never up, and never in a circle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mthook

PACKAGE = Path(mthook.__file__).parent
#: Rooms by layer, the front ends first. A room imports from layers below its own.
LAYERS = (
    ("tools",),
    ("operations",),
    ("gate", "hook"),
    ("judgement",),
    ("host", "nova", "fleet", "catalog"),
    ("xmlrewrite", "policy", "reconcile", "releases", "conf"),
    ("settings", "journal", "locks", "files", "deadline", "machinetype"),
    ("errors", "text"),
    ("__init__",),
)
#: Arrows between rooms of one layer.
SIDEWAYS = {("host", "catalog"), ("gate", "hook")}
#: What operations and the rooms below leave to front ends.
OF_FRONT_ENDS = {"argparse", "cliff", "oslo_upgradecheck", "tqdm"}
FRONT_ENDS = ("admin", "gate", "status", "sync")

MODULES = {
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def _imported(path: Path, typing: bool = True) -> Iterator[str]:
    """Yield what a module imports: at its top, in a function, and with ``typing`` for type checkers alone."""
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), typing):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES or f"{whole}.__init__" in MODULES else node.module


def _nodes(node: ast.AST, typing: bool) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if typing or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _nodes(child, typing)


def _own(path: Path, typing: bool = True) -> set[str]:
    """Return the modules of this package among what a module imports."""
    names = {name for name in _imported(path, typing) if name.split(".")[0] == "mthook"}
    return {name if name in MODULES else f"{name}.__init__" for name in names}


def _room(module: str) -> str:
    return module.split(".")[1]


def _layer(room: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_downwards(module: str) -> None:
    """From its own room, from those below, and where that is agreed from one beside it."""
    room = _room(module)

    wrong = {
        name
        for name in _own(MODULES[module])
        if _room(name) != room
        and (room, _room(name)) not in SIDEWAYS
        and _layer(_room(name)) <= _layer(room)
    }

    assert wrong == set()


def test_no_imports_go_in_a_circle() -> None:
    """Not even those in functions: there is an order in which all modules can be read."""
    graph = {module: _own(path, typing=False) - {module} for module, path in MODULES.items()}

    order = list(graphlib.TopologicalSorter(graph).static_order())

    assert set(order) == set(MODULES)


@pytest.mark.parametrize("module", [name for name in MODULES if _room(name) != "tools"])
def test_only_tools_talk_to_people(module: str) -> None:
    """The rooms below have no command line, print nothing and end nothing."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert {name.split(".")[0] for name in _imported(MODULES[module])} & OF_FRONT_ENDS == set()
    assert called & {"print", "input", "exit"} == set()


@pytest.mark.parametrize("program", FRONT_ENDS)
def test_no_front_end_imports_another(program: str) -> None:
    """What two of them need is in a module that belongs to none."""
    prefix = f"mthook.tools.{program}"
    mine = {name for name in MODULES if name == prefix or name.startswith(f"{prefix}.")}
    others = tuple(f"mthook.tools.{other}" for other in FRONT_ENDS if other != program)

    wrong = {name for module in mine for name in _own(MODULES[module]) if name.startswith(others)}

    assert mine
    assert wrong == set()
