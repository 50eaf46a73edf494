"""Networks that several tests and benchmarks look at."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
import torch.nn.functional as F
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import get_model


def torchvision_network(name: str, device: str = "cpu") -> nn.Module:
    """Build a network of torchvision without its warning about slow initialisation."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device(device):
        return get_model(name, **options)


def shapes_of_torchvision(name: str) -> nn.Module:
    """Build any network of torchvision on the meta device, in eval mode."""
    try:
        return torchvision_network(name, "meta").eval()
    except NotImplementedError:  # its builder computes with tensors
        keep = {fn: lambda tensor, *args, **kwargs: tensor for fn in dir(nn.init) if fn[-1] == "_"}
        with mock.patch.multiple(nn.init, **keep):  # initialising 645 M weights takes a while
            return torchvision_network(name).to("meta").eval()


def asker_network(device: str = "cpu") -> nn.Module:
    """Build the network of the 400x400 question: 333 M parameters, the features frozen."""
    with torch.device(device):
        return nn.Sequential(
            *get_model("vgg16").features.requires_grad_(False),
            nn.Conv2d(512, 4096, 12),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(4096, 4096, 1),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(4096, 3, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Softmax(1),
        )


def filled(network: nn.Module, random: bool = False) -> nn.Module:
    """Give a network of the meta device numbers: 0.01, or in more time small random ones."""
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(0.01)
        if random and tensor.is_floating_point():
            tensor.uniform_(-0.02 if tensor.dim() > 1 else 0.01, 0.02)
    return network


FLATTENS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "flatten": lambda x, features: torch.flatten(x, 1),
    "view": lambda x, features: x.view(x.size(0), -1),
    "view of batch": lambda x, features: x.view(-1, features),
    "reshape": lambda x, features: x.reshape(x.shape[0], -1),
    "reshape of features": lambda x, features: x.reshape(x.shape[0], features),
}


class SmallNetwork(nn.Module):
    """A generated network: features, a flatten written in one of several ways, a classifier."""

    def __init__(self, features: nn.Module, flatten: str, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        linear = next(m for m in self.classifier if isinstance(m, nn.Linear))
        return self.classifier(FLATTENS[self.flatten](x, linear.in_features))


class Gain(nn.Module):
    """A gain of each channel, through a view of a parameter."""

    def __init__(self, channels: int, axes: int, cells: int = 1) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(channels, cells))
        self.shape = (1, channels, *[1] * (axes - 1), cells)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain.view(self.shape)


class Expanded(nn.Module):
    """Squeeze and excitation as textbooks write it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc(x.flatten(2).mean(2))
        return x * weights.view(*weights.shape, *[1] * (x.dim() - 2)).expand_as(x)


class Branches(nn.Module):
    """Two ways that meet, in a sum or side by side."""

    def __init__(self, first: nn.Module, second: nn.Module, side_by_side: bool) -> None:
        super().__init__()
        self.first, self.second, self.side_by_side = first, second, side_by_side

    def forward(self, x: Tensor) -> Tensor:
        ways = self.first(x), self.second(x)
        return torch.cat(ways, 1) if self.side_by_side else ways[0] + ways[1]


class Enlarged(nn.Module):
    """What is pooled, resized to the map that it was pooled from, and added to it."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        pool = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}[x.dim()]
        return x + F.interpolate(pool(x, self.by), x.shape[2:])


CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLINGS = {
    1: [nn.MaxPool1d, nn.AvgPool1d],
    2: [nn.MaxPool2d, nn.AvgPool2d],
    3: [nn.MaxPool3d, nn.AvgPool3d],
}


@st.composite
def further_layers(draw: st.DrawFn, channels: int, axes: int) -> tuple[nn.Module, int]:
    """Generate what plain networks do not have; return it and the channels that come out."""
    kind = draw(st.sampled_from(["groups", "gain", "cells", "expand", "norm", "ways", "enlarge"]))
    conv = CONVOLUTIONS[axes]
    if kind == "groups":
        return conv(channels, 2 * channels, draw(st.integers(1, 3)), groups=channels), 2 * channels
    if kind == "gain":
        return Gain(channels, axes), channels
    if kind == "cells":
        return Gain(channels, axes, draw(st.integers(2, 9))), channels
    if kind == "expand":
        return Expanded(channels), channels
    if kind == "norm":
        layer = conv(channels, channels, 3, draw(st.integers(1, 2)), 1)
        return nn.utils.parametrizations.weight_norm(layer), channels
    if kind == "enlarge":
        return Enlarged(draw(st.integers(2, 3))), channels
    stride, side_by_side = draw(st.integers(1, 2)), draw(st.booleans())
    first = conv(channels, channels, 3, stride, draw(st.integers(0, 1)))
    second = draw(
        st.sampled_from(
            [
                conv(channels, channels, 1, stride),
                POOLINGS[axes][0](2, stride, ceil_mode=draw(st.booleans())),
            ]
        )
    )
    return Branches(first, second, side_by_side), channels * (1 + side_by_side)


@st.composite
def small_networks(
    draw: st.DrawFn,
    blocks: int | None = None,
    flatten: str | None = None,
    axes: int = 2,
    further: bool = False,
) -> tuple[nn.Module, int, int]:
    """Generate a network, the channels that it takes, and the side of the square it was made for.

    Convolutions and poolings have any kernel, stride, padding, dilation and ceil_mode that torch
    accepts; the kernel need not be square. With `further`, other layers stand between them: see
    `further_layers`.
    """
    sides = st.tuples(*[st.integers(1, 4)] * axes)
    channels = in_channels = draw(st.integers(1, 3))
    layers: list[nn.Module] = []
    for _ in range(blocks or draw(st.integers(1, 4))):
        if draw(st.booleans()):
            out_channels = draw(st.integers(1, 4))
            layers.append(
                CONVOLUTIONS[axes](
                    channels,
                    out_channels,
                    kernel_size=draw(sides),
                    stride=draw(st.integers(1, 2)),
                    padding=draw(st.integers(0, 2)),
                    dilation=draw(st.integers(1, 2)),
                )
            )
            channels = out_channels
        else:
            kernel_size = draw(st.integers(2, 4))
            options = {
                "stride": draw(st.integers(1, 3)),
                "padding": draw(st.integers(0, kernel_size // 2)),
                "ceil_mode": draw(st.booleans()),
            }
            kind = draw(st.sampled_from(POOLINGS[axes]))
            layers.append(kind(kernel_size, **options))
        if further and draw(st.booleans()):
            layer, channels = draw(further_layers(channels, axes))
            layers.append(layer)
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid()])))
    features = nn.Sequential(*layers)
    made_for = draw(st.integers(4, {1: 96, 2: 48, 3: 14}[axes]))
    try:
        shape = features(torch.zeros(1, in_channels, *[made_for] * axes)).shape
    except RuntimeError:
        assume(False)
    assume(shape.numel() <= 4000)
    hidden = draw(st.integers(0, 3))
    classifier = nn.Sequential(nn.Linear(shape.numel(), hidden or 5))
    if hidden:
        classifier.extend([nn.ReLU(), nn.Dropout(), nn.Linear(hidden, 5)])
    flatten = flatten or draw(st.sampled_from([*FLATTENS, "nn.Flatten"]))
    if flatten == "nn.Flatten":
        return nn.Sequential(features, nn.Flatten(), *classifier), in_channels, made_for
    return SmallNetwork(features, flatten, classifier), in_channels, made_for


class Windowed(nn.Module):
    """Insists on its size without a word, in a file whose asserts pytest does not rewrite."""

    def forward(self, x):
        assert x.shape[-1] % 7 == 0
        return x
