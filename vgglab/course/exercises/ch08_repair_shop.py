"""Exercises of chapter 08: what repairs keep and cost, and which one is whose."""

from collections.abc import Callable, Sequence
from functools import cache
from math import sqrt
from statistics import fmean, pstdev, stdev

import torch
from torch import Tensor, nn

from vgglab.compare.reference import Failed, random_input, relative_l2, run_copies
from vgglab.convert import fc_to_conv, with_adaptive_pool
from vgglab.course.checking import (
    Condition,
    Exercise,
    Mistake,
    Tables,
    answers_as_before,
    calls,
    gives,
    network_that,
    value,
)
from vgglab.course.observing_networks import narrow_vgg
from vgglab.course.quizzes import Option, Quiz
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES
from vgglab.models.network import VGG
from vgglab.shapes import Window, feature_map_sizes

CHANNELS = CONFIGS["D"].convs()[-1].out_channels
TRAINED, LARGER = (1, 3, 224, 224), (1, 3, 288, 288)  # 3×3 windows
SIDE = feature_map_sizes(400, [Window(kernel_size=2, stride=2)] * 5)[-1]

Places = list[tuple[int, int]]
Pair = tuple[float, float]


# 08-1: fc6 of VGG-16, for maps of 7×7 and of 12×12.
def _fc6(side: int, biases: int = HIDDEN_FEATURES) -> int:
    return CHANNELS * side**2 * HIDDEN_FEATURES + biases


# 08-2: five crops.
def _corners_and(middle: int, end: int) -> Places:
    return [(0, 0), (0, end), (end, 0), (end, end), (middle, middle)]


# 08-5: five seeds, of which some are hard for both.
OURS, OTHERS = [0.70, 0.64, 0.75, 0.68, 0.73], [0.66, 0.61, 0.70, 0.65, 0.67]


def _pairs(ours: Sequence[float], others: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, others, strict=True)]


def _standard_error(ours: Sequence[float], others: Sequence[float]) -> Pair:
    pairs = _pairs(ours, others)
    return fmean(pairs), stdev(pairs) / sqrt(len(pairs))


def _unpaired(ours: Sequence[float], others: Sequence[float]) -> Pair:
    error = sqrt(stdev(ours) ** 2 / len(ours) + stdev(others) ** 2 / len(others))
    return fmean(ours) - fmean(others), error


def _deviation(ours: Sequence[float], others: Sequence[float]) -> Pair:
    pairs = _pairs(ours, others)
    return fmean(pairs), stdev(pairs)


def _of_the_sample(ours: Sequence[float], others: Sequence[float]) -> Pair:
    pairs = _pairs(ours, others)
    return fmean(pairs), pstdev(pairs) / sqrt(len(pairs))


# 08-7: windows of 224 px, 32 px apart.
def _windows(side: int) -> int:
    cells = feature_map_sizes(side, [Window(kernel_size=2, stride=2)] * 5)[-1]
    return (cells - FC_SIDE + 1) ** 2


# 08-8: two repairs that were asked about four images.
SOME = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 4.0], [5.0, 4.0, 0.0]])
OTHER = torch.tensor([[9.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [1.0, 0.0, 0.0]])


# 08-9: what is better than all that is as cheap or cheaper.
def _front(costs: Sequence[float], shares: Sequence[float], strict: bool = False) -> list[int]:
    def beats(j: int, i: int) -> bool:
        cheap = costs[j] < costs[i] if strict else costs[j] <= costs[i]
        return j != i and cheap and shares[j] >= shares[i]

    places = range(len(costs))
    return [i for i in places if not any(beats(j, i) for j in places)]


def _not_worst(costs: Sequence[float], shares: Sequence[float]) -> list[int]:
    """Each one that is cheaper or better than some other."""
    places = range(len(costs))
    return [i for i in places if any(costs[i] < costs[j] or shares[i] > shares[j] for j in places)]


# 08-10: the largest score of each class in any window.
class _Surest(nn.Module):
    """The maximum, written as a reduction."""

    def __init__(self, model: VGG) -> None:
        super().__init__()
        self.dense = fc_to_conv(model, TRAINED)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x).amax((2, 3))  # type: ignore[no-any-return]


def _pooled_by(pool: nn.Module) -> Callable[[VGG], nn.Module]:
    return lambda model: nn.Sequential(fc_to_conv(model, TRAINED), pool, nn.Flatten())


