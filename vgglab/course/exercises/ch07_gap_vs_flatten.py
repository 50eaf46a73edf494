"""Exercises of chapter 07: what GAP and Flatten hand on, what it costs, and what it shows."""

from collections import Counter
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from vgglab.course.checking import (
    Condition,
    Exercise,
    Mistake,
    Tables,
    calls,
    executed,
    gives,
    network_that,
    outputs,
    value,
    value_that,
)
from vgglab.course.quizzes import Option, Quiz
from vgglab.models.network import vgg
from vgglab.shapes import Window, feature_map_sizes, input_sizes
from vgglab.tracing import trace

# 07-1: the last map of ResNet-50: as many channels as the paper gives it, and five halvings.
CHANNELS = 2048
SIDE = feature_map_sizes(224, [Window(kernel_size=2, stride=2)] * 5)[-1]

Matrix = list[list[float]]


# 07-2: parameters of one linear layer after each, as a pair (flatten, gap).
def _parameters(channels: int, height: int, width: int, num_classes: int) -> tuple[int, int]:
    features = channels * height * width, channels
    flatten, gap = (_count(_linear(f, num_classes)) for f in features)
    return flatten, gap


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _linear(in_features: int, out_features: int) -> nn.Linear:
    return nn.Linear(in_features, out_features, device="meta")


# 07-4: the weights of a linear layer after GAP, as those of one after Flatten.
def _spread(weight: Matrix, height: int, width: int) -> Matrix:
    cells = height * width
    return _lists(_tensor(weight).repeat_interleave(cells, dim=1) / cells)


def _spread_whole(weight: Matrix, height: int, width: int) -> Matrix:
    return _lists(_tensor(weight).repeat_interleave(height * width, dim=1))


def _spread_in_turn(weight: Matrix, height: int, width: int) -> Matrix:
    cells = height * width
    return _lists(_tensor(weight).repeat(1, cells) / cells)


def _spread_by_channels(weight: Matrix, height: int, width: int) -> Matrix:
    tensor = _tensor(weight)
    return _lists(tensor.repeat_interleave(height * width, dim=1) / tensor.shape[1])


# 07-6: the class activation map whose mean, plus the bias, is the logit.
def _cam(maps: list[Matrix], weight: list[float], bias: float) -> Matrix:
    return _lists(torch.einsum("chw,c->hw", _tensor(maps), _tensor(weight)))


def _cam_with_bias(maps: list[Matrix], weight: list[float], bias: float) -> Matrix:
    return _lists(_tensor(_cam(maps, weight, bias)) + bias)


def _cam_divided(maps: list[Matrix], weight: list[float], bias: float) -> Matrix:
    cam = _tensor(_cam(maps, weight, bias))
    return _lists(cam / cam.numel())


def _cam_without_weights(maps: list[Matrix], weight: list[float], bias: float) -> Matrix:
    return _lists(_tensor(maps).sum(0))


def _cam_positive(maps: list[Matrix], weight: list[float], bias: float) -> Matrix:
    return _lists(_tensor(_cam(maps, weight, bias)).relu())


def _tensor(numbers: object) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _lists(tensor: Tensor) -> Matrix:
    return list(tensor.tolist())


MAPS = [[[1.0, 0.0, 2.0], [3.0, 1.0, 0.0]], [[0.0, 4.0, 1.0], [2.0, 2.0, 5.0]]]
ROW = [0.5, -1.0]

# 07-7: what GAP sees.
CHANGES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda maps: maps.flip(-1),
    lambda maps: maps.flatten(2)[:, :, torch.arange(maps[0, 0].numel()).roll(5)].view(maps.shape),
    lambda maps: maps.flip(1),
    lambda maps: maps.roll(1, dims=-1),
)


