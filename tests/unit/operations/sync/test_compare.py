# SPDX-License-Identifier: Apache-2.0
"""What a sync takes over from Nova while others write pins, too."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mthook.catalog.records import Compared
from mthook.catalog.store import Catalog
from mthook.errors import CatalogConflict
from mthook.operations.acts import SyncResult
from mthook.operations.sync import compare
from mthook.operations.sync.novarecords import NovaRecords
from tests.unit.host.fakes import UUID

Step = Callable[[SimpleNamespace, NovaRecords, SimpleNamespace], object]
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"


def take_over(run: SimpleNamespace, nova: NovaRecords, instance: SimpleNamespace) -> None:
    """Nova has another machine type."""
    pin = run.before
    compare._take_over(run, nova, instance, "pc-q35-7.2", pin, None)  # type: ignore[arg-type]


def release(run: SimpleNamespace, nova: NovaRecords, instance: SimpleNamespace) -> None:
    """Nova has rebuilt the instance, and has none."""
    compare._record_anew(run, nova, instance, run.before)  # type: ignore[arg-type]


def keep(run: SimpleNamespace, nova: NovaRecords, instance: SimpleNamespace) -> None:
    """Pin and record are the same."""
    nova.keep_compared(instance, OLD, 7)  # type: ignore[arg-type]


def set_again(catalog: Catalog) -> None:
    """An operator confirms the pin."""
    catalog.set_pin(UUID, OLD, source="operator", actor="root")


def compared(catalog: Catalog) -> None:
    """The hook compares with what Nova has by then."""
    catalog.set_compared(Compared(UUID, NEW, 8, None))


@pytest.mark.parametrize(
    ("step", "happens"),
    [
        (take_over, set_again),
        (take_over, compared),
        (release, set_again),
        (release, compared),
        (keep, compared),
    ],
)
def test_what_others_have_written_since_the_look_stays(
    tmp_path: pytest.TempPathFactory, step: Step, happens: Callable[[Catalog], None]
) -> None:
    """The sync leaves the instance to its next run."""
    with Catalog.open(f"{tmp_path}/lib/catalog.sqlite") as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="hook")
        run = SimpleNamespace(
            catalog=catalog,
            domains={},
            result=SyncResult(lambda _: None),
            before=catalog.get_pin(UUID),
        )
        nova = NovaRecords.__new__(NovaRecords)
        nova._run, nova.compared = run, {}  # type: ignore[assignment]
        happens(catalog)
        expected = (catalog.get_pin(UUID), catalog.compared())

        with pytest.raises(CatalogConflict):
            step(run, nova, SimpleNamespace(uuid=UUID, name="web-1", rebuild=None))

        assert (catalog.get_pin(UUID), catalog.compared()) == expected
        assert run.result.acts == []
