import json
import re

import pytest
from scipy import stats
from timed_record import timed

from vgglab.lab.experiments import Budget, Experiment
from vgglab.lab.experiments.reading import recorded
from vgglab.lab.experiments.tables import (
    DifferenceTable,
    ResultTable,
    cost_report,
    cost_rows,
    cost_verdicts,
    interval_table,
)
from vgglab.lab.experiments.verdicts import difference

MADE = Experiment("made", "So?", lambda *_: {}, {"gpu": Budget({}, {}, 2)})


def test_a_table_has_a_column_for_each_name_and_leaves_gaps_empty():
    table = ResultTable("Which?", [{"arm": "a", "n": "1"}, {"arm": "b", "more": "2"}], ["So."])
    title, head, _, first, second, said = str(table).replace("\n\n", "\n").splitlines()
    assert (title, said) == ("Which?", "So.")
    assert head.split() == ["arm", "n", "more"]
    assert (first.split(), second.split()) == (["a", "1"], ["b", "2"])
    assert second.index("2") > head.index("n") + 1
    assert table._repr_html_().count("<td") == 6


def test_html_is_escaped():
    assert "<b>" not in ResultTable("<b>", [{"<b>": "<b>"}], ["<b>"])._repr_html_()


def test_intervals_stand_beside_their_means():
    table = interval_table(
        "T", {"row": {"a": [1.0, 3.0], "b": [2.0, 2.0]}}, first="what", spec=".1f", said=["S."]
    )
    half = stats.t.ppf(0.975, 1)  # of a standard error of 1
    assert table.rows == [{"what": "row", "a": f"2.0 [{2 - half:.1f}, {2 + half:.1f}]", "b": "2.0"}]
    assert table.said == ["S."]
    plain = interval_table("T", {"row": [1.0, 3.0]}, first="what", spec=".1f")
    assert plain.rows[0]["mean and interval"] == table.rows[0]["a"]


def test_costs_are_told_from_the_record(tmp_path):
    record = recorded(timed(tmp_path), "gpu")
    rows = cost_rows(record)
    assert [(row["images"], row["arm"]) for row in rows] == [
        (images, arm) for images in ("1", "8") for arm in ("dense", "dense again", "crops")
    ]
    dense, again, crops = rows[:3]
    assert (dense["ms"], dense["G mult-adds/s"], dense["saved MiB"]) == ("250", "8.0", "3")
    assert "times as long" not in dense
    assert (again["times as long"], again["95% interval"]) == ("1.00", "1.00 to 1.00")
    # Factors of 8 and 2: their geometric mean is 4, and log 2 is the standard error of the log.
    far = 2 ** stats.t.ppf(0.975, 1)
    assert crops["times as long"] == "4.00"
    assert crops["95% interval"] == f"{4 / far:.2f} to {4 * far:.2f}"
    assert (crops["times the mult-adds"], crops["peak MiB"]) == ("10.00", "5,120")
    assert rows[-1]["times as long"] == "8.00"
    report = cost_report(MADE, tmp_path)
    assert report.rows == [{"budget": "gpu", **row} for row in rows]
    said = "\n".join(report.said)
    assert said.startswith("cpu: not measured yet\ngpu: ")
    assert all(line in said for line in str(record).splitlines())


def test_it_is_said_where_times_are_as_the_mult_adds_say(tmp_path):
    """Ten times the mult-adds, and about four and eight times as long: the intervals are wide."""
    path = timed(tmp_path)
    said = "crops, times as long, by the 95% interval: "
    assert cost_verdicts([recorded(path, "gpu")]) == [f"{said}as the mult-adds say in 2 of 2."]
    whole = json.loads(path.read_text())
    for run in whole["budgets"]["gpu"]["runs"]:
        far = {1: 16, 8: 4}[run["settings"]["images"]] + run["seed"] / 2**10
        run["result"]["seconds"]["crops"] = [far * s for s in run["result"]["seconds"]["dense"]]
    path.write_text(json.dumps(whole))
    assert cost_verdicts([recorded(path, "gpu")]) == [
        f"{said}less in 1 of 2 (gpu, images 8), more in 1 of 2 (gpu, images 1)."
    ]


def test_what_has_no_record_is_not_measured_yet(tmp_path):
    nothing = cost_report(MADE, tmp_path)
    assert (nothing.rows, nothing.said) == ([], ["cpu: not measured yet", "gpu: not measured yet"])
    assert str(nothing).splitlines()[-1] == "gpu: not measured yet"
    path = timed(tmp_path, "tiny")
    whole = json.loads(path.read_text())
    del whole["budgets"]["tiny"]["runs"][0]
    path.write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="has 3 of 4 runs of 'tiny'"):
        cost_report(MADE, tmp_path, ["tiny"])


def test_differences_are_drawn_beside_zero_and_said_in_words():
    found = {
        "ahead <": difference([0.60, 0.61, 0.62], [0.50, 0.52, 0.51], 3),
        "behind": difference([0.40, 0.41, 0.42], [0.50, 0.52, 0.51], 3),
        "neither": difference([0.50, 0.60, 0.40], [0.52, 0.55, 0.44], 3),
    }
    table = DifferenceTable("T", found, first="arm", more="it gains", less="it loses")
    lines = str(table).splitlines()
    for name, words in zip(found, ("it gains", "it loses", "no difference seen"), strict=True):
        (line,) = (line for line in lines if line.startswith(name))
        assert words in line
        assert f"{100 * found[name].mean:+.1f} [{100 * found[name].low:+.1f}, " in line
    effect = 100 * found["neither"].minimum_detectable_effect
    assert lines[-1].startswith("n = 3; 3 intervals that hold together. Where no difference")
    assert f"one of {effect:.1f} points" in lines[-1]

    html = table._repr_html_()
    assert "ahead &lt;" in html
    zero, *_ = (float(x) for x in re.findall(r'd="M([\d.]+) 0V', html))
    drawn = re.findall(r'd="M([\d.]+) 10H([\d.]+)".*?cx="([\d.]+)".*?fill="(\w+)"', html)
    places = [(*map(float, numbers), fill) for *numbers, fill in drawn]
    (ahead, behind, neither) = places
    assert zero < ahead[0] < ahead[2] < ahead[1]
    assert behind[0] < behind[2] < behind[1] < zero
    assert neither[0] < zero < neither[1]
    assert [fill for *_, fill in places] == ["currentColor", "currentColor", "none"]
