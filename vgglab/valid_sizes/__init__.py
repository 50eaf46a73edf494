"""Which input sizes a network takes, worked out from one trace.

A trace holds the operations for one input size. Most of them treat every size alike: a window has
so many places, a flatten multiplies the sides, a linear layer insists on a number of features. So
the trace is read once with all candidate sizes at the same time, each axis for itself: the side of
every feature map becomes an array (`layouts`), one number for each candidate, and each kind of
operation has a rule for it (`size_rules`). The field calls this abstract interpretation.

The axes are those over which the network's windows slide: height and width of an image, the length
of a signal, depth (or frames), height and width of a volume or a clip.

Operations of which this is not known (the windows of a Swin transformer, the position embedding of
a ViT) end the propagation. Then a few sizes are tried, if the traced one does not run.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import nn

from vgglab.tracing import Trace
from vgglab.valid_sizes.intervals import ValidSizes, no_sizes, one_size
from vgglab.valid_sizes.layouts import Fits
from vgglab.valid_sizes.propagation import LIMIT, Propagation, propagate
from vgglab.valid_sizes.questions import alike, narrowed, next_unlike
from vgglab.valid_sizes.retraces import (
    TooLargeError,
    far_size,
    retrace,
    shared_retraces,
    with_second,
)
from vgglab.valid_sizes.tries import (
    as_the_code_says,
    guessed_sizes,
    insisted_sizes,
    nearest_multiple,
)
from vgglab.valid_sizes.ways import fit_elsewhere, of_all_ways, way_of

TRIES = 3
"""How many sizes are tried where they cannot be worked out."""

MOST_STOPS = 8
"""How many layers, one after the other, may each want larger inputs than the one before."""

OTHER_WAY = "the forward takes another way at other sizes"
"""Said where the code branches on the size, or loops until a map is small enough."""

VALUES = "the forward reads values, and large inputs are not run with data"
"""Said where code looks at the numbers in a tensor, so that they have to be computed."""


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
    with shared_retraces([trace, *propagation.others.values()]):
        return _search(model, trace, propagation)


def _search(model: nn.Module, trace: Trace, propagation: Propagation) -> Search:
    """Do what `search` does."""
    try:
        return _search_ways(model, trace, propagation)
    except TooLargeError:
        given, names = propagation.given, propagation.names
        runs = trace.failure is None
        sizes = one_size(given, names) if runs else no_sizes(names, exact=False)
        return Search(sizes, because=VALUES)


def _search_ways(model: nn.Module, trace: Trace, propagation: Propagation) -> Search:
    """Do what `search` does, if all other sizes may be tried."""
    found = _search_one_way(model, trace, propagation)
    if found.sizes or found.because is not None or trace.failure is None:
        return found
    return _by_another_way(model, trace, propagation, found)


def _search_one_way(model: nn.Module, trace: Trace, propagation: Propagation) -> Search:
    """Do what `search` does, as if the forward took one way at every size."""
    stops: list[Trace] = []
    before = None  # the sizes that fitted as far as the trace before had come
    if propagation.ambiguous and trace.failure is None:
        larger = retrace(model, trace, [far_size(trace, side, 3) for side in propagation.given])
        again = propagate(larger)
        if larger.failure is None and again.unsupported is None:
            again.asked = propagation.given
            trace, propagation = larger, again
    propagation = with_second(model, trace, propagation)
    while propagation.unsupported is None:
        sizes = propagation.valid_sizes()
        if trace.failure is None or not sizes or len(stops) == MOST_STOPS:
            break
        before = sizes
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
    if not sizes and before:
        # A side of 1 is repeated where others have to be equal, and what follows gets other maps.
        last = tuple(intervals[-1].last or intervals[-1].first for intervals in before.axes)
        if retrace(model, trace, last).failure is None:
            return Search(one_size(last, sizes.names), tuple(stops), OTHER_WAY)
    if trace.failure is not None and sizes:
        sizes = no_sizes(sizes.names, exact=False)
    elif sizes and any(wanted.is_of_cells for wanted in propagation.wanted):
        sizes = as_the_code_says(model, trace, sizes, propagation.given)
    elif sizes:
        told = of_all_ways(model, trace, sizes, propagation)
        if told is None:
            # The traced size may have run by mixing images of the batch: then it is not in them.
            fits = propagation.given in sizes
            tried = propagation.given if fits else sizes.nearest(propagation.given)
            runs = fits or retrace(model, trace, tried).failure is None
            sizes = one_size(tried, sizes.names) if runs else no_sizes(sizes.names, exact=False)
            return Search(sizes, tuple(stops), OTHER_WAY)
        sizes = told
    return Search(sizes, tuple(stops))


def _by_another_way(
    model: nn.Module, trace: Trace, propagation: Propagation, found: Search
) -> Search:
    """Return a size at which the forward takes a way that ends, where on this one none does.

    Where it takes the same way at the smallest size that comes as far, at a large one and where
    its code asks a question that has another answer, what was `found` stays.
    """
    given, way = propagation.given, way_of(trace)
    if not trace.reads_sizes or not way:
        return found
    fits = [np.flatnonzero(fit) for fit in propagation.fits]
    small = tuple(int(fit[0]) + 1 if len(fit) else 1 for fit in fits)
    beyond = next_unlike(trace, propagation)
    for size in (*beyond, small, tuple(max(LIMIT, far_size(trace, side)) for side in given)):
        other = retrace(model, trace, size)
        if other.failure is not None and way_of(other) == way[: len(way_of(other))]:
            continue
        again = with_second(model, other, propagate(other))
        if again.unsupported is not None or again.valid_sizes():
            break
    else:
        same = alike(trace, propagation)
        if same is not None and fit_elsewhere(model, trace, found.sizes, given, same):
            return found
        return Search(replace(found.sizes, exact=False), found.stops, OTHER_WAY)
    halves = [tuple(max(side >> k, 1) for side in given) for k in range(1, 5)]
    for size in (*beyond, *halves, small):
        other = retrace(model, trace, size)
        if other.failure is None:
            sizes = _search_one_way(model, other, propagate(other)).sizes
            if size in sizes:
                sizes = one_size(size, sizes.names) if given in sizes else sizes
                return Search(sizes, found.stops, OTHER_WAY)
    return Search(replace(found.sizes, exact=False), found.stops, OTHER_WAY)


def _tried(
    model: nn.Module, trace: Trace, propagation: Propagation
) -> tuple[ValidSizes, str | None]:
    """Return the traced size if it runs, else the first of a few others that does, and why so."""
    given, names, because = propagation.given, propagation.names, propagation.unsupported
    if trace.failure is None:
        return one_size(given, names), because
    multiple = nearest_multiple(model, trace, given)
    if multiple is not None:
        return one_size(multiple, names), because
    insisted = insisted_sizes(trace, propagation)
    guesses = [size.nearest(given) for size in insisted]
    guesses += guessed_sizes(trace, given) if len(given) == 2 else []
    guesses = [size for size in dict.fromkeys(guesses) if size != given]
    stopped = [alike(trace, propagation)]
    for _ in range(min(TRIES, len(guesses))):
        size = next((size for size in guesses if not _is_among(size, stopped)), guesses[0])
        guesses.remove(size)
        further = retrace(model, trace, size)
        if further.failure is not None:
            multiple = nearest_multiple(model, further, size)
            if multiple is not None:
                return one_size(multiple, names), because
            stopped.append(alike(further, propagate(further)))
            continue
        if _stops_alike(propagation, trace, further):
            break
        found = search(model, further, propagate(further))
        if found.because != OTHER_WAY and given not in found.sizes:
            return found.sizes, found.because
        break
    else:
        return no_sizes(names, exact=False), because
    # The code looks at the size, where no operation does.
    sizes = next((sizes for sizes in insisted if size in sizes), one_size(size, names))
    return replace(sizes, exact=False), because


def _is_among(size: tuple[int, ...], stopped: Sequence[Sequence[Fits] | None]) -> bool:
    """Tell whether the code's questions have the answers at a size with which a forward stopped."""
    return any(
        fits is not None
        and all(fit[side - 1 : side].all() for fit, side in zip(fits, size, strict=True))
        for fits in stopped
    )


def _stops_alike(propagation: Propagation, trace: Trace, further: Trace) -> bool:
    """Tell whether what could not be followed is in another trace as well, and so ends it too."""
    place, known = propagation.stopped, min(len(trace.ops), len(further.ops))
    if propagation.ambiguous or place is None or place >= known:
        return False
    op, twin = trace.ops[place], further.ops[place]
    return (op.name, op.path) == (twin.name, twin.path)


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
