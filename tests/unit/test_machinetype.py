# SPDX-License-Identifier: Apache-2.0
"""Names of machine types: every shape parses, and only what has an order is ordered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mthook import machinetype
from mthook.errors import MachineTypeError
from mthook.machinetype import (
    MachineType,
    compare,
    nearest,
    of_arguments,
    same_line,
)

MACHINES = json.loads((Path(__file__).parents[1] / "fixtures" / "machines.json").read_text())
DEBIAN = [machine["name"] for machine in MACHINES["x86_64"]]

# name: family, vendor, version, code name, suffix, revision
SHAPES = {
    "pc": ("i440fx", "", None, None, "", None),
    "q35": ("q35", "", None, None, "", None),
    "virt": ("virt", "", None, None, "", None),
    "s390-ccw-virtio": ("s390-ccw-virtio", "", None, None, "", None),
    "pseries": ("pseries", "", None, None, "", None),
    "microvm": ("microvm", "", None, None, "", None),
    "ubuntu": ("i440fx", "ubuntu", None, None, "", None),
    "ubuntu-q35": ("q35", "ubuntu", None, None, "", None),
    "pc-i440fx-6.2": ("i440fx", "upstream", (6, 2), None, "", None),
    "pc-i440fx-10.0": ("i440fx", "upstream", (10, 0), None, "", None),
    "pc-q35-4.0.1": ("q35", "upstream", (4, 0, 1), None, "", None),
    "pc-1.0": ("i440fx", "upstream", (1, 0), None, "", None),
    "pc-0.12": ("i440fx", "upstream", (0, 12), None, "", None),
    "pc-1.0-precise": ("i440fx", "upstream", (1, 0), None, "precise", None),
    "virt-9.2": ("virt", "upstream", (9, 2), None, "", None),
    "pseries-8.0": ("pseries", "upstream", (8, 0), None, "", None),
    "s390-ccw-virtio-7.2": ("s390-ccw-virtio", "upstream", (7, 2), None, "", None),
    "pseries-rhel7.6.0-sxxm": ("pseries", "rhel", (7, 6, 0), None, "sxxm", None),
    "pc-q35-rhel10.2.0": ("q35", "rhel", (10, 2, 0), None, "", None),
    "pc-i440fx-rhel7.6.0": ("i440fx", "rhel", (7, 6, 0), None, "", None),
    "virt-rhel9.4.0": ("virt", "rhel", (9, 4, 0), None, "", None),
    "s390-ccw-virtio-rhel9.4.0": ("s390-ccw-virtio", "rhel", (9, 4, 0), None, "", None),
    "pc-i440fx-focal": ("i440fx", "ubuntu", None, "focal", "", None),
    "pc-q35-jammy-hpb": ("q35", "ubuntu", None, "jammy", "hpb", None),
    "pc-q35-mantic-maxcpus": ("q35", "ubuntu", None, "mantic", "maxcpus", None),
    "pc-i440fx-noble-v2": ("i440fx", "ubuntu", None, "noble", "v2", None),
    "s390-ccw-virtio-jammy": ("s390-ccw-virtio", "ubuntu", None, "jammy", "", None),
    "pc-i440fx-1.5-qemu-kvm": ("i440fx", "upstream", (1, 5), None, "qemu-kvm", None),
    "pc-i440fx-9.2+pve1": ("i440fx", "pve", (9, 2), None, "", 1),
    "pc-q35-9.2+pve0": ("q35", "pve", (9, 2), None, "", 0),
    "pc+pve1": ("i440fx", "pve", None, None, "", 1),
    "pc-i440fx-2.11+pve1.pxe": ("i440fx", "pve", (2, 11), None, "pxe", 1),
    "pc-i440fx-1.4.pxe": ("i440fx", "upstream", (1, 4), None, "pxe", None),
    "pc-q35-2.12.pxe": ("q35", "upstream", (2, 12), None, "pxe", None),
    "rhel6.5.0": ("i440fx", "rhel", (6, 5, 0), None, "", None),
    "isapc": ("isapc", "", None, None, "", None),
    "x-remote": ("x-remote", "", None, None, "", None),
    "mps2-an385": ("mps2-an385", "", None, None, "", None),
    "z2": ("z2", "", None, None, "", None),
    "shakti_c": ("shakti_c", "", None, None, "", None),
    "xlnx-versal-virt": ("xlnx-versal-virt", "", None, None, "", None),
    "loongson-board-8.1": ("loongson-board", "upstream", (8, 1), None, "", None),
    # Nobody has described these: families of their own, never mistaken for a known one.
    "pc-i440fx-": ("pc-i440fx-", "", None, None, "", None),
    "pc-i440fx-7": ("pc-i440fx-7", "", None, None, "", None),
    "pc-i440fx-7.2+deb12": ("pc-i440fx-7.2+deb12", "", None, None, "", None),
    "pc-i440fx-7.2+pve": ("pc-i440fx-7.2+pve", "", None, None, "", None),
    "pc-i440fx-7.2+pve1-x": ("pc-i440fx-7.2+pve1-x", "", None, None, "", None),
    "pc-q35-rhel9": ("pc-q35-rhel9", "", None, None, "", None),
    "pc-q35-7..2": ("pc-q35-7..2", "", None, None, "", None),
    "rhelx": ("rhelx", "", None, None, "", None),
    "rhel6": ("rhel6", "", None, None, "", None),
    "pc-foo": ("pc-foo", "", None, None, "", None),
    "virt-X1": ("virt-X1", "", None, None, "", None),
}

NOT_NAMES = {
    "": "the machine type is empty",
    "x" * 256: f"machine type '{'x' * 40}...' is longer than 255 characters",
    "-pc": "machine type '-pc' holds characters that no machine type's name has",
    "--help": "machine type '--help' holds characters that no machine type's name has",
    "pc 1": "machine type 'pc 1' holds characters that no machine type's name has",
    "pc\nq35": r"machine type 'pc\nq35' holds characters that no machine type's name has",
    "pc;reboot": "machine type 'pc;reboot' holds characters that no machine type's name has",
    "$(id)": "machine type '$(id)' holds characters that no machine type's name has",
    "' OR 1=1 --": "machine type '' OR 1=1 --' holds characters that no machine type's name has",
    "pc,accel=tcg": "machine type 'pc,accel=tcg' holds characters that no machine type's name has",
    "../pc": "machine type '../pc' holds characters that no machine type's name has",
    "virt-٧.٢": "machine type 'virt-٧.٢' holds characters that no machine type's name has",
    "pc\x00": r"machine type 'pc\x00' holds characters that no machine type's name has",
}


def parts(name: str) -> tuple[object, ...]:
    found = MachineType.parse(name)
    return (
        found.family,
        found.vendor,
        found.version,
        found.codename,
        found.suffix,
        found.revision,
    )


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_in_use_is_taken_apart(name: str) -> None:
    """Family, vendor, version, code name, suffix and revision of every known shape are read."""
    assert parts(name) == SHAPES[name]


@pytest.mark.parametrize("name", NOT_NAMES, ids=ascii)
def test_what_is_no_name_is_refused_in_one_line(name: str) -> None:
    """Empty, too long and hostile names raise an error that shows them escaped and shortened."""
    with pytest.raises(MachineTypeError) as caught:
        MachineType.parse(name)

    assert str(caught.value) == NOT_NAMES[name]


def test_the_longest_name_that_nova_can_store_is_read() -> None:
    """255 characters, the width of Nova's column, are a name."""
    assert MachineType.parse("x" * 255).family == "x" * 255


