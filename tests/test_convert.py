"""The surgeon: what conversions keep, what they change, and what they refuse."""

from __future__ import annotations

import pickle
from math import prod
from types import MethodType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import FLATTENS, SmallNetwork, torchvision_network
from sampling import examples
from torch import Tensor, nn
from untouched import assert_unchanged, everything

from vgglab import diagnose
from vgglab.convert import (
    fc_to_conv,
    fold_adaptive_pool,
    with_adaptive_pool,
    with_flatten,
    with_gap_head,
    with_in_channels,
    with_new_fc,
    with_new_linear,
    with_num_classes,
    with_pooled_features,
    with_second_layer,
    with_spp_head,
)
from vgglab.convert.chain import shared_chains
from vgglab.models.network import vgg
from vgglab.pooling import SpatialPyramidPool
from vgglab.receptive_field import receptive_field

SIZE = (1, 3, 224, 224)
LARGE = (1, 3, 400, 400)


def narrow(head: str = "fc", **options) -> nn.Module:
    """VGG-A with 4 to 32 channels, in float64 and eval mode."""
    network = vgg("A", head=head, width=1 / 16, num_classes=10, dtype=torch.float64, **options)
    return network.eval()


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)


def random_images(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, dtype=torch.float64, generator=generator)


def drawn(model: nn.Module) -> nn.Module:
    """Give a network without data small random weights, in float64."""
    model = model.to_empty(device="cpu").double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.normal_(0, 0.05, generator=generator)
    return model


def assert_close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


# --- the claims about the official networks ---------------------------------------------------


@pytest.mark.wide
def test_vgg16_of_torchvision():
    model = torchvision_network("vgg16").eval()
    x = torch.randn(LARGE)
    folded = fold_adaptive_pool(model, LARGE)
    convolution = folded.classifier[0]
    assert (convolution.in_channels, convolution.out_channels) == (512, 4096)
    assert convolution.kernel_size == (12, 12)
    assert sum(p.numel() for p in convolution.parameters()) == 301_993_984
    expected = outputs(model, x)
    assert (outputs(folded, x) - expected).norm() < 1e-5 * expected.norm()
    del folded, convolution

    model.double()
    x = random_images(*SIZE)
    converted = fc_to_conv(model, SIZE)
    assert converted.classifier[0].kernel_size == (7, 7)
    scores = outputs(converted, x)
    assert scores.shape == (1, 1000, 1, 1)
    assert (scores.flatten(1) - outputs(model, x)).abs().max() <= 1e-12


def test_alexnet_of_torchvision():
    """With 64 hidden features, so that the weights take megabytes."""
    model = torchvision_network("alexnet", "meta")
    model.classifier[1], model.classifier[4] = nn.Linear(9216, 64), nn.Linear(64, 64)
    model.classifier[6] = nn.Linear(64, 1000)
    model = drawn(model).eval()
    x = random_images(*SIZE)
    assert_close(outputs(fc_to_conv(model, SIZE), x).flatten(1), outputs(model, x))
    x = random_images(1, 3, 250, 200)
    assert_close(outputs(fold_adaptive_pool(model, (1, 3, 250, 200)), x), outputs(model, x))


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn"])
def test_vggs_of_torchvision_keep_their_keys(name):
    model = torchvision_network(name, "meta")
    converted = fc_to_conv(model, SIZE)
    before, after = model.state_dict(), converted.state_dict()
    assert list(before) == list(after)
    changed = [key for key in before if before[key].shape != after[key].shape]
    assert changed == ["classifier.0.weight", "classifier.3.weight", "classifier.6.weight"]
    assert all(tensor.is_meta for tensor in after.values())


@pytest.fixture(scope="module")
def of_timm() -> nn.Module:
    """A VGG whose first two FC layers are convolutions already, then averages and a linear one."""
    from timm.models import vgg as timm_vgg  # a second to import

    configuration = [2, "M", 4, "M", 4, "M", 4, "M", 4, "M"]
    return timm_vgg.VGG(configuration, num_classes=10, mlp_ratio=0.01).double().eval()


def test_vgg_of_timm(of_timm):
    x, larger = random_images(*SIZE), random_images(*LARGE)
    converted = fc_to_conv(of_timm, SIZE)
    assert list(converted.state_dict()) == list(of_timm.state_dict())
    assert converted.head.fc.kernel_size == (1, 1)
    assert_close(outputs(converted, x).flatten(1), outputs(of_timm, x))
    # Its average of features is the average of scores, for only a linear layer comes after it.
    scores = outputs(converted, larger)
    assert scores.shape == (1, 10, 6, 6)
    assert_close(scores.mean((2, 3)), outputs(of_timm, larger))

    folded = fold_adaptive_pool(of_timm, LARGE)
    assert folded.head.fc.kernel_size == (6, 6)
    assert_close(outputs(folded, larger), outputs(of_timm, larger))

    same = with_adaptive_pool(of_timm, 1)
    assert_close(outputs(same, larger), outputs(of_timm, larger))
    expected = of_timm.state_dict() | {"head.fc.weight": torch.empty(3, 4096)}
    fresh = with_gap_head(of_timm, 3)
    assert [*fresh.state_dict()] == [*expected]
    assert fresh.head.fc.weight.shape == (3, 4096)
    assert outputs(fresh, larger).shape == (1, 3)


