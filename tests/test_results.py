"""The records in book/results: whole, of the experiments as they are now, and reproducible."""

from __future__ import annotations

import ast
import json
import re
import shutil
from datetime import date
from importlib.resources import files
from pathlib import Path

import jsonschema
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from sampling import sampled
from tabulate import tabulate
from torch import nn

from vgglab.compare.reference import relative_l2
from vgglab.figures.plots import COLORS
from vgglab.lab.benchmark.grids import BENCHMARKS
from vgglab.lab.benchmark.measurements import benchmarks
from vgglab.lab.experiments import find_experiment, reproduce
from vgglab.lab.experiments.catalogue import EXPERIMENTS
from vgglab.lab.experiments.reading import recorded
from vgglab.lab.experiments.results import as_json, read_results
from vgglab.models.network import vgg

BOOK = Path(__file__).parents[1] / "book"
RESULTS = BOOK / "results"
SCHEMA = json.loads((files("vgglab.lab.benchmark") / "benchmark.schema.json").read_text("utf-8"))


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


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_whole_below_its_roofs_and_said_by_its_chapter(name):
    path = RESULTS / f"{name}.json"
    jsonschema.validate(read_results(path), SCHEMA)
    found = benchmarks(path)
    assert "cpu" in found
    notebook = (BOOK / "notebooks" / "09_gpu_lab.ipynb").read_text("utf-8")
    for budget in found:
        record, size = recorded(path, budget), BENCHMARKS[name].budgets[budget]
        assert record.definition == as_json({"vary": size.vary, "held": size.held, "seeds": 1})
        assert record.command in notebook


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_seeds_differ(name):
    """Five equal numbers would have an interval of no width, and be one number."""
    record = recorded(RESULTS / f"{name}.json", "cpu")
    for settings in find_experiment(name).budgets["cpu"].combinations():
        results = [run["result"] for run in record.runs if run["settings"] == as_json(settings)]
        kept = [result for result in results if not result.get("diverged")]  # lost is lost
        assert len({json.dumps(result) for result in kept}) == len(kept)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "only"),
    sampled(
        [
            ("gap-digits", {"seed": 0, "head": "flatten-fc"}),
            ("gap-information", {"seed": 0, "trained": False}),
            ("normalization-cost", {"seed": 0}),
            ("forced-shapes", {"seed": 0}),
            ("dense-answers", {"seed": 0}),
            ("signal-scale", {"seed": 0}),
        ],
        1,
    ),
)
def test_a_run_at_the_tiny_budget_comes_out_again(tmp_path, name, only):
    """Within the tolerance for other machines: names of processors do not tell all of one."""
    whole = read_results(RESULTS / f"{name}.json")
    whole["budgets"]["tiny"]["provenance"]["device"] = "another"
    (tmp_path / f"{name}.json").write_text(json.dumps(whole), encoding="utf-8")
    again = list(reproduce(find_experiment(name), "tiny", tmp_path, only=only))
    assert again
    assert [differences for _, differences in again] == [[]] * len(again)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_record_is_read_by_its_chapter_which_says_what_made_it(name):
    chapter = EXPERIMENTS[name].chapter
    notebook = nbformat.read(BOOK / "notebooks" / f"{chapter}.ipynb", as_version=4)
    printed = "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    path = RESULTS / f"{name}.json"
    for budget in set(read_results(path)["budgets"]) - {"tiny"}:
        made = str(recorded(path, budget)).splitlines()
        assert [line for line in made if line not in printed] == []


