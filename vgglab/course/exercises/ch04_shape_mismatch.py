"""Exercises of chapter 04: the shapes behind the error, and what a table of memory leaves out."""

from collections.abc import Callable, Sequence
from math import isqrt, lcm
from random import Random
from statistics import fmean, stdev
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vgglab.convert import with_adaptive_pool, with_gap_head
from vgglab.course.checking import (
    Condition,
    Exercise,
    Mistake,
    Tables,
    answers_as_before,
    calls,
    gives,
    network,
    network_that,
    value,
)
from vgglab.course.observing_networks import narrow_vgg
from vgglab.course.quizzes import RIGHT, Option, Quiz, drawn
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES
from vgglab.models.network import VGG, vgg
from vgglab.shapes import Window, feature_map_sizes, input_sizes
from vgglab.tracing.copies import real_copy

CHANNELS = CONFIGS["D"].convs()[-1].out_channels
FC_FEATURES = CHANNELS * FC_SIDE**2
POOLS = [Window(kernel_size=2, stride=2)] * 5
STRIDE = 2 ** len(POOLS)
POOLS_ROUNDING_UP = [pool._replace(ceil_mode=True) for pool in POOLS]
FLOAT_BYTES = 4


def _side(size: int, pools: list[Window] = POOLS) -> int:
    return feature_map_sizes(size, pools)[-1]


def _ends(sizes: range) -> tuple[int, int]:
    return sizes[0], sizes[-1]


