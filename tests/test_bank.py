"""The question bank: every wrong option is somebody's mistake, every goal practised and asked."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from sampling import sampled

import vgglab
from vgglab.course.bank import load_goals, load_misconceptions, question_bank
from vgglab.course.exercises import (
    CHAPTERS,
    PACKS,
    has_drawn_numbers,
    load_exercises,
    load_quizzes,
    pack_quizzes,
)

ROOT = Path(__file__).parents[1]
CHAPTER_OF = {name[:2]: name for name in CHAPTERS}
PACK = pack_quizzes("shapes")
QUIZZES = {**load_quizzes(), **PACK}
DRAWN = [id for id in QUIZZES if has_drawn_numbers(id)]


def sections(notebook):
    """Return the anchors of a chapter's headings."""
    text = Path(ROOT, "book", "chapters", f"{notebook}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain}


def untagged(quiz):
    """Yield what a quiz lacks to be in the bank."""
    if quiz.difficulty not in (1, 2, 3):
        yield f"a difficulty: {quiz.difficulty}"
    for option in quiz.options:
        if option.right and option.misconception:
            yield f"a right option without a misconception: {option.text}"
        if not option.right and option.misconception not in load_misconceptions():
            yield f"a misconception of {option.text}: {option.misconception!r}"


@pytest.mark.parametrize("id", QUIZZES)
def test_every_wrong_option_has_a_misconception(id):
    assert list(untagged(QUIZZES[id])) == []


def test_an_option_without_a_misconception_is_found():
    quiz = QUIZZES["04-predict"]
    first, *others = quiz.options
    assert not first.right
    for name in ("", "nobody-believes-this"):
        planted = replace(quiz, options=(replace(first, misconception=name), *others))
        assert len(list(untagged(planted))) == 1
    assert list(untagged(replace(quiz, difficulty=4)))


def test_every_misconception_is_chosen_by_somebody_and_answered():
    chosen = {option.misconception for quiz in QUIZZES.values() for option in quiz.options}
    assert set(load_misconceptions()) == chosen - {""}
    for entry in load_misconceptions().values():
        notebook, _, anchor = entry.section.partition("#")
        assert anchor in sections(notebook), entry.id
        assert entry.belief.endswith("."), entry.id
        assert entry.wrong.endswith("."), entry.id


def has_a_source(entry):
    """Whether it is said where somebody held it, and what stands there."""
    page = Path(ROOT, "book", entry.source)
    place = re.fullmatch(r"https?://[^\s/]+\.\S+", entry.source) or page.is_file()
    return bool(place and entry.said)


def test_every_misconception_has_a_source():
    """A belief that nobody was found to hold makes no distractor."""
    entries = load_misconceptions().values()
    assert [entry.id for entry in entries if not has_a_source(entry)] == []


def test_a_misconception_without_a_source_is_found():
    entry = load_misconceptions()["padding-forgotten"]
    for changed in ({"source": ""}, {"source": "none found"}, {"source": "no.md"}, {"said": ""}):
        assert not has_a_source(replace(entry, **changed))


def test_every_goal_has_a_section_an_exercise_and_a_question():
    exercises = load_exercises()
    for goal in load_goals().values():
        assert goal.exercises, goal.id
        assert goal.questions, goal.id
        assert set(goal.exercises) <= set(exercises), goal.id
        assert set(goal.questions) <= set(QUIZZES), goal.id
        assert goal.section in sections(CHAPTER_OF[goal.chapter]), goal.id
        assert goal.id.startswith(goal.chapter)
        # It ends the sentence "The reader can ...".
        assert goal.text[0].islower(), goal.id
        assert not goal.text.endswith("."), goal.id
    assert {goal.chapter for goal in load_goals().values()} == set(CHAPTER_OF)


def test_every_question_belongs_to_one_goal():
    asked = [id for goal in load_goals().values() for id in goal.questions]
    assert sorted(asked) == sorted(QUIZZES)
    for goal in load_goals().values():
        assert {id[:2] for id in goal.questions} <= {goal.chapter, *(name[:2] for name in PACKS)}


def test_the_bank_is_chosen_from():
    assert [question.quiz.id for question in question_bank()] == list(QUIZZES)
    assert [question.quiz.id for question in question_bank(pack="shapes")] == list(PACK)
    of_pooling = question_bank(chapter="05")
    assert {question.goal.chapter for question in of_pooling} == {"05"}
    assert {question.pack for question in of_pooling} == {"", "shapes"}
    (question,) = question_bank(chapter="06", pack="shapes")
    assert (question.name, question.drawn) == ("shapes-8", True)
    names = [question.name for question in question_bank(chapter="02", seed=7)]
    assert names[:2] == ["02-predict (7)", "02-review"]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"chapter": "11"}, "chapter must be one of 01, "),
        ({"chapter": 4}, "got 4"),
        ({"pack": "forms"}, "pack must be one of shapes; got 'forms'"),
        ({"chapter": "01", "pack": "shapes"}, "chapter 01 has no questions in the pack shapes"),
    ],
)
def test_what_is_not_there_is_said(choice, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        question_bank(**choice)


def test_options_are_put_in_an_order_that_the_seed_draws():
    def orders(seed):
        return [[option.text for option in question.quiz.options]
                for question in question_bank(pack="shapes", seed=seed, shuffled=True)]  # fmt: skip

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    places = {
        next(place for place, option in enumerate(question.quiz.options) if option.right)
        for seed in range(20)
        for question in question_bank(pack="shapes", seed=seed, shuffled=True)
    }
    assert places == set(range(5))


def test_enough_questions_are_drawn():
    assert set(PACK) <= set(DRAWN)
    assert len(DRAWN) >= 12


@pytest.mark.sampled
@pytest.mark.parametrize("id", DRAWN)
def test_options_differ_whatever_is_drawn(id):
    drawn = [vgglab.quiz(id, seed=seed) for seed in sampled(range(250), 50)]
    assert len({str(quiz) for quiz in drawn}) >= 5
    for quiz in drawn:
        assert len({option.text for option in quiz.options}) == len(quiz.options)
        assert sum(option.right for option in quiz.options) == 1
        assert list(untagged(quiz)) == []


@pytest.mark.parametrize("id", DRAWN)
def test_a_seed_draws_the_same_again(id):
    assert vgglab.quiz(id, seed=5) == vgglab.quiz(id, seed=5)
    assert vgglab.quiz(id) == QUIZZES[id]


def test_a_seed_changes_nothing_where_no_numbers_vary():
    assert vgglab.quiz("02-review-2", seed=5) == vgglab.quiz("02-review-2")
