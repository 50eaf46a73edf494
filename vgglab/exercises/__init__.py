"""Exercises and quizzes of the chapters: `check` an answer, ask for a `hint`, show a `quiz`."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from vgglab.exercises import (
    adaptive_pooling,
    fc_to_conv,
    gap_vs_flatten,
    normalization,
    shape_mismatch,
    vgg_design,
)
from vgglab.exercises.engine import Exercise, Feedback, Quiz, check_answer

__all__ = ["EXERCISES", "QUIZZES", "check", "hint", "quiz"]

_CHAPTERS = (
    vgg_design,
    normalization,
    shape_mismatch,
    adaptive_pooling,
    fc_to_conv,
    gap_vs_flatten,
)

EXERCISES: dict[str, Exercise] = {e.id: e for chapter in _CHAPTERS for e in chapter.EXERCISES}
QUIZZES: dict[str, Any] = {
    name: make for chapter in _CHAPTERS for name, make in chapter.QUIZZES.items()
}

_hints_given: dict[str, int] = {}

Item = TypeVar("Item")


def check(id: str, answer: Any, strict: bool = False) -> Feedback:
    """Check an answer to an exercise.

    Parameters
    ----------
    id
        The exercise, such as ``"04-2"``.
    answer
        A number, a shape, a function or a network, as the exercise asks. ``...``, ``None`` and a
        function that raises ``NotImplementedError`` mean: not attempted yet.
    strict
        Raise if the answer is not right, instead of saying so.

    Returns
    -------
    Feedback
        With the shapes that the answer has, and a hint if the mistake is a known one.

    Raises
    ------
    ValueError
        If there is no such exercise.
    AssertionError
        With `strict`, if the answer is not right.
    """
    feedback = check_answer(_find("exercise", EXERCISES, id), answer)
    if strict and not feedback.ok:
        raise AssertionError(str(feedback))
    return feedback


def hint(id: str) -> Feedback:
    """Return the next hint for an exercise; after the last one, the last one again.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    hints = _find("exercise", EXERCISES, id).hints
    number = min(_hints_given.get(id, 0) + 1, len(hints))
    _hints_given[id] = number
    return Feedback(id, f"hint {number} of {len(hints)}", hints[number - 1])


def quiz(id: str) -> Quiz:
    """Return a quiz to show.

    Raises
    ------
    ValueError
        If there is no such quiz.
    """
    made: Quiz = _find("quiz", QUIZZES, id)()
    return made


def _find(kind: str, items: Mapping[str, Item], id: str) -> Item:
    if id not in items:
        near = get_close_matches(str(id), items, n=3, cutoff=0.5) or list(items)
        raise ValueError(f"id must name an existing {kind}, such as {', '.join(near)}; got {id!r}")
    return items[id]
