"""Problems of layers that count features: what came, what was wanted, and of which map that is."""

from math import isqrt, prod

from vgglab.diagnose.scene import Problem, Scene, chain_of_sides, feature_map, map_for, product
from vgglab.tracing import Op, Shape, Trace
from vgglab.tracing.operations import Kind, flattened, rows_of
from vgglab.valid_sizes.layouts import Flat, Map


def linear_problem(scene: Scene) -> Problem | None:
    """Explain a product of matrices whose inner sizes differ."""
    rows, weight = scene.failure.input_shapes[-2:]
    if len(rows) not in (1, 2) or len(weight) != 2:
        return None
    return rows_problem(scene, rows[-1], weight[0], rows)


def recurrent_problem(scene: Scene) -> Problem | None:
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
    return rows_problem(scene, shape[-1], expected, shape)


def rows_problem(scene: Scene, got: int, expected: int, rows: Shape) -> Problem:
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
        axes = tuple(sorted(term.sides))
        return _features(scene, (rows[0], term.channels, *sides), expected, rows, axes)
    lost = _map_itself(scene, source, got) if source is not None else None
    if lost is not None and (len(lost) > 3 or prod(lost[1:]) == expected):
        return _lost_flatten(scene, lost, expected)
    shape = feature_map(scene.trace, source) if source is not None else None
    if shape is not None and len(shape) > 2 and prod(shape[2:]) > 1 and layout is None:
        if scene.propagation.unsupported is not None:
            return _features(scene, shape, expected, rows)
        return _fixed_map(scene, shape, expected, got)
    return _two_layers(scene, source, expected, got)


def _two_layers(scene: Scene, source: int | None, expected: int, got: int) -> Problem:
    """Explain features whose number does not depend on the size of the input."""
    if source is not None and source >= 0:
        op = scene.trace.ops[source]
        if op.kind is Kind.VIEW and op.output_shapes[0] == rows_of(op.input_shapes[0]):
            source = op.sources[0]  # of a linear layer itself
    giver = "the layer before it"
    advice = f"Build it for {got} features."
    if source is not None and source < 0:
        giver = "the input"
        advice = f"Give it inputs of {expected} features, or build it for {got}."
    pooled = _one_cell(scene.trace, source) if source is not None else None
    came = str(got) if pooled is None else product((got, *[1] * pooled))
    text = f"{scene.where} wants {expected} features and gets {came} from {giver}."
    of_all_sizes = ""
    if pooled is not None:
        text += f" All of them are channels: the map is {'×'.join(['1'] * pooled)} there."
    if source is not None and source < 0:
        text += f" {advice}"
    elif scene.propagation.unsupported is None and scene.propagation.valid_sizes():
        return Problem("input-size", expected, got, text)
    elif scene.propagation.unsupported is None:
        of_all_sizes = "The two layers do not fit together, whatever the input size."
        text += f" {of_all_sizes} {advice}"
    else:
        text += " Whether another size of the input changes that cannot be told."
    return Problem("wrong-in-features", expected, got, text, of_all_sizes=of_all_sizes)


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
    of_all_sizes = (
        f"The map is pooled to {'×'.join(map(str, sides))} whatever comes, so no other size of the "
        f"{scene.image} helps."
    )
    text = (
        f"{scene.where} wants {expected} features and gets {product((channels, *sides))}. "
        f"{of_all_sizes}"
    )
    cells, rest = divmod(expected, channels)
    side = isqrt(cells)
    if not rest and len(sides) == 2 and side * side == cells:
        text += f" The layer was made for a pooling to {side}×{side}."
    elif not rest:
        text += f" The layer was made for {cells} cells."
    else:
        text += f" Build it for {got} features."
    return Problem(
        "wrong-in-features", expected, got, text, (channels, *sides), of_all_sizes=of_all_sizes
    )


