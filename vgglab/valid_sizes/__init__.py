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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import lcm, log
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from vgglab import tracing
from vgglab.tracing import Op, Shape, Trace
from vgglab.tracing.operations import ADAPTIVE_POOLS, RESHAPES, Kind, rows_of
from vgglab.valid_sizes.size_rules import (
    RESIZED,
    AmbiguousError,
    ChosenError,
    Dim,
    Fits,
    Input,
    Layout,
    Map,
    Sides,
    Step,
    Term,
    Unsupported,
    Wanted,
    pass_through,
)

LIMIT = 1024
"""Sizes are looked at from 1 to here, or to twice the input if that is more."""

USUAL_SIZES = (224, 32, 64, 28, 96, 128, 256, 299, 320, 384, 448, 512)
"""Sides of images that are usual; the first ones are preferred."""

TRIES = 3
"""How many sizes are tried where they cannot be worked out."""

MOST_STAGES = 6
"""How many stages may each want a multiple of their own."""

OTHER_WAY = "the forward takes another way at other sizes"
"""Said where the code branches on the size, or loops until a map is small enough."""

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
            _nearest(side, intervals, usual=name in NAMES[2])
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


@dataclass
class Propagation:
    """A trace, walked with all candidate sizes.

    Attributes
    ----------
    sizes
        The candidate sizes.
    given
        The size of each axis at which the trace was made.
    names
        What the axes are called.
    layouts
        How the axes are held in the output of each operation (the k-th input is -1 - k);
        operations whose output no longer depends on them have no entry.
    fits
        For each axis whether each candidate gets through.
    wanted
        Features with the number that a layer insists on.
    unsupported
        Why the propagation ended early; ``None`` if it did not.
    ambiguous
        Whether a larger input may tell what this one did not.
    asked
        The size that a reader asked about, if this is another trace of the same network.
    chosen
        Whether a second trace may tell what sizes the code chose.
    assumed
        Operations whose arguments count as numbers, since they are the same in two traces.
    """

    sizes: Sides
    given: tuple[int, ...]
    names: tuple[str, ...]
    layouts: dict[int, Layout]
    fits: tuple[Fits, ...]
    wanted: list[Wanted] = field(default_factory=list)
    unsupported: str | None = None
    ambiguous: bool = False
    asked: tuple[int, ...] = ()
    chosen: bool = False
    assumed: list[int] = field(default_factory=list)

    def valid_sizes(self) -> ValidSizes:
        """Return the sizes that fit, each axis for itself.

        Where features are counted, the axes depend on each other. Then the sizes are those that
        give the same feature map as a square image does or, if no square image fits, the feature
        map that is nearest to a square; of a clip or a long image, that is nearest to the input.
        """
        fits = list(self.fits)
        if self.wanted:
            picked = self._picked
            if picked is None:
                return ValidSizes(((),) * len(fits), names=self.names)
            for term in self._terms():
                for axis, sides in term.sides.items():
                    fits[axis] = fits[axis] & (sides == sides[picked[axis]])
        return ValidSizes(tuple(_intervals(self.sizes, fit) for fit in fits), names=self.names)

    def map_that_fits(self) -> tuple[int, ...] | None:
        """Return the sides of the map that gives the features that are wanted.

        ``None`` if no map does, or if they come from several maps.
        """
        terms = [term for term in self._terms() if term.sides]
        picked = self._picked if len(terms) == 1 else None
        if picked is None:
            return None
        return tuple(int(sides[picked[axis]]) for axis, sides in sorted(terms[0].sides.items()))

    def _terms(self) -> list[Term]:
        return [term for wanted in self.wanted for term in wanted.terms]

    def sizes_with(self, source: int, sides: tuple[int, ...]) -> ValidSizes:
        """Return the sizes for which the map that operation `source` returns has these sides."""
        layout = self.layouts.get(source)
        if not isinstance(layout, Map) or not layout.is_plain:
            return ValidSizes(((),) * len(self.fits), names=self.names)
        fits = list(self.fits)
        for axis, place in layout.places.items():
            if -place <= len(sides):
                fits[axis] = fits[axis] & (layout.sides[axis] == sides[place])
        return ValidSizes(tuple(_intervals(self.sizes, fit) for fit in fits), names=self.names)

    def sizes_of_output(self, source: int) -> ValidSizes:
        """Return the sizes for which what operation `source` returns is as large as the input."""
        layout = self.layouts.get(source)
        assert isinstance(layout, Map)
        fits = [fit & (layout.sides[axis] == self.sizes) for axis, fit in enumerate(self.fits)]
        return ValidSizes(tuple(_intervals(self.sizes, fit) for fit in fits), names=self.names)

    @property
    def _picked(self) -> dict[int, int] | None:
        """The index of a size for each axis on which features depend, such that all are right."""
        axes = sorted({axis for term in self._terms() for axis in term.sides})
        if not axes:
            return {} if all(_is_right(wanted, {}) for wanted in self.wanted) else None
        tied = [axis for axis in axes if self.names[axis] in NAMES[2]]
        ways: list[list[list[int]]] = [[[axis] for axis in axes]]
        if len(tied) == 2:
            loose = [[axis] for axis in axes if axis not in tied]
            height, width = ((self.asked or self.given)[axis] for axis in tied)
            # A long image (a spectrogram, say) rather keeps one of its sides than becomes square.
            is_long = max(height, width) > 2 * min(height, width)
            ways.insert(len(ways) if is_long else 0, [*loose, tied])
        return next(filter(None, (self._among(groups) for groups in ways)), None)

    def _among(self, groups: list[list[int]]) -> dict[int, int] | None:
        """Return the best choice where the axes of each group have the same size."""
        choices = [self._choices(group) for group in groups]
        *outer, inner = choices
        best: tuple[float, dict[int, int]] | None = None
        few = round(MOST ** (1 / max(len(outer), 1)))
        for start in _product([c[:few] for c in outer]):
            picked = {a: i for g, i in zip(groups, start, strict=False) for a in g}
            good = np.ones(len(inner), dtype=bool)
            for wanted in self.wanted:
                total = np.zeros(len(inner), dtype=np.int64)
                for term in wanted.terms:
                    count = np.full(len(inner), term.channels, dtype=np.int64)
                    for axis, sides in term.sides.items():
                        count *= sides[picked[axis]] if axis in picked else sides[inner]
                    total += count
                good &= total == wanted.features
            for index in inner[good]:
                found = picked | {axis: int(index) for axis in groups[-1]}
                distance = self._distance(found)
                if best is None or distance < best[0]:
                    best = distance, found
        return best and best[1]

    def _choices(self, group: list[int]) -> Sides:
        """Return the first index for each different way in which the sizes of a group count."""
        fit = np.all([self.fits[axis] for axis in group], axis=0)
        columns = np.stack(
            [t.sides[axis] for t in self._terms() for axis in group if axis in t.sides]
        )
        indices: Sides = np.flatnonzero(fit)
        if not len(indices):
            return indices
        return indices[np.sort(np.unique(columns[:, fit], axis=1, return_index=True)[1])]

    def _distance(self, picked: dict[int, int]) -> float:
        """Return how far a map is from what is most likely: a square, or the map that came."""
        first = next(term for term in self._terms() if term.sides)
        sides = {axis: sides[picked[axis]] for axis, sides in first.sides.items()}
        flat = [axis for axis in sides if self.names[axis] in NAMES[2]]
        given = [(self.asked or self.given)[axis] for axis in flat]
        if len(sides) == len(flat) == 2 and max(given) <= 2 * min(given):
            return abs(int(sides[flat[0]]) - int(sides[flat[1]]))
        return sum(
            abs(log(side / max(int(first.sides[axis][self.given[axis] - 1]), 1)))
            for axis, side in sides.items()
        )


