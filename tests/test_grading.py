"""Grading: what is read, compared, written and released."""

import builtins
import csv
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from disks import full_disk
from grading_course import NAME, answered, cell, notebook, require_sandbox, write_course
from sampling import sampled

import vgglab
from vgglab.__main__ import main
from vgglab.grading import Call, Probe, Randn, Ref, Tensor, cgroups, runner, sandbox
from vgglab.grading.assignment import DEFAULT_SEED, Assignment, render, role_of
from vgglab.grading.bundles import UnreadableError
from vgglab.grading.collect import collect, feedback, read_results
from vgglab.grading.marking import (
    SENTENCES,
    SHAPE,
    Judge,
    Observed,
    compare,
    mismatch,
)
from vgglab.grading.release import (
    course_seed,
    leaks,
    notebook_text,
    release_notebook,
    write_release,
)
from vgglab.grading.runner import code_digest, environment, grade, result_name
from vgglab.grading.sandbox import Sandbox, SandboxError
from vgglab.grading.selftest import OTHER_SEED, selftest, site_texts
from vgglab.grading.submissions import find_submissions, read_answers
from vgglab.grading.worker import encode, run_probe

SEED = "mZ3q_x81TtVb0aKc-9Lw2e"  # as it would be drawn
ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = sorted(path.parent for path in (ROOT / "book/assignments").glob("*/assignment.toml"))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return write_course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def assignment(course):
    return Assignment(course)


def answers_of(data, assignment):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_answers(data, assignment)


# Reading


def test_answers_are_found_by_nbgraders_name_by_tag_and_by_function(assignment):
    by_name = cell("answer", "q1", "def add(a, b): return 1")
    del by_name["metadata"]["tags"]
    by_tag = cell("answer", "q2", "def shout(text): return 2")
    del by_tag["metadata"]["nbgrader"]
    found = answers_of(notebook([by_name, by_tag]), assignment)
    assert found.cells == {"q1": "def add(a, b): return 1", "q2": "def shout(text): return 2"}
    assert found.notes == {"q1": [], "q2": []}
    bare = {"cell_type": "code", "metadata": {}, "source": "def add(a, b): return 3"}
    found = answers_of(notebook([bare, by_tag]), assignment)
    assert found.cells["q1"] == "def add(a, b): return 3"
    assert found.notes["q1"] == ["The answer was found by the name of its function."]


def test_a_check_or_given_cell_is_no_answer(assignment):
    found = answers_of(notebook([cell("check", "q1", "def add(a, b): return a + b")]), assignment)
    assert found.cells == {}
    assert found.notes["q1"] == ["There is no answer cell for q1."]


def test_of_two_answer_cells_the_last_that_defines_the_function_counts(assignment):
    sources = ["def add(a, b): return 1", "def add(a, b): return 2", "print(add(1, 2))"]
    found = answers_of(notebook([cell("answer", "q1", s) for s in sources]), assignment)
    assert found.cells["q1"] == sources[1]
    assert found.notes["q1"] == ["3 cells answer q1; the last was graded."]


def test_an_answer_under_the_untouched_blank_counts(assignment):
    blank = cell(
        "answer", "q1", "def add(a, b):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    )
    own = {"cell_type": "code", "metadata": {}, "source": "def add(a, b): return a + b"}
    assert answers_of(notebook([blank, own]), assignment).cells["q1"] == own["source"]


def test_windows_line_endings_a_byte_order_mark_and_lists_of_lines(assignment):
    lines = ["def add(a, b):\r\n", "    return a + b\r\n"]
    data = b"\xef\xbb\xbf" + json.dumps(notebook([cell("answer", "q1", lines)])).encode()
    assert answers_of(data, assignment).cells["q1"] == "def add(a, b):\n    return a + b\n"


def test_an_old_notebook_has_worksheets_and_input(assignment):
    old = {"cell_type": "code", "input": ["def add(a, b):\n", "    return 1"], "language": "python"}
    data = {"worksheets": [{"cells": [old]}], "nbformat": 3, "nbformat_minor": 0, "metadata": {}}
    assert answers_of(data, assignment).cells["q1"] == "def add(a, b):\n    return 1"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty."),
        (b" \n ", "The file is empty."),
        (b"%PDF-1.7 \xff\xfe", "it is no JSON"),
        (b"[" * 200_000, "it is no JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "it is no JSON"),
        (b'{"cells": ' + b"9" * 100_000 + b"}", "it is no JSON"),
        (b"[1, 2]", "it has no cells"),
        (b'"cells"', "it has no cells"),
        (b'{"metadata": {}}', "it has no cells"),
        (json.dumps({"cells": [{}] * 6000}).encode(), "6000 cells"),
    ],
)
def test_what_is_no_notebook_is_said_in_a_sentence(assignment, data, words):
    with pytest.raises(UnreadableError, match=re.escape(words)):
        read_answers(data, assignment)


@pytest.mark.parametrize(
    "strange",
    [
        {"cells": {"a": 1}},
        {"cells": [1, None, "x", [], {}]},
        {"cells": [{"cell_type": "code", "metadata": [], "source": {"x": 1}}]},
        {"cells": [{"cell_type": "code", "metadata": {"tags": "answer-q1"}, "source": [1, None]}]},
        {"cells": [{"cell_type": "code", "metadata": {"tags": [[]], "nbgrader": 3}, "source": 7}]},
        {"cells": [{"cell_type": "code", "metadata": {"nbgrader": {"grade_id": ["q1"]}}}]},
        {"worksheets": [1, {"cells": 2}], "metadata": {"vgglab": []}},
        {"cells": [], "metadata": {"vgglab": {"stamp": 5}}},
    ],
)
def test_a_notebook_of_strange_shape_answers_nothing(assignment, strange):
    found = answers_of(strange, assignment)
    assert all(not source for source in found.cells.values())


def test_a_huge_answer_is_not_run(assignment):
    source = "def add(a, b): return 1\n" + "#" * 300_000
    found = answers_of(notebook([cell("answer", "q1", source)]), assignment)
    assert "q1" not in found.cells
    assert "more than 200000 characters" in found.notes["q1"][0]