# 04-1: from the message back to the image.
MESSAGE_FEATURES = 51200
MESSAGE_SIDE = isqrt(MESSAGE_FEATURES // CHANNELS)

# 04-4: a view that does not keep the batch.
VIEW_CELLS = _side(480) ** 2
VIEW_BATCH = lcm(VIEW_CELLS, FC_SIDE**2) // VIEW_CELLS


def _fixed() -> VGG:
    return vgg("D", head="fc-fixed", device="meta")


def _with_fc6(in_features: int) -> VGG:
    model = _fixed()
    model.classifier[0] = nn.Linear(in_features, HIDDEN_FEATURES, device="meta")
    return model


def _pooled() -> VGG:
    return vgg("D", head="fc", device="meta")


def _narrow() -> VGG:
    """Return the fixed VGG-16 with few channels, and always the same weights."""
    return narrow_vgg(head="fc-fixed")


# 04-5: what stands between the two parts of VGG-16.
BATCH = (2, 3, 224, 224)


def _in_a_row(*between: nn.Module) -> Callable[[VGG], nn.Module]:
    return lambda parts: nn.Sequential(parts.features, *between, parts.classifier)


# 04-8: the same networks in two ways, and what may be said of the difference.
PAIRS = (
    # Each network loses a little, far less than the networks differ.
    ([0.90, 0.80, 0.70, 0.95, 0.85], [0.88, 0.77, 0.68, 0.92, 0.83]),
    ([0.60, 0.75, 0.90, 0.70, 0.85], [0.63, 0.77, 0.93, 0.74, 0.88]),
    # A higher mean, and four of five higher: one outlier carries it.
    ([0.90, 0.90, 0.90, 0.90, 0.70], [0.91, 0.91, 0.89, 0.91, 0.90]),
    ([0.80, 0.82, 0.84, 0.81, 0.83], [0.81, 0.80, 0.85, 0.82, 0.81]),
    # All five are higher, and one of them by far the most.
    ([0.80, 0.80, 0.80, 0.80, 0.60], [0.81, 0.81, 0.81, 0.81, 0.85]),
)

# Student's t with four degrees of freedom, two-sided at 95 %: of five networks.
STUDENTS_T = 2.776

Accuracies: TypeAlias = Sequence[float]
Verdict: TypeAlias = Callable[[Accuracies, Accuracies], str]


def _interval(values: Accuracies) -> tuple[float, float]:
    mean, half = fmean(values), STUDENTS_T * stdev(values) / len(values) ** 0.5
    return mean - half, mean + half


def _in_words(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else "no difference seen"


def _by_pairs(first: Accuracies, second: Accuracies) -> str:
    return _in_words(*_interval([b - a for a, b in zip(first, second, strict=True)]))


def _by_overlap(first: Accuracies, second: Accuracies) -> str:
    (low, high), (lowest, highest) = _interval(second), _interval(first)
    return _in_words(low - highest, high - lowest)


def _by_means(first: Accuracies, second: Accuracies) -> str:
    mean = fmean(second) - fmean(first)
    return _in_words(mean, mean)


def _by_votes(first: Accuracies, second: Accuracies) -> str:
    found = [b - a for a, b in zip(first, second, strict=True)]
    return _in_words(min(found), max(found))


def _turned_round(first: Accuracies, second: Accuracies) -> str:
    return _by_pairs(second, first)


# 04-10: every size, and the weights that there are.
SIZES = ((400, 400), (300, 500))


class _Resizing(nn.Module):
    """The fixed network behind a resize of the image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(F.interpolate(x, size=(224, 224), mode="bilinear"))  # type: ignore[no-any-return]


def _with_larger_fc6(model: VGG) -> VGG:
    fc6 = model.classifier[0]
    assert isinstance(fc6, nn.Linear)
    cells = _side(400) ** 2
    model.classifier[0] = nn.Linear(fc6.in_features // FC_SIDE**2 * cells, fc6.out_features)
    return model


def _has_old_shapes(model: nn.Module, tables: Tables) -> bool:
    assert tables.before is not None
    new, old = (sorted(p.shape for p in m.parameters()) for m in (model, tables.before))
    return new == old


def _uses_every_weight(model: nn.Module, tables: Tables) -> bool:
    """Look at the gradients of all weights, none of them below 0, so that no ReLU hides one."""
    copied = real_copy(model).eval().double()
    for parameter in copied.parameters():
        parameter.data = parameter.data.abs() + 0.01
    x = torch.ones(1, 3, *SIZES[0], dtype=torch.float64)
    scores = copied(x).sum()
    gradients = torch.autograd.grad(scores, list(copied.parameters()))
    return all(bool((gradient != 0).all()) for gradient in gradients)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="04-1",
        question="Which square inputs give 51200 features, from the smallest to the largest side?",
        solution=lambda: _ends(input_sizes(MESSAGE_SIDE, POOLS)),
        mistakes=(
            Mistake(
                answer=lambda: (MESSAGE_SIDE * 2**5,) * 2,
                hint="That input gives the message, but it is not the only one: what do the "
                "poolings do with a side that they cannot halve evenly?",
            ),
            Mistake(
                answer=lambda: (MESSAGE_SIDE, MESSAGE_SIDE),
                hint="That is the side of the feature map. The question is about the image, "
                "five poolings earlier.",
            ),
            Mistake(
                answer=lambda: (MESSAGE_SIDE * 2**5, (MESSAGE_SIDE + 1) * 2**5),
                hint="The lower end is right. Put the upper end through the five poolings: it is "
                "the first side of the next larger map.",
            ),
            Mistake(
                answer=lambda: _ends(input_sizes(MESSAGE_SIDE, POOLS_ROUNDING_UP)),
                hint="You rounded up at each pooling. torch rounds down unless ceil_mode is set.",
            ),
            Mistake(
                lambda: (224, 255),
                "Those sides give 25088 features, the number that fc6 was made for: the other "
                "shape in the message is that of the images.",
            ),
        ),
        hints=(
            "The message counts channels and cells together. How many channels does VGG-16's "
            "last feature map have?",
            "Divide by the channels and take the square root: that is the side of the map.",
            "vgglab.input_sizes(side, [Window(kernel_size=2, stride=2)] * 5) gives all inputs as "
            "a range; its last element is one below its stop.",
        ),
        observe=value,
    ),
    Exercise(
        id="04-2",
        question="Write a function from the height and width of an image to the features at fc6.",
        solution=lambda: lambda height, width: CHANNELS * _side(height) * _side(width),
        mistakes=(
            Mistake(
                answer=lambda: lambda height, width: CHANNELS * _side(height) ** 2,
                hint="Images need not be square: your function never looks at the width.",
            ),
            Mistake(
                answer=lambda: lambda height, width: CHANNELS * height * width / 2**10,
                hint="You divided without rounding. A feature map has no fraction of a column; "
                "round at each axis, before you multiply.",
            ),
            Mistake(
                answer=lambda: lambda height, width: CHANNELS * (height * width // 2**10),
                hint="You rounded the area. Rounding happens along each axis on its own.",
            ),
            Mistake(
                answer=lambda: (
                    lambda height, width: (
                        CHANNELS
                        * _side(height, POOLS_ROUNDING_UP)
                        * _side(width, POOLS_ROUNDING_UP)
                    )
                ),
                hint="You rounded up. A window that does not fit is dropped, so round down.",
            ),
            Mistake(
                answer=lambda: lambda height, width: _side(height) * _side(width),
                hint="That counts the cells of one map. Flatten lays all channels in a row.",
            ),
            Mistake(
                lambda: lambda height, width: CHANNELS * (height // 16) * (width // 16),
                "There are five poolings: one more than you counted.",
            ),
            Mistake(
                lambda: lambda height, width: CHANNELS * round(height / 32) * round(width / 32),
                "You rounded to the nearest. A window that does not fit whole is dropped.",
            ),
            Mistake(
                lambda: lambda height, width: HIDDEN_FEATURES,
                "Those are the features that fc6 gives. What does it get?",
            ),
            Mistake(
                lambda: lambda height, width: FC_FEATURES,
                "That is right at 224 px alone. What do the height and the width do?",
            ),
        ),
        hints=(
            "Only the poolings change the sides. What do five of them do to one side?",
            "Five halvings that round down are one division by 32 that rounds down.",
            "Channels times rows times columns; rows = height // 32.",
        ),
        observe=calls((224, 224), (400, 400), (300, 500), (32, 1568), (447, 255)),
    ),
    Exercise(
        id="04-3",
        question="Four images, 300 px high and 500 px wide: what shape has the last feature map?",
        solution=lambda: (4, CHANNELS, _side(300), _side(500)),
        mistakes=(
            Mistake(
                answer=lambda: (4, CHANNELS, _side(500), _side(300)),
                hint="torch's order is (N, C, H, W): the height comes before the width.",
            ),
            Mistake(
                answer=lambda: (
                    4,
                    CHANNELS,
                    _side(300, POOLS_ROUNDING_UP),
                    _side(500, POOLS_ROUNDING_UP),
                ),
                hint="You rounded up. The last window does not fit, so it is dropped.",
            ),
            Mistake(
                answer=lambda: (CHANNELS, _side(300), _side(500)),
                hint="That is one image. The batch dimension comes first and stays.",
            ),
            Mistake(
                answer=lambda: (4, _side(300), _side(500), CHANNELS),
                hint="Channels last is the order of other libraries; torch has (N, C, H, W).",
            ),
        ),
        hints=(
            "The two axes do not know of each other: do the height first.",
            "Halve five times, and drop the half pixel each time.",
            "The shape is (images, channels, 300 // 32, 500 // 32).",
        ),
        observe=value,
    ),
    Exercise(
        id="04-4",
        question="At 480 px, what is the smallest batch that view(-1, 25088) takes without an "
        "error, and how many rows come out?",
        solution=lambda: (VIEW_BATCH, VIEW_BATCH * VIEW_CELLS // FC_SIDE**2),
        mistakes=(
            Mistake(
                answer=lambda: (VIEW_BATCH, VIEW_BATCH),
                hint="The batch is right. flatten(1) would keep it as the number of rows; this "
                "view counts rows of 25088 features, wherever an image ends.",
            ),
            Mistake(
                answer=lambda: (VIEW_BATCH * VIEW_CELLS // FC_SIDE**2, VIEW_BATCH),
                hint="Those are the two numbers, in the other order: the batch first.",
            ),
            Mistake(
                answer=lambda: (1, VIEW_CELLS // FC_SIDE**2),
                hint="A view cannot drop what is left over: with one image torch raises an error.",
            ),
            Mistake(
                answer=lambda: (2 * VIEW_BATCH, 2 * VIEW_BATCH * VIEW_CELLS // FC_SIDE**2),
                hint="That batch runs, and so does a smaller one.",
            ),
            Mistake(
                lambda: (7, 7 * VIEW_CELLS // FC_SIDE**2),
                "7 · 225 cells are no multiple of 49: the batch has to bring both sevens.",
            ),
            Mistake(
                lambda: (FC_FEATURES, VIEW_BATCH),
                "25088 is a row's length. How many images, and how many rows?",
            ),
        ),
        hints=(
            "How many cells does the map at 480 px have, and how many does fc6 want?",
            "batch × cells must be a multiple of 49.",
            "math.gcd of the cells and 49 tells how much of the 49 the batch must bring.",
        ),
        observe=value,
    ),
    Exercise(
        id="04-5",
        question="Write a function from VGG-16 to a network of its two parts that gives the same "
        "scores for a batch of two 224 px images.",
        solution=lambda: _in_a_row(nn.Flatten()),
        mistakes=(
            Mistake(
                answer=lambda: _in_a_row(),
                hint="The map arrives with four dimensions. Linear multiplies along the last one "
                "alone, which is the width of the map.",
            ),
            Mistake(
                answer=lambda: _in_a_row(nn.Flatten(0)),
                hint="You laid the batch into the same row as the features. The first dimension "
                "must stay.",
            ),
            Mistake(
                answer=lambda: _in_a_row(nn.Flatten(2)),
                hint="You laid each channel into a row of its own; the channels belong in it too.",
            ),
            Mistake(
                answer=lambda: _in_a_row(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
                hint="You averaged each channel first. Then one number a channel is left, and "
                "this classifier was made for all cells.",
            ),
        ),
        hints=(
            "Compare the shape after the features with what classifier[0] expects.",
            "One layer between the two parts is missing, and it has no weights.",
            "torch.flatten(x, 1) as a layer is nn.Flatten().",
        ),
        observe=network_that(
            gives(BATCH, (2, NUM_CLASSES), "A row of 1000 scores for each image is asked for."),
            answers_as_before(
                BATCH,
                "It runs, and gives other scores. The classifier was made for one order of the "
                "numbers: which does torch's flatten have?",
            ),
            of=_narrow,
        ),
    ),
    Exercise(
        id="04-6",
        question="Change the fixed VGG-16 so that it takes 400 px images and reads all their "
        "cells; at 224 px it may fail.",
        solution=lambda: _with_fc6(CHANNELS * _side(400) ** 2),
        mistakes=(
            Mistake(
                answer=_fixed,
                hint="Nothing has changed yet: fc6 still has the in_features of a 7 × 7 map.",
            ),
            Mistake(
                answer=lambda: _with_fc6(CHANNELS * _side(400, POOLS_ROUNDING_UP) ** 2),
                hint="You rounded the side up. The last pooling drops the odd column.",
            ),
            Mistake(
                answer=lambda: _with_fc6(CHANNELS * _side(400)),
                hint="You counted one row of the map. A map has rows and columns.",
            ),
            Mistake(
                answer=_pooled,
                hint="It runs, at both sizes: you pooled the map to 7 × 7 first. Here fc6 is to "
                "read all cells of the larger map.",
            ),
        ),
        hints=(
            "Which layer refuses the 400 px image? vgglab.summary shows it.",
            "A layer of a Sequential can be replaced: model.classifier[0] = ...",
            "nn.Linear(512 * side * side, 4096, device='meta'), with the side of the map at 400.",
        ),
        observe=network((1, 3, 400, 400)),
    ),
    Exercise(
        id="04-7",
        question="Write a function from the numbers of trainable and frozen weights to the bytes "
        "that training with Adam needs for weights, gradients and moments in float32.",
        solution=lambda: lambda trainable, frozen: FLOAT_BYTES * (4 * trainable + frozen),
        mistakes=(
            Mistake(
                answer=lambda: lambda trainable, frozen: FLOAT_BYTES * (trainable + frozen),
                hint="Those are the weights alone: all that a table of parameters shows.",
            ),
            Mistake(
                answer=lambda: lambda trainable, frozen: FLOAT_BYTES * 4 * (trainable + frozen),
                hint="You gave frozen weights a gradient and moments. They have neither.",
            ),
            Mistake(
                answer=lambda: lambda trainable, frozen: FLOAT_BYTES * (3 * trainable + frozen),
                hint="Three numbers for each trainable weight: the weight itself, its gradient, "
                "and how many moments does Adam keep?",
            ),
            Mistake(
                answer=lambda: lambda trainable, frozen: 4 * trainable + frozen,
                hint="You counted numbers. How many bytes does a float32 take?",
            ),
            Mistake(
                answer=lambda: lambda trainable, frozen: FLOAT_BYTES * 4 * trainable,
                hint="You left the frozen weights out. They are not trained, but they are "
                "in memory.",
            ),
            Mistake(
                answer=lambda: lambda trainable, frozen: FLOAT_BYTES * (2 * trainable + frozen),
                hint="That is with the gradient, and without what Adam remembers of each weight.",
            ),
        ),
        hints=(
            "Write down what must be in memory for one weight that is trained.",
            "The weight, its gradient, and Adam's averages of the gradient and of its square.",
            "A frozen weight needs its own 4 bytes and nothing else.",
        ),
        observe=calls((100, 0), (0, 100), (318_787_587, 14_714_688)),
    ),
    Exercise(
        id="04-8",
        question="Write a function from two lists of accuracies of the same networks to whether "
        "the second way is 'better', 'worse' or 'no difference seen', by the interval of the mean "
        "difference.",
        solution=lambda: _by_pairs,
        mistakes=(
            Mistake(
                answer=lambda: _by_means,
                hint="You compared two means. Two means always differ; would they differ in the "
                "same direction for five other networks?",
            ),
            Mistake(
                answer=lambda: _by_overlap,
                hint="You asked whether two intervals overlap. Each is as wide as the networks "
                "differ; here each network was tested in both ways, so its two numbers are a pair.",
            ),
            Mistake(
                answer=lambda: _by_votes,
                hint="You asked whether all networks agree. By how much they differ matters too: "
                "an interval of the mean can reach 0 where all agree.",
            ),
            Mistake(
                answer=lambda: _turned_round,
                hint="That is how the first way does beside the second. Turn the difference round.",
            ),
        ),
        hints=(
            "The networks differ, and that is not the question. What is left if each network is "
            "compared with itself?",
            "Take the difference of each pair, and the interval of these differences.",
            "interval([b - a for a, b in zip(first_way, second_way)]) has .low and .high; on "
            "which side of 0 do they lie?",
        ),
        observe=calls(*PAIRS),
    ),
    Exercise(
        id="04-9",
        question="Which row of the measurement could have refuted that dropped columns, whatever "
        "they show, spoil the answer?",
        solution=lambda: "b",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="That row is what the others are compared with. Nothing is dropped there, so "
                "it says nothing of dropped columns.",
            ),
            Mistake(
                answer=lambda: "c",
                hint="There the digit is larger than in training, and nothing is dropped: it tells "
                "of the size, and not of the columns.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="There one cell is copied, and nothing is dropped. It fails for another "
                "reason.",
            ),
        ),
        hints=(
            "A claim about dropped columns is tested where columns are dropped.",
            "Two rows drop them. They differ in one more thing: which?",
            "Keep the dropped columns, and take the enlarged digit away.",
        ),
        observe=value,
    ),
    Exercise(
        id="04-10",
        question="Write a function from the fixed VGG-16 to a network that gives its 1000 scores "
        "for images of 400×400 and of 300×500 px, and in which no weight gets another shape.",
        solution=lambda: with_adaptive_pool,
        mistakes=(
            Mistake(
                answer=lambda: lambda model: model,
                hint="fc6 still does not get 7×7 cells. A pooling must stand before the flatten, "
                "and leave 7×7.",
            ),
            Mistake(
                answer=lambda: _with_larger_fc6,
                hint="A larger fc6 moves the problem to another size, and the weights that it had "
                "do not fit into it.",
            ),
            Mistake(
                answer=lambda: lambda model: with_gap_head(model, NUM_CLASSES),
                hint="It takes every size, but some weights have another shape. fc_to_conv keeps "
                "their values in a new one, global average pooling drops fc6; here they must load "
                "as they are.",
            ),
            Mistake(
                answer=lambda: lambda model: model.features,
                hint="The output is not one row of 1000 scores. A map of features needs the "
                "classifier; a map of scores needs a mean, and its weights have another shape.",
            ),
        ),
        hints=(
            "fc6 wants 7×7 cells. Where between the image and fc6 could you see to that?",
            "The image can be made smaller, cut, or the map pooled. None of the three has weights.",
            "nn.AdaptiveAvgPool2d(7) after the features; or F.interpolate(x, size=(224, 224)) "
            "before them, in the forward of a module of your own.",
        ),
        observe=network_that(
            *(
                gives(
                    (1, 3, *size),
                    (1, NUM_CLASSES),
                    "It does not give 1000 scores at each of the two sizes.",
                )
                for size in SIZES
            ),
            Condition(
                "every weight has its old shape",
                _has_old_shapes,
                "Some weights are gone, new, or of another shape: the trained ones do not fit.",
            ),
            Condition(
                "every weight has a say",
                _uses_every_weight,
                "Some channels of the map never reach the scores. Is something cut off?",
            ),
            of=_narrow,
        ),
        others=(lambda: _Resizing,),
    ),
)


def _predict(draw: Random | None = None) -> Quiz:
    def answers(size: int) -> dict[str, int]:
        return {
            RIGHT: CHANNELS * _side(size) ** 2,
            "a-network-makes-images-fit": FC_FEATURES,
            "one-side-counts": FC_FEATURES * size // (FC_SIDE * STRIDE),
            "half-a-column-counts": CHANNELS * size**2 // STRIDE**2,
            "rounds-up": CHANNELS * _side(size, POOLS_ROUNDING_UP) ** 2,
        }

    # Multiples of 8 that are none of 32: the side is odd after the third or the fourth pooling.
    others = ((size,) for size in range(264, 800, 8) if size % STRIDE)
    (size,) = drawn(draw, (400,), others, answers)
    side, rounded_up = _side(size), _side(size, POOLS_ROUNDING_UP)
    features = {mistake: f"{count:,}" for mistake, count in answers(size).items()}
    columns = size / STRIDE
    odd_after = "third" if size % 16 else "fourth"
    return Quiz(
        id="04-predict",
        question=f"VGG-16 gets one {size}×{size} image. How many features does the last feature "
        "map hand to fc6?",
        options=(
            Option(
                f"{features['a-network-makes-images-fit']}: the network makes every image fit",
                "Nothing in the paper's network resizes anything. The convolutions take what "
                "comes, and fc6 is the first to complain.",
                misconception="a-network-makes-images-fit",
            ),
            Option(
                f"{features['one-side-counts']}: {FC_FEATURES:,} × {size} / {FC_SIDE * STRIDE}",
                "Both sides of the map grow, so the number of features grows with the square.",
                misconception="one-side-counts",
            ),
            Option(
                f"{features['half-a-column-counts']}: {CHANNELS} × {columns} × {columns}",
                f"The {odd_after} pooling leaves an odd side. Its half is no whole number of "
                "columns.",
                misconception="half-a-column-counts",
            ),
            Option(
                f"{features[RIGHT]}: {CHANNELS} × {side} × {side}",
                "Five halvings, each rounded down.",
                right=True,
            ),
            Option(
                f"{features['rounds-up']}: {CHANNELS} × {rounded_up} × {rounded_up}",
                "That would be right with ceil_mode=True. VGG's poolings round down.",
                misconception="rounds-up",
            ),
        ),
        difficulty=2,
    )


def _review() -> Quiz:
    first, last = _ends(input_sizes(FC_SIDE, POOLS))
    up_first, up_last = _ends(input_sizes(FC_SIDE, POOLS_ROUNDING_UP))
    smallest = input_sizes(1, POOLS)[0]
    half, usual, double = (FC_SIDE * STRIDE * times // 2 for times in (1, 2, 4))
    return Quiz(
        id="04-review",
        question="Which square images does the paper's VGG-16 take as it is?",
        options=(
            Option(
                f"{first} px and no other: its input is always {first}×{first}",
                "So an answer to the question says. It was trained at that size; nothing in its "
                "layers asks for it.",
                misconception="only-the-training-size",
            ),
            Option(
                f"{half}, {usual} or {double} px: {FC_SIDE} times a power of two",
                f"How often a side is halved is written in the network: five times. So {half} px "
                f"leave {_side(half)} cells, {double} px leave {_side(double)}, and fc6 wants "
                f"{FC_SIDE}.",
                misconception="seven-times-a-power-of-two",
            ),
            Option(
                f"{first} to {last} px",
                f"Five halvings, each rounded down, make {FC_SIDE} cells of every one of them.",
                right=True,
            ),
            Option(
                f"{up_first} to {up_last} px",
                "That would be right if the poolings rounded up. They drop the window that does "
                "not fit.",
                misconception="rounds-up",
            ),
            Option(
                f"Every size from {smallest} px on: a convolution takes what comes",
                "The convolutions do, and so does torchvision's network, which pools the map. The "
                "paper's fc6 has a weight for each cell.",
                misconception="convolutions-take-any-size",
            ),
        ),
        difficulty=2,
    )


def _review_cause() -> Quiz:
    return Quiz(
        id="04-review-2",
        question="Networks trained on digits of 56 px are tested on images of 63 px, of whose map "
        "the last columns are dropped. A digit enlarged with the image loses more accuracy than "
        "one of 56 px. What follows?",
        options=(
            Option(
                "Dropped columns cost nothing",
                "The row with the digit of 56 px tells what they cost there, where they hold "
                "hardly more than background. With another picture they may hold more.",
                misconception="no-difference-seen-none-there",
            ),
            Option(
                "A size that fits may cost: the digit is larger, and is cut",
                "The two rows differ in the digit alone, so it is the digit's size that costs, and "
                "what the dropped columns take of a digit so large.",
                right=True,
            ),
            Option(
                "63 px does not fit fc6",
                f"It does: three halvings make {FC_SIDE} cells of it, and no error is raised.",
                misconception="only-the-training-size",
            ),
            Option(
                "The networks would have to be trained with many more images",
                "That may raise every row. Why one row is below another, it does not say.",
                misconception="more-of-the-same-will-tell",
            ),
        ),
        difficulty=3,
    )


def _review_interval() -> Quiz:
    return Quiz(
        id="04-review-3",
        question="Five networks are tested in several ways. In the plot each way is a row with "
        "five dots, an accuracy each, and the bar of a 95 % interval. What does the bar say?",
        options=(
            Option(
                "Between its ends lie 95 % of the networks that could be trained like this",
                "That would be a statement about single networks: look at the dots. The bar is "
                "about their mean, and gets shorter with more networks.",
                misconception="an-interval-holds-single-runs",
            ),
            Option(
                "How far the mean of such networks is known from these five",
                "Five others would have another mean. Bars made like this cover the mean of all "
                "such networks in 95 of 100 experiments.",
                right=True,
            ),
            Option(
                "How accurate such networks are on pictures of other kinds",
                "All the networks saw the same collection of digits. No number of seeds makes "
                "another kind of picture of it.",
                misconception="it-holds-here-so-everywhere",
            ),
            Option(
                "Two ways differ if their bars do not overlap, and do not if they do",
                "The first half holds. But each network was tested in both ways: the interval of "
                "the differences can leave 0 out although the bars overlap.",
                misconception="overlapping-bars-no-difference",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[..., Quiz]] = {
    "04-predict": _predict,
    "04-review": _review,
    "04-review-2": _review_cause,
    "04-review-3": _review_interval,
}
