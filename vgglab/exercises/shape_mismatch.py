"""Exercises of chapter 04."""

from collections.abc import Callable

from vgglab.exercises.engine import Exercise, Quiz

EXERCISES: tuple[Exercise, ...] = ()
QUIZZES: dict[str, Callable[[], Quiz]] = {}
