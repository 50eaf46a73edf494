"""Proof that an assignment marks as it should, before students meet it."""

import html
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from vgglab.grading.assignment import DEFAULT_SEED, Assignment
from vgglab.grading.attacks import CHANNEL, Attack, Tried, channel_rate, values_of
from vgglab.grading.attacks import Trial as Attacked
from vgglab.grading.constants import sources
from vgglab.grading.marking import Judge, Observed, observe_trusted
from vgglab.grading.progress import Progress
from vgglab.grading.release import (
    leaks,
    notebook_text,
    release_notebook,
    solution_lines,
    source_notebook,
)
from vgglab.grading.sandbox import Sandbox
from vgglab.grading.submissions import Answers, read_answers

OTHER_SEED = "another course"
MIN_MUTANTS = 6
ATTACK_SECONDS = 3.0  # between two steps of an attack: half of them wait until they are stopped


@dataclass
class SelftestReport:
    """What the selftest found.

    Attributes
    ----------
    assignment
        Its name.
    checked
        A sentence for each thing that was tried.
    faults
        A sentence for each thing that is wrong.
    numbers
        What `vgglab.grading.proof.COLUMNS` names, as far as it was tried.
    """

    assignment: str
    checked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)


def selftest(
    folder: Path,
    *,
    seeds: Sequence[str] = (DEFAULT_SEED, OTHER_SEED),
    judge: Path | None = None,
    site: Path | None = None,
    attacks: Sequence[Attack] = (),
    workers: int = 1,
) -> SelftestReport:
    """Grade the solution, the blank release and every mutant of an assignment.

    Parameters
    ----------
    folder
        Of the assignment.
    seeds
        Course seeds to try.
    judge
        As for `Assignment`.
    site
        A built book; no page of it, nor what it was built from, may show a secret.
    attacks
        Are tried as well, and constant answers with them.
    workers
        Sandboxes at a time for the attacks.

    Raises
    ------
    SandboxError
        If there is no sandbox.
    ValueError
        If the assignment contradicts itself.
    """
    report = SelftestReport(folder.resolve().name)
    assignments = [Assignment(folder, seed=seed, judge=judge) for seed in seeds]
    sandbox = Sandbox(assignments[0].packages, assignments[0].memory_mb)
    trials = [_Trial(one, Judge(one, sandbox), report) for one in assignments]
    jobs = [job for trial in trials for job in trial.jobs()]
    # One worker for all of them: they trust each other, and importing torch takes longest.
    ended, observed = observe_trusted(sandbox, jobs, assignments[0].seconds)
    if ended != "done":
        report.faults.append(f"a solution or mutant is {ended}")
    seen = iter(observed)
    for trial in trials:
        trial.compare(seen)
    trials[0].grade_solution_as_students_are()
    report.numbers["points"] = sum(trials[0].points.values())
    report.numbers["outside"] = trials[0].solution_lines_outside()
    if attacks:
        trials[0].try_constants()
        trials[0].attack(attacks, workers)
    if site is not None:
        pages = list(site_texts(site))
        report.faults += leaks(assignments[0], pages)
        report.checked.append(f"{len(pages)} files of {site} show no solution and no probe")
    return report


