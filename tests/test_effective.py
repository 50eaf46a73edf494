"""How much each pixel counts: what is known in closed form, and that nothing is changed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from untouched import assert_unchanged, everything

from vgglab import vgg
from vgglab.receptive_field import receptive_field
from vgglab.receptive_field.effective import EffectiveField, effective_receptive_field


def averages(depth: int, size: int = 3) -> nn.Sequential:
    """Return convolutions whose weights are all equal."""
    convs = [nn.Conv2d(1, 1, size, padding=size // 2, bias=False) for _ in range(depth)]
    for conv in convs:
        nn.init.constant_(conv.weight, 1 / size**2)
    return nn.Sequential(*convs).double()


@pytest.mark.parametrize(("depth", "size"), [(1, 3), (5, 3), (3, 5), (12, 3)])
def test_equal_weights_have_the_spread_of_a_sum_of_uniform_steps(depth, size):
    """The variance of one step over k pixels is (k**2 - 1) / 12, and variances add up."""
    images = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    field = effective_receptive_field(averages(depth, size), images, str(depth - 1))
    expected = math.sqrt(depth * (size**2 - 1) / 12)
    assert field.spread == pytest.approx((expected, expected))
    assert field.magnitude.max().item() == pytest.approx(1)
    assert field.magnitude[30, 30].item() == pytest.approx(1)


def test_nothing_counts_outside_of_the_box():
    model = vgg("A", width=1 / 16)
    images = torch.randn(3, 3, 96, 128)
    field = effective_receptive_field(model, images, "features.10", cell=(0, 3))
    box = field.box
    assert box == receptive_field(model, tuple(images.shape), "features.10").box(0, 3)
    inside = field.magnitude[box.top : box.bottom, box.left : box.right].clone()
    field.magnitude[box.top : box.bottom, box.left : box.right] = 0
    assert not field.magnitude.any()
    assert all(edge.max() > 0 for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_the_share_falls_with_depth():
    images = torch.zeros(1, 1, 81, 81, dtype=torch.float64)
    shares = [effective_receptive_field(averages(d), images, str(d - 1)).share for d in (1, 5, 20)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1)


def test_the_model_and_the_random_state_stay_as_they_are():
    model = vgg("A", norm="batch", width=1 / 16)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    before = everything(model)
    effective_receptive_field(model, images, "features.7")
    assert_unchanged(before, model)
    assert images.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_cell_without_a_gradient_has_no_spread():
    dead = EffectiveField(
        "", (0, 0), torch.zeros(4, 4), receptive_field(nn.Conv2d(1, 1, 1), (1, 1, 4, 4)).box(0, 0)
    )
    assert dead.spread == (0.0, 0.0)
    assert dead.side() == dead.share == 0.0


def test_bad_input_is_named():
    model = averages(2)
    images = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    for bad, error, message in (
        ([1], TypeError, "images must be a floating-point tensor.*got list"),
        (images.long(), TypeError, "got torch.int64"),
        (images[0], ValueError, r"images must be .*\(N, C, H, W\).*got the shape \(1, 9, 9\)"),
    ):
        with pytest.raises(error, match=message):
            effective_receptive_field(model, bad, "1")
    with pytest.raises(ValueError, match="layer must be a module of the model"):
        effective_receptive_field(model, images, "2")
    with pytest.raises(ValueError, match="i must be below 9"):
        effective_receptive_field(model, images, "1", cell=(9, 0))
    with pytest.raises(ValueError, match=r"threshold must be from 0 to below 1; got 1.5"):
        effective_receptive_field(model, images, "1").side(1.5)
