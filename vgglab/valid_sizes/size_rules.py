"""How operations treat the axes of the input: one small rule for each kind of operation."""

import re
from collections.abc import Callable, Iterator, Mapping
from math import prod

import numpy as np

from vgglab.shapes import Window
from vgglab.tracing import Shape, Trace
from vgglab.tracing.operations import (
    ADAPTIVE_POOLS,
    PADS,
    REDUCTIONS,
    WINDOWS,
    Kind,
)
from vgglab.valid_sizes.layouts import (
    AmbiguousError,
    ChosenError,
    Dim,
    Flat,
    Layout,
    Map,
    Sides,
    Step,
    Term,
    Unsupported,
    Wanted,
    are_equal,
)
from vgglab.valid_sizes.products import product


def _window(step: Step) -> Layout | None:
    layout, op = step.map(), step.op
    windows = op.all_windows
    if not windows:
        raise Unsupported("its windows are unknown")
    rank = len(windows)
    step.require_axes(layout, rank, "its windows slide over a dimension that holds several")
    if len(layout.dims) <= rank:
        raise Unsupported("its windows slide over the channels")
    if op.kind is Kind.CONVOLUTION:
        channels = step.first.shape[-rank - 1]
        if step.refused and step.trace.failure:
            _, weight, *_ = step.trace.failure.input_shapes
            channels = (
                weight[0] if op.options.get("transposed") else weight[1] * op.options["groups"]
            )
        step.require_features(layout.term(-rank - 1), channels)
        dims = list(layout.dims)
        dims[-rank - 1] = Dim(step.op.output_shapes[0][-rank - 1] if not step.refused else 1)
        moved = layout.with_dims(tuple(dims))
        if moved is None:
            return None
        layout = moved
    transposed = op.options.get("transposed")
    # torch lets no kernel of these be larger than its input, whatever the padding.
    in_volumes = op.kind is Kind.AVERAGE_POOL and rank == 3

    def slid(place: int, sides: Sides) -> Sides:
        if place < -rank:
            return sides
        window = windows[place]
        if in_volumes:
            return np.where(sides >= window.extent, places_of(window, sides), 0)
        if not transposed:
            return places_of(window, sides)
        extra = op.options["output_padding"][place]
        places: Sides = (sides - 1) * window.stride + window.extent - 2 * window.padding + extra
        return places

    return _with_numbers(step, step.on_sides(layout, slid))


