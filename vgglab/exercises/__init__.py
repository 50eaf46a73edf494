"""Exercises and quizzes of the chapters: `check` an answer, ask for a `hint`, show a `quiz`.

Every chapter keeps to one standard, which a test holds it to:

* It begins with a quiz, ``NN-predict``, before anything is derived, and ends with another,
  ``NN-review``. One option is right; the others are mistakes that people make, and each says why.
* It has at least six exercises, ``NN-1`` and on. The first is a prediction: a value that can be
  found without running anything. The last is an open task: something to build, with more than one
  right answer, of which the module has another one in `others`.
* Each exercise has a blank, a published solution that proves itself, at least two typical mistakes
  with a hint each, and three hints for everybody else.
* Feedback quotes the reader's own numbers and shapes, as text and as HTML, in under 0.2 s.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from vgglab.exercises import (
    adaptive_pooling,
    fc_to_conv,
    gap_vs_flatten,
    logbook,
    normalization,
    receptive_field,
    shape_mismatch,
    vgg_design,
)
from vgglab.exercises.engine import NOT_ATTEMPTED, Exercise, Feedback, Quiz, check_answer
from vgglab.exercises.logbook import Progress

__all__ = ["EXERCISES", "QUIZZES", "Progress", "check", "hint", "progress", "quiz"]

_CHAPTERS = (
    vgg_design,
    receptive_field,
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
        Raise if the answer is not right, instead of saying so, and leave it out of `progress`: for
        published solutions.

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
    if strict:
        if not feedback.ok:
            raise AssertionError(str(feedback))
    elif feedback.status != NOT_ATTEMPTED:
        logbook.note_answer(id, feedback.ok)
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
    logbook.note_hint(id, number)
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


def progress() -> Progress:
    """Return which exercises of the course are solved, by chapter; it is kept on this machine."""
    return logbook.read(
        {
            f"{module.EXERCISES[0].id[:2]}_{module.__name__.rpartition('.')[2]}": [
                exercise.id for exercise in module.EXERCISES
            ]
            for module in _CHAPTERS
        }
    )


def _find(kind: str, items: Mapping[str, Item], id: str) -> Item:
    if id not in items:
        near = get_close_matches(str(id), items, n=3, cutoff=0.5) or list(items)
        raise ValueError(f"id must name an existing {kind}, such as {', '.join(near)}; got {id!r}")
    return items[id]
