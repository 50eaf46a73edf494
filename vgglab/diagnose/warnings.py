"""Forwards that end without an error and should not be trusted."""

from collections.abc import Callable, Iterator
from itertools import chain
from math import isqrt, prod
from typing import NamedTuple

from torch import nn
from torch.nn.parameter import is_lazy

from vgglab.diagnose.identity import identify_vgg
from vgglab.diagnose.scene import chain_of_sides
from vgglab.pooling import adaptive_bins
from vgglab.shapes import Window
from vgglab.tracing import Op, Shape, Trace
from vgglab.tracing.operations import ADAPTIVE_POOLS, RESHAPES, Kind, rows_of
from vgglab.valid_sizes.layouts import Dim, Map
from vgglab.valid_sizes.propagation import Propagation, axes_of


class Target(NamedTuple):
    """What a loss compares an output with.

    Attributes
    ----------
    shape
        Of the tensor.
    highest
        The highest of its class indices; ``None`` if they are not known.
    """

    shape: Shape
    highest: int | None = None


def find_warnings(
    model: nn.Module, trace: Trace, propagation: Propagation, target: Target | None = None
) -> list[str]:
    """Return a sentence for each thing that runs and is not what it seems to be.

    Parameters
    ----------
    model
        The network.
    trace
        Its trace; of a forward that stopped, the part before it counts.
    propagation
        What `vgglab.valid_sizes.propagation.propagate` makes of it.
    target
        What the loss compares the output with, if it is known.
    """
    found = chain(
        sizes_in_doubt(trace, propagation),
        chain.from_iterable(find(trace, model) for find in _TRAPS),
        _target(trace, target) if target is not None else (),
    )
    return list(dict.fromkeys(found))


def sizes_in_doubt(trace: Trace, propagation: Propagation) -> list[str]:
    """Return those sentences that another size of the input would change."""
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
        if op.kind is not Kind.VIEW or _of_attention(trace, op):
            continue
        if len(came) > 2 and len(went) == 2 and went[1] != came[-1]:
            yield op, reader


def _of_attention(trace: Trace, view: Op) -> bool:
    """Tell a view that lays the heads of an attention side by side, whose rows are no images."""
    source, permuted = view.sources[0], False
    while source >= 0 and trace.ops[source].kind in {*RESHAPES, Kind.PERMUTE}:
        permuted |= trace.ops[source].kind is Kind.PERMUTE
        source = trace.ops[source].sources[0]
    return source >= 0 and permuted and trace.ops[source].kind is Kind.PRODUCT


def cut_images(trace: Trace) -> Iterator[Op]:
    """Yield each view whose rows are no whole images, frames, lines or cells."""
    for op, _ in flattened(trace):
        shape = op.input_shapes[0]
        if op.output_shapes[0][0] not in [prod(shape[:k]) for k in range(1, len(shape))]:
            yield op


def mixed_rows(trace: Trace, propagation: Propagation) -> Iterator[str]:
    """Yield a sentence for each view that lays out the images of a batch as other rows."""
    for op in cut_images(trace):
        (images, *map_), (rows, features) = op.input_shapes[0], op.output_shapes[0]
        each = f"{prod(map_)} = {'·'.join(map(str, map_))}"
        came = f"{images} images" if images > 1 else "one image"
        yield (
            f"{_name(op)} lays out the maps of {came} as {rows} rows of {features}: an image "
            f"has {each} features, which are cut, and rows are no images any more. "
            "Write x.flatten(1)."
        )


def _strips(trace: Trace, propagation: Propagation) -> Iterator[str]:
    for op, reader in flattened(trace):
        if len(op.input_shapes[0]) != 4:
            continue
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
                f"saying more: {prod(wanted)} cells hold what {prod(map(min, came, wanted))} do."
            )
        elif averages and any(a % b for a, b in zip(came, wanted, strict=True)):
            weights = [_pixel_weights(a, b) for a, b in zip(came, wanted, strict=True)]
            ratio = prod(max(axis) / min(axis) for axis in weights)
            yield (
                f"{_name(op)} pools {from_to} in bins that overlap: some cells of the map count "
                f"{ratio:.3g} times as much as others, so the mean is not kept."
                f"{_even_sizes(op, propagation)}"
            )


def _even_sizes(op: Op, propagation: Propagation) -> str:
    """Say at which sizes of the image the bins of a pooling are even."""
    wanted = tuple(op.options["output_size"])
    found = []
    for factor in (1, 2, 3):
        sizes = propagation.sizes_with(op.sources[0], tuple(factor * side for side in wanted))
        if sizes and sizes.square:
            found.append(str(max(sizes.height[0].first, sizes.width[0].first)))
    return f" Bins are even for images of {', '.join(found)} px, for example." if found else ""


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
    if len(trace.input_sizes[axes_of(trace).inputs[0]]) < 4 and not any(
        op.windows for op in trace.ops
    ):
        return  # a sequence: its last dimension are features
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
    mixed_rows,
    _strips,
    _columns_as_features,
    _resizing_pools,
    _ignored_cells,
    _stretched_sums,
)


