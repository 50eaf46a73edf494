"""What an exercise is, and how an answer is checked.

An answer is not compared with the solution as it stands. First it is *observed*: a number or a
shape is taken as it is, a function is called on a few inputs, a network is traced. Then the
observation is compared with that of the solution, and with those of typical mistakes. Solution
and mistakes are computed, so that no exercise can contradict the package.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import groupby
from typing import Any

from vgglab.course.observing import (
    NotAttemptedError,
    Observation,
    Refused,
    calls,
    holds_for,
    named,
    value,
    value_that,
)
from vgglab.course.observing_networks import (
    Condition,
    Tables,
    answers_as_before,
    executed,
    gives,
    network,
    network_that,
    outputs,
    reaching_output,
)

__all__ = [
    "Condition",
    "Exercise",
    "Feedback",
    "Mistake",
    "Observation",
    "Tables",
    "answers_as_before",
    "calls",
    "check_answer",
    "executed",
    "gives",
    "network",
    "network_that",
    "outputs",
    "reaching_output",
    "value",
    "value_that",
]

NOT_ATTEMPTED = "not attempted yet"
RIGHT = "right"
WRONG = "not yet right"


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes
    ----------
    answer
        Returns the wrong answer.
    hint
        What to say to someone who gives it: where it comes from, not what the solution is.
    applies
        Tells from what is seen of an answer whether it is this mistake; by default, what agrees
        with `answer` is. It gets a plain value, the results of all calls, or a network and its
        tables by size; if it raises an error, the answer is another one.
    """

    answer: Callable[[], Any]
    hint: str
    applies: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """A question whose answer can be checked.

    Attributes
    ----------
    id
        Number of the chapter and of the exercise, such as ``"04-2"``.
    question
        One sentence; the chapter says more.
    solution
        Returns the right answer.
    mistakes
        Typical wrong answers, at least two, each with its hint.
    hints
        Help for everybody else, one at a time, from gentle to clear.
    observe
        Turns an answer into what is compared: `value`, or what `value_that`, `calls`, `network`,
        `network_that` or `outputs` returns.
    others
        Other right answers, found in another way; an open task has at least one.
    """

    id: str
    question: str
    solution: Callable[[], Any]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    observe: Callable[[Any], "Observation"]
    others: tuple[Callable[[], Any], ...] = ()


@dataclass(frozen=True)
class Feedback:
    """What `check` and `hint` answer; shows itself in a notebook.

    Attributes
    ----------
    id
        The exercise.
    status
        ``"right"``, ``"not yet right"``, ``"not attempted yet"`` or ``"hint 1 of 3"``.
    message
        What to look at; may be empty, or have several lines. Those that begin with a dash are a
        list.
    """

    id: str
    status: str
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the answer is right."""
        return self.status == RIGHT

    def __str__(self) -> str:
        return f"{self._title()} {self.message}".strip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first, *others = self.message.split("\n")
        html = f"<p><strong>{escape(self._title())}</strong> {escape(first)}</p>"
        for is_list, lines in groupby(others, lambda line: line.startswith("- ")):
            if is_list:
                html += f"<ul>{''.join(f'<li>{escape(line[2:])}</li>' for line in lines)}</ul>"
            else:
                html += "".join(f"<p>{escape(line)}</p>" for line in lines)
        return f'<div class="vgglab-feedback">{html}</div>'

    def _title(self) -> str:
        mark = {RIGHT: "✓", WRONG: "✗"}.get(self.status, "·")
        return f"{mark} {self.id}: {self.status}."


def check_answer(exercise: Exercise, answer: Any) -> Feedback:
    """Compare an answer with the solution and with the typical mistakes."""
    if answer is None or answer is ...:
        return Feedback(exercise.id, NOT_ATTEMPTED)
    try:
        observed = exercise.observe(answer)
    except NotAttemptedError:
        return Feedback(exercise.id, NOT_ATTEMPTED)
    except Exception as error:
        return Feedback(exercise.id, WRONG, f"Your answer raises {named(error)}")
    expected = _expected(exercise.observe, exercise.solution)
    if observed.agrees_with(expected):
        looked_at = f"\n{observed.looked_at}" if observed.looked_at else ""
        return Feedback(exercise.id, RIGHT, f"{observed.quote()}{looked_at}")
    help_ = f'For a hint: vgglab.hint("{exercise.id}").'
    if isinstance(observed, Refused):
        return Feedback(exercise.id, WRONG, f"{observed.quote()}\n{help_}")
    for mistake in exercise.mistakes:
        if _is(mistake, observed, exercise):
            return Feedback(exercise.id, WRONG, f"{observed.quote()}\n{mistake.hint}")
    said = observed.differs_from(expected) if type(observed) is type(expected) else ""
    lines = [observed.quote(), *([said] if said else []), help_]
    return Feedback(exercise.id, WRONG, "\n".join(lines))


def _is(mistake: Mistake, observed: Observation, exercise: Exercise) -> bool:
    if mistake.applies is not None:
        return holds_for(mistake.applies, *observed.about)
    return observed.is_alike(_expected(exercise.observe, mistake.answer))


@cache
def _expected(observe: Callable[[Any], Observation], answer: Callable[[], Any]) -> Observation:
    """Observe a solution or a typical mistake, once in a session."""
    return observe(answer())
