"""Whether a forward does at other sizes what it did: code may branch on a size, or loop over it.

Where its questions have other answers (`questions`), at the ends of the sizes that fit and beyond,
it is traced again.
"""

import re
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from torch import nn

from vgglab.tracing import Trace
from vgglab.tracing.operations import RESHAPES, Kind
from vgglab.valid_sizes.intervals import ValidSizes
from vgglab.valid_sizes.layouts import Fits
from vgglab.valid_sizes.propagation import LIMIT, Propagation, propagate
from vgglab.valid_sizes.questions import (
    MOST_WAYS,
    alike,
    alike_as_known,
    along,
    fits_of,
    lines,
    narrowed,
)
from vgglab.valid_sizes.retraces import SPAN, far_size, retrace, with_second


def of_all_ways(
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
            and fit_elsewhere(model, trace, told, propagation.given, same)
        ):
            return told
    return None


def fit_elsewhere(
    model: nn.Module, trace: Trace, sizes: ValidSizes, given: tuple[int, ...], same: list[Fits]
) -> bool:
    """Tell whether `sizes` are also right where the code's questions have other answers.

    The forward is traced there, along each axis alone and along all together; a way that is found
    along one axis may ask about another what the first did not, so along that as well.
    """
    count = len(same[0])
    fits = fits_of(sizes, count)
    traced: set[tuple[int, ...]] = set()
    left = [(line, given, same) for line in lines(len(given))]
    while left:
        line, base, asked = left.pop(0)
        here, unseen = along(line, fits, base), ~along(line, asked, base)
        while unseen.any():
            sides = np.flatnonzero(unseen) + 1
            side = int(sides[np.argmin(np.abs(sides - base[line[0]]))])
            size = tuple(side if axis in line else n for axis, n in enumerate(base))
            traced.add(size)
            found = _way_at(model, trace, size, line) if len(traced) <= MOST_WAYS else None
            if found is None:
                return False
            as_there, runs = (np.resize(array, count) for array in (found.same, found.runs))
            as_there[len(found.same) :] = False
            if not as_there[side - 1] or (runs != here)[as_there].any():
                return False
            unseen &= ~as_there
            if base == given and len(line) == 1:
                across = ((axis,) for axis in range(len(given)) if axis not in line)
                asked_there = [_as_long(fit, count) for fit in found.asked]
                left += [(axis, size, asked_there) for axis in across]
    return True


def _as_long(fit: Fits, count: int) -> Fits:
    """Return the first `count` of an array, or more that are like its last."""
    return np.pad(fit, (0, max(count - len(fit), 0)), mode="edge")[:count]


class _Way(NamedTuple):
    """Where on a line a forward does what it does at one size, and which sizes run so.

    `asked` is for each axis where the questions that can be told have the answers that they have
    there.
    """

    same: Fits
    runs: Fits
    asked: list[Fits]


def _way_at(
    model: nn.Module, trace: Trace, size: tuple[int, ...], line: tuple[int, ...]
) -> _Way | None:
    """Return what a forward does at a size of a line; ``None`` if that cannot be told."""
    other = retrace(model, trace, size)
    propagation, failure = propagate(other), other.failure
    asked, _ = alike_as_known(other, propagation)
    at_most = along(line, asked, size)
    if at_most.sum() == 1:  # of one size a trace tells all
        return _Way(at_most, at_most & (failure is None), asked)
    propagation = with_second(model, other, propagation)
    propagation.asked = size
    same = alike(other, propagation)
    if same is None:
        return None
    as_there = along(line, same, size)
    runs = np.zeros_like(as_there)
    if failure is not None and failure.op is None:
        code = failure.line.code if failure.line else ""
        return _Way(as_there, runs, same) if re.search(r"\b(raise|assert)\b", code) else None
    if propagation.unsupported is not None:
        return None
    fits = along(line, fits_of(propagation.valid_sizes(), len(runs)), size)
    if failure is None:
        return _Way(as_there, fits, same)
    return _Way(as_there & ~fits, runs, same)  # where the operation that refuses does so


def _is_one_way(
    model: nn.Module, trace: Trace, sizes: ValidSizes, propagation: Propagation
) -> bool:
    """Tell whether the forward does at the ends of the sizes that fit, and beyond, what it did.

    A loop over the size shows at the ends, wherever between them the code changes its way. Other
    operations that leave the same sizes, such as a padding where one is needed, are no other way;
    nor is a size that runs because it mixes the images of the batch.
    """
    given = propagation.given
    firsts = tuple(intervals[0].first for intervals in sizes.axes)
    lasts = [intervals[-1].last for intervals in sizes.axes]
    below = tuple(max(first // 2, 1) for first in firsts)
    ends = zip(lasts, given, strict=True)
    above = tuple(
        far_size(trace, last) if last else max(LIMIT, far_size(trace, side)) for last, side in ends
    )
    if not any(lasts):
        above = next((size for size in propagation.others if _is_far(size, given)), above)
    for size in dict.fromkeys((below, firsts, above)):
        other = retrace(model, trace, size)
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
    return way_of(one) == way_of(other)


def way_of(trace: Trace) -> list[tuple[Kind, str]]:
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