# Comparing


def observed(value):
    return json.loads(json.dumps(encode(value)))


@pytest.mark.parametrize(
    ("want", "got", "why"),
    [
        (1, True, "an answer of another type"),
        (True, 1, "an answer of another type"),
        (1, 1.0, "an answer of another type"),
        (1.0, 1, ""),
        (1.0, True, "an answer of another type"),
        (0.1 + 0.2, 0.3, ""),
        (1.0, 1.001, "a wrong answer"),
        (1.0, 10**400, "a wrong answer"),
        (float("nan"), float("nan"), ""),
        (float("inf"), float("-inf"), "a wrong answer"),
        (1.0, float("nan"), "a wrong answer"),
        ("a", "b", "a wrong answer"),
        ("1", 1, "an answer of another type"),
        (None, None, ""),
        (None, 0, "an answer of another type"),
        (3, None, "nothing is returned"),
        ((1, 2), [1, 2], ""),
        ([1, 2], [1, 2, 3], SHAPE),
        ([1, [2]], [1, [3]], "a wrong answer"),
        ([1], {"a": 1}, "an answer of another type"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ""),
        ({"a": 1}, {"a": 1, "b": 2}, SHAPE),
        ({1: 2}, {"1": 2}, SHAPE),
        ({"a": 1}, {"a": 2}, "a wrong answer"),
        ({"a": 1}, object(), "an answer of another type"),
        (1, object(), "an answer of another type"),
    ],
)
def test_values_are_compared_with_exact_types(want, got, why):
    assert mismatch(observed(want), observed(got)) == why


def test_tensors_are_compared_by_dtype_shape_and_values():
    torch = pytest.importorskip("torch")
    want = observed(torch.tensor([[1.0, 2.0]]))

    def why(got):
        return mismatch(want, observed(got))

    assert why(torch.tensor([[1.0, 2.00001]])) == ""
    assert why(torch.tensor([[1.0, 2.01]])) == "a wrong answer"
    assert why(torch.tensor([1.0, 2.0])) == SHAPE
    assert why(torch.tensor([[1.0, 2.0]]).double()) == "an answer of another type"
    assert why(torch.tensor([[1.0, 2.0]]).numpy()) == "an answer of another type"
    assert why([[1.0, 2.0]]) == "an answer of another type"
    assert why(torch.empty(1, 2, device="meta")) == "a wrong answer"
    exact = observed(torch.tensor([1, 2]))
    assert mismatch(exact, observed(torch.tensor([1, 3]))) == "a wrong answer"
    double = observed(torch.tensor([1.0]).double())
    near = observed(torch.tensor([1.00005]).double())
    assert mismatch(double, near) == "a wrong answer"
    assert mismatch(double, near, rtol=1e-3) == ""


@pytest.mark.parametrize(
    "forged",
    [
        {"$tensor": None},
        {"$tensor": {"shape": [2], "dtype": "float32"}},
        {"$tensor": {"shape": [2], "dtype": "float32", "data": [True, True]}},
        {"$tensor": {"shape": [2], "dtype": "float32", "data": [[1.0], [2.0]]}},
        {"$tensor": {"shape": [2], "dtype": "float32", "data": {"0": 1.0}}},
        {"$tensor": {"shape": [2], "dtype": "float32", "data": [1.0, 2.0]}, "passed": True},
        {"$object": "Tensor"},
        [1.0, 2.0],
        True,
        None,
    ],
)
def test_forged_json_equals_no_tensor(forged):
    want = {"$tensor": {"shape": [2], "dtype": "float32", "data": [1.0, 2.0]}}
    assert mismatch(want, forged) != ""
    assert mismatch({"$dict": [["a", 1]]}, forged) != ""


@pytest.mark.parametrize(
    "answer",
    [
        *({"error": error} for error in (*vars(builtins), "Seen123", 5, None, ["ValueError"])),
        *({"raised": error} for error in ("TypeError", "Seen123", 5, None)),
        *({"undefined": name} for name in ("secret", 5, None, ["q"])),
        *({"value": value} for value in (2, "x", None, [1], {"$dict": []}, {"$object": "secret"})),
        *({}, None, "secret", 5),
    ],
    ids=str,
)
def test_what_is_lost_is_said_in_a_dozen_sentences(assignment, answer):
    for expected in ({"value": 1.5}, {"raised": "ValueError"}):
        assert compare([expected], [answer], assignment.probes[2]) in SENTENCES
    assert len(SENTENCES) <= 12


# Probes


def test_calls_keep_objects_for_later_calls():
    namespace = {"pair": lambda x: (x, {"twice": 2 * x}), "half": lambda x: x / 2}
    calls = [
        Call("pair", 4, name="p", returned=False),
        Call("half", Ref("p", 1, "twice")),
        Call("@identity", Ref("p", 0)),
        Call("half", "x", raises=True),
        Call("missing"),
        Call("half", 1),
    ]
    answers = run_probe([call.to_json() for call in calls], namespace)
    assert answers == [
        {"value": 4.0},
        {"value": 4},
        {"raised": "TypeError"},
        {"undefined": "missing"},
    ]


def test_helpers_describe_and_run_networks():
    torch = pytest.importorskip("torch")
    from torch import nn

    def build(padding):
        conv = nn.Conv2d(2, 3, 3, padding=padding, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))

    def run(*calls):
        return run_probe([call.to_json() for call in calls], {"build": build})

    kept = Call("build", 1, name="net", returned=False)
    (layers,) = run(kept, Call("@layers", Ref("net")))
    assert [name for name, _ in layers["value"]] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    same = run(
        Call("build", "same", name="net", returned=False),
        Call("@layers", Ref("net")),
    )
    assert same == [layers]
    filled = [kept, Call("@fill", Ref("net"), 3, returned=False)]
    image = Randn((1, 2, 4, 4), seed=5)
    first = run(*filled, Call("@forward", Ref("net"), image))
    assert first == run(*filled, Call("@forward", Ref("net"), image))
    assert first != run(*filled, Call("@forward", Ref("net"), image, train=True))
    meta = run(
        Call("build", 1, name="net", returned=False, device="meta"),
        Call("@forward", Ref("net"), Randn((1, 2, 4, 4), seed=0), device="meta"),
    )
    assert meta[0]["value"]["$tensor"] == {"dtype": "float32", "shape": [1, 3, 2, 2], "data": None}
    namespace = {"f": lambda x, y: x * y}
    x, y = Tensor([2.0, 3.0]), Tensor([5.0, 7.0])
    call = Call("@vjp", Ref("f"), [x, y], Tensor([1.0, 10.0]))
    (answer,) = run_probe([call.to_json()], namespace)
    assert [t["$tensor"]["data"] for t in answer["value"]] == [[5.0, 70.0], [2.0, 30.0]]
    assert torch.get_default_device().type == "cpu"  # meta was for those calls only


