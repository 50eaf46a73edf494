"""Networks that differ in their stacks alone."""

from __future__ import annotations

import re

import pytest
import torch

from vgglab.lab.stacked_networks import STACKS, stacked_network
from vgglab.summary import summary


def test_networks_with_and_without_relus_are_matched():
    with torch.device("meta"):
        sizes = {
            (name, channels): summary(stacked_network(name, channels=channels), (1, 3, 32, 32))
            for name in STACKS
            for channels in (24, 32)
        }
    plain, linear = sizes["3x3", 24], sizes["3x3-linear", 24]
    assert plain.total_params == linear.total_params
    assert plain.mult_adds == linear.mult_adds
    for figure in ("total_params", "mult_adds"):
        matched = getattr(sizes["3x3", 32], figure) / getattr(sizes["7x7", 24], figure)
        assert 0.98 < matched < 1.02
    fields = {size.rows[-4].receptive_field.size for size in sizes.values()}  # of the last ReLU
    assert len(fields) == 1


def test_nothing_but_convolutions_stands_between_the_relus_of_a_linear_stack():
    kinds = [type(layer).__name__ for layer in stacked_network("3x3-linear")]
    first = kinds.index("MaxPool2d") + 1
    assert kinds[first : first + 5] == ["Conv2d", "Conv2d", "Conv2d", "BatchNorm2d", "ReLU"]
    assert stacked_network("3x3-linear", in_channels=1, num_classes=4)(
        torch.zeros(2, 1, 9, 8)
    ).shape == (2, 4)


def test_a_stack_that_is_not_there():
    with pytest.raises(ValueError, match="stack must be one of 7x7, 3x3, 3x3-linear; got '5x5'"):
        stacked_network("5x5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 0}, "channels must be at least 1; got 0"),
        ({"num_classes": 0}, "num_classes must be at least 1; got 0"),
        ({"in_channels": -1}, "in_channels must be at least 1; got -1"),
    ],
)
def test_numbers_below_1_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        stacked_network("3x3", **options)


@pytest.mark.parametrize("stack", STACKS)
def test_shapes_of_any_image_from_4x4(stack):
    model = stacked_network(stack, channels=4, num_classes=3, in_channels=2)
    assert model.training
    for size in [(4, 4), (9, 8), (33, 32)]:
        assert model(torch.zeros(2, 2, *size)).shape == (2, 3)


def test_what_stands_around_the_stacks_is_the_same():
    """The first convolution, the poolings and the head; and each stack is there twice."""
    outside = set()
    for name, stack in STACKS.items():
        layers = [str(layer) for layer in stacked_network(name)]
        first, second = (place for place, text in enumerate(layers) if text.startswith("MaxPool2d"))
        one, two = layers[first + 1 : second], layers[second + 1 : -3]
        assert one == two
        convolutions = [text for text in one if text.startswith("Conv2d")]
        assert [int(re.search(r"kernel_size=\((\d)", text)[1]) for text in convolutions] == list(
            stack.kernel_sizes
        )
        assert one.count("ReLU(inplace=True)") == (len(convolutions) if stack.relu_between else 1)
        assert sum(text.startswith("BatchNorm2d") for text in one) == 1
        outside.add((*layers[: first + 1], layers[second], *layers[-3:]))
    assert len(outside) == 1
