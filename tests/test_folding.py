"""Tests of vgglab.convert.folding."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vgglab.convert.folding import fold_pooling, fold_weight, linear_as_convolution, pool_matrices

POOLS = [
    nn.AdaptiveAvgPool2d(3),
    nn.AdaptiveAvgPool2d((2, None)),
    nn.AvgPool2d(2),
    nn.AvgPool2d(3, stride=2, padding=1),
    nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    nn.AvgPool2d((2, 3), ceil_mode=True),
    nn.AvgPool2d(2, divisor_override=3),
]


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_linear_layer_is_a_convolution_as_large_as_its_map():
    linear = nn.Linear(5 * 3 * 4, 7).double()
    convolution = linear_as_convolution(linear, (5, 3, 4))
    x = numbers(2, 5, 3, 4)
    torch.testing.assert_close(convolution(x).flatten(1), linear(x.flatten(1)))
    assert convolution(numbers(2, 5, 6, 6)).shape == (2, 7, 4, 3)


def test_the_numbers_are_copies():
    linear = nn.Linear(8, 2, bias=False).eval().requires_grad_(False)
    convolution = linear_as_convolution(linear, (2, 2, 2))
    before = linear.weight.clone()
    with torch.no_grad():
        convolution.weight.zero_()
    assert torch.equal(linear.weight, before)
    assert convolution.bias is None
    assert not convolution.training
    assert not convolution.weight.requires_grad


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"map_shape must have the 8 numbers .* got \(2, 2, 3\)"):
        linear_as_convolution(nn.Linear(8, 2), (2, 2, 3))


@pytest.mark.parametrize("pool", POOLS, ids=str)
@given(height=st.integers(4, 9), width=st.integers(4, 9))
def test_pooling_is_a_product_with_two_matrices(pool, height, width):
    rows, columns = pool_matrices([pool], height, width)
    x = numbers(2, 3, height, width)
    torch.testing.assert_close(rows @ x @ columns.T, pool(x))


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_folded_pooling_gives_what_pool_and_layer_give(pool):
    x = numbers(2, 3, 8, 7)
    pools = [pool, nn.Dropout().eval()]
    pooled = pool(x)
    linear = nn.Linear(pooled[0].numel(), 5).double()
    convolution = fold_pooling(linear, *pool_matrices(pools, 8, 7))
    torch.testing.assert_close(convolution(x).flatten(1), linear(pooled.flatten(1)))


def test_the_weight_is_the_sum_that_the_book_derives():
    weight = numbers(70, 2, 3, 3)  # more output channels than are computed at a time
    rows, columns = pool_matrices([nn.AdaptiveAvgPool2d(3)], 5, 7)
    book = torch.einsum("ockl,ki,lj->ocij", weight, rows, columns)
    torch.testing.assert_close(fold_weight(weight, rows, columns), book)


def test_two_pools_are_one_after_the_other():
    pools = [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2)]
    rows, columns = pool_matrices(pools, 9, 8)
    x = numbers(1, 1, 9, 8)
    torch.testing.assert_close(rows @ x @ columns.T, F.adaptive_avg_pool2d(F.avg_pool2d(x, 2), 2))
