"""Exercises of chapter 09: memory, work and time of VGG, and what bounds them."""

from collections.abc import Callable, Sequence
from functools import cache
from math import ceil, log

from vgglab.course.checking import Exercise, Mistake, calls, value, value_that
from vgglab.course.quizzes import Option, Quiz
from vgglab.lab.memory import largest, predicted_memory
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES
from vgglab.models.network import VGG, vgg
from vgglab.summary import summary

FC6 = CONFIGS["D"].convs()[-1].out_channels * FC_SIDE**2, HIDDEN_FEATURES
GIB = 2**30


# 09-1: the numbers that a step with Adam holds of each parameter.
@cache
def _parameters() -> int:
    return summary(vgg("D", device="meta"), (1, 3, 224, 224)).total_params


# 09-2: multiply-adds for each byte of a linear layer.
def _intensity(batch: int, inputs: int, outputs: int) -> float:
    moved = 4 * (inputs * outputs + batch * (inputs + outputs))
    return batch * inputs * outputs / moved


# 09-4: the least batch at which fc6 is as high as the level roof.
def _balance(product: float, copy: float, rounded: Callable[[float], int] = ceil) -> int:
    inputs, outputs = FC6
    # batch * in * out / (4 * (in * out + batch * (in + out))) >= product / copy, for the batch
    work, ratio = inputs * outputs, product / copy
    return rounded(4 * ratio * work / (work - 4 * ratio * (inputs + outputs)))


# 09-5: a step's multiply-adds if some stages are computed again.
def _step(work: Sequence[int], again: Sequence[bool]) -> int:
    return 3 * sum(work) + sum(w for w, yes in zip(work, again, strict=True) if yes)


# 09-7: what two narrow networks learn and take. About what they do, so that no check trains them.
_GUESSED = log(10)  # the loss of a network that has learnt nothing of ten classes
_KEPT, _AGAIN = 22_000_000, 15_000_000
_LEARNT = _GUESSED / 4


def _have_learnt(pairs: Sequence[tuple[float, float]]) -> bool:
    return len(pairs) == 2 and all(0 <= loss < 0.6 * _GUESSED for loss, _ in pairs)


def _end_alike(pairs: Sequence[tuple[float, float]]) -> bool:
    (kept, _), (again, _) = pairs
    return abs(kept - again) <= 0.02 * kept


def _take_less(pairs: Sequence[tuple[float, float]]) -> bool:
    (_, kept), (_, again) = pairs
    return 0.4 * kept < again < 0.9 * kept


# 09-8: the largest batch.
@cache
def _network(config: str) -> VGG:
    return vgg(config, device="meta").train()


@cache
def _needs(config: str, side: int, batch: int, optimizer: str | None = "adam") -> int:
    return predicted_memory(_network(config), (batch, 3, side, side), optimizer).total


def _largest_batch(config: str, side: int, limit: int) -> int:
    return largest(lambda batch: _needs(config, side, batch) <= limit)


def _from_an_estimate(config: str, side: int, limit: int) -> int:
    """Two large batches give the price of an image; from there it is a few steps."""
    first = _needs(config, side, 32)
    each = (_needs(config, side, 64) - first) / 32
    batch = max(1, 32 + int((limit - first) / each))
    while batch and _needs(config, side, batch) > limit:
        batch -= 1
    while _needs(config, side, batch + 1) <= limit:
        batch += 1
    return batch


def _without_the_optimizer(config: str, side: int, limit: int) -> int:
    return largest(lambda batch: _needs(config, side, batch, "sgd") <= limit)


def _in_inference(config: str, side: int, limit: int) -> int:
    return largest(lambda batch: _needs(config, side, batch, None) <= limit)


