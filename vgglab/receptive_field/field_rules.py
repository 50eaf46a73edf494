"""How operations pass on what their inputs see: one small rule for each kind of operation."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import TypeAlias

import numpy as np

from vgglab.pooling import adaptive_bins
from vgglab.receptive_field.axis import (
    Axis,
    Pattern,
    bin_taps,
    joined,
    linear_taps,
    nearest_taps,
    transposed_taps,
    window_taps,
)
from vgglab.tracing import Op, Shape


@dataclass(frozen=True, eq=False)
class Field:
    """What the elements of a tensor see of the image.

    Attributes
    ----------
    axes
        Along height and width. With a single cell all elements see the same.
    dims
        The dimensions that hold height and width, counted from the end: (-2, -1) in N, C, H, W;
        ``None`` if none does.
    bound
        Why the elements may see less than this; ``""`` if this is exact.
    alignment
        Where branches met whose fields lie differently; ``""`` if none did.
    laid_out
        The shape before rows were laid out for a linear layer; ``None`` elsewhere.
    """

    axes: tuple[Axis, Axis]
    dims: tuple[int, int] | None = (-2, -1)
    bound: str = ""
    alignment: str = ""
    laid_out: Shape | None = None

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


@dataclass(frozen=True, eq=False)
class Read:
    """What an operation reads: the fields of its sources, and the shapes of its inputs."""

    fields: Sequence[Field]
    shapes: Sequence[Shape]


Rule: TypeAlias = Callable[[Op, Read], Field | None]
"""Returns ``None`` if the operation cannot be followed; then its output may see everything."""


def _window(op: Op, read: Read) -> Field | None:
    (field,), windows = read.fields, op.windows
    if field.dims != (-2, -1):
        return None
    if windows is not None:

        def slid(k: int, axis: Axis) -> Axis:
            places = op.output_shapes[0][k - 2]
            kernel_size, stride, padding, dilation, _ = windows[k]
            pattern = axis.pattern and Pattern(
                axis.pattern.size + axis.pattern.stride * (windows[k].extent - 1),
                axis.pattern.stride * stride,
                axis.pattern.start - axis.pattern.stride * padding,
            )
            return axis.gather(window_taps(places, kernel_size, stride, padding, dilation), pattern)

        return field.along(slid, alike=windows[0] == windows[1])
    options = op.options
    if not options.get("transposed"):
        return None

    def spread(k: int, axis: Axis) -> Axis:
        kernel_size, stride, padding, dilation = (
            options[name][k] for name in ("kernel_size", "stride", "padding", "dilation")
        )
        places = op.output_shapes[0][k - 2]
        reach = dilation * (kernel_size - 1)
        pattern = axis.pattern if stride == 1 else None
        pattern = pattern and Pattern(
            pattern.size + pattern.stride * reach,
            pattern.stride,
            pattern.start + pattern.stride * (padding - reach),
        )
        taps = transposed_taps(places, kernel_size, stride, padding, dilation)
        return axis.gather(taps, pattern)

    return field.along(spread)


def _volume(op: Op, read: Read) -> Field | None:
    """Let a pooling over channels pass, as in local response normalisation."""
    return read.fields[0] if all(k == 1 for k in op.options["kernel_size"][-2:]) else None


def _adaptive(op: Op, read: Read) -> Field | None:
    (field,) = read.fields
    if field.dims != (-2, -1):
        return None

    def binned(k: int, axis: Axis) -> Axis:
        bins = adaptive_bins(len(axis), op.output_shapes[0][k - 2])
        pattern = axis.pattern if len(bins) == len(axis) else None
        return axis.gather(bin_taps(bins), pattern)

    return field.along(binned)


def _reduce(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    dims = op.options.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if not dims or field.dims is None:
        return field.everything()
    gone = {dim if dim < 0 else dim - len(shape) for dim in dims}
    if gone & set(field.dims):
        if not gone.issuperset(field.dims):
            return None
        return field.everything()
    return field if op.options.get("keepdim") else _without(field, gone)


def _same(op: Op, read: Read) -> Field | None:
    return read.fields[0] if op.output_shapes[0] == read.shapes[0] else None


def _batch_norm(op: Op, read: Read) -> Field | None:
    """BatchNorm with running statistics treats each element for itself."""
    if op.options.get("training"):
        return read.fields[0].everything()
    return _same(op, read)


def _layer_norm(op: Op, read: Read) -> Field | None:
    (field,) = read.fields
    normalised = len(op.options["normalized_shape"])
    if field.dims is None or all(-dim > normalised for dim in field.dims):
        return _same(op, read)
    return field.everything()


def _group_norm(op: Op, read: Read) -> Field | None:
    return read.fields[0].everything()


def _softmax(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    dim = op.options["dim"]
    if field.dims is None or (dim if dim < 0 else dim - len(shape)) not in field.dims:
        return _same(op, read)
    return None


def _joined(op: Op, read: Read) -> Field | None:
    """Put together maps of one size, or broadcast: every place sees what its inputs see there."""
    maps = {field.dims for field in read.fields if field.dims is not None}
    if len(maps) > 1:
        return None
    dims = maps.pop() if maps else None
    heights, widths = zip(*(field.axes for field in read.fields), strict=True)
    if any(len({len(axis) for axis in axes} - {1}) > 1 for axes in (heights, widths)):
        return None
    bound = next((field.bound for field in read.fields if field.bound), "")
    if not bound and any(axis.sees_nothing for axis in (*heights, *widths)):
        # Its other axis would still count: rows and columns can be joined only one by one.
        bound = f"a branch that {op.name} at {op.path!r} reads sees only padding in some cells"
    alignment = next((field.alignment for field in read.fields if field.alignment), "")
    for name, axes in (("height", heights), ("width", widths)):
        alignment = alignment or _misaligned(op, name, axes)
    square = heights == widths  # the same objects
    height = joined(heights)
    return Field((height, height if square else joined(widths)), dims, bound, alignment)


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


def _cat(op: Op, read: Read) -> Field | None:
    dim, ndim = op.options["dim"], len(op.output_shapes[0])
    dim = dim if dim < 0 else dim - ndim
    along = any(field.dims is not None and dim in field.dims for field in read.fields)
    return None if along else _joined(op, read)


def _linear(op: Op, read: Read) -> Field | None:
    """Let a linear layer read channels, or all features of a row."""
    field = read.fields[0]
    if field.laid_out is not None or field.dims is None:
        return field
    if -1 in field.dims:
        return None
    return field


def _view(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    out = op.output_shapes[0]
    if field.laid_out is not None:
        if out[:-1] == field.laid_out[:-1]:
            return replace(field, laid_out=None)
        return None
    if out == shape or field.dims is None:
        return field
    if field.dims == (-2, -1) and len(out) > 2 and out[-2:] == shape[-2:]:
        return field
    if len(shape) == 4 and -1 not in field.dims and out == (prod(shape[:-1]), shape[-1]):
        return replace(field, laid_out=shape)
    if len(out) == 2 and out == (shape[0], prod(shape[1:])):
        return field.everything()
    return None


def _move(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    if field.dims is None:
        return field
    order, ndim = list(range(len(shape))), len(shape)
    if "dims" in op.options:
        order = [dim % ndim for dim in op.options["dims"]]
    else:
        a, b = op.options["dim0"] % ndim, op.options["dim1"] % ndim
        order[a], order[b] = b, a
    height, width = (order.index(dim + ndim) - ndim for dim in field.dims)
    return replace(field, dims=(height, width))


def _slice(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    dim = op.options["dim"]
    dim = dim if dim < 0 else dim - len(shape)
    if field.dims is None or dim not in field.dims:
        return field
    size, step = shape[dim], op.options.get("step") or 1
    start = op.options.get("start") or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    places = op.output_shapes[0][dim]

    def cut(k: int, axis: Axis) -> Axis:
        if field.dims is None or field.dims[k] != dim:
            return axis
        pattern = axis.pattern and Pattern(
            axis.pattern.size,
            axis.pattern.stride * step,
            axis.pattern.start + axis.pattern.stride * start,
        )
        return axis.gather(start + step * np.arange(places)[:, None], pattern)

    return field.along(cut)


def _select(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    dim = op.options["dim"]
    dim = dim if dim < 0 else dim - len(shape)
    if field.dims is None or dim in field.dims:
        return field.everything("it takes one row or column") if field.dims else field
    return _without(field, {dim})


def _split(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    dim = op.options.get("dim") or 0
    dim = dim if dim < 0 else dim - len(shape)
    return field if field.dims is None or dim not in field.dims else None


def _unsqueeze(op: Op, read: Read) -> Field | None:
    return _with_new(read.fields[0], op.options["dim"], len(op.output_shapes[0]))


def _stack(op: Op, read: Read) -> Field | None:
    field = _joined(op, read)
    return field and _with_new(field, op.options.get("dim") or 0, len(op.output_shapes[0]))


def _with_new(field: Field, dim: int, ndim: int) -> Field:
    """Return the field after a dimension was put in; `ndim` counts it."""
    if field.dims is None:
        return field
    dim = dim if dim < 0 else dim - ndim
    height, width = (place - (dim >= place) for place in field.dims)
    return replace(field, dims=(height, width))


def _squeeze(op: Op, read: Read) -> Field | None:
    (field,), (shape, *_) = read.fields, read.shapes
    dims = op.options.get("dim")
    dims = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    gone = {dim if dim < 0 else dim - len(shape) for dim in dims}
    gone = {dim for dim in gone if shape[dim] == 1}
    if field.dims is not None and gone & set(field.dims):
        return field.everything()
    return _without(field, gone)


def _without(field: Field, gone: set[int]) -> Field:
    if field.dims is None:
        return field
    height, width = (place + sum(dim > place for dim in gone) for place in field.dims)
    return replace(field, dims=(height, width))


def _pad(op: Op, read: Read) -> Field | None:
    (field,) = read.fields
    if field.dims is None:
        return field
    dims = field.dims
    pad = list(op.options.get("pad") or op.options["padding"])
    pairs = [pad[k : k + 2] for k in range(0, len(pad), 2)]  # from the last dimension on

    def padded(k: int, axis: Axis) -> Axis:
        before = pairs[-dims[k] - 1][0] if -dims[k] <= len(pairs) else 0
        taps = np.arange(op.output_shapes[0][dims[k]]) - before
        if op.name.startswith("reflection"):
            taps = np.abs(taps)
            taps = (len(axis) - 1) - np.abs((len(axis) - 1) - taps)
        elif op.name.startswith("replication"):
            taps = taps.clip(0, len(axis) - 1)
        pattern = axis.pattern and axis.pattern._replace(
            start=axis.pattern.start - axis.pattern.stride * before
        )
        return axis.gather(taps[:, None], pattern)

    return field.along(padded)


def _upsample(op: Op, read: Read) -> Field | None:
    (field,) = read.fields
    if field.dims != (-2, -1) or not re.fullmatch("upsample_(nearest|bilinear)2d", op.name):
        return None
    scales = op.options.get("scales_h"), op.options.get("scales_w")

    def resized(k: int, axis: Axis) -> Axis:
        places = op.output_shapes[0][k - 2]
        given = scales[k]
        scale = 1 / Fraction(given) if given else Fraction(len(axis), places)
        if op.name == "upsample_nearest2d":
            taps = nearest_taps(places, scale).clip(0, len(axis) - 1)
        else:
            corners = bool(op.options.get("align_corners"))
            taps = linear_taps(len(axis), places, scale, corners)
        return axis.gather(taps, None)

    return field.along(resized)


_ELEMENTWISE = (
    "relu|relu6|_?prelu.*|_prelu_kernel|r?relu_with_noise|leaky_relu|elu|celu|selu|silu|gelu|mish|"
    "softplus|softshrink|tanh|sigmoid|hardtanh|hardswish|hardsigmoid|log_sigmoid_forward|threshold|"
    "neg|abs|exp|log|sqrt|rsqrt|reciprocal|pow|clamp.*|clone|_to_copy|native_dropout|bernoulli|"
    "alias|detach"
)
_RULES: Mapping[str, Rule] = {
    r"convolution|(max|avg)_pool2d.*": _window,
    "avg_pool3d": _volume,
    "_adaptive_avg_pool2d|adaptive_max_pool2d": _adaptive,
    "mean|amax|amin|max|sum|var|std": _reduce,
    _ELEMENTWISE: _same,
    "(native|_native|cudnn)_batch_norm.*": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    ".*_softmax": _softmax,
    "add|sub|rsub|mul|div|maximum|minimum|addcmul|lerp": _joined,
    "cat": _cat,
    "stack": _stack,
    "addmm|mm": _linear,
    "view|_unsafe_view|_reshape_alias": _view,
    "permute|transpose": _move,
    "slice": _slice,
    "select": _select,
    "split.*|unbind": _split,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "(constant|reflection|replication)_pad.*": _pad,
    "upsample_.*2d.*": _upsample,
}

_OF_SEVERAL = (_joined, _cat, _stack)


def pass_on(op: Op, fields: Sequence[Field]) -> Field:
    """Return what the output of an operation sees.

    Where it is not known, all of it is taken to see everything that the operation reads.
    """
    if all(field.dims is None for field in fields):
        rule: Rule | None = _joined  # nothing is left to tell apart
    else:
        rule = _rule_for(op.name)
    found = None
    if rule is not None and (len(fields) == 1 or rule in _OF_SEVERAL):
        found = rule(op, Read(fields, op.input_shapes))
    if found is not None:
        return found
    reason = f"{op.name} at {op.path!r} is not followed: its output may see all that it reads"
    together = [field.everything(reason) for field in fields]
    heights, widths = zip(*(field.axes for field in together), strict=True)
    return replace(together[0], axes=(joined(heights), joined(widths)), laid_out=None)


@lru_cache(maxsize=1024)
def _rule_for(name: str) -> Rule | None:
    name = name.removesuffix("_")
    return next((rule for pattern, rule in _RULES.items() if re.fullmatch(pattern, name)), None)
