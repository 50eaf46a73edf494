"""What went wrong in a forward that stopped, read from shapes, not from the text of the error."""

import re
from collections.abc import Callable, Mapping
from math import isqrt

from vgglab.diagnose.features import linear_problem, recurrent_problem, rows_problem, view_problem
from vgglab.diagnose.scene import (
    Problem,
    Scene,
    chain_of_sides,
    product,
    shape_of,
    where,
)
from vgglab.explain import explain_error
from vgglab.shapes import Window
from vgglab.tracing import Failure, Shape, Trace
from vgglab.tracing.operations import Kind
from vgglab.valid_sizes.intervals import USUAL_SIZES
from vgglab.valid_sizes.layouts import Map
from vgglab.valid_sizes.propagation import Propagation, axes_of


def find_problem(trace: Trace, propagation: Propagation) -> Problem:
    """Return why a forward stopped.

    Parameters
    ----------
    trace
        A trace with a failure.
    propagation
        What `vgglab.valid_sizes.propagation.propagate` makes of it.
    """
    failure = trace.failure
    assert failure is not None
    for find in (_latent, _unbatched, _dimensions, _attention):
        found = find(trace)
        if found is not None:
            return found
    found = _one_value(trace, propagation)
    if found is not None:
        return found
    if failure.op is not None:
        scene = Scene(trace, propagation, failure, failure.op)
        rule = _RULES.get(failure.op.kind)
        problem = rule(scene) if rule else None
        if problem is not None:
            return problem
    return _from_text(failure)


def first_convolution(trace: Trace) -> tuple[int, int] | None:
    """Return the number of channels and of axes that the first convolution takes."""
    failure = trace.failure
    for op in (*trace.ops, *([failure.op] if failure and failure.op else [])):
        if op.kind is Kind.CONVOLUTION and not op.options.get("transposed"):
            axes = len(op.options["kernel_size"])
            weights = [trace.parameters[name].shape for name in op.parameters]
            if failure and op is failure.op:
                weights = [failure.input_shapes[1]]
            shape = next((w for w in weights if len(w) == axes + 2), None)
            return None if shape is None else (shape[1] * op.options["groups"], axes)
    return None


def _latent(trace: Trace) -> Problem | None:
    """Tell rows of numbers, of which a transposed convolution takes each as a map of one cell."""
    failure = trace.failure
    assert failure is not None
    kind = re.match(r"ConvTranspose([123])d$", failure.type)
    size = trace.input_sizes[0]
    weight = trace.parameters.get(f"{failure.path}.weight")
    if kind is None or trace.ops or len(size) != 2 or weight is None or weight.shape[0] != size[1]:
        return None
    wanted = (*size, *(1,) * int(kind[1]))
    return Problem(
        "wrong-dimensions",
        wanted,
        size,
        f"{where(failure)} takes maps and gets {size}: rows of {size[1]} numbers, as many as it "
        f"has channels. Each row is a map of one cell: give them as {wanted}.",
    )


def _attention(trace: Trace) -> Problem | None:
    """Tell an attention layer that gets tokens of another length, or of several batches."""
    failure = trace.failure
    assert failure is not None
    call = next((c for c in trace.calls if c.path == failure.path and c.finished is None), None)
    if failure.type == "MultiheadAttention" and call is not None and len(call.input_shapes) > 2:
        query, key, value = call.input_shapes[:3]
        apart = [k for k in (0, 1) if len(query) == len(key) == 3 and query[k] != key[k]]
        if apart and query[-1] == key[-1] and "is invalid for" in failure.message:
            return Problem(
                "batch-mixed",
                query,
                key,
                f"{where(failure)} gets a query of {query}, a key of {key} and a value of {value}, "
                "whose batches differ. Without batch_first=True the second dimension is the batch.",
            )
    found = re.search(r"embedding dimension of (\d+), but got (\d+)", failure.message)
    if found is None:
        return None
    expected, got = map(int, found.groups())
    return Problem(
        "wrong-in-features",
        expected,
        got,
        f"{where(failure)} was built for {expected} features a token and gets {got}.",
    )


_LAYERS_OF_IMAGES = re.compile(r"(Conv|MaxPool|AvgPool|BatchNorm)([123])d$")


