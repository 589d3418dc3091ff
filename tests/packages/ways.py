# SPDX-License-Identifier: Apache-2.0
"""The ways to install mthook that docs/install.rst has, and what each takes after an upgrade of the system's Python."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cloud import wheel
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import ENVIRONMENT, wait_until
from tests.packages import building, services

_OPT = "/opt/mthook"
_ALL = ["python3-alembic", "python3-keystoneauth1", "python3-openstacksdk"]
#: This machine's: whom pip trusts here, it trusts there.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Package:
    """Debian's package, built on Debian 12."""

    #: The interpreter, and the command that puts the gate's units where systemd finds them.
    python, gate = "/usr/bin/python3", "true"
    #: Of the unit tests: this is about hosts that have no units of a package's.
    left_out = "--ignore=tests/unit/operations/setup/test_units.py"

    def __init__(self, directory: Path) -> None:
        builder = building.builder("bookworm")
        try:
            self._deb = building.build(builder, directory)[f"mthook_{building.VERSION}_all.deb"]
        finally:
            builder.close()

    def install(self, host: Hypervisor) -> None:
        """Install it, with what it depends on."""
        host.path(f"/root/{self._deb.name}").write_bytes(self._deb.read_bytes())
        host.apt("update")
        host.apt("install", f"/root/{self._deb.name}")

    def complete(self, host: Hypervisor) -> None:
        """Install all that it can use as well."""
        host.apt("install", "--no-install-recommends", *_ALL)

    def renew(self, host: Hypervisor) -> list[str]:
        """Do nothing: Debian's Python has brought all of it to its new version. Return what is wrong."""
        exe = host.path(f"/proc/{services.pid(host, 'mthook-gate.service')}/exe").readlink()
        new = host.run(["readlink", "-f", self.python]).stdout.strip()
        return [] if str(exe) == new else [f"the gate runs {exe}"]


class Venv:
    """A virtual environment of the release's own version of Python."""

    python, left_out = f"{_OPT}/bin/python", ""
    gate = (
        f"cp {_OPT}/share/mthook/systemd/mthook-gate* /etc/systemd/system/ && "
        "sed -i 's,^ExecStart=,&/usr/local/sbin/,' /etc/systemd/system/mthook-gate.service"
    )

    def __init__(self, directory: Path) -> None:
        with wheel.built() as built:
            self._wheel = Path(shutil.copy(built, directory))

    def install(self, host: Hypervisor) -> None:
        """Make the environment, or make it anew."""
        inside = f"/root/{self._wheel.name}"
        host.path(inside).write_bytes(self._wheel.read_bytes())
        host.run(["rm", "-rf", _OPT])
        # By its whole name: what is linked to that goes with the old release.
        python = host.run(["readlink", "-f", "/usr/bin/python3"]).stdout.strip()
        host.run([python, "-m", "venv", "--system-site-packages", _OPT])
        host.path("/root/certificates").write_bytes(CERTIFICATES.read_bytes())
        self._pip(host, inside)
        host.run(["sh", "-c", f"ln -sf {_OPT}/bin/mthook-* /usr/local/sbin/"])

    def _pip(self, host: Hypervisor, what: str) -> None:
        trust = {**ENVIRONMENT, "PIP_CERT": "/root/certificates"}
        host.run([f"{_OPT}/bin/pip", "install", "-q", what], env=trust)

    def complete(self, host: Hypervisor) -> None:
        """Install all that it can use as well, but for what takes a compiler and Debian has."""
        self._pip(host, f"/root/{self._wheel.name}[fleet,glance]")

    def renew(self, host: Hypervisor) -> list[str]:
        """See that all who can tell what has become of mthook, make the environment anew. Return what is wrong."""
        wait_until(
            "systemd doesn't tell that mthook-sync and mthook-gate fail",
            lambda: _fail(host),
            lambda: host.run(["systemctl", "list-units", "--all", "mthook*"]).stdout,
        )
        services.await_log(host, "mthook", "mthook's programs don't run")
        services.await_log(host, "mthook-gate", "the gate doesn't start: its clients reach")
        self.install(host)
        # It fails as long as guests have pins that this QEMU lacks, but sets up what it can.
        host.run(["mthook-admin", "setup", "--yes"], check=False)
        found = [one["kind"] for one in services.findings(host, "gate")]
        host.run(services.RESTART)
        return [] if found == ["bypassed"] else [f"doctor finds {found} of the gate"]


def _fail(host: Hypervisor) -> bool:
    """Start a sync, and tell whether that and the gate have failed. One that had begun before may still succeed."""
    host.run(["systemctl", "start", "mthook-sync.service"], check=False)
    failed = host.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout
    return all(f"mthook-{name}.service" in failed for name in ("sync", "gate"))