@pytest.mark.parametrize("arch", MACHINES)
def test_a_real_hosts_versioned_names_are_those_behind_a_prefix(arch: str) -> None:
    """Of Debian's QEMU 7.2, exactly the pc-, virt- and s390-ccw-virtio- names are versioned."""
    names = [machine["name"] for machine in MACHINES[arch]]

    versioned = [name for name in names if MachineType.parse(name).is_versioned]

    prefixes = ("pc-i440fx-", "pc-q35-", "virt-", "s390-ccw-virtio-")
    assert versioned == [name for name in names if name.startswith(prefixes)]


@pytest.mark.parametrize("arch", MACHINES)
def test_a_real_hosts_aliases_resolve_within_their_family(arch: str) -> None:
    """Each alias that Debian's QEMU 7.2 lists has the family of the name behind it."""
    pairs = [(m["name"], m["canonical"]) for m in MACHINES[arch] if "canonical" in m]

    assert [MachineType.parse(alias).family for alias, _ in pairs] == [
        MachineType.parse(canonical).family for _, canonical in pairs
    ]


def test_a_name_is_an_alias_or_versioned() -> None:
    """A version or a code name makes a versioned name, anything else is an alias."""
    names = ["pc", "ubuntu", "isapc", "pc+pve1", "pc-i440fx-7.2", "pc-i440fx-focal"]

    kinds = [(MachineType.parse(n).is_versioned, MachineType.parse(n).is_alias) for n in names]

    assert kinds == [(False, True)] * 4 + [(True, False)] * 2