# --- generated networks ----------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn, pool: str, padded: bool = True) -> tuple[nn.Module, tuple[int, ...]]:
    """Generate a network in float64 and eval mode, and the size of a batch that it takes.

    `pool` is what comes before the flatten: "none", "adaptive", "idle" (adaptive, without an
    effect), "fixed" or "several".
    """
    channels = in_channels = draw(st.integers(1, 3))
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        out_channels = draw(st.integers(1, 4))
        layers.append(
            nn.Conv2d(
                channels,
                out_channels,
                kernel_size=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
                stride=draw(st.integers(1, 2)),
                padding=draw(st.integers(0, 2)) if padded else 0,
                dilation=draw(st.integers(1, 2)),
            )
        )
        channels = out_channels
        if draw(st.booleans()):
            layers.append(nn.BatchNorm2d(channels))
        layers.append(draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.Identity]))())
        kind = draw(st.sampled_from([None, nn.MaxPool2d, nn.AvgPool2d]))
        if kind is not None:
            ceil_mode = padded and draw(st.booleans())
            layers.append(
                kind(draw(st.integers(1, 3)), draw(st.integers(1, 2)), 0, ceil_mode=ceil_mode)
            )
    size = (2, in_channels, draw(st.integers(6, 24)), draw(st.integers(6, 24)))
    try:
        _, _, *sides = nn.Sequential(*layers)(torch.zeros(size)).shape
    except RuntimeError:
        assume(False)
    for kind in {"several": ["fixed", "adaptive"], "none": []}.get(pool, [pool]):
        if kind == "fixed":
            window = draw(st.integers(1, min(3, *sides)))
            options = {
                "stride": draw(st.integers(1, 3)),
                "padding": draw(st.integers(0, window // 2)),
                "ceil_mode": draw(st.booleans()),
                "count_include_pad": draw(st.booleans()),
                "divisor_override": draw(st.sampled_from([None, 3])),
            }
            layers.append(nn.AvgPool2d(window, **options))
        else:
            output_size = sides if kind == "idle" else draw(st.tuples(*[st.integers(1, 6)] * 2))
            layers.append(nn.AdaptiveAvgPool2d(output_size))
        _, _, *sides = nn.Sequential(*layers).eval()(torch.zeros(size)).shape
    features = channels * prod(sides)
    assume(features <= 1000)
    hidden = draw(st.integers(1, 4))
    dropout = [nn.Dropout()] if draw(st.booleans()) else []
    norm = [nn.BatchNorm1d(hidden)] if draw(st.booleans()) else []
    softmax = draw(st.sampled_from([[], [nn.LogSoftmax(1)], [nn.Softmax(-1)]]))
    deep = [nn.Linear(features, hidden), *norm, nn.ReLU(), nn.Dropout(), nn.Linear(hidden, 3)]
    head = deep if draw(st.booleans()) else [nn.Linear(features, 3, bias=False)]
    flatten = draw(st.sampled_from([*FLATTENS]))
    network = SmallNetwork(
        nn.Sequential(*layers), flatten, nn.Sequential(*dropout, *head, *softmax)
    ).double()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():  # BatchNorm is to matter, and its variance positive
            tensor.uniform_(0.5 if "var" in name else -0.5, 1.5, generator=generator)
    return network.eval(), size


@examples(6, 30)
@given(case=networks(pool="none") | networks(pool="idle") | networks(pool="fixed"))
def test_converted_network_is_the_same_function(case):
    model, size = case
    x = random_images(*size)
    untouched = everything(model)
    converted = fc_to_conv(model, size)
    assert_unchanged(untouched, model)
    scores = outputs(converted, x)
    assert scores.shape == (2, 3, 1, 1)
    assert_close(scores.flatten(1), outputs(model, x))
    before, after = model.state_dict(), converted.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key].flatten(), after[key].flatten()) for key in before)


def test_a_cell_that_sees_no_padding_is_not_its_crop_all_the_same():
    """The crop has zeros at its own borders, where the image goes on."""
    network = vgg("D", width=1 / 16, head="fc-fixed").double().eval()
    sliding = fc_to_conv(network, SIZE)
    image = random_images(1, 3, 832, 832)
    box = receptive_field(sliding, tuple(image.shape), "classifier.0").box(9, 9, clipped=False)
    assert min(box.top, box.left) >= 0
    assert max(box.bottom, box.right) <= 832
    cell = outputs(sliding, image)[0, :, 9, 9]
    of_crop = outputs(network, image[:, :, 288:512, 288:512])[0]
    assert (cell - of_crop).norm() > 0.01 * of_crop.norm()


@examples(6, 30)
@given(
    case=networks(pool="none", padded=False), more=st.tuples(st.integers(0, 2), st.integers(0, 2))
)
def test_without_padding_each_cell_is_the_network_on_a_crop(case, more):
    model, (batch, channels, height, width) = case
    strides = [m.stride for m in model.features if hasattr(m, "stride")]
    stride = prod(s if isinstance(s, int) else s[0] for s in strides)
    x = random_images(batch, channels, height + stride * more[0], width + stride * more[1])
    scores = outputs(fc_to_conv(model, (batch, channels, height, width)), x)
    assert scores.shape[2:] == (more[0] + 1, more[1] + 1)
    for i in range(more[0] + 1):
        for j in range(more[1] + 1):
            top, left = i * stride, j * stride
            crop = x[:, :, top : top + height, left : left + width]
            assert_close(scores[:, :, i, j], outputs(model, crop))


@examples(6, 30)
@given(case=networks(pool="adaptive") | networks(pool="fixed") | networks(pool="several"))
def test_folded_network_is_the_same_function(case):
    model, size = case
    x = random_images(*size)
    untouched = everything(model)
    folded = fold_adaptive_pool(model, size)
    assert_unchanged(untouched, model)
    assert_close(outputs(folded, x), outputs(model, x))
    assert list(folded.state_dict()) == list(model.state_dict())