def _takes_the_largest(model: nn.Module, tables: Tables) -> bool:
    """Tell whether a larger image gets the largest score of its windows, for each class."""
    assert tables.before is not None
    (found,) = run_copies(model, [random_input(LARGER)])
    if isinstance(found, Failed):
        return False
    wanted = _largest(tables.before)
    return found.shape == wanted.shape and relative_l2(found, wanted) < 1e-4


@cache
def _largest(before: nn.Module) -> Tensor:
    (windows,) = run_copies(fc_to_conv(before, TRAINED), [random_input(LARGER)])
    assert not isinstance(windows, Failed)
    return windows.amax((2, 3))


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="08-1",
        question="Setting fc6's in_features to 73,728: how many trained weights and biases of "
        "VGG-16 does it throw away?",
        solution=lambda: _fc6(FC_SIDE),
        mistakes=(
            Mistake(
                answer=lambda: _fc6(FC_SIDE, biases=0),
                hint="Those are the weights. The biases are new as well.",
            ),
            Mistake(
                answer=lambda: _fc6(SIDE),
                hint="So many numbers has the new layer. Asked for are those of the old one.",
            ),
            Mistake(
                answer=lambda: _fc6(SIDE) - _fc6(FC_SIDE),
                hint="You counted what is added. The new layer does not contain the old one: all "
                "of its numbers are drawn.",
            ),
            Mistake(
                answer=lambda: 0,
                hint="The layer is another object, with weights of another shape; nothing copies "
                "the trained ones.",
            ),
            Mistake(
                answer=lambda: _fc6(SIDE, biases=0),
                hint="Those are the weights of the new layer. Asked for is what the old one had.",
            ),
        ),
        hints=(
            "Which layer is replaced, and how many features did it read?",
            "A linear layer has in · out weights and out biases.",
            f"It read {CHANNELS} · {FC_SIDE} · {FC_SIDE} features and gives {HIDDEN_FEATURES}.",
        ),
        observe=value,
    ),
    Exercise(
        id="08-2",
        question="Write a function from the sides of a square image and of its crops to the "
        "places (top, left) of the four corners and the middle.",
        solution=lambda: lambda image, crop: _corners_and((image - crop) // 2, image - crop),
        mistakes=(
            Mistake(
                answer=lambda: lambda image, crop: _corners_and(image // 2, image - crop),
                hint="The middle crop begins in the middle of the image there. Its own middle "
                "should lie there.",
            ),
            Mistake(
                answer=lambda: lambda image, crop: _corners_and((image - crop) // 2, crop),
                hint="The last corners begin where the crop's side ends. They should end where "
                "the image does.",
            ),
            Mistake(
                answer=lambda: lambda image, crop: _corners_and(image // 2, image),
                hint="Those are the corners of the image. Asked for is where a crop begins "
                "that ends there.",
            ),
            Mistake(
                answer=lambda: (
                    lambda image, crop: _corners_and((image - crop) // 2, image - crop - 1)
                ),
                hint="Count again: a crop that begins at 0 ends before `crop`, and one that "
                "begins at image - crop ends with the image.",
            ),
            Mistake(
                answer=lambda: (
                    lambda image, crop: [
                        (left, top) for top, left in _corners_and((image - crop) // 2, image - crop)
                    ]
                ),
                hint="The places are right; their order is not: row by row, top before left.",
            ),
        ),
        hints=(
            "How far can a crop move along one axis before it leaves the image?",
            "The corners are all pairs of the least and the largest place.",
            "The largest place is image - crop, the middle one half of that.",
        ),
        observe=calls((400, 224), (56, 28), (30, 28), (224, 224)),
    ),
    Exercise(
        id="08-3",
        question="Write a function from a map of scores (N, K, h, w) to the mean of the "
        "probabilities of its cells (N, K).",
        solution=lambda: lambda scores: scores.softmax(1).mean((2, 3)),
        mistakes=(
            Mistake(
                answer=lambda: lambda scores: scores.mean((2, 3)).softmax(1),
                hint="Those are the probabilities of the mean score: one very sure cell outvotes "
                "several others there.",
            ),
            Mistake(
                answer=lambda: lambda scores: scores.flatten(2).softmax(2).mean(2),
                hint="You shared one among the cells. A cell's probabilities are shared among its "
                "classes.",
            ),
            Mistake(
                answer=lambda: lambda scores: scores.softmax(1).sum((2, 3)),
                hint="A sum grows with the number of cells. Probabilities add up to 1.",
            ),
            Mistake(
                answer=lambda: lambda scores: scores.mean((2, 3)),
                hint="That is the mean of the scores, without a softmax.",
            ),
            Mistake(
                answer=lambda: lambda scores: scores.softmax(3).mean((2, 3)),
                hint="You took the softmax along the columns. Which axis has the classes?",
            ),
            Mistake(
                answer=lambda: lambda scores: scores.sigmoid().mean((2, 3)),
                hint="A sigmoid looks at one class alone. The classes share one "
                "probability: a softmax.",
            ),
            Mistake(
                answer=lambda: lambda scores: scores.log_softmax(1).mean((2, 3)),
                hint="Those are logarithms of probabilities, and their mean is not that of "
                "the probabilities.",
            ),
        ),
        hints=(
            "Probabilities first, the mean after.",
            "Which axis holds the classes?",
            "scores.softmax(dim=1), then a mean over axes 2 and 3.",
        ),
        observe=calls(
            (torch.tensor([[[[0.0, 3.0]], [[0.0, -3.0]]]]),),
            (torch.arange(12.0).view(1, 3, 2, 2).sin() * 4,),
        ),
    ),
    Exercise(
        id="08-4",
        question="Whole slides with many cells, each as large as in training: which repair says "
        "where the ill ones are?",
        solution=lambda: "c",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="Then each cell of the slide is a few pixels wide. The network learnt them "
                "as large as its whole picture.",
            ),
            Mistake(
                answer=lambda: "b",
                hint="It averages cells of the slide with their neighbours before the layers that "
                "decide, and gives one answer for all.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="That layer is fresh, and the network is to stay as it is.",
            ),
        ),
        hints=(
            "Do the objects grow with the image here?",
            "Which repairs look at windows of the trained size?",
            "And which of those says where?",
        ),
        observe=value,
    ),
    Exercise(
        id="08-5",
        question="Write a function from the accuracies of two repairs, by seed, to the mean of "
        "the paired differences and its standard error.",
        solution=lambda: _standard_error,
        mistakes=(
            Mistake(
                answer=lambda: _unpaired,
                hint="The mean is right. Its error is that of two independent samples: what is "
                "hard about a seed for both does not cancel.",
            ),
            Mistake(
                answer=lambda: _deviation,
                hint="The mean is right. That is how far single pairs scatter; a mean of n of "
                "them scatters less.",
            ),
            Mistake(
                answer=lambda: _of_the_sample,
                hint="The mean is right. The deviation is divided by n there; from a sample it is "
                "estimated with n - 1.",
            ),
            Mistake(
                answer=lambda: lambda ours, others: _standard_error(others, ours),
                hint="Ours less the others: yours has the other sign.",
            ),
        ),
        hints=(
            "Make one list of differences first.",
            "The standard error of a mean of n numbers is their deviation over the root of n.",
            "statistics.stdev divides by n - 1.",
        ),
        observe=calls((OURS, OTHERS), (OTHERS, OURS), ([0.5, 0.7], [0.4, 0.2])),
    ),
    Exercise(
        id="08-6",
        question="Which measurement could have refuted that resizing wins because it undoes the "
        "growth of the objects?",
        solution=lambda: "b",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="They make the interval narrower. That resizing wins there is not in doubt; "
                "why it does is.",
            ),
            Mistake(
                answer=lambda: "c",
                hint="It would say whether it holds for others too, and not why.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="There too the objects grow and resizing undoes it: if it wins, either "
                "reason would do.",
            ),
        ),
        hints=(
            "Take the supposed cause away, and keep the rest.",
            "Where is there no growth to undo?",
            "It is one of the two kinds of pictures of this chapter.",
        ),
        observe=value,
    ),
    Exercise(
        id="08-7",
        question="Write a function from the side of a square image to the number of windows that "
        "VGG-16 with its fully connected layers as convolutions looks at.",
        solution=lambda: _windows,
        mistakes=(
            Mistake(
                answer=lambda: lambda side: (side // 32) ** 2,
                hint=f"Those are the cells of the last map. A window needs {FC_SIDE}×{FC_SIDE} of "
                "them.",
            ),
            Mistake(
                answer=lambda: lambda side: (side // 32 - FC_SIDE) ** 2,
                hint="At 224 px there is one window, the image itself.",
            ),
            Mistake(
                answer=lambda: lambda side: (side - 223) ** 2,
                hint="Those would be windows one pixel apart. How far apart do neighbouring cells "
                "of the last map look?",
            ),
            Mistake(
                answer=lambda: lambda side: side // 32 - FC_SIDE + 1,
                hint="So many fit along one side.",
            ),
        ),
        hints=(
            "How large is the last map, and how many of its cells does the kernel of fc6 read?",
            "Five poolings halve the side, each rounding down.",
            f"n cells in a row have n - {FC_SIDE} + 1 places for a kernel of {FC_SIDE}.",
        ),
        observe=calls((224,), (255,), (256,), (400,), (448,)),
    ),
    Exercise(
        id="08-8",
        question="Write a function from the scores of two repairs, each (N, K), to the share of "
        "the images for which both name the same class.",
        solution=lambda: (
            lambda ours, others: (ours.argmax(1) == others.argmax(1)).double().mean().item()
        ),
        mistakes=(
            Mistake(
                answer=lambda: (
                    lambda ours, others: (ours.argmax(0) == others.argmax(0)).double().mean().item()
                ),
                hint="You looked for the image with the largest score of a class. Asked for is "
                "the class with the largest score of an image.",
            ),
            Mistake(
                answer=lambda: (
                    lambda ours, others: (ours.argmax(1) == others.argmax(1)).double().sum().item()
                ),
                hint="That is their number. Asked for is their share.",
            ),
            Mistake(
                answer=lambda: lambda ours, others: (ours == others).double().mean().item(),
                hint="Two repairs can give other scores and name the same class.",
            ),
            Mistake(
                answer=lambda: (
                    lambda ours, others: (ours.argmax(1) != others.argmax(1)).double().mean().item()
                ),
                hint="That is the share for which they differ.",
            ),
        ),
        hints=(
            "Which class does a row of scores name?",
            "argmax, along the axis of the classes.",
            "Compare two such rows, and take the mean of what is equal.",
        ),
        observe=calls((SOME, OTHER), (SOME, SOME), (SOME[:3], OTHER[1:])),
    ),
    Exercise(
        id="08-9",
        question="Write a function from the costs and the accuracies of repairs, two lists, to "
        "the places of those that are better than everything as cheap or cheaper.",
        solution=lambda: _front,
        mistakes=(
            Mistake(
                answer=lambda: lambda costs, shares: [shares.index(max(shares))],
                hint="That is the most accurate one. One that is cheaper, and better than all "
                "that cost no more than it, has its place as well.",
            ),
            Mistake(
                answer=lambda: lambda costs, shares: _front(costs, shares, strict=True),
                hint="Of two that cost the same the worse one is not better than everything as "
                "cheap.",
            ),
            Mistake(
                answer=lambda: _not_worst,
                hint="To be cheaper or better than some other one is not enough: nothing as cheap "
                "may be as good.",
            ),
            Mistake(
                answer=lambda: lambda costs, shares: [costs.index(min(costs))],
                hint="That is the cheapest one. More may be paid, if it buys something.",
            ),
        ),
        hints=(
            "Take one repair: which others could shut it out?",
            "Those that cost no more and are at least as accurate.",
            "It stays if there is no such one besides itself.",
        ),
        observe=calls(
            ([1.0, 2.0, 3.0, 2.0], [0.4, 0.6, 0.5, 0.3]),
            ([5.0, 1.0, 4.0, 2.0], [0.9, 0.2, 0.7, 0.7]),
            ([1.0, 1.0, 2.0], [0.3, 0.5, 0.4]),
        ),
    ),
    Exercise(
        id="08-10",
        question="Write a function from VGG-16 as published to a network for any image of 224 px "
        "and more that gives, for each class, the largest score of any window.",
        solution=lambda: _pooled_by(nn.AdaptiveMaxPool2d(1)),
        mistakes=(
            Mistake(
                answer=lambda: _pooled_by(nn.AdaptiveAvgPool2d(1)),
                hint="That is the mean of the windows: those that show nothing vote too.",
            ),
            Mistake(
                answer=lambda: with_adaptive_pool,
                hint="That pools the map before the layers that decide. Asked for are scores of "
                "windows, and the largest of them.",
            ),
            Mistake(
                answer=lambda: lambda model: fc_to_conv(model, TRAINED),
                hint="The windows are there. One row of scores an image is still to be made of "
                "their map.",
            ),
            Mistake(
                answer=lambda: lambda model: model,
                hint="Nothing has changed yet: the first linear layer refuses the larger map.",
            ),
        ),
        hints=(
            "Which repair gives a score for each window?",
            "fc_to_conv gives the map; what makes its largest cell out of it?",
            "nn.AdaptiveMaxPool2d(1), and a flatten.",
        ),
        observe=network_that(
            gives(LARGER, (1, NUM_CLASSES), "One row of scores is asked for."),
            answers_as_before(
                TRAINED, "At 224 px there is one window: its scores are those of the network."
            ),
            Condition(
                "each class has the largest score of its windows",
                _takes_the_largest,
                "At 288 px the scores are not the largest of the windows'.",
            ),
            of=lambda: narrow_vgg("fc-fixed"),
        ),
        others=(lambda: _Surest,),
    ),
)


def _predict() -> Quiz:
    return Quiz(
        id="08-predict",
        question="A network was trained on pictures of 28 px. It now gets the same pictures at "
        "56 px, everything in them twice as large. Which repair is right most often, with no "
        "further training?",
        options=(
            Option(
                "Adaptive pooling: every trained weight stays, and the network sees all 56 px",
                "All weights stay, but they meet objects of twice the size that they learnt. More "
                "pixels are no help to a layer that counts in pixels.",
                misconception="what-takes-it-answers-it",
            ),
            Option(
                "Fully connected layers as convolutions: windows of the trained size",
                "Each window shows a quarter of an object that has doubled. That is right for "
                "objects that kept their size.",
                misconception="dense-evaluation-suits-any-scale",
            ),
            Option(
                "Resizing to 28 px, which throws three of four pixels away",
                "What is thrown away, the training never saw. What comes in looks as it did then.",
                right=True,
            ),
            Option(
                "A first linear layer for the larger map, which can use all of it",
                "It could, once it has learnt to. Its weights are drawn at random: until they are "
                "trained, it guesses.",
                misconception="a-new-layer-is-no-loss",
            ),
        ),
        difficulty=2,
    )


def _review() -> Quiz:
    return Quiz(
        id="08-review",
        question="A repair keeps all trained weights and is, at the size of the training, the "
        "same function as before. What does that say about its answers at twice that size?",
        options=(
            Option(
                "They are as good as before, since nothing was lost",
                "Nothing of the network was lost. The objects may be of another size than those "
                "that it learnt, and several repairs with both properties answer differently.",
                misconception="what-takes-it-answers-it",
            ),
            Option(
                "Nothing: only pictures of that size can tell",
                "Resizing, cropping, pooling and sliding windows all have both properties, and "
                "their answers differ.",
                right=True,
            ),
            Option(
                "They are the same as those of every other such repair",
                "The matrix of distances says otherwise: only adaptive pooling and its fold are "
                "one function.",
                misconception="it-holds-here-so-everywhere",
            ),
            Option(
                "They are guesses until the network is trained again",
                "So it is with fresh layers. Here every number is a trained one.",
                misconception="every-repair-needs-training",
            ),
        ),
        difficulty=2,
    )


def _review_scenes() -> Quiz:
    return Quiz(
        id="08-review-2",
        question="Of several repairs resizing won on larger images whose objects had grown too. "
        "On larger scenes, with objects as before, it lost. Why was this second kind of pictures "
        "measured at all?",
        options=(
            Option(
                "To have more pictures of larger images, so that the intervals become narrower",
                "More seeds do that. This is another question, with another answer.",
                misconception="more-of-the-same-will-tell",
            ),
            Option(
                "To see whether it was the size of the objects, not of the image, that decided",
                "The image is as large and the repair the same; the objects alone differ. That the "
                "order turned round is what tells the reason.",
                right=True,
            ),
            Option(
                "Because larger scenes are the more common case",
                "Which is more common depends on whose images they are. The chapter does not say.",
                misconception="only-the-common-case-is-worth-it",
            ),
            Option(
                "To give the convolutions a task at which they win",
                "It could have come out otherwise: the entry of the experiment said before which "
                "result would change the page's mind.",
                misconception="an-experiment-is-to-succeed",
            ),
        ),
        difficulty=3,
    )


def _review_intervals() -> Quiz:
    return Quiz(
        id="08-review-3",
        question="Repairs are compared with five seeds that share one small trained network. For "
        "what do the intervals speak?",
        options=(
            Option(
                "For any network that is trained like this one",
                "Then five trainings would have to be in them. Another training could differ more "
                "than these intervals are wide.",
                misconception="it-holds-here-so-everywhere",
            ),
            Option(
                "For this network, on other pictures",
                "Pictures, places and fresh weights are what the seeds drew anew.",
                right=True,
            ),
            Option(
                "For VGG-16 with the weights of ImageNet",
                "Neither the network nor its images are those. That is not measured yet.",
                misconception="it-holds-here-so-everywhere",
            ),
            Option(
                "For nothing: five is too few",
                "Five numbers have an interval; it is wide, and it says so.",
                misconception="more-of-the-same-will-tell",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[[], Quiz]] = {
    "08-predict": _predict,
    "08-review": _review,
    "08-review-2": _review_scenes,
    "08-review-3": _review_intervals,
}
