"""Which line of somebody's own source to change."""

import ast
import inspect
import operator
import re
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from vgglab.diagnose.problems import EACH_FRAME
from vgglab.diagnose.scene import Problem
from vgglab.tracing import Trace
from vgglab.tracing.operations import Kind


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
    layer = _module(model, failure.path)
    if problem.kind == "batch-mixed" and isinstance(layer, nn.RNNBase | nn.MultiheadAttention):
        found = constructor(model, failure.path)
        place = f"{found.place}: `{found.code}`" if found else f"where {failure.path} is built"
        if layer.batch_first and isinstance(layer, nn.MultiheadAttention):
            return (
                f"{where}give it a query, a key and a value of one batch: query.expand(n, -1, -1)."
            )
        if layer.batch_first:
            return f"{where}make the hidden state for the batch that comes, x.size(0)."
        return (
            f"{place}: with batch_first=True it takes (batch, steps, features); no weight changes."
        )
    if problem.kind == "batch-mixed":
        return f"{where}keep the batch: x.flatten(1), x.view(x.size(0), -1) or nn.Flatten()."
    new = _new_call(model, failure.path, problem)
    if new is None:
        said = _AT_THE_LINE.get(problem.kind)
        if problem.instead and problem.kind in ("channel-mismatch", "padding-mismatch"):
            said = f"let one of the two ways pass {problem.instead}."
        if problem.kind == "input-size" and failure.op and failure.op.kind is Kind.BROADCAST:
            said = (
                "what is added here was made for inputs of one size; give that, or interpolate it."
            )
        if failure.op is None and re.search("divisible by|multiple of", failure.message):
            said = "resize or pad the images to a multiple; no weight changes."
        if failure.operation == "pixel_unshuffle":
            said = "pad to a multiple before it, or give inputs of such a size; no weight changes."
        if problem.kind == "wrong-dimensions" and isinstance(layer, nn.RNNBase):
            said = (
                "make a sequence of the map; x.permute(0, 3, 1, 2).flatten(2) takes its columns as "
                "steps of channels · height features."
            )
        if problem.kind == "unbatched-input" and not failure.path:
            said = "give it the dimension that is missing; a squeeze() must name its own."
        if problem.kind == "wrong-dimensions" and failure.operation and not failure.path:
            said = (
                "what meets here must have one number of dimensions; squeeze removes one of 1 "
                "alone, a mean over it removes any."
            )
        if "unpool" in (failure.operation or ""):
            said = "give it output_size=, the size before the pooling; no weight changes."
        code = failure.line.code if failure.line else ""
        return f"{where}`{code}`: {said}" if said and code else ""
    found = constructor(model, failure.path)
    assert layer is not None
    if found is not None and _replaced_elsewhere(found, layer, problem):
        found = None
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
    if found is not None and problem.instead is None and isinstance(problem.got, int):
        new = _edited(found.code, _class_of(layer).__name__, problem.got) or new
    place = f"where {failure.path} is built, "
    if found is not None:
        place = f"{found.place}: "
    text = f"{place}`{old}` → `{new}`"
    if not isinstance(layer, nn.Linear):
        return f"{text}."
    lost = layer.in_features * layer.out_features
    text += f"; its {lost:,} trained weights are lost."
    if pools and problem.wanted is not None and len(problem.wanted) > 1:
        sides = problem.wanted[1:]
        kind = f"adaptive_avg_pool{len(sides)}d"
        text += f" F.{kind}(x, {sides}) before the flatten keeps them."
    return text


def layer_to_change(model: nn.Module, trace: Trace, problem: Problem) -> str:
    """Return what to change about a layer that takes no size of such inputs; may be empty."""
    failure = trace.failure
    assert failure is not None
    layer = _module(model, failure.path)
    calls = [call for call in trace.calls if call.path == failure.path and call.input_shapes]
    if not failure.path or layer is None or not calls:
        return ""
    found, shape = constructor(model, failure.path), calls[-1].input_shapes[0]
    place = f"{found.place}: `{found.code}`" if found else f"where {failure.path} is built"
    if problem.kind == "input-too-small" and isinstance(problem.got, int):
        return f"{place}, give it a window of at most {problem.got} px."
    if (
        problem.kind == "wrong-dimensions"
        and isinstance(layer, _CONVOLUTIONS)
        and len(shape) == len(layer.kernel_size) + 3
        and shape[1] == layer.in_channels
    ):
        return (
            f"before {failure.path}, x.transpose(1, 2).flatten(0, 1) gives it each of the "
            f"{shape[2]} along dimension 2 by itself; no weight changes."
        )
    return ""