def test_wrong_probes_and_calls_are_refused():
    with pytest.raises(ValueError, match="must return something"):
        Probe("q1", "nothing", Call("f", returned=False))
    with pytest.raises(ValueError, match="points of the probe 'x' must be above 0; got 0"):
        Probe("q1", "x", Call("f"), points=0)
    with pytest.raises(TypeError, match=r"arguments of a call must be numbers.*got object"):
        Call("f", object()).to_json()


# The assignment


def test_placeholders_are_text_in_prose_and_code_in_code():
    assert render("Take {{ name }}.", {"name": "x"}, "markdown") == "Take x."
    assert render("a = {{name}}", {"name": "x"}, "code") == "a = 'x'"
    with pytest.raises(ValueError, match="must be one of name; got 'other'"):
        render("{{ other }}", {"name": 1}, "code")


def test_the_course_seed_chooses_numbers_and_probes(course):
    one, two, again = (Assignment(course, seed=seed) for seed in ("1", "2", "1"))
    texts = [notebook_text(release_notebook(a)) for a in (one, two, again)]
    assert texts[0] == texts[2] != texts[1]
    assert f"Add {one.variant['example']} and 1." in texts[0]
    calls = [[str(call) for probe in a.probes for call in probe.calls] for a in (one, two, again)]
    assert calls[0] == calls[2] != calls[1]
    assert one.digest() == again.digest() != two.digest()


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("assignment.toml", "title =", "titel =", "lacks 'title'"),
        ("assignment.toml", "goals = [", "goals = ", "assignment.toml: "),
        ("assignment.toml", '"q2"', '"q1"', "ids of questions must differ"),
        ("assignment.toml", 'kind = "text"', "", "must have functions, or be of kind 'text'"),
        ("judge.py", 'Probe("q2"', 'Probe("q9"', "must be one of q1, q2; got 'q9'"),
        ("judge.py", 'Probe("q2"', 'Probe("q1"', "has no probe for q2"),
        ("judge.py", "return a + b", "return object()", "the reference answer of the probe"),
        ("judge.py", "return a + b", "return 1 / 0", "fails: {'error': 'ZeroDivisionError'"),
        (f"{NAME}.ipynb", "answer-q1", "answer-q7", "one cell with the tag answer-q1; it has 0"),
        ("mutants/text.py", "Loses", "Costs", "must have a line 'Loses: q1'"),
    ],
)
def test_an_assignment_that_contradicts_itself_is_refused(tmp_path, file, old, new, words):
    folder = write_course(tmp_path)
    path = folder / file
    path.write_text(path.read_text().replace(old, new))

    def read():
        chosen = Assignment(folder)
        return chosen.notebook, list(chosen.mutants()), Judge(chosen, None)

    with pytest.raises(ValueError, match=re.escape(words)):
        read()


def test_another_judge_can_lie_elsewhere(course, tmp_path):
    judge = tmp_path / "judge.py"
    judge.write_text((course / "judge.py").read_text().replace("range(10**8", "range(10**7"))
    other = Assignment(course, judge=judge)
    assert (
        other.digest() == Assignment(course, judge=tmp_path).digest() != Assignment(course).digest()
    )
    with pytest.raises(ValueError, match="judge must be a file"):
        assert Assignment(course, judge=tmp_path / "none.py").variant


def test_a_judge_that_needs_what_is_not_there_is_named(course, tmp_path):
    judge = tmp_path / "judge.py"
    judge.write_text("import nowhere_to_be_had")
    with pytest.raises(ValueError, match=r"judge needs nowhere_to_be_had, .*judge\.py imports it"):
        _ = Assignment(course, judge=judge).judge


# Release


def test_a_release_shows_no_solution_no_hidden_test_and_no_probe(course, tmp_path):
    assignment = Assignment(course, seed=SEED)
    path = write_release(assignment, tmp_path)
    released = json.loads(path.read_text())
    text = path.read_text()
    for secret in ("return a + b", "upper()", "SOLUTION", "HIDDEN", "secret word", "It carries"):
        assert secret not in text
    roles = {role_of(c): c for c in released["cells"]}
    assert "raise NotImplementedError()" in "".join(roles["answer", "q1"]["source"])
    assert "YOUR ANSWER HERE" in "".join(roles["text", "q3"]["source"])
    assert roles["check", "q1"]["metadata"]["deletable"] is False
    assert roles["check", "q1"]["metadata"]["editable"] is False
    assert "checksum" in roles["check", "q1"]["metadata"]["nbgrader"]
    assert "template" not in text
    assert assignment.seed not in text
    source = write_release(assignment, tmp_path / "source", source=True).read_text()
    assert "return a + b" in source


def test_a_seed_that_can_be_guessed_is_not_released(course, tmp_path):
    guessed = (
        "0",
        "2027",
        "spring-2027",
        "spring-2027-x7Kq",
        "the course of the year 2027",
        "0" * 99,
    )
    for seed in guessed:
        with pytest.raises(
            ValueError, match=f"seed must be drawn at random.* got {len(seed)} char"
        ):
            write_release(Assignment(course, seed=seed), tmp_path)
        (tmp_path / "seed.txt").write_text(seed)
        with pytest.raises(ValueError, match="seed must be drawn at random"):
            course_seed(tmp_path / "seed.txt")
    assert not list(tmp_path.glob("**/*.ipynb"))


