"""How tensors hold the axes of the input, and what the rule of an operation is given of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgglab.tracing import Op, Shape, Trace

Sides: TypeAlias = NDArray[np.int64]
Fits: TypeAlias = NDArray[np.bool_]


class Dim(NamedTuple):
    """What one dimension of a tensor holds: a number times the sides of some axes.

    The channels of a map are ``Dim(64)``, its height is ``Dim(1, (0,))``, and a map that was
    flattened is ``Dim(64, (0, 1))``.
    """

    number: int
    axes: tuple[int, ...] = ()
    more: int = 0
    """What stands beside that: the class token in a sequence of patches."""
    behind: int = 1
    """How much of the number comes after the axes: of steps that each hold a batch, the batch."""

    @property
    def is_axis(self) -> bool:
        """Whether it is one axis and nothing else."""
        return self.number == 1 and len(self.axes) == 1 and not self.more


class Term(NamedTuple):
    """Features of a map: `channels` times its sides, one array for each axis that counts."""

    channels: int
    sides: Mapping[int, Sides]

    def count(self, picked: Mapping[int, int]) -> int:
        """Return the number of features for one candidate size of each axis."""
        return self.channels * prod(int(sides[picked[k]]) for k, sides in self.sides.items())


@dataclass(frozen=True)
class Map:
    """Where the axes of the input (height and width, say) are in a tensor.

    Attributes
    ----------
    dims
        What each dimension holds.
    sides
        The side of each axis, for each candidate size; 0 where there is none.
    """

    dims: tuple[Dim, ...]
    sides: Mapping[int, Sides]

    @property
    def places(self) -> dict[int, int]:
        """The dimension of each axis that has one for itself, from the end."""
        rank = len(self.dims)
        return {dim.axes[0]: k - rank for k, dim in enumerate(self.dims) if dim.is_axis}

    @property
    def is_plain(self) -> bool:
        """Whether each of its axes has a dimension for itself."""
        return len(self.places) == len({axis for dim in self.dims for axis in dim.axes})

    def term(self, dim: int) -> Term:
        """Return what a dimension holds as a number of features."""
        number, axes, *_ = self.dims[dim]
        return Term(number, {axis: self.sides[axis] for axis in axes})

    def with_dims(self, dims: tuple[Dim, ...]) -> "Map | None":
        """Return the same map with other dimensions; ``None`` if no axis is left."""
        kept = {axis for dim in dims for axis in dim.axes}
        return Map(dims, {axis: self.sides[axis] for axis in kept}) if kept else None


@dataclass(frozen=True)
class Flat:
    """Features of several maps, or of a map and something else, laid out one after the other."""

    terms: tuple[Term, ...]


Layout: TypeAlias = Map | Flat

COPIES = 4
"""How often an axis may be in a map: attention compares each cell with each other.

