"""A network traced again at other sizes, and what a second trace tells that one cannot."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

import numpy as np
from torch import nn

from vgglab import tracing
from vgglab.arguments import most_along
from vgglab.tracing import Op, Shape, Trace
from vgglab.valid_sizes import questions
from vgglab.valid_sizes.layouts import Fits, Map, Sides
from vgglab.valid_sizes.propagation import Propagation, axes_of, propagate

_known: ContextVar[dict[tuple[Shape, ...], Trace] | None] = ContextVar("_known", default=None)


@contextmanager
def shared_retraces(traces: Iterable[Trace]) -> Iterator[None]:
    """Trace one network once at each size meanwhile, and not at all where `traces` were made."""
    known = _known.get()
    token = _known.set({trace.input_sizes: trace for trace in traces} if known is None else known)
    try:
        yield
    finally:
        _known.reset(token)


MOST_WITH_DATA = 2**26
"""How many numbers an input may hold if the network has to be run with data."""


class TooLargeError(Exception):
    """A network that has to be run with data is not run with so much of it."""


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
    known = _known.get()
    found = known.get(tuple(sizes)) if known is not None else None
    if found is None:
        if trace.fallback is not None and max(map(prod, sizes)) > MOST_WITH_DATA:
            raise TooLargeError
        found = tracing.trace(model, sizes, **trace.call_options)
        if known is not None:
            known[tuple(sizes)] = found
    return found


def far_size(trace: Trace, side: int, times: int = 2) -> int:
    """Return a much larger size, or the largest that may be traced."""
    return min(times * side, most_along(trace.input_sizes[axes_of(trace).inputs[0]]))


def with_second(model: nn.Module, trace: Trace, propagation: Propagation) -> Propagation:
    """Return a propagation that knows sizes that the code chose, where a second trace tells them.

    A size that is the same in both traces is a number, others are those of a map that has the same
    two sides. So that one map alone has them, the second size is one at which maps differ most,
    from each other and from what they were; where there is one far enough, one at which the code's
    questions have the answers that they had.

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
    same, _ = questions.alike_as_known(trace, propagation)
    maps = [layout for layout in propagation.layouts.values() if isinstance(layout, Map)]
    probe: list[int] = []
    taken: set[tuple[int, int]] = set()  # sides of maps along the axes before, here and there
    for axis, given in enumerate(propagation.given):
        sides = np.unique([m.sides[axis] for m in maps if axis in m.sides], axis=0)
        fit = propagation.fits[axis].copy()
        fit[[given - 1, *(side - 1 for side in probe)]] = False
        indices = _far_on_this_way(fit, same[axis], given)
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
        # Maps that are not known yet have two sides after strides, if those of the image differ.
        clear = best[[all(abs(k + 1 - side) > LEAST_APART for side in probe) for k in best]]
        best = clear if len(clear) else best
        # What depends on remainders shows if few numbers divide by how much the maps differ.
        apart = np.abs(sides[:, best] - here[:, None])
        alike = sum((apart % divisor == 0).sum(0) for divisor in DIVISORS)
        chosen = int(min(zip(alike, np.abs(best - far), best, strict=True))[-1])
        probe.append(chosen + 1)
        taken.update(zip(here, sides[:, chosen], strict=True))
    try:
        second = retrace(model, trace, probe)
    except TooLargeError:
        return propagation
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


def _far_on_this_way(fit: Fits, same: Fits, given: int) -> Sides:
    """Return the indices of sizes that fit; of those `same` if some are twice as large or small."""
    indices = np.flatnonzero(fit & same)
    small, large = np.minimum(indices + 1, given), np.maximum(indices + 1, given)
    far: Sides = indices[large + 1 >= 2 * (small + 1)]
    return far if len(far) else np.flatnonzero(fit)


DIVISORS = range(2, 33)
"""Numbers by whose remainders code may pad."""

SPAN = 4 * DIVISORS.stop
"""How many of the largest sizes a second trace is chosen from."""

LEAST_APART = 32
"""By more than this do its sides differ, so that maps have two sides after as many strides."""


def _agrees(op: Op, other: Trace) -> bool:
    """Tell whether another trace has the same operation with the same arguments."""
    twin = other.ops[op.index] if op.index < len(other.ops) else None
    same = twin and (twin.name, twin.path, twin.options) == (op.name, op.path, op.options)
    return bool(same)