def _seen_by_gap() -> tuple[bool, ...]:
    maps = torch.rand(1, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = maps.mean((2, 3))
    return tuple(not torch.allclose(change(maps).mean((2, 3)), before) for change in CHANGES)


# 07-10: VGG-16 for five classes, small and for images of any size.
def _flatten_head() -> nn.Module:
    model = vgg("D", head="fc-fixed", num_classes=5, device="meta")
    model.classifier = nn.Sequential(_linear(512 * SIDE**2, 5))
    return model


def _largest_of_each() -> nn.Module:
    return nn.Sequential(
        vgg("D", head="gap", num_classes=5, device="meta").features,
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        _linear(512, 5),
    )


def _is_small(model: nn.Module, tables: Tables) -> bool:
    return _count(model) < 15_000_000


def _has_vgg16s_layers(model: nn.Module, tables: Tables) -> bool:
    image = (1, 3, 224, 224)
    features = vgg("D", head="gap", device="meta").features
    wanted = executed(trace(features, image))
    return Counter(wanted) <= Counter(executed(tables(image).trace))


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="07-1",
        question="ResNet-50 at 224 px: how many features does Flatten hand on, and how many GAP? "
        "Answer with a pair.",
        solution=lambda: (CHANNELS * SIDE**2, CHANNELS),
        mistakes=(
            Mistake(
                answer=lambda: (CHANNELS * SIDE**2, SIDE**2),
                hint="The second number is that of the cells. GAP averages over the cells, so they "
                "are gone; what is left?",
            ),
            Mistake(
                answer=lambda: (CHANNELS, CHANNELS * SIDE**2),
                hint="Look at which of the two keeps every number of the map.",
            ),
            Mistake(
                answer=lambda: (512 * SIDE**2, 512),
                hint="Those are VGG-16's. How many channels does ResNet-50's last map have?",
            ),
            Mistake(
                lambda: (2**15, 512),
                "Those are not ResNet-50's channels. How many has its last map?",
                lambda pair: (
                    isinstance(pair, tuple)
                    and len(pair) == 2
                    and pair[1] not in (CHANNELS, SIDE**2, 1)
                    and pair[0] != CHANNELS * SIDE**2
                ),
            ),
            Mistake(
                lambda: (CHANNELS, 1),
                "Flatten keeps every number of the map, and GAP one for each channel.",
            ),
        ),
        hints=(
            "Look at the shape of the last map.",
            "ResNet-50 halves the image five times, and ends with 2048 channels.",
            "Flatten keeps every number of it, GAP one number a channel.",
        ),
        observe=value,
    ),
    Exercise(
        id="07-2",
        question="Write a function from channels, height and width of the last map and the number "
        "of classes to the parameters of a linear layer after Flatten and after GAP, as a pair.",
        solution=lambda: _parameters,
        mistakes=(
            Mistake(
                answer=lambda: lambda c, h, w, k: (c * h * w * k, c * k),
                hint="Besides its matrix of weights, a linear layer has something else.",
            ),
            Mistake(
                answer=lambda: lambda c, h, w, k: (c * h * w + 1, c + 1),
                hint="That is for one class.",
            ),
            Mistake(
                answer=lambda: lambda c, h, w, k: (c * h * w * k + k, h * w * k + k),
                hint="Your second number counts cells. GAP leaves one number a channel.",
            ),
            Mistake(
                lambda: lambda c, h, w, k: (c * h * w * k + 1, c * k + 1),
                "There is one bias for each class, not one in all.",
            ),
            Mistake(
                lambda: lambda c, h, w, k: (c * h * w, c),
                "Those are the features. A linear layer has a weight for each of them and each "
                "class.",
            ),
        ),
        hints=(
            "in_features * out_features weights, and out_features biases.",
            "in_features is c * h * w after Flatten.",
            "After GAP the height and the width are gone from it.",
        ),
        observe=calls((512, 7, 7, 1000), (2048, 7, 7, 5), (64, 8, 4, 10)),
    ),
    Exercise(
        id="07-3",
        question="Build a layer from (N, C, H, W) to (N, C) that does what GAP does, for every "
        "size of map.",
        solution=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        mistakes=(
            Mistake(
                answer=lambda: nn.AdaptiveAvgPool2d(1),
                hint="The means are right. Look at the number of dimensions.",
            ),
            Mistake(
                answer=lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
                hint="That is the largest number of each channel, not the mean.",
            ),
            Mistake(
                answer=lambda: nn.Flatten(),
                hint="That keeps every cell, so that the number of features depends on the size.",
            ),
            Mistake(
                answer=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(0)),
                hint="The means are right, and the images have run together: flatten from "
                "dimension 1 on.",
            ),
        ),
        hints=(
            "An adaptive pooling to one cell averages over the whole map.",
            "Its result still has a height and a width, both 1. Something must take them away.",
            "nn.Sequential of two modules of torch.",
        ),
        observe=outputs((2, 3, 4, 4), (1, 2, 5, 7), (1, 2, 1, 1)),
    ),
    Exercise(
        id="07-4",
        question="Write a function from the weight of a linear layer after GAP, a list of rows, "
        "and the height and width of the map, to the weight that gives the same logits after "
        "Flatten.",
        solution=lambda: _spread,
        mistakes=(
            Mistake(
                answer=lambda: _spread_whole,
                hint="Your logits are those of sums over the map. GAP takes means.",
            ),
            Mistake(
                answer=lambda: _spread_in_turn,
                hint="The numbers are right and their order is not: Flatten puts all cells of the "
                "first channel before the second channel.",
            ),
            Mistake(
                answer=lambda: _spread_by_channels,
                hint="You divided by the number of channels. What does GAP average over?",
            ),
            Mistake(
                lambda: lambda weight, height, width: weight,
                "That is the weight after GAP. After Flatten there are as many columns as "
                "numbers in the map.",
            ),
            Mistake(
                lambda: lambda weight, height, width: _lists(_tensor(weight) / (height * width)),
                "You divided, and did not repeat: each cell of the map needs a weight of its own.",
            ),
            Mistake(
                lambda: (
                    lambda weight, height, width: _lists(
                        _tensor(_spread(weight, height, width)) * width
                    )
                ),
                "You divided by one side. GAP averages over rows and columns.",
            ),
            Mistake(
                lambda: (
                    lambda weight, height, width: _lists(_tensor(_spread(weight, height, width)).T)
                ),
                "Rows and columns are exchanged: a row for each class.",
            ),
            Mistake(
                lambda: (
                    lambda weight, height, width: _lists(
                        _tensor(_spread_whole(weight, height, width)) * height * width
                    )
                ),
                "You multiplied where a mean divides.",
            ),
        ),
        hints=(
            "Write the mean of a channel as a sum over its cells.",
            "Each weight becomes height * width equal weights.",
            "torch has repeat_interleave, and repeat: one of them has the order of Flatten.",
        ),
        observe=calls(
            ([[1.0, 2.0]], 2, 2), ([[1.0, -3.0, 0.5], [2.0, 0.0, 4.0]], 1, 2), ([[6.0]], 2, 3)
        ),
    ),
    Exercise(
        id="07-5",
        question="VGG-16's feature layers and Flatten, with a linear layer made for 224 px: which "
        "is the smallest and which the largest side of a square image that runs?",
        solution=lambda: _sides(SIDE),
        mistakes=(
            Mistake(
                answer=lambda: (224, 224),
                hint="224 px runs, and it is not the only one: a pooling of an odd side drops its "
                "last row.",
            ),
            Mistake(
                answer=lambda: (224, _sides(SIDE)[1] + 1),
                hint="At your second side the map has a cell more along each axis.",
            ),
            Mistake(
                answer=lambda: (_sides(SIDE)[0] - 31, 224),
                hint="Every pooling rounds down, not up.",
            ),
            Mistake(
                lambda: (SIDE, SIDE),
                "That is the side of the map. The side of the image is asked for.",
            ),
        ),
        hints=(
            "Which sides of the image give a map of 7×7?",
            "A pooling of an odd side drops the last row, so several sides end in the same map.",
            "The side of the map is the side of the image // 32.",
        ),
        observe=value,
    ),
    Exercise(
        id="07-6",
        question="Write a function from a last map (channels, rows, columns), the weights of one "
        "class and its bias to the class activation map whose mean, plus the bias, is the logit.",
        solution=lambda: _cam,
        mistakes=(
            Mistake(
                answer=lambda: _cam_with_bias,
                hint="The mean of your map is the logit already. The bias belongs to the class, "
                "not to a place.",
            ),
            Mistake(
                answer=lambda: _cam_divided,
                hint="The sum of your map gives the logit, as in the paper. Here it is the mean.",
            ),
            Mistake(
                answer=lambda: _cam_without_weights,
                hint="You added the channels up. Which of them speak for this class, and which "
                "against it?",
            ),
            Mistake(
                answer=lambda: _cam_positive,
                hint="You cut off what speaks against the class. The logit counts it.",
            ),
            Mistake(
                lambda: (
                    lambda maps, weight, bias: [
                        row
                        for m, w in zip(maps, weight, strict=True)
                        for row in _lists(w * _tensor(m))
                    ]
                ),
                "You weighted the channels, and did not add them up.",
            ),
        ),
        hints=(
            "At each cell, do what the linear layer does with the means.",
            "A weighted sum over the channels.",
            "The sum of maps[c][i][j] * weight[c] over the channels c, for each cell (i, j).",
        ),
        observe=calls((MAPS, ROW, 3.0), ([[[2.0]], [[7.0]]], [1.0, 1.0], 0.0)),
    ),
    Exercise(
        id="07-7",
        question="A map goes through GAP. Which changes of the map does its output show: mirrored "
        "left to right, cells in another order, channels in another order, moved around by one "
        "column? Answer with four times True or False.",
        solution=_seen_by_gap,
        mistakes=(
            Mistake(
                answer=lambda: (True, True, True, True),
                hint="Then GAP would be Flatten. A mean does not know the order of what it is of.",
            ),
            Mistake(
                answer=lambda: (False, False, False, False),
                hint="Three of the four move cells. One moves whole channels, and each channel has "
                "its own mean.",
            ),
            Mistake(
                answer=lambda: (True, False, True, False),
                hint="Mirroring is a change of the order of the cells too.",
            ),
        ),
        hints=(
            "Is it the order of cells that changes, or the order of channels?",
            "A mean does not change with the order of its numbers. Which numbers are in one mean?",
            "Try all four on a small random map.",
        ),
        observe=value,
    ),
    Exercise(
        id="07-8",
        question="Break GAP: make images of two kinds that differ in the order of two marks, too "
        "far apart for a cell to see both. Which test accuracies do GAP and Flatten reach? A pair.",
        solution=lambda: (1 / 2, 1.0),
        mistakes=(
            Mistake(
                answer=lambda: (1.0, 1.0),
                hint="GAP can tell your two kinds apart. Does one have other marks than the other, "
                "not just another order? Does a cell see both marks, or a mark and the border?",
            ),
            Mistake(
                answer=lambda: (1 / 2, 1 / 2),
                hint="Flatten guesses as well. Do the labels say which mark is on the left, and "
                "are there enough images?",
            ),
            Mistake(
                answer=lambda: (1.0, 1 / 2),
                hint="The other way round: first GAP.",
                applies=lambda pair: 0.9 <= pair[0] <= 1 and 0.35 <= pair[1] <= 0.65,
            ),
            Mistake(
                lambda: (50.0, 100.0),
                "These are percent. Answer with shares, as `accuracies` returns them.",
                lambda pair: max(pair) > 1 and 0.35 <= pair[0] / 100 <= 0.65 and pair[1] >= 90,
            ),
            Mistake(
                lambda: (0.7, 0.8),
                "Neither guesses nor is sure: are the marks always whole, and far enough from "
                "each other and from the border?",
                lambda pair: 0.65 < pair[0] < 1 and pair[1] < 0.9,
            ),
        ),
        hints=(
            "A mean over cells is the same for two maps with the same cells in another order.",
            "Two marks of different shape: A left and B right is one kind, B left and A right the "
            "other.",
            "Keep both marks several pixels away from each other and from the border.",
        ),
        observe=value_that(
            ("GAP: about a half", lambda pair: 0.35 <= pair[0] <= 0.65),
            ("Flatten: at least nine tenths", lambda pair: 0.9 <= pair[1] <= 1),
        ),
    ),
    Exercise(
        id="07-9",
        question="GAP is ahead of Flatten on test images, and the explanation is that Flatten has "
        "learnt its training images by heart. Which finding would speak against that: (a) "
        "Flatten's loss on the training images is far lower; (b) with shifted and mirrored copies "
        "the lead shrinks; (c) Flatten is no better on the training images either; (d) both get "
        "better with more epochs?",
        solution=lambda: "c",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="That is what learning by heart looks like.",
            ),
            Mistake(
                answer=lambda: "b",
                hint="Copies make it harder to learn images by heart. If Flatten gains by them, "
                "the explanation has passed a test.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="That says that both were stopped early, and nothing about what sets them "
                "apart.",
            ),
        ),
        hints=(
            "What does the explanation predict for the training images?",
            "A network that knows images by heart is better on them than on others.",
            "Look for the finding that could not occur if the explanation were right.",
        ),
        observe=value,
    ),
    Exercise(
        id="07-10",
        question="Build a VGG-16 for five classes, with its thirteen convolutions and fewer than "
        "15 million parameters, that takes 224 px and 400 px.",
        solution=lambda: vgg("D", head="gap", num_classes=5, device="meta"),
        mistakes=(
            Mistake(
                answer=lambda: vgg("D", num_classes=5, device="meta"),
                hint="It takes both sizes. Where are its parameters?",
            ),
            Mistake(
                answer=_flatten_head,
                hint="It is small enough. At 400 px the linear layer gets more features than it "
                "was made for.",
            ),
            Mistake(
                answer=lambda: vgg("D", head="gap", device="meta"),
                hint="How many classes does it tell apart?",
            ),
            Mistake(
                answer=lambda: vgg("A", head="gap", num_classes=5, device="meta"),
                hint="The head is right. VGG-16 has more convolutions than this network.",
            ),
        ),
        hints=(
            "Where are the parameters of VGG-16? Its convolutions have fewer than 15 million.",
            "Which head has few parameters and takes any size?",
            'vgg(..., head="gap"), or vgglab.with_gap_head.',
        ),
        observe=network_that(
            gives((1, 3, 224, 224), (1, 5), "At 224 px one row of five scores is asked for."),
            gives(
                (1, 3, 400, 400),
                (1, 5),
                "At 400 px the map has more cells. What comes after it must take any number.",
            ),
            Condition(
                "fewer than 15 million parameters",
                _is_small,
                "The convolutions have 14.7 million. What has the rest?",
            ),
            Condition(
                "the layers of VGG-16 up to its last map run",
                _has_vgg16s_layers,
                "VGG-16 runs thirteen convolutions of 3×3, each with its ReLU, and five max "
                "poolings. Which of them do not run in yours?",
            ),
        ),
        others=(_largest_of_each,),
    ),
)


