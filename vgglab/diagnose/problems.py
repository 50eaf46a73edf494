"""What went wrong in a forward that stopped, read from shapes, not from the text of the error."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt, prod
from typing import NamedTuple

from vgglab.explain import explain_error
from vgglab.shapes import Window
from vgglab.tracing import Failure, Op, Shape, Trace
from vgglab.tracing.operations import Kind, flattened
from vgglab.valid_sizes import Propagation, axes_of
from vgglab.valid_sizes.size_rules import Flat, Layout, Map


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
        Channels and sides of the map whose features were counted, if any were.
    wanted
        Those of the map that has as many features as the layer wants, if they are known.
    instead
        The layer that belongs there, if it is another kind of layer.
    """

    kind: str
    expected: int | Shape | None
    got: int | Shape | None
    explanation: str
    map: Shape | None = None
    wanted: Shape | None = None
    instead: str | None = None


class Scene(NamedTuple):
    """All that a rule looks at."""

    trace: Trace
    propagation: Propagation
    failure: Failure
    op: Op

    @property
    def where(self) -> str:
        """Return the layer in words."""
        return where(self.failure)

    @property
    def source(self) -> int | None:
        """The last of the operations it reads whose data comes from the input."""
        fed = _fed_by_input(self.trace)
        found = [source for source in self.op.sources if source < 0 or source in fed]
        return found[-1] if found else None

    @property
    def layout(self) -> Layout | None:
        """How what it reads holds the axes of the input."""
        source = self.source
        return None if source is None else self.propagation.layouts.get(source)

    @property
    def image(self) -> str:
        """What the input is called: an image, a signal, a clip."""
        return {1: "input", 3: "clip or volume"}.get(len(self.propagation.given), "image")


def where(failure: Failure) -> str:
    """Return the layer in which a forward stopped, in words."""
    if not failure.path:
        return f"the forward of {failure.type} itself"
    return f"{failure.path} ({failure.type})"


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
    for found in (_unbatched(trace), _dimensions(trace), _one_value(trace, propagation)):
        if found is not None:
            return found
    if failure.op is not None:
        scene = Scene(trace, propagation, failure, failure.op)
        rule = _RULES.get(failure.op.kind)
        problem = rule(scene) if rule else None
        if problem is not None:
            return problem
    return _from_text(failure)


def _fed_by_input(trace: Trace) -> set[int]:
    fed: set[int] = set()
    for op in trace.ops:
        if any(source < 0 or source in fed for source in op.sources):
            fed.add(op.index)
    return fed


def feature_map(trace: Trace, source: int) -> Shape | None:
    """Return the shape of the map that was flattened into what operation `source` returned."""
    while source >= 0:
        op = trace.ops[source]
        if op.kind is Kind.VIEW and len(op.input_shapes[0]) > len(op.output_shapes[0]):
            return op.input_shapes[0]
        if len(op.output_shapes[0]) != 2 or op.kind is Kind.LINEAR or not op.sources:
            return None
        source = op.sources[0]
    return None


def product(factors: tuple[int, ...]) -> str:
    """Return a number as a product: ``73728 = 512·12·12``."""
    return f"{prod(factors)} = {'·'.join(map(str, factors))}"


def map_for(propagation: Propagation, features: int, channels: int) -> tuple[int, ...] | None:
    """Return channels and sides of the map with so many features, if there is one.

    It is the map that an input gives or, if none does, a square. Where no square fits either, the
    number of cells is not split.
    """
    if features % channels:
        return None
    sides = propagation.map_that_fits()
    if sides is not None and channels * prod(sides) == features:
        return (channels, *sides)
    cells = features // channels
    side = isqrt(cells)
    is_image = len(propagation.given) == 2
    return (channels, side, side) if is_image and side * side == cells else (channels, cells)


