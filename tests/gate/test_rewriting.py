# SPDX-License-Identifier: Apache-2.0
"""Domains on their way through the gate: rewritten, refused or let pass."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook import text
from mthook.catalog.records import Capability, HostFacts
from mthook.catalog.store import Catalog
from mthook.gate import errorreply, framing, xdr
from tests.gate.rig import OPEN, OPENED, Rig, receive, receive_message, send_descriptor, wait_until
from tests.lab import LAST_PC, OLD_PC, PC, Q35
from tests.unit.gate.messages import define, message, migrate, parameter, with_files
from tests.unit.hook.conftest import UUID, domain, travelling

OLD, NEW, OTHER = OLD_PC, PC, LAST_PC
#: What would lose a device as a guest of OLD.
LOST = domain(Q35).replace(b"</devices>", b"<iommu model='intel'/></devices>")


@pytest.fixture(autouse=True)
def fresh(rig: Rig) -> Iterator[None]:
    """A guest pinned to OLD, and the default configuration."""
    rig.configure("")
    rig.pin(UUID, OLD)
    yield
    with rig.catalog() as catalog:
        catalog.forget(UUID, actor="test", reason=None)


def exchange(rig: Rig, data: bytes, status: int = framing.OK) -> bytes:
    """Send a call; return what libvirtd gets, or else what the client is answered.

    :param status: libvirtd's answer.
    """
    with rig.pair() as (client, server):
        client.sendall(data + message(157, serial=2))
        got = receive_message(server)
        if got != message(157, serial=2):
            assert receive(server, 28) == message(157, serial=2)
            number, serial = (int.from_bytes(got[at : at + 4], "big") for at in (12, 20))
            answer = message(number, kind=framing.REPLY, serial=serial, status=status)
            server.sendall(answer)
            assert receive_message(client) == answer
            return got
        return receive_message(client)


def machine(data: bytes) -> str:
    """The machine type in a message."""
    return (
        data.partition(b"machine=")[2][1:].partition(data.partition(b"machine=")[2][:1])[0].decode()
    )


def error(data: bytes) -> str:
    """The text of an error, of which everything else is checked."""
    reader = xdr.Reader(data, framing.HEADER_SIZE)
    code, part = reader.integer(), reader.integer()
    said = reader.optional_string()
    assert (code, part, reader.integer()) == (
        errorreply.CONFIG_UNSUPPORTED,
        errorreply.FROM_QEMU,
        2,
    )
    reader.uint()
    assert (reader.optional_string(), reader.optional_string()) == (b"%s", said)
    assert (reader.optional_string(), reader.integer(), reader.integer()) == (None, -1, -1)
    assert reader.uint() == 0
    assert reader.offset == len(data)
    return (said or b"").decode()


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (lambda xml: message(10, xdr.string(xml) + xdr.uint(0), serial=9), "virDomainCreateXML"),
        (lambda xml: message(11, xdr.string(xml), serial=9), "virDomainDefineXML"),
        (lambda xml: define(xml, serial=9), "virDomainDefineXMLFlags"),
        (
            lambda xml: migrate(
                parameter(b"persistent_xml", 7, xdr.string(xml)),
                parameter(b"destination_xml", 7, xdr.string(domain(NEW))),
            ),
            "virDomainMigrate3",
        ),
    ],
)
def test_a_domain_unlike_its_pin_gets_the_pins_machine_type(rig: Rig, make, call: str) -> None:  # type: ignore[no-untyped-def]
    """Nothing else of the message changes; the history names the call and the user."""
    sent = make(domain(NEW))

    got = exchange(rig, sent)

    xml = _xml_in(got, sent)
    assert machine(xml) == OLD
    assert b'instance="%s" machine="%s"' % (UUID.encode(), OLD.encode()) in xml
    assert got[4:] == sent[4:].replace(xdr.string(domain(NEW)), xdr.string(xml), 1)
    wait_until(lambda: _last(rig) == ("rewritten", NEW, OLD, "gate uid 0", call), "the history")


def test_what_libvirtd_refuses_leaves_no_history(rig: Rig) -> None:
    """Its access control has the first word about who may write anything down."""
    with rig.catalog() as catalog:
        before = len(catalog.history(UUID))
    assert machine(exchange(rig, define(domain(NEW)), framing.ERROR)) == OLD
    assert machine(exchange(rig, define(domain(OTHER)))) == OLD

    wait_until(lambda: _last(rig)[:2] == ("rewritten", OTHER), "the history")
    with rig.catalog() as catalog:
        assert [entry.old for entry in catalog.history(UUID)[before:]] == [OTHER]


def test_of_two_calls_with_one_serial_each_has_its_own_answer(rig: Rig) -> None:
    """No client does that, but one that wants to leave no trace."""
    with rig.pair() as (client, server):
        client.sendall(define(domain(NEW)) + define(domain(OTHER)))
        for status in (framing.OK, framing.ERROR):
            receive_message(server)
            server.sendall(message(350, kind=framing.REPLY, status=status))
            receive_message(client)
        wait_until(lambda: _last(rig)[:2] == ("rewritten", NEW), "the history")


def _xml_in(got: bytes, sent: bytes) -> bytes:
    begin = sent.index(xdr.string(domain(NEW)))
    return xdr.Reader(got, begin).string()


def _last(rig: Rig) -> tuple[str, str | None, str | None, str, str | None]:
    with rig.catalog() as catalog:
        entry = catalog.history(UUID)[-1]
    return entry.event, entry.old, entry.new, entry.actor, entry.reason


@pytest.mark.parametrize(
    "xml",
    [
        domain(OLD),
        domain(NEW, uuid="3f2c1d3e-0000-4000-8000-00000000ffff"),
        domain(NEW).replace(UUID.encode(), b""),
        domain(NEW).replace(f"<uuid>{UUID}</uuid>".encode(), b""),
        b"<network/>",
        b"",
        b"<domain>",
    ],
    ids=["satisfied", "no pin", "empty uuid", "no uuid", "no domain", "empty", "broken"],
)
def test_every_other_domain_passes_byte_for_byte(rig: Rig, xml: bytes) -> None:
    """What is wrong with it libvirtd knows best."""
    assert exchange(rig, define(xml)) == define(xml)


def test_a_domain_without_a_machine_type_gets_one(rig: Rig) -> None:
    """libvirt's default of the day isn't what it's pinned to."""
    got = exchange(rig, define(domain(NEW).replace(f" machine='{NEW}'".encode(), b"")))

    assert machine(got) == OLD


