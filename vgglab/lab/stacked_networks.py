"""Networks that differ in their two stacks alone: one 7x7, or three 3x3."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from vgglab.arguments import check_integer


class Stack(NamedTuple):
    """A block of convolutions, as many channels out as in.

    Attributes
    ----------
    kernel_sizes
        Of the convolutions, one after the other, all with stride 1.
    relu_between
        Whether there is a ReLU after each of them, or only after the last.
    depthwise
        Whether each of them sees its own channel alone, and a 1x1 convolution after them mixes the
        channels.
    """

    kernel_sizes: tuple[int, ...]
    relu_between: bool = True
    depthwise: bool = False


STACKS: Mapping[str, Stack] = {
    "7x7": Stack((7,)),
    "3x3": Stack((3, 3, 3)),
    "3x3-linear": Stack((3, 3, 3), relu_between=False),
    "7x7-depthwise": Stack((7,), depthwise=True),
    "3x3-depthwise": Stack((3, 3, 3), depthwise=True),
}
"""Blocks that see 7x7 pixels: what section 2.3 of the VGG paper compares, and depthwise."""

NORMALISED = ("each", "last", "none")
"""After which convolutions of a stack there can be BatchNorm."""


def stacked_network(
    stack: str,
    *,
    channels: int = 24,
    norm: str = "each",
    num_classes: int = 10,
    in_channels: int = 3,
) -> nn.Sequential:
    """Build a network that differs from another one in its two stacks alone.

    A 3x3 convolution, a pooling, a stack, a pooling, a stack, global average pooling and a linear
    layer.

    Parameters
    ----------
    stack
        A name of `STACKS`.
    channels
        Of all feature maps.
    norm
        BatchNorm after ``"each"`` convolution, after the ``"last"`` of each stack, or ``"none"``. A
        7x7 is its stack's first and last, so that with ``"last"`` it gets as many normalisations as
        convolutions, and a stack of three a third.
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
        If there is no such stack or `norm`, or a number is below 1.
    """
    if stack not in STACKS:
        raise ValueError(f"stack must be one of {', '.join(STACKS)}; got {stack!r}")
    if norm not in NORMALISED:
        raise ValueError(f"norm must be one of {', '.join(NORMALISED)}; got {norm!r}")
    check_integer("channels", channels, minimum=1)
    check_integer("num_classes", num_classes, minimum=1)
    check_integer("in_channels", in_channels, minimum=1)
    head = nn.Linear(channels, num_classes)
    nn.init.normal_(head.weight, mean=0.0, std=0.01)
    nn.init.zeros_(head.bias)
    return nn.Sequential(
        *_block(Stack((3,)), norm, in_channels, channels),
        nn.MaxPool2d(2),
        *_block(STACKS[stack], norm, channels, channels),
        nn.MaxPool2d(2),
        *_block(STACKS[stack], norm, channels, channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        head,
    )


def _block(stack: Stack, norm: str, in_channels: int, channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    kernel_sizes = (*stack.kernel_sizes, 1) if stack.depthwise else stack.kernel_sizes
    for number, kernel_size in enumerate(kernel_sizes, start=1):
        last = number == len(kernel_sizes)
        relu = stack.relu_between or last
        normalised = norm == "each" or (norm == "last" and last)
        conv = nn.Conv2d(
            in_channels,
            channels,
            kernel_size,
            padding=kernel_size // 2,
            groups=channels if stack.depthwise and not last else 1,
            bias=not normalised,  # BatchNorm has a bias of its own
        )
        _initialise(conv, 2.0 if relu else 1.0)
        layers.append(conv)
        if normalised:
            layers.append(nn.BatchNorm2d(channels))
        if relu:
            layers.append(nn.ReLU(inplace=True))
        in_channels = channels
    return layers


def _initialise(conv: nn.Conv2d, gain: float) -> None:
    """Draw weights of the variance ``gain / fan_out``; torch's own fan_out forgets the groups."""
    fan_out = conv.out_channels // conv.groups * conv.kernel_size[0] * conv.kernel_size[1]
    nn.init.normal_(conv.weight, std=(gain / fan_out) ** 0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