def _sides(cells: int) -> tuple[int, int]:
    """Return the smallest and the largest side of an image whose map has so many cells."""
    sizes = input_sizes(cells, [Window(kernel_size=2, stride=2)] * 5)
    return sizes[0], sizes[-1]


def _predict() -> Quiz:
    flatten, gap = (prod(shape) for shape in ((CHANNELS, SIDE, SIDE), (CHANNELS,)))
    return Quiz(
        id="07-predict",
        question="The same feature layers, once with GAP and a linear layer, once with Flatten and "
        "a linear layer. Both are trained on scenes whose figure is always in the left half, and "
        "tested on scenes whose figure is in the right half. Which is right more often there?",
        options=(
            Option(
                f"Flatten: it has {flatten // gap} times the features to tell kinds apart with",
                "It has them, and each belongs to one cell. Those of the right half were never "
                "shown a figure, so nothing was learnt about them.",
                misconception="more-features-know-more",
            ),
            Option(
                "GAP, and it is about as good there as on the left",
                "The mean does not ask where. What was learnt on the left holds on the right.",
                right=True,
            ),
            Option(
                "Neither: both guess, for neither has seen a figure there",
                "The feature layers are convolutions, which do the same at every place. What comes "
                "after them decides.",
                misconception="convolutions-learn-each-place",
            ),
        ),
        difficulty=2,
    )