def _several(scene: Scene, layout: Flat, expected: int, got: int) -> Problem:
    """Explain features of several maps, or of a map and something else, side by side."""
    given = scene.propagation.given
    parts = []
    for term in layout.terms:
        sides = [int(sides[given[axis] - 1]) for axis, sides in sorted(term.sides.items())]
        parts.append("·".join(map(str, [term.channels, *sides])))
    text = f"{scene.where} wants {expected} features and gets {got} = {' + '.join(parts)}."
    if scene.propagation.unsupported is None and not scene.propagation.valid_sizes():
        of_all_sizes = f"It is not the size of the {scene.image}: none gives {expected}."
        text = f"{text} {of_all_sizes}"
        return Problem("wrong-in-features", expected, got, text, of_all_sizes=of_all_sizes)
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


def view_problem(scene: Scene) -> Problem | None:
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
    kept = next((k for k, (a, b) in enumerate(zip(size, shape, strict=False)) if a != b), 0)
    if kept > 1 and isinstance(layout, Map) and not any(d.axes for d in layout.dims[kept:]):
        parts, came = tuple(size[kept:]), prod(shape[kept:])
        return Problem(
            "wrong-in-features",
            prod(parts),
            came,
            f"{scene.where} shares out {came} features of {shape} as {parts}, which are "
            f"{prod(parts)}: the numbers in the code are those of a layer of another width.",
        )
    if isinstance(layout, Map) and layout.is_plain and len(layout.places) < len(shape) - 2:
        shape = (
            shape[0],
            prod(d.number for d in layout.dims[1:]),
            *(shape[place] for _, place in sorted(layout.places.items())),
        )
    elif len(shape) == 3 and not isinstance(layout, Map):
        return None
    return _features(scene, shape, wanted, flattened(shape))


def _features(
    scene: Scene, shape: Shape, expected: int, rows: Shape, axes: tuple[int, ...] = ()
) -> Problem:
    """Explain a row of features that is too long or too short for a map of `shape`.

    `axes` are those of the input that its sides are, where they are known.
    """
    _, channels, *sides = shape
    got = channels * prod(sides)
    came = product((channels, *sides))
    source = _last_map(scene)
    way = chain_of_sides(scene.trace, scene.propagation, source) if source is not None else ""
    because = f", because {way}" if way else ""
    made_for = map_for(scene.propagation, expected, channels)
    if len(sides) == 1 and expected % channels == 0:
        made_for = (channels, expected // channels)
    wants = product(made_for) if made_for else str(expected)
    text = f"{scene.where} wants {wants} features and gets {came}{because}."
    if rows[-1] != got:  # a view has cut the features of all images into other rows
        text = (
            f"{scene.where} wants {wants} features and gets {rows[-1]}. The map has {came} "
            f"features an image{because}, and they were laid out as {rows[0]} rows."
        )
    known, of_all_sizes = scene.propagation.unsupported is None, ""
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
        elif scene.propagation.valid_sizes():
            reason = ""
            text += f" {why.capitalize()} gives a map with so many cells."
        if reason:
            of_all_sizes = f"It is not the size of the {scene.image}: {reason}."
            text += f" {of_all_sizes}"
    elif made_for is None and not known:
        kind = "wrong-in-features"
        text += f" {expected} is no multiple of {channels} channels."
    else:
        kind = "input-size"
        is_column = len(axes) == 1 and len(scene.propagation.given) == 2
        text += _halvings(made_for, sides, axes[0] if is_column else None)
    shape = (channels, *sides)
    return Problem(kind, expected, rows[-1], text, shape, made_for, of_all_sizes=of_all_sizes)


def _halvings(made_for: Shape | None, sides: list[int], along: int | None = None) -> str:
    """Say so if one more pooling would give the map that is wanted, `along` one of two axes."""
    if made_for is None or len(made_for) != len(sides) + 1 or not sides:
        return ""
    if all(
        side // 2 == wanted and side % 2 == 0
        for side, wanted in zip(sides, made_for[1:], strict=True)
    ):
        pool = f"nn.MaxPool{len(sides)}d(2)"
        if along is not None:
            pool = f"nn.MaxPool2d({(2, 1) if along == 0 else (1, 2)})"
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
