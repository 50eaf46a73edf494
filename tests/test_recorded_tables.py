"""Records that pages of the reference print: of the scripts as they are, and still true."""

import importlib.util
import json
from pathlib import Path

import make_advice
import pytest
import torch
from sampling import sampled

from vgglab import diagnose
from vgglab.lab.pretrained import trained_slim_fc_vgg

ROOT = Path(__file__).parents[1]


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


tables = module(ROOT / "book/_ext/recorded_tables.py")
doctors = module(ROOT / "tests/benchmarks/doctors.py")


def read(name):
    return json.loads((ROOT / "book/reference" / name).read_text(encoding="utf-8"))


ADVICE, DOCTORS = read("usual_advice.json"), read("doctors.json")


@pytest.mark.parametrize(
    "rows",
    [tables.advice_rows(ADVICE), tables.tool_rows(DOCTORS), tables.case_rows(DOCTORS)],
    ids=["advice", "tools", "cases"],
)
def test_tables_are_rectangular_and_full(rows):
    assert len(rows) > 3
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(cell and "|" not in cell for row in rows for cell in row)


@pytest.mark.parametrize("record", [ADVICE, DOCTORS], ids=["advice", "doctors"])
def test_a_record_says_what_made_it(record):
    said = tables.made_with(record)
    assert record["date"] in said
    assert record["command"].split()[1].rpartition("/")[2] in ("make_advice.py", "doctors.py")


def test_the_advice_on_the_page_costs_what_is_recorded():
    assert [(row["said"], row["line"]) for row in ADVICE["rows"]] == [*make_advice.ADVICE]
    network = trained_slim_fc_vgg()
    side, new = ADVICE["images"]["side"], ADVICE["images"]["new_side"]
    torch.manual_seed(0)
    for advice, row in zip(make_advice.ADVICE, ADVICE["rows"], strict=True):
        now = make_advice.cost(network, make_advice.apply(advice, network, side, new), new)
        assert {key: row["trained"][key] for key in ("lost", "parameters", "returns")} == {
            key: now[key] for key in ("lost", "parameters", "returns")
        }
        assert bool(row["trained"]["error"]) == bool(now["error"])


def test_every_tool_was_asked_about_every_case():
    assert [*DOCTORS["versions"], *DOCTORS["not_installed"]] == [*doctors.TOOLS]
    for case in DOCTORS["cases"].values():
        assert case["tools"].keys() == DOCTORS["versions"].keys()


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(DOCTORS["cases"], 2))
def test_what_is_recorded_of_vgglab_is_what_it_says(name, tmp_path):
    recorded = DOCTORS["cases"][name]["tools"]["vgglab"]
    case = {c["id"]: c for c in [doctors.VGG_400, *read("../../tests/data/reports.json")]}[name]
    (tmp_path / "case.py").write_text(case["model_code"], encoding="utf-8")
    with torch.device("meta"):
        text = str(diagnose(doctors.load(tmp_path / "case.py"), case["input_size"]))
    known = DOCTORS["cases"][name]
    assert doctors.says_the_cause(text, known, case) == recorded["cause"]
    assert doctors.gives_sizes(text, case) == recorded["sizes"]


@pytest.mark.parametrize(
    ("text", "place", "cause"),
    [
        ("fc1 wants 320 = 20·4·4", True, True),
        ("case.py:12: 800 x 4", True, False),
        ("fc10 and net.fc1.weight, case.py:120", False, False),
        ("fc1: 20*4*4", True, True),
    ],
)
def test_answers_are_counted_by_rules(text, place, cause):
    known = {
        "layer": "fc1",
        "lines": [["case.py", 3], ["case.py", 12]],
        "message": "size mismatch, [800 x 4], [320 x 50]",
    }
    assert doctors.names_the_place(text, known) == place
    assert doctors.says_the_cause(text, known, {"kinds": ["missing-flatten"]}) == cause


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("unetzoo-55", "Expected size 61 but got size 60", False),
        ("unetzoo-55", "488 -> 244 -> 122 -> 61 meets 60", True),
        ("unetzoo-55", "12 → 6 → 61", False),
        ("unetzoo-55", "sides must be divisible by 16", True),
        ("unetzoo-55", "sides must be divisible by 8", False),
        ("wtconv-34", "expected weight to be divisible by 3, [128, 1, 2, 2]", False),
        ("wtconv-34", "32 channels wanted, the input has 3", True),
        ("pate-1", "expected Int[1], got Int[3]", True),
        ("pate-1", "conv1 stops. 1 channel", False),
        ("pytorch-11762", "expected 4 dimensions, got 3 dimensions", True),
        ("pytorch-11762", "give it (64, 1, 32, 32)", True),
        ("pytorch-11762", "it has 3 dimensions", False),
        ("pytorch-11762", "expected to have 1 channels, but got 64 channels instead", False),
        ("pytorch-6316", "wants 2 or 3 dimensions, comes (8, 128, 1, 10)", True),
        ("pytorch-6316", "bn4 gets (8, 128, 1, 10)", False),
        ("vision-2151", "Expected more than 1 value per channel when training", False),
        ("vision-2151", "a batch of one while the network trains", True),
    ],
)
def test_what_a_cause_is_depends_on_the_kind_of_the_fault(name, text, says):
    case = next(c for c in read("../../tests/data/reports.json") if c["id"] == name)
    assert doctors.says_the_cause(text, DOCTORS["cases"][name], case) == says


def test_sizes_are_asked_for_only_where_another_size_helps():
    cases = {c["id"]: c for c in read("../../tests/data/reports.json")}
    assert doctors.gives_sizes("480 and more", cases["unetzoo-55"]) is True
    assert doctors.gives_sizes("480 and more", cases["pate-1"]) is False
    assert doctors.gives_sizes("8 and more", cases["torchinfo-269"]) is None