MOST = 4096
"""How many combinations of sides are tried, of all axes but the last group."""


def _product(choices: list[Sides]) -> Iterator[tuple[int, ...]]:
    if not choices:
        yield ()
        return
    for first in choices[0]:
        for rest in _product(choices[1:]):
            yield (int(first), *rest)


def _is_right(wanted: Wanted, picked: dict[int, int]) -> bool:
    return sum(term.count(picked) for term in wanted.terms) == wanted.features


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
    found = _search(model, trace, propagation)
    if found.sizes or found.because is not None or trace.failure is None:
        return found
    return _by_another_way(model, trace, propagation, found)


def _search(model: nn.Module, trace: Trace, propagation: Propagation) -> Search:
    stops: list[Trace] = []
    if propagation.ambiguous and trace.failure is None:
        larger = retrace(model, trace, [3 * side for side in propagation.given])
        again = propagate(larger)
        if larger.failure is None and again.unsupported is None:
            again.asked = propagation.given
            trace, propagation = larger, again
    propagation = with_second(model, trace, propagation)
    while propagation.unsupported is None:
        sizes = propagation.valid_sizes()
        if trace.failure is None or not sizes or len(stops) == TRIES:
            break
        further = retrace(model, trace, sizes.nearest(propagation.given))
        again = with_second(model, further, propagate(further))
        again.asked = propagation.asked or propagation.given
        stops.append(further)
        if further.failure is not None and len(further.ops) <= len(trace.ops):
            if again.unsupported is None and not _meet(sizes, again.valid_sizes()):
                sizes = ValidSizes(((),) * len(sizes.axes), names=sizes.names)
                return Search(sizes, tuple(stops))
            trace, propagation = further, again
            break
        trace, propagation = further, again
    if propagation.unsupported is not None:
        sizes, because = _tried(model, trace, propagation)
        return Search(sizes, tuple(stops), because)
    sizes = propagation.valid_sizes()
    if trace.failure is not None and sizes:
        sizes = ValidSizes(((),) * len(sizes.axes), exact=False, names=sizes.names)
    elif sizes and any(wanted.is_of_cells for wanted in propagation.wanted):
        sizes = _as_the_code_says(model, trace, sizes, propagation.given)
    elif sizes and not _is_one_way(model, trace, sizes, propagation.given):
        return Search(_alone(propagation.given, sizes.names), tuple(stops), OTHER_WAY)
    return Search(sizes, tuple(stops))