def _unbatched(trace: Trace) -> Problem | None:
    """Tell an input without a batch or channels, from the first layer that treats images."""
    size = trace.input_sizes[axes_of(trace).inputs[0]]
    first = first_convolution(trace)
    assert trace.failure is not None
    if first is None:
        kind = re.match(r"Conv([123])d$", trace.failure.type)
        if kind is None or any(op.kind is Kind.CONVOLUTION for op in trace.ops):
            return None
        weights = [
            p.shape
            for name, p in trace.parameters.items()
            if name.startswith(trace.failure.path) and len(p.shape) == int(kind[1]) + 2
        ]
        if not weights:
            return None
        first = weights[0][1], int(kind[1])
    channels, axes = first
    if len(size) not in (axes, axes + 1) or len(trace.input_sizes) > 1:
        return None
    layer = {1: "Conv1d", 2: "Conv2d", 3: "Conv3d"}[axes]
    failure = trace.failure
    if _is_batched(trace, len(size)):
        return None
    reader = where(failure) if failure.type == layer else layer
    side = isqrt(size[-1] // channels)
    if len(size) == axes == 2 and channels * side**2 == size[1] and _is_row(size, side):
        pixels = (channels, side, side)
        return Problem(
            "wrong-dimensions",
            (size[0], *pixels),
            size,
            f"{reader} takes images and gets {size}: rows of {product(pixels)} pixels, which "
            f"were flattened. Give them as {(size[0], *pixels)}: x.view(-1, {channels}, {side}, "
            f"{side}).",
        )
    if len(size) == axes + 1 and channels == 1 != size[0]:
        batch = (size[0], 1, *size[1:])
        return Problem(
            "unbatched-input",
            batch,
            size,
            f"The input {size} has no dimension for the channel: {reader} reads it as one image of "
            f"{size[0]} channels, where 1 is wanted. If these are {size[0]} inputs, give them as "
            f"{batch}: x.unsqueeze(1).",
        )
    if len(size) == axes + 1 and size[-1] == channels != size[0]:
        text = " The channels come last, too: x.movedim(-1, 0).unsqueeze(0)."
        batch = (1, channels, *size[:-1])
    elif len(size) == axes + 1 and size[1] == channels != size[0]:
        batch = (*size, 1)
        return Problem(
            "wrong-dimensions",
            batch,
            size,
            f"{reader} takes inputs of {axes + 2} dimensions and gets {size}: a batch of {size[0]} "
            f"with {channels} channels, in which the last dimension is missing. Give it as "
            f"{batch}: x.unsqueeze(-1).",
        )
    elif len(size) == axes + 1 and channels not in (size[0], 3, 1):
        return None
    else:
        text = ""
        batch = (1,) * (axes + 2 - len(size)) + size
    missing = "a batch dimension" if len(size) == axes + 1 else "dimensions for batch and channels"
    verb = "is" if len(size) == axes + 1 else "are"
    thing = "an image" if axes == 2 else "an input"
    return Problem(
        "unbatched-input",
        batch,
        size,
        f"The input {size} has no batch: {missing} {verb} missing. Convolution and pooling take "
        f"{thing} without a batch, but what flattens the maps afterwards takes the first dimension "
        f"for the batch. Give it as {batch}.{text}",
    )


def _is_batched(trace: Trace, rank: int) -> bool:
    """Tell a network that puts dimensions in, or takes them out, before its first convolution."""
    call = next((c for c in trace.calls if c.type.startswith("Conv") and c.input_shapes), None)
    return call is not None and len(call.input_shapes[0]) != rank


def _is_row(size: Shape, side: int) -> bool:
    """Tell rows of flattened images from one image without a batch."""
    is_width = size[1] % 128 == 0 and size[1] <= 4 * size[0]
    return side in USUAL_SIZES and size[0] != size[1] and not is_width


EACH_FRAME = "each frame"
"""Stands for the layer that belongs there, if the same layer is for the frames of a clip."""


def first_convolution_reads(trace: Trace, shape: Shape) -> bool:
    """Tell a clip of frames, given to a network of images whose channels they have."""
    failure = trace.failure
    weights = [
        p.shape
        for name, p in trace.parameters.items()
        if failure and name.startswith(f"{failure.path}.") and len(p.shape) == 4
    ]
    given = trace.input_sizes[axes_of(trace).inputs[0]]
    return shape == given and len(shape) == 5 and any(w[1] == shape[2] for w in weights)


def _dimensions(trace: Trace) -> Problem | None:
    """Tell a layer for another number of axes, such as a BatchNorm1d that gets maps."""
    failure = trace.failure
    assert failure is not None
    kind = _LAYERS_OF_IMAGES.search(failure.type)
    call = next(
        (c for c in reversed(trace.calls) if c.path == failure.path and not c.finished), None
    )
    if kind is None or call is None or not call.input_shapes:
        return None
    shape, axes = call.input_shapes[0], int(kind[2])
    takes = {axes + 2, *({axes + 1} if kind[1] != "BatchNorm" or axes == 1 else ())}
    if len(shape) in takes:
        return None
    wanted = " or ".join(map(str, sorted(takes)))
    text = (
        f"{where(failure)} takes inputs of {wanted} dimensions and gets {shape}, which has "
        f"{len(shape)}."
    )
    right, instead = len(shape) - 2, None
    if 1 <= right <= 3:
        other = f"{kind[1]}{right}d"
        if kind[1] == "BatchNorm":
            instead = f"nn.{other}({shape[1]})"
            text += f" The layer for this map of {shape[1]} channels is {instead}."
        elif first_convolution_reads(trace, shape):
            instead = EACH_FRAME
            text += (
                f" It was made for images of {shape[2]} channels, and these are {shape[1]} frames: "
                f"treat each as an image, x.flatten(0, 1), or take an nn.{other}."
            )
        else:
            text += f" The layer for it is nn.{other}."
    elif len(shape) == 2 and kind[1] != "BatchNorm":
        text += " It comes as rows of features: something flattened the maps before."
    return Problem("wrong-dimensions", min(takes), len(shape), text, instead=instead)


def _one_value(trace: Trace, propagation: Propagation) -> Problem | None:
    """Tell a BatchNorm in training that gets one value a channel."""
    failure = trace.failure
    assert failure is not None
    if "more than 1 value per channel" not in failure.message:
        return None
    found = re.search(r"\[([\d, ]+)\]", failure.message)
    shape = tuple(map(int, found[1].split(","))) if found else ()
    grows = bool(trace.ops) and trace.ops[-1].index in propagation.layouts
    helps = "Larger images help as well." if grows else "No larger image helps."
    return Problem(
        "batch-too-small",
        2,
        1,
        f"{where(failure)} is in training mode and gets {shape}: one value for each channel, of "
        "which it cannot take a variance. Give a batch of 2 or more, or call model.eval(). "
        f"{helps}",
        of_all_sizes="" if grows else helps,
    )


def _convolution(scene: Scene) -> Problem | None:
    shapes = scene.failure.input_shapes
    shape, weight = shapes[0], shapes[1]
    dims, groups = len(weight) - 2, scene.op.options["groups"]
    if len(shape) not in (dims + 1, dims + 2):
        return None
    transposed = scene.op.options.get("transposed")
    expected = weight[0] if transposed else weight[1] * groups
    got = shape[-dims - 1]
    if got == expected and not transposed and weight[0] % groups:
        return _groups(scene, weight, groups, got)
    if got == expected:
        return _too_small(scene)
    channels = "1 channel" if expected == 1 else f"{expected} channels"
    text = f"{scene.where} wants {channels} and gets {got}: its input is {shape}."
    layout, number = scene.layout, len(scene.propagation.given)
    merged = isinstance(layout, Map) and bool(layout.dims[-dims - 1].axes)
    last = shape[-1] == expected and isinstance(layout, Map) and not layout.dims[-1].axes
    kind = "channel-mismatch"
    if merged and not last:
        kind = "input-size"
        assert isinstance(layout, Map)
        term = layout.term(-dims - 1)
        sides = [
            int(side[scene.propagation.given[a] - 1]) for a, side in sorted(term.sides.items())
        ]
        names = " and ".join(scene.propagation.names[axis] for axis in sorted(term.sides))
        text += (
            f" They are {product((term.channels, *sides))}: the {names} of the input went into the "
            "channels, so the layer takes one alone."
        )
    elif merged:
        text += " The channels come last; torch wants them first: x.movedim(-1, 1)."
        return Problem(kind, expected, shape, text)
    elif shape[-1] == expected and expected < min(shape[-dims - 1 : -1]):
        text += " The channels come last; torch wants them before the other dimensions."
    elif scene.op.sources and max(scene.op.sources) < 0:
        if len(shape) == dims + 2 and shape[0] == expected != got:
            text += (
                f" The first dimension is {expected}: batch and channels may be swapped; "
                "x.transpose(0, 1) puts them in their places."
            )
        else:
            things = "images" if number == 2 else "inputs"
            text += f" The network was made for {things} with {channels}."
    else:
        text += " The layer before it returns another number of channels than it wants."
    return Problem(kind, expected, got, text)


def _groups(scene: Scene, weight: Shape, groups: int, got: int) -> Problem:
    """Explain filters that cannot be shared out evenly among the groups."""
    divisors = [n for n in range(1, weight[0] + 1) if weight[0] % n == 0]
    built = _channels_beside(scene, divisors)
    text = (
        f"{scene.where} calls a convolution in {groups} groups with {weight[0]} filters, which "
        f"cannot be shared out among {groups}: the input has {got} channels, and the filters are "
        f"those of an input with another number of channels."
    )
    if built is not None:
        text += (
            f" Layers beside it are made for {built} channels: give it {built}, or build it with "
            f"{got}."
        )
    return Problem("channel-mismatch", built, got, text)


def _channels_beside(scene: Scene, divisors: list[int]) -> int | None:
    """Return the number of channels, above 1, that another convolution of the same module has."""
    prefix = f"{scene.failure.path}." if scene.failure.path else ""
    for name, parameter in scene.trace.parameters.items():
        if name.startswith(prefix) and len(parameter.shape) > 2:
            for count in parameter.shape[:1]:
                if count in divisors and count > 1:
                    return count
    return None


def _too_small(scene: Scene) -> Problem | None:
    windows = scene.op.all_windows
    if not windows or scene.op.options.get("transposed"):
        return None
    shape = scene.op.input_shapes[0]
    names = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}[len(windows)]
    if len(scene.propagation.given) == 1:
        names = ("length",) * len(windows)
    for axis, window, side in zip(names, windows, shape[-len(windows) :], strict=True):
        if window.padding > window.kernel_size // 2 and scene.op.kind is not Kind.CONVOLUTION:
            return Problem(
                "padding-mismatch",
                window.kernel_size // 2,
                window.padding,
                f"{scene.where} pads by {window.padding}; a pooling takes at most half of its "
                f"kernel_size, {window.kernel_size // 2}.",
            )
        if window.output_size(side) < 1:
            return _does_not_fit(scene, axis, window, side)
    return None


