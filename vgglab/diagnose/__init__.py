"""Why a network does not take an input, and what can be done about it.

`diagnose` runs nothing: it reads one trace (`vgglab.trace`). If the forward stops, `problems` says
why, from the shapes. If it ends, `warnings` says what should not be trusted all the same. `fixes`
offers repairs, each tried without data before it is offered.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations, pairwise
from math import prod
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import nn

from vgglab.arguments import check_sizes
from vgglab.compare.reference import Failed, random_input, relative_l2, run_copies
from vgglab.diagnose.candidates import (
    Candidate,
    Case,
    channels_first,
    in_channels,
    other_layout,
    projected,
)
from vgglab.diagnose.fixes import Fix, fixes_for, other_classes, tried
from vgglab.diagnose.problems import find_problem
from vgglab.diagnose.source import advice, layer_to_change
from vgglab.diagnose.warnings import (
    Target,
    classes_wanted,
    find_warnings,
    mixed_rows,
    sizes_in_doubt,
)
from vgglab.report import Remark, Report
from vgglab.tracing import InputSize, Shape, Trace, trace
from vgglab.valid_sizes import Search, search
from vgglab.valid_sizes.intervals import Interval, ValidSizes
from vgglab.valid_sizes.layouts import Map
from vgglab.valid_sizes.propagation import Propagation, propagate
from vgglab.valid_sizes.retraces import with_second

__all__ = ["Diagnosis", "Fix", "Interval", "ValidSizes", "diagnose"]


class Diagnosis(Report):
    """What `diagnose` found; printed it is a report, in a notebook too.

    Attributes
    ----------
    trace
        The trace that it reads.
    """

    def __init__(self, model: nn.Module, trace: Trace, target: Target | None = None) -> None:
        self.trace = trace
        self._model = model
        self._target = target
        self._propagation = with_second(model, trace, propagate(trace))
        self._problem = (
            find_problem(trace, self._propagation) if trace.failure is not None else None
        )

    @property
    def ok(self) -> bool:
        """Whether the forward ends."""
        return self._problem is None

    @property
    def kind(self) -> str | None:
        """Kind of the problem, as in `vgglab.explain_error`; ``None`` if there is none.

        A forward that ends and mixes the images of a batch is ``"batch-mixed"``, and one with
        scores for other classes than the target has is ``"num-classes"``.
        """
        if self._problem is None:
            if any(mixed_rows(self.trace, self._propagation)):
                return "batch-mixed"
            return "num-classes" if self._classes is not None else None
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
            runs = bool(self._problem.of_all_sizes) and self._runs_at_other_sizes
            return " ".join([self._problem.explained(runs), *self._further])
        shapes = ", ".join(map(str, self.trace.output_shapes))
        told = _of_output(self.trace, self._propagation)
        return f"The forward ends and returns {shapes or 'no tensor'}.{told}"

    @property
    def _runs_at_other_sizes(self) -> bool:
        return self._rearranged is None and bool(self.valid_sizes)

    @property
    def _further(self) -> list[str]:
        """What comes after the problem, once it is mended."""
        problem = self._problem
        assert problem is not None
        if self._rearranged is not None:
            then = self._rearranged[1]
            if then.ok and then.kind is None:
                return []
            return [f"And then: {then.warnings[0] if then.ok else then.explanation}"]
        stops = self._search.stops
        if problem.kind == "input-too-small":
            found = [_said(stop, self._runs_at_other_sizes) for stop in stops]
            return [text for text in found if text]
        if problem.kind == "input-size" and not self.valid_sizes and stops:
            size = _spatial(stops[-1])
            return [f"Another size alone does not help: at {size}, {_said(stops[-1], False)}"]
        if problem.kind == "padding-mismatch" and self.valid_sizes:
            return [_multiples(self.valid_sizes, self._propagation.given)]
        return []

    @property
    def advice(self) -> str:
        """What to change in the source, with file and line where they are known; may be empty."""
        if self._problem is None or self.trace.failure is None:
            return ""
        if self._rearranged is not None and self._rearranged[0].name != "channels":
            return ""  # the input is to change, no layer
        pools = channels_first(self.trace, self._propagation)
        found = advice(self._model, self.trace, self._problem, pools)
        if found or self.valid_sizes:
            return found
        return layer_to_change(self._model, self.trace, self._problem)

    @cached_property
    def _search(self) -> Search:
        return search(self._model, self.trace, self._propagation)

    @cached_property
    def valid_sizes(self) -> ValidSizes:
        """Input sizes that the network takes, for each axis as intervals."""
        if self._rearranged is not None:
            return self._rearranged[1].valid_sizes
        return self._search.sizes

    @property
    def _mended(self) -> "Diagnosis | None":
        """The diagnosis of the network after its first repair, where it takes no input as it is."""
        kinds = ("missing-flatten", "batch-mixed", "batch-too-small", "wrong-dimensions")
        if self._problem is None or self._problem.kind not in kinds or self.valid_sizes:
            return None
        whole = (fix for fix in self.fixes if fix.same == "all old sizes" or fix.name == "layer")
        kept = next(whole, None)
        return None if kept is None else Diagnosis(kept.repaired_without_data, kept.trace_after)

    @cached_property
    def warnings(self) -> list[str]:
        """Things that run and should not be trusted, a sentence each."""
        return find_warnings(self._model, self.trace, self._propagation, self._target)

    @property
    def _classes(self) -> int | None:
        """How many classes the target has, if the network has scores for another number."""
        return classes_wanted(self.trace, self._target) if self._target else None

    @cached_property
    def fixes(self) -> list[Fix]:
        """Repairs that make the network take this input, best first; empty if nothing is wrong."""
        if self.kind == "num-classes" and self._classes is not None:
            return other_classes(self._model, self.trace, self._classes)
        if self.ok and not sizes_in_doubt(self.trace, self._propagation):
            return []
        if self._rearranged is not None:
            first, then = self._rearranged
            both = [
                Candidate(fix.name, f"{fix.line}; {first.line}", fix.same, fix.note)
                for fix in then.fixes
            ]
            others: list[Candidate | None] = []
            if self._problem is not None and self._problem.kind == "channel-mismatch":
                size = self.trace.input_sizes[0]
                others = [in_channels(self._problem), projected(self._problem, size)]
            return tried(self._model, self.trace, filter(None, [first, *both, *others]))
        return fixes_for(
            Case(self._model, self.trace, self._propagation, self._problem, self._search.sizes)
        )

    @cached_property
    def _rearranged(self) -> tuple[Candidate, "Diagnosis"] | None:
        """What rearranges the input, and the diagnosis for the input after that."""
        found = other_layout(self.trace, self._problem) if self._problem else None
        if found is None:
            return None
        candidate, size = found
        sizes = [size, *self.trace.input_sizes[1:]]
        options = self.trace.call_options
        return candidate, Diagnosis(self._model, trace(self._model, sizes, **options))

    def distances(self, seed: int = 0) -> dict[tuple[str, str], float]:
        """Return how far apart the answers of the repairs are, two by two.

        The repaired networks run for real, in eval mode, on the same random input of the size that
        was diagnosed. The distance is the L2 norm of the difference over that of the first one's
        answer; pairs whose answers have different shapes are left out.

        Parameters
        ----------
        seed
            Of the input, standard normal numbers.
        """
        x = random_input(self.trace.input_sizes[0], seed)
        answers = {}
        for fix in self.fixes:
            (answer,) = run_copies(fix.apply(), [x])
            if not isinstance(answer, Failed):
                answers[fix.name] = answer
        return {
            (a, b): relative_l2(answers[b], answers[a])
            for a, b in combinations(answers, 2)
            if answers[a].shape == answers[b].shape
        }

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
            "advice": self.advice,
            "warnings": self.warnings,
            "fixes": [
                {
                    "name": fix.name,
                    "line": fix.line,
                    "same": fix.same,
                    "weights_kept": fix.weights_kept,
                    "share_kept": fix.share_kept,
                    "note": fix.note,
                    "parameters": fix.parameters,
                    "mult_adds": fix.mult_adds,
                }
                for fix in self.fixes
            ],
        }

    def annotations(self, root: Path) -> list[str]:
        """Return the problem and the warnings as annotations of a workflow of GitHub.

        Parameters
        ----------
        root
            Folder of the repository: lines of files in it are annotated in the source.
        """
        lines = []
        if self._problem is not None:
            line = self.trace.failure and self.trace.failure.line
            file = Path(line.file) if line else None
            place = {}
            if line and file and file.is_relative_to(root):
                place = {"file": file.relative_to(root).as_posix(), "line": str(line.number)}
            text = " ".join(filter(None, [self.explanation, self.advice]))
            text += f"\nSizes that fit: {self.valid_sizes}."
            lines.append(_annotation("error", {**place, "title": f"vgglab: {self.kind}"}, text))
        title = {"title": f"vgglab: {self.trace.model_type}"}
        return [*lines, *(_annotation("warning", title, warning) for warning in self.warnings)]

    def _title(self) -> str:
        sizes = ", ".join(map(str, self.trace.input_sizes))
        return f"{self.trace.model_type}, input {sizes}: {self.kind or 'ok'}"

    def _answer(self) -> list[str]:
        after = self._mended
        told = self._rearranged[1] if self._rearranged is not None else self
        because = None if self.valid_sizes.exact else told._search.because
        return [
            self.explanation,
            *([f"In the source: {self.advice}"] if self.advice else []),
            f"Sizes that fit{' then' if self._rearranged else ''}: {self.valid_sizes}"
            f"{f'; after the repair, {after.valid_sizes}' if after else ''}."
            f"{f' What cannot be followed: {because}.' if because else ''}",
            *(f"Warning: {warning}" for warning in self.warnings),
        ]

    def _tables(self, tablefmt: str) -> list[str]:
        if not self.fixes:
            return []
        cells = [
            [
                fix.name,
                _SAME[fix.same],
                f"{fix.share_kept:.0%}",
                f"{fix.parameters:,}",
                f"{fix.mult_adds:,}",
            ]
            for fix in self.fixes
        ]
        headers = ("Repair", "The same where", "Weights kept", "Parameters", "Mult-adds")
        align = ("left", "left", "right", "right", "right")
        return [tabulate(cells, headers, tablefmt=tablefmt, colalign=align, disable_numparse=True)]

    def _remarks(self) -> list[Remark]:
        return [Remark(fix.name, fix.note, fix.line) for fix in self.fixes]

    def _sentences(self) -> list[str]:
        return []


_SAME = {
    "all old sizes": "all old sizes",
    "one old size": "one old size",
    "this size": "this size alone",
    "no": "nowhere: to be trained",
}


def _annotation(level: str, properties: Mapping[str, str], text: str) -> str:
    """Return a command of a workflow: https://docs.github.com/actions, "Workflow commands"."""
    escapes = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
    inside = escapes | str.maketrans({":": "%3A", ",": "%2C"})
    said = ",".join(f"{name}={value.translate(inside)}" for name, value in properties.items())
    return f"::{level} {said}::{text.translate(escapes)}"


