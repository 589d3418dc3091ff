# SPDX-License-Identifier: Apache-2.0
"""What the configuration leads to is opened, or says why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from mthook import conf as configuration
from mthook.errors import CatalogMissing, HostError
from mthook.operations.opening import opened_catalog, opened_catalog_if_any, opened_host


@pytest.fixture
def conf(tmp_path: Path) -> cfg.ConfigOpts:
    """A configuration whose catalog isn't there yet, with libvirt's test driver."""
    file = tmp_path / "mthook.conf"
    file.write_text(
        f"[catalog]\npath = {tmp_path}/lib/catalog.sqlite\n"
        "[libvirt]\nconnection_uri = test:///default\nnum_pcie_ports = 12\n"
    )
    return configuration.load([str(file)])


def test_a_catalog_is_made_only_for_those_who_ask_for_it(conf: cfg.ConfigOpts) -> None:
    """Else it is missing; who can do without is told so."""
    with pytest.raises(CatalogMissing), opened_catalog(conf):
        raise AssertionError("it was opened")
    with opened_catalog_if_any(conf) as missing:
        assert isinstance(missing, CatalogMissing)

    with opened_catalog(conf, create=True) as catalog:
        assert list(catalog.pins()) == []
    with opened_catalog_if_any(conf) as found:
        assert not isinstance(found, Exception)


@pytest.mark.parametrize("readonly", [False, True])
def test_libvirt_is_that_of_the_configuration(conf: cfg.ConfigOpts, readonly: bool) -> None:
    """Address and number of ports."""
    with opened_host(conf, readonly=readonly) as host:
        assert (host.uri, host.ports, host.is_alive()) == ("test:///default", 12, True)


def test_without_libvirt_python_the_package_to_install_is_named(
    conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't needed on every host."""
    monkeypatch.setitem(sys.modules, "mthook.host.connection", None)

    with (
        pytest.raises(HostError, match="libvirt can't be asked: .*: install libvirt-python"),
        opened_host(conf),
    ):
        raise AssertionError("it was opened")