def chain_of_sides(trace: Trace, propagation: Propagation, source: int) -> str:
    """Return how the sides of the maps changed from the input to operation `source`."""
    sides: list[tuple[int, ...]] = []
    number = len(propagation.given)
    while True:
        layout = propagation.layouts.get(source)
        if isinstance(layout, Map) and len(layout.places) == number:
            shape = trace.input_sizes[-1 - source] if source < 0 else _shape(trace, source)
            here = tuple(shape[layout.places[axis]] for axis in range(number))
            if not sides or sides[0] != here:
                sides.insert(0, here)
        if source < 0:
            break
        before = [s for s in trace.ops[source].sources if s in propagation.layouts]
        if not before:
            break
        source = before[0]
    if len(sides) < 2:
        return ""
    ways = [" → ".join(map(str, axis)) for axis in zip(*sides, strict=True)]
    if number == 2 and ways[0] == ways[1]:
        return f"the side goes {ways[0]}"
    goes = ["goes ", *[""] * (number - 1)]
    axes = zip(propagation.names, goes, ways, strict=True)
    return ", ".join(f"the {name} {verb}{way}" for name, verb, way in axes)


def _shape(trace: Trace, source: int) -> Shape:
    return trace.input_sizes[-1 - source] if source < 0 else trace.ops[source].output_shapes[0]


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
    if len(size) == axes + 1 and channels == 1 != size[0]:
        batch = (size[0], 1, *size[1:])
        return Problem(
            "unbatched-input",
            batch,
            size,
            f"The input {size} has no dimension for the channel: {layer} reads it as one image of "
            f"{size[0]} channels, where 1 is wanted. If these are {size[0]} inputs, give them as "
            f"{batch}: x.unsqueeze(1).",
        )
    if len(size) == axes + 1 and size[-1] == channels != size[0]:
        text = " The channels come last, too: x.movedim(-1, 0).unsqueeze(0)."
        batch = (1, channels, *size[:-1])
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
    )


def _linear(scene: Scene) -> Problem | None:
    """Explain a product of matrices whose inner sizes differ."""
    rows, weight = scene.failure.input_shapes[-2:]
    if len(rows) not in (1, 2) or len(weight) != 2:
        return None
    return _rows(scene, rows[-1], weight[0], rows)


def _recurrent(scene: Scene) -> Problem | None:
    """Explain a recurrent layer that reads vectors of another length."""
    shape, expected = scene.failure.input_shapes[0], scene.op.options["input_size"]
    if shape[-1] == expected:
        return None
    if len(shape) == 3 and expected in shape[:-1] and not isinstance(scene.layout, Map):
        return Problem(
            "wrong-in-features",
            expected,
            shape[-1],
            f"{scene.where} wants vectors of {expected} features and gets {shape}; the dimension "
            f"of {expected} stands elsewhere: transpose them, so that the features come last.",
        )
    return _rows(scene, shape[-1], expected, shape)


def _rows(scene: Scene, got: int, expected: int, rows: Shape) -> Problem:
    """Explain a layer that reads rows of features of another length."""
    batch = _batch_in_features(scene, got, expected)
    if batch is not None:
        return batch
    layout, source = scene.layout, scene.source
    assert source is not None or layout is None
    if isinstance(layout, Flat):
        return _several(scene, layout, expected, got)
    if isinstance(layout, Map) and layout.dims[-1].axes:
        if source is not None and source < 0 and len(layout.dims) < 3:
            return _two_layers(scene, source, expected, got)
        if layout.dims[-1].is_axis and source is not None:
            lost = _map_itself(scene, source, got)
            if lost is not None:
                return _lost_flatten(scene, lost, expected)
        term = layout.term(-1)
        sides = tuple(
            int(side[scene.propagation.given[axis] - 1])
            for axis, side in sorted(term.sides.items())
        )
        return _features(scene, (rows[0], term.channels, *sides), expected, rows)
    lost = _map_itself(scene, source, got) if source is not None else None
    if lost is not None and layout is None and len(lost) > 3:
        return _lost_flatten(scene, lost, expected)
    shape = feature_map(scene.trace, source) if source is not None else None
    if shape is not None and len(shape) > 2 and prod(shape[2:]) > 1 and layout is None:
        if scene.propagation.unsupported is not None:
            return _features(scene, shape, expected, rows)
        return _fixed_map(scene, shape, expected, got)
    return _two_layers(scene, source, expected, got)


