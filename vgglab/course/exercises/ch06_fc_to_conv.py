"""Exercises of chapter 06: FC layers as convolutions, and what their map of scores means."""

from collections.abc import Callable
from math import exp, log
from random import Random
from typing import TypeAlias

import torch
from torch import Tensor, nn

from vgglab.course.checking import Exercise, Mistake, calls, network, value, value_that
from vgglab.course.quizzes import RIGHT, Option, Quiz, drawn
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES, Conv
from vgglab.models.network import VGG, vgg
from vgglab.shapes import Window, conv_output_size, feature_map_sizes, input_sizes

CHANNELS = CONFIGS["D"].convs()[-1].out_channels
POOLS = [Window(kernel_size=2, stride=2)] * 5
STRIDE = 2 ** len(POOLS)
CROP = FC_SIDE * STRIDE
ASKERS_SIDE = 12  # of the map at 400 px, and of the kernel in the question

Convert: TypeAlias = Callable[[Tensor, int, int, int], Tensor]


def _side(size: int) -> int:
    return feature_map_sizes(size, POOLS)[-1]


def _places(size: int, kernel_size: int = FC_SIDE) -> int:
    return conv_output_size(_side(size), kernel_size)


def _ends(sizes: range) -> tuple[int, int]:
    return sizes[0], sizes[-1]


