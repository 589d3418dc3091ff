# SPDX-License-Identifier: Apache-2.0
"""The step that sets the machine type."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.errors import ConversionError, MachineTypeError
from mthook.xmlrewrite.machine import change_of_family, set_machine
from mthook.xmlrewrite.target import Target


def step(os_type: str, target: str) -> tuple[str, list[str]]:
    domain = etree.fromstring(f"<domain><os>{os_type}</os></domain>")
    changes = set_machine(domain, Target(target))
    found = domain.find("os/type")
    assert found is not None
    return etree.tostring(found).decode(), changes


@pytest.mark.parametrize(
    ("present", "target"),
    [
        ("pc-i440fx-6.2", "pc-i440fx-7.2"),
        ("pc-i440fx-7.2", "pc-i440fx-6.2"),
        ("pc", "pc-i440fx-7.2"),
        ("pc-q35-jammy-hpb", "q35"),
        ("pc-1.0", "pc-i440fx-1.4"),
    ],
)
def test_a_version_of_the_family_is_set(present: str, target: str) -> None:
    """Any name of the family replaces any other, older and aliases too."""
    found = step(f'<type arch="x86_64" machine="{present}">hvm</type>', target)

    assert found == (
        f'<type arch="x86_64" machine="{target}">hvm</type>',
        [f"machine type: {present} → {target}"],
    )


@pytest.mark.parametrize("attribute", ["", ' machine=""'])
def test_a_missing_machine_type_is_added(attribute: str) -> None:
    """Where libvirt would choose, the target is written."""
    assert step(f'<type arch="aarch64"{attribute}>hvm</type>', "virt-7.2") == (
        '<type arch="aarch64" machine="virt-7.2">hvm</type>',
        ["machine type: none → virt-7.2"],
    )


def test_the_right_machine_type_is_no_change() -> None:
    """The same name says and does nothing."""
    xml = '<type machine="isapc">hvm</type>'

    assert step(xml, "isapc") == (xml, [])


@pytest.mark.parametrize(
    ("arch", "target"),
    [
        ("i686", "q35"),
        ("ppc64le", "pseries-8.0"),
        ("s390x", "s390-ccw-virtio-7.2"),
        ("loongarch64", "virt"),
        ("", "q35"),
        ("loongarch64", "isapc"),
    ],
)
def test_a_machine_type_of_the_architecture_can_be_added(arch: str, target: str) -> None:
    """Known boards on their architectures, and whatever isn't known to be foreign."""
    assert step(f'<type arch="{arch}">hvm</type>', target)[1] == [f"machine type: none → {target}"]


@pytest.mark.parametrize(
    ("arch", "target"),
    [
        ("aarch64", "pc-i440fx-7.2"),
        ("x86_64", "virt-7.2"),
        ("s390x", "q35"),
        ("ppc64", "virt"),
        ("riscv64", "s390-ccw-virtio"),
    ],
)
def test_a_machine_type_of_another_architecture_is_refused(arch: str, target: str) -> None:
    """A board that the architecture doesn't have can't be meant."""
    with pytest.raises(ConversionError) as caught:
        step(f"<type arch='{arch}'>hvm</type>", target)

    assert (caught.value.element, str(caught.value)) == (
        "os/type",
        f"{target} isn't a machine type of {arch}",
    )


@pytest.mark.parametrize(
    ("present", "target"), [("isapc", "q35"), ("pc-q35-7.2", "microvm"), ("foo", "pc")]
)
def test_a_family_that_nobody_can_convert_is_refused(present: str, target: str) -> None:
    """A change of family needs other devices and isn't made by name alone."""
    with pytest.raises(ConversionError, match=f"^can't convert {present} ") as caught:
        step(f"<type machine='{present}'>hvm</type>", target)

    assert caught.value.element == "os/type"


