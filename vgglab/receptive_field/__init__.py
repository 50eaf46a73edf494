"""Receptive fields, exactly: which pixels of the image a cell of a map can depend on.

They are read off a trace, so no data is moved and nothing is computed. Along height and along width
each cell of each map gets the first and the last pixel that it sees; operations combine those of
the cells that they read. For a chain of windows this is the recurrence of A. Araujo, W. Norris and
J. Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
https://distill.pub/2019/computing-receptive-fields/, equations 1 and 2; cell by cell it also holds
where fields differ by more than a shift: at the border, after adaptive pooling, in branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from tabulate import tabulate
from torch import nn

from vgglab.arguments import check_integer
from vgglab.receptive_field.axis import Axis, Pattern, image_axis
from vgglab.receptive_field.field_rules import Field, pass_on
from vgglab.tracing import InputSize, Op, Trace, trace

__all__ = ["Box", "ReceptiveField", "receptive_field", "receptive_fields"]


class Box(NamedTuple):
    """Rows and columns of an image, the ends not included: ``image[top:bottom, left:right]``."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What the cells of a map see of the image.

    Attributes
    ----------
    path
        Module that made the map.
    operation
        torch's name of the operation.
    index
        Its place among the operations of the trace.
    map_size
        (height, width) of the map in cells; (1, 1) if the output has neither.
    exactness
        ``"exact"``; ``"bound"``, if a cell may see less than this; ``"unavailable"``.
    why
        Why it is not exact; ``""`` if it is.
    alignment
        Where branches met whose fields do not lie around the same pixels, or have other strides;
        ``""`` if none did. A box then holds what all of them see.
    """

    path: str
    operation: str
    index: int
    map_size: tuple[int, int]
    exactness: str
    why: str
    alignment: str
    _axes: tuple[Axis, Axis] | None

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels of what a cell sees, as if the image had no border.

        ``None`` if that differs from cell to cell, or is unavailable.
        """
        patterns = self._patterns()
        return patterns and (patterns[0].size, patterns[1].size)

    @property
    def stride(self) -> tuple[int, int] | None:
        """Pixels from one cell to the next; ``None`` as in `size`."""
        patterns = self._patterns()
        return patterns and (patterns[0].stride, patterns[1].stride)

    @property
    def padding(self) -> tuple[int, int] | None:
        """Pixels by which cell (0, 0) reaches beyond the top and the left; ``None`` as in `size`.

        Negative if the first pixels of the image are not seen.
        """
        patterns = self._patterns()
        return patterns and (-patterns[0].start, -patterns[1].start)

    @property
    def centre(self) -> tuple[float, float] | None:
        """Row and column of the middle of what cell (0, 0) sees; ``None`` as in `size`.

        Pixel k lies at k; it may be outside of the image.
        """
        patterns = self._patterns()
        return patterns and (patterns[0].centre, patterns[1].centre)

    @property
    def largest(self) -> tuple[int, int] | None:
        """Height and width of the largest box within the image; ``None`` if unavailable."""
        if self._axes is None:
            return None
        height, width = (int((axis.last - axis.first).max()) + 1 for axis in self._axes)
        return max(height, 0), max(width, 0)

    def box(self, i: int, j: int, *, clipped: bool = True) -> Box:
        """Return the smallest box that holds all pixels which cell (i, j) depends on.

        Not all in it need to be: dilation leaves holes, and two branches may see a cross.

        Parameters
        ----------
        i, j
            Row and column of the map, from 0.
        clipped
            Only pixels of the image, which is exact. Otherwise as if the image went on beyond its
            border: what `size`, `stride` and `padding` say.

        Raises
        ------
        ValueError
            If there is no such cell, if the field is unavailable, or, without `clipped`, if fields
            differ by more than a shift.
        """
        if self._axes is None:
            raise ValueError(f"the receptive field of {self.path!r} is unavailable: {self.why}")
        for name, place, size in zip("ij", (i, j), self.map_size, strict=True):
            if check_integer(name, place, minimum=0) >= size:
                raise ValueError(f"{name} must be below {size}, the map's size; got {place}")
        if clipped:
            ends = [
                (int(axis.first[k % len(axis)]), int(axis.last[k % len(axis)]) + 1)
                for axis, k in zip(self._axes, (i, j), strict=True)
            ]
            if any(first >= end for first, end in ends):
                return Box(0, 0, 0, 0)  # it sees padding only
        else:
            patterns = self._patterns()
            if patterns is None:
                raise ValueError(
                    f"clipped must be True for {self.path!r}, for its fields differ by more than a "
                    "shift; got False"
                )
            ends = [
                (p.start + p.stride * k, p.start + p.stride * k + p.size)
                for p, k in zip(patterns, (i, j), strict=True)
            ]
        (top, bottom), (left, right) = ends
        return Box(top, left, bottom, right)

    def to_dict(self) -> dict[str, Any]:
        """Return all that is known but the boxes as plain numbers, strings and lists."""
        shown = ("map_size", "size", "stride", "padding", "centre", "largest")
        pairs = {name: getattr(self, name) for name in shown}
        return {
            "path": self.path,
            "operation": self.operation,
            **{name: pair and list(pair) for name, pair in pairs.items()},
            "exactness": self.exactness,
            "why": self.why,
            "alignment": self.alignment,
        }

    def __str__(self) -> str:
        place = f"{self.path or 'the model'} ({self.operation}), {_by(self.map_size)}"
        if self.largest is None:
            return f"{place}: {self.exactness}: {self.why}"
        if self.size is None or self.stride is None or self.padding is None:
            one = self.map_size == (1, 1)
            seen = f"{'sees' if one else 'cells see up to'} {_by(self.largest)}"
        else:
            seen = f"size {_by(self.size)}, stride {_by(self.stride)}, padding {_by(self.padding)}"
        notes = "".join(f"; {note}" for note in (self.why, self.alignment) if note)
        return f"{place}: {seen}, {self.exactness}{notes}"

    def _patterns(self) -> tuple[Pattern, Pattern] | None:
        if self._axes is None:
            return None
        height, width = (axis.pattern for axis in self._axes)
        return None if height is None or width is None else (height, width)


