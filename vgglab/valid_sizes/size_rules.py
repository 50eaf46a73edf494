"""How operations treat height and width: one small rule for each kind of operation."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgglab.shapes import Window
from vgglab.tracing import Op, Shape, Trace
from vgglab.tracing.operations import (
    ADAPTIVE_POOLS,
    PADS,
    REDUCTIONS,
    WINDOWS,
    Dims,
    Kind,
    flattened,
    keeps_maps,
    rows_of,
)

Sides: TypeAlias = NDArray[np.int64]
Fits: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Map:
    """Where height and width of the image are in a tensor.

    Attributes
    ----------
    dims
        The dimensions that hold height and width.
    sides
        For each axis the side of the map, for each candidate size; 0 where there is none.
    """

    dims: Dims
    sides: tuple[Sides, Sides]


class Term(NamedTuple):
    """Features of a map: `channels` times its height times its width, for each candidate size."""

    channels: int
    height: Sides
    width: Sides


@dataclass(frozen=True)
class Flat:
    """Feature maps laid out in a row, one after the other."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Rows:
    """A tensor whose last dimension alone is kept; `shape` and `whole` are as it was before."""

    shape: Shape
    whole: Map


Layout: TypeAlias = Map | Flat | Rows


class Unsupported(Exception):  # noqa: N818 - not an error: it ends the propagation
    """An operation whose sizes cannot be told from one trace."""