def test_machine_types_are_equal_by_name() -> None:
    """Equality, hash and the printed forms go by the name."""
    one, same, other = (MachineType.parse(n) for n in ("virt-8.0", "virt-8.0", "virt-8.1"))

    assert (one == same, one == other, one == "virt-8.0") == (True, False, False)
    assert {one, same, other} == {one, other}
    assert (str(one), repr(one)) == ("virt-8.0", "MachineType('virt-8.0')")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("pc-i440fx-6.2", "pc-i440fx-7.2", -1),
        ("pc-i440fx-9.2", "pc-i440fx-10.0", -1),
        ("pc-i440fx-2.10", "pc-i440fx-2.9", 1),
        ("pc-q35-4.0", "pc-q35-4.0.1", -1),
        ("pc-q35-4.0", "pc-q35-4.0.0", 0),
        ("pc-1.0", "pc-i440fx-1.4", -1),
        ("pc-q35-rhel9.4.0", "pc-q35-rhel10.0.0", -1),
        ("pc-i440fx-9.2+pve2", "pc-i440fx-9.2+pve1", 1),
        ("pc-i440fx-9.0+pve5", "pc-i440fx-9.2+pve0", -1),
        ("pseries-rhel7.6.0-sxxm", "pseries-rhel7.5.0-sxxm", 1),
        ("pc-i440fx-focal", "pc-i440fx-focal", 0),
        ("pc-i440fx-7.2", "pc-i440fx-7.2", 0),
    ],
)
def test_versions_of_one_line_are_ordered_numerically(a: str, b: str, expected: int) -> None:
    """Parts compare as numbers, missing ones as 0, Proxmox' revision last."""
    assert compare(MachineType.parse(a), MachineType.parse(b)) == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("pc-i440fx-6.2", "pc-q35-6.2"),
        ("pc-i440fx-7.2", "pc-i440fx-rhel7.6.0"),
        ("pc-i440fx-9.2", "pc-i440fx-9.2+pve1"),
        ("pc-i440fx-focal", "pc-i440fx-jammy"),
        ("pc-q35-jammy", "pc-q35-jammy-hpb"),
        ("pseries-rhel7.6.0", "pseries-rhel7.6.0-sxxm"),
        ("pc-i440fx-1.5", "pc-i440fx-1.5-qemu-kvm"),
        ("pc", "pc-i440fx-7.2"),
        ("pc-i440fx-7.2", "pc"),
        ("pc+pve1", "pc-i440fx-9.2+pve1"),
        ("pc-i440fx-9.2+pve1", "pc+pve1"),
        ("pc", "pc"),
    ],
)
def test_what_has_no_order_is_not_comparable(a: str, b: str) -> None:
    """Other families, vendors, suffixes, code names and aliases are never older or newer."""
    assert compare(MachineType.parse(a), MachineType.parse(b)) is None


def test_a_line_is_one_family_from_one_vendor() -> None:
    """Version and suffix don't matter to the line, family and vendor do."""
    base = MachineType.parse("pc-q35-jammy")
    others = ["pc-q35-noble-v2", "pc-i440fx-jammy", "pc-q35-7.2", "ubuntu-q35"]

    assert [same_line(base, MachineType.parse(n)) for n in others] == [True, False, False, True]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pc-i440fx-8.0", ["pc-i440fx-7.2", "pc-i440fx-7.1", "pc-i440fx-7.0"]),
        ("pc-i440fx-2.95", ["pc-i440fx-3.0", "pc-i440fx-3.1", "pc-i440fx-2.12"]),
        ("pc-i440fx-6.1", ["pc-i440fx-6.2", "pc-i440fx-6.0", "pc-i440fx-7.0"]),
        ("pc-q35-4.0.2", ["pc-q35-4.0.1", "pc-q35-4.0", "pc-q35-4.1"]),
        ("pc-q35-noble", ["pc-q35-7.2", "pc-q35-7.1", "pc-q35-7.0"]),
        ("ubuntu", ["pc", "pc-i440fx-7.2", "pc-i440fx-7.1"]),
        ("virt-8.0", []),
    ],
)
def test_the_nearest_names_of_the_family_are_offered(name: str, expected: list[str]) -> None:
    """Up to three, nearest first, newer before older; never the name itself."""
    assert nearest(name, DEBIAN) == expected


def test_the_vendors_own_line_is_offered_before_others() -> None:
    """With a release of the same vendor at hand, another vendor's isn't offered."""
    supported = ["pc-q35-9.2", "pc-q35-rhel9.2.0", "pc-q35-rhel9.6.0", "q35", "bad name"]

    assert nearest("pc-q35-rhel9.4.0", supported) == ["pc-q35-rhel9.6.0", "pc-q35-rhel9.2.0"]


