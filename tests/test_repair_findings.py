"""What is said of the repairs follows their record, and the page shows what the record has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean, stdev

import nbformat
import pytest
from scipy import stats

from vgglab.lab.experiments.reading import Recorded, recorded
from vgglab.lab.experiments.repair_findings import (
    SCENE_NAMES,
    answer_sentences,
    at_highest_rate,
    facts_table,
    leader,
    repair_accuracies,
)
from vgglab.lab.pretrained import trained_slim_fc_vgg
from vgglab.lab.repairs import REPAIRS, Case, apply_repair, repairs_table
from vgglab.summary import summary

BOOK = Path(__file__).parents[1] / "book"
PAGE = BOOK / "notebooks" / "08_repair_shop.ipynb"
SIDES = (28, 56)


def made_up(accuracy, valid=None, when=("before", "after")) -> Recorded:
    """Return a record in which a repair is right as often as a function of its name says."""
    runs = []
    for scene in SCENE_NAMES:
        for name in REPAIRS:
            for seed in range(4):
                share = accuracy(scene, name)
                noise = 0.002 * (-1) ** seed
                of_sides = {
                    str(side): None if share is None else share + noise * (1 + len(name) % 3)
                    for side in SIDES
                }
                result = dict.fromkeys(when, of_sides) | {"as_trained": 0.8}
                result["valid"] = {str(side): valid or {"0.0": 0.1} for side in SIDES}
                settings = {"scene": scene, "repair": name}
                runs.append({"settings": settings, "seed": seed, "result": result})
    definition = {
        "vary": {"scene": [*SCENE_NAMES], "repair": [*REPAIRS]},
        "held": {"sides": SIDES, "lr": (0.01, 0.1, 1.0)},
        "seeds": 4,
    }
    return Recorded("repairs", "cpu", definition, {}, "", tuple(runs))


def best(name: str):
    return lambda scene, repair: 0.7 if repair == name else 0.2 if REPAIRS[repair].fresh else 0.5


@pytest.mark.parametrize("name", ["resize", "conv", "pool"])
def test_the_sentences_follow_the_record(name):
    said = answer_sentences(made_up(best(name)))
    assert len(said) == 5
    assert all(f"`{name}` is right most often at 56 px: 70.0 %" in line for line in said[:2])
    behind = "not told apart from" if name == "conv" else "ahead of" if name == "pool" else "behind"
    assert behind in said[2]
    assert said[4].count("-10.0 points [") == said[4].count(f"(`{name}`)") == 2


def test_fresh_layers_may_win():
    said = answer_sentences(made_up(best("gap")))
    assert "(70.0 % [" in said[3]
    assert "behind the best of them, `gap`" in said[3]


def test_what_is_not_told_apart_is_said_to_be_so():
    shares = {"resize": 0.5, "pool": 0.5005, "conv": 0.3}
    record = made_up(lambda scene, name: shares.get(name, 0.1))
    first, behind = leader(repair_accuracies(record, "before", 56, "larger"))
    assert first == "pool"
    assert {name for name, gap in behind.items() if not gap.significant} == {"resize"}
    assert "not told apart from `resize`, and" in answer_sentences(record)[0]


def test_repairs_that_do_not_apply_are_left_out():
    record = made_up(lambda scene, name: None if name == "crop" else 0.5)
    assert [*repair_accuracies(record, "after", 28, "larger")] == [
        n for n in REPAIRS if n != "crop"
    ]


def test_the_edge_of_the_rates_is_noticed():
    inside = made_up(best("pool"), {"0.0": 0.1, "0.01": 0.2, "0.1": 0.6, "1.0": 0.5})
    assert [*at_highest_rate(inside)] == []
    beyond = made_up(best("pool"), {"0.0": 0.1, "0.01": 0.2, "0.1": 0.5, "1.0": 0.55})
    rows = [*at_highest_rate(beyond)]
    assert len(rows) == len(REPAIRS) * len(SIDES) * len(SCENE_NAMES)
    assert {row["points over the rate next to it"] for row in rows} == {"+5.0"}


# --- the page ------------------------------------------------------------------------------------


def outputs() -> list[str]:
    notebook = nbformat.read(PAGE, as_version=4)
    found = [
        o.get("data", {}).get("text/html") for c in notebook.cells for o in c.get("outputs", [])
    ]
    return [html for html in found if html]


def table_of(title: str) -> dict[str, dict[str, str]]:
    """Return a table of the page: cells by the name of the row and of the column."""
    (html,) = (html for html in outputs() if f"<strong>{title}" in html)
    return cells(html)


def cells(html: str) -> dict[str, dict[str, str]]:
    rows = [
        [re.sub("<[^>]*>", "", cell).strip() for cell in re.findall("<t[hd].*?</t[hd]>", row, re.S)]
        for row in re.findall("<tr>.*?</tr>", html, re.S)
    ]
    head, *body = rows
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


TITLES = {
    ("enlarged", "before"): "Objects grow with the image, no training",
    ("larger", "before"): "Objects keep their size, no training",
    ("enlarged", "after"): "The objects grow with the image, after training",
    ("larger", "after"): "The objects keep their size in a larger scene, after training",
}


def wrong(table: dict[str, dict[str, str]], scene: str, when: str) -> list[str]:
    """Compare each cell with the runs of the file, by a computation of its own."""
    runs = json.loads((BOOK / "results" / "repairs.json").read_text("utf-8"))["budgets"]["cpu"][
        "runs"
    ]
    found = []
    for name, row in table.items():
        settings = {"scene": scene, "repair": name}
        results = [run["result"][when] for run in runs if run["settings"] == settings]
        for column, text in row.items():
            shares = [100 * (result[column.removesuffix(" px")] or 0) for result in results]
            half = stats.t.ppf(0.975, len(shares) - 1) * stdev(shares) / len(shares) ** 0.5
            bounds = [fmean(shares), fmean(shares) - half, fmean(shares) + half]
            wanted = "{:.0f} [{:.0f}, {:.0f}]".format(*bounds) if any(shares) else ""
            if text != wanted:
                found.append(f"{name}, {column}: {text}, and not {wanted}")
    return found


@pytest.mark.parametrize(("scene", "when"), TITLES)
def test_every_cell_of_the_accuracies_is_that_of_the_record(scene, when):
    table = table_of(TITLES[scene, when])
    assert table.keys() == REPAIRS.keys()
    assert wrong(table, scene, when) == []


def test_one_wrong_cell_is_found():
    table = table_of(TITLES["larger", "before"])
    table["conv"]["56 px"] = "6" + table["conv"]["56 px"]
    (found,) = wrong(table, "larger", "before")
    assert found.startswith("conv, 56 px: 6")


@pytest.mark.parametrize("name", ["pool", "new-first"])
def test_what_the_page_says_of_a_repair_is_counted_again(name):
    (row,) = (row for key, row in table_of("VGG, trained at 28").items() if key == name)
    case = Case(trained_slim_fc_vgg(), (1, 3, 28, 28), (1, 3, 56, 56))
    made = apply_repair(name, case)
    assert row["weights"] == f"{sum(p.numel() for p in made.parameters()):,}"
    assert row["M mult-adds"] == f"{summary(made, case.new).mult_adds / 1e6:,.1f}"
    before = {p.flatten().sum().item() for p in case.model.parameters()}
    kept = sum(p.numel() for p in made.parameters() if p.flatten().sum().item() in before)
    share = kept / sum(p.numel() for p in case.model.parameters())
    assert row["weights kept"].startswith(f"{share:.1%}")
    assert ("fresh" in row["weights kept"]) == REPAIRS[name].fresh


def test_time_and_memory_are_those_of_the_record():
    costs = recorded(BOOK / "results" / "repairs-cost.json", "cpu")
    table = facts_table(repairs_table(trained_slim_fc_vgg(), (1, 3, 56, 56)), costs, "slim")
    assert cells(table._repr_html_()) == table_of("VGG, trained at 28")
    seeds = costs.samples("peak_bytes", precision="float32", network="slim")
    for row in table.rows:
        peaks = {seed[row["repair"]] for seed in seeds}
        assert [f"{peak / 2**20:.2f}" for peak in peaks] == [row["peak of a forward, MiB"]]
