# SPDX-License-Identifier: Apache-2.0
"""Start every distinct definition of this host's guests under another QEMU, apart from the guests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mthook.errors import DomainXMLError, HostError, NotFound
from mthook.operations.forecast.outlook import RESTORE, REVERT, START
from mthook.xmlrewrite.alone import Alone, alone

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.domains import Domain
    from mthook.xmlrewrite.definition import Definition

#: Architectures that an emulator of another name runs.
_RUNS = {"x86_64": ("x86_64", "i686"), "aarch64": ("aarch64", "armv7l")}


@dataclass(frozen=True)
class Scene:
    """One of a guest's domains.

    :ivar kind: ``start``, ``restore`` (what its managed-save image holds) or ``revert`` (what a snapshot holds).
    :ivar snapshot: which.
    :ivar problem: why it isn't available.
    """

    uuid: str
    name: str
    kind: str
    definition: Definition | None = None
    snapshot: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Rehearsed:
    """How one of a guest's domains fared.

    :ivar error: why it doesn't start, mostly in QEMU's words; None: it does.
    :ivar left_out: which parts of it weren't there to be tried.
    :ivar other_arch: its architecture, where the binary has another one: it wasn't tried.
    """

    uuid: str
    name: str
    kind: str
    snapshot: str | None = None
    error: str | None = None
    left_out: Sequence[str] = ()
    other_arch: str | None = None


def scenes(host: Host, domains: Iterable[Domain]) -> Iterator[Scene]:
    """Yield every domain there is of every guest: its definition, its managed-save image, its snapshots."""
    from mthook.host import domains as reading

    for domain in domains:
        who = (domain.uuid, domain.name)
        try:
            definition = reading.definition(host, domain.uuid, secrets=False)
            yield Scene(*who, START, definition)
            if domain.managed_save:
                yield Scene(*who, RESTORE, reading.saved_definition(host, domain.uuid))
            if domain.snapshots:
                found = reading.snapshot_definitions(host, domain.uuid)
                yield from (Scene(*who, REVERT, one, name) for name, one in found.items())
        except NotFound:
            continue
        except HostError as error:
            yield Scene(*who, START, problem=str(error))


def rehearse(found: Iterable[Scene], binary: str, arch: str) -> Iterator[Rehearsed]:
    """Start each distinct domain once under a binary, and yield how every one did.

    :param arch: what the binary emulates.
    :raises HostError: no domain can be started at all.
    """
    waiting: dict[str, tuple[Alone, str, list[Scene]]] = {}
    for scene in found:
        try:
            known = _prepared(scene, binary)
        except DomainXMLError as error:
            yield _of(scene, error=str(error))
            continue
        if isinstance(known, str):
            yield _of(scene, error=known)
        elif known[1] not in _RUNS.get(arch, (arch,)):
            yield _of(scene, other_arch=known[1])
        else:
            waiting.setdefault(known[0].key, (*known, []))[2].append(scene)
    yield from _started(list(waiting.values()))


def _prepared(scene: Scene, binary: str) -> tuple[Alone, str] | str:
    if scene.definition is None:
        return scene.problem or ""
    return alone(scene.definition, binary), scene.definition.summary.arch


def _started(waiting: Sequence[tuple[Alone, str, list[Scene]]]) -> Iterator[Rehearsed]:
    from mthook.host.rehearsal import start_each

    errors = start_each((one.xml, arch) for one, arch, _ in waiting)
    for (one, _, alike), error in zip(waiting, errors):
        yield from (_of(scene, error=error, left_out=one.left_out) for scene in alike)


def _of(
    scene: Scene,
    *,
    error: str | None = None,
    left_out: Sequence[str] = (),
    other_arch: str | None = None,
) -> Rehearsed:
    where = (scene.uuid, scene.name, scene.kind, scene.snapshot)
    return Rehearsed(*where, error, left_out, other_arch)