@examples(6, 30)
@given(case=networks(pool="none") | networks(pool="fixed"))
def test_adaptive_pool_changes_nothing_where_the_classifier_fits(case):
    model, size = case
    # At the sizes that are tried, such a view may mix images; `valid_sizes` has to find another.
    assume(model.flatten != "view of batch")
    x = random_images(*size)
    sides = model.features(x).shape[2:]
    pooled = with_adaptive_pool(model, sides)
    expected = outputs(model, x)
    if isinstance(pooled.features[-1], nn.AdaptiveAvgPool2d):  # in the place of a fixed pooling
        maps = F.adaptive_avg_pool2d(outputs(model.features[:-1], x), sides)
        expected = outputs(model.classifier, maps.flatten(1))
    assert_close(outputs(pooled, x), expected)
    assert outputs(pooled, random_images(2, size[1], 40, 50)).shape == (2, 3)
    pooled.load_state_dict(model.state_dict(), strict=True)


# --- nothing changes behind one's back ---------------------------------------------------------

WITHOUT_RANDOM_NUMBERS = {
    "fc_to_conv": lambda model: fc_to_conv(model, SIZE),
    "fold": lambda model: fold_adaptive_pool(model, LARGE),
    "adaptive": with_adaptive_pool,
}
WITH_FRESH_LAYERS = {
    "gap": lambda model: with_gap_head(model, 3),
    "spp": lambda model: with_spp_head(model, (1, 2), 3),
    "new fc": lambda model: with_new_fc(model, LARGE),
}
CONVERSIONS = WITHOUT_RANDOM_NUMBERS | WITH_FRESH_LAYERS


def network_for(name: str) -> nn.Module:
    return narrow("fc-fixed" if name == "new fc" else "fc", norm="batch")


@pytest.mark.parametrize("name", CONVERSIONS)
def test_model_is_untouched(name):
    model = network_for(name).train()
    model.features.eval()
    model.features[0].weight.requires_grad_(False)
    model.classifier[4].register_forward_hook(lambda module, args, output: None)
    model.features[3].register_full_backward_hook(lambda module, grads, outputs: None)
    before = everything(model)
    converted = CONVERSIONS[name](model)
    after = everything(model)
    if name in WITHOUT_RANDOM_NUMBERS:
        assert before["rng"] == after["rng"]
    torch.set_rng_state(torch.tensor(before["rng"][0], dtype=torch.uint8))
    converted(random_images(2, 3, 400, 400)).sum().backward()
    with torch.no_grad():
        for tensor in converted.state_dict().values():
            tensor.zero_()
    torch.set_rng_state(torch.tensor(before["rng"][0], dtype=torch.uint8))
    assert_unchanged(before, model)


def storages(model: nn.Module) -> set[int]:
    tensors = [*model.parameters(), *model.buffers()]
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_result_shares_no_memory(name):
    model = network_for(name)
    assert storages(model).isdisjoint(storages(CONVERSIONS[name](model)))


@pytest.mark.parametrize("name", CONVERSIONS)
def test_modes_types_and_gradients_carry_over(name):
    model = network_for(name).train()
    model.features[1].eval()  # a frozen BatchNorm
    model.features.requires_grad_(False)
    model.classifier[6].bias.requires_grad_(False)
    model.classifier[5].eval()
    converted = CONVERSIONS[name](model)
    assert converted.training
    modes = {path: module.training for path, module in model.named_modules()}
    assert not modes["features.1"]
    for path, module in converted.named_modules():
        assert module.training == modes.get(path, True), path
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    for key, parameter in converted.named_parameters():
        assert parameter.dtype == torch.float64
        fresh = name in WITH_FRESH_LAYERS and key.startswith("classifier")
        assert fresh or parameter.requires_grad == wanted[key], key
    assert not any(m.training for m in CONVERSIONS[name](model.eval()).modules())


@pytest.mark.parametrize("name", CONVERSIONS)
def test_models_without_data(name):
    model = network_for(name)
    expected = {key: tensor.shape for key, tensor in CONVERSIONS[name](model).state_dict().items()}
    without_data = CONVERSIONS[name](model.to("meta")).state_dict()
    assert {key: tensor.shape for key, tensor in without_data.items()} == expected
    assert all(tensor.is_meta for tensor in without_data.values())


def test_fresh_layers_are_drawn_as_torch_draws_them():
    model = narrow()
    torch.manual_seed(3)
    expected = nn.Linear(32, 7, dtype=torch.float64)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    converted = with_gap_head(model, 7)
    assert torch.equal(converted.get_parameter("classifier.6.weight"), expected.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_hooks_of_kept_modules_run():
    model = narrow()
    shapes = []
    model.features[0].register_forward_hook(lambda module, args, out: shapes.append(out.shape))
    converted = fc_to_conv(model, SIZE)
    assert shapes == []
    outputs(converted, random_images(1, 3, 240, 224))
    assert shapes == [(1, 4, 240, 224)]


def test_tied_weights_stay_tied():
    model = narrow()
    model.features[18].weight = model.features[16].weight
    converted = with_adaptive_pool(model)
    assert converted.features[18].weight is converted.features[16].weight


# --- how a forward may be written --------------------------------------------------------------


class LeNet(nn.Module):
    """Everything but the layers with weights is a function."""

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x), inplace=True)
        x = F.dropout(x, self.dropout, training=self.training)
        x = F.leaky_relu(self.fc2(x), 0.2)
        return F.log_softmax(self.fc3(x), dim=-1)


