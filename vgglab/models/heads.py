"""The five ways from VGG's last feature map to its logits.

Each head is built from the number of channels of the feature map, the width of its hidden layers,
the number of classes and the dropout probability. It has three parts, run one after the other:

* ``avgpool`` brings the feature map to a fixed size, or leaves it alone;
* ``flatten`` turns (N, C, H, W) into (N, C * H * W), or leaves it alone;
* ``classifier`` holds the layers with weights.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from vgglab.models.configs import FC_SIDE
from vgglab.pooling import SpatialPyramidPool


class Head(NamedTuple):
    """The three parts of a head."""

    avgpool: nn.Module
    flatten: nn.Module
    classifier: nn.Sequential


def _fully_connected(
    in_features: int, hidden: int, num_classes: int, dropout: float
) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )


def fc_head(channels: int, hidden: int, num_classes: int, dropout: float) -> Head:
    """Pool to 7x7 whatever comes, then the paper's three FC layers: torchvision's VGG."""
    classifier = _fully_connected(channels * FC_SIDE**2, hidden, num_classes, dropout)
    return Head(nn.AdaptiveAvgPool2d(FC_SIDE), nn.Flatten(), classifier)


def fixed_fc_head(channels: int, hidden: int, num_classes: int, dropout: float) -> Head:
    """Three FC layers on a map that must be 7x7: the paper's own head (Table 1)."""
    head = fc_head(channels, hidden, num_classes, dropout)
    return head._replace(avgpool=nn.Identity())


def conv_head(channels: int, hidden: int, num_classes: int, dropout: float) -> Head:
    """Write the FC layers as 7x7 and 1x1 convolutions and average the map of scores.

    The paper tests its networks like this (section 3.2).
    """
    classifier = nn.Sequential(
        nn.Conv2d(channels, hidden, FC_SIDE),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Conv2d(hidden, num_classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Head(nn.Identity(), nn.Identity(), classifier)


def gap_head(channels: int, hidden: int, num_classes: int, dropout: float) -> Head:
    """Average each channel over the whole map, then one linear layer; `hidden` is not used.

    Source: M. Lin, Q. Chen and S. Yan, "Network In Network", https://arxiv.org/abs/1312.4400,
    section 3.2.
    """
    classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
    return Head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier)


def spp_head(channels: int, hidden: int, num_classes: int, dropout: float) -> Head:
    """Pool into grids of 1, 4 and 16 bins, then three FC layers."""
    pool = SpatialPyramidPool((1, 2, 4))
    classifier = _fully_connected(channels * pool.bins, hidden, num_classes, dropout)
    return Head(pool, nn.Identity(), classifier)


HEADS: dict[str, Callable[[int, int, int, float], Head]] = {
    "fc": fc_head,
    "fc-fixed": fixed_fc_head,
    "conv": conv_head,
    "gap": gap_head,
    "spp": spp_head,
}
