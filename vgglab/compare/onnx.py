"""Does a model survive the way to ONNX? Export it once, run the graph at every size, compare.

A graph that is exported with a dynamic height and width can be right at the size that the exporter
saw and wrong at another, without an error: see `vgglab.pooling.ExportableAdaptivePool2d`.
"""

import math
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor, nn

from vgglab.arguments import check_model_with_numbers, check_sizes, number_type
from vgglab.compare.reference import (
    MARGIN,
    Answer,
    Failed,
    one_line,
    random_input,
    relative_l2,
    run_and_measure,
)
from vgglab.report import Report
from vgglab.tracing import InputSize, Shape, caller_undisturbed
from vgglab.tracing.copies import real_copy

NEEDS = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class OnnxRow:
    """What the exported graph answers at one input size.

    Attributes
    ----------
    input_size
        Shape of the input.
    relative_l2
        Distance of the graph's output from torch's, both in float32; infinite if their shapes
        differ, ``None`` if one of them failed.
    rounding
        Distance of torch's own output from the same in float64; ``None`` if torch failed.
    error
        What failed, or which shapes differ; else ``None``.
    """

    input_size: Shape
    relative_l2: float | None = None
    rounding: float | None = None
    error: str | None = None

    @property
    def exact(self) -> bool:
        """Whether the graph's output is torch's within four times torch's own rounding."""
        if self.relative_l2 is None or self.rounding is None:
            return False
        return self.relative_l2 <= MARGIN * self.rounding


@dataclass(frozen=True, repr=False)
class OnnxRoundTrip(Report):
    """A model's way to ONNX and back; printed it is a table, in a notebook too.

    Attributes
    ----------
    rows
        One for each input size; empty if nothing could be checked.
    exported_at
        The input size that the exporter saw; ``None`` if it saw none.
    not_checked
        Why nothing could be checked; ``None`` if it was.
    """

    rows: tuple[OnnxRow, ...] = ()
    exported_at: Shape | None = None
    not_checked: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the graph was checked and is exact at every size."""
        return bool(self.rows) and all(row.exact for row in self.rows)

    def _title(self) -> str:
        if self.not_checked is not None:
            return "ONNX: not checked"
        return f"ONNX: exported at {self.exported_at}, run by onnxruntime"

    def _tables(self, tablefmt: str) -> list[str]:
        if not self.rows:
            return []
        cells = [
            [
                str(row.input_size),
                "exact" if row.exact else "none" if row.relative_l2 is None else "wrong",
                "-" if row.relative_l2 is None else f"{row.relative_l2:.1e}",
                "-" if row.rounding is None else f"{row.rounding:.1e}",
            ]
            for row in self.rows
        ]
        headers = ("Input", "Output", "Relative L2", "Rounding")
        align = ("left", "left", "right", "right")
        return [tabulate(cells, headers, tablefmt, colalign=align, disable_numparse=True)]

    def _sentences(self) -> list[str]:
        errors = [f"At {row.input_size}: {row.error}" for row in self.rows if row.error]
        return errors if self.not_checked is None else [self.not_checked]


def onnx_round_trip(model: nn.Module, input_sizes: InputSize, *, seed: int = 0) -> OnnxRoundTrip:
    """Export a model to ONNX once and compare the graph with torch at several input sizes.

    A copy in eval mode and float32 is exported on the CPU by torch's dynamo exporter, at the first
    size that the model accepts, with a dynamic batch, height and width as far as the model allows.

    Parameters
    ----------
    model
        A module that returns one tensor; it is not changed.
    input_sizes
        A list of shapes (N, C, H, W), or one.
    seed
        Of the inputs, which are standard normal numbers.

    Returns
    -------
    OnnxRoundTrip
        Also if ONNX is not installed, or the export fails: it says so then.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1 or above `vgglab.arguments.MAX_SIDE`, or the model holds no numbers.
    """
    model = check_model_with_numbers("model", model)
    sizes = check_sizes("input_sizes", input_sizes)
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        return OnnxRoundTrip(
            not_checked=f"It needs {', '.join(missing)}: pip install 'vgglab[onnx]'"
        )
    if number_type(model) is not torch.float32:
        model = real_copy(model).float()
    inputs = [random_input(size, seed) for size in sizes]
    expected = run_and_measure(model, inputs)
    accepted = [x.shape for x, y in zip(inputs, expected, strict=True) if isinstance(y, Answer)]
    if not accepted:
        return OnnxRoundTrip(not_checked="The model runs at none of these sizes.")
    batch, *rest = accepted[0]
    seen = (max(batch, 2), *rest)  # the exporter takes a batch of one for a constant
    try:
        session = _session(model, seen)
    except Exception as error:
        return OnnxRoundTrip(not_checked=f"The export failed. {one_line(error)}")
    rows = [_row(session, x, answer) for x, answer in zip(inputs, expected, strict=True)]
    return OnnxRoundTrip(tuple(rows), exported_at=seen)


def _session(model: nn.Module, input_size: Shape) -> Any:
    """Return onnxruntime's session of the model's graph."""
    import onnxruntime

    axes = [axis for axis, size in enumerate(input_size) if axis != 1 and size > 1]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised too
    with (
        warnings.catch_warnings(),
        caller_undisturbed(),
        torch.inference_mode(False),
        TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            real_copy(model).eval().cpu(),
            (random_input(input_size).float(),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(dict.fromkeys(axes, torch.export.Dim.AUTO),),
        )
        assert program is not None  # None comes from the older exporter
        path = Path(folder, "model.onnx")
        program.save(path, external_data=True)  # a single file ends at 2 GiB
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _row(session: Any, x: Tensor, expected: Answer | Failed) -> OnnxRow:
    size = tuple(x.shape)
    if isinstance(expected, Failed):
        return OnnxRow(size, error=f"torch: {expected.error}")
    try:
        (output,) = session.run(None, {session.get_inputs()[0].name: x.float().numpy()})
    except Exception as error:
        return OnnxRow(size, rounding=expected.rounding, error=f"onnxruntime: {one_line(error)}")
    if output.shape != expected.own.shape:
        shapes = f"The graph's output is {output.shape}, torch's {tuple(expected.own.shape)}."
        return OnnxRow(size, math.inf, expected.rounding, shapes)
    distance = relative_l2(torch.from_numpy(output), expected.own)
    return OnnxRow(size, distance, expected.rounding)
