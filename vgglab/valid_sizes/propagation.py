"""One trace, walked with all candidate sizes at once."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log
from typing import NamedTuple

import numpy as np

from vgglab.arguments import MAX_SIDE, most_along
from vgglab.tracing import Op, Shape, Trace
from vgglab.tracing.operations import ADAPTIVE_POOLS, WINDOWS, Kind, rows_of
from vgglab.valid_sizes.intervals import (
    NAMES,
    USUAL_SIZES,
    ValidSizes,
    no_sizes,
    to_intervals,
)
from vgglab.valid_sizes.layouts import (
    COPIES,
    AmbiguousError,
    ChosenError,
    Dim,
    Fits,
    Flat,
    Input,
    Layout,
    Map,
    Sides,
    Step,
    Term,
    Unsupported,
    Wanted,
)
from vgglab.valid_sizes.size_rules import RESIZED, pass_through

LIMIT = 1024
"""Sizes are looked at from 1 to here, or to twice the input if that is more; of very long
signals, to `MAX_SIDE` more than that."""


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
    others
        Traces at other sizes that were made to tell that.
    stopped
        The operation at which the propagation ended early: of what follows there are no layouts.
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
    others: dict[tuple[int, ...], Trace] = field(default_factory=dict)
    stopped: int | None = None

    def valid_sizes(self) -> ValidSizes:
        """Return the sizes that fit, each axis for itself.

        Where features are counted, the axes depend on each other. Then the sizes are those that
        give the same feature map as a square image does or, if no square image fits, the feature
        map that is nearest to a square; of a clip or a long image, that is nearest to the input.
        If the input is no square and squares of usual sizes do not fit, its proportion is kept
        where that fits.
        """
        fits = list(self.fits)
        if self.wanted:
            picked = self._picked
            if picked is None:
                return no_sizes(self.names)
            for term in self._terms():
                for axis, sides in term.sides.items():
                    fits[axis] = fits[axis] & (sides == sides[picked[axis]])
        return ValidSizes(tuple(to_intervals(self.sizes, fit) for fit in fits), names=self.names)

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
            return no_sizes(self.names)
        fits = list(self.fits)
        for axis, place in layout.places.items():
            if -place <= len(sides):
                fits[axis] = fits[axis] & (layout.sides[axis] == sides[place])
        return ValidSizes(tuple(to_intervals(self.sizes, fit) for fit in fits), names=self.names)

    def sizes_of_output(self, source: int) -> ValidSizes:
        """Return the sizes for which what operation `source` returns is as large as the input."""
        layout = self.layouts.get(source)
        assert isinstance(layout, Map)
        fits = [fit & (layout.sides[axis] == self.sizes) for axis, fit in enumerate(self.fits)]
        return ValidSizes(tuple(to_intervals(self.sizes, fit) for fit in fits), names=self.names)

    @property
    def _picked(self) -> dict[int, int] | None:
        """The index of a size for each axis on which features depend, such that all are right."""
        axes = sorted({axis for term in self._terms() for axis in term.sides})
        if not axes:
            return {} if all(_is_right(wanted, {}) for wanted in self.wanted) else None
        tied = [axis for axis in axes if self.names[axis] in NAMES[2]]
        each = [[axis] for axis in axes]
        ways: list[list[list[int]]] = [each]
        if len(tied) == 2:
            loose = [[axis] for axis in axes if axis not in tied]
            height, width = ((self.asked or self.given)[axis] for axis in tied)
            # A long image (a spectrogram, say) rather keeps one of its sides than becomes square.
            is_long = max(height, width) > 2 * min(height, width)
            ways.insert(len(ways) if is_long else 0, [*loose, tied])
        best = next(filter(None, (self._among(groups, self._distance) for groups in ways)), None)
        if len(tied) == 2 and height != width and best and not self._is_usual(best, tied):
            # An image that is no square rather keeps its proportions than becomes one.
            found = self._among(each, self._off_proportion)
            if found is not None and self._off_proportion(found) < TINY:
                return found
        return best

    def _among(
        self, groups: list[list[int]], distance_of: Callable[[dict[int, int]], float]
    ) -> dict[int, int] | None:
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
                distance = distance_of(found)
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

    def _off_proportion(self, picked: dict[int, int]) -> float:
        """Return how far the map's height and width are from the proportion of what came."""
        first = next(term for term in self._terms() if term.sides)
        flat = [axis for axis in first.sides if self.names[axis] in NAMES[2]]
        if len(flat) < 2:
            return 1.0
        height, width = (
            first.sides[axis][picked[axis]] / max(int(first.sides[axis][self.given[axis] - 1]), 1)
            for axis in flat
        )
        return abs(log(height / width))

    def _is_usual(self, picked: dict[int, int], axes: list[int]) -> bool:
        """Tell whether images of a usual size give the same maps."""
        return any(
            all(
                term.sides[axis][usual - 1] == term.sides[axis][picked[axis]]
                for term in self._terms()
                for axis in axes
                if axis in term.sides
            )
            for usual in USUAL_SIZES
        )

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