def _file(name: str) -> str:
    """Return the name of a file; that of a notebook's cell would tell nobody anything."""
    return "cell" if re.search(r"ipykernel_\d+|<ipython-input", name) else Path(name).name


_AT_THE_LINE = {
    "padding-mismatch": "bring what meets here to one size, F.interpolate(x, size=y.shape[2:]) or "
    "F.pad; no weight changes.",
    "channel-mismatch": "what comes here must have the channels that are wanted.",
    "input-too-small": "no window fits any more; leave out a halving before it, or give larger "
    "inputs.",
    "input-size": "the size of the input is written down here; take it from x.shape.",
    "wrong-in-features": "what meets here must have one number of features.",
    "not-contiguous": "write x.reshape(...) or x.flatten(1) for the view; no weight changes.",
}
"""What to do at the line at which a forward stopped, where no module is to be built anew."""


def _module(model: nn.Module, path: str) -> nn.Module | None:
    # A compiled network is traced as the one that was compiled.
    return dict(getattr(model, "_orig_mod", model).named_modules()).get(path)


def _class_of(layer: nn.Module) -> type:
    """Return the class of a layer; one with a parametrization has a class of its own."""
    return type(layer).__mro__[1] if is_parametrized(layer) else type(layer)


def _is_torchs(layer: nn.Module) -> bool:
    """Tell a layer of torch from one whose class is derived from it."""
    return getattr(nn, _class_of(layer).__name__, None) is _class_of(layer)


_FIRST = ("in_features", "in_channels", "input_size", "num_features", "embed_dim")
"""Names of the first argument of torch's layers."""


def _first_argument(code: str, name: str) -> ast.expr | None:
    """Return the first argument of the one call of this name in a piece of code."""
    try:
        tree = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError):
        return None
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name
    ]
    if len(calls) != 1:
        return None
    named = [k.value for k in calls[0].keywords if k.arg in _FIRST]
    first = next(iter([*calls[0].args, *named]), None)
    return None if isinstance(first, ast.Starred) else first


def _edited(code: str, name: str, number: int) -> str | None:
    """Return a call of a layer with another first argument, all else as it is written."""
    first = _first_argument(code, name)
    if first is None:
        return None
    assert first.end_lineno is not None
    assert first.end_col_offset is not None
    lines = [line.encode() for line in code.splitlines(keepends=True)]  # columns count bytes
    start = sum(map(len, lines[: first.lineno - 1])) + first.col_offset
    end = sum(map(len, lines[: first.end_lineno - 1])) + first.end_col_offset
    text = b"".join(lines)
    return (text[:start] + str(number).encode() + text[end:]).decode()


def _replaced_elsewhere(found: Call, layer: nn.Module, problem: Problem) -> bool:
    """Tell a call that builds a layer for another number than the one that is there."""
    first = _first_argument(found.code, _class_of(layer).__name__)
    value = _number(first)
    if value is None or problem.instead:
        return False
    return isinstance(problem.expected, int) and value != problem.expected


_ARITHMETIC = {ast.Mult: operator.mul, ast.Add: operator.add, ast.Sub: operator.sub}


