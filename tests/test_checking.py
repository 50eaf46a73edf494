"""How an answer is observed and compared, and what is said of it."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from vgglab.course.checking import (
    Condition,
    Exercise,
    Feedback,
    Mistake,
    calls,
    check_answer,
    executed,
    gives,
    network,
    network_that,
    outputs,
    value,
    value_that,
)
from vgglab.tracing import trace

NUMBER = Exercise(
    id="00-1",
    question="How many pixels are left of 400 after five halvings?",
    solution=lambda: 12,
    mistakes=(Mistake(lambda: 12.5, "A size is rounded down."), Mistake(lambda: 13, "Down.")),
    hints=("Halve and round.", "Round down each time."),
    observe=value,
)


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
    assert "broken() raises TypeError" in check_answer(NETWORK, broken).message


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


LAYER = Exercise(
    id="00-7",
    question="A pooling that halves.",
    solution=lambda: nn.AvgPool2d(2),
    mistakes=(Mistake(lambda: nn.MaxPool2d(2), "That is the largest, not the mean."),),
    hints=("The mean.",),
    observe=outputs((1, 2, 4, 4), (1, 1, 5, 5)),
)


def test_layers_are_compared_by_what_they_give():
    assert check_answer(LAYER, nn.Conv2d(1, 1, 2).requires_grad_(False)).status == "not yet right"
    assert check_answer(LAYER, nn.Sequential(nn.AvgPool2d(2), nn.Identity())).ok
    feedback = check_answer(LAYER, nn.MaxPool2d(2))
    assert feedback.message == (
        "You have (1, 2, 4, 4) → (1, 2, 2, 2); (1, 1, 5, 5) → (1, 1, 2, 2).\n"
        "That is the largest, not the mean."
    )
    message = check_answer(LAYER, nn.Conv2d(3, 1, 2).double()).message
    assert message.startswith("An input of (1, 2, 4, 4) raises RuntimeError: ")
    assert "where a layer is asked for" in check_answer(LAYER, "mean").message


def test_feedback_shows_itself_as_text_and_html():
    feedback = Feedback("00-1", "not yet right", "You have\n- <b>\n- 2\nLook.")
    assert str(feedback) == "✗ 00-1: not yet right. You have\n- <b>\n- 2\nLook."
    assert feedback._repr_html_() == (
        '<div class="vgglab-feedback"><p><strong>✗ 00-1: not yet right.</strong> You have</p>'
        "<ul><li>&lt;b&gt;</li><li>2</li></ul><p>Look.</p></div>"
    )


# --- what was measured ---------------------------------------------------------------------------

MEASURED = Exercise(
    id="00-4",
    question="What are the losses before and after?",
    solution=lambda: {"before": 2.0, "after": 0.5},
    mistakes=(Mistake(lambda: {"before": 2.0, "after": 2.0}, "Nothing was learnt."),),
    hints=("Train.",),
    observe=value_that(
        ("before, it guesses", lambda losses: losses["before"] > 1),
        ("after, the loss is below half of that", lambda losses: losses["after"] < 1),
    ),
)


@pytest.mark.parametrize("after", [0.5, 0.123456789, torch.tensor(0.7)])
def test_what_was_measured_is_right_within_a_margin_and_the_feedback_is_the_same(after):
    feedback = check_answer(MEASURED, {"before": 3.0, "after": after})
    assert feedback.ok
    assert feedback == check_answer(MEASURED, MEASURED.solution())


def test_what_was_measured_is_quoted_where_it_is_wrong():
    message = check_answer(MEASURED, {"before": 2.5, "after": 1.25}).message
    assert "{'before': 2.5, 'after': 1.25}" in message
    assert "after, the loss is below half of that: no" in message
    assert message.endswith("Nothing was learnt.")
    for answer in (3, {}, {"before": "much", "after": None}, [2.0, 0.5]):
        assert not check_answer(MEASURED, answer).ok
    assert check_answer(MEASURED, ...).status == "not attempted yet"


# --- answers are judged by what they are ---------------------------------------------------------


def test_a_function_may_take_its_list_apart_and_the_next_gets_it_whole():
    def popping(sizes):
        total = 0
        while sizes:
            total += sizes.pop()
        return total

    total = Exercise("00-8", "?", lambda: sum, (), ("Add.",), calls(([1, 2, 3],)))
    for _ in range(2):
        assert check_answer(total, popping).ok
    assert not check_answer(total, lambda sizes: 0).ok


@pytest.mark.parametrize("answer", [8 / 9, Fraction(8, 9), 0.8889, torch.tensor(8 / 9)])
def test_numbers_of_all_kinds_count_within_the_tolerance(answer):
    ratio = Exercise("00-9", "?", lambda: 8 / 9, (), ("Divide.",), value)
    assert check_answer(ratio, answer).ok
    assert "four digits" in check_answer(ratio, 0.889).message


def test_a_whole_number_is_exact():
    assert not check_answer(NUMBER, 12.001).ok
    large = Exercise("00-9", "?", lambda: 138_357_544, (), ("Count.",), value)
    assert not check_answer(large, 138_357_545).ok


def test_the_form_is_named_and_printing_is_no_return():
    pair = Exercise("00-9", "?", lambda: (320, 351), (), ("Two.",), value)
    assert "Asked for is a pair" in check_answer(pair, range(320, 352)).message
    printing = check_answer(FUNCTION, lambda size: print(size // 2))  # noqa: T201
    assert "Write return in place of print" in printing.message
    assert "ended without a return" in check_answer(FUNCTION, lambda size: [].append(size)).message


def test_a_large_tensor_is_named_by_its_shape():
    for device in ("cpu", "meta"):
        message = check_answer(SHAPE, torch.empty(1, 512, 12, 12, device=device)).message
        assert "a tensor of shape (1, 512, 12, 12)" in message
        assert len(message) < 400


def test_only_what_runs_on_the_way_to_the_output_counts():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            self.unused(x).relu()
            return self.used(x)

    layers = executed(trace(Branch(), (2, 3)))
    assert layers == executed(trace(nn.Linear(3, 3), (2, 3)))


def test_an_error_in_an_open_task_is_quoted_with_its_layer():
    class Typo(nn.Module):
        def forward(self, x):
            return self.missing(x)

    message = check_answer(SMALL, nn.Sequential(Typo())).message
    assert "stops in 0 (Typo): AttributeError" in message
    assert "has no attribute 'missing'" in message
