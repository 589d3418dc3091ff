# SPDX-License-Identifier: Apache-2.0
"""virtqemud and virtproxyd, which no package of Debian has, built from Debian's source of libvirt and kept.

Driver and libraries are those of Debian's packages: a daemon of libvirt is little more than the name of its driver.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab import roots
from tests.lab.machine import Machine

SUITE = "trixie"
DOWNLOAD = "about 100 MB"
_SOURCE = f"deb-src {roots.MIRROR} {SUITE} main\n"
_PACKAGES = [
    *("gcc", "gettext", "libc6-dev", "meson", "ninja-build", "patch", "pkgconf", "xsltproc"),
    *("xz-utils", "libglib2.0-dev", "libgnutls28-dev", "libjson-c-dev", "libnl-3-dev"),
    *("libnl-route-3-dev", "libtirpc-dev", "libxml2-dev", "libxml2-utils"),
]
#: What decides about a daemon's files and its rules of access is as in Debian's packages.
_OPTIONS = [
    *("--prefix=/usr", "--sysconfdir=/etc", "--localstatedir=/var", "-Drunstatedir=/run"),
    *("--libexecdir=/usr/lib/libvirt", "-Dinitconfdir=/etc/default", "-Dinit_script=systemd"),
    *("-Drpath=disabled", "-Dremote_default_mode=legacy", "-Dpolkit=enabled"),
    *("-Dauto_features=disabled", "-Ddebug=false", "-Doptimization=0"),
    *("-Dno_git=true", "-Djson_c=enabled", "-Dlibnl=enabled"),
    *("-Ddriver_remote=enabled", "-Ddriver_libvirtd=enabled", "-Ddriver_qemu=enabled"),
]
#: The arguments are meson's. apt's signed index vouches for the two archives of the source, so no .dsc is needed.
_BUILD = """\
set -e
mkdir -p /made/usr/sbin /made/usr/lib/systemd/system
cd "$(mktemp -d)"
apt-get -qq --print-uris --only-source source libvirt | tr -d "'" >listed
while read -r uri name size hash; do
    case $name in *.tar.xz) /usr/lib/apt/apt-helper download-file "$uri" "$name" "$hash"; tar -xf "$name" ;; esac
done <listed
mv debian libvirt-*/
cd libvirt-*/
while read -r name; do patch -s -p1 <"debian/patches/$name"; done <debian/patches/series
meson setup build "$@"
ninja -C build src/virtqemud src/virtproxyd
install -s build/src/virtqemud build/src/virtproxyd /made/usr/sbin
install -m 644 build/src/virtqemud*.service build/src/virtproxyd*.service /made/usr/lib/systemd/system
install -m 644 build/src/virtqemud*.socket build/src/virtproxyd*.socket /made/usr/lib/systemd/system
"""


def daemons(base: Path) -> Path:
    """Return a directory with the daemons and their units; build them unless it is there.

    :param base: the root of the release that it is a layer of.
    """

    def make(directory: Path) -> None:
        print(
            f"Building virtqemud and virtproxyd from Debian's source in {roots.cache()}, once: downloads {DOWNLOAD},"
            " takes 1 GB of disk meanwhile and five to fifteen minutes. Nothing is installed on this machine.",
            flush=True,
        )
        changes = directory.with_name(f"{directory.name}-machine")
        changes.mkdir()
        _build(base, changes)
        (changes / "made").rename(directory)

    return roots.kept("modular", [SUITE, roots.MIRROR, *_PACKAGES, *_OPTIONS, _BUILD], make)


def _build(base: Path, changes: Path) -> None:
    machine = Machine("building", [base], changes=changes)
    try:
        machine.path("/etc/apt/sources.list.d/source.list").write_text(_SOURCE)
        roots.apt(machine, "update")
        roots.apt(machine, "install", "-y", *_PACKAGES)
        machine.run(["sh", "-c", _BUILD, "sh", *_OPTIONS], timeout=3600)
    finally:
        machine.close()
