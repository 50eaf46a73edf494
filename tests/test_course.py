"""Answers that people might give to the exercises: `tests/answers` has them by chapter."""

from importlib import import_module

import pytest
from sampling import sampled

from vgglab.course.checking import check_answer
from vgglab.course.exercises import CHAPTERS, load_exercises

EXERCISES = load_exercises()
TABLES = [import_module(f"answers.ch{chapter[:2]}") for chapter in CHAPTERS]
RIGHT = {id: answers for table in TABLES for id, answers in table.RIGHT.items()}
WRONG = {id: answers for table in TABLES for id, answers in table.WRONG.items()}
A_TABLE_HAS = 400
OWN_HINT = 0.8


def unfinished(*arguments):
    raise NotImplementedError


def empty(*arguments): ...


def ellipsis(*arguments):
    return ...


@pytest.mark.sampled
@pytest.mark.parametrize("id", sampled(EXERCISES, 14))
def test_answers_are_judged_fairly(id):
    exercise = EXERCISES[id]
    for place, answer in enumerate(RIGHT[id]):
        feedback = check_answer(exercise, answer)
        assert feedback.ok, (place, str(feedback))
    for place, (answer, hint) in enumerate(WRONG[id]):
        feedback = check_answer(exercise, answer)
        assert feedback.status == "not yet right", (place, str(feedback))
        assert (hint or "vgglab.hint") in feedback.message, (place, hint, str(feedback))
    blanks = [..., None]
    if callable(exercise.solution()):
        blanks += [unfinished, empty, ellipsis]
    for answer in blanks:
        assert check_answer(exercise, answer).status == "not attempted yet"


def test_every_exercise_has_its_answers_and_most_mistakes_a_hint_of_their_own():
    assert RIGHT.keys() == WRONG.keys() == EXERCISES.keys()
    assert sum(map(len, (*RIGHT.values(), *WRONG.values()))) >= A_TABLE_HAS
    own = [hint is not None for answers in WRONG.values() for _, hint in answers]
    assert sum(own) >= OWN_HINT * len(own)
