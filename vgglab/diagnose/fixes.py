"""Repairs for a network and an input size: each a line of code, tried before it is offered."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

from vgglab.convert.chain import shared_chains
from vgglab.convert.single_layers import KEPT, last_layer
from vgglab.diagnose.candidates import Candidate, Case, Same, candidates
from vgglab.diagnose.warnings import cut_images
from vgglab.summary import Summary, summary
from vgglab.tracing import Shape, Trace, random_state_kept
from vgglab.tracing.copies import meta_copy
from vgglab.tracing.operations import Kind

IMPORTS = """\
import copy

import torch
import vgglab
from torch import nn
from torchvision import ops
from torchvision.transforms import v2
"""
"""What the lines of repairs need."""


@dataclass(frozen=True)
class Fix:
    """One way to make a network take an input.

    Attributes
    ----------
    name
        A short name, such as ``"fold"``.
    line
        The line of code that does it. It reads ``model`` and needs `vgglab.diagnose.fixes.IMPORTS`.
    same
        Where the repaired network computes what the network computed: at ``"all old sizes"``, those
        at which it ran; at ``"one old size"``, which the note names, and another function at all
        others; at ``"this size"`` alone, if the network ran there, or else what the repair named in
        the note computes there; or ``"no"``: then it has fresh weights and must be trained. (Where
        a fixed average pooling ignored a border of the map, which is a warning, the repaired
        network reads it.)
    note
        What it does to the network, in a sentence.
    model
        The network that was diagnosed.
    trace
        Its trace at the input for which it was diagnosed.
    without_data
        A copy of it on the meta device, if there is one: repairs are tried on it.
    """

    name: str
    line: str
    same: Same
    note: str
    model: nn.Module = field(repr=False)
    trace: Trace = field(repr=False)
    without_data: nn.Module | None = field(default=None, repr=False, compare=False)

    def apply(self) -> nn.Module:
        """Return the repaired network; the network that was diagnosed stays as it is."""
        return _run(self.line, self.model)

    @property
    def input_sizes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs for which the network was diagnosed."""
        return self.trace.input_sizes

    @property
    def parameters(self) -> int:
        """Number of parameters of the repaired network."""
        return self._summary.total_params

    @property
    def mult_adds(self) -> int:
        """Multiplications with an addition of the repaired network, for the input."""
        return self._summary.mult_adds

    @property
    def weights_kept(self) -> int:
        """How many of the network's weights are in use, as they are or folded into others."""
        old = self.trace.parameters
        fresh = {
            f"{path}.{name}".lstrip(".")
            for path, module in self.repaired_without_data.named_modules()
            if getattr(module, "is_fresh", False)
            for name, _ in module.named_parameters(recurse=False)
        }
        called = {call.path for call in self.trace_after.calls}
        names = [
            name.replace(f".{KEPT}.", ".")
            for name, _ in self.repaired_without_data.named_parameters()
            if f".{KEPT}." not in name or name.rpartition(".")[0] in called
        ]
        there = [f".{name}" for name in names if name not in fresh]
        return sum(
            parameter.count
            for name, parameter in old.items()
            if any(other.endswith(f".{name}") for other in there)
        )

    @property
    def share_kept(self) -> float:
        """What part of the network's weights that is, from 0 to 1."""
        total = sum(parameter.count for parameter in self.trace.parameters.values())
        return self.weights_kept / total if total else 1.0

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of what the repaired network returns for the input."""
        return self.trace_after.output_shapes

    @property
    def works(self) -> bool:
        """Whether the repaired network takes the input: known from a trace without data."""
        return self.trace_after.failure is None and not any(cut_images(self.trace_after))

    @property
    def trace_after(self) -> Trace:
        """The trace of the repaired network at the input."""
        return self._summary.trace

    @cached_property
    def repaired_without_data(self) -> nn.Module:
        """The repaired network, on the meta device."""
        without_data = self.without_data
        if without_data is None:
            without_data = meta_copy(self.model, hooks=True)
        with random_state_kept():  # nobody asked for the new layers that a line may draw
            return _run(self.line, without_data)

    @cached_property
    def _summary(self) -> Summary:
        return summary(self.repaired_without_data, self.input_sizes, **self._call_options)

    @property
    def _call_options(self) -> dict[str, Any]:
        options = self.trace.call_options
        return {name: options[name] for name in ("dtypes", "kwargs") if name in options}


def _run(line: str, model: nn.Module) -> nn.Module:
    # What people paste is what runs, so the two cannot differ. torchvision is loaded only here.
    names: dict[str, Any] = {"model": model}
    exec(IMPORTS + line, names)
    repaired: nn.Module = names["model"]
    return repaired


def fixes_for(case: Case) -> list[Fix]:
    """Return the repairs that work, those that keep the network's function first."""
    return tried(case.model, case.trace, candidates(case))


def tried(model: nn.Module, trace: Trace, candidates: Iterable[Candidate]) -> list[Fix]:
    """Return the repairs that work: each is tried on a copy of the network without data."""
    found: list[Fix] = []
    without_data = meta_copy(model, hooks=True)
    with shared_chains(are_traced=True):
        for candidate in candidates:
            if any(candidate.name == fix.name or candidate.line == fix.line for fix in found):
                continue
            further: Candidate | None = candidate
            while further is not None:
                name, line, same, note, again = further
                fix = Fix(name, line, same, note, model, trace, without_data)
                try:
                    works = fix.works
                except ValueError:  # the conversions say so if they do not apply
                    break
                if works:
                    found.append(fix)
                    break
                further = again(fix.trace_after) if again else None
    return sorted(found, key=lambda fix: fix.same == "no")


def other_classes(model: nn.Module, trace: Trace, num_classes: int) -> list[Fix]:
    """Return the repair that gives a network another number of classes, if it has a last layer."""
    source = trace.output_sources[0]
    while source >= 0 and trace.ops[source].kind not in (Kind.LINEAR, Kind.CONVOLUTION):
        source = trace.ops[source].sources[0] if trace.ops[source].sources else -1
    path = trace.ops[source].path if source >= 0 else ""
    layer = "" if path == last_layer(model) else f", {path!r}"
    candidate = Candidate(
        "classes",
        f"model = vgglab.with_num_classes(model, {num_classes}{layer})",
        "no",
        f"A fresh {path} for {num_classes} classes, which must be trained; all others stay.",
    )
    found = tried(model, trace, [candidate])
    return [fix for fix in found if fix.output_shapes[0][1:2] == (num_classes,)]
