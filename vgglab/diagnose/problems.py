"""What went wrong in a forward that stopped, read from shapes, not from the text of the error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt, prod
from typing import NamedTuple

from vgglab.explain import explain_error
from vgglab.shapes import Window
from vgglab.tracing import Failure, Op, Shape, Trace
from vgglab.tracing.operations import Kind, flattened
from vgglab.valid_sizes import Propagation
from vgglab.valid_sizes.size_rules import Map


@dataclass(frozen=True)
class Problem:
    """Why a forward stopped.

    Attributes
    ----------
    kind
        One of the kinds of `vgglab.explain_error`.
    expected
        What the operation wanted: a number of features or channels, or a shape.
    got
        What came.
    explanation
        A few sentences that quote the shapes.
    map
        Channels, height and width of the map whose features were counted, if any were.
    """

    kind: str
    expected: int | Shape | None
    got: int | Shape | None
    explanation: str
    map: Shape | None = None


class Scene(NamedTuple):
    """All that a rule looks at."""

    trace: Trace
    propagation: Propagation
    failure: Failure
    op: Op

    @property
    def where(self) -> str:
        """Return the layer in words."""
        if not self.failure.path:
            return f"the forward of {self.failure.type} itself"
        return f"{self.failure.path} ({self.failure.type})"


def find_problem(trace: Trace, propagation: Propagation) -> Problem:
    """Return why a forward stopped.

    Parameters
    ----------
    trace
        A trace with a failure.
    propagation
        What `vgglab.valid_sizes.propagate` makes of it.
    """
    failure = trace.failure
    assert failure is not None
    unbatched = _unbatched(trace)
    if unbatched is not None:
        return unbatched
    if failure.op is not None:
        scene = Scene(trace, propagation, failure, failure.op)
        rule = _RULES.get(failure.op.kind)
        problem = rule(scene) if rule else None
        if problem is not None:
            return problem
    return _from_text(failure)


def feature_map(trace: Trace, source: int) -> Shape | None:
    """Return the shape of the map that was flattened into what operation `source` returned."""
    while source >= 0:
        op = trace.ops[source]
        if op.kind is Kind.VIEW and len(op.input_shapes[0]) > len(op.output_shapes[0]):
            return op.input_shapes[0]
        if len(op.output_shapes[0]) != 2 or op.kind is Kind.LINEAR or not op.sources:
            return None
        source = op.sources[0]
    return trace.input_sizes[-1 - source]


def product(factors: tuple[int, ...]) -> str:
    """Return a number as a product: ``73728 = 512·12·12``."""
    return f"{prod(factors)} = {'·'.join(map(str, factors))}"


def map_for(propagation: Propagation, features: int, channels: int) -> tuple[int, ...] | None:
    """Return channels, height and width of the map with so many features, if there is one.

    It is the map that an image gives or, if none does, a square. Where no square fits either, the
    number of cells is not split.
    """
    if features % channels:
        return None
    sides = propagation.map_that_fits()
    if sides is not None and channels * prod(sides) == features:
        return (channels, *sides)
    cells = features // channels
    side = isqrt(cells)
    return (channels, side, side) if side * side == cells else (channels, cells)


def chain_of_sides(trace: Trace, propagation: Propagation, source: int) -> str:
    """Return how the sides of the maps changed from the input to operation `source`."""
    sides: list[tuple[int, int]] = []
    while True:
        layout = propagation.layouts.get(source)
        if isinstance(layout, Map):
            shape = trace.input_sizes[0] if source < 0 else trace.ops[source].output_shapes[0]
            here = (shape[layout.dims[0]], shape[layout.dims[1]])
            if not sides or sides[0] != here:
                sides.insert(0, here)
        if source < 0:
            break
        before = [s for s in trace.ops[source].sources if s in propagation.layouts]
        if not before:
            break
        source = before[0]
    axes = list(zip(*sides, strict=True))
    if len(sides) < 2:
        return ""
    height, width = (" → ".join(map(str, axis)) for axis in axes)
    if height == width:
        return f"the side goes {height}"
    return f"the height goes {height}, the width {width}"


def _unbatched(trace: Trace) -> Problem | None:
    """Tell an image that came without a batch, from the first layer that treats images."""
    size = trace.input_sizes[0]
    refused = trace.failure.op if trace.failure else None
    two_dimensional = "Conv2d" in trace.modules.values() or any(
        op.kind is Kind.CONVOLUTION and len(op.options["kernel_size"]) == 2
        for op in (*trace.ops, *([refused] if refused else []))
    )
    if len(size) not in (2, 3) or not two_dimensional:
        return None
    missing = "a batch dimension" if len(size) == 3 else "dimensions for batch and channels"
    batch = (1,) * (4 - len(size)) + size
    return Problem(
        "unbatched-input",
        batch,
        size,
        f"The input {size} has no batch: {missing} is missing. Convolution and pooling take an "
        f"image without a batch, but what flattens the maps afterwards takes the first dimension "
        f"for the batch. Give it as {batch}.",
    )


def _linear(scene: Scene) -> Problem | None:
    """Explain a product of matrices whose inner sizes differ."""
    failure, trace = scene.failure, scene.trace
    rows, weight = failure.input_shapes[-2:]
    if len(rows) != 2 or len(weight) != 2:
        return None
    got, expected = rows[1], weight[0]
    view = _layout(scene)
    if view is not None and view.output_shapes[0] == (prod(view.input_shapes[0][:-1]), got):
        return _lost_flatten(scene, view.input_shapes[0], expected)
    shape = feature_map(trace, scene.op.sources[-1]) if scene.op.sources else None
    if shape is None or len(shape) != 4:
        return Problem(
            "wrong-in-features",
            expected,
            got,
            f"{scene.where} wants {expected} features and gets {got} from the layer before it. "
            "The two layers do not fit together, whatever the input size.",
        )
    return _features(scene, shape, expected, rows)


def _layout(scene: Scene) -> Op | None:
    """Return the operation that laid out what the failing one reads, if it is a view."""
    sources = [s for s in scene.op.sources if s >= 0]
    if not sources:
        return None
    op = scene.trace.ops[sources[-1]]
    return op if op.kind is Kind.VIEW else None


def _view(scene: Scene) -> Problem | None:
    """Explain a view into rows of a length that the map does not divide into."""
    size = list(scene.op.options.get("size") or scene.op.options.get("shape") or ())
    shape = scene.op.input_shapes[0] if scene.op.input_shapes else ()
    if len(shape) != 4 or len(size) != 2 or size[1] < 1:
        return None
    return _features(scene, shape, size[1], flattened(shape))


def _features(scene: Scene, shape: Shape, expected: int, rows: Shape) -> Problem:
    """Explain a row of features that is too long or too short for a map of `shape`."""
    _, channels, height, width = shape
    got = channels * height * width
    came = product((channels, height, width))
    sides = chain_of_sides(scene.trace, scene.propagation, _last_map(scene))
    because = f", because {sides}" if sides else ""
    made_for = map_for(scene.propagation, expected, channels)
    wants = product(made_for) if made_for else str(expected)
    text = f"{scene.where} wants {wants} features and gets {came}{because}."
    if rows[1] != got:  # a view has cut the features of all images into other rows
        text = (
            f"{scene.where} wants {wants} features and gets {rows[1]}. The map has {came} features "
            f"an image{because}, and they were laid out as {rows[0]} rows."
        )
    if expected == channels and not _fixed_average(scene):
        kind = "missing-pool"
        text += (
            " That is one feature for each channel: the layer was made for maps that are averaged "
            "to one cell, and nothing does that here."
        )
    elif made_for is None:
        kind = "wrong-in-features"
        text += (
            f" It is not the size of the image: {expected} is no multiple of {channels} channels."
        )
    elif (why := _no_size(scene)) is not None:
        kind = "wrong-in-features"
        text += f" It is not the size of the image: {why} gives a map with so many cells."
    else:
        kind = "input-size"
    return Problem(kind, expected, got, text, (channels, height, width))


def _no_size(scene: Scene) -> str | None:
    """Return which images cannot give the map that is wanted; ``None`` if some do."""
    if scene.propagation.unsupported is not None:
        return None
    sizes = scene.propagation.valid_sizes()
    if not sizes:
        return "no image"
    height, width = scene.trace.input_sizes[0][-2:]
    return "no square image" if height == width and not sizes.square else None


def _last_map(scene: Scene) -> int:
    """Return the last operation from which the failing one has its data and that holds a map."""
    source = scene.op.sources[-1]
    while source >= 0 and not isinstance(scene.propagation.layouts.get(source), Map):
        sources = scene.trace.ops[source].sources
        if not sources:
            break
        source = sources[0]
    return source


def _fixed_average(scene: Scene) -> bool:
    """Tell whether a pooling of fixed size is the last that happened to the map."""
    source = _last_map(scene)
    return source >= 0 and scene.trace.ops[source].kind is Kind.AVERAGE_POOL


def _lost_flatten(scene: Scene, shape: Shape, expected: int) -> Problem:
    """Explain a layer that got a map: it reads the last dimension and takes the rest for rows."""
    text = (
        f"{scene.where} got the map {shape} itself. It reads only the last dimension: "
        f"{product(shape[:-1])} rows of {shape[-1]}, where it wants {expected}."
    )
    flattened = product(shape[1:])
    if prod(shape[1:]) == expected:
        text += f" Flattened the map has {flattened} features, which fits: a flatten is missing."
    elif shape[1] == expected:
        text += " It has as many channels: a pooling to one cell and a flatten are missing."
    else:
        text += f" A flatten is missing; even then there would be {flattened} features."
    return Problem("missing-flatten", expected, shape[-1], text, shape[1:])


def _convolution(scene: Scene) -> Problem | None:
    shapes = scene.failure.input_shapes
    shape, weight = shapes[0], shapes[1]
    dims = len(weight) - 2
    if scene.op.options.get("transposed") or len(shape) not in (dims + 1, dims + 2):
        return None
    expected = weight[1] * scene.op.options["groups"]
    got = shape[-dims - 1]
    if got == expected:
        return _too_small(scene)
    text = f"{scene.where} wants {expected} channels and gets {got}: its input is {shape}."
    if shape[-1] == expected:
        text += " The channels come last; torch wants them before height and width."
    elif scene.op.sources and max(scene.op.sources) < 0:
        text += f" The network was made for images with {expected} channels."
    else:
        text += " The layer before it returns another number of channels than it wants."
    return Problem("channel-mismatch", expected, got, text)


def _too_small(scene: Scene) -> Problem | None:
    windows = scene.op.windows
    if windows is None:
        return None
    shape = scene.op.input_shapes[0]
    for axis, window, side in zip(("height", "width"), windows, shape[-2:], strict=True):
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
    return Problem(
        "input-too-small",
        smallest,
        side,
        f"{scene.where} has a window of {window.extent} px with padding {window.padding} and needs "
        f"a map of at least {smallest} px; the {axis} that comes is {side}.{because}",
    )


def _join(scene: Scene) -> Problem | None:
    """Explain maps that meet, in a sum or side by side, and do not have the same sides."""
    trace, sources = scene.trace, scene.op.sources
    shapes = [
        trace.input_sizes[-1 - s] if s < 0 else trace.ops[s].output_shapes[0] for s in sources
    ]
    if len(shapes) < 2 or any(len(shape) != len(shapes[0]) for shape in shapes):
        return None
    first = shapes[0]
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
    if len(first) < 3:
        return Problem("wrong-in-features", first, shapes[k], f"{text}, and their features differ.")
    if dim < len(first) - 2:
        return Problem("channel-mismatch", first, shapes[k], f"{text}, and their channels differ.")
    ways = filter(None, (chain_of_sides(trace, scene.propagation, source) for _, source in pair))
    return Problem(
        "padding-mismatch",
        first,
        shapes[k],
        f"{text}, and their sides differ. On the ways to them {'; '.join(ways)}. Windows that "
        "round differently, a stride on one way alone or a padding that is missing part the sides.",
    )


def _origin(trace: Trace, source: int) -> str:
    return "the input" if source < 0 else trace.ops[source].path or "the model's own forward"


def _norm(scene: Scene) -> Problem | None:
    names = scene.op.parameters
    shape = scene.op.input_shapes[0] if scene.op.input_shapes else ()
    if not names or len(shape) < 2:
        return None
    expected = scene.trace.parameters[names[0]].shape[0]
    if expected == shape[1]:
        return None
    return Problem(
        "channel-mismatch",
        expected,
        shape[1],
        f"{scene.where} normalises {expected} channels and gets {shape[1]}: its input is {shape}.",
    )


_RULES: Mapping[Kind, Callable[[Scene], Problem | None]] = {
    Kind.LINEAR: _linear,
    Kind.VIEW: _view,
    Kind.CONVOLUTION: _convolution,
    Kind.MAX_POOL: _too_small,
    Kind.AVERAGE_POOL: _too_small,
    Kind.BROADCAST: _join,
    Kind.CAT: _join,
    Kind.STACK: _join,
    Kind.BATCH_NORM: _norm,
    Kind.GROUP_NORM: _norm,
}


def _from_text(failure: Failure) -> Problem:
    """Fall back on the message: the error came from Python code, or from an unusual operation."""
    cause = explain_error(failure.message)[0]
    where = f"{failure.path} ({failure.type})" if failure.path else failure.type
    said = " ".join(failure.message.split())
    return Problem(
        cause.kind,
        None,
        None,
        f"{where} refuses with {failure.error}: {said}. {cause.explanation}",
    )
