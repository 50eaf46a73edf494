"""Exercises and quizzes of the chapters: `check` an answer, ask for a `hint`, show a `quiz`.

Every chapter keeps to one standard, which a test holds it to:

* It begins with a quiz, ``NN-predict``, before anything is derived, and ends with others,
  ``NN-review``, ``NN-review-2`` and on. One option of each is right; the others are mistakes that
  people make, and each says why.
* It has at least six exercises, ``NN-1`` and on. The first is a prediction: a value that can be
  found without running anything. The last is an open task: something to build, with more than one
  right answer, of which the module has another one in `others`.
* Each exercise has a blank, a published solution that proves itself, at least two typical mistakes
  with a hint each, and three hints for everybody else.
* Feedback quotes the reader's own numbers and shapes, as text and as HTML. It comes at once: no
  check computes on the real weights of a large network.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from inspect import signature
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from vgglab.course import logbook
from vgglab.course.logbook import Progress

if TYPE_CHECKING:
    from vgglab.course.checking import Exercise, Feedback
    from vgglab.course.quizzes import Quiz

__all__ = [
    "CHAPTERS",
    "PACKS",
    "Progress",
    "check",
    "has_drawn_numbers",
    "hint",
    "load_exercises",
    "load_quizzes",
    "pack_quizzes",
    "progress",
    "quiz",
]

CHAPTERS: Mapping[str, int] = {
    "01_vgg_design": 10,
    "02_receptive_field": 10,
    "03_normalization": 10,
    "04_shape_mismatch": 10,
    "05_adaptive_pooling": 10,
    "06_fc_to_conv": 10,
    "07_gap_vs_flatten": 10,
    "08_repair_shop": 10,
    "09_gpu_lab": 8,
    "10_scaling_out": 8,
}
"""How many exercises each chapter has: known without a chapter, which would import torch."""

PACKS: Mapping[str, str] = {"shapes": "shapes_to_the_head"}
"""Quizzes besides those of the chapters: the beginning of their ids, and their module."""

_hints_given: dict[str, int] = {}

Item = TypeVar("Item")


def check(id: str, answer: Any, strict: bool = False) -> "Feedback":
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
    from vgglab.course.checking import NOT_ATTEMPTED, check_answer

    feedback = check_answer(_find("exercise", load_exercises(), id), answer)
    if strict:
        if not feedback.ok:
            raise AssertionError(str(feedback))
    elif feedback.status != NOT_ATTEMPTED:
        return _kept(feedback, logbook.note_answer(id, feedback.ok))
    return feedback


def hint(id: str) -> "Feedback":
    """Return the next hint for an exercise; after the last one, the last one again.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    from vgglab.course.checking import Feedback

    hints = _find("exercise", load_exercises(), id).hints
    number = min(_hints_given.get(id, 0) + 1, len(hints))
    _hints_given[id] = number
    unkept = logbook.note_hint(id, number)
    return _kept(Feedback(id, f"hint {number} of {len(hints)}", hints[number - 1]), unkept)


def _kept(feedback: "Feedback", unkept: str | None) -> "Feedback":
    """Add why this is not in the progress, if it is not."""
    if unkept is None:
        return feedback
    lines = [feedback.message, f"This could not be noted in your progress: {unkept}."]
    return replace(feedback, message="\n".join(lines))


def quiz(id: str, seed: int | None = None) -> "Quiz":
    """Return a quiz to show.

    Parameters
    ----------
    id
        The quiz, such as ``"04-predict"`` or ``"shapes-1"``.
    seed
        Draws the numbers, if the quiz has numbers that are drawn; the same seed draws the same
        ones. Without it they are those of the book.

    Raises
    ------
    ValueError
        If there is no such quiz.
    """
    make = _find("quiz", _makers(), id)
    if seed is None or not has_drawn_numbers(id):
        return make()
    return make(Random(f"{id} {seed}"))


def has_drawn_numbers(id: str) -> bool:
    """Whether the numbers of a quiz can be drawn.

    Raises
    ------
    ValueError
        If there is no such quiz.
    """
    return bool(signature(_find("quiz", _makers(), id)).parameters)


def progress() -> Progress:
    """Return which exercises of the course are solved, by chapter; it is kept on this machine."""
    return logbook.read(
        {
            chapter: [f"{chapter[:2]}-{number}" for number in range(1, exercises + 1)]
            for chapter, exercises in CHAPTERS.items()
        }
    )


@cache
def load_exercises() -> "Mapping[str, Exercise]":
    """Return the exercises of all chapters, by id."""
    return {exercise.id: exercise for module in _modules() for exercise in module.EXERCISES}


@cache
def load_quizzes() -> "Mapping[str, Quiz]":
    """Return the quizzes of all chapters, by id."""
    return {id: make() for module in _modules() for id, make in module.QUIZZES.items()}


@cache
def pack_quizzes(pack: str) -> "Mapping[str, Quiz]":
    """Return the quizzes of a pack, by id.

    Raises
    ------
    ValueError
        If there is no such pack.
    """
    return {id: make() for id, make in _pack(pack).QUIZZES.items()}


@cache
def _makers() -> "Mapping[str, Callable[..., Quiz]]":
    """Return what makes each quiz, of chapters and packs: from a `Random` where numbers vary."""
    modules = [*_modules(), *map(_pack, PACKS)]
    return {id: make for module in modules for id, make in module.QUIZZES.items()}


def _modules() -> list[ModuleType]:
    return [import_module(f"{__name__}.ch{chapter}") for chapter in CHAPTERS]


def _pack(name: str) -> ModuleType:
    if name not in PACKS:
        raise ValueError(f"pack must be one of {', '.join(PACKS)}; got {name!r}")
    return import_module(f"{__name__}.{PACKS[name]}")


def _find(kind: str, items: Mapping[str, Item], id: str) -> Item:
    if id not in items:
        near = get_close_matches(str(id), items, n=3, cutoff=0.5) or list(items)
        raise ValueError(f"id must name an existing {kind}, such as {', '.join(near)}; got {id!r}")
    return items[id]
