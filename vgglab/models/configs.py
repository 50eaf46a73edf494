"""Table 1 of the VGG paper as data, and the paper's own results beside it.

Source of every figure here: K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for
Large-Scale Image Recognition", ICLR 2015, https://arxiv.org/abs/1409.1556 (v6).

Layers are spelled as in the paper: ``"conv3-64"`` is a 3x3 convolution with 64 output channels,
``"LRN"`` is local response normalisation. After each of the five stages comes a 2x2 max pooling
with stride 2; every convolution has stride 1 and keeps the height and width; a ReLU follows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


class Conv(NamedTuple):
    """One convolution of Table 1."""

    kernel_size: int
    out_channels: int


@dataclass(frozen=True)
class Config:
    """One column of Table 1.

    Attributes
    ----------
    name
        The paper's letter, such as ``"D"``.
    weight_layers
        Layers with weights, as the head of the column says (three of them fully connected).
    stages
        The five stages, each a tuple of layers in the paper's own spelling.
    nickname
        The name by which most people know it, such as ``"vgg16"``; ``None`` if it has none.
    """

    name: str
    weight_layers: int
    stages: tuple[tuple[str, ...], ...]
    nickname: str | None = None

    def layers(self) -> list[Conv | str]:
        """Return the stages as one list: ``Conv``, ``"LRN"`` and ``"maxpool"`` entries in order."""
        return [_parse(layer) for stage in self.stages for layer in (*stage, "maxpool")]

    def convs(self) -> list[Conv]:
        """Return the convolutions alone, in order."""
        return [layer for layer in self.layers() if isinstance(layer, Conv)]


class PaperResult(NamedTuple):
    """One row of the paper's Table 3: errors on the ImageNet validation set, single test scale.

    ``train_scale`` and ``test_scale`` are the smallest image side S and Q in pixels; a pair is a
    range from which S was drawn. Errors are in percent.
    """

    config: str
    train_scale: int | tuple[int, int]
    test_scale: int
    top1_error: float
    top5_error: float


def _parse(layer: str) -> Conv | str:
    if not layer.startswith("conv"):
        return layer
    kernel_size, out_channels = layer.removeprefix("conv").split("-")
    return Conv(int(kernel_size), int(out_channels))


_TABLE_1 = (
    Config(
        "A",
        11,
        (
            ("conv3-64",),
            ("conv3-128",),
            ("conv3-256", "conv3-256"),
            ("conv3-512", "conv3-512"),
            ("conv3-512", "conv3-512"),
        ),
        nickname="vgg11",
    ),
    Config(
        "A-LRN",
        11,
        (
            ("conv3-64", "LRN"),
            ("conv3-128",),
            ("conv3-256", "conv3-256"),
            ("conv3-512", "conv3-512"),
            ("conv3-512", "conv3-512"),
        ),
    ),
    Config(
        "B",
        13,
        (
            ("conv3-64", "conv3-64"),
            ("conv3-128", "conv3-128"),
            ("conv3-256", "conv3-256"),
            ("conv3-512", "conv3-512"),
            ("conv3-512", "conv3-512"),
        ),
        nickname="vgg13",
    ),
    Config(
        "C",
        16,
        (
            ("conv3-64", "conv3-64"),
            ("conv3-128", "conv3-128"),
            ("conv3-256", "conv3-256", "conv1-256"),
            ("conv3-512", "conv3-512", "conv1-512"),
            ("conv3-512", "conv3-512", "conv1-512"),
        ),
    ),
    Config(
        "D",
        16,
        (
            ("conv3-64", "conv3-64"),
            ("conv3-128", "conv3-128"),
            ("conv3-256", "conv3-256", "conv3-256"),
            ("conv3-512", "conv3-512", "conv3-512"),
            ("conv3-512", "conv3-512", "conv3-512"),
        ),
        nickname="vgg16",
    ),
    Config(
        "E",
        19,
        (
            ("conv3-64", "conv3-64"),
            ("conv3-128", "conv3-128"),
            ("conv3-256", "conv3-256", "conv3-256", "conv3-256"),
            ("conv3-512", "conv3-512", "conv3-512", "conv3-512"),
            ("conv3-512", "conv3-512", "conv3-512", "conv3-512"),
        ),
        nickname="vgg19",
    ),
)


CONFIGS: Mapping[str, Config] = MappingProxyType({config.name: config for config in _TABLE_1})
"""Table 1 of the paper, by letter."""

FC_SIDE = 7
"""Height and width of the feature map that the first fully connected layer reads."""

HIDDEN_FEATURES = 4096
NUM_CLASSES = 1000
FULLY_CONNECTED = (("fc6", HIDDEN_FEATURES), ("fc7", HIDDEN_FEATURES), ("fc8", NUM_CLASSES))
"""Usual names and sizes of the three fully connected layers that end every column of Table 1."""

PAPER_PARAMETERS: Mapping[str, int] = MappingProxyType(
    {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}
)
"""Parameters in millions, from Table 2 of the paper."""

PAPER_ERRORS: tuple[PaperResult, ...] = (
    PaperResult("A", 256, 256, 29.6, 10.4),
    PaperResult("A-LRN", 256, 256, 29.7, 10.5),
    PaperResult("B", 256, 256, 28.7, 9.9),
    PaperResult("C", 256, 256, 28.1, 9.4),
    PaperResult("C", 384, 384, 28.1, 9.3),
    PaperResult("C", (256, 512), 384, 27.3, 8.8),
    PaperResult("D", 256, 256, 27.0, 8.8),
    PaperResult("D", 384, 384, 26.8, 8.7),
    PaperResult("D", (256, 512), 384, 25.6, 8.1),
    PaperResult("E", 256, 256, 27.3, 9.0),
    PaperResult("E", 384, 384, 26.9, 8.7),
    PaperResult("E", (256, 512), 384, 25.5, 8.0),
)
"""Errors at a single test scale, from Table 3 of the paper."""


def get_config(name: str) -> Config:
    """Return a configuration of Table 1 of the paper.

    Parameters
    ----------
    name
        ``"A"``, ``"A-LRN"``, ``"B"``, ``"C"``, ``"D"`` or ``"E"``.

    Returns
    -------
    Config
        Its layers as data.

    Raises
    ------
    ValueError
        If the paper has no such configuration.
    """
    if not isinstance(name, str) or name not in CONFIGS:
        raise ValueError(f"config must be one of {', '.join(CONFIGS)}; got {name!r}")
    return CONFIGS[name]


def config_title(config: Config) -> str:
    """Return the letter, with the name by which most people know the network."""
    return f"{config.name} ({config.nickname})" if config.nickname else config.name
