from dataclasses import astuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import torchvision_network
from torch import nn
from torch.nn import functional as F
from untouched import Careless, assert_unchanged, everything

from vgglab.lab.activations import activation_statistics


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Fixed(nn.Module):
    """Returns the same values, whatever comes."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.tensor(values, dtype=torch.float64)

    def forward(self, x):
        return self.values + 0 * x.sum()


def statistics_of(values, **options):
    (row,) = activation_statistics(Fixed(values), images(1, 1), kinds=Fixed, **options)
    return row


def test_numbers_by_hand():
    row = statistics_of([0.0, 2.0, -4.0, 6.0], decades=(-1, 1), bins=2)
    assert (row.path, row.type) == ("", "Fixed")
    assert row.mean == 1
    assert row.std == pytest.approx((1 + 1 + 25 + 25) ** 0.5 / 2)
    assert row.near_zero == 1 / 4
    assert row.counts == (0, 3)
    assert row.decades == (-1, 1)
    assert row.gradient_rms is row.weight_gradient_norm is None


@pytest.mark.parametrize(
    ("value", "counts", "near_zero"),
    [
        (0.0, (0, 0, 0), 1),
        (-0.5e-2, (0, 0, 0), 1),
        (-0.5e-1, (1, 0, 0), 0),
        (0.5, (0, 1, 0), 0),
        (1.0, (0, 0, 1), 0),
        (-5.0, (0, 0, 1), 0),
        (5e9, (0, 0, 1), 0),
        (float("-inf"), (0, 0, 1), 0),
        (float("nan"), (0, 0, 0), 0),
    ],
)
def test_each_magnitude_has_its_place(value, counts, near_zero):
    row = statistics_of([value], decades=(-2, 1), bins=3)
    assert (row.counts, row.near_zero) == (counts, near_zero)


@given(st.integers(1, 60), st.integers(-9, 2), st.integers(1, 9), st.integers(0, 99))
def test_all_values_are_counted(bins, low, width, seed):
    values = (images(500, seed=seed) * 10.0 ** images(500, seed=seed + 1).mul(3)).tolist()
    row = statistics_of(values, bins=bins, decades=(low, low + width))
    assert len(row.counts) == bins
    assert sum(row.counts) + round(row.near_zero * 500) == 500


def network(inplace=False, cls=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        cls(inplace=inplace),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
        cls(inplace=inplace),
        nn.Flatten(),
        nn.Linear(5 * 4 * 4, 2),
    ).double()


def assert_same(rows, wanted):
    """The same layers with the same numbers, up to rounding."""
    for row, other in zip(rows, wanted, strict=True):
        for got, expected in zip(astuple(row), astuple(other), strict=True):
            assert got == (expected if isinstance(expected, str) else pytest.approx(expected))


def squares(output):
    return output.square().sum()


@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_autograds(training):
    model = network().train(training)
    x = images(3, 3, 8, 8)
    rows = activation_statistics(model, x, loss=squares)
    assert [row.path for row in rows] == ["0", "2", "6"]
    outputs = []
    for index, module in enumerate(model):
        x = module(x)
        if index in (0, 2, 6):
            x.retain_grad()
            outputs.append((module, x))
    squares(x).backward()
    for row, (module, y) in zip(rows, outputs, strict=True):
        assert row.mean == pytest.approx(y.mean().item())
        assert row.std == pytest.approx(y.std(correction=0).item())
        assert row.gradient_rms == pytest.approx(y.grad.square().mean().sqrt().item())
        assert row.weight_gradient_norm == pytest.approx(module.weight.grad.norm().item())


def test_in_place_operations_falsify_nothing():
    x = images(2, 3, 8, 8)
    rows = [activation_statistics(network(inplace), x, loss=squares) for inplace in (False, True)]
    assert_same(*rows)
    assert rows[0][0].mean != activation_statistics(network(), x, kinds=nn.ReLU)[0].mean


def test_the_images_are_not_overwritten():
    x = images(2, 3, 8, 8)
    before = x.clone()
    activation_statistics(nn.Sequential(nn.ReLU(inplace=True), *network()), x, loss=squares)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert x.grad is None


def test_off_units_are_near_zero():
    first, second = activation_statistics(network(), images(4, 3, 8, 8), kinds=nn.ReLU)
    assert 0.2 < first.near_zero < 0.8
    assert 0.2 < second.near_zero < 0.8
    convolutions = activation_statistics(network(), images(4, 3, 8, 8))
    assert all(row.near_zero < 0.01 for row in convolutions)


def test_each_module_is_in_its_own_mode():
    x = 5 + images(4, 3, 8, 8)
    trained, frozen = (
        activation_statistics(network().train(mode), x, kinds=nn.BatchNorm2d)[0]
        for mode in (True, False)
    )
    assert trained.mean == pytest.approx(0, abs=1e-12)
    assert trained.std == pytest.approx(1, abs=1e-3)
    assert abs(frozen.mean) > 0.01 or abs(frozen.std - 1) > 0.01


def test_gradients_pass_frozen_layers():
    model = network()
    free = activation_statistics(model, images(2, 3, 8, 8), loss=squares)
    model[0].requires_grad_(False)
    rows = activation_statistics(model, images(2, 3, 8, 8), loss=squares)
    assert rows[0].gradient_rms == pytest.approx(free[0].gradient_rms)
    assert rows[0].gradient_rms > 0
    assert rows[0].weight_gradient_norm is None
    assert_same(rows[1:], free[1:])


def test_tiny_gradients_do_not_vanish():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    (row,) = activation_statistics(
        model, images(1, 3, 5, 5).float(), loss=lambda output: 1e-30 * output.sum()
    )
    assert row.gradient_rms == pytest.approx(1e-30, rel=1e-5, abs=0)


def test_a_compiled_model_is_the_same():
    x = images(2, 3, 8, 8)
    wanted = activation_statistics(network(), x)
    assert_same(activation_statistics(torch.compile(network(), backend="eager"), x), wanted)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1).double()
        self.unused = nn.Conv2d(3, 3, 1).double()

    def forward(self, x):
        return self.conv(self.conv(x))


def test_a_layer_called_twice_is_there_twice():
    model = Twice()
    x = images(2, 3, 4, 4)
    first, second = activation_statistics(model, x, loss=squares)
    squares(model(x)).backward()
    assert first.path == second.path == "conv"
    assert first.mean != second.mean
    total = model.conv.weight.grad.norm().item()
    assert first.weight_gradient_norm == second.weight_gradient_norm == pytest.approx(total)


def test_no_gradient_where_the_loss_does_not_look():
    class Cut(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x).detach())

    model = Cut(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)).double()
    before, after = activation_statistics(model, images(1, 3, 4, 4), loss=squares)
    assert before.gradient_rms is before.weight_gradient_norm is None
    assert after.gradient_rms > 0


@pytest.mark.parametrize("loss", [None, squares])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_untouched(loss, training):
    model = nn.Sequential(network()[:5], nn.Dropout(), nn.Flatten()).train(training)
    model.register_forward_hook(lambda module, args, output: None)
    before = everything(model)
    activation_statistics(model, images(2, 3, 8, 8), loss=loss)
    assert_unchanged(before, model)


def test_a_model_that_changes_itself_is_untouched():
    model = Careless()
    before = everything(model)
    activation_statistics(model, images(2, 3, 9, 9).float(), loss=squares)
    assert_unchanged(before, model)
    assert model.kept == []


def test_a_loss_with_weights_of_its_own_is_untouched():
    head = nn.Linear(2, 1).double()
    activation_statistics(network(), images(1, 3, 8, 8), loss=lambda y: head(y).sum())
    assert head.weight.grad is None


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_wherever_it_is_called(context):
    x = images(2, 3, 8, 8)
    wanted = activation_statistics(network(), x, loss=squares)
    with context():
        assert_same(activation_statistics(network(), x.clone(), loss=squares), wanted)


def test_signals_fade_without_normalization_and_not_with_it():
    """With weights of standard deviation 0.01, as in AlexNet, a deep plain network goes silent."""
    stds = {}
    for name in ("vgg16", "vgg16_bn"):
        model = torchvision_network(name, "meta").features.to_empty(device="cpu")
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
        x = images(2, 3, 32, 32).float()
        kinds = (nn.Conv2d, nn.BatchNorm2d) if name == "vgg16_bn" else nn.Conv2d
        rows = activation_statistics(model.train(), x, kinds=kinds)
        stds[name] = [row.std for row in rows if row.type != "Conv2d" or name == "vgg16"]
    assert stds["vgg16"][-1] < 1e-3 * stds["vgg16"][0]
    assert all(0.8 < std < 1.1 for std in stds["vgg16_bn"])


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        ([1.0], {}, TypeError, "images must be a floating-point tensor .*; got list"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), {}, TypeError, "floating-point.*torch.uint8"),
        (torch.zeros(0, 3, 8, 8), {}, ValueError, r"got the shape \(0, 3, 8, 8\)"),
        (images(1, 4, 8, 8), {}, ValueError, r"it fails for \(1, 4, 8, 8\) at '0'"),
        (images(1, 3, 8, 8).float(), {}, ValueError, r"images must be such as the model takes"),
        (images(1, 3, 8, 8), {"kinds": "Conv2d"}, TypeError, "kinds must be classes of modules"),
        (images(1, 3, 8, 8), {"kinds": nn.Conv3d}, ValueError, "kinds must be .*that the model"),
        (images(1, 3, 8, 8), {"bins": 0}, ValueError, "bins must be at least 1; got 0"),
        (images(1, 3, 8, 8), {"decades": (2, 2)}, ValueError, r"decades must be .*got \(2, 2\)"),
        (images(1, 3, 8, 8), {"loss": F.relu}, ValueError, r"with one number; got \(1, 2\)"),
        (images(1, 3, 8, 8), {"loss": lambda y: 0}, ValueError, "with one number; got int"),
        (
            images(1, 3, 8, 8),
            {"loss": lambda y: y.sum().detach()},
            ValueError,
            "loss must depend on the model's output",
        ),
    ],
)
def test_bad_input(x, options, error, message):
    with pytest.raises(error, match=message):
        activation_statistics(network(), x, **options)


def test_layers_that_return_no_tensor_are_refused():
    with pytest.raises(ValueError, match=r"return one tensor; '0' \(Pair\) returns tuple"):
        activation_statistics(nn.Sequential(Pair()), images(1, 3), kinds=Pair)
