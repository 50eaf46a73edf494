"""The sizes that fit, along each axis, and how they are said."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from vgglab.valid_sizes.layouts import Fits, Sides

USUAL_SIZES = (224, 32, 64, 28, 96, 128, 256, 299, 320, 384, 448, 512)
"""Sides of images that are usual; the first ones are preferred."""

NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What the axes are called, by their number."""


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
    """The input sizes that a network takes: any of one axis together with any of the others.

    Attributes
    ----------
    axes
        For each axis intervals of sizes, in order; empty if there is none. An image has height and
        width, a signal its length, a volume or a clip depth (or frames), height and width.
    exact
        Whether all sizes were worked out. If not, the intervals hold those that were tried and
        ended; others may do as well.
    names
        What the axes are called.
    """

    axes: tuple[tuple[Interval, ...], ...]
    exact: bool = True
    names: tuple[str, ...] = ("height", "width")

    @property
    def height(self) -> tuple[Interval, ...]:
        """Intervals of heights in pixels."""
        return self.axes[-2] if len(self.axes) > 1 else ()

    @property
    def width(self) -> tuple[Interval, ...]:
        """Intervals of widths in pixels, or of lengths."""
        return self.axes[-1]

    def __bool__(self) -> bool:
        return all(self.axes)

    def __contains__(self, size: object) -> bool:
        if not isinstance(size, Sequence) or len(size) != len(self.axes):
            return False
        return all(
            any(i.first <= side and (i.last is None or side <= i.last) for i in intervals)
            for side, intervals in zip(size, self.axes, strict=True)
        )

    @property
    def square(self) -> bool:
        """Whether any size is valid as height and as width."""
        return any(
            a.first <= (b.last or a.first) and b.first <= (a.last or b.first)
            for a in self.height
            for b in self.width
        )

    def nearest(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return `size` itself if it is valid, else a size from the intervals nearest to it.

        Of an interval of heights or widths a usual size is taken, 224 px before others, else the
        one that is nearest.

        Raises
        ------
        ValueError
            If there is no valid size.
        """
        if not self:
            raise ValueError("there is no valid size")
        return tuple(
            nearest_side(side, intervals, usual=name in NAMES[2])
            for side, intervals, name in zip(size, self.axes, self.names, strict=True)
        )

    def __str__(self) -> str:
        if not self:
            return "none" if self.exact else "cannot be told; none of those tried"
        units = [" px" if name in NAMES[2] else "" for name in self.names]
        if len(self.axes) == 2 and self.height == self.width:
            text = f"{_words(self.height)} px along each axis"
        elif self.names == NAMES[3] and self.height == self.width:
            text = f"{_words(self.axes[0])} frames or slices, {_words(self.height)} px a side"
        else:
            text = ", ".join(
                f"{name} {_words(intervals)}{unit}"
                for name, intervals, unit in zip(self.names, self.axes, units, strict=True)
            )
        return text if self.exact else f"{text} (tried; which others cannot be told)"

    def to_dict(self) -> dict[str, Any]:
        """Return the intervals by the names of the axes, and whether they are exact."""
        return {**dict(zip(self.names, self.axes, strict=True)), "exact": self.exact}


def no_sizes(names: tuple[str, ...], exact: bool = True) -> ValidSizes:
    """Return that no size fits; if not `exact`, that none is known."""
    return ValidSizes(((),) * len(names), exact=exact, names=names)


def one_size(size: Sequence[int], names: tuple[str, ...]) -> ValidSizes:
    """Return one size, which was tried."""
    return ValidSizes(tuple((Interval(n, n),) for n in size), exact=False, names=names)


def to_intervals(sizes: Sides, fits: Fits) -> tuple[Interval, ...]:
    """Return the unbroken runs; a run that reaches the largest size has no end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fits, [False]]).astype(np.int8)))
    return tuple(
        Interval(int(sizes[start]), None if stop == len(sizes) else int(sizes[stop - 1]))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def nearest_side(side: int, intervals: Sequence[Interval], usual: bool) -> int:
    """Return the side that fits and is nearest to one; if `usual`, one that images have."""

    def distance(interval: Interval) -> int:
        first, last = interval
        return max(first - side, 0 if last is None else side - last, 0)

    interval = min(intervals, key=distance)
    if distance(interval) == 0:
        return side
    last = interval.last or max(USUAL_SIZES)
    inside = (n for n in USUAL_SIZES if usual and interval.first <= n <= last)
    return next(inside, interval.first if side < interval.first or usual else last)


def _words(intervals: Sequence[Interval]) -> str:
    """Return the intervals in words; many equal ones at equal distances as a rule."""
    if len(intervals) <= 3:
        return ", ".join(map(str, intervals))
    steps = {b.first - a.first for a, b in pairwise(intervals)}
    first = ", ".join(map(str, intervals[:3]))
    last = intervals[-1].last
    end = f"{intervals[-1]}" if last is not None else "and so on"
    every = f" (every {steps.pop()})" if len(steps) == 1 else ""
    return f"{first}, …, {end}{every}"