# Figures: what a reader takes for something counted or measured. A whole number without a unit is
# none (16 layers, 7×7, 224 px): no rule can tell it from what a question gives.
FIGURE = re.compile(
    r"(?<![\w.])[-+−]?\d+\.\d+(?:e[-+]?\d+)?"  # 0.83
    r"|\d+(?:e[-+]?\d+)"  # 1e-5
    r"|\d+\s*(?:%|‰|percent\b|per cent\b|points?\b)"  # 56 %
    r"|\d{1,3}(?:,\d{3})+"  # 1,234
    r"|\d+\s*[-–]?\s*(?:times|fold)\b|\d+\s*×(?!\s*\d)"  # 3 times
    r"|\d+\s*(?:thousand|million|billion|[kKMGT]?i?B|[KMGT]|[mµn]?s|seconds?|minutes?|hours?)\b"
    r"|±\s*\d+"
)
# What is typed all the same: constants of the paper, levels of a test, numbers of a task.
GIVEN = {
    "01_vgg_design": {
        "0.1", "0.01",  # the paper's initialisation, read in two ways
        "39.29",  # the figure that the question quotes
    },
    "02_receptive_field": {
        "40,000",  # a limit of an exercise
        "7 points",  # the paper's 5×5 rival
    },
    "03_normalization": {"0.01", "1.4", "1e-4"},
    "05_adaptive_pooling": {
        "0.01",  # VGG's initialisation
    },
    "06_fc_to_conv": {
        "1.4",  # the square root of 2
        "24.4", "24.6", "24.8",  # the paper's table 5
        "36 times",  # the cells of a 6×6 map
    },
    "07_gap_vs_flatten": {
        "10,000", "5,000", "45,000",  # images of an experiment
        "15 million",  # a limit of an exercise
    },
    "08_repair_shop": {
        "73,728",  # features that an exercise gives
    },
    "09_gpu_lab": {
        "138,357,544",  # parameters that an exercise gives
        "16 GiB",  # the limit of a question
    },
    "10_scaling_out": {
        "3.75",  # the paper's, which the question quotes
        "3.0",  # of PCI Express
        "25 MiB", "1 MiB",  # torch's buckets
    },
}  # fmt: skip


def figures(text: str) -> set[str]:
    """Return the figures that are typed in a chapter's prose."""
    for part in (
        r"\A---\n.*?\n---\n|^```.*?^```|\$\$.*?\$\$",  # head, code, formulas
        r"\$[^$\n]*\$|\{[a-z:]+\}`[^`]*`|`[^`\n]*`|\]\([^)]*\)",  # the same, and links, in a line
        r"[Ss]ections? \d+(\.\d+)*",  # of a paper
        r"\b95 %",  # the level of all intervals
    ):
        text = re.sub(part, "", text, flags=re.S | re.M)
    return {match.group() for match in FIGURE.finditer(text)}


@pytest.mark.parametrize("path", sorted((BOOK / "chapters").glob("*.md")), ids=lambda p: p.stem)
def test_the_prose_types_no_result(path):
    """What was counted or measured comes from cells."""
    assert figures(path.read_text("utf-8")) == GIVEN.get(path.stem, set())


@pytest.mark.parametrize(
    ("sentence", "figure"),
    [
        ("The accuracy is 0.83 on unseen digits.", "0.83"),
        ("It falls to .. 56.0 % at 400 px.", "56.0"),
        ("It is right for 56 % of them.", "56 %"),
        ("It is right for 56% of them.", "56%"),
        ("GAP is 3 points better.", "3 points"),
        ("a mean of 4 ± 2 cells", "± 2"),
        ("The network has 138,357,544 weights.", "138,357,544"),
        ("It is 5 times as large, 5-fold.", "5 times"),
        ("a factor of 5× in all", "5×"),
        ("It needs 528 MB of memory.", "528 MB"),
        ("It needs 15 G mult-adds.", "15 G"),
        ("A step takes 40 ms.", "40 ms"),
        ("They differ by 1e-5.", "1e-5"),
        ("some 33 million parameters", "33 million"),
    ],
)
def test_a_planted_figure_is_found(sentence, figure):
    chapter = (BOOK / "chapters" / "04_shape_mismatch.md").read_text("utf-8")
    assert figure in figures(f"{chapter}\n{sentence}\n")


def test_given_sizes_code_and_formulas_are_no_figures():
    text = (
        "VGG-16 of 2014 has 13 layers: 7×7 maps at 224 px, `0.83` or $0.83$ in section 4.3, 04-2."
    )
    assert figures(text) == set()


def test_there_is_a_record_of_each_experiment_and_nothing_else():
    paths = [path for path in RESULTS.iterdir() if not path.name.endswith(".checkpoint")]
    assert {path.name for path in paths} == {f"{name}.json" for name in EXPERIMENTS | BENCHMARKS}
    for path in paths:
        assert read_results(path)["experiment"] == path.stem


# --- words are computed --------------------------------------------------------------------------


def exchanged(value, a, b):
    """Return a result in which what was recorded under one key stands under the other."""
    if isinstance(value, dict):
        value = {key: exchanged(item, a, b) for key, item in value.items()}
        if a in value and b in value:
            value[a], value[b] = value[b], value[a]
    return value