@pytest.mark.parametrize("stamp", [None, "1:1"], ids=["as ever", "upgraded since"])
def test_an_alias_is_written_out_whatever_it_stood_for_at_the_last_sync(
    rig: Rig, stamp: str | None
) -> None:
    """libvirt may make another version of it by now, at whose start the hook would have to stop it."""
    emulator = rig.directory / "qemu"
    emulator.write_text("the one of the upgrade")
    offered = Capability(str(emulator), "x86_64", "kvm", "pc", OLD, stamp=stamp)
    with rig.catalog() as catalog:
        catalog.replace_capabilities([offered], HostFacts())
    xml = domain("pc").replace(
        b"</devices>", b"<emulator>%s</emulator></devices>" % bytes(emulator)
    )

    assert machine(exchange(rig, define(xml))) == OLD
    wait_until(lambda: _last(rig)[:3] == ("rewritten", "pc", OLD), "the history")


def test_a_pin_that_travels_with_the_guest_counts_where_there_is_no_row(rig: Rig) -> None:
    """On a host that never saw it."""
    with rig.catalog() as catalog:
        catalog.forget(UUID, actor="test", reason=None)
    xml = domain(NEW, metadata=travelling(OLD, "2026-11-22T13:00:00.000000Z"))

    assert machine(exchange(rig, define(xml)).partition(b"</metadata>")[2]) == OLD


def test_a_guest_that_was_let_in_with_other_hardware_is_defined_as_its_pin(rig: Rig) -> None:
    """What it has it keeps until its next cold start; the definition is about that one."""
    with Catalog.open(str(rig.catalog_path)) as catalog:
        catalog.record_arrival(UUID, NEW, text.now())

    assert machine(exchange(rig, define(domain(NEW)))) == OLD


def test_a_pin_changed_a_moment_ago_counts(rig: Rig) -> None:
    """Nothing is remembered from one call to the next."""
    assert machine(exchange(rig, define(domain(NEW)))) == OLD
    rig.pin(UUID, NEW)
    assert exchange(rig, define(domain(NEW))) == define(domain(NEW))
    assert machine(exchange(rig, define(domain(OLD)))) == NEW


