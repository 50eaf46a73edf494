"""Why a network does not take an input, and what can be done about it.

`diagnose` runs nothing: it reads one trace (`vgglab.trace`). If the forward stops, `problems` says
why, from the shapes. If it ends, `warnings` says what should not be trusted all the same. `fixes`
offers repairs, each tried without data before it is offered.
"""

from functools import cached_property
from typing import Any

from tabulate import tabulate
from torch import nn

from vgglab.diagnose.fixes import Candidate, Case, Fix, fixes_for, other_layout, tried
from vgglab.diagnose.problems import find_problem
from vgglab.diagnose.warnings import find_warnings
from vgglab.report import Remark, Report
from vgglab.tracing import InputSize, Shape, Trace, trace
from vgglab.valid_sizes import Interval, ValidSizes, propagate, valid_sizes

__all__ = ["Diagnosis", "Fix", "Interval", "ValidSizes", "diagnose"]


class Diagnosis(Report):
    """What `diagnose` found; printed it is a report, in a notebook too.

    Attributes
    ----------
    trace
        The trace that it reads.
    """

    def __init__(self, model: nn.Module, trace: Trace) -> None:
        self.trace = trace
        self._model = model
        self._propagation = propagate(trace)
        self._problem = (
            find_problem(trace, self._propagation) if trace.failure is not None else None
        )

    @property
    def ok(self) -> bool:
        """Whether the forward ends."""
        return self._problem is None

    @property
    def kind(self) -> str | None:
        """Kind of the problem, as in `vgglab.explain_error`; ``None`` if the forward ends."""
        if self._problem is None:
            return None
        if self._problem.kind == "unknown" and self.valid_sizes:
            return "input-size"  # whatever the message means, other sizes do not raise it
        return self._problem.kind

    @property
    def layer(self) -> str | None:
        """Path of the module in which the forward stops; ``""`` is the model itself."""
        return self.trace.failure.path if self.trace.failure else None

    @property
    def operation(self) -> str | None:
        """Torch's name of the operation that refuses; ``None`` if the error came from Python."""
        return self.trace.failure.operation if self.trace.failure else None

    @property
    def expected(self) -> int | Shape | None:
        """What the operation wants: a number of features, channels or pixels, or a shape."""
        return self._problem.expected if self._problem else None

    @property
    def got(self) -> int | Shape | None:
        """What comes instead."""
        return self._problem.got if self._problem else None

    @property
    def explanation(self) -> str:
        """Why the forward stops, with the numbers as products, in a few sentences."""
        if self._problem is not None:
            return self._problem.explanation
        shapes = ", ".join(map(str, self.trace.output_shapes))
        return f"The forward ends and returns {shapes or 'no tensor'}."

    @cached_property
    def valid_sizes(self) -> ValidSizes:
        """Input sizes that the network takes, for each axis as intervals."""
        if self._rearranged is not None:
            return self._rearranged[1].valid_sizes
        return valid_sizes(self._model, self.trace)

    @cached_property
    def warnings(self) -> list[str]:
        """Things that run and should not be trusted, a sentence each."""
        return find_warnings(self.trace, self._propagation)

    @cached_property
    def fixes(self) -> list[Fix]:
        """Repairs that make the network take this input, best first; empty if nothing is wrong."""
        if self.ok and not self.warnings:
            return []
        if self._rearranged is not None:
            first, then = self._rearranged
            both = [
                Candidate(fix.name, f"{fix.line}; {first.line}", fix.same_function, fix.note)
                for fix in then.fixes
            ]
            return tried(self._model, self.trace, [first, *both])
        return fixes_for(
            Case(self._model, self.trace, self._propagation, self._problem, self.valid_sizes)
        )

    @cached_property
    def _rearranged(self) -> tuple[Candidate, "Diagnosis"] | None:
        """What rearranges the input, and the diagnosis for the input after that."""
        found = other_layout(self.trace, self._problem) if self._problem else None
        if found is None:
            return None
        candidate, size = found
        others = self.trace.input_sizes[1:]
        return candidate, Diagnosis(self._model, trace(self._model, [size, *others]))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, strings, lists and dicts."""
        return {
            "model": self.trace.model_type,
            "input_size": [list(size) for size in self.trace.input_sizes],
            "ok": self.ok,
            "kind": self.kind,
            "layer": self.layer,
            "operation": self.operation,
            "expected": self.expected,
            "got": self.got,
            "explanation": self.explanation,
            "valid_sizes": self.valid_sizes.to_dict(),
            "warnings": self.warnings,
            "fixes": [
                {
                    "name": fix.name,
                    "line": fix.line,
                    "same_function": fix.same_function,
                    "note": fix.note,
                    "parameters": fix.parameters,
                    "mult_adds": fix.mult_adds,
                }
                for fix in self.fixes
            ],
        }

    def _title(self) -> str:
        sizes = ", ".join(map(str, self.trace.input_sizes))
        return f"{self.trace.model_type}, input {sizes}: {self.kind or 'ok'}"

    def _answer(self) -> list[str]:
        return [
            self.explanation,
            f"Sizes that fit: {self.valid_sizes}.",
            *(f"Warning: {warning}" for warning in self.warnings),
        ]

    def _tables(self, tablefmt: str) -> list[str]:
        if not self.fixes:
            return []
        cells = [
            [
                fix.name,
                "same" if fix.same_function else "to be trained",
                f"{fix.parameters:,}",
                f"{fix.mult_adds:,}",
            ]
            for fix in self.fixes
        ]
        headers = ("Repair", "Function", "Parameters", "Mult-adds")
        align = ("left", "left", "right", "right")
        return [tabulate(cells, headers, tablefmt=tablefmt, colalign=align, disable_numparse=True)]

    def _remarks(self) -> list[Remark]:
        return [Remark(fix.name, fix.note, fix.line) for fix in self.fixes]

    def _sentences(self) -> list[str]:
        return []


def diagnose(model: nn.Module, input_size: InputSize) -> Diagnosis:
    """Say where and why a network refuses an input, which inputs it takes, and how to repair it.

    Nothing is computed and the model is not changed: see `vgglab.trace`.

    Parameters
    ----------
    model
        Any module whose first input is an image or a batch of images.
    input_size
        Shape of the input, such as ``(1, 3, 400, 400)``, or a list of shapes for several inputs.

    Returns
    -------
    Diagnosis
        Also if the forward ends: then with what should not be trusted about it.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1.
    """
    return Diagnosis(model, trace(model, input_size))
