"""How products of matrices treat the axes of the input: what attention is made of."""

from vgglab.valid_sizes.layouts import (
    COPIES,
    ChosenError,
    Dim,
    Flat,
    Input,
    Layout,
    Map,
    Sides,
    Step,
    Unsupported,
    are_equal,
)


def product(step: Step) -> Layout | None:
    """Multiply matrices: what stands between them is summed over, and the rest stays."""
    shapes = step.op.input_shapes
    given = [*zip(step.inputs, step.op.sources, strict=True)]
    given = given if [x.shape for x, _ in given] == [*shapes] else given[::-1]
    known = len({*shapes}) == len(given) == 2 and [x.shape for x, _ in given] == [*shapes]
    if step.op.name != "bmm" or not known or step.refused:
        raise Unsupported("which matrices it multiplies is not known")
    one, other = (_as_map(step, x, source) for x, source in given)
    (images, rows, summed), (images_too, summed_too, columns) = one.dims, other.dims
    for dims in ((images, images_too), (summed, summed_too)):
        if not _hold_the_same(dims, (one, other), step.rank):
            raise Unsupported("what it multiplies may have other sides at other sizes")
    sides: dict[int, Sides] = {}
    result = []
    for dim, held in ((images, one.sides), (rows, one.sides), (columns, other.sides)):
        axes = []
        for axis in dim.axes:
            copies = range(axis % step.rank, COPIES * step.rank, step.rank)
            copy = next((k for k in copies if k not in sides), None)
            if copy is None:
                raise Unsupported("it compares cells with each other too often")
            sides[copy] = held[axis]
            axes.append(copy)
        result.append(dim._replace(axes=tuple(axes)))
    return Map(tuple(result), sides) if sides else None


def _as_map(step: Step, given: Input, source: int) -> Map:
    """Return how a matrix holds the axes, if it does."""
    if isinstance(given.layout, Flat):
        raise Unsupported("it multiplies features of several maps")
    if given.layout is None and not step.same_beside(source):
        raise ChosenError("it reads a tensor whose size may come from that of the image")
    return given.layout or Map(tuple(map(Dim, given.shape)), {})


def _hold_the_same(dims: tuple[Dim, Dim], maps: tuple[Map, Map], rank: int) -> bool:
    """Tell whether dimensions of two maps are equal at all sizes: the same axes, equally long."""
    (one, other), (here, there) = dims, maps
    if one._replace(axes=()) != other._replace(axes=()) or len(one.axes) != len(other.axes):
        return False
    pairs = zip(one.axes, other.axes, strict=True)
    return all(a % rank == b % rank and are_equal(here.sides[a], there.sides[b]) for a, b in pairs)
