"""Networks that differ in nothing but their stacks: one 7x7, or three 3x3."""

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
    check_integer("num_classes", num_classes, minimum=1)
    check_integer("in_channels", in_channels, minimum=1)
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
