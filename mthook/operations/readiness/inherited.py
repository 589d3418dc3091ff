# SPDX-License-Identifier: Apache-2.0
"""Do snapshots pass a recorded machine type on to new instances?

The images that Nova makes of instances get their image properties, without those that
``non_inheritable_image_properties`` names (nova/compute/utils.py, ``initialize_instance_snapshot_metadata``).
A shelved image is one of them, and all that counts when its instance is unshelved
(nova/compute/manager.py, ``_unshelve_instance``).
"""

from __future__ import annotations

from oslo_config import cfg

from mthook import conf as configuration
from mthook.operations.readiness.findings import Findings
from mthook.operations.readiness.sources import Sources

TITLE = "Machine types in snapshots"

_NAME = "non_inheritable_image_properties"
_PROPERTY = "hw_machine_type"
#: As nova/conf/compute.py has it.
_OPTION = cfg.ListOpt(_NAME, default=["cache_in_nova", "bittorrent"])
_CAVEAT = (
    "Mind that Nova then unshelves an image-backed instance as the default machine type, for its"
    " shelved image hasn't got it either."
)


def check(sources: Sources) -> Findings:
    """Look whether ``hw_machine_type`` is among what images don't inherit, where that matters."""
    findings = Findings()
    conf = sources.conf
    needless = _needless(conf)
    if needless:
        findings.note(f"{needless}: no machine type gets into images by mthook.")
        return findings
    conf.register_opt(_OPTION)
    if _PROPERTY in conf[_NAME]:
        findings.note(f"{_NAME} has {_PROPERTY}: snapshots don't pass it on. {_CAVEAT}")
        return findings
    findings.warn(
        "Snapshots pass the machine types that mthook-sync writes to Nova's database on to new"
        f" instances; {_PROPERTY} in [DEFAULT] {_NAME} of nova-api's nova.conf prevents it. {_CAVEAT}"
    )
    location = conf.get_location(_NAME)
    if location is None or location.location == cfg.Locations.opt_default:
        findings.warn(
            "No configuration file sets it: if nova.conf does, give that with --config-file."
        )
    return findings


def _needless(conf: cfg.ConfigOpts) -> str:
    """Return why versioned machine types aren't written to Nova's database; '' where they are."""
    if not configuration.has_nova(conf):
        return "No database of Nova's is configured"
    if not conf.sync.write_back:
        return "[sync] write_back = false"
    return "" if conf.pin.style == "versioned" else f"[pin] style = {conf.pin.style}"
