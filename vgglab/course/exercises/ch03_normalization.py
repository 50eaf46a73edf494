"""Exercises of chapter 03: LRN's window and constants, and what BatchNorm remembers."""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import log, sqrt
from typing import TypeAlias

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vgglab.course.checking import Exercise, Mistake, calls, network, value, value_that
from vgglab.course.quizzes import Option, Quiz
from vgglab.models.configs import PAPER_ERRORS
from vgglab.models.network import Norm, vgg
from vgglab.normalization import BatchNorm2d, local_response_norm, lrn_window

# 03-1 and 03-3: AlexNet's window and factor, and a channel near the border.
SIZE = 5
ALPHA = 1e-4
CHANNELS = 64
CHANNEL = 1

# 03-2: AlexNet's formula at one place.
Lrn: TypeAlias = Callable[[Sequence[float], int, float, float, float], list[float]]


def _alexnet(a: Sequence[float], size: int, alpha: float, beta: float, k: float) -> list[float]:
    x = torch.tensor(a, dtype=torch.float64).view(1, -1, 1)
    y = local_response_norm(x, size, alpha, beta, k, formula="alexnet")
    return list(y.flatten().tolist())


def _torchs(a: Sequence[float], size: int, alpha: float, beta: float, k: float) -> list[float]:
    x = torch.tensor(a, dtype=torch.float64).view(1, -1, 1)
    return list(F.local_response_norm(x, size, alpha, beta, k).flatten().tolist())


def _lrn(total: Callable[[Sequence[float], int, int], float]) -> Lrn:
    """Return the formula with another sum: `total` gets the values, the channel and the size."""

    def normalised(
        a: Sequence[float], size: int, alpha: float, beta: float, k: float
    ) -> list[float]:
        return [a[c] / (k + alpha * total(a, c, size)) ** beta for c in range(len(a))]

    return normalised


def _squares(a: Sequence[float], channels: Iterable[int]) -> float:
    return sum(a[j] ** 2 for j in channels)


def _unsquared(a: Sequence[float], c: int, size: int) -> float:
    return sum(a[j] for j in lrn_window(c, len(a), size))


def _neighbours_alone(a: Sequence[float], c: int, size: int) -> float:
    return _squares(a, (j for j in lrn_window(c, len(a), size) if j != c))


def _largest(a: Sequence[float], c: int, size: int) -> float:
    return max(a[j] ** 2 for j in lrn_window(c, len(a), size))