def test_functions_become_modules():
    model = LeNet().double().eval()
    converted = fc_to_conv(model, (1, 1, 32, 32))
    kinds = " ".join(type(module).__name__ for module in converted)
    assert kinds == (
        "Conv2d ReLU MaxPool2d Conv2d Tanh MaxPool2d "
        "Conv2d ReLU Dropout Conv2d LeakyReLU Conv2d LogSoftmax"
    )
    assert converted.dropout.p == 0.25
    x = random_images(2, 1, 32, 32)
    assert_close(outputs(converted, x).flatten(1), outputs(model, x))
    assert [*converted.state_dict()] == [*model.state_dict()]


def test_dropout_of_functions_follows_the_mode():
    model = LeNet(dropout=1.0).double()
    x = random_images(2, 1, 32, 32)
    converted = fc_to_conv(model, (1, 1, 32, 32))
    assert_close(outputs(converted, x).flatten(1), outputs(model, x))
    scores = outputs(converted, x)
    assert_close(scores[0], scores[1])  # all was dropped
    converted, model = converted.eval(), model.eval()
    scores = outputs(converted, x)
    assert not torch.allclose(scores[0], scores[1])
    assert_close(outputs(converted, x).flatten(1), outputs(model, x))


def test_a_size_at_which_the_network_runs_is_found():
    # 16 * 5 * 5 is in its forward, so at 224 it stops or mixes images.
    pooled = with_adaptive_pool(LeNet(), 5)
    assert outputs(pooled, torch.zeros(3, 1, 100, 90)).shape == (3, 10)
    refitted = with_new_fc(LeNet(), (1, 1, 64, 64))
    assert refitted.fc1.in_features == 16 * 13 * 13
    assert outputs(refitted, torch.zeros(3, 1, 64, 64)).shape == (3, 10)


class Wrapped(nn.Module):
    def __init__(self, forward, /, **modules) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def pool_as(pool, /, **modules) -> nn.Module:
    return Wrapped(
        lambda model, x: model.fc(pool(model, model.conv(x))),
        conv=nn.Conv2d(3, 4, 3, stride=2),
        fc=nn.Linear(4, 5),
        **modules,
    )


GLOBAL_POOLS = {
    "mean": pool_as(lambda model, x: x.mean((2, 3))),
    "mean of last": pool_as(lambda model, x: x.mean([-1, -2])),
    "mean kept": pool_as(lambda model, x: x.mean((-2, -1), keepdim=True).flatten(1)),
    "squeeze": pool_as(lambda model, x: F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)),
    "view": pool_as(lambda model, x: F.adaptive_avg_pool2d(x, (1, 1)).view(len(x), -1)),
    "square window": pool_as(lambda model, x: torch.flatten(F.avg_pool2d(x, x.shape[-1]), 1)),
    "custom": pool_as(
        lambda model, x: model.pool(x),
        pool=Wrapped(lambda model, x: x.mean((2, 3), keepdim=True).flatten(1)),
    ),
    "block": pool_as(
        lambda model, x: model.block(x).flatten(1),
        block=Wrapped(lambda model, x: F.adaptive_avg_pool2d(model.act(x), 1), act=nn.ReLU()),
    ),
}


@pytest.mark.parametrize("name", GLOBAL_POOLS)
def test_global_pools(name):
    model = GLOBAL_POOLS[name].double()
    x = random_images(2, 3, 21, 21)
    folded = fold_adaptive_pool(model, (1, 3, 21, 21))
    assert folded.fc.kernel_size == (10, 10)
    assert_close(outputs(folded, x), outputs(model, x))
    pyramid = with_spp_head(model, (1, 2), 7)
    assert pyramid.fc.in_features == 4 * 5
    assert outputs(pyramid, x).shape == (2, 7)


def test_modules_that_run_twice():
    model = Wrapped(
        lambda m, x: m.fc2(
            m.act(m.fc1(m.pool(m.act(m.conv2(m.pool(m.act(m.conv1(x)))))).flatten(1)))
        ),
        conv1=nn.Conv2d(1, 4, 3),
        conv2=nn.Conv2d(4, 6, 3),
        act=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        fc1=nn.Linear(6 * 5 * 5, 8),
        fc2=nn.Linear(8, 3),
    ).double()
    converted = fc_to_conv(model, (1, 1, 28, 28))
    x = random_images(2, 1, 28, 28)
    assert_close(outputs(converted, x).flatten(1), outputs(model, x))
    assert [*converted.state_dict()] == [*model.state_dict()]


def test_resnet_keeps_its_blocks():
    model = torchvision_network("resnet18").eval().double()
    x = random_images(1, 3, 100, 70)
    folded = fold_adaptive_pool(model, (1, 3, 100, 70))
    assert folded.fc.kernel_size == (4, 3)
    assert_close(outputs(folded, x), outputs(model, x))
    assert [*folded.state_dict()] == [*model.state_dict()]
    assert type(folded.layer1[0]).__name__ == "BasicBlock"
    converted = fc_to_conv(model, (1, 3, 32, 32))
    small = random_images(1, 3, 32, 32)
    assert_close(outputs(converted, small).flatten(1), outputs(model, small))
    # A linear layer after an average is the average of that layer: a class activation map.
    assert_close(outputs(converted, x).mean((2, 3)), outputs(model, x))


def test_wrapped_and_compiled_networks():
    model = narrow()
    x = random_images(*SIZE)
    wrapped = Wrapped(lambda outer, x: outer.backbone(x), backbone=model)
    for network in (
        wrapped,
        torch.compile(model, backend="eager"),
        nn.Sequential(nn.Identity(), model),
    ):
        converted = fc_to_conv(network, SIZE)
        assert_close(outputs(converted, x).flatten(1), outputs(model, x))
    assert [*fc_to_conv(wrapped, SIZE).state_dict()] == [*wrapped.state_dict()]


