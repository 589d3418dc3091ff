# SPDX-License-Identifier: Apache-2.0
"""Bring the images of shelved instances to what is recorded for the instances."""

from __future__ import annotations

import contextlib

from oslo_config import cfg

from mthook.errors import GlanceError, ImageMissing
from mthook.locks import uninterrupted
from mthook.nova.instance import MACHINE_KEY, NovaInstance
from mthook.operations import shelved_image
from mthook.operations.acts import Act, Failure, LeftAlone, Result, Why
from mthook.text import printable

_MACHINE = MACHINE_KEY[len("image_") :]


class ShelvedImages(contextlib.ExitStack):
    """A context manager, which opens Glance once it is needed.

    :param result: is told what is done; if Glance fails, it is told once, and Glance isn't asked again.
    """

    def __init__(self, conf: cfg.ConfigOpts, result: Result) -> None:
        super().__init__()
        self._conf = conf
        self._result = result
        self._works = True
        self._images: shelved_image.Images | None = None

    def agree(self, instance: NovaInstance, machine: str) -> None:
        """Bring the image of an instance, if it is unshelved from one, to its machine type and its buses."""
        image = shelved_image.image_of(instance)
        if image is None or not self._works:
            return
        wanted = shelved_image.properties(instance, machine)
        if not shelved_image.has_credentials(self._conf):
            return self._leave_alone(instance, "image_unseen", shelved_image.command(image, wanted))
        try:
            with uninterrupted():
                self._change(instance, image, wanted)
        except ImageMissing as error:
            self._leave_alone(instance, "image_missing", str(error))
        except GlanceError as error:
            self._works = False
            self._result.add(Failure(error))

    def _change(self, instance: NovaInstance, image: str, wanted: dict[str, str]) -> None:
        if self._images is None:
            self._images = self.enter_context(shelved_image.opened(self._conf))
        changes = self._images.change(image, wanted, dry_run=self._result.dry_run)
        if changes:
            new = wanted[_MACHINE]
            old = next((one.old for one in changes if one.key == _MACHINE), new)
            others = (one for one in changes if one.key != _MACHINE)
            lines = (
                f"{one.key}: {printable(one.old or 'none')} → {printable(one.new)}"
                for one in others
            )
            who, facts = (instance.uuid, instance.name), {"display_name": instance.name}
            self._result.add(Act("imaged", *who, old, new, changes=tuple(lines), **facts))

    def _leave_alone(self, instance: NovaInstance, why: Why, detail: str) -> None:
        self._result.add(LeftAlone(instance.uuid, instance.name, why, detail, instance.name))