def _review() -> Quiz:
    cells = SIDE**2
    return Quiz(
        id="07-review",
        question="ResNet-50 ends in GAP, and somebody fears that so little is left of the image "
        "that it cannot work. What is given up between the last map and the linear layer?",
        options=(
            Option(
                "All but one number",
                f"A mean is taken in each channel, and there are {CHANNELS:,} of them.",
                misconception="one-number-for-all-channels",
            ),
            Option(
                "Half of each side, as in a pooling with f = 2 and s = 2",
                f"That pooling leaves a smaller map. This one leaves no map: {SIDE}×{SIDE} cells "
                "become one.",
                misconception="a-pooling-halves",
            ),
            Option(
                "In each channel, which cell had which value",
                f"Of {cells} numbers their mean is left. Order, place and layout are gone, unless "
                "the convolutions have written them into the channels.",
                right=True,
            ),
            Option(
                "Nothing: the layer only changes the shape, so that Flatten fits",
                f"Flatten alone changes the shape, and keeps {CHANNELS * cells:,} numbers. GAP "
                f"computes {CHANNELS:,} from them.",
                misconception="gap-is-a-reshape",
            ),
        ),
        difficulty=1,
    )


def _seeds() -> Quiz:
    return Quiz(
        id="07-review-2",
        question="Two heads are compared with ten seeds, all tested on the same few hundred "
        "digits. The 95 % interval of the difference leaves 0 out. What is it an interval of?",
        options=(
            Option(
                "What to expect on other digits",
                "All ten networks saw the same test digits. How the difference would vary with "
                "other digits, no seed can tell.",
                misconception="it-holds-here-so-everywhere",
            ),
            Option(
                "What to expect from other trainings, tested on these digits",
                "Seeds vary weights and order. To say something about digits, draw images as well, "
                "or compare the heads image by image.",
                right=True,
            ),
            Option(
                "The range in which nearly all single trainings lie",
                "It is one of the mean, and gets narrower with each further seed. Single trainings "
                "vary as much as before.",
                misconception="an-interval-holds-single-runs",
            ),
        ),
        difficulty=3,
    )


