# SPDX-License-Identifier: Apache-2.0
"""What a run of mthook-sync leaves behind: how it ended, and the figures of its host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from oslo_config import cfg

from mthook.errors import CatalogError, Error, MetricsError
from mthook.hook import install
from mthook.locks import Busy
from mthook.operations.acts import Failure, SyncResult
from mthook.operations.readiness.context import Context
from mthook.text import now


@contextlib.contextmanager
def recorded(conf: cfg.ConfigOpts, files: Sequence[str], result: SyncResult) -> Iterator[None]:
    """Keep in the catalog how a whole run ended, and write the figures where the configuration wants them.

    A failure to write is reported like any other error of the run; all else has been done by then.

    :param files: the configuration files.
    """
    try:
        yield
    except Busy:
        raise
    except (Error, OSError):
        with contextlib.suppress(CatalogError):  # it may be why the run broke off
            _record(conf, files, result, result.failed + 1)
        raise
    else:
        _record(conf, files, result, result.failed)


def _record(conf: cfg.ConfigOpts, files: Sequence[str], result: SyncResult, errors: int) -> None:
    with Context(conf, files, install.DEFAULT_DIRECTORY) as context:
        context.catalog().set_run(now(), errors)
        if conf.metrics.textfile is not None:
            from mthook.operations import exposition, metrics  # here: few hosts want them

            try:
                exposition.write(conf.metrics.textfile, metrics.measure(context))
            except MetricsError as error:
                result.add(Failure(error))
