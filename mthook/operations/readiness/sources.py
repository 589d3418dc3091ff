# SPDX-License-Identifier: Apache-2.0
"""What the checks look at: configuration, catalog, libvirt. Each is opened when a check needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Optional, TypeVar

from oslo_config import cfg

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from mthook.errors import Error, HostError
from mthook.text import printable

if TYPE_CHECKING:
    from typing_extensions import Self

    from mthook.host.connection import Host
    from mthook.host.domains import Domain

_Thing = TypeVar("_Thing")


class Once(Generic[_Thing]):
    """Calls something once and remembers what came of it, be it an error.

    :raises Error: as the first time.
    """

    def __init__(self, ask: Callable[[], _Thing]) -> None:
        self._ask = ask
        self._answers: list[_Thing] = []
        self._error: Optional[Error] = None

    def __call__(self) -> _Thing:
        if self._error is not None:
            raise self._error
        if not self._answers:
            try:
                self._answers.append(self._ask())
            except Error as error:
                self._error = error
                raise
        return self._answers[0]


class Sources:
    """A context manager; what was opened is closed at its end.

    :ivar conf: the configuration.
    :ivar files: the configuration files, whether they exist or not.
    :ivar hooks: libvirt's hooks directory.
    :ivar tell: takes lines for those who want to see what is looked at.
    :ivar catalog: returns the open catalog; one that isn't there isn't made.
    :ivar host: returns the connection to libvirt, which can't change anything.
    :ivar domains: returns all domains as they are now.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, files: Sequence[str], hooks: str, tell: Callable[[str], None]
    ) -> None:
        self.conf = conf
        self.files = files
        self.hooks = hooks
        self.tell = tell
        self.catalog = Once(self._open)
        self.host = Once(self._connect)
        self.domains = Once(self._list)
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def guests(self) -> list[Guest]:
        """Return this host's guests by name: as they are now, else as the last sync saw them.

        :raises CatalogError: the catalog can't be used.
        """
        known = {one.uuid: one for one in self.catalog().guests() if one.gone_since is None}
        try:
            domains = self.domains()
        except HostError:
            return list(known.values())
        # Of one that can't be read what was known before.
        found = [domain.as_guest() or known.get(domain.uuid) for domain in domains]
        return sorted((one for one in found if one), key=lambda one: (one.name, one.uuid))

    def unreachable(self) -> str | None:
        """Return why libvirt can't be asked, as a sentence about what that means; else ``None``."""
        try:
            self.domains()
        except HostError as error:
            return f"{error}: this is how the last sync saw the guests."
        return None

    def _open(self) -> Catalog:
        path = self.conf.catalog.path
        self.tell(f"catalog: {printable(path)}")
        return self._opened.enter_context(Catalog.open(path, create=False))

    def _connect(self) -> Host:
        try:
            from mthook.host.connection import connect
        except ImportError as error:
            raise HostError(f"libvirt can't be asked: {error}: install libvirt-python") from error
        uri = self.conf.libvirt.connection_uri
        self.tell(f"libvirt: {printable(uri)}")
        return self._opened.enter_context(connect(uri, readonly=True))

    def _list(self) -> list[Domain]:
        host = self.host()
        from mthook.host.domains import list_domains

        return list(list_domains(host))
