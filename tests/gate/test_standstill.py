# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for what doesn't come: the worker is gone or hangs, or the gate stops meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path

from tests.gate.rig import Rig, _children, is_closed, receive_message, wait_until
from tests.gate.test_abuse import _unread
from tests.gate.test_rewriting import NEW, OLD, error, exchange, machine
from tests.unit.gate.messages import define
from tests.unit.hook.conftest import UUID, domain

NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
#: Nova's database answers after so many seconds, and nothing.
SLOW = """
import time
from mthook.hook import slow
def ask_nova(*_):
    time.sleep({seconds})
slow.ask_nova = ask_nova
"""
DATABASE = "[database]\nconnection = mysql+pymysql://nova@127.0.0.1:1/nova\n"


def test_a_worker_that_dies_is_missed_at_once(tmp_path: Path) -> None:
    """Though processes that it forked still wait for Nova's database."""
    rig = Rig(tmp_path, f"[hook]\ntimeout = 8\n{DATABASE}", prepare=SLOW.format(seconds=6))
    rig.pin(UUID, OLD)
    rig.start()
    try:
        worker = rig.worker()
        with rig.pair() as (waiting, _):
            waiting.sendall(define(domain(NEW, metadata=NOVA)))
            wait_until(lambda: _children(worker), "a process for Nova's database")
            os.kill(worker, signal.SIGKILL)
            begun = time.monotonic()
            assert machine(exchange(rig, define(domain(NEW)))) == OLD
            assert time.monotonic() - begun < 3
    finally:
        rig.close()


def test_a_process_that_hangs_over_a_guest_of_novas_ends(tmp_path: Path) -> None:
    """As the worker does."""
    prepare = """
from mthook.gate import worker
from mthook.hook import slow
worker._SLACK = 0.1
def ask_nova(*_):
    while True:
        pass
slow.ask_nova = ask_nova
"""
    rig = Rig(tmp_path, f"[hook]\ntimeout = 0.5\non_error = deny\n{DATABASE}", prepare=prepare)
    rig.pin(UUID, OLD)
    rig.start()
    try:
        worker = rig.worker()
        with rig.pair() as (client, _):
            client.sendall(define(domain(NEW, metadata=NOVA)))
            assert "mthook: refused" in error(receive_message(client))
        wait_until(lambda: not _children(worker), "its end")
    finally:
        rig.close()


def test_a_gate_that_stops_writes_down_what_it_rewrote(tmp_path: Path) -> None:
    """Where the catalog is locked it waits for that, as its unit kills what is left behind it."""
    rig = Rig(tmp_path)
    rig.pin(UUID, OLD)
    rig.start()
    writer = sqlite3.connect(rig.catalog_path, isolation_level=None, timeout=10)
    try:
        writer.execute("BEGIN IMMEDIATE")
        assert machine(exchange(rig, define(domain(NEW)))) == OLD
        rig.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert rig.process.poll() is None
        writer.execute("ROLLBACK")
        assert rig.process.wait(5) == 0
        with rig.catalog() as catalog:
            assert catalog.history(UUID)[-1].event == "rewritten"
    finally:
        writer.close()
        rig.close()


def test_questions_that_nobody_waits_for_take_no_descriptors(rig: Rig) -> None:
    """While the worker hangs, clients come and go; libvirtd may end their connections."""
    rig.pin(UUID, OLD)
    worker = rig.worker()
    descriptors = Path(f"/proc/{rig.process.pid}/fd")
    with rig.pair() as (client, server):
        before = len(list(descriptors.iterdir()))
        os.kill(worker, signal.SIGSTOP)
        try:
            for _ in range(400):
                with rig.pair() as (other, its_server):
                    other.sendall(define(domain(NEW)))
                    wait_until(lambda: not _unread(other), "reading")  # noqa: B023
                    its_server.close()
                    assert is_closed(other)
            wait_until(lambda: len(list(descriptors.iterdir())) < before + 20, "their end")
        finally:
            os.kill(worker, signal.SIGCONT)
        client.sendall(define(domain(NEW)))
        assert machine(receive_message(server)) == OLD
