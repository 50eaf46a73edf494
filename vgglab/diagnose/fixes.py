"""Repairs for a network and an input size: each a line of code, tried before it is offered."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from torch import nn

from vgglab.diagnose.problems import Problem, map_for
from vgglab.diagnose.warnings import adaptive_pools, flattened
from vgglab.summary import Summary, summary
from vgglab.tracing import Shape, Trace
from vgglab.tracing.copies import meta_copy
from vgglab.valid_sizes import Propagation, ValidSizes

IMPORTS = """\
import vgglab
from torch import nn
from torchvision import ops
from torchvision.transforms import v2
"""
"""What the lines of repairs need."""

LEVELS = (1, 2, 4)
"""Levels of the spatial pyramid that is offered: those of most papers, 21 bins."""


@dataclass(frozen=True)
class Fix:
    """One way to make a network take an input.

    Attributes
    ----------
    name
        A short name, such as ``"fold"``.
    line
        The line of code that does it. It reads ``model`` and needs `vgglab.diagnose.fixes.IMPORTS`.
    same_function
        Whether the repaired network computes what the network computed where it ran before. If
        not, it has fresh weights and must be trained. (Where a fixed average pooling ignored a
        border of the map, which is a warning, the repaired network reads it.)
    note
        What it does to the network, in a sentence.
    model
        The network that was diagnosed.
    input_sizes
        Shapes of the inputs for which it was diagnosed.
    """

    name: str
    line: str
    same_function: bool
    note: str
    model: nn.Module = field(repr=False)
    input_sizes: tuple[Shape, ...] = field(repr=False)

    def apply(self) -> nn.Module:
        """Return the repaired network; the network that was diagnosed stays as it is."""
        return _run(self.line, self.model)

    @property
    def parameters(self) -> int:
        """Number of parameters of the repaired network."""
        return self._summary.total_params

    @property
    def mult_adds(self) -> int:
        """Multiplications with an addition of the repaired network, for the input."""
        return self._summary.mult_adds

    @property
    def works(self) -> bool:
        """Whether the repaired network takes the input: known from a trace without data."""
        return self._summary.trace.failure is None

    @cached_property
    def _summary(self) -> Summary:
        return summary(_run(self.line, meta_copy(self.model, hooks=True)), self.input_sizes)


def _run(line: str, model: nn.Module) -> nn.Module:
    # What people paste is what runs, so the two cannot differ. torchvision is loaded only here.
    names: dict[str, Any] = {"model": model}
    exec(IMPORTS + line, names)
    repaired: nn.Module = names["model"]
    return repaired


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
        What `vgglab.valid_sizes.propagate` makes of the trace.
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
    def input_size(self) -> Shape:
        return self.trace.input_sizes[0]


class Candidate(NamedTuple):
    """A repair that has not been tried."""

    name: str
    line: str
    same_function: bool
    note: str


def fixes_for(case: Case) -> list[Fix]:
    """Return the repairs that work, those that keep the network's function first."""
    return tried(case.model, case.trace, _candidates(case))


def tried(model: nn.Module, trace: Trace, candidates: Iterable[Candidate]) -> list[Fix]:
    """Return the repairs that work: each is tried on a copy of the network without data."""
    found: list[Fix] = []
    for candidate in candidates:
        fix = Fix(*candidate, model, trace.input_sizes)
        try:
            works = fix.works
        except ValueError:  # the conversions say so if they do not apply
            works = False
        if works and fix.line not in [other.line for other in found]:
            found.append(fix)
    return sorted(found, key=lambda fix: not fix.same_function)


def other_layout(trace: Trace, problem: Problem) -> tuple[Candidate, Shape] | None:
    """Return what brings the input into the layout that the network wants, and its shape then."""
    size = trace.input_sizes[0]
    if problem.kind == "unbatched-input" and isinstance(problem.expected, tuple):
        first = problem.expected[: 5 - len(size)]
        line = f"model = nn.Sequential(nn.Unflatten(0, {first}), model)"
        note = "Gives the image the dimensions that are missing; the network stays as it is."
        return Candidate("batch", line, True, note), problem.expected
    if problem.kind != "channel-mismatch" or len(size) != 4 or problem.got != size[1]:
        return None
    if size[-1] == problem.expected:
        line = "model = nn.Sequential(ops.Permute([0, 3, 1, 2]), model)"
        note = "Puts the channels before height and width; the network stays as it is."
        return Candidate("permute", line, True, note), (size[0], size[3], size[1], size[2])
    if (problem.got, problem.expected) == (1, 3):
        line = "model = nn.Sequential(v2.Grayscale(num_output_channels=3), model)"
        note = "Gives the network the grey channel three times; it stays as it is."
        return Candidate("grey", line, True, note), (size[0], 3, *size[2:])
    return None