def test_a_release_draws_a_seed_and_keeps_it_for_the_teacher_alone(course, tmp_path):
    def release(name):
        arguments = ["release", course, tmp_path / "out", "--seed-file", tmp_path / name]
        result = CliRunner().invoke(main, ["grade", *map(str, arguments)])
        assert result.exit_code == 0
        assert f"The course seed is in {tmp_path / name}" in result.output
        return (tmp_path / "out" / NAME / f"{NAME}.ipynb").read_text()

    one, again, other = release("a"), release("a"), release("b")
    assert one == again != other
    seed = course_seed(tmp_path / "a")
    assert len(seed) == 43
    assert seed not in one
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    with pytest.raises(ValueError, match=r"must be given with --seed, or lie in '.*/none'"):
        course_seed(tmp_path / "none")


def test_on_a_full_disk_no_empty_seed_stays(tmp_path):
    with full_disk(0), pytest.raises(OSError, match=r"seed.txt' could not be written"):
        course_seed(tmp_path / "seed.txt", draw=True)
    assert list(tmp_path.iterdir()) == []
    assert len(course_seed(tmp_path / "seed.txt", draw=True)) == 43


def test_the_stamp_differs_by_seed_and_by_assignment_and_is_slow_to_try(course):
    stamps = {Assignment(course, seed=seed).stamp for seed in ("a", "b")}
    assert len(stamps) == 2
    scrypt = hashlib.scrypt(b"a", salt=f"{NAME}:stamp".encode(), n=2**14, r=8, p=2, dklen=9)
    assert scrypt.hex() in stamps


def test_any_code_of_the_package_is_part_of_what_a_kept_mark_rests_on(tmp_path):
    package = tmp_path / "package"
    (package / "deep").mkdir(parents=True)
    files = {"a.py": "1", "deep/b.py": "2", "data.json": "{}"}
    for name, text in files.items():
        (package / name).write_text(text)
    seen = {code_digest(package)}
    for name, text in files.items():
        (package / name).write_text(text + " ")
        seen.add(code_digest(package))
        (package / name).write_text(text)
    (package / "a.py").rename(package / "c.py")
    seen.add(code_digest(package))
    assert len(seen) == 5
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_text("3")
    assert code_digest(package) in seen


def test_the_digest_is_of_vgglab_itself(assignment):
    root = Path(vgglab.__file__).parent
    assert code_digest(root) in environment(assignment)


def test_leaks_are_found_in_pages_notebooks_and_sources(assignment, tmp_path):
    judge = assignment.judge_file.read_text()
    (tmp_path / "a.html").write_text(
        "<pre>" + "".join(f"<span>{line}</span>\n" for line in judge.splitlines()) + "</pre>"
    )
    (tmp_path / "_sources").mkdir()
    (tmp_path / "_sources" / "b.ipynb").write_text(assignment.notebook_file.read_text())
    (tmp_path / "c.md").write_text("Add 1 and 1.\n\ndef add(a, b):\n")
    found = leaks(assignment, site_texts(tmp_path))
    assert {line.split(" shows ")[0] for line in found} == {"a.html", "_sources/b.ipynb"}


# In the sandbox


@pytest.fixture(scope="module")
def judge(assignment):
    require_sandbox()
    return Judge(assignment, Sandbox(assignment.packages, assignment.memory_mb))


@pytest.mark.parametrize(
    ("source", "notes"),
    [
        ("%time 1\ndef add(a, b): return 1", "a magic or a shell escape in line 1, '%time 1'"),
        ("!ls\ndef add(a, b): return 1", "a magic or a shell escape in line 1, '!ls'"),
        ("def add(a, b): return 1\nadd?", "a magic or a shell escape in line 2, 'add?'"),
        ("def add(a, b)\n    return 1", "no valid Python in line 1, 'def add(a, b)'"),
        ("x = pandas", "a name that is not defined: pandas. Only given"),
        ("1 / 0", "The cell raises an exception."),
        ("def sum_of(a, b): return a + b", "Your cell defines sum_of; asked for is add."),
        ("from operator import mul as times", None),
    ],
)
def test_a_wrong_cell_is_said_in_a_sentence_and_loses_only_its_question(judge, source, notes):
    q1, q2 = judge.mark(answers_of(answered(q1=source), judge.assignment))["questions"]
    assert q1["score"] == 0
    assert q2["score"] == 2
    assert {probe["why"] for probe in q1["probes"]} == {"add is not defined"}
    assert [notes in said for said in q1["notes"]] == ([True] if notes else [])


def test_answers_share_one_namespace_with_the_masters_given_cells(judge):
    mine = {
        "q1": "def add(a, b): return math.floor(a) + helper(b)\ndef helper(b): return b",
        "q2": "def shout(text): return text.upper() + '!' * add(1, 0)",
    }
    marks = judge.mark(answers_of(answered(**mine), judge.assignment))
    assert [q["score"] for q in marks["questions"]] == [2, 2]  # floor of 0.5 is wrong
    whys = [probe.get("why") for probe in marks["questions"][0]["probes"]]
    assert whys == [None, None, "a wrong answer"]


def test_partial_points_hints_and_public_probes(judge):
    source = "def add(a, b):\n    return a + b if abs(a) > 5 else 0.75"
    (q1, _) = judge.mark(answers_of(answered(q1=source), judge.assignment))["questions"]
    assert q1["score"] == 2
    public = q1["probes"][0]
    assert (public["passed"], public["calls"]) == (False, ["add(1, 2)"])
    assert public["expected"] == '[{"value": 3}]'
    wrong = "def add(a, b): return 3"
    (q1, _) = judge.mark(answers_of(answered(q1=wrong), judge.assignment))["questions"]
    assert [p["passed"] for p in q1["probes"]] == [True, False, False]
    assert q1["probes"][1]["hint"] == "Think big."
    assert "calls" not in q1["probes"][1]


def test_the_blank_is_not_attempted_and_earns_nothing(judge):
    answers = answers_of(release_notebook(judge.assignment), judge.assignment)
    marks = judge.mark(answers)
    assert marks["score"] == 0
    assert {p["why"] for q in marks["questions"] for p in q["probes"]} == {"not attempted yet"}