def receptive_field(
    model: nn.Module, input_size: InputSize, layer: str | None = None
) -> ReceptiveField:
    """Return what the cells of a layer's output see of the image.

    Parameters
    ----------
    model
        Any network that can be traced.
    input_size
        Shape of the input, (N, C, H, W), or a list of shapes; the image is the first input.
    layer
        Path of a module, such as ``"features.28"``; its last call counts. By default the last map
        that has more than one cell.

    Returns
    -------
    ReceptiveField
        In eval mode, whatever mode the model is in: in training, BatchNorm sees the whole batch.

    Raises
    ------
    ValueError
        If there is no such layer, if it runs no operation, or if the forward stops before its
        output.
    """
    traced = trace(model, input_size, training=False, watch_sizes=False)
    fields = fields_of(traced)
    if layer is None:
        maps = [field for field in fields if field.map_size > (1, 1)] or fields
        if not maps:
            raise ValueError(f"model must run an operation; {traced.model_type} runs none")
        return maps[-1]
    if layer not in traced.modules:
        near = (
            get_close_matches(layer, traced.modules, n=3, cutoff=0.4) or list(traced.modules)[1:4]
        )
        raise ValueError(f"layer must be a module of the model, such as {near}; got {layer!r}")
    inside = [field for field in fields if _is_in(field.path, layer)]
    stopped = traced.failure
    if stopped is not None and (not inside or _is_in(stopped.path, layer)):
        raise ValueError(
            f"layer must be one that the forward completes; it stops before the output of "
            f"{layer!r}, in {stopped.path!r}: {stopped.message}"
        )
    if not inside:
        raise ValueError(f"layer must be one that runs an operation; {layer!r} runs none")
    return inside[-1]