def _candidates(case: Case) -> Iterator[Candidate]:
    kind = case.problem.kind if case.problem else None
    if kind == "missing-flatten":
        yield from _flatten(case)
    if kind == "missing-pool":
        yield _pool("model", (1, 1))
    elif len(case.input_size) == 4:
        yield from _other_input(case)
        yield from _other_head(case)


def _flatten(case: Case) -> Iterator[Candidate]:
    line = f"vgglab.with_flatten(model, {case.input_size})"
    note = "Adds the flatten that is missing; every weight stays where it is."
    yield Candidate("flatten", f"model = {line}", True, note)
    sides = _sides_at_head(case)
    if sides is not None:
        pool = _pool(line, sides)
        yield pool._replace(note=f"Adds the flatten that is missing. {pool.note}")


def _pool(model: str, sides: tuple[int, int]) -> Candidate:
    height, width = sides
    return Candidate(
        "pool",
        f"model = vgglab.with_adaptive_pool({model}, {sides})",
        True,
        f"Averages every map to {height}×{width} cells; a map that has {height}×{width} passes "
        "unchanged.",
    )


def _other_input(case: Case) -> Iterator[Candidate]:
    """Give the network images that it was made for."""
    size = (case.input_size[-2], case.input_size[-1])
    target = trained_size(case)
    if target is None or target == size:
        return
    yield Candidate(
        "resize",
        f"model = nn.Sequential(v2.Resize({target}), model)",
        True,
        f"Resizes every image to {target[0]}×{target[1]} px; the network stays as it is.",
    )
    if target[0] <= size[0] and target[1] <= size[1]:
        yield Candidate(
            "crop",
            f"model = nn.Sequential(v2.CenterCrop({target}), model)",
            True,
            f"Looks at the central {target[0]}×{target[1]} px alone; the network stays as it is.",
        )


def _other_head(case: Case) -> Iterator[Candidate]:
    """Change what comes after the last feature map."""
    size, target = case.input_size, trained_size(case)
    trained = None if target is None else (*size[:-2], *target)
    pooled = "model"
    sides = _sides_at_head(case)
    if sides is not None and not adaptive_pools(case.trace):
        pooled = f"vgglab.with_adaptive_pool(model, {sides})"
        yield _pool("model", sides)
    yield Candidate(
        "fold",
        f"model = vgglab.fold_adaptive_pool({pooled}, {size})",
        True,
        "Adaptive pooling and the first FC layer as one convolution: at this size the function "
        "of adaptive pooling, with weights computed from those that are there.",
    )
    if trained is not None:
        yield Candidate(
            "conv",
            f"model = nn.Sequential(vgglab.fc_to_conv(model, {trained}), "
            "nn.AdaptiveAvgPool2d(1), nn.Flatten())",
            True,
            f"FC layers as convolutions, scores averaged over the image; at {trained[-2]}×"
            f"{trained[-1]} px equal to the network.",
        )
    classes = _classes(case)
    if classes is not None:
        yield Candidate(
            "gap",
            f"model = vgglab.with_gap_head(model, {classes})",
            False,
            "Averages each channel and adds one fresh linear layer, which must be trained.",
        )
        yield Candidate(
            "spp",
            f"model = vgglab.with_spp_head(model, {LEVELS}, {classes})",
            False,
            "Pools into grids of several sizes; the first FC layer is fresh and must be trained.",
        )
    yield Candidate(
        "fc",
        f"model = vgglab.with_new_fc(model, {size})",
        False,
        "A fresh first FC layer that reads all cells at this size; it must be trained, and other "
        "sizes fail again.",
    )


def trained_size(case: Case) -> tuple[int, int] | None:
    """Return the size nearest to the input at which the classifier reads its map unpooled."""
    sizes = case.sizes
    pools = adaptive_pools(case.trace)
    if pools:
        pool = pools[-1]
        sizes = case.propagation.sizes_with(pool.sources[0], tuple(pool.options["output_size"]))
    if not sizes:
        return None
    return sizes.nearest((case.input_size[-2], case.input_size[-1]))


def _sides_at_head(case: Case) -> tuple[int, int] | None:
    """Return height and width of the map that the first FC layer wants."""
    problem = case.problem
    if problem is not None and problem.map is not None and isinstance(problem.expected, int):
        channels, features = problem.map[0], problem.expected
    else:
        read = [op for op, _ in flattened(case.trace)]
        if not read:
            return None
        channels, features = read[-1].input_shapes[0][1], read[-1].output_shapes[0][1]
    wanted = map_for(case.propagation, features, channels)
    return (wanted[1], wanted[2]) if wanted is not None and len(wanted) == 3 else None


def _classes(case: Case) -> int | None:
    """Return how many logits the network has: the outputs of its last matrix of weights."""
    shapes = [parameter.shape for parameter in case.trace.parameters.values()]
    return next((shape[0] for shape in reversed(shapes) if len(shape) >= 2), None)
