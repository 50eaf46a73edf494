"""The page of the status: made of records, and of nothing else."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import make_notebooks
import nbformat
import pytest
import status

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "table", [status.versions, status.costs, status.experiments, status.platforms]
)
def test_tables_are_rectangular_and_full(table) -> None:
    rows = table()
    assert len(rows) > 3
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(cell and "|" not in cell for row in rows for cell in row)


def test_every_notebook_has_a_row_with_its_cost_or_without() -> None:
    record = status.read(status.COSTS)["notebooks"]
    paths = sorted((ROOT / "book" / "notebooks").glob("*.ipynb"))
    rows = {row[0].partition("]")[0][1:]: row[1:] for row in status.costs()[1:]}
    assert [*rows] == [path.stem for path in paths]
    assert {f"notebooks/{name}" for name in rows} >= record.keys()
    for name, (*cells, since) in rows.items():
        assert (since == "new") == (f"notebooks/{name}" not in record)
        assert ("not measured yet" in cells) == (since == "new")
    for cost in record.values():
        assert cost["seconds"] > 0
        assert cost["processor_seconds"] > 0
        assert cost["peak_bytes"] > 2**20


def test_costs_of_another_machine_are_not_mixed(tmp_path) -> None:
    other = status.read(status.COSTS)
    other["provenance"]["device"] = "another"
    target = tmp_path / "costs.json"
    target.write_text(json.dumps(other), encoding="utf-8")
    before = target.read_bytes()
    with pytest.raises(make_notebooks.ChapterError, match="another machine"):
        make_notebooks.record_costs(["00_start_here"], target)
    assert target.read_bytes() == before


def test_a_notebook_that_is_not_there_is_not_timed(tmp_path) -> None:
    target = tmp_path / "costs.json"
    target.write_text(json.dumps({"provenance": {}, "notebooks": {}}), encoding="utf-8")
    with pytest.raises(make_notebooks.ChapterError, match="no notebook 99_nothing"):
        make_notebooks.record_costs(["99_nothing"], target)


def test_what_is_timed_again_does_not_make_the_others_younger(tmp_path, monkeypatch) -> None:
    record = status.read(status.COSTS)
    for cost in record["notebooks"].values():
        cost["date"] = "2026-01-02"
    record["notebooks"]["notebooks/00_start_here"]["date"] = "2026-02-03"
    target = tmp_path / "costs.json"
    target.write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(status, "COSTS", target)
    assert ", 2026-01-02 to 2026-02-03, " in status.costs_made_with()
    assert ", 2026-02-03, " in status.costs_made_with("00_start_here")


def test_a_notebook_that_has_changed_since_is_said_to_have() -> None:
    path = ROOT / "book" / "notebooks" / "00_start_here.ipynb"
    read = nbformat.read(path, as_version=4)
    before = make_notebooks.text_of(read)
    read.cells[1].outputs = []
    assert make_notebooks.text_of(read) == before
    read.cells[0].source = "another"
    assert make_notebooks.text_of(read) != before


def test_the_record_says_what_made_it_and_how_old_it_is() -> None:
    record, said = status.read(status.COSTS), status.costs_made_with()
    for cost in record["notebooks"].values():
        assert date.fromisoformat(cost["date"])
    assert record["provenance"]["device"] in said
    assert "this build" in said
    assert record["command"] == "python book/make_notebooks.py costs"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, status.NOT_KNOWN),
        ("", status.NOT_KNOWN),
        ("null null", status.NOT_KNOWN),
        (
            "2026-11-23T04:55:10Z https://github.com/vgglab/vgglab/actions/runs/12",
            "[2026-11-23](https://github.com/vgglab/vgglab/actions/runs/12)",
        ),
    ],
)
def test_the_weekly_run_is_what_ci_says_or_not_known(monkeypatch, given, said) -> None:
    if given is None:
        monkeypatch.delenv(status.WEEKLY, raising=False)
    else:
        monkeypatch.setenv(status.WEEKLY, given)
    assert status.weekly() == said


def test_ci_gives_the_weekly_run_to_the_build() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f"{status.WEEKLY}=" in workflow


def test_every_record_is_named_with_its_device() -> None:
    names = {path.stem for path in (ROOT / "book" / "results").glob("*.json")}
    rows = [row for row in status.experiments()[1:] if not row[0].startswith("wanted")]
    listed = " ".join(row[2] for row in rows)
    assert {name for name in names if f"[{name}]" not in listed} == set()


def test_what_is_unmeasured_is_chapter_09s_own_table() -> None:
    assert "needs a GPU" in status.unmeasured().astext()
