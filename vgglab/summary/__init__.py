"""What a model consists of and what it costs: one table from one trace."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from tabulate import tabulate
from torch import nn

from vgglab.receptive_field import ReceptiveField, fields_of
from vgglab.report import MIB, Report, count, mebibytes
from vgglab.summary.formats import torchinfo_table, torchsummary_table
from vgglab.tracing import InputSize, ModuleCall, Op, Shape, Trace, trace


@dataclass(frozen=True)
class Row:
    """A module that calls no other, or an operation outside of such a module.

    Attributes
    ----------
    path
        Path of the module.
    type
        Class of the module, or torch's name of the operation.
    output_shapes
        Shapes of the tensors that it returned; empty if there were none, or if it failed.
    receptive_field
        What a cell of its output sees of the image; ``None`` if it ran no operation, or if the
        first input is no image (N, C, H, W).
    params
        Parameters that no row above has counted.
    mult_adds
        Multiplications with an addition, by its weights; ``None`` if there is no formula for one
        of its operations.
    saved_bytes
        Bytes of its outputs that autograd keeps; ``None`` if the trace ran without autograd.
    """

    path: str
    type: str
    output_shapes: tuple[Shape, ...]
    receptive_field: ReceptiveField | None
    params: int
    mult_adds: int | None
    saved_bytes: int | None


class Summary(Report):
    """Rows and totals of a trace; printed it is a table, in a notebook too.

    Attributes
    ----------
    trace
        The trace that it reads.
    rows
        One `Row` for each module that calls no other and for each operation outside of those, in
        order of execution, up to the one that failed if one did.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.rows = _rows(trace)

    @property
    def total_params(self) -> int:
        """Parameters of the model, shared ones once."""
        return sum(parameter.count for parameter in self.trace.parameters.values())

    @property
    def trainable_params(self) -> int:
        """Those parameters that require a gradient."""
        return sum(p.count for p in self.trace.parameters.values() if p.trainable)

    @property
    def mult_adds(self) -> int:
        """Multiplications with an addition by convolution and linear weights, for the whole input.

        The convention of torchvision's ``_ops``: no biases, no normalisation, no activations.
        """
        return sum(op.mult_adds or 0 for op in self.trace.ops if op.parameters)

    @property
    def saved_bytes(self) -> int | None:
        """Bytes that autograd keeps for the backward pass, the parameters left out.

        ``None`` if the trace ran without autograd.
        """
        if self.trace.saved_input_bytes is None:
            return None
        return self.trace.saved_input_bytes + sum(op.saved_bytes or 0 for op in self.trace.ops)

    @property
    def notes(self) -> list[str]:
        """What the totals leave out, and where the forward stopped; one sentence each."""
        notes = []
        failure = self.trace.failure
        if failure is not None:
            where = f"{failure.path or 'the model'} ({failure.type})"
            notes.append(f"Stopped in {where}: {failure.error}: {failure.message}")
            if failure.operation is not None:
                shapes = ", ".join(_shape(shape) for shape in failure.input_shapes)
                notes.append(f"The operation {failure.operation} got {shapes}.")
            notes.append("Rows and mult-adds end there; the parameters are those of all layers.")
        products = sum(op.mult_adds or 0 for op in self.trace.ops if not op.parameters)
        if products:
            notes.append(
                f"Not in the total: {products:,} mult-adds of activations with each other."
            )
        unknown = sorted({op.name for op in self.trace.ops if op.mult_adds is None})
        if unknown:
            notes.append(f"No formula for the mult-adds of {', '.join(unknown)}: not in the total.")
        unread = self.total_params - sum(row.params for row in self.rows)
        if unread and failure is None:
            notes.append(f"This forward does not use {unread:,} of the parameters.")
        if self.trace.fallback is not None:
            notes.append(
                "The model needs the values of its tensors, so a copy was run for real, in eval "
                f"mode; what autograd would keep is not known. ({self.trace.fallback})"
            )
        fields = [row.receptive_field for row in self.rows if row.receptive_field is not None]
        not_exact = next((field for field in fields if field.exactness == "bound"), None)
        if not_exact is not None:
            notes.append(f"Receptive fields are bounds where {not_exact.why}.")
        return notes

    def format(self, style: str = "vgglab") -> str:
        """Return the table as text.

        Parameters
        ----------
        style
            ``"vgglab"``, or the name of a tool whose table and conventions are to be followed:
            ``"torchsummary"`` (1.5.1) or ``"torchinfo"`` (1.8.0).

        Raises
        ------
        ValueError
            If `style` is none of those.
        """
        formats: dict[str, Callable[[], str]] = {
            "vgglab": self.__str__,
            "torchsummary": lambda: torchsummary_table(self.trace),
            "torchinfo": lambda: torchinfo_table(self.trace),
        }
        if style not in formats:
            raise ValueError(f"style must be one of {', '.join(formats)}; got {style!r}")
        return formats[style]()

    def to_dict(self) -> dict[str, Any]:
        """Return totals, rows and notes as plain numbers, strings, lists and dicts."""
        return {
            "model": self.trace.model_type,
            "input_size": [list(size) for size in self.trace.input_sizes],
            "total_params": self.total_params,
            "trainable_params": self.trainable_params,
            "mult_adds": self.mult_adds,
            "saved_bytes": self.saved_bytes,
            "rows": [
                asdict(replace(row, receptive_field=None))
                | {
                    "output_shapes": [list(shape) for shape in row.output_shapes],
                    "receptive_field": row.receptive_field and row.receptive_field.to_dict(),
                }
                for row in self.rows
            ],
            "failure": None if self.trace.failure is None else self.trace.failure.message,
            "notes": self.notes,
        }

    def _title(self) -> str:
        sizes = ", ".join(_shape(size) for size in self.trace.input_sizes)
        return f"{self.trace.model_type}, input {sizes}"

    def _tables(self, tablefmt: str) -> list[str]:
        stopped = self.rows[-1] if self.trace.failure is not None else None
        cells = [
            [
                row.path or "(model)",
                row.type,
                "stopped here"
                if row is stopped
                else ", ".join(_shape(shape) for shape in row.output_shapes) or "-",
                _seen(row.receptive_field),
                f"{row.params:,}" if row.params else "-",
                "unknown" if row.mult_adds is None else count(row.mult_adds or None),
                "unknown" if row.saved_bytes is None else mebibytes(row.saved_bytes or None),
            ]
            for row in self.rows
        ]
        table = tabulate(cells, _HEADERS, tablefmt, colalign=_ALIGN, disable_numparse=True)
        return [table]

    def _sentences(self) -> list[str]:
        return [*self._totals(), *self.notes]

    def _totals(self) -> list[str]:
        weights = sum(parameter.bytes for parameter in self.trace.parameters.values())
        saved = self.saved_bytes
        return [
            f"Parameters: {self.total_params:,} ({self.trainable_params:,} trainable), "
            f"{weights / MIB:.2f} MiB",
            f"Mult-adds: {self.mult_adds:,} (convolution and linear weights, the whole input)",
            "Kept for the backward pass: "
            + ("unknown" if saved is None else f"{saved / MIB:.2f} MiB (1 MiB = 2**20 bytes)"),
        ]


