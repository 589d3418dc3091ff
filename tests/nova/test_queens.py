# SPDX-License-Identifier: Apache-2.0
"""Databases of older releases, and connections to them in the forms that Nova allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import MariaDB
from tests.lab.certificates import make_certificates
from tests.lab.nova import Cloud
from tests.lab.novaschema import Schema, nova_manage
from tests.lab.queens import queens
from tests.nova.place import DEFAULT, Place

OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"


@pytest.fixture(scope="module")
def ancient(mariadb: MariaDB, schema: Schema) -> Iterator[Cloud]:
    """Databases without all that came after Queens."""
    with Cloud(mariadb, schema, "queens_") as cloud:
        queens(cloud)
        yield cloud


@pytest.mark.parametrize("api", [False, True])
def test_all_of_it_works_on_the_schema_of_queens(
    ancient: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str], api: bool
) -> None:
    """list --unset, sync, get, set and unset."""
    ancient.reset()
    place = Place(ancient, tmp_path, capsys)
    place.configure(api=api)
    lacking = ancient.add_instance(vm_state="stopped")
    recorded = ancient.add_instance(vm_state="stopped", machine=OLD)

    said = place.admin("list", "--unset", "-f", "value", "-c", "UUID")
    assert (said.code, said.out.split()) == (3, [lacking])
    assert place.sync() == (0, "", "")
    assert place.recorded() == {lacking: [DEFAULT], recorded: [OLD]}
    assert place.pins() == {lacking: DEFAULT, recorded: OLD}
    assert place.admin("list", "--unset").code == 0
    assert place.admin("get", recorded) == (0, f"{OLD}\n", "")
    assert place.admin("set", lacking, NEW, "--force").code == 0
    assert ancient.machine(lacking) == NEW
    if api:
        ancient.add_spec(lacking)
        assert place.sync("--cloud") == (0, "", "")
        assert ancient.specified(lacking) == NEW
    assert place.admin("unset", lacking).code == 0
    assert ancient.machine(lacking) is None


@pytest.fixture
def place(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    """A host without guests."""
    return Place(cloud, tmp_path, capsys)


@pytest.mark.parametrize(
    "template",
    [
        "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}",
        "mysql+pymysql://{username}:{password}@127.0.0.1:{port}/nova_cell1?charset=utf8",
        "{scheme}://nova:s3cret%40lab%2F1@{hostname}:{port}/{path}",
    ],
)
def test_templates_are_filled_from_the_configured_connection(place: Place, template: str) -> None:
    """As Nova fills them: a password that needs quoting stays quoted."""
    cloud = place.cloud
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    cloud.execute(
        "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'", (template,), "api"
    )
    place.connect_with(f"{cloud.cell_url()}?charset=utf8mb4", cloud.api_url)

    assert place.admin("get", uuid) == (0, f"{OLD}\n", "")
    assert place.sync() == (0, "", "")
    assert place.pins() == {uuid: OLD}


def test_real_nova_fills_templates_the_same_way(place: Place) -> None:
    """Its own command, from a nova.conf with the same connection."""
    cloud = place.cloud
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    template = "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
    cloud.execute(
        "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'", (template,), "api"
    )
    url = f"{cloud.cell_url()}?charset=utf8mb4"
    conf = cloud.conf(place.directory / "nova.conf", database={"connection": url})

    done = nova_manage(conf, "libvirt", "get_machine_type", uuid)

    assert (done.returncode, done.stdout) == (0, f"{OLD}\n"), done.stderr


def test_the_connection_is_encrypted_as_the_url_asks(place: Place, mariadb: MariaDB) -> None:
    """For a user that the server lets in with TLS alone; the certificate is checked."""
    cloud = place.cloud
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    mariadb.execute("CREATE USER careful@'%' IDENTIFIED BY 's3cret@lab/1' REQUIRE SSL")
    mariadb.execute(f"GRANT ALL ON `{cloud.databases['cell1']}`.* TO careful@'%'")
    try:
        for options, ok in (
            ({"ssl_disabled": "true"}, False),
            ({"ssl_ca": mariadb.ca}, True),
            ({"ssl_ca": mariadb.ca, "ssl_check_hostname": "true"}, True),
        ):
            place.connect_with(mariadb.url(cloud.databases["cell1"], user="careful", **options))
            assert place.admin("get", uuid).code == (0 if ok else 1), options
    finally:
        mariadb.execute("DROP USER careful@'%'")


def test_a_server_that_nobody_vouches_for_is_refused(place: Place, mariadb: MariaDB) -> None:
    """Its certificate is signed by another authority; one line, and nothing is written anywhere."""
    cloud = place.cloud
    uuid = cloud.add_instance(vm_state="stopped")
    other = place.directory / "other"
    other.mkdir()
    make_certificates(other)
    cell = cloud.databases["cell1"]
    place.connect_with(mariadb.url(cell, ssl_ca=other / "ca.pem"))

    for said in (place.sync(), place.admin("get", uuid)):
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert "certificate verify failed" in said.err
    assert place.pins() == {}

    place.connect_with(mariadb.url(cell, ssl_ca=place.directory / "none.pem"))
    said = place.sync()
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "the TLS files that its URL names can't be used: No such file or directory" in said.err

    place.connect_with(mariadb.url(cell, ssl_ca=mariadb.ca))
    assert place.sync() == (0, "", "")
    assert place.pins() == {uuid: DEFAULT}
