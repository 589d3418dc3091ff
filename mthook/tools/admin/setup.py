# SPDX-License-Identifier: Apache-2.0
"""``setup`` and ``uninstall``: from an installed package to a watched or protected host, and back."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Iterator, Sequence
from typing import ClassVar

from mthook.conf import has_nova
from mthook.errors import Error
from mthook.hook import install
from mthook.operations.acts import Act, Event, Failure, Foreseen, SyncResult
from mthook.operations.setup import configuration, found, inifile, plan, removal, steps
from mthook.operations.setup.found import Found
from mthook.operations.setup.plan import Plan, Step
from mthook.text import counted, label, printable
from mthook.tools import options
from mthook.tools.admin.command import NAME, AdminCommand, ExitCode, UsageError, argument
from mthook.tools.admin.hook import HOOKS_DIR, removed
from mthook.tools.findings import hook_problem

_NOVA_CONF = argument(
    "--nova-conf", metavar="FILE", help="nova.conf, default: /etc/nova/nova.conf where it exists"
)
#: How many guests are named, where there are more.
_SOME = 10
_WHAT = {
    "configuration": "write {}, mode 0600",
    "pins": "pin every guest, in {}",
    "hook": "install the hook in {}",
    "hookd": "answer the hook in libvirt's container: {}",
    "timer": "run mthook-sync every five minutes: {}",
    "gate": "install mthook-gate, which Nova can connect through: {}",
    "nova_conf": "lead Nova to the gate in {}",
    "completion": "completion for bash and zsh, and man pages, below {}",
}
_REMOVED = {
    "file": "{}: removed",
    "disabled": "{}: disabled",
    "completion": "completion and man pages below {}: removed",
    "pin": "{}: pin removed from its metadata",
    "led_back": "{}: leads Nova back to libvirt",
}


class RootCommand(AdminCommand):
    """A command that changes the host itself."""

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Refuse where nothing but errors could follow."""
        if os.geteuid() != 0:
            raise Error(f"'{NAME} {self.cmd_name}' changes this host: run it as root")
        code: int = super().run(parsed_args)
        return code

    def confirmed(self, question: str, yes: bool) -> bool:
        """Ask, unless the answer was given.

        :raises UsageError: there is nobody to ask.
        """
        if yes:
            return True
        if not self.app.stdin.isatty():
            raise UsageError("nothing was changed: there is no terminal to ask, so say --yes")
        print(f"{question} [y/N] ", end="", file=self.app.stderr, flush=True)
        return self.app.stdin.readline().strip().lower() in ("y", "yes")

    def show(self, *lines: str) -> None:
        """Print lines to standard output, at once."""
        for line in lines:
            self.app.stdout.write(f"{line}\n")
        self.app.stdout.flush()


