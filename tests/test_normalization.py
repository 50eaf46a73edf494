"""The layers written out are torch's, forward and backward, and the traps are where we say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sampling import examples
from torch import nn
from torch.nn import functional as F

from vgglab.normalization import BatchNorm2d, local_response_norm, lrn_window

SMALL = st.integers(1, 6)
NEAR = {"rtol": 1e-10, "atol": 1e-10}


def maps(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, dtype=torch.float64, generator=generator) + 1


def gradients(y, of, seed=1):
    """The gradients of a random weighted sum of y: each output counts differently."""
    weights = maps(*y.shape, seed=seed)
    return torch.autograd.grad((y * weights).sum(), of)


# --- LRN ----------------------------------------------------------------------------------------


@examples(20, 150)
@given(
    shape=st.tuples(SMALL, st.integers(1, 12), SMALL, SMALL),
    size=st.integers(1, 9),
    alpha=st.floats(1e-6, 2),
    beta=st.floats(0.1, 2),
    k=st.floats(0.5, 3),
    dims=st.integers(3, 5),
)
def test_lrn_is_torchs(shape, size, alpha, beta, k, dims):
    shape = (*shape, 2)[:dims]
    ours = maps(*shape).requires_grad_()
    theirs = maps(*shape).requires_grad_()
    y = local_response_norm(ours, size, alpha, beta, k)
    wanted = F.local_response_norm(theirs, size, alpha, beta, k)
    torch.testing.assert_close(y, wanted, **NEAR)
    torch.testing.assert_close(gradients(y, ours), gradients(wanted, theirs), **NEAR)


@given(st.integers(1, 12), st.integers(1, 9), st.data())
def test_the_window_is_where_a_channel_is_seen(channels, size, data):
    """Channel c is divided by something that depends on exactly the channels of its window."""
    channel = data.draw(st.integers(0, channels - 1))
    x = maps(1, channels, 1).requires_grad_()
    F.local_response_norm(x, size, alpha=1.0)[0, channel, 0].backward()
    assert x.grad is not None
    assert x.grad[0, :, 0].nonzero().flatten().tolist() == list(lrn_window(channel, channels, size))


def test_alexnets_formula_by_hand():
    x = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64)[None, :, None]
    y = local_response_norm(x, 5, 1e-2, 0.75, 2.0, formula="alexnet").flatten()
    for i in range(6):
        total = sum((j + 1) ** 2 for j in range(max(0, i - 2), min(5, i + 2) + 1))
        assert y[i].item() == pytest.approx((i + 1) / (2 + 1e-2 * total) ** 0.75, rel=1e-12)


@given(size=st.integers(1, 9), alpha=st.floats(1e-6, 1), scale=st.floats(1, 100))
def test_the_formulas_agree_with_alpha_times_size(size, alpha, scale):
    x = maps(2, 8, 3, 3, scale=scale)
    ours = local_response_norm(x, size, alpha, formula="alexnet")
    torch.testing.assert_close(ours, F.local_response_norm(x, size, alpha * size), **NEAR)


def test_with_the_same_alpha_they_are_far_apart():
    """AlexNet's constants on large activations: a third of the output's norm."""
    x = maps(4, 64, 13, 13, scale=50).relu()
    theirs = F.local_response_norm(x, 5, 1e-4, 0.75, 2.0)
    paper = local_response_norm(x, 5, 1e-4, 0.75, 2.0, formula="alexnet")
    assert 0.2 < (theirs - paper).norm() / paper.norm() < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: local_response_norm(torch.zeros(2, 3)), r"three dimensions; got \(2, 3\)"),
        (lambda: local_response_norm(torch.zeros(2, 3, 4), 0), "size must be at least 1; got 0"),
        (
            lambda: local_response_norm(torch.zeros(2, 3, 4), formula="paper"),
            "formula must be one of torch, alexnet; got 'paper'",
        ),
        (lambda: local_response_norm(torch.zeros(2, 0, 4)), r"with channels .* got \(2, 0, 4\)"),
        (
            lambda: local_response_norm(torch.zeros(2, 3, 4, dtype=torch.uint8)),
            "x must be floating-point; got torch.uint8",
        ),
        (lambda: lrn_window(3, 3), "channel must be below the 3 channels; got 3"),
        (lambda: lrn_window(-1, 3), "channel must be at least 0"),
    ],
)
def test_lrn_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- BatchNorm ----------------------------------------------------------------------------------


def pair(channels, **options):
    """Ours and torch's, with the same weights, not the initial ones."""
    theirs = nn.BatchNorm2d(channels, **options).double()
    if theirs.affine:
        nn.init.normal_(theirs.weight)
        nn.init.normal_(theirs.bias)
    ours = BatchNorm2d(channels, **options).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@examples(20, 150)
