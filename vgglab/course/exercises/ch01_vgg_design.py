"""Exercises of chapter 01."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations, pairwise
from math import log10, prod, sqrt
from random import Random
from typing import Any, TypeAlias

from torch import nn

from vgglab.course.checking import (
    Condition,
    Exercise,
    Mistake,
    Tables,
    calls,
    gives,
    network,
    network_that,
    reaching_output,
    value,
    value_that,
)
from vgglab.course.notebooks import RESULTS
from vgglab.course.quizzes import RIGHT, Option, Quiz, drawn
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES, Config, Conv
from vgglab.models.network import vgg
from vgglab.shapes import Window, feature_map_sizes
from vgglab.summary import Summary, summary
from vgglab.tracing import Op
from vgglab.tracing.operations import PRODUCTS, Kind

Columns: TypeAlias = Sequence[int | str | tuple[int, int]]
"""A column of Table 1 as a list: channels, (channels, kernel_size), or "M" for a max pooling."""

IMAGE = 224


def as_list(config: Config) -> list[int | str | tuple[int, int]]:
    """Return a column of Table 1 in the notation of the exercise."""
    entries: list[int | str | tuple[int, int]] = []
    for layer in config.layers():
        if isinstance(layer, Conv):
            square = layer.kernel_size == 3
            entries.append(layer.out_channels if square else layer[::-1])
        elif layer == "maxpool":
            entries.append("M")
    return entries


@cache
def _table(config: str, batch: int = 1, **options: Any) -> Summary:
    return summary(vgg(config, device="meta", **options), (batch, 3, IMAGE, IMAGE))


# 01-1: parameters of one layer

_C = CONFIGS["D"].convs()[-1]
_IN = CONFIGS["D"].convs()[-2].out_channels


def _weights(conv: Conv, in_channels: int) -> int:
    return conv.kernel_size**2 * in_channels * conv.out_channels


# 01-2: mult-adds of one layer


def _conv3_1(side: int) -> int:
    """Return the mult-adds of the first convolution of D's third stage on a map of that side."""
    before, conv = (CONFIGS["D"].convs()[index] for index in (3, 4))
    return side**2 * _weights(conv, before.out_channels)


# 01-3: parameters of a whole column


def _count(
    columns: Columns, *, biases: bool = True, squares_only: bool = False, fc: bool = True
) -> int:
    channels, total = 3, 0
    for entry in columns:
        if isinstance(entry, str):
            continue
        out_channels, kernel_size = (entry, 3) if isinstance(entry, int) else entry
        if squares_only:
            kernel_size = 3
        total += kernel_size**2 * channels * out_channels + biases * out_channels
        channels = out_channels
    if fc:
        sizes = (channels * FC_SIDE**2, HIDDEN_FEATURES, HIDDEN_FEATURES, NUM_CLASSES)
        total += sum(prod(pair) for pair in pairwise(sizes))
        total += biases * sum(sizes[1:])
    return total


def _channels_of(columns: Columns) -> int:
    """Return the output channels of all convolutions of a column."""
    entries = [entry for entry in columns if not isinstance(entry, str)]
    return sum(entry if isinstance(entry, int) else entry[0] for entry in entries)


_FIRST = CONFIGS["D"].convs()[0]


# 01-4: config C with padding 1 everywhere


def _sides_of_c(padding_of_1x1: int) -> int:
    windows = []
    for layer in CONFIGS["C"].layers():
        if isinstance(layer, Conv):
            padding = 1 if layer.kernel_size == 3 else padding_of_1x1
            windows.append(Window(layer.kernel_size, padding=padding))
        else:
            windows.append(Window(kernel_size=2, stride=2))
    return feature_map_sizes(IMAGE, windows)[-1]


def _shape_of_c(side: int) -> tuple[int, int, int]:
    return (CONFIGS["C"].convs()[-1].out_channels, side, side)


# 01-5: B with one 5x5 for each pair of 3x3