def test_a_domain_of_another_family_is_converted(rig: Rig) -> None:
    """The log says what becomes of it."""
    disk = b"<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
    nova = b"<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
    xml = domain(Q35, metadata=nova.decode()).replace(b"</devices>", disk + b"</devices>")

    got = exchange(rig, define(xml))

    assert machine(got.partition(b"</metadata>")[2]) == OLD
    assert b'<target dev="hda" bus="ide"/>' in got
    wait_until(lambda: _last(rig)[:3] == ("rewritten", Q35, OLD), "the history")
    wait_until(lambda: f"guest {UUID}: cdrom hda: bus sata → ide" in rig.log(), "the report")


def test_what_cant_be_rewritten_is_refused_in_libvirts_own_way(rig: Rig) -> None:
    """The error names guest, pin and reason, and carries the call's serial; libvirtd hears nothing of it."""
    got = exchange(rig, define(LOST, serial=77))

    assert got[4:28] == message(350, kind=framing.REPLY, serial=77, status=framing.ERROR)[4:28]
    assert error(got).startswith(
        f"mthook: guest web-1 ({UUID}) is pinned to {OLD}, its definition says {Q35}, and can't be rewritten: "
    )
    assert error(got).endswith(
        f"iommu intel: {OLD} has no IOMMU; remove it from the guest first;"
        f" 'mthook-admin set {UUID} {Q35} --allow family' accepts the change"
    )


@pytest.mark.parametrize("asks", [True, False])
def test_who_isnt_let_in_learns_nothing_about_pins(rig: Rig, asks: bool) -> None:
    """No refusal that names them, no history: what is said is what libvirtd says to everybody."""
    before = _last(rig)
    with rig.pair(let_in=False) as (client, server):
        if asks:
            client.sendall(OPEN)
            assert receive_message(server) == OPEN
            server.sendall(NOT_LET_IN)
            assert receive_message(client) == NOT_LET_IN
        for xml in (LOST, domain(NEW), domain(OLD)):
            client.sendall(define(xml, serial=9))
            assert receive_message(client) == errorreply.not_open(_header(define(xml, serial=9)))
        client.sendall(message(157))
        assert receive(server, 28) == message(157)
    assert _last(rig) == before


#: libvirtd lets somebody not in.
NOT_LET_IN = message(1, b"\0" * 4, kind=framing.REPLY, serial=0, status=framing.ERROR)


def _header(data: bytes) -> framing.Header:
    return framing.Header._make(framing._HEADER.unpack_from(data))


def test_a_definition_waits_for_libvirtds_answer_to_the_opening_before_it(rig: Rig) -> None:
    """libvirtd does several calls at once, and takes one that comes with the opening."""
    with rig.pair(let_in=False) as (client, server):
        client.sendall(OPEN + define(domain(NEW)) + message(157))
        assert receive_message(server) == OPEN
        server.settimeout(0.3)
        with pytest.raises(OSError, match="timed out"):
            server.recv(1)
        server.settimeout(10)
        server.sendall(OPENED)
        assert machine(receive_message(server)) == OLD
        assert receive(server, 28) == message(157)


def test_a_definition_before_any_opening_is_answered_and_neither_waits_for_the_other(
    rig: Rig,
) -> None:
    """Nor does one between an opening that fails and one that doesn't."""
    with rig.pair(let_in=False) as (client, server):
        client.sendall(define(domain(NEW)) + OPEN + define(domain(NEW)) + OPEN)
        assert "connection not open" in receive_message(client).decode("latin-1")
        assert receive_message(server) == OPEN
        server.sendall(NOT_LET_IN)
        assert receive_message(client) == NOT_LET_IN
        assert "connection not open" in receive_message(client).decode("latin-1")
        assert receive_message(server) == OPEN
        server.sendall(OPENED)
        assert receive_message(client) == OPENED
        client.sendall(define(domain(NEW)))
        assert machine(receive_message(server)) == OLD


@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_what_isnt_understood_follows_on_error(rig: Rig, on_error: str) -> None:
    """With a line in the log."""
    rig.configure(f"[hook]\non_error = {on_error}\n")
    strange = message(350, b"\0\0\0\xff<domain/>")

    got = exchange(rig, strange)

    why = f"call 350 of client uid 0, process {os.getpid()} has an unexpected form: too few bytes"
    if on_error == "allow":
        assert got == strange
    else:
        assert error(got) == f"mthook: refused ([hook] on_error = deny): {why}"
    assert f"a domain can't be judged: {why}" in rig.log()