# Runs


@pytest.fixture
def submissions(tmp_path):
    """Folders and files as they come from students, in every state."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "anna.ipynb").write_bytes(answered())
    (folder / "ben.ipynb").write_bytes(answered(q1="def add(a, b): return 3"))
    nested = folder / "carla" / NAME
    nested.mkdir(parents=True)
    (nested / f"{NAME}.ipynb").write_bytes(answered())
    (nested / ".ipynb_checkpoints").mkdir()
    (nested / ".ipynb_checkpoints" / f"{NAME}.ipynb").write_bytes(b"old")
    (folder / "Anna").mkdir()
    (folder / "Anna" / "final (2).ipynb").write_bytes(answered(q2=None))
    (folder / "many.ipynb").write_bytes(b'{"cells": [' + b'{"":{}},' * 400_000 + b"{}]}")
    (folder / "two").mkdir()
    (folder / "two" / "a.ipynb").write_bytes(answered())
    (folder / "two" / "b.ipynb").write_bytes(answered())
    (folder / "none").mkdir()
    (folder / "essay.docx").write_bytes(b"PK\x03\x04")
    (folder / "empty.ipynb").write_bytes(b"")
    (folder / "bomb.ipynb").write_bytes(b"[" * 1_000_000)
    with (folder / "huge.ipynb").open("wb") as file:
        file.truncate(30_000_000)
    (folder / "link.ipynb").symlink_to("anna.ipynb")
    (folder / "linked").symlink_to("carla")
    (folder / "secret").mkdir()
    (folder / "secret" / "a.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "=cmd|'x'!A1.ipynb").write_bytes(answered())
    (folder / "<b>*bold*`.ipynb").write_bytes(answered(q1="raise ValueError('<script>*x*')"))
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def scores(out):
    text = (out / "scores.csv").read_text(encoding="utf-8")
    return {row["submission"]: row for row in csv.DictReader(io.StringIO(text))}


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_submission_gets_a_status_and_no_run_stops(assignment, submissions, tmp_path):
    require_sandbox()
    results = tmp_path / "results"
    lines = {n: (s, w) for n, s, w in grade(assignment, submissions, results, workers=3)}
    assert len(lines) == len(find_submissions(submissions)) == 19
    assert lines.pop(".DS_Store") == ("left out", "it is hidden")
    said = {
        "many.ipynb": "The file has 1200003 parts; at most 300000 are read. Clear its outputs.",
        "two": "The folder holds 2 notebooks (a.ipynb, b.ipynb), not one.",
        "none": "The folder holds no notebook.",
        "essay.docx": "The zip cannot be read: File is not a zip file.",
        "empty.ipynb": "The file is empty.",
        "bomb.ipynb": "The file has 1000000 parts; at most 300000 are read. Clear its outputs.",
        "huge.ipynb": "The file has 30 MB; at most 20 MB are read. Clear its outputs.",
        "link.ipynb": "The file is a symbolic link; send the notebook itself.",
        "linked": "The file is a symbolic link; send the notebook itself.",
        "secret": "The file is a symbolic link; send the notebook itself.",
        "pipe.ipynb": "This is not a file.",
    }
    assert {name: lines[name] for name in said} == {n: ("not graded", w) for n, w in said.items()}
    count, problems = collect(results, tmp_path / "out")
    assert count == 18
    assert len(problems) == 2
    table = scores(tmp_path / "out")
    got = {n: table[n]["score"] for n in ("anna.ipynb", "ben.ipynb", "carla", "Anna", "two")}
    assert got == {"anna.ipynb": "5", "ben.ipynb": "3", "carla": "5", "Anna": "3", "two": "0"}
    assert table["Anna"]["notes"] == (
        "2 submissions have this student's name. q2: There is no answer cell for q2."
    )
    assert table["anna.ipynb"]["q3"] == ""
    assert table["anna.ipynb"]["out_of"] == "9"
    assert table["'=cmd|'x'!A1.ipynb"]["student"] == "'=cmd|'x'!A1"
    names = {p.stem for p in (tmp_path / "out" / "feedback").iterdir()}
    assert names == {p.name for p in (tmp_path / "out" / "gradescope").iterdir()}
    assert len(names) == 18
    (marked,) = (tmp_path / "out" / "feedback").glob("_b_*")
    text = marked.read_text(encoding="utf-8")
    assert "`<b>*bold*'.ipynb`" in text
    assert "The cell raises an exception." in text


def test_a_second_run_keeps_what_is_the_same_and_grades_what_changed(assignment, tmp_path):
    require_sandbox()
    folder, results = tmp_path / "submissions", tmp_path / "results"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.ipynb").write_bytes(answered())

    def run(chosen=assignment):
        return {name: status for name, status, _ in grade(chosen, folder, results)}

    assert set(run().values()) == {"graded"}
    before = contents(results)
    assert set(run().values()) == {"kept"}
    assert contents(results) == before
    (folder / "a.ipynb").write_bytes(answered(q1=None))
    (results / result_name(NAME, "b.ipynb")).write_text("{ half of a res")
    assert run() == {"a.ipynb": "graded", "b.ipynb": "graded", "c.ipynb": "kept"}
    assert len(list(results.glob("*.json"))) == 3
    assert set(run(Assignment(assignment.folder, seed="2")).values()) == {"graded"}


@pytest.mark.parametrize("fails", ["marks", "write"])
def test_a_mark_that_no_longer_holds_never_stays(assignment, tmp_path, monkeypatch, fails):
    require_sandbox()
    folder, results = tmp_path / "submissions", tmp_path / "results"
    folder.mkdir()
    (folder / "a.ipynb").write_bytes(answered())
    assert [line[1] for line in grade(assignment, folder, results)] == ["graded"]
    (folder / "a.ipynb").write_bytes(answered(q1="def add(a, b): return 0"))

    def fail(*arguments):
        raise {"marks": TypeError("unhashable"), "write": OSError("No space left")}[fails]

    place = (Judge, "marks") if fails == "marks" else (runner, "write_whole")
    with monkeypatch.context() as patch:
        patch.setattr(*place, fail)
        ((_, status, words),) = grade(assignment, folder, results)
    found = [json.loads(path.read_text()) for path in results.glob("*.json")]
    if fails == "marks":
        assert status == "not graded"
        assert "The judge failed (TypeError)" in words
        assert [(result["status"], result["score"]) for result in found] == [("not graded", 0)]
    else:
        assert (status, words, found) == ("failed", "OSError: No space left", [])


def test_two_shards_collected_equal_one_run(assignment, tmp_path):
    require_sandbox()
    folder = tmp_path / "submissions"
    folder.mkdir()
    for number in range(12):
        wrong = None if number % 3 else f"def add(a, b): return {number}"
        (folder / f"student{number}.ipynb").write_bytes(
            answered(**({"q1": wrong} if wrong else {}))
        )
    assert len(list(grade(assignment, folder, tmp_path / "one", workers=2))) == 12
    parts = [list(grade(assignment, folder, tmp_path / "two", shard=(k, 2))) for k in (1, 2)]
    assert all(parts)
    assert sum(map(len, parts)) == 12
    collect(tmp_path / "one", tmp_path / "out1")
    collect(tmp_path / "two", tmp_path / "out2")
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")
    with pytest.raises(ValueError, match="shard must be i/n with 1 <= i <= n; got 3/2"):
        next(grade(assignment, folder, tmp_path / "one", shard=(3, 2)))


def test_killing_the_grader_loses_and_doubles_nothing(tmp_path):
    require_sandbox()
    course = write_course(tmp_path)
    settings = course / "assignment.toml"
    settings.write_text(settings.read_text().replace("seconds = 2", "seconds = 3600"))
    folder, killed = tmp_path / "submissions", tmp_path / "killed"
    folder.mkdir()
    for number in range(6):
        (folder / f"s{number}.ipynb").write_bytes(answered(q1=f"def add(a, b): return {number}"))
    # So that the grader cannot have ended before it is killed.
    (folder / "endless.ipynb").write_bytes(answered(q1="import time\ntime.sleep(3600)"))
    command = [sys.executable, "-m", "vgglab", "grade", "run", "--seed", "0", course, folder]
    for wanted in (2, 4):
        grader = subprocess.Popen([*command, killed, "--workers", "2"], stdout=-3)
        while len(list(killed.glob("*.json"))) < wanted:
            assert grader.poll() is None
            time.sleep(0.01)
        os.kill(grader.pid, signal.SIGKILL)
        assert grader.wait() == -signal.SIGKILL
        for path in killed.glob("*.json"):
            json.loads(path.read_text())  # whole
    (folder / "endless.ipynb").write_bytes(answered())
    results = subprocess.run([*command, killed], capture_output=True, text=True)
    assert results.returncode == 0
    assert results.stdout.count("kept") >= 4
    assert results.stdout.count("\n") == 7
    whole = Assignment(course)
    assert len(list(grade(whole, folder, tmp_path / "whole", workers=3))) == 7
    collect(killed, tmp_path / "out1")
    collect(tmp_path / "whole", tmp_path / "out2")
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")
    for path in killed.glob(".*"):  # what a killed grader began goes after an hour
        os.utime(path, (0, 0))
    list(grade(whole, folder, killed))
    assert list(killed.glob(".*")) == []


@pytest.mark.parametrize("asks", [True, False])
def test_what_prepares_for_a_grader_that_is_gone_ends_quietly(assignment, asks):
    place = (str(assignment.folder), assignment.seed, str(assignment.judge_file))
    command = [sys.executable, "-m", "vgglab.grading.prepare"]
    source, sink = os.pipe()
    os.close(source)
    asked = pickle.dumps(place) if asks else b""
    made = subprocess.run(command, input=asked, stdout=sink, stderr=subprocess.PIPE)
    os.close(sink)
    assert made.stderr == b""


def test_a_person_adds_points_and_comments(assignment, tmp_path):
    require_sandbox()
    folder, results = tmp_path / "submissions", tmp_path / "results"
    folder.mkdir()
    (folder / "anna.ipynb").write_bytes(answered())
    list(grade(assignment, folder, results))
    by_hand = tmp_path / "points.csv"
    lines = ["submission,question,points,comment", "anna.ipynb,q3,3.5,Well said."]
    by_hand.write_text("\n".join([*lines, "anna.ipynb,q2,1.5,Too loud."]))
    collect(results, tmp_path / "out", by_hand)
    row = scores(tmp_path / "out")["anna.ipynb"]
    assert (row["q3"], row["score"], row["out_of"]) == ("3.5", "8", "9")
    (grades,) = (tmp_path / "out" / "gradescope").rglob("results.json")
    grades = json.loads(grades.read_text())
    assert grades["score"] == 8
    assert [test["max_score"] for test in grades["tests"]] == [3, 2, 4]
    (text,) = (tmp_path / "out" / "feedback").iterdir()
    assert "## q3: Why (3.5 of 4)\n\nWell said." in text.read_text()
    assert "(1.5 of 2)\n\nMarked by a person. Too loud." in text.read_text()
    for bad in ("anna.ipynb,q3,9,", "anna.ipynb,q9,1,", "ben.ipynb,q3,1,", "anna.ipynb,q3,many,"):
        by_hand.write_text(f"submission,question,points,comment\n{bad}\n")
        with pytest.raises(ValueError, match=r"points\.csv, line 2, must"):
            collect(results, tmp_path / "out", by_hand)


def test_what_was_too_slow_among_others_is_graded_once_more_alone(course, tmp_path, monkeypatch):
    require_sandbox()
    (tmp_path / "submissions").mkdir()
    for name in "ab":
        (tmp_path / "submissions" / f"{name}.ipynb").write_bytes(answered())
    observe, asked = Judge.observe, []

    def disturbed(judge, answers):
        asked.append(answers)
        return Observed(ended={"q1": "too slow"}) if len(asked) < 3 else observe(judge, answers)

    monkeypatch.setattr(Judge, "observe", disturbed)
    assignment = Assignment(course, seed="1")
    made = list(grade(assignment, tmp_path / "submissions", tmp_path / "results", workers=2))
    assert sorted(made) == [(f"{name}.ipynb", "graded", "5 of 5") for name in "ab"]
    assert len(asked) == 4


def test_a_notebook_of_another_course_seed_is_noted_and_a_class_of_them_refused(course, tmp_path):
    require_sandbox()
    folder = tmp_path / "submissions"
    folder.mkdir()
    seeds = (SEED, SEED[::-1])
    for seed, names in zip(seeds, ("ab", "c"), strict=True):
        released = write_release(Assignment(course, seed=seed), tmp_path / "released")
        for name in names:
            shutil.copy(released, folder / f"{name}.ipynb")
    list(grade(Assignment(course, seed=seeds[0]), folder, tmp_path / "results"))
    notes = {r["submission"]: r["notes"] for r in read_results(tmp_path / "results")[0]}
    other = ["The notebook was released with another course seed."]
    assert notes == {"a.ipynb": [], "b.ipynb": [], "c.ipynb": other}
    before = contents(tmp_path / "results")
    for seed in (seeds[1], DEFAULT_SEED):
        with pytest.raises(ValueError, match=r"seed must be the one of the release; [23] of 3"):
            list(grade(Assignment(course, seed=seed), folder, tmp_path / "results"))
    assert contents(tmp_path / "results") == before


def test_what_is_withdrawn_leaves_and_each_regrade_is_written_down(assignment, tmp_path):
    require_sandbox()
    folder, results = tmp_path / "submissions", tmp_path / "results"
    folder.mkdir()
    for name in ("anna", "=ben"):
        (folder / f"{name}.ipynb").write_bytes(answered())

    def run(chosen=assignment, **options):
        return {n: s for n, s, _ in grade(chosen, folder, results, **options)}

    assert run() == {"anna.ipynb": "graded", "=ben.ipynb": "graded"}
    assert not (results / "regrades.csv").exists()
    (folder / "=ben.ipynb").rename(folder / "=ben_v2.ipynb")
    shards = [run(shard=(part, 3)) for part in (1, 2, 3)]
    assert {name: status for made in shards for name, status in made.items()} == {
        "anna.ipynb": "kept", "=ben.ipynb": "withdrawn", "=ben_v2.ipynb": "graded",
    }  # fmt: skip
    assert collect(results, tmp_path / "out")[0] == 2
    (folder / "anna.ipynb").write_bytes(answered(q1=None))
    assert run()["anna.ipynb"] == "graded"
    assert set(run(Assignment(assignment.folder, seed="2")).values()) == {"graded"}
    (folder / "=ben_v2.ipynb").rename(folder / "=ben.ipynb")
    assert run()["=ben.ipynb"] == "kept"  # its result was kept aside
    with (results / "regrades.csv").open() as file:
        log = list(csv.DictReader(file))
    judge_changed = "the judge, the course seed or the assignment changed"
    assert [(r["submission"], r["why"], r["before"], r["after"]) for r in log] == [
        ("'=ben.ipynb", "withdrawn", "5 of 5", ""),
        ("anna.ipynb", "handed in again", "5 of 5", "2 of 5"),
        ("'=ben_v2.ipynb", judge_changed, "5 of 5", "5 of 5"),
        ("anna.ipynb", judge_changed, "2 of 5", "2 of 5"),
        ("'=ben_v2.ipynb", "withdrawn", "5 of 5", ""),
        ("anna.ipynb", judge_changed, "2 of 5", "2 of 5"),
    ]
    assert all(row["who"] and row["time"] for row in log)


def test_results_of_two_assignments_or_none_are_not_collected(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(ValueError, match=r"results must be of one assignment; .* has none"):
        collect(tmp_path / "results", tmp_path / "out")
    for name in ("x", "y"):
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps({"assignment": name}))
    with pytest.raises(ValueError, match="has x, y"):
        collect(tmp_path / "results", tmp_path / "out")


def test_feedback_of_what_could_not_be_read():
    result = {
        "title": "Small", "submission": "a`b.ipynb", "status": "not graded", "score": 0,
        "out_of": 5, "notes": ["The file is empty."], "questions": [], "by_hand": [],
    }  # fmt: skip
    assert feedback(result) == (
        "# Small\n\nSubmission: `a'b.ipynb`\n\n**0 of 5 points**\n\nThe file is empty.\n\n"
        "The notebook was not graded.\n"
    )


# No sandbox


def fake_bwrap(folder, words):
    folder.mkdir()
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.mark.parametrize(
    ("words", "help_"),
    [
        (None, "sudo apt install bubblewrap"),
        (
            "bwrap: setting up uid map: Permission denied",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("bwrap: Unknown option --disable-userns", "0.8 or newer"),
        ("bwrap: Something else", "does not start: bwrap: Something else"),
    ],
)
def test_without_a_sandbox_nothing_is_graded_and_help_is_given(
    course, tmp_path, monkeypatch, words, help_
):
    if words:
        fake_bwrap(tmp_path / "bin", words)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 1000)
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "a.ipynb").write_bytes(answered())
    arguments = ["run", "--seed", "0", course, tmp_path / "submissions", tmp_path / "results"]
    result = CliRunner().invoke(main, ["grade", *map(str, arguments)])
    assert result.exit_code == 2
    assert help_ in result.output
    assert not (tmp_path / "results").exists()


def test_a_package_that_is_not_here_is_named():
    require_sandbox()
    with pytest.raises(SandboxError, match="'no-such-package' is not"):
        Sandbox(["no-such-package"], 200)


def test_without_control_groups_each_process_is_limited(monkeypatch):
    require_sandbox()

    def refuse():
        raise PermissionError

    monkeypatch.setattr(sandbox, "Groups", refuse)
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 1000)
    limited = Sandbox([], 100)
    assert "resource limits" in limited.limits
    source = "def f():\n    return len(bytearray(200_000_000))"
    probe = {"index": 0, "question": "q1", "calls": [Call("f").to_json()]}
    outcome = limited.run({"cells": [{"id": "q1", "source": source}]}, [probe], seconds=600)
    assert outcome.messages[-2]["answers"][0]["error"] == "MemoryError"


def fake_controllers(monkeypatch, files):
    """Make folders behave as the kernel's: their files come and go with them."""
    monkeypatch.setattr(
        cgroups.Path, "mkdir",
        lambda path, exist_ok=False: (os.mkdir(path), [(path / f).touch() for f in files]),
    )  # fmt: skip
    monkeypatch.setattr(cgroups.Path, "rmdir", lambda path: shutil.rmtree(path))


