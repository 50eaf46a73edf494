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
    """The call in somebody's source that builds a module.

    Attributes
    ----------
    file, number, code
        Where it is written, and how.
    passes_on
        Whether its first argument is one of the constructor that it is written in.
    replaced
        An earlier call whose module it replaced, under the same name.
    """

    file: str
    number: int
    code: str
    passes_on: bool = False
    replaced: "Call | None" = None

    @property
    def place(self) -> str:
        return f"{_file(self.file)} line {self.number}"


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
        if "unpool" in (failure.operation or ""):
            said = "give it output_size=, the size before the pooling; no weight changes."
        code = failure.line.code if failure.line else ""
        return f"{where}`{code}`: {said}" if said and code else ""
    found = constructor(model, failure.path)
    layer = _module(model, failure.path)
    assert layer is not None
    if found is not None and found.replaced is not None:
        name, before = failure.path.rpartition(".")[2], found.replaced
        return (
            f"{found.place} builds {name} a second time, `{found.code}`, and so replaces "
            f"`{before.code}` of line {before.number}: give one of them another name."
        )
    owner = failure.path.rpartition(".")[0]
    while found is not None and found.passes_on and owner:
        built, builder = type(_module(model, owner)), constructor(model, owner)
        is_own = not built.__module__.startswith("torch.")
        if is_own and builder is not None and builder.code.startswith(f"{built.__name__}("):
            return (
                f"{builder.place}: `{builder.code}` builds it for {problem.expected}; give it "
                f"what makes {failure.path} take {problem.got}."
            )
        owner = owner.rpartition(".")[0]
    old = found.code if found else _written(layer)
    place = f"where {failure.path} is built, "
    if found is not None:
        place = f"{found.place}: "
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
        builder = vars(kind)["__init__"]
        lines, start = inspect.getsourcelines(builder)
        file = inspect.getsourcefile(builder) or ""
        source = dedent("".join(lines))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return None
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    call = None
    for node in ast.walk(tree):
        for value in _assigned(node, names[0]):
            call = value  # the last assignment counts
    # In the branches of an if only one of several is executed.
    always = [value for node in definition.body for value in _assigned(node, names[0])]
    for place in names[1:]:
        items = call.args if isinstance(call, ast.Call) else []
        plain = place.isdigit() and not any(isinstance(item, ast.Starred) for item in items)
        call = items[int(place)] if plain and int(place) < len(items) else None
    if not isinstance(call, ast.Call):
        return None
    arguments = {argument.arg for argument in definition.args.args}
    first = call.args[0] if call.args else None

    def written(value: ast.expr) -> Call:
        code = ast.get_source_segment(source, value) or ""
        return Call(file, start + value.lineno - 1, code)

    earlier = [value for value in always[:-1] if call is always[-1] and isinstance(value, ast.Call)]
    return written(call)._replace(
        passes_on=isinstance(first, ast.Name) and first.id in arguments,
        replaced=written(earlier[-1]) if earlier else None,
    )


def _assigned(node: ast.AST, name: str) -> list[ast.expr]:
    """Return what a statement assigns to an attribute of this name."""
    found: list[ast.expr] = []
    if not isinstance(node, ast.Assign):
        return found
    for target in node.targets:
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(pairs[0][1], ast.Tuple):
            pairs = list(zip(target.elts, pairs[0][1].elts, strict=False))
        found += [v for t, v in pairs if isinstance(t, ast.Attribute) and t.attr == name]
    return found