def test_a_setting_changed_in_the_file_counts_where_no_worker_answers(rig: Rig) -> None:
    """Without a restart, as everywhere."""
    worker = rig.worker()
    rig.configure("[hook]\non_error = deny\ntimeout = 0.5\n")
    rig.pin(UUID, OLD)
    os.kill(worker, signal.SIGSTOP)
    try:
        assert "no answer within 6 s" in error(exchange(rig, define(domain(NEW))))
    finally:
        os.kill(worker, signal.SIGCONT)


def test_what_cant_be_rewritten_passes_where_that_is_asked_for(rig: Rig) -> None:
    """The configuration is read again when it changes."""
    rig.configure("on_unconvertible = pass\n")

    assert exchange(rig, define(LOST)) == define(LOST)
    assert f"pinned to {OLD}, its definition says {Q35}; passed unchanged" in rig.log()


def test_an_error_goes_between_two_of_libvirtds_messages(rig: Rig) -> None:
    """Never into one that is on its way."""
    stream = message(209, bytes(100000), kind=framing.STREAM, serial=5)
    with rig.pair() as (client, server):
        server.sendall(stream[:50000])
        assert receive(client, 50000) == stream[:50000]
        client.sendall(define(LOST) + message(157))
        assert receive(server, 28) == message(157)
        server.sendall(stream[50000:] + stream)
        assert receive(client, 50028) == stream[50000:]
        assert "can't be rewritten" in error(receive_message(client))
        assert receive_message(client) == stream


def test_the_descriptors_of_a_refused_call_go_no_further(rig: Rig, tmp_path: Path) -> None:
    """Those of the next call do."""
    read, write = os.pipe()
    with rig.pair() as (client, server):
        client.sendall(with_files(LOST, 2))
        for _ in range(2):
            send_descriptor(client, write)
        os.close(write)
        client.sendall(message(157))
        assert receive(server, 28) == message(157)
        assert "can't be rewritten" in error(receive_message(client))
        # All copies of the writing end are closed.
        assert os.read(read, 1) == b""
    os.close(read)


def test_the_descriptors_of_a_rewritten_call_follow_it(rig: Rig, tmp_path: Path) -> None:
    """And wait while it is judged."""
    file = (tmp_path / "file").open("w+b")
    with rig.pair() as (client, server):
        client.sendall(with_files(domain(NEW), 1))
        send_descriptor(client, file.fileno())
        client.sendall(message(157))
        assert machine(receive_message(server)) == OLD
        from tests.gate.rig import receive_descriptor

        os.close(receive_descriptor(server))
        assert receive(server, 28) == message(157)


@pytest.mark.parametrize(("mode", "says"), [("audit", True), ("off", False)])
def test_in_modes_audit_and_off_nothing_is_rewritten(rig: Rig, mode: str, says: bool) -> None:
    """Audit says what would be."""
    before = len(rig.log())
    rig.configure(f"[hook]\nmode = {mode}\n")

    assert exchange(rig, define(domain(NEW))) == define(domain(NEW))

    told = f"would be rewritten in mode enforce: pinned to {OLD}, but would start as {NEW}"
    assert (told in rig.log()[before:]) == says


def _damage(rig: Rig) -> bytes:
    kept = rig.catalog_path.read_bytes()
    for extra in ("-wal", "-shm"):
        Path(f"{rig.catalog_path}{extra}").unlink(missing_ok=True)
    rig.catalog_path.write_bytes(b"no database" * 1000)
    return kept


@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_a_broken_catalog_follows_on_error(rig: Rig, on_error: str) -> None:
    """As at the hook."""
    with contextlib.closing(sqlite3.connect(rig.catalog_path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = _damage(rig)
    try:
        rig.configure(f"[hook]\non_error = {on_error}\n")
        got = exchange(rig, define(domain(NEW)))
    finally:
        rig.catalog_path.write_bytes(kept)
    if on_error == "allow":
        assert got == define(domain(NEW))
    else:
        assert error(got).startswith("mthook: refused ([hook] on_error = deny): the catalog ")
    assert "a domain can't be judged: the catalog " in rig.log()


def test_a_configuration_that_breaks_leaves_the_last_good_one_in_force(rig: Rig) -> None:
    """Said once."""
    rig.configure("on_unconvertible = pass\n")
    assert exchange(rig, define(LOST)) == define(LOST)
    before = len(rig.log())
    rig.config.write_text("[hook\n")

    for _ in range(2):
        assert exchange(rig, define(LOST)) == define(LOST)

    assert rig.log()[before:].count("the last good configuration stays in force") == 1
