"""Exercises of chapter 02: how far cells see, what stacks cost, and what they can be."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from random import Random

import torch
from torch import nn

from vgglab.course.checking import (
    Condition,
    Exercise,
    Mistake,
    Tables,
    calls,
    gives,
    network_that,
    value,
    value_that,
)
from vgglab.course.quizzes import RIGHT, Option, Quiz, drawn
from vgglab.models.configs import CONFIGS, FC_SIDE
from vgglab.models.network import vgg
from vgglab.receptive_field import ReceptiveField, fields_of, receptive_field
from vgglab.receptive_field.stacks import compose_kernels

IMAGE = 224
DEPTH = 5  # 02-1
LARGE = 11  # 02-4: the first kernel of AlexNet
Layers = Sequence[tuple[int, int]]


def _layers(config: str) -> list[tuple[int, int]]:
    """Return a network of 3×3 up to its last pooling, as (kernel_size, stride)."""
    return [
        (3, 1) if stage else (2, 2)
        for stages in CONFIGS[config].stages
        for stage in (*(True for _ in stages), False)
    ]


_D = _layers("D")
_ALEXNET = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]


# 02-1, 02-2 and 02-4: the recurrence, and the ways in which it goes wrong.
def _size(layers: Layers) -> int:
    size, jump = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * jump
        jump *= stride
    return size


def _without_strides(layers: Layers) -> int:
    return _size([(kernel_size, 1) for kernel_size, _ in layers])


def _stride_first(layers: Layers) -> int:
    size, jump = 1, 1
    for kernel_size, stride in layers:
        jump *= stride
        size += (kernel_size - 1) * jump
    return size


def _strides_added(layers: Layers) -> int:
    size, jump = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * jump
        jump += stride
    return size


def naive_doubling(layers: Layers) -> int:
    """Return the size when every stride multiplies the whole field: a real bug of a real tool."""
    size = 1
    for kernel_size, stride in layers:
        size = size * stride if stride > 1 else size + kernel_size - 1
    return size


# 02-3: weights of a stack.
def _weights(channels: int, kernel_size: int, depth: int) -> int:
    return depth * kernel_size**2 * channels**2


# 02-5: the rows of a cell.
Rows = Callable[[int, int, int, int, int], tuple[int, int]]


def _rows(i: int, size: int, stride: int, padding: int, height: int) -> tuple[int, int]:
    first = i * stride - padding
    return max(first, 0), min(first + size, height) - 1


def _unclipped(i: int, size: int, stride: int, padding: int, height: int) -> tuple[int, int]:
    first = i * stride - padding
    return first, first + size - 1


def _without_padding(i: int, size: int, stride: int, padding: int, height: int) -> tuple[int, int]:
    return _rows(i, size, stride, 0, height)


def _end_left_out(i: int, size: int, stride: int, padding: int, height: int) -> tuple[int, int]:
    first, last = _rows(i, size, stride, padding, height)
    return first, last + 1


def _size_too_small(i: int, size: int, stride: int, padding: int, height: int) -> tuple[int, int]:
    first = max(i * stride - padding, 0)
    return first, min(first + size, height) - 1


def _last_cut_too_early(
    i: int, size: int, stride: int, padding: int, height: int
) -> tuple[int, int]:
    first = i * stride - padding
    return max(first, 0), min(first + size, height - 1)


@cache
def _field_of(config: str) -> int:
    field = receptive_field(vgg(config, device="meta"), (1, 3, IMAGE, IMAGE), "features")
    assert field.size is not None
    return field.size[0]


# 02-7: one kernel for two.
Row = list[float]


def _composed(first: Row, second: Row) -> Row:
    weights = (torch.tensor(row, dtype=torch.float64).view(1, 1, 1, -1) for row in (first, second))
    return list(compose_kernels(*weights).flatten().tolist())


def _valid(first: Row, second: Row) -> Row:
    short, long = sorted((len(first), len(second)))
    return _composed(first, second)[short - 1 : long]


# 02-9: which intervals refute that a stack is at least a point better.
INTERVALS = ((-7.7, -4.2), (-3.2, 1.1), (0.4, 2.7), (-0.3, 0.4))


def _judged(refutes: Callable[[float, float], bool]) -> list[bool]:
    return [refutes(low, high) for low, high in INTERVALS]


# 02-10: an open task.
SEEN, CHANNELS, PARAMETERS = 61, 16, 40_000
TASK = (1, 3, 64, 64)


def _conv(channels: int, kernel_size: int = 3, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(
        channels, CHANNELS, kernel_size, padding=padding, dilation=dilation, device="meta"
    )


def _dilated() -> nn.Module:
    return nn.Sequential(
        _conv(3), nn.ReLU(), nn.MaxPool2d(2),
        _conv(CHANNELS), nn.ReLU(), nn.MaxPool2d(2),
        _conv(CHANNELS, dilation=2), nn.ReLU(),
        _conv(CHANNELS, dilation=4), nn.ReLU(),
        _conv(CHANNELS, dilation=2), nn.ReLU(),
    )  # fmt: skip


def _stacked(convs: int = 7) -> nn.Module:
    parts: list[nn.Module] = [_conv(3), nn.ReLU(), nn.MaxPool2d(2)]
    parts += [_conv(CHANNELS), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(convs):
        parts += [_conv(CHANNELS), nn.ReLU()]
    return nn.Sequential(*parts)


def _one_large_kernel() -> nn.Module:
    return nn.Sequential(_conv(3), nn.MaxPool2d(4), _conv(CHANNELS, kernel_size=15))


def _sees_enough(model: nn.Module, tables: Tables) -> bool:
    """Look at each cell of the output: of the image it sees, or would see without a border."""
    traced = tables(TASK).trace
    fields = fields_of(traced, as_in_eval=True)
    return bool(traced.output_sources) and all(
        _smallest(fields[index]) >= SEEN for index in traced.output_sources
    )


def _smallest(field: ReceptiveField) -> int:
    if field.size is not None:
        return min(field.size)
    boxes = [field.box(i, j) for i, j in product(*map(range, field.map_size))]
    return min(min(box.bottom - box.top, box.right - box.left) for box in boxes)


def _is_small(model: nn.Module, tables: Tables) -> bool:
    return tables(TASK).total_params < PARAMETERS


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="02-1",
        question=f"How many pixels high is the field of a cell after {DEPTH} 3×3 convolutions of "
        "stride 1?",
        solution=lambda: _size([(3, 1)] * DEPTH),
        mistakes=(
            Mistake(
                lambda: 3 * DEPTH,
                "Neighbouring windows overlap. How many new rows does each layer bring?",
            ),
            Mistake(
                lambda: _size([(3, 1)] * (DEPTH + 1)),
                "One layer too many: a pixel of the image sees itself, which is 1 and not 3.",
            ),
            Mistake(
                lambda: _size([(3, 1)] * DEPTH) - 1,
                "Near. What does a cell see before there is any layer?",
            ),
            Mistake(lambda: 3, "This is what it sees of the map before it."),
            Mistake(
                lambda: _size([(3, 1)] * (DEPTH - 1)),
                "One layer too few: the first brings two rows as well.",
            ),
            Mistake(lambda: DEPTH, "That is the number of layers."),
            Mistake(
                lambda: _size([(3, 1)] * DEPTH) ** 2,
                "That is the area of the field. Its height is asked for.",
            ),
            Mistake(
                lambda: 3**DEPTH, "Each layer adds rows to the field, and does not multiply it."
            ),
            Mistake(
                lambda: 2**DEPTH, "Stride 1 halves nothing: each layer adds rows to the field."
            ),
            Mistake(lambda: _size([(3, 1)] * 3), "That is the field after three layers."),
        ),
        hints=(
            "Go backwards from one cell: how many rows of the map before it does it read?",
            "Each layer adds one row above and one below.",
            "1 + 2 · (number of layers).",
        ),
        observe=value,
    ),
    Exercise(
        id="02-2",
        question="Write field_size(layers): the side of the field after such a list of "
        "(kernel_size, stride) as [(3, 1), (2, 2)].",
        solution=lambda: _size,
        mistakes=(
            Mistake(
                lambda: naive_doubling,
                "A stride does not make the field larger that is there. It makes the steps of "
                "later layers larger.",
            ),
            Mistake(
                lambda: _stride_first,
                "The stride of a layer counts for the layers after it, not for itself.",
            ),
            Mistake(
                lambda: _without_strides,
                "After a stride of 2, neighbouring cells are 2 pixels apart. Where is that?",
            ),
            Mistake(
                lambda: lambda layers: _size(layers) - 1,
                "Before any layer a cell sees one pixel, itself.",
            ),
            Mistake(
                lambda: lambda layers: _size([(k + 1, s) for k, s in layers]),
                "A kernel of k adds k − 1 steps, not k: one of its cells is there already.",
            ),
            Mistake(
                lambda: _strides_added,
                "You added the strides up. Steps of 2 in steps of 2 are steps of 4.",
            ),
            Mistake(
                lambda: lambda layers: sum(k for k, _ in layers),
                "Neighbouring windows overlap: a kernel adds less than its side. And what do "
                "strides do?",
            ),
        ),
        hints=(
            "Keep two numbers: the size so far, and how many pixels lie between two cells.",
            "A kernel of k adds k − 1 steps to the size.",
            "size += (kernel_size - 1) * jump, and then jump *= stride.",
        ),
        observe=calls([[(3, 1)] * 3], [[(7, 2), (3, 2), (1, 1), (3, 1)]], [_ALEXNET], [_D]),
    ),
    Exercise(
        id="02-3",
        question="Write stack_weights(channels, kernel_size, depth): the weights, without biases, "
        "of a stack of equal convolutions with as many channels in as out.",
        solution=lambda: _weights,
        mistakes=(
            Mistake(
                lambda: lambda channels, kernel_size, depth: _weights(channels, kernel_size, 1),
                "This is one of the convolutions.",
            ),
            Mistake(
                lambda: lambda c, k, depth: depth * k**2 * c,
                "Each kernel is as deep as its input has channels, and there is one for each "
                "channel that comes out.",
            ),
            Mistake(
                lambda: lambda c, k, depth: _weights(c, k, depth) + depth * c,
                "These are the biases too.",
            ),
            Mistake(
                lambda: lambda c, k, depth: _weights(c, k, 1) ** depth,
                "The layers stand one after the other: their weights are added.",
            ),
            Mistake(
                lambda: lambda c, k, depth: depth * k * c**2, "A kernel has k rows and k columns."
            ),
            Mistake(
                lambda: lambda c, k, depth: depth * k**2 * 2 * c,
                "Channels in and channels out are factors: every one in meets every one out.",
            ),
            Mistake(
                lambda: lambda c, k, depth: depth * k**2,
                "That is one kernel for one channel. How many channels come in and go out?",
            ),
        ),
        hints=(
            "How many weights does one convolution have?",
            "kernel_size² · channels in · channels out.",
            "Add up over the depth.",
        ),
        observe=calls((64, 3, 3), (64, 7, 1), (512, 5, 2)),
    ),
    Exercise(
        id="02-4",
        question=f"How many 3×3 convolutions of stride 1 see as much as one {LARGE}×{LARGE}?",
        solution=lambda: next(n for n in range(1, LARGE) if _size([(3, 1)] * n) == LARGE),
        mistakes=(
            Mistake(
                lambda: -(-LARGE // 3),
                "You divided the sides. But windows of neighbours overlap.",
                lambda n: abs(n - LARGE / 3) < 1,
            ),
            Mistake(
                lambda: LARGE - 1,
                "Each layer adds a row on both sides.",
            ),
            Mistake(
                lambda: -(-(LARGE**2) // 9),
                "You divided the areas. That compares weights, not what is seen.",
            ),
            Mistake(lambda: (LARGE + 1) // 2, "One too many: n layers see 1 + 2n."),
            Mistake(lambda: LARGE, "That is the side of the kernel. Each 3×3 adds two pixels."),
            Mistake(
                lambda: LARGE - 3,
                "The first layer sees 3, and each further one adds two pixels, not one.",
                lambda n: n in (LARGE - 3, LARGE - 2),
            ),
        ),
        hints=(
            "Write down the sizes: one layer 3, two layers 5, ...",
            "n layers see 1 + 2n.",
            f"Solve 1 + 2n = {LARGE}.",
        ),
        observe=value,
    ),
    Exercise(
        id="02-5",
        question="Write rows(i, size, stride, padding, height): the first and the last row of the "
        "image that row i of a map sees, as a pair, both counted from 0 and within the image.",
        solution=lambda: _rows,
        mistakes=(
            Mistake(
                lambda: _unclipped,
                "Rows that the image does not have are padding.",
            ),
            Mistake(
                lambda: _without_padding,
                "Row 0 of the map begins above the image: by how much?",
                lambda rows: rows[1][0] == 96,
            ),
            Mistake(
                lambda: _end_left_out,
                "The second number is one more than the last row that is seen.",
            ),
            Mistake(
                lambda: _size_too_small,
                "Cut off at the end what is outside. You moved the field before you cut it.",
            ),
            Mistake(
                lambda: _last_cut_too_early,
                "Where the image does not end, the last row is one too many: the field begins "
                "at its first.",
            ),
            Mistake(
                lambda: lambda *a: tuple(row + 1 for row in _rows(*a)),
                "You count rows from 1.",
                lambda rows: rows[1] == (6 + 1, 217 + 1) or rows[0][0] == 1,
            ),
        ),
        hints=(
            "First as if the image had no border: where does row 0 begin, where does row i?",
            "It begins at i · stride − padding and has size rows.",
            "Then max(first, 0) and min(last, height − 1).",
        ),
        observe=calls((0, 212, 32, 90, 400), (3, 212, 32, 90, 400), (11, 212, 32, 90, 400)),
    ),
    Exercise(
        id="02-6",
        question="Config C has three convolutions in each of its last three stages, as D has, but "
        "the third is 1×1. How many pixels on a side does a cell of its last map see?",
        solution=lambda: _field_of("C"),
        mistakes=(
            Mistake(
                lambda: _field_of("D"),
                "This is D. What does a 1×1 convolution add?",
            ),
            Mistake(
                lambda: _field_of("A"),
                "This is A, with one convolution less in each of the first two stages.",
            ),
            Mistake(
                lambda: _field_of("D") - 3 * 2,
                "You took off 2 for each 1×1. But a 3×3 adds 2 steps, and steps get longer.",
            ),
            Mistake(lambda: _field_of("E"), "This is E."),
            Mistake(lambda: IMAGE, "This is the side of the image. A cell need not see all of it."),
            Mistake(lambda: 2**5, "This is the distance between two cells, the stride."),
            Mistake(lambda: IMAGE // 2**5, "This is the side of the map."),
            Mistake(
                lambda: _field_of("D") - 2 * 2**4,
                "You took off too much or too little: a 3×3 in stage s adds 2 steps of 2^(s − "
                "1) pixels.",
                lambda n: 156 < n < 212,
            ),
            Mistake(
                lambda: 1 + 2 * 10,
                "That is without the poolings: after each of them steps are twice as long.",
                lambda n: 20 <= n <= 31,
            ),
        ),
        hints=(
            "A kernel of 1 adds no step.",
            "So C sees as much as another column of the table, which has no 1×1.",
            'receptive_field(vgg("C"), (1, 3, 224, 224), "features") of vgglab says it.',
        ),
        observe=value,
    ),
    Exercise(
        id="02-7",
        question="Write compose(first, second): the one row of weights that does what two rows of "
        "weights do, one after the other, without a ReLU.",
        solution=lambda: _composed,
        mistakes=(
            Mistake(
                lambda: lambda first, second: _composed(first, second[::-1]),
                "One of the rows is the wrong way round: follow a single pixel through both.",
            ),
            Mistake(
                lambda: lambda a, b: [x * y for x, y in zip(a, b, strict=False)],
                "Three weights after three weights see five pixels. How many have you got?",
            ),
            Mistake(
                lambda: lambda a, b: [x + y for x, y in zip(a, b, strict=False)],
                "The second row reads what the first has made: products, not sums.",
            ),
            Mistake(
                lambda: lambda a, b: _composed(a, b)[(len(b) - 1) // 2 :][: len(a)],
                "You cut the ends off.",
            ),
            Mistake(
                lambda: lambda a, b: _composed(a, b)[::-1],
                "The row is the wrong way round: place p + q comes from place p of the first "
                "and q of the second.",
            ),
            Mistake(
                lambda: lambda a, b: [*a, *b],
                "You put the rows next to each other. The second reads what the first has made.",
            ),
            Mistake(
                lambda: lambda a, b: _valid(a, b),
                "You kept the places alone where the rows overlap whole. The ends belong to it "
                "too.",
            ),
        ),
        hints=(
            "Which pixels does weight q of the second row reach through weight p of the first?",
            "The pixel at p + q, with the product of both weights.",
            "whole[p + q] += first[p] * second[q], for all p and q.",
        ),
        observe=calls(
            ([1.0, 2.0, 3.0], [1.0, 0.0, -1.0]),
            ([2.0, 5.0], [1.0, 3.0, 4.0]),
            ([0.5, 1.0, 0.25], [4.0, 2.0, 8.0]),
        ),
    ),
    Exercise(
        id="02-8",
        question="Two dots are 8 or 12 pixels apart. Three 3×3 convolutions with GAP are trained "
        "to tell which: once so that a cell sees 7 pixels, once so that it sees both dots. Which "
        "test accuracies do they reach? A pair.",
        solution=lambda: (1 / 2, 1.0),
        mistakes=(
            Mistake(
                lambda: (1.0, 1.0),
                "The first should not be able to. How many pixels does a cell of yours see, and "
                "are the dots well inside the image?",
            ),
            Mistake(
                lambda: (1 / 2, 1 / 2),
                "The second is not sure. Does a cell see both dots of the wider pair, and has it "
                "been trained long enough?",
            ),
            Mistake(
                lambda: (1.0, 1 / 2),
                "The other way round: first the network whose cells see 7 pixels.",
                lambda pair: 0.9 <= pair[0] <= 1 and 0.35 <= pair[1] <= 0.65,
            ),
            Mistake(
                lambda: (50.0, 100.0),
                "These are percent. Answer with shares, as `accuracy` returns them.",
                lambda pair: max(pair) > 1 and 0.35 <= pair[0] / 100 <= 0.65 and pair[1] >= 90,
            ),
            Mistake(
                lambda: (7, 15),
                "Those are sizes of fields. The accuracies are asked for.",
                lambda pair: min(pair) > 1,
            ),
            Mistake(
                lambda: (0.7, 0.8),
                "Neither a guess nor a certainty: were both trained as `accuracy` does it, and "
                "tested on other images?",
                lambda pair: 0.65 < pair[0] < 1 and pair[1] < 0.9,
            ),
        ),
        hints=(
            "With GAP the logits are sums over cells. What differs between the two classes in a "
            "cell that sees one dot at most?",
            "Dilations d bring a cell to 1 + 2 · (d1 + d2 + d3) pixels.",
            "Dilations 1, 2, 4 see 15 pixels, with the same number of weights.",
        ),
        observe=value_that(
            ("a cell sees 7 pixels: about a half", lambda pair: 0.35 <= pair[0] <= 0.65),
            ("a cell sees both dots: at least nine tenths", lambda pair: 0.9 <= pair[1] <= 1),
        ),
    ),
    Exercise(
        id="02-9",
        question="A page claims that at the same cost a stack of 3×3 is at least one point more "
        "accurate than a 7×7. Which 95 % intervals of the difference, stack minus 7×7 in points, "
        f"refute it: {', '.join(f'[{a:+}, {b:+}]' for a, b in INTERVALS)}? Four booleans.",
        solution=lambda: _judged(lambda low, high: high < 1),
        mistakes=(
            Mistake(
                lambda: _judged(lambda low, high: high < 0),
                "The claim is not that the stack is better, but that it is better by a point. An "
                "interval around 0 can refute that.",
            ),
            Mistake(
                lambda: _judged(lambda low, high: low < 1),
                "An interval that reaches over one point does not refute the claim: the true "
                "difference may lie there. It only fails to show it.",
            ),
            Mistake(
                lambda: _judged(lambda low, high: (low + high) / 2 < 1),
                "You judged by the middle. What the interval leaves open counts.",
            ),
            Mistake(
                lambda: _judged(lambda low, high: low <= 0 <= high),
                "You marked those in which 0 lies. The claim speaks of another number.",
            ),
        ),
        hints=(
            "Which differences does each interval leave open?",
            "The claim is refuted if none of them is as large as it says.",
            "Look at the upper ends.",
        ),
        observe=value,
    ),
    Exercise(
        id="02-10",
        question=f"Build a network that turns an image of 64×64 into {CHANNELS} maps of 16×16, "
        f"each cell seeing at least {SEEN}×{SEEN} pixels, with fewer than {PARAMETERS:,} "
        "parameters.",
        solution=_dilated,
        mistakes=(
            Mistake(
                lambda: _stacked(3),
                "Each convolution at stride 4 adds 8 pixels. How many do you need?",
            ),
            Mistake(
                _one_large_kernel,
                "One large kernel sees enough and costs too much. Stack small ones, or spread "
                "their taps.",
            ),
            Mistake(
                lambda: nn.Sequential(_stacked(), nn.MaxPool2d(2)),
                "The last map is too small: two halvings are enough.",
            ),
        ),
        hints=(
            "Two poolings bring 64 to 16, and every step to 4 pixels.",
            "A 3×3 convolution with dilation d adds 2·d steps.",
            "vgglab.summary prints the receptive field of every layer: try, and read.",
        ),
        observe=network_that(
            gives(
                TASK,
                (1, CHANNELS, 16, 16),
                "Two halvings bring 64 to 16; all else has to keep the size of the map.",
            ),
            Condition(
                f"a cell sees {SEEN} px or more",
                _sees_enough,
                "What counts is what the output sees. A branch that does not reach it adds "
                "nothing; vgglab.receptive_fields prints the field after each layer.",
            ),
            Condition(
                f"fewer than {PARAMETERS:,} parameters",
                _is_small,
                "Steps get longer after a pooling and with dilation, at no price in parameters.",
            ),
        ),
        others=(_stacked,),
    ),
)


def _predict(draw: Random | None = None) -> Quiz:
    def answers(config: str, cells: int) -> dict[str, int]:
        return {
            RIGHT: _field_of(config),
            "fields-tile-the-image": IMAGE // FC_SIDE,
            "strides-do-not-widen-fields": 1 + 2 * len(CONFIGS[config].convs()),
            "a-pooling-doubles-the-field": naive_doubling(_layers(config)),
        }

    config, cells = drawn(draw, ("D", FC_SIDE), product("ABDE", range(6, 13)), answers)
    image = cells * IMAGE // FC_SIDE
    fields = answers(config, cells)
    return Quiz(
        id="02-predict",
        question=(
            f"VGG-{CONFIGS[config].weight_layers} turns an image of {image}×{image} into a map of "
            f"{cells}×{cells}. How many pixels on a side can one cell of that map depend on?"
        ),
        options=(
            Option(
                f"{fields['fields-tile-the-image']}",
                "This is the distance between two cells, the stride. Their fields overlap.",
                misconception="fields-tile-the-image",
            ),
            Option(
                f"{fields['strides-do-not-widen-fields']}",
                f"This is {len(CONFIGS[config].convs())} convolutions of 3×3 without the "
                "poolings. After a pooling each step is twice as long.",
                misconception="strides-do-not-widen-fields",
            ),
            Option(
                f"{fields[RIGHT]}",
                "Every layer adds its steps, and five times a step gets twice as long.",
                right=True,
            ),
            Option(
                f"{fields['a-pooling-doubles-the-field']}",
                "This doubles the whole field at every pooling. A pooling of 2×2 adds one step; "
                "it is the later steps that get longer.",
                misconception="a-pooling-doubles-the-field",
            ),
        ),
        difficulty=2,
    )


def _review() -> Quiz:
    stack, one = _weights(64, 3, 3), _weights(64, 7, 1)
    return Quiz(
        id="02-review",
        question=(
            "Somebody puts one 7×7 convolution in place of three 3×3 with ReLUs between, as "
            "many channels as before. What changes?"
        ),
        options=(
            Option(
                "A cell sees more: 7×7 in place of 3×3.",
                "The stack sees 7×7 as well. A cell of its third layer reads 3 rows of the second, "
                "5 of the first, 7 of the image.",
                misconception="a-stack-sees-one-kernel",
            ),
            Option(
                "Nothing but the number of layers: both can be the same function.",
                "Not even without the ReLUs: most 7×7 kernels are no stack of as many channels.",
                misconception="a-stack-is-one-kernel",
            ),
            Option(
                f"The field stays, the weights become {one / stack:.2f} times as many, and two "
                "ReLUs are gone.",
                "49·C² weights in place of 27·C². What the ReLUs were worth has to be measured.",
                right=True,
            ),
            Option(
                "There are fewer weights, because three layers have become one.",
                "What counts is the sum of the kernels' areas: 49 against 3 · 9.",
                misconception="fewer-layers-fewer-weights",
            ),
            Option(
                "The non-linearity is lost that the max pooling between the layers gave.",
                "There is no pooling within a stack. What stands between the layers are ReLUs.",
                misconception="poolings-are-the-non-linearity",
            ),
        ),
        difficulty=2,
    )


def _confounded() -> Quiz:
    return Quiz(
        id="02-review-2",
        question=(
            "A 7×7 convolution with BatchNorm is compared with three 3×3 and one BatchNorm after "
            "the last. The 7×7 is more accurate. What has been shown about the kernels?"
        ),
        options=(
            Option(
                "A 7×7 kernel is better than three 3×3",
                "The two differ in more than kernels: one is normalised after every convolution, "
                "the other after every third.",
                misconception="the-named-difference-is-the-cause",
            ),
            Option(
                "Nothing yet: normalise after each 3×3 as well",
                "That arm differs from the 7×7 in its kernels and their ReLUs. How much of the gap "
                "is left there can be ascribed to them.",
                right=True,
            ),
            Option(
                "Nothing, for there were too few seeds",
                "Seeds make the difference between these two more certain. They do not tell what "
                "it comes from.",
                misconception="more-of-the-same-will-tell",
            ),
            Option(
                "It is fair: both have one BatchNorm in each stack",
                "One for each stack is one for each convolution here and one for three there, and "
                "three layers in a row without normalisation are harder to train.",
                misconception="the-named-difference-is-the-cause",
            ),
        ),
        difficulty=3,
    )


def _edge() -> Quiz:
    return Quiz(
        id="02-review-3",
        question=(
            "Each network was trained at two learning rates and is judged at the better one. For "
            "one network that is the higher, for the others the lower. What may be said?"
        ),
        options=(
            Option(
                "Each is at its best, since each has its own rate",
                "A best rate at the edge of what was tried may lie beyond it. With two rates there "
                "are only edges.",
                misconception="the-best-of-what-was-tried-is-the-best",
            ),
            Option(
                "They should all be compared at one rate, which is fair",
                "One rate for all suits some of them. Which network is ahead may then depend on "
                "the rate that was picked.",
                misconception="one-setting-for-all-is-fair",
            ),
            Option(
                "None is known to be at its best: the grid is too small",
                "Only when the rates on both sides are worse has the best one been bracketed.",
                right=True,
            ),
            Option(
                "More seeds would show which rate is best",
                "They would show which of these two is. The better one may not be among them.",
                misconception="more-of-the-same-will-tell",
            ),
        ),
        difficulty=3,
    )


def _inside() -> Quiz:
    return Quiz(
        id="02-review-4",
        question=(
            "In a picture of gradients the corners of the field's box are black. What does "
            "that say of the pixels there?"
        ),
        options=(
            Option(
                "The cell cannot depend on them, so the box was too large",
                "The box is right: a change there can reach the cell. Outside it none can.",
                misconception="what-counts-little-is-not-seen",
            ),
            Option(
                "They count little for these images and weights, and could count",
                "The field is what can matter; the gradient is what does, for one network and some "
                "images. Training may change it.",
                right=True,
            ),
            Option(
                "The network cannot learn to use them: nothing comes back from there",
                "Little comes back now. Small steps move the weights all the same, and after "
                "training the picture is another.",
                misconception="small-gradients-cannot-learn",
            ),
        ),
        difficulty=2,
    )


QUIZZES: dict[str, Callable[..., Quiz]] = {
    "02-predict": _predict,
    "02-review": _review,
    "02-review-2": _confounded,
    "02-review-3": _edge,
    "02-review-4": _inside,
}
