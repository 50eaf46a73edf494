"""Repairs of networks that are no chain of modules over one image: each is offered, and it runs."""

import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from vgglab import diagnose, tracing, vgg, with_resized_inputs
from vgglab.convert.chain import Chain, shared_chains, unroll
from vgglab.diagnose import Diagnosis


class Network(nn.Module):
    """A convolution that halves images of 32 px to 16, then a linear layer for all cells."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(2048, 10)
        self.register_buffer("mean", torch.rand(3, 1, 1))

    def rows(self, x: Tensor) -> Tensor:
        return self.features(x).flatten(1)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.rows((x - self.mean) / 2))


class TwoHeads(Network):
    def __init__(self) -> None:
        super().__init__()
        self.boxes = nn.Linear(2048, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        rows = self.rows(x)
        return {"scores": self.fc(rows), "boxes": self.boxes(rows)}


class Siamese(Network):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.fc(self.rows(x)) - self.fc(self.rows(y))).abs()


class ByName(Network):
    def forward(self, *, pixel_values: Tensor, scale: float) -> Tensor:
        return self.fc(self.rows(pixel_values * scale))


class WithMetadata(Network):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2048 + 5, 10)

    def forward(self, x: Tensor, meta: Tensor) -> Tensor:
        return self.fc(torch.cat([self.rows(x), meta], 1))


class Clips(Network):
    """Frames, each through the convolution, then a recurrent layer over time."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2048, 16, batch_first=True)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        n, frames = x.shape[:2]
        rows = self.rows(x.flatten(0, 1)).view(n, frames, -1)
        return self.fc(self.lstm(rows)[0][:, -1])


class Columns(nn.Module):
    """A recurrent layer that reads a text column by column."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.gru = nn.GRU(8 * 16, 12, batch_first=True)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        steps, _ = self.gru(x.permute(0, 3, 1, 2).reshape(n, w, c * h))
        return self.fc(steps[:, -1])


class Bands(nn.Module):
    """Three dimensions first, then two: the depth of the bands becomes channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spectral = nn.Conv3d(1, 4, (7, 3, 3))
        self.spatial = nn.Conv2d(4 * 14, 8, 3)
        self.fc = nn.Linear(8 * 5 * 5, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.spatial(self.spectral(x).flatten(1, 2)).flatten(1))


class ChannelsLast(Network):
    def rows(self, x: Tensor) -> Tensor:
        return self.features(x).permute(0, 2, 3, 1).flatten(1)


def sequence(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), *layers)


def without_warning(make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Return a network in a form that torch has and no longer recommends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(sequence(nn.Flatten(), nn.Linear(2048, 10)))


def quantised() -> nn.Module:
    return without_warning(
        lambda network: torch.ao.quantization.quantize_dynamic(network, {nn.Linear})
    )


class Tokens(nn.Module):
    """A small vision transformer for images of 32 px."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token, self.places = (nn.Parameter(torch.zeros(1, n, 16)) for n in (1, 17))
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], 1) + self.places
        return self.encoder(x)[:, 0]


class Gate(nn.Module):
    """Squeeze and excitation for 4 channels, where 8 come."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4), nn.Sigmoid())
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3))).view(x.size(0), self.channels, 1, 1)


