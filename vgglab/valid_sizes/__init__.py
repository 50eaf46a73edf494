"""Which input sizes a network takes, worked out from one trace.

A trace holds the operations for one input size. Most of them treat every size alike: a window has
so many places, a flatten multiplies the sides, a linear layer insists on a number of features. So
the trace is read once with all candidate sizes at the same time, each axis for itself: the side of
every feature map becomes an array, one number for each candidate (`size_rules`). The field calls
this abstract interpretation.

Operations of which this is not known (the windows of a Swin transformer, the position embedding of
a ViT) end the propagation. Then usual sizes are tried one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from torch import nn

from vgglab import tracing
from vgglab.tracing import Trace
from vgglab.valid_sizes.size_rules import (
    Fits,
    Flat,
    Input,
    Layout,
    Map,
    Sides,
    Step,
    Term,
    Unsupported,
    pass_through,
)

LIMIT = 1024
"""Sizes are looked at from 1 to here, or to twice the image if that is more."""

USUAL_SIZES = (224, 32, 64, 28, 96, 128, 256, 299, 320, 384, 448, 512)
"""Sizes that are tried where no size can be worked out."""


class Interval(NamedTuple):
    """Sizes from `first` to `last` pixels, both included; `last` is ``None`` if there is no end."""

    first: int
    last: int | None

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.first} and more"
        return f"{self.first} to {self.last}" if self.last > self.first else f"{self.first}"


@dataclass(frozen=True)
class ValidSizes:
    """The input sizes that a network takes: any of `height` together with any of `width`.

    Attributes
    ----------
    height
        Intervals of heights in pixels, in order; empty if there is none.
    width
        Intervals of widths.
    exact
        Whether all sizes were worked out. If not, the intervals hold those of the usual sizes that
        were tried, as squares, and ended; others may do as well.
    """

    height: tuple[Interval, ...]
    width: tuple[Interval, ...]
    exact: bool = True

    def __bool__(self) -> bool:
        return bool(self.height and self.width)

    def __contains__(self, size: object) -> bool:
        if not isinstance(size, Sequence) or len(size) != 2:
            return False
        return all(
            any(i.first <= side and (i.last is None or side <= i.last) for i in intervals)
            for side, intervals in zip(size, (self.height, self.width), strict=True)
        )

    @property
    def square(self) -> bool:
        """Whether any size is valid as height and as width."""
        return any(
            a.first <= (b.last or a.first) and b.first <= (a.last or b.first)
            for a in self.height
            for b in self.width
        )

    def nearest(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return `size` itself if it is valid, else a size from the intervals nearest to it.

        Of an interval a usual size is taken, 224 px before others, or else its first.

        Raises
        ------
        ValueError
            If there is no valid size.
        """
        if not self:
            raise ValueError("there is no valid size")
        height, width = (
            _nearest(side, intervals)
            for side, intervals in zip(size, (self.height, self.width), strict=True)
        )
        return height, width

    def __str__(self) -> str:
        if not self:
            return "none" if self.exact else "none of the usual sizes"
        if self.height == self.width:
            text = f"{_words(self.height)} px along each axis"
        else:
            text = f"height {_words(self.height)} px, width {_words(self.width)} px"
        return text if self.exact else f"{text} (of the usual sizes, tried as squares)"


@dataclass
class Propagation:
    """A trace, walked with all candidate sizes.

    Attributes
    ----------
    sizes
        The candidate sizes.
    layouts
        How height and width are held in the output of each operation (the input is -1); operations
        whose output no longer depends on them have no entry.
    fits
        For each axis whether each candidate gets through.
    wanted
        Rows of features with the number that a layer insists on.
    unsupported
        Why the propagation ended early; ``None`` if it did not.
    """

    sizes: Sides
    layouts: dict[int, Layout]
    fits: tuple[Fits, Fits]
    wanted: list[tuple[Flat, int]] = field(default_factory=list)
    unsupported: str | None = None

    def valid_sizes(self) -> ValidSizes:
        """Return the sizes that fit, each axis for itself.

        Where features are counted, height and width depend on each other. Then the sizes are those
        that give the same feature map as a square image does or, if no square image fits, the
        feature map that is nearest to a square.
        """
        fits = self.fits
        if self.wanted:
            pair = self._pair()
            if pair is None:
                return ValidSizes((), ())
            terms = self._terms()
            fits = (
                fits[0] & np.all([t.height == t.height[pair[0]] for t in terms], axis=0),
                fits[1] & np.all([t.width == t.width[pair[1]] for t in terms], axis=0),
            )
        height, width = (_intervals(self.sizes, fit) for fit in fits)
        return ValidSizes(height, width)

    def map_that_fits(self) -> tuple[int, int] | None:
        """Return height and width of the map that gives the features that are wanted.

        ``None`` if no map does, or if they come from several maps.
        """
        terms = self._terms()
        pair = self._pair() if len(terms) == 1 else None
        if pair is None:
            return None
        return int(terms[0].height[pair[0]]), int(terms[0].width[pair[1]])

    def _terms(self) -> list[Term]:
        return [term for flat, _ in self.wanted for term in flat.terms]

    def sizes_with(self, source: int, sides: tuple[int, int]) -> ValidSizes:
        """Return the sizes for which the map that operation `source` returns has these sides."""
        layout = self.layouts.get(source)
        if not isinstance(layout, Map):
            return ValidSizes((), ())
        height, width = (
            _intervals(self.sizes, fit & (here == side))
            for fit, here, side in zip(self.fits, layout.sides, sides, strict=True)
        )
        return ValidSizes(height, width)

    def _pair(self) -> tuple[int, int] | None:
        """Return the indices of a height and a width that give all features that are wanted."""
        heights = np.stack([term.height for term in self._terms()])
        widths = np.stack([term.width for term in self._terms()])

        def suits(h: Sides, w: Sides) -> Fits:
            suits = np.ones(np.broadcast_shapes(h.shape[1:], w.shape[1:]), dtype=bool)
            start = 0
            for flat, features in self.wanted:
                terms = range(start, start + len(flat.terms))
                pieces = zip(flat.terms, terms, strict=True)
                total = sum(term.channels * h[k] * w[k] for term, k in pieces)
                suits &= total == features
                start += len(flat.terms)
            return suits

        square = np.flatnonzero(suits(heights, widths) & self.fits[0] & self.fits[1])
        if len(square):
            return int(square[0]), int(square[0])
        # The first index of each different column of sides that fits.
        rows, columns = (
            np.flatnonzero(fit)[np.unique(sides[:, fit], axis=1, return_index=True)[1]]
            for sides, fit in zip((heights, widths), self.fits, strict=True)
        )
        found = np.argwhere(suits(heights[:, rows, None], widths[:, None, columns]))
        if not len(found):
            return None
        h, w = rows[found[:, 0]], columns[found[:, 1]]
        best = np.argmin(np.abs(heights[0, h] - widths[0, w]))
        return int(h[best]), int(w[best])


