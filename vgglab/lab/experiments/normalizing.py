"""One run of each experiment on normalisation: settings and a seed in, plain numbers out.

The seed chooses the weights, the order of the images, and which images are drawn.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vgglab.lab.data import ImageSet
from vgglab.lab.experiments.running import Settings
from vgglab.lab.experiments.trials import draw_images, train
from vgglab.lab.small_networks import slim_vgg
from vgglab.lab.training import normalise
from vgglab.models.network import vgg
from vgglab.tracing import random_state_kept

# LRN as AlexNet has it, and VGG after it.
_SIZE, _ALPHA, _BETA, _K = 5, 1e-4, 0.75, 2.0

# `normalise` gives (x / 255 - 0.5) / 0.25: times this it is pixels less their middle, 127.5.
_PIXELS = 0.25 * 255


_SEEN = 200  # test images on which the layer is looked at


class Scale(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


FIRST_LAYERS: Mapping[str, Callable[[], nn.Module]] = {
    "nothing": nn.Identity,
    "constant": lambda: Scale(_K**-_BETA),
    "LRN, alpha": lambda: nn.LocalResponseNorm(_SIZE, _SIZE * _ALPHA, _BETA, _K),
    "LRN, alpha / n": lambda: nn.LocalResponseNorm(_SIZE, _ALPHA, _BETA, _K),
}
"""What can stand after the first ReLU: A, the divisor of LRN where nothing is active, and A-LRN in
AlexNet's formula and in Caffe's and torch's."""


def compare_norms(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train a VGG of some depth with some normalisation; the config ``"slim"`` is `slim_vgg`.

    ``"lrn-fitted"`` is LRN with first weights that are larger by what LRN divides by where nothing
    is active, so that the signal gets through as it does without LRN.
    """
    images = draw_images(settings, seed)
    fitted = settings["norm"] == "lrn-fitted"
    options = {
        "norm": "lrn" if fitted else settings["norm"],
        "num_classes": len(images.train.classes),
        "in_channels": images.train.images.shape[1],
        "width": settings["width"],
    }
    with random_state_kept():
        torch.manual_seed(seed)
        if settings["config"] == "slim":
            network = slim_vgg("gap", side=settings["side"], **options)
        else:
            network = vgg(settings["config"], head="gap", dropout=0.0, **options)
    if fitted:
        _fit_to_lrn(network.features)
    return train(network, settings, seed, checkpoint, images)


def compare_lrn(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train configuration A on pixels, with something after its first ReLU.

    Images are pixels less 127.5, the scale of AlexNet's inputs and of VGG's: their own mean is not
    subtracted. ``deviation`` says how far the layer is from a constant factor, before and after
    training: the part of its output that is no multiple of its input, as a share (relative L2).
    """
    images = draw_images(settings, seed)
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg(
            "A",
            head="gap",
            num_classes=len(images.train.classes),
            in_channels=images.train.images.shape[1],
            width=settings["width"],
            dropout=0.0,
        )
    conv, relu, *others = network.features
    layer = FIRST_LAYERS[settings["first"]]()
    network.features = nn.Sequential(Scale(_PIXELS), conv, relu, layer, *others)
    seen = images.test.take(_SEEN)
    before = _deviation(network.features, seen)
    result = train(network, settings, seed, checkpoint, images)
    return {**result, "deviation": [before, _deviation(network.features, seen)]}


def _fit_to_lrn(features: nn.Sequential) -> None:
    with torch.no_grad():
        for module in features:
            if isinstance(module, nn.Conv2d):
                module.weight *= _K**_BETA


def _deviation(features: nn.Sequential, images: ImageSet) -> float:
    """Return how much of the output of the fourth layer is no multiple of its input."""
    with torch.no_grad():
        before = features[:3](normalise(images.images)).double()
        after = features[3](before.clone())  # ReLUs that follow may be in place
        along = (before * after).sum() / before.square().sum().clamp(min=1e-300)
        norm = after.norm()
        return 0.0 if norm == 0 else ((after - along * before).norm() / norm).item()
