# SPDX-License-Identifier: Apache-2.0
"""What all tests stand on."""

from __future__ import annotations

import os
import signal

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option: a change of words is read in the difference of the files that it writes."""
    parser.addoption(
        "--rewrite-transcripts",
        action="store_true",
        help="write tests/transcripts and the guide's consoles anew",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what should come first; the others stay in their order."""
    rank = {module: number for number, module in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(FIRST)))
