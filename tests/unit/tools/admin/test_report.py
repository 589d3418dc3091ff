# SPDX-License-Identifier: Apache-2.0
"""``report``: text, JSON, and a page."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree, html

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from mthook.operations.report import exports
from mthook.operations.report.aggregates import Aggregates, Drifter, together
from mthook.operations.report.judged import Report, judge
from mthook.text import now
from mthook.tools.admin.report import page, plain, words
from mthook.tools.admin.table import width_of
from tests.programs import Said
from tests.unit.operations.report.fleet import (
    AT,
    HOSTILE,
    NEW,
    OLD,
    alone,
    drifter,
    fleet,
    host,
    machine,
)

from .conftest import Run

DOCS = Path(__file__).parents[4] / "docs"
STYLE = Path(page.__file__).parent / "templates" / "report.css"
NO_DRIFT = dict.fromkeys(("running", "defined", "nova", "stopped"), 0)


def hostile() -> Aggregates:
    """Return what strangers would like to see in a report."""
    some = [
        alone(host(f"{HOSTILE}{number}", mode="audit", drifting=1, qemu_version=HOSTILE))
        for number in range(2)
    ]
    names = [HOSTILE, "x" * 255, "pc-i440fx-" + "7" * 240 + ".2", *(f"m{n}" for n in range(90))]
    types = alone(host("z"), *(machine(name, 2) for name in names), drift={"running": 9})
    named = [drifter(1, on=HOSTILE)]
    return together([*some, types, Aggregates(drifters=[*named, _renamed()])])


def _renamed() -> Drifter:
    return replace(drifter(2, on=HOSTILE), name=HOSTILE * 20, pin="p" * 255, machine=HOSTILE)


REPORTS: dict[str, Callable[[], Aggregates]] = {
    "fleet": fleet,
    "hostile": hostile,
    "empty": lambda: alone(host(ran_at=None, proven=False, guests=0, unstartable=None)),
    "nothing": Aggregates,
    "well": lambda: alone(host(), machine(NEW, 5)),
    "many": lambda: together(alone(host(f"host-{n:05}", mode="audit")) for n in range(500)),
}


@pytest.fixture(params=REPORTS)
def report(request: pytest.FixtureRequest) -> Report:
    """Reports of every kind."""
    return judge(REPORTS[request.param](), AT)


def test_text_fits_eighty_columns(report: Report) -> None:
    """Whatever strangers call things; each line can be printed."""
    lines = plain.text(report).splitlines()

    assert [line for line in lines if width_of(line) > 80] == []
    assert all(line.isprintable() for line in lines)
    assert lines


def test_the_text_of_a_fleet_is_the_one_in_the_guide(pytestconfig: pytest.Config) -> None:
    """``--rewrite-transcripts`` writes it anew."""
    file = DOCS / "report-example.txt"
    text = plain.text(judge(fleet(), AT))
    if pytestconfig.getoption("rewrite_transcripts"):
        file.write_text(text)

    assert file.read_text() == text


def test_the_page_is_well_formed(report: Report) -> None:
    """As XML too, so that no tag is left open and no attribute unquoted."""
    text = page.html(report)
    strict = re.sub(r"<meta ([^>]*)>", r"<meta \1/>", text.removeprefix("<!DOCTYPE html>"))

    tree = etree.fromstring(strict)
    parser = html.HTMLParser()  # libxml2 knows HTML 4: it calls tags of HTML 5 invalid
    html.fromstring(text, parser=parser)
    ids = [one.get("id") for one in tree.iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    assert [error.message for error in parser.error_log if "invalid" not in error.message] == []


def test_the_page_needs_nothing_but_itself(report: Report) -> None:
    """No script, and no address that a browser would ask."""
    text = page.html(report)
    tree = html.fromstring(text)

    assert {one.tag for one in tree.iter()}.isdisjoint(
        ("script", "link", "img", "iframe", "object", "embed", "base", "form", "svg", "a")
    )
    attributes = {name for one in tree.iter() for name in one.attrib}
    assert attributes.isdisjoint(("src", "href", "srcset", "action", "background", "data"))
    assert [name for name in attributes if name.startswith("on")] == []
    assert not re.search(r"url\(|@import|https?:", tree.findtext(".//style") or "")
    assert "default-src 'none'" in text


def test_strangers_names_are_text() -> None:
    """Markup is shown, and what would turn the direction of reading is spelled out."""
    text = page.html(judge(hostile(), AT))
    tree = html.fromstring(text)

    assert "<script" not in text
    assert "<script>alert('1')</script>\\u202e\"&\\n\\x1b[2J0" in tree.xpath("//td[1]/bdi/text()")
    assert "\u202e" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


def test_a_report_stays_small() -> None:
    """Of 10,000 hosts as well: the worst are listed, the others counted."""
    some = [
        host(f"compute-{n:05}", guests=50, mode="audit" if n < 20 else "enforce")
        for n in range(10_000)
    ]
    found = judge(Aggregates(some, [machine(OLD, 500_000, hosts=10_000)], NO_DRIFT), AT)

    text = page.html(found)
    assert len(text) < 60_000
    assert "Not protected: 20 of 10,000 hosts" in text
    assert "And 9,940 more: protected." in text
    assert "  9,940 more: protected\n" in plain.text(found)


@pytest.mark.parametrize(
    ("figures", "headline"),
    [
        (alone(host()), "alpha: protected"),
        (alone(host(mode="off")), "alpha: not protected"),
        (alone(host(errors=1)), "alpha: protected, look into it"),
        (alone(host(ran_at="2026-11-01T00:00:00.000000Z")), "alpha: not known"),
        (together([alone(host()), alone(host("b"))]), "All 2 hosts are protected"),
        (
            together([alone(host()), alone(host("b", errors=1))]),
            "Protected, but look into 1 of 2 hosts",
        ),
        (together([alone(host()), alone(host("b", unpinned=1))]), "Not protected: 1 of 2 hosts"),
        (alone(host(ran_at=None)), "Nothing is known yet"),
        (Aggregates(), "Nothing is known yet"),
    ],
)
def test_the_headline_is_the_answer(figures: Aggregates, headline: str) -> None:
    """In one line, of a host and of several."""
    assert words.headline(judge(figures, AT)) == headline


# The page's colours.


def _colours() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the colours of each scheme."""
    for name, block in zip(
        ("light", "dark", "print"), re.findall(r":root \{([^}]*)\}", STYLE.read_text())
    ):
        yield name, dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))


