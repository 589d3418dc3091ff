# SPDX-License-Identifier: Apache-2.0
"""What the checks look at: configuration, catalog, libvirt. Each is opened when a check needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from oslo_config import cfg

from mthook.catalog.offers import Offers
from mthook.catalog.records import Guest
from mthook.errors import HostError
from mthook.hook import daemons
from mthook.operations.opening import once, opened_catalog, opened_host

if TYPE_CHECKING:
    from mthook.host.domains import Domain


class Context(contextlib.ExitStack):
    """What was opened is closed at its end.

    :ivar files: the configuration files, whether they exist or not.
    :ivar hooks_dir: libvirt's hooks directory.
    :ivar cloud: whether only Nova's databases are looked at, as on a controller.
    :ivar nova_host: in Nova's databases only this host is looked at; ``None``: all are.
    :ivar daemon: returns the libvirt daemon that runs this host's guests; ``None``: none does now, or not here.
    :ivar catalog: returns the open catalog; one that isn't there isn't made.
    :ivar host: returns the connection to libvirt, which can't change anything.
    :ivar domains: returns all domains as they are now.
    :ivar offers: returns what the emulators offer: as the last sync saw it, and as libvirt says where one was changed
        since; nothing where libvirt can't be asked then.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        files: Sequence[str],
        hooks_dir: str,
        *,
        cloud: bool = False,
        nova_host: str | None = None,
    ) -> None:
        super().__init__()
        self.conf = conf
        self.files = files
        self.hooks_dir = hooks_dir
        self.cloud = cloud
        self.nova_host = nova_host
        self.daemon = once(lambda: daemon_of(conf))
        self.catalog = once(lambda: self.enter_context(opened_catalog(conf)))
        self.host = once(lambda: self.enter_context(opened_host(conf, readonly=True)))
        self.domains = once(self._list_domains)
        self.offers = once(self._read_offers)

    @property
    def root(self) -> str:
        """The root directory of that daemon; "": this process's."""
        daemon = self.daemon()
        return daemon.root if daemon is not None else ""

    def guests(self) -> list[Guest]:
        """Return this host's guests by name: as they are now, else as the last sync saw them.

        :raises HostError: libvirt can't be asked, and no sync has seen all of them.
        """
        known = {one.uuid: one for one in self.catalog().guests() if one.gone_since is None}
        try:
            domains = self.domains()
        except HostError:
            if self.catalog().host().last_sync_at is None:
                raise
            return list(known.values())
        # For one that can't be read, what was known before.
        found = [domain.as_guest() or known.get(domain.uuid) for domain in domains]
        return sorted((one for one in found if one), key=lambda one: (one.name, one.uuid))

    def _read_offers(self) -> Offers:
        catalog = self.catalog()
        if not catalog.changed_archs():
            return Offers(catalog.capabilities())
        try:
            host, domains = self.host(), self.domains()
        except HostError:
            return Offers(())
        from mthook.host.capabilities import read_capabilities

        return Offers(read_capabilities(host, domains))

    def _list_domains(self) -> list[Domain]:
        host = self.host()
        from mthook.host.domains import list_domains

        return list(list_domains(host))


def daemon_of(conf: cfg.ConfigOpts) -> daemons.Daemon | None:
    """Return the libvirt daemon that runs this host's guests: the one that the configuration leads to."""
    return daemons.behind(behind_gate(conf, conf.libvirt.connection_uri))


def behind_gate(conf: cfg.ConfigOpts, uri: str) -> str:
    """Return the URI of the socket that the gate connects to, where a URI leads to the gate."""
    leads_there = daemons.socket_of(uri) == conf.gate.listen
    return f"qemu+unix:///system?socket={quote(conf.gate.upstream)}" if leads_there else uri
