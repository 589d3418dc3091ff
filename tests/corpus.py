# SPDX-License-Identifier: Apache-2.0
"""The corpus of domains: what goes into the pipeline, and what comes out or why it is refused.

A case is ``NAME-in.xml``, an entry in ``targets.json`` and either ``NAME-out.xml`` or
``NAME-refused.txt``.
``libvirt-*`` were defined in a real libvirt and are what it shows of them; ``nova-*`` were generated
by real Nova code, for the same instance with either board; the others are made by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mthook.errors import MachineTypeError
from mthook.machinetype import MachineType
from mthook.xmlrewrite import summary
from mthook.xmlrewrite.pipeline import Target

DIRECTORY = Path(__file__).with_name("fixtures") / "domains"
#: What each is to become, and what that changes.
TARGETS = json.loads((DIRECTORY / "targets.json").read_text("utf-8"))


@dataclass(frozen=True)
class Case:
    """One domain and what it is to become.

    :ivar changes: the report.
    :ivar out: the domain that comes out, None where it is refused.
    :ivar refused: element and reason, None where it isn't.
    """

    name: str
    xml: bytes = field(repr=False)
    target: Target = field(repr=False)
    changes: list[str] = field(repr=False)
    out: Optional[bytes] = field(repr=False)
    refused: Optional[str] = field(repr=False)

    @property
    def changes_family(self) -> bool:
        """Whether an i440fx is to become a q35 or the other way round."""
        try:
            old = MachineType.parse(summary.read(self.xml).machine or "pc").family
        except MachineTypeError:
            return False
        return {old, MachineType.parse(self.target.machine).family} == {"i440fx", "q35"}


def read(name: str) -> Case:
    """Return a case."""
    facts = TARGETS[name]
    more = {name: facts.get(name, 0) for name in ("ports", "libvirt")}
    target = Target(facts["machine"], facts.get("instance"), facts.get("since"), **more)
    out, refused = (DIRECTORY / f"{name}{end}" for end in ("-out.xml", "-refused.txt"))
    return Case(
        name,
        (DIRECTORY / f"{name}-in.xml").read_bytes(),
        target,
        facts.get("changes", []),
        out.read_bytes() if out.exists() else None,
        refused.read_text("utf-8") if refused.exists() else None,
    )


CASES = [read(path.name[: -len("-in.xml")]) for path in sorted(DIRECTORY.glob("*-in.xml"))]
REWRITTEN = [case for case in CASES if case.out is not None]
REFUSED = [case for case in CASES if case.out is None]
CONVERTED = [case for case in REWRITTEN if case.changes_family]


def twin(case: Case) -> Optional[Case]:
    """Return the case of the same Nova instance with the other board."""
    for here, there in (("-pc-to-q35", "-q35-to-pc"), ("-q35-to-pc", "-pc-to-q35")):
        name = case.name.replace(here, there)
        if case.name.startswith("nova-") and case.name.endswith(here):
            return next((other for other in CASES if other.name == name), None)
    return None


def ident(case: Case) -> str:
    """Return a case's name, for pytest."""
    return case.name