def test_what_can_be_ordered_is_offered_first() -> None:
    """A release further away is nearer than the same one with other hardware."""
    supported = ["pseries-rhel7.6.0-sxxm", "pseries-rhel7.4.0"]

    assert nearest("pseries-rhel7.6.0", supported) == ["pseries-rhel7.4.0", *supported[:1]]


def test_no_name_is_near_to_what_is_no_name() -> None:
    """Asking for neighbours of a text that isn't a name is the same error as parsing it."""
    with pytest.raises(MachineTypeError):
        nearest("pc q35", DEBIAN)


versions = st.lists(st.integers(0, 2000), min_size=2, max_size=5).map(
    lambda numbers: "virt-" + ".".join(map(str, numbers))
)


@given(versions, versions, versions)
def test_the_order_of_a_line_is_total(a: str, b: str, c: str) -> None:
    """Comparing is antisymmetric and transitive over any versions of one line."""
    x, y, z = (MachineType.parse(name) for name in (a, b, c))
    xy, yx, yz, xz = compare(x, y), compare(y, x), compare(y, z), compare(x, z)

    assert xy is not None and yx is not None and yz is not None and xz is not None
    assert xy == -yx
    if xy <= 0 and yz <= 0:
        assert xz <= 0


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_a_machine_type_error(text: str) -> None:
    """No text makes the parser fail in another way, and errors are one printable line."""
    try:
        assert MachineType.parse(text).name == text
    except MachineTypeError as error:
        assert str(error).isprintable()


@given(
    st.text("abcdpq35v.+-_0123456789", min_size=1, max_size=30).filter(lambda t: t[0] != "-"),
    st.lists(st.text("abcpq35-.+e", min_size=1, max_size=20), max_size=10),
)
def test_neighbours_are_candidates_of_the_family(name: str, candidates: list[str]) -> None:
    """What is offered is at most three different candidates, all of the wanted family."""
    offered = nearest(name, [*candidates, *DEBIAN])

    assert len(set(offered)) == len(offered) <= 3
    assert set(offered) <= {*candidates, *DEBIAN} - {name}
    assert {MachineType.parse(o).family for o in offered} <= {MachineType.parse(name).family}


@pytest.mark.parametrize(
    "name",
    [
        *("pc", "q35", "virt", "s390-ccw-virtio", "pseries", "microvm", "ubuntu", "ubuntu-q35"),
        *("pc-i440fx-7.2", "pc-q35-4.0.1", "pc-1.0", "virt-9.2", "s390-ccw-virtio-7.2"),
        *("pc-q35-rhel10.2.0", "virt-rhel9.4.0", "s390-ccw-virtio-rhel9.6.0"),
        *("pseries-9.0", "pseries-rhel7.6.0-sxxm", "microvm-7.2"),
        *("pc-i440fx-focal", "pc-q35-jammy-hpb", "pc-i440fx-9.2+pve1"),
    ],
)
def test_names_of_known_shapes_are_known(name: str) -> None:
    """Whichever QEMU has them."""
    assert machinetype.is_known(name)


@pytest.mark.parametrize(
    "name",
    [
        *("none", "isapc", "sbsa-ref", "pc-q35", "pc-i440fx", "pc-i440fx-7", "i440fx"),
        *("q35-7.2", "i440fx-7.2", "pc-foo-1.0", "foo-1.0", "virtual-1.0"),
    ],
)
def test_other_names_are_not(name: str) -> None:
    """Slips of the pen among them."""
    assert not machinetype.is_known(name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), None),
        (("-machine", "pc-q35-7.2"), "pc-q35-7.2"),
        (("--machine", "type=pc-q35-7.2"), "pc-q35-7.2"),
        (("-M", "hpet=off,type=q35"), "q35"),
        (("--M", "q35,hpet=off"), "q35"),
        (("-machine", "type=pc,type=q35"), "q35"),
        (("-machine", "pc", "-M", "q35"), "q35"),
        (("-machine", "q35", "-M", "hpet=off"), "q35"),
        (("-machine", "hpet=off"), None),
        (("-machine", ""), None),
        (("-machine", "type="), None),
        (("-machine", "no such"), None),
        (("-name", "q35"), None),
        (("q35", "-machine"), None),
        (("-machine", "none"), "none"),
    ],
)
def test_the_last_machine_type_in_arguments_counts(
    arguments: tuple[str, ...], expected: str | None
) -> None:
    """As QEMU itself reads them; measured with 7.2."""
    assert of_arguments(arguments) == expected
