# SPDX-License-Identifier: Apache-2.0
"""Everything mthook raises on purpose. Part of the hook's fast path: plain classes only.

::

    Error
    ├── ConfigError             an option or a configuration file is wrong
    │   └── Unconfigured        what is asked for takes an option that isn't set
    ├── MachineTypeError        not the name of a machine type
    ├── DomainXMLError          XML that can't be read, safely, as a libvirt domain
    ├── ConversionError         a rewrite that would need more than a changed name
    ├── CatalogError            the catalog can't be used
    │   ├── CatalogMissing      there is none
    │   ├── CatalogUnsafe       wrong owner, mode or kind of file
    │   ├── CatalogOlder        written by an older mthook
    │   ├── CatalogNewer        written by a newer mthook
    │   ├── CatalogUnwritable   SQLite can't write what it needs beside it
    │   └── CatalogConflict     somebody else changed the pin meanwhile
    ├── NovaError               Nova's database can't be used
    │   └── NovaConflict        somebody else changed the machine type there meanwhile
    ├── FleetError              the fleet's record can't be used
    │   └── FleetSchema         made by an older or a newer mthook
    ├── GlanceError             Glance can't be used
    ├── HostError               libvirt said no
    ├── RequestSpecError        a Nova request spec that isn't understood
    ├── NotFound                no such instance
    ├── Refused                 a rule forbids it; ``--force`` may allow it
    ├── InstallError            the hook can't be installed or removed
    └── MetricsError            the figures can't be written

The text of every error is one line that an operator can act on: it names the guest, the file or the option.
"""

from __future__ import annotations


class Error(Exception):
    """Base of all errors that mthook raises on purpose."""


class ConfigError(Error):
    """An option has a wrong value, or a configuration file can't be read."""


class Unconfigured(ConfigError):
    """What is asked for takes an option that isn't set."""


class MachineTypeError(Error):
    """A text can't be the name of a machine type."""


class DomainXMLError(Error):
    """Bytes that can't be read, safely, as the XML of a libvirt domain."""


class ConversionError(Error):
    """The pipeline can't rewrite a domain as asked.

    :param element: the element that stands in the way, as a path below ``<domain>``.
    """

    def __init__(self, message: str, element: str) -> None:
        super().__init__(message)
        self.element = element


class CatalogError(Error):
    """The catalog can't be used.

    :param path: the file or directory at fault.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class CatalogMissing(CatalogError):
    """There is no catalog at the configured path."""


class CatalogUnsafe(CatalogError):
    """Users other than root could read or change the catalog."""


class CatalogOlder(CatalogError):
    """The catalog is empty or was written by an older mthook; ``mthook-sync`` brings it up to date."""


class CatalogNewer(CatalogError):
    """The catalog was written by a newer mthook, whose rules this one doesn't know."""


class CatalogUnwritable(CatalogError):
    """SQLite can't write the files that it needs beside the catalog; the catalog itself may be readable."""


class CatalogConflict(CatalogError):
    """A pin, or what Nova had recorded for it, changed between reading and writing."""


class NovaError(Error):
    """Nova's database can't be reached, read or written."""


class NovaConflict(NovaError):
    """A machine type in Nova's database isn't the one that was to be replaced."""


class FleetError(Error):
    """The fleet's record can't be reached, read or written."""


class FleetSchema(FleetError):
    """The fleet's record has no tables yet, or those of an older or a newer mthook."""


class RequestSpecError(Error):
    """A request spec can't be changed: it is missing, not understood, or too large. The text goes on from "it".

    :param reason: which of these, as :data:`mthook.operations.acts.Why` has it.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class GlanceError(Error):
    """Glance can't be reached, or refuses."""


class ImageMissing(GlanceError):
    """Glance has no such image."""


class HostError(Error):
    """libvirt refused a call or can't be reached."""


class NotFound(Error):
    """No instance has this UUID or name."""


class Refused(Error):
    """A rule forbids a change of machine type.

    :param reason: which rule; one of :class:`mthook.policy.Refusal`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class InstallError(Error):
    """The hook can't be installed, removed or found."""


class MetricsError(Error):
    """The figures for Prometheus can't be written."""