def _does_not_fit(scene: Scene, axis: str, window: Window, side: int) -> Problem:
    smallest = window.smallest_input(1)
    sides = (
        chain_of_sides(scene.trace, scene.propagation, scene.op.sources[0])
        if scene.op.sources
        else ""
    )
    because = f" On the way {sides}." if sides else ""
    needs = (
        f"a window of {window.extent} px with padding {window.padding} and needs a map of at least "
        f"{smallest} px"
        if axis in ("height", "width")
        else f"a window of {window.extent} along the {axis} with padding {window.padding} and "
        f"needs at least {smallest}"
    )
    return Problem(
        "input-too-small",
        smallest,
        side,
        f"{scene.where} has {needs}; the {axis} that comes is {side}.{because}",
    )


def _join(scene: Scene) -> Problem | None:
    """Explain maps that meet, in a sum or side by side, and do not have the same sides."""
    trace = scene.trace
    shapes = list(scene.op.input_shapes)
    if len(shapes) == 1 and scene.op.kind is Kind.BROADCAST:
        return _with_numbers(scene)
    sources = [_source_of(scene, shape) for shape in shapes]
    if len(shapes) < 2:
        return None
    first = shapes[0]
    other = next((k for k, shape in enumerate(shapes) if len(shape) != len(first)), None)
    if other is not None:
        pair = ((first, sources[0]), (shapes[other], sources[other]))
        origins = " and ".join(f"{shape} from {_origin(trace, source)}" for shape, source in pair)
        because = "A squeeze that removes a dimension of 1 removes none of another size."
        if scene.op.kind is Kind.BROADCAST:
            because = "They are lined up from the last dimension on, and there they differ."
        return Problem(
            "wrong-dimensions",
            len(first),
            len(shapes[other]),
            f"{scene.where} joins {origins} ({scene.op.name}): the one has {len(first)} "
            f"dimensions, the other {len(shapes[other])}. {because}",
        )
    dims = set(range(len(first)))
    free = {1} if scene.op.kind is Kind.BROADCAST else set()  # is stretched to the other
    if scene.op.kind is Kind.CAT:
        dims -= {dim + len(first) for dim in scene.op.acted_on}
    different = [
        (k, dim)
        for k, shape in enumerate(shapes)
        for dim in sorted(dims)
        if shape[dim] != first[dim] and not free & {shape[dim], first[dim]}
    ]
    if not different:
        return None
    k, dim = different[0]
    pair = ((first, sources[0]), (shapes[k], sources[k]))
    origins = " and ".join(f"{shape} from {_origin(trace, source)}" for shape, source in pair)
    text = f"{scene.where} joins {origins} ({scene.op.name})"
    is_batched = len(first) >= len(scene.propagation.given) + 2
    if dim == 0 and (scene.op.kind is Kind.CAT or is_batched):
        return Problem("batch-mixed", first, shapes[k], f"{text}, and their batches differ.")
    if len(first) < 3:
        return Problem("wrong-in-features", first, shapes[k], f"{text}, and their features differ.")
    if dim < len(first) - len(scene.propagation.given):
        layer = _shortcut(first, shapes[k])
        text += ", and their channels differ."
        if layer is not None:
            text += f" A shortcut with weights of its own brings them together: {layer}."
        return Problem("channel-mismatch", first, shapes[k], text, instead=layer)
    return _parted(scene, text, pair)


