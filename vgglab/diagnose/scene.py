"""Where a forward stopped, what is known there, and the words for shapes that all rules share."""

from dataclasses import dataclass
from math import isqrt, prod
from typing import NamedTuple

from vgglab.tracing import Failure, Op, Shape, Trace
from vgglab.tracing.operations import Kind, rows_of
from vgglab.valid_sizes.layouts import Layout, Map
from vgglab.valid_sizes.propagation import Propagation


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
    of_all_sizes
        The sentence of the explanation that is true of every size, as long as the forward takes the
        way that it took.
    """

    kind: str
    expected: int | Shape | None
    got: int | Shape | None
    explanation: str
    map: Shape | None = None
    wanted: Shape | None = None
    instead: str | None = None
    of_all_sizes: str = ""

    def explained(self, runs_elsewhere: bool) -> str:
        """Return the explanation; if other sizes run, without what would contradict them."""
        if not (self.of_all_sizes and runs_elsewhere):
            return self.explanation
        return self.explanation.replace(self.of_all_sizes, OTHER_WAY_RUNS)


OTHER_WAY_RUNS = "At other sizes the forward takes another way, which ends."


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
        came, went = op.input_shapes[0], op.output_shapes[0]
        if op.kind is Kind.VIEW and len(came) > len(went):
            return None if went == rows_of(came) else came  # rows of a last dimension that stays
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
            shape = trace.input_sizes[-1 - source] if source < 0 else shape_of(trace, source)
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
    goes = "go " if propagation.names[0] == "features" else "goes "
    verbs = [goes, *[""] * (number - 1)]
    axes = zip(propagation.names, verbs, ways, strict=True)
    return ", ".join(f"the {name} {verb}{way}" for name, verb, way in axes)


def shape_of(trace: Trace, source: int) -> Shape:
    """Return the shape of an input (-1 - k) or of what an operation returned."""
    return trace.input_sizes[-1 - source] if source < 0 else trace.ops[source].output_shapes[0]
