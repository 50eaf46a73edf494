"""The judge: what a submission earns, from answers that were observed in the sandbox."""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vgglab.grading.assignment import Assignment, Question
from vgglab.grading.constants import constants
from vgglab.grading.probes import Probe
from vgglab.grading.sandbox import Allowance, Sandbox
from vgglab.grading.submissions import Answers
from vgglab.grading.worker import run_probe

LOW_PRECISION = (1e-4, 1e-6)  # rtol, atol of float32 and below
HIGH_PRECISION = (1e-5, 1e-8)
_LOW = {"float32", "float16", "bfloat16", "complex64"}


@dataclass
class Observed:
    """What was seen of one submission.

    Attributes
    ----------
    problems
        What was wrong with a cell, by its id.
    answers
        What came back, by index of the probe.
    ended
        Why the probes of a question were not finished, by question.
    peak_bytes
        Most memory in use in any sandbox.
    allowance
        What is left to it.
    """

    problems: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[int, list[Any]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    peak_bytes: int = 0
    allowance: Allowance | None = None

    @property
    def was_too_slow(self) -> bool:
        """Whether something was stopped because it took too long."""
        reasons = [*self.ended.values(), *(p.get("ended") for p in self.problems.values())]
        return "too slow" in reasons

    def add(self, messages: Iterable[dict[str, Any]], texts: bool = True) -> None:
        """Take what a worker said.

        Without `texts` of a cell's problem only that it has one counts: a worker that runs later
        could know the probes from an earlier one.
        """
        for message in messages:
            problem, answers = message.get("problem"), message.get("answers")
            if problem is not None and "cell" in message:
                told: dict[str, Any] = {"error": "later"}
                if texts and isinstance(problem, dict):
                    told = {key: problem.get(key) for key in ("error", "line", "name", "message")}
                self.problems.setdefault(str(message["cell"]), told)
            if isinstance(answers, list) and type(message.get("probe")) is int:
                self.answers.setdefault(message["probe"], answers)


def observe_trusted(
    sandbox: Sandbox, jobs: list[dict[str, Any]], seconds: float
) -> tuple[str, list[Observed]]:
    """Run jobs that trust each other in one worker.

    Returns
    -------
    tuple of str and list of Observed
        How the worker ended, and what was seen of each job.
    """
    outcome = sandbox.run_trusted(jobs, seconds=seconds)
    seen = [Observed() for _ in [*jobs, None]]  # the last is the sandbox's own
    number = 0
    for message in outcome.messages:
        number = message.get("job", number)
        seen[number].add([message])
    return outcome.ended, seen[:-1]


@dataclass(frozen=True)
class Prepared:
    """What the reference answers return.

    Attributes
    ----------
    expected
        For each probe, what its calls return, as it travels.
    idle
        For each probe, whether an answer that does nothing passes it.
    """

    expected: list[list[dict[str, Any]]]
    idle: list[bool]

    @classmethod
    def of(cls, assignment: Assignment) -> "Prepared":
        """Run the reference answers.

        Raises
        ------
        ValueError
            If they cannot be compared with.
        """
        functions = {question.id: question.functions for question in assignment.coded}
        expected, idle = [], []
        for probe in assignment.probes:
            answers = _travelled(run_probe(probe.to_json(), assignment.reference))
            last = answers[-1]
            if "error" in last or "undefined" in last or '"$object"' in json.dumps(answers):
                raise ValueError(f"the reference answer of the probe {probe.says!r} fails: {last}")
            tried = (
                run_probe(probe.to_json(), assignment.reference, dict.fromkeys(names, constant))
                for constant in constants(assignment.packages)
                for names in [functions[probe.question]]
            )
            expected.append(answers)
            idle.append(any(not compare(answers, _travelled(made), probe) for made in tried))
        return cls(expected, idle)


def _travelled(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(json.loads(json.dumps(answers)))  # tuples become lists, as on their way


class Judge:
    """Marks submissions of one assignment.

    Parameters
    ----------
    assignment
        With its probes and reference answers.
    sandbox
        Where student code runs.
    prepared
        What the reference answers return; without it they are run here.

    Raises
    ------
    ValueError
        If the reference answers cannot be compared with.
    """

    def __init__(
        self, assignment: Assignment, sandbox: Sandbox, prepared: "Prepared | None" = None
    ) -> None:
        self.assignment, self.sandbox = assignment, sandbox
        prepared = prepared or Prepared.of(assignment)
        self.expected, self.idle = prepared.expected, prepared.idle
        self.asked: list[dict[str, Any]] = [
            {"index": index, "question": probe.question, "calls": probe.to_json()}
            for index, probe in enumerate(assignment.probes)
        ]

    def mark(self, answers: Answers) -> dict[str, Any]:
        """Run the answers of a submission and return its marks, as the result file holds them."""
        return self.marks(answers, self.observe(answers))

    def observe(self, answers: Answers, allowance: Allowance | None = None) -> Observed:
        """Run a submission's answers; a question that stops a worker stops no other.

        What it may use, by default the time of a step for each question and one, goes down.
        """
        seconds = self.assignment.seconds
        left = [q.id for q in self.assignment.coded if q.id in answers.cells]
        allowance = allowance or Allowance.of(seconds * (1 + len(left)))
        observed = Observed(allowance=allowance)
        skipped: set[str] = set()
        first = True
        while left:
            asked = [probe for probe in self.asked if probe["question"] in left]
            outcome = self.sandbox.run(
                self.job(answers.cells, skipped), asked, seconds=seconds, allowance=allowance
            )
            observed.add(outcome.messages, texts=first)
            observed.peak_bytes = max(observed.peak_bytes, outcome.peak_bytes or 0)
            if outcome.ended == "done":
                break
            # Go on without what stopped the worker: a cell, or the probes of a question.
            first = False
            kind, name = outcome.at
            if kind == "cell" and name in left:
                skipped.add(name)
                observed.problems[name] = {"ended": outcome.ended}
                left.remove(name)
            elif kind == "probe":
                question = self.asked[name]["question"]
                observed.ended[question] = outcome.ended
                left = left[left.index(question) + 1 :]
            else:
                observed.ended |= dict.fromkeys(left, outcome.ended)
                break
        return observed

    def job(self, sources: dict[str, str], skipped: Collection[str] = ()) -> dict[str, Any]:
        """Return what a worker executes for these answers."""
        cells = [
            {"id": question.id, "source": sources[question.id]}
            for question in self.assignment.coded
            if question.id in sources and question.id not in skipped
        ]
        given = {"given": self.assignment.given, "helpers": self.assignment.probe_code}
        return {**given, "cells": cells, "rules": self.assignment.rules}

    def marks(self, answers: Answers, observed: Observed) -> dict[str, Any]:
        """Return the marks for what was observed."""
        questions = [
            self._question(question, answers, observed) for question in self.assignment.coded
        ]
        return {
            "questions": questions,
            "score": round(sum(question["score"] for question in questions), 2),
            "out_of": sum(question.points for question in self.assignment.coded),
        }

    def _question(self, question: Question, answers: Answers, observed: Observed) -> dict[str, Any]:
        notes = list(answers.notes.get(question.id, []))
        problem = observed.problems.get(question.id)
        if problem is not None:
            notes.append(
                plain_text(self._cell_problem(problem, answers.cells.get(question.id, "")))
            )
        probes = []
        for index, probe in enumerate(self.assignment.probes):
            if probe.question == question.id:
                why = ""
                if question.id not in answers.cells:
                    why = "not attempted yet"
                elif index in observed.answers:
                    why = self._compare(index, observed.answers[index], question)
                else:
                    why = self._why_ended(observed.ended.get(question.id, "stopped"))
                probes.append(self._probe(probe, index, why))
        weight = sum(entry["weight"] for entry in probes)
        passed = sum(entry["weight"] for entry in probes if entry["passed"])
        if passed and all(entry["idle"] for entry in probes if entry["passed"]):
            passed = 0
            notes.append(IDLE)
        return {
            "id": question.id,
            "title": question.title,
            "points": question.points,
            "score": round(question.points * passed / weight, 2),
            "notes": notes,
            "probes": probes,
        }

    def _probe(self, probe: Probe, index: int, why: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"says": probe.says, "weight": probe.points, "passed": not why}
        entry["idle"] = self.idle[index]
        if why:
            entry |= {"why": why, "hint": probe.hint}
            if probe.public:
                entry["calls"] = [str(call) for call in probe.calls]
                entry["expected"] = json.dumps(self.expected[index])[:500]
        return entry

    def _compare(self, index: int, answers: list[Any], question: Question) -> str:
        probe = self.assignment.probes[index]
        return compare(self.expected[index], answers, probe, question.functions)

    def _why_ended(self, ended: str) -> str:
        return {
            "too slow": f"not finished in {self.assignment.seconds:g} seconds",
            "out of memory": f"needs more than {self.assignment.memory_mb} MB",
        }.get(ended, STOPPED)

    def _cell_problem(self, problem: dict[str, Any], source: str) -> str:
        """Say what is wrong with a cell: in words from here, and words of the cell itself."""
        if "ended" in problem:
            return f"The cell was left out: {self._why_ended(problem['ended'])}."
        kind, line, name = problem.get("error"), problem.get("line"), problem.get("name")
        lines = source.splitlines()
        where = ""
        if type(line) is int and 0 < line <= len(lines):
            where = f" in line {line}, {lines[line - 1].strip()[:80]!r}"
        if not isinstance(name, str) or name not in source:
            name = ""
        if kind == "later":
            return "The cell does not run without one that was left out."
        if kind == "magic":
            return f"The cell holds a magic or a shell escape{where}: take it out."
        if kind == "refused":
            return f"The cell was left out: it uses {name}{where}, which is against the rules."
        if kind == "SyntaxError":
            return f"The cell is no valid Python{where}."
        if kind == "NotImplementedError":
            return "The cell raises NotImplementedError: not attempted yet."
        if kind == "NameError":
            return f"The cell uses a name that is not defined: {name}. {_ONLY_CELLS}"
        if kind in ("ImportError", "ModuleNotFoundError"):
            there = ", ".join(["Python's own modules", *self.assignment.packages])
            return f"The cell imports {name or 'something'}, which is not there; there are {there}."
        return f"The cell {_raises(kind)}."


_ONLY_CELLS = "Only given cells and answer cells are run."
IDLE = (
    "What is passed here, an answer that does nothing passes too: it counts once another probe "
    "is passed."
)

# What is said of a probe that is lost: these sentences, and two with the assignment's limits. They
# are few and hold no value, for a submission can choose among them.
NOT_ATTEMPTED = "not attempted yet"
UNDEFINED = "a name is not defined"
MISSING = "imports what is not there"
RAISES = "raises an exception"
DOES_NOT_RAISE = "does not raise what it should"
NOTHING = "nothing is returned"
KIND = "an answer of another type"
SHAPE = "an answer of another shape or length"
WRONG = "a wrong answer"
STOPPED = "the process ended before it answered"
_NAMED = ("TypeError", "RuntimeError")
SENTENCES = (
    *(NOT_ATTEMPTED, UNDEFINED, MISSING, RAISES, *(f"raises {name}" for name in _NAMED)),
    *(DOES_NOT_RAISE, NOTHING, KIND, SHAPE, WRONG, STOPPED),
)


def _raises(error: Any) -> str:
    return f"raises {error}" if error in _NAMED else RAISES


def compare(
    expected: list[dict[str, Any]],
    answers: list[Any],
    probe: Probe,
    functions: Collection[str] = (),
) -> str:
    """Return what is wrong with the answers to a probe, as `SENTENCES` say it, or nothing."""
    for want, got in zip(expected, [*answers, *[{}] * len(expected)], strict=False):
        if not isinstance(got, dict):
            return STOPPED
        if "undefined" in got:
            names = [name for name in functions if name == got["undefined"]]
            return f"{names[0]} is not defined" if names else UNDEFINED
        if "error" in got:
            known = {"NotImplementedError": NOT_ATTEMPTED, "NameError": UNDEFINED}
            known |= dict.fromkeys(("ImportError", "ModuleNotFoundError"), MISSING)
            error = got["error"]
            return known.get(error, _raises(error)) if isinstance(error, str) else RAISES
        if "raised" in want:
            if got.get("raised") != want["raised"]:
                return DOES_NOT_RAISE
            continue
        if "value" not in got:
            return STOPPED
        try:
            why = mismatch(want["value"], got["value"], probe.rtol, probe.atol)
        except (RecursionError, ValueError):  # keys of a dict that JSON cannot write again
            why = WRONG
        if why:
            return why
    return ""


# Comparing what travelled


def mismatch(expected: Any, got: Any, rtol: float | None = None, atol: float | None = None) -> str:
    """Return how an encoded answer differs from the encoded reference; ``""`` if it does not.

    Parameters
    ----------
    expected, got
        JSON as `vgglab.grading.worker.encode` writes it; `got` may be anything.
    rtol, atol
        Tolerances; ``None`` for those of the dtype.
    """
    if isinstance(expected, dict):
        ((tag, body),) = expected.items()
        return _TAGS[tag](body, _body(got, tag), rtol, atol)
    if isinstance(expected, list):
        return _lists(expected, got, rtol, atol)
    if got is None and expected is not None:
        return NOTHING
    if type(expected) is float:
        if type(got) not in (int, float):
            return KIND
        return "" if _close(expected, got, *_tolerance("float64", rtol, atol)) else WRONG
    if type(got) is not type(expected):
        return KIND
    return "" if got == expected else WRONG


def _body(got: Any, tag: str) -> Any:
    return got[tag] if isinstance(got, dict) and set(got) == {tag} else None


def _lists(expected: Sequence[Any], got: Any, rtol: float | None, atol: float | None) -> str:
    if not isinstance(got, list):
        return KIND
    if len(got) != len(expected):
        return SHAPE
    found = (mismatch(e, g, rtol, atol) for e, g in zip(expected, got, strict=True))
    return next(filter(None, found), "")


def _dicts(expected: Any, got: Any, rtol: float | None, atol: float | None) -> str:
    if not isinstance(got, list) or not all(isinstance(p, list) and len(p) == 2 for p in got):
        return KIND
    ours, theirs = ({json.dumps(k): v for k, v in pairs} for pairs in (expected, got))
    if ours.keys() != theirs.keys():
        return SHAPE
    return _lists([ours[key] for key in ours], [theirs[key] for key in ours], rtol, atol)


def _arrays(expected: Any, got: Any, rtol: float | None, atol: float | None) -> str:
    if not isinstance(got, dict):
        return KIND
    if got.get("shape") != expected["shape"]:
        return SHAPE
    if got.get("dtype") != expected["dtype"]:
        return KIND
    tolerance = _tolerance(expected["dtype"], rtol, atol)
    return "" if _same_data(expected["data"], got.get("data"), tolerance) else WRONG


def _same_data(expected: Any, got: Any, tolerance: tuple[float, float]) -> bool:
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(got) == len(expected)
            and all(_same_data(e, g, tolerance) for e, g in zip(expected, got, strict=True))
        )
    if type(got) is not type(expected):
        return False
    if isinstance(expected, float):
        return _close(expected, got, *tolerance)
    return bool(got == expected)


def _equal(expected: Any, got: Any, rtol: float | None, atol: float | None) -> str:
    return "" if type(got) is type(expected) and got == expected else WRONG


_TAGS: dict[str, Callable[[Any, Any, float | None, float | None], str]] = {
    "$array": _arrays,
    "$dict": _dicts,
    "$dtype": _equal,
    "$tensor": _arrays,
}


def _tolerance(dtype: str, rtol: float | None, atol: float | None) -> tuple[float, float]:
    default = LOW_PRECISION if dtype in _LOW else HIGH_PRECISION
    return default[0] if rtol is None else rtol, default[1] if atol is None else atol


def _close(expected: float, got: float, rtol: float, atol: float) -> bool:
    try:
        got = float(got)
    except OverflowError:  # an integer beyond 1e308
        return False
    if math.isnan(expected) or math.isinf(expected):
        return got == expected or (math.isnan(got) and math.isnan(expected))
    return abs(got - expected) <= atol + rtol * abs(expected)


def plain_text(text: str) -> str:
    """Return text without characters of control and direction, for files and terminals."""
    text = re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", "", text
    )
    return text.encode("utf-8", "replace").decode("utf-8")
