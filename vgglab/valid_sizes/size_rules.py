"""How operations treat height and width: one small rule for each kind of operation."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgglab.shapes import Window
from vgglab.tracing import Op, Shape, Trace

Sides: TypeAlias = NDArray[np.int64]
Fits: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Map:
    """Where height and width of the image are in a tensor.

    Attributes
    ----------
    dims
        The dimensions that hold height and width, counted from the end: (-2, -1) in N, C, H, W.
    sides
        For each axis the side of the map, for each candidate size; 0 where there is none.
    """

    dims: tuple[int, int]
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
        The operation; without outputs if it is the one that refused.
    inputs
        What it reads.
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
        return not self.op.output_shapes

    def map(self) -> tuple[Map, Shape]:
        """Return the one map that the operation reads."""
        layout, shape = next(item for item in self.inputs if item.layout is not None)
        if not isinstance(layout, Map):
            raise Unsupported("it reads no feature map")
        return layout, shape

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


def _window(step: Step) -> Layout | None:
    layout, _ = step.map()
    windows = step.op.windows
    if layout.dims != (-2, -1):
        raise Unsupported("its windows do not slide over height and width")
    if windows is not None:
        return step.on_sides(layout, lambda axis, sides: _places(windows[axis], sides))
    options = step.op.options
    if not options.get("transposed"):
        raise Unsupported("its windows are not two-dimensional")

    def grown(axis: int, sides: Sides) -> Sides:
        window = Window(options["kernel_size"][axis], dilation=options["dilation"][axis])
        outside = 2 * options["padding"][axis] - options["output_padding"][axis]
        places: Sides = (sides - 1) * options["stride"][axis] + window.extent - outside
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


def _volume(step: Step) -> Layout | None:
    """Let a pooling over channels pass, as in local response normalisation."""
    if any(size != 1 for size in step.op.options["kernel_size"][-2:]):
        raise Unsupported("its windows are not two-dimensional")
    return step.map()[0]


def _adaptive(step: Step) -> Layout | None:
    """Whatever comes, the output has one size: nothing after it depends on the image."""
    step.on_sides(step.map()[0], lambda axis, sides: sides)
    return None


def _reduce(step: Step) -> Layout | None:
    layout, shape = step.map()
    dims = step.op.options.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if not dims:  # over everything
        return None
    gone = {dim if dim < 0 else dim - len(shape) for dim in dims}
    if gone.issuperset(layout.dims):
        return _adaptive(step)
    if gone & set(layout.dims):
        raise Unsupported("it keeps one of height and width")
    return layout if step.op.options.get("keepdim") else _without(layout, gone)


def _same(step: Step) -> Layout | None:
    """Let an operation pass that treats each element, or each channel, for itself."""
    layout, shape = next(item for item in step.inputs if item.layout is not None)
    if step.refused:
        return None
    if step.op.output_shapes[0] != shape:
        raise Unsupported("its output has another shape than its input")
    normalised = step.op.options.get("normalized_shape") or ()
    if isinstance(layout, Map):
        for axis, dim in enumerate(layout.dims):
            if -dim <= len(normalised):
                step.require(axis, layout.sides[axis] == normalised[dim])
    return layout


def _elementwise(step: Step) -> Layout | None:
    """Broadcast: along each axis sides are equal, or one of them is 1."""
    named = (step.trace.parameters[name].shape for name in step.op.parameters)
    parts = [*step.inputs, *(Input(None, shape) for shape in named)]
    layouts = [layout for layout, _ in parts if layout is not None]
    if all(isinstance(layout, Flat) for layout in layouts):
        if len({id(layout) for layout in layouts}) > 1:
            raise Unsupported("two rows of features meet")
        return layouts[0]
    first, _ = step.map()
    for layout, _ in parts:
        if layout is not None and (not isinstance(layout, Map) or layout.dims != first.dims):
            raise Unsupported("tensors of different layout meet")
    sides = []
    for axis, dim in enumerate(first.dims):
        joint = first.sides[axis]
        for layout, shape in parts:
            other = layout.sides[axis] if isinstance(layout, Map) else _constant(shape, dim)
            step.require(axis, (joint == other) | (joint == 1) | (other == 1))
            joint = np.maximum(joint, other)
        sides.append(joint)
    return Map(first.dims, (sides[0], sides[1]))


def _constant(shape: Shape, dim: int) -> int:
    return shape[dim] if len(shape) >= -dim else 1


def _cat(step: Step) -> Layout | None:
    dim = step.op.options["dim"]
    layouts = [layout for layout, _ in step.inputs]
    if any(isinstance(layout, Flat) for layout in layouts):
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
    first, shape = step.map()
    if (dim if dim < 0 else dim - len(shape)) in first.dims:
        raise Unsupported("it joins maps along height or width")
    for layout, other in step.inputs:
        if layout is not None and (not isinstance(layout, Map) or layout.dims != first.dims):
            raise Unsupported("tensors of different layout meet")
        for axis, place in enumerate(first.dims):
            sides = layout.sides[axis] if layout is not None else _constant(other, place)
            step.require(axis, first.sides[axis] == sides)
    return first


def _linear(step: Step) -> Layout | None:
    """Note how many features a linear layer insists on."""
    layout, shape = next(item for item in step.inputs if item.layout is not None)
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
    layout, shape = next(item for item in step.inputs if item.layout is not None)
    options = step.op.options
    size = list(options.get("size") or options.get("shape") or ())
    out = None if step.refused else step.op.output_shapes[0]
    if isinstance(layout, Rows) and out is not None and out[:-1] == layout.shape[:-1]:
        return layout.whole
    if not isinstance(layout, Map):
        raise Unsupported("it lays out features anew")
    if out is not None:
        if len(out) > 2 and out[-2:] == shape[-2:] and layout.dims == (-2, -1):
            return layout
        # A linear layer that gets a map lays it out itself, and knows how many rows there are.
        by_linear = step.trace.modules.get(step.op.path) == "Linear"
        flattened = out == (shape[0], prod(shape[1:]))
        if out == (prod(shape[:-1]), shape[-1]) and (by_linear or not (flattened or -1 in size)):
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


def _move(step: Step) -> Layout | None:
    """Exchange dimensions."""
    layout, shape = step.map()
    options, ndim = step.op.options, len(shape)
    order = list(range(ndim))
    if "dims" in options:
        order = [dim % ndim for dim in options["dims"]]
    else:
        a, b = options["dim0"] % ndim, options["dim1"] % ndim
        order[a], order[b] = b, a
    height, width = (order.index(dim + ndim) - ndim for dim in layout.dims)
    return Map((height, width), layout.sides)


def _part(step: Step) -> Layout | None:
    """Take a part along a dimension other than height and width."""
    layout, shape = step.map()
    dim = step.op.options["dim"]
    dim = dim if dim < 0 else dim - len(shape)
    if dim in layout.dims:
        raise Unsupported("it takes a part of height or width")
    return _without(layout, {dim}) if step.op.name == "select" else layout


def _unsqueeze(step: Step) -> Layout | None:
    layout, shape = step.map()
    dim = step.op.options["dim"]
    dim = dim if dim < 0 else dim - len(shape) - 1
    height, width = (place - (dim > place - 1) for place in layout.dims)
    return Map((height, width), layout.sides)


def _squeeze(step: Step) -> Layout | None:
    layout, shape = step.map()
    dims = step.op.options.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if dims is None:
        raise Unsupported("it drops every dimension of size 1")
    gone = {dim if dim < 0 else dim - len(shape) for dim in dims}
    if gone & set(layout.dims):
        raise Unsupported("it drops height or width if they are 1")
    return _without(layout, {dim for dim in gone if shape[dim] == 1})


def _without(layout: Map, gone: set[int]) -> Map:
    """Return where height and width are when other dimensions have gone."""
    height, width = (place + sum(dim > place for dim in gone) for place in layout.dims)
    return Map((height, width), layout.sides)


def _pad(step: Step) -> Layout | None:
    layout, _ = step.map()
    pad = list(step.op.options.get("pad") or step.op.options["padding"])
    pairs = [pad[k : k + 2] for k in range(0, len(pad), 2)]  # from the last dimension on
    added = [sum(pairs[-dim - 1]) if -dim <= len(pairs) else 0 for dim in layout.dims]
    by_module = re.search(r"Pad2d$|^Conv", step.trace.modules.get(step.op.path, ""))
    if any(added) and not by_module:
        raise Unsupported("how much it pads may depend on the size")
    if step.op.name.startswith("reflection"):
        for axis, dim in enumerate(layout.dims):
            step.require(axis, layout.sides[axis] > max(pairs[-dim - 1]))
    return step.on_sides(layout, lambda axis, sides: sides + added[axis])


def _upsample(step: Step) -> Layout | None:
    options = step.op.options
    scales = [options.get("scales_h") or 0.0, options.get("scales_w") or 0.0]
    if not all(scales):
        raise Unsupported("the size that it resizes to may depend on the image")
    return step.on_sides(
        step.map()[0], lambda axis, sides: np.floor(sides * scales[axis]).astype(np.int64)
    )


def _unknown(step: Step) -> Layout | None:
    raise Unsupported("how it treats sizes is not known here")


_ACTIVATIONS = (
    "relu|relu6|_?prelu.*|_prelu_kernel|r?relu_with_noise|leaky_relu|elu|celu|selu|silu|gelu|mish|"
    "softplus|softshrink|tanh|sigmoid|hardtanh|hardswish|hardsigmoid|log_sigmoid_forward|threshold"
)
_RULES: Mapping[str, Callable[[Step], Layout | None]] = {
    r"convolution|(max|avg)_pool2d.*": _window,
    "avg_pool3d": _volume,
    "_adaptive_avg_pool2d|adaptive_max_pool2d": _adaptive,
    "mean|amax|amin|max|sum|var|std": _reduce,
    _ACTIVATIONS: _same,
    "(native|_native|cudnn)_batch_norm.*|native_(group|layer)_norm|native_dropout": _same,
    "neg|abs|exp|log|sqrt|rsqrt|reciprocal|pow|clamp.*|clone|_to_copy|.*_softmax|bernoulli": _same,
    "add|sub|rsub|mul|div|maximum|minimum|addcmul|lerp": _elementwise,
    "cat": _cat,
    "addmm|mm": _linear,
    "view|_unsafe_view|_reshape_alias": _view,
    "permute|transpose": _move,
    "split.*|unbind|select|slice": _part,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "(constant|reflection|replication)_pad.*": _pad,
    "upsample_.*2d.*": _upsample,
}


@lru_cache(maxsize=1024)
def rule_for(name: str) -> Callable[[Step], Layout | None]:
    """Return the rule for an operation, by torch's name."""
    name = name.removesuffix("_")
    return next((rule for pattern, rule in _RULES.items() if re.fullmatch(pattern, name)), _unknown)
