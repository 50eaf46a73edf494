"""Networks for images of about 32 pixels: small enough to be trained on a laptop."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgglab.arguments import check_integer
from vgglab.models.heads import Head, gap_head
from vgglab.models.network import VGG, Norm, vgg

STAGES = 3
SIDE = 32
"""Side in pixels of the images that it is made for."""


def _flatten_head(channels: int, side: int, num_classes: int, dropout: float) -> Head:
    """One linear layer on all cells."""
    linear = nn.Linear(channels * side**2, num_classes)
    return Head(nn.Identity(), nn.Flatten(), nn.Sequential(nn.Dropout(dropout), linear))


def _flatten_fc_head(channels: int, side: int, num_classes: int, dropout: float) -> Head:
    """Two linear layers on all cells, as many hidden features as the map has channels."""
    classifier = nn.Sequential(
        nn.Linear(channels * side**2, channels),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(channels, num_classes),
    )
    return Head(nn.Identity(), nn.Flatten(), classifier)


HEADS: Mapping[str, Callable[[int, int, int, float], Head]] = {
    "gap": gap_head,
    "flatten": _flatten_head,
    "flatten-fc": _flatten_fc_head,
}


def slim_vgg(
    head: str = "gap",
    *,
    norm: Norm | None = "batch",
    width: float = 0.5,
    side: int = SIDE,
    num_classes: int = 10,
    in_channels: int = 3,
    dropout: float = 0.0,
) -> VGG:
    """Build the first three stages of VGG-16 without their last pooling, and one of three heads.

    Five poolings leave one cell of an image of 32 pixels. This network leaves 8x8.

    Parameters
    ----------
    head
        ``"gap"``: the mean of each channel and a linear layer; ``"flatten"``: a linear layer on
        all cells; ``"flatten-fc"``: two of them.
    norm, width, num_classes, in_channels, dropout
        As in `vgg`.
    side
        Side in pixels of the images; the flattening heads take no other.

    Returns
    -------
    VGG
        In train mode, initialised as `vgg` is. Input (N, in_channels, side, side), output logits
        (N, num_classes).

    Raises
    ------
    ValueError
        If an argument is not one of those above.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}; got {head!r}")
    check_integer("side", side, minimum=2 ** (STAGES - 1))
    whole = vgg(
        "D", norm=norm, head="gap", num_classes=num_classes, in_channels=in_channels, width=width
    ).features
    pools = [place for place, layer in enumerate(whole) if isinstance(layer, nn.MaxPool2d)]
    features = whole[: pools[STAGES - 1]]
    channels = next(m.out_channels for m in reversed(features) if isinstance(m, nn.Conv2d))
    ends = HEADS[head](channels, side >> STAGES - 1, num_classes, dropout)
    _initialise(ends.classifier)
    return VGG(features, ends)


FC_SIDE = 28
"""Side in pixels of the images that `slim_fc_vgg` is made for: two poolings make 7x7 cells."""


def slim_fc_vgg(
    num_classes: int = 10, *, width: float = 3 / 8, stages: int = 2, hidden: int = 128
) -> VGG:
    """Build the first stages of VGG-16, narrower, and two fully connected layers on a 7x7 map.

    It ends as VGG-16 does: a max pooling, a flatten, and layers that take no other map. So it fails
    at other sizes as VGG-16 without adaptive pooling does.

    Parameters
    ----------
    num_classes, width
        As in `vgg`.
    stages
        Number of stages, each with its pooling. Images have ``7 * 2**stages`` px a side.
    hidden
        Features between the two fully connected layers.

    Returns
    -------
    VGG
        In train mode, initialised as `vgg` is, with BatchNorm. Output logits (N, num_classes).
    """
    whole = vgg("D", norm="batch", head="gap", width=width).features
    pools = [place for place, layer in enumerate(whole) if isinstance(layer, nn.MaxPool2d)]
    features = whole[: pools[stages - 1] + 1]
    channels = next(m.out_channels for m in reversed(features) if isinstance(m, nn.Conv2d))
    classifier = nn.Sequential(
        nn.Linear(channels * 7**2, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, num_classes)
    )
    _initialise(classifier)
    return VGG(features, Head(nn.Identity(), nn.Flatten(), classifier))


def _initialise(classifier: nn.Module) -> None:
    for layer in classifier.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, mean=0.0, std=0.01)
            nn.init.zeros_(layer.bias)


class BlurPool2d(nn.Module):
    """Blur each channel with the weights 1, 2, 1 in both directions, and keep every other cell.

    Source: R. Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019,
    https://arxiv.org/abs/1904.11486, section 3.2: its Triangle-3 filter.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, H, W), return (N, C, ceil(H / 2), ceil(W / 2))."""
        weights = torch.tensor([1.0, 2.0, 1.0], device=x.device, dtype=x.dtype) / 4
        kernel = weights.outer(weights).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, [1] * 4, mode="reflect"), kernel, stride=2, groups=x.shape[1])


def blur_pools(features: nn.Sequential) -> None:
    """Put a blur between the maximum of each 2x2 pooling and its stride, in place.

    The maximum is then taken at every cell, and the blurred map thinned out: sampling no longer
    folds fine detail into coarse (see `BlurPool2d` for the source). From a side n, ``n // 2`` cells
    are left, as before.
    """
    for place, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            features[place] = nn.Sequential(nn.MaxPool2d(2, stride=1), BlurPool2d())
