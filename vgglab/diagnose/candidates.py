"""What to try as a repair: lines of code, made from a trace and from what is wrong with it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, NamedTuple, TypeAlias

from torch import nn

from vgglab.diagnose.problems import EACH_FRAME, find_problem
from vgglab.diagnose.scene import Problem, map_for
from vgglab.diagnose.warnings import adaptive_pools, flattened
from vgglab.tracing import Shape, Trace
from vgglab.tracing.operations import Kind
from vgglab.valid_sizes.intervals import ValidSizes
from vgglab.valid_sizes.layouts import Map
from vgglab.valid_sizes.propagation import Propagation, axes_of, propagate

LEVELS = (1, 2, 4)
"""Levels of the spatial pyramid that is offered: those of most papers, 21 bins."""

MOST_HEADS = 4
"""How many layers one repair changes."""

SMALLEST = 8
"""Pixels a side to which images are resized at least."""

Same: TypeAlias = Literal["all old sizes", "this size", "one old size", "no"]


@dataclass(frozen=True)
class Case:
    """What is known when repairs are looked for.

    Attributes
    ----------
    model
        The network.
    trace
        Its trace at the input.
    propagation
        What `vgglab.valid_sizes.propagation.propagate` makes of the trace.
    problem
        Why the forward stopped; ``None`` if it did not.
    sizes
        The valid sizes.
    """

    model: nn.Module
    trace: Trace
    propagation: Propagation
    problem: Problem | None
    sizes: ValidSizes

    @property
    def problem_map(self) -> Shape | None:
        return self.problem.map if self.problem else None

    @property
    def input_size(self) -> Shape:
        return self.trace.input_sizes[axes_of(self.trace).inputs[0]]


class Candidate(NamedTuple):
    """A repair that has not been tried.

    Attributes
    ----------
    name, line, same, note
        As of a `Fix`.
    again
        What goes on with it, given the trace of a network so repaired that still stops: in a second
        head, say.
    """

    name: str
    line: str
    same: Same
    note: str
    again: "Callable[[Trace], Candidate | None] | None" = None


def other_layout(trace: Trace, problem: Problem) -> tuple[Candidate, Shape] | None:
    """Return what brings the input into the layout that the network wants, and its shape then."""
    size = trace.input_sizes[0]
    note = "the network stays as it is."
    if problem.kind == "unbatched-input" and isinstance(problem.expected, tuple):
        wanted = problem.expected
        if wanted[0] == size[0]:
            line = "model = nn.Sequential(nn.Unflatten(0, (-1, 1)), model)"
            return Candidate(
                "channel", line, "all old sizes", f"Gives each image its one channel; {note}"
            ), wanted
        if wanted[-len(size) :] != size:
            return None
        first = wanted[: len(wanted) - len(size) + 1]
        line = f"model = nn.Sequential(nn.Unflatten(0, {first}), model)"
        note = f"Gives the image the dimensions that are missing; {note}"
        return Candidate("batch", line, "all old sizes", note), wanted
    if problem.kind == "wrong-dimensions" and problem.instead == EACH_FRAME:
        frames, rest = size[1], size[2:]
        line = f"nn.Sequential(nn.Flatten(0, 1), model, nn.Unflatten(0, (-1, {frames})))"
        note = f"Treats each of the {frames} frames as an image: one answer a frame; {note}"
        wanted = (size[0] * frames, *rest)
        return Candidate("frames", f"model = {line}", "all old sizes", note), wanted
    if problem.kind == "wrong-dimensions" and isinstance(problem.expected, tuple):
        wanted = problem.expected
        if wanted == (*size, 1):
            line = "model = nn.Sequential(nn.Unflatten(-1, (-1, 1)), model)"
            note = f"Gives each input the dimension that is missing; {note}"
            return Candidate("unflatten", line, "all old sizes", note), wanted
        line = f"model = nn.Sequential(nn.Unflatten(1, {wanted[1:]}), model)"
        note = f"Gives each row the shape that the network takes; {note}"
        return Candidate("unflatten", line, "all old sizes", note), wanted
    is_input = problem.kind == "channel-mismatch" and len(size) > 2 and problem.got == size[1]
    if not is_input or not isinstance(problem.expected, int):
        return None
    channels = problem.expected
    # Of a clip the frames may come first, else the channels may come last.
    place = 2 if len(size) == 5 and size[2] == channels else len(size) - 1
    if size[place] == channels:
        order = [0, place, *(k for k in range(1, len(size)) if k != place)]
        note = f"Puts the channels behind the batch; {note}"
        return _permuted(order, note), tuple(size[k] for k in order)
    if len(size) > 3 and size[0] == channels:
        order = [1, 0, *range(2, len(size))]
        return _permuted(order, f"Swaps batch and channels; {note}"), (size[1], size[0], *size[2:])
    wanted = (size[0], channels, *size[2:])
    if len(size) == 4 and (problem.got, channels) in ((1, 3), (3, 1)):
        line = f"model = nn.Sequential(v2.Grayscale(num_output_channels={channels}), model)"
        grey = (
            "Gives the network the grey channel three times"
            if channels == 3
            else "Makes grey images of the colours"
        )
        return Candidate("grey", line, "all old sizes", f"{grey}; {note}"), wanted
    return in_channels(problem), wanted


def _permuted(order: list[int], note: str) -> Candidate:
    # In the new order in memory too: a view of what the first layers return would fail otherwise.
    change = f"ops.Permute({order}), v2.Lambda(torch.Tensor.contiguous)"
    line = f"model = nn.Sequential({change}, model)"
    return Candidate("permute", line, "all old sizes", note)


def in_channels(problem: Problem) -> Candidate:
    """Return the repair that gives the first convolution another number of channels."""
    return Candidate(
        "channels",
        f"model = vgglab.with_in_channels(model, {problem.got})",
        "no",
        "Sums or repeats the weights of the first convolution for other channels; all others stay. "
        "Train it on.",
    )


def projected(problem: Problem, size: Shape) -> Candidate | None:
    """Return the repair that puts a convolution before a network of other channels."""
    if not 3 <= len(size) <= 5 or not isinstance(problem.expected, int):
        return None
    layer = f"nn.Conv{len(size) - 2}d({size[1]}, {problem.expected}, 1)"
    return Candidate(
        "channels",
        f"model = nn.Sequential({layer}, model)",
        "no",
        f"A fresh convolution makes {problem.expected} channels of {size[1]}; it must be trained, "
        "and the network stays as it is.",
    )


def candidates(case: Case) -> Iterator[Candidate]:
    """Return what may repair a network, best first; none of it has been tried."""
    kind = case.problem.kind if case.problem else None
    if kind in ("missing-flatten", "batch-mixed"):
        yield from _flatten(case)
    if kind == "missing-pool":
        yield _pool("model", (1,) * len(case.propagation.given))
    if kind == "batch-too-small":
        yield Candidate(
            "eval",
            f"{_copied(case.model)}.eval()",
            "all old sizes",
            "A copy in evaluation mode: the averages of training in place of the batch's.",
        )
        return
    if kind == "not-contiguous":
        yield Candidate(
            "order",
            f"{_copied(case.model)}.to(memory_format=torch.contiguous_format)",
            "all old sizes",
            "A copy whose weights lie in memory in the usual order, so that maps do; no weight "
            "changes.",
        )
    if kind == "wrong-dimensions":
        yield from _layer_beside(case)
    got = case.problem.got if case.problem else None
    axes_are_apart = kind == "channel-mismatch" and isinstance(got, tuple)
    if kind != "missing-flatten" and not axes_are_apart:  # of any size the wrong axis is read
        yield from _other_input(case)
    at_head = case.problem is None or case.problem.map is not None
    if at_head and len(case.input_size) == 4 and len(case.propagation.given) == 2:
        yield from _other_head(case)
    yield from _around_one_layer(case)


def _layer_beside(case: Case) -> Iterator[Candidate]:
    """Put the layer that belongs there beside the one that cannot take what comes."""
    problem, failure = case.problem, case.trace.failure
    if problem is None or failure is None or not failure.path or not isinstance(problem.got, int):
        return
    if problem.instead and problem.instead.endswith(")"):
        yield Candidate(
            "layer",
            f"model = vgglab.with_second_layer(model, {failure.path!r}, {problem.instead}, "
            f"{problem.got})",
            "no",
            f"A fresh {problem.instead} beside {failure.path}, for inputs of {problem.got} "
            "dimensions; the old one goes on with all others. It must be trained.",
        )


def _copied(model: nn.Module) -> str:
    """Return the code that copies a model: Python's own call, if it can."""
    tensors = [*model.parameters(), *model.buffers()]
    shared = {id(tensor): tensor for tensor in tensors if tensor.is_leaf}
    try:
        copy.deepcopy(model, shared)  # without the data, which takes long
    except Exception:  # a weight that hooks compute, a lock, a file
        copied = "from vgglab.tracing.copies import real_copy"
        return f"{copied}; model = real_copy(model, hooks=True)"
    return "model = copy.deepcopy(model)"