def test_control_groups_of_version_2_that_were_delegated(tmp_path, monkeypatch):
    own = tmp_path / "user.slice" / "grader.scope"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    fake_controllers(monkeypatch, ["memory.max", "memory.swap.max", "pids.max", "cgroup.procs"])
    groups = cgroups.Groups(tmp_path, "0::/user.slice/grader.scope\n")
    assert groups.version == 2
    assert (own / "vgglab-grader" / "cgroup.procs").read_text() == "0"
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"
    group = groups.create(1000, 7)
    assert [path.parent for path in group.folders] == [own]
    assert (group.folders[0] / "memory.max").read_text() == "1000"
    assert (group.folders[0] / "memory.swap.max").read_text() == "0"
    assert (group.folders[0] / "pids.max").read_text() == "7"
    (group.folders[0] / "memory.events").write_text("oom 3\noom_kill 2\n")
    (group.folders[0] / "memory.peak").write_text("77\n")
    assert group.ran_out_of_memory()
    assert group.peak_bytes() == 77
    group.remove()
    assert not group.folders[0].exists()


def test_control_groups_that_may_not_be_made(tmp_path):
    with pytest.raises(PermissionError, match=r"no control group with memory.max"):
        cgroups.Groups(tmp_path, "0::/user.slice\n")