def summary(
    model: nn.Module,
    input_size: InputSize,
    *,
    dtypes: Sequence[torch.dtype] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Summary:
    """Summarise a model: shapes, parameters, mult-adds and memory, without computing anything.

    The model is not changed: see `vgglab.trace`.

    Parameters
    ----------
    model
        Any module.
    input_size
        Shape of the input, such as ``(1, 3, 224, 224)``, or a list of shapes for several inputs.
    dtypes
        Types of the inputs; by default that of the model's first floating-point parameter.
    kwargs
        What else the forward is given by name.

    Returns
    -------
    Summary
        Up to the layer that failed, if one did.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1, or the number of `dtypes` is not that of the inputs.
    """
    return Summary(trace(model, input_size, dtypes=dtypes, kwargs=kwargs, watch_sizes=False))


_HEADERS = (
    *("Layer", "Type", "Output shape", "Receptive field"),
    *("Parameters", "Mult-adds", "Kept (MiB)"),
)
_ALIGN = ("left", "left", "left", "right", "right", "right", "right")


def _shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


def _seen(field: ReceptiveField | None) -> str:
    """Return height and width in pixels of what a cell sees."""
    if field is None:
        return "-"
    if field.largest is None:
        return "unknown"
    # One cell that is left sees what is in the image; a map is described as if it had no border.
    height, width = field.largest if field.size is None else field.size
    varies = field.size is None and field.map_size != (1, 1)
    prefix = "at most " if field.exactness == "bound" else "up to " if varies else ""
    return f"{prefix}{height}x{width}"


def _rows(trace: Trace) -> list[Row]:
    callers = {call.parent for call in trace.calls}
    leaves = {call.index: call for call in trace.calls if call.index not in callers}
    fields: Sequence[ReceptiveField | None] = fields_of(trace, as_in_eval=True)
    if len(trace.input_sizes[0]) != 4:
        fields = [None] * len(fields)
    ops_in: dict[int, list[Op]] = {index: [] for index in leaves}
    alone: list[Op] = []
    for op in trace.ops:
        (ops_in[op.call] if op.call in leaves else alone).append(op)

    owned = _parameters_by_owner(trace, {call.path for call in leaves.values()})
    counted: set[str] = set()

    def row(path: str, kind: str, shapes: Any, ops: list[Op], names: Sequence[str]) -> Row:
        new = {*names, *(name for op in ops for name in op.parameters)} - counted
        counted.update(new)
        products = [op.mult_adds for op in ops if op.parameters]
        return Row(
            path,
            kind,
            shapes,
            receptive_field=fields[ops[-1].index] if ops else None,
            params=sum(trace.parameters[name].count for name in new),
            mult_adds=None if None in products else sum(n or 0 for n in products),
            saved_bytes=None
            if trace.fallback is not None
            else sum(op.saved_bytes or 0 for op in ops),
        )

    # A module comes before an operation outside of it that ran when the module had begun.
    places: list[tuple[int, int, ModuleCall | Op]] = [
        *((call.first_op, 0, call) for call in leaves.values()),
        *((op.index, 1, op) for op in alone),
    ]
    rows = []
    for _, _, item in sorted(places, key=lambda place: place[:2]):
        if isinstance(item, Op):
            rows.append(row(item.path, item.name, item.output_shapes, [item], ()))
        else:
            names = (*item.parameters, *owned.get(item.path, ()))
            rows.append(row(item.path, item.type, item.output_shapes, ops_in[item.index], names))
    failure = trace.failure
    if failure is not None and not any(
        call.finished is None and call.path == failure.path for call in leaves.values()
    ):
        rows.append(row(failure.path, failure.operation or failure.type, (), [], ()))
    return rows


def _parameters_by_owner(trace: Trace, paths: set[str]) -> dict[str, list[str]]:
    """Return the parameters at or below each of `paths`, each under the nearest path."""
    owned: dict[str, list[str]] = {}
    for name in trace.parameters:
        path = name
        while path:
            path = path.rpartition(".")[0]
            if path in paths:
                owned.setdefault(path, []).append(name)
                break
    return owned
