"""A course of one small assignment that needs no torch, and notebooks that answer it."""

import json
import os
from pathlib import Path

import pytest

from vgglab.grading.runner import result_name
from vgglab.grading.sandbox import Sandbox, SandboxError

NAME = "01_small"
RIGHT = {
    "q1": "def add(a, b):\n    return a + b",
    "q2": "def shout(text):\n    return text.upper() + '!'",
}
TOML = """
title = "Small"
minutes = 5
goals = ["Add."]
packages = []
seconds = 2
memory_mb = 300

[[questions]]
id = "q1"
title = "Sums"
points = 3
functions = ["add"]

[[questions]]
id = "q2"
title = "Shouts"
points = 2
functions = ["shout"]

[[questions]]
id = "q3"
title = "Why"
points = 4
kind = "text"
"""
JUDGE = """
from vgglab.grading import Call, Probe

def variant(random):
    return {"example": random.randrange(100, 1000)}

def probes(variant, random):
    big, hint = random.randrange(10**8, 10**9), "Think big."
    return [
        Probe("q1", "small numbers", Call("add", 1, 2), public=True),
        Probe("q1", "large numbers", Call("add", big, big), Call("add", -big, 1), hint=hint),
        Probe("q1", "decimals", Call("add", 0.5, 0.25)),
        Probe("q2", "words", Call("shout", "ab"), Call("shout", "")),
    ]

def add(a, b):
    return a + b

def shout(text):
    return f"{text}!".upper()
"""


def cell(kind, question, source, cell_type="code"):
    """A cell as it stands in a source notebook."""
    nbgrader = {
        "grade": kind in ("check", "text"),
        "grade_id": f"{kind}-{question}",
        "locked": kind in ("check", "given"),
        "schema_version": 3,
        "solution": kind in ("answer", "text"),
        "task": False,
    }
    if kind in ("check", "text"):
        nbgrader["points"] = {"q1": 3, "q2": 2, "q3": 4}[question]
    metadata = {"tags": [f"{kind}-{question}"], "nbgrader": nbgrader}
    made = {"cell_type": cell_type, "id": f"{kind}-{question}", "metadata": metadata}
    outputs = {"outputs": [], "execution_count": None} if cell_type == "code" else {}
    return {**made, "source": source, **outputs}


def notebook(cells):
    """A notebook of version 4."""
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def answered(**sources):
    """The bytes of a notebook whose answers are right, but for those that are given."""
    sources = {**RIGHT, **sources}
    return json.dumps(notebook([cell("answer", q, s) for q, s in sources.items() if s])).encode()


def write_course(folder, seconds=2):
    """Write the assignment, with so much time for a step; return its folder."""
    folder = Path(folder) / NAME
    (folder / "mutants").mkdir(parents=True)
    settings = TOML.replace("seconds = 2", f"seconds = {seconds}")
    (folder / "assignment.toml").write_text(settings)
    (folder / "judge.py").write_text(JUDGE)
    solved = {
        question: source.replace(":\n", ":\n    ### BEGIN SOLUTION\n") + "\n    ### END SOLUTION"
        for question, source in RIGHT.items()
    }
    cells = [
        cell("given", "1", "import math"),
        cell("answer", "q1", solved["q1"]),
        cell("check", "q1", "assert add(1, 2) == 3, 'one and two'"),
        cell("answer", "q2", solved["q2"]),
        cell("check", "q2", "assert shout('a').endswith('!')\n### BEGIN HIDDEN TESTS\n"
             "assert shout('secret word') == 'SECRET WORD!'\n### END HIDDEN TESTS"),
        cell("text", "q3", "### BEGIN SOLUTION\nIt carries.\n### END SOLUTION", "markdown"),
    ]  # fmt: skip
    template = "Add {{ example }} and 1."
    prose = {"cell_type": "markdown", "id": "prose", "source": "Add 1 and 1."}
    prose["metadata"] = {"vgglab": {"template": template}}
    (folder / f"{NAME}.ipynb").write_text(json.dumps(notebook([prose, *cells])))
    wrong = {
        "off_by_one": ("q1", "def add(a, b):\n    return a + b + 1"),
        "integers_only": ("q1", "def add(a, b):\n    return int(a) + int(b)"),
        "text": ("q1", "def add(a, b):\n    return str(a + b)"),
        "difference": ("q1", "def add(a, b):\n    return a - b"),
        "quiet": ("q2", "def shout(text):\n    return text.upper()"),
        "lower": ("q2", "def shout(text):\n    return text + '!'"),
    }
    for name, (question, source) in wrong.items():
        text = f'"""Wrong.\n\nLoses: {question}\n"""\n\n# %% {question}\n{source}\n'
        (folder / "mutants" / f"{name}.py").write_text(text)
    return folder


def require_sandbox():
    """Skip where there is no sandbox, or fail if there must be one, as in CI."""
    try:
        return Sandbox([], 200)
    except SandboxError as error:
        if os.environ.get("VGGLAB_REQUIRE_SANDBOX") == "1":
            pytest.fail(str(error))
        return pytest.skip(str(error))


def write_result(folder, submission, q1=3.0, q2=2.0, student=None, why="a wrong number"):
    """Write a result as the grader does."""

    def question(name, score, points):
        passed = score == points
        probe = {"says": "numbers", "weight": 1, "passed": passed}
        probe |= {} if passed else {"why": why, "hint": "Think *big*."}
        return {"id": name, "title": name, "points": points, "score": score, "notes": [],
                "probes": [probe]}  # fmt: skip

    made = {
        "key": "k", "assignment": NAME, "title": "Small", "submission": submission,
        "student": student or submission.removesuffix(".ipynb"), "status": "graded", "notes": [],
        "by_hand": [{"id": "q3", "title": "Why", "points": 4}],
        "questions": [question("q1", q1, 3), question("q2", q2, 2)],
        "score": q1 + q2, "out_of": 5,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / result_name(NAME, submission)).write_text(json.dumps(made))
