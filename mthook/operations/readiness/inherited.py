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
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Facts, Finding, as_success, as_warning

_NAME = "non_inheritable_image_properties"
_PROPERTY = "hw_machine_type"
#: As nova/conf/compute.py has it.
_OPTION = cfg.ListOpt(_NAME, default=["cache_in_nova", "bittorrent"])


def check(context: Context) -> list[Finding]:
    """Look whether ``hw_machine_type`` is among what images don't inherit, where that matters."""
    conf = context.conf
    facts: Facts = {"option": _NAME, "property": _PROPERTY}
    needless = _needless(conf)
    if needless:
        return [as_success(needless, pin_style=conf.pin.style)]
    conf.register_opt(_OPTION)
    if _PROPERTY in conf[_NAME]:
        return [as_success(**facts)]
    found = [as_warning("inherited", **facts)]
    location = conf.get_location(_NAME)
    if location is None or location.location == cfg.Locations.opt_default:
        found.append(as_warning("option_not_set", **facts, config_files=list(context.files)))
    return found


def _needless(conf: cfg.ConfigOpts) -> str | None:
    """Return why versioned machine types aren't written to Nova's database; ``None`` where they are."""
    if not configuration.has_nova(conf):
        return "no_database"
    if not conf.sync.write_back:
        return "not_written_back"
    return None if conf.pin.style == "versioned" else "not_versioned"
