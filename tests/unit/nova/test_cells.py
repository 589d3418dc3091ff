# SPDX-License-Identifier: Apache-2.0
"""The way from the configuration to Nova's databases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mthook import conf
from mthook.errors import NotFound, NovaConflict, NovaError, RequestSpecError
from mthook.nova import cells, connection, requestspecs, tables
from mthook.nova.cells import Cells
from mthook.nova.connection import Deadlock, TooLong
from tests.specs import properties_of, request_spec
from tests.unit.nova.novas import Databases, add, insert, put

API = "mysql+pymysql://nova:geheim@db.example/api"
CELL1 = "mysql+pymysql://nova:geheim@db.example:3307/cell1?charset=utf8"
UUID1, UUID2 = "c1000000-0000-4000-8000-000000000001", "c2000000-0000-4000-8000-000000000002"
OLD = "pc-i440fx-6.2"

Open = Callable[..., Cells]


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Databases:
    """Stand-ins: an API database with cell0 and two cells."""
    found = Databases(monkeypatch)
    mappings = (
        (cells.CELL0, "cell0", CELL1.replace("/cell1", "/cell0")),
        (UUID1, "cell1", CELL1),
        (UUID2, None, "{scheme}://{username}:{password}@{hostname}:{port}/cell2?{query}"),
    )
    for uuid, name, url in mappings:
        insert(found["api"], tables.CELL_MAPPINGS, uuid=uuid, name=name, database_connection=url)
    return found


@pytest.fixture
def opened(tmp_path: Path, databases: Databases) -> Iterator[Open]:
    """Open Nova's databases with some options."""
    found = []

    def open_(database: str | None = CELL1, api: str | None = API) -> Cells:
        lines = [f"[database]\nconnection = {database}"] if database else []
        lines += [f"[api_database]\nconnection = {api}"] if api else []
        file = tmp_path / "mthook.conf"
        file.write_text("\n".join(lines))
        found.append(Cells(conf.load([str(file)])))
        return found[-1]

    yield open_
    for one in found:
        one.close()


def test_without_the_api_database_there_is_one_cell(opened: Open, databases: Databases) -> None:
    """Every host's and every instance's; it has no UUID."""
    uuid = add(databases["cell1"])
    nova = opened(api=None)

    (cell,) = nova.all()
    assert cell.name == "Nova's database"
    assert nova.of_host("anywhere") is cell
    assert nova.find(uuid)[0] is cell
    assert nova.image_property(uuid) is None
    with pytest.raises(NovaError, match="only with \\[api_database\\] connection"):
        nova.cell(UUID1)
    with pytest.raises(NotFound):
        nova.find(UUID1)


