# SPDX-License-Identifier: Apache-2.0
"""Whoever changes the default after ``mthook-status upgrade check`` with exit code 0 alone never breaks a guest.

A walk through what is a failure, on a real libvirtd. The default is what a client defines guests as that defines them
anew at each start, as Nova does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Optional

import pytest

from mthook.operations import readiness
from tests.lab import OFFER, Host
from tests.lab.site import CATALOG, CONFIG, UUID, Site, fresh

NEW, OLD, *_ = OFFER.releases(deprecated=False)
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
READINESS = Path(readiness.__file__).parent
HOOK = "/etc/libvirt/hooks/qemu"
DATABASE = "[glance]\npassword = sesame\n"


class Walk(NamedTuple):
    """One kind of failure.

    :ivar bring_about: makes it so.
    :ivar mend: does what is advised.
    :ivar broken: what the guest runs after a change of the default that is made all the same; "": it doesn't run any
        more; None: it runs as before, but nothing told so.
    """

    bring_about: Callable[[Site], object]
    mend: Callable[[Site], object]
    broken: Optional[str] = NEW


def admin(*argv: str) -> Callable[[Site], object]:
    """Return what runs mthook-admin."""
    return lambda here: here.node.mthook("mthook-admin", *argv)


def sync(here: Site) -> None:
    """Run mthook-sync."""
    here.node.mthook("mthook-sync")


def in_shell(command: str) -> Callable[[Site], object]:
    """Return what runs a command on the host."""
    return lambda here: here.node.run(["sh", "-c", command])


def load_no_hook(here: Site) -> None:
    """Have libvirtd start without the hook, which comes back afterwards."""
    hook = here.node.path(HOOK)
    away = hook.rename(hook.with_name("away"))
    here.node.daemon.stop()
    here.node.daemon.start()
    away.rename(hook)


def start_unguarded(here: Site) -> None:
    """As by a daemon that was told to look while the hook was away."""
    hook = here.node.path(HOOK)
    away = hook.rename(hook.with_name("away"))
    here.node.daemon.reload()
    here.node.run(["sleep", "0.5"])
    away.rename(hook)
    here.node.virsh("destroy", "--domain", "web-1")
    here.start()


def lose_the_catalog(here: Site) -> None:
    """Remove it."""
    here.node.run(["sh", "-c", f"rm {CATALOG}*"])


def begin_anew(here: Site) -> None:
    """As it is before the first sync."""
    lose_the_catalog(here)
    here.node.mthook("mthook-admin", "hook", "install")


def forget_offers(here: Site) -> None:
    """As after an upgrade of QEMU while libvirt doesn't answer; only the list is lost here."""
    here.ask("catalog.connection.execute('DELETE FROM capabilities') and None")


def pin_as(machine: str) -> Callable[[Site], object]:
    """Return what pins the guest to something else."""
    return lambda here: here.set_pin(machine)


def save(here: Site) -> None:
    """Save the guest, then pin it to what this QEMU lacks."""
    here.node.virsh("managedsave", "web-1")
    here.set_pin("pc-i440fx-99.9")


def restore(here: Site) -> None:
    """Discard the memory, then pin the guest to what it was."""
    here.node.virsh("managedsave-remove", "web-1")
    here.set_pin(OLD)


def define(**more: str) -> Callable[[Site], object]:
    """Return what defines the guest anew, as what it was, and starts it."""

    def boot(here: Site) -> None:
        here.node.virsh("destroy", "--domain", "web-1")
        here.redefine(OLD, **more)
        assert here.start() == ""

    return boot


def forget(here: Site) -> None:
    """Lose the guest's pin."""
    here.ask(f"catalog.forget({UUID!r}, actor='test', reason=None)")


def install_anew(here: Site) -> None:
    """Do what the first lines of the guide say."""
    here.node.mthook("mthook-admin", "hook", "install")
    here.node.mthook("mthook-sync")


def open_to(mode: str) -> Callable[[Site], object]:
    """Return what writes a configuration with a password and a mode."""

    def write(here: Site) -> None:
        here.configure(DATABASE)
        here.node.path(CONFIG).chmod(int(mode, 8))

    return write


