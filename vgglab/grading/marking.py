"""The judge: what a submission earns, from answers that were observed in the sandbox."""

import builtins
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vgglab.grading.assignment import Assignment, Question
from vgglab.grading.probes import Probe
from vgglab.grading.sandbox import Outcome, Sandbox
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
    """

    problems: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[int, list[Any]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    peak_bytes: int = 0

    @property
    def was_too_slow(self) -> bool:
        """Whether something was stopped because it took too long."""
        reasons = [*self.ended.values(), *(p.get("ended") for p in self.problems.values())]
        return "too slow" in reasons

    def add(self, messages: Iterable[dict[str, Any]]) -> None:
        """Take what a worker said. The first word about a thing counts."""
        cells_done = False
        for message in messages:
            cells_done |= "cells" in message
            problem, answers = message.get("problem"), message.get("answers")
            # A message about a cell that comes after the probes could carry their values.
            if isinstance(problem, dict) and not cells_done:
                self.problems.setdefault(str(message.get("cell")), problem)
            if isinstance(answers, list) and type(message.get("probe")) is int:
                self.answers.setdefault(message["probe"], answers)


class Judge:
    """Marks submissions of one assignment.

    Parameters
    ----------
    assignment
        With its probes and reference answers.
    sandbox
        Where student code runs.

    Raises
    ------
    ValueError
        If the reference answers cannot be compared with.
    """

    def __init__(self, assignment: Assignment, sandbox: Sandbox) -> None:
        self.assignment, self.sandbox = assignment, sandbox
        self.expected = [self._expect(probe) for probe in assignment.probes]
        self.asked = [
            {"index": index, "question": probe.question, "calls": probe.to_json()}
            for index, probe in enumerate(assignment.probes)
        ]

    def _expect(self, probe: Probe) -> list[dict[str, Any]]:
        answers = run_probe(probe.to_json(), self.assignment.reference)
        answers = list(json.loads(json.dumps(answers)))  # tuples become lists, as on their way
        last = answers[-1]
        if "error" in last or "undefined" in last or '"$object"' in json.dumps(answers):
            raise ValueError(f"the reference answer of the probe {probe.says!r} fails: {last}")
        return answers

    def mark(self, answers: Answers) -> dict[str, Any]:
        """Run the answers of a submission and return its marks, as the result file holds them."""
        return self.marks(answers, self.observe(answers))

    def observe(self, answers: Answers) -> Observed:
        """Run a submission's answers; a question that stops a worker stops no other."""
        observed = Observed()
        left = [q.id for q in self.assignment.coded if q.id in answers.cells]
        skipped: set[str] = set()
        while left:
            cells = self.cells(answers.cells, skipped)
            asked = [probe for probe in self.asked if probe["question"] in left]
            outcome = self.sandbox.run(
                cells,
                asked,
                seconds=self.assignment.seconds,
                phases=1 + len(left),
            )
            observed.add(outcome.messages)
            observed.peak_bytes = max(observed.peak_bytes, outcome.peak_bytes or 0)
            if outcome.ended == "done":
                break
            # Go on without what stopped the worker: a cell, or the probes of a question.
            culprit = self._culprit(outcome, {cell["id"] for cell in cells})
            if (
                culprit in left
                and culprit not in skipped
                and _last_begin(outcome).get("begin") == "cell"
            ):
                skipped.add(culprit)
                observed.problems[culprit] = {"ended": outcome.ended}
                left.remove(culprit)
                continue
            stopped = left[: left.index(culprit) + 1] if culprit in left else list(left)
            for question in stopped:
                observed.ended[question] = outcome.ended
                left.remove(question)
        return observed

    def cells(self, sources: dict[str, str], skipped: Collection[str] = ()) -> list[dict[str, str]]:
        """Return the cells that a worker executes for these answers."""
        given = [*self.assignment.probe_code, *self.assignment.given]
        cells = [{"id": "given", "source": source} for source in given]
        return cells + [
            {"id": question.id, "source": sources[question.id]}
            for question in self.assignment.coded
            if question.id in sources and question.id not in skipped
        ]

    def _culprit(self, outcome: Outcome, cells: set[str]) -> str:
        """Return the question at which the worker was when it ended, by its own account."""
        found = _last_begin(outcome).get("id")
        if type(found) is int and 0 <= found < len(self.asked):
            return str(self.asked[found]["question"])
        return found if isinstance(found, str) and found in cells else ""

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
        weight = sum(p.points for p in self.assignment.probes if p.question == question.id)
        passed = sum(entry["weight"] for entry in probes if entry["passed"])
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
        if why:
            entry |= {"why": why, "hint": probe.hint}
            if probe.public:
                entry["calls"] = [str(call) for call in probe.calls]
                entry["expected"] = json.dumps(self.expected[index])[:500]
        return entry

    def _compare(self, index: int, answers: list[Any], question: Question) -> str:
        """Return what is wrong with the answers to a probe, or nothing: never a value of theirs."""
        probe, expected = self.assignment.probes[index], self.expected[index]
        for want, got in zip(expected, [*answers, *[{}] * len(expected)], strict=False):
            if not isinstance(got, dict):
                return _NOTHING
            if "undefined" in got:
                names = [name for name in question.functions if name == got["undefined"]]
                return f"{names[0]} is not defined" if names else "a name is not defined"
            if "error" in got:
                name = known_exception(got["error"])
                return "not attempted yet" if name == "NotImplementedError" else f"raises {name}"
            if "raised" in want:
                if "raised" not in got:
                    return "does not raise where it should"
                if known_exception(got["raised"]) != want["raised"]:
                    return "raises another exception"
                continue
            if "value" not in got:
                return _NOTHING
            try:
                why = mismatch(want["value"], got["value"], probe.rtol, probe.atol)
            except (RecursionError, ValueError):  # keys of a dict that JSON cannot write again
                why = "a wrong answer"
            if why:
                return why
        return ""

    def _why_ended(self, ended: str) -> str:
        return {
            "too slow": f"not finished in {self.assignment.seconds:g} seconds",
            "out of memory": f"needs more than {self.assignment.memory_mb} MB",
            "too much output": "answers with too much output",
        }.get(ended, "the process ended before it answered")

    def _cell_problem(self, problem: dict[str, Any], source: str) -> str:
        if "ended" in problem:
            return f"The cell was left out: {self._why_ended(problem['ended'])}."
        kind, line = problem.get("error"), problem.get("line")
        lines = source.splitlines()
        where, text = "", ""
        if type(line) is int and 0 < line <= len(lines):
            where, text = f" in line {line}", lines[line - 1].strip()[:80]
        if kind == "magic":
            return f"The cell holds a magic or a shell escape{where}, {text!r}: take it out."
        name = known_exception(kind)
        if name == "SyntaxError":
            return f"The cell is no valid Python{where}: {text!r}."
        if name == "NotImplementedError":
            return "The cell raises NotImplementedError: not attempted yet."
        message = problem.get("message")
        message = " ".join(message.split())[:200] if isinstance(message, str) else ""
        only = " Only given cells and answer cells are run." if name == "NameError" else ""
        return f"The cell raises {name}: {message}.{only}"