# --- train mode --------------------------------------------------------------------------------


def test_batchnorm_between_fc_layers_learns_the_same():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Flatten(),
        nn.Linear(4 * 6 * 6, 8),
        nn.BatchNorm1d(8, eps=0.1, momentum=0.3),
        nn.PReLU(8),
        nn.Linear(8, 3),
        nn.BatchNorm1d(3, affine=False),
    ).double()
    converted = fc_to_conv(model, (1, 3, 8, 8))
    x = random_images(5, 3, 8, 8)
    expected, scores = model(x), converted(x)
    assert_close(scores.flatten(1), expected)
    for key, tensor in model.state_dict().items():
        assert_close(converted.state_dict()[key].flatten(), tensor.flatten())
    expected.square().sum().backward()
    scores.square().sum().backward()
    for (name, ours), theirs in zip(converted.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.flatten(), theirs.grad.flatten(), msg=name)


# --- other heads -------------------------------------------------------------------------------


def test_adaptive_pool_repairs_the_network_of_the_paper():
    model = narrow("fc-fixed")
    pooled = with_adaptive_pool(model)
    reference = narrow("fc")
    reference.load_state_dict(model.state_dict())
    for size in (224, 400):
        x = random_images(1, 3, size, size)
        assert_close(outputs(pooled, x), outputs(reference, x))
    assert isinstance(pooled.avgpool, nn.AdaptiveAvgPool2d)


def test_adaptive_pool_takes_the_place_of_the_old_one():
    old_resnet = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=32, padding=1), nn.AvgPool2d(7), nn.Flatten(), nn.Linear(4, 5)
    ).double()
    pooled = with_adaptive_pool(old_resnet, output_size=1)
    assert str(pooled[1]) == "AdaptiveAvgPool2d(output_size=(1, 1))"
    assert len(pooled) == 4
    x = random_images(1, 3, 224, 224)
    assert_close(outputs(pooled, x), outputs(old_resnet, x))
    assert outputs(pooled, random_images(1, 3, 100, 300)).shape == (1, 5)
    assert len(with_adaptive_pool(narrow("fc"))) == len([*narrow("fc").children()])
    from_pyramid = with_adaptive_pool(with_spp_head(narrow(), (7,), 10), 7)
    assert not any(isinstance(m, SpatialPyramidPool) for m in from_pyramid.modules())
    assert outputs(from_pyramid, random_images(*LARGE)).shape == (1, 10)


def test_no_size_has_to_fit():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1, stride=2), nn.MaxPool2d(2, 2), nn.Flatten(), nn.Linear(4 * 2 * 3, 5)
    )
    assert outputs(with_adaptive_pool(model, (2, 3)), torch.zeros(1, 3, 9, 9)).shape == (1, 5)
    wrong = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(17, 5))
    fitted = with_new_fc(wrong, (1, 3, 8, 8))
    assert fitted[2].in_features == 4 * 6 * 6
    assert outputs(fitted, torch.zeros(1, 3, 8, 8)).shape == (1, 5)


@pytest.mark.parametrize("head", ["fc", "fc-fixed", "gap", "spp"])
def test_gap_head(head):
    model = narrow(head)
    converted = with_gap_head(model, 7)
    assert sum(isinstance(m, nn.Linear) for m in converted.modules()) == 1
    weights = {k: v for k, v in model.state_dict().items() if k.startswith("features")}
    assert converted.load_state_dict(weights, strict=False).unexpected_keys == []
    x = random_images(1, 3, 100, 300)
    (linear,) = [m for m in converted.modules() if isinstance(m, nn.Linear)]
    expected = F.linear(outputs(model.features, x).mean((2, 3)), linear.weight, linear.bias)
    assert_close(outputs(converted, x), expected)


@pytest.mark.parametrize("head", ["fc", "fc-fixed", "gap", "spp"])
@pytest.mark.parametrize("num_classes", [10, 7])
def test_spp_head(head, num_classes):
    model = narrow(head)
    converted = with_spp_head(model, (1, 3), num_classes)
    x = random_images(1, 3, 100, 300)
    linears = [m for m in converted.modules() if isinstance(m, nn.Linear)]
    assert linears[0].in_features == 32 * 10
    assert outputs(converted, x).shape == (1, num_classes)
    pooled = SpatialPyramidPool((1, 3))(outputs(model.features, x))
    assert_close(outputs(converted, x), outputs(converted.classifier, pooled))
    if len(linears) > 1:
        assert torch.equal(linears[1].weight, model.classifier[3].weight)
        assert torch.equal(linears[2].weight, model.classifier[6].weight) == (num_classes == 10)


def test_what_follows_the_last_layer_is_kept():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5), nn.LogSoftmax(1)
    ).double()
    x = random_images(2, 3, 8, 8)
    for converted in (with_gap_head(model, 7), with_spp_head(model, (2,), 7)):
        assert_close(outputs(converted, x).exp().sum(1), torch.ones(2, dtype=torch.float64))


def test_lost_flatten():
    model = narrow()
    rebuilt = nn.Sequential(model.features, model.avgpool, model.classifier)
    before = everything(rebuilt)
    repaired = with_flatten(rebuilt, SIZE)
    assert_unchanged(before, rebuilt)
    repaired.load_state_dict(rebuilt.state_dict(), strict=True)
    x = random_images(*LARGE)
    assert_close(outputs(repaired, x), outputs(model, x))
    assert storages(repaired).isdisjoint(storages(rebuilt))
    assert type(repaired) is nn.Sequential