CLOSE = in_shell(f"chmod o-rwx {CONFIG}")
WALKS = {
    "guests_unpinned": Walk(forget, sync),
    "nothing_pinned": Walk(forget, sync),
    "not_installed": Walk(admin("hook", "uninstall"), admin("hook", "install")),
    "not_loaded": Walk(load_no_hook, admin("hook", "install")),
    "not_called": Walk(start_unguarded, admin("hook", "install")),
    "unavailable": Walk(lose_the_catalog, install_anew),
    "never_ended": Walk(begin_anew, sync),
    "offers_unknown": Walk(forget_offers, sync, None),
    "unsupported": Walk(pin_as("pc-i440fx-99.9"), pin_as(OLD), ""),
    "unsupported_saved": Walk(save, restore, None),
    "no_database": Walk(define(metadata=NOVA), define(), ""),
    "readable": Walk(open_to("0604"), CLOSE, None),
    "writable": Walk(open_to("0602"), CLOSE, None),
}


@pytest.fixture
def here(alpha: Host) -> Iterator[Site]:
    """The host with mthook at work, and a guest that was booted since."""
    site = fresh(alpha)
    alpha.boot("web-1", OLD, uuid=UUID)
    yield site
    alpha.remove_guests()


def ask(here: Site) -> tuple[int, str, set[str]]:
    """Return exit code, first line and the kinds of what failed."""
    done = here.node.mthook("mthook-status", "upgrade", "check", "--json", check=False)
    said = json.loads(done.stdout)
    findings = [one for check in said["checks"] for one in check["findings"]]
    failed = {one["kind"] for one in findings if one["severity"] == "failure"}
    return done.returncode, said["answer"], failed


def start_as(here: Site, machine: str, **more: str) -> str:
    """Define the guest anew as that and start it from cold; return what it runs then, "" if nothing."""
    here.node.virsh("destroy", "--domain", "web-1", check=False)
    here.redefine(machine, **more)
    here.start()
    here.node.mthook("mthook-sync", "--only", "repair", "--start", check=False)
    return here.node.machine("web-1") if here.node.state("web-1") == "running" else ""


def change_if_asked(here: Site) -> str:
    """Change the default as a careful script does, and return what the guest runs after its next cold start."""
    return start_as(here, NEW if ask(here)[0] == 0 else OLD)


@pytest.mark.parametrize("kind", WALKS)
def test_after_exit_code_0_alone_no_guest_changes(here: Site, kind: str) -> None:
    """While something is wrong the default stays; once that is mended it may change, and the guest keeps its type."""
    walk = WALKS[kind]
    assert ask(here)[0] == 0
    walk.bring_about(here)

    code, line, failed = ask(here)

    assert (code, line.startswith("NO: "), kind in failed) == (2, True, True), line
    walk.mend(here)
    assert ask(here)[0] == 0, ask(here)
    assert change_if_asked(here) == OLD


@pytest.mark.parametrize("kind", [kind for kind, walk in WALKS.items() if walk.broken is not None])
def test_what_is_a_failure_would_have_broken_the_guest(here: Site, kind: str) -> None:
    """Where the default is changed all the same."""
    walk = WALKS[kind]
    walk.bring_about(here)
    more = {"metadata": NOVA} if kind == "no_database" else {}

    assert start_as(here, NEW, **more) == walk.broken


def test_in_mode_audit_exit_code_0_is_not_to_be_had(here: Site) -> None:
    """Nothing would stop such a start; that is a warning."""
    here.configure("[hook]\nmode = audit\n")

    code, line, _ = ask(here)

    assert (code, line) == (1, "YES, with 1 warning (Hook) (1 guest here)")
    assert start_as(here, NEW) == NEW


def test_every_failure_of_a_host_without_a_database_is_walked_through() -> None:
    """Those that are about Nova's databases are in tests/nova."""
    of_databases = {
        "host_unknown",
        "no_cells",
        "instances_unset",
        "unlike_record",
        "no_api_database",
    }
    of_databases |= {"not_compared", "not_written_back", "lacking"}
    of_doctor = {"timer_off", "not_scheduled"}
    of_containers = {"out_of_reach"}  # tests/libvirt/test_contained.py has one
    source = "".join(path.read_text() for path in READINESS.glob("*.py"))
    kinds = set(re.findall(r'Finding\(\s*"(\w+)",\s*(?:Severity.FAILURE|_severity)', source))
    kinds |= {"unavailable", "not_installed", "not_loaded"}  # of which the kind is a variable

    assert kinds - of_databases - of_doctor - of_containers == set(WALKS)
