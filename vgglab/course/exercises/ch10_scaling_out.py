"""Exercises of chapter 10: gradients added up over ranks, in buckets, and what it costs."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vgglab.convert import with_gap_head
from vgglab.course.checking import Condition, Exercise, Mistake, Tables, calls, network_that, value
from vgglab.course.observing import NotAttemptedError, Observation, does_nothing
from vgglab.course.observing_networks import narrow_vgg
from vgglab.course.quizzes import Option, Quiz
from vgglab.lab.ranks import AllReduce, run_ranks
from vgglab.lab.scaling import buckets
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES

CHANNELS = CONFIGS["D"].convs()[-1].out_channels
BYTES = 4  # of a float32

Average = Callable[[list[Tensor], AllReduce, int], None]


# 10-1: the gradient of fc6.
def _fc6(nbytes: int = BYTES, biases: int = HIDDEN_FEATURES) -> int:
    return nbytes * (CHANNELS * FC_SIDE**2 * HIDDEN_FEATURES + biases)


# 10-2 and 10-3: averages over ranks.
def _made(rank: int) -> list[Tensor]:
    """Return what backward made in a rank: three gradients."""
    return [
        torch.arange(3.0) + rank,
        torch.full((2, 2), 10.0 * rank**2),
        torch.tensor([rank - 1.0]),
    ]


def _averaged(counted: bool) -> Callable[[Any], Observation]:
    """Return an observer that runs a function in two ranks and in three."""

    def observe(answer: Any) -> Observation:
        if not callable(answer):
            return calls((2,), (3,))(answer)
        if does_nothing(answer):
            raise NotAttemptedError

        def gradients_after(ranks: int) -> Any:
            def work(rank: int, all_reduce: AllReduce) -> tuple[list[float], int]:
                made, seen = _made(rank), []

                def counting(tensor: Tensor) -> None:
                    seen.append(tensor)
                    all_reduce(tensor)

                answer(made, counting, ranks)
                return torch.cat([tensor.flatten() for tensor in made]).tolist(), len(seen)

            found = run_ranks(ranks, work)
            return [(values, count) if counted else values for values, count in found]

        return calls((2,), (3,))(gradients_after)

    return observe


def _one_by_one(gradients: list[Tensor], all_reduce: AllReduce, ranks: int) -> None:
    for gradient in gradients:
        all_reduce(gradient)
        gradient.div_(ranks)


def _one_by_one_divided_by(number: int) -> Average:
    def average(gradients: list[Tensor], all_reduce: AllReduce, ranks: int) -> None:
        for gradient in gradients:
            all_reduce(gradient)
            gradient.div_(number)

    return average


def _not_in_place(gradients: list[Tensor], all_reduce: AllReduce, ranks: int) -> None:
    for gradient in gradients:
        copy = gradient / ranks
        all_reduce(copy)


def _flat(
    copy_back: bool = True, divided: bool = True
) -> Callable[[list[Tensor], AllReduce, int], None]:
    def average(gradients: list[Tensor], all_reduce: AllReduce, ranks: int) -> None:
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        all_reduce(flat)
        if divided:
            flat /= ranks
        if copy_back:
            parts = flat.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    return average


# 10-4: buckets.
SIZES = ([16, 4, 60, 2, 1, 30, 5, 5], [100, 1, 1], [1, 2, 3], [25, 25, 25], [3])
LIMIT = 25


def _filled(sizes: Sequence[int], limit: int) -> list[list[int]]:
    return buckets(sizes, limit, limit)


def _never_above(sizes: Sequence[int], limit: int) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for size in sizes:
        if found[-1] and sum(found[-1]) + size > limit:
            found.append([])
        found[-1].append(size)
    return found


def _only_when_above(sizes: Sequence[int], limit: int) -> list[list[int]]:
    return buckets(sizes, limit + 1, limit + 1)


# 10-5: when the last bucket has arrived.
READY = ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 1.5, 4.0], [2.0])
TAKEN = ([0.5, 0.5, 0.5], [4.0, 1.0, 0.5], [2.0, 1.0, 1.0], [3.0])


def _arrived(ready: Sequence[float], taken: Sequence[float]) -> float:
    free = 0.0
    for full, seconds in zip(ready, taken, strict=True):
        free = max(free, full) + seconds
    return free


def _side_by_side(ready: Sequence[float], taken: Sequence[float]) -> float:
    return max(full + seconds for full, seconds in zip(ready, taken, strict=True))


# 10-8: a network with little to send.
def _sends_little(model: nn.Module, tables: Tables) -> bool:
    """Allow for the convolutions, for one linear layer that reads their channels, and a little."""
    assert tables.before is not None
    features = tables.before.get_submodule("features")
    channels = [
        module.out_channels for module in features.modules() if isinstance(module, nn.Conv2d)
    ][-1]
    convolutions = sum(p.numel() for p in features.parameters())
    most = 1.1 * (convolutions + (channels + 1) * NUM_CLASSES)
    return sum(p.numel() for p in model.parameters()) <= most


def _keeps_convolutions(model: nn.Module, tables: Tables) -> bool:
    assert tables.before is not None
    kept = [p for p in model.parameters() if p.ndim == 4]
    wanted = [p for p in tables.before.get_submodule("features").parameters() if p.ndim == 4]
    found = iter(kept)
    return all(
        any(one.shape == other.shape and torch.equal(one, other) for other in found)
        for one in wanted
    )


def _answers(model: nn.Module, tables: Tables) -> bool:
    with torch.no_grad():
        scores = model(torch.rand(2, 3, 224, 224))
    return tuple(scores.shape) == (2, NUM_CLASSES)


def _by_hand(model: nn.Module) -> nn.Module:
    return nn.Sequential(
        model.get_submodule("features"),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LazyLinear(NUM_CLASSES),
    )


def _drawn_anew(model: nn.Module) -> nn.Module:
    pooled = with_gap_head(model, NUM_CLASSES)
    for module in pooled.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return pooled


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="10-1",
        question="How many bytes of gradient does fc6 of VGG-16 make in a step, weights and "
        "biases in float32?",
        solution=lambda: _fc6(),
        mistakes=(
            Mistake(
                answer=lambda: _fc6(nbytes=1),
                hint="Those are the numbers. Each of them has four bytes.",
            ),
            Mistake(
                answer=lambda: _fc6(biases=0),
                hint="Those are the weights. Biases have gradients too.",
            ),
            Mistake(
                answer=lambda: _fc6(nbytes=8),
                hint="A float32 has four bytes, and you took eight.",
            ),
            Mistake(
                answer=lambda: _fc6(nbytes=2),
                hint="That is half precision. A float32 has four bytes.",
            ),
            Mistake(
                answer=lambda: _fc6() / 10**6,
                hint="Those are megabytes. Asked for are bytes.",
            ),
            Mistake(
                answer=lambda: BYTES * 256 * _fc6(1),
                hint="You multiplied by a batch. The gradients of the images are added up before "
                "anything is sent.",
            ),
        ),
        hints=(
            "A gradient has the shape of its parameter, whatever the batch is.",
            f"fc6 reads {CHANNELS} · {FC_SIDE} · {FC_SIDE} features and gives {HIDDEN_FEATURES}.",
            "Weights and biases, four bytes each.",
        ),
        observe=value,
    ),
    Exercise(
        id="10-2",
        question="Write a function that averages a list of gradients over the ranks, in place, "
        "with an all-reduce for each.",
        solution=lambda: _one_by_one,
        mistakes=(
            Mistake(
                answer=lambda: _one_by_one_divided_by(1),
                hint="Those are sums. The gradient of a mean over the whole batch is the mean of "
                "the ranks' gradients.",
            ),
            Mistake(
                answer=lambda: _one_by_one_divided_by(2),
                hint="Right for two ranks. Divide by the number of ranks.",
            ),
            Mistake(
                answer=lambda: _not_in_place,
                hint="The average is computed and dropped: the gradients are as backward left "
                "them.",
            ),
        ),
        hints=(
            "all_reduce(tensor) puts the sum over all ranks into the tensor, and returns nothing.",
            "A sum over the ranks, divided by their number.",
            "For each gradient: all_reduce(gradient), then gradient /= ranks.",
        ),
        observe=_averaged(counted=False),
    ),
    Exercise(
        id="10-3",
        question="The same with a single all-reduce for all gradients together.",
        solution=lambda: _flat(),
        mistakes=(
            Mistake(
                answer=lambda: _one_by_one,
                hint="The averages are right. The last number of each rank counts the all-reduces: "
                "one is asked for.",
            ),
            Mistake(
                answer=lambda: _flat(copy_back=False),
                hint="The flat copy has the averages; the gradients do not. Copy its parts back.",
            ),
            Mistake(
                answer=lambda: _flat(divided=False),
                hint="Those are sums: divide by the number of ranks.",
            ),
        ),
        hints=(
            "Make one long vector of all gradients.",
            "torch.cat of the flattened gradients; after the all-reduce, split it again.",
            "gradient.copy_(part.view_as(gradient)) puts a part back where it belongs.",
        ),
        observe=_averaged(counted=True),
    ),
    Exercise(
        id="10-4",
        question="Write a function from the sizes of gradients, in the order in which backward "
        "makes them, and a limit, to buckets: one is closed as soon as it has reached the limit.",
        solution=lambda: _filled,
        mistakes=(
            Mistake(
                answer=lambda: _never_above,
                hint="Your buckets are closed before they get too large. DDP's are closed once "
                "they are large enough, so that no message is short.",
            ),
            Mistake(
                answer=lambda: _only_when_above,
                hint="A bucket that has just reached the limit is full.",
            ),
            Mistake(
                answer=lambda: lambda sizes, limit: [[size] for size in sizes],
                hint="One bucket a gradient: that is the naive way again.",
            ),
            Mistake(
                answer=lambda: lambda sizes, limit: [list(sizes)],
                hint="One bucket for all: it is full when backward has ended, and nothing "
                "travels before.",
            ),
            Mistake(
                answer=lambda: lambda sizes, limit: _filled(sizes[::-1], limit),
                hint="The sizes come in the order of backward already: do not turn them round.",
            ),
        ),
        hints=(
            "Keep one open bucket and put every gradient into it.",
            "After each gradient: has the bucket reached the limit? Then open another one.",
            "Take care not to leave an empty bucket at the end.",
        ),
        observe=calls(*((sizes, LIMIT) for sizes in SIZES)),
    ),
    Exercise(
        id="10-5",
        question="Write a function from the times at which buckets are full, and the seconds "
        "that each travels, to the time at which the last one has arrived. They travel one after "
        "the other.",
        solution=lambda: _arrived,
        mistakes=(
            Mistake(
                answer=lambda: _side_by_side,
                hint="There they travel side by side. The link carries one at a time: a bucket may "
                "have to wait for the one before it.",
            ),
            Mistake(
                answer=lambda: lambda ready, taken: ready[-1] + sum(taken),
                hint="There nothing travels before backward has ended. A bucket starts when it is "
                "full.",
            ),
            Mistake(
                answer=lambda: lambda ready, taken: ready[0] + sum(taken),
                hint="There the link never waits. It does when the next bucket is not full yet.",
            ),
            Mistake(
                answer=lambda: lambda ready, taken: ready[-1] + taken[-1],
                hint="There the last bucket never waits. The link may still be busy with "
                "the one before.",
            ),
            Mistake(
                answer=lambda: lambda ready, taken: sum(taken),
                hint="That is the time on the link, as if every bucket were full from the start.",
            ),
            Mistake(
                answer=lambda: lambda ready, taken: sum(ready) + sum(taken),
                hint="The times at which buckets are full are counted from one start: they "
                "do not add up.",
            ),
        ),
        hints=(
            "When does a bucket start? Two things must have happened.",
            "It is full, and the link is free.",
            "free = max(free, full) + seconds, for one bucket after the other.",
        ),
        observe=calls(*zip(READY, TAKEN, strict=True)),
    ),
    Exercise(
        id="10-6",
        question="Which of the three timelines is that of one flat all-reduce?",
        solution=lambda: "c",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="There several short bars begin while backward still goes on.",
            ),
            Mistake(
                answer=lambda: "b",
                hint="That one has a bar for each bucket, one longer than all others: the head's "
                "first layer.",
            ),
        ),
        hints=(
            "How many messages does it send?",
            "When can the first of them start?",
            "One bar, and it begins where backward ends.",
        ),
        observe=value,
    ),
    Exercise(
        id="10-7",
        question="Which measurement would change your mind about why GAP makes VGG-16 scale?",
        solution=lambda: "d",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="More repetitions narrow the interval; they do not tell causes apart.",
            ),
            Mistake(
                answer=lambda: "b",
                hint="A faster link makes every head scale better, whatever the cause is.",
            ),
            Mistake(
                answer=lambda: "c",
                hint="A larger batch gives more work for the same bytes: what the claim predicts, "
                "for any head.",
            ),
        ),
        hints=(
            "The claim: it is the bytes that are sent. What else does GAP change?",
            "Keep the bytes and change the rest, or the other way round.",
            "One of the four has GAP's few bytes in another head.",
        ),
        observe=value,
    ),
    Exercise(
        id="10-8",
        question="Write a function from VGG-16 to a network with the same convolutions and 1000 "
        "classes that sends little more than the gradients of those convolutions.",
        solution=lambda: lambda model: with_gap_head(model, NUM_CLASSES),
        mistakes=(
            Mistake(
                answer=lambda: lambda model: model,
                hint="Its head has hidden layers still, and their gradients are most of all bytes.",
            ),
            Mistake(
                answer=lambda: _drawn_anew,
                hint="It sends little. Its convolutions are others than those it was given.",
            ),
        ),
        hints=(
            "Which layers have the gradients, and which do the work?",
            "What makes one number a channel out of a map has no weights at all.",
            "vgglab.with_gap_head, or a pooling to 1×1, a flatten and one linear layer.",
        ),
        observe=network_that(
            Condition(
                "it gives 1000 scores an image", _answers, "Two images of 224 px give no (2, 1000)."
            ),
            Condition(
                "it has the convolutions as they were",
                _keeps_convolutions,
                "The weights of the convolutions are to stay.",
            ),
            Condition(
                "its gradients are few", _sends_little, "The gradients of the head are too many."
            ),
            of=lambda: narrow_vgg("fc"),
        ),
        others=(lambda: _by_hand,),
    ),
)


def _predict() -> Quiz:
    return Quiz(
        id="10-predict",
        question="Four GPUs train VGG-16 together, each on a quarter of the batch. What limits "
        "how much faster they are?",
        options=(
            Option(
                "The convolutions: they are nearly all of the multiply-adds",
                "They divide among the GPUs as the images do. Work that divides limits nothing.",
                misconception="time-follows-mult-adds",
            ),
            Option(
                "Sending the images to the GPUs",
                "An image of 224 px has 150 thousand bytes, the gradients of VGG-16 have more "
                "than half a billion, at each step.",
                misconception="images-are-what-is-large",
            ),
            Option(
                "Adding up gradients, most of them of a single layer",
                "fc6 does almost no work, but has three quarters of the bytes, and they travel at "
                "each step, whatever the batch is.",
                right=True,
            ),
            Option(
                "Nothing: with a large batch they are four times as fast",
                "The larger the batch, the nearer they come. At the paper's batch they were not.",
                misconception="n-devices-n-times",
            ),
        ),
        difficulty=1,
    )


def _review() -> Quiz:
    return Quiz(
        id="10-review",
        question="Each of two processes averages the loss over its half of the batch. The last "
        "batch has five images: three here, two there. What is wrong with averaging the two "
        "gradients?",
        options=(
            Option(
                "Nothing: DistributedDataParallel averages, and so it should be",
                "It averages processes. Asked for is the mean over images.",
                misconception="ddp-averages-images",
            ),
            Option(
                "Images of the smaller half count more than those of the larger one",
                "Each half counts one half: an image here a sixth, and there a quarter. So each "
                "loss is weighted by its share of the images.",
                right=True,
            ),
            Option(
                "The smaller half has a larger gradient, which overflows",
                "A mean over fewer images is no larger in general.",
                misconception="few-images-large-gradients",
            ),
            Option(
                "The processes get out of step",
                "They make the same number of steps; what they average is the question.",
                misconception="uneven-ranks-get-out-of-step",
            ),
        ),
        difficulty=2,
    )


def _review_overlap() -> Quiz:
    return Quiz(
        id="10-review-2",
        question="Gradients travel while backward goes on. Why is VGG-16's largest one hidden "
        "well, though it is so large?",
        options=(
            Option(
                "It is sent in many buckets of 25 MiB",
                "A gradient is never divided: fc6 is one bucket.",
                misconception="buckets-split-a-gradient",
            ),
            Option(
                "Backward makes it among the first",
                "The head comes first in backward, and nearly all of the work after it: the "
                "convolutions take long enough, if the batch is large enough.",
                right=True,
            ),
            Option(
                "fc6 has few multiply-adds, so it is sent soon",
                "What is sent are bytes, four for each weight. Few multiply-adds make its own "
                "backward short, and the way no shorter.",
                misconception="time-follows-mult-adds",
            ),
            Option(
                "It is hidden in forward",
                "Forward is over before there is any gradient.",
                misconception="gradients-travel-in-forward",
            ),
        ),
        difficulty=2,
    )


def _review_model() -> Quiz:
    return Quiz(
        id="10-review-3",
        question="A model of communication fits the sweep that it was fitted to within a few "
        "percent. What does that say about a step of VGG-16?",
        options=(
            Option(
                "That it is predicted within a few percent too",
                "A step has other sizes, other work at the same time, other parts. Whether the "
                "model still holds is what measurements outside of the fit are for.",
                misconception="a-good-fit-predicts",
            ),
            Option(
                "Little: measurements outside the fit must tell",
                "So the chapter predicts buckets and steps, says the bound before, and shows "
                "every error.",
                right=True,
            ),
            Option(
                "That the sweep had too few sizes",
                "It may have had enough, and the step be another matter.",
                misconception="more-of-the-same-will-tell",
            ),
            Option(
                "That more parameters are needed",
                "More of them fit the sweep better, and say no more about the step.",
                misconception="a-better-fit-predicts-better",
            ),
        ),
        difficulty=3,
    )


QUIZZES: dict[str, Callable[[], Quiz]] = {
    "10-predict": _predict,
    "10-review": _review,
    "10-review-2": _review_overlap,
    "10-review-3": _review_model,
}
