# SPDX-License-Identifier: Apache-2.0
"""Whether snapshots pass recorded machine types on."""

from __future__ import annotations

import pytest

from .conftest import DATABASE, Answer, Desk

TITLE = "Machine types in snapshots"
CAVEAT = (
    "First read about shelved instances: Nova unshelves an image-backed instance as the default"
    " machine type if its shelved image hasn't got one."
)
WARNING = (
    "New instances made from a snapshot inherit its machine type. To prevent that, add hw_machine_type"
    f" to [DEFAULT] non_inheritable_image_properties in nova-api's nova.conf. {CAVEAT}"
)


def answer(desk: Desk, nova: str, own: str = DATABASE) -> Answer:
    """Return what the check finds with that in nova.conf."""
    desk.configure(own)
    file = desk.config.with_name("nova.conf")
    file.write_text(f"[DEFAULT]\ndebug = true\n{nova}")
    return desk.check(TITLE, "--config-file", str(file))


def test_a_property_that_images_do_not_inherit_is_well(desk: Desk) -> None:
    """With what that means for shelved instances."""
    listed = "non_inheritable_image_properties = cache_in_nova, hw_machine_type,bittorrent\n"

    assert answer(desk, listed) == Answer(
        0,
        "non_inheritable_image_properties has hw_machine_type: new instances made from a snapshot"
        f" don't inherit it. {CAVEAT}",
    )


def test_a_list_without_it_is_a_warning(desk: Desk) -> None:
    """With the remedy and its price."""
    assert answer(desk, "non_inheritable_image_properties = hw_machine_types\n") == Answer(
        1, WARNING
    )


def test_where_no_file_has_the_list_nova_conf_is_asked_for(desk: Desk) -> None:
    """It may have it, where it isn't among the files."""
    assert answer(desk, "") == Answer(
        1,
        f"{WARNING} The option isn't set in the files given here: if nova.conf sets it, name that with"
        " --config-file.",
    )


def test_as_data_it_is_the_option_and_the_files(desk: Desk) -> None:
    """Those that were looked at."""
    desk.configure(DATABASE)

    inherited, unset = desk.findings("machine_types_in_snapshots")

    facts = {"option": "non_inheritable_image_properties", "property": "hw_machine_type"}
    assert (inherited["kind"], inherited["facts"]) == ("inherited", facts)
    assert (unset["kind"], unset["facts"]) == (
        "option_not_set",
        {**facts, "config_files": [str(desk.config)]},
    )


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("", "No Nova database is configured"),
        (f"{DATABASE}[sync]\nwrite_back = false\n", "[sync] write_back = false"),
        (f"{DATABASE}[pin]\nstyle = alias\n", "[pin] style = alias"),
    ],
)
def test_where_no_versioned_name_is_written_it_does_not_matter(
    desk: Desk, own: str, reason: str
) -> None:
    """An alias in an image is what Nova itself puts there."""
    assert answer(desk, "", own) == Answer(
        0, f"{reason}, so mthook puts no machine type into images."
    )