class Wavelets(nn.Module):
    """Filters for 8 channels, in as many groups as channels come."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.ones(32, 1, 2, 2))
        self.mix = nn.Conv2d(32, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(nn.functional.conv2d(x, self.filters, stride=2, groups=x.shape[1]))


class Case(NamedTuple):
    """A network that stops, and what is to be said of it."""

    make: Callable[[], nn.Module]
    sizes: Sequence[Any]
    kind: str
    repairs: set[str]
    told: str
    kwargs: Mapping[str, Any] = {}


CASES = {
    "normalisation inside": Case(
        Network, (2, 3, 48, 48), "input-size", {"resize", "pool", "fc"}, "31 to 32"
    ),
    "two heads": Case(TwoHeads, (2, 3, 48, 48), "input-size", {"resize", "pool", "fc"}, "31 to 32"),
    "two images": Case(
        Siamese, [(2, 3, 48, 48)] * 2, "input-size", {"resize", "pool", "fc"}, "31 to 32"
    ),
    "by name": Case(
        ByName,
        (2, 3, 48, 48),
        "input-size",
        {"resize", "pool", "fc"},
        "31 to 32",
        {"scale": 0.5},
    ),
    "an image and numbers": Case(
        WithMetadata, [(2, 3, 48, 48), (2, 5)], "input-size", {"resize", "fc"}, "31 to 32"
    ),
    "clips": Case(
        Clips, (2, 4, 3, 48, 48), "input-size", {"resize", "crop", "pool"}, "nn.LSTM(4608, 16"
    ),
    "a clip for a network of images": Case(
        Network, (2, 4, 3, 32, 32), "wrong-dimensions", {"frames"}, "each as an image"
    ),
    "columns": Case(Columns, (2, 1, 40, 100), "input-size", {"resize", "pool"}, "128 = 8·16"),
    "bands": Case(Bands, (2, 1, 12, 9, 9), "input-size", {"resize"}, "→ `nn.Conv2d(24, 8, 3"),
    "a cube of bands": Case(
        Bands, (2, 1, 20, 19, 19), "input-size", {"resize", "pool", "fc"}, "9 px"
    ),
    "weight_norm": Case(
        lambda: sequence(nn.Flatten(), parametrizations.weight_norm(nn.Linear(2048, 10))),
        (2, 3, 48, 48),
        "input-size",
        {"resize", "crop", "pool"},
        "31 to 32",
    ),
    "quantised": Case(quantised, (2, 3, 48, 48), "input-size", {"resize", "pool"}, "31 to 32"),
    "scripted": Case(
        lambda: without_warning(torch.jit.script),
        (2, 3, 48, 48),
        "input-size",
        {"resize", "crop"},
        "31 to 32",
    ),
    "no flatten, and another size": Case(
        lambda: sequence(nn.Linear(2048, 10)), (2, 3, 48, 48), "missing-flatten", {"pool"}, "after"
    ),
    "a signal whose channels come last": Case(
        lambda: nn.Sequential(nn.Conv1d(2, 8, 3), Viewed(), nn.Linear(240, 10)),
        (2, 32, 2),
        "channel-mismatch",
        {"permute"},
        "ops.Permute([0, 2, 1])",
    ),
    "frames before the channels": Case(
        lambda: nn.Sequential(nn.Conv3d(3, 8, 3), Viewed(), nn.Linear(864, 10)),
        (2, 5, 3, 8, 8),
        "channel-mismatch",
        {"permute"},
        "ops.Permute([0, 2, 1, 3, 4])",
    ),
    "channels last, and a view": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), Viewed(), nn.Linear(2048, 10)),
        (2, 32, 32, 3),
        "channel-mismatch",
        {"permute"},
        "behind the batch",
    ),
    "images as rows": Case(
        lambda: nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), Viewed(), nn.Linear(1568, 10)),
        (64, 784),
        "wrong-dimensions",
        {"unflatten"},
        "x.view(-1, 1, 28, 28)",
    ),
    "rows for a generator": Case(
        lambda: nn.Sequential(nn.ConvTranspose2d(20, 8, 4), nn.ReLU()),
        (4, 20),
        "wrong-dimensions",
        {"unflatten"},
        "(4, 20, 1, 1)",
    ),
    "weights whose channels come last, and a view": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), Viewed(), nn.Linear(2048, 10)).to(
            memory_format=torch.channels_last
        ),
        (2, 3, 32, 32),
        "not-contiguous",
        {"order"},
        "usual order",
    ),
    "positions of tokens": Case(
        Tokens, (2, 3, 64, 64), "input-size", {"resize", "crop"}, "17 for 65, which follows"
    ),
    "a gate for other channels": Case(
        lambda: sequence(Gate(), nn.Flatten(), nn.Linear(2048, 10)),
        (2, 3, 32, 32),
        "wrong-in-features",
        {"fc"},
        "'2.fc.2')",
    ),
    "a gate for other channels, without their number": Case(
        lambda: sequence(Gate(-1), nn.Flatten(), nn.Linear(2048, 10)),
        (2, 3, 32, 32),
        "wrong-in-features",
        {"fc"},
        "'2.fc.2')",
    ),
    "groups as many as the channels that come": Case(
        Wavelets, (2, 3, 32, 32), "channel-mismatch", {"channels"}, "nn.Conv2d(3, 8, 1), model"
    ),
    "sides for a pixel unshuffle": Case(
        lambda: nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 8, 1)),
        (2, 3, 30, 30),
        "padding-mismatch",
        {"resize", "crop", "pad"},
        "multiple of 4, such as 28 or 32",
    ),
    "batch and channels swapped": Case(
        lambda: sequence(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
        (3, 6, 32, 32),
        "channel-mismatch",
        {"permute", "channels"},
        "x.transpose(0, 1)",
    ),
}


class Viewed(nn.Module):
    """A flatten that asks for an order in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


def answers(found: Diagnosis, network: nn.Module, kwargs: Mapping[str, Any]) -> Any:
    inputs = [torch.rand(size) for size in found.trace.input_sizes]
    with torch.no_grad():
        if kwargs:
            return network(pixel_values=inputs[0], **kwargs)
        return network(*inputs)