def _with_numbers(scene: Scene) -> Problem | None:
    """Explain a map or a sequence that meets a parameter or a buffer of another size."""
    shape, layout = scene.op.input_shapes[0], scene.layout
    for constant, _ in scene.op.constants:
        for place in range(-min(len(shape), len(constant)), 0):
            got, expected = shape[place], constant[place]
            if got == expected or 1 in (got, expected):
                continue
            names = " and ".join(scene.op.parameters) or "a buffer"
            text = f"{scene.where} brings {shape} together with {names} of shape {constant}"
            if not isinstance(layout, Map):
                text += f": there are {expected} for {got}. Inputs of another size may give others."
                return Problem("input-size", expected, got, text)
            if layout.dims[place].axes:
                text += f": there are {expected} for {got}, which follows from the input's size."
                return Problem("input-size", expected, got, text)
            is_map = place == 1 - len(shape) and len(shape) > 3
            kind, things = ("wrong-in-features", "features")
            if is_map:
                kind, things = ("channel-mismatch", "channels")
            return Problem(kind, expected, got, f"{text}, and their {things} differ.")
    return None


def _unshuffle(scene: Scene) -> Problem | None:
    """Explain a map whose sides are no multiples: on the meta device torch names a view."""
    shape, factor = scene.op.input_shapes[0], scene.op.options["downscale_factor"]
    if len(shape) < 3 or all(side % factor == 0 for side in shape[-2:]):
        return None
    text = f"{scene.where} makes channels of {factor}×{factor} cells and gets {shape}: "
    sides = [side for side in dict.fromkeys(shape[-2:]) if side % factor]
    text += f"{' and '.join(map(str, sides))} cannot be divided by {factor}."
    return Problem("padding-mismatch", factor, sides[0], text)