def _luminance(colour: str) -> float:
    """Return a colour's (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("name", "colours"), list(_colours()))
def test_colours_have_contrast(name: str, colours: dict[str, str]) -> None:
    """WCAG's AA: 4.5 for text, 3 for bars and dots."""
    texts = [(text, on) for text in ("text", "quiet") for on in ("page", "card")]
    texts += [("on", tone) for tone in words.STANDING] + [("text", "code"), ("card", "text")]
    marks = [(mark, "card") for mark in (*words.LEFT, *words.STANDING)]

    weak = [pair for pair in texts if _contrast(*(colours[one] for one in pair)) < 4.5]
    weak += [pair for pair in marks if _contrast(*(colours[one] for one in pair)) < 3]
    assert weak == [], name


# The command.


@pytest.fixture
def synced(web: Guest, catalog: Catalog) -> Catalog:
    """A host with one pinned guest, whose last sync has just ended."""
    catalog.set_run(now(), 0)
    return catalog


def test_this_host_is_reported_by_default(run: Run, synced: Catalog) -> None:
    """The hook isn't installed here, so that it is never called protected."""
    said = run("report")

    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0].endswith(": not protected")
    assert "mthook-admin hook install\n" in said.out


def test_json_has_all_of_it(run: Run, synced: Catalog) -> None:
    """The hosts with what is wrong, machine types, ends, steps with their commands."""
    found = json.loads(run("report", "-f", "json").out)

    assert (found["standing"], found["known"]) == ("unprotected", True)
    (one,) = found["hosts"]
    assert (one["guests"], one["problems"]) == (1, ["unproven"])
    (kind,) = found["machine_types"]
    assert (kind["name"], kind["family"], kind["guests"], kind["ends"]) == (
        *("pc-i440fx-6.2", "i440fx", 1, "12.2"),
    )
    assert found["endings"][0]["machine_types"] == {"pc-i440fx-6.2": 1}
    assert found["steps"][0]["commands"] == [
        "mthook-admin hook status",
        "mthook-admin hook install",
    ]