@pytest.mark.parametrize("name", CASES)
def test_a_repair_is_offered_and_runs(name: str) -> None:
    case = CASES[name]
    model = case.make().eval()
    found = diagnose(model, case.sizes, kwargs=case.kwargs)
    assert found.kind == case.kind
    assert case.repairs <= {fix.name for fix in found.fixes}
    assert case.told in str(found)
    with pytest.raises(RuntimeError):
        answers(found, model, case.kwargs)
    for fix in found.fixes:
        repaired = fix.apply().eval()
        assert answers(found, repaired, case.kwargs) is not None
        if can_be_pickled(model):
            assert can_be_pickled(repaired), fix.line


def can_be_pickled(model: nn.Module) -> bool:
    try:
        pickle.dumps(model)
    except (pickle.PicklingError, AttributeError, RuntimeError):
        return False
    return True


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_a_network_that_python_cannot_copy_is_copied_all_the_same() -> None:
    """The older weight_norm keeps the weight that it computed, which torch refuses to copy."""
    layers = nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8)
    model = nn.Sequential(*layers)
    nn.utils.weight_norm(layers[0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (fix,) = diagnose(model.train(), (1, 3, 9, 9)).fixes
    assert fix.name == "eval"
    assert fix.weights_kept == sum(parameter.numel() for parameter in model.parameters())
    repaired = fix.apply()
    assert repaired(torch.rand(1, 3, 9, 9)).shape == (1, 8)
    assert model.training
    assert not repaired.training
    assert all(torch.allclose(model.state_dict()[name], old) for name, old in before.items())
    assert "deepcopy" in diagnose(nn.Sequential(*layers[1:]).train(), (1, 8, 9, 9)).fixes[0].line


def test_a_compiled_network_is_repaired_and_advised_as_it_was_written() -> None:
    model = torch.compile(Network().eval(), backend="eager")
    found = diagnose(model, (2, 3, 48, 48))
    assert {"resize", "pool"} <= {fix.name for fix in found.fixes}
    assert "nn.Linear(4608, 10)" in found.advice


def test_two_heads_share_one_line() -> None:
    found = diagnose(TwoHeads().eval(), (2, 3, 48, 48))
    lines = {fix.name: fix.line for fix in found.fixes}
    assert lines["pool"].count("with_pooled_features") == 2
    assert lines["fc"].count("with_new_linear") == 2


def test_resized_inputs_are_those_that_are_images() -> None:
    model = WithMetadata().eval()
    x, meta = torch.rand(2, 3, 32, 32), torch.rand(2, 5)
    with torch.no_grad():
        same = with_resized_inputs(model, (32, 32))(x, meta)
        assert torch.allclose(same, model(x, meta))
    for size in ((), (1, 2, 3, 4), 5):
        with pytest.raises(ValueError, match="1 to 3 sides"):
            with_resized_inputs(model, size)  # type: ignore[arg-type]


def test_where_channels_come_last_no_pooling_before_the_flatten_is_advised() -> None:
    assert "adaptive_avg_pool2d" not in diagnose(ChannelsLast().eval(), (2, 3, 48, 48)).advice
    assert "adaptive_avg_pool2d" in diagnose(Network().eval(), (2, 3, 48, 48)).advice


@pytest.mark.parametrize("head", ["fc", "fc-fixed"])
def test_that_a_network_is_a_chain_is_proved_once(
    head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof alone runs it in train mode, and its rewriting: two traces for all repairs."""
    modes: list[bool] = []

    class Counted(tracing.Recorder):
        def run(self) -> Exception | None:
            modes.append(all(module.training for module in self.model.modules()))
            return super().run()

    monkeypatch.setattr(tracing, "Recorder", Counted)
    found = diagnose(vgg("A", head=head, width=1 / 16).eval(), (1, 3, 400, 400))
    assert len(found.fixes) > 5
    assert sum(modes) == 2
    assert len(modes) < 3 * len(found.fixes)


@pytest.mark.parametrize("size", [40, 400])
def test_a_network_that_does_something_else_at_other_sizes_is_proved_again(size: int) -> None:
    """What is a chain at one size need not be one at another."""

    class LeavesOutWhenLarge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
            self.pool, self.fc = nn.AdaptiveAvgPool2d(4), nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.conv(x)
            rectified = self.relu(maps)
            read = maps if x.shape[-1] > 100 else rectified
            return self.fc(self.pool(read).flatten(1))  # type: ignore[no-any-return]

    model = LeavesOutWhenLarge().eval()
    with shared_chains():
        assert isinstance(unroll(model, (2, 3, 64, 64)), Chain)
        if size < 100:
            assert isinstance(unroll(model, (2, 3, size, size)), Chain)
        else:
            with pytest.raises(ValueError, match="must be a chain"):
                unroll(model, (2, 3, size, size))
