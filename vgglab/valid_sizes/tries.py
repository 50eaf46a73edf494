"""Sizes to try where they cannot be worked out: from messages, from code and from usage."""

import re
from itertools import product
from math import lcm

from torch import nn

from vgglab.tracing import Trace
from vgglab.tracing.operations import Kind
from vgglab.valid_sizes.intervals import Interval, ValidSizes, to_intervals
from vgglab.valid_sizes.layouts import Map
from vgglab.valid_sizes.propagation import Propagation
from vgglab.valid_sizes.retraces import retrace

MOST_STAGES = 6
"""How many stages may each want a multiple of their own."""


def nearest_multiple(
    model: nn.Module, trace: Trace, given: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return the multiple nearest to a size for which code ends that says what must be divisible.

    Windows and grids of several stages say so one after the other, each of its own map.
    """
    size, step = given, 1
    for _ in range(MOST_STAGES):
        if trace.failure is None:
            return size
        said = re.search(
            r"(\d+)\)? (?:must|should) be (?:divisible by|a multiple of) (?:[a-z_]+ )*\(?(\d+)",
            trace.failure.message,
        )
        if trace.failure.op is not None and trace.failure.op.kind is Kind.BROADCAST and step > 1:
            step *= 2  # an odd map was halved, and its halves do not meet
        elif trace.failure.op is None and said is not None and int(said[1]) * int(said[2]):
            stride = max(round(size[-1] / int(said[1])), 1)
            step = lcm(step, stride * int(said[2]))
        else:
            return None
        size = tuple(max(round(side / step), 1) * step for side in given)
        trace = retrace(model, trace, size)
    return None


def insisted_sizes(trace: Trace, propagation: Propagation) -> list[ValidSizes]:
    """Return the sizes for which the last map has a side that the code seems to insist on."""
    failure, last = trace.failure, trace.ops[-1] if trace.ops else None
    layout = propagation.layouts.get(last.index) if last else None
    if failure is None or failure.op is not None or not isinstance(layout, Map):
        return []
    words = failure.message + (failure.line.code if failure.line else "")
    found = []
    for number in dict.fromkeys(re.findall(r"(?:==|must be|should be) ?(\d+)", words)):
        for axis, sides in layout.sides.items():
            fits = list(propagation.fits)
            fits[axis] = fits[axis] & (sides == int(number))
            intervals = tuple(to_intervals(propagation.sizes, fit) for fit in fits)
            found += [ValidSizes(intervals, names=propagation.names)] if all(intervals) else []
    return found


def as_the_code_says(
    model: nn.Module, trace: Trace, sizes: ValidSizes, given: tuple[int, ...]
) -> ValidSizes:
    """Return the sizes that code lets pass that also looks at the size, as a ViT's does.

    The ends of the intervals are tried or, if they do not run, the neighbours of the given size.
    """

    def run(*sides: list[int]) -> list[bool]:
        tries = {tuple(side) for side in sides if tuple(side) in sizes} - {given}
        return [retrace(model, trace, side).failure is None for side in sorted(tries)]

    around = [
        next(i for i in intervals if i.first <= side and (i.last is None or side <= i.last))
        for side, intervals in zip(given, sizes.axes, strict=True)
    ]
    if all(run([i.first for i in around], [i.last or i.first for i in around])):
        return sizes
    alone = tuple((Interval(side, side),) for side in given)
    runs = any(run(*([side + step for side in given] for step in (-1, 1))))
    return ValidSizes(alone, exact=not runs, names=sizes.names)


def guessed_sizes(trace: Trace, given: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return sizes that may run: what the features, the message and the code hint at, and usual."""
    failure = trace.failure
    assert failure is not None
    guesses: list[tuple[int, ...]] = []
    if failure.op is not None and failure.op.kind is Kind.LINEAR:
        (*_, got), (wanted, *_) = failure.input_shapes[-2:]
        guesses.append(tuple(round(side * (wanted / got) ** 0.5) for side in given))
    constants = failure.op.constants if failure.op and failure.op.kind is Kind.BROADCAST else ()
    for came, constant in product(failure.op.input_shapes if failure.op else (), constants):
        if came and constant.shape and constant.shape[-1] > 1:  # a bias for each pair of cells
            ratio = (constant.shape[-1] / came[-1]) ** 0.5
            guesses.append(tuple(round(side * ratio) for side in given))
    words = failure.line.code if failure.line else ""
    words += failure.message if failure.op is None else ""  # torch's numbers are those of maps
    named = map(int, re.findall(r"(?<![\w.])\d{2,4}(?![\w.])", words))
    sides = [*named, 224, round(given[0] / 32) * 32, 256]
    guesses += [(side, side) for side in sides if side >= 8]
    return list(dict.fromkeys(guess for guess in guesses if min(guess) > 0))