class Pair(nn.Module):
    """Two images, each with a head of its own or both with one, and no flatten."""

    def __init__(self, heads):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.heads = nn.ModuleList(nn.Linear(4 * 7 * 7, 3) for _ in range(heads))

    def forward(self, one, other):
        return self.heads[0](self.features(one)) - self.heads[-1](self.features(other))


@pytest.mark.parametrize("heads", [1, 2])
def test_a_flatten_is_put_before_each_head_of_several_inputs(heads):
    model = Pair(heads).eval()
    images = [torch.rand(3, 1, 16, 16) for _ in range(2)]
    with pytest.raises(RuntimeError):
        model(*images)
    scores = [
        head(model.features(x).flatten(1))
        for x, head in zip(images, (model.heads[0], model.heads[-1]), strict=True)
    ]
    repaired = with_flatten(model, [(1, 1, 16, 16)] * 2)
    torch.testing.assert_close(repaired(*images), scores[0] - scores[1])
    assert repaired.state_dict().keys() == model.state_dict().keys()


# --- what does not apply -----------------------------------------------------------------------

RESIDUAL = Wrapped(
    lambda m, x: m.fc((m.conv(x) + x).flatten(1)), conv=nn.Conv2d(3, 3, 1), fc=nn.Linear(3 * 64, 2)
)
DEAD_END = Wrapped(
    lambda m, x: (lambda scores: (F.relu(scores), scores)[1])(m.fc(m.conv(x).flatten(1))),
    conv=nn.Conv2d(3, 3, 1),
    fc=nn.Linear(3 * 64, 2),
)
TWICE = Wrapped(
    lambda m, x: m.fc(m.conv(m.conv(x)).flatten(1)),
    conv=nn.Conv2d(3, 3, 1),
    fc=nn.Linear(3 * 64, 2),
)
CHANNELS_LAST = Wrapped(
    lambda m, x: m.fc(m.conv(x).permute(0, 2, 3, 1).flatten(1)),
    conv=nn.Conv2d(3, 3, 1),
    fc=nn.Linear(3 * 64, 2),
)
ALWAYS_DROPS = Wrapped(
    lambda m, x: m.fc(F.dropout(m.conv(x)).flatten(1)),
    conv=nn.Conv2d(3, 3, 1),
    fc=nn.Linear(3 * 64, 2),
)
TRAINS_OTHERWISE = Wrapped(
    lambda m, x: m.fc((F.dropout2d(m.conv(x), training=m.training)).flatten(1)),
    conv=nn.Conv2d(3, 3, 1),
    fc=nn.Linear(3 * 64, 2),
)
NEEDS_VALUES = Wrapped(
    lambda m, x: m.fc(m.conv(x).flatten(1)) if x.sum().item() >= 0 else x,
    conv=nn.Conv2d(3, 3, 1),
    fc=nn.Linear(3 * 64, 2),
)


def classifier(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), *layers)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (RESIDUAL, "in its own code it calls add, for which there is no module"),
        (DEAD_END, "its modules in a row do something else; see the output"),
        (TWICE, "conv runs twice, and it has weights"),
        (CHANNELS_LAST, "it calls permute"),
        (ALWAYS_DROPS, "in eval mode"),
        (TRAINS_OTHERWISE, "in train mode"),
        (NEEDS_VALUES, "Wrapped needs the values of its tensors"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "Sequential has no Conv2d"),
        (nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten()), "Sequential ends with Conv2d, Flatten"),
        (nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(2)), "has lazy layers"),
        (classifier(nn.LayerNorm(192), nn.Linear(192, 2)), "it has 2 .LayerNorm."),
        (classifier(nn.BatchNorm1d(192), nn.Linear(192, 2)), "it has 2 .BatchNorm1d."),
        (
            classifier(nn.Linear(192, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
            "after the flatten, to do that to each cell of a map; 3 is ",
        ),
        (
            classifier(nn.Linear(192, 4), nn.Softmax(0)),
            "after the flatten, to do that to each cell of a map; 3 is ",
        ),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Linear(191, 2)), "with_flatten puts it back"),
        (
            nn.Sequential(
                nn.Conv2d(3, 3, 1),
                nn.AdaptiveAvgPool2d(1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(3, 2),
            ),
            "gives one cell even at 520×520",
        ),
    ],
)
def test_networks_that_cannot_be_converted(model, words):
    with pytest.raises(ValueError, match=rf"^model must .*{words}"):
        fc_to_conv(model.eval(), (1, 3, 8, 8))


def test_hooks_that_would_be_lost():
    model = narrow()
    model.classifier[0].register_forward_hook(lambda module, args, output: None)
    with pytest.raises(ValueError, match="must have no hooks on layers that are replaced"):
        fc_to_conv(model, SIZE)


def hooked(block: nn.Sequential) -> None:
    block.register_forward_hook(lambda module, args, output: args[0])


def rewritten(block: nn.Sequential) -> None:
    def forward(self, x):
        nn.Sequential.forward(self, x)
        return x

    block.forward = MethodType(forward, block)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (hooked, "no hooks on modules that are taken apart, for they would be lost; '0' has some"),
        (rewritten, "its modules in a row do something else"),
    ],
)
def test_a_sequential_that_does_not_hand_on_what_its_modules_make_is_refused(change, words):
    def network():
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), nn.Flatten(), nn.Linear(192, 2)
        )

    fc_to_conv(network(), (1, 3, 8, 8))
    model = network()
    change(model[0])
    with pytest.raises(ValueError, match=words):
        fc_to_conv(model, (1, 3, 8, 8))