def _alone(size: Sequence[int], names: tuple[str, ...]) -> ValidSizes:
    """Return one size, which was tried."""
    return ValidSizes(tuple((Interval(n, n),) for n in size), exact=False, names=names)


def _is_one_way(model: nn.Module, trace: Trace, sizes: ValidSizes, given: tuple[int, ...]) -> bool:
    """Tell whether the forward does at the ends of the sizes that fit, and beyond, what it did.

    A branch on the size and a loop over it show at the ends, wherever between them the code
    changes its way. Other operations that leave the same sizes, such as a padding where one is
    needed, are no other way; nor is a size that runs because it mixes the images of the batch.
    """
    if not trace.reads_sizes:
        return True
    firsts = tuple(intervals[0].first for intervals in sizes.axes)
    lasts = [intervals[-1].last for intervals in sizes.axes]
    below = tuple(max(first // 2, 1) for first in firsts)
    ends = zip(lasts, given, strict=True)
    above = tuple(2 * last if last else max(LIMIT, 2 * side) for last, side in ends)
    for size in dict.fromkeys((below, firsts, above)):
        other = trace if size == given else retrace(model, trace, size)
        if other.failure is not None:
            if size in sizes:
                return False
        elif size not in sizes or not _same_way(trace, other):
            propagation = propagate(other)
            if size in sizes:
                propagation = with_second(model, other, propagation)
            propagation.asked = given
            if propagation.unsupported is not None or propagation.valid_sizes() != sizes:
                return False
    return True


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

    Where it takes the same way at the smallest size that comes as far and at a large one, what
    was `found` stays.
    """
    given, way = propagation.given, _way(trace)
    if not trace.reads_sizes or not way:
        return found
    fits = [np.flatnonzero(fit) for fit in propagation.fits]
    small = tuple(int(fit[0]) + 1 if len(fit) else 1 for fit in fits)
    for size in (small, tuple(max(LIMIT, 2 * side) for side in given)):
        other = retrace(model, trace, size)
        if other.failure is not None and _way(other) == way[: len(_way(other))]:
            continue
        again = with_second(model, other, propagate(other))
        if again.unsupported is not None or again.valid_sizes():
            break
    else:
        return found
    for size in (*(tuple(max(side >> k, 1) for side in given) for k in range(1, 5)), small):
        other = retrace(model, trace, size)
        if other.failure is None:
            sizes = _search(model, other, propagate(other)).sizes
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
        far = given + max(given, DIVISORS.stop)  # so that maps differ after strides as well
        best = best[best >= far - 1] if best[-1] >= far - 1 else best
        # What depends on remainders shows if few numbers divide by how much the maps differ.
        apart = np.abs(sides[:, best] - here[:, None])
        alike = sum((apart % divisor == 0).sum(0) for divisor in DIVISORS)
        chosen = int(min(zip(alike, np.abs(best - far), best, strict=True))[-1])
        probe.append(chosen + 1)
        taken.update(zip(here, sides[:, chosen], strict=True))
    second = retrace(model, trace, probe)
    found = propagate(trace, second, tuple(probe))
    if found.assumed and all(fit.any() for fit in found.fits):
        # What is zero from a certain size on, such as a padding to it, shows in the smallest one.
        smallest = retrace(model, trace, [int(np.flatnonzero(fit)[0]) + 1 for fit in found.fits])
        doubted = frozenset(k for k in found.assumed if not _agrees(trace.ops[k], smallest))
        if doubted:
            found = propagate(trace, second, tuple(probe), doubted)
    found.asked = propagation.asked
    return found


DIVISORS = range(2, 33)
"""Numbers by whose remainders code may pad."""


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
            continue
        found = search(model, further, propagate(further))
        if found.because != OTHER_WAY and given not in found.sizes:
            return found.sizes, found.because
        # The code looks at the size, where no operation does.
        sizes = next((sizes for sizes in insisted if size in sizes), _alone(size, names))
        return replace(sizes, exact=False), because
    return ValidSizes(((),) * len(given), exact=False, names=names), because


def _multiple(model: nn.Module, trace: Trace, given: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the multiple nearest to a size for which code ends that says what must be divisible.

    Windows and grids of several stages say so one after the other, each of its own map.
    """
    size, step = given, 1
    for _ in range(MOST_STAGES):
        if trace.failure is None:
            return size
        said = re.search(
            r"(\d+) (?:must|should) be (?:divisible by|a multiple of) (?:[a-z_]+ )*(\d+)",
            trace.failure.message,
        )
        if trace.failure.op is not None or said is None or not int(said[1]) * int(said[2]):
            return None
        stride = max(round(size[-1] / int(said[1])), 1)
        step = lcm(step, stride * int(said[2]))
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
            intervals = tuple(_intervals(propagation.sizes, fit) for fit in fits)
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
    words = failure.message + (failure.line.code if failure.line else "")
    named = map(int, re.findall(r"(?<![\w.])\d{2,4}(?![\w.])", words))
    sides = [*named, 224, round(given[0] / 32) * 32, 256]
    guesses += [(side, side) for side in sides if side >= 8]
    return list(dict.fromkeys(guesses))


class Axes(NamedTuple):
    """The axes of the input over which a network works.

    Attributes
    ----------
    inputs
        The inputs that have them, by index: the main one first.
    places
        The dimension of each axis, from the end.
    names
        What they are called.
    """

    inputs: tuple[int, ...]
    places: tuple[int, ...]
    names: tuple[str, ...]


def axes_of(trace: Trace) -> Axes:
    """Return which dimensions of the input vary: those over which the network's windows slide.

    The main input is the first with the most dimensions; others with the same ones, such as the
    second image of a pair, vary with it.
    """
    sizes = trace.input_sizes
    main = max(range(len(sizes)), key=lambda k: (len(sizes[k]), -k))
    shape = sizes[main]
    failed = [trace.failure.op] if trace.failure and trace.failure.op else []
    places = _places(shape, [*trace.ops, *failed], trace.failure.type if trace.failure else "")
    same = [
        k
        for k, other in enumerate(sizes)
        if len(other) == len(shape) and all(other[p] == shape[p] for p in places)
    ]
    inputs = (main, *(k for k in same if k != main))
    names = ("features",) if len(shape) < 3 else NAMES[len(places)]
    return Axes(inputs, places, names)


def _places(shape: Shape, ops: Sequence[Op], stopped: str) -> tuple[int, ...]:
    rank = len(shape)
    if rank == 3 and not ops and stopped.startswith(("MultiheadAttention", "Transformer")):
        return (-2,)
    layer = re.search(r"(?:Pool|Conv|Pad|Norm)([123])d$", stopped)
    if not ops and layer and int(layer[1]) < rank:
        return tuple(range(-int(layer[1]), 0))
    for op in ops:
        if op.kind is Kind.RECURRENT and rank == 3:
            return (-2,) if op.options["batch_first"] else (-3,)
        slides = len(op.all_windows)
        if op.kind in ADAPTIVE_POOLS:
            slides = len(op.options["output_size"])
        if op.kind is Kind.CONVOLUTION and not slides:
            slides = len(op.options["kernel_size"])  # its input has too few dimensions
        if slides == 2 and rank == 3 and _is_of_signals(op):
            slides = 1
        if slides == 3 and rank < 5 and op.kind is not Kind.CONVOLUTION:
            continue  # over the channels: local response normalisation
        if slides == 2 and rank == 5:  # frames, each of which is treated as an image
            channels = op.input_shapes[0][-3]
            return (-3 if shape[1] == channels != shape[2] else -4, -2, -1)
        if slides:
            return tuple(range(-min(slides, rank - 1, 3), 0))
        if rank == 3 and _reads_sequence(op, shape):
            return (-2,)
    return tuple(range(-min(max(rank - 2, 1 if rank < 3 else 2), 3), 0))


def _reads_sequence(op: Op, shape: Shape) -> bool:
    """Tell a layer that reads the last dimension of the input itself, as that of a sequence."""
    if op.kind is Kind.LAYER_NORM:
        return op.sources == (-1,) and len(op.options["normalized_shape"]) == 1
    rows = rows_of(shape)
    return op.sources == (-1,) and op.kind is Kind.VIEW and op.output_shapes == (rows,)


def _is_of_signals(op: Op) -> bool:
    """Tell a pooling of signals, which torch executes as one of maps of height 1."""
    shape, windows = op.input_shapes[0], op.all_windows
    return len(shape) == 4 and shape[-2] == 1 and windows[0].kernel_size == 1


def propagate(
    trace: Trace,
    beside: Trace | None = None,
    probe: tuple[int, ...] = (),
    doubted: frozenset[int] = frozenset(),
) -> Propagation:
    """Push all sizes through a trace from 1 to `LIMIT` at once.

    Parameters
    ----------
    trace
        Of any network. If the forward stopped, the operation that refused counts: it says what it
        wants.
    beside
        Another trace of the network, if sizes that the code chose are to be told: `with_second`.
    probe
        The size of each axis in that trace.
    doubted
        Operations whose arguments are no numbers, although they are the same in both traces.
    """
    axes = axes_of(trace)
    shape = trace.input_sizes[axes.inputs[0]]
    given = tuple(shape[place] for place in axes.places if -place <= len(shape))
    count = max(LIMIT, 2 * max(given, default=1))
    sizes = np.arange(1, count + 1)
    layouts: dict[int, Layout] = {}
    for k in axes.inputs:
        dims = [Dim(side) for side in trace.input_sizes[k]]
        for axis, place in enumerate(axes.places):
            dims[place] = Dim(1, (axis,))
        layouts[-1 - k] = Map(tuple(dims), dict.fromkeys(range(len(axes.places)), sizes))
    fits = tuple(np.ones(count, dtype=bool) for _ in axes.places)
    propagation = Propagation(sizes, given, axes.names, layouts, fits)
    shapes = {-1 - k: size for k, size in enumerate(trace.input_sizes)}
    failure = trace.failure
    if failure is not None and failure.op is None:
        propagation.unsupported = "the error came from Python code"
    for op in (*trace.ops, failure.op) if failure and failure.op else trace.ops:
        inputs = [_input(propagation, trace, op, source, shapes[source]) for source in op.sources]
        step = Step(
            op,
            inputs,
            trace,
            fits,
            propagation.wanted,
            tuple(side - 1 for side in given),
            beside,
            tuple(side - 1 for side in probe),
            layouts,
            doubted,
            propagation.assumed,
        )
        is_resized = op.kind in RESIZED and bool(inputs) and step.beside is not None
        if is_resized or any(layout is not None for layout, _ in inputs):
            try:
                layout = pass_through(step)
            except Unsupported as reason:
                found = f"{op.name} in {op.path or 'the model'}: {reason}"
                propagation.unsupported = propagation.unsupported or found
                propagation.ambiguous = isinstance(reason, AmbiguousError)
                propagation.chosen = isinstance(reason, ChosenError) and beside is None
                break
            if layout is not None:
                propagation.layouts[op.index] = layout
        elif step.refused:  # what does not depend on the image
            step.nothing_fits()
        if op.output_shapes:
            shapes[op.index] = op.output_shapes[0]
    return propagation


def _input(propagation: Propagation, trace: Trace, op: Op, source: int, shape: Shape) -> Input:
    """Return what an operation reads of a source; of a recurrent layer it may be the last state."""
    layout = propagation.layouts.get(source)
    is_recurrent = source >= 0 and trace.ops[source].kind is Kind.RECURRENT
    if is_recurrent and shape not in op.input_shapes and isinstance(layout, Map):
        states = trace.ops[source].output_shapes[1:]
        state = next((s for s in states if s in op.input_shapes), shape)
        batch_first = trace.ops[source].options["batch_first"]
        batch = layout.dims[0 if batch_first else 1]
        dims = (Dim(state[0]), batch, Dim(state[-1]))
        return Input(layout.with_dims(dims) if len(state) == 3 else None, state)
    return Input(layout, shape)


def _intervals(sizes: Sides, fits: Fits) -> tuple[Interval, ...]:
    """Return the unbroken runs; a run that reaches the largest size has no end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fits, [False]]).astype(np.int8)))
    return tuple(
        Interval(int(sizes[start]), None if stop == len(sizes) else int(sizes[stop - 1]))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def _nearest(side: int, intervals: Sequence[Interval], usual: bool) -> int:
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
