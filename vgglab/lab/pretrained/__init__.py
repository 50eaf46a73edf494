"""A small trained network that comes with the package, for real weights without a download."""

import json
from importlib.resources import as_file, files
from typing import Any

from vgglab.arguments import needs
from vgglab.lab.small_networks import slim_vgg
from vgglab.models.network import VGG

with needs("train"):
    from safetensors.torch import load_file

NAME = "slim_vgg_cifar10"


def trained_slim_vgg() -> VGG:
    """Return `vgglab.lab.small_networks.slim_vgg`, trained on CIFAR-10, in eval mode.

    Input (N, 3, 32, 32) from `vgglab.lab.training.normalise`, output logits (N, 10) in the order of
    ``trained_slim_vgg_card()["classes"]``.
    """
    network = slim_vgg()
    with as_file(files(__name__) / f"{NAME}.safetensors") as path:
        network.load_state_dict(load_file(path))
    return network.eval()


def trained_slim_vgg_card() -> dict[str, Any]:
    """Return how it was trained and what it reached, as measured."""
    card: dict[str, Any] = json.loads((files(__name__) / f"{NAME}.json").read_text("utf-8"))
    return card
