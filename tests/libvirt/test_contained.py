# SPDX-License-Identifier: Apache-2.0
"""The hook of libvirt's container on a real libvirtd: mthook answers it from outside, over a socket.

The hook's Python has the files of Debian's python3-minimal alone, and can't see mthook.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import OFFER, PC, Host
from tests.lab.site import UUID, Site, fresh

HOOK = "/etc/libvirt/hooks/qemu"
SOCKET = "/run/mthook/hook.sock"
OLD = OFFER.releases(deprecated=False)[-1]
ADMIN = Path(sys.executable).with_name("mthook-admin")
#: An interpreter that sees nothing but what the package has, under the place where its own library is.
MINIMAL = """\
set -e
version=$(/usr/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
mkdir -p /run/minimal
dpkg -L "lib$version-minimal" | grep "^/usr/lib/$version/" | sed "s,^/usr/lib/$version/,," >/run/minimal.list
tar -C "/usr/lib/$version" --no-recursion -cf - -T /run/minimal.list | tar -C /run/minimal -xf -
cat >/run/python3 <<END
#!/bin/sh
exec unshare --mount sh -c 'mount -n --bind /run/minimal /usr/lib/$version && mount -n -t tmpfs none /var/lib/mthook &&
exec /usr/bin/python3 "\\$@"' sh "\\$@"
END
chmod 755 /run/python3
"""


@pytest.fixture(scope="module")
def here(alpha: Host) -> Iterator[Site]:
    """The host whose libvirtd has the rendered hook, which mthook answers."""
    site = fresh(alpha)
    alpha.run(["sh", "-c", MINIMAL])
    with answered(site):
        yield site


def put_hook(site: Site) -> None:
    """Render the hook and put it where libvirtd looks."""
    text = site.node.mthook("mthook-admin", "hook", "render").stdout
    assert "{{" not in text and "}}" not in text  # Helm's own
    path = site.node.path(HOOK)
    path.write_text(text.replace("python=/usr/bin/python3\n", "python=/run/python3\n", 1))
    path.chmod(0o555)
    site.node.daemon.reload()
    site.node.run(["sleep", "0.3"])


@contextlib.contextmanager
def answered(site: Site) -> Iterator[None]:
    """Answer hooks within the block."""
    serving = site.node.popen([ADMIN, "hook", "serve"])
    try:
        deadline = time.monotonic() + 30
        while not site.node.path(SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        put_hook(site)
        yield
    finally:
        stop_answering(site)
        serving.communicate()


def stop_answering(site: Site) -> None:
    """Answer no hook any more."""
    site.node.run(["sh", "-c", f"pkill -f '[h]ook serve'; rm -f {SOCKET}"])


def test_a_guest_in_a_container_is_pinned_held_and_proven(here: Site) -> None:
    """The first start is recorded, another machine type is stopped, and all that is left is what the record says."""
    here.node.boot("web-1", PC, uuid=UUID)
    assert here.pin() == PC
    here.node.virsh("destroy", "web-1")
    here.redefine(OLD)

    said = here.start()

    assert f"stopped: its machine type is pinned to {PC}" in said
    here.redefine(PC)
    assert here.start() == ""
    status = ("mthook-admin", "hook", "status", "-f", "value", "-c", "Called")
    assert here.node.mthook(*status, check=False).stdout == "True\n"


def test_a_daemon_that_has_called_the_hook_knows_one_that_is_rendered_again(here: Site) -> None:
    """It looks only once whether there is any: neither a restart nor SIGHUP is needed."""
    here.node.daemon.stop()
    here.node.daemon.start()
    here.node.virsh("destroy", "web-1")
    assert here.start() == ""
    hook = here.node.path(HOOK)
    hook.write_text(hook.read_text())
    loaded = ("mthook-admin", "hook", "status", "-f", "value", "-c", "Loaded")

    assert here.node.mthook(*loaded, check=False).stdout == "True\n"


def test_a_restart_of_libvirtd_harms_no_guest_while_nobody_answers(here: Site) -> None:
    """Starts go on unguarded, and that is reported; with on_error = deny they are stopped instead."""
    stop_answering(here)
    here.node.daemon.stop()
    here.node.daemon.start()
    assert here.node.state("web-1") == "running"
    here.node.virsh("destroy", "web-1")
    assert here.start() == ""
    synced = here.node.mthook("mthook-sync", check=False)
    assert f"web-1 ({UUID}): started unguarded at 20" in synced.stderr
    status = here.node.mthook("mthook-admin", "hook", "status", check=False)
    assert (
        "guests start unguarded, because nobody answers at /run/mthook/hook.sock" in status.stderr
    )
    here.configure("[hook]\non_error = deny\n")
    put_hook(here)
    here.node.virsh("destroy", "web-1")

    assert "stopped ([hook] on_error = deny): no answer from mthook on the host" in here.start()