def _flatten(case: Case) -> Iterator[Candidate]:
    inputs = case.trace.input_sizes
    line = f"vgglab.with_flatten(model, {[*inputs] if len(inputs) > 1 else case.input_size})"
    note = "Flattens what a linear layer gets, image by image; every weight stays where it is."
    yield Candidate("flatten", f"model = {line}", "all old sizes", note)
    sides = _sides_at_head(case)
    if sides is not None and len(sides) == 2 and len(inputs) == 1:
        # The flatten is put in at a size at which the features fit; the pooling serves all others.
        before = propagate(replace(case.trace, failure=None))
        maps = [op for op in case.trace.ops if op.output_shapes[0][1:] == case.problem_map]
        sizes = before.sizes_with(maps[-1].index, sides) if maps else case.sizes
        if sizes:
            fitting = (*case.input_size[:-2], *sizes.nearest(case.propagation.given))
            line = f"vgglab.with_flatten(model, {fitting})"
        pool = _pool(line, sides)
        yield pool._replace(note=f"Adds the flatten that is missing. {pool.note}")


def _pool(model: str, sides: tuple[int, ...]) -> Candidate:
    to = "×".join(map(str, sides))
    return Candidate(
        "pool",
        f"model = vgglab.with_adaptive_pool({model}, {sides})",
        "all old sizes",
        f"Averages every map to {to} cells; a map that has {to} passes unchanged.",
    )


