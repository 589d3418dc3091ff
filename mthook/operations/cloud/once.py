# SPDX-License-Identifier: Apache-2.0
"""One run of mthook-sync --cloud from beginning to end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from oslo_config import cfg

from mthook.catalog import files
from mthook.errors import NovaError
from mthook.locks import only_one
from mthook.operations.acts import Failure, Result
from mthook.operations.cloud.images import ShelvedImages
from mthook.operations.cloud.run import CloudRun
from mthook.operations.opening import opened_nova

_LOCK = "cloud.lock"


def synchronize(conf: cfg.ConfigOpts, result: Result) -> None:
    """Go through all instances of all cells; a failing cell doesn't hold up the others.

    :raises Busy: another run is under way on this machine.
    :raises NovaError: the API database fails.
    """
    with contextlib.ExitStack() as stack:
        if not result.dry_run:
            stack.enter_context(locked(conf, _LOCK))
        cells = stack.enter_context(opened_nova(conf))
        images = stack.enter_context(ShelvedImages(conf, result))
        run = CloudRun(conf, cells, images, result)
        failures: set[str] = set()
        for cell in cells.all():
            try:
                run.whole(cell)
            except NovaError as error:
                # The API database fails alike for all cells.
                if str(error) not in failures:
                    result.add(Failure(error))
                failures.add(str(error))


@contextlib.contextmanager
def locked(conf: cfg.ConfigOpts, name: str) -> Iterator[None]:
    """Hold a lock in the catalog's directory; the catalog itself needn't exist.

    :raises Busy: another process has it.
    :raises CatalogError: the directory can't be used.
    """
    directory = os.path.dirname(conf.catalog.path)
    files.create_directory(directory)
    with only_one(directory, name):
        yield
