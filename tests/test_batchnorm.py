"""BatchNorm folded into the layers before it: the same function, the caller's model untouched."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from untouched import assert_unchanged, everything

from vgglab import vgg
from vgglab.convert import fold_batchnorm

NORM = nn.modules.batchnorm._BatchNorm


def used(model: nn.Module) -> nn.Module:
    """As after a training, in float64: no BatchNorm has its initial numbers."""
    for module in model.modules():
        if isinstance(module, NORM):
            for tensor in (module.running_mean, module.bias):
                if tensor is not None:
                    nn.init.normal_(tensor, 0, 0.3)
            for tensor in (module.running_var, module.weight):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.5, 2)
    return model.double()


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, NORM) for module in model.modules())


def folded_the_same(model: nn.Module, *size: int) -> nn.Module:
    model = used(model)
    before = everything(model)
    folded = fold_batchnorm(model, size)
    assert_unchanged(before, model)
    assert not any(module.training for module in folded.modules())
    x = torch.randn(size, dtype=torch.float64)
    with torch.no_grad():
        wanted = model.eval()(x)
        error = (folded(x) - wanted).norm() / wanted.norm()
    assert error < 1e-10
    return folded


@pytest.mark.parametrize(
    ("model", "left"),
    [
        (lambda: vgg("D", norm="batch", head="gap", width=1 / 8), 0),
        (torchvision.models.resnet18, 0),
        (lambda: torchvision.models.mobilenet_v2(width_mult=0.35), 0),
        # DenseNet's BatchNorm mostly comes before the convolution.
        (torchvision.models.densenet121, 62),
    ],
)
def test_known_networks(model, left):
    model = model()
    assert norms(model) > left
    assert norms(folded_the_same(model, 2, 3, 64, 64)) == left


LAYERS = {
    "conv1d": (lambda i, o, bias: nn.Conv1d(i, o, 3, bias=bias), nn.BatchNorm1d, (7,)),
    "conv2d": (
        lambda i, o, bias: nn.Conv2d(i, o, 3, 2, 1, groups=2, bias=bias, padding_mode="circular"),
        nn.BatchNorm2d,
        (6, 5),
    ),
    "conv3d": (lambda i, o, bias: nn.Conv3d(i, o, 2, bias=bias), nn.BatchNorm3d, (3, 4, 5)),
    "transposed": (
        lambda i, o, bias: nn.ConvTranspose2d(i, o, 3, 2, bias=bias),
        nn.BatchNorm2d,
        (4, 4),
    ),
    "linear": (lambda i, o, bias: nn.Linear(i, o, bias=bias), nn.BatchNorm1d, ()),
}


@given(
    st.sampled_from(sorted(LAYERS)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.floats(1e-5, 1),
)
def test_every_kind_of_layer(kind, inner, outer, bias, affine, eps):
    make, norm, size = LAYERS[kind]
    model = nn.Sequential(make(2 * inner, 2 * outer, bias), norm(2 * outer, eps=eps, affine=affine))
    assert norms(folded_the_same(model, 2, 2 * inner, *size)) == 0


class Wired(nn.Module):
    """A convolution and a BatchNorm, put together in some way."""

    def __init__(self, forward, **modules) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def tied() -> nn.Module:
    model = Wired(lambda m, x: m.norm(m.conv(x)) + m.other(x), other=nn.Conv2d(3, 3, 3, padding=1))
    model.other.weight = model.conv.weight
    return model


def tied_to_an_unused_layer() -> nn.Module:
    model = Wired(lambda m, x: m.norm(m.conv(x)), other=nn.Conv2d(3, 3, 3))
    model.other.weight = model.conv.weight
    return model


def hooked(path: str) -> nn.Module:
    model = Wired(lambda m, x: m.norm(m.conv(x)))
    model.get_submodule(path).register_forward_hook(lambda module, args, output: 2 * output)
    return model


def under_two_names() -> nn.Module:
    model = Wired(lambda m, x: m.alias(m.conv(x)))
    model.alias = model.norm
    return model


STAY = {
    "the output is read twice": lambda: Wired(lambda m, x: m.norm(y := m.conv(x)) + y),
    "something lies between": lambda: Wired(lambda m, x: m.norm(m.conv(x).relu())),
    "the layer runs twice": lambda: Wired(lambda m, x: m.norm(m.conv(x)) + m.conv(2 * x)),
    "the norm runs twice": lambda: Wired(lambda m, x: m.norm(m.norm(m.conv(x)))),
    "a norm without weights runs twice": lambda: Wired(
        lambda m, x: m.plain(m.conv(x)) + m.plain(2 * x),
        plain=nn.BatchNorm2d(3, affine=False),
        norm=None,
    ),
    "the norm comes first": lambda: Wired(lambda m, x: m.conv(m.norm(x))),
    "the weights are shared": tied,
    "an unused layer shares the weights": tied_to_an_unused_layer,
    "the layer has a hook": lambda: hooked("conv"),
    "the norm has a hook": lambda: hooked("norm"),
    "the norm has two names": under_two_names,
    "the layer's weights are read elsewhere": lambda: Wired(
        lambda m, x: m.norm(m.conv(x)) + functional.conv2d(x, m.conv.weight, padding=1)
    ),
    "the norm's weights are read elsewhere": lambda: Wired(
        lambda m, x: m.norm(m.conv(x)) * m.norm.weight[:, None, None]
    ),
    "no running statistics": lambda: nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "weights are computed": lambda: nn.Sequential(
        weight_norm(nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3)
    ),
    "groups of a transposed convolution": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 3, 3, groups=3), nn.BatchNorm2d(3)
    ),
}


@pytest.mark.parametrize("why", STAY)
def test_what_cannot_be_folded_stays(why):
    model = STAY[why]()
    assert norms(folded_the_same(model, 2, 3, 6, 6)) == 1


def test_channels_that_are_not_the_layers_stay():
    """A linear layer on (N, C, L): BatchNorm1d normalises C, and the layer makes L."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
    assert norms(folded_the_same(model, 2, 5, 4)) == 1


