# SPDX-License-Identifier: Apache-2.0
"""What a kept definition doesn't hold, and that the way back doesn't miss it."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.family.likeness import form
from mthook.xmlrewrite.pipeline import Original, Target, rewrite
from mthook.xmlrewrite.secrets import masked, without_secrets
from tests.corpus import CONVERTED, Case, ident

AT = "2026-11-22T13:00:00.000000Z"
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
HIDDEN = f"""<domain type='kvm'>
  <name>web-1</name>
  <metadata>
    <n:notes xmlns:n='urn:notes' key='sesame'>sesame</n:notes>
  </metadata>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <cmdline>password=sesame</cmdline>
  </os>
  <sysinfo type='smbios'><oemStrings><entry>a:sesame</entry><entry>b:sesame</entry></oemStrings></sysinfo>
  <sysinfo type='fwcfg'><entry name='opt/com.coreos/config'>sesame</entry></sysinfo>
  <devices>
    <disk type='network' device='cdrom'>
      <source protocol='https' name='a.iso' query='token=sesame'>
        <cookies><cookie name='c'>sesame</cookie></cookies>
      </source>
      <target dev='hda' bus='ide'/>
    </disk>
    <graphics type='vnc' port='-1' passwd='sesame'/>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline {QEMU}>
    <qemu:arg value='-object'/><qemu:arg value='secret,id=s,data=sesame'/>
    <qemu:env name='TOKEN' value='sesame'/>
  </qemu:commandline>
</domain>""".encode()


def parts(xml: bytes) -> list[str]:
    """Return a domain's parts, whatever their order."""
    domain = safexml.parse(xml).getroot()
    return sorted(repr(form(part)) for part in [*domain.iterfind("devices/*"), *_beside(domain)])


def _beside(domain: etree._Element) -> list[etree._Element]:
    return [part for part in domain if part.tag != "devices"]


def _returns(case: Case) -> bool:
    """Whether there is an old machine type, and it has what the domain has: Secure Boot is q35's."""
    return b"machine=" in case.xml and case.name != "enrolled-keys-alone"


def stripped(xml: bytes) -> bytes:
    return without_secrets(Definition(xml))


def there(xml: bytes) -> bytes:
    return rewrite(xml, Target("pc-q35-7.2")).xml


def back(xml: bytes) -> bytes:
    """Return a domain led back from a q35, by what was kept of it."""
    kept = Original(stripped(HIDDEN), stripped(there(HIDDEN)), AT)
    return rewrite(xml, Target("pc-i440fx-7.2", original=kept)).xml


def test_no_secret_is_left() -> None:
    """Wherever libvirt's schema has room for one."""
    session = b"<launchSecurity type='sev'><dhCert>sesame</dhCert></launchSecurity></domain>"
    xml = HIDDEN.replace(b"</domain>", session)

    assert xml.count(b"sesame") == 12
    assert b"sesame" not in stripped(xml)


def test_what_is_shown_has_no_secret() -> None:
    """What differs is shown all the same: Nova's metadata, the pin and libvirt's own elements stay."""
    nova = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'><n:name>db</n:name>"
    plain = f"{nova}</n:instance><m:pin xmlns:m='urn:mthook:pin:1' machine='pc'/></metadata>"
    xml = HIDDEN.replace(b"</metadata>", plain.encode())

    found = safexml.serialize(masked(Definition(xml))).decode()

    assert "sesame" not in found
    assert found.count("(hidden)") == 13
    for shown in ("<n:name>db</n:name>", 'machine="pc"', "opt/com.coreos/config", 'dev="hda"'):
        assert shown in found


def test_a_guest_with_secrets_gets_everything_back() -> None:
    """The guest has kept them itself."""
    assert parts(back(there(HIDDEN))) == parts(HIDDEN)


def test_secrets_changed_since_stay_changed() -> None:
    """Those that were taken away stay away."""
    changed = there(HIDDEN).replace(b"a:sesame", b"a:open").replace(b"data=sesame", b"data=open")
    changed = changed.replace(b' passwd="sesame"', b"").replace(b"password=sesame", b"quiet")

    found = back(changed)

    assert b"a:open" in found and b"data=open" in found and b"<cmdline>quiet</cmdline>" in found
    assert b"passwd" not in found


@pytest.mark.parametrize("case", [c for c in CONVERTED if _returns(c)], ids=ident)
def test_what_is_left_is_enough_for_the_way_back(case: Case) -> None:
    """Of every domain: the very same parts."""
    assert case.out is not None
    old = safexml.parse(case.xml).getroot().find("os/type")
    assert old is not None and old.get("machine")
    kept = Original(stripped(case.xml), stripped(case.out), AT)

    found = rewrite(case.out, Target(old.get("machine", ""), original=kept))

    assert _unpinned(found.xml) == _unpinned(case.xml)


def _unpinned(xml: bytes) -> list[str]:
    return [part for part in parts(xml) if "'metadata'" not in part]
