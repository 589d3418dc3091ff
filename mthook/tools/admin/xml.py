# SPDX-License-Identifier: Apache-2.0
"""``diff`` and ``rewrite``: what the pipeline makes of domain XML, without changing anything."""

from __future__ import annotations

import argparse
from typing import ClassVar

from mthook.errors import CatalogError, ConversionError, DomainXMLError, Error, Refused
from mthook.operations import change
from mthook.operations.lookup import look_up
from mthook.operations.opening import opened_catalog, opened_catalog_if_any, opened_host
from mthook.text import label
from mthook.tools.admin.command import FILE, INSTANCE, AdminCommand, ExitCode, argument, read_input
from mthook.xmlrewrite import kept, pipeline, summary
from mthook.xmlrewrite.definition import Definition


class Diff(AdminCommand):
    """Print what bringing an instance's definition to its pin would change, as a unified diff.

    Nothing is printed when nothing would change. Explanations go to standard error, and so do the
    changes that another family would bring to the guest's hardware.
    """

    codes: ClassVar = {
        ExitCode.OK: "done, whether or not anything would change",
        ExitCode.NOT_FOUND: "no such instance",
    }
    examples: ClassVar = ("mthook-admin diff web-1",)

    arguments: ClassVar = (INSTANCE,)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the diff."""
        with opened_catalog(self.conf) as catalog, opened_host(self.conf) as host:
            instance = look_up(parsed_args.instance, catalog, host)
            if instance.pin is None or instance.machine is None:
                self.say(f"{instance}: no pin")
            elif instance.domain is None:
                self.say(f"{instance}: libvirt has no such domain now")
            else:
                try:
                    diff, changes = change.difference(instance, instance.pin)
                except Refused as error:
                    self.say(str(error))
                except (ConversionError, DomainXMLError) as error:
                    raise Error(f"{instance}: {error}") from error
                else:
                    self.app.stdout.write(diff)
                    self.say_of(instance, changes)
        return ExitCode.OK


class Rewrite(AdminCommand):
    """Give a domain's XML its pinned machine type; the result goes to standard output.

    This is the pipeline alone, for use in other programs: libvirt isn't asked and nothing is
    recorded. XML that is right already comes back as it is, byte for byte. What was changed goes to
    standard error. A guest in the catalog that returns to a family that it had before gets
    back its PCI addresses, controllers and buses, as far as they are kept.
    """

    codes: ClassVar = {
        ExitCode.OK: "the XML, changed or not, is on standard output",
        ExitCode.ERROR: "any other error, such as input that isn't a domain, or has something that"
        " the machine type can't have; nothing is on standard output then",
    }
    examples: ClassVar = (
        "virsh dumpxml --inactive web-1 | mthook-admin rewrite - > web-1.xml",
        "mthook-admin rewrite web-1.xml --machine pc-q35-8.0",
    )

    arguments: ClassVar = (
        argument("file", metavar=FILE, help="domain XML; -: standard input"),
        argument(
            "--machine",
            metavar="TYPE",
            help="machine type; default: the guest's own pin, found by the XML's UUID",
        ),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the rewritten XML."""
        name, xml = read_input(parsed_args.file, self.app.stdin, summary.MAX_BYTES + 1)
        try:
            target = self._target(xml, parsed_args.machine)
            rewritten = pipeline.rewrite(xml, target) if target else pipeline.Rewritten(xml, [])
        except Error as error:
            raise Error(f"{name}: {error}") from error
        self.say_of(name, rewritten.changes)
        self.app.stdout.flush()
        self.app.stdout.buffer.write(rewritten.xml)
        self.app.stdout.buffer.flush()
        return ExitCode.OK

    def _target(self, xml: bytes, machine: str | None) -> pipeline.Target | None:
        """Return what the XML is to become; ``None``: what it is."""
        ports = self.conf.libvirt.num_pcie_ports
        if machine is not None:
            with opened_catalog_if_any(self.conf) as known:
                libvirt = 0 if isinstance(known, CatalogError) else known.host().libvirt
            return pipeline.Target(machine, ports=ports, libvirt=libvirt)
        definition = Definition(xml)
        guest = definition.summary
        if guest.uuid is None:
            raise Error("no <uuid>, so whose pin? Say --machine TYPE")
        with opened_catalog(self.conf) as catalog:
            pin, libvirt = catalog.get_pin(guest.uuid), catalog.host().libvirt
            original, last = catalog.original(guest.uuid), catalog.kept(guest.uuid)
        if pin is None or pin.machine is None:
            self.say(f"{label(guest.uuid, guest.name, guest.display)}: no pin, unchanged")
            return None
        original = kept.way_back(original, last, definition, pin.machine)
        return pipeline.Target(
            pin.machine, pin.uuid, pin.updated_at, ports=ports, libvirt=libvirt, original=original
        )