TINY = 1e-9
"""How far a proportion may be from another that is the same."""

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
    as_given = {-1}  # what holds the features of the input last
    for op in ops:
        is_moved = op.kind in (Kind.PERMUTE, Kind.CLONE) and op.after((-1,)) == (-1,)
        if is_moved and {*op.sources} <= as_given:
            as_given.add(op.index)
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
        if rank == 3 and {*op.sources} <= as_given and _reads_sequence(op):
            return (-2,)
    return tuple(range(-min(max(rank - 2, 1 if rank < 3 else 2), 3), 0))


def _reads_sequence(op: Op) -> bool:
    """Tell a layer that reads the last dimension of three, as that of a sequence."""
    if op.kind is Kind.LAYER_NORM:
        return len(op.options["normalized_shape"]) == 1
    return op.kind is Kind.VIEW and op.output_shapes == (rows_of(op.input_shapes[0]),)


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
    shape = trace.input_sizes[axes_of(trace).inputs[0]]
    largest = max(shape[2:], default=max(shape, default=1))
    count = max(LIMIT, largest, min(2 * largest, largest + MAX_SIDE, most_along(shape)))
    found = _propagated(trace, beside, probe, doubted, count)
    if _is_too_small(trace) and count < MAX_SIDE and not all(fit.any() for fit in found.fits):
        found = _propagated(trace, beside, probe, doubted, MAX_SIDE)
        if found.unsupported is None and not all(fit.any() for fit in found.fits):
            found.unsupported = f"no size up to {MAX_SIDE:,} fills a window"
    return found


def _is_too_small(trace: Trace) -> bool:
    """Tell whether a forward stopped at a window that is larger than its map."""
    op = trace.failure.op if trace.failure else None
    if op is None or op.kind not in WINDOWS or not op.all_windows or not op.input_shapes:
        return False
    if op.options.get("transposed"):
        return False
    sides = op.input_shapes[0][-len(op.all_windows) :]
    pairs = zip(op.all_windows, sides, strict=False)
    return any(window.output_size(side) < 1 for window, side in pairs)


def _propagated(
    trace: Trace,
    beside: Trace | None,
    probe: tuple[int, ...],
    doubted: frozenset[int],
    count: int,
) -> Propagation:
    """Push sizes from 1 to `count` through a trace."""
    axes = axes_of(trace)
    shape = trace.input_sizes[axes.inputs[0]]
    given = tuple(shape[place] for place in axes.places if -place <= len(shape))
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
            fits * COPIES,
            propagation.wanted,
            tuple(side - 1 for side in given) * COPIES,
            beside,
            tuple(side - 1 for side in probe) * COPIES,
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
                propagation.stopped = op.index
                break
            if layout is not None:
                propagation.layouts[op.index] = layout
        elif step.refused and trace.reads_sizes and not _is_alike_beside(step):
            propagation.unsupported = f"{op.name} in {op.path or 'the model'}: {_FROM_SIZES}"
            propagation.chosen, propagation.stopped = beside is None, op.index
            break
        elif step.refused:  # what does not depend on the image
            step.nothing_fits()
        if op.output_shapes:
            shapes[op.index] = op.output_shapes[0]
    for index, layout in layouts.items():
        if isinstance(layout, Map) and max(layout.sides) >= len(fits):
            layouts[index] = Flat(())  # what attention compares is no map of the input
    return propagation


_FROM_SIZES = "what it reads may be worked out from the size of the image"


def _is_alike_beside(step: Step) -> bool:
    """Tell whether an operation without maps stops the second trace as well, given the same."""
    twin = step.beside
    if twin is None or twin.output_shapes:
        return False
    given = step.op.options, step.op.input_shapes, step.op.made, step.op.constants
    return given == (twin.options, twin.input_shapes, twin.made, twin.constants)


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