_RESIZE = {1: "linear", 3: "trilinear"}


def _other_input(case: Case) -> Iterator[Candidate]:
    """Give the network inputs that it was made for."""
    size = case.propagation.given
    target = trained_size(case)
    if target is None or target == size:
        return
    if len(size) == 2 and min(target) < SMALLEST < min(size):
        return  # it would run, and nothing be left of the image
    to = "×".join(map(str, target))
    unit = " px" if len(size) == 2 else ""
    others = "other sizes are answered as if they had been resized"
    if axes_of(case.trace).places == (-4, -2, -1) and size[0] == target[0]:
        size, target = size[1:], target[1:]  # frames of a clip
        to, unit = "×".join(map(str, target)), " px"
    if len(size) == 2:
        line = f"v2.Resize({target})"
        thing = "image"
    else:
        line = f"nn.Upsample(size={target}, mode={_RESIZE[len(size)]!r})"
        thing = "input"
    dense = ""
    if case.problem is not None and case.problem.kind == "padding-mismatch":
        dense = " Where it returns maps, they have the resized size."
    lines = (f"nn.Sequential({line}, model)", f"vgglab.with_resized_inputs(model, {target})")
    for line in lines:  # the second for several inputs, and for those given by name
        yield Candidate(
            "resize",
            f"model = {line}",
            "one old size",
            f"Resizes every {thing} to {to}{unit}: the same function there, and {others}. The "
            f"network stays as it is.{dense}",
        )
    smaller = [b - a for a, b in zip(target, size, strict=True)]
    if len(size) == 2 and min(smaller) >= 0:
        yield Candidate(
            "crop",
            f"model = nn.Sequential(v2.CenterCrop({target}), model)",
            "one old size",
            f"Looks at the central {to} px alone: the same function at {to} px. The network stays "
            f"as it is.{dense}",
        )
    if len(case.sizes.axes) != len(size):
        return
    larger = [
        min((max(i.first, side) for i in axis if i.last is None or i.last >= side), default=side)
        for axis, side in zip(case.sizes.axes, size, strict=True)
    ]
    gaps = [b - a for a, b in zip(size, larger, strict=True)]
    is_near = max(gaps) > 0 and all(4 * gap <= a for gap, a in zip(gaps, size, strict=True))
    if is_near and tuple(larger) in case.sizes:
        pads = [n for gap in reversed(gaps) for n in (gap // 2, gap - gap // 2)]
        to = "×".join(map(str, larger))
        yield Candidate(
            "pad",
            f"model = nn.Sequential(nn.ConstantPad{len(size)}d({tuple(pads)}, 0.0), model)",
            "this size",
            f"Puts zeros around inputs of this size, to {to}{unit}; the network stays as it is."
            + dense.replace("resized", "padded"),
        )


def _other_head(case: Case) -> Iterator[Candidate]:
    """Change what comes after the last feature map."""
    size, target = case.input_size, trained_size(case)
    trained = None if target is None else (*size[:-2], *target)
    pooled = "model"
    sides = _sides_at_head(case)
    pools = adaptive_pools(case.trace)
    if sides is not None and not pools:
        pooled = f"vgglab.with_adaptive_pool(model, {sides})"
        yield _pool("model", sides)
    yield Candidate(
        "fold",
        f"model = vgglab.fold_adaptive_pool({pooled}, {size})",
        "this size",
        "Adaptive pooling and the first FC layer as one convolution: at this size the function "
        "of adaptive pooling, with weights computed from those that are there. Other sizes fail.",
    )
    if trained is not None:
        yield Candidate(
            "conv",
            f"model = nn.Sequential(vgglab.fc_to_conv(model, {trained}), "
            "nn.AdaptiveAvgPool2d(1), nn.Flatten())",
            "one old size" if pools else "all old sizes",
            f"FC layers as convolutions, scores averaged over the image; at {trained[-2]}×"
            f"{trained[-1]} px equal to the network.",
        )
    classes = _classes(case)
    if classes is not None:
        yield Candidate(
            "gap",
            f"model = vgglab.with_gap_head(model, {classes})",
            "no",
            "Averages each channel and adds one fresh linear layer, which must be trained.",
        )
        yield Candidate(
            "spp",
            f"model = vgglab.with_spp_head(model, {LEVELS}, {classes})",
            "no",
            "Pools into grids of several sizes; the first FC layer is fresh and must be trained.",
        )
    yield Candidate(
        "fc",
        f"model = vgglab.with_new_fc(model, {size})",
        "no",
        "A fresh first FC layer that reads all cells at this size; it must be trained, and other "
        "sizes fail again.",
    )


def _around_one_layer(case: Case) -> Iterator[Candidate]:
    """Change one layer alone: whatever stands before it, and whatever follows."""
    problem, failure = case.problem, case.trace.failure
    if problem is None or failure is None or not failure.path:
        return
    counted = problem.kind in ("input-size", "missing-pool", "wrong-in-features")
    if not counted or not isinstance(problem.expected, int) or not isinstance(problem.got, int):
        return
    for candidate in (_pool_before, _new_linear):
        first = candidate(case.trace, case.propagation, problem, ())
        if first is not None:
            yield first


class _Change(NamedTuple):
    """One layer that is changed: its path, and the call, in which ``{}`` is the network."""

    path: str
    call: str


def _pool_before(
    trace: Trace, propagation: Propagation, problem: Problem, others: tuple[_Change, ...]
) -> Candidate | None:
    """Pool before the layer that stops, and before `others` that stopped until they were mended."""
    path = trace.failure.path if trace.failure else ""
    sides = problem.wanted and problem.wanted[1:]
    whole = problem.map is not None and sides and len(sides) == len(problem.map) - 1
    if not path or not whole or not sides or not channels_first(trace, propagation):
        return None
    call = f"vgglab.with_pooled_features({{}}, {path!r}, {problem.map}, {sides})"
    changes = (*others, _Change(path, call))
    to = "×".join(map(str, sides))
    return Candidate(
        "pool",
        _nested(changes),
        "all old sizes",
        f"Averages the map before {_paths(changes)} to {to} cells at this input size; "
        "features that fit pass unchanged.",
        lambda after: _go_on(_pool_before, after, changes),
    )


def _new_linear(
    trace: Trace, propagation: Propagation, problem: Problem, others: tuple[_Change, ...]
) -> Candidate | None:
    """Replace the layer that stops, and `others` that stopped until they were replaced."""
    failure = trace.failure
    if failure is None or failure.op is None:
        return None
    if failure.op.kind is Kind.LINEAR and isinstance(problem.got, int):
        call = f"vgglab.with_new_linear({{}}, {failure.path!r}, {problem.got})"
        change, things = _Change(failure.path, call), f"{problem.got:,} features"
    else:
        gate = _gate(trace, problem) if others else None
        if gate is None:
            return None
        path, channels = gate
        call = f"vgglab.with_num_classes({{}}, {channels}, {path!r})"
        change, things = _Change(path, call), f"{channels:,} channels"
    changes = (*others, change)
    return Candidate(
        "fc",
        _nested(changes),
        "no",
        f"A fresh {_paths(changes)} for {things}; it must be trained, and inputs that give another "
        "number fail.",
        lambda after: _go_on(_new_linear, after, changes),
    )


def _gate(trace: Trace, problem: Problem) -> tuple[str, int] | None:
    """Return the layer whose answer scales a map of other channels, and how many these are."""
    op = trace.failure.op if trace.failure else None
    if op is None:
        return None
    source, channels = op.sources[0] if op.sources else -1, 0
    size = op.options.get("size", ())
    if op.kind is Kind.VIEW and len(op.input_shapes[0]) == 2 < len(size) and prod(size[2:]) == 1:
        channels = size[1]  # the rows, laid out as maps of one cell
    expected, got = problem.expected, problem.got
    if problem.kind == "channel-mismatch" and isinstance(expected, tuple):
        assert isinstance(got, tuple)
        numbers, map_ = sorted((expected, got), key=lambda shape: prod(shape[2:]))
        channels = map_[1]
        found = [s for s in op.sources if s >= 0 and trace.ops[s].output_shapes[0] == numbers]
        source = found[0] if found else -1
    while source >= 0 and trace.ops[source].kind is not Kind.LINEAR:
        source = trace.ops[source].sources[0] if trace.ops[source].sources else -1
    return (trace.ops[source].path, channels) if source >= 0 and channels > 0 else None


_Make: TypeAlias = Callable[[Trace, Propagation, Problem, tuple[_Change, ...]], Candidate | None]


def _go_on(make: _Make, trace: Trace, changes: tuple[_Change, ...]) -> Candidate | None:
    """Mend one more layer, if that is all and they are not too many."""
    if trace.failure is None or len(changes) == MOST_HEADS:
        return None
    if trace.failure.path in [change.path for change in changes]:
        return None
    propagation = propagate(trace)
    return make(trace, propagation, find_problem(trace, propagation), changes)


def _nested(changes: tuple[_Change, ...]) -> str:
    line = "model"
    for _, call in changes:
        line = call.format(line)
    return f"model = {line}"


def _paths(changes: tuple[_Change, ...]) -> str:
    return " and ".join(path for path, _ in changes)


def channels_first(trace: Trace, propagation: Propagation) -> bool:
    """Tell whether the features that a layer counts were laid out channel by channel."""
    failure = trace.failure
    source = failure.op.sources[0] if failure and failure.op and failure.op.sources else -1
    while source >= 0:
        op = trace.ops[source]
        if not op.sources:
            return False
        before, after = (propagation.layouts.get(k) for k in (op.sources[0], source))
        if op.kind is Kind.VIEW and isinstance(before, Map) and isinstance(after, Map):
            merged = set(after.dims[-1].axes)
            places = [k for k, dim in enumerate(before.dims) if merged & {*dim.axes}]
            if places and len(before.dims) > len(after.dims) and before.is_plain:
                return all(dim.axes or dim.number == 1 for dim in before.dims[min(places) :])
        source = op.sources[0]
    return False


def trained_size(case: Case) -> tuple[int, ...] | None:
    """Return the size nearest to the input at which the classifier reads its map unpooled."""
    sizes = case.sizes
    pools = adaptive_pools(case.trace)
    if pools:
        pool = pools[-1]
        sizes = case.propagation.sizes_with(pool.sources[0], tuple(pool.options["output_size"]))
    if not sizes or len(sizes.axes) != len(case.propagation.given):
        return None
    return sizes.nearest(case.propagation.given)


def _sides_at_head(case: Case) -> tuple[int, ...] | None:
    """Return the sides of the map that the first FC layer wants."""
    problem = case.problem
    if problem is not None and problem.map is not None and isinstance(problem.expected, int):
        channels, features = problem.map[0], problem.expected
    else:
        read = [op for op, _ in flattened(case.trace)]
        if not read:
            return None
        channels, features = read[-1].input_shapes[0][1], read[-1].output_shapes[0][1]
    wanted = map_for(case.propagation, features, channels)
    number = len(case.propagation.given)
    return tuple(wanted[1:]) if wanted is not None and len(wanted) == number + 1 else None


def _classes(case: Case) -> int | None:
    """Return how many logits the network has: the outputs of its last matrix of weights."""
    shapes = [parameter.shape for parameter in case.trace.parameters.values()]
    return next((shape[0] for shape in reversed(shapes) if len(shape) >= 2), None)