def _in_proportion(config: str, side: int, limit: int) -> int:
    return limit // _needs(config, side, 1)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="09-1",
        question="How many numbers do weights, gradients and Adam's state of VGG-16 have together?",
        solution=lambda: 4 * _parameters(),
        mistakes=(
            Mistake(
                answer=_parameters,
                hint="Those are the weights. A training step holds more of each.",
            ),
            Mistake(
                answer=lambda: 2 * _parameters(),
                hint="Weights and gradients are counted. Adam keeps something of each weight too.",
            ),
            Mistake(
                answer=lambda: 3 * _parameters(),
                hint="Momentum would keep one number of each weight. Adam keeps more than one.",
            ),
            Mistake(
                answer=lambda: 16 * _parameters(),
                hint="Those are bytes in float32. Asked for is how many numbers there are.",
            ),
        ),
        hints=(
            "What has a step of each weight, besides the weight?",
            "Adam keeps a mean of the gradients and a mean of their squares.",
            "Four numbers of each of the 138 million parameters.",
        ),
        observe=value,
    ),
    Exercise(
        id="09-2",
        question="Write a function from the batch, inputs and outputs of a linear layer without "
        "bias to its multiply-adds for each byte that is moved, in float32.",
        solution=lambda: _intensity,
        mistakes=(
            Mistake(
                answer=lambda: (
                    lambda batch, inputs, outputs: 4 * _intensity(batch, inputs, outputs)
                ),
                hint="Those are multiply-adds for each number. A number in float32 is several "
                "bytes.",
            ),
            Mistake(
                answer=lambda: (
                    lambda batch, inputs, outputs: 2 * _intensity(batch, inputs, outputs)
                ),
                hint="A multiplication with its addition counts once here, not twice.",
            ),
            Mistake(
                answer=lambda: lambda batch, inputs, outputs: batch / 4,
                hint="The weights are moved there, and nothing else. What does the layer read and "
                "write besides?",
            ),
            Mistake(
                answer=lambda: (
                    lambda batch, inputs, outputs: (
                        batch
                        * inputs
                        * outputs
                        / (4 * (batch * inputs * outputs + batch * (inputs + outputs)))
                    )
                ),
                hint="You read the weights once for each image. They serve the whole batch.",
            ),
        ),
        hints=(
            "How many weights are there, and how often is each multiplied in a batch?",
            "Weights and input are read once, the output is written once.",
            "batch · in · out multiply-adds; 4 · (in · out + batch · (in + out)) bytes.",
        ),
        observe=calls((1, *FC6), (64, *FC6), (8, 10, 20)),
    ),
    Exercise(
        id="09-3",
        question="Write a function from multiply-adds for each byte, and the two roofs of a "
        "device, to the multiply-adds a second that a layer can reach.",
        solution=lambda: lambda intensity, product, copy: min(product, intensity * copy),
        mistakes=(
            Mistake(
                answer=lambda: lambda intensity, product, copy: max(product, intensity * copy),
                hint="The layer has to stay below both roofs.",
            ),
            Mistake(
                answer=lambda: lambda intensity, product, copy: intensity * copy,
                hint="That is the slope alone: with enough work for each byte it passes what the "
                "device can compute.",
            ),
            Mistake(
                answer=lambda: lambda intensity, product, copy: min(product, copy / intensity),
                hint="The more work a byte brings, the more multiply-adds come with the bytes of "
                "a second.",
            ),
        ),
        hints=(
            "How many multiply-adds come with the bytes that arrive in a second?",
            "There are two bounds; the lower one holds.",
            "intensity · copy, but no more than product.",
        ),
        observe=calls((0.25, 1000.0, 100.0), (50.0, 1000.0, 100.0), (10.0, 1000.0, 100.0)),
    ),
    Exercise(
        id="09-4",
        question="Write a function from the two roofs of a device to the least batch with which "
        "fc6, in float32, is no longer bound by the copy.",
        solution=lambda: _balance,
        mistakes=(
            Mistake(
                answer=lambda: lambda product, copy: _balance(product, copy, int),
                hint="With that batch it is still below: the first whole number that is enough is "
                "asked for.",
            ),
            Mistake(
                answer=lambda: lambda product, copy: ceil(4 * product / copy),
                hint="Near: that leaves out what input and output move, which grows with the "
                "batch.",
            ),
            Mistake(
                answer=lambda: lambda product, copy: ceil(product / copy),
                hint="A float32 is several bytes, so that a byte of weights brings less than one "
                "multiply-add an image.",
            ),
        ),
        hints=(
            "Where do slope and level meet? At product / copy multiply-adds for each byte.",
            "Set your function of 09-2 equal to that, for fc6's inputs and outputs.",
            "Or try batches from 1 upwards until 09-2 gives enough.",
        ),
        observe=calls((1000.0, 100.0), (30e12, 1e12), (20e12, 1e11)),
    ),
    Exercise(
        id="09-5",
        question="Write a function from the multiply-adds of the stages' forward passes, and "
        "whether each is computed again, to those of a training step.",
        solution=lambda: _step,
        mistakes=(
            Mistake(
                answer=lambda: lambda work, again: 3 * sum(work),
                hint="That is a step that keeps all its maps.",
            ),
            Mistake(
                answer=lambda: (
                    lambda work, again: (
                        _step(work, again)
                        + 2 * sum(w for w, yes in zip(work, again, strict=True) if yes)
                    )
                ),
                hint="Only the forward pass of a stage is made again, not its backward pass.",
            ),
            Mistake(
                answer=lambda: lambda work, again: _step(work, again) - sum(work),
                hint="A backward pass has two products of the forward's size: one for the "
                "gradient of the input, one for that of the weights.",
            ),
            Mistake(
                answer=lambda: lambda work, again: _step(work, [not yes for yes in again]),
                hint="Those are the stages that keep their maps.",
            ),
        ),
        hints=(
            "How many products of its forward's size has a layer in a step without checkpoints?",
            "Three: one forward, two backward. And a stage that is computed again?",
            "Three times all, and once more those that are computed again.",
        ),
        observe=calls(([10, 20, 40], [True, True, False]), ([7], [False]), ([5, 6, 8], [True] * 3)),
    ),
    Exercise(
        id="09-6",
        question="Which measurement could have refuted that the copy of its weights bounds fc6's "
        "time with one image?",
        solution=lambda: "b",
        mistakes=(
            Mistake(
                answer=lambda: "a",
                hint="A faster device of both kinds shortens it whichever bound it is.",
            ),
            Mistake(
                answer=lambda: "c",
                hint="Those make the samples scatter less. Why they are what they are, they do "
                "not tell.",
            ),
            Mistake(
                answer=lambda: "d",
                hint="The convolutions may be bound by something else; fc6's reason is asked for.",
            ),
        ),
        hints=(
            "Let the work grow, and the bytes of the weights stay.",
            "If bytes decide, what happens to the time when the work doubles?",
            "Which of the four changes the one and not the other?",
        ),
        observe=value,
    ),
    Exercise(
        id="09-7",
        question="Train a narrow VGG with all maps kept and with one a stage, from the same start. "
        "What are the last loss and the bytes of a step of each, as two pairs?",
        solution=lambda: ((_LEARNT, _KEPT), (_LEARNT, _AGAIN)),
        mistakes=(
            Mistake(
                answer=lambda: ((_LEARNT, _KEPT), (_LEARNT, _KEPT)),
                hint="Both take the same. Was the second one Checkpointed, and a training step "
                "tracked? A forward pass alone keeps nothing for later.",
                applies=lambda pairs: (
                    _have_learnt(pairs) and abs(pairs[1][1] / pairs[0][1] - 1) < 0.01
                ),
            ),
            Mistake(
                answer=lambda: ((_LEARNT, _KEPT), (_LEARNT / 8, _AGAIN)),
                hint="The second one ends far lower. Checkpointed shares the weights of the "
                "network that it is given: was that one trained already?",
                applies=lambda pairs: _take_less(pairs) and 0 <= pairs[1][0] < 0.7 * pairs[0][0],
            ),
            Mistake(
                answer=lambda: ((_LEARNT, _AGAIN), (_LEARNT, _KEPT)),
                hint="The second one takes more. Are the two the other way round?",
                applies=lambda pairs: _take_less(pairs[::-1]),
            ),
            Mistake(
                answer=lambda: ((_GUESSED, _KEPT), (_GUESSED, _AGAIN)),
                hint="log(10) is the loss of a network that guesses. Is that the last epoch's, "
                "after all of the recipe?",
                applies=lambda pairs: (
                    _take_less(pairs) and min(loss for loss, _ in pairs) > 0.9 * _GUESSED
                ),
            ),
            Mistake(
                answer=lambda: ((_LEARNT, _KEPT), (0.8 * _LEARNT, _AGAIN)),
                hint="The losses differ, though what is computed again is the same map. Did both "
                "begin with the same weights, and train by the same recipe?",
                applies=lambda pairs: _take_less(pairs) and not _end_alike(pairs),
            ),
        ),
        hints=(
            "What is computed again from the same map with the same weights is the same map.",
            "narrow() makes the same start each time: train narrow(), and Checkpointed(narrow()).",
            "For each: fit(network, images, recipe)[-1].train_loss, then "
            'tracked_memory(network, (64, 1, 32, 32), "sgd").',
        ),
        observe=value_that(
            ("two networks that have learnt", _have_learnt),
            ("which end at the same loss", _end_alike),
            ("and the second in less memory", _take_less),
        ),
    ),
    Exercise(
        id="09-8",
        question="Write a function from a configuration, a side and a limit in bytes to the "
        "largest batch that a training step with Adam holds within the limit.",
        solution=lambda: _largest_batch,
        mistakes=(
            Mistake(
                answer=lambda: _without_the_optimizer,
                hint="So many fit with plain SGD. Adam keeps two numbers of each weight.",
            ),
            Mistake(
                answer=lambda: _in_inference,
                hint="So many fit without autograd. A training step keeps the maps.",
            ),
            Mistake(
                answer=lambda: _in_proportion,
                hint="You divided by the need of one image. Weights, gradients and state are paid "
                "once, whatever the batch.",
            ),
        ),
        hints=(
            "predicted_memory(network, input_size, 'adam').total is in bytes.",
            "More images never need less: double the batch until it is too large, then halve the "
            "interval.",
            "Or take two large batches, compute the price of an image, and go on from there.",
        ),
        observe=calls(("A", 224, 4 * GIB), ("D", 224, 8 * GIB)),
        others=(lambda: _from_an_estimate,),
    ),
)