def _two_layers(scene: Scene, source: int | None, expected: int, got: int) -> Problem:
    """Explain features whose number does not depend on the size of the input."""
    giver = "the layer before it"
    advice = f"Build it for {got} features."
    if source is not None and source < 0:
        giver = "the input"
        advice = f"Give it inputs of {expected} features, or build it for {got}."
    text = f"{scene.where} wants {expected} features and gets {got} from {giver}."
    pooled = _one_cell(scene.trace, source) if source is not None else None
    if pooled is not None:
        text += f" All of them are channels: the map is {'×'.join(['1'] * pooled)} there."
    if source is not None and source < 0:
        text += f" {advice}"
    elif scene.propagation.unsupported is None:
        text += f" The two layers do not fit together, whatever the input size. {advice}"
    else:
        text += " Whether another size of the input changes that cannot be told."
    return Problem("wrong-in-features", expected, got, text)


def _one_cell(trace: Trace, source: int) -> int | None:
    """Return the number of axes of a map of one cell, if these features are its channels."""
    while source >= 0:
        op = trace.ops[source]
        if op.kind is Kind.LINEAR or not op.sources:
            return None
        shape = op.input_shapes[0]
        if len(shape) > 2:
            reduced = op.output_shapes[0]
            cells = shape[2:] if op.kind in (Kind.VIEW, Kind.SQUEEZE) else reduced[2:]
            return len(shape) - 2 if prod(cells) == 1 else None
        source = op.sources[0]
    return None


def _fixed_map(scene: Scene, shape: Shape, expected: int, got: int) -> Problem:
    """Explain features of a map that was pooled to a size that does not depend on the input."""
    channels, *sides = shape[1:]
    text = (
        f"{scene.where} wants {expected} features and gets {product((channels, *sides))}. The map "
        f"is pooled to {'×'.join(map(str, sides))} whatever comes, so no other size of the "
        f"{scene.image} helps."
    )
    cells, rest = divmod(expected, channels)
    side = isqrt(cells)
    if not rest and len(sides) == 2 and side * side == cells:
        text += f" The layer was made for a pooling to {side}×{side}."
    elif not rest:
        text += f" The layer was made for {cells} cells."
    else:
        text += f" Build it for {got} features."
    return Problem("wrong-in-features", expected, got, text, (channels, *sides))


def _several(scene: Scene, layout: Flat, expected: int, got: int) -> Problem:
    """Explain features of several maps, or of a map and something else, side by side."""
    given = scene.propagation.given
    parts = []
    for term in layout.terms:
        sides = [int(sides[given[axis] - 1]) for axis, sides in sorted(term.sides.items())]
        parts.append("·".join(map(str, [term.channels, *sides])))
    text = f"{scene.where} wants {expected} features and gets {got} = {' + '.join(parts)}."
    if scene.propagation.unsupported is None and not scene.propagation.valid_sizes():
        text += f" It is not the size of the {scene.image}: none gives {expected}."
        return Problem("wrong-in-features", expected, got, text)
    return Problem("input-size", expected, got, text)


def _batch_in_features(scene: Scene, got: int, expected: int) -> Problem | None:
    """Tell a flatten that took the batch as well."""
    source = scene.source
    if source is None:
        return None
    while source >= 0 and _adds_nothing(scene.trace.ops[source]):
        source = scene.trace.ops[source].sources[0]
    if source < 0 or scene.trace.ops[source].kind is not Kind.VIEW:
        return None
    op = scene.trace.ops[source]
    came, went = op.input_shapes[0], op.output_shapes[0]
    if len(came) < 3 or went[-1] != prod(came) or len(went) > 2 or came[0] == 1:
        return None
    images, each = came[0], prod(came[1:])
    text = (
        f"{scene.where} wants {expected} features and gets {got} = {images}·{each}, because "
        f"{_origin_named(scene, op)} flattened the batch of {images} as well. Flatten from "
        f"dimension 1 on: nn.Flatten() or x.flatten(1)."
    )
    if each == expected:
        text += f" Then {product(came[1:])} features come, which fit."
    else:
        text += f" Then {product(came[1:])} features come, which is not yet {expected}."
    return Problem("batch-mixed", expected, got, text, came[1:])


