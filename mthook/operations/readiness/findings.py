# SPDX-License-Identifier: Apache-2.0
"""What a check finds, as data; sentences are made of it elsewhere."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mthook.catalog.records import Guest
from mthook.errors import CatalogError, CatalogMissing, HostError, NovaError
from mthook.text import cause

#: Plain data by stable keys; times as :func:`mthook.text.now` writes them.
Facts = dict[str, Any]

_CAUSES = {CatalogError: "catalog", HostError: "libvirt", NovaError: "nova"}


class Severity(enum.IntEnum):
    """How bad a finding is; the worst one decides."""

    SUCCESS = 0
    #: Should be looked into; the default may be changed all the same.
    WARNING = 1
    #: Has to be mended before the default may be changed.
    FAILURE = 2


@dataclass(frozen=True)
class Subject:
    """A guest, or a Nova instance, that a finding is about.

    :ivar name: what libvirt calls it, or Nova where that alone is asked; untrusted text; ``None``: only the UUID is
        known.
    :ivar display_name: what Nova calls it, as far as that is known.
    """

    uuid: str
    name: str | None
    facts: Facts = field(default_factory=dict)
    display_name: str | None = None


def of_guest(guest: Guest) -> Subject:
    """Return a guest of this host, as the catalog keeps it, with no more facts."""
    return Subject(guest.uuid, guest.name, {}, guest.display)


@dataclass(frozen=True)
class Finding:
    """One result of a check; names and keys stay what they are, as programs read them.

    :ivar kind: which of the check's findings.
    :ivar remedy: the command that mends it, or lists what is to be mended.
    """

    kind: str
    severity: Severity
    subjects: Sequence[Subject] = ()
    facts: Facts = field(default_factory=dict)
    remedy: str | None = None


@dataclass(frozen=True)
class Result:
    """Everything that one check has found, at least one finding."""

    check: str
    findings: Sequence[Finding]

    @property
    def severity(self) -> Severity:
        """The worst of it."""
        return max(finding.severity for finding in self.findings)


#: Findings by which an instance gets another machine type, or may, once the default is changed.
_CHANGING = frozenset(
    ("instances_unset", "guests_unpinned", "unlike_record", "no_database", "not_written_back")
)


@dataclass(frozen=True)
class Verdict:
    """What all results come to.

    :ivar severity: the worst; failure: no.
    :ivar changing: the instances that would get another machine type, each once.
    :ivar failed: the checks that have failed for any other reason.
    :ivar warned: the checks that have warned but not failed.
    """

    severity: Severity
    changing: Sequence[Subject]
    failed: Sequence[str]
    warned: Sequence[str]


def verdict(results: Sequence[Result]) -> Verdict:
    """Sum up; the worst severity decides."""
    failures = [
        (result.check, one)
        for result in results
        for one in result.findings
        if one.severity is Severity.FAILURE
    ]
    changing = {
        one.uuid: one
        for _, found in reversed(failures)
        if found.kind in _CHANGING
        for one in reversed(found.subjects)
    }
    failed = dict.fromkeys(check for check, found in failures if found.kind not in _CHANGING)
    warned = [one.check for one in results if one.severity is Severity.WARNING]
    worst = max(result.severity for result in results)
    return Verdict(worst, list(changing.values())[::-1], list(failed), warned)


def as_success(kind: str = "ok", subjects: Sequence[Subject] = (), **facts: Any) -> Finding:
    """Return the finding that something is as it should be."""
    return Finding(kind, Severity.SUCCESS, subjects, facts)


def as_warning(
    kind: str, subjects: Sequence[Subject] = (), remedy: str | None = None, **facts: Any
) -> Finding:
    """Return the finding that something should be looked into."""
    return Finding(kind, Severity.WARNING, subjects, facts, remedy)


def unavailable(
    error: Exception, kind: str = "unavailable", severity: Severity = Severity.FAILURE
) -> Finding:
    """Return the finding that something a check needs can't be had."""
    lacks = next((name for base, name in _CAUSES.items() if isinstance(error, base)), None)
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{error.filename}: {cause(error)}"
    remedy = "mthook-admin setup" if isinstance(error, CatalogMissing) else None
    return Finding(kind, severity, (), {"cause": lacks, "reason": reason}, remedy)
