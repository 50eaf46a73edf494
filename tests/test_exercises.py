"""Every exercise and every quiz of the chapters."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import vgglab
from vgglab.course.checking import check_answer, value
from vgglab.course.exercises import load_exercises, load_quizzes

EXERCISES = load_exercises()
QUIZZES = load_quizzes()
NOTEBOOKS = sorted((Path(__file__).parent.parent / "book" / "notebooks").glob("[0-9]*.ipynb"))
# The way in, 00, is two pages for somebody in a hurry: it has no exercises.
CHAPTERS = sorted({path.name[:2] for path in NOTEBOOKS} - {"00"})
# More than any check needs, with the conversions that an answer itself may call; the weights of
# vgg("D") are 138 million numbers.
MOST_OPERATIONS, MOST_NUMBERS = 10_000, 40_000_000


# --- check, hint and quiz ---------------------------------------------------------------------


def test_strict_raises_and_the_rest_never_does():
    id = next(iter(EXERCISES))
    with pytest.raises(AssertionError, match=f"{id}: not attempted yet"):
        vgglab.check(id, ..., strict=True)
    with pytest.raises(AssertionError, match=f"{id}: not yet right"):
        vgglab.check(id, object(), strict=True)
    assert not vgglab.check(id, object()).ok


def test_hints_come_one_at_a_time():
    id, exercise = next(iter(EXERCISES.items()))  # no other test asks for its hints
    total = len(exercise.hints)
    for number in [*range(1, total + 1), total]:
        feedback = vgglab.hint(id)
        assert feedback.status == f"hint {number} of {total}"
        assert feedback.message == exercise.hints[number - 1]


@pytest.mark.parametrize("call", [vgglab.check, vgglab.hint, vgglab.quiz])
def test_an_unknown_id_is_named(call):
    arguments = ["99-1", 3] if call is vgglab.check else ["99-1"]
    with pytest.raises(ValueError, match=r"id must name an existing .* got '99-1'"):
        call(*arguments)


# --- the chapters ----------------------------------------------------------------------------


def cells_of(chapter):
    import nbformat

    (path,) = [path for path in NOTEBOOKS if path.name.startswith(chapter)]
    return nbformat.read(path, as_version=4).cells


def exercises_of(chapter):
    return [exercise for id, exercise in EXERCISES.items() if id.startswith(f"{chapter}-")]


def test_every_exercise_and_every_quiz_has_a_chapter():
    assert {id[:2] for id in EXERCISES} == set(CHAPTERS)
    assert {id[:2] for id in QUIZZES} == set(CHAPTERS)


def reviews_of(chapter):
    return [id for id in QUIZZES if id.startswith(f"{chapter}-review")]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_exercises_lead_from_a_prediction_to_an_open_task(chapter):
    found = exercises_of(chapter)
    assert [e.id for e in found] == [f"{chapter}-{k}" for k in range(1, len(found) + 1)]
    assert len(found) >= 6
    text = "\n".join(c.source for c in cells_of(chapter) if c.cell_type == "markdown")
    sections = dict(re.findall(r"^### (\d\d-\d+) .*\n\n(.*)$", text, re.MULTILINE))
    assert list(sections) == [e.id for e in found]
    first, last = found[0], found[-1]
    assert first.observe is value
    assert sections[first.id] == "A prediction: answer before you run anything."
    assert last.others
    assert sections[last.id] == "An open task."


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_quiz_before_anything_is_derived_and_one_before_what_to_remember(chapter):
    cells = cells_of(chapter)
    headings = [re.findall(r"^## (.*)$", c.source, re.MULTILINE) for c in cells]
    section = ""
    place = {}
    for cell, heading in zip(cells, headings, strict=True):
        section = heading[-1] if cell.cell_type == "markdown" and heading else section
        shown = re.search(r'quiz\("(.*)"\)', cell.source)
        if cell.cell_type == "code" and shown:
            place[shown[1]] = section
    reviews = reviews_of(chapter)
    more = [f"{chapter}-review-{k}" for k in range(2, len(reviews) + 1)]
    assert reviews == [f"{chapter}-review", *more]
    assert place == {f"{chapter}-predict": "Predict"} | dict.fromkeys(reviews, "Look back")
    sections = [name for names in headings for name in names]
    derive = next(k for k, name in enumerate(sections) if name.startswith("Derive"))
    assert sections.index("Predict") < derive
    assert sections[-2:] == ["Look back", "Remember"]


@pytest.mark.parametrize("id", EXERCISES)
def test_the_solution_is_right_and_each_mistake_gets_its_own_hint(id):
    exercise = EXERCISES[id]
    assert vgglab.check(id, exercise.solution(), strict=True).ok
    for other in exercise.others:
        assert vgglab.check(id, other(), strict=True).ok
    assert len(exercise.mistakes) >= 2
    assert len(set(exercise.hints)) >= 3
    assert len({mistake.hint for mistake in exercise.mistakes}) == len(exercise.mistakes)
    for mistake in exercise.mistakes:
        feedback = vgglab.check(id, mistake.answer())
        assert not feedback.ok
        assert feedback.message.endswith(mistake.hint)


class Work(TorchDispatchMode):
    """Counts torch's operations, and the numbers that they compute: on meta it is none."""

    def __init__(self):
        super().__init__()
        self.operations = self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        self.numbers += sum(
            x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor) and not x.is_meta
        )
        return result


@pytest.mark.parametrize("id", EXERCISES)
def test_a_check_answers_at_once(id):
    """Whoever waits for it waits for this: tests/benchmarks/checks.py says how long that is."""
    exercise = EXERCISES[id]
    answer = exercise.mistakes[-1].answer()  # it is compared with everything
    # Another observer, so that nothing is left over from checks before.
    cold = replace(exercise, observe=lambda answer: exercise.observe(answer))
    with Work() as work:
        assert not check_answer(cold, answer).ok
    assert work.operations <= MOST_OPERATIONS
    assert work.numbers <= MOST_NUMBERS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_feedback_says_to_call_is_there(chapter):
    """Also for whoever begins with the exercises: `vgglab.hint` needs the name vgglab."""
    cells = [cell.source for cell in cells_of(chapter) if cell.cell_type == "code"]
    (begin,) = [source for source in cells if "from vgglab import check, hint" in source]
    assert "import vgglab\n" in begin


@pytest.mark.parametrize("id", EXERCISES)
def test_the_chapter_has_a_blank_and_a_proven_solution(id):
    cells = cells_of(id[:2])
    blanks = [c for c in cells if c.cell_type == "code" and f'check("{id}", answer' in c.source]
    solutions = [
        c for c in cells if c.cell_type == "code" and f'check("{id}", solution' in c.source
    ]
    assert len(blanks) == len(solutions) == 1
    assert "not attempted yet" in str(blanks[0].outputs)
    assert "strict=True" in solutions[0].source
    assert "hide-cell" in solutions[0].metadata.tags
    assert f"✓ {id}: right" in str(solutions[0].outputs)


@pytest.mark.parametrize("id", QUIZZES)
def test_a_quiz_has_one_right_answer_and_a_reason_for_each(id):
    quiz = vgglab.quiz(id)
    assert quiz.id == id
    assert sum(option.right for option in quiz.options) == 1
    assert len(quiz.options) >= 3
    assert len({option.text for option in quiz.options}) == len(quiz.options)
    assert all(option.why for option in quiz.options)