class Setup(RootCommand):
    """Set this host up: configuration, pins, hook and timer; with Nova the gate as well.

    It looks at the host, shows what it would do and what mode enforce would change, asks, and does it. It begins
    in mode audit: starts are watched, and nothing is stopped or changed. Another call brings everything up to
    date; with --mode enforce it turns protection on. What mthook.conf says already stays.

    No password is taken from the command line: --database names a file.
    """

    codes: ClassVar = {
        ExitCode.OK: "this host is set up",
        ExitCode.ERROR: "it isn't, or only partly, and standard error says why; what was done stays, and you can"
        " call setup again",
        ExitCode.NO_HOOK: "all is done, but no hook guards starts: libvirtd runs in a container that has none yet",
    }
    examples: ClassVar = (
        "mthook-admin setup",
        "mthook-admin setup --mode enforce",
        "mthook-admin setup --yes --database /root/mthook-database-url --write-nova-conf",
    )
    arguments: ClassVar = (
        argument("--yes", action="store_true", help="don't ask"),
        argument(
            "--mode",
            choices=("audit", "enforce"),
            help="what the hook does; default: as configured, at first audit",
        ),
        argument(
            "--database",
            metavar="FILE",
            help="a file with the URL of Nova's cell database and nothing else, or one like nova.conf that has"
            " [database] connection; default: as configured, else that of nova.conf",
        ),
        _NOVA_CONF,
        argument("--no-gate", action="store_true", help="with Nova: without mthook-gate"),
        argument(
            "--write-nova-conf",
            action="store_true",
            help="write the line that leads Nova to the gate to nova.conf; default: show it",
        ),
        HOOKS_DIR,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Look, show, ask, do."""
        args = parsed_args
        files = options.files(self.app.options)
        there = found.find(files, args.hooks_dir, args.nova_conf)
        choices = configuration.Choices(
            args.mode, self._database(there, args), not args.no_gate, args.write_nova_conf
        )
        planned = plan.make(there, choices, args.hooks_dir)
        self.show(*_host(there), "", *_plan(planned))
        if not self.confirmed("Do it?", args.yes):
            self.say("nothing was changed")
            return ExitCode.ERROR
        self.show("")
        result = SyncResult(self._report)
        for step in steps.carry_out(planned, result):
            self.show(*() if step.done else (f"done: {_what(step, there)}",))
        status = steps.hook_status(planned)
        for problem in () if there.out_of_reach else status.problems:
            self.complain(f"{status.path}: {hook_problem(problem)}")
        self.show("", *_verdict(planned, result, status))
        if there.out_of_reach and not result.failed:
            return ExitCode.NO_HOOK
        return ExitCode.ERROR if result.failed or status.problems else ExitCode.OK

    def _database(self, there: Found, args: argparse.Namespace) -> str | None:
        """Return the URL of Nova's database where it is given; ask for it where nothing tells."""
        if args.database is not None:
            return configuration.database_from(args.database)
        texts = (there.text, there.nova_text)
        known = any(inifile.get(text, "database", "connection") for text in texts)
        if known or args.yes or not there.nova or not self.app.stdin.isatty():
            return None
        try:
            url = getpass.getpass("URL of Nova's cell database (not shown; empty: none): ").strip()
        except EOFError:
            raise Error("nobody answers: give --database FILE, or --yes to go without") from None
        return configuration.read_database(url, "what was typed") if url else None

    def _report(self, event: Event) -> None:
        if isinstance(event, Failure):
            self.complain(str(event))


class Uninstall(RootCommand):
    """Take mthook off this host: timer, hook, gate and all that it wrote. Guests stay as they are.

    The configuration and the catalog stay as well. Where setup has led Nova to the gate in nova.conf, that is
    taken back first; the gate goes when uninstall is called again, after nova-compute was restarted.
    """

    codes: ClassVar = {
        ExitCode.OK: "only configuration and catalog are left",
        ExitCode.ERROR: "something is left, and standard error says what to do; or any other error",
    }
    examples: ClassVar = (
        "mthook-admin uninstall",
        "mthook-admin uninstall --yes --metadata",
    )
    arguments: ClassVar = (
        argument("--yes", action="store_true", help="don't ask"),
        argument(
            "--metadata",
            action="store_true",
            help="also take the pins out of the metadata of all guests, running ones too",
        ),
        _NOVA_CONF,
        HOOKS_DIR,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask, remove, say what is left."""
        args, code = parsed_args, ExitCode.OK
        if not self.confirmed("Take mthook off this host?", args.yes):
            self.say("nothing was changed")
            return ExitCode.ERROR
        for one in removal.remove(
            self.conf, args.hooks_dir, args.nova_conf, metadata=args.metadata
        ):
            if one.kind == "hook":
                self.show(removed(one.what, one.told))
            elif one.kind in _REMOVED:
                self.show(_REMOVED[one.kind].format(printable(one.what)))
            else:
                code = ExitCode.ERROR
                self.complain(_left(one))
        paths = [*options.files(self.app.options), os.path.dirname(self.conf.catalog.path)]
        left = [path for path in paths if os.path.exists(path)]
        if left:
            self.show(f"kept, with all pins and their history: {', '.join(map(printable, left))}")
        return code


def _left(one: removal.Removed) -> str:
    """Return what is left and what to do about it."""
    if one.kind == "pin_stays":
        return str(one.error)
    return (
        f"mthook-gate stays: nova-compute may be connected through it. See that connection_uri in"
        f" {printable(one.what)} doesn't lead to it, restart nova-compute, then '{NAME} uninstall' again"
    )


def _host(there: Found) -> Iterator[str]:
    """Yield what was found."""
    of_nova = f", {there.nova_guests} of them Nova's" if there.nova_guests else ""
    yield f"Found: {counted(there.guests, 'guest')}{of_nova}"
    if there.daemon is not None:
        where = "in a container of its own" if there.contained else "on this host"
        yield f"  {there.daemon.name} (pid {there.daemon.pid}) runs {where}"
    if there.nova_conf is not None:
        yield f"  nova.conf: {printable(there.nova_conf)}"
    if there.other_hook is not None:
        yield f"  {printable(there.other_hook)} is another program's hook; it stays, and mthook's goes beside it"
    if there.timer is None:
        yield "  neither systemd nor cron runs here: have something else run mthook-sync every few minutes"


def _plan(planned: Plan) -> Iterator[str]:
    """Yield what would be done, and what mode enforce means for the guests."""
    yield f"Plan, in mode {planned.mode}:"
    for number, step in enumerate(planned.steps, 1):
        done = " (done already)" if step.done else ""
        yield f"  {number}. {_what(step, planned.found)}{done}"
    if planned.found.out_of_reach:
        yield f"  no hook: '{NAME} hook render' prints the one for libvirt's container"
    yield from (f"Can't be done now: {one}" for one in planned.foreseen.errors)
    yield from _pins(planned.foreseen)
    yield from _effects(planned.foreseen.foreseen)
    yield from _writes(planned)
    if planned.leaves_errors:
        yield (
            "Careful: Nova neither learns the pins (--database FILE) nor connects through the gate (--write-nova-conf)."
            " A start that is stopped leaves its instance in ERROR"
        )
    if planned.has("gate") and not planned.gated:
        yield "The line that leads Nova to the gate, in nova.conf (--write-nova-conf writes it):"
        yield "  [libvirt]"
        yield f"  connection_uri = {configuration.gate_uri(planned.conf.gate.listen)}"


def _what(step: Step, there: Found) -> str:
    what = _WHAT[step.kind].format(printable(step.path))
    told = step.kind == "hook" and there.reads
    return f"{what}, and make {there.daemon_name} look for it" if told else what


def _pins(foreseen: SyncResult) -> Iterator[str]:
    """Yield how many guests would be pinned, by what."""
    pinned = [act for act in foreseen.acts if act.kind == "pinned"]
    sources = sorted({act.source or "" for act in pinned})
    for source in sources:
        of_source = [act for act in pinned if act.source == source]
        yield f"New pins from {source if source == 'Nova' else f'the {source}'}: {len(of_source)}"
        yield from _some([f"{_who(act)}: {printable(act.new)}" for act in of_source])
    if not pinned:
        yield "New pins: none"


def _effects(effects: Sequence[Foreseen]) -> Iterator[str]:
    realigned = [one for one in effects if one.effect == "realign"]
    stopped = [one for one in effects if one.effect == "stop"]
    yield (
        f"In mode enforce: {counted(len(realigned), 'definition')} to realign,"
        f" {counted(len(stopped), 'start')} to stop"
    )
    yield from _some([f"{_who(o)}: {printable(o.old)} → {printable(o.new)}" for o in realigned])
    yield from _some([f"{_who(o)} wouldn't start: {printable(o.reason)}" for o in stopped])


def _writes(planned: Plan) -> Iterator[str]:
    """Yield what Nova's database would get."""
    written = [act for act in planned.foreseen.acts if act.kind == "written"]
    if written:
        when = "now" if planned.conf.sync.write_back else "in mode enforce"
        yield f"To write to Nova's database, {when}: {counted(len(written), 'machine type')}"
        yield from _some([f"{_who(act)}: {printable(act.new)}" for act in written])


def _some(lines: Sequence[str]) -> Iterator[str]:
    """Yield the first lines by guest, and how many more there are."""
    yield from (f"  {line}" for line in sorted(lines)[:_SOME])
    if len(lines) > _SOME:
        yield f"  and {len(lines) - _SOME} more: 'mthook-sync --dry-run' names them"


def _who(one: Act | Foreseen) -> str:
    return label(one.uuid or "", one.name, one.display_name)


def _verdict(planned: Plan, result: SyncResult, status: install.Status) -> Iterator[str]:
    """Yield how this host is now, and what comes next."""
    guests, mode, there = counted(result.guests, "guest"), planned.mode, planned.found
    if result.failed:
        yield f"Only partly set up, see above: {counted(result.failed, 'error')}. Mend that, then run 'mthook-sync'."
    if there.out_of_reach:
        yield (
            f"No hook guards starts yet: {there.daemon_name} runs in a container. Put what"
            f" '{NAME} hook render' prints there, as {install.DEFAULT_DIRECTORY}/qemu"
        )
    elif not status.in_force:
        yield f"No hook guards starts yet, see above. Mend that, then '{NAME} setup' again"
    elif mode == "enforce":
        yield f"Protected: {guests}. A start that would change a guest's machine type is stopped."
    else:
        yield f"Watched: {guests}. In mode {mode} nothing is stopped or changed."
    yield from _next(planned)


def _next(planned: Plan) -> Iterator[str]:
    if planned.found.nova and not has_nova(planned.conf):
        yield f"Nova doesn't learn the pins: its database isn't configured. '{NAME} setup --database FILE' does it"
    if planned.has("nova_conf"):
        yield "Next: restart nova-compute, which then connects through the gate"
    if planned.mode == "enforce":
        yield "Next: 'mthook-status upgrade check' tells whether the default may change"
        return
    yield "Next, after some days:"
    yield "  journalctl -t mthook                the starts that mode enforce would have stopped"
    yield "  mthook-admin list --drift           the guests that differ from their pins"
    yield "  mthook-admin setup --mode enforce   protection, when you agree with both"
