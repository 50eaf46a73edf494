"""The checker, and every exercise and quiz of the chapters."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import vgglab
from vgglab.course.checking import (
    Condition,
    Exercise,
    Feedback,
    Mistake,
    calls,
    check_answer,
    gives,
    network,
    network_that,
    value,
)
from vgglab.course.exercises import load_exercises, load_quizzes

EXERCISES = load_exercises()
QUIZZES = load_quizzes()
NOTEBOOKS = sorted((Path(__file__).parent.parent / "book" / "notebooks").glob("*.ipynb"))
CHAPTERS = sorted({path.name[:2] for path in NOTEBOOKS})
# Twice, and five times, what any check needs; the weights of vgg("D") are 138 million numbers.
MOST_OPERATIONS, MOST_NUMBERS = 3000, 1_000_000

NUMBER = Exercise(
    id="00-1",
    question="How many pixels are left of 400 after five halvings?",
    solution=lambda: 12,
    mistakes=(Mistake(lambda: 12.5, "A size is rounded down."), Mistake(lambda: 13, "Down.")),
    hints=("Halve and round.", "Round down each time."),
    observe=value,
)


# --- the checker -----------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [..., None])
def test_a_blank_is_not_attempted(blank):
    assert check_answer(NUMBER, blank) == Feedback("00-1", "not attempted yet")


@pytest.mark.parametrize("answer", [12, 12.0, np.int64(12), torch.tensor(12), np.float32(12)])
def test_a_number_is_right_in_any_type(answer):
    assert check_answer(NUMBER, answer).ok


@pytest.mark.parametrize("answer", [13.5, "12", True, (12,), [], {}, object(), nn.ReLU(), print])
def test_wrong_answers_are_quoted_and_get_the_way_to_a_hint(answer):
    feedback = check_answer(NUMBER, answer)
    assert not feedback.ok
    assert 'vgglab.hint("00-1")' in feedback.message


def test_true_is_not_one():
    one = Exercise("00-0", "?", lambda: 1, (), (), value)
    assert check_answer(one, 1).ok
    assert not check_answer(one, True).ok


def test_a_typical_mistake_gets_its_hint():
    assert check_answer(NUMBER, 12.5).message == "You have 12.5.\nA size is rounded down."


class Hostile:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


def test_an_object_that_equals_everything_is_not_right():
    assert not check_answer(NUMBER, Hostile()).ok
    assert not check_answer(NUMBER, [Hostile()]).ok


SHAPE = Exercise("00-2", "?", lambda: (1, 512, 12, 12), (), ("Look.",), value)


@pytest.mark.parametrize(
    "answer",
    [(1, 512, 12, 12), [1, 512, 12, 12], torch.Size([1, 512, 12, 12]), np.array([1, 512, 12, 12])],
)
def test_a_shape_is_right_in_any_container(answer):
    assert check_answer(SHAPE, answer).ok


def test_your_own_shape_is_quoted_back():
    assert "(1, 512, 13, 13)" in check_answer(SHAPE, torch.Size([1, 512, 13, 13])).message


FUNCTION = Exercise(
    id="00-3",
    question="Halve, rounding down.",
    solution=lambda: lambda size: size // 2,
    mistakes=(Mistake(lambda: lambda size: -(-size // 2), "You round up."),),
    hints=("//",),
    observe=calls((8,), (25,)),
)


def test_functions_are_called():
    assert check_answer(FUNCTION, lambda size: int(size / 2)).ok
    feedback = check_answer(FUNCTION, lambda size: (size + 1) // 2)
    assert feedback.message == "You have f(8) = 4; f(25) = 13.\nYou round up."
    assert "where a function is asked for" in check_answer(FUNCTION, 4).message


def unfinished(size):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [unfinished, lambda size: None, lambda size: ...])
def test_an_unfinished_function_is_not_attempted(answer):
    assert check_answer(FUNCTION, answer).status == "not attempted yet"


def test_a_function_that_raises_is_quoted():
    feedback = check_answer(FUNCTION, lambda size: size.shape)
    assert "f(8) raises AttributeError: 'int' object has no attribute 'shape'" in feedback.message
    assert not feedback.ok


def test_what_has_several_lines_is_quoted_in_one():
    tall = Exercise("00-6", "?", lambda: torch.numel, (), ("Look.",), calls((torch.ones(2, 3),)))
    message = check_answer(tall, torch.numel).message
    assert message == "You have f(tensor([[1., 1., 1.], [1., 1., 1.]])) = 6."

    def broken(x):
        raise ValueError("one\ntwo")

    assert "raises ValueError: one two." in check_answer(tall, broken).message


NETWORK = Exercise(
    id="00-4",
    question="Any network from 400x400 to 3 logits.",
    solution=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)),
    mistakes=(
        Mistake(lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 3)), "The map is not fixed."),
    ),
    hints=("Pool.",),
    observe=network((1, 3, 400, 400)),
)


def test_networks_are_traced():
    answer = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    assert check_answer(NETWORK, answer).ok
    assert check_answer(NETWORK, lambda: answer).ok
    mistaken = check_answer(NETWORK, nn.Sequential(nn.Flatten(), nn.Linear(100, 3)))
    assert "(1, 3, 400, 400) → stops in 1" in mistaken.message
    assert mistaken.message.endswith("The map is not fixed.")
    other = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    assert "(1, 3, 400, 400) → (1, 4)" in check_answer(NETWORK, other).message
    assert "where a network is asked for" in check_answer(NETWORK, 3).message


def test_unfinished_and_broken_builders():
    def broken():
        return nn.Linear("three", 4)

    assert check_answer(NETWORK, lambda: unfinished(1)).status == "not attempted yet"
    assert "building it raises TypeError" in check_answer(NETWORK, broken).message


SMALL = Exercise(
    id="00-5",
    question="Any network from 9×9 to 3 logits with at most 20 parameters.",
    solution=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)),
    mistakes=(
        Mistake(lambda: nn.Sequential(nn.Flatten(), nn.Linear(243, 3)), "Pool first."),
        Mistake(lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "And the logits?"),
        Mistake(lambda: nn.Linear(4, 3), "It takes no image."),
    ),
    hints=("Pool.",),
    observe=network_that(
        gives((1, 3, 9, 9), (1, 3)),
        Condition("at most 20", lambda m, tables: tables((1, 3, 9, 9)).total_params <= 20),
        Condition("a linear layer", lambda m, tables: m[-1].weight is not None),
    ),
)


def test_an_open_task_asks_for_conditions():
    largest = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False))
    assert check_answer(SMALL, largest).ok
    assert check_answer(SMALL, lambda: largest).ok
    feedback = check_answer(SMALL, nn.Sequential(nn.Flatten(), nn.Linear(243, 3)))
    assert feedback.message == (
        "You have\n- (1, 3, 9, 9) → (1, 3): yes\n- at most 20: no\n- a linear layer: yes\n"
        "Pool first."
    )
    assert not check_answer(SMALL, nn.Sequential(nn.Identity())).ok
    assert check_answer(SMALL, lambda: unfinished(1)).status == "not attempted yet"
    assert "where a network is asked for" in check_answer(SMALL, 3).message


def test_feedback_shows_itself_as_text_and_html():
    feedback = Feedback("00-1", "not yet right", "You have\n- <b>\n- 2\nLook.")
    assert str(feedback) == "✗ 00-1: not yet right. You have\n- <b>\n- 2\nLook."
    assert feedback._repr_html_() == (
        '<div class="vgglab-feedback"><p><strong>✗ 00-1: not yet right.</strong> You have</p>'
        "<ul><li>&lt;b&gt;</li><li>2</li></ul><p>Look.</p></div>"
    )


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
    assert sorted(QUIZZES) == sorted(
        f"{c}-{end}" for c in CHAPTERS for end in ("predict", "review")
    )


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
    assert place == {f"{chapter}-predict": "Predict", f"{chapter}-review": "Look back"}
    sections = [name for names in headings for name in names]
    assert sections.index("Predict") < sections.index("Derive")
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
    html = quiz._repr_html_()
    assert html.count('type="radio"') == len(quiz.options)
    assert html.count("data-lm-suppress-shortcuts='true'") == len(quiz.options)
    assert not any(option.why in str(quiz) for option in quiz.options)
