"""The records in book/results: whole, of the experiments as they are now, and reproducible."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import nbformat
import pytest

from vgglab.lab.experiments import find_experiment, reproduce
from vgglab.lab.experiments.catalogue import EXPERIMENTS
from vgglab.lab.experiments.reading import recorded
from vgglab.lab.experiments.results import as_json, read_results

BOOK = Path(__file__).parents[1] / "book"
RESULTS = BOOK / "results"
CHAPTERS = {
    "01_vgg_design": ("forward-cost",),
    "02_receptive_field": ("stacking", "effective-field"),
    "03_normalization": ("normalization", "a-lrn"),
    "04_shape_mismatch": ("size-cost",),
    "05_adaptive_pooling": ("fold-cost",),
    "06_fc_to_conv": ("dense-cost",),
    "07_gap_vs_flatten": ("gap-",),
}


@pytest.mark.parametrize("budget", ["tiny", "cpu"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_record_is_whole_and_of_the_experiment_as_it_is(name, budget):
    record = recorded(RESULTS / f"{name}.json", budget)
    size = find_experiment(name).budgets[budget]
    assert record.definition == as_json({"vary": size.vary, "held": size.held, "seeds": size.seeds})
    assert record.command == f"vgglab experiment {name} --budget {budget}"
    assert {"device", "threads", "torch", "torchvision", "python", "vgglab", "driver", "cuda"} <= {
        *record.provenance
    }
    for run in record.runs:
        assert date.fromisoformat(run["date"]) <= date.today()
        assert run["seconds"] > 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_seeds_differ(name):
    """Five equal numbers would have an interval of no width, and be one number."""
    record = recorded(RESULTS / f"{name}.json", "cpu")
    for settings in find_experiment(name).budgets["cpu"].combinations():
        results = [run["result"] for run in record.runs if run["settings"] == as_json(settings)]
        assert len({json.dumps(result) for result in results}) == len(results)


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("gap-digits", {"seed": 0, "head": "flatten-fc"}),
        ("gap-information", {"seed": 0, "trained": False}),
        ("normalization-cost", {"seed": 0}),
    ],
)
def test_a_run_at_the_tiny_budget_comes_out_again(name, only):
    again = list(reproduce(find_experiment(name), "tiny", RESULTS, only=only))
    assert again
    assert [differences for _, differences in again] == [[]] * len(again)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_record_is_read_by_its_chapter_which_says_what_made_it(chapter):
    notebook = nbformat.read(BOOK / "notebooks" / f"{chapter}.ipynb", as_version=4)
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    for name in EXPERIMENTS:
        if name.startswith(CHAPTERS[chapter]):
            assert str(recorded(RESULTS / f"{name}.json", "cpu")) in printed


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_prose_types_no_result(chapter):
    """Shares, intervals and factors come from cells; what is typed is a setting or an equation."""
    text = (BOOK / "chapters" / f"{chapter}.md").read_text("utf-8")
    prose = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.S)
    for line in prose.splitlines():
        line = line.replace("95 %", "")
        assert not re.search(r"\d\s*%|\d\s*points?\b|\d\.\d+ times|±\s*\d", line), line


def test_there_is_a_record_of_each_experiment_and_nothing_else():
    paths = [path for path in RESULTS.iterdir() if not path.name.endswith(".checkpoint")]
    assert {path.name for path in paths} == {f"{name}.json" for name in EXPERIMENTS}
    for path in paths:
        assert read_results(path)["experiment"] == path.stem