Its copies are numbered on: of an image 0 and 1 are height and width, 2 and 3 are these again.
"""


class Wanted(NamedTuple):
    """A number of features that a layer insists on, and what it gets."""

    terms: tuple[Term, ...]
    features: int
    is_of_cells: bool = False
    """Whether it is a number of cells, for each of which there is a parameter."""


class Unsupported(Exception):  # noqa: N818 - not an error: it ends the propagation
    """An operation whose sizes cannot be told from one trace."""


class AmbiguousError(Unsupported):
    """Sides of 1, which may stand anywhere in a view: a larger input tells."""


class ChosenError(Unsupported):
    """A size that the code chose, a number or that of another map: a second trace tells."""


class Input(NamedTuple):
    """What an operation reads: how it holds the axes, if it does, and its shape."""

    layout: Layout | None
    shape: Shape


@dataclass(frozen=True)
class Step:
    """One operation of the propagation: what its rule reads, and what it may add.

    Attributes
    ----------
    op
        The operation.
    inputs
        What it reads of its sources.
    trace
        The trace that is walked through.
    fits
        For each axis whether each candidate size gets through; rules narrow it.
    wanted
        Features with the number that a layer insists on; rules append to it.
    traced
        For each axis the index of the candidate size that was traced.
    second
        A trace at another size, if there is one.
    probed
        For each axis the index of that size.
    known
        How the operations before hold the axes.
    doubted, assumed
        As of `vgglab.valid_sizes.propagation.propagate` and of what it returns; rules append to the
        second.
    """

    op: Op
    inputs: list[Input]
    trace: Trace
    fits: tuple[Fits, ...]
    wanted: list[Wanted]
    traced: tuple[int, ...]
    second: Trace | None = None
    probed: tuple[int, ...] = ()
    known: Mapping[int, Layout] = field(default_factory=dict)
    doubted: frozenset[int] = frozenset()
    assumed: list[int] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        return self.trace.failure is not None and self.op is self.trace.failure.op

    @property
    def beside(self) -> Op | None:
        """The same operation in the second trace."""
        if self.second is None:
            return None
        failure = self.second.failure
        ops = (*self.second.ops, *([failure.op] if failure and failure.op else []))
        twin = ops[self.op.index] if self.op.index < len(ops) else None
        same = twin and (twin.name, twin.path, twin.sources) == (
            self.op.name,
            self.op.path,
            self.op.sources,
        )
        return twin if same else None

    def same_beside(self, source: int) -> bool:
        """Tell whether what a source returns has the same shape in the second trace."""
        if self.second is None or not 0 <= source < len(self.second.ops):
            return False
        return self.second.ops[source].output_shapes == self.trace.ops[source].output_shapes

    @property
    def first(self) -> Input:
        """The first input that depends on the size of the image."""
        return next(given for given in self.inputs if given.layout is not None)

    def map(self) -> Map:
        """Return the one map that the operation reads."""
        layout = self.first.layout
        if not isinstance(layout, Map):
            raise Unsupported("it reads no feature map")
        return layout

    @property
    def rank(self) -> int:
        """How many axes the input has."""
        return len(self.fits) // COPIES

    def require(self, axis: int, fit: Fits) -> None:
        self.fits[axis][...] &= fit

    def require_features(self, term: Term, features: int) -> None:
        """Let only sizes through that give so many features."""
        if any(axis >= self.rank for axis in term.sides):
            raise Unsupported("it reads how each cell goes with each other")
        if len(term.sides) == 1:
            ((axis, sides),) = term.sides.items()
            self.require(axis, term.channels * sides == features)
        elif term.sides:
            self.wanted.append(Wanted((term,), features))
        elif term.channels != features:
            self.nothing_fits()

    def nothing_fits(self) -> None:
        for fit in self.fits:
            fit[...] = False

    def on_sides(self, layout: Map, change: Callable[[int, Sides], Sides]) -> Map:
        """Return a map whose axes have other sides; sides below 1 do not get through.

        `change` gets the dimension that holds an axis, from the end, and the sides of the axis.
        """
        sides = dict(layout.sides)
        for axis, place in layout.places.items():
            before = sides[axis]
            after = np.where(before > 0, np.maximum(change(place, before), 0), 0)
            self.require(axis, after > 0)
            sides[axis] = after
        return Map(layout.dims, sides)

    def chosen(self, place: int, reason: str) -> tuple[Dim, Sides | None]:
        """Return what a dimension of the output holds whose size the code chose.

        It is a number if a second trace has the same, else a side of the one map that had this size
        in both.
        """
        beside = self.beside
        if beside is None or not beside.output_shapes or self.refused:
            raise ChosenError(reason)
        here, there = self.op.output_shapes[0][place], beside.output_shapes[0][place]
        if here == there:
            pairs = zip(self.traced, self.probed, strict=True)
            if not all(max(a, b) + 1 >= 2 * (min(a, b) + 1) for a, b in pairs):
                raise Unsupported(reason)  # a part of the image, rounded down, may stay as well
            return Dim(here), None
        found: list[tuple[int, Sides]] = []
        for layout in self.known.values():
            for axis, sides in layout.sides.items() if isinstance(layout, Map) else ():
                if axis >= self.rank:
                    continue
                if (sides[self.traced[axis]], sides[self.probed[axis]]) != (here, there):
                    continue
                if not any(axis == a and are_equal(sides, other) for a, other in found):
                    found.append((axis, sides))
        if len(found) != 1:
            raise Unsupported(reason)
        ((axis, sides),) = found
        self.require(axis, sides > 0)
        return Dim(1, (axis,)), sides

    def require_axes(self, layout: Map, rank: int, reason: str) -> None:
        """Make sure that no axis is merged with something in the last `rank` dimensions."""
        if any(dim.axes and not dim.is_axis for dim in layout.dims[-rank:]):
            raise Unsupported(reason)


def are_equal(one: Sides, other: Sides) -> bool:
    """Tell whether sides are equal at all sizes."""
    return one is other or np.array_equal(one, other)
