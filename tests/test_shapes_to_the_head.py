"""The pack's answers are those of torch."""

import re
from math import prod

import pytest
import torch
from torch import nn

import vgglab
from vgglab.course.exercises import pack_quizzes

SEEDS = range(12)


def drawn(id):
    """Yield the question of a quiz with its numbers, and its right answer, for several seeds."""
    for seed in (None, *SEEDS):
        quiz = vgglab.quiz(id, seed)
        (right,) = (option.text for option in quiz.options if option.right)
        yield quiz.question, right


def integers(text):
    return [int(number) for number in re.findall(r"\d+", text.replace(",", ""))]


def layers(text):
    """Build the layers that a question names."""
    calls = re.findall(r"nn\.\w+\([\w, =]*\)", text)
    return nn.Sequential(*(eval(call, {"nn": nn}) for call in calls))


def test_eight_questions():
    assert list(pack_quizzes("shapes")) == [f"shapes-{number}" for number in range(1, 9)]
    with pytest.raises(ValueError, match="pack must be one of shapes"):
        pack_quizzes("forms")


def test_the_map_of_a_stack():
    for question, right in drawn("shapes-1"):
        size = integers(question)[0]
        out = layers(question)(torch.zeros(1, 3, size, size))
        assert right == f"{out.shape[2]}×{out.shape[3]}"


def test_the_map_behind_a_message():
    for question, right in drawn("shapes-2"):
        (one, came, _, hidden), (channels, height, width) = (
            integers(re.search(r"\((1x.*?)\)", question)[1]),
            integers(right),
        )
        assert (one, hidden) == (1, 4096)
        assert channels * height * width == came
        assert f"nn.Conv2d({channels}, {channels}, 3, padding=1)" in question


def test_no_product_tells_the_map_behind_a_message_from_the_others():
    for seed in (None, *SEEDS):
        products = {prod(integers(option.text)) for option in vgglab.quiz("shapes-2", seed).options}
        assert len(products) == 1


def test_what_is_untrained_in_a_new_layer():
    for question, right in drawn("shapes-3"):
        features, hidden = integers(re.search(r"by nn\.Linear\((.*?)\)", question)[1])
        new = nn.Linear(features, hidden, device="meta")
        assert integers(right) == [sum(weights.numel() for weights in new.parameters())]


def test_features_after_an_adaptive_pooling():
    for question, right in drawn("shapes-4"):
        shape = integers(re.search(r"\((\d+, \d+, \d+)\)", question)[1])
        (pool,) = layers(question)
        assert integers(right) == [pool(torch.zeros(1, *shape)).flatten(1).shape[1]]


def test_the_shape_of_a_view():
    for question, right in drawn("shapes-5"):
        shape = integers(re.search(r"shape \((.*?)\)", question)[1])
        channels, height, width = integers(re.search(r"view\(-1, (.*?)\)", question)[1])
        out = torch.empty(shape, device="meta").view(-1, channels * height * width)
        assert integers(right) == list(out.shape)


def test_a_missing_flatten():
    for question, right in drawn("shapes-6"):
        shape = integers(re.search(r"shape \((.*?)\)", question)[1])
        (linear,) = layers(question)
        with pytest.raises(RuntimeError) as error:
            linear(torch.zeros(shape))
        assert re.search(r"\(\d+x\d+ and \d+x\d+\)", str(error.value))[0] in right


def test_the_sizes_that_fit():
    for question, right in drawn("shapes-7"):
        network = layers(question).to("meta")
        first, last = integers(right)

        def runs(size, network=network):
            try:
                network(torch.empty(1, 3, size, size, device="meta"))
            except RuntimeError:
                return False
            return True

        fitting = [size for size in range(max(first - 6, 1), last + 7) if runs(size)]
        assert fitting == list(range(first, last + 1))


def test_the_scores_of_a_map():
    for question, right in drawn("shapes-8"):
        kernel, side = (integers(text)[0] for text in re.findall(r"map of (\d+×\d+)", question))
        conv = nn.Conv2d(1, 1, kernel, device="meta")
        scores = conv(torch.empty(1, 1, side, side, device="meta"))
        assert integers(right) == [scores.numel()]
