# SPDX-License-Identifier: Apache-2.0
"""The installed hook, which asks Nova's real database before it stops a guest of Nova's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.lab import LAST_PC, OLD_PC, PC, Host, MariaDB
from tests.lab.nova import Cloud
from tests.lab.site import UUID, Site, fresh
from tests.nova import happenings

NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
OLD, NEW = OLD_PC, PC


class NovaSite(Site):
    """A compute host with the hook, beside Nova's database."""

    cloud: Cloud

    def use(self, url: str, more: str = "") -> None:
        """Configure the database and let the hook know that there is one."""
        self.configure(f"[DEFAULT]\nhost = alpha\n[database]\nconnection = {url}\n{more}")

    def boot(self, machine: str) -> None:
        """Define a guest of Nova's and start it."""
        self.redefine(machine, metadata=NOVA)
        assert self.start() == ""

    def reboot(self, machine: str) -> str:
        """Do what Nova does at a hard reboot; return libvirt's error, '' without one."""
        self.node.virsh("destroy", "--domain", "web-1", check=False)
        self.node.virsh("undefine", "--domain", "web-1")
        self.redefine(machine, metadata=NOVA)
        return self.start()


@pytest.fixture(scope="module")
def alpha() -> Iterator[Host]:
    """A lab host for the tests of this module."""
    with Host("alpha") as host:
        yield host


@pytest.fixture
def here(alpha: Host, cloud: Cloud) -> Iterator[NovaSite]:
    """A host with one running guest of Nova's, pinned to OLD here and recorded so in Nova."""
    site = fresh(alpha)
    site.__class__ = NovaSite
    assert isinstance(site, NovaSite)
    site.cloud = cloud
    site.use(cloud.cell_url())
    cloud.add_instance(UUID, host="alpha", machine=OLD)
    site.boot(OLD)
    site.node.mthook("mthook-sync")
    yield site
    alpha.remove_guests()


STOPPED = (
    f"mthook: start of guest web-1 ({UUID}) stopped: its machine type is pinned to {OLD}, its definition says "
    f"{NEW}; 'openstack server reboot --hard {UUID}' starts it as {OLD}; "
    f"'mthook-admin set {UUID} {NEW} --allow running' accepts the change"
)


def test_a_wrong_start_is_stopped_and_nova_put_right_at_once(here: NovaSite) -> None:
    """Nova has lost its record and generates something else; the next attempt is right."""
    happenings.lose(here.cloud, UUID)

    assert STOPPED in here.reboot(NEW)

    assert here.cloud.machine(UUID) == OLD
    assert here.node.state("web-1") == "shut off"
    assert here.reboot(OLD) == ""


@pytest.mark.parametrize(
    ("action", "task_state"),
    [
        ("migrate", "resize_finish"),
        ("resize", "resize_finish"),
        ("revertResize", "resize_reverting"),
        ("rescue", "reboot_started_hard"),
        ("unshelve", "spawning"),
    ],
)
def test_what_nova_wrote_at_work_is_put_right_at_once(
    here: NovaSite, action: str, task_state: str
) -> None:
    """A revert's guest on the old host among them: it doesn't start as what the resize made of it."""
    happenings.age(here.cloud, UUID)
    happenings.overwrite(here.cloud, UUID, action, NEW)
    here.cloud.execute("UPDATE instance_actions SET start_time = start_time - INTERVAL 3 SECOND")
    here.cloud.set_state(UUID, task_state=task_state)

    assert STOPPED in here.reboot(NEW)

    assert (here.pin(), here.cloud.machine(UUID)) == (OLD, OLD)
    # What Nova does next to an instance whose start failed.
    happenings.finish(here.cloud, UUID, action, NEW)
    here.cloud.set_state(UUID, task_state=None, vm_state="error")
    here.node.mthook("mthook-sync", "--only", "push")
    assert (here.pin(), here.cloud.machine(UUID)) == (OLD, OLD)
    assert here.reboot(OLD) == ""


