"""Proof that an assignment marks as it should, before students meet it."""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vgglab.grading.assignment import DEFAULT_SEED, Assignment
from vgglab.grading.marking import Judge, Observed
from vgglab.grading.release import leaks, notebook_text, release_notebook, source_notebook
from vgglab.grading.sandbox import Sandbox
from vgglab.grading.submissions import Answers, read_answers

OTHER_SEED = "another course"
MIN_MUTANTS = 6


@dataclass
class Report:
    """What the selftest found.

    Attributes
    ----------
    assignment
        Its name.
    checked
        A sentence for each thing that was tried.
    faults
        A sentence for each thing that is wrong.
    """

    assignment: str
    checked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def selftest(
    folder: Path,
    *,
    seeds: Sequence[str] = (DEFAULT_SEED, OTHER_SEED),
    judge: Path | None = None,
    site: Path | None = None,
) -> Report:
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

    Raises
    ------
    SandboxError
        If there is no sandbox.
    ValueError
        If the assignment contradicts itself.
    """
    report = Report(folder.resolve().name)
    sandbox: Sandbox | None = None
    for seed in seeds:
        assignment = Assignment(folder, seed=seed, judge=judge)
        first = sandbox is None
        sandbox = sandbox or Sandbox(assignment.packages, assignment.memory_mb)
        _Trial(assignment, Judge(assignment, sandbox), report).run(alone=first)
    if site is not None:
        pages = list(site_texts(site))
        report.faults += leaks(Assignment(folder, judge=judge), pages)
        report.checked.append(f"{len(pages)} files of {site} show no solution and no probe")
    return report


class _Trial:
    """The selftest of one assignment with one course seed."""

    def __init__(self, assignment: Assignment, judge: Judge, report: Report) -> None:
        self.assignment, self.judge, self.report = assignment, judge, report
        self.seed = f"seed {assignment.seed!r}"
        self.solution = self._answers(source_notebook(assignment))
        # release_notebook looks for leaks itself
        self.blank = self._answers(release_notebook(assignment))
        self.mutants = list(assignment.mutants())

    def _answers(self, notebook: Any) -> Answers:
        return read_answers(json.dumps(notebook).encode(), self.assignment)

    def run(self, alone: bool) -> None:
        """Try everything in one worker and, if `alone`, solution and blank as students' work."""
        report, coded = self.report, {q.id: q.points for q in self.assignment.coded}
        if len(self.mutants) < MIN_MUTANTS:
            report.faults.append(f"{len(self.mutants)} mutants; at least {MIN_MUTANTS} are needed")
        tried = {"the solution": self.solution, "the blank release": self.blank}
        tried |= {
            f"mutant {m.name}": replace(self.solution, cells={**self.solution.cells, **m.cells})
            for m in self.mutants
        }
        lost: dict[str, set[str]] = {"the solution": set(), "the blank release": set(coded)}
        lost |= {f"mutant {mutant.name}": set(mutant.loses) for mutant in self.mutants}
        for name, observed in zip(tried, self._observe_all(list(tried.values())), strict=True):
            self._compare(name, tried[name], observed, lost[name], coded)
        if alone:
            for name in list(tried)[:2]:
                observed = self.judge.observe(tried[name])
                self._compare(f"{name}, alone", tried[name], observed, lost[name], coded)
        self._public_checks()
        report.checked.append(
            f"{self.seed}: the solution earns all {sum(coded.values()):g} points, the blank none, "
            f"each of {len(self.mutants)} mutants loses what it should"
        )

    def _observe_all(self, answers: list[Answers]) -> list[Observed]:
        jobs = [{"cells": self.judge.cells(a.cells), "probes": self.judge.asked} for a in answers]
        return self._run(jobs)

    def _run(self, jobs: list[dict[str, Any]]) -> list[Observed]:
        outcome = self.judge.sandbox.run_trusted(jobs, seconds=self.assignment.seconds)
        if outcome.ended != "done":
            self.report.faults.append(f"{self.seed}: a solution or mutant is {outcome.ended}")
        seen: list[list[dict[str, Any]]] = [[] for _ in [*jobs, None]]
        number = 0
        for message in outcome.messages:
            number = message.get("job", number)
            seen[number].append(message)
        observed = [Observed() for _ in jobs]
        for one, messages in zip(observed, seen, strict=False):
            one.add(messages)
        return observed

    def _compare(
        self,
        name: str,
        answers: Answers,
        observed: Observed,
        lost: set[str],
        coded: dict[str, float],
    ) -> None:
        for question in self.judge.marks(answers, observed)["questions"]:
            ident, score = question["id"], question["score"]
            allowed = (
                score == 0
                if name.startswith("the blank")
                else score < coded[ident]
                if ident in lost
                else score == coded[ident]
            )
            if not allowed:
                why = [
                    f"{probe['says']}: {probe['why']}"
                    for probe in question["probes"]
                    if not probe["passed"]
                ]
                words = "; ".join([*question["notes"], *why]) or "every probe is passed"
                self.report.faults.append(
                    f"{self.seed}: {name} earns {score:g} of {coded[ident]:g} for {ident} ({words})"
                )

    def _public_checks(self) -> None:
        """Run the public checks: the solution passes them all, the blank none."""
        checks = self.assignment.cells("check")
        cells = [{"id": f"check {name}", "source": source} for name, source in checks.items()]
        tried = (self.solution, self.blank)
        jobs = [{"cells": [*self.judge.cells(a.cells), *cells], "probes": []} for a in tried]
        solved, blank = self._run(jobs)
        for cell in cells:
            problem = solved.problems.get(cell["id"])
            if problem is not None:
                self.report.faults.append(
                    f"{self.seed}: the solution fails the public {cell['id']}: "
                    f"{problem.get('error')}: {problem.get('message')}"
                )
            if cell["id"] not in blank.problems:
                self.report.faults.append(f"{self.seed}: the blank passes the public {cell['id']}")


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
