"""What torch executes: the kind of each operation, and what it does to height and width.

This is the one place that knows operations by torch's names. All that reads a trace asks for the
kind (`Op.kind`) and for where the dimensions are afterwards (`Op.after`).

To add an operation, follow *A rule for an operation* in CONTRIBUTING.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, TypeAlias

from vgglab.shapes import Window

Shape: TypeAlias = tuple[int, ...]
Dims: TypeAlias = tuple[int, ...]
"""The dimensions that hold the axes of the input, from the end: (-2, -1) in N, C, H, W."""


class Kind(Enum):
    """What an operation does.

    The value is a pattern of the names that torch has for it, without the ``_`` of operations in
    place. The first that fits counts.
    """

    CONVOLUTION = "convolution"
    MAX_POOL = "max_pool[123]d.*"
    AVERAGE_POOL = "avg_pool[123]d.*"  # that of 3 in local response normalisation too
    ADAPTIVE_AVERAGE_POOL = "_adaptive_avg_pool[23]d"
    ADAPTIVE_MAX_POOL = "adaptive_max_pool[23]d"
    UNPOOL = "max_unpool[23]d"
    MEAN = "mean"
    REDUCTION = "amax|amin|max|sum|var|std|linalg_vector_norm"
    ELEMENTWISE = (  # each element for itself
        "relu|_prelu_kernel|rrelu_with_noise|leaky_relu|elu|celu|silu|gelu|mish|softplus|"
        "softshrink|tanh|sigmoid|hardtanh|hardswish|hardsigmoid|log_sigmoid_forward|threshold|"
        "neg|abs|exp|log|sqrt|rsqrt|reciprocal|pow|clamp.*|_to_copy|native_dropout|bernoulli"
    )
    BATCH_NORM = "(native|_native|cudnn)_batch_norm.*"
    GROUP_NORM = "native_group_norm"
    LAYER_NORM = "native_layer_norm"
    SOFTMAX = ".*_softmax"
    BROADCAST = "add|sub|rsub|mul|div|maximum|minimum|addcmul|lerp"
    CAT = "cat"
    STACK = "stack"
    LINEAR = "addmm|mm|linear(_relu)?_dynamic"
    VIEW = "view|_unsafe_view|_reshape_alias"
    CLONE = "clone"
    EXPAND = "expand"
    PERMUTE = "permute|transpose"
    SLICE = "slice"
    SPLIT = "split.*"
    SELECT = "select"
    UNBIND = "unbind"
    SQUEEZE = "squeeze"
    UNSQUEEZE = "unsqueeze"
    CONSTANT_PAD = "constant_pad.*"
    REFLECTION_PAD = "reflection_pad.*"
    REPLICATION_PAD = "replication_pad.*"
    NEAREST_UPSAMPLE = "upsample_nearest2d"
    BILINEAR_UPSAMPLE = "upsample_bilinear2d"
    OTHER_UPSAMPLE = "upsample_.*[123]d.*"
    PIXEL_SHUFFLE = "pixel_shuffle"
    PIXEL_UNSHUFFLE = "pixel_unshuffle"
    RECURRENT = "lstm|gru|rnn_tanh|rnn_relu"  # a whole layer, all its steps
    SAME_DATA = "detach|alias|lift_fresh"  # another name for its input; no trace holds it
    NO_DATA = (  # looks only at the shape of its input; no trace holds it
        "(empty|zeros|ones|full|rand|randn)_like|new_(empty|zeros|ones|full|empty_strided)"
    )
    PRODUCT = ".*(conv|mm|matmul|attention|lstm|gru|rnn|_trilinear).*"  # of matrices
    OTHER = ".*"


WINDOWS = {Kind.CONVOLUTION, Kind.MAX_POOL, Kind.AVERAGE_POOL}
ADAPTIVE_POOLS = {Kind.ADAPTIVE_AVERAGE_POOL, Kind.ADAPTIVE_MAX_POOL}
REDUCTIONS = {Kind.MEAN, Kind.REDUCTION}
PADS = {Kind.CONSTANT_PAD, Kind.REFLECTION_PAD, Kind.REPLICATION_PAD}
AVERAGES = {Kind.MEAN, Kind.AVERAGE_POOL, Kind.ADAPTIVE_AVERAGE_POOL}
PRODUCTS = {Kind.CONVOLUTION, Kind.LINEAR, Kind.RECURRENT, Kind.PRODUCT}
RESHAPES = {Kind.VIEW, Kind.CLONE, Kind.SQUEEZE, Kind.UNSQUEEZE}
"""Kinds that hand on all numbers of their input in the same order."""


@lru_cache(maxsize=1024)
def kind_of(name: str) -> Kind:
    """Return the kind of an operation, by torch's name."""
    name = name.removesuffix("_")
    return next(kind for kind in Kind if re.fullmatch(kind.value, name))


