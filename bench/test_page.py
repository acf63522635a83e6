"""The pages hold the published figures, and a new run replaces them all."""

import json
import re

import pytest

from bench import page
from bench.__main__ import SECTIONS
from bench.page import PAGES, PART, PARTS, PUBLISHED, ROOT, TABLE, Results, filled
from bench.report import Row
from bench.timing import Times


@pytest.fixture(scope="module")
def results():
    return Results(PUBLISHED)


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_what_the_command_makes(name, results):
    text = (ROOT / name).read_text("utf-8")
    assert PART.search(text)
    assert filled(text, results) == text


def test_the_whole_table_is_that_of_the_run(results):
    assert TABLE.read_text("utf-8") == page.whole(results)


def test_every_part_is_read_somewhere():
    read = [
        name
        for each in PAGES
        for _, name, _ in PART.findall((ROOT / each).read_text("utf-8"))
    ]
    assert sorted(read) == sorted(PARTS)


def test_every_section_has_a_part():
    sections = {"real" if name == "real_data" else name for name in SECTIONS}
    assert sections == {*PARTS} - {"summary", "run", "profile"}


def test_rows_are_read_as_they_were_written():
    row = Row("start", "job", "one", "work", Times((3.0, 1.0, 2.0)), ratio=2.0)
    found = json.loads(json.dumps(row.to_dict()))
    assert Row.from_dict(found) == row
    assert Row.from_dict(Row("a", "b", "c").to_dict()) == Row("a", "b", "c")


def test_a_new_run_is_published(tmp_path, monkeypatch, results):
    pages = {name: (ROOT / name).read_text("utf-8") for name in PAGES}
    (tmp_path / "docs").mkdir()
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = json.loads(PUBLISHED.read_text("utf-8"))
    run["machine"]["date"] = "2031-01-02T03:04:05+00:00"
    # Of a run without the real data, and without a contestant.
    run["rows"] = [
        row
        for row in run["rows"]
        if row["section"] != "real data" and "JAX" not in row["contestant"]
    ]
    new = tmp_path / "results.json"
    new.write_text(json.dumps(run), encoding="utf-8")
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr(page, "PUBLISHED", tmp_path / "published.json")
    monkeypatch.setattr(page, "TABLE", tmp_path / "published.txt")
    page.main([str(new)])
    comp = {name: (tmp_path / name).read_text("utf-8") for name in PAGES}
    for text in comp.values():
        assert "on 2031-01-02" in text
        assert filled(text, results) != text
    assert re.search(r"\| tiny: .* \| – \|", comp["docs/benchmarks.md"])
    assert "JAX f32" not in (tmp_path / "published.txt").read_text("utf-8")
    assert (tmp_path / "ratios.png").stat().st_size > 10_000
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    # A run that lacks a figure of a page changes nothing.
    run["rows"] = [row for row in run["rows"] if "fastmlp" not in row["contestant"]]
    new.write_text(json.dumps(run), encoding="utf-8")
    published = (tmp_path / "published.json").read_text("utf-8")
    with pytest.raises(KeyError):
        page.main([str(new)])
    assert (tmp_path / "published.json").read_text("utf-8") == published
    assert {name: (tmp_path / name).read_text("utf-8") for name in PAGES} == comp
