# SPDX-License-Identifier: Apache-2.0
"""``set`` of a shelved instance, and the image that it is unshelved from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.glance import PASSWORD, Glance, served
from tests.programs import Said

from .cloud import Cloud
from .conftest import WEB, Run

IMAGE = "9d1b0000-0000-4000-8000-000000000001"
LABEL = f"web ({WEB})"
#: Where this host knows it as well.
HERE = f"web (web-1, {WEB})"
KEPT = "mthook-admin: warning: history isn't kept: there is no catalog here"
BUSES = {"image_hw_disk_bus": "ide", "image_hw_rescue_bus": "virtio"}
COMMAND = (
    "openstack image set --property hw_machine_type=pc-q35-7.2 --property hw_disk_bus=sata"
    f" --property hw_rescue_bus=virtio {IMAGE}"
)
SO_CHANGE = (
    "unshelving takes the machine type and buses from its shelved image, so change those as well"
)


@pytest.fixture
def glance() -> Iterator[Glance]:
    """Glance with the shelved image, which Nova made of what was recorded then."""
    with served() as found:
        image = {"id": IMAGE, "name": "web-shelved", "status": "active", "os_distro": "debian"}
        found.images[IMAGE] = {**image, "hw_machine_type": "pc", "hw_disk_bus": "ide"}
        yield found


@pytest.fixture
def credentials(cloud: Cloud, config: Path, glance: Glance) -> None:
    """The configuration has those of a user that may change it."""
    config.write_text(config.read_text() + glance.options())


@pytest.fixture(params=["shelved", "shelved_offloaded"])
def shelved(cloud: Cloud, request: pytest.FixtureRequest) -> None:
    """An instance that is unshelved from an image."""
    about = {"machine": "pc-i440fx-7.2", "buses": BUSES, "shelved_image": IMAGE}
    cloud.add(WEB, host="beta", vm_state=request.param, **about)


def change(run: Run, *more: str) -> Said:
    """Change family, with all that goes with it."""
    return run("set", WEB, "pc-q35-7.2", "--force", "--with-buses", *more)


@pytest.mark.usefixtures("shelved")
def test_without_credentials_the_command_is_printed(run: Run, cloud: Cloud) -> None:
    """It can be typed as it stands; Nova's database is changed all the same."""
    said = change(run)

    assert (said.code, said.err.splitlines()[-1]) == (
        0,
        f"mthook-admin: warning: {SO_CHANGE}: {COMMAND}",
    )
    assert cloud.machine(WEB) == "pc-q35-7.2"


@pytest.mark.usefixtures("shelved")
def test_the_image_is_never_to_have_a_bus_that_the_machine_type_has_not(run: Run) -> None:
    """Also where the recorded ones are left: by that image Nova could unshelve nothing."""
    said = run("set", WEB, "pc-q35-7.2", "--force")

    assert said.err.splitlines()[-1] == f"mthook-admin: warning: {SO_CHANGE}: {COMMAND}"


@pytest.mark.usefixtures("shelved", "credentials")
def test_with_credentials_the_image_gets_machine_type_and_buses(run: Run, glance: Glance) -> None:
    """In one request, which leaves all else of it; a second time there is nothing to do."""
    said = change(run)

    assert said.code == 0
    assert said.err.splitlines()[-3:] == [
        f"image {IMAGE}: hw_machine_type: pc → pc-q35-7.2",
        f"image {IMAGE}: hw_disk_bus: ide → sata",
        f"image {IMAGE}: hw_rescue_bus: none → virtio",
    ]
    ((image, patch),) = glance.patches
    assert image == IMAGE
    assert sorted((one["op"], one["path"], one["value"]) for one in patch) == [
        ("add", "/hw_rescue_bus", "virtio"),
        ("replace", "/hw_disk_bus", "sata"),
        ("replace", "/hw_machine_type", "pc-q35-7.2"),
    ]
    assert glance.images[IMAGE]["os_distro"] == "debian"

    assert change(run) == Said(0, "", f"{LABEL}: pc-q35-7.2 is recorded already\n")
    assert len(glance.patches) == 1