# The command, and the assignments of the course


def test_the_command_from_release_to_feedback(course, tmp_path):
    require_sandbox()

    def run(*arguments):
        return CliRunner().invoke(main, ["grade", *map(str, arguments)])

    released = run("release", course, tmp_path / "released", "--seed", SEED)
    assert released.exit_code == 0
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    notebook_ = json.loads(Path(released.output.strip()).read_text())
    for code in notebook_["cells"]:
        if role_of(code) == ("answer", "q1"):
            code["source"] = "def add(a, b):\n    return a + b"
    (submissions / "anna.ipynb").write_text(json.dumps(notebook_))
    arguments = ("run", course, submissions, tmp_path / "results", "--seed", SEED)
    assert run(*arguments, "--workers", 2).output == "anna.ipynb: graded, 3 of 5\n"
    assert run(*arguments, "--shard", "1/1").output == "anna.ipynb: kept\n"
    collected = run("collect", tmp_path / "results", tmp_path / "out")
    assert collected.output == f"1 submissions: {tmp_path / 'out' / 'scores.csv'}\n"
    for shard in ("0/2", "3/2", "x", "1/0"):
        refused = run(*arguments, "--shard", shard)
        assert refused.exit_code == 2
        assert f"got '{shard}'" in refused.output


def test_the_selftest_finds_what_is_wrong(course, tmp_path):
    require_sandbox()
    assert selftest(course, seeds=("0",)).faults == []
    folder = write_course(tmp_path)
    (folder / "mutants" / "text.py").unlink()
    quiet = folder / "mutants" / "quiet.py"
    quiet.write_text(quiet.read_text().replace("Loses: q2", "Loses: q1"))
    lower = folder / "mutants" / "lower.py"
    lower.write_text(lower.read_text().replace("return text + '!'", "return text.upper() + '!'"))
    path = folder / f"{NAME}.ipynb"
    path.write_text(path.read_text().replace("assert add(1, 2) == 3", "assert add(1, 2) == 4"))
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(folder / "judge.py", site / "page.html")
    result = CliRunner().invoke(main, ["grade", "selftest", str(folder), "--html", str(site)])
    assert result.exit_code == 1
    for words in (
        "5 mutants; at least 6 are needed",
        "mutant quiet earns 3 of 3 for q1 (every probe is passed)",
        "mutant quiet earns 0 of 2 for q2 (words: a wrong answer)",
        "mutant lower earns 2 of 2 for q2",
        "the solution fails the public check q1: AssertionError: one and two",
        "page.html shows judge.py of 01_small",
    ):
        assert words in result.output, words


