"""Networks for images of 32 pixels: small enough to be trained on a laptop."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import nn

from vgglab.heads import Head, gap_head
from vgglab.models import VGG, Norm, vgg
from vgglab.shapes import check_integer

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
    for layer in ends.classifier:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, mean=0.0, std=0.01)
            nn.init.zeros_(layer.bias)
    return VGG(features, ends)


class Stack(NamedTuple):
    """A block of convolutions, as many channels out as in.

    Attributes
    ----------
    kernel_sizes
        Of the convolutions, one after the other, all with stride 1.
    relu_between
        Whether there is a ReLU after each of them, or only after the last.
    """

    kernel_sizes: tuple[int, ...]
    relu_between: bool = True


STACKS: Mapping[str, Stack] = {
    "7x7": Stack((7,)),
    "3x3": Stack((3, 3, 3)),
    "3x3-linear": Stack((3, 3, 3), relu_between=False),
}
"""What is compared in section 2.3 of the VGG paper: blocks that see 7x7 pixels."""


def stacked_network(
    stack: str, *, channels: int = 24, num_classes: int = 10, in_channels: int = 3
) -> nn.Sequential:
    """Build a network that differs from another one in nothing but its two stacks.

    A 3x3 convolution, a pooling, a stack, a pooling, a stack, global average pooling and a linear
    layer. A stack is normalised once, before its last ReLU: so with ``"3x3-linear"`` nothing but
    convolutions stands between two ReLUs.

    Parameters
    ----------
    stack
        A name of `STACKS`.
    channels
        Of all feature maps.
    num_classes, in_channels
        Number of logits, and of channels of the input image.

    Returns
    -------
    Sequential
        In train mode. Input (N, in_channels, H, W) of at least 4x4 pixels, output logits
        (N, num_classes). Convolutions are initialised by He's normal initialisation with
        ``mode="fan_out"`` (https://arxiv.org/abs/1502.01852, section 2.2), for what follows them.

    Raises
    ------
    ValueError
        If there is no such stack, or a number is below 1.
    """
    if stack not in STACKS:
        raise ValueError(f"stack must be one of {', '.join(STACKS)}; got {stack!r}")
    check_integer("channels", channels, minimum=1)
    head = nn.Linear(channels, num_classes)
    nn.init.normal_(head.weight, mean=0.0, std=0.01)
    nn.init.zeros_(head.bias)
    return nn.Sequential(
        *_block(Stack((3,)), in_channels, channels),
        nn.MaxPool2d(2),
        *_block(STACKS[stack], channels, channels),
        nn.MaxPool2d(2),
        *_block(STACKS[stack], channels, channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        head,
    )


def _block(stack: Stack, in_channels: int, channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number, kernel_size in enumerate(stack.kernel_sizes, start=1):
        last = number == len(stack.kernel_sizes)
        relu = stack.relu_between or last
        # BatchNorm has a bias of its own.
        conv = nn.Conv2d(
            in_channels, channels, kernel_size, padding=kernel_size // 2, bias=not last
        )
        nn.init.kaiming_normal_(
            conv.weight, mode="fan_out", nonlinearity="relu" if relu else "linear"
        )
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        layers.append(conv)
        if last:
            layers.append(nn.BatchNorm2d(channels))
        if relu:
            layers.append(nn.ReLU(inplace=True))
        in_channels = channels
    return layers
