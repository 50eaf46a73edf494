"""Likeness, and submissions without names."""

import csv
import json

import pytest
from click.testing import CliRunner
from grading_course import answered, write_course

from vgglab.__main__ import main
from vgglab.grading.assignment import Assignment
from vgglab.grading.blind import hide_names
from vgglab.grading.similarity import alike

# Three ways to one function, and the first again under other names.
SHAPES = """
def feature_map_shapes(column, height, width):
    shapes, channels = [], 3
    for entry in column:
        if entry == "maxpool":
            height, width = height // 2, width // 2
            shapes.append((channels, height, width))
        elif entry.startswith("conv"):
            channels = int(entry.split("-")[1])
    return shapes
"""
RENAMED = '''
def feature_map_shapes(col, h, w):
    """My own work."""
    # go through the column
    result, c = [], 3
    for layer in col:
        if layer == 'maxpool':
            h, w = h // 2, w // 2
            result.append((c, h, w))   # after each pool
        elif layer.startswith('conv'):
            c = int(layer.split('-')[1])
    return result
'''
POOLS = """
def feature_map_shapes(column, height, width):
    pools = [i for i, entry in enumerate(column) if entry == "maxpool"]
    found = []
    for number, place in enumerate(pools, start=1):
        before = [e for e in column[:place] if "-" in e]
        found.append((int(before[-1].partition("-")[2]), height >> number, width >> number))
    return found
"""
NETWORK = """
def feature_map_shapes(column, height, width):
    x = torch.zeros(1, 3, height, width)
    answer = []
    for entry in column:
        if "pool" in entry:
            x = nn.functional.max_pool2d(x, 2, 2)
            answer.append(tuple(x.shape[1:]))
        elif "conv" in entry:
            kernel, out = re.findall("[0-9]+", entry)
            x = nn.Conv2d(x.shape[1], int(out), int(kernel), padding=int(kernel) // 2)(x)
    return answer
"""


def test_a_copy_under_other_names_is_found_and_other_ways_are_not():
    sources = {"a": SHAPES, "b": POOLS, "c": RENAMED, "d": NETWORK}
    (pair,) = alike(sources)
    assert pair.names == ("a", "c")
    assert str(pair).startswith("Look at a and c: ")
    assert "copied" not in str(pair)
    assert max(p.share for p in alike(sources, least=0.0) if p.names != ("a", "c")) < 0.2


def test_what_was_given_and_what_most_have_does_not_count():
    assert alike({"a": SHAPES, "b": RENAMED}, given=SHAPES) == []
    assert alike(dict.fromkeys("abcdefgh", SHAPES)) == []
    assert len(alike({"a": SHAPES, "b": SHAPES, "c": SHAPES, "d": POOLS, "e": NETWORK})) == 3
    assert alike({"a": "x = 1", "b": "x = 1"}) == []


def test_any_text_is_compared():
    for text in ("", "'", '"""' * 999, "\\" * 5000, "def (((((" * 1000, "\ud800é\0"):
        alike({"a": text, "b": text})


@pytest.fixture
def course(tmp_path):
    return write_course(tmp_path)


def test_the_command_says_where_to_look(course, tmp_path):
    folder = tmp_path / "submitted"
    folder.mkdir()
    for name, source in (("anna", SHAPES), ("ben", POOLS), ("carla", RENAMED)):
        (folder / f"{name}.ipynb").write_bytes(answered(q1=f"def add(a, b): pass\n{source}"))
    (folder / "dora.ipynb").write_text("nothing")
    made = CliRunner().invoke(main, ["grade", "similar", str(course), str(folder)])
    first, last = made.output.splitlines()
    assert first.startswith("Look at anna.ipynb and carla.ipynb: ")
    assert last == "1 pairs of 3 submissions. A likeness proves nothing."


def rows(path):
    with path.open(newline="") as file:
        return {row["handed_in"]: row for row in csv.DictReader(file)}


def test_names_are_hidden_and_come_back(course, tmp_path):
    folder, out, students = tmp_path / "submitted", tmp_path / "blind", tmp_path / "students.csv"
    folder.mkdir()
    shown = json.loads(answered())
    shown["metadata"] = {"authors": [{"name": "Anna"}], "vgglab": {"stamp": "s"}}
    shown["cells"][0]["outputs"] = [{"output_type": "stream", "text": "/home/anna"}]
    (folder / "anna.ipynb").write_text(json.dumps(shown))
    (folder / "=ben.ipynb").write_bytes(answered(q1=None))
    (folder / "carla.ipynb").write_text("[1]")
    (folder / ".dora.ipynb").write_bytes(answered())
    arguments = ["grade", "blind", *map(str, (course, folder, out, students))]
    made = CliRunner().invoke(main, arguments)
    assert made.exit_code == 0, made.output
    assert "carla.ipynb: left out, It is no notebook." in made.output
    assert ".dora.ipynb: left out, it is hidden" in made.output
    first = rows(students)
    assert {row["student"] for row in first.values()} == {"anna", "'=ben"}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        row["submission"] for row in first.values()
    )
    for path in out.iterdir():
        text = path.read_text()
        assert "nna" not in text
        assert "ben" not in text
    kept = json.loads((out / first["anna.ipynb"]["submission"]).read_text())
    assert kept["metadata"] == {"vgglab": {"stamp": "s"}}
    # A second time, with one more: who has a name keeps it.
    (folder / "emil.ipynb").write_bytes(answered())
    assert CliRunner().invoke(main, arguments).exit_code == 0
    again = rows(students)
    assert len(again) == 3
    assert all(again[name] == row for name, row in first.items())
    with pytest.raises(ValueError, match="must not lie in"):
        list(hide_names(Assignment(course), folder, out, out / "students.csv"))