@pytest.mark.sampled
@pytest.mark.parametrize("folder", sampled(ASSIGNMENTS, 1), ids=lambda folder: folder.name)
def test_the_courses_assignments_mark_as_they_should(folder):
    require_sandbox()
    # The seed of the repository's notebooks would take as long again: vgglab grade selftest.
    assert selftest(folder, seeds=(OTHER_SEED,)).faults == []


@pytest.mark.wide
def test_a_release_by_nbgrader_itself_can_be_graded(course, tmp_path):
    require_sandbox()
    source = tmp_path / "source" / NAME
    source.mkdir(parents=True)
    shutil.copy(course / f"{NAME}.ipynb", source)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls alembic
    made = subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", NAME, "--create"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    released = tmp_path / "release" / NAME / f"{NAME}.ipynb"
    assert "SOLUTION" not in released.read_text()
    submitted = json.loads(released.read_text())
    for code in submitted["cells"]:
        if role_of(code) == ("answer", "q1"):
            code["source"] = "def add(a, b):\n    return a + b"
    folder = tmp_path / "submitted" / "anna" / NAME
    folder.mkdir(parents=True)
    (folder / released.name).write_text(json.dumps(submitted))
    lines = list(grade(Assignment(course), tmp_path / "submitted", tmp_path / "results"))
    assert lines == [("anna", "graded", "3 of 5")]


@pytest.mark.parametrize("folder", ASSIGNMENTS, ids=lambda folder: folder.name)
def test_a_notebook_says_what_cannot_be_imported(folder):
    text = (folder / f"{folder.name}.ipynb").read_text(encoding="utf-8")
    packages = Assignment(folder).packages
    if "numpy" not in packages:
        assert "NumPy, " in text
        assert "`torchvision` and `vgglab` cannot." in text