def _parted(scene: Scene, text: str, pair: tuple[tuple[Shape, int], tuple[Shape, int]]) -> Problem:
    (first, _), (second, _) = pair
    trace = scene.trace
    ways = filter(None, (chain_of_sides(trace, scene.propagation, source) for _, source in pair))
    text += f", and their sides differ. On the ways to them {'; '.join(ways)}."
    text += (
        " Windows that round differently, a stride on one way alone or a padding that is missing "
        "part the sides."
    )
    layer = _shortcut(first, second) if scene.op.kind is Kind.BROADCAST else None
    if layer is not None:
        text += f" If it is a shortcut, it wants a stride of its own: {layer}."
    return Problem("padding-mismatch", first, second, text, instead=layer)


def _source_of(scene: Scene, shape: Shape) -> int:
    """Return which of its sources gave an operation a tensor of this shape."""
    sources, trace = scene.op.sources, scene.trace

    def given(source: int) -> tuple[Shape, ...]:
        return trace.ops[source].output_shapes if source >= 0 else (shape_of(trace, source),)

    return next((source for source in sources if shape in given(source)), sources[0])


def _shortcut(first: Shape, second: Shape) -> str | None:
    """Return the convolution that makes the second of two maps of the first, or the reverse."""
    pairs = [(first, second), (second, first)]
    for came, wanted in pairs:
        sides = [divmod(a + b - 1, b) for a, b in zip(came[2:], wanted[2:], strict=True) if b]
        strides = {stride for stride, _ in sides}
        (stride, *others) = strides or {1}
        grows = came[1] < wanted[1] or (came[1] == wanted[1] and stride > 1)
        if 3 <= len(came) <= 5 and not others and grows:
            more = f", stride={stride}" if stride > 1 else ""
            return f"nn.Conv{len(came) - 2}d({came[1]}, {wanted[1]}, 1{more})"
    return None