def _shallow(padding: int, *, convs_per_stage: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for first, _ in zip(*[iter(CONFIGS["B"].convs())] * 2, strict=True):
        for _ in range(convs_per_stage):
            conv = nn.Conv2d(channels, first.out_channels, 5, padding=padding, device="meta")
            layers.append(conv)
            channels = first.out_channels
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


# 01-6: the standard deviation that keeps the forward signal


def _he_std(in_channels: int, out_channels: int, kernel_size: int) -> float:
    return sqrt(2 / (in_channels * kernel_size**2))


# 01-7: which of A's first kernels fit


def _fits(number: int = 4) -> list[bool]:
    def shapes(config: str) -> list[tuple[int, int, int]]:
        convs = CONFIGS[config].convs()
        channels = [3, *(conv.out_channels for conv in convs)]
        return [(*pair, 3) for pair in pairwise(channels)]

    return [a == e for a, e in zip(shapes("A")[:number], shapes("E")[:number], strict=True)]


# 01-8: read off the chart of scales


@cache
def _powers_of_ten(config: str) -> float:
    """Return by how many powers of ten the std falls on the way, as recorded with std 0.01."""
    record = json.loads((RESULTS / "signal-scale.json").read_text(encoding="utf-8"))
    settings = {"config": config, "std": 0.01}
    falls: list[float] = [
        run["result"]["output"][0] - run["result"]["output"][-1]
        for run in record["budgets"]["cpu"]["runs"]
        if run["settings"] == settings
    ]
    return sum(falls) / len(falls)


def _derived_powers_of_ten() -> float:
    """Return the same of A from its layers' factors, without the poolings and the border."""
    channels = [conv.out_channels for conv in CONFIGS["A"].convs()[:-1]]
    return -sum(log10(0.01 * sqrt(3**2 * number / 2)) for number in channels)


# 01-10: deeper than A, and cheaper

DEPTH = CONFIGS["D"].weight_layers


def _vgg(config: str, **options: Any) -> nn.Module:
    return vgg(config, device="meta", **options)


def _layers(tables: Tables) -> list[Op]:
    """Return the layers with weights that run on the way to the output."""
    ops = reaching_output(tables((1, 3, IMAGE, IMAGE)).trace)
    return [op for op in ops if op.kind in PRODUCTS and op.parameters]


def _is_deep(network: nn.Module, tables: Tables) -> bool:
    return len({op.parameters for op in _layers(tables)}) >= DEPTH


def _has_small_kernels(network: nn.Module, tables: Tables) -> bool:
    convs = [op for op in _layers(tables) if op.kind is Kind.CONVOLUTION]
    return bool(convs) and all(max(conv.options["kernel_size"]) <= 3 for conv in convs)


def _works_less_than_a(network: nn.Module, tables: Tables) -> bool:
    return 0 < tables((1, 3, IMAGE, IMAGE)).mult_adds < _table("A").mult_adds


def _convs_and_a_mean() -> nn.Module:
    """Return thirteen convolutions written out, a mean and three linear layers."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in ((32, 32), (64, 64), (128,) * 3, (256,) * 3, (256,) * 3):
        for out_channels in stage:
            layers += [nn.Conv2d(channels, out_channels, 3, padding=1, device="meta"), nn.ReLU()]
            channels = out_channels
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for in_features, out_features in ((channels, 512), (512, 512), (512, NUM_CLASSES)):
        layers.append(nn.Linear(in_features, out_features, device="meta"))
    return nn.Sequential(*layers)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="01-1",
        question="How many parameters does the last convolution of config D have, biases included?",
        solution=lambda: _weights(_C, _IN) + _C.out_channels,
        mistakes=(
            Mistake(
                lambda: _weights(_C, _IN),
                "These are the weights. Each output channel has one more number of its own.",
            ),
            Mistake(
                lambda: _C.kernel_size**2 * _C.out_channels + _C.out_channels,
                "One kernel does not look at one channel alone: how deep is it?",
            ),
            Mistake(
                lambda: _weights(_C, _IN) + 3 * _C.out_channels,
                "That is with a BatchNorm layer's scale and shift; the question is about the "
                "convolution alone.",
            ),
            Mistake(
                lambda: _weights(_C, _IN // 2) + _C.out_channels,
                "The layer before it has more channels: look at the column of D again.",
            ),
            Mistake(
                lambda: _weights(_C, _IN) + 1,
                "There is one bias for each output channel, not one for the layer.",
            ),
            Mistake(
                lambda: _weights(_C, _IN) + _IN * _C.out_channels,
                "You gave a bias to each pair of channels. One output channel has one.",
            ),
            Mistake(
                lambda: _IN * _C.out_channels + _C.out_channels,
                "A kernel covers more than one position: it has a height and a width.",
            ),
            Mistake(
                lambda: _C.kernel_size * _IN * _C.out_channels + _C.out_channels,
                "A kernel is as wide as it is high: you have one of its sides.",
            ),
            Mistake(
                lambda: _count(as_list(CONFIGS["D"])),
                "That is the whole network. One layer is asked for.",
            ),
        ),
        hints=(
            "One output channel needs one kernel. How many numbers are in one kernel?",
            "A kernel covers kernel_size × kernel_size positions of every input channel.",
            "kernel_size² · in_channels weights and one bias, for each output channel.",
        ),
        observe=value,
    ),
    Exercise(
        id="01-2",
        question="How many mult-adds does conv3_1 of config D take for one 224×224 image?",
        solution=lambda: _conv3_1(IMAGE // 4),
        mistakes=(
            Mistake(
                lambda: _conv3_1(IMAGE),
                "You multiplied by the size of the image. How many poolings came before?",
            ),
            Mistake(
                lambda: _conv3_1(IMAGE // 2),
                "The third stage comes after two poolings, not one.",
            ),
            Mistake(
                lambda: _conv3_1(IMAGE // 8),
                "You have counted the pooling at the end of the stage; conv3_1 is at its start.",
            ),
            Mistake(
                lambda: 2 * _conv3_1(IMAGE // 4),
                "Twice too many: either you counted a multiplication and an addition as two, or "
                "you  "
                "took 256 channels in. How many does the stage before hand on?",
            ),
            Mistake(
                lambda: IMAGE // 4 * _conv3_1(1),
                "A map has a height and a width.",
            ),
            Mistake(
                lambda: _conv3_1(1),
                "Those are the weights: the work at one position. How many positions are there?",
            ),
            Mistake(
                lambda: _conv3_1(IMAGE // 4) // 9, "A kernel covers nine positions of each channel."
            ),
            Mistake(
                lambda: _conv3_1(IMAGE // 4) + 56**2 * 256,
                "Adding a bias is no multiplication: mult-adds count the weights alone.",
            ),
            Mistake(
                lambda: _conv3_1(IMAGE // 4) // 256, "That is the work for one output channel."
            ),
        ),
        hints=(
            "A convolution uses each of its weights once at each position of its output.",
            "So two factors: the number of weights, and the number of positions.",
            "Weights: 3·3·128·256. Positions: the square of the side after two poolings.",
        ),
        observe=value,
    ),
    Exercise(
        id="01-3",
        question=(
            "Write parameters(layers): the parameters of a whole network from such a list as "
            '[64, "M", (256, 1), "M"], with the three fully connected layers of the paper.'
        ),
        solution=lambda: _count,
        mistakes=(
            Mistake(
                lambda: lambda columns: _count(columns, biases=False),
                "Too few by as many as there are output channels and output features.",
            ),
            Mistake(
                lambda: lambda columns: _count(columns, fc=False),
                "This is the convolutional part. The question asks for the whole network.",
            ),
            Mistake(
                lambda: lambda columns: _count(columns, squares_only=True),
                "Right for A, and too many for C: look at the entries that are pairs.",
            ),
            Mistake(
                lambda: lambda columns: _count(columns) - 2 * _weights(_FIRST, 1),
                "An image has three channels: what comes into the first convolution?",
            ),
            Mistake(
                lambda: lambda columns: _count(columns) + 2 * _channels_of(columns),
                "You counted BatchNorm's scale and shift. The network is asked for without it.",
            ),
            Mistake(
                lambda: (
                    lambda columns: _count(
                        [e[::-1] if isinstance(e, tuple) else e for e in columns]
                    )
                ),
                "A pair is (channels, kernel_size), in this order.",
            ),
        ),
        hints=(
            "Walk through the list and remember how many channels come in.",
            'An entry is a number (kernel 3×3), a pair (channels, kernel_size), or "M".',
            "After the list: 512·7·7 features to 4096, 4096 to 4096, 4096 to 1000, with biases.",
        ),
        observe=calls([as_list(CONFIGS["A"])], [as_list(CONFIGS["C"])]),
    ),
    Exercise(
        id="01-4",
        question=(
            "Config C is built with padding=1 in every convolution, the 1×1 ones too. "
            "What is the shape (channels, height, width) of its last map for a 224×224 image?"
        ),
        solution=lambda: _shape_of_c(_sides_of_c(padding_of_1x1=1)),
        mistakes=(
            Mistake(
                lambda: _shape_of_c(_sides_of_c(padding_of_1x1=0)),
                "That is the right network's map. What does padding=1 do to a 1×1 convolution?",
            ),
            Mistake(
                lambda: _shape_of_c(_sides_of_c(padding_of_1x1=0) + 2 * 3),
                "You added the three frames at the end. Which poolings come after each of them?",
            ),
            Mistake(
                lambda: _shape_of_c(_sides_of_c(padding_of_1x1=0) + 2),
                "Near, but a pooling comes after the last frame as well.",
            ),
        ),
        hints=(
            "Output side = input side + 2·padding − kernel_size + 1, for stride 1.",
            "A 1×1 convolution with padding=1 makes the map larger by 2.",
            "Go stage by stage from 56, the side of the third: + 2, then halve and round down.",
        ),
        observe=value,
    ),
    Exercise(
        id="01-5",
        question=(
            "Build the convolutional part of the paper's shallow rival of B: one 5×5 convolution "
            "and its ReLU in place of each pair of 3×3, every map as large as in B."
        ),
        solution=lambda: _shallow(padding=2),
        mistakes=(
            Mistake(
                lambda: _shallow(padding=1),
                "padding=1 keeps the size for a 3×3 kernel. These kernels are larger.",
            ),
            Mistake(
                lambda: _shallow(padding=0),
                "Without padding each convolution takes rows and columns off the map.",
            ),
            Mistake(
                lambda: _shallow(padding=2, convs_per_stage=2),
                "You exchanged every convolution. One 5×5 takes the place of two 3×3.",
            ),
            Mistake(
                lambda: nn.Sequential(
                    *(layer for layer in _shallow(2) if not isinstance(layer, nn.ReLU))
                ),
                "No ReLU runs. One belongs to each convolution: without them all are one linear "
                "map.",
            ),
            Mistake(
                lambda: nn.Sequential(
                    *(
                        nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer
                        for layer in _shallow(2)
                    )
                ),
                "Your poolings take means. VGG's take the largest.",
            ),
            Mistake(
                lambda: vgg("B", device="meta").features,
                "That is B itself. One 5×5 takes the place of each pair.",
            ),
            Mistake(lambda: _shallow(2)[:-1], "The last pooling is missing."),
        ),
        hints=(
            "B has five stages of two convolutions; the new network has five of one.",
            "A kernel of 5 keeps the size with padding 2.",
            "Each stage: nn.Conv2d(before, channels, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2).",
        ),
        observe=network((1, 3, IMAGE, IMAGE), (1, 3, 400, 400)),
    ),
    Exercise(
        id="01-6",
        question=(
            "Write keeping_std(in_channels, out_channels, kernel_size): the standard deviation of "
            "the weights with which a convolution after a ReLU keeps the size of the signal on "
            "its way forward."
        ),
        solution=lambda: _he_std,
        mistakes=(
            Mistake(
                lambda: lambda i, o, k: sqrt(2 / (o * k**2)),
                "This keeps the gradient on its way back: you counted the output channels.",
            ),
            Mistake(
                lambda: lambda i, o, k: sqrt(1 / (i * k**2)),
                "Right without a ReLU. What does the ReLU do to the mean square?",
            ),
            Mistake(
                lambda: lambda i, o, k: 2 / (i * k**2),
                "This is the variance of the weights.",
            ),
            Mistake(
                lambda: lambda i, o, k: sqrt(2 / i),
                "An output sums over more than the input channels: where does the kernel come in?",
            ),
            Mistake(
                lambda: lambda i, o, k: sqrt(2 / ((i + o) * k**2)),
                "That is Glorot's rule, a compromise of both ways. Here the way forward alone "
                "counts.",
            ),
            Mistake(
                lambda: lambda i, o, k: sqrt(i * k**2 / 2),
                "Upside down: the more terms in a sum, the smaller its weights have to be.",
            ),
            Mistake(
                lambda: lambda i, o, k: sqrt(2 / (i * k)), "A kernel has k rows and k columns."
            ),
            Mistake(
                lambda: lambda i, o, k: sqrt(4 / ((i + o) * k**2)),
                "That is a compromise of both ways. Here the way forward alone counts.",
            ),
        ),
        hints=(
            "Take the factor of the section Derive and set it to 1.",
            "factor = std · √(fan_in / 2).",
            "fan_in is the number of terms in the sum: kernel_size² · in_channels.",
        ),
        observe=calls((64, 128, 3), (512, 512, 3), (256, 512, 1)),
    ),
    Exercise(
        id="01-7",
        question=(
            "The k-th convolution of A is to lend its weights to the k-th of E, for the first "
            "four. For which k do the shapes agree? A list of four booleans."
        ),
        solution=_fits,
        mistakes=(
            Mistake(
                lambda: [True] * 4,
                "Write the channels in and out of each next to each other, for A and for E.",
            ),
            Mistake(
                lambda: [True, False, False, True],
                "Compare channels in as well as channels out.",
            ),
            Mistake(
                lambda: [False] * 4,
                "Both networks begin with the same layer.",
            ),
        ),
        hints=(
            "The weight of a convolution has the shape (out_channels, in_channels, 3, 3).",
            "The second convolution of E belongs to the first stage, the second of A does not.",
            "Compare net.features[...].weight.shape of the two networks in a loop.",
        ),
        observe=value,
    ),
    Exercise(
        id="01-8",
        question=(
            "Read it off the chart: by how many powers of ten does the std of A's output fall from "
            "its first to its last convolution, with std 0.01?"
        ),
        solution=lambda: _powers_of_ten("A"),
        mistakes=(
            Mistake(
                lambda: _powers_of_ten("E"),
                "That is more than A falls. Which of the two lines ends earlier, and why?",
                lambda powers: _derived_powers_of_ten() + 0.8 < powers < 100,
            ),
            Mistake(
                lambda: -_powers_of_ten("A"),
                "A fall by so many powers is asked for, so the number is positive; or you have "
                "read the line that rises.",
                lambda powers: powers < -0.5,
            ),
            Mistake(
                lambda: 10 ** _powers_of_ten("A"),
                "That is the factor. How many tens have to be multiplied to get it?",
                lambda powers: powers >= 100 or 0 < abs(powers) < 0.1,
            ),
            Mistake(
                lambda: 1.0,
                "That is less than A falls. Read the same line at both ends: from the first "
                "convolution to the last.",
                lambda powers: 0.1 <= powers < _derived_powers_of_ten(),
            ),
        ),
        hints=(
            "The scale is logarithmic: equal steps are equal factors.",
            "Follow the dashed line of std 0.01 in the upper chart, and read both its ends.",
            "The power of ten at the first convolution, minus that at the eighth.",
        ),
        observe=value_that(
            ("a fall", lambda powers: powers > 0),
            ("that of A", lambda powers: abs(powers - _derived_powers_of_ten()) <= 0.8),
        ),
    ),
    Exercise(
        id="01-9",
        question=(
            "From B to C the error falls, and the paper says: because of more ReLUs. Which further "
            "network, trained alike, could show that this is wrong: (a) C five times, with other "
            "seeds; (b) D; (c) C without the ReLUs after its 1×1 convolutions; (d) B with "
            "BatchNorm?"
        ),
        solution=lambda: "c",
        mistakes=(
            Mistake(
                lambda: "a",
                "That tells how sure the difference between B and C is, not what it comes from.",
            ),
            Mistake(
                lambda: "b",
                "D has as many ReLUs as C. Set beside C it tells what the neighbours are worth.",
            ),
            Mistake(
                lambda: "d",
                "That changes what neither B nor C has. If it helps, what have the ReLUs to do "
                "with it?",
            ),
        ),
        hints=(
            "What does C have that B lacks? Name everything.",
            "Three layers with their weights, and three ReLUs. Which network has the layers alone?",
            "If it is as good as C, then the ReLUs were not the reason.",
        ),
        observe=value,
    ),
    Exercise(
        id="01-10",
        question=(
            f"Build a network deeper and cheaper than A: {DEPTH} layers with weights or more, "
            f"convolutions of 3×3 at most, {NUM_CLASSES} scores for a 224×224 image, and fewer "
            "mult-adds than A."
        ),
        solution=lambda: _vgg("D", width=1 / 2),
        mistakes=(
            Mistake(
                lambda: _vgg("A"),
                "That is A itself: it is neither deeper nor cheaper.",
            ),
            Mistake(
                lambda: _vgg("D"),
                "Deep enough, and more work than A. What does a convolution's work depend on "
                "besides the size of its map?",
            ),
            Mistake(
                lambda: _vgg("A", width=1 / 2),
                "Cheap enough. Count the layers that have weights.",
            ),
            Mistake(
                lambda: vgg("D", width=1 / 2, device="meta").features,
                "These are its convolutions alone. The scores are missing.",
            ),
            Mistake(
                lambda: vgg("D", width=1 / 2, head="conv", device="meta"),
                "One of its convolutions is larger than 3×3: look at the head.",
            ),
        ),
        hints=(
            "A convolution's work grows with its channels in and with its channels out.",
            "Half the channels everywhere: what becomes of the mult-adds of every convolution?",
            'vgg("D", ...) takes a width; or write the layers out, with fewer channels.',
        ),
        observe=network_that(
            gives(
                (1, 3, IMAGE, IMAGE),
                (1, NUM_CLASSES),
                "What comes out is not one row of 1000 scores.",
            ),
            Condition(
                f"{DEPTH} layers with weights or more",
                _is_deep,
                "Only layers count that run, and whose result reaches the output.",
            ),
            Condition(
                "no convolution larger than 3×3",
                _has_small_kernels,
                "One of the convolutions that run is larger than 3×3, or none runs.",
            ),
            Condition(
                "fewer mult-adds than A",
                _works_less_than_a,
                "A convolution's work grows with its channels in, its channels out and its map: "
                "which of them can be smaller?",
            ),
        ),
        others=(_convs_and_a_mean,),
    ),
)


def _predict(draw: Random | None = None) -> Quiz:
    def both(of_params: float, of_mult_adds: float) -> str:
        return f"parameters × {of_params:.2f}, mult-adds × {of_mult_adds:.2f}"

    def answers(first: str, last: str) -> dict[str, str]:
        small, large = _table(first), _table(last)
        params = large.total_params / small.total_params
        depth = CONFIGS[last].weight_layers / CONFIGS[first].weight_layers
        convs = len(CONFIGS[last].convs()) / len(CONFIGS[first].convs())
        return {
            RIGHT: both(params, large.mult_adds / small.mult_adds),
            "every-layer-costs-alike": both(depth, depth),
            "parameters-are-in-the-convolutions": both(convs, convs),
            "a-table-is-of-one-image": both(
                params, _table(last, batch=2).mult_adds / small.mult_adds
            ),
        }

    first, last = drawn(draw, ("A", "E"), combinations("ABCDE", 2), answers)
    texts = answers(first, last)

    return Quiz(
        id="01-predict",
        question=(
            f"Config {first} has {CONFIGS[first].weight_layers} layers with weights, config "
            f"{last} has {CONFIGS[last].weight_layers}. From {first} to {last}, what happens to "
            "the number of parameters and to the mult-adds for one image?"
        ),
        options=(
            Option(
                texts["every-layer-costs-alike"],
                "This takes all layers as equal. They differ by orders of magnitude, in both.",
                misconception="every-layer-costs-alike",
            ),
            Option(
                texts["parameters-are-in-the-convolutions"],
                "The number of convolutions does grow like this. But convolutions hold few of the "
                f"parameters, and those that {last} adds are not the average ones.",
                misconception="parameters-are-in-the-convolutions",
            ),
            Option(
                texts[RIGHT],
                "Depth is bought with arithmetic and hardly with memory for weights: most of the "
                f"parameters are in the fully connected layers, which {first} and {last} share.",
                right=True,
            ),
            Option(
                texts["a-table-is-of-one-image"],
                f"The parameters are right. The mult-adds of {last} are those of a table that was "
                "made for a batch of two images.",
                misconception="a-table-is-of-one-image",
            ),
        ),
        difficulty=2,
    )


def _review() -> Quiz:
    plain, batch = _table("D").total_params, _table("D", norm="batch").total_params
    channels = sum(conv.out_channels for conv in CONFIGS["D"].convs())
    assert batch - plain == 2 * channels
    return Quiz(
        id="01-review",
        question=(
            f"A review counts {batch:,} parameters for VGG's configuration D, the paper's network "
            f"has {plain:,}. What are the other {batch - plain:,}?"
        ),
        options=(
            Option(
                "The biases of the convolutions",
                f"The paper's network has them too, one for each of {channels:,} output channels. "
                "Both numbers count them.",
                misconception="a-module-has-parameters",
            ),
            Option(
                "The running means and variances of BatchNorm",
                "There are as many of them. But they are buffers: they are kept, not trained, and "
                "no count of parameters has them.",
                misconception="buffers-are-parameters",
            ),
            Option(
                "The ReLU that stands twice in the review's code",
                "A ReLU has no parameters, however often it stands there.",
                misconception="a-module-has-parameters",
            ),
            Option(
                "The scales and shifts of BatchNorm",
                "Two for each channel of a convolution. The review builds every network with "
                "BatchNorm and prints it under the paper's letter.",
                right=True,
            ),
            Option(
                "The adaptive pooling, which the paper did not have",
                "The review's code has one. A pooling has no parameters.",
                misconception="a-module-has-parameters",
            ),
        ),
        difficulty=2,
    )


def _outside() -> Quiz:
    return Quiz(
        id="01-review-2",
        question=(
            "The factor of each stage was derived, and measured with five seeds. Suppose that in "
            "one of the rows the derived factor lies just outside the 95 % interval. What follows?"
        ),
        options=(
            Option(
                "The derivation is wrong",
                "An interval of this kind misses the true value once in twenty times, and there "
                "are several rows. One near miss is no surprise, even if the derivation is exact.",
                misconception="outside-an-interval-is-refuted",
            ),
            Option(
                "Little: what counts is how far off it is",
                "The derivation leaves things out, so with enough seeds every interval would miss "
                "it. How large the deviation is decides whether it is good enough.",
                right=True,
            ),
            Option(
                "More seeds are needed, until the interval covers it",
                "More seeds make the interval narrower, not truer to a wish. To go on until it "
                "fits is to choose the result.",
                misconception="go-on-until-it-is-significant",
            ),
        ),
        difficulty=3,
    )


def _height() -> Quiz:
    return Quiz(
        id="01-review-3",
        question=(
            "With weights from std 0.01 the gradients of E start far below those of A. Somebody "
            "concludes that E cannot be trained from there. What is missing?"
        ),
        options=(
            Option(
                "Nothing: where the gradient is nearly zero, nothing is learnt",
                "A step is the learning rate times the gradient, and Adam even divides by its "
                "size. A factor common to all layers can be made good.",
                misconception="small-gradients-cannot-learn",
            ),
            Option(
                "More seeds, for five are few",
                "Five agree closely here. More of them would measure the same thing, the start, "
                "more exactly.",
                misconception="more-of-the-same-will-tell",
            ),
            Option(
                "Trainings of E from that start, at several rates",
                "Gradients before the first step are no training. If E learns once the rate makes "
                "up for the scale, then the scale alone was no obstacle.",
                right=True,
            ),
            Option(
                "The same measurement at 224 px",
                "The factors depend on channels and kernels. A larger image changes the border's "
                "share a little.",
                misconception="more-of-the-same-will-tell",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[..., Quiz]] = {
    "01-predict": _predict,
    "01-review": _review,
    "01-review-2": _outside,
    "01-review-3": _height,
}