def _features_that_were_edited(trace: Trace, model: nn.Module) -> Iterator[str]:
    """Tell layers whose attributes were changed, which does not change the layer."""
    names = {"in_features": 1, "out_features": 0, "in_channels": 1, "out_channels": 0}
    for path, module in model.named_modules():
        if type(module) not in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d):
            continue
        weight = module._parameters.get("weight")
        if weight is None or is_lazy(weight):
            continue
        for name, dim in names.items():
            said, groups = getattr(module, name, None), getattr(module, "groups", 1)
            is_really = weight.shape[dim] * (groups if name == "in_channels" else 1)
            if said is not None and said != is_really:
                yield (
                    f"{path}.{name} says {said}, and its weight is made for {is_really}: setting "
                    "the attribute changes no weights. Put a new layer in its place."
                )


def _hooks_left_out(trace: Trace, model: nn.Module) -> Iterator[str]:
    if trace.hooks_left_out:
        names = [path or "the model itself" for path in trace.hooks_left_out]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield (
            f"The hooks on {', '.join(names[:3])}{more} were not run: what is said here holds "
            "without them."
        )


def _lazy_layers(trace: Trace, model: nn.Module) -> Iterator[str]:
    lazy = [path for path, m in model.named_modules() if any(map(is_lazy, m.parameters(False)))]
    if lazy and trace.failure is None:
        have = "has" if len(lazy) == 1 else "have"
        yield (
            f"{' and '.join(lazy)} {have} no weights yet: they are made for the first input, of "
            "any size, and the sizes that fit are those after this one."
        )


def _layers_in_lists(trace: Trace, model: nn.Module) -> Iterator[str]:
    """Tell layers that torch does not know of: they are not trained, moved or saved."""
    known = {id(module) for module in model.modules()}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            items = value.values() if isinstance(value, dict) else value
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            hidden = [m for m in items if isinstance(m, nn.Module) and id(m) not in known]
            if any(next(m.parameters(), None) is not None for m in hidden):
                where = f"{path}.{name}".lstrip(".")
                kind = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
                yield (
                    f"{where} keeps {len(hidden)} layers in a {type(value).__name__}: their "
                    f"weights are no parameters of the model, so they are not trained. Use {kind}."
                )


def _unused_layers(trace: Trace, model: nn.Module) -> Iterator[str]:
    if trace.failure is not None or not model.training:
        return  # what trains alone, such as an auxiliary classifier, does not run otherwise
    used = {name for op in trace.ops for name in op.parameters}
    unused = [name for name in trace.parameters if name not in used]
    layers = dict.fromkeys(name.rpartition(".")[0] for name in unused)
    layers = dict.fromkeys(p for p in layers if not any(n.startswith(f"{p}.") for n in used))
    if layers:
        more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
        yield f"The forward does not use {', '.join(list(layers)[:3])}{more}: they get no gradient."


def _batch_lost(trace: Trace, model: nn.Module) -> Iterator[str]:
    """Tell a flatten of a batch of one that takes the batch as well."""
    main = trace.input_sizes[axes_of(trace).inputs[0]]
    for op in trace.ops:
        if op.kind is not Kind.VIEW or not op.sources or main[0] != 1 or len(main) < 3:
            continue
        came, went = op.input_shapes[0], op.output_shapes[0]
        if len(came) == len(main) and came[0] == 1 and went == (prod(came),):
            yield (
                f"{_name(op)} flattens the batch as well: one input loses its batch dimension, "
                "and of several the features would be mixed. Flatten from dimension 1 on."
            )
    if trace.failure is None and len(trace.output_sources) == 1 and trace.output_sources[0] >= 0:
        last = trace.ops[trace.output_sources[0]]
        came = last.input_shapes[0] if last.input_shapes else ()
        cells = prod(came[2:])
        mixes = last.kind is Kind.VIEW and last.output_shapes[0] == (prod(came),)
        if mixes and len(came) == len(main) > 2 and came[1] == 1 < min(cells, main[0]):
            sides = "×".join(map(str, came[2:]))
            yield (
                f"{_name(last)} returns {prod(came)} numbers for {main[0]} inputs, {sides} cells "
                "of each: a target of one number an input does not fit. Average the cells, "
                f"x.mean({tuple(range(2, len(came)))}), or give inputs that leave one."
            )


def _columns_against_vectors(trace: Trace, model: nn.Module) -> Iterator[str]:
    for op in trace.ops:
        if op.kind is not Kind.BROADCAST or len(op.input_shapes) != 2:
            continue
        first, second = sorted(op.input_shapes, key=len)
        if len(first) == 1 and second == (*first, 1) and first[0] > 1:
            yield (
                f"{_name(op)} meets {second} and {first} and gives {op.output_shapes[0]}: each "
                "with each, not one by one. Bring both to one shape, by squeeze(1) or unsqueeze(1)."
            )