def _without_last(a: Sequence[float], c: int, size: int) -> float:
    return _squares(a, range(max(c - size // 2, 0), min(c + size // 2, len(a))))


def _sliced(a: Sequence[float], c: int, size: int) -> float:
    return sum(number**2 for number in a[c - size // 2 : c + size // 2 + 1])


def _every_channel(a: Sequence[float], c: int, size: int) -> float:
    return _squares(a, range(len(a)))


def _without_power(
    a: Sequence[float], size: int, alpha: float, beta: float, k: float
) -> list[float]:
    return _alexnet(a, size, alpha, 1.0, k)


def _while_reading(
    a: Sequence[float], size: int, alpha: float, beta: float, k: float
) -> list[float]:
    found = list(a)
    for c in range(len(a)):
        total = _squares(found, lrn_window(c, len(a), size))
        found[c] /= (k + alpha * total) ** beta
    return found


# 03-4: what BatchNorm remembers of one channel.
Remember: TypeAlias = Callable[[Sequence[float], float, float, float], tuple[float, float]]


def _remember(
    values: Sequence[float], running_mean: float, running_var: float, momentum: float
) -> tuple[float, float]:
    norm = BatchNorm2d(1, momentum=momentum).double()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(running_mean)
    norm.running_var.fill_(running_var)
    norm(torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1))
    return norm.running_mean.item(), norm.running_var.item()


def _moved(spread: Callable[[torch.Tensor], torch.Tensor]) -> Remember:
    """Return the update with something else in the place of the unbiased variance."""

    def moved(
        values: Sequence[float], running_mean: float, running_var: float, momentum: float
    ) -> tuple[float, float]:
        x = torch.tensor(values, dtype=torch.float64)
        kept = 1 - momentum
        return (
            kept * running_mean + momentum * x.mean().item(),
            kept * running_var + momentum * spread(x).item(),
        )

    return moved


def _share_of_the_old(
    values: Sequence[float], running_mean: float, running_var: float, momentum: float
) -> tuple[float, float]:
    return _remember(values, running_mean, running_var, 1 - momentum)


def _of_batch_alone(
    values: Sequence[float], running_mean: float, running_var: float, momentum: float
) -> tuple[float, float]:
    return _remember(values, running_mean, running_var, 1.0)


def _added_up(
    values: Sequence[float], running_mean: float, running_var: float, momentum: float
) -> tuple[float, float]:
    mean, var = _of_batch_alone(values, running_mean, running_var, momentum)
    return running_mean + momentum * mean, running_var + momentum * var


def _share_alone(
    values: Sequence[float], running_mean: float, running_var: float, momentum: float
) -> tuple[float, float]:
    mean, var = _of_batch_alone(values, running_mean, running_var, momentum)
    return momentum * mean, momentum * var


# 03-5: two variances of one small map.
IMAGES, SIDE = 1, 3
COUNT = IMAGES * SIDE**2


def _ratio() -> float:
    """Return the variance that normalises, divided by the one that is remembered."""
    x = torch.arange(COUNT, dtype=torch.float64).view(IMAGES, 1, SIDE, SIDE)
    norm = nn.BatchNorm2d(1, momentum=1.0, dtype=torch.float64)
    norm(x)
    assert norm.running_var is not None
    return x.var(correction=0).item() / norm.running_var.item()


# 03-6: four calls, each (in train mode, with gradients).
CALLS = ((True, True), (True, False), (False, False), (False, True))


def _counted() -> tuple[int, ...]:
    norm = nn.BatchNorm2d(1)
    assert norm.num_batches_tracked is not None
    counts = []
    for training, gradients in CALLS:
        norm.train(training)
        with torch.set_grad_enabled(gradients):
            norm(torch.zeros(2, 1, 2, 2))
        counts.append(int(norm.num_batches_tracked))
    return tuple(counts)


def _counted_if(counts: Callable[[bool, bool], bool]) -> tuple[int, ...]:
    return tuple(accumulate(int(counts(training, gradients)) for training, gradients in CALLS))


# 03-7: BatchNorm in the weights of a convolution, for one channel.
Fold: TypeAlias = Callable[[float, float, float, float, float, float, float], tuple[float, float]]


def _folded(
    w: float, b: float, weight: float, bias: float, mean: float, var: float, eps: float
) -> tuple[float, float]:
    scale, offset, running_mean, running_var, constant = (
        torch.tensor([number], dtype=torch.float64) for number in (weight, bias, mean, var, b)
    )
    kernel = torch.full((1, 1, 1, 1), w, dtype=torch.float64)
    folded = fuse_conv_bn_weights(kernel, constant, running_mean, running_var, eps, scale, offset)
    return folded[0].item(), folded[1].item()


def _with_scale(scale: Callable[[float, float], float]) -> Fold:
    """Return the folding with another divisor: `scale` gets the variance and eps."""

    def folded(
        w: float, b: float, weight: float, bias: float, mean: float, var: float, eps: float
    ) -> tuple[float, float]:
        factor = weight / scale(var, eps)
        return w * factor, (b - mean) * factor + bias

    return folded


def _bias_unscaled(
    w: float, b: float, weight: float, bias: float, mean: float, var: float, eps: float
) -> tuple[float, float]:
    folded, constant = _folded(w, 0.0, weight, bias, mean, var, eps)
    return folded, constant + b


def _mean_forgotten(
    w: float, b: float, weight: float, bias: float, mean: float, var: float, eps: float
) -> tuple[float, float]:
    return _folded(w, b, weight, bias, 0.0, var, eps)


def _mean_unscaled(
    w: float, b: float, weight: float, bias: float, mean: float, var: float, eps: float
) -> tuple[float, float]:
    folded, constant = _folded(w, b, weight, bias, 0.0, var, eps)
    return folded, constant - mean


def _offset_forgotten(
    w: float, b: float, weight: float, bias: float, mean: float, var: float, eps: float
) -> tuple[float, float]:
    return _folded(w, b, weight, 0.0, mean, var, eps)


# 03-8: the loss of a network that says nothing about ten classes, in nats.
NOTHING_LEARNT = log(10)

# 03-9: accuracies in percent of A, A-LRN, and A with a division by 2**0.75 in LRN's place.
OUTCOMES = ((60, 57, 57), (60, 57, 60), (60, 60, 60), (60, 63, 60))
SURE = 1  # points


def _judged(refutes: Callable[[int, int, int], bool]) -> list[bool]:
    return [refutes(*outcome) for outcome in OUTCOMES]


# 03-10: the first block of VGG-16.
IMAGE = (1, 3, 16, 16)


def _block(norm: Norm | None) -> nn.Sequential:
    """Return VGG-16's first block as torchvision has it, its max pooling included."""
    features = vgg("D", norm=norm, head="gap", device="meta").features
    pools = [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    return features[: pools[0] + 1]


def _convs(block: nn.Sequential) -> list[nn.Conv2d]:
    return [layer for layer in block if isinstance(layer, nn.Conv2d)]


def _without_biases(norm: Norm | None) -> nn.Sequential:
    block = _block(norm)
    for conv in _convs(block):
        conv.bias = None
    return block


class _Functional(nn.Module):
    """The block as a module of its own, with functions in the place of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, 64, 3, padding="same", bias=False) for channels in (3, 64)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(64) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return F.max_pool2d(x, 2)


def _norm_first() -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in _without_biases(None):
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.in_channels, device="meta"))
        layers.append(layer)
    return nn.Sequential(*layers)


def _changed(kind: type[nn.Module], make: Callable[[], nn.Module]) -> nn.Sequential:
    """Return the block with other layers in the place of one kind."""
    block = _without_biases("batch")
    return nn.Sequential(*(make() if isinstance(layer, kind) else layer for layer in block))


def _norm_last() -> nn.Sequential:
    conv, norm, relu, *others = _without_biases("batch")
    second, second_norm, second_relu, pool = others
    return nn.Sequential(conv, relu, norm, second, second_relu, second_norm, pool)


def _without_padding() -> nn.Sequential:
    block = _without_biases("batch")
    for conv in _convs(block):
        conv.padding = (0, 0)
    return block


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="03-1",
        question=f"LRN with size {SIZE} on {CHANNELS} channels: how many squares are added up for "
        f"channel {CHANNEL}, counted from 0?",
        solution=lambda: len(lrn_window(CHANNEL, CHANNELS, SIZE)),
        mistakes=(
            Mistake(
                answer=lambda: SIZE,
                hint="That holds in the middle of the channels. This one is near the first.",
            ),
            Mistake(
                answer=lambda: len(lrn_window(CHANNEL - 1, CHANNELS, SIZE)),
                hint="That many belong to the first channel. Counted from 0, channel 1 is the "
                "second.",
            ),
            Mistake(
                answer=lambda: SIZE // 2,
                hint="That is how far the window reaches to one side. It has two sides, and the "
                "channel itself is in it.",
            ),
            Mistake(lambda: CHANNELS, "That is all of the channels. The window has fewer."),
            Mistake(
                lambda: SIZE**2,
                "The window is a row of channels at one place, not a square of places.",
            ),
            Mistake(lambda: 1, "That is the number of the channel. Which channels lie around it?"),
            Mistake(
                lambda: SIZE + 1,
                "The window has at most five channels, and here one of them does not exist.",
            ),
        ),
        hints=(
            "Write down the channels of the window, from the lowest to the highest.",
            "The window goes from c - 2 to c + 2. Which of these channels exist?",
            "len(vgglab.normalization.lrn_window(c, channels=64, size=5)) counts them.",
        ),
        observe=value,
    ),
    Exercise(
        id="03-2",
        question="Write a function from the values a of all channels at one place, and size, "
        "alpha, beta and k, to the list that AlexNet's formula gives; sizes are odd.",
        solution=lambda: _alexnet,
        mistakes=(
            Mistake(
                answer=lambda: _torchs,
                hint="That is torch's formula: it divides alpha by the size of the window.",
            ),
            Mistake(
                answer=lambda: _lrn(_unsquared),
                hint="You added up the values as they are. Values of different signs would cancel.",
            ),
            Mistake(
                answer=lambda: _lrn(_neighbours_alone),
                hint="You added up the neighbours alone. The window has the channel itself too.",
            ),
            Mistake(
                answer=lambda: _lrn(_largest),
                hint="You took the largest square of the window.",
            ),
            Mistake(
                answer=lambda: _lrn(_without_last),
                hint="The last channel of the window is missing: the stop of a range or a slice "
                "is not a part of it.",
            ),
            Mistake(
                answer=lambda: _lrn(_sliced),
                hint="Look at the first channels: where a slice's start is negative, Python counts "
                "it from the end of the list.",
            ),
            Mistake(
                answer=lambda: _lrn(_every_channel),
                hint="You added up too many squares, perhaps of all channels: the window reaches "
                "size // 2 to each side.",
            ),
            Mistake(lambda: _without_power, "You did not use beta: the sum is raised to it."),
            Mistake(
                lambda: (
                    lambda a, *rest: [
                        x * x / y if y else 0.0 for x, y in zip(a, _alexnet(a, *rest), strict=True)
                    ]
                ),
                "You multiplied where LRN divides.",
            ),
            Mistake(
                lambda: lambda a, size, *rest: _alexnet(a, 1, *rest),
                "Each channel was divided by itself alone: its neighbours are missing.",
            ),
            Mistake(
                lambda: _while_reading,
                "You divide by values that have been divided already. Keep the old ones while "
                "you read.",
            ),
            Mistake(
                lambda: lambda a, size, alpha, beta, k: _alexnet(a, size, alpha, beta, 0.0),
                "k is missing: it is added to the sum.",
            ),
        ),
        hints=(
            "Each channel has its own window, and so its own sum.",
            "list(vgglab.normalization.lrn_window(c, len(a), size)) are the channels to add up.",
            "a[c] / (k + alpha * total) ** beta, with the total of a[j] ** 2 over that window.",
        ),
        observe=calls(
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 5, 0.01, 0.75, 2.0),
            ([3.0, -1.0, 2.0, 8.0], 3, 0.1, 0.5, 1.0),
            ([20.0, 0.0, -40.0], 5, 1e-4, 0.75, 2.0),
        ),
    ),
    Exercise(
        id="03-3",
        question=f"AlexNet has size {SIZE} and alpha {ALPHA:g}. Which alpha must "
        f"nn.LocalResponseNorm({SIZE}, alpha=...) get to do the same?",
        solution=lambda: ALPHA * SIZE,
        mistakes=(
            Mistake(
                answer=lambda: ALPHA,
                hint="You copied AlexNet's constant. torch's formula does something to alpha that "
                "AlexNet's does not.",
            ),
            Mistake(
                answer=lambda: ALPHA / SIZE,
                hint="torch divides alpha by the size. You did so once more.",
            ),
            Mistake(
                answer=lambda: ALPHA * SIZE**2,
                hint="You took the window for a square of places. It is a row of channels.",
            ),
            Mistake(lambda: ALPHA / 2, "You halved it. By what does torch divide alpha?"),
            Mistake(
                lambda: 10 * ALPHA * SIZE,
                "A power of ten went astray: 1e-4 is 0.0001.",
                lambda x: x in (10 * ALPHA * SIZE, ALPHA * SIZE / 10) or abs(x - 5e-3) < 1e-9,
            ),
            Mistake(lambda: SIZE, "That is the size alone. Which alpha has AlexNet?"),
            Mistake(lambda: ALPHA * (SIZE - 1), "The channel itself is in the window too."),
        ),
        hints=(
            "Write both formulas next to each other. What stands before the sum?",
            "AlexNet has alpha there, torch has alpha / size.",
            "Solve x / size = alpha for x.",
        ),
        observe=value,
    ),
    Exercise(
        id="03-4",
        question="Write a function from the list of one channel's values in a batch, its running "
        "mean, its running variance and the momentum to the pair (new running mean, new running "
        "variance), as in torch.",
        solution=lambda: _remember,
        mistakes=(
            Mistake(
                answer=lambda: _moved(lambda x: x.var(correction=0)),
                hint="The mean is right. The variance is the one that normalises; another one is "
                "remembered.",
            ),
            Mistake(
                answer=lambda: _share_of_the_old,
                hint="You took momentum for the share of the old value, as Keras and TensorFlow "
                "do. torch means the other share.",
            ),
            Mistake(
                answer=lambda: _moved(lambda x: x.std()),
                hint="The mean is right. In the other place you put the standard deviation.",
            ),
            Mistake(
                answer=lambda: _of_batch_alone,
                hint="Those are the statistics of this batch. Nothing is left of the old ones.",
            ),
            Mistake(
                answer=lambda: _added_up,
                hint="You added a share of the batch and kept all of the old value: so the "
                "statistics grow from batch to batch.",
            ),
            Mistake(
                lambda: lambda values, mean, var, momentum: (mean, var),
                "Those are the old ones: nothing was learnt of this batch.",
            ),
            Mistake(
                lambda: _share_alone, "You kept nothing of the old values: a share of them stays."
            ),
        ),
        hints=(
            "Both statistics move towards those of the batch, by the same share.",
            "new = (1 - momentum) · old + momentum · batch, for the mean and for the variance.",
            "The variance of the batch is divided by n - 1: statistics.variance, or torch's var().",
        ),
        observe=calls(
            ([1.0, 2.0, 3.0, 6.0], 0.0, 1.0, 0.1),
            ([-1.5, 2.5], 1.0, 4.0, 0.25),
            ([0.5, 0.5, 2.0], -2.0, 3.0, 0.9),
        ),
    ),
    Exercise(
        id="03-5",
        question=f"A batch of {IMAGES} image, and maps of {SIDE}×{SIDE}: for each channel, what is "
        "the variance that normalises, divided by the variance that is remembered?",
        solution=_ratio,
        mistakes=(
            Mistake(
                answer=lambda: 1 / _ratio(),
                hint="You divided the other way round. Which of the two variances is larger?",
            ),
            Mistake(
                answer=lambda: 1 - _ratio(),
                hint="That is the part by which the two differ.",
            ),
            Mistake(
                answer=lambda: 1.0,
                hint="Then the two variances would be the same. They are divided by different "
                "numbers.",
            ),
            Mistake(
                answer=lambda: (IMAGES - 1) / IMAGES,
                hint="You counted the images alone. A channel has a value at each place too.",
            ),
            Mistake(
                answer=lambda: (SIDE - 1) / SIDE,
                hint="You counted one row of the map. A channel has a value at each place.",
            ),
            Mistake(
                lambda: COUNT - 1,
                "You have one of the two numbers. The ratio of the variances is asked for.",
                lambda x: x in (COUNT - 1, COUNT),
            ),
            Mistake(lambda: sqrt(_ratio()), "That is the ratio of the standard deviations."),
            Mistake(
                lambda: (COUNT - 2) / COUNT,
                "By one less, not by two, is the sum divided for the variance that is remembered.",
            ),
        ),
        hints=(
            "How many values does a channel have in this batch?",
            "Both variances have one sum of squared deviations. By what is it divided in each?",
            "By n in the one and by n - 1 in the other, with n = N · H · W.",
        ),
        observe=value,
    ),
    Exercise(
        id="03-6",
        question="A new network with BatchNorm is called four times: in train mode; in train mode "
        "under torch.no_grad(); in eval mode under torch.no_grad(); in eval mode with gradients. "
        "What is num_batches_tracked after each call? A tuple of four numbers.",
        solution=_counted,
        mistakes=(
            Mistake(
                answer=lambda: _counted_if(lambda training, gradients: training and gradients),
                hint="You took no_grad for eval. It tells autograd to keep nothing; the layer does "
                "not ask for it.",
            ),
            Mistake(
                answer=lambda: _counted_if(lambda training, gradients: training or gradients),
                hint="You took gradients for train mode at the last call. Gradients can be had in "
                "eval mode too.",
            ),
            Mistake(
                answer=lambda: _counted_if(lambda training, gradients: gradients),
                hint="You counted the calls that autograd records. The layer counts something "
                "else.",
            ),
            Mistake(
                answer=lambda: _counted_if(lambda training, gradients: True),
                hint="You counted every call. The layer counts the batches that its statistics "
                "have moved towards.",
            ),
            Mistake(
                lambda: (0, 1, 1, 1),
                "The number after each call is asked for, and the first call counts.",
            ),
        ),
        hints=(
            "Two switches are set for each call. Which of them does BatchNorm look at?",
            "The layer looks at its attribute training, which train() and eval() set.",
            "Run it: norm = nn.BatchNorm2d(1), and print norm.num_batches_tracked after each call.",
        ),
        observe=value,
    ),
    Exercise(
        id="03-7",
        question="Write a function from a convolution's weight w and bias b (one channel, two "
        "numbers) and BatchNorm's weight, bias, running mean, running variance and eps to the pair "
        "(w, b) of the folded convolution.",
        solution=lambda: _folded,
        mistakes=(
            Mistake(
                answer=lambda: _with_scale(lambda var, eps: sqrt(var)),
                hint="You left out eps. It is small, but the two networks would differ.",
            ),
            Mistake(
                answer=lambda: _with_scale(lambda var, eps: sqrt(var) + eps),
                hint="You added eps after the root.",
            ),
            Mistake(
                answer=lambda: _with_scale(lambda var, eps: var + eps),
                hint="You divided by a variance. BatchNorm divides by its root.",
            ),
            Mistake(
                answer=lambda: _bias_unscaled,
                hint="The weight is right. BatchNorm multiplies all that the convolution gives, "
                "its bias too.",
            ),
            Mistake(
                answer=lambda: _mean_forgotten,
                hint="The weight is right. In the bias the running mean does not appear.",
            ),
            Mistake(
                answer=lambda: _mean_unscaled,
                hint="The weight is right. You subtracted the mean after the multiplication; "
                "BatchNorm does it before.",
            ),
            Mistake(
                answer=lambda: _offset_forgotten,
                hint="The weight is right. In the bias BatchNorm's own offset does not appear.",
            ),
            Mistake(
                lambda: lambda w, b, g, c, m, v, e: _folded(w, b, 1.0, c, m, v, e),
                "BatchNorm's own weight is missing: it multiplies all that is normalised.",
            ),
            Mistake(
                lambda: lambda w, b, g, c, m, v, e: (w * g, (b - m) * g + c),
                "The variance is missing: BatchNorm divides by its root.",
            ),
            Mistake(
                lambda: lambda w, b, g, c, m, v, e: _folded(w, b, g, c, -m, v, e),
                "The weight is right. The mean has the wrong sign: it is taken off.",
            ),
        ),
        hints=(
            "Put w·x + b into BatchNorm's formula for eval mode, and sort by x.",
            "What stands before x is the new weight. Everything else is the new bias.",
            "factor = weight / (var + eps) ** 0.5; the new bias is (b - mean) * factor + bias.",
        ),
        observe=calls(
            (2.0, 1.0, 3.0, 0.5, 4.0, 8.0, 1.0),
            (-0.5, 2.0, 1.5, -1.0, 0.25, 0.01, 0.0025),
            (4.0, 0.0, -2.0, 3.0, -1.0, 0.5, 1e-5),
        ),
    ),
    Exercise(
        id="03-8",
        question="A network with LRN after every ReLU is trained twice: as it is built, and from a "
        "start that lets the signal through. Which training losses do the two end with? A pair.",
        solution=lambda: (NOTHING_LEARNT, NOTHING_LEARNT / 2),
        mistakes=(
            Mistake(
                answer=lambda: (NOTHING_LEARNT, NOTHING_LEARNT),
                hint="The second has not learnt either. By what does LRN divide in every layer "
                "when activations are of about 1? Let the weights make up for it.",
            ),
            Mistake(
                answer=lambda: (NOTHING_LEARNT / 2, NOTHING_LEARNT / 2),
                hint="The first has learnt, so it is not the network as it is built: is there LRN "
                "after every ReLU?",
            ),
            Mistake(
                answer=lambda: (NOTHING_LEARNT / 2, NOTHING_LEARNT),
                hint="The other way round: first the network as it is built.",
                applies=lambda pair: (
                    0 <= pair[0] < 0.7 * NOTHING_LEARNT and 0.95 <= pair[1] / NOTHING_LEARNT <= 1.05
                ),
            ),
            Mistake(
                lambda: (3.5, 4.0),
                "Both are above log(10): a start that is too large does not train. How much "
                "does LRN take from each layer?",
                lambda pair: min(pair) > 1.05 * NOTHING_LEARNT,
            ),
        ),
        hints=(
            "A network whose logits are all alike has a loss of log(10). Which of the two is that?",
            "In each layer the signal is divided by k ** beta = 2 ** 0.75, and no square counts.",
            "Multiply the weights of every convolution by 2 ** 0.75, under torch.no_grad().",
        ),
        observe=value_that(
            (
                "as it is built: nothing learnt",
                lambda pair: 0.95 * NOTHING_LEARNT <= pair[0] <= 1.05 * NOTHING_LEARNT,
            ),
            ("let through: learnt", lambda pair: 0 <= pair[1] < 0.7 * NOTHING_LEARNT),
        ),
    ),
    Exercise(
        id="03-9",
        question="The claim: what the LRN layer does to A's accuracy is no more than a division by "
        "2^0.75 does. Which outcomes for A, A-LRN and A with that division, in percent and each "
        f"sure within {SURE} point, refute it: {', '.join(map(str, OUTCOMES))}? Four booleans.",
        solution=lambda: _judged(lambda a, lrn, divided: abs(lrn - divided) > 2 * SURE),
        mistakes=(
            Mistake(
                answer=lambda: _judged(lambda a, lrn, divided: abs(lrn - a) > 2 * SURE),
                hint="You compared A-LRN with A. That they differ says that the layer does "
                "something; the claim says what.",
            ),
            Mistake(
                answer=lambda: _judged(lambda a, lrn, divided: lrn < a),
                hint="You marked where LRN does harm. The constant may do the same harm.",
            ),
            Mistake(
                answer=lambda: _judged(lambda a, lrn, divided: lrn > a),
                hint="You marked where LRN helps. If it does harm, and the constant does not, then "
                "the claim is refuted too.",
            ),
            Mistake(
                answer=lambda: _judged(lambda a, lrn, divided: lrn == divided),
                hint="Those are the outcomes that the claim predicts.",
            ),
        ),
        hints=(
            "Which two of the three networks does the claim call equal?",
            "What A itself reaches does not matter for it.",
            "It is refuted where the second and the third number are further apart than both are "
            "sure.",
        ),
        observe=value,
    ),
    Exercise(
        id="03-10",
        question="Write VGG-16's first block: two 3×3 convolutions, from 3 to 64 and from 64 to 64 "
        "channels, each with its ReLU, and a max pooling. Put BatchNorm where torchvision's "
        "vgg16_bn has it, and leave out the biases that it makes useless.",
        solution=lambda: _without_biases("batch"),
        mistakes=(
            Mistake(
                answer=lambda: _block("batch"),
                hint="That is torchvision's block, biases included. What does BatchNorm do to a "
                "number that is added to all values of a channel?",
            ),
            Mistake(
                answer=lambda: _block(None),
                hint="Plain VGG-16 has that many parameters, biases included. Has each of the two "
                "convolutions its BatchNorm?",
            ),
            Mistake(
                answer=lambda: _without_biases(None),
                hint="The kernels alone have parameters here. LRN learns nothing; BatchNorm has "
                "two learnt numbers for each channel.",
            ),
            Mistake(
                answer=_norm_first,
                hint="Your BatchNorm comes before the convolution, so the first of them normalises "
                "the three channels of the image.",
            ),
            Mistake(
                answer=lambda: _without_biases("batch")[:-1],
                hint="The map is as large as the image: the pooling is missing.",
            ),
            Mistake(
                answer=_without_padding,
                hint="Each convolution takes a row or a column from every side of the map. VGG's "
                "keep its size.",
            ),
            Mistake(
                lambda: _changed(nn.ReLU, nn.Identity), "No ReLU runs: one follows each BatchNorm."
            ),
            Mistake(
                lambda: _changed(nn.MaxPool2d, lambda: nn.AvgPool2d(2)),
                "Your pooling takes means. VGG's takes the largest.",
            ),
            Mistake(
                _norm_last,
                "The order differs: torchvision normalises between the convolution and its ReLU.",
            ),
        ),
        hints=(
            "print(torchvision.models.vgg16_bn().features[:7]) shows where BatchNorm is.",
            "BatchNorm subtracts the mean of a channel, and with it whatever the bias added.",
            "nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(); then the "
            "same from 64 channels, and nn.MaxPool2d(2).",
        ),
        observe=network(IMAGE, values=True),
        others=(_Functional,),
    ),
)


def _predict() -> Quiz:
    errors = {row.config: row.top1_error for row in PAPER_ERRORS if row.config in ("A", "A-LRN")}
    assert 0 < errors["A-LRN"] - errors["A"] < 0.5, errors
    found = f"{errors['A']} % for A and {errors['A-LRN']} % for A-LRN"
    return Quiz(
        id="03-predict",
        question="Configurations A and A-LRN of the VGG paper (its Table 3) differ in one LRN "
        "layer. Which had the lower top-1 error on ImageNet?",
        options=(
            Option(
                "A-LRN, by more than a point",
                "AlexNet's authors report such a gain for their network. The VGG paper did not "
                f"find it again: {found}.",
                misconception="lrn-helps",
            ),
            Option(
                "A-LRN, by less than half a point",
                f"The difference is that small, but it has the other sign: {found}.",
                misconception="lrn-helps",
            ),
            Option(
                "A, by less than half a point",
                f"The paper has {found}, and none of its deeper networks has the layer. With one "
                "network each, so small a difference does not say that LRN does harm.",
                right=True,
            ),
            Option(
                "A-LRN: without LRN the network could not be trained",
                "A is the network that the authors could train from random weights, without any "
                "normalisation. They started their deeper networks from layers of it.",
                misconception="nothing-deep-trains-without-normalisation",
            ),
        ),
        difficulty=1,
    )


def _review() -> Quiz:
    return Quiz(
        id="03-review",
        question="One reads that nobody uses LRN any more, since BatchNorm has taken its place. "
        "What does the BatchNorm of a trained network do to its input in eval mode?",
        options=(
            Option(
                "What LRN does: it damps a value whose neighbouring channels are large",
                "BatchNorm looks at no other channel. It has taken LRN's place in the networks, "
                "not its work.",
                misconception="batchnorm-does-what-lrn-did",
            ),
            Option(
                "It normalises each channel by the mean and the variance of the batch",
                "That is train mode. In eval mode the batch is not asked, so that an image gets "
                "the same scores in any company.",
                misconception="eval-mode-uses-the-batch",
            ),
            Option(
                "It multiplies each channel by a number and adds another one",
                "Both are known before an image comes, from what the layer remembers and what it "
                "has learnt. That is why it can be folded into the convolution before it.",
                right=True,
            ),
            Option(
                "Nothing, if the call is under torch.no_grad()",
                "no_grad keeps autograd from writing down what happens. What the layer does "
                "depends on train() and eval() alone.",
                misconception="no-grad-is-eval-mode",
            ),
        ),
        difficulty=1,
    )


def _constant() -> Quiz:
    return Quiz(
        id="03-review-2",
        question="A and A-LRN are trained on images scaled to a standard deviation of 1, and do "
        "equally well. A look at the layer shows that it divides everything by nearly the same "
        "number. What has been learnt about LRN?",
        options=(
            Option(
                "That letting channels compete is of no use to a network",
                "A layer whose squares are nothing beside k does not let channels compete. It was "
                "not at work, so its use was not tested.",
                misconception="no-difference-seen-none-there",
            ),
            Option(
                "Only that this constant makes no visible difference",
                "To test LRN, take the scale of AlexNet's and VGG's inputs, at which the squares "
                "count, and the constant as a control beside it.",
                right=True,
            ),
            Option(
                "That it does no harm, whatever the scale",
                "At another scale it is another function. Nothing was measured there.",
                misconception="it-holds-here-so-everywhere",
            ),
            Option(
                "That BatchNorm does the same",
                "BatchNorm divides each channel by its own spread, and was in neither network.",
                misconception="batchnorm-does-what-lrn-did",
            ),
        ),
        difficulty=3,
    )


def _start() -> Quiz:
    return Quiz(
        id="03-review-3",
        question="With LRN after every ReLU a deep network stays at guessing, at each of three "
        "learning rates. Which network would tell whether that is due to competing channels?",
        options=(
            Option(
                "The same at a fourth rate, far higher",
                "A rate is one remedy for a signal that is too small. If it fails, the cause is "
                "still open.",
                misconception="more-of-the-same-will-tell",
            ),
            Option(
                "One with BatchNorm in LRN's place",
                "That it learns is to be expected under either explanation.",
                misconception="a-cure-names-the-cause",
            ),
            Option(
                "One that divides by k to the power of beta instead",
                "It shrinks the signal as LRN does, and nothing competes in it. If it guesses too, "
                "the scale is enough to explain the failure.",
                right=True,
            ),
            Option(
                "The same with ten seeds for each rate instead of five",
                "Thirty failures would be as clear as fifteen, and as unexplained.",
                misconception="more-of-the-same-will-tell",
            ),
        ),
        difficulty=3,
    )


def _sooner() -> Quiz:
    return Quiz(
        id="03-review-4",
        question="After eight epochs the network with BatchNorm is far ahead, on training images "
        "and on test images. What does that show?",
        options=(
            Option(
                "That it generalises better",
                "It fits the training images better too. To compare how two networks generalise, "
                "compare them where both fit alike, or at the end.",
                misconception="sooner-is-better",
            ),
            Option(
                "That it learns faster with this recipe",
                "The other one is still learning. Whether it catches up, only a longer training "
                "can tell.",
                right=True,
            ),
            Option(
                "That inputs of its layers shift less while it learns",
                "That is one explanation, and nothing of it was measured here.",
                misconception="batchnorm-stops-covariate-shift",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[[], Quiz]] = {
    "03-predict": _predict,
    "03-review": _review,
    "03-review-2": _constant,
    "03-review-3": _start,
    "03-review-4": _sooner,
}
