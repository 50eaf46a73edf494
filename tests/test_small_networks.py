"""The first stages of VGG-16 for small images, with each of three heads."""

import pytest
import torch
from torch import nn

from vgglab.lab.small_networks import HEADS, SIDE, BlurPool2d, blur_pools, slim_vgg
from vgglab.models.network import vgg

NARROW = 1 / 16
CHANNELS = 256 // 16  # of the third stage


def shapes_of(module):
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("side", "cells"), [(SIDE, 8), (16, 4), (4, 1)])
def test_shapes(head, side, cells):
    model = slim_vgg(head, width=NARROW, side=side, num_classes=7, in_channels=1)
    assert model.training
    x = torch.rand(2, 1, side, side)
    assert model.features(x).shape == (2, CHANNELS, cells, cells)
    assert model(x).shape == (2, 7)


@pytest.mark.parametrize("norm", [None, "batch", "lrn"])
def test_the_convolutions_are_those_of_vgg_16_up_to_the_third_pooling(norm):
    ours = slim_vgg(norm=norm, width=NARROW).features
    whole = vgg("D", norm=norm, head="gap", width=NARROW).features
    assert [str(layer) for layer in ours] == [str(layer) for layer in whole[: len(ours)]]
    assert isinstance(whole[len(ours)], nn.MaxPool2d)
    assert sum(isinstance(layer, nn.Conv2d) for layer in ours) == 7


def test_the_networks_differ_in_their_heads_alone():
    models = {head: slim_vgg(head, width=NARROW) for head in HEADS}
    assert len({str(model.features) for model in models.values()}) == 1
    cells = CHANNELS * 8 * 8
    assert {head: list(shapes_of(model.classifier).values()) for head, model in models.items()} == {
        "gap": [(10, CHANNELS), (10,)],
        "flatten": [(10, cells), (10,)],
        "flatten-fc": [(CHANNELS, cells), (CHANNELS,), (10, CHANNELS), (10,)],
    }


def test_the_mean_takes_images_of_any_side_and_the_others_do_not():
    x = torch.rand(2, 3, 40, 36)
    assert slim_vgg("gap", width=NARROW)(x).shape == (2, 10)
    for head in ("flatten", "flatten-fc"):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            slim_vgg(head, width=NARROW)(x)


@pytest.mark.parametrize("head", HEADS)
def test_linear_layers_begin_as_vggs_do(head):
    classifier = slim_vgg(head, norm=None, width=0.25, dropout=0.3).classifier
    layers = [layer for layer in classifier if isinstance(layer, nn.Linear)]
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.15)
        assert not layer.bias.any()
    assert [layer.p for layer in classifier if isinstance(layer, nn.Dropout)] == [0.3]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"head": "fc"}, ValueError, "head must be one of gap, flatten, flatten-fc; got 'fc'"),
        ({"side": 3}, ValueError, "side must be at least 4; got 3"),
        ({"side": 32.0}, TypeError, r"side must be an integer; got 32\.0"),
        ({"norm": "instance"}, ValueError, "one of None, 'batch', .*; got 'instance'"),
        ({"width": 0}, ValueError, "width must be a number above 0; got 0"),
        ({"num_classes": 0}, ValueError, "num_classes must be at least 1; got 0"),
        ({"in_channels": 0}, ValueError, "in_channels must be at least 1; got 0"),
        ({"dropout": 2}, ValueError, "dropout probability .* got 2"),
    ],
)
def test_bad_arguments_are_named(options, error, words):
    with pytest.raises(error, match=words):
        slim_vgg(**options)


def test_a_blur_is_a_mean_of_neighbours_with_weights_1_2_1():
    x = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    blurred = BlurPool2d()(x)
    assert blurred.shape == (2, 3, 3, 4)
    weights = torch.tensor([1.0, 2.0, 1.0]) / 4
    around = x[:, :, 1:4, 3:6]  # of the cell (1, 2) of the result, which is the cell (2, 4)
    torch.testing.assert_close(blurred[:, :, 1, 2], (around * weights.outer(weights)).sum((2, 3)))
    torch.testing.assert_close(BlurPool2d()(torch.ones(1, 2, 5, 5)), torch.ones(1, 2, 3, 3))


@pytest.mark.parametrize("side", [16, 18, 32])
def test_blurred_pools_leave_maps_of_the_same_size(side):
    plain, blurred = slim_vgg(width=NARROW).features, slim_vgg(width=NARROW).features
    blur_pools(blurred)
    x = torch.zeros(1, 3, side, side)
    assert blurred(x).shape == plain(x).shape
    assert sum(isinstance(module, BlurPool2d) for module in blurred.modules()) == 2