def _last_activation(trace: Trace, model: nn.Module) -> Iterator[str]:
    """Tell what should not stand between the scores and a loss."""
    if trace.failure is not None or not model.training or len(trace.output_sources) != 1:
        return
    last = trace.ops[trace.output_sources[0]] if trace.output_sources[0] >= 0 else None
    if last is None or len(last.output_shapes[0]) != 2 or last.output_shapes[0][-1] < 2:
        return
    if last.name == "_softmax":
        yield (
            f"{_name(last)} is a softmax at the end of a network in training: nn.CrossEntropyLoss "
            "takes scores and does that itself, so the gradients would be small."
        )
    elif last.name.rstrip("_") == "relu" and trace.ops[last.sources[0]].kind is Kind.LINEAR:
        yield f"{_name(last)} cuts off negative scores: no loss wants a ReLU after the last layer."


def _nothing_between(trace: Trace, model: nn.Module) -> Iterator[str]:
    """Tell linear layers one after the other, which are together one linear layer."""
    for op in trace.ops:
        if op.kind is not Kind.LINEAR or len(op.sources) != 1:
            continue
        source = op.sources[0]
        while source >= 0 and (
            trace.ops[source].kind in RESHAPES
            or trace.modules[trace.ops[source].path].startswith("Dropout")
        ):
            source = trace.ops[source].sources[0]
        if source < 0 or trace.ops[source].kind is not Kind.LINEAR:
            continue
        first = trace.ops[source]
        shapes = first.input_shapes, first.output_shapes, op.output_shapes
        came, between, went = (s[0][-1] for s in shapes)
        if between >= min(came, went) and sum(source in o.sources for o in trace.ops) == 1:
            yield (
                f"Between {_name(first)} and {_name(op)} there is no activation: two linear layers "
                "in a row are no more than one."
            )


def _another_vgg(trace: Trace, model: nn.Module) -> Iterator[str]:
    found = identify_vgg(trace)
    if found is not None and found.named_otherwise:
        yield found.named_otherwise


_TRAPS: tuple[Callable[[Trace, nn.Module], Iterator[str]], ...] = (
    _features_that_were_edited,
    _hooks_left_out,
    _lazy_layers,
    _layers_in_lists,
    _unused_layers,
    _batch_lost,
    _columns_against_vectors,
    _last_activation,
    _nothing_between,
    _another_vgg,
)


def classes_wanted(trace: Trace, target: Target) -> int | None:
    """Return how many classes a target has, if the output has scores for another number."""
    if trace.failure is not None or len(trace.output_shapes) != 1:
        return None
    (out,) = trace.output_shapes
    if len(out) < 2 or out[1] < 2:
        return None
    images, classes, *sides = out
    if target.shape == (images, *sides) and target.highest is not None:
        return target.highest + 1 if target.highest >= classes else None
    if len(target.shape) == len(out) and target.shape == (images, target.shape[1], *sides):
        return target.shape[1] if target.shape[1] not in (1, classes) else None
    return None


def _target(trace: Trace, known: Target) -> Iterator[str]:
    """Say what the usual losses make of an output and a target."""
    if trace.failure is not None or len(trace.output_shapes) != 1:
        return
    (out,), target = trace.output_shapes, known.shape
    wanted = classes_wanted(trace, known)
    if wanted is not None:
        yield (
            f"The output {out} has scores for {out[1]} classes, and the target {wanted}: the last "
            "layer was made for another number of classes."
        )
        return
    if out == target:
        return
    labels = (out[0], *out[2:])
    if len(out) > 1 and out[1] > 1 and target == labels:
        return  # class indices for CrossEntropyLoss
    if out[:1] != target[:1]:
        yield (
            f"The output is {out} and the target {target}: the loss stops, for they differ in the "
            f"number of rows, {out[0]} and {target[0] if target else 0}."
        )
    elif sorted((out, target), key=len) == [out[:1], (*out[:1], 1)]:
        yield (
            f"The output is {out} and the target {target}: a loss such as MSELoss compares each "
            f"with each, ({out[0]}, {out[0]}). Bring both to one shape."
        )
    else:
        yield (
            f"The output is {out} and the target {target}: a loss of equal shapes stops or "
            f"stretches one of them, and CrossEntropyLoss wants class indices of {labels}."
        )


def _keeps_rows(op: Op) -> bool:
    """Tell a dropout, a normalisation or an activation of features."""
    return op.kind is not Kind.LINEAR and bool(op.sources) and len(op.input_shapes[0]) == 2


def _last_pool(trace: Trace, source: int) -> Op | None:
    """Return the operation with windows of which `source` holds the map, if it holds one."""
    while source >= 0:
        op = trace.ops[source]
        if op.windows is not None:
            return op
        if len(op.sources) != 1 or op.input_shapes[0][-2:] != op.output_shapes[0][-2:]:
            return None
        source = op.sources[0]
    return None


def _reach(window: Window, side: int) -> int:
    """Return how many pixels of `side` the windows cover from the first on."""
    last = (window.output_size(side) - 1) * window.stride + window.extent - window.padding
    return min(last, side)


def _name(op: Op) -> str:
    return op.path or f"{op.name} in the model's forward"
