# SPDX-License-Identifier: Apache-2.0
"""The rights that the documentation asks for: executed as they stand there, they are enough, and none is too much."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from mthook import reconcile
from mthook.hook import slow
from tests.lab.nova import Cloud
from tests.nova import happenings
from tests.nova.place import DEFAULT, Place, Said

DOCS = Path(__file__).parents[2] / "docs"
PASSWORD = "rights@lab/2"
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"


def statements(file: str, cloud: Cloud) -> list[str]:
    """Return the statements of a file of the documentation, about a cloud's databases."""
    text = (DOCS / file).read_text()
    for name in ("api", "cell1"):
        text = text.replace(f"nova_{name}.", f"`{cloud.databases[name]}`.")
    # One line each, without comments.
    text = re.sub(r"\s+", " ", re.sub("--.*", "", text))
    return [statement for statement in text.split(";") if statement.strip()]


class Denied(Exception):
    """The database has refused something to mthook, which says so in one line."""


class Watched(Place):
    """A host where no such refusal is overlooked."""

    def _run(self, code: int) -> Said:
        said = super()._run(code)
        if "denied" in said.err:
            # Nothing after it; before it there may be warnings.
            assert (said.code, "denied" in said.err.splitlines()[-1]) == (1, True)
            raise Denied(said.err)
        return said


class Limited:
    """A user with the rights of one of the files, and the place where mthook has them."""

    def __init__(self, place: Place, user: str, file: str) -> None:
        self.place = place
        self.cloud = place.cloud
        self.user = user
        self.statements = statements(file, place.cloud)

    def url(self, name: str) -> str:
        """Return this user's URL of a database."""
        return self.cloud.mariadb.url(self.cloud.databases[name], self.user, PASSWORD)

    def grant(self, *orders: str) -> None:
        """Execute statements as the server's administrator."""
        for order in orders:
            self.cloud.mariadb.execute(order)

    def revoke(self, right: str, table: str) -> None:
        """Take one of the rights away."""
        self.grant(f"REVOKE {right} ON {table} FROM {self.user}@'%'")

    def rights(self) -> Iterator[tuple[str, str]]:
        """Yield every single right of the file, a column each, with its table."""
        for statement in self.statements:
            granted, table = re.findall(r"GRANT (.*) ON (\S+) TO", statement, re.DOTALL)[0]
            for verb, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", granted):
                for column in columns.split(",") if columns else [""]:
                    yield f"{verb} ({column.strip()})" if column else verb, table


@pytest.fixture(params=["compute", "admin"])
def limited(
    request: pytest.FixtureRequest,
    cloud: Cloud,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Limited]:
    """A compute host, and an administrator's with templates for its cells."""
    place = Watched(cloud, tmp_path, capsys)
    user = {"compute": "mthook", "admin": "mthook_admin"}[request.param]
    here = Limited(place, user, f"grants-{request.param}.sql")
    here.grant(f"CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'")
    try:
        here.grant(*here.statements)
        if user == "mthook":
            place.connect_with(here.url("cell1"))
        else:
            template = (
                "{scheme}://{username}:{password}@{hostname}:{port}/" + cloud.databases["cell1"]
            )
            cloud.execute(
                "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'",
                (template,),
                "api",
            )
            place.connect_with(here.url("cell0"), here.url("api"))
        yield here
    finally:
        here.grant(f"DROP USER {user}@'%'")


def _everything(here: Limited) -> None:
    """Do all that mthook does in Nova's databases, once each."""
    place, cloud = here.place, here.cloud
    twice, lacking = cloud.add_instances(2, vm_state="stopped")
    happenings.add_row(cloud, twice, OLD)
    happenings.add_row(cloud, twice, NEW)

    said = place.admin("list", "--unset", "-f", "value", "-c", "UUID")
    assert (said.code, said.out.split(), said.err) == (3, [lacking], "")
    if here.user == "mthook_admin":
        cloud.add_spec(lacking)
    assert place.sync() == (0, "", "")
    if here.user == "mthook_admin":
        assert cloud.specified(lacking) == DEFAULT
        assert place.sync("--cloud") == (0, "", "")
    assert place.recorded() == {twice: [NEW], lacking: [DEFAULT]}
    assert place.admin("get", twice) == (0, f"{NEW}\n", "")
    row = cloud.rows(twice)[-1]["id"]
    answer = slow.ask_nova([str(place.config)], twice, 20, "")
    assert answer is not None
    assert answer.values() == (
        *(NEW, row, reconcile.SOMEBODY, None, ""),
        *(False, False, "pc", "reboot --hard", None, {}),
    )
    assert place.admin("set", lacking, OLD, "--force").code == 0
    assert cloud.machine(lacking) == OLD
    _change_buses(here)
    assert place.admin("unset", twice).code == 0
    assert cloud.machine(twice) is None
    cloud.delete(lacking)
    assert place.sync() == (0, "", "")
    assert place.pins().get(lacking) is None


