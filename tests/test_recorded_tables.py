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
    assert doctors.says_the_cause(text, known) == recorded["cause"]
    if recorded["sizes"] is not None:
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
    assert doctors.says_the_cause(text, known) == cause