def test_the_api_database_leads_to_all_cells_but_cell0(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without a name is called by its UUID; a template is filled in."""
    nova = opened()
    assert nova.cell(UUID2) is nova.all()[1]
    with pytest.raises(NotFound, match="no cell has the UUID nonsense"):
        nova.cell("nonsense")

    urls: list[tuple[str, str]] = []

    class Noted(cells.Cell):
        def __init__(self, url: Any, name: str, seconds: int) -> None:
            urls.append((name, url.render_as_string(hide_password=False)))
            super().__init__(url, name, seconds)

    monkeypatch.setattr(cells, "Cell", Noted)
    opened().all()
    assert urls == [
        ("Nova's cell cell1", CELL1),
        (f"Nova's cell {UUID2}", CELL1.replace("/cell1", "/cell2")),
    ]


def test_a_host_and_an_instance_lead_to_their_cell(opened: Open, databases: Databases) -> None:
    """An instance of cell0 is found as well."""
    insert(databases["api"], tables.HOST_MAPPINGS, host="beta", cell_id=3)
    nova = opened()
    uuids = {}
    for number, name in ((1, "cell0"), (3, "cell2")):
        uuids[name] = add(databases[name])
        insert(
            *(databases["api"], tables.INSTANCE_MAPPINGS),
            instance_uuid=uuids[name],
            cell_id=number,
        )
    put(databases["cell2"], uuids["cell2"], OLD)

    assert nova.of_host("beta").name == f"Nova's cell {UUID2}"
    assert nova.find(uuids["cell0"])[0].name == "Nova's cell cell0"
    cell, instance = nova.find(uuids["cell2"])
    assert (cell, instance.machine) == (nova.of_host("beta"), OLD)
    with pytest.raises(NovaError, match="no cell has the host gamma \\(\\[DEFAULT\\] host\\)"):
        nova.of_host("gamma")
    with pytest.raises(NotFound, match="no instance has the UUID"):
        nova.find(UUID1)


def test_an_instance_that_is_mapped_to_no_cell_yet_is_not_found(
    opened: Open, databases: Databases
) -> None:
    """It is being scheduled."""
    insert(databases["api"], tables.INSTANCE_MAPPINGS, instance_uuid=UUID1, cell_id=None)

    with pytest.raises(NotFound):
        opened().find(UUID1)


@pytest.mark.parametrize(
    ("spec", "machine"),
    [
        (request_spec(UUID1, {"hw_machine_type": "q35"}), "q35"),
        (request_spec(UUID1, {"hw_machine_type": None}), None),
        (request_spec(UUID1), None),
        ('{"nova_object.data": {"image": null}}', None),
        ("[]", None),
        ("7", None),
        ("", None),
        (None, None),
        ("{", None),
    ],
)
def test_the_image_property_is_in_the_request(
    opened: Open, databases: Databases, spec: str | None, machine: str | None
) -> None:
    """Whatever else stands there, it is no reason to fail."""
    insert(databases["api"], tables.REQUEST_SPECS, instance_uuid=UUID1, spec=spec)

    assert opened().image_property(UUID1) == machine


def test_an_instance_without_a_request_has_no_image_property(opened: Open) -> None:
    """As those from before the API database."""
    assert opened().image_property(UUID1) is None


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("mysql://u:p@h/nova", "mysql+pymysql"),
        ("mysql+mysqldb://u:p@h/nova", "mysql+pymysql"),
        ("mysql+mysqlconnector://u:p@h/nova", "mysql+pymysql"),
        ("mysql+pymysql://u:p@h/nova", "mysql+pymysql"),
        ("mariadb+pymysql://u:p@h/nova", "mariadb+pymysql"),
    ],
)
def test_any_driver_becomes_pymysql(url: str, driver: str) -> None:
    """And all the rest stays: options of TLS, too."""
    parsed = connection.parse_url(f"{url}?ssl_ca=/etc/ca.pem&charset=utf8", "it")

    assert parsed.drivername == driver
    assert dict(parsed.query) == {"ssl_ca": "/etc/ca.pem", "charset": "utf8"}
    assert (parsed.username, parsed.password, parsed.host) == ("u", "p", "h")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("geheim", "it is no database URL such as mysql+pymysql://user:password@host/nova"),
        ("", "it is no database URL such as"),
        ("mysql://u:geheim@h:port/nova", "it is no database URL such as"),
        ("sqlite:////geheim", "it: mthook reads Nova's data from MySQL and MariaDB only"),
        ("postgresql://u:geheim@h/nova", "MySQL and MariaDB only"),
        ("mysql://u:x@geheim@h/nova", "it has more than one @: in a password it is written %40"),
    ],
)
def test_a_wrong_url_is_refused_without_a_word_of_it(url: str, message: str) -> None:
    """It holds a password."""
    with pytest.raises(NovaError) as refused:
        connection.parse_url(url, "it")

    assert message in str(refused.value)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("mysql://a:b@c/d", "mysql://a:b@c/d"),
        ("{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}", CELL1),
        ("{scheme}://x:y@{hostname}/{path}", "mysql+pymysql://x:y@db.example/cell1"),
        ("mysql://a:{{b}}@c/d#{fragment}", "mysql://a:{b}@c/d#"),
    ],
)
def test_a_template_is_filled_as_nova_fills_it(template: str, filled: str) -> None:
    """From [database] connection, part by part."""
    assert connection.fill_in(template, CELL1, "it") == filled


@pytest.mark.parametrize(
    "template",
    ["{nonsense}", "{", "{0}", "{hostname.geheim}", "{username[geheim]}", "{port:geheim}"],
)
def test_a_template_that_cant_be_filled_is_refused(template: str) -> None:
    """Without a word of it."""
    with pytest.raises(NovaError) as refused:
        connection.fill_in(template, CELL1, "it")

    assert str(refused.value) == "it is a template that [database] connection doesn't fill"


def test_a_template_needs_something_to_be_filled_from(opened: Open) -> None:
    """What is none does without."""
    nova = opened(database=None)

    assert nova.cell(UUID1).name == "Nova's cell cell1"
    with pytest.raises(NovaError) as refused:
        nova.cell(UUID2).get(UUID1)
    assert str(refused.value) == (
        f"the database_connection of cell {UUID2} is a template, and [database] connection isn't set"
    )


class MySQLError(Exception):
    """As PyMySQL raises it."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            sa.exc.OperationalError("SELECT geheim", {"x": "geheim"}, MySQLError(2003, "No way")),
            "it: No way",
        ),
        (
            sa.exc.OperationalError("SELECT geheim", {}, MySQLError(1045, "Access\ndenied")),
            "it: Access\\ndenied",
        ),
        (
            sa.exc.OperationalError("SELECT geheim", {}, MySQLError(1047, "WSREP isn't ready")),
            "it: this node takes no part in its Galera cluster: WSREP isn't ready",
        ),
        (sa.exc.InterfaceError("SELECT geheim", {}, MySQLError(0, "")), "it: "),
        (sa.exc.InternalError("SELECT geheim", {}, MySQLError("Packet lost")), "it: Packet lost"),
        (sa.exc.DBAPIError("SELECT geheim", {}, MySQLError()), "it: MySQLError"),
        (sa.exc.TimeoutError("geheim"), "it: TimeoutError"),
        (
            FileNotFoundError(2, "No such file or directory", "/etc/geheim.pem"),
            "it: the TLS files that its URL names can't be used: No such file or directory",
        ),
        (
            TypeError("Connection.__init__() got an unexpected keyword argument 'foo'"),
            "it: its URL has an option that can't be used: Connection.__init__() got an unexpected"
            " keyword argument 'foo'",
        ),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(error: Exception, message: str) -> None:
    """With MySQL's words, and without statement, values or files."""
    with pytest.raises(NovaError) as told, connection.asked("it", 10):
        raise error

    assert str(told.value) == message