def _spatial(trace: Trace) -> str:
    given = propagate(trace).given
    return "×".join(map(str, given)) + (" px" if len(given) == 2 else "")


def _said(trace: Trace, runs_elsewhere: bool) -> str:
    """Say what is wrong with a forward at another size, if something is."""
    propagation = propagate(trace)
    if trace.failure is not None:
        return find_problem(trace, propagation).explained(runs_elsewhere)
    mixed = list(mixed_rows(trace, propagation))
    return f"And then, at {_spatial(trace)}: {mixed[0]}" if mixed else ""


def _multiples(sizes: ValidSizes, given: tuple[int, ...]) -> str:
    """Say of what the sizes that fit are multiples, and which are next to the given ones."""
    texts: dict[str, list[str]] = {}
    for name, intervals, side in zip(sizes.names, sizes.axes, given, strict=True):
        firsts = [interval.first for interval in intervals]
        steps = {b - a for a, b in pairwise(firsts)}
        below = max((i.last for i in intervals if i.last and i.last < side), default=None)
        above = min((first for first in firsts if first > side), default=None)
        fits = any(i.first <= side and (i.last is None or side <= i.last) for i in intervals)
        near = "" if fits else " or ".join(str(n) for n in (below, above) if n is not None)
        if len(steps) == 1 and firsts[0] % min(steps) == 0:
            last = intervals[0].last
            more = f" (or up to {last - firsts[0]} more)" if last and last > firsts[0] else ""
            text = f"must be a multiple of {min(steps)}{more}" + (f", such as {near}" * bool(near))
        elif near:
            text = f"may be {near}"
        else:
            continue
        texts.setdefault(text, []).append(name)
    said = (f"{' and '.join(names)} {text}" for text, names in texts.items())
    return "".join(f" {text[0].upper()}{text[1:]}." for text in said).strip()