def _origin_named(scene: Scene, op: Op) -> str:
    return f"{op.path} ({scene.trace.modules[op.path]})" if op.path else f"{op.name} in the forward"


def _adds_nothing(op: Op) -> bool:
    """Tell an activation, or a view of one row as a vector or the other way round."""
    if op.kind in (Kind.UNSQUEEZE, Kind.SQUEEZE, Kind.ELEMENTWISE):
        return True
    return op.kind is Kind.VIEW and op.input_shapes[0][-1:] == op.output_shapes[0][-1:]


def _map_itself(scene: Scene, source: int, got: int) -> Shape | None:
    """Return the map, if the layer got it as it is and reads its last dimension."""
    if source < 0:
        shape = scene.trace.input_sizes[-1 - source]
        return shape if len(shape) > 2 else None
    op = scene.trace.ops[source]
    if op.kind is Kind.VIEW and op.input_shapes:
        shape = op.input_shapes[0]
        rows = (prod(shape[:-1]), got)
        return shape if len(shape) > 2 and op.output_shapes[0] == rows else None
    shape = op.output_shapes[0]
    return shape if len(shape) > 2 and shape[-1] == got else None


def _view(scene: Scene) -> Problem | None:
    """Explain a view into rows of a length that the map does not divide into."""
    size = list(scene.op.options.get("size") or scene.op.options.get("shape") or ())
    shape = scene.op.input_shapes[0] if scene.op.input_shapes else ()
    wanted = prod(size[1:])
    if len(shape) < 3 or len(size) < 2 or wanted < 1:
        return None
    if size[0] not in (-1, shape[0]) and wanted == prod(shape[1:]):
        return Problem(
            "batch-mixed",
            size[0],
            shape[0],
            f"{scene.where} lays out {shape} as {size[0]} rows of {wanted}; there are {shape[0]} "
            "of them. The size of the batch is written into the code: write x.flatten(1).",
        )
    layout = scene.layout
    if isinstance(layout, Map) and layout.is_plain and len(layout.places) < len(shape) - 2:
        shape = (
            shape[0],
            prod(d.number for d in layout.dims[1:]),
            *(shape[place] for _, place in sorted(layout.places.items())),
        )
    elif len(shape) == 3 and not isinstance(layout, Map):
        return None
    return _features(scene, shape, wanted, flattened(shape))


def _features(scene: Scene, shape: Shape, expected: int, rows: Shape) -> Problem:
    """Explain a row of features that is too long or too short for a map of `shape`."""
    _, channels, *sides = shape
    got = channels * prod(sides)
    came = product((channels, *sides))
    source = _last_map(scene)
    way = chain_of_sides(scene.trace, scene.propagation, source) if source is not None else ""
    because = f", because {way}" if way else ""
    made_for = map_for(scene.propagation, expected, channels)
    wants = product(made_for) if made_for else str(expected)
    text = f"{scene.where} wants {wants} features and gets {came}{because}."
    if rows[-1] != got:  # a view has cut the features of all images into other rows
        text = (
            f"{scene.where} wants {wants} features and gets {rows[-1]}. The map has {came} "
            f"features an image{because}, and they were laid out as {rows[0]} rows."
        )
    known = scene.propagation.unsupported is None
    if expected == channels and prod(sides) > 1 and not _fixed_average(scene):
        kind = "missing-pool"
        text += (
            " That is one feature for each channel: the layer was made for maps that are averaged "
            "to one cell, and nothing does that here."
        )
    elif known and (why := _no_size(scene)) is not None:
        kind = "wrong-in-features"
        reason = f"{why} gives a map with so many cells"
        if made_for is None:
            reason = f"{expected} is no multiple of {channels} channels"
        text += f" It is not the size of the {scene.image}: {reason}."
    elif made_for is None and not known:
        kind = "wrong-in-features"
        text += f" {expected} is no multiple of {channels} channels."
    else:
        kind = "input-size"
        text += _halvings(made_for, sides)
    return Problem(kind, expected, rows[-1], text, (channels, *sides), made_for)


