"""At which sizes a forward takes the way that it took: where its code asks about sizes.

What the code compared (`Trace.comparisons`) is answered for all candidate sizes at once. Where the
answers differ, the forward may take another way, and is traced there.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vgglab.tracing import Trace
from vgglab.tracing.size_reads import Computed, Expression, SizeOf
from vgglab.valid_sizes.intervals import ValidSizes, to_intervals
from vgglab.valid_sizes.layouts import Fits, Map, Sides
from vgglab.valid_sizes.propagation import Propagation

MOST_WAYS = 8
"""How many other ways of a forward are looked at."""

MOST_SIZES = 2**22
"""At how many sizes of several axes a question is answered."""


class UntoldError(Exception):
    """What a question depends on is not known."""


def alike(trace: Trace, propagation: Propagation) -> list[Fits] | None:
    """Return for each axis at which sizes all questions have the answer that they got.

    ``None`` if that is not known: for questions about two axes together that have several answers,
    about a tensor that holds more, or about one that the propagation did not reach.

    Parameters
    ----------
    trace
        Of a network.
    propagation
        What `vgglab.valid_sizes.propagation.propagate` makes of it.
    """
    found, is_told = alike_as_known(trace, propagation)
    return found if is_told else None


def alike_as_known(trace: Trace, propagation: Propagation) -> tuple[list[Fits], bool]:
    """Return what `alike` does for the questions that can be told, and whether all can."""
    given = propagation.given
    found = [np.ones(len(propagation.sizes), dtype=bool) for _ in given]
    is_told = True
    for comparison in trace.comparisons:
        try:
            with np.errstate(all="ignore"):
                answers, are_asked = _answers(comparison, trace, propagation)
        except (UntoldError, ArithmeticError, TypeError, ValueError):
            is_told = False
            continue
        as_here = (answers == answers[_here(given, answers)]) | ~are_asked
        axes = [axis for axis, count in enumerate(as_here.shape) if count > 1]
        if len(axes) == 1:
            found[axes[0]] &= as_here.ravel()
        elif not as_here.all():
            is_told = False
    return found, is_told


class _Numbers(NamedTuple):
    """What an expression is at all sizes; of an axis on which it does not depend, at one.

    `are_there` is false where a tensor that it reads has no side: the forward has ended before.
    """

    values: NDArray[Any]
    are_there: NDArray[np.bool_]


def _answers(expression: Expression, trace: Trace, propagation: Propagation) -> _Numbers:
    if isinstance(expression, SizeOf):
        return _size(expression, trace, propagation)
    if not isinstance(expression, Computed):
        return _constant(expression, propagation)
    parts = [_answers(part, trace, propagation) for part in expression.arguments]
    _require_few(np.broadcast_shapes(*[part.values.shape for part in parts]))
    if expression.function in _DIVISIONS and (parts[1].values == 0).any():
        raise UntoldError
    function: Callable[..., Any] = _OF_ARRAYS.get(expression.function, expression.function)
    are_there = reduce(np.logical_and, [part.are_there for part in parts])
    return _Numbers(np.asarray(function(*[part.values for part in parts])), are_there)


_DIVISIONS = (operator.truediv, operator.floordiv, operator.mod)

_OF_ARRAYS: dict[Callable[..., Any], Callable[..., Any]] = {
    round: np.round,
    math.floor: np.floor,
    math.ceil: np.ceil,
    math.trunc: np.trunc,
}


def _size(read: SizeOf, trace: Trace, propagation: Propagation) -> _Numbers:
    if propagation.stopped is not None and read.source >= propagation.stopped:
        raise UntoldError
    layout = propagation.layouts.get(read.source)
    shapes = trace.ops[read.source].output_shapes if read.source >= 0 else trace.input_sizes
    side = shapes[0 if read.source >= 0 else -1 - read.source][read.dim]
    if layout is None:
        return _constant(side, propagation)
    if not isinstance(layout, Map) or len(layout.dims) <= read.dim:
        raise UntoldError
    number, axes, more, _ = layout.dims[read.dim]
    rank = len(propagation.given)
    _require_few([len(propagation.sizes)] * len(axes))
    factors = [_along(axis, layout.sides[axis], rank) for axis in axes]
    values, are_there = _constant(number, propagation)
    for factor in factors:
        values, are_there = values * factor, are_there & (factor > 0)
    values = values + more
    if values[_here(propagation.given, values)] != side:
        raise UntoldError
    return _Numbers(values, are_there)


def _constant(number: float, propagation: Propagation) -> _Numbers:
    value = np.full((1,) * len(propagation.given), number)
    return _Numbers(value, np.ones_like(value, dtype=bool))


def _along(axis: int, sides: Sides, rank: int) -> NDArray[Any]:
    """Return the sides as an array of which one dimension is that axis."""
    return sides.reshape([-1 if k == axis else 1 for k in range(rank)])


def _here(given: Sequence[int], values: NDArray[Any]) -> tuple[int, ...]:
    """Return where the traced size is among all sizes."""
    counts = zip(given, values.shape, strict=True)
    return tuple(side - 1 if count > 1 else 0 for side, count in counts)


def _require_few(counts: Sequence[int]) -> None:
    if math.prod(counts) > MOST_SIZES:
        raise UntoldError


def lines(number: int) -> Iterator[tuple[int, ...]]:
    """Give the axes that vary together: each alone, then all."""
    yield from ((axis,) for axis in range(number))
    if number > 1:
        yield tuple(range(number))


def along(line: Sequence[int], fits: Sequence[Fits], base: Sequence[int]) -> Fits:
    """Return which sizes fit if the axes of a line have them and the others stay as in `base`."""
    stay = all(fits[axis][side - 1] for axis, side in enumerate(base) if axis not in line)
    return reduce(np.logical_and, [fits[axis] for axis in line]) & stay


def fits_of(sizes: ValidSizes, count: int) -> list[Fits]:
    """Return for each axis which sizes up to `count` are valid."""
    found = []
    for intervals in sizes.axes:
        fits = np.zeros(count, dtype=bool)
        for first, last in intervals:
            fits[first - 1 : last] = True
        found.append(fits)
    return found


def narrowed(sizes: ValidSizes, found: Sequence[Fits], propagation: Propagation) -> ValidSizes:
    """Return those of the sizes that are also in `found`."""
    fits = fits_of(sizes, len(propagation.sizes))
    axes = tuple(
        to_intervals(propagation.sizes, fit & other) for fit, other in zip(fits, found, strict=True)
    )
    return ValidSizes(axes, names=sizes.names)


def next_unlike(trace: Trace, propagation: Propagation) -> list[tuple[int, ...]]:
    """Return the sizes next to the traced one at which a question has another answer."""
    same, given = alike(trace, propagation), propagation.given
    if same is None:
        return []
    unlike = np.flatnonzero(~along(range(len(given)), same, given)) + 1
    below, above = unlike[unlike < min(given)], unlike[unlike > max(given)]
    return [(int(side),) * len(given) for side in (*below[-1:], *above[:1])]
