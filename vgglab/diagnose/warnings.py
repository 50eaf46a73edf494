"""Forwards that end without an error and should not be trusted."""

from collections.abc import Callable, Iterator
from itertools import chain
from math import isqrt, prod

from vgglab.diagnose.problems import chain_of_sides
from vgglab.pooling import adaptive_bins
from vgglab.shapes import Window
from vgglab.tracing import Op, Trace
from vgglab.tracing.operations import ADAPTIVE_POOLS, Kind, rows_of
from vgglab.valid_sizes import Propagation
from vgglab.valid_sizes.size_rules import Dim, Map


def find_warnings(trace: Trace, propagation: Propagation) -> list[str]:
    """Return a sentence for each thing that runs and is not what it seems to be.

    Parameters
    ----------
    trace
        A trace; of a forward that stopped, the part before it counts.
    propagation
        What `vgglab.valid_sizes.propagate` makes of it.
    """
    return list(dict.fromkeys(chain.from_iterable(find(trace, propagation) for find in _FINDERS)))


def adaptive_pools(trace: Trace) -> list[Op]:
    """Return the adaptive poolings to more than one cell."""
    return [
        op for op in trace.ops if op.kind in ADAPTIVE_POOLS and prod(op.options["output_size"]) > 1
    ]


def flattened(trace: Trace) -> Iterator[tuple[Op, Op]]:
    """Yield each view that lays out maps as rows, with the linear layer that reads them."""
    for reader in trace.ops:
        if reader.kind is not Kind.LINEAR or not reader.sources:
            continue
        source = reader.sources[-1]
        while source >= 0 and _keeps_rows(trace.ops[source]):
            source = trace.ops[source].sources[0]
        if source < 0 or not trace.ops[source].sources:
            continue
        op = trace.ops[source]
        came, went = op.input_shapes[0], op.output_shapes[0]
        if op.kind is Kind.VIEW and len(came) == 4 and len(went) == 2 and went[1] != came[-1]:
            yield op, reader


def _rows_of_other_images(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op, _ in flattened(trace):
        images, rows = op.input_shapes[0][0], op.output_shapes[0][0]
        if images != rows:
            yield (
                f"{_name(op)} lays out the maps of {images} images as {rows} rows: the features of "
                f"an image are cut, and rows are no images any more. Write x.flatten(1)."
            )


def _strips(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op, reader in flattened(trace):
        *_, height, width = op.input_shapes[0]
        side = isqrt(height * width)
        if side * side == height * width and height != width:
            sides = chain_of_sides(trace, propagation, op.sources[0])
            yield (
                f"{_name(reader)} reads {height * width} cells, which come as {height}×{width}; "
                f"{side}×{side} has as many, and the layer cannot tell them apart. If it was made "
                f"for squares, its weights now sit at the wrong places"
                + (f" ({sides})." if sides else ".")
            )


def _resizing_pools(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op in adaptive_pools(trace):
        came, averages = op.input_shapes[0][-2:], op.kind is Kind.ADAPTIVE_AVERAGE_POOL
        wanted = tuple(op.options["output_size"])
        from_to = f"{came[0]}×{came[1]} to {wanted[0]}×{wanted[1]}"
        if came == (1, 1):
            yield (
                f"{_name(op)} copies the only cell of the map {prod(wanted)} times: what comes "
                "after it sees no positions, and its weights act as their sum over the cells."
            )
        elif any(a < b for a, b in zip(came, wanted, strict=True)):
            yield (
                f"{_name(op)} pools {from_to}: it repeats cells, so the map gets larger without "
                "saying more."
            )
        elif averages and any(a % b for a, b in zip(came, wanted, strict=True)):
            weights = [_pixel_weights(a, b) for a, b in zip(came, wanted, strict=True)]
            ratio = prod(max(axis) / min(axis) for axis in weights)
            yield (
                f"{_name(op)} pools {from_to} in bins that overlap: some cells of the map count "
                f"{ratio:.3g} times as much as others, so the mean is not kept."
            )


def _pixel_weights(input_size: int, output_size: int) -> list[float]:
    """Return how much each pixel counts in the sum of all bins."""
    bins = adaptive_bins(input_size, output_size)
    return [sum(1 / len(bin_) for bin_ in bins if k in bin_) for k in range(input_size)]


def _ignored_cells(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op, _ in flattened(trace):
        pool = _last_pool(trace, op.sources[0])
        if pool is None or pool.windows is None or pool.kind is not Kind.AVERAGE_POOL:
            continue
        sides = pool.input_shapes[0][-2:]
        read = [_reach(window, side) for window, side in zip(pool.windows, sides, strict=True)]
        if any(a < b for a, b in zip(read, sides, strict=True)):
            yield (
                f"{_name(pool)} averages {read[0]}×{read[1]} cells of a {sides[0]}×{sides[1]} map "
                "and ignores the rest, at the right and at the bottom."
            )


def _columns_as_features(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op in trace.ops:
        if op.kind is not Kind.LINEAR or not op.sources or op.sources[-1] < 0:
            continue
        view = trace.ops[op.sources[-1]]
        if view.kind is not Kind.VIEW or not view.sources:
            continue
        layout, shape = propagation.layouts.get(view.sources[0]), view.input_shapes[0]
        is_rows = view.output_shapes[0] == rows_of(shape)
        if isinstance(layout, Map) and layout.dims[-1] == Dim(1, (1,)) and is_rows:
            yield (
                f"{_name(op)} got the map {shape} itself and reads each row of {shape[-1]} pixels "
                "as features: a flatten is missing, and the width happens to fit."
            )


def _stretched_sums(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op in trace.ops:
        if op.name.removesuffix("_") != "add" or len(op.input_shapes) != 2:
            continue
        first, second = op.input_shapes
        if len(first) == len(second) == 4 and first[-2:] != second[-2:]:
            yield (
                f"{_name(op)} adds maps of {first[-2]}×{first[-1]} and {second[-2]}×{second[-1]}: "
                "the smaller one is stretched without a word."
            )


_FINDERS: tuple[Callable[[Trace, Propagation], Iterator[str]], ...] = (
    _rows_of_other_images,
    _strips,
    _columns_as_features,
    _resizing_pools,
    _ignored_cells,
    _stretched_sums,
)


def _keeps_rows(op: Op) -> bool:
    """Tell a dropout, a normalisation or an activation of features."""
    return op.kind is not Kind.LINEAR and bool(op.sources) and len(op.input_shapes[0]) == 2


def _last_pool(trace: Trace, source: int) -> Op | None:
    """Return the last operation with windows, going back from `source`."""
    while source >= 0:
        op = trace.ops[source]
        if op.windows is not None:
            return op
        source = op.sources[0] if op.sources else -1
    return None


def _reach(window: Window, side: int) -> int:
    """Return how many pixels of `side` the windows cover from the first on."""
    last = (window.output_size(side) - 1) * window.stride + window.extent - window.padding
    return min(last, side)


def _name(op: Op) -> str:
    return op.path or f"{op.name} in the model's forward"