def test_an_output_of_the_model_stays_as_it_is():
    model = used(Wired(lambda m, x: (y := m.conv(x), m.norm(y))))
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    folded = fold_batchnorm(model, (2, 3, 5, 5))
    with torch.no_grad():
        for ours, wanted in zip(folded(x), model.eval()(x), strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)


def test_it_is_another_function_in_train_mode():
    model = used(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).train()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert not torch.allclose(fold_batchnorm(model, x.shape)(x), model(x))


def test_a_compiled_model_is_folded():
    model = used(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    folded = fold_batchnorm(torch.compile(model, backend="eager"), x.shape)
    assert norms(folded) == 0
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-10, atol=1e-10)


def test_types_and_frozen_weights_are_kept():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).half()
    model[0].weight.requires_grad_(False)
    conv = fold_batchnorm(model, (2, 3, 8, 8))[0]
    assert {p.dtype for p in conv.parameters()} == {torch.float16}
    assert not any(p.requires_grad for p in conv.parameters())
    conv = fold_batchnorm(
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), (2, 3, 8, 8)
    )[0]
    assert all(p.requires_grad for p in conv.parameters())


@pytest.mark.parametrize(
    ("model", "size", "error", "message"),
    [
        (nn.Conv2d(3, 4, 3), (1, 4, 8, 8), ValueError, r"input_size must be one that the model"),
        (nn.Conv2d(3, 4, 3), 5, TypeError, "input_size must be a shape"),
        (5, (1, 3, 8, 8), TypeError, "model must be a torch.nn.Module; got int"),
    ],
)
def test_bad_input(model, size, error, message):
    with pytest.raises(error, match=message):
        fold_batchnorm(model, size)
