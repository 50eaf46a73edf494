"""The chart that says which repairs remain: what it is made of, and what it leaves out."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
import torch
import torchvision.transforms.v2.functional as transforms
from pages import assert_self_contained, chart_of_the_page
from torch import nn

import vgglab
from vgglab.compare.reference import relative_l2
from vgglab.figures.repair_chart import Answers, choose, memory, repair_chart
from vgglab.lab.experiments.reading import recorded
from vgglab.lab.repairs import REPAIRS, Case, apply_repair, repairs_table
from vgglab.models.network import vgg

BOOK = Path(__file__).parents[1] / "book"
OLD, NEW = (1, 3, 224, 224), (1, 3, 400, 400)


@pytest.fixture(scope="module")
def chart():
    return chart_of_the_page()[0]


def test_the_figure_needs_nothing_else_and_has_a_table_of_all_repairs():
    html = chart_of_the_page()[1]
    assert_self_contained(html)
    body = re.search("<tbody>(.*?)</tbody>", html, re.S)[1]
    assert re.findall('<th scope="row">([^<]*)', body) == [*REPAIRS]


def test_the_facts_are_those_of_the_network():
    model = vgg("A", head="fc-fixed", width=1 / 16, num_classes=10, device="meta")
    records = [
        recorded(BOOK / "results" / f"{name}.json", "cpu") for name in ("repairs", "repairs-cost")
    ]
    table = repairs_table(model, NEW)
    made = repair_chart(model, table, *records)
    rows = {row["name"]: row for row in made.rows}
    for row in table.rows:
        facts = rows[row.name]
        assert facts["parameters"] + 10 * facts["per_class"] == row.parameters
        assert facts["mult_adds"] == row.mult_adds
    assert {name for name, row in rows.items() if not row["several"]} == {
        "fold", "new-first", "new-classifier",
    }  # fmt: skip
    case = Case(model, table.old, table.new)
    for name in ("conv", "gap"):
        wider = Case(
            vgg("A", head="fc-fixed", width=1 / 16, num_classes=17, device="meta"), OLD, NEW
        )
        more = [sum(p.numel() for p in apply_repair(name, c).parameters()) for c in (case, wider)]
        assert more[1] - more[0] == 7 * rows[name]["per_class"]
    # Five crops go through at once; the fold reads the map that pooling reads too.
    assert rows["five-crops"]["peak"] > 4 * rows["crop"]["peak"]
    assert rows["gap"]["accuracy"]["larger"]["before"][0] < 15


@pytest.mark.parametrize(
    ("answers", "first", "reasons"),
    [
        (Answers(), "resize", {"gap": "training", "new-first": "training"}),
        (Answers(several=True, training=True), "resize", {"fold": "sizes", "new-first": "sizes"}),
        (Answers("larger", training=True), "conv", {}),
        (Answers("larger", map=True, onnx="free"), "conv", {"conv-probabilities": "onnx"}),
        (Answers(classes=3), None, {"resize": "training"}),
        (Answers(pretrained=False, training=True), "resize", {}),
        (Answers(memory=600.0), "resize", {"pool": "memory", "fold": "memory"}),
        (Answers(training=True, onnx="fixed"), "resize", {"spp": "onnx"}),
    ],
)
def test_what_does_not_fit_goes(chart, answers, first, reasons):
    kept, out = choose(chart, answers)
    assert (kept[0] if kept else None) == first
    assert reasons.items() <= out.items()


def test_each_repair_remains_or_says_why_and_the_best_is_first(chart):
    accuracy = {row["name"]: row["accuracy"] for row in chart.rows}
    flags = (False, True)
    for scene, several, training, files in product(
        ("enlarged", "larger"), flags, flags, ("no", "free")
    ):
        kept, out = choose(chart, Answers(scene, several, True, training, onnx=files))
        assert {*kept} ^ {*out} == {*REPAIRS}
        when = "after" if training else "before"
        means = [accuracy[name][scene][when][0] for name in kept]
        assert means == sorted(means, reverse=True)


def test_training_takes_more_memory_and_classes_cost_by_what_the_last_layer_reads(chart):
    rows = {row["name"]: row for row in chart.rows}
    for row in rows.values():
        assert memory(row, True, 1000) > 2 * memory(row, False, 1000)
    fewer = [
        memory(rows[name], False, 1000) - memory(rows[name], False, 0) for name in ("gap", "pool")
    ]
    assert fewer[0] * 7 < fewer[1]


def run_code(name: str, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    names = {"model": model, "images": images, "nn": nn, "vgglab": vgglab, **vars(transforms)}
    exec(REPAIRS[name].code, names)
    found = names.get("scores", names.get("probabilities"))
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("name", REPAIRS)
def test_the_code_runs_for_vgg_16(name):
    with torch.device("meta"):
        found = run_code(name, vgg("D", head="fc-fixed").eval(), torch.empty(NEW))
    assert found.shape == (1, 1000)


@pytest.mark.parametrize("name", [name for name, repair in REPAIRS.items() if not repair.fresh])
def test_the_code_is_the_repair(name):
    torch.manual_seed(0)
    model = vgg("D", head="fc-fixed", width=1 / 32).eval()
    images = torch.randn(NEW)
    with torch.no_grad():
        wanted = apply_repair(name, Case(model, OLD, NEW))(images)
        found = run_code(name, model, images)
    if name == "conv-probabilities":
        wanted = wanted.exp()
    assert relative_l2(found.double(), wanted.double()) < 1e-4
