# SPDX-License-Identifier: Apache-2.0
"""The image that a shelved instance is unshelved from, in Glance.

Unshelving takes the machine type and the buses of that image, not those recorded for the instance
(nova/compute/manager.py, ``_unshelve_instance``). An instance with its root on a volume has none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mthook.errors import GlanceError, ImageMissing
from mthook.nova import image
from mthook.nova.image import command
from mthook.nova.instance import NovaInstance, PropertyChange
from mthook.text import printable

if TYPE_CHECKING:
    from oslo_config import cfg

__all__ = ["Images", "command", "has_credentials", "image_of", "opened", "properties"]

_GROUP = "glance"
#: Seconds to wait for an answer, where ``[glance] timeout`` doesn't say.
_SECONDS = 30


def image_of(instance: NovaInstance) -> str | None:
    """Return the image that a shelved instance is unshelved from; ``None``: it isn't shelved, or has none."""
    return instance.shelved_image if instance.vm_state.startswith("shelved") else None


def properties(instance: NovaInstance, machine: str) -> dict[str, str]:
    """Return what the image must have: the machine type, and the recorded buses, as far as that type has them."""
    return image.properties(instance.buses, machine)


def has_credentials(conf: cfg.ConfigOpts) -> bool:
    """Tell whether the configuration has the credentials for Glance."""
    return bool(conf.glance.auth_type or conf.glance.auth_section)


class Images:
    """Glance's images.

    :raises GlanceError: by every method, in one line that holds no password.
    """

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy

    def change(
        self, name: str, wanted: Mapping[str, str], *, dry_run: bool = False
    ) -> list[PropertyChange]:
        """Give an image properties, and return those that it didn't have yet.

        :raises ImageMissing: there is no such image.
        """
        with _errors_of(f"image {printable(name)}"):
            found = self._proxy.get_image(name)
            values = {**found.to_dict(), **(found.properties or {})}
            changes = [
                PropertyChange(key, values.get(key), value)
                for key, value in wanted.items()
                if values.get(key) != value
            ]
            if changes and not dry_run:
                self._proxy.update_image(found, **{one.key: one.new for one in changes})
        return changes


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts) -> Iterator[Images]:
    """Open Glance with the credentials of the configuration; it is reached when it is asked.

    :raises GlanceError: they can't be used.
    """
    try:
        from keystoneauth1 import loading
        from openstack.connection import Connection
    except ImportError as error:
        raise GlanceError(f"Glance can't be used: {error}: install openstacksdk") from error
    with _errors_of("the group [glance]"):
        # A separate one: keystoneauth registers options, some of which mthook has, too.
        own = type(conf)()
        own(args=[], default_config_files=conf.default_config_files, default_config_dirs=[])
        loading.register_auth_conf_options(own, _GROUP)
        loading.register_session_conf_options(own, _GROUP)
        loading.register_adapter_conf_options(own, _GROUP)
        auth = loading.load_auth_from_conf_options(own, _GROUP)
        seconds = own.glance.timeout or _SECONDS
        session = loading.load_session_from_conf_options(own, _GROUP, auth=auth, timeout=seconds)
        connection = Connection(session=session, oslo_conf=own, service_types=["image"])
    try:
        with _errors_of("Glance"):
            proxy = connection.image
        yield Images(proxy)
    finally:
        connection.close()


@contextlib.contextmanager
def _errors_of(what: str) -> Iterator[None]:
    """Turn what the libraries fail with into one line."""
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import NotFoundException, SDKException
    from oslo_config import cfg

    try:
        yield
    except (ClientException, SDKException) as error:
        kind = ImageMissing if isinstance(error, NotFoundException) else GlanceError
        text = " ".join(str(error).split())
        raise kind(f"{what}: {printable(text, limit=300)}") from error
    except (cfg.Error, OSError, ValueError) as error:
        # The message may quote an option's value.
        raise GlanceError(f"{what} can't be used: {type(error).__name__}") from None