class Input(NamedTuple):
    """What an operation reads: how it holds height and width, if it does, and its shape."""

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
        Rows of features with the number that a layer insists on; rules append to it.
    """

    op: Op
    inputs: list[Input]
    trace: Trace
    fits: tuple[Fits, Fits]
    wanted: list[tuple[Flat, int]]

    @property
    def refused(self) -> bool:
        return self.trace.failure is not None and self.op is self.trace.failure.op

    @property
    def first(self) -> tuple[Layout, Shape]:
        """The first input that depends on the size of the image."""
        return next((layout, shape) for layout, shape in self.inputs if layout is not None)

    def map(self) -> Map:
        """Return the one map that the operation reads."""
        layout, _ = self.first
        if not isinstance(layout, Map):
            raise Unsupported("it reads no feature map")
        return layout

    def require(self, axis: int, fit: Fits) -> None:
        self.fits[axis][...] &= fit

    def on_sides(self, layout: Map, change: Callable[[int, Sides], Sides]) -> Map:
        """Return a map with other sides; sides below 1 do not get through."""
        sides = []
        for axis, before in enumerate(layout.sides):
            after = np.where(before > 0, np.maximum(change(axis, before), 0), 0)
            self.require(axis, after > 0)
            sides.append(after)
        return Map(layout.dims, (sides[0], sides[1]))

    def sides_that_meet(self, dims: Dims, axis: int) -> Iterator[Sides | int]:
        """Yield the sides along one axis of all that the operation reads."""
        dim = dims[axis]
        fixed = [(shape, not derived) for shape, derived in self.op.constants]
        for source, (layout, shape) in zip(self.op.sources, self.inputs, strict=True):
            if layout is None:
                fixed.append((shape, self._has_fixed_size(source)))
            elif isinstance(layout, Map) and layout.dims == dims:
                yield layout.sides[axis]
            else:
                raise Unsupported("tensors of different layout meet")
        for shape, is_fixed in fixed:
            side = shape[dim] if len(shape) >= -dim else 1
            if side > 1 and not is_fixed:
                raise Unsupported("it reads a tensor whose size may come from that of the image")
            yield side

    def _has_fixed_size(self, source: int) -> bool:
        """Tell whether height and width are those of an adaptive pooling or of another input."""
        while source >= 0:
            op = self.trace.ops[source]
            if op.kind in ADAPTIVE_POOLS:
                return True
            if len(op.sources) != 1 or op.input_shapes[0][-2:] != op.output_shapes[0][-2:]:
                return False
            source = op.sources[0]
        return True


def _window(step: Step) -> Layout | None:
    layout, op = step.map(), step.op
    windows, transposed = op.windows, op.transposed_windows
    if layout.dims != (-2, -1):
        raise Unsupported("its windows do not slide over height and width")
    if windows is not None:
        return step.on_sides(layout, lambda axis, sides: _places(windows[axis], sides))
    if transposed is None:
        raise Unsupported("its windows are not two-dimensional")

    def grown(axis: int, sides: Sides) -> Sides:
        window, extra = transposed[axis], op.options["output_padding"][axis]
        places: Sides = (sides - 1) * window.stride + window.extent - 2 * window.padding + extra
        return places

    return step.on_sides(layout, grown)


def _places(window: Window, sides: Sides) -> Sides:
    largest = int(sides.max(initial=1))
    places: Sides = _table(window, 1 << largest.bit_length())[sides]
    return places


@lru_cache(maxsize=1024)
def _table(window: Window, count: int) -> Sides:
    places: Sides = np.array([0, *map(window.output_size, range(1, count))], dtype=np.int64)
    return places


def _adaptive_pool(step: Step) -> Layout | None:
    """Whatever comes, the output has one size: nothing after it depends on the image."""
    step.on_sides(step.map(), lambda axis, sides: sides)
    return None


def _reduction(step: Step) -> Layout | None:
    if step.op.acted_on.issuperset(step.map().dims):
        return _adaptive_pool(step)
    return _part(step)


def _same(step: Step) -> Layout | None:
    """Let an operation pass that treats each element, or each channel, for itself."""
    layout, shape = step.first
    if step.refused:
        return None
    if step.op.output_shapes[0] != shape:
        raise Unsupported("its output has another shape than its input")
    return layout


def _layer_norm(step: Step) -> Layout | None:
    layout = _same(step)
    if isinstance(layout, Map):
        for axis, dim in enumerate(layout.dims):
            if dim in step.op.acted_on:
                wanted = step.op.options["normalized_shape"][dim]
                step.require(axis, layout.sides[axis] == wanted)
    return layout


def _broadcast(step: Step) -> Layout | None:
    """Along each axis sides are equal, or one of them is 1."""
    layouts = [layout for layout, _ in step.inputs if layout is not None]
    if all(isinstance(layout, Flat) for layout in layouts):
        if len({id(layout) for layout in layouts}) > 1:
            raise Unsupported("two rows of features meet")
        return layouts[0]
    return _together(step, stretched=True)


def _together(step: Step, *, stretched: bool = False) -> Map:
    """Let maps of equal sides meet; with `stretched` a side of 1 is repeated."""
    dims, joint = step.map().dims, list(step.map().sides)
    for axis in (0, 1):
        for side in step.sides_that_meet(dims, axis):
            equal = joint[axis] == side
            one = (joint[axis] == 1) | np.equal(side, 1)
            step.require(axis, equal | one if stretched else equal)
            joint[axis] = np.maximum(joint[axis], side)
    return Map(dims, (joint[0], joint[1]))


def _cat(step: Step) -> Layout | None:
    if any(isinstance(layout, Flat) for layout, _ in step.inputs):
        one = np.ones(len(step.fits[0]), dtype=np.int64)
        terms = [
            term
            for layout, shape in step.inputs
            for term in (layout.terms if isinstance(layout, Flat) else [Term(shape[-1], one, one)])
        ]
        if (
            step.refused
            or sum(shape[-1] for _, shape in step.inputs) != (step.op.output_shapes[0][-1])
        ):
            raise Unsupported("not every part of the row is known")
        return Flat(tuple(terms))
    if step.op.acted_on & {*step.map().dims}:
        raise Unsupported("it joins maps along height or width")
    return _together(step)


def _stack(step: Step) -> Layout | None:
    return _moved(step, _together(step))


def _linear(step: Step) -> Layout | None:
    """Note how many features a linear layer insists on."""
    layout, shape = step.first
    failure = step.trace.failure
    features = failure.input_shapes[-1][0] if step.refused and failure else shape[-1]
    if isinstance(layout, Flat):
        step.wanted.append((layout, features))
        return None
    if isinstance(layout, Rows) and -1 not in layout.whole.dims:
        return layout
    whole = layout.whole if isinstance(layout, Rows) else layout
    if not isinstance(whole, Map) or whole.dims[1] != -1:
        raise Unsupported("it reads neither a row of features nor channels")
    step.require(1, whole.sides[1] == features)  # it reads the columns of the map, see diagnose
    if not step.refused:
        raise Unsupported("it reads the columns of a map as features")
    return None


def _view(step: Step) -> Layout | None:
    layout, shape = step.first
    options = step.op.options
    size = list(options.get("size") or options.get("shape") or ())
    out = None if step.refused else step.op.output_shapes[0]
    if isinstance(layout, Rows) and out is not None and out[:-1] == layout.shape[:-1]:
        return layout.whole
    if not isinstance(layout, Map):
        raise Unsupported("it lays out features anew")
    if out is not None:
        if keeps_maps(shape, out, layout.dims):
            return layout
        # A linear layer that gets a map lays it out itself, and knows how many rows there are.
        by_linear = step.trace.modules.get(step.op.path) == "Linear"
        if out == rows_of(shape) and (by_linear or not (out == flattened(shape) or -1 in size)):
            return Rows(shape, layout)
    if len(shape) != 4 or len(out or size) != 2:
        raise Unsupported("it merges height and width with something else")
    sides = [shape[dim] for dim in layout.dims]
    channels = prod(shape[1:]) // prod(sides)
    flat = Flat((Term(channels, *layout.sides),))
    if out is None or out[0] != shape[0]:  # the code says how many features there must be
        step.wanted.append((flat, size[1]))
        return None
    return flat


def _part(step: Step) -> Layout | None:
    """Take a part along dimensions other than height and width, or drop them."""
    if step.op.acted_on & {*step.map().dims}:
        raise Unsupported("it takes a part of height or width, or drops them")
    return _moved(step)


def _moved(step: Step, layout: Map | None = None) -> Map:
    layout = layout or step.map()
    dims = step.op.after(layout.dims)
    if dims is None:
        raise Unsupported("it drops height or width")
    return Map(dims, layout.sides)


def _pad(step: Step) -> Layout | None:
    layout, op = step.map(), step.op
    pads = [op.padding(dim) for dim in layout.dims]
    by_module = re.search(r"Pad2d$|^Conv", step.trace.modules.get(op.path, ""))
    if any(map(sum, pads)) and not by_module:
        raise Unsupported("how much it pads may depend on the size")
    if op.kind is Kind.REFLECTION_PAD:
        for axis, pad in enumerate(pads):
            step.require(axis, layout.sides[axis] > max(pad))
    return step.on_sides(layout, lambda axis, sides: sides + sum(pads[axis]))


def _upsample(step: Step) -> Layout | None:
    height, width = step.op.scales
    if height is None or width is None:
        raise Unsupported("the size that it resizes to may depend on the image")
    scales = height, width
    return step.on_sides(
        step.map(), lambda axis, sides: np.floor(sides * scales[axis]).astype(np.int64)
    )


RULES: Mapping[Kind, Callable[[Step], Layout | None]] = {
    **dict.fromkeys(WINDOWS, _window),
    **dict.fromkeys(ADAPTIVE_POOLS, _adaptive_pool),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys((Kind.ELEMENTWISE, Kind.CLONE, Kind.EXPAND), _same),
    **dict.fromkeys((Kind.BATCH_NORM, Kind.GROUP_NORM, Kind.SOFTMAX), _same),
    Kind.LAYER_NORM: _layer_norm,
    Kind.BROADCAST: _broadcast,
    Kind.CAT: _cat,
    Kind.STACK: _stack,
    Kind.LINEAR: _linear,
    Kind.VIEW: _view,
    **dict.fromkeys((Kind.PERMUTE, Kind.UNSQUEEZE), _moved),
    **dict.fromkeys((Kind.SLICE, Kind.SPLIT, Kind.SELECT, Kind.UNBIND, Kind.SQUEEZE), _part),
    **dict.fromkeys(PADS, _pad),
    **dict.fromkeys((Kind.NEAREST_UPSAMPLE, Kind.BILINEAR_UPSAMPLE), _upsample),
    Kind.OTHER_UPSAMPLE: _upsample,
}


def pass_through(step: Step) -> Layout | None:
    """Return how the output of an operation holds height and width; ``None`` if it does not."""
    rule = RULES.get(step.op.kind)
    if rule is None:
        raise Unsupported("how it treats sizes is not known here")
    return rule(step)
