"""Small trained networks that come with the package, for real weights without a download."""

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import Any, NamedTuple

from vgglab.arguments import needs
from vgglab.lab.small_networks import FC_SIDE, slim_fc_vgg, slim_vgg
from vgglab.models.network import VGG

with needs("train"):
    from safetensors.torch import load_file


class Shipped(NamedTuple):
    """A network that comes with the package.

    Attributes
    ----------
    name
        Of its files.
    build
        Returns it with random weights.
    side
        Side in pixels of the images that it is trained on; ``None`` for images as they are, 32 px.
    """

    name: str
    build: Callable[[], VGG]
    side: int | None


SHIPPED = {
    "gap": Shipped("slim_vgg_cifar10", slim_vgg, None),
    "fc": Shipped("slim_fc_vgg_cifar10", slim_fc_vgg, FC_SIDE),
}
"""The networks, by their heads."""


def trained_slim_vgg() -> VGG:
    """Return `vgglab.lab.small_networks.slim_vgg`, trained on CIFAR-10, in eval mode.

    Input (N, 3, 32, 32) from `vgglab.lab.training.normalise`, output logits (N, 10) in the order of
    ``trained_slim_vgg_card()["classes"]``.
    """
    return _trained(SHIPPED["gap"])


def trained_slim_fc_vgg() -> VGG:
    """Return `vgglab.lab.small_networks.slim_fc_vgg`, trained on CIFAR-10, in eval mode.

    Input (N, 3, 28, 28) from `vgglab.lab.training.normalise`, output logits (N, 10) in the order of
    ``trained_slim_vgg_card("fc")["classes"]``. Its weights are kept in half precision.
    """
    return _trained(SHIPPED["fc"])


def trained_slim_vgg_card(head: str = "gap") -> dict[str, Any]:
    """Return how the network with that head was trained and what it reached, as measured."""
    text = (files(__name__) / f"{SHIPPED[head].name}.json").read_text("utf-8")
    card: dict[str, Any] = json.loads(text)
    return card


def _trained(shipped: Shipped) -> VGG:
    network = shipped.build()
    with as_file(files(__name__) / f"{shipped.name}.safetensors") as path:
        network.load_state_dict(load_file(path))  # copied into float32, whatever the file has
    return network.eval()