def _predict() -> Quiz:
    return Quiz(
        id="09-predict",
        question="A training step of VGG-16 with Adam, on one image of 224 px. What takes the "
        "largest part of the memory?",
        options=(
            Option(
                "The maps that are kept for the backward pass",
                "With many images they do. Of one image they are a small part of what a step "
                "takes.",
                misconception="maps-are-the-memory",
            ),
            Option(
                "The weights, which are the network",
                "They are there once. Something else is there of each weight, and more than once.",
                misconception="weights-are-the-memory",
            ),
            Option(
                "What the optimiser keeps from step to step",
                "Adam keeps two numbers of each weight: as much as weights and gradients together.",
                right=True,
            ),
            Option(
                "The image and the logits",
                "They are the smallest part of all.",
                misconception="images-are-what-is-large",
            ),
        ),
        difficulty=1,
    )


def _review() -> Quiz:
    return Quiz(
        id="09-review",
        question="fc6 has most of the parameters and less than one in a hundred of the "
        "multiply-adds. With which step can it take a large part of the time all the same?",
        options=(
            Option(
                "Inference on a large batch, since all of its weights are then at work at once",
                "Then each weight that is read serves many images, and the work decides: fc6 has "
                "little.",
                misconception="more-weights-more-time",
            ),
            Option(
                "A training step on one image, which pays for all weights and gradients",
                "The weights are read, a gradient as large is written, and the optimiser goes "
                "through both: once a step, whatever the batch, and here for one image.",
                right=True,
            ),
            Option(
                "With none: time follows multiply-adds",
                "Only where there are enough of them for each byte that is moved.",
                misconception="time-follows-mult-adds",
            ),
            Option(
                "Evaluation on a larger image, which makes its work grow",
                "With adaptive pooling before it, fc6 has the same work for every image.",
                misconception="fc-work-grows-with-the-image",
            ),
        ),
        difficulty=2,
    )