def _of_output(trace: Trace, propagation: Propagation) -> str:
    """Say how the size of a map that is returned depends on that of the input."""
    layout = (
        propagation.layouts.get(trace.output_sources[0]) if len(trace.output_sources) == 1 else None
    )
    number = len(propagation.given)
    if propagation.unsupported or not isinstance(layout, Map) or len(layout.places) != number:
        return ""
    shape = trace.output_shapes[0]
    out = tuple(shape[layout.places[axis]] for axis in range(number))
    if out == propagation.given or len(shape) != number + 2:
        return ""
    same = all(b < 2 * a and a < 2 * b for a, b in zip(propagation.given, out, strict=True))
    text = f" It is a map of {'×'.join(map(str, out))} cells"
    words = f" for each input of {'×'.join(map(str, propagation.given))}" if same else " an input"
    equal = propagation.sizes_of_output(trace.output_sources[0])
    single = propagation.sizes_with(trace.output_sources[0], (1,) * number)
    if same and equal:
        return f"{text}{words}; it is as large as the input for sizes of {equal}."
    if prod(out) > 1 and single:
        return f"{text}{words}; it is one cell for sizes of {single}."
    return ""


def diagnose(
    model: nn.Module,
    input_size: InputSize,
    *,
    dtypes: Sequence[torch.dtype] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    target: Sequence[int] | torch.Tensor | None = None,
) -> Diagnosis:
    """Say where and why a network refuses an input, which inputs it takes, and how to repair it.

    Nothing is computed and the model is not changed: see `vgglab.trace`.

    Parameters
    ----------
    model
        Any module whose main input is an image, a signal, a clip, or a batch of them.
    input_size
        Shape of the input, such as ``(1, 3, 400, 400)``, or a list of shapes for several inputs.
    dtypes, kwargs
        Types of the inputs, and what the forward is given by name: as in `vgglab.trace`.
    target
        What the loss will compare the output with: its shape, or the tensor itself, whose class
        indices are then looked at. If it does not fit, a warning says what the loss will say, and
        another number of classes is a repair.

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
    found = trace(model, input_size, dtypes=dtypes, kwargs=kwargs)
    return Diagnosis(model, found, None if target is None else _target_of(target))


def _target_of(target: Sequence[int] | torch.Tensor) -> Target:
    if not isinstance(target, torch.Tensor):
        (shape,) = check_sizes("target", target)
        return Target(shape)
    is_labels = not target.is_floating_point() and not target.is_meta and target.numel() > 0
    return Target(tuple(target.shape), int(target.max()) if is_labels else None)
