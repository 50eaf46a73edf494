"""Which line of somebody's own source to change."""

import ast
import inspect
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from torch import nn

from vgglab.diagnose.problems import EACH_FRAME
from vgglab.diagnose.scene import Problem
from vgglab.tracing import Trace


class Call(NamedTuple):
    """The call in somebody's source that builds a module."""

    file: str
    number: int
    code: str


def advice(model: nn.Module, trace: Trace, problem: Problem, pools: bool = True) -> str:
    """Return what to change in the source, in a sentence; empty if nothing can be named.

    Parameters
    ----------
    model
        The network.
    trace
        Its trace, with the failure.
    problem
        What is wrong.
    pools
        Whether a pooling before the flatten gives the map that is wanted: not where the channels
        come last.
    """
    failure = trace.failure
    assert failure is not None
    where = ""
    if failure.line is not None:
        where = f"{_file(failure.line.file)} line {failure.line.number}: "
    if problem.kind == "missing-flatten" and failure.path:
        name = failure.path.rpartition(".")[2]
        name = name if name.isidentifier() else "the layer"
        return f"{where}flatten before {name}, x = x.flatten(1); no weight changes."
    if problem.kind == "batch-mixed":
        return f"{where}keep the batch: x.flatten(1), x.view(x.size(0), -1) or nn.Flatten()."
    new = _new_call(model, failure.path, problem)
    if new is None:
        said = _AT_THE_LINE.get(problem.kind)
        code = failure.line.code if failure.line else ""
        return f"{where}`{code}`: {said}" if said and code else ""
    found = constructor(model, failure.path)
    layer = _module(model, failure.path)
    assert layer is not None
    old = found.code if found else _written(layer)
    place = f"where {failure.path} is built, "
    if found is not None:
        place = f"{_file(found.file)} line {found.number}: "
    text = f"{place}`{old}` → `{new}`"
    lost = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Linear) or lost is None:
        return f"{text}."
    text += f"; its {lost.numel():,} trained weights are lost."
    if pools and problem.wanted is not None and len(problem.wanted) > 1:
        sides = problem.wanted[1:]
        kind = f"adaptive_avg_pool{len(sides)}d"
        text += f" F.{kind}(x, {sides}) before the flatten keeps them."
    return text


def _file(name: str) -> str:
    return Path(name).name


_AT_THE_LINE = {
    "padding-mismatch": "bring what meets here to one size, F.interpolate(x, size=y.shape[2:]) or "
    "F.pad; no weight changes.",
    "channel-mismatch": "what comes here must have the channels of the weights.",
    "input-too-small": "no window fits any more; leave out a halving before it, or give larger "
    "inputs.",
    "input-size": "the size of the input is written down here; take it from x.shape.",
    "wrong-in-features": "what meets here must have one number of features.",
    "not-contiguous": "write x.reshape(...) or x.flatten(1) for the view; no weight changes.",
}
"""What to do at the line at which a forward stopped, where no module is to be built anew."""


def _module(model: nn.Module, path: str) -> nn.Module | None:
    return dict(model.named_modules()).get(path)


def _options(layer: nn.RNNBase) -> str:
    plain = {"num_layers": 1, "batch_first": False, "bidirectional": False}
    return "".join(
        f", {name}={value}"
        for name, default in plain.items()
        if (value := getattr(layer, name)) != default
    )


def _written(layer: nn.Module) -> str:
    if isinstance(layer, nn.Linear):
        bias = "" if layer.bias is not None else ", bias=False"
        return f"nn.Linear({layer.in_features}, {layer.out_features}{bias})"
    return f"nn.{type(layer).__name__}({layer.extra_repr()})"


def _new_call(model: nn.Module, path: str, problem: Problem) -> str | None:
    """Return the call that builds a layer for what it gets."""
    if not path or not isinstance(problem.got, int):
        return None
    layer = _module(model, path)
    if problem.kind == "wrong-dimensions":
        return None if problem.instead == EACH_FRAME else problem.instead
    counted = problem.kind in ("input-size", "wrong-in-features")
    if counted and type(layer) is nn.Linear and isinstance(problem.expected, int):
        bias = "" if layer.bias is not None else ", bias=False"
        return f"nn.Linear({problem.got}, {layer.out_features}{bias})"
    if counted and isinstance(layer, nn.RNNBase) and problem.got != layer.input_size:
        return f"nn.{type(layer).__name__}({problem.got}, {layer.hidden_size}{_options(layer)})"
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    of_channels = counted or problem.kind == "channel-mismatch"
    if of_channels and type(layer) in kinds and isinstance(layer, kinds):
        old, new = (f"({n}, {layer.out_channels}," for n in (layer.in_channels, problem.got))
        return _written(layer).replace(old, new, 1)
    return None


def constructor(model: nn.Module, path: str) -> Call | None:
    """Return where the source of a class of the network builds one of its modules.

    Parameters
    ----------
    model
        The network.
    path
        Path of the module.
    """
    names = path.split(".")
    for depth in range(len(names) - 1, -1, -1):
        owner = _module(model, ".".join(names[:depth]))
        for kind in type(owner).__mro__:
            if "__init__" not in vars(kind) or kind.__module__.startswith("torch."):
                continue
            found = _built_in(kind, names[depth:])
            if found is not None:
                return found
    return None


def _built_in(kind: type, names: list[str]) -> Call | None:
    try:
        lines, start = inspect.getsourcelines(kind.__init__)  # type: ignore[misc]
        file = inspect.getsourcefile(kind) or ""
        source = dedent("".join(lines))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return None
    call = None
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            pairs = [(target, node.value)]  # type: ignore[attr-defined]
            if isinstance(target, ast.Tuple) and isinstance(pairs[0][1], ast.Tuple):
                pairs = list(zip(target.elts, pairs[0][1].elts, strict=False))
            for name, value in pairs:
                if isinstance(name, ast.Attribute) and name.attr == names[0]:
                    call = value  # the last assignment counts
    for place in names[1:]:
        items = call.args if isinstance(call, ast.Call) else []
        plain = place.isdigit() and not any(isinstance(item, ast.Starred) for item in items)
        call = items[int(place)] if plain and int(place) < len(items) else None
    if not isinstance(call, ast.Call):
        return None
    return Call(file, start + call.lineno - 1, ast.get_source_segment(source, call) or "")