def _unpool(scene: Scene) -> Problem | None:
    shapes = [shape_of(scene.trace, s) for s in scene.op.sources]
    pair = list(zip(shapes, scene.op.sources, strict=True))
    if len(pair) != 2 or shapes[0] == shapes[1]:
        return None
    indices, map_ = pair if scene.trace.ops[pair[0][1]].kind is Kind.MAX_POOL else pair[::-1]
    text = (
        f"{scene.where} gets a map of {map_[0]} and the indices of a pooling that returned "
        f"{indices[0]}: the pooling rounded an odd side down, and the way back does not know it"
    )
    problem = _parted(scene, text, (indices, map_))
    advice = " Or give the unpooling the size that there was: output_size=x.size()."
    return Problem(problem.kind, problem.expected, problem.got, problem.explanation + advice)


def _origin(trace: Trace, source: int) -> str:
    return "the input" if source < 0 else trace.ops[source].path or "the model's own forward"


def _norm(scene: Scene) -> Problem | None:
    shape = scene.op.input_shapes[0] if scene.op.input_shapes else ()
    if not scene.op.constants or len(shape) < 2:
        return None
    expected = scene.op.constants[0].shape[0]
    if expected == shape[1]:
        return None
    if len(shape) > 2 and shape[-1] == expected:
        return Problem(
            "channel-mismatch",
            expected,
            shape,
            f"{scene.where} normalises {expected} channels, which it wants in dimension 1, and "
            f"gets {shape}: they come last, as features of a linear layer do. Move them before it "
            f"and back behind it: x.movedim(-1, 1) and x.movedim(1, -1).",
        )
    layout = scene.layout
    if isinstance(layout, Map) and layout.dims[1].axes:
        return rows_problem(scene, shape[1], expected, shape)
    return Problem(
        "channel-mismatch",
        expected,
        shape[1],
        f"{scene.where} normalises {expected} channels and gets {shape[1]}: its input is {shape}.",
    )


def _layer_norm(scene: Scene) -> Problem | None:
    wanted, shape = tuple(scene.op.options["normalized_shape"]), scene.op.input_shapes[0]
    came = shape[-len(wanted) :]
    layout = scene.layout
    depends = isinstance(layout, Map) and any(dim.axes for dim in layout.dims[-len(wanted) :])
    kind = "input-size" if depends else "wrong-in-features"
    text = (
        f"{scene.where} normalises the last dimensions {wanted} and gets {came}: its input is "
        f"{shape}."
    )
    return Problem(kind, wanted, came, text)


_RULES: Mapping[Kind, Callable[[Scene], Problem | None]] = {
    Kind.LINEAR: linear_problem,
    Kind.RECURRENT: recurrent_problem,
    Kind.VIEW: view_problem,
    Kind.CONVOLUTION: _convolution,
    Kind.MAX_POOL: _too_small,
    Kind.AVERAGE_POOL: _too_small,
    Kind.BROADCAST: _join,
    Kind.CAT: _join,
    Kind.STACK: _join,
    Kind.UNPOOL: _unpool,
    Kind.PIXEL_UNSHUFFLE: _unshuffle,
    Kind.BATCH_NORM: _norm,
    Kind.GROUP_NORM: _norm,
    Kind.LAYER_NORM: _layer_norm,
}


def _from_text(failure: Failure) -> Problem:
    """Fall back on the message: the error came from Python code, or from an unusual operation."""
    said = " ".join(failure.message.split())
    line = (
        f" (line {failure.line.number}: `{failure.line.code}`)"
        if failure.line and failure.line.code
        else ""
    )
    if not said:
        text = f"{where(failure)} refuses with a bare {failure.error}{line}."
        return Problem("unknown", None, None, text)
    causes = explain_error(failure.message)
    code = failure.line.code if failure.line else ""
    if not re.search("loss|criterion|entropy", code):  # otherwise there is no target
        causes = [cause for cause in causes if cause.kind != "target-mismatch"] or causes
    cause = causes[0]
    said = said.rstrip(".")
    return Problem(
        cause.kind,
        None,
        None,
        f"{where(failure)} refuses with {failure.error}: {said}{line}. {cause.explanation}",
    )
