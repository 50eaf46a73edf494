"""How operations pass on what their inputs see: one small rule for each kind of operation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from vgglab.pooling import adaptive_bins
from vgglab.receptive_field.axis import (
    Axis,
    bin_taps,
    joined,
    linear_taps,
    nearest_taps,
    transposed_taps,
    window_taps,
)
from vgglab.tracing import Op, Shape
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


@dataclass(frozen=True, eq=False)
class Field:
    """What the elements of a tensor see of the image.

    Attributes
    ----------
    axes
        Along height and width. With a single cell all elements see the same.
    dims
        The dimensions that hold height and width; ``None`` if none does.
    bound
        Why the elements may see less than this; ``""`` if this is exact.
    alignment
        Where branches met whose fields lie differently; ``""`` if none did.
    laid_out
        The shape before rows were laid out for a linear layer; ``None`` elsewhere.
    unlike
        Where channels with other fields were put beside each other; ``""`` if all of a cell's
        channels see the same. What is said here is said of all of them together.
    """

    axes: tuple[Axis, Axis]
    dims: Dims | None = (-2, -1)
    bound: str = ""
    alignment: str = ""
    laid_out: Shape | None = None
    unlike: str = ""

    def everything(self, bound: str = "") -> "Field":
        """Return the field of elements that may depend on all of these."""
        height, width = (axis.everything() for axis in self.axes)
        return replace(self, axes=(height, width), dims=None, bound=self.bound or bound)

    def along(self, change: Callable[[int, Axis], Axis], alike: bool = False) -> "Field":
        """Return the field of a map with other axes.

        With `alike` the change is the same along both, so that for equal axes it is made once.
        """
        once = alike and self.axes[0] is self.axes[1]
        height = change(0, self.axes[0])
        width = height if once else change(1, self.axes[1])
        return replace(self, axes=(height, width))


Rule: TypeAlias = Callable[[Op, Field, Dims], Field | None]
"""Takes an operation, what its only source sees, and where height and width are in it.

