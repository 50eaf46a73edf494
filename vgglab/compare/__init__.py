"""Is it still the same function? Two models side by side: answers, costs, state_dicts, ONNX.

What counts as rounding is measured and not chosen. Where the outputs are not the same, both models
run with their weights in float64 too. How far a model's two outputs are apart is what rounding does
to it; if the two models differ by no more than four times that in float64, where next to nothing is
rounded, the difference is one that their own numbers cannot show. Columns of the output (classes,
say) are compared each for itself as well, so that large ones do not hide small ones.

Random inputs reach only a part of what a model may get, so models that agree are tried on further
ones: larger ones, negative ones, and others of the same kind.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import torch
from tabulate import tabulate
from torch import Tensor, nn

from vgglab.arguments import check_model_with_numbers, check_sizes
from vgglab.compare.onnx import OnnxRoundTrip, onnx_round_trip
from vgglab.compare.reference import (
    MARGIN,
    Answer,
    Failed,
    both_finite,
    random_input,
    relative_l2,
    run_and_measure,
    run_copies,
)
from vgglab.report import Report, count, mebibytes
from vgglab.summary import summary
from vgglab.tracing import InputSize, Shape

Verdict: TypeAlias = Literal["identical", "equal within rounding", "a different function"]
VERDICTS: tuple[Verdict, ...] = ("identical", "equal within rounding", "a different function")


@dataclass(frozen=True)
class Side:
    """One of the two models at one input size.

    Attributes
    ----------
    output_shape
        Shape of its output; ``None`` if the forward failed.
    error
        Why it failed; ``None`` if it did not.
    mult_adds
        As in `vgglab.summary`; ``None`` if the forward failed or could not be traced.
    saved_bytes
        As in `vgglab.summary`, in the mode (train or eval) that the model is in; ``None`` if the
        forward failed or could not be traced.
    """

    output_shape: Shape | None = None
    error: str | None = None
    mult_adds: int | None = None
    saved_bytes: int | None = None


@dataclass(frozen=True)
class Cells:
    """A dense output cell by cell: rows of the map, each with a number for each column.

    Attributes
    ----------
    relative_l2
        Distance of the cells from one another, or from the logits of the model without a map.
    argmax_agreement
        Fraction of the images for which the largest logit is the same.
    """

    relative_l2: tuple[tuple[float, ...], ...]
    argmax_agreement: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SizeComparison:
    """Both models at one input size.

    Attributes
    ----------
    input_size
        Shape of the input.
    before
        The first model.
    after
        The second model.
    verdict
        ``"identical"``: the same numbers. ``"equal within rounding"``: in float64 no further apart
        than four times `rounding`. ``"a different function"``: all else, also if only the shape
        differs; a 1x1 map counts as logits. ``None`` if one of them failed.
    relative_l2
        L2 norm of the difference over that of the output of `before`, in the models' own types of
        numbers; of a map against logits, that of the mean over the map. ``None`` if one of them
        failed, or the shapes cannot be compared.
    exact_relative_l2
        The same in float64; ``None`` if the verdict is clear without it.
    rounding
        What rounding does to the outputs: the larger of the two models' relative L2 distances
        between their own type of numbers and float64. ``None`` if not needed.
    argmax_agreement
        Fraction of the images (of the cells, if both have a map) with the same largest logit.
    cells
        The comparison cell by cell if there is a map larger than 1x1, else ``None``.
    differs_on
        On which further inputs the models differ if they do not on the first ones; else ``None``.
    draws
        Which of the models draw random numbers in eval mode: ``"before"``, ``"after"``.
    """

    input_size: Shape
    before: Side
    after: Side
    verdict: Verdict | None = None
    relative_l2: float | None = None
    exact_relative_l2: float | None = None
    rounding: float | None = None
    argmax_agreement: float | None = None
    cells: Cells | None = None
    differs_on: str | None = None
    draws: tuple[str, ...] = ()

    @property
    def errors(self) -> dict[str, str]:
        """Why a model failed, by ``"before"`` and ``"after"``."""
        sides = {"before": self.before, "after": self.after}
        return {name: side.error for name, side in sides.items() if side.error is not None}


@dataclass(frozen=True)
class StateDicts:
    """How the state_dict of `after` differs from that of `before`.

    Attributes
    ----------
    missing
        Names that only `before` has.
    unexpected
        Names that only `after` has.
    reshaped
        Both shapes of those tensors that have as many numbers in another shape.
    resized
        Both shapes of those tensors that have more numbers or fewer.
    changed
        Names of tensors with as many numbers, but other ones.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]
    resized: Mapping[str, tuple[Shape, Shape]]
    changed: tuple[str, ...]

    @property
    def loads(self) -> bool:
        """Whether the state_dict of `before` loads into `after`."""
        return not (self.missing or self.unexpected or self.reshaped or self.resized)


