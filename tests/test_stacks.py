"""Stacks of convolutions without ReLUs: the one kernel that they are, and those they cannot be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from vgglab.receptive_field.stacks import (
    compose_kernels,
    fit_stack,
    reachable_dimension,
    stack_shapes,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(st.lists(SIZES, min_size=1, max_size=3), st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_the_composed_kernel_does_what_the_stack_does(sizes, channels):
    weights = [random(channels[k + 1], channels[k], *size, seed=k) for k, size in enumerate(sizes)]
    x = random(2, channels[0], 13, 12, seed=9)
    stacked = x
    for weight in weights:
        stacked = conv2d(stacked, weight)
    torch.testing.assert_close(conv2d(x, compose_kernels(*weights)), stacked, rtol=0, atol=1e-10)


def test_with_padding_they_differ_at_the_border_only():
    weights = [random(1, 1, 3, 3, seed=k) for k in range(3)]
    x = random(1, 1, 16, 16, seed=9)
    stacked = x
    for weight in weights:
        stacked = conv2d(stacked, weight, padding=1)
    differ = (conv2d(x, compose_kernels(*weights), padding=3) - stacked).abs()[0, 0] > 1e-9
    assert not differ[2:-2, 2:-2].any()
    assert differ[0].any()
    assert differ[:, -1].any()


@pytest.mark.parametrize(
    ("channels", "hidden", "kernel_sizes", "expected"),
    [
        (1, 1, (3, 3, 3), 27 - 2),  # a factor can move from one weight to the next, twice
        (1, 2, (3, 3, 3), 49),
        (2, 2, (3, 3, 3), 27 * 4 - 2 * 4),  # now a matrix with 2x2 numbers can
        (1, 1, (3, 3), 18 - 1),
        (1, 1, (7,), 49),
        (3, 3, (7,), 49 * 9),
    ],
)
def test_how_many_directions_a_kernel_can_move_in(channels, hidden, kernel_sizes, expected):
    assert reachable_dimension(channels, hidden, kernel_sizes) == expected


def test_least_squares_finds_what_a_stack_can_be_and_leaves_what_it_cannot():
    weights = [random(1, 1, 3, 3, seed=k) for k in range(3)]
    assert fit_stack(compose_kernels(*weights), 1) < 1e-3
    kernel = random(1, 1, 7, 7)
    assert fit_stack(kernel, 1, starts=2) > 0.1
    assert fit_stack(kernel, 2) < 1e-3


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="2 channels come out, and 3 are read"):
        compose_kernels(torch.zeros(2, 1, 3, 3), torch.zeros(1, 3, 3, 3))
    with pytest.raises(ValueError, match="weights must be at least one"):
        compose_kernels()
    with pytest.raises(ValueError, match="hidden must be at least 1; got 0"):
        stack_shapes(1, 0)
    with pytest.raises(ValueError, match=r"kernel must be \(1, 1, 7, 7\).*got \(1, 1, 5, 5\)"):
        fit_stack(torch.zeros(1, 1, 5, 5), 1)
