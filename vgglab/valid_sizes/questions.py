"""At which sizes a forward takes the way that it took: where its code asks about sizes.

What the code compared (`Trace.comparisons`) is answered for all candidate sizes at once. Where the
answers differ, the forward may take another way, and is traced there.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgglab.tracing import Trace
from vgglab.tracing.size_reads import Computed, Expression, SizeOf
from vgglab.valid_sizes.intervals import ValidSizes, to_intervals
from vgglab.valid_sizes.propagation import Propagation
from vgglab.valid_sizes.size_rules import Fits, Map

MOST_WAYS = 8
"""How many other ways of a forward are looked at."""


class UntoldError(Exception):
    """What a question depends on is not known."""


def alike(trace: Trace, propagation: Propagation) -> list[Fits] | None:
    """Return for each axis at which sizes all questions have the answer that they got.

    ``None`` if that is not known: for questions about two axes together, about a tensor that holds
    several, or about one that the propagation did not reach.

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
    found = [np.ones(len(propagation.sizes), dtype=bool) for _ in propagation.given]
    is_told = True
    for comparison in trace.comparisons:
        try:
            with np.errstate(all="ignore"):
                axis, answers = _answers(comparison, trace, propagation)
        except (UntoldError, ArithmeticError, TypeError, ValueError):
            is_told = False
            continue
        if axis is not None:
            found[axis] &= answers == answers[propagation.given[axis] - 1]
    return found, is_told


def _answers(
    expression: Expression, trace: Trace, propagation: Propagation
) -> tuple[int | None, NDArray[Any]]:
    """Return what an expression is at all sizes of the axis on which it depends."""
    if isinstance(expression, SizeOf):
        return _size(expression, trace, propagation)
    if not isinstance(expression, Computed):
        return None, np.asarray(expression)
    parts = [_answers(part, trace, propagation) for part in expression.arguments]
    axes = {axis for axis, _ in parts if axis is not None}
    if len(axes) > 1:
        raise UntoldError
    function: Callable[..., Any] = _OF_ARRAYS.get(expression.function, expression.function)
    return next(iter(axes), None), np.asarray(function(*[numbers for _, numbers in parts]))


_OF_ARRAYS: dict[Callable[..., Any], Callable[..., Any]] = {
    round: np.round,
    math.floor: np.floor,
    math.ceil: np.ceil,
    math.trunc: np.trunc,
}


def _size(read: SizeOf, trace: Trace, propagation: Propagation) -> tuple[int | None, NDArray[Any]]:
    if propagation.stopped is not None and read.source >= propagation.stopped:
        raise UntoldError
    layout = propagation.layouts.get(read.source)
    shapes = trace.ops[read.source].output_shapes if read.source >= 0 else trace.input_sizes
    shape = shapes[0 if read.source >= 0 else -1 - read.source]
    if layout is None:
        return None, np.asarray(shape[read.dim])
    if not isinstance(layout, Map) or len(layout.dims) <= read.dim:
        raise UntoldError
    number, axes, more = layout.dims[read.dim]
    if not axes:
        return None, np.asarray(shape[read.dim])
    if len(axes) > 1:
        raise UntoldError
    sizes = number * layout.sides[axes[0]] + more
    if sizes[propagation.given[axes[0]] - 1] != shape[read.dim]:
        raise UntoldError
    return axes[0], sizes


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
