"""What the cells along one axis of a map see of the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Places: TypeAlias = NDArray[np.int64]

_NOWHERE = np.iinfo(np.int64).max  # first pixel of a cell that sees none


class Pattern(NamedTuple):
    """A field that is the same for every cell but for a shift, as if the image had no border.

    Attributes
    ----------
    size
        Pixels that a cell sees.
    stride
        Pixels from one cell to the next.
    start
        First pixel of cell 0; negative where it sees padding.
    """

    size: int
    stride: int
    start: int

    @property
    def centre(self) -> float:
        """Middle of the field of cell 0; pixel k lies at k."""
        return self.start + (self.size - 1) / 2

    def read_by(self, extent: int, stride: int, start: int) -> "Pattern":
        """Return the pattern of cells that read `extent` of these, every `stride`, from `start`."""
        size = self.size + self.stride * (extent - 1)
        return Pattern(size, self.stride * stride, self.start + self.stride * start)


@dataclass(frozen=True, eq=False)
class Axis:
    """The pixels that each cell depends on, from the first to the last.

    Attributes
    ----------
    first, last
        (cells,): pixels within the image; ``last < first`` if a cell sees nothing of it.
    pattern
        ``None`` if fields differ by more than a shift.
    """

    first: Places
    last: Places
    pattern: Pattern | None

    def __len__(self) -> int:
        return len(self.first)

    def gather(self, taps: Places, pattern: Pattern | None) -> "Axis":
        """Return the axis of a map whose cells read cells of this one.

        Parameters
        ----------
        taps
            (cells, most), which cells; those outside of the map are padding and see nothing.
        pattern
            Of the new axis.
        """
        inside = (taps >= 0) & (taps < len(self))
        at = taps.clip(0, len(self) - 1)
        return Axis(
            np.where(inside, self.first[at], _NOWHERE).min(1, initial=_NOWHERE),
            np.where(inside, self.last[at], -1).max(1, initial=-1),
            pattern,
        )

    @property
    def sees_nothing(self) -> bool:
        """Whether there is a cell that sees padding only."""
        return bool((self.last < self.first).any())

    def everything(self) -> "Axis":
        """Return one cell that sees what all of these see together."""
        return Axis(self.first.min(keepdims=True), self.last.max(keepdims=True), None)


def image_axis(pixels: int) -> Axis:
    """Return the axis of the image itself, where each cell is a pixel."""
    places = np.arange(pixels)
    return Axis(places, places, Pattern(size=1, stride=1, start=0))


def joined(axes: Sequence[Axis]) -> Axis:
    """Return the axis of a map whose cells read the same cell of several maps, or a single one."""
    first = np.minimum.reduce(np.broadcast_arrays(*(axis.first for axis in axes)))
    last = np.maximum.reduce(np.broadcast_arrays(*(axis.last for axis in axes)))
    patterns = [axis.pattern for axis in axes]
    strides = {pattern.stride if pattern else None for pattern in patterns}
    if len(strides) > 1 or None in strides:
        return Axis(first, last, None)
    known = [pattern for pattern in patterns if pattern]
    start = min(pattern.start for pattern in known)
    end = max(pattern.start + pattern.size for pattern in known)
    return Axis(first, last, Pattern(end - start, known[0].stride, start))


def window_taps(places: int, kernel_size: int, stride: int, padding: int, dilation: int) -> Places:
    """Return the taps of a sliding window, (places, kernel_size)."""
    starts = np.arange(places) * stride - padding
    return starts[:, None] + dilation * np.arange(kernel_size)


def transposed_taps(
    places: int, kernel_size: int, stride: int, padding: int, dilation: int
) -> Places:
    """Return the taps of a transposed convolution: cells whose windows reach a place."""
    reach = np.arange(places)[:, None] + padding - dilation * np.arange(kernel_size)
    return np.where(reach % stride == 0, reach // stride, -1)


def bin_taps(bins: Sequence[range]) -> Places:
    """Return the taps of bins of any sizes."""
    most = max(map(len, bins))
    return np.array([[*bin_, *[-1] * (most - len(bin_))] for bin_ in bins])


def nearest_taps(places: int, scale: Fraction) -> Places:
    """Return the taps of nearest-neighbour interpolation; `scale` is in pixels read a place."""
    return np.array([[int(place * scale)] for place in range(places)])


def linear_taps(cells: int, places: int, scale: Fraction, align_corners: bool) -> Places:
    """Return the taps of linear interpolation: two neighbours, or one that is hit exactly."""
    taps = []
    for place in range(places):
        if align_corners:
            at = Fraction(place * (cells - 1), places - 1) if places > 1 else Fraction(0)
        else:
            at = max((place + Fraction(1, 2)) * scale - Fraction(1, 2), Fraction(0))
        low = min(int(at), cells - 1)
        taps.append([low, min(low + 1, cells - 1) if at > low else -1])
    return np.array(taps)
