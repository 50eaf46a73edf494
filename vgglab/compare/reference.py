"""Real forwards of copies of a model: what it answers, and how exactly.

Everything runs on the CPU, in eval mode, on the same random images, so that an answer depends
neither on the machine's accelerator nor on what the caller did before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vgglab.arguments import number_type
from vgglab.tracing import Shape, caller_undisturbed
from vgglab.tracing.copies import real_copy

MARGIN = 4
"""How many times its measured rounding an output may be off: sums are taken in many orders."""


@dataclass(frozen=True)
class Failed:
    """A forward that failed, and why."""

    error: str


@dataclass(frozen=True)
class Answer:
    """An output, and how exact it is.

    Attributes
    ----------
    own
        What the model gives in its own type of numbers.
    exact
        What the same weights give in float64.
    rounding
        Relative L2 distance of the two: what rounding to its own type does to the output.
    rounded
        What rounding adds to each number: `own` - `exact`, for float64 scaled down from float32.
    """

    own: Tensor
    exact: Tensor
    rounding: float
    rounded: Tensor


def random_input(shape: Shape, seed: int = 0) -> Tensor:
    """Return standard normal numbers in float64, the same for the same shape and seed."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")


def run_copies(
    model: nn.Module, inputs: Sequence[Tensor], dtype: torch.dtype | None = None, draw: int = 0
) -> list[Tensor | Failed]:
    """Run a copy of a model on each input, with its numbers in `dtype` or in their own type.

    `draw` is the seed of what the model itself draws.
    """
    if not inputs:
        return []
    copied = real_copy(model).eval().to("cpu", dtype)
    input_dtype = dtype or number_type(model)
    with caller_undisturbed(), torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
        return [_run_once(copied, x.to(input_dtype, copy=True), draw) for x in inputs]


def _run_once(model: nn.Module, x: Tensor, draw: int) -> Tensor | Failed:
    torch.default_generator.manual_seed(draw)  # for models that draw numbers in eval mode too
    try:
        output = model(x)
    except Exception as error:
        return Failed(one_line(error))
    if not isinstance(output, Tensor):
        return Failed(f"The model returned a {type(output).__name__} and not one tensor.")
    return output


def run_and_measure(model: nn.Module, inputs: Sequence[Tensor]) -> list[Answer | Failed]:
    """Run a model in its own type and in float64, and measure its rounding on each input."""
    dtype = number_type(model)
    own = run_copies(model, inputs)
    if dtype is torch.float64:
        # What rounding does to it follows from what it does in float32.
        low, low_dtype, exact = run_copies(model, inputs, torch.float32), torch.float32, own
    else:
        low, low_dtype, exact = own, dtype, run_copies(model, inputs, torch.float64)
    step, low_step = torch.finfo(dtype).eps, torch.finfo(low_dtype).eps

    def answer(
        own: Tensor | Failed, low: Tensor | Failed, exact: Tensor | Failed
    ) -> Answer | Failed:
        if isinstance(own, Failed):
            return own
        if isinstance(low, Failed):
            return Failed(f"In {low_dtype}: {low.error}")
        if isinstance(exact, Failed):
            return Failed(f"In torch.float64: {exact.error}")
        pair = both_finite(low, exact)
        distance = relative_l2(*pair) if pair else relative_l2(low, exact)
        # Short sums may happen to be exact: rounding is at least one step.
        rounding = max(distance, low_step) / low_step * step
        x, y = pair or (low.double(), exact.double())
        return Answer(own, exact, rounding, (x - y) / low_step * step)

    return [answer(*forwards) for forwards in zip(own, low, exact, strict=True)]


def both_finite(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return two tensors with 0 where both are infinite alike or no number; ``None``: not alike."""
    x, y = x.double(), y.double()
    odd = ~(x.isfinite() & y.isfinite())
    if not torch.allclose(x[odd], y[odd], rtol=0, atol=0, equal_nan=True):
        return None
    return x.masked_fill(odd, 0), y.masked_fill(odd, 0)


def relative_l2(x: Tensor, reference: Tensor) -> float:
    """Return the L2 norm of ``x - reference`` over that of `reference`; infinite if that is 0."""
    reference = reference.double()
    difference = (x.double() - reference).norm()
    return float(difference / reference.norm()) if difference != 0 else 0.0


def one_line(error: BaseException) -> str:
    """Return the class of the error that caused this one, and the first line of its text."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