def _change_buses(here: Limited) -> None:
    uuid = here.cloud.add_instance(
        vm_state="stopped", machine=OLD, metadata={"image_hw_cdrom_bus": "ide"}
    )
    happenings.add_disk(here.cloud, uuid, "/dev/hda", "ide")
    said = here.place.admin("set", uuid, "pc-q35-7.2", "--force", "--with-buses")
    assert said.code == 0, said
    assert [row["value"] for row in here.cloud.rows(uuid, "image_hw_cdrom_bus")] == ["sata"]
    assert happenings.disks(here.cloud, uuid) == [("/dev/sda", "sata")]


def test_the_rights_are_enough(limited: Limited) -> None:
    """On Nova's real schema."""
    _everything(limited)


def test_none_of_the_rights_is_too_much(limited: Limited) -> None:
    """Without any one of them something fails."""
    place, cloud = limited.place, limited.cloud
    for right, table in limited.rights():
        limited.revoke(right, table)
        with pytest.raises(Denied):
            _everything(limited)
        limited.grant(f"GRANT {right} ON {table} TO {limited.user}@'%'")
        # Nothing of this attempt may be in the way of the next one.
        place.path.unlink(missing_ok=True)
        cloud.execute("UPDATE instances SET deleted = id")
        cloud.execute("DELETE FROM instance_system_metadata")
        cloud.execute("DELETE FROM request_specs", (), "api")


def lacking(limited: Limited) -> list[tuple[str, list[str], str]]:
    """Return what the doctor says is lacking: table, rights and remedy."""
    said = limited.place.admin("doctor", "-f", "json", "--hooks-dir", str(limited.place.directory))
    assert (said.err, PASSWORD in said.out) == ("", False)
    found = next(
        one["findings"] for one in json.loads(said.out)["checks"] if one["id"] == "database_rights"
    )
    assert {one["severity"] for one in found} <= {"success", "failure"}
    return [
        (one["facts"]["table"], one["facts"]["rights"], one["remedy"])
        for one in found
        if one["kind"] != "ok"
    ]


def test_the_doctor_names_each_right_that_is_lacking(limited: Limited) -> None:
    """By column, with the statement that grants it; nothing is written meanwhile."""
    limited.place.sync("--only", "seed")
    limited.cloud.add_instance(machine=OLD)
    before = limited.cloud.dump_all()
    assert lacking(limited) == []
    for right, table in limited.rights():
        limited.revoke(right, table)
        name = table.replace("`", "")

        ((found, rights, remedy),) = lacking(limited)

        assert (found, rights) == (name, [right])
        assert remedy == f"GRANT {right} ON {name} TO '{limited.user}'@'%'"
        limited.grant(remedy)
    assert lacking(limited) == []
    assert limited.cloud.dump_all() == before


def test_the_doctor_doesnt_ask_for_rights_to_write_that_nobody_needs(limited: Limited) -> None:
    """With [sync] write_back = false."""
    for right, table in limited.rights():
        if not right.startswith("SELECT"):
            limited.revoke(right, table)
    assert lacking(limited)
    with limited.place.config.open("a") as file:
        file.write("\n[sync]\nwrite_back = false\n")

    assert lacking(limited) == []


def test_a_user_without_any_right_is_told_all_of_them(limited: Limited) -> None:
    """Table by table."""
    cell = limited.cloud.databases["cell1"]
    for right, table in limited.rights():
        if f"{cell}`.instances" in table:
            limited.revoke(right, table)

    ((table, (right,), _),) = lacking(limited)

    assert table == f"{cell}.instances"
    assert right.startswith("SELECT (uuid, display_name, host,")


def test_nothing_else_is_granted(limited: Limited) -> None:
    """No other column, table or database, such as what an instance's user has handed in."""
    cell, cell0 = (limited.cloud.databases[name] for name in ("cell1", "cell0"))
    for statement in (
        f"SELECT user_data FROM {cell}.instances",
        f"UPDATE {cell}.instances SET host = 'beta'",
        f"SELECT * FROM {cell}.instance_extra",
        f"SELECT connection_info FROM {cell}.block_device_mapping",
        f"SELECT uuid FROM {cell0}.instances",
    ):
        with pytest.raises(pymysql.err.MySQLError, match="denied"):
            _as(limited, statement)


def _as(limited: Limited, statement: str) -> None:
    connection = pymysql.connect(
        host="127.0.0.1", port=limited.cloud.mariadb.port, user=limited.user, password=PASSWORD
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_without_the_right_to_write_it_still_reads(limited: Limited) -> None:
    """As the documentation says of those who only look."""
    place, cloud = limited.place, limited.cloud
    for right, table in limited.rights():
        if not right.startswith("SELECT"):
            limited.revoke(right, table)
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    lacking = cloud.add_instance(vm_state="stopped")

    assert place.admin("get", uuid) == (0, f"{OLD}\n", "")
    assert place.admin("list", "--unset").code == 3
    assert place.sync("--only", "pull") == (0, "", "")
    with pytest.raises(Denied):
        place.sync()
    assert place.pins() == {uuid: OLD, lacking: DEFAULT}
    assert place.recorded() == {uuid: [OLD]}