class _Trial:
    """The selftest of one assignment with one course seed."""

    def __init__(self, assignment: Assignment, judge: Judge, report: SelftestReport) -> None:
        self.assignment, self.judge, self.report = assignment, judge, report
        self.seed = f"seed {assignment.seed!r}"
        self.points = {question.id: question.points for question in assignment.coded}
        self.solution = self._answers(source_notebook(assignment))
        # release_notebook looks for leaks itself
        self.blank = self._answers(release_notebook(assignment))
        self.hidden = values_of(judge)
        mutants = list(assignment.mutants())
        self.mutants = {
            f"mutant {mutant.name}": replace(
                self.solution, cells={**self.solution.cells, **mutant.cells}
            )
            for mutant in mutants
        }
        self.loses = {f"mutant {mutant.name}": set(mutant.loses) for mutant in mutants}

    def _answers(self, notebook: Any) -> Answers:
        return read_answers(json.dumps(notebook).encode(), self.assignment)

    @property
    def _tried(self) -> dict[str, Answers]:
        return {"the solution": self.solution, "the blank release": self.blank, **self.mutants}

    @property
    def _checks(self) -> list[dict[str, str]]:
        checks = self.assignment.cells("check").items()
        return [{"id": f"check {name}", "source": source} for name, source in checks]

    def jobs(self) -> list[dict[str, Any]]:
        """Return a job for each answer that is tried, and two for the public checks."""
        marked = [
            {**self.judge.job(answers.cells), "probes": self.judge.asked}
            for answers in self._tried.values()
        ]
        return [*marked, self._checked(self.solution), self._checked(self.blank)]

    def _checked(self, answers: Answers) -> dict[str, Any]:
        job = self.judge.job(answers.cells)
        return {**job, "cells": [*job["cells"], *self._checks], "probes": [], "rules": {}}

    def compare(self, seen: Iterator[Observed]) -> None:
        """Compare what was seen of the jobs with what must be."""
        if len(self.mutants) < MIN_MUTANTS:
            self._fault(f"{len(self.mutants)} mutants; at least {MIN_MUTANTS} are needed")
        for name, answers in self._tried.items():
            self._compare(name, answers, next(seen))
        self._compare_checks(next(seen), next(seen))
        self.report.checked.append(
            f"{self.seed}: the solution earns all {sum(self.points.values()):g} points, the blank "
            f"none, each of {len(self.mutants)} mutants loses what it should"
        )

    def grade_solution_as_students_are(self) -> None:
        """Grade the solution in a sandbox of its own."""
        self._compare("the solution", self.solution, self.judge.observe(self.solution))

    def _compare(self, name: str, answers: Answers, observed: Observed) -> None:
        loses = self.loses.get(name, set())
        marks = self.judge.marks(answers, observed)
        numbers = self.report.numbers
        if name == "the blank release":
            numbers["empty"] = max(numbers.get("empty", 0), marks["score"])
        shown = json.dumps(marks, ensure_ascii=False)
        seen = sorted(value for value in self.hidden if value in shown)
        numbers["visible"] = numbers.get("visible", 0) + len(seen)
        if seen:
            self._fault(f"feedback to {name} shows inputs of hidden probes: {', '.join(seen)}")
        for question in marks["questions"]:
            ident, score, points = question["id"], question["score"], question["points"]
            if name == "the blank release":
                right = score == 0
            else:
                right = (score < points) == (ident in loses)
            if not right:
                lost = [probe for probe in question["probes"] if not probe["passed"]]
                why = [f"{probe['says']}: {probe['why']}" for probe in lost]
                words = "; ".join([*question["notes"], *why]) or "every probe is passed"
                self._fault(f"{name} earns {score:g} of {points:g} for {ident} ({words})")

    def _compare_checks(self, solved: Observed, blank: Observed) -> None:
        for cell in self._checks:
            problem = solved.problems.get(cell["id"])
            if problem is not None:
                self._fault(
                    f"the solution fails the public {cell['id']}: "
                    f"{problem.get('error')}: {problem.get('message')}"
                )
            if cell["id"] not in blank.problems:
                self._fault(f"the blank passes the public {cell['id']}")

    def solution_lines_outside(self) -> int:
        """Return how many telling lines of solutions stand also where students read them."""
        hidden = {line for lines in solution_lines(self.assignment) for line in lines}
        released = release_notebook(self.assignment)
        seen = {"".join(line.split()) for line in notebook_text(released).splitlines()}
        found = sorted(hidden & seen)
        for line in found:
            self._fault(f"a line of a solution stands outside it: {line!r}")
        return len(found)

    def try_constants(self) -> None:
        """Grade answers that return one thing whatever they are asked."""
        numbers = self.report.numbers
        functions = [name for question in self.assignment.coded for name in question.functions]
        made = [
            {question.id: source for question in self.assignment.coded}
            for source in sources(functions, self.assignment.packages)
        ]
        found = self._grade_all(made)
        numbers["constants"] = len(made)
        numbers["constant"] = max(marks["score"] for marks in found)
        for cells, marks in zip(made, found, strict=True):
            if marks["score"]:
                body = next(iter(cells.values())).splitlines()[-1]
                self._fault(f"the constant answer {body!r} earns {marks['score']:g}")

    def _grade_all(self, submissions: list[dict[str, str]]) -> list[dict[str, Any]]:
        jobs = [{**self.judge.job(c), "probes": self.judge.asked} for c in submissions]
        _, seen = observe_trusted(self.judge.sandbox, jobs, self.assignment.seconds)
        answers = [Answers(cells=cells) for cells in submissions]
        return [self.judge.marks(a, o) for a, o in zip(answers, seen, strict=True)]

    def attack(self, attacks: Sequence[Attack], workers: int) -> None:
        """Try attacks on the first question, and those on mutants."""
        trial = Attacked(self.judge)
        self.assignment.seconds = min(self.assignment.seconds, ATTACK_SECONDS)
        chosen = trial.chosen(attacks)
        for words in trial.controls():
            self._fault(words)
        progress = Progress(len(chosen), sys.stderr)
        tried: list[Tried] = []
        for one in trial.run(chosen, workers):
            progress.done(partial(tried.append, one))
            progress.now("the attacks")
        for one in tried:
            if not one.failed:
                what = one.harm or f"gains {one.gained:g}"
                self._fault(f"attack {one.attack.name} ({one.attack.kind}): {what}")
        self.report.numbers["attacks"] = len(tried)
        self.report.numbers["passed"] = sum(not one.failed for one in tried)
        kinds = Counter(one.attack.kind for one in tried)
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        numbers = self.report.numbers
        self.report.checked.append(
            f"{self.seed}: {len(tried)} attacks ({words}), of which {numbers['passed']:g} gain "
            f"anything; {numbers['constants']:g} constant answers, which earn at most "
            f"{numbers['constant']:g}"
        )
        right, sent, seconds = channel_rate(self.judge.sandbox, Random())
        self.report.checked.append(
            f"side channel that remains: {CHANNEL}: {right} of {sent} bits right, {seconds:.1f} s"
        )

    def _fault(self, words: str) -> None:
        self.report.faults.append(f"{self.seed}: {words}")


_TAG = re.compile(r"<[^>]*>")
_TEXT = (".md", ".txt", ".rst", ".py", ".js", ".json")


def site_texts(site: Path) -> Iterator[tuple[str, str]]:
    """Yield name and readable text of each file of a built book that has any."""
    for path in sorted(site.rglob("*")):
        if not path.is_file() or path.suffix not in (*_TEXT, ".html", ".ipynb"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".html":
            text = html.unescape(_TAG.sub("", text))
        elif path.suffix == ".ipynb":
            import nbformat

            text = notebook_text(nbformat.reads(text, as_version=4))
        yield str(path.relative_to(site)), text
