# SPDX-License-Identifier: Apache-2.0
"""UEFI, Secure Boot and System Management Mode.

A variables file stays what it is: with the same build of the firmware both boards boot from it.
"""

from __future__ import annotations

import posixpath
import re

from lxml import etree

from mthook.errors import ConversionError
from mthook.text import printable
from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family.board import Conversion, nova_setting

#: File names of firmware builds that need SMM, which i440fx machines don't give them: Debian's and
#: Fedora's ``OVMF_CODE_4M.secboot.fd``, ``.ms.fd`` and ``.snakeoil.fd``, SUSE's
#: ``ovmf-x86_64-smm-code.bin``, QEMU's ``edk2-x86_64-secure-code.fd``.
_NEEDS_SMM = re.compile(r"\.(secboot|ms|snakeoil)\.|[-_](secure|smm)[-_.]", re.IGNORECASE)
_SECURE_FEATURES = ("secure-boot", "enrolled-keys")
#: The first libvirt that can be told which features a firmware that it chooses has, as it counts its versions.
_CHOOSES_BY_FEATURES = 7_002_000


def check_secure_boot(domain: etree._Element, conversion: Conversion) -> None:
    """Only a q35 has Secure Boot.

    ``Secure boot is supported with q35 machine types only``; where libvirt chooses the firmware it
    defines the guest, and the start fails with ``Unable to find any firmware to satisfy 'efi'``.
    """
    found = [] if conversion.to_q35 else _asking(domain)
    if found and not _is_optional(domain):
        where = "os/loader" if found[0].tag == "loader" else "os/firmware/feature"
        raise ConversionError(f"{conversion.new} has no Secure Boot", where)


def check_loader(domain: etree._Element, conversion: Conversion) -> None:
    """A firmware built for Secure Boot needs q35's SMM: it hangs, or its variables are unprotected.

    libvirt defines and starts it; only the firmware's own descriptor says ``pc-q35-*``.
    """
    path = (domain.findtext("os/loader") or "").strip()
    if not conversion.to_q35 and _NEEDS_SMM.search(posixpath.basename(path)):
        raise ConversionError(
            f"firmware {printable(path)} is built for Secure Boot, which {conversion.new} hasn't",
            "os/loader",
        )


def check_choice(domain: etree._Element, conversion: Conversion) -> None:
    """An old libvirt can't be told to do without Secure Boot on q35.

    It ignores ``<firmware>`` (with validation: ``Unable to validate doc against …/domain.rng``) and starts a q35 with
    another firmware than i440fx's, ``OVMF_CODE.ms.fd``.
    """
    os_element = domain.find("os[@firmware='efi']")
    if os_element is not None and conversion.to_q35 and not _can_ask(conversion):
        raise ConversionError(
            f"left to choose, libvirt before 7.2 gives {conversion.new} a firmware with Secure Boot; name the file"
            " in <os><loader> in place of firmware='efi' first",
            "os",
        )


def drop_secure_boot(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Where Nova was told that Secure Boot is optional, do without, as Nova does on i440fx.

    With it the start fails: ``Unable to find any firmware to satisfy 'efi'``. Nova also writes ``secure='no'``,
    which is the default, and which libvirt 9.0 refuses where it chooses: ``loader attribute 'secure' cannot be
    specified when firmware autoselection is enabled``.
    """
    found = [] if conversion.to_q35 else _asking(domain)
    if not found or not _is_optional(domain):
        return []
    for one in found:
        if one.tag == "feature":
            one.set("enabled", "no")
            continue
        del one.attrib["secure"]
        if not one.attrib and not (one.text or "").strip():
            elements.remove(one)
    return [f"firmware: Secure Boot off, {conversion.new.family} has none"]


def fix_choice(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Where libvirt chooses the firmware, ask for one without Secure Boot: the one i440fx has.

    Left to choose, libvirt 9.0 starts a q35 with another firmware, ``OVMF_CODE_4M.ms.fd``, and SMM,
    on the variables of the old one. It says nothing.
    """
    os_element = domain.find("os[@firmware='efi']")
    if os_element is None or _is_chosen(os_element) or not _can_ask(conversion):
        return []
    firmware = os_element.find("firmware")
    if firmware is None:
        firmware = etree.Element("firmware")
        elements.insert_first(os_element, firmware)
    elements.append(firmware, etree.Element("feature", enabled="no", name="secure-boot"))
    note = "" if conversion.to_q35 else "; libvirt may have chosen it on q35, i440fx has none"
    return [f"firmware: no Secure Boot asked for{note}"]


def note_choice(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Say that the firmware may change where libvirt can't be asked for one; on i440fx it has one choice."""
    found = domain.find("os[@firmware='efi']") is not None
    if not found or conversion.to_q35 or _can_ask(conversion):
        return []
    return ["firmware: libvirt may have chosen one with Secure Boot on q35, i440fx has none"]


def drop_tseg(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Only a q35 has extended SMRAM.

    ``SMM TSEG is only supported with q35 machine type``
    """
    if conversion.to_q35:
        return []
    found = domain.findall("features/smm/tseg")
    for tseg in found:
        elements.remove(tseg)
    return ["smm: extended memory (tseg) removed, i440fx has none"] if found else []


def _asking(domain: etree._Element) -> list[etree._Element]:
    """Return what asks for Secure Boot."""
    features = domain.iterfind("os/firmware/feature[@enabled='yes']")
    return [
        *domain.iterfind("os/loader[@secure='yes']"),
        *(one for one in features if one.get("name") in _SECURE_FEATURES),
    ]


def _can_ask(conversion: Conversion) -> bool:
    return not conversion.libvirt or conversion.libvirt >= _CHOOSES_BY_FEATURES


def _is_optional(domain: etree._Element) -> bool:
    return nova_setting(domain, "os_secure_boot", "os:secure_boot") == "optional"


def _is_chosen(os_element: etree._Element) -> bool:
    """Tell whether it is settled which firmware the guest gets, with Secure Boot or without."""
    loader = os_element.find("loader")
    # Older libvirts (qemuFirmwareMatchDomain in 7.0 to 9.0) choose one with Secure Boot in spite of secure='no'.
    if loader is not None and ((loader.text or "").strip() or loader.get("secure") == "yes"):
        return True
    # Keys are enrolled in a firmware with Secure Boot: libvirt finds no other, and refuses both
    # together with "cannot be enabled when firmware feature 'secure-boot' is disabled".
    return any(
        one.get("name") == "secure-boot"
        or (one.get("name") == "enrolled-keys" and one.get("enabled") == "yes")
        for one in os_element.iterfind("firmware/feature")
    )
