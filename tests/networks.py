"""Networks that several tests and benchmarks look at."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
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


SIDES = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def small_networks(
    draw: st.DrawFn, blocks: int | None = None, flatten: str | None = None
) -> tuple[nn.Module, int, int]:
    """Generate a network, the channels that it takes, and the side of the square it was made for.

    Convolutions and poolings have any kernel, stride, padding, dilation and ceil_mode that torch
    accepts; the kernel need not be square.
    """
    channels = in_channels = draw(st.integers(1, 3))
    layers: list[nn.Module] = []
    for _ in range(blocks or draw(st.integers(1, 4))):
        if draw(st.booleans()):
            out_channels = draw(st.integers(1, 4))
            layers.append(
                nn.Conv2d(
                    channels,
                    out_channels,
                    kernel_size=draw(SIDES),
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
            kind = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
            layers.append(kind(kernel_size, **options))
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid()])))
    features = nn.Sequential(*layers)
    made_for = draw(st.integers(4, 48))
    try:
        shape = features(torch.zeros(1, in_channels, made_for, made_for)).shape
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