def test_a_stop_asks_for_a_push_until_nova_has_finished(here: NovaSite) -> None:
    """What Nova makes of a cold migration it records after the start has failed."""
    here.cloud.set_state(UUID, task_state="resize_finish")
    wanted = here.node.path("/var/lib/mthook/push-wanted")
    assert STOPPED in here.reboot(NEW)
    assert wanted.read_text().startswith(f"{UUID} ")

    here.node.mthook("mthook-sync", "--only", "push")
    assert wanted.read_text().startswith(f"{UUID} ")

    happenings.age(here.cloud, UUID)
    happenings.overwrite(here.cloud, UUID, "migrate", NEW)
    here.cloud.set_state(UUID, task_state=None, vm_state="error")
    here.node.mthook("mthook-sync", "--only", "push")
    assert not wanted.exists()
    assert (here.pin(), here.cloud.machine(UUID)) == (OLD, OLD)


def test_a_first_boot_is_in_nova_as_soon_as_it_is_built(here: NovaSite) -> None:
    """Of a release that records nothing itself: no sync of all has to come by."""
    here.ask(f"catalog.forget({UUID!r}, actor='test', reason=None)")
    happenings.lose(here.cloud, UUID)
    here.cloud.set_state(UUID, vm_state="building", task_state="spawning")
    assert here.reboot(NEW) == ""

    here.node.mthook("mthook-sync", "--only", "push")
    assert here.cloud.machine(UUID) is None

    here.cloud.set_state(UUID, vm_state="active", task_state=None)
    here.node.mthook("mthook-sync", "--only", "push")
    assert here.cloud.machine(UUID) == NEW


def test_a_start_may_pass_and_novas_record_is_put_right(here: NovaSite) -> None:
    """[hook] nova_stop = allow: drift in place of an outage, until the next start."""
    here.use(here.cloud.cell_url(), "[hook]\nnova_stop = allow\n")
    happenings.age(here.cloud, UUID)
    happenings.overwrite(here.cloud, UUID, "migrate", NEW)

    assert here.reboot(NEW) == ""

    assert (here.pin(), here.events()[-1]) == (OLD, ["drift", OLD, NEW])
    here.node.mthook("mthook-sync", "--only", "push")
    assert here.cloud.machine(UUID) == OLD


def test_what_nobody_knows_the_author_of_is_left_to_an_operator(here: NovaSite) -> None:
    """The actions are purged. What the message says helps, either way."""
    happenings.change(here.cloud, UUID, NEW)
    happenings.purge(here.cloud, UUID)

    error = here.reboot(NEW)

    assert f"Nova has {NEW} recorded, and nothing shows who wrote it" in error
    assert (here.pin(), here.cloud.machine(UUID)) == (OLD, NEW)
    here.node.mthook("mthook-admin", "set", UUID, OLD, "--force")
    assert (here.pin(), here.cloud.machine(UUID)) == (OLD, OLD)


def test_a_pin_changed_in_nova_a_second_ago_counts(here: NovaSite) -> None:
    """No sync has run since."""
    happenings.change(here.cloud, UUID, NEW)

    assert here.reboot(NEW) == ""

    assert (here.pin(), here.row()["source"]) == (NEW, "Nova")
    assert ["changed", OLD, NEW] in here.events()
    assert here.reboot(OLD) != ""


@pytest.mark.parametrize("finished", [False, True])
def test_a_rebuild_releases_the_pin_at_once(here: NovaSite, finished: bool) -> None:
    """While it goes on, and when it ended before a sync ran."""
    here.cloud.begin_rebuild(UUID)
    if finished:
        here.cloud.finish_rebuild(UUID)

    assert here.reboot(NEW) == ""

    assert (here.pin(), here.row()["source"]) == (NEW, "first boot")
    assert ["unset", OLD, None] in here.events()
    here.cloud.finish_rebuild(UUID)
    here.node.mthook("mthook-sync")
    assert (here.pin(), here.cloud.machine(UUID)) == (NEW, NEW)


def test_another_root_image_is_no_proof_of_a_rebuild(here: NovaSite) -> None:
    """An unshelved instance shows one for a while; Nova's database knows better."""
    image = "<n:root type='image' uuid='5a000000-0000-4000-8000-00000000000a'/></n:instance>"
    here.node.virsh("destroy", "--domain", "web-1")
    here.redefine(NEW, metadata=NOVA.replace("/>", f">{image}"))

    assert f"pinned to {OLD}" in here.start()


