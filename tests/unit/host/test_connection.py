# SPDX-License-Identifier: Apache-2.0
"""libvirt's errors in mthook's words."""

from __future__ import annotations

import libvirt
import pytest

from mthook.errors import HostError, NotFound
from mthook.host.connection import Host, connect, libvirt_errors
from tests.unit.host.fakes import FakeConnection, failure


def test_a_missing_domain_is_not_found() -> None:
    """libvirt's "no domain" is the one error that means: there is no such guest."""
    with pytest.raises(NotFound) as caught, libvirt_errors("web-1: can't be read"):
        raise failure(libvirt.VIR_ERR_NO_DOMAIN, "Domain not found")

    assert str(caught.value) == "web-1: can't be read: Domain not found"


def test_any_other_error_is_one_line_of_the_hosts() -> None:
    """An error with line ends in it becomes one line."""
    with pytest.raises(HostError) as caught, libvirt_errors("web-1: can't be started"):
        raise failure(libvirt.VIR_ERR_INTERNAL_ERROR, "qemu said:\nno KVM\x1b[2J")

    assert str(caught.value) == "web-1: can't be started: qemu said:\\nno KVM\\x1b[2J"


@pytest.mark.parametrize("readonly", [False, True])
def test_no_libvirt_is_one_error_that_names_the_uri(
    readonly: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is told once, with URI and reason, and libvirt itself is quiet."""
    uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"

    with pytest.raises(HostError) as caught, connect(uri, readonly=readonly):
        pass

    assert str(caught.value) == (
        f"libvirt at {uri} can't be reached: Failed to connect socket to "
        "'/nonexistent/libvirt-sock': No such file or directory"
    )
    assert capfd.readouterr() == ("", "")


def test_a_daemon_that_is_gone_does_not_hide_the_error_in_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where closing fails as well, the error that counts is the first one."""
    connection = FakeConnection()
    monkeypatch.setattr(connection, "close", lambda: (_ for _ in ()).throw(failure(38)))
    monkeypatch.setattr(libvirt, "open", lambda uri: connection)

    with pytest.raises(HostError, match="^first$"), connect("test:///fake"):
        raise HostError("first")


@pytest.mark.parametrize("alive", [True, False])
def test_a_host_knows_whether_its_daemon_is_there(alive: bool) -> None:
    """The connection says whether it still stands."""
    connection = FakeConnection()
    connection.alive = alive

    assert Host("test:///fake", connection).is_alive() is alive
