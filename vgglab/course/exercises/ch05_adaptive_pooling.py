"""Exercises of chapter 05: bins of adaptive pooling, what they keep, and where the pool may go."""

from collections.abc import Callable
from math import ceil, floor
from random import Random

import torch
from torch import nn
from torch.nn import functional as F

from vgglab.convert import fold_adaptive_pool
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
    outputs,
    reaching_output,
    value,
    value_that,
)
from vgglab.course.observing_networks import narrow_vgg
from vgglab.course.quizzes import RIGHT, Option, Quiz, drawn
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES
from vgglab.models.network import VGG, vgg
from vgglab.pooling import (
    SpatialPyramidPool,
    adaptive_bins,
    adaptive_matrix,
    published_spp_window,
)
from vgglab.shapes import Window, feature_map_sizes
from vgglab.tracing.operations import ADAPTIVE_POOLS

CHANNELS = CONFIGS["D"].convs()[-1].out_channels
POOLS = [Window(kernel_size=2, stride=2)] * 5

# 05-1: cells that two bins share, in a row of the map of a 480 px image.
ROW = feature_map_sizes(480, POOLS)[-1]


def _shared(input_size: int, output_size: int) -> int:
    bins = adaptive_bins(input_size, output_size)
    return sum(sum(pixel in bin_ for bin_ in bins) > 1 for pixel in range(input_size))


# 05-2: the bins as pairs (first, stop).
Bins = list[tuple[int, int]]


def _bins(n: int, m: int) -> Bins:
    return [(bin_.start, bin_.stop) for bin_ in adaptive_bins(n, m)]


def _bins_rounded_down(n: int, m: int) -> Bins:
    return [(floor(i * n / m), floor((i + 1) * n / m)) for i in range(m)]


def _bins_rounded_up(n: int, m: int) -> Bins:
    return [(ceil(i * n / m), ceil((i + 1) * n / m)) for i in range(m)]


def _bins_to_last(n: int, m: int) -> Bins:
    return [(first, stop - 1) for first, stop in _bins(n, m)]


def _bins_of_one_window(n: int, m: int) -> Bins:
    stride = n // m
    return [(i * stride, (i + 1) * stride) for i in range(m)]


# 05-3: where the mean is kept.
def _keeps_mean(n: int, m: int) -> bool:
    weights = adaptive_matrix(n, m).sum(dim=0)
    return bool(torch.allclose(weights, weights[0]))


# 05-5: weights of one row, read through the pool.
ROW_OF_WEIGHTS = [3, 0, -2, 5, 1, -1, 4]


def _folded(weights: list[float], n: int) -> list[float]:
    folded = torch.tensor(weights, dtype=torch.float64) @ adaptive_matrix(n, len(weights))
    return list(folded.tolist())


def _stretched(weights: list[float], n: int) -> list[float]:
    row = torch.tensor(weights, dtype=torch.float64).view(1, 1, -1)
    return list(F.interpolate(row, size=n, mode="linear").flatten().tolist())


def _summed(weights: list[float], n: int) -> list[float]:
    member = (adaptive_matrix(n, len(weights)) > 0).double()
    return list((torch.tensor(weights, dtype=torch.float64) @ member).tolist())


def _pooled(weights: list[float], n: int) -> list[float]:
    row = torch.tensor(weights, dtype=torch.float64).view(1, -1)
    return list(F.adaptive_avg_pool1d(row, n).flatten().tolist())


# 05-6: a network with a spatial pyramid, for three classes.
def _with_spp(num_classes: int) -> VGG:
    return vgg("D", head="spp", num_classes=num_classes, device="meta")


def _averages() -> VGG:
    model = _with_spp(3)
    model.avgpool = SpatialPyramidPool((1, 2, 4), mode="avg")
    return model


# 05-7: from which side of the map on the published window has six places.
LEVEL = 6