def test_an_evacuation_keeps_the_pin(here: NovaSite) -> None:
    """Nova calls it rebuilding, too."""
    happenings.evacuate(here.cloud, UUID)

    assert f"pinned to {OLD}" in here.reboot(NEW)


def test_the_first_start_on_a_host_brings_novas_record(here: NovaSite) -> None:
    """After an evacuation, a cold migration or an unshelve: the host has no row yet."""
    here.ask(f"catalog.forget({UUID!r}, actor='test', reason=None)")
    assert f"pinned to {OLD}" in here.reboot(NEW)

    here.ask(f"catalog.forget({UUID!r}, actor='test', reason=None)")
    assert here.reboot(OLD) == ""
    assert (here.pin(), here.row()["source"]) == (OLD, "Nova")


def test_a_new_instance_is_pinned_to_what_it_runs(here: NovaSite) -> None:
    """Nova is building it and has no record of a machine type."""
    here.ask(f"catalog.forget({UUID!r}, actor='test', reason=None)")
    happenings.lose(here.cloud, UUID)
    here.cloud.set_state(UUID, vm_state="building", task_state="spawning")

    assert here.reboot(NEW) == ""

    assert (here.pin(), here.row()["source"]) == (NEW, "first boot")


def test_a_satisfied_pin_needs_no_database(here: NovaSite, mariadb: MariaDB) -> None:
    """Every hard reboot as it should be, in time, while the database hangs."""
    mariadb.pause()
    try:
        began = time.monotonic()
        assert here.reboot(OLD) == ""
        assert time.monotonic() - began < 4
    finally:
        mariadb.resume()


def _refuse(here: NovaSite, mariadb: MariaDB) -> None:
    mariadb.stop()


def _hang(here: NovaSite, mariadb: MariaDB) -> None:
    mariadb.pause()


def _lock_out(here: NovaSite, mariadb: MariaDB) -> None:
    url = here.cloud.cell_url()
    here.use(url.replace(url.partition("@")[0].rpartition(":")[2], "falsch"))


@pytest.fixture
def mended(mariadb: MariaDB) -> Iterator[None]:
    """A database that works again afterwards, whatever a test does to it."""
    yield
    if mariadb.running:
        mariadb.resume()
    else:
        mariadb.start()


@pytest.mark.parametrize("breaks", [_refuse, _hang, _lock_out])
@pytest.mark.usefixtures("mended")
def test_a_database_that_cant_be_asked_leaves_it_to_on_error(
    here: NovaSite, mariadb: MariaDB, breaks: Callable[[NovaSite, MariaDB], None]
) -> None:
    """allow is the default; deny says what is wrong with it. Neither takes longer than the time limit."""
    config = here.node.path("/etc/mthook/mthook.conf")
    breaks(here, mariadb)
    config.write_text(config.read_text() + "[hook]\ntimeout = 2\n")

    began = time.monotonic()
    assert here.reboot(NEW) == ""
    assert time.monotonic() - began < 2 + 4

    config.write_text(config.read_text() + "on_error = deny\n")
    began = time.monotonic()
    error = here.reboot(LAST_PC)
    assert time.monotonic() - began < 2 + 4

    assert "mthook: start of guest 'web-1' stopped ([hook] on_error = deny): " in error
    assert f"pinned to {OLD}, but would start as {LAST_PC}; Nova can't be asked: " in error
    assert (urlsplit(here.cloud.cell_url()).password or "") not in error


def test_a_rescue_may_have_another_machine_type(here: NovaSite) -> None:
    """It is made from the rescue image; the guest keeps its pin, also when it is back."""
    here.cloud.set_state(UUID, task_state="rescuing")

    assert here.reboot(NEW) == ""

    assert here.pin() == OLD
    here.cloud.set_state(UUID, vm_state="rescued", task_state=None)
    here.node.mthook("mthook-sync")
    assert (here.pin(), here.node.machine("web-1")) == (OLD, NEW)
    here.cloud.set_state(UUID, vm_state="active", task_state=None)
    assert f"pinned to {OLD}" in here.reboot(NEW)
    assert here.reboot(OLD) == ""