def test_an_empty_catalog_says_so(run: Run, catalog: Catalog) -> None:
    """Nothing is protected that nobody knows."""
    said = run("report")

    assert said.out.startswith("Nothing is known yet\n")
    assert "mthook-admin setup" in said.out


def test_a_page_is_written_as_any_file(run: Run, synced: Catalog, tmp_path: Path) -> None:
    """With the mode that the umask leaves, through a link too, in place of an old one."""
    file, link = tmp_path / "report.html", tmp_path / "link.html"
    link.symlink_to(file)
    mask = os.umask(0o027)
    try:
        said = run("report", "--html", str(link))
    finally:
        os.umask(mask)

    assert (said.code, said.out) == (0, "")
    assert said.err.startswith(f"{link}: ")
    assert said.err.endswith(": not protected\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (link.is_symlink(), file.read_text()[:15]) == (True, "<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["absent/report.html", "directory", "fifo"])
def test_a_page_that_cannot_be_written_is_named(
    run: Run, synced: Catalog, tmp_path: Path, name: str
) -> None:
    """Nothing is left beside it, and no device or pipe is replaced by a file."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = sorted(os.listdir(tmp_path))

    said = run("report", "--html", f"{tmp_path}/{name}")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"mthook-admin: {tmp_path}/{name}")
    assert sorted(os.listdir(tmp_path)) == before
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_page_without_jinja_is_refused(
    run: Run, synced: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text and JSON need none."""
    monkeypatch.setitem(sys.modules, "jinja2", None)

    said = run("report", "--html", f"{tmp_path}/report.html")

    assert said.code == 1
    assert said.err.endswith(": install python3-jinja2\n")
    assert run("report").code == 0


def test_page_and_format_do_not_go_together(run: Run, synced: Catalog) -> None:
    """One at a time."""
    said = run("report", "--html", "x", "-f", "json")

    complaint = "mthook-admin: --html and --format don't go together: ask for one at a time\n"
    assert said == Said(2, "", complaint)


def test_several_hosts_are_reported_from_their_exports(
    run: Run, synced: Catalog, tmp_path: Path
) -> None:
    """What export prints is read; a file that says nothing about a host is named, and code 1."""
    directory = tmp_path / "exports"
    directory.mkdir()
    (directory / "a.jsonl").write_text(run("export").out)
    (directory / "b.jsonl").write_text(exports.to_line(alone(host("b"), drift=NO_DRIFT)))

    said = run("report", "--from", str(directory))
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Not protected: 1 of 2 hosts\n")

    (directory / "c.jsonl").write_text("{}")
    said = run("report", "--from", str(directory))
    assert (said.code, said.err) == (
        1,
        f"mthook-admin: {directory}/c.jsonl is left out: it doesn't begin with the figures of a host: make"
        " it anew there with 'mthook-admin export'\n",
    )
    assert said.out.startswith("Not protected: 1 of 2 hosts\n")


def test_a_directory_without_exports_is_named(run: Run, tmp_path: Path) -> None:
    """With what makes one."""
    said = run("report", "--from", str(tmp_path / "lib"))
    assert (said.code, said.out) == (1, "")
    (tmp_path / "none").mkdir()

    said = run("report", "--from", str(tmp_path / "none"))

    assert said == Said(
        1,
        "",
        f"mthook-admin: {tmp_path}/none has no export: 'mthook-admin export > {tmp_path}/none/HOST.jsonl'"
        " makes one\n",
    )


def test_an_instance_may_drift_without_a_pin() -> None:
    """Its pin was released after a start was stopped."""
    released = replace(drifter(1, "stopped"), pin="")

    assert words.drifter(released, 1) == f"web-1 has {NEW}, without a pin"
    assert words.drifter(drifter(1), 2) == f"alpha: web-1 has {NEW}, pinned to {OLD}"


def test_types_of_other_vendors_are_not_known() -> None:
    """No end is made up."""
    found = judge(alone(host(), machine("pc-q35-rhel9.4.0", 3)), AT)

    assert "not known" in plain.text(found)
    assert words.end_of(found.families[0].types[0]) == "end not known"
