"""Follow-on errors: a question is judged by its own answer, not by an earlier one that it calls."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vgglab.grading.assignment import Assignment
from vgglab.grading.marking import IDLE, Judge, Observed
from vgglab.grading.submissions import Answers

MAX_ROUNDS = 3  # in which a submission runs again, each with one more level of answers replaced


def fair_marks(judge: Judge, answers: Answers, observed: Observed) -> dict[str, Any]:
    """Return the marks of a submission, with follow-on errors forgiven.

    Where a question lost points and calls an earlier one that did, it runs again with the
    solution of the earlier one, after the student's own cell if that runs: it may define more.
    What it earns so counts if it is more. Only verdicts are taken from such a run, no words, and
    its time is that of the submission.

    Parameters
    ----------
    judge
        Of the assignment, whose notebook holds the solutions.
    answers
        Of the submission.
    observed
        What was seen when they ran alone.
    """
    marks = judge.marks(answers, observed)
    marked = {question["id"]: question for question in marks["questions"]}
    uses = uses_of(judge.assignment, answers)
    solutions = judge.assignment.cells("answer")
    replaced: set[str] = set()
    for _ in range(MAX_ROUNDS):
        lost = {name for name, question in marked.items() if _lost(question)}
        waiting = {name for name in lost - replaced if uses[name] & (lost - replaced)}
        # Those that call none that lost points themselves, and are called.
        first = {n for name in waiting for n in uses[name]} & (lost - replaced) - waiting
        if not first:
            break
        replaced |= first
        cells = {
            name: _with_solution(name, answers, observed, solutions) if name in replaced else source
            for name, source in {**answers.cells, **dict.fromkeys(replaced, "")}.items()
        }
        again = replace(answers, cells=cells)
        for question in judge.marks(again, judge.observe(again, observed.allowance))["questions"]:
            if question["id"] not in replaced:
                _take(marked[question["id"]], question, uses[question["id"]] & replaced, judge)
    marks["score"] = round(sum(question["score"] for question in marks["questions"]), 2)
    return marks


def uses_of(assignment: Assignment, answers: Answers) -> dict[str, set[str]]:
    """Return for each question the earlier ones that its cell or its probes name, also indirectly.

    Cells are read as text: parsing what anybody wrote could stop the grader.
    """
    uses: dict[str, set[str]] = {}
    earlier: dict[str, tuple[str, ...]] = {}
    for question in assignment.coded:
        words = set(re.findall(r"\w+", answers.cells.get(question.id, "")))
        words |= {
            call.function
            for probe in assignment.probes
            for call in probe.calls
            if probe.question == question.id and isinstance(call.function, str)
        }
        direct = {name for name, functions in earlier.items() if words & set(functions)}
        uses[question.id] = direct.union(*(uses[name] for name in direct))
        earlier[question.id] = question.functions
    return uses


def _lost(question: Mapping[str, Any]) -> bool:
    return bool(question["score"] < question["points"])


def _with_solution(
    name: str, answers: Answers, observed: Observed, solutions: Mapping[str, str]
) -> str:
    own = "" if name in observed.problems or name in observed.ended else answers.cells.get(name, "")
    return f"{own}\n\n{solutions[name]}"


def _take(question: dict[str, Any], again: dict[str, Any], others: set[str], judge: Judge) -> None:
    """Take the marks of a run with others' solutions, if they are better."""
    if not others or again["score"] <= question["score"]:
        return
    before = question["score"]
    names = [n for q in judge.assignment.coded if q.id in others for n in q.functions]
    notes = [note for note in question["notes"] if note != IDLE or note in again["notes"]]
    question |= {"score": again["score"], "probes": again["probes"], "notes": notes}
    earned = f"{before:g} of {question['points']:g} points became {again['score']:g}"
    question["notes"].append(
        f"Your {', '.join(names)} {'was' if len(names) == 1 else 'were'} replaced by ours here, so "
        f"that an error counts once: {earned}."
    )
