# SPDX-License-Identifier: Apache-2.0
"""What the gate costs calls, definitions and crowds, on a real libvirtd. Direct and through the gate, in turn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import libvirt

from bench.timing import medians
from tests.gate.node import DIRECT, GATE, Node, gated
from tests.lab import Host, guest_xml
from tests.lab.site import UUID

CALL, CALL_GATE = "a trivial call, direct", "a trivial call, through the gate"
DEFINE, DEFINE_GATE = "a define, direct", "a define that is rewritten, through the gate"
#: What each may cost more than directly, in milliseconds.
MOST_CALL, MOST_DEFINE = 0.1, 5.0
#: How much of the direct rate of calls a crowd must reach.
LEAST_RATE = 0.8
CROWD = 50
_CALLS = 20
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"

#: A crowd: each line of input is a round of calls by all connections at once, each of output its calls per second.
PROGRAM = """
import libvirt, sys, threading, time
uri, count, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connections = [libvirt.open(uri) for _ in range(count)]
begin, end = threading.Barrier(count + 1), threading.Barrier(count + 1)
def work(connection):
    while True:
        begin.wait()
        for _ in range(calls):
            connection.getLibVersion()
        end.wait()
for connection in connections:
    threading.Thread(target=work, args=(connection,), daemon=True).start()
for line in sys.stdin:
    begin.wait()
    begun = time.perf_counter()
    end.wait()
    print(count * calls / (time.perf_counter() - begun), flush=True)
"""


def run(rounds: int) -> bool:
    """Measure and print; return whether every limit is kept."""
    with Host("bench") as host, gated(host) as node:
        node.through("create", "/dev/stdin", input=guest_xml("web-1", UUID, OLD))
        node.through("destroy", "web-1")
        kept = [_calls(node, rounds), _crowd(node, rounds)]
    return all(kept)


def _calls(node: Node, rounds: int) -> bool:
    direct, gate = (libvirt.open(node.outside(path)) for path in (DIRECT, GATE))
    right, wrong = (guest_xml("web-1", UUID, machine) for machine in (OLD, NEW))

    def call(connection: libvirt.virConnect) -> Callable[[], None]:
        def many() -> None:
            for _ in range(_CALLS):
                connection.getLibVersion()

        return many

    cost = medians({CALL: call(direct), CALL_GATE: call(gate)}, rounds)
    cost = {name: seconds / _CALLS for name, seconds in cost.items()}
    things = {DEFINE: lambda: direct.defineXML(right), DEFINE_GATE: lambda: gate.defineXML(wrong)}
    cost.update(medians(things, rounds))
    for connection in (direct, gate):
        connection.close()
    print("\nWhat the gate adds (median)")
    for name, seconds in cost.items():
        print(f"  {name:<58} {seconds * 1000:9.3f} ms")
    return _added(cost, CALL, CALL_GATE, MOST_CALL) & _added(cost, DEFINE, DEFINE_GATE, MOST_DEFINE)


def _added(cost: dict[str, float], direct: str, gate: str, most: float) -> bool:
    added = (cost[gate] - cost[direct]) * 1000
    print(f"  {gate}: {added:.3f} ms more  limit {most}: {'kept' if added <= most else 'EXCEEDED'}")
    return added <= most


def _crowd(node: Node, rounds: int) -> bool:
    rates: dict[str, list[float]] = {DIRECT: [], GATE: []}
    crowds = {path: _start(node, path) for path in rates}
    for number in range(max(rounds // 2, 5) + 1):
        for path in list(crowds) if number % 2 else reversed(list(crowds)):
            rate = _one_round(crowds[path])
            if number:
                rates[path].append(rate)
    for crowd in crowds.values():
        crowd.kill()
        crowd.wait()
    direct, gate = (sorted(rates[path])[len(rates[path]) // 2] for path in (DIRECT, GATE))
    print(f"\n{CROWD} clients at once: {direct:.0f} calls/s directly, {gate:.0f} through the gate")
    kept = gate / direct >= LEAST_RATE
    verdict = "kept" if kept else "MISSED"
    print(f"  ratio {gate / direct:.2f}  at least {LEAST_RATE}: {verdict}")
    return kept


def _start(node: Node, path: str) -> subprocess.Popen[str]:
    arguments = [node.outside(path), str(CROWD), "20"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _one_round(crowd: subprocess.Popen[str]) -> float:
    assert crowd.stdin is not None and crowd.stdout is not None
    crowd.stdin.write("\n")
    crowd.stdin.flush()
    return float(crowd.stdout.readline())