@pytest.mark.parametrize(
    ("os_type", "target", "families"),
    [
        ("<type machine='pc'>hvm</type>", "pc-q35-7.2", ("i440fx", "q35")),
        ("<type machine='pc-q35-6.2'>hvm</type>", "ubuntu", ("q35", "i440fx")),
        ("<type arch='x86_64'>hvm</type>", "q35", ("i440fx", "q35")),
        ("<type>hvm</type>", "q35", ("i440fx", "q35")),
        ("<type arch='x86_64'>hvm</type>", "pc", None),
        ("<type arch='aarch64'>hvm</type>", "virt", None),
        ("<type machine='pc'>hvm</type>", "pc-i440fx-7.2", None),
        ("<type machine='isapc'>hvm</type>", "pc", None),
    ],
)
def test_a_change_of_family_is_told_from_one_of_version(
    os_type: str, target: str, families: tuple[str, str] | None
) -> None:
    """Where libvirt is left to choose it takes an i440fx on x86."""
    domain = etree.fromstring(f"<domain><os>{os_type}</os></domain>")

    found = change_of_family(domain, Target(target))

    assert (found and (found[0].family, found[1].family)) == families


@pytest.mark.parametrize(
    ("arch", "target", "present"),
    [
        ("", "isapc", "pc"),
        ("x86_64", "isapc", "pc"),
        ("x86_64", "microvm", "pc"),
        ("aarch64", "sbsa-ref", "virt"),
        ("s390x", "none", "s390-ccw-virtio"),
        ("ppc64le", "powernv9", "pseries"),
    ],
)
@pytest.mark.parametrize("machine", ["", "machine=''"])
def test_a_domain_without_a_machine_type_is_what_libvirt_makes_of_it(
    arch: str, target: str, present: str, machine: str
) -> None:
    """So it can't be made another board by name alone either."""
    given = f"arch='{arch}'" if arch else ""
    with pytest.raises(ConversionError, match=f"^can't convert {present} ") as caught:
        step(f"<type {given} {machine}>hvm</type>", target)

    assert caught.value.element == "os/type"


@pytest.mark.parametrize("target", ["pc-i440fx-7.2", "pc-i440fx-6.2", "q35"])
@pytest.mark.parametrize(
    "argument", ["type=pc-i440fx-7.1", "pc-i440fx-7.1,hpet=off", "hpet=off,type=pc-i440fx-7.1"]
)
def test_a_machine_type_in_an_argument_for_qemu_is_never_overlooked(
    target: str, argument: str
) -> None:
    """Also within the family, and where the definition says the right thing already."""
    xml = (
        "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><os>"
        "<type machine='pc-i440fx-7.2'>hvm</type></os><qemu:commandline><qemu:arg value='-M'/>"
        f"<qemu:arg value='{argument}'/></qemu:commandline></domain>"
    )

    with pytest.raises(ConversionError) as caught:
        set_machine(etree.fromstring(xml), Target(target))

    assert (caught.value.element, str(caught.value)) == (
        "qemu:commandline/qemu:arg",
        "an argument for QEMU makes it pc-i440fx-7.1, whatever <os><type> says: take -machine out of"
        " <qemu:commandline>",
    )
    assert set_machine(etree.fromstring(xml), Target("pc-i440fx-7.1")) != []


@pytest.mark.parametrize("inside", ["", "<os/>", "<x:os xmlns:x='urn:x'><type/></x:os>"])
def test_a_domain_without_a_type_is_refused(inside: str) -> None:
    """There is nothing to carry the machine type."""
    with pytest.raises(ConversionError) as caught:
        set_machine(etree.fromstring(f"<domain>{inside}</domain>"), Target("pc"))

    assert caught.value.element == "os/type"


@pytest.mark.parametrize("target", ["", "pc q35", "pc'/><evil"])
def test_a_target_that_is_no_name_is_refused(target: str) -> None:
    """Nothing but a machine type's name is ever written."""
    with pytest.raises(MachineTypeError):
        step("<type machine='pc'>hvm</type>", target)
