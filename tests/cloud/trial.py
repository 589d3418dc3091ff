# SPDX-License-Identifier: Apache-2.0
"""One trial: every path in one set-up with one change of the default, many servers at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Optional

from tests.cloud.cloud import Cloud
from tests.cloud.paths import PATHS, Path, Stage
from tests.cloud.servers import Server
from tests.cloud.setups import Defaults, SetUp
from tests.cloud.together import together
from tests.lab.requirements import LabError


@dataclass
class Result:
    """What came of a path. Machine types are what QEMU was started with, by libvirt's log.

    :param before: what the server was made as.
    :param during: every start of the path.
    :param state: its status when the path ended.
    :param after: every start of a hard reboot after the next sync.
    :param finally_: its status after that.
    :param record: Nova's record then.
    :param requested: the machine type in the request spec then.
    :param waited: what mthook had done before it was right, where it isn't at once.
    :param trouble: what didn't go as asked.
    """

    path: Path
    set_up: SetUp
    defaults: Defaults
    before: str = ""
    during: list[str] = field(default_factory=list)
    state: str = ""
    after: list[str] = field(default_factory=list)
    finally_: str = ""
    record: Optional[str] = None
    requested: Optional[str] = None
    waited: str = ""
    trouble: list[str] = field(default_factory=list)


@dataclass
class _Run:
    """A path on its way."""

    server: Server
    steps: Iterator[None]
    result: Result


class Trial:
    """Runs paths in a set-up; nova-compute is restarted as a trial needs it."""

    def __init__(self, cloud: Cloud, set_up: SetUp, defaults: Defaults) -> None:
        self._cloud = cloud
        self.set_up = set_up
        self.defaults = defaults

    def run(self, paths: Sequence[Path]) -> list[Result]:
        """Run these paths, as far as they are for this set-up."""
        wanted = [path for path in paths if path.is_for(self.set_up)]
        fresh = [path for path in wanted if path.stage is Stage.FRESH]
        others = [path for path in wanted if path.stage is not Stage.FRESH]
        self._prepare_hosts()
        runs = self._run_fresh(fresh)
        self._restart(self.defaults.old)
        runs += self._make([path for path in others if path.synced])
        self._sync()
        runs += self._make([path for path in others if not path.synced])
        self._go_through(runs)
        self._look_again(runs)
        self._remove(runs)
        return [run.result for run in sorted(runs, key=lambda run: paths.index(run.result.path))]

    def _prepare_hosts(self) -> None:
        for host in self._cloud.hosts.values():
            host.stop_compute()
            host.clear()
            if self.set_up.mthook:
                host.configure(self.defaults.old, **self._how)
                host.use_mthook(gate=self.set_up.gate)
        self._cloud.controller.leave_mthook()
        if self.set_up.mthook:
            self._cloud.controller.use_mthook(self.defaults.old)

    @property
    def _how(self) -> dict[str, bool]:
        return {"gate": self.set_up.gate, "database": self.set_up.database}

    def _restart(self, *machine_types: Optional[str]) -> None:
        """Restart nova-compute with other defaults, one for each host or one for all."""
        hosts = cycle(machine_types)
        defaults = {name: next(hosts) for name in self._cloud.hosts}
        self._cloud.restart_compute(defaults, **self._how)

    def _sync(self) -> None:
        if self.set_up.mthook:
            self._cloud.sync()

    def _make(self, paths: Sequence[Path]) -> list[_Run]:
        """Make a server for each path, on both hosts in turn, and wait until they run."""
        return together(self._make_one, paths)

    def _make_one(self, path: Path) -> _Run:
        hosts, number = list(self._cloud.hosts), PATHS.index(path)
        server = Server(self._cloud, self.set_up, f"server-{number}", hosts[number % len(hosts)])
        server.wait()
        result = Result(path, self.set_up, self.defaults, before=server.starts()[-1].machine)
        server.mark()
        return _Run(server, path.run(server), result)

    def _run_fresh(self, paths: Sequence[Path]) -> list[_Run]:
        """Make servers while the hosts have different defaults, and run each one's path at once."""

        def run_fresh(path: Path) -> _Run:
            run = self._make_one(path)
            self._second_part(run)
            return run

        if paths:
            self._restart(self.defaults.new, self.defaults.old)
        return together(run_fresh, paths)

    def _go_through(self, runs: Sequence[_Run]) -> None:
        """Run the first parts, change the default, run the second parts."""
        together(
            self._first_part, [run for run in runs if run.result.path.stage is not Stage.FRESH]
        )
        together(self._second_part, _of(runs, Stage.OLD))
        self._restart(self.defaults.new)
        together(self._second_part, _of(runs, Stage.NEW))
        for run in _of(runs, Stage.ALONE):
            self._second_part(run)

    def _first_part(self, run: _Run) -> None:
        if self._step(run):
            run.server.mark()

    def _second_part(self, run: _Run) -> None:
        if not run.result.trouble:
            self._step(run)
        run.result.during = _machines(run.server)
        run.result.state = run.server.state
        run.result.waited = run.server.waited
        run.server.mark()

    def _step(self, run: _Run) -> bool:
        """Go on with a path; False if that failed, which the result says."""
        try:
            next(run.steps, None)
        except LabError as error:
            run.result.trouble.append(str(error))
            return False
        return True

    def _look_again(self, runs: Sequence[_Run]) -> None:
        """See what becomes of every server at a hard reboot after the next sync."""
        self._sync()
        together(self._reboot, runs)

    def _reboot(self, run: _Run) -> None:
        server, result = run.server, run.result
        try:
            server.hard_reboot()
        except LabError as error:
            result.trouble.append(f"at the last reboot: {error}")
        result.after = _machines(server)
        result.finally_ = server.state
        result.record = self._cloud.records.machine_type(server.uuid)
        result.requested = self._cloud.records.requested(server.uuid)

    def _remove(self, runs: Sequence[_Run]) -> None:
        together(lambda run: run.server.delete(), runs)
        together(lambda run: run.server.await_end(), runs)


def _machines(server: Server) -> list[str]:
    return [start.machine for start in server.starts()[server.marked :]]


def _of(runs: Sequence[_Run], stage: Stage) -> list[_Run]:
    return [run for run in runs if run.result.path.stage is stage]