def test_a_deadlock_is_one_of_its_own() -> None:
    """So that it can be tried again."""
    error = sa.exc.OperationalError("UPDATE", {}, MySQLError(1213, "Deadlock found"))

    with (
        pytest.raises(connection.Deadlock, match="^it: Deadlock found$"),
        connection.asked("it", 10),
    ):
        raise error


@pytest.fixture
def specified(databases: Databases) -> Callable[[], str | None]:
    """An instance with a request spec that has no machine type; tell which it has."""
    api = databases["api"]
    insert(api, tables.REQUEST_SPECS, instance_uuid=UUID1, spec=request_spec(UUID1))

    def machine() -> str | None:
        with api.connect() as connection:
            spec = requestspecs.read(connection, UUID1)
        return properties_of(str(spec)).get("hw_machine_type")

    return machine


def test_a_request_spec_is_written_and_taken_back(
    opened: Open, specified: Callable[[], str | None]
) -> None:
    """What it had before is what undoes it."""
    nova = opened()

    assert (nova.specify(UUID1, OLD), specified()) == (None, OLD)
    assert (nova.specify(UUID1, OLD), specified()) == (OLD, OLD)
    assert (nova.specify(UUID1, None), specified()) == (OLD, None)


def test_without_the_api_database_no_request_spec_is_written(opened: Open) -> None:
    """And nothing is to undo."""
    nova = opened(api=None)

    assert nova.specify(UUID1, OLD) == OLD
    assert nova.request_specs(nova.all()[0], [UUID1]) == {}


def test_an_instance_without_a_request_spec_is_named(opened: Open) -> None:
    """It can't be written."""
    with pytest.raises(RequestSpecError, match="there is none"):
        opened().specify(UUID1, OLD)


@pytest.mark.parametrize("error", [NovaConflict("faster"), Deadlock("Deadlock found")])
def test_a_request_spec_that_others_write_is_read_again(
    opened: Open,
    specified: Callable[[], str | None],
    monkeypatch: pytest.MonkeyPatch,
    error: NovaError,
) -> None:
    """A few times, with a little time in between: on a Galera node what was faster may not be there yet."""
    replace, failures = requestspecs.replace, [error] * 2
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def fail(*arguments: object) -> None:
        if failures:
            raise failures.pop()
        replace(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(requestspecs, "replace", fail)

    opened().specify(UUID1, OLD)

    assert specified() == OLD
    failures += [error] * 5
    with pytest.raises(NovaConflict):
        opened().specify(UUID1, "pc")
    assert len(slept) == 2 + 4
    assert all(0 < one < 1 for one in slept)


def test_a_request_spec_that_is_too_large_is_named(
    opened: Open, specified: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The column was smaller once."""

    def fail(*_: object) -> None:
        raise TooLong("Data too long for column 'spec' at row 1")

    monkeypatch.setattr(requestspecs, "replace", fail)

    with pytest.raises(RequestSpecError, match="it is too large for its column"):
        opened().specify(UUID1, OLD)


def test_machine_types_of_request_specs_come_together(opened: Open, databases: Databases) -> None:
    """An instance without a request spec isn't among them; a spec that isn't understood names none."""
    known, odd, missing = (f"{number}1111111-0000-4000-8000-000000000001" for number in range(3))
    spec = request_spec(known, {"hw_machine_type": OLD})
    for uuid, text in ((known, spec), (odd, "{")):
        insert(databases["api"], tables.REQUEST_SPECS, instance_uuid=uuid, spec=text)

    assert opened().image_properties([known, odd, missing]) == {known: OLD, odd: None}
    assert opened(api=None).image_properties([known]) == {}


@pytest.mark.parametrize("api", [API, None])
def test_archived_instances_count_as_deleted_where_the_database_is_the_right_one(
    opened: Open, databases: Databases, api: str | None
) -> None:
    """One that it knows shows that; what another cell has is none."""
    here, deleted, archived, elsewhere = (
        f"{number}1111111-0000-4000-8000-000000000001" for number in range(4)
    )
    insert(databases["api"], tables.INSTANCE_MAPPINGS, instance_uuid=elsewhere, cell_id=3)
    found = opened(api=api)
    cell = found.all()[0]
    uuids = [here, deleted, archived, elsewhere]
    assert found.deleted(cell, uuids, [here, archived]) == set()

    add(databases["cell1"], here)
    add(databases["cell1"], deleted, deleted=4)

    gone = {deleted, archived} if api else {deleted, archived, elsewhere}
    assert found.deleted(cell, uuids, [here]) == gone
    assert found.deleted(cell, uuids, [archived]) == {deleted}
