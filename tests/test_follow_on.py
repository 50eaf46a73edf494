"""An error counts once: what calls a wrong answer is judged with the right one."""

import json
from pathlib import Path

import pytest
from grading_course import NAME, answered, cell, notebook, require_sandbox, write_course

from vgglab.grading.assignment import Assignment
from vgglab.grading.collect import collect
from vgglab.grading.follow_on import fair_marks, uses_of
from vgglab.grading.marking import Judge
from vgglab.grading.runner import grade
from vgglab.grading.sandbox import Sandbox
from vgglab.grading.submissions import read_answers

SHOUT = "def shout(text):\n    return text.upper() + '!' * add(1, 0)"
ECHO = "def echo(text):\n    return shout(text) + shout(text)[-1]"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The small course with a third question for the machine, that calls the second."""
    require_sandbox()
    folder = write_course(tmp_path_factory.mktemp("course"))
    toml = folder / "assignment.toml"
    echo = '[[questions]]\nid = "q4"\ntitle = "Echo"\npoints = 3\nfunctions = ["echo"]\n'
    toml.write_text(f"{toml.read_text()}\n{echo}")
    code = folder / "judge.py"
    probe = 'Probe("q4", "echoes", Call("echo", "ab")),\n        '
    probe += 'Probe("q4", "needs a text", Call("echo", raises=True)),\n    ]'
    text = code.read_text().replace("\n    ]", f"\n        {probe}", 1)
    code.write_text(text + '\ndef echo(text):\n    return f"{text}!!".upper()\n')
    path = folder / f"{NAME}.ipynb"
    source = json.loads(path.read_text())
    for question, kind in (("q4", "answer"), ("q4", "check")):
        made = cell("given", "1", ECHO if kind == "answer" else "assert echo('')")
        made["metadata"] = {"tags": [f"{kind}-{question}"]}
        source["cells"].append(made)
    for made in source["cells"]:
        if made["metadata"].get("tags") == ["answer-q2"]:
            made["source"] = SHOUT
    path.write_text(json.dumps(source))
    assignment = Assignment(folder)
    return Judge(assignment, Sandbox(assignment.packages, assignment.memory_mb))


def marks_of(judge, **sources):
    cells = []
    for question, source in sources.items():
        made = cell("given", "1", source)
        made["metadata"] = {"tags": [f"answer-{question}"]}
        cells.append(made)
    answers = read_answers(json.dumps(notebook(cells)).encode(), judge.assignment)
    marks = fair_marks(judge, answers, judge.observe(answers))
    assert marks["score"] == sum(question["score"] for question in marks["questions"])
    return {q["id"]: (q["score"], q["notes"]) for q in marks["questions"]}


RIGHT = {"q1": "def add(a, b):\n    return a + b", "q2": SHOUT, "q4": ECHO}


def test_a_wrong_answer_costs_its_own_points_alone_and_it_is_said(judge):
    found = marks_of(judge, **RIGHT | {"q1": "def add(a, b):\n    return a + b + 1"})
    assert {name: score for name, (score, _) in found.items()} == {"q1": 0, "q2": 2, "q4": 3}
    (note,) = found["q2"][1]
    assert note == (
        "Your add was replaced by ours here, so that an error counts once: 0 of 2 points became 2."
    )
    # What was said of the first run alone is gone: "needs a text" was all that it passed.
    assert len(found["q4"][1]) == 1


@pytest.mark.parametrize(
    "first",
    [
        "def sum_of(a, b):\n    return a + b",
        "def add(a, b)\n    return a + b",
        "def add(a, b):\n    raise NotImplementedError()",
        "def add(a, b):\n    import os; os._exit(1)",
        "1 / 0",
    ],
)
def test_so_does_one_that_is_missing_renamed_broken_or_stops_the_process(judge, first):
    found = marks_of(judge, **RIGHT | {"q1": first})
    assert {name: score for name, (score, _) in found.items()} == {"q1": 0, "q2": 2, "q4": 3}


def test_two_errors_one_calling_the_other_cost_both(judge):
    quiet = "def shout(text):\n    return text * add(1, 0)"
    found = marks_of(judge, **RIGHT | {"q1": "def add(a, b):\n    return 7", "q2": quiet})
    assert {name: score for name, (score, _) in found.items()} == {"q1": 0, "q2": 0, "q4": 3}
    assert found["q4"][1][0].startswith("Your add, shout were replaced by ours here")


def test_helpers_in_the_cell_of_a_wrong_answer_are_kept(judge):
    mine = "def add(a, b):\n    return 7\n\ndef mark():\n    return '!'"
    shout = "def shout(text):\n    return text.upper() + mark() * add(1, 0)"
    found = marks_of(judge, **RIGHT | {"q1": mine, "q2": shout})
    assert found["q2"][0] == 2


def test_nothing_is_given_for_an_answer_that_is_wrong_or_not_there(judge):
    wrong = "def add(a, b):\n    return 7"
    found = marks_of(judge, q1=wrong, q2="def shout(text):\n    return add(text, '')")
    assert {name: score for name, (score, _) in found.items()} == {"q1": 0, "q2": 0, "q4": 0}
    blank = "def shout(text):\n    # add(1, 0)\n    raise NotImplementedError()"
    found = marks_of(judge, q1=wrong, q2=blank)
    assert sum(score for score, _ in found.values()) == 0


def test_what_does_not_lose_points_runs_once(judge, monkeypatch):
    runs = []
    observe = judge.observe
    monkeypatch.setattr(judge, "observe", lambda answers: runs.append(1) or observe(answers))
    assert marks_of(judge, **RIGHT)["q4"][0] == 3
    assert len(runs) == 1
    marks_of(judge, **RIGHT | {"q4": "def echo(text):\n    return text"})
    assert len(runs) == 2


def test_uses_are_found_through_other_answers(judge):
    cells = json.dumps(notebook([])).encode()
    answers = read_answers(cells, judge.assignment)
    answers.cells.update(RIGHT)
    assert uses_of(judge.assignment, answers) == {"q1": set(), "q2": {"q1"}, "q4": {"q1", "q2"}}


def test_the_grader_marks_so_and_students_read_it(judge, tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    wrong = "def add(a, b):\n    return a + b + 1"
    (folder / "anna.ipynb").write_bytes(answered(q1=wrong, q2=SHOUT))
    results = tmp_path / "results"
    assert list(grade(judge.assignment, folder, results)) == [("anna.ipynb", "graded", "2 of 8")]
    collect(results, tmp_path / "out")
    (text,) = (tmp_path / "out" / "feedback").iterdir()
    assert "Your add was replaced by ours here" in Path(text).read_text()


def test_what_runs_again_has_the_time_of_the_submission_and_no_more(judge, monkeypatch):
    allowances = []
    run = judge.sandbox.run

    def noted(*arguments, allowance, **options):
        allowances.append(allowance)
        return run(*arguments, allowance=allowance, **options)

    monkeypatch.setattr(judge.sandbox, "run", noted)
    found = marks_of(judge, **RIGHT | {"q1": "def add(a, b):\n    return a + b + 1"})
    assert found["q2"][0] == 2  # it ran again
    assert len(allowances) > 1
    assert all(allowance is allowances[0] for allowance in allowances)