def valid_sizes(model: nn.Module, trace: Trace) -> ValidSizes:
    """Return the input sizes that a network takes, given what one forward showed.

    If the forward stopped, the network is traced again at a size that suits all operations up to
    there, until it runs to its end. Operations that cannot be followed leave the usual sizes, which
    are tried one by one.

    Parameters
    ----------
    model
        The network.
    trace
        Its trace, with an image or a batch of images as the first input.
    """
    while True:
        propagation = propagate(trace)
        if propagation.unsupported is not None:
            return _tried(model, trace)
        sizes = propagation.valid_sizes()
        if trace.failure is None or not sizes:
            return sizes
        height, width = trace.input_sizes[0][-2:]
        further = retrace(model, trace, sizes.nearest((height, width)))
        if further.failure is not None and len(further.ops) <= len(trace.ops):
            return _tried(model, trace)
        trace = further


def retrace(model: nn.Module, trace: Trace, size: tuple[int, int]) -> Trace:
    """Trace a network again with images of another size."""
    first, *others = trace.input_sizes
    return tracing.trace(model, [(*first[:-2], *size), *others])


def _tried(model: nn.Module, trace: Trace) -> ValidSizes:
    sides = sorted({*USUAL_SIZES, *trace.input_sizes[0][-2:]})
    good = tuple(
        Interval(side, side)
        for side in sides
        if retrace(model, trace, (side, side)).failure is None
    )
    return ValidSizes(good, good, exact=False)


def propagate(trace: Trace) -> Propagation:
    """Push all sizes through a trace from 1 to `LIMIT` at once.

    Parameters
    ----------
    trace
        Of a network with an image, or a batch of images, as its first input. If the forward
        stopped, the operation that refused counts: it says what it wants.
    """
    size = trace.input_sizes[0]
    count = max(LIMIT, 2 * max(size))
    sizes = np.arange(1, count + 1)
    propagation = Propagation(
        sizes,
        layouts={-1: Map((-2, -1), (sizes, sizes))},
        fits=(np.ones(count, dtype=bool), np.ones(count, dtype=bool)),
    )
    if len(size) not in (3, 4):
        propagation.unsupported = (
            f"an input with {len(size)} dimensions is neither an image nor a batch of them"
        )
        return propagation
    shapes = {-1 - k: shape for k, shape in enumerate(trace.input_sizes)}
    failure = trace.failure
    if failure is not None and failure.op is None:
        propagation.unsupported = "the error came from Python code"
        return propagation
    for op in (*trace.ops, failure.op) if failure and failure.op else trace.ops:
        inputs = [Input(propagation.layouts.get(s), shapes[s]) for s in op.sources]
        step = Step(op, inputs, trace, propagation.fits, propagation.wanted)
        if any(layout is not None for layout, _ in inputs):
            try:
                layout = pass_through(step)
            except Unsupported as reason:
                propagation.unsupported = f"{op.name} in {op.path or 'the model'}: {reason}"
                break
            if layout is not None:
                propagation.layouts[op.index] = layout
        elif step.refused:  # what does not depend on the image
            propagation.fits[0][...] = False
        if op.output_shapes:
            shapes[op.index] = op.output_shapes[0]
    return propagation


def _intervals(sizes: Sides, fits: Fits) -> tuple[Interval, ...]:
    """Return the unbroken runs; a run that reaches the largest size has no end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fits, [False]]).astype(np.int8)))
    return tuple(
        Interval(int(sizes[start]), None if stop == len(sizes) else int(sizes[stop - 1]))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def _nearest(side: int, intervals: Sequence[Interval]) -> int:
    def distance(interval: Interval) -> int:
        first, last = interval
        return max(first - side, 0 if last is None else side - last, 0)

    interval = min(intervals, key=distance)
    if distance(interval) == 0:
        return side
    inside = (n for n in USUAL_SIZES if interval.first <= n <= (interval.last or n))
    return next(inside, interval.first)


def _words(intervals: Sequence[Interval]) -> str:
    """Return the intervals in words; many equal ones at equal distances as a rule."""
    if len(intervals) <= 3:
        return ", ".join(map(str, intervals))
    steps = {b.first - a.first for a, b in pairwise(intervals)}
    first = ", ".join(map(str, intervals[:3]))
    last = intervals[-1].last
    end = f"{intervals[-1]}" if last is not None else "and so on"
    every = f" (every {steps.pop()} px)" if len(steps) == 1 else ""
    return f"{first}, …, {end}{every}"