def said_by(chapter, markers, names):
    """Run the cells of a chapter that have these words; return what the last one shows."""
    notebook = nbformat.read(BOOK / "notebooks" / f"{chapter}.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    shown = None
    for marker in markers:
        (source,) = [source for source in code if marker in source]
        *body, last = ast.parse(source).body
        rest = [] if isinstance(last, ast.Expr) else [last]
        exec(compile(ast.Module([*body, *rest], []), chapter, "exec"), names)
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), chapter, "eval"), names)
    return str(shown)


SETTINGS = {
    "gap-border": "padding_mode",
    "stacking": "network",
    "gap-accuracy": "head",
    "frozen-batchnorm": "norm",
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "markers", "arms", "before", "after"),
    [
        (
            "forced-shapes",
            ['"forced-shapes.json"', "blind ="],
            ("56 px, as trained", "96 px, view(-1, ...)"),
            r"\n96 px, view\(-1, ...\): .*: it loses\.",
            r"\n96 px, view\(-1, ...\): .*: it gains\.",
        ),
        (
            "pool-in-place",
            ["import difference, interval", '"pool-in-place.json"', "def named("],
            ("average after", "average instead"),
            r"Better, all 12 claims together: average instead at 20 px",
            r"Worse, all 12 claims together: average instead at 20 px",
        ),
        (
            "dense-answers",
            ['"dense-cells.json"', '"dense-answers.json"', "same ="],
            ("patches", "dense, wrong order of weights"),
            r"wrong order of weights against patches: .*: fewer are right",
            r"dense against patches: .*: more are right",
        ),
        (
            "gap-border",
            ['HEADS = {"gap"', '"gap-border.json"'],
            ("zeros", "circular"),
            r"zeros against circular: .*: zeros padding tells more",
            r"zeros against circular: .*: circular padding tells more",
        ),
        (
            "stacking",
            ["stacking = {", "PAIRS ="],
            ("3x3/16/each", "3x3-linear/16/each"),
            r"3,000 images\n\n(?:.+\n)+the ReLUs, BatchNorm after each .*\]  +the first",
            r"3,000 images\n\n(?:.+\n)+the ReLUs, BatchNorm after each .*\]  +the second",
        ),
        (
            "gap-accuracy",
            ['HEADS = {"gap"', "larger ="],
            ("gap", "flatten"),
            r"\nFlatten, as they are .*\]  +GAP is better",
            r"\nFlatten, as they are .*\]  +GAP is worse",
        ),
        (
            "frozen-batchnorm",
            ["a_lrn =", "NORMS =", "KINDS =", "few, many ="],
            ("batch", "frozen"),
            r"fine-tuned with 64, frozen against BatchNorm .*\]  +worse",
            r"fine-tuned with 64, frozen against BatchNorm .*\]  +better",
        ),
    ],
)
def test_a_planted_result_changes_the_words(
    tmp_path, monkeypatch, capsys, name, markers, arms, before, after
):
    """With the opposite result in a copy of the record, the page says the opposite."""
    a, b = arms
    whole = read_results(RESULTS / f"{name}.json")
    budget = "gpu" if name == "gap-accuracy" else "cpu"
    for run in whole["budgets"][budget]["runs"]:
        if setting := SETTINGS.get(name):
            arm = run["settings"][setting]
            run["settings"][setting] = {a: b, b: a}.get(arm, arm)
        else:
            run["result"] = exchanged(run["result"], a, b)
    shutil.copytree(RESULTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"{name}.json").write_text(json.dumps(whole), encoding="utf-8")

    def said(folder):
        monkeypatch.setattr("vgglab.course.notebooks.RESULTS", folder)
        names = {"torch": torch, "nn": nn, "plt": plt, "vgg": vgg, "COLORS": COLORS}
        names |= {"relative_l2": relative_l2, "tabulate": tabulate}
        text = said_by(EXPERIMENTS[name].chapter, markers, names)
        plt.close("all")
        return capsys.readouterr().out.replace("\n    ", " ") + text  # lines that go on

    recorded_words, planted_words = said(RESULTS), said(tmp_path)
    assert re.search(before, recorded_words)
    assert not re.search(before, planted_words)
    assert re.search(after, planted_words)