def _last_begin(outcome: Outcome) -> dict[str, Any]:
    """Return what the worker began last, by its own account."""
    begun = [message for message in outcome.messages if "begin" in message]
    return begun[-1] if begun else {}


_NOTHING = "no answer came back"


def known_exception(name: Any) -> str:
    """Return the name if it is one of Python's exceptions: a name could carry a value."""
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    known = isinstance(kind, type) and issubclass(kind, BaseException)
    return str(name) if known else "an exception"


# Comparing what travelled


def mismatch(expected: Any, got: Any, rtol: float | None = None, atol: float | None = None) -> str:
    """Return how an encoded answer differs from the encoded reference; ``""`` if it does not.

    The words come from a closed set, so that they give away no value.

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
        return "nothing is returned"
    if type(expected) is float:
        if type(got) not in (int, float):
            return _KIND
        return "" if _close(expected, got, *_tolerance("float64", rtol, atol)) else _NUMBER
    if type(got) is not type(expected):
        return _KIND
    return "" if got == expected else _NUMBER if type(expected) is int else "a wrong answer"


_KIND = "an answer of another type"
_NUMBER = "a wrong number"


def _body(got: Any, tag: str) -> Any:
    return got[tag] if isinstance(got, dict) and set(got) == {tag} else None


def _lists(expected: Sequence[Any], got: Any, rtol: float | None, atol: float | None) -> str:
    if not isinstance(got, list):
        return _KIND
    if len(got) != len(expected):
        return "an answer of another length"
    found = (mismatch(e, g, rtol, atol) for e, g in zip(expected, got, strict=True))
    return next(filter(None, found), "")


def _dicts(expected: Any, got: Any, rtol: float | None, atol: float | None) -> str:
    if not isinstance(got, list) or not all(isinstance(p, list) and len(p) == 2 for p in got):
        return _KIND
    ours, theirs = ({json.dumps(k): v for k, v in pairs} for pairs in (expected, got))
    if ours.keys() != theirs.keys():
        return "other keys"
    return _lists([ours[key] for key in ours], [theirs[key] for key in ours], rtol, atol)


def _arrays(expected: Any, got: Any, rtol: float | None, atol: float | None) -> str:
    if not isinstance(got, dict):
        return _KIND
    if got.get("shape") != expected["shape"]:
        return "a tensor of another shape"
    if got.get("dtype") != expected["dtype"]:
        return "a tensor of another dtype"
    tolerance = _tolerance(expected["dtype"], rtol, atol)
    return "" if _same_data(expected["data"], got.get("data"), tolerance) else "wrong values"


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
    return "" if type(got) is type(expected) and got == expected else "a wrong answer"


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
    """Return text without control characters and unpaired surrogates, for files and terminals."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
    return text.encode("utf-8", "replace").decode("utf-8")