@given(
    shape=st.tuples(SMALL, SMALL, SMALL, SMALL),
    eps=st.floats(1e-6, 1),
    momentum=st.none() | st.floats(0, 1),
    affine=st.booleans(),
    tracked=st.booleans(),
    batches=st.integers(1, 4),
)
@example(shape=(1, 1, 1, 1), eps=1.0, momentum=0.1, affine=True, tracked=True, batches=1)
def test_batchnorm_is_torchs(shape, eps, momentum, affine, tracked, batches):
    number, channels, height, width = shape
    options = {
        "eps": eps,
        "momentum": momentum,
        "affine": affine,
        "track_running_stats": tracked,
    }
    ours, theirs = pair(channels, **options)
    one_value = number * height * width == 1
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        if training and one_value:
            for layer in (ours, theirs):
                with pytest.raises(ValueError, match=r"[Ee]xpected more than 1|at least two"):
                    layer(maps(*shape))
            theirs.load_state_dict(ours.state_dict())  # torch counts the batch that it refuses
            continue
        if one_value and not tracked:
            continue  # torch refuses in its own way
        for batch in range(batches):
            x = maps(*shape, seed=batch).requires_grad_()
            same = maps(*shape, seed=batch).requires_grad_()
            y, wanted = ours(x), theirs(same)
            torch.testing.assert_close(y, wanted, **NEAR)
            found = gradients(y, [x, *ours.parameters()])
            expected = gradients(wanted, [same, *theirs.parameters()])
            torch.testing.assert_close(found, expected, **NEAR)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **NEAR)


def test_the_state_goes_both_ways():
    ours, theirs = pair(3)
    ours(maps(2, 3, 4, 4))
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(theirs.running_var, ours.running_var)


def test_the_biased_variance_would_fall_short():
    """By (n - 1) / n: with four values a channel, a quarter."""
    x = maps(2, 1, 1, 2)
    layer = BatchNorm2d(1, momentum=1.0).double()
    layer(x)
    assert layer.running_var is not None
    biased = x.var(correction=0)
    assert (biased / layer.running_var).item() == pytest.approx(3 / 4)


def test_no_grad_is_not_eval():
    ours, theirs = pair(3)
    x = maps(4, 3, 5, 5)
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x))
    assert ours.num_batches_tracked == 1
    assert not torch.allclose(ours(x), ours.eval()(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 4, 4), r"x must be \(N, 3, H, W\); got \(3, 4, 4\)"),
        (torch.zeros(1, 4, 4, 4), r"got \(1, 4, 4, 4\)"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "x must be floating-point; got torch.uint8"),
        (torch.zeros(1, 3, 1, 1), r"at least two values a channel .* got \(1, 3, 1, 1\)"),
    ],
)
def test_batchnorm_refuses(x, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm2d(3)(x)


@pytest.mark.parametrize("layer", [local_response_norm, BatchNorm2d(3)])
def test_only_tensors_are_normalised(layer):
    with pytest.raises(TypeError, match="x must be a tensor; got list"):
        layer([1.0])