@pytest.mark.usefixtures("shelved", "credentials")
def test_an_image_that_was_left_behind_is_put_right_later(run: Run, glance: Glance) -> None:
    """Where Nova has the machine type recorded already."""
    change(run)
    glance.images[IMAGE]["hw_machine_type"] = "pc"

    assert run("set", WEB, "pc-q35-7.2").err.splitlines() == [
        f"{LABEL}: pc-q35-7.2 is recorded already",
        f"image {IMAGE}: hw_machine_type: pc → pc-q35-7.2",
    ]


@pytest.mark.usefixtures("shelved", "credentials")
def test_a_dry_run_leaves_the_image(run: Run, glance: Glance) -> None:
    """It prints the command."""
    said = change(run, "--dry-run")

    assert said.err.endswith(f"{SO_CHANGE}: {COMMAND}\n")
    assert glance.patches == []


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    "about", [{"vm_state": "stopped", "shelved_image": IMAGE}, {"vm_state": "shelved"}]
)
def test_no_other_image_is_touched(
    run: Run, cloud: Cloud, glance: Glance, about: dict[str, str]
) -> None:
    """One that was unshelved since, or that has its root on a volume, isn't made from an image."""
    cloud.add(WEB, host="beta", machine="pc-i440fx-6.2", **about)

    assert run("set", WEB, "pc-i440fx-7.2").err.splitlines()[1:] == [
        KEPT,
        f"{LABEL}: pc-i440fx-6.2 → pc-i440fx-7.2",
    ]
    assert glance.patches == []


def failed(said: Said) -> str:
    """Return why the image wasn't changed; the instance was, and the command is there."""
    assert said.code == 0
    last = said.err.splitlines()[-1]
    assert PASSWORD not in said.err
    assert "xyzzy" not in said.err
    assert last.startswith("mthook-admin: warning: ")
    assert last.endswith(f"; {SO_CHANGE}: {COMMAND}")
    return last


@pytest.mark.usefixtures("shelved", "credentials")
@pytest.mark.parametrize("options", [(), ("--debug",)])
def test_a_refusal_is_a_warning_with_the_command(
    run: Run, cloud: Cloud, glance: Glance, options: tuple[str, ...]
) -> None:
    """Of Glance's own words one line; no output has the password."""
    glance.refusal = 403

    said = run(*options, "set", WEB, "pc-q35-7.2", "--force", "--with-buses")

    assert "not permitted" in failed(said)
    assert cloud.machine(WEB) == "pc-q35-7.2"


@pytest.mark.usefixtures("shelved", "credentials")
def test_an_image_that_is_gone_is_named(run: Run, glance: Glance) -> None:
    """By its ID."""
    glance.images.clear()

    assert f"image {IMAGE}: " in failed(change(run))


@pytest.mark.usefixtures("shelved")
def test_a_wrong_password_is_told_without_it(run: Run, config: Path, glance: Glance) -> None:
    """What Keystone says."""
    config.write_text(config.read_text() + glance.options(password="xyzzy"))

    said = run("--debug", "set", WEB, "pc-q35-7.2", "--force", "--with-buses")

    assert "needs authentication" in failed(said)


@pytest.mark.usefixtures("shelved")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auth_type": "magic"}, "magic"),
        ({"auth_url": "http://127.0.0.1:1/v3"}, "127.0.0.1"),
        ({"timeout": "soon"}, "the group [glance] can't be used: "),
        ({"region_name": "nowhere"}, "nowhere region not found"),
    ],
)
def test_options_that_cannot_be_used_are_a_warning(
    run: Run, config: Path, glance: Glance, options: dict[str, str], words: str
) -> None:
    """One line, whatever the libraries raise."""
    config.write_text(config.read_text() + glance.options(**options))

    assert words in failed(change(run))


@pytest.mark.usefixtures("shelved", "credentials")
def test_without_openstacksdk_it_is_said_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is only needed where there are credentials."""
    monkeypatch.setitem(sys.modules, "openstack.connection", None)

    assert "install openstacksdk" in failed(change(run))


@pytest.mark.usefixtures("shelved")
def test_options_may_be_in_another_group(run: Run, config: Path, glance: Glance) -> None:
    """As keystoneauth has it, in nova.conf for one."""
    text = glance.options().replace("[glance]", "[login]")
    config.write_text(f"{config.read_text()}{text}[glance]\nauth_section = login\n")

    assert change(run).code == 0
    assert len(glance.patches) == 1