def _review_roofs() -> Quiz:
    return Quiz(
        id="09-review-2",
        question="A layer lies far below both roofs of its device. What follows?",
        options=(
            Option(
                "It is bound by memory",
                "Then it would lie near the slope.",
                misconception="one-of-two-bounds-holds",
            ),
            Option(
                "It is bound by arithmetic",
                "Then it would lie near the level.",
                misconception="one-of-two-bounds-holds",
            ),
            Option(
                "Neither bound explains its time",
                "Something else does, such as too little work at once or an unsuitable algorithm. "
                "The roofs say what cannot be exceeded, not that it is reached.",
                right=True,
            ),
            Option(
                "The measurement must be wrong here",
                "Above a roof it would be, and is refused. Below is where layers lie.",
                misconception="below-the-roof-is-an-error",
            ),
        ),
        difficulty=2,
    )


def _review_estimates() -> Quiz:
    return Quiz(
        id="09-review-3",
        question="A table's “Estimated Total Size” for one image is below what a card has. Will a "
        "training step fit?",
        options=(
            Option(
                "Yes: the table adds up input, maps and weights, so all is in it",
                "A step has gradients and the optimiser's state too, and more images than one.",
                misconception="a-table-tells-what-training-takes",
            ),
            Option(
                "Not known: it leaves parts out, and counts others in vain",
                "Gradients, optimiser and batch are not in it, and maps that nobody keeps are: "
                "it is no bound on either side.",
                right=True,
            ),
            Option(
                "Yes, if the batch is multiplied in",
                "The maps then grow as they should, but weights do not come once an image, and "
                "gradients and state are still missing.",
                misconception="a-table-tells-what-training-takes",
            ),
            Option(
                "No: such a table is always too low",
                "For a forward pass without autograd it is too high: maps are freed as soon as "
                "nobody reads them.",
                misconception="estimates-are-too-low",
            ),
        ),
        difficulty=2,
    )


QUIZZES: dict[str, Callable[[], Quiz]] = {
    "09-predict": _predict,
    "09-review": _review,
    "09-review-2": _review_roofs,
    "09-review-3": _review_estimates,
}