def places_of(window: Window, sides: Sides) -> Sides:
    """Return `Window.output_size` of each of many sides."""
    room = sides + 2 * window.padding - window.extent
    if window.ceil_mode:
        places = -(-room // window.stride) + 1
        outside = (places - 1) * window.stride >= sides + window.padding
        places = places - outside
    else:
        places = room // window.stride + 1
    return np.where(sides > 0, np.maximum(places, 0), 0)


def _adaptive_pool(step: Step) -> Layout | None:
    """Whatever comes, the output has one size, but for the axes that it keeps: its Nones."""
    layout = step.map()
    rank = len(step.op.options["output_size"])
    step.require_axes(layout, rank, "it pools a dimension that holds several")
    return _replaced(step, layout, frozenset(range(-rank, 0)) - {*step.op.options["kept"]})


def _replaced(step: Step, layout: Map, gone: range | frozenset[int]) -> Map | None:
    """Let some dimensions have a fixed size, or drop them; what they held must not be empty."""
    for dim in gone:
        for axis in layout.dims[dim].axes:
            step.require(axis, layout.sides[axis] > 0)
    if step.refused:
        return None
    out = step.op.output_shapes[0]
    rank = len(layout.dims)
    if len(out) == rank:
        fixed = {dim % rank for dim in gone}
        return layout.with_dims(
            tuple(Dim(out[k]) if k in fixed else dim for k, dim in enumerate(layout.dims))
        )
    kept = [dim for k, dim in enumerate(layout.dims) if k - rank not in gone]
    return layout.with_dims(tuple(kept))


def _reduction(step: Step) -> Layout | None:
    return _replaced(step, step.map(), step.op.acted_on)


def _same(step: Step) -> Layout | None:
    """Let an operation pass that treats each element, or each channel, for itself."""
    layout, shape = step.first
    if step.refused:
        return None
    if step.op.output_shapes[0] != shape:
        raise Unsupported("its output has another shape than its input")
    return layout


def _elementwise(step: Step) -> Layout | None:
    """Let each element pass; a mask or a tensor of exponents is as large as the map."""
    if step.op.made and isinstance(step.first.layout, Map):
        return _together(step, stretched=True)
    return _same(step)


def _expand(step: Step) -> Layout | None:
    """Repeat along dimensions of size 1, to a size that the code chose."""
    layout, shape = step.inputs[0]
    if step.refused or isinstance(layout, Flat):
        return _same(step)
    out = step.op.output_shapes[0]
    new = len(out) - len(shape)
    dims = [Dim(1)] * new + [*(layout.dims if layout else map(Dim, shape))]
    sides = dict(layout.sides) if layout else {}
    for place in range(-len(out), 0):
        before = shape[place] if -place <= len(shape) else 1
        if dims[place].axes or before == out[place] > 1:
            if before != out[place]:
                raise Unsupported("it repeats an axis of the image if that is 1")
            continue
        dims[place], there = step.chosen(place, "the size that it repeats to may be a map's")
        for axis in dims[place].axes:
            if axis in sides or there is None:
                raise Unsupported("it repeats along an axis that is there")
            sides[axis] = there
    return Map(tuple(dims), sides) if sides else None


def _batch_norm(step: Step) -> Layout | None:
    layout, shape = step.first
    if isinstance(layout, Map) and len(shape) > 1 and layout.dims[1].axes and step.op.constants:
        step.require_features(layout.term(1), step.op.constants[0].shape[0])
    elif step.refused and len(shape) > 1 and step.op.constants[:1]:
        step.nothing_fits()  # another number of channels
    return _same(step)


def _group_norm(step: Step) -> Layout | None:
    layout = step.map()
    if layout.dims[1].axes:
        raise Unsupported("its groups are of a dimension that holds several")
    if step.refused and step.op.constants:
        step.nothing_fits()  # another number of channels
    return _same(step)


def _layer_norm(step: Step) -> Layout | None:
    layout = step.first.layout
    wanted = step.op.options["normalized_shape"]
    if isinstance(layout, Map):
        for dim in range(-len(wanted), 0):
            if layout.dims[dim].axes:
                step.require_features(layout.term(dim), wanted[dim])
    return _same(step)


def _broadcast(step: Step) -> Layout | None:
    """Along each axis sides are equal, or one of them is 1."""
    layouts = [layout for layout, _ in step.inputs if layout is not None]
    if any(isinstance(layout, Flat) for layout in layouts):
        if len({id(layout) for layout in layouts}) > 1:
            raise Unsupported("two rows of features meet")
        return layouts[0]
    if len(layouts) == 1:
        return _with_embedding(step)
    return _together(step, stretched=True)


def _with_embedding(step: Step) -> Layout | None:
    """Add what there is for each cell of a sequence, such as the position embedding of a ViT."""
    layout = step.map()
    dims = list(layout.dims)
    lengths = [shape for shape, derived in step.op.constants if not derived]
    for place in range(-len(dims), 0):
        dim = dims[place]
        if not dim.axes or dim.is_axis:
            continue
        for length in {shape[place] for shape in lengths if len(shape) >= -place} - {1}:
            number, sides = layout.term(place)
            term = Term(number, {axis % step.rank: side for axis, side in sides.items()})
            step.wanted.append(Wanted((term,), length - dim.more, is_of_cells=True))
            dims[place] = Dim(length)
    if dims == list(layout.dims):
        return _together(step, stretched=True)
    return layout.with_dims(tuple(dims))


def _together(step: Step, *, stretched: bool = False, beside: int | None = None) -> Map:
    """Let maps of equal sides meet; with `stretched` a side of 1 is repeated.

    Along the dimension `beside`, from the end, they are put side by side.
    """
    maps = [given for given in step.inputs if isinstance(given.layout, Map)]
    if any(isinstance(layout, Flat) for layout, _ in step.inputs):
        raise Unsupported("tensors of different layout meet")
    rank = max(len(shape) for _, shape in maps)
    dims: list[Dim] = []
    sides: dict[int, Sides] = {}
    for layout, _ in maps:
        assert isinstance(layout, Map)
        for axis, here in layout.sides.items():
            sides.setdefault(axis, here)
    for place in range(-rank, 0):
        holds = [
            layout.dims[place]
            for layout, _ in maps
            if isinstance(layout, Map) and len(layout.dims) >= -place
        ]
        joint = next((dim for dim in holds if dim.axes), None)
        if joint is None:
            dims.append(Dim(max(dim.number for dim in holds)))
            numbers = {dim.number for dim in holds} - ({1} if stretched else set())
            if step.refused and len(numbers) > 1 and place != beside:
                step.nothing_fits()
            continue
        dims.append(joint)
        if place == beside:
            raise Unsupported("it joins maps along an axis of the image")
        if any(dim.axes and dim != joint for dim in holds):
            raise Unsupported("tensors of different layout meet")
        for side in _sides_that_meet(step, place, joint, sides):
            if not joint.is_axis:
                if not isinstance(side, int):
                    same = all(are_equal(side_, sides[a]) for a, side_ in side.items())
                    if same:
                        continue
                elif side == 1 and stretched:
                    continue
                raise Unsupported("tensors of different layout meet")
            (axis,) = joint.axes
            there = side if isinstance(side, int) else side[axis]
            equal = sides[axis] == there
            one = (sides[axis] == 1) | np.equal(there, 1)
            step.require(axis, equal | one if stretched else equal)
            sides[axis] = np.maximum(sides[axis], there)
    for layout, source in zip((i.layout for i in step.inputs), step.op.sources, strict=True):
        if source == step.op.written and isinstance(layout, Map):
            for axis, here in layout.sides.items():
                step.require(axis, here == sides[axis])  # what is written into is not repeated
    return Map(tuple(dims), sides)


def _sides_that_meet(
    step: Step, place: int, joint: Dim, sides: Mapping[int, Sides]
) -> Iterator[int | dict[int, Sides]]:
    """Yield what all that an operation reads has in one dimension: sides of axes, or a number."""
    beside = step.beside
    twins = [shape for shape, _ in beside.constants] if beside and beside.output_shapes else []
    fixed = [
        (shape, not derived or twins[k : k + 1] == [shape])
        for k, (shape, derived) in enumerate(step.op.constants)
    ]
    for source, (layout, shape) in zip(step.op.sources, step.inputs, strict=True):
        if isinstance(layout, Map) and len(shape) >= -place and layout.dims[place].axes:
            yield {axis: layout.sides[axis] for axis in joint.axes}
        elif isinstance(layout, Map):
            yield shape[place] if len(shape) >= -place else 1
        else:
            fixed.append((shape, step.same_beside(source) or _has_fixed_size(step.trace, source)))
    is_one = all(sides[axis][step.traced[axis]] == 1 for axis in joint.axes)
    for shape, is_fixed in fixed:
        side = shape[place] if len(shape) >= -place else 1
        if not is_fixed and (side > 1 or (is_one and len(shape) >= -place)):
            raise ChosenError(_COMES_FROM_IMAGE)
        yield side
    for k, shape in enumerate(step.op.made):
        side = shape[place] if len(shape) >= -place else 1
        if side == 1 and not (is_one and len(shape) >= -place):
            continue
        there = _made_beside(step, k, place)
        lengths = [_length(joint, sides, indices) for indices in (step.traced, step.probed)]
        if there == side:
            yield side
        elif [side, there] != lengths:
            raise Unsupported(_COMES_FROM_IMAGE)


_COMES_FROM_IMAGE = "it reads a tensor whose size may come from that of the image"


def _made_beside(step: Step, index: int, place: int) -> int:
    """Return how long a tensor that the forward made is in the second trace."""
    beside = step.beside
    if beside is None or not beside.output_shapes:
        raise ChosenError(_COMES_FROM_IMAGE)
    shape = beside.made[index] if index < len(beside.made) else ()
    return shape[place] if len(shape) >= -place else 1


def _length(dim: Dim, sides: Mapping[int, Sides], indices: tuple[int, ...]) -> int:
    """Return how long a dimension is at one size of each axis."""
    return dim.number * prod(int(sides[axis][indices[axis]]) for axis in dim.axes) + dim.more


def _has_fixed_size(trace: Trace, source: int) -> bool:
    """Tell whether height and width are those of an adaptive pooling or of another input."""
    while source >= 0:
        op = trace.ops[source]
        if op.kind in ADAPTIVE_POOLS:
            return True
        if len(op.sources) != 1 or op.input_shapes[0][-2:] != op.output_shapes[0][-2:]:
            return False
        source = op.sources[0]
    return True


def _cat(step: Step) -> Layout | None:
    (place,) = step.op.acted_on if len(step.op.acted_on) == 1 else (None,)
    if place is None:
        raise Unsupported("along which dimension it joins is not known")
    parts = []
    for layout, shape in step.inputs:
        if isinstance(layout, Map) and len(layout.dims) >= -place:
            parts.append(layout.dims[place])
        elif layout is None and len(shape) >= -place:
            parts.append(Dim(shape[place]))
    flat = any(isinstance(layout, Flat) for layout, _ in step.inputs)
    if place == -1 and (flat or any(dim.axes and not dim.is_axis for dim in parts)):
        return _cat_features(step)
    if sum(bool(dim.axes) for dim in parts) == 1 and not step.refused:
        return _with_tokens(step, place)
    joined = _together(step, beside=place)
    dims = list(joined.dims)
    dims[place] = Dim(1 if step.refused else step.op.output_shapes[0][place])
    return joined.with_dims(tuple(dims))


def _with_tokens(step: Step, place: int) -> Layout | None:
    """Put something of fixed length before or behind a sequence of cells."""
    layout = step.map()
    (dim,) = (dim for dim in [layout.dims[place]] if dim.axes)
    if sum(given.layout is not None for given in step.inputs) > 1 or dim.is_axis:
        raise Unsupported("it joins maps along an axis of the image")
    dims = list(layout.dims)
    more = step.op.output_shapes[0][place] - step.first.shape[place]
    dims[place] = dim._replace(more=dim.more + more)
    return layout.with_dims(tuple(dims))


def _cat_features(step: Step) -> Layout | None:
    terms: list[Term] = []
    for layout, shape in step.inputs:
        if isinstance(layout, Flat):
            terms += layout.terms
        elif layout is None:
            terms.append(Term(shape[-1], {}))
        elif any(dim.axes for dim in layout.dims[:-1]):
            raise Unsupported("not every part of the row is known")
        else:
            terms.append(layout.term(-1))
    if step.refused or sum(shape[-1] for _, shape in step.inputs) != step.op.output_shapes[0][-1]:
        raise Unsupported("not every part of the row is known")
    return Flat(tuple(terms))


def _stack(step: Step) -> Layout | None:
    return _moved(step, _together(step))


def _linear(step: Step) -> Layout | None:
    """Note how many features a linear layer insists on."""
    layout, shape = step.first
    failure = step.trace.failure
    features = failure.input_shapes[-1][0] if step.refused and failure else shape[-1]
    if isinstance(layout, Flat):
        step.wanted.append(Wanted(layout.terms, features))
        return None
    assert layout is not None
    if len(shape) == 1:
        raise Unsupported("it reads a vector")
    step.require_features(layout.term(-1), features)
    width = 1 if step.refused else step.op.output_shapes[0][-1]
    return layout.with_dims((*layout.dims[:-1], Dim(width)))


def _recurrent(step: Step) -> Layout | None:
    """Let a recurrent layer read sequences: it insists on the features, not on their number."""
    layout, shape = step.first
    if not isinstance(layout, Map):
        raise Unsupported("it reads no sequence")
    op = step.op
    first = [*op.made, *(c.shape for c in op.constants if len(c.shape) > 2), *step.inputs[1:]]
    if first and len(shape) > 2 and layout.dims[0 if op.options["batch_first"] else 1].axes:
        raise Unsupported("it may be given first states of a number of sequences")
    features = op.options["input_size"] if step.refused else shape[-1]
    step.require_features(layout.term(-1), features)
    for axis, sides in layout.sides.items():
        step.require(axis, sides > 0)
    width = 1 if step.refused else op.output_shapes[0][-1]
    return layout.with_dims((*layout.dims[:-1], Dim(width)))


def _view(step: Step) -> Layout | None:
    layout, shape = step.first
    options = step.op.options
    size = list(options.get("size") or options.get("shape") or ())
    out = None if step.refused else step.op.output_shapes[0]
    if not isinstance(layout, Map):
        if out is not None and out == shape:
            return layout
        raise Unsupported("it lays out features anew")
    images = layout.dims[0]
    by_linear = step.trace.modules.get(step.op.path) == "Linear"
    has_copies = any(axis >= step.rank for axis in layout.sides)
    if has_copies and (out is None or len(out) < 3):
        raise Unsupported("it lays out how each cell goes with each other")
    if not images.axes and len(shape) > 2 and layout.is_plain and not has_copies:
        # The code says how many features an image must have, by a number or by rows of a length.
        rows = out if out is not None else tuple(size)
        wanted = prod(rows[1:])
        is_rows = len(rows) == 2 and not by_linear and rows[0] != shape[0]
        if (out is None and wanted > 0) or (is_rows and _mixes(layout, shape, rows, size)):
            term = Term(
                prod(dim.number for dim in layout.dims[1:]),
                {axis: layout.sides[axis] for dim in layout.dims[1:] for axis in dim.axes},
            )
            if out is None and rows[0] > 0 and rows[0] != shape[0] and len(rows) == 1:
                raise Unsupported("it lays out features anew")
            if out is None and step.trace.reads_sizes:
                _require_numbers(step, size)
            step.wanted.append(Wanted((term,), wanted))
            return None
    if out is None:
        raise Unsupported("it merges height and width with something else")
    may_stand_anywhere = by_linear or 2 < len(out) != len(shape)
    if may_stand_anywhere and any(
        layout.sides[axis][step.traced[axis]] == 1 for axis in layout.places
    ):
        raise AmbiguousError("its map has a side of 1")
    return layout.with_dims(_regrouped(step, layout, shape, out))


def _require_numbers(step: Step, size: list[int]) -> None:
    """Make sure that a shape which does not fit is not worked out from the size of the image."""
    beside = step.beside
    if beside is None:
        raise ChosenError(_SHAPES)
    there = beside.options.get("size") or beside.options.get("shape") or ()
    if [*there][1:] != size[1:]:
        raise Unsupported(_SHAPES)


_SHAPES = "the shape that it lays out may depend on the size"


def _mixes(layout: Map, shape: Shape, rows: Shape, size: list[int]) -> bool:
    """Tell rows that hold parts of images from those that hold each cell, or a row of cells."""
    if layout.dims[-1].axes and rows[1] != shape[-1]:
        return True
    return bool(layout.dims[-1].axes) and -1 in size


def _regrouped(step: Step, layout: Map, shape: Shape, out: Shape) -> tuple[Dim, ...]:
    """Return what the dimensions hold after a view, which keeps the order of all numbers."""
    kept = 0  # dimensions at the end that stay as they are
    while (
        len(out) > 2
        and kept < min(len(out), len(shape)) - 1
        and out[-kept - 1] == shape[-kept - 1]
        and prod(out[: -kept - 1]) == prod(shape[: -kept - 1])
    ):
        kept += 1
    end = layout.dims[len(shape) - kept :]
    atoms: list[tuple[int, tuple[int, ...]]] = []  # how many, and the axis of which
    for dim in layout.dims[: len(shape) - kept]:
        before = dim.number // dim.behind
        atoms += [(before, ())] if before > 1 else []
        atoms += [(int(layout.sides[axis][step.traced[axis]]), (axis,)) for axis in dim.axes]
        atoms += [(dim.behind, ())] if dim.behind > 1 else []
    dims: list[Dim] = []
    front = out[: len(out) - kept]
    for k, length in enumerate(front):
        number, behind, have = 1, 1, 1
        axes: tuple[int, ...] = ()
        last = k == len(front) - 1
        while atoms and (have < length or last or (k and atoms[0][0] == 1 and front[k + 1] != 1)):
            count, of_axis = atoms.pop(0)
            if have * count > length:
                part = length // have
                if of_axis or length % have or count % part:
                    raise Unsupported("it cuts an axis of the image into pieces")
                atoms.insert(0, (count // part, ()))
                count = part
            have *= count
            if of_axis and behind > 1:
                raise Unsupported("it merges several axes with something between them")
            axes += of_axis
            number *= 1 if of_axis else count
            behind *= count if axes and not of_axis else 1
        if have != length:
            raise Unsupported("it merges height and width with something else")
        dims.append(Dim(number, axes, behind=behind))
    return (*dims, *end)


def _part(step: Step) -> Layout | None:
    """Take a part along dimensions other than those of an axis, or drop them."""
    layout = step.map()
    touched = [dim for dim in step.op.acted_on if layout.dims[dim].axes]
    if not touched:
        return _moved(step)
    first_or_last = step.op.kind is Kind.SELECT and step.op.options["index"] in (0, -1)
    if first_or_last and all(layout.dims[dim].is_axis for dim in touched):
        return _replaced(step, layout, step.op.acted_on)
    raise Unsupported(_PARTS)


_PARTS = "it takes a part of height or width, or drops them"


def _slice(step: Step) -> Layout | None:
    """Take every so many cells of an axis, from one to another, if these are numbers."""
    layout, op, beside = step.map(), step.op, step.beside
    (dim,) = op.acted_on
    if not layout.dims[dim].axes:
        return _moved(step)
    if not layout.dims[dim].is_axis or step.refused or op.index in step.doubted:
        raise Unsupported(_PARTS)
    if beside is None:
        raise ChosenError(_PARTS)
    if beside.options != op.options:
        return _padded_to(step, layout, [dim])
    step.assumed.append(op.index)
    given = (op.options.get(name) for name in ("start", "end", "step"))
    start, end, every = (
        n if n is not None else other for n, other in zip(given, (0, LAST, 1), strict=True)
    )

    def cut(place: int, sides: Sides) -> Sides:
        if place != dim:
            return sides
        first, last = (np.clip(n + sides * (n < 0), 0, sides) for n in (start, end))
        cells: Sides = -(-(last - first) // every)
        return cells

    result = _with_numbers(step, step.on_sides(layout, cut))
    (axis,) = layout.dims[dim].axes
    if result.sides[axis][step.traced[axis]] != op.output_shapes[0][dim]:
        raise Unsupported(_PARTS)
    return result


LAST = 2**62
"""The end of a slice that has none."""


_FIXED_RANK = {Kind.PERMUTE, Kind.RECURRENT, *WINDOWS}


def _squeeze(step: Step) -> Layout | None:
    """Drop dimensions of size 1; an axis only if what follows cannot do with another number."""
    layout = step.map()
    rank = len(layout.dims)
    gone = [dim for dim in step.op.acted_on if step.first.shape[dim] == 1]
    for dim in gone:
        for axis in layout.dims[dim].axes:
            readers = [op for op in step.trace.ops if step.op.index in op.sources]
            if not readers or readers[0].kind not in _FIXED_RANK:
                raise Unsupported("it drops an axis of the image if it is 1")
            step.require(axis, layout.sides[axis] == 1)
    if any(layout.dims[dim].axes for dim in set(step.op.acted_on) - {*gone}) and not gone:
        return layout
    return layout.with_dims(tuple(d for k, d in enumerate(layout.dims) if k - rank not in gone))


def _moved(step: Step, layout: Map | None = None) -> Map | None:
    layout = layout or step.map()
    if step.refused:
        raise Unsupported("it moves dimensions that are not there")
    shape = step.op.output_shapes[0]
    dims = [Dim(length) for length in shape]
    rank = len(layout.dims)
    for k, dim in enumerate(layout.dims):
        after = step.op.after((k - rank,))
        if after is not None:
            dims[after[0]] = dim if dim.axes else Dim(shape[after[0]])
        elif dim.axes:
            raise Unsupported("it drops height or width")
    return layout.with_dims(tuple(dims))


def _pad(step: Step) -> Layout | None:
    layout, op = step.map(), step.op
    pads = {place: op.padding(place) for place in range(-len(layout.dims), 0)}
    module = step.trace.modules.get(op.path, "")
    if module.endswith("Same"):
        return _with_numbers(step, step.on_sides(layout, _same_padding(step)))
    held = [place for place in pads if layout.dims[place].axes]
    if held and not re.search(r"Pad[123]d$|^(Lazy)?Conv[123]d$", module):
        beside = step.beside
        if beside is None:
            raise ChosenError(_PADS)
        if op.index in step.doubted:
            raise Unsupported(_PADS)
        if any(beside.padding(place) != pads[place] for place in held):
            return _padded_to(step, layout, held)
        step.assumed.append(op.index)
    if any(sum(pads[p]) for p in pads if layout.dims[p].axes and not layout.dims[p].is_axis):
        raise Unsupported("it pads a dimension that holds several")
    if op.kind is Kind.REFLECTION_PAD:
        for axis, place in layout.places.items():
            step.require(axis, layout.sides[axis] > max(pads[place]))
    padded = step.on_sides(layout, lambda place, sides: sides + sum(pads[place]))
    return _with_numbers(step, padded)


_PADS = "how much it pads may depend on the size"


def _padded_to(step: Step, layout: Map, held: list[int]) -> Map:
    """Pad to the sides of another map, such as the one that waits at a skip connection."""
    sides = dict(layout.sides)
    for place in held:
        dim, there = step.chosen(place, _PADS)
        if there is None or dim != layout.dims[place]:
            raise Unsupported(_PADS)
        (axis,) = dim.axes
        step.require(axis, sides[axis] > 0)
        sides[axis] = there
    return _with_numbers(step, Map(layout.dims, sides))


def _same_padding(step: Step) -> Callable[[int, Sides], Sides]:
    """Return what TensorFlow's rule makes of a side: windows begin at every stride of the input."""
    op = step.op
    reader = next((o for o in step.trace.ops if op.index in o.sources), None)
    if reader is None or not reader.all_windows or step.refused:
        raise Unsupported(_PADS)
    windows = reader.all_windows

    def padded(place: int, sides: Sides) -> Sides:
        if place < -len(windows):
            return sides
        window = windows[place]
        needed = (-(-sides // window.stride) - 1) * window.stride + window.extent
        return np.maximum(sides, needed)

    for axis, place in step.map().places.items():
        side = int(step.map().sides[axis][step.traced[axis]])
        if int(padded(place, np.array([side]))[0]) != step.op.output_shapes[0][place]:
            raise Unsupported(_PADS)
    return padded


def _with_numbers(step: Step, layout: Map) -> Map:
    """Return the map with the fixed dimensions of the operation's output."""
    if step.refused:
        return layout
    pairs = zip(layout.dims, step.op.output_shapes[0], strict=True)
    return Map(tuple(dim if dim.axes else Dim(n) for dim, n in pairs), layout.sides)


def _upsample(step: Step) -> Layout | None:
    scales = step.op.all_scales
    layout, shape = step.inputs[0]
    if isinstance(layout, Flat):
        raise Unsupported("it reads no feature map")
    dims = list(layout.dims if layout else map(Dim, shape))
    sides = dict(layout.sides) if layout else {}
    if any(dim.axes and not dim.is_axis for dim in dims[-len(scales) :]):
        raise Unsupported("it resizes a dimension that holds several")
    for place in range(-len(scales), 0):
        scale, (held, held_axes, *_) = scales[place], dims[place]
        for axis in held_axes:
            step.require(axis, sides[axis] > 0)
        if scale is not None and held_axes:
            (axis,) = held_axes
            sides[axis] = np.floor(sides[axis] * scale).astype(np.int64)
            step.require(axis, sides[axis] > 0)
        elif scale is not None:
            dims[place] = Dim(int(held * scale))
        else:
            for axis in held_axes:
                del sides[axis]
            reason = "the size that it resizes to may depend on the image"
            dims[place], there = step.chosen(place, reason)
            for axis in dims[place].axes:
                if axis in sides or there is None:
                    raise Unsupported(reason)
                sides[axis] = there
    return Map(tuple(dims), sides) if sides else None


def _shuffle(step: Step) -> Layout | None:
    """Lay channels out as cells, or cells as channels."""
    layout, options = step.map(), step.op.options
    step.require_axes(layout, 3, "it lays out a dimension that holds several")
    enlarges = step.op.kind is Kind.PIXEL_SHUFFLE
    if layout.dims[-3].axes or (step.refused and not enlarges):
        raise Unsupported("its channels are not known")
    if step.refused:
        step.nothing_fits()  # another number of channels
    factor = options["upscale_factor" if enlarges else "downscale_factor"]

    def shuffled(place: int, sides: Sides) -> Sides:
        if place < -2:
            return sides
        return sides * factor if enlarges else np.where(sides % factor == 0, sides // factor, 0)

    return _with_numbers(step, step.on_sides(layout, shuffled))


def _unpool(step: Step) -> Layout | None:
    """Let an unpooling by whole numbers pass; the map of its indices has the same sides."""
    layout = _together(step)
    if step.refused:
        return None
    shape, out = step.first.shape, step.op.output_shapes[0]
    if any(b % a for a, b in zip(shape, out, strict=True)):
        raise Unsupported("the size that it enlarges to may depend on the image")
    return step.on_sides(layout, lambda place, sides: sides * (out[place] // shape[place]))


RULES: Mapping[Kind, Callable[[Step], Layout | None]] = {
    **dict.fromkeys(WINDOWS, _window),
    **dict.fromkeys(ADAPTIVE_POOLS, _adaptive_pool),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys((Kind.CLONE, Kind.SOFTMAX), _same),
    Kind.ELEMENTWISE: _elementwise,
    Kind.EXPAND: _expand,
    Kind.BATCH_NORM: _batch_norm,
    Kind.GROUP_NORM: _group_norm,
    Kind.LAYER_NORM: _layer_norm,
    Kind.BROADCAST: _broadcast,
    Kind.CAT: _cat,
    Kind.STACK: _stack,
    Kind.LINEAR: _linear,
    Kind.RECURRENT: _recurrent,
    Kind.VIEW: _view,
    **dict.fromkeys((Kind.PERMUTE, Kind.UNSQUEEZE), _moved),
    Kind.SQUEEZE: _squeeze,
    Kind.SLICE: _slice,
    **dict.fromkeys((Kind.SPLIT, Kind.SELECT, Kind.UNBIND), _part),
    **dict.fromkeys(PADS, _pad),
    **dict.fromkeys((Kind.NEAREST_UPSAMPLE, Kind.BILINEAR_UPSAMPLE), _upsample),
    Kind.OTHER_UPSAMPLE: _upsample,
    **dict.fromkeys((Kind.PIXEL_SHUFFLE, Kind.PIXEL_UNSHUFFLE), _shuffle),
    Kind.UNPOOL: _unpool,
    Kind.PRODUCT: product,
}


RESIZED = {
    Kind.EXPAND,
    Kind.NEAREST_UPSAMPLE,
    Kind.BILINEAR_UPSAMPLE,
    Kind.OTHER_UPSAMPLE,
}
"""Kinds whose output has a size that the code chose, also if their input has none of the image."""


_TAKES_COPIES = {
    *(Kind.PRODUCT, Kind.SOFTMAX, Kind.ELEMENTWISE, Kind.BROADCAST, Kind.CLONE, Kind.EXPAND),
    *(Kind.VIEW, Kind.PERMUTE, Kind.UNSQUEEZE, Kind.SQUEEZE, *REDUCTIONS),
}
"""Kinds that may read a map with copies of axes, which is what attention is made of."""


_TAKES_TOKENS = {Kind.CAT, Kind.BROADCAST, Kind.ELEMENTWISE, Kind.CLONE}


def pass_through(step: Step) -> Layout | None:
    """Return how the output of an operation holds the axes; ``None`` if it does not."""
    rule = RULES.get(step.op.kind)
    if rule is None:
        raise Unsupported("how it treats sizes is not known here")
    maps = [layout for layout, _ in step.inputs if isinstance(layout, Map)]
    if step.op.kind not in _TAKES_TOKENS and any(dim.more for m in maps for dim in m.dims):
        raise Unsupported("it reads a sequence of cells with something beside it")
    if step.op.kind not in _TAKES_COPIES and any(
        axis >= step.rank for m in maps for axis in m.sides
    ):
        raise Unsupported("it reads how each cell goes with each other")
    return rule(step)
