"""Which input sizes a network takes, worked out from one trace.

A trace holds the operations for one input size. Most of them treat every size alike: a window has
so many places, a flatten multiplies the sides, a linear layer insists on a number of features. So
the trace is read once with all candidate sizes at the same time, each axis for itself: the side of
every feature map becomes an array, one number for each candidate (`size_rules`). The field calls
this abstract interpretation.

The axes are those over which the network's windows slide: height and width of an image, the length
of a signal, depth (or frames), height and width of a volume or a clip.

Operations of which this is not known (the windows of a Swin transformer, the position embedding of
a ViT) end the propagation. Then a few sizes are tried, if the traced one does not run.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import lcm
from typing import NamedTuple

import numpy as np
from torch import nn

from vgglab import tracing
from vgglab.arguments import most_along
from vgglab.tracing import Op, Trace
from vgglab.tracing.operations import RESHAPES, Kind
from vgglab.valid_sizes.intervals import Interval, ValidSizes, no_sizes, to_intervals
from vgglab.valid_sizes.propagation import LIMIT, Propagation, axes_of, propagate
from vgglab.valid_sizes.questions import (
    MOST_WAYS,
    alike,
    along,
    fits_of,
    lines,
    narrowed,
    next_unlike,
)
from vgglab.valid_sizes.size_rules import Fits, Map

TRIES = 3
"""How many sizes are tried where they cannot be worked out."""

MOST_STAGES = 6
"""How many stages may each want a multiple of their own."""

OTHER_WAY = "the forward takes another way at other sizes"
"""Said where the code branches on the size, or loops until a map is small enough."""


class Search(NamedTuple):
    """Which sizes fit, and what other sizes showed on the way there.

    Attributes
    ----------
    sizes
        The valid sizes.
    stops
        Traces at other sizes that fit as far as the one before had come, in order.
    because
        What could not be followed, where sizes were tried.
    """

    sizes: ValidSizes
    stops: tuple[Trace, ...] = ()
    because: str | None = None


def valid_sizes(model: nn.Module, trace: Trace) -> ValidSizes:
    """Return the input sizes that a network takes, given what one forward showed.

    If the forward stopped, the network is traced again at a size that suits all operations up to
    there, until it runs to its end. Operations that cannot be followed leave a few sizes to try,
    or the traced one alone if that ran.

    Parameters
    ----------
    model
        The network.
    trace
        Its trace.
    """
    return search(model, trace, propagate(trace)).sizes


def search(model: nn.Module, trace: Trace, propagation: Propagation) -> Search:
    """Do what `valid_sizes` does, and return what other sizes showed as well.

    Parameters
    ----------
    model
        The network.
    trace
        Its trace.
    propagation
        What `propagate` makes of it.
    """
    found = _search_one_way(model, trace, propagation)
    if found.sizes or found.because is not None or trace.failure is None:
        return found
    return _by_another_way(model, trace, propagation, found)


def _search_one_way(model: nn.Module, trace: Trace, propagation: Propagation) -> Search:
    """Do what `search` does, as if the forward took one way at every size."""
    stops: list[Trace] = []
    if propagation.ambiguous and trace.failure is None:
        larger = retrace(model, trace, [_far(trace, side, 3) for side in propagation.given])
        again = propagate(larger)
        if larger.failure is None and again.unsupported is None:
            again.asked = propagation.given
            trace, propagation = larger, again
    propagation = with_second(model, trace, propagation)
    while propagation.unsupported is None:
        sizes = propagation.valid_sizes()
        if trace.failure is None or not sizes or len(stops) == TRIES:
            break
        same = alike(trace, propagation)
        this_way = narrowed(sizes, same, propagation) if same is not None else sizes
        further = retrace(model, trace, (this_way or sizes).nearest(propagation.given))
        again = with_second(model, further, propagate(further))
        again.asked = propagation.asked or propagation.given
        stops.append(further)
        if further.failure is not None and len(further.ops) <= len(trace.ops):
            if again.unsupported is None and not _meet(sizes, again.valid_sizes()):
                return Search(no_sizes(sizes.names), tuple(stops))
            trace, propagation = further, again
            break
        trace, propagation = further, again
    if propagation.unsupported is not None:
        sizes, because = _tried(model, trace, propagation)
        return Search(sizes, tuple(stops), because)
    sizes = propagation.valid_sizes()
    if trace.failure is not None and sizes:
        sizes = no_sizes(sizes.names, exact=False)
    elif sizes and any(wanted.is_of_cells for wanted in propagation.wanted):
        sizes = _as_the_code_says(model, trace, sizes, propagation.given)
    elif sizes:
        told = _of_all_ways(model, trace, sizes, propagation)
        if told is None:
            # The traced size may have run by mixing images of the batch: then it is not in them.
            fits = propagation.given in sizes
            tried = propagation.given if fits else sizes.nearest(propagation.given)
            runs = fits or retrace(model, trace, tried).failure is None
            sizes = _alone(tried, sizes.names) if runs else no_sizes(sizes.names, exact=False)
            return Search(sizes, tuple(stops), OTHER_WAY)
        sizes = told
    return Search(sizes, tuple(stops))


def _far(trace: Trace, side: int, times: int = 2) -> int:
    """Return a much larger size, or the largest that may be traced."""
    return min(times * side, most_along(trace.input_sizes[axes_of(trace).inputs[0]]))


def _alone(size: Sequence[int], names: tuple[str, ...]) -> ValidSizes:
    """Return one size, which was tried."""
    return ValidSizes(tuple((Interval(n, n),) for n in size), exact=False, names=names)


def _of_all_ways(
    model: nn.Module, trace: Trace, sizes: ValidSizes, propagation: Propagation
) -> ValidSizes | None:
    """Return the sizes that fit whatever way the forward takes at them; ``None`` if unknown.

    They are those of the way that it took, or those of them at which its code asks nothing that
    has another answer, if everything else ends in an error.
    """
    if not trace.reads_sizes:
        return sizes
    same = alike(trace, propagation)
    if same is None:
        return None
    for told in dict.fromkeys((sizes, narrowed(sizes, same, propagation))):
        if (
            propagation.given in told
            and _is_one_way(model, trace, told, propagation)
            and _fit_elsewhere(model, trace, told, propagation.given, same)
        ):
            return told
    return None


def _fit_elsewhere(
    model: nn.Module, trace: Trace, sizes: ValidSizes, given: tuple[int, ...], same: list[Fits]
) -> bool:
    """Tell whether `sizes` are also right where the code's questions have other answers.

    The forward is traced there, along each axis alone and along all together.
    """
    count = len(same[0])
    fits, ways = fits_of(sizes, count), MOST_WAYS
    for line in lines(len(given)):
        here, unseen = along(line, fits, given), ~along(line, same, given)
        while unseen.any():
            sides = np.flatnonzero(unseen) + 1
            side = int(sides[np.argmin(np.abs(sides - given[line[0]]))])
            size = tuple(side if axis in line else n for axis, n in enumerate(given))
            found = _way_at(model, trace, size, line) if ways else None
            if found is None:
                return False
            ways -= 1
            as_there, runs = (np.resize(array, count) for array in found)
            as_there[len(found[0]) :] = False
            if not as_there[side - 1] or (runs != here)[as_there].any():
                return False
            unseen &= ~as_there
    return True


def _way_at(
    model: nn.Module, trace: Trace, size: tuple[int, ...], line: tuple[int, ...]
) -> tuple[Fits, Fits] | None:
    """Return at which sizes on a line the forward does what it does at one, and which run so.

    ``None`` if that cannot be told.
    """
    other = retrace(model, trace, size)
    propagation = with_second(model, other, propagate(other))
    propagation.asked = size
    same = alike(other, propagation)
    if same is None:
        return None
    as_there = along(line, same, size)
    runs = np.zeros_like(as_there)
    failure = other.failure
    if failure is not None and failure.op is None:
        code = failure.line.code if failure.line else ""
        return (as_there, runs) if re.search(r"\b(raise|assert)\b", code) else None
    if propagation.unsupported is not None:
        return None
    fits = along(line, fits_of(propagation.valid_sizes(), len(runs)), size)
    if failure is None:
        return as_there, fits
    return as_there & ~fits, runs  # where the operation that refuses does so


def _is_one_way(
    model: nn.Module, trace: Trace, sizes: ValidSizes, propagation: Propagation
) -> bool:
    """Tell whether the forward does at the ends of the sizes that fit, and beyond, what it did.

    A loop over the size shows at the ends, wherever between them the code changes its way. Other
    operations that leave the same sizes, such as a padding where one is needed, are no other way;
    nor is a size that runs because it mixes the images of the batch.
    """
    given, known = propagation.given, {propagation.given: trace} | propagation.others
    firsts = tuple(intervals[0].first for intervals in sizes.axes)
    lasts = [intervals[-1].last for intervals in sizes.axes]
    below = tuple(max(first // 2, 1) for first in firsts)
    ends = zip(lasts, given, strict=True)
    above = tuple(
        _far(trace, last) if last else max(LIMIT, _far(trace, side)) for last, side in ends
    )
    if not any(lasts):
        above = next((size for size in known if _is_far(size, given)), above)
    for size in dict.fromkeys((below, firsts, above)):
        other = known.get(size) or retrace(model, trace, size)
        if other.failure is not None:
            if size in sizes:
                return False
        elif size not in sizes or not _same_way(trace, other):
            again = propagate(other)
            if size in sizes:
                again = with_second(model, other, again)
            again.asked = given
            if again.unsupported is not None or again.valid_sizes() != sizes:
                return False
    return True


def _is_far(size: tuple[int, ...], given: tuple[int, ...]) -> bool:
    """Tell whether a size is among the largest that are looked at, where code does all it will."""
    return all(n > max(LIMIT, 2 * side) - SPAN for n, side in zip(size, given, strict=True))


def _same_way(one: Trace, other: Trace) -> bool:
    """Tell whether one forward does what another does."""
    return _way(one) == _way(other)


def _way(trace: Trace) -> list[tuple[Kind, str]]:
    """Return the kinds of the operations and where they are, with the one that refused.

    What only hands numbers on is left out, and the bias that some linear layers add by itself:
    how a map of one row or column lies in memory decides about both.
    """
    failed = [trace.failure.op] if trace.failure and trace.failure.op else []
    steps = [(op.kind, op.path) for op in (*trace.ops, *failed) if op.kind not in RESHAPES]
    return [
        step
        for before, step in pairwise([None, *steps])
        if step is not None and not (step[0] is Kind.BROADCAST and before == (Kind.LINEAR, step[1]))
    ]


def _by_another_way(
    model: nn.Module, trace: Trace, propagation: Propagation, found: Search
) -> Search:
    """Return a size at which the forward takes a way that ends, where on this one none does.

    Where it takes the same way at the smallest size that comes as far, at a large one and where
    its code asks a question that has another answer, what was `found` stays.
    """
    given, way = propagation.given, _way(trace)
    if not trace.reads_sizes or not way:
        return found
    fits = [np.flatnonzero(fit) for fit in propagation.fits]
    small = tuple(int(fit[0]) + 1 if len(fit) else 1 for fit in fits)
    beyond = next_unlike(trace, propagation)
    for size in (*beyond, small, tuple(max(LIMIT, _far(trace, side)) for side in given)):
        other = retrace(model, trace, size)
        if other.failure is not None and _way(other) == way[: len(_way(other))]:
            continue
        again = with_second(model, other, propagate(other))
        if again.unsupported is not None or again.valid_sizes():
            break
    else:
        same = alike(trace, propagation)
        if same is not None and _fit_elsewhere(model, trace, found.sizes, given, same):
            return found
        return Search(replace(found.sizes, exact=False), found.stops, OTHER_WAY)
    halves = [tuple(max(side >> k, 1) for side in given) for k in range(1, 5)]
    for size in (*beyond, *halves, small):
        other = retrace(model, trace, size)
        if other.failure is None:
            sizes = _search_one_way(model, other, propagate(other)).sizes
            if size in sizes:
                sizes = _alone(size, sizes.names) if given in sizes else sizes
                return Search(sizes, found.stops, OTHER_WAY)
    return Search(replace(found.sizes, exact=False), found.stops, OTHER_WAY)


def with_second(model: nn.Module, trace: Trace, propagation: Propagation) -> Propagation:
    """Return a propagation that knows sizes that the code chose, where a second trace tells them.

    A size that is the same in both traces is a number, others are those of a map that has the same
    two sides. So that one map alone has them, the second size is one at which maps differ most,
    from each other and from what they were.

    Parameters
    ----------
    model
        The network.
    trace
        Its trace.
    propagation
        What `propagate` makes of it.
    """
    if not propagation.chosen:
        return propagation
    maps = [layout for layout in propagation.layouts.values() if isinstance(layout, Map)]
    probe: list[int] = []
    taken: set[tuple[int, int]] = set()  # sides of maps along the axes before, here and there
    for axis, given in enumerate(propagation.given):
        sides = np.unique([m.sides[axis] for m in maps if axis in m.sides], axis=0)
        fit = propagation.fits[axis].copy()
        fit[[given - 1, *(side - 1 for side in probe)]] = False
        indices = np.flatnonzero(fit)
        if not len(indices):
            return propagation
        here = sides[:, given - 1]
        told = [
            len({*zip(here, sides[:, k], strict=True), *taken}) + np.sum(sides[:, k] != here)
            for k in indices
        ]
        best = indices[np.array(told) == max(told)]
        # Far away maps differ after strides as well, and code that branches has taken its way.
        far = max(given + max(given, DIVISORS.stop), len(fit) - SPAN)
        best = best[best >= far] if best[-1] >= far else best
        # What depends on remainders shows if few numbers divide by how much the maps differ.
        apart = np.abs(sides[:, best] - here[:, None])
        alike = sum((apart % divisor == 0).sum(0) for divisor in DIVISORS)
        chosen = int(min(zip(alike, np.abs(best - far), best, strict=True))[-1])
        probe.append(chosen + 1)
        taken.update(zip(here, sides[:, chosen], strict=True))
    second = retrace(model, trace, probe)
    others = {tuple(probe): second}
    found = propagate(trace, second, tuple(probe))
    if found.assumed and all(fit.any() for fit in found.fits):
        # What is zero from a certain size on, such as a padding to it, shows in the smallest one.
        size = tuple(int(np.flatnonzero(fit)[0]) + 1 for fit in found.fits)
        smallest = others[size] = retrace(model, trace, size)
        doubted = frozenset(k for k in found.assumed if not _agrees(trace.ops[k], smallest))
        if doubted:
            found = propagate(trace, second, tuple(probe), doubted)
    found.asked, found.others = propagation.asked, others
    return found


DIVISORS = range(2, 33)
"""Numbers by whose remainders code may pad."""

SPAN = 4 * DIVISORS.stop
"""How many of the largest sizes a second trace is chosen from."""


def _agrees(op: Op, other: Trace) -> bool:
    """Tell whether another trace has the same operation with the same arguments."""
    twin = other.ops[op.index] if op.index < len(other.ops) else None
    same = twin and (twin.name, twin.path, twin.options) == (op.name, op.path, op.options)
    return bool(same)


def _meet(one: ValidSizes, other: ValidSizes) -> bool:
    """Tell whether some size is in both."""
    return all(
        any(
            a.first <= (b.last or a.first) and b.first <= (a.last or b.first)
            for a in first
            for b in second
        )
        for first, second in zip(one.axes, other.axes, strict=True)
    )


def retrace(model: nn.Module, trace: Trace, size: Sequence[int]) -> Trace:
    """Trace a network again with other sizes of the axes; inputs of one size stay so."""
    axes = axes_of(trace)
    sizes = [
        tuple(
            size[axes.places.index(k - len(shape))] if k - len(shape) in axes.places else side
            for k, side in enumerate(shape)
        )
        if index in axes.inputs
        else shape
        for index, shape in enumerate(trace.input_sizes)
    ]
    return tracing.trace(model, sizes, **trace.call_options)


def _tried(
    model: nn.Module, trace: Trace, propagation: Propagation
) -> tuple[ValidSizes, str | None]:
    """Return the traced size if it runs, else the first of a few others that does, and why so."""
    given, names, because = propagation.given, propagation.names, propagation.unsupported
    if trace.failure is None:
        return _alone(given, names), because
    multiple = _multiple(model, trace, given)
    if multiple is not None:
        return _alone(multiple, names), because
    insisted = _insisted(trace, propagation)
    guesses = [size.nearest(given) for size in insisted]
    guesses += _guesses(trace, given) if len(given) == 2 else []
    for size in [size for size in dict.fromkeys(guesses) if size != given][:TRIES]:
        further = retrace(model, trace, size)
        if further.failure is not None:
            multiple = _multiple(model, further, size)
            if multiple is not None:
                return _alone(multiple, names), because
            continue
        found = search(model, further, propagate(further))
        if found.because != OTHER_WAY and given not in found.sizes:
            return found.sizes, found.because
        # The code looks at the size, where no operation does.
        sizes = next((sizes for sizes in insisted if size in sizes), _alone(size, names))
        return replace(sizes, exact=False), because
    return no_sizes(names, exact=False), because


def _multiple(model: nn.Module, trace: Trace, given: tuple[int, ...]) -> tuple[int, ...] | None:
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


def _insisted(trace: Trace, propagation: Propagation) -> list[ValidSizes]:
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


def _as_the_code_says(
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


def _guesses(trace: Trace, given: tuple[int, ...]) -> list[tuple[int, ...]]:
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
    return list(dict.fromkeys(guesses))
