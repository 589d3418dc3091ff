# SPDX-License-Identifier: Apache-2.0
"""What all tests stand on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

# Under nohup or as a background job the suite is started with signals ignored, which the programs it
# starts would inherit; tests are about what these do with signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)

# PyMySQL loads the system's certificate authorities for every connection, also where it verifies by none of them. That
# takes 20 ms of processor time, more than the rest of most commands.
os.environ["SSL_CERT_FILE"] = os.devnull

#: The modules that wait more than they compute, then those that take longest: one of them alone would hold up the end
#: of a run, and there a processor would wait with it.
FIRST = (
    "tests/unit/hook/test_trouble.py",
    "tests/libvirt/test_hook_trouble.py",
    "tests/gate/test_standstill.py",
    "tests/fleet/test_servers.py",
    "tests/fleet/test_galera.py",
    "tests/nova/test_races.py",
    "tests/nova/admin/test_real_nova_agrees.py",
    "tests/nova/test_galera.py",
    "tests/nova/test_trouble.py",
    "tests/nova/test_hook.py",
    "tests/nova/test_grants.py",
    "tests/nova/sync/test_authors.py",
    "tests/nova/test_gate.py",
    "tests/libvirt/test_hook.py",
    "tests/libvirt/test_conversion.py",
    "tests/libvirt/test_changing_the_default.py",
    "tests/libvirt/test_status.py",
    "tests/libvirt/test_conversion_back.py",
    "tests/libvirt/test_demo.py",
    "tests/libvirt/test_setup.py",
    "tests/libvirt/test_forecast.py",
    "tests/libvirt/test_guard.py",
    "tests/unit/catalog/test_crash.py",
)

#: Where nothing may be left out: on Debian 12, which continuous integration runs on.
COMPLETE = 'ID="12"'
#: Why, by test.
_left_out: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option: a change of words is read in the difference of the files that it writes."""
    parser.addoption(
        "--rewrite-transcripts",
        action="store_true",
        help="write tests/transcripts and the guide's consoles anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker is for."""
    config.addinivalue_line(
        "markers", "needs(there, what): left out by name where this machine lacks it"
    )


def _lacking(item: pytest.Item) -> str:
    marks = (mark.args for mark in item.iter_markers("needs"))
    return ", ".join(what for there, what in marks if not there)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine can't run. Begin with what should come first; the others stay in their order.

    :raises pytest.UsageError: something is left out where everything can run.
    """
    left_out = [item for item in items if _lacking(item)]
    if left_out and COMPLETE in Path("/etc/os-release").read_text():
        raise pytest.UsageError(f"{left_out[0].nodeid} needs {_lacking(left_out[0])}.")
    _left_out.update({item.nodeid: _lacking(item) for item in left_out})
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    rank = {module: number for number, module in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(FIRST)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one what was left out here."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = _left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """All processes of a run leave out the same."""
    _left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out."""
    if _left_out:
        terminalreporter.section("left out, with what this machine lacks")
        for nodeid, what in _left_out.items():
            terminalreporter.line(f"{nodeid}: {what}")