def _from_here_on(level: int) -> int:
    sides = range(level, 4 * level**2)
    wrong = [a for a in sides if published_spp_window(a, level).output_size(a) != level]
    return max(wrong) + 1


def _first_wrong(level: int) -> int:
    sides = range(level, 4 * level**2)
    return next(a for a in sides if published_spp_window(a, level).output_size(a) != level)


# 05-8: weights that a layer finds by training; they are those of the fold.
TAUGHT = [2.0, -1.0, 4.0, 0.0, -3.0, 1.0, 5.0]
MARGIN = 0.05


def _near_the_fold(weights: list[float]) -> bool:
    pairs = zip(weights, _folded(TAUGHT, 12), strict=True)
    return all(abs(found - wanted) < MARGIN for found, wanted in pairs)


def _shared_out() -> list[float]:
    """Return the seven weights, each divided among the cells of one of seven pieces."""
    pieces = [cell * 7 // 12 for cell in range(12)]
    return [TAUGHT[piece] / pieces.count(piece) for piece in pieces]


# 05-10: the pool folded away for one size of photograph.
PHOTO = (1, 3, 400, 640)
MAP = [feature_map_sizes(side, POOLS)[-1] for side in PHOTO[2:]]


def _folded_for(height: int, width: int) -> Callable[[VGG], nn.Module]:
    return lambda model: fold_adaptive_pool(model, (1, 3, height, width))


def _larger_fc6(model: VGG) -> VGG:
    """Fold into a larger linear layer."""
    fc6, matrices = model.classifier[0], [adaptive_matrix(side, FC_SIDE) for side in MAP]
    assert isinstance(fc6, nn.Linear)
    kernel = fc6.weight.detach().double().unflatten(1, (-1, FC_SIDE, FC_SIDE))
    kernel = torch.einsum("ocij,ih,jw->ochw", kernel, *matrices).flatten(1)
    larger = nn.Linear(kernel.shape[1], fc6.out_features)
    larger.weight.data, larger.bias = kernel.float(), fc6.bias
    model.avgpool, model.classifier[0] = nn.Identity(), larger
    return model


class _TwoMatrices(nn.Module):
    """The pooling as two matrices, for the rows and for the columns of the map."""

    def __init__(self, model: VGG) -> None:
        super().__init__()
        self.model = model
        self.rows, self.columns = (adaptive_matrix(side, FC_SIDE).float() for side in MAP)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = self.rows.to(x), self.columns.to(x)
        pooled = rows @ self.model.features(x) @ columns.T
        return self.model.classifier(pooled.flatten(1))  # type: ignore[no-any-return]


def _pools_adaptively(model: nn.Module, tables: Tables) -> bool:
    """Tell whether a map of several cells is pooled to several cells of another number."""
    ops = reaching_output(tables(PHOTO).trace)
    return any(
        op.kind in ADAPTIVE_POOLS and op.input_shapes[0] != op.output_shapes[0] for op in ops
    )


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="05-1",
        question="A 480 px image: in each row of its last map, how many cells are in two bins of "
        "the pooling to 7?",
        solution=lambda: _shared(ROW, FC_SIDE),
        mistakes=(
            Mistake(
                answer=lambda: ROW % FC_SIDE,
                hint="That is the remainder of the division. Bins are not windows of one size with "
                "a remainder at the end: every boundary that falls inside a cell counts.",
            ),
            Mistake(
                answer=lambda: FC_SIDE,
                hint="You counted a boundary for each bin. The outer two ends of the row are no "
                "boundaries between bins.",
            ),
            Mistake(
                answer=lambda: 0,
                hint="Then all bins would have whole boundaries, and 7 would divide the row.",
            ),
            Mistake(
                answer=lambda: ROW,
                hint="That is the whole row. A cell is shared if a boundary falls inside it.",
            ),
            Mistake(
                lambda: FC_SIDE - 2, "One too few: how many boundaries lie between seven bins?"
            ),
            Mistake(
                lambda: 8,
                "Count the boundaries between the bins: seven bins have fewer than seven.",
                lambda n: n in (8, 14),
            ),
            Mistake(
                lambda: 2,
                "Look at each boundary, i · 15 / 7, and not at the remainder alone.",
                lambda n: n == 2,
            ),
        ),
        hints=(
            "How many cells does a row of the map at 480 px have?",
            "Write down the boundaries i · n / 7 between the bins. Which are no whole numbers?",
            "vgglab.figures.plots.draw_bins(15, 7) draws it; count the hatched columns.",
        ),
        observe=value,
    ),
    Exercise(
        id="05-2",
        question="Write a function from n pixels and m bins to the bins as pairs (first, stop).",
        solution=lambda: _bins,
        mistakes=(
            Mistake(
                answer=lambda: _bins_rounded_down,
                hint="You rounded both ends down. Then a pixel that a boundary cuts belongs to the "
                "right-hand bin alone, and with more bins than pixels some are empty.",
            ),
            Mistake(
                answer=lambda: _bins_rounded_up,
                hint="You rounded both ends up. Then a pixel that a boundary cuts belongs to the "
                "left-hand bin alone.",
            ),
            Mistake(
                answer=lambda: _bins_to_last,
                hint="The second number of your pairs is the last pixel of the bin. The question "
                "is about the stop, as of a range: one more.",
            ),
            Mistake(
                answer=lambda: _bins_of_one_window,
                hint="You slid one window with one stride. The pixels after the last multiple of "
                "the stride get no bin, and with more bins than pixels the window has no width.",
            ),
            Mistake(
                lambda: lambda n, m: [(first + 1, stop) for first, stop in _bins(n, m)],
                "You count pixels from 1. range counts from 0.",
            ),
            Mistake(
                lambda: lambda n, m: [(first, stop - first) for first, stop in _bins(n, m)],
                "Your second number is the length of the bin. The stop is asked for.",
            ),
            Mistake(lambda: lambda n, m: _bins(m, n), "You exchanged n and m: there are m bins."),
        ),
        hints=(
            "Cut the axis from 0 to n into m equal pieces, as real numbers.",
            "A bin has every pixel that its piece touches: round its start down and its end up.",
            "i * n // m is the start; for rounding up, -(-x // m) works on whole numbers.",
        ),
        observe=calls((12, 7), (14, 7), (6, 7), (10, 4), (1, 3)),
    ),
    Exercise(
        id="05-3",
        question="Write a function from n pixels and m bins to True if average pooling keeps the "
        "mean of every row of n pixels, else False.",
        solution=lambda: _keeps_mean,
        mistakes=(
            Mistake(
                answer=lambda: lambda n, m: n % m == 0,
                hint="Those are the sizes at which the bins tile the row. There are others: think "
                "of a row with one pixel.",
            ),
            Mistake(
                answer=lambda: lambda n, m: True,
                hint="Each bin is a mean, but a pixel in two bins counts twice, and one in a small "
                "bin counts more.",
            ),
            Mistake(
                answer=lambda: lambda n, m: n >= m,
                hint="You asked whether the row gets shorter. Compare the weights of the pixels "
                "for 12 pixels in 7 bins.",
            ),
            Mistake(
                answer=lambda: lambda n, m: m % n == 0,
                hint="Those are the sizes at which every pixel is repeated equally often. There "
                "are others: think of a single bin.",
            ),
            Mistake(
                answer=lambda: lambda n, m: n % m == 0 or m % n == 0,
                hint="Those are two cases, and there is a third: look at the weights of 2 pixels "
                "in 7 bins.",
            ),
            Mistake(
                lambda: lambda n, m: not _keeps_mean(n, m),
                "The other way round: True where the mean is kept.",
            ),
        ),
        hints=(
            "The weight of a pixel is the sum of 1 / size over the bins that it is in.",
            "The mean is kept if all pixels have the same weight: adaptive_matrix(n, m).sum(0).",
            "Compute the weights and compare them, with torch.allclose: a rule is easily missed.",
        ),
        observe=calls((14, 7), (12, 7), (1, 7), (6, 7), (3, 6), (7, 7), (10, 4), (2, 7), (4, 6)),
    ),
    Exercise(
        id="05-4",
        question="Which single layer, at features[30], gives what the last max pooling gives at "
        "224 px, and a 7×7 map at every other size?",
        solution=lambda: nn.AdaptiveMaxPool2d(FC_SIDE),
        mistakes=(
            Mistake(
                answer=lambda: nn.AdaptiveAvgPool2d(FC_SIDE),
                hint="Its maps have the right shape, and other numbers: it takes a mean where the "
                "network was trained with a maximum.",
            ),
            Mistake(
                answer=lambda: nn.MaxPool2d(2),
                hint="That is the layer which is there. It halves every map, so only some inputs "
                "give 7×7.",
            ),
            Mistake(
                answer=lambda: nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(FC_SIDE)),
                hint="That gives the right map at 224 px, and it is torchvision's way. It is two "
                "layers; one does what the question asks, with other numbers at other sizes.",
            ),
            Mistake(
                answer=lambda: nn.AdaptiveMaxPool2d(1),
                hint="One number for each channel is left. fc6 wants 7×7 of them.",
            ),
        ),
        hints=(
            "At 224 px the map before features[30] is 14×14. Which bins has 14 → 7?",
            "The bins may stay those of adaptive pooling. What is done inside of a bin?",
            "torch.nn has adaptive layers for the mean and for the maximum.",
        ),
        observe=outputs((1, 2, 14, 14), (1, 2, 25, 25)),
    ),
    Exercise(
        id="05-5",
        question="Write a function from the weights of one row and n to the n weights that read "
        "the row of n cells directly, without the pooling.",
        solution=lambda: _folded,
        mistakes=(
            Mistake(
                answer=lambda: _stretched,
                hint="You stretched the weights like an image. A cell's new weight is a sum over "
                "the bins that it is in.",
            ),
            Mistake(
                answer=lambda: _summed,
                hint="You added the weights of the bins that a cell is in, and forgot that each "
                "bin divides by its size.",
            ),
            Mistake(
                answer=lambda: _pooled,
                hint="You pooled the weights themselves to n numbers. The pooling acts on cells, "
                "so on the weights its matrix acts from the other side.",
            ),
            Mistake(
                lambda: lambda weights, n: weights,
                "These read the pooled row: there have to be n of them.",
            ),
            Mistake(
                lambda: lambda weights, n: [n / len(weights) * x for x in _folded(weights, n)],
                "Every weight is n / m times too large: a mean divides by the size of its bin, "
                "which is about n / m.",
            ),
            Mistake(
                lambda: lambda weights, n: [weights[k * len(weights) // n] for k in range(n)],
                "You repeated the weights. A mean divides by the size of its bin, and a cell in "
                "two bins has a part of both.",
            ),
            Mistake(
                lambda: (
                    lambda weights, n: [
                        weights[k * len(weights) // n] * len(weights) / n for k in range(n)
                    ]
                ),
                "You gave each cell to one bin, and all bins one size. A cell that two bins "
                "share has a part of both.",
            ),
        ),
        hints=(
            "Pooling a row x is A @ x. Write the answer of the layer, weights · (A @ x).",
            "Move the brackets: (weights @ A) · x.",
            "A is vgglab.pooling.adaptive_matrix(n, len(weights)).",
        ),
        observe=calls((ROW_OF_WEIGHTS, 12), (ROW_OF_WEIGHTS, 14), ([1, 2], 3)),
    ),
    Exercise(
        id="05-6",
        question="Give VGG-16 a spatial pyramid with levels 1, 2 and 4, its three FC layers, and "
        "three classes.",
        solution=lambda: _with_spp(3),
        mistakes=(
            Mistake(
                answer=lambda: _with_spp(1000),
                hint="It has the pyramid, and still the classes of ImageNet.",
            ),
            Mistake(
                answer=lambda: vgg("D", head="gap", num_classes=3, device="meta"),
                hint="That is a pyramid with its first level alone, and without hidden layers.",
            ),
            Mistake(
                answer=lambda: vgg("D", num_classes=3, device="meta"),
                hint="That pools to 7×7 bins: any size works, but it is one level and no pyramid.",
            ),
            Mistake(
                _averages,
                "The pyramid of the paper takes the largest of each bin, and yours takes means.",
            ),
        ),
        hints=(
            "There is a head of vgg() for it, and a function vgglab.with_spp_head.",
            "vgglab.with_spp_head(model, levels, num_classes) takes the network as it is.",
            "vgg('D', head='spp', ...) has these levels.",
        ),
        observe=network((2, 3, 224, 224), (2, 3, 400, 300)),
    ),
    Exercise(
        id="05-7",
        question="From which side of the map on does the published window give 6 places along an "
        "axis, whatever the side?",
        solution=lambda: _from_here_on(LEVEL),
        mistakes=(
            Mistake(
                answer=lambda: LEVEL,
                hint="There it is right, and it goes wrong again right after: try the next sides.",
            ),
            Mistake(
                answer=lambda: _first_wrong(LEVEL),
                hint="That is the first side at which it is wrong. The question is where it stops "
                "being wrong.",
            ),
            Mistake(
                answer=lambda: LEVEL**2,
                hint="From there on it is right. It is already right a little earlier.",
            ),
            Mistake(
                answer=lambda: _from_here_on(LEVEL) - 1,
                hint="That is the last side at which it is wrong.",
            ),
            Mistake(
                lambda: _from_here_on(LEVEL) - LEVEL,
                "There is still a side above it at which it is wrong: which remainders can be "
                "larger than the quotient?",
                lambda a: LEVEL < a < _from_here_on(LEVEL) - 1,
            ),
            Mistake(
                lambda: LEVEL - 1,
                "That is the largest remainder, or the quotient from which on it is right. The "
                "side is asked for.",
            ),
        ),
        hints=(
            "The number of places is right where the remainder is at most the quotient.",
            "The largest remainder of a division by 6 is 5. How large must the quotient be?",
            "published_spp_window(a, 6).output_size(a) for many a, and the last a where it is "
            "not 6.",
        ),
        observe=value,
    ),
    Exercise(
        id="05-8",
        question="Train a linear layer without bias on rows of 12 cells to answer as pooling to "
        "seven and seven weights do: which twelve weights does it find?",
        solution=lambda: _folded(TAUGHT, 12),
        mistakes=(
            Mistake(
                answer=lambda: TAUGHT,
                hint="Those read the pooled row. The layer that you train reads the row itself.",
            ),
            Mistake(
                answer=lambda: [0.0] * 12,
                hint="It has not got there yet: is the loss still falling? Train longer, or with a "
                "larger rate.",
            ),
            Mistake(
                answer=_shared_out,
                hint="Together they are right, one by one they are not. A cell that two bins share "
                "has a part of both weights.",
            ),
        ),
        hints=(
            "Rows of random numbers, what pooling and weights make of them, and a loss: nothing "
            "else is needed.",
            "wanted = F.adaptive_avg_pool1d(rows, 7) @ seven, and F.mse_loss.",
            "torch.optim.Adam with a rate of 0.05 needs a few hundred steps; then "
            "learner.weight[0].tolist().",
        ),
        observe=value_that(
            ("twelve numbers", lambda weights: len(weights) == 12),
            (
                "together as much as the seven weights",
                lambda weights: abs(sum(weights) - sum(TAUGHT)) < 12 * MARGIN,
            ),
            ("each the weight that gives the same answer", _near_the_fold),
        ),
    ),
    Exercise(
        id="05-9",
        question="Which further measurement could refute that the pool gains at 31 px because "
        "nothing of the digit is cut?",
        solution=lambda: "a",
        mistakes=(
            Mistake(
                answer=lambda: "b",
                hint="More seeds make the interval shorter. Whatever causes the gain, it stays.",
            ),
            Mistake(
                answer=lambda: "c",
                hint="There the second max pooling drops nothing, so that a gain or none says "
                "little about what dropping does.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="They would do better for having learnt with that layer, cut or not cut.",
            ),
        ),
        hints=(
            "Look for a case in which the explanation foresees no gain.",
            "Keep the size of the image and both ways; take away what the explanation names.",
            "The explanation needs a digit that is cut.",
        ),
        observe=value,
    ),
    Exercise(
        id="05-10",
        question="Write a function from torchvision's VGG-16 to a network without adaptive pooling "
        "that gives the same logits for photographs 400 px high and 640 px wide.",
        solution=lambda: _folded_for(*PHOTO[2:]),
        mistakes=(
            Mistake(
                answer=lambda: lambda model: model,
                hint="That is the network with its pooling to 7×7 still in it.",
            ),
            Mistake(
                answer=lambda: _folded_for(PHOTO[3], PHOTO[2]),
                hint="You gave width and height in the other order: the kernel is higher than the "
                "map of such a photograph.",
            ),
            Mistake(
                answer=lambda: _folded_for(PHOTO[2], PHOTO[2]),
                hint="You folded for a square. On the wider map its kernel has several places, and "
                "their scores are averaged: another function.",
            ),
            Mistake(
                answer=lambda: _folded_for(224, 224),
                hint="You kept the 7×7 weights as they are and let them slide. That gives a map of "
                "scores, and another function.",
            ),
        ),
        hints=(
            "Which function of this chapter makes pooling and fc6 one layer?",
            "It folds for one size of map, and height and width have a matrix each.",
            "fold_adaptive_pool(model, (1, 3, height, width))",
        ),
        observe=network_that(
            gives(PHOTO, (1, NUM_CLASSES), "One row of 1000 logits is asked for."),
            Condition(
                "no adaptive pooling runs",
                lambda model, tables: not _pools_adaptively(model, tables),
                "An adaptive pooling still runs. The device has none.",
            ),
            answers_as_before(
                PHOTO,
                "The shape is right and the logits are other ones. Are the weights of the new "
                "layer those of fc6, with the pooling in them?",
            ),
            of=narrow_vgg,
        ),
        others=(lambda: _larger_fc6, lambda: _TwoMatrices),
    ),
)


def _predict() -> Quiz:
    return Quiz(
        id="05-predict",
        question="In a trained VGG-16 you replace the last max pooling, features[30], by "
        "nn.AdaptiveAvgPool2d(7). What happens to the logits of a 224×224 image?",
        options=(
            Option(
                "Nothing: the map was 7×7 before, and it is 7×7 now",
                "The shape is the same, the numbers are not. The layer that left took the largest "
                "of four numbers.",
                misconception="same-shape-same-function",
            ),
            Option(
                "They change, although nothing fails",
                "At 224 px the new layer is the mean over 2×2 cells, where the network was trained "
                "with their maximum.",
                right=True,
            ),
            Option(
                "They change at other sizes, but not at 224 px",
                "That holds for a pool that comes after the last max pooling. This one takes its "
                "place.",
                misconception="replacing-a-pool-is-adding-one",
            ),
            Option(
                "There are none: the features no longer fit fc6",
                "They do fit: the new layer makes 7×7 of every map, at every size of image.",
                misconception="adaptive-pool-keeps-the-map",
            ),
        ),
        difficulty=2,
    )


def _review(draw: Random | None = None) -> Quiz:
    def answers(size: int) -> dict[str, int]:
        return {RIGHT: feature_map_sizes(size, POOLS)[-1], "the usual map": FC_SIDE}

    (size,) = drawn(draw, (400,), ((size,) for size in range(256, 800, 16)), answers)
    side = answers(size)[RIGHT]
    weights = CHANNELS * side**2 * HIDDEN_FEATURES
    return Quiz(
        id="05-review",
        question=f"A trained VGG-16 pools its last map to 7×7. Now all images have {size}×{size} "
        "px, and somebody says that images of one size need no adaptive pooling. May it go "
        "without changing a score?",
        options=(
            Option(
                "Yes: it is there for images of any size, and these have one",
                "It is one size, but not that of the training: without the pooling fc6 gets "
                f"{CHANNELS * side**2:,} features and was made for {CHANNELS * FC_SIDE**2:,}.",
                misconception="one-size-needs-no-pooling",
            ),
            Option(
                "Yes, if fc6 becomes larger and is initialised anew",
                "Then the network runs, and the trained weights of its largest layer are lost. "
                "They need not be.",
                misconception="a-new-layer-is-no-loss",
            ),
            Option(
                f"Yes, if it is folded into fc6, as one kernel of {side}×{side}",
                f"Pooling is linear. Its matrices and fc6's trained weights make the {weights:,} "
                "weights of that kernel.",
                right=True,
            ),
            Option(
                "No: a network without the pooling gives other scores",
                "At other sizes it does. At this one size the pooling and fc6 together are one "
                "linear layer, which can be written without it.",
                misconception="without-a-layer-another-function",
            ),
        ),
        difficulty=3,
    )


def _review_distance() -> Quiz:
    return Quiz(
        id="05-review-2",
        question="In trained networks the average in place of the max pooling moves the logits at "
        "28 px a good deal, while the accuracy there hardly moves. How can that be?",
        options=(
            Option(
                "The answer is the largest logit: it can stay the largest while all of them move",
                "Distance and accuracy are two questions. The one asks whether it is the same "
                "function, the other how many answers are right.",
                right=True,
            ),
            Option(
                "It is the same function, but for rounding",
                "Rounding is many powers of ten smaller. The pool after the max pooling is the "
                "same function, and moves nothing.",
                misconception="one-measure-answers-another",
            ),
            Option(
                "The interval is too wide to see that the logits move",
                "The interval of the distance is far from 0. What is not seen is a difference in "
                "accuracy.",
                misconception="one-measure-answers-another",
            ),
            Option(
                "So the average does no harm in place of a max pooling, in VGG-16 either",
                "These are small networks and digits. That a layer did no harm there is no promise "
                "for another network or other images.",
                misconception="it-holds-here-so-everywhere",
            ),
        ),
        difficulty=2,
    )


def _review_claims() -> Quiz:
    return Quiz(
        id="05-review-3",
        question="A table compares ten networks in a dozen ways. What is called 'better' or "
        "'worse' is judged for all claims together, by wider intervals than one claim would need. "
        "Why?",
        options=(
            Option(
                "Of many intervals at 95 %, some leave 0 out by chance",
                "One claim in twenty would be wrong where nothing differs. With a dozen claims, "
                "one false discovery among them becomes likely; wider intervals keep that at one "
                "experiment in twenty.",
                right=True,
            ),
            Option(
                "Because there are only ten networks",
                "That makes each interval wide, by Student's t, for one claim as for many.",
                misconception="a-correction-is-for-few-data",
            ),
            Option(
                "Because a difference of two accuracies varies more than one accuracy",
                "Here it varies less: both come from one network and the same pictures, and what "
                "they have in common drops out.",
                misconception="pairs-are-compared-as-strangers",
            ),
            Option(
                "To be on the safe side with small effects: a wider interval finds more of them",
                "It finds fewer. That is the price for claiming less by chance.",
                misconception="a-wider-interval-finds-more",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[..., Quiz]] = {
    "05-predict": _predict,
    "05-review": _review,
    "05-review-2": _review_distance,
    "05-review-3": _review_claims,
}
