"""One run of the experiment on frozen features: settings and a seed in, plain numbers out.

The seed chooses the weights of the new layers, the order of the images, and which are drawn.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from vgglab.lab.experiments.running import Settings
from vgglab.lab.experiments.trials import draw_images, train
from vgglab.lab.pretrained import trained_slim_vgg
from vgglab.models.network import vgg
from vgglab.tracing import random_state_kept

_HIDDEN = 128  # features of a hidden dense layer
_IMAGENET_SIDE = 224
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Frozen(nn.Module):
    """A network that is only evaluated: in eval mode whatever is around it, without gradients.

    It keeps what it has returned, so that each image goes through it once, however many epochs
    there are.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self._known: dict[bytes, Tensor] = {}

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in eval mode."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        keys = [image.numpy().tobytes() for image in x.cpu()]
        new = [place for place, key in enumerate(keys) if key not in self._known]
        if new:
            with torch.no_grad():
                features = self.network(x[new])
            self._known |= zip((keys[place] for place in new), features, strict=True)
        return torch.stack([self._known[key] for key in keys]).to(x.device)


class ForImageNet(nn.Module):
    """Give images from `vgglab.lab.training.normalise` the size and the scale of ImageNet's."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (x.new_tensor(v).view(3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
        side = _IMAGENET_SIDE
        return (F.interpolate(x, (side, side), mode="bilinear") * 0.25 + 0.5 - mean) / std


class Both(nn.Module):
    """The means of the channels, and all cells: (N, C, H, W) to (N, C + C * H * W)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.flatten(1)], dim=1)


def _vgg16() -> nn.Module:
    return nn.Sequential(ForImageNet(), vgg("D", weights="IMAGENET1K_V1").features)


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50

    network = resnet50(weights="IMAGENET1K_V2")
    return nn.Sequential(ForImageNet(), *list(network.children())[:-2])


BACKBONES: Mapping[str, Callable[[], nn.Module]] = {
    "slim-vgg": lambda: trained_slim_vgg().features,
    "vgg16": _vgg16,
    "resnet50": _resnet50,
}
"""Trained feature extractors: the network that comes with the package, and two of torchvision's,
which are downloaded at first use."""


@cache
def _frozen(backbone: str) -> Frozen:
    """Return a backbone, the same for all runs of a process: so it knows their images."""
    return Frozen(BACKBONES[backbone]())


def transfer_features(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Freeze the features of a trained network, and train new dense layers on other images."""
    images = draw_images(settings, seed)
    features = _frozen(settings["backbone"])
    with random_state_kept():
        channels, height, width = features(torch.zeros(1, 3, *[settings["side"]] * 2)).shape[1:]
        torch.manual_seed(seed)
        head = _head(settings["head"], channels, height * width, len(images.train.classes))
    result = train(nn.Sequential(features, head), settings, seed, checkpoint, images)
    return {**result, "parameters": sum(p.numel() for p in head.parameters())}


def fine_tune(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train all of the trained network on other images, but for what of BatchNorm stays as it is.

    With ``norm`` ``"batch"`` its layers use and follow the statistics of each batch; ``"frozen"``
    puts `torchvision.ops.FrozenBatchNorm2d` in their place, whose statistics and weights both stay.
    """
    images = draw_images(settings, seed)
    network = trained_slim_vgg()
    if settings["norm"] == "frozen":
        freeze_batchnorm(network.features)
    with random_state_kept():
        torch.manual_seed(seed)
        last = network.classifier[-1]
        assert isinstance(last, nn.Linear)
        network.classifier[-1] = nn.Linear(last.in_features, len(images.train.classes))
    return train(network, settings, seed, checkpoint, images)


def freeze_batchnorm(features: nn.Sequential) -> None:
    """Put torchvision's frozen layer in place of each BatchNorm, with its numbers."""
    for place, layer in enumerate(features):
        if isinstance(layer, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(layer.num_features, layer.eps)
            frozen.load_state_dict(layer.state_dict())
            features[place] = frozen


def _head(name: str, channels: int, cells: int, num_classes: int) -> nn.Sequential:
    """Return GAP, Flatten or both, and then one dense layer or, with ``-fc``, two."""
    reads, _, hidden = name.partition("-")
    first, features = {
        "gap": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels),
        "flatten": (nn.Flatten(), channels * cells),
        "both": (Both(), channels + channels * cells),
    }[reads]
    if not hidden:
        return nn.Sequential(first, nn.Linear(features, num_classes))
    return nn.Sequential(
        first, nn.Linear(features, _HIDDEN), nn.ReLU(inplace=True), nn.Linear(_HIDDEN, num_classes)
    )