def _halvings(made_for: Shape | None, sides: list[int]) -> str:
    """Say so if one more pooling would give the map that is wanted."""
    if made_for is None or len(made_for) != len(sides) + 1 or not sides:
        return ""
    if all(
        side // 2 == wanted and side % 2 == 0
        for side, wanted in zip(sides, made_for[1:], strict=True)
    ):
        pool = f"nn.MaxPool{len(sides)}d(2)"
        return f" One more halving, such as {pool} before the flatten, gives that map."
    return ""


def _no_size(scene: Scene) -> str | None:
    """Return which images cannot give the map that is wanted; ``None`` if some do."""
    sizes = scene.propagation.valid_sizes()
    if not sizes:
        return f"no {scene.image}"
    given = scene.propagation.given
    is_square = len(given) == 2 and given[0] == given[1]
    return "no square image" if is_square and not sizes.square else None


def _last_map(scene: Scene) -> int | None:
    """Return the last operation from which the failing one has its data and that holds a map."""
    source = scene.source
    number = len(scene.propagation.given)
    while source is not None and source >= 0:
        layout = scene.propagation.layouts.get(source)
        if isinstance(layout, Map) and len(layout.places) == number:
            break
        fed = [
            s for s in scene.trace.ops[source].sources if s < 0 or s in scene.propagation.layouts
        ]
        sources = fed or list(scene.trace.ops[source].sources)
        if not sources:
            break
        source = sources[0]
    return source


def _fixed_average(scene: Scene) -> bool:
    """Tell whether a pooling of fixed size is the last that happened to the map."""
    source = _last_map(scene)
    while source is not None and source >= 0:
        op = scene.trace.ops[source]
        if op.kind not in (Kind.SQUEEZE, Kind.UNSQUEEZE):
            return op.kind is Kind.AVERAGE_POOL
        source = op.sources[0]
    return False


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
    kind = "channel-mismatch"
    if merged:
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
    trace, sources = scene.trace, scene.op.sources
    shapes = [_shape(trace, s) for s in sources]
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
    if dim == 0 and scene.op.kind is Kind.CAT:
        return Problem("batch-mixed", first, shapes[k], f"{text}, and their batches differ.")
    if len(first) < 3:
        return Problem("wrong-in-features", first, shapes[k], f"{text}, and their features differ.")
    if dim < len(first) - len(scene.propagation.given):
        return Problem("channel-mismatch", first, shapes[k], f"{text}, and their channels differ.")
    return _parted(scene, text, pair)


def _parted(scene: Scene, text: str, pair: tuple[tuple[Shape, int], tuple[Shape, int]]) -> Problem:
    (first, _), (second, _) = pair
    trace = scene.trace
    ways = filter(None, (chain_of_sides(trace, scene.propagation, source) for _, source in pair))
    text += f", and their sides differ. On the ways to them {'; '.join(ways)}."
    text += (
        " Windows that round differently, a stride on one way alone or a padding that is missing "
        "part the sides."
    )
    return Problem("padding-mismatch", first, second, text)


def _unpool(scene: Scene) -> Problem | None:
    shapes = [_shape(scene.trace, s) for s in scene.op.sources]
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
    layout = scene.layout
    if isinstance(layout, Map) and layout.dims[1].axes:
        return _rows(scene, shape[1], expected, shape)
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
    Kind.LINEAR: _linear,
    Kind.RECURRENT: _recurrent,
    Kind.VIEW: _view,
    Kind.CONVOLUTION: _convolution,
    Kind.MAX_POOL: _too_small,
    Kind.AVERAGE_POOL: _too_small,
    Kind.BROADCAST: _join,
    Kind.CAT: _join,
    Kind.STACK: _join,
    Kind.UNPOOL: _unpool,
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
    cause = explain_error(failure.message)[0]
    said = said.rstrip(".")
    return Problem(
        cause.kind,
        None,
        None,
        f"{where(failure)} refuses with {failure.error}: {said}{line}. {cause.explanation}",
    )