Returns ``None`` if the operation cannot be followed; then its output may see everything.
"""


def _window(op: Op, field: Field, dims: Dims) -> Field | None:
    windows, transposed = op.windows, op.transposed_windows
    if dims != (-2, -1):
        return None

    if windows is not None:

        def slid(k: int, axis: Axis) -> Axis:
            places = op.output_shapes[0][k - 2]
            kernel_size, stride, padding, dilation, _ = windows[k]
            pattern = axis.pattern and axis.pattern.read_by(windows[k].extent, stride, -padding)
            return axis.gather(window_taps(places, kernel_size, stride, padding, dilation), pattern)

        return field.along(slid, alike=windows[0] == windows[1])
    if transposed is None:
        return None

    def spread(k: int, axis: Axis) -> Axis:
        kernel_size, stride, padding, dilation, _ = transposed[k]
        places = op.output_shapes[0][k - 2]
        reach = transposed[k].extent - 1
        pattern = axis.pattern if stride == 1 else None
        pattern = pattern and pattern.read_by(reach + 1, 1, padding - reach)
        taps = transposed_taps(places, kernel_size, stride, padding, dilation)
        return axis.gather(taps, pattern)

    return field.along(spread)


def _adaptive_pool(op: Op, field: Field, dims: Dims) -> Field | None:
    if dims != (-2, -1):
        return None

    def binned(k: int, axis: Axis) -> Axis:
        bins = adaptive_bins(len(axis), op.output_shapes[0][k - 2])
        pattern = axis.pattern if len(bins) == len(axis) else None
        return axis.gather(bin_taps(bins), pattern)

    return field.along(binned)


def _reduction(op: Op, field: Field, dims: Dims) -> Field | None:
    if op.acted_on.issuperset(dims):
        return field.everything()
    return _beside(op, field, dims)


def _same(op: Op, field: Field, dims: Dims) -> Field | None:
    return field if op.output_shapes[0] == op.input_shapes[0] else None


def _norm(op: Op, field: Field, dims: Dims) -> Field | None:
    return field.everything() if op.acted_on & {*dims} else _same(op, field, dims)


def _joined(op: Op, fields: Sequence[Field]) -> Field | None:
    """Put together maps of one size, or broadcast: every place sees what its inputs see there."""
    maps = {field.dims for field in fields if field.dims is not None}
    if len(maps) > 1:
        return None
    dims = maps.pop() if maps else None
    heights, widths = zip(*(field.axes for field in fields), strict=True)
    if any(len({len(axis) for axis in axes} - {1}) > 1 for axes in (heights, widths)):
        return None
    bound = next((field.bound for field in fields if field.bound), "")
    if not bound and any(axis.sees_nothing for axis in (*heights, *widths)):
        # Its other axis would still count: rows and columns can be joined only one by one.
        bound = f"a branch that {op.name} at {op.path!r} reads sees only padding in some cells"
    alignment = next((field.alignment for field in fields if field.alignment), "")
    for name, axes in (("height", heights), ("width", widths)):
        alignment = alignment or _misaligned(op, name, axes)
    square = heights == widths  # the same objects
    height = joined(heights)
    unlike = next((field.unlike for field in fields if field.unlike), "")
    axes = height, height if square else joined(widths)
    return Field(axes, dims, bound, alignment, unlike=unlike)


def _misaligned(op: Op, name: str, axes: Sequence[Axis]) -> str:
    """Say how the fields of branches lie to each other, if not around the same pixels."""
    known = [axis.pattern for axis in axes if axis.pattern]
    strides = sorted({pattern.stride for pattern in known})
    where = f"{op.name} at {op.path!r} joins branches"
    if len(strides) > 1:
        return f"{where} of strides {' and '.join(map(str, strides))} along the {name}"
    centres = [pattern.centre for pattern in known]
    if centres and max(centres) != min(centres):
        apart = f"{max(centres) - min(centres):g}"
        return f"{where} whose centres are {apart} px apart along the {name}"
    return ""


def _cat(op: Op, fields: Sequence[Field]) -> Field | None:
    dims = {dim for field in fields for dim in field.dims or ()}
    return None if op.acted_on & dims else _side_by_side(op, fields)


def _side_by_side(op: Op, fields: Sequence[Field]) -> Field | None:
    """Join maps that stay apart in the result, channel beside channel."""
    field = _joined(op, fields)
    first, *others = (other.axes for other in fields)
    if field is None or field.unlike or all(_same_axes(first, axes) for axes in others):
        return field
    return replace(
        field, unlike=f"{op.name} at {op.path!r} put channels with other fields together"
    )


def _same_axes(ours: tuple[Axis, Axis], others: tuple[Axis, Axis]) -> bool:
    return all(
        a is b or (np.array_equal(a.first, b.first) and np.array_equal(a.last, b.last))
        for a, b in zip(ours, others, strict=True)
    )


def _stack(op: Op, fields: Sequence[Field]) -> Field | None:
    field = _side_by_side(op, fields)
    return field and replace(field, dims=field.dims and op.after(field.dims))


def _linear(op: Op, field: Field, dims: Dims) -> Field | None:
    """Let a linear layer read channels, or all features of a row."""
    return field if field.laid_out is not None or -1 not in dims else None


def _view(op: Op, field: Field, dims: Dims) -> Field | None:
    shape, out = op.input_shapes[0], op.output_shapes[0]
    if field.laid_out is not None:
        return replace(field, laid_out=None) if out[:-1] == field.laid_out[:-1] else None
    if out == shape or keeps_maps(shape, out, dims):
        return field
    if len(shape) == 4 and -1 not in dims and out == rows_of(shape):
        return replace(field, laid_out=shape)
    return field.everything() if out == flattened(shape) else None


def _beside(op: Op, field: Field, dims: Dims) -> Field | None:
    """Let an operation pass that does not act on height and width."""
    return None if op.acted_on & {*dims} else _moved(op, field, dims)


def _moved(op: Op, field: Field, dims: Dims) -> Field:
    after = op.after(dims)
    return field.everything() if after is None else replace(field, dims=after)


def _slice(op: Op, field: Field, dims: Dims) -> Field | None:
    (dim,) = op.acted_on
    size, step = op.input_shapes[0][dim], op.options.get("step") or 1
    start = op.options.get("start") or 0
    start = min(max(start + size if start < 0 else start, 0), size)

    def cut(k: int, axis: Axis) -> Axis:
        if dims[k] != dim:
            return axis
        pattern = axis.pattern and axis.pattern.read_by(1, step, start)
        places = np.arange(op.output_shapes[0][dim])
        return axis.gather(start + step * places[:, None], pattern)

    return field.along(cut)


def _select(op: Op, field: Field, dims: Dims) -> Field | None:
    if op.acted_on & {*dims}:
        return field.everything("it takes one row or column")
    return _moved(op, field, dims)


def _pad(op: Op, field: Field, dims: Dims) -> Field | None:
    def padded(k: int, axis: Axis) -> Axis:
        before, _ = op.padding(dims[k])
        taps = np.arange(op.output_shapes[0][dims[k]]) - before
        if op.kind is Kind.REFLECTION_PAD:
            taps = np.abs(taps)
            taps = (len(axis) - 1) - np.abs((len(axis) - 1) - taps)
        elif op.kind is Kind.REPLICATION_PAD:
            taps = taps.clip(0, len(axis) - 1)
        pattern = axis.pattern and axis.pattern.read_by(1, 1, -before)
        return axis.gather(taps[:, None], pattern)

    return field.along(padded)


def _upsample(op: Op, field: Field, dims: Dims) -> Field | None:
    if dims != (-2, -1):
        return None

    def resized(k: int, axis: Axis) -> Axis:
        places = op.output_shapes[0][k - 2]
        given = op.scales[k]
        scale = 1 / Fraction(given) if given else Fraction(len(axis), places)
        if op.kind is Kind.NEAREST_UPSAMPLE:
            taps = nearest_taps(places, scale).clip(0, len(axis) - 1)
        else:
            corners = bool(op.options.get("align_corners"))
            taps = linear_taps(len(axis), places, scale, corners)
        return axis.gather(taps, None)

    return field.along(resized)


def _shuffle(op: Op, field: Field, dims: Dims) -> Field | None:
    if dims != (-2, -1):
        return None

    def shuffled(k: int, axis: Axis) -> Axis:
        places = op.output_shapes[0][k - 2]
        if op.kind is Kind.PIXEL_SHUFFLE:
            factor = op.options["upscale_factor"]
            return axis.gather(np.arange(places)[:, None] // factor, None)
        factor = op.options["downscale_factor"]
        return axis.gather(window_taps(places, factor, factor, 0, 1), None)

    return field.along(shuffled)


RULES: Mapping[Kind, Rule] = {
    **dict.fromkeys(WINDOWS, _window),
    **dict.fromkeys(ADAPTIVE_POOLS, _adaptive_pool),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys((Kind.ELEMENTWISE, Kind.CLONE, Kind.EXPAND), _same),
    **dict.fromkeys((Kind.BATCH_NORM, Kind.GROUP_NORM, Kind.LAYER_NORM), _norm),
    **dict.fromkeys((Kind.SOFTMAX, Kind.SPLIT, Kind.UNBIND), _beside),
    Kind.LINEAR: _linear,
    Kind.VIEW: _view,
    **dict.fromkeys((Kind.PERMUTE, Kind.SQUEEZE, Kind.UNSQUEEZE), _moved),
    Kind.SLICE: _slice,
    Kind.SELECT: _select,
    **dict.fromkeys(PADS, _pad),
    **dict.fromkeys((Kind.NEAREST_UPSAMPLE, Kind.BILINEAR_UPSAMPLE), _upsample),
    **dict.fromkeys((Kind.PIXEL_SHUFFLE, Kind.PIXEL_UNSHUFFLE), _shuffle),
}
JOINING_RULES: Mapping[Kind, Callable[[Op, Sequence[Field]], Field | None]] = {
    Kind.BROADCAST: _joined,
    Kind.CAT: _cat,
    Kind.STACK: _stack,
}
"""Rules for operations that may read several sources."""


_PARTS = frozenset({Kind.SLICE, Kind.SELECT, Kind.SPLIT, Kind.UNBIND})
"""Kinds that may leave channels out."""


def _told_apart(op: Op, field: Field, dims: Dims | None) -> Field:
    """Forget channels with other fields where all are read, and say so where some are left out."""
    if op.kind is Kind.LINEAR or (op.kind is Kind.CONVOLUTION and op.options["groups"] == 1):
        return replace(field, unlike="")
    images = {-len(op.input_shapes[0])}  # of a batch all see the same
    if op.kind not in _PARTS or not op.acted_on - {*(dims or ())} - images:
        return field
    if field.bound or op.input_shapes[0] == op.output_shapes[0]:  # torch before 2.8 cuts all of it
        return field
    return replace(field, bound=f"{field.unlike}, and {op.name} at {op.path!r} takes some")


def pass_on(op: Op, fields: Sequence[Field]) -> Field:
    """Return what the output of an operation sees.

    Where it is not known, all of it is taken to see everything that the operation reads.
    """
    found, dims = None, fields[0].dims
    if all(field.dims is None for field in fields):
        found = _joined(op, fields)  # nothing is left to tell apart
    elif op.kind in JOINING_RULES:
        found = JOINING_RULES[op.kind](op, fields)
    elif op.kind in RULES and len(fields) == 1 and dims is not None:
        found = RULES[op.kind](op, fields[0], dims)
    if found is not None:
        return _told_apart(op, found, dims) if found.unlike else found
    reason = f"{op.name} at {op.path!r} is not followed: its output may see all that it reads"
    together = [field.everything(reason) for field in fields]
    heights, widths = zip(*(field.axes for field in together), strict=True)
    return replace(together[0], axes=(joined(heights), joined(widths)), laid_out=None)
