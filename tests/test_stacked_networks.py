"""Networks that differ in their stacks alone."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from vgglab.lab.stacked_networks import NORMALISED, STACKS, stacked_network
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


def kinds_of_the_first_stack(*args, **options):
    kinds = [type(layer).__name__ for layer in stacked_network(*args, **options)]
    start = kinds.index("MaxPool2d") + 1
    return kinds[start : kinds.index("MaxPool2d", start)]


def test_nothing_but_convolutions_stands_between_the_relus_of_a_linear_stack():
    kinds = kinds_of_the_first_stack("3x3-linear", norm="last")
    assert kinds == ["Conv2d", "Conv2d", "Conv2d", "BatchNorm2d", "ReLU"]
    assert stacked_network("3x3-linear", in_channels=1, num_classes=4)(
        torch.zeros(2, 1, 9, 8)
    ).shape == (2, 4)


def test_batchnorm_stands_where_it_was_asked_for():
    conv, norm, relu = "Conv2d", "BatchNorm2d", "ReLU"
    assert kinds_of_the_first_stack("3x3", norm="each") == [conv, norm, relu] * 3
    assert kinds_of_the_first_stack("3x3", norm="last") == [
        conv,
        relu,
        conv,
        relu,
        conv,
        norm,
        relu,
    ]
    assert kinds_of_the_first_stack("3x3", norm="none") == [conv, relu] * 3
    assert kinds_of_the_first_stack("7x7", norm="last") == [conv, norm, relu]


@pytest.mark.parametrize("norm", NORMALISED)
def test_a_bias_stands_where_no_batchnorm_follows(norm):
    layers = list(stacked_network("3x3", norm=norm))
    for layer, following in pairwise(layers):
        if isinstance(layer, nn.Conv2d):
            assert (layer.bias is None) == isinstance(following, nn.BatchNorm2d)


def test_depthwise_stacks_mix_the_channels_once():
    convolutions = [m for m in stacked_network("3x3-depthwise") if isinstance(m, nn.Conv2d)]
    shapes = [(m.kernel_size[0], m.groups) for m in convolutions]
    assert shapes == [(3, 1)] + 2 * [(3, 24), (3, 24), (3, 24), (1, 1)]


def test_first_weights_let_every_stack_pass_on_as_much():
    """Without normalisation, so that they alone decide: He's variance, by groups."""
    images = torch.randn(4, 3, 16, 16)
    sizes = {}
    for stack in STACKS:
        logs = []
        for seed in range(4):
            torch.manual_seed(seed)
            network = stacked_network(stack, channels=32, norm="none")
            logs.append(network[:-3](images).square().mean().log10().item())
        sizes[stack] = sum(logs) / len(logs)
    # Groups that are forgotten would make the six depthwise convolutions 32 times as small each.
    assert max(sizes.values()) - min(sizes.values()) < 2, sizes


def test_a_stack_that_is_not_there():
    with pytest.raises(ValueError, match=r"stack must be one of 7x7, 3x3, .*; got '5x5'"):
        stacked_network("5x5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norm": "all"}, "norm must be one of each, last, none; got 'all'"),
        ({"channels": 0}, "channels must be at least 1; got 0"),
        ({"num_classes": 0}, "num_classes must be at least 1; got 0"),
        ({"in_channels": -1}, "in_channels must be at least 1; got -1"),
    ],
)
def test_what_cannot_be_is_named(options, words):
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
        layers = [str(layer) for layer in stacked_network(name, norm="last")]
        first, second = (place for place, text in enumerate(layers) if text.startswith("MaxPool2d"))
        one, two = layers[first + 1 : second], layers[second + 1 : -3]
        assert one == two
        convolutions = [text for text in one if text.startswith("Conv2d")]
        sizes = [int(re.search(r"kernel_size=\((\d)", text)[1]) for text in convolutions]
        assert sizes == [*stack.kernel_sizes, *([1] if stack.depthwise else [])]
        assert one.count("ReLU(inplace=True)") == (len(convolutions) if stack.relu_between else 1)
        assert sum(text.startswith("BatchNorm2d") for text in one) == 1
        outside.add((*layers[: first + 1], layers[second], *layers[-3:]))
    assert len(outside) == 1