def _number(node: ast.expr | None) -> int | None:
    """Return the value of a product or sum of whole numbers."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _number(node.left), _number(node.right)
        if left is not None and right is not None:
            return int(_ARITHMETIC[type(node.op)](left, right))
    return None


def _options(layer: nn.RNNBase) -> str:
    plain = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
    plain |= {"bidirectional": False}
    return "".join(
        f", {name}={value}"
        for name, default in plain.items()
        if (value := getattr(layer, name)) != default
    )


def _written(layer: nn.Module) -> str:
    if isinstance(layer, nn.Linear):
        bias = "" if layer.bias is not None else ", bias=False"
        return f"nn.Linear({layer.in_features}, {layer.out_features}{bias})"
    return f"nn.{_class_of(layer).__name__}({layer.extra_repr()})"


def _new_call(model: nn.Module, path: str, problem: Problem) -> str | None:
    """Return the call that builds a layer for what it gets."""
    if not path or not isinstance(problem.got, int):
        return None
    layer = _module(model, path)
    if problem.kind == "wrong-dimensions":
        return None if problem.instead == EACH_FRAME else problem.instead
    counted = problem.kind in ("input-size", "wrong-in-features")
    if layer is None or not _is_torchs(layer):
        return None
    if counted and isinstance(layer, nn.Linear) and isinstance(problem.expected, int):
        bias = "" if layer.bias is not None else ", bias=False"
        return f"nn.Linear({problem.got}, {layer.out_features}{bias})"
    if counted and isinstance(layer, nn.RNNBase) and problem.got != layer.input_size:
        return f"nn.{type(layer).__name__}({problem.got}, {layer.hidden_size}{_options(layer)})"
    of_channels = counted or problem.kind == "channel-mismatch"
    if of_channels and isinstance(layer, _CONVOLUTIONS) and layer.groups == 1:
        old, new = (f"({n}, {layer.out_channels}," for n in (layer.in_channels, problem.got))
        return _written(layer).replace(old, new, 1)
    if of_channels and isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return f"nn.{type(layer).__name__}({problem.got})"
    if of_channels and isinstance(layer, nn.GroupNorm) and problem.got % layer.num_groups == 0:
        return f"nn.GroupNorm({layer.num_groups}, {problem.got})"
    if counted and isinstance(layer, nn.MultiheadAttention) and problem.got % layer.num_heads == 0:
        return f"nn.MultiheadAttention({problem.got}, {layer.num_heads})"
    return None


_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


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
        source = "".join(lines)
        if source[:1].isspace():  # as it stands: text in it may be indented less
            source, start = f"if True:\n{source}", start - 1
        tree = ast.parse(source)
    except (OSError, TypeError, ValueError, SyntaxError, TokenError):
        return None
    definitions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if not definitions or "site-packages" in Path(file).parts:
        return None  # no def, or that of a library
    definition = definitions[0]
    call, names = _last_assigned(tree, names)
    # In the branches of an if only one of several is executed.
    always = [value for node in definition.body for value in _assigned(node, names[:1])]
    for place in names[1:]:
        items = call.args if isinstance(call, ast.Call) else []
        plain = place.isdigit() and not any(isinstance(item, ast.Starred) for item in items)
        call = items[int(place)] if plain and int(place) < len(items) else None
    if not isinstance(call, ast.Call):
        return None
    arguments = {argument.arg for argument in definition.args.args}
    first = call.args[0] if call.args else None

    def written(value: ast.expr) -> Call:
        code = re.sub(r"\\?\n\s*", " ", ast.get_source_segment(source, value) or "")
        return Call(file, start + value.lineno - 1, code)

    earlier = [value for value in always[:-1] if call is always[-1] and isinstance(value, ast.Call)]
    return written(call)._replace(
        passes_on=isinstance(first, ast.Name) and first.id in arguments,
        replaced=written(earlier[-1]) if earlier else None,
    )


def _last_assigned(tree: ast.AST, names: list[str]) -> tuple[ast.expr | None, list[str]]:
    """Return what is assigned last to the longest part of a path, and that part and the rest.

    A layer of a network that was taken from elsewhere may be replaced: ``self.net.fc = ...``.
    """
    for length in range(len(names), 0, -1):
        values = [v for node in ast.walk(tree) for v in _assigned(node, names[:length])]
        if values:
            return values[-1], [".".join(names[:length]), *names[length:]]
    return None, names


def _assigned(node: ast.AST, names: list[str]) -> list[ast.expr]:
    """Return what a statement assigns to an attribute, or to one of an attribute, of this path."""
    found: list[ast.expr] = []
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign([node.target], node.value)
    if not isinstance(node, ast.Assign):
        return found
    path = ".".join(names)
    for target in node.targets:
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(pairs[0][1], ast.Tuple):
            pairs = list(zip(target.elts, pairs[0][1].elts, strict=False))
        found += [
            v
            for t, v in pairs
            if isinstance(t, ast.Attribute) and ast.unparse(t).partition(".")[2] == path
        ]
    return found