class Constant(NamedTuple):
    """A tensor that does not depend on the input; if it is derived, its shape may."""

    shape: Shape
    derived: bool  # a part of parameters or buffers, or computed from them


@dataclass(frozen=True)
class Op:
    """One operation that torch executed.

    Attributes
    ----------
    index
        Its place in `Trace.ops`.
    name
        torch's own name, such as ``"convolution"``, ``"addmm"``, ``"max_pool2d_with_indices"``.
    path
        The module in which it ran; ``""`` is the model itself.
    call
        The index of that module's call in `Trace.calls`.
    sources
        The operations whose outputs it reads, by index; the model's k-th input is ``-1 - k``.
    input_shapes
        Shapes of the tensors that it reads, parameters left out.
    output_shapes
        Shapes of the tensors that it returns.
    parameters
        Names of the parameters that it reads.
    constants
        The tensors that it reads and that are parameters or buffers, or made of these alone.
    options
        Its other arguments by torch's names, such as ``stride`` and ``padding``.
    mult_adds
        Multiplications with an addition, for the whole batch; ``None`` if there is no formula.
    saved_bytes
        Bytes of its output that autograd keeps for the backward pass, each piece of memory counted
        once; ``None`` if the trace ran without autograd.
    written
        The source whose tensor it writes into, as ``add_`` does; ``None`` if it makes a new one.
    made
        Shapes of the tensors that it reads and that the forward made of nothing, such as a mask.
    """

    index: int
    name: str
    path: str
    call: int
    sources: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: tuple[str, ...]
    constants: tuple[Constant, ...]
    options: Mapping[str, Any]
    mult_adds: int | None
    saved_bytes: int | None
    written: int | None = None
    made: tuple[Shape, ...] = ()

    @property
    def kind(self) -> Kind:
        """What it does."""
        return kind_of(self.name)

    @property
    def windows(self) -> tuple[Window, Window] | None:
        """The windows along height and width of a convolution or pooling; else ``None``."""
        if self.options.get("transposed") or len(self.all_windows) < 2:
            return None
        height, width = self.all_windows[-2:]
        return height, width

    @property
    def transposed_windows(self) -> tuple[Window, Window] | None:
        """Those of a transposed convolution, which slide over its output; else ``None``."""
        if not self.options.get("transposed") or len(self.all_windows) < 2:
            return None
        height, width = self.all_windows[-2:]
        return height, width

    @property
    def all_windows(self) -> tuple[Window, ...]:
        """A window for each of the last dimensions, transposed or not; empty if there are none."""
        options = self.options
        if self.kind not in WINDOWS or not self.input_shapes:
            return ()
        kernel_size = options["kernel_size"]
        rank = len(kernel_size) if isinstance(kernel_size, Sequence) else 1
        if len(self.input_shapes[0]) <= rank:
            return ()
        ceil_mode = options.get("ceil_mode", False)
        axes = (
            _of_rank(rank, value)
            for value in (
                kernel_size,
                options["stride"] or kernel_size,
                options["padding"],
                options.get("dilation", 1),
            )
        )
        return tuple(Window(k, s, p, d, ceil_mode) for k, s, p, d in zip(*axes, strict=True))

    @property
    def acted_on(self) -> frozenset[int]:
        """The dimensions that it reduces, normalises, joins, cuts, drops or puts in, from the end.

        All if it names none. Where a dimension is put in, they are counted with it. A BatchNorm
        with running statistics acts on none: it treats each element for itself.
        """
        if self.kind is Kind.BATCH_NORM and not self.options.get("training"):
            return frozenset()
        rank = len(self.input_shapes[0]) + (self.kind in _PUT_IN)
        dims = self.options.get("dim")
        if self.kind is Kind.LAYER_NORM:
            dims = range(-len(self.options["normalized_shape"]), 0)
        elif isinstance(dims, int):
            dims = [dims]
        return frozenset(dim if dim < 0 else dim - rank for dim in dims or range(rank))

    def after(self, dims: Dims) -> Dims | None:
        """Return where some dimensions are afterwards; ``None`` if one of them has gone.

        Parameters
        ----------
        dims
            Where they are before, from the end.
        """
        rank = len(self.input_shapes[0])
        if self.kind is Kind.PERMUTE:
            order = list(range(rank))
            if "dims" in self.options:
                order = [dim % rank for dim in self.options["dims"]]
            else:
                a, b = self.options["dim0"], self.options["dim1"]
                order[a], order[b] = order[b], order[a]
            return tuple(order.index(dim + rank) - rank for dim in dims)
        if self.kind in _PUT_IN:
            (new,) = self.acted_on
            # It is counted with the new one, so what lay at or before it moves by one.
            return tuple(dim - (new >= dim) for dim in dims)
        if self.kind not in _DROP or self.options.get("keepdim"):
            return dims
        gone = self.acted_on
        if self.kind is Kind.SQUEEZE:
            gone = frozenset(dim for dim in gone if self.input_shapes[0][dim] == 1)
        if gone & {*dims}:
            return None
        return tuple(dim + sum(other > dim for other in gone) for dim in dims)

    def padding(self, dim: int) -> tuple[int, int]:
        """Return how much it pads at the beginning and at the end of a dimension."""
        pad = self.options.get("pad") or self.options["padding"]  # from the last dimension on
        before, after = pad[-2 * dim - 2 : -2 * dim] or (0, 0)
        return before, after

    @property
    def scales(self) -> tuple[float | None, float | None]:
        """By how much it was asked to enlarge height and width; ``None``: to a size."""
        return self.options.get("scales_h") or None, self.options.get("scales_w") or None

    @property
    def all_scales(self) -> tuple[float | None, ...]:
        """The same of each of the last dimensions that it enlarges."""
        if "scales" in self.options:
            return (self.options["scales"],)
        depth = (self.options["scales_d"],) if "scales_d" in self.options else ()
        return (*depth, *self.scales)


_PUT_IN = {Kind.UNSQUEEZE, Kind.STACK}
_DROP = {*REDUCTIONS, Kind.SELECT, Kind.UNBIND, Kind.SQUEEZE}


def rows_of(shape: Shape) -> Shape:
    """Return the shape after all but the last dimension became one, as a linear layer does it."""
    return prod(shape[:-1]), shape[-1]


def flattened(shape: Shape) -> Shape:
    """Return the shape after all but the first dimension became one: a row for each image."""
    return shape[0], prod(shape[1:])


def keeps_maps(shape: Shape, out: Shape, dims: Dims) -> bool:
    """Tell whether a view leaves height and width as they are, and last."""
    return dims == (-2, -1) and len(out) > 2 and out[-2:] == shape[-2:]


def _of_rank(rank: int, value: int | Sequence[int]) -> Sequence[int]:
    """Return a number for each dimension; one alone is that of all."""
    values = [value] if isinstance(value, int) else value
    return values if len(values) == rank else [values[0]] * rank