@dataclass(frozen=True, repr=False)
class Comparison(Report):
    """Two models side by side; printed it is a table, in a notebook too.

    Attributes
    ----------
    rows
        One for each input size.
    params
        Parameters of both models, shared ones once.
    state_dicts
        How the two state_dicts differ.
    models
        Both models.
    seed
        Of the inputs.
    """

    rows: tuple[SizeComparison, ...]
    params: tuple[int, int]
    state_dicts: StateDicts
    models: tuple[nn.Module, nn.Module] = field(compare=False)
    seed: int

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of those sizes at which both models run; ``None`` if there are none."""
        found = [row.verdict for row in self.rows if row.verdict is not None]
        return max(found, key=VERDICTS.index, default=None)

    def onnx(self) -> OnnxRoundTrip:
        """Export `after` to ONNX and compare it with itself at all sizes; takes some seconds."""
        return onnx_round_trip(self.models[1], self._sizes(), seed=self.seed)

    def _sizes(self) -> list[Shape]:
        return [row.input_size for row in self.rows]

    def _title(self) -> str:
        before, after = (type(model).__name__ for model in self.models)
        return f"{before} → {after}: {self.verdict or 'not comparable at these sizes'}"

    def _tables(self, tablefmt: str) -> list[str]:
        answers = [
            [
                str(row.input_size),
                row.verdict or "-",
                _scientific(row.relative_l2),
                _scientific(row.exact_relative_l2),
                _scientific(row.rounding),
                "-" if row.argmax_agreement is None else f"{row.argmax_agreement:.0%}",
            ]
            for row in self.rows
        ]
        costs = [["Parameters", *(f"{count:,}" for count in self.params)]]
        for row in self.rows:
            sides = (row.before, row.after)
            costs += [
                [f"Mult-adds, {row.input_size}", *(count(side.mult_adds) for side in sides)],
                [f"Kept (MiB), {row.input_size}", *(mebibytes(side.saved_bytes) for side in sides)],
            ]
        return [
            tabulate(
                answers,
                ("Input", "Function", "Relative L2", "In float64", "Rounding", "Same argmax"),
                tablefmt,
                colalign=("left", "left", *["right"] * 4),
                disable_numparse=True,
            ),
            tabulate(
                costs,
                ("Cost", "Before", "After"),
                tablefmt,
                colalign=("left", "right", "right"),
                disable_numparse=True,
            ),
        ]

    def _sentences(self) -> list[str]:
        images = sum(row.input_size[0] for row in self.rows)
        sentences = [
            f"Both in eval mode, on {images} random inputs and, where they agree on them, on "
            f"{', '.join(_FURTHER)}."
        ]
        for row in self.rows:
            if row.differs_on is not None:
                sentences.append(f"At {row.input_size} they differ on {row.differs_on}.")
            sentences += [
                f"{name.capitalize()} draws random numbers in eval mode: what is said here holds "
                "for equal numbers."
                for name in row.draws
            ]
            if row.verdict == VERDICTS[1] and row.rounding is not None and row.rounding > COARSE:
                sentences.append(
                    f"At {row.input_size} rounding alone changes the outputs by "
                    f"{row.rounding:.0%}: a difference as large as that would not be seen."
                )
            sentences += [
                f"At {row.input_size} {name} fails: {error}" for name, error in row.errors.items()
            ]
            if not row.errors and row.before.output_shape != row.after.output_shape:
                sentences.append(
                    f"At {row.input_size} the output changes from {row.before.output_shape} "
                    f"to {row.after.output_shape}."
                )
            if row.cells is not None:
                distances = [x for line in row.cells.relative_l2 for x in line]
                sentences.append(
                    f"At {row.input_size} the {len(distances)} cells of the map differ by a "
                    f"relative L2 of {min(distances):.1e} to {max(distances):.1e}."
                )
        return [*sentences, *_state_dict_sentences(self.state_dicts)]


def compare(
    before: nn.Module, after: nn.Module, input_sizes: InputSize, *, seed: int = 0
) -> Comparison:
    """Compare two models: what they compute, what that costs, and whether weights carry over.

    Copies of both run on the CPU in eval mode, on the same random images and, where they agree, on
    some that are larger, negative or from another seed; the models are not changed. A size at which
    one of them fails is reported and has no part in the verdict.

    Parameters
    ----------
    before
        A module that returns one tensor: logits (N, K), a map of logits (N, K, h, w), one number an
        image, or any other. A 1x1 map counts as logits.
    after
        The module to compare with it.
    input_sizes
        A list of shapes (N, C, H, W), or one. More images make the agreement of the argmax finer.
    seed
        Of the images, which are standard normal numbers.

    Returns
    -------
    Comparison
        Also if one of the models fails.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1 or above `vgglab.arguments.MAX_SIDE`, or a model holds no numbers.
    """
    models = (check_model_with_numbers("before", before), check_model_with_numbers("after", after))
    sizes = check_sizes("input_sizes", input_sizes)
    inputs = [random_input(size, seed) for size in sizes]
    outputs = zip(*(run_copies(model, inputs) for model in models), strict=True)
    rows = [_compare_outputs(size, models, pair) for size, pair in zip(sizes, outputs, strict=True)]

    open_ones = [k for k, row in enumerate(rows) if row.verdict is None and not row.errors]
    answers = (run_and_measure(model, [inputs[k] for k in open_ones]) for model in models)
    for k, pair in zip(open_ones, zip(*answers, strict=True), strict=True):
        rows[k] = _decide(rows[k], *pair)
    return Comparison(
        rows=tuple(_tried_further(row, models, seed) for row in rows),
        params=(_params(models[0]), _params(models[1])),
        state_dicts=_compare_state_dicts(*models),
        models=models,
        seed=seed,
    )


COARSE = 1e-2
"""From what relative rounding on the verdict "equal within rounding" says little."""

_FURTHER: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "inputs 10 times as large": lambda x, other: 10 * x,
    "inputs from 0 to 255": lambda x, other: 255 * x.abs() / x.abs().amax(),
    "negative inputs": lambda x, other: -10 * x.abs(),
    "inputs from another seed": lambda x, other: other,
}
"""What models that agree are tried on: from some random inputs, and others."""

_FEW = 2  # images of them


def _tried_further(
    row: SizeComparison, models: tuple[nn.Module, nn.Module], seed: int
) -> SizeComparison:
    """Return the row of models that agree with what further inputs show."""
    if row.verdict not in VERDICTS[:2]:
        return row
    size = (min(_FEW, row.input_size[0]), *row.input_size[1:])
    x, other = random_input(size, seed), random_input(size, seed + 1)
    draws = tuple(
        name for name, model in zip(("before", "after"), models, strict=True) if _draws(model, x)
    )
    if draws and row.verdict == VERDICTS[1]:
        # Other random numbers in float64 than in float32 look like rounding.
        return replace(row, verdict=VERDICTS[2], draws=draws)
    row = replace(row, draws=draws)
    further = [change(x, other) for change in _FURTHER.values()]
    pairs = list(zip(*(run_copies(model, further) for model in models), strict=True))
    differ = [k for k, pair in enumerate(pairs) if not _equal(*pair)]
    answers = (run_and_measure(model, [further[k] for k in differ]) for model in models)
    for k, (before, after) in zip(differ, zip(*answers, strict=True), strict=True):
        if isinstance(before, Failed) and isinstance(after, Failed):
            continue
        if isinstance(before, Failed) or isinstance(after, Failed) or not _same(before, after):
            return replace(row, verdict=VERDICTS[2], differs_on=list(_FURTHER)[k])
        rounding = max(before.rounding, after.rounding, row.rounding or 0.0)
        row = replace(row, verdict=VERDICTS[1], rounding=rounding)
    return row


def _draws(model: nn.Module, x: Tensor) -> bool:
    """Tell whether a model gives other answers if other random numbers are drawn."""
    return not _equal(*(run_copies(model, [x], draw=draw)[0] for draw in (0, 1)))


def _equal(x: Tensor | Failed, y: Tensor | Failed) -> bool:
    if isinstance(x, Failed) or isinstance(y, Failed):
        return isinstance(x, Failed) and isinstance(y, Failed)
    x, y = _squeezed(x), _squeezed(y)
    same = x.shape == y.shape
    return same and torch.allclose(x.double(), y.double(), rtol=0, atol=0, equal_nan=True)


def _same(before: Answer, after: Answer) -> bool:
    """Tell whether two models differ by no more than rounding, as a whole and column by column."""
    rounding = max(before.rounding, after.rounding)
    pair = both_finite(_squeezed(before.exact), _squeezed(after.exact))
    if pair is None or relative_l2(pair[1], pair[0]) > MARGIN * rounding:
        return False
    if pair[0].ndim < 2:
        return True
    # Of each column the L2 norm of the difference, of the rounding, and of itself.
    difference = _norms(pair[1] - pair[0])
    rounded = torch.stack([_norms(_squeezed(a.rounded)) for a in (before, after)]).amax(0)
    size = _norms(pair[0])
    known = size > 0
    if not known.any():
        return True
    usual = (rounded[known] / size[known]).median().clamp(min=rounding)
    allowed = torch.maximum(rounded, usual * size.clamp(min=float(size[known].min())))
    return bool((difference <= _COLUMN_MARGIN * allowed).all())


_COLUMN_MARGIN = 4 * MARGIN
"""For single columns: their rounding is known from few numbers."""


def _norms(output: Tensor) -> Tensor:
    """Return the L2 norm of each column: (N, K, ...) to (K,)."""
    norms: Tensor = output.transpose(0, 1).flatten(1).norm(dim=1)
    return norms


def _params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _compare_outputs(
    size: Shape, models: tuple[nn.Module, nn.Module], outputs: Sequence[Tensor | Failed]
) -> SizeComparison:
    """Compare what both models gave; the verdict is open if rounding could be the difference."""
    before, after = outputs
    row = SizeComparison(size, _side(models[0], size, before), _side(models[1], size, after))
    if isinstance(before, Failed) or isinstance(after, Failed):
        return row

    before, after = _squeezed(before), _squeezed(after)
    verdict: Verdict | None = None
    if before.shape != after.shape:
        verdict = "a different function"
    elif _equal(before, after):
        verdict = "identical"
    pair = _averaged(before, after), _averaged(after, before)
    if pair[0].shape != pair[1].shape:
        return replace(row, verdict=verdict)
    finite = both_finite(*pair)
    if finite is None:
        return replace(row, verdict="a different function", relative_l2=math.nan)
    b, a = finite
    return replace(
        row,
        verdict=verdict,
        relative_l2=relative_l2(a, b),
        argmax_agreement=_agreement(*pair),
        cells=_cells(before, after),
    )


def _agreement(before: Tensor, after: Tensor) -> float | None:
    if before.ndim < 2:
        return None
    return (before.double().argmax(1) == after.double().argmax(1)).double().mean().item()


def _side(model: nn.Module, size: Shape, output: Tensor | Failed) -> Side:
    if isinstance(output, Failed):
        return Side(error=output.error)
    costs = summary(model, size)
    if costs.trace.failure is not None:
        return Side(tuple(output.shape))
    return Side(tuple(output.shape), None, costs.mult_adds, costs.saved_bytes)


def _decide(row: SizeComparison, before: Answer | Failed, after: Answer | Failed) -> SizeComparison:
    """Return the row with the verdict that float64 gives."""
    if isinstance(before, Failed):
        return replace(row, before=replace(row.before, error=before.error))
    if isinstance(after, Failed):
        return replace(row, after=replace(row.after, error=after.error))
    pair = both_finite(_squeezed(before.exact), _squeezed(after.exact))
    distance = math.inf if pair is None else relative_l2(pair[1], pair[0])
    rounding = max(before.rounding, after.rounding)
    verdict = VERDICTS[1] if _same(before, after) else VERDICTS[2]
    return replace(row, verdict=verdict, exact_relative_l2=distance, rounding=rounding)


def _squeezed(output: Tensor) -> Tensor:
    """Return a 1x1 map as logits: (N, K, 1, 1) to (N, K)."""
    return output.flatten(1) if output.shape[2:] == (1, 1) else output


def _averaged(output: Tensor, other: Tensor) -> Tensor:
    """Return the mean over a map if the other output has none: (N, K, h, w) to (N, K)."""
    return output.mean((2, 3)) if output.ndim == 4 and other.ndim == 2 else output


def _cells(before: Tensor, after: Tensor) -> Cells | None:
    """Compare two maps, or a map with logits, at each place: (N, K, h, w) to (h, w)."""
    if 4 not in (before.ndim, after.ndim):
        return None
    reference, other = torch.broadcast_tensors(
        *(y.double() if y.ndim == 4 else y.double()[:, :, None, None] for y in (before, after))
    )
    difference = (other - reference).norm(dim=(0, 1))  # (h, w)
    distance = torch.where(difference == 0, 0, difference / reference.norm(dim=(0, 1)))
    agreement = (reference.argmax(1) == other.argmax(1)).double().mean(0)
    return Cells(_rows(distance), _rows(agreement))


def _rows(grid: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in grid.tolist())


def _compare_state_dicts(before: nn.Module, after: nn.Module) -> StateDicts:
    old, new = (
        {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}
        for model in (before, after)
    )
    common = [name for name in old if name in new]
    shapes = {name: (tuple(old[name].shape), tuple(new[name].shape)) for name in common}
    resized = {name for name in common if old[name].numel() != new[name].numel()}
    return StateDicts(
        missing=tuple(name for name in old if name not in new),
        unexpected=tuple(name for name in new if name not in old),
        reshaped={
            name: (b, a) for name, (b, a) in shapes.items() if b != a and name not in resized
        },
        resized={name: shapes[name] for name in common if name in resized},
        changed=tuple(
            name
            for name in common
            if name not in resized and not _same_numbers(old[name], new[name])
        ),
    )


def _same_numbers(x: Tensor, y: Tensor) -> bool:
    return bool(torch.equal(x.flatten().cpu(), y.flatten().to("cpu", x.dtype)))


def _state_dict_sentences(found: StateDicts) -> list[str]:
    does = "loads" if found.loads else "does not load"
    groups = {
        "Missing": found.missing,
        "New": found.unexpected,
        "Reshaped": tuple(found.reshaped),
        "Resized": tuple(found.resized),
        "Other numbers": found.changed,
    }
    return [
        f"The state_dict of before {does} into after.",
        *(f"{title}: {_listed(names)}." for title, names in groups.items() if names),
    ]


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _scientific(number: float | None) -> str:
    return "-" if number is None else f"{number:.1e}"
