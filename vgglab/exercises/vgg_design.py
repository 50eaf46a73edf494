"""Exercises of chapter 01."""

from collections.abc import Callable

from vgglab.exercises.engine import Exercise, Quiz

EXERCISES: tuple[Exercise, ...] = ()
QUIZZES: dict[str, Callable[[], Quiz]] = {}