@pytest.mark.parametrize(
    ("convert", "error", "message"),
    [
        (
            lambda: fc_to_conv(narrow(), LARGE),
            ValueError,
            "input_size must be one at which avgpool (AdaptiveAvgPool2d) changes nothing, so that "
            "it can be left out; at 400×400 it makes 7×7 of 12×12. Sizes that work: 224 to 255 px "
            "along each axis. fold_adaptive_pool keeps an average pooling at any size",
        ),
        (
            lambda: fc_to_conv(narrow("fc-fixed"), LARGE),
            ValueError,
            "input_size must give the 1568 features that classifier.0 takes; 400×400 gives "
            "32×12×12 = 4608. Sizes that work: 224 to 255 px along each axis.",
        ),
        (
            lambda: fc_to_conv(narrow("conv"), SIZE),
            ValueError,
            "model must flatten its feature maps and have a linear layer after that; VGG ends with "
            "Conv2d, AdaptiveAvgPool2d, Flatten",
        ),
        (
            lambda: fc_to_conv(narrow("spp"), SIZE),
            ValueError,
            "model must flatten its feature maps, cell by cell, before the first linear layer; "
            "avgpool pools them into a pyramid",
        ),
        (
            lambda: fc_to_conv(narrow(), (1, 3, 16, 16)),
            ValueError,
            "input_size must be one that the feature layers take; 16×16 stops in features.20 "
            "(MaxPool2d): ",
        ),
        (
            lambda: fc_to_conv(narrow(), (1, 1, 224, 224)),
            ValueError,
            "model must run at some size; none was found for VGG: at 1×224×224 it stops "
            "in features.0 (Conv2d): ",
        ),
        (
            lambda: fc_to_conv(narrow(), (3, 224, 224)),
            ValueError,
            "input_size must be a shape (N, C, H, W) such as (1, 3, 224, 224); got (3, 224, 224)",
        ),
        (
            lambda: fc_to_conv(narrow(), (1, 3, 224, 0)),
            ValueError,
            "input_size must be a shape (N, C, H, W) such as (1, 3, 224, 224), all sizes at "
            "least 1; got (1, 3, 224, 0)",
        ),
        (
            lambda: fc_to_conv(narrow(), 224),
            TypeError,
            "input_size must be a shape (N, C, H, W) such as (1, 3, 224, 224); got 224",
        ),
        (
            lambda: fold_adaptive_pool("vgg16", SIZE),
            TypeError,
            "model must be a torch.nn.Module; got str",
        ),
        (
            lambda: fold_adaptive_pool(narrow("fc-fixed"), SIZE),
            ValueError,
            "model must have average pooling right before the flatten, to be folded; VGG has none "
            "there, see fc_to_conv",
        ),
        (
            lambda: fold_adaptive_pool(
                nn.Sequential(
                    nn.Conv2d(3, 3, 1), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)
                ),
                (1, 3, 8, 8),
            ),
            ValueError,
            "model must have average pooling, to be folded; 1 is AdaptiveMaxPool2d(output_size=2), "
            "and taking a maximum is not linear",
        ),
        (
            lambda: fold_adaptive_pool(
                nn.Sequential(
                    nn.Conv2d(3, 3, 1),
                    nn.AdaptiveAvgPool2d(2),
                    nn.Flatten(),
                    nn.ReLU(),
                    nn.Linear(12, 2),
                ),
                (1, 3, 8, 8),
            ),
            ValueError,
            "model must have nothing but dropout between pooling and 4; it has 3 (ReLU)",
        ),
        (
            lambda: with_adaptive_pool(narrow(), (6, 7)),
            ValueError,
            "output_size must give the 1568 features that classifier.0 takes; 6×7 gives 32×6×7 = "
            "1344",
        ),
        (
            lambda: with_adaptive_pool(narrow(), (7, 0)),
            ValueError,
            "output_size must be at least 1; got 0",
        ),
        (
            lambda: with_adaptive_pool(narrow(), 7.0),
            TypeError,
            "output_size must be an integer; got 7.0",
        ),
        (
            lambda: with_gap_head(narrow(), 0),
            ValueError,
            "num_classes must be at least 1; got 0",
        ),
        (
            lambda: with_spp_head(narrow(), [], 10),
            ValueError,
            "levels must be positive integers, at least one; got []",
        ),
        (
            lambda: with_spp_head(
                nn.Sequential(
                    nn.Conv2d(3, 3, 1),
                    nn.AdaptiveAvgPool2d(2),
                    nn.Flatten(),
                    nn.BatchNorm1d(12),
                    nn.Linear(12, 2),
                ),
                (1, 2),
                2,
            ),
            ValueError,
            "model must have other layers that fit the new ones; the network would stop in 3 "
            "(BatchNorm1d): ",
        ),
        (
            lambda: with_new_fc(narrow("fc-fixed"), SIZE),
            ValueError,
            "input_size must be one that classifier.0 does not fit; 224×224 gives the 1568 "
            "features that it takes",
        ),
        (
            lambda: with_flatten(narrow(), SIZE),
            ValueError,
            "model must stop in a linear layer that gets maps and no rows of features; VGG runs at "
            "224×224",
        ),
        (
            lambda: with_flatten(narrow("fc-fixed"), LARGE),
            ValueError,
            "model must stop in a linear layer that gets maps and no rows of features; VGG stops "
            "otherwise: ",
        ),
        (
            lambda: with_flatten(
                Wrapped(lambda m, x: m.fc(m.conv(x)), conv=nn.Conv2d(3, 3, 1), fc=nn.Linear(5, 2)),
                (1, 3, 8, 8),
            ),
            ValueError,
            "input_size must be one at which a flatten is all that is missing; at 8×8 the network "
            "would stop in fc (Linear): ",
        ),
        (
            lambda: with_flatten(nn.Sequential(narrow().features, narrow().classifier), LARGE),
            ValueError,
            "input_size must be one at which a flatten is all that is missing; at 400×400 the "
            "network would stop in 1.0 (Linear): ",
        ),
    ],
)
def test_refusals(convert, error, message):
    with pytest.raises(error) as caught:
        convert()
    assert str(caught.value).startswith(message)