def _control() -> Quiz:
    return Quiz(
        id="07-review-3",
        question="From the means of an untrained network with zero padding one can read how far to "
        "the right a figure is. Somebody says: the zeros tell. Which network tests that?",
        options=(
            Option(
                "A trained one with zero padding",
                "It has zeros and a border, as before, and something else on top.",
                misconception="the-named-difference-is-the-cause",
            ),
            Option(
                "One that pads with the image mirrored",
                "It has a border and no zeros. If its means tell the position as well, it is not "
                "the zeros.",
                right=True,
            ),
            Option(
                "One that pads with the image's other side, and no further one",
                "It has neither zeros nor a border. If it is blind, either may have been the "
                "reason.",
                misconception="the-named-difference-is-the-cause",
            ),
            Option(
                "The same with more seeds",
                "They would show that position can be read, which is not in doubt.",
                misconception="more-of-the-same-will-tell",
            ),
        ),
        difficulty=3,
    )


def _grad_cam() -> Quiz:
    return Quiz(
        id="07-review-4",
        question="A Grad-CAM of VGG's fully connected head is bright in one corner. What is it, "
        "compared with a class activation map after GAP?",
        options=(
            Option(
                "The same: its cells add up to the logit, but for the bias",
                "That holds for one linear layer. Behind a hidden layer the logit is no sum over "
                "cells.",
                misconception="grad-cam-adds-up-to-the-logit",
            ),
            Option(
                "The positive part of a sum of channels, each with one weight",
                "The weight of a channel is the mean of its gradient. With GAP the two agree up to "
                "a factor. Behind a fully connected head a cell's own weights are averaged away, "
                "so the map is a hint.",
                right=True,
            ),
            Option(
                "The place that must be there for the answer: cover it, and the class is lost",
                "A gradient tells what a small change does. What happens when a place is covered "
                "has to be tried.",
                misconception="a-heat-map-is-the-cause",
            ),
            Option(
                "Nothing, for a network has to be trained with GAP to have a map",
                "That is CAM. A gradient needs no particular head.",
                misconception="a-class-map-needs-gap",
            ),
        ),
        difficulty=2,
    )


QUIZZES: dict[str, Callable[[], Quiz]] = {
    "07-predict": _predict,
    "07-review": _review,
    "07-review-2": _seeds,
    "07-review-3": _control,
    "07-review-4": _grad_cam,
}
