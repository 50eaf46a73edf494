"""The grader's own attacks: none gains anything, and a hole that is planted shows."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from grading_course import RIGHT, require_sandbox, write_course
from sampling import sampled

from vgglab.__main__ import main
from vgglab.grading import marking, sandbox
from vgglab.grading.assignment import Assignment
from vgglab.grading.attacks import CONTROL, Attack, Trial, all_attacks, channel_rate
from vgglab.grading.marking import Judge
from vgglab.grading.proof import AFTERWARDS, COLUMNS, digest, faults, grader, older
from vgglab.grading.runner import code_digest
from vgglab.grading.sandbox import Sandbox
from vgglab.grading.selftest import selftest
from vgglab.grading.worker import broken_rule

ROOT = Path(__file__).resolve().parent.parent
ATTACKS = all_attacks()
CHOSEN = sampled([attack.name for attack in ATTACKS if attack.cell], 12)
# Each found something before its cure, or would without it.
ALWAYS = ["reason_that_is_a_list", "clock_that_never_runs_out", "key_of_the_session"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    require_sandbox()
    assignment = Assignment(write_course(tmp_path_factory.mktemp("course")), seed="x")
    assignment.seconds = 1.0
    return Trial(Judge(assignment, Sandbox([], assignment.memory_mb)))


def test_attacks_are_many_of_many_kinds_and_none_is_written_twice():
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names) >= 120
    assert len({(attack.cell, attack.add, attack.mutants) for attack in ATTACKS}) == len(names)
    assert len({attack.kind for attack in ATTACKS}) >= 8


def test_a_right_answer_passes_and_one_that_does_nothing_fails(trial):
    assert trial.controls() == []


ADD_TWO = [
    ("assignment.toml", '["add"]', '["add", "subtract"]'),
    ("judge.py", "def add(", "def subtract(a, b):\n    return a - b\n\ndef add("),
    ("judge.py", 'Call("add", 0.5, 0.25)', 'Call("subtract", 0.5, 0.25)'),
    ("01_small.ipynb", "def add(", "def subtract(a, b):\\n    return a - b\\n\\ndef add("),
]
SHOUT_TWO = [
    ("assignment.toml", '["shout"]', '["shout", "whisper", "say"]'),
    (
        "judge.py",
        "def shout(",
        "def whisper(text): return text\n\nsay = whisper\ndef shout(",
    ),
]


@pytest.mark.parametrize(("changes", "question"), [(ADD_TWO, "q2"), (ADD_TWO + SHOUT_TWO, "q1")])
def test_the_question_of_fewest_functions_is_attacked_and_each_of_them_can_be_right(
    tmp_path, changes, question
):
    """One answer takes the place of them all."""
    require_sandbox()
    folder = write_course(tmp_path)
    for name, old, new in changes:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    assignment = Assignment(folder, seed="x")
    trial = Trial(Judge(assignment, Sandbox([], assignment.memory_mb)))
    assert trial.question.id == question
    assert trial.controls() == []
    honest, hollow = (Attack("planted", cell, cell=cell) for cell in ("answer = right", CONTROL))
    assert [one.gained for one in trial.run([honest, hollow])] == [trial.question.points, 0]


@pytest.mark.sampled
def test_no_attack_gains_anything(trial):
    chosen = [attack for attack in ATTACKS if attack.name in {*CHOSEN, *ALWAYS}]
    tried = list(trial.run(chosen, workers=2))
    assert len(tried) == len(chosen)
    assert [one for one in tried if not one.failed] == []


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(sorted({a.assignment for a in ATTACKS if a.add}), 1))
def test_what_hides_a_broken_rule_gains_nothing(name):
    """On the assignment itself: the rules are its own, and so is what its probes call."""
    require_sandbox()
    assignment = Assignment(ROOT / "book/assignments" / name, seed="x")
    trial = Trial(Judge(assignment, Sandbox(assignment.packages, assignment.memory_mb)))
    hiding = {attack.name: attack for attack in trial.chosen(ATTACKS) if attack.add}
    chosen = [hiding[one] for one in sampled(sorted(hiding), 3)]
    tried = list(trial.run(chosen))
    assert len(tried) == len(chosen)
    assert [one for one in tried if not one.failed] == []


def test_an_attack_that_works_is_seen(trial, monkeypatch):
    """Holes, opened on purpose."""
    monkeypatch.setattr(sandbox, "FILTER", None)
    (tried,) = trial.run([attack for attack in ATTACKS if attack.name == "locks_on_a_file_of_all"])
    assert tried.gained == 3
    honest = Attack("planted", "honest", cell="answer = right")
    (tried,) = trial.run([honest])
    assert tried.gained == 3
    assert not tried.failed


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("y = F.batch_norm(x)", "batch_norm"),
        ("from torch.nn.functional import batch_norm as b", "batch_norm"),
        ("y = nn.BatchNorm2d(3)", "BatchNorm2d"),
        ("match F:\n    case object(batch_norm=b): pass", "batch_norm"),
        ("import threading", "threading"),
        ("from os import path", "os"),
        ("x = getattr(F, 'batch' + '_norm')", "getattr"),
        ("x = F.__dict__", "__dict__"),
        ("torch._C.x()", "_C"),
        ("torch.ops.aten.add(x)", "ops"),
        ("loss.backward()", "backward"),
        ("import torch as t\ndef batch_norm(x): return x.mean()", None),
        ("class A:\n    def __init__(self): super().__init__()", None),
        ("x = (", None),
        ("x = " + "(" * 150 + "1" + ")" * 150, None),
    ],
)
def test_rules_are_read_from_the_source_before_it_runs(cell, name):
    rules = {"refused": "batch_?norm|backward|^ops$", "imports": ["torch", "torch.nn.functional"]}
    found = broken_rule(cell, rules)
    assert (found and found["name"]) == name
    assert broken_rule(cell, {}) is None


def test_what_answer_cells_replace_is_not_what_probes_call(trial):
    """Given names, and Python itself."""
    given = ["import math\ndef double(x): return 2 * x\nLIMIT = 5\ndef limit(): return LIMIT"]
    cell = (
        "import builtins, json\ndouble = lambda x: 0\nLIMIT = 0\n"
        "limit.__globals__['LIMIT'] = 0\nlimit.__code__ = (lambda: 0).__code__\n"
        "builtins.sum = builtins.sorted = lambda *a, **k: 0\n"
        "def f():\n    limit.__defaults__ = (1,)\n    builtins.len = lambda x: 0\n"
        "    return double(1)"
    )
    helpers = ["def total(): return sum([double(2), limit(), len('ab')])"]
    calls = [
        {"function": name, "args": [], "kwargs": {}, "name": None, "returned": True,
         "device": None, "raises": False}
        for name in ("f", "total")
    ]  # fmt: skip
    job = {"given": given, "helpers": helpers, "cells": [{"id": "q1", "source": cell}]}
    probe = {"index": 0, "question": "q1", "calls": calls}
    outcome = trial.judge.sandbox.run(job, [probe], seconds=5)
    assert outcome.messages[-2]["answers"] == [{"value": 0}, {"value": 11}]


def test_words_of_a_cell_count_in_the_first_run_alone(trial):
    """A worker that runs again could have been told the probes by the one before."""
    told = "raise NameError('x', name='spoken')\n# spoken"
    ended = "import os\ndef add(a, b): os._exit(0)"
    for first, note in ((RIGHT["q1"], "spoken"), (ended, "spoken")):
        marks = trial._marks({"q1": first, "q2": f"{RIGHT['q2']}\n{told}"})
        assert note in marks["questions"][1]["notes"][0]
    observed = marking.Observed()
    message = {"cell": "q2", "problem": {"error": "NameError", "line": None, "name": "spoken"}}
    observed.add([message], texts=False)
    words = trial.judge._cell_problem(observed.problems["q2"], told)
    assert words == "The cell does not run without one that was left out."


def test_a_submission_has_one_allowance_for_all_its_workers(trial, monkeypatch):
    """Each question stops its worker; what they used is taken from what is left."""
    left = []
    run = Sandbox.run

    def spy(box, *arguments, allowance, **options):
        made = run(box, *arguments, allowance=allowance, **options)
        left.append(allowance.processor)
        return made

    monkeypatch.setattr(Sandbox, "run", spy)
    loop = "def {}(*args):\n    while True: pass"
    marks = trial._marks({"q1": loop.format("add"), "q2": loop.format("shout")})
    assert marks["score"] == 0
    assert len(left) == 2
    assert 2 >= left[0] > left[1]


def test_a_free_point_a_leak_and_an_attack_each_turn_the_proof_red(tmp_path, monkeypatch):
    require_sandbox()
    attack = [Attack("planted", "control", cell="def answer(*args, **options): return None")]

    def proof(folder, attacks=attack):
        report = selftest(folder, seeds=("x",), attacks=attacks)
        assert set(report.numbers) == set(COLUMNS)
        return faults({"assignments": {"small": report.numbers}})

    assert proof(write_course(tmp_path / "whole")) == []
    free = write_course(tmp_path / "free")
    judge = free / "judge.py"
    asked = 'Call("shout", "ab"), Call("shout", "")'
    judge.write_text(judge.read_text().replace(asked, 'Call("@identity", 1)'))
    with monkeypatch.context() as patch:
        patch.setattr(marking.Prepared, "of", classmethod(_without_idle(marking.Prepared.of)))
        words = proof(free)
    assert "small: free for constant answers: 2" in words
    shown = write_course(tmp_path / "shown")
    path = shown / "01_small.ipynb"
    cells = json.loads(path.read_text())
    cells["cells"][0]["metadata"]["vgglab"]["template"] = "Add 1.\n    return text.upper() + '!'"
    path.write_text(json.dumps(cells))
    assert proof(shown) == ["small: solution lines outside solutions: 1"]
    honest = [Attack("planted", "honest", cell="answer = right")]
    assert proof(tmp_path / "whole" / "01_small", honest) == ["small: attacks that gained: 1"]
    told = write_course(tmp_path / "told")
    judge = told / "judge.py"
    judge.write_text(judge.read_text().replace("hint=hint)", "hint=f'Try {big}.')"))
    assert any(words.startswith("small: hidden inputs in feedback: ") for words in proof(told))


def _without_idle(of):
    def made(cls, assignment):
        prepared = of(assignment)
        return cls(prepared.expected, [False] * len(prepared.idle))

    return made


def test_the_side_channel_that_remains_is_measured(trial):
    """Whatever is in memory here: guessing would get half of the bits, most of the time."""
    right, sent, _ = channel_rate(trial.judge.sandbox, Random(0))
    assert 0 < right <= sent == 256


def test_numbers_made_with_another_grader_are_said(tmp_path):
    made = {"now": {"grader": grader()}, "before": {"grader": "0123"}, "long before": {}}
    assert older({"assignments": made}) == ["before", "long before"]
    require_sandbox()
    course = write_course(tmp_path)
    path = tmp_path / "proof.json"
    command = ["grade", "selftest", str(course), "--kind", "probe_helpers", "--json", str(path)]
    assert CliRunner().invoke(main, [*command, "--seed", "x", "--workers", "2"]).exit_code == 0
    assert older(json.loads(path.read_text())) == []


def test_only_code_that_the_selftest_meets_makes_a_proof_old(tmp_path):
    code = "import sys, vgglab.grading.selftest; print(*sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    met = {name.removeprefix("vgglab.grading.") for name in made.stdout.split()}
    assert not met & {*AFTERWARDS}
    for name in ("worker.py", "collect.py"):
        (tmp_path / name).write_text("1")
    before = code_digest(tmp_path, AFTERWARDS)
    (tmp_path / "collect.py").write_text("2")
    assert code_digest(tmp_path, AFTERWARDS) == before
    (tmp_path / "worker.py").write_text("2")
    assert code_digest(tmp_path, AFTERWARDS) != before


def test_the_book_publishes_no_fault_and_of_the_assignments_as_they_are():
    found = json.loads((ROOT / "book/assignments/proof.json").read_text())
    assert faults(found) == []
    written = {path.parent.name for path in (ROOT / "book/assignments").glob("*/assignment.toml")}
    assert found["assignments"].keys() == written
    for name, numbers in found["assignments"].items():
        again = f"vgglab grade selftest --json book/assignments/proof.json book/assignments/{name}"
        assert numbers["of"] == digest(ROOT / "book/assignments" / name), again