def test_a_network_that_is_one_layer_is_exchanged():
    assert with_num_classes(nn.Linear(8, 10), 3)(torch.zeros(2, 8)).shape == (2, 3)
    assert with_num_classes(nn.Conv2d(8, 10, 1), 3)(torch.zeros(2, 8, 4, 4)).shape == (2, 3, 4, 4)
    assert with_new_linear(nn.Linear(8, 10), "", 5)(torch.zeros(2, 5)).shape == (2, 10)
    assert with_in_channels(nn.Conv2d(3, 4, 3), 1)(torch.zeros(2, 1, 4, 4)).shape == (2, 4, 2, 2)


def test_another_number_of_classes_changes_the_last_layer_alone() -> None:
    model = narrow()
    before = everything(model)
    found = with_num_classes(model, 3)
    torch.set_rng_state(torch.tensor(before["rng"][0], dtype=torch.uint8))
    assert_unchanged(before, model)  # but for the numbers that new weights are drawn from
    x = torch.rand(2, *SIZE[1:], dtype=torch.float64)
    assert found(x).shape == (2, 3)
    torch.testing.assert_close(
        found.classifier[:-1](outputs(found.features, x).flatten(1)),
        model.classifier[:-1](outputs(model.features, x).flatten(1)),
    )


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda model: with_num_classes(model, 0), "num_classes must be"),
        (lambda model: with_num_classes(nn.ReLU(), 3), "model must have an nn.Linear"),
        (lambda model: with_num_classes(model, 3, "features.1"), "layer must be an nn.Linear"),
        (lambda model: with_in_channels(model, 0), "in_channels must be"),
        (lambda model: with_in_channels(model.classifier, 1), "model must begin with a conv"),
        (lambda model: with_new_linear(model, "classifier.1", 9), "layer must be an nn.Linear"),
        (lambda model: with_new_linear(model, "nowhere", 9), "layer must be the path of a module"),
        (lambda model: with_pooled_features(model, "classifier.0", (4, 8), (7, 7)), "came must be"),
    ],
)
def test_layers_that_cannot_be_exchanged_are_named(convert, words) -> None:
    with pytest.raises(ValueError, match=words):
        convert(narrow())


def test_networks_that_come_and_go_are_not_taken_for_one_another():
    """While trial runs are shared, memory is used again, and with it the ids of networks."""
    with shared_chains():
        for k in range(20):
            layers = [nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2 + k)]
            if k % 2:
                with pytest.raises(ValueError, match="model must"):
                    with_new_fc(nn.Sequential(*layers[1:]), (2, 3, 8, 8))
            else:
                new = with_new_fc(nn.Sequential(*layers), (2, 3, 9, 9))
                assert new(torch.zeros(2, 3, 9, 9)).shape == (2, 2 + k)


class OneNormTwice(nn.Module):
    """A map and its mean pass the same normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.norm(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("training", [True, False])
def test_a_second_layer_takes_what_the_first_cannot(training: bool) -> None:
    model = OneNormTwice().train(training)
    repaired = with_second_layer(model, "norm", nn.BatchNorm2d(4), 4)
    assert repaired(torch.zeros(2, 3, 5, 5)).shape == (2, 4)
    assert type(model.norm) is nn.BatchNorm1d
    assert all(module.training == training for module in repaired.modules())
    assert pickle.loads(pickle.dumps(repaired))(torch.zeros(2, 3, 5, 5)).shape == (2, 4)
    (fix,) = [fix for fix in diagnose(model, (2, 3, 5, 5)).fixes if fix.name == "layer"]
    assert fix.weights_kept == sum(p.numel() for p in model.parameters())


def test_the_second_layer_that_is_given_is_copied() -> None:
    new = nn.BatchNorm2d(4).eval()
    repaired = with_second_layer(OneNormTwice().double(), "norm", new, 4)
    assert repaired(torch.zeros(2, 3, 5, 5, dtype=torch.float64)).shape == (2, 4)
    assert {tensor.dtype for tensor in new.parameters()} == {torch.float32}
    assert not new.training
    assert not hasattr(new, "is_fresh")


def test_a_layer_that_is_used_no_more_is_not_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm1d(4))
    (fix,) = [fix for fix in diagnose(model, (2, 3, 5, 5)).fixes if fix.name == "layer"]
    assert fix.weights_kept == sum(p.numel() for p in model[0].parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("conv.0", nn.BatchNorm2d(4), 4), ValueError, "layer must"),
        (("norm", nn.BatchNorm2d, 4), TypeError, "new must be"),
        (("norm", nn.BatchNorm2d(4), 0), ValueError, "dimensions must be"),
        (("norm", nn.BatchNorm2d(4), "4"), TypeError, "dimensions must be"),
    ],
)
def test_what_is_no_second_layer(
    arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        with_second_layer(OneNormTwice(), *arguments)