# 06-3: a weight for each pixel of a map, moved to where the pixel is.
def _reshape(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return weight.reshape(-1, channels, height, width)


def _channels_last(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _sides_swapped(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return weight.reshape(-1, channels, width, height).transpose(2, 3)


def _kernel_first(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return weight.reshape(-1, channels, height, width).transpose(0, 1)


def _flipped(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return _reshape(weight, channels, height, width).flip(2, 3)


# 06-6: a small network for pictures of 28 px, as convolutions throughout.
def _small(*head: nn.Module) -> nn.Sequential:
    features = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
    return nn.Sequential(*features, *head)


def _head(kernel_size: int, last_kernel_size: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(8, 32, kernel_size), nn.ReLU(), nn.Conv2d(32, 10, last_kernel_size)


# 06-7: how many cells of a crop's last map see nothing but the crop.
def _clean_along(field: int, crop: float = CROP) -> int:
    """Count along one axis the fields that lie in the crop; the first begins before it."""
    starts = [STRIDE * cell - (field - STRIDE) / 2 for cell in range(FC_SIDE)]
    return sum(start >= 0 and start + field <= crop for start in starts)


def _clean_cells(field: int) -> int:
    return _clean_along(field) ** 2


# 06-8: the loss of two classes through two softmaxes, at best: of the probabilities 1 and 0.
FLOOR = log(1 + exp(-1))


# 06-10: no padding, so that a map's cell and a crop of the right size see the same.
def _without_padding(layers: int | None = None) -> VGG:
    """Return a VGG-16 of convolutions whose first `layers` convolutions (all) have no padding."""
    model = _dense()
    convs = [module for module in model.features if isinstance(module, nn.Conv2d)]
    for conv in convs[:layers]:
        conv.padding = (0, 0)
    return model


def _dense() -> VGG:
    model = vgg("D", head="conv", device="meta")
    model.classifier = model.classifier[:-2]  # the map of scores, not its mean
    return model


def _unpadded_by_layers() -> nn.Sequential:
    """Return the network written layer by layer."""
    layers: list[nn.Module] = []
    channels = 3
    for layer in CONFIGS["D"].layers():
        if isinstance(layer, Conv):
            layers += [nn.Conv2d(channels, layer.out_channels, 3, device="meta"), nn.ReLU()]
            channels = layer.out_channels
        else:
            layers.append(nn.MaxPool2d(2))
    head = ((FC_SIDE, HIDDEN_FEATURES), (1, HIDDEN_FEATURES), (1, NUM_CLASSES))
    for kernel_size, out_channels in head:
        layers += [nn.Conv2d(channels, out_channels, kernel_size, device="meta"), nn.ReLU()]
        channels = out_channels
    return nn.Sequential(*layers[:-1])


def _averaged() -> VGG:
    model = vgg("D", head="conv", device="meta")
    model.features = _without_padding().features
    return model


def _one_by_one() -> VGG:
    model = _dense()
    for module in model.features:
        if isinstance(module, nn.Conv2d):
            module.padding, module.kernel_size = (0, 0), (1, 1)
            module.weight = nn.Parameter(module.weight[:, :, :1, :1])
    return model


# The size at which that network gives one cell, and the next one at which it gives more.
_WINDOWS = [
    Window(kernel_size=3) if layer != "maxpool" else POOLS[0] for layer in CONFIGS["D"].layers()
]
UNPADDED_CROP = input_sizes(FC_SIDE, _WINDOWS)[0]

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="06-1",
        question="Three images, 512 px high and 672 px wide, go through VGG-16 as convolutions "
        "(7×7 and 1×1) with 20 classes: what is the shape of the map of scores?",
        solution=lambda: (3, 20, _places(512), _places(672)),
        mistakes=(
            Mistake(
                answer=lambda: (3, 20, _side(512), _side(672)),
                hint="That is the map that the 7×7 kernel reads. How many places does the kernel "
                "have on it?",
            ),
            Mistake(
                answer=lambda: (3, 20, _places(672), _places(512)),
                hint="torch's order is (N, C, H, W): the height comes before the width.",
            ),
            Mistake(
                answer=lambda: (3, 20, _side(512) - FC_SIDE, _side(672) - FC_SIDE),
                hint="Count the places again: the kernel also has the one at which it starts.",
            ),
            Mistake(
                answer=lambda: (3, 20, 512 // CROP, 672 // CROP),
                hint="Those are crops laid side by side. The kernel moves by one cell at a time, "
                "so neighbouring crops overlap.",
            ),
            Mistake(
                answer=lambda: (3, 20, 1, 1),
                hint="One cell is left only at the size for which the kernel was made.",
            ),
        ),
        hints=(
            "First the map after the five poolings, then the places of the 7×7 kernel on it.",
            "The 1×1 convolutions change the channels alone.",
            "Along each axis: side // 32 - 7 + 1.",
        ),
        observe=value,
    ),
    Exercise(
        id="06-2",
        question="Write a function from channel, row and column of VGG-16's last 7×7 map to the "
        "column of fc6's weight that reads this number.",
        solution=lambda: lambda channel, row, column: FC_SIDE**2 * channel + FC_SIDE * row + column,
        mistakes=(
            Mistake(
                answer=lambda: (
                    lambda channel, row, column: (FC_SIDE * row + column) * CHANNELS + channel
                ),
                hint="That is the order of libraries with the channels last. torch's flatten "
                "walks through one channel before it begins the next.",
            ),
            Mistake(
                answer=lambda: (
                    lambda channel, row, column: FC_SIDE**2 * channel + FC_SIDE * column + row
                ),
                hint="You walk down the columns. torch's flatten takes a row from left to right, "
                "then the next row.",
            ),
            Mistake(
                answer=lambda: lambda channel, row, column: FC_SIDE * channel + row + column,
                hint="How many numbers lie between two neighbours of one column, and how many "
                "between the same place in two channels?",
            ),
            Mistake(
                answer=lambda: (
                    lambda channel, row, column: FC_SIDE**2 * channel + FC_SIDE * row + column + 1
                ),
                hint="You count from one; Python counts from zero.",
            ),
        ),
        hints=(
            "Flatten the last three axes of (C, H, W): which of them changes fastest?",
            "One step along a row is 1. One step down is a whole row.",
            "torch.arange(512 * 49).view(512, 7, 7) holds the answer for each place.",
        ),
        observe=calls((0, 0, 0), (0, 0, 6), (0, 1, 0), (1, 0, 0), (511, 6, 6)),
    ),
    Exercise(
        id="06-3",
        question="Write a function from the weight of a linear layer on flattened maps, and the "
        "channels, height and width of the map, to the weight of the convolution that does the "
        "same.",
        solution=lambda: _reshape,
        mistakes=(
            Mistake(
                answer=lambda: _channels_last,
                hint="The shape is right and the numbers are in other places: you took the row "
                "apart as if the channels came last.",
            ),
            Mistake(
                answer=lambda: _sides_swapped,
                hint="The shape is right and the numbers are in other places: which of height and "
                "width changes faster along the row?",
            ),
            Mistake(
                answer=lambda: _flipped,
                hint="You turned the kernel round. torch's convolution does not: it multiplies "
                "kernel and window element by element, as they lie.",
            ),
            Mistake(
                answer=lambda: _kernel_first,
                hint="A convolution's weight begins with the output channels, as that of a linear "
                "layer does.",
            ),
            Mistake(
                answer=lambda: lambda weight, channels, height, width: weight,
                hint="That is the weight of the linear layer. A convolution wants the shape "
                "(out, C, height, width).",
            ),
        ),
        hints=(
            "No number changes and none is added: only the shape does.",
            "The first axis stays; the second is split into three.",
            "weight.reshape(-1, ...), with channels, height and width in the order of flatten.",
        ),
        observe=calls(
            (torch.arange(8.0).view(1, 8), 2, 2, 2),
            (torch.arange(12.0).view(2, 6), 1, 2, 3),
            (torch.arange(12.0).view(2, 6), 3, 2, 1),
        ),
    ),
    Exercise(
        id="06-4",
        question="Which square inputs leave an average pooling at the end nothing to do, from the "
        "smallest to the largest side, if the first FC layer has become a 7×7 convolution?",
        solution=lambda: _ends(input_sizes(FC_SIDE, POOLS)),
        mistakes=(
            Mistake(
                answer=lambda: _ends(input_sizes(ASKERS_SIDE, POOLS)),
                hint="That is the range for the kernel of the question. This one is smaller.",
            ),
            Mistake(
                answer=lambda: (CROP, CROP),
                hint="That input is in the range, and it is not the only one: what do the "
                "poolings do with a side that they cannot halve evenly?",
            ),
            Mistake(
                answer=lambda: _ends(input_sizes(1, POOLS)),
                hint="There the map before the kernel has one cell, and the kernel does not fit "
                "on it. The map after the kernel is to have one.",
            ),
            Mistake(
                answer=lambda: (CROP, CROP + STRIDE),
                hint="The lower end is right. Put the upper end through the five poolings: the "
                "kernel has two places there.",
            ),
            Mistake(
                lambda: (FC_SIDE, FC_SIDE),
                "That is the side of the map. The side of the image is asked for.",
            ),
            Mistake(
                lambda: (CROP - STRIDE + 1, CROP),
                "Every pooling rounds down, not up: larger images end in the same map.",
            ),
        ),
        hints=(
            "A mean over one cell does nothing. When does the map of scores have one cell?",
            "When the kernel is as large as the map that it reads.",
            "vgglab.input_sizes(7, [Window(kernel_size=2, stride=2)] * 5) gives the range.",
        ),
        observe=value,
    ),
    Exercise(
        id="06-5",
        question="Write a function from the side of a square image, at least 224 px, to the "
        "number of 224 px crops that one dense forward of VGG-16 stands for.",
        solution=lambda: lambda side: _places(side) ** 2,
        mistakes=(
            Mistake(
                answer=lambda: lambda side: (side // CROP) ** 2,
                hint="Those are crops side by side. In the dense forward they overlap: how far "
                "apart do two neighbours start?",
            ),
            Mistake(
                answer=lambda: lambda side: _side(side) ** 2,
                hint="Those are the cells of the map after the poolings. A crop takes 7×7 of them.",
            ),
            Mistake(
                answer=lambda: _places,
                hint="Those are the crops in one row. The image has columns of them too.",
            ),
            Mistake(
                answer=lambda: lambda side: ((side - CROP) / STRIDE + 1) ** 2,
                hint="You divided without rounding. There is no fraction of a crop.",
            ),
            Mistake(
                answer=lambda: lambda side: (side - CROP + 1) ** 2,
                hint="Those are crops one pixel apart. How far apart do two cells of the "
                "last map look?",
            ),
            Mistake(
                lambda: lambda side: (_places(side) - 1) ** 2,
                "Count the places again: the kernel also has the one at which it starts.",
            ),
        ),
        hints=(
            "A crop starts at every 32nd pixel, and the last must end inside the image.",
            "Count the places of the kernel on the map along one axis.",
            "(side // 32 - 7 + 1) ** 2",
        ),
        observe=calls((224,), (255,), (256,), (400,), (1000,)),
    ),
    Exercise(
        id="06-6",
        question="Rewrite a small network for 28 px so that it gives the same ten scores as a 1×1 "
        "map, and a map of 4×4 scores at 40 px.",
        solution=lambda: _small(*_head(28 // 4)),
        mistakes=(
            Mistake(
                answer=lambda: _small(
                    nn.Flatten(), nn.Linear(8 * 7 * 7, 32), nn.ReLU(), nn.Linear(32, 10)
                ),
                hint="Nothing has changed yet: its first linear layer takes one size alone.",
            ),
            Mistake(
                answer=lambda: _small(*_head(40 // 4)),
                hint="That kernel is as large as the map at 40 px. The weights were made for the "
                "map at 28 px.",
            ),
            Mistake(
                answer=lambda: _small(*_head(1)),
                hint="A 1×1 kernel sees one cell. The first linear layer sees all cells of the "
                "map at 28 px.",
            ),
            Mistake(
                answer=lambda: _small(*_head(7, 7)),
                hint="After the first kernel the map at 28 px has one cell; which kernel fits on "
                "it?",
            ),
            Mistake(
                answer=lambda: _small(*_head(7), nn.AdaptiveAvgPool2d(1)),
                hint="You averaged the map at the end. The task asks for the map.",
            ),
        ),
        hints=(
            "What is the side of the map that nn.Flatten gets at 28 px?",
            "nn.Linear(8 * 7 * 7, 32) becomes a convolution from 8 to 32 channels.",
            "The first kernel is 7×7, the second is 1×1, and there is no flatten any more.",
        ),
        observe=network((1, 1, 28, 28), (1, 1, 40, 40), values=True),
    ),
    Exercise(
        id="06-7",
        question="Write a function from the size of the receptive field (stride 32, fields "
        "centred on the cells) to the number of cells of a crop's 7×7 map that see no padding.",
        solution=lambda: _clean_cells,
        mistakes=(
            Mistake(
                answer=lambda: lambda field: _clean_along(field),
                hint="Those are the cells along one axis. A cell must be free of padding along "
                "both.",
            ),
            Mistake(
                answer=lambda: lambda field: _clean_along(field, float("inf")) ** 2,
                hint="You looked at the left and at the top alone. Fields also reach out at the "
                "right and at the bottom.",
            ),
            Mistake(
                answer=lambda: lambda field: FC_SIDE**2 - _clean_cells(field),
                hint="Those are the cells that do see padding.",
            ),
            Mistake(
                answer=lambda: lambda field: (CROP // field) ** 2,
                hint="Fields of neighbouring cells overlap; they are not laid side by side.",
            ),
        ),
        hints=(
            "Draw one axis: 224 pixels, 7 cells of 32 pixels, and a field around each cell.",
            "Cell i covers the pixels from 32·i on. Its field begins (field - 32) / 2 earlier.",
            "Count the cells whose field begins at 0 or later and ends at 224 or earlier; square.",
        ),
        observe=calls((32,), (64,), (150,), (212,), (268,)),
    ),
    Exercise(
        id="06-8",
        question="Train the small network with a softmax at its end: what is the cross-entropy on "
        "the training patches without and with it, as {1: ..., 2: ...}?",
        solution=lambda: {1: FLOOR / 2, 2: FLOOR + 0.1},
        mistakes=(
            Mistake(
                answer=lambda: {1: FLOOR / 2, 2: FLOOR / 2},
                hint="The second loss is smaller than two softmaxes allow: does the second "
                "network end in one?",
            ),
            Mistake(
                answer=lambda: {1: FLOOR + 0.1, 2: FLOOR + 0.1},
                hint="The first loss is large. Is there a softmax in that network as well, which "
                "F.cross_entropy has already, or has it not been trained?",
            ),
            Mistake(
                answer=lambda: {1: FLOOR + 0.1, 2: FLOOR / 2},
                hint="Those are the two losses, in the other order.",
                applies=lambda losses: losses[2] < FLOOR <= losses[1] < 1,
            ),
        ),
        hints=(
            "F.cross_entropy takes scores and has a softmax of its own.",
            "learner = make_network(); learner.append(nn.Softmax(dim=1)); then train(learner), "
            "which returns the patches and their labels.",
            "F.cross_entropy(patch_network(patches), labels).item() is the first loss.",
        ),
        observe=value_that(
            ("one softmax: below what two can reach", lambda losses: 0 <= losses[1] < FLOOR),
            ("two softmaxes: not below it", lambda losses: FLOOR <= losses[2] < 1),
        ),
    ),
    Exercise(
        id="06-9",
        question="Which measurement could refute that it is the value 0 of the padding which "
        "makes cells differ from crops?",
        solution=lambda: "b",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="That shows once more that padding is the reason. Every padding is away then, "
                "whatever its value, so it cannot tell the value from the rest.",
            ),
            Mistake(
                answer=lambda: "c",
                hint="They would tell how much the difference matters, and not where it comes "
                "from.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="The crop keeps its zeros, so nothing changes for it: its border stays what "
                "it was.",
            ),
        ),
        hints=(
            "Change the value of the padding, and nothing else.",
            "nn.Conv2d has a padding_mode.",
            "If the cells still differ with another border, the value 0 is not the reason.",
        ),
        observe=value,
    ),
    Exercise(
        id="06-10",
        question="Build a VGG-16 of convolutions whose map of scores is what crops give: one cell "
        f"at {UNPADDED_CROP} px, 2×2 cells 32 px further.",
        solution=_without_padding,
        mistakes=(
            Mistake(
                answer=_dense,
                hint="Nothing has changed yet: each convolution still pads with zeros, so a crop "
                "sees zeros where the image goes on.",
            ),
            Mistake(
                answer=lambda: _without_padding(1),
                hint="One convolution has no padding any more. Which of the others have?",
            ),
            Mistake(
                answer=_averaged,
                hint="The padding is gone, and so is the map: the head averages it at the end.",
            ),
            Mistake(
                answer=_one_by_one,
                hint="With 1×1 kernels there is nothing to pad, and nothing of the network's "
                "weights is left either: keep the kernels.",
            ),
        ),
        hints=(
            "Where does a crop see something that is not in the image?",
            "padding is an attribute of nn.Conv2d that can be set afterwards.",
            "for module in model.features: if isinstance(module, nn.Conv2d): module.padding = ...",
        ),
        others=(_unpadded_by_layers,),
        observe=network(
            (1, 3, UNPADDED_CROP, UNPADDED_CROP),
            (1, 3, UNPADDED_CROP + STRIDE, UNPADDED_CROP + STRIDE),
        ),
    ),
)


def _predict(draw: Random | None = None) -> Quiz:
    # At least 3×3 cells, so that there are inner ones and others than corners.
    others = ((size,) for size in range(CROP + 2 * STRIDE, 800, STRIDE))
    (size,) = drawn(draw, (384,), others, lambda size: {RIGHT: size})
    side = _places(size)
    return Quiz(
        id="06-predict",
        question=f"VGG-16's FC layers become convolutions (7×7, 1×1, 1×1). An image of {size}×"
        f"{size} px then gives a map of {side}×{side} scores. Now cut the {side**2} crops of "
        "224×224 px that belong to its cells, 32 px apart, and give each to the FC network. In "
        "which cells do crop and map give the same scores?",
        options=(
            Option(
                "In all of them, but for rounding",
                "So it is often taught. It holds for a network without padding; VGG-16 pads each "
                "of its convolutions, and a crop has borders where the image has none.",
                misconception="a-cell-is-a-crop",
            ),
            Option(
                "In the inner cells; those at the border of the map differ",
                "It is the other way round. At the border of the image a crop and the image have "
                "the same zeros; inside, the crop has zeros where the image goes on.",
                misconception="padding-matters-at-the-border",
            ),
            Option(
                "In the four corners; the others differ",
                "A corner crop shares two of its borders with the image. The other two are cut "
                "through the image, and that is enough.",
                misconception="padding-matters-at-the-border",
            ),
            Option(
                "In none of them",
                "Each crop has at least two borders that the image does not have, and zeros are "
                "seen far into the map.",
                right=True,
            ),
        ),
        difficulty=3,
    )


def _review(draw: Random | None = None) -> Quiz:
    def answers(size: int) -> dict[str, int]:
        return {
            RIGHT: _places(size),
            "kernel-covers-the-map": 1,
            "a-score-in-each-cell": _side(size),
        }

    (size,) = drawn(draw, (400,), ((size,) for size in range(CROP, 800, 16)), answers)
    side, places = _side(size), _places(size)
    asked = "So it was for the asker, whose kernel was"
    whole = asked if side == ASKERS_SIDE else "So it would be for a kernel of"
    weights = CHANNELS * FC_SIDE**2
    return Quiz(
        id="06-review",
        question="VGG-16's FC layers become convolutions and keep their trained weights, so the "
        f"first kernel is 7×7. A {size}×{size} image goes in. What does an average pooling "
        "at the end do?",
        options=(
            Option(
                "Nothing: the map of scores has one cell",
                f"{whole} {side}×{side}, as large as the map "
                "that it reads. A 7×7 kernel has several places on that map.",
                misconception="kernel-covers-the-map",
            ),
            Option(
                f"It takes the mean over {side}×{side} cells",
                f"That many has the map that the 7×7 kernel reads. It gives {places} along a side.",
                misconception="a-score-in-each-cell",
            ),
            Option(
                f"It takes the mean over {places}×{places} cells",
                f"Along a side {side} - {FC_SIDE} + 1 = {places}. So here the average makes one "
                "score of many, for each class.",
                right=True,
            ),
            Option(
                "Nothing useful: as convolutions the layers have other numbers of parameters, so "
                "they start from random weights",
                f"The 7×7 kernel has {weights:,} weights for each of its channels, as many as fc6 "
                "for each of its features. They only get another shape.",
                misconception="converted-layers-start-anew",
            ),
        ),
        difficulty=2,
    )


def _review_control() -> Quiz:
    return Quiz(
        id="06-review-2",
        question="Cells of VGG's map of scores differ from the scores of their crops. With the "
        "same weights and photographs, but without padding, each cell was its crop, but for "
        "rounding. What does this control tell?",
        options=(
            Option(
                "That padding is the cause: all else was kept",
                "Weights, photographs and cells were the same. It could have come out otherwise, "
                "and then padding would not have been the whole reason.",
                right=True,
            ),
            Option(
                "That VGG would be more accurate without padding",
                "Accuracy was not measured, and these weights are random. Without padding a map "
                "shrinks at each layer, which has a price of its own.",
                misconception="one-measure-answers-another",
            ),
            Option(
                "That the crops are right and the map is wrong",
                "They are two functions. The map sees more of the image, the crops see what the "
                "training saw; the paper finds both useful.",
                misconception="one-measure-answers-another",
            ),
            Option(
                "That the difference was one of rounding all along",
                "Rounding is what is left without padding. With padding the difference is larger "
                "by many powers of ten.",
                misconception="all-differences-are-rounding",
            ),
        ),
        difficulty=3,
    )


def _review_answers() -> Quiz:
    return Quiz(
        id="06-review-3",
        question="In five small networks, trained for two classes, a cell of the map and its crop "
        "hardly ever disagree about the answer. Why does that not carry over to VGG-16 by itself?",
        options=(
            Option(
                "Nearly all cells of its crops see zeros, here only the rim",
                "Its fields are large. The cause is larger there, so the effect may be. It would "
                "have to be measured on a trained VGG-16.",
                right=True,
            ),
            Option(
                "Five networks are too few for an interval",
                "Five have one; it is wider than that of fifty. It is about networks like these, "
                "however many there are.",
                misconception="more-of-the-same-will-tell",
            ),
            Option(
                "It does: zeros change the cells at the rim, and there alone",
                "Here they do. In VGG-16 a cell sees so far that nearly all of them see zeros of "
                "their crop.",
                misconception="padding-matters-at-the-border",
            ),
            Option(
                "It does: dense evaluation is the same function as crops",
                "The scores differ, before training and after. Here they differ too little to "
                "change many answers.",
                misconception="a-cell-is-a-crop",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[..., Quiz]] = {
    "06-predict": _predict,
    "06-review": _review,
    "06-review-2": _review_control,
    "06-review-3": _review_answers,
}