def receptive_fields(model: nn.Module, input_size: InputSize) -> list[ReceptiveField]:
    """Return the receptive field of each operation's output.

    Parameters
    ----------
    model
        Any module whose first input is a batch of images; it is traced in eval mode.
    input_size
        Shape of the input, such as ``(1, 3, 224, 224)``.

    Returns
    -------
    list of ReceptiveField
        In the order of the operations, up to the one that failed if one did.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If a size is below 1.
    """
    return fields_of(trace(model, input_size, training=False, watch_sizes=False))


def fields_table(fields: Sequence[ReceptiveField], *, whole: bool = False) -> str:
    """Return rows as a table in text, with a line below for each that needs one.

    Without `whole`, a row that sees what the row above it sees is left out.
    """
    shown: list[ReceptiveField] = []
    for field in fields:
        if whole or not shown or _seen(field) != _seen(shown[-1]):
            shown.append(field)
    cells = [
        [
            field.path or "(model)",
            field.operation,
            _by(field.map_size),
            *(
                "-" if pair is None else _by(pair)
                for pair in (field.size, field.stride, field.padding, field.centre, field.largest)
            ),
            field.exactness,
        ]
        for field in shown
    ]
    headers = ["Layer", "Operation", "Map", "Size", "Stride", "Padding", "Centre", "In image", ""]
    table = tabulate(cells, headers, "simple", disable_numparse=True)
    notes = {
        note: f"{field.path or '(model)'}: {note}"
        for field in reversed(shown)
        for note in (field.why, field.alignment)
        if note
    }
    return "\n\n".join(filter(None, [table, "\n".join(reversed(notes.values()))]))


def fields_of(traced: Trace, *, as_in_eval: bool = False) -> list[ReceptiveField]:
    """Return a row for each operation of a trace.

    With `as_in_eval` a BatchNorm that looked at the batch is taken as one that does not.
    """
    if traced.fallback is not None:
        return [
            _row(op, None, f"the model needs the values of its tensors: {traced.fallback}")
            for op in traced.ops
        ]
    size = traced.input_sizes[0]
    if len(size) != 4:
        reason = f"the first input has the shape {size}, and an image has (N, C, H, W)"
        return [_row(op, None, reason) for op in traced.ops]
    height = image_axis(size[2])
    width = height if size[2] == size[3] else image_axis(size[3])
    seen: dict[int, Field] = {-1: Field((height, width))}
    rows = []
    for op in traced.ops:
        fields = [seen[source] for source in op.sources if source in seen]
        if as_in_eval and op.options.get("training"):
            op = replace(op, options={**op.options, "training": False})
        if fields:
            seen[op.index] = field = pass_on(op, fields)
            rows.append(_row(op, field, field.bound))
        else:
            rows.append(_row(op, None, "it does not depend on the image"))
    return rows


def _row(op: Op, field: Field | None, why: str) -> ReceptiveField:
    if field is None:
        return ReceptiveField(op.path, op.name, op.index, (1, 1), "unavailable", why, "", None)
    size = (1, 1)
    if field.dims is not None and field.laid_out is None:
        shape = op.output_shapes[0]
        size = shape[field.dims[0]], shape[field.dims[1]]
    exactness = "bound" if why else "exact"
    return ReceptiveField(
        op.path, op.name, op.index, size, exactness, why, field.alignment, field.axes
    )


def _seen(field: ReceptiveField) -> tuple[object, ...]:
    parts = (field.map_size, field.size, field.stride, field.padding, field.largest, field.why)
    return (*parts, field.alignment)


def _by(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g}x{pair[1]:g}"


def _is_in(path: str, layer: str) -> bool:
    return not layer or f"{path}.".startswith(f"{layer}.")
