"""The part of the grader that meets student code: runs inside the sandbox, alone in one file.

It reads JSON lines from standard input, executes the cells in order, calls what the probes ask
for, and writes JSON lines. It holds no expected value, so that whatever student code does
to this process, it can only answer. The judge runs the same calls on its reference answers with
`run_probe`, outside the sandbox.

Given cells and what probes need live in a namespace of their own. Answer cells have a copy, so
that whatever they define replaces nothing there.
"""

import ast
import builtins
import gc
import json
import os
import re
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any

MAX_ITEMS = 200_000  # numbers, characters, ... in one answer
MAX_DEPTH = 20

# Settings by which a layer is described; of any other class only the name is.
_WINDOW = ("kernel_size", "stride", "padding", "dilation")
LAYER_SETTINGS = {
    "Conv2d": ("in_channels", "out_channels", *_WINDOW, "groups", "padding_mode"),
    "Linear": ("in_features", "out_features"),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "LocalResponseNorm": ("size", "alpha", "beta", "k"),
    "MaxPool2d": (*_WINDOW, "ceil_mode"),
    "AvgPool2d": (*_WINDOW[:3], "ceil_mode", "count_include_pad"),
    "AdaptiveAvgPool2d": ("output_size",),
    "AdaptiveMaxPool2d": ("output_size",),
    "Dropout": ("p",),
    "Flatten": ("start_dim", "end_dim"),
}


class UndefinedError(Exception):
    """A probe asks for a name that no cell defines."""


class TooLargeError(Exception):
    """An answer has more values than may travel."""


# Values to JSON and back


def encode(value: Any) -> Any:
    """Return a JSON value that says what `value` is, with exact types."""
    return _encode(value, [MAX_ITEMS], 0)


def _encode(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH:
        raise TooLargeError
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value
    if kind is str:
        left[0] -= len(value)
        if left[0] < 0:
            raise TooLargeError
        return value
    if kind in (list, tuple) or kind.__name__ == "Size":  # torch.Size
        return [_encode(item, left, depth + 1) for item in value]
    if isinstance(value, dict):
        pairs = [(_encode(k, left, depth), _encode(v, left, depth + 1)) for k, v in value.items()]
        return {"$dict": pairs}
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return {"$tensor": _array(value, left)}
    if torch is not None and kind is torch.dtype:
        return {"$dtype": str(value).removeprefix("torch.")}
    if numpy is not None and isinstance(value, numpy.generic):
        return _encode(value.item(), left, depth + 1)
    if numpy is not None and kind is numpy.ndarray:
        return {"$array": _array(value, left)}
    return {"$object": kind.__name__[:100]}


def _array(value: Any, left: list[int]) -> dict[str, Any]:
    shape = list(value.shape)
    found = {"dtype": str(value.dtype).removeprefix("torch."), "shape": shape}
    if getattr(value, "is_meta", False):
        return {**found, "data": None}
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        left[0] -= value.numel()
        if value.is_complex():
            value = value.resolve_conj().resolve_neg()
            value = sys.modules["torch"].view_as_real(value)
    else:
        left[0] -= value.size
    if left[0] < 0:
        raise TooLargeError
    return {**found, "data": value.tolist()}


def decode(value: Any, kept: Mapping[str, Any], device: str | None = None) -> Any:
    """Return the value that JSON describes; ``$ref`` names an object among those kept."""
    if isinstance(value, list):
        return [decode(item, kept, device) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, body),) = value.items()
    if tag == "$dict":
        return {k: decode(v, kept, device) for k, v in body}
    if tag == "$tuple":
        return tuple(decode(item, kept, device) for item in body)
    if tag == "$ref":
        if body[0] not in kept:
            raise UndefinedError(body[0])
        found = kept[body[0]]
        for step in body[1:]:
            by_name = isinstance(step, str) and not isinstance(found, dict)
            found = getattr(found, step) if by_name else found[step]
        return found
    import torch

    dtype = getattr(torch, body["dtype"])
    if tag == "$randn":
        generator = torch.Generator().manual_seed(body["seed"])
        tensor = torch.randn(body["shape"], generator=generator, dtype=dtype, device="cpu")
    else:
        tensor = torch.tensor(body["data"], dtype=dtype, device="cpu")
    if device is not None:
        tensor = tensor.to(device)
    return tensor.requires_grad_(body["requires_grad"])


# What probes can call besides the student's functions


def _layers(module: Any) -> list[Any]:
    """Return class and settings of each layer that has no layer inside, in order."""
    nn = import_module("torch.nn")
    described = []
    for layer in module.modules():
        if next(layer.children(), None) is not None:
            continue
        name = type(layer).__name__
        known = getattr(nn, name, None) is type(layer)
        settings: dict[str, Any] = {}
        for setting in LAYER_SETTINGS.get(name, ()) if known else ():
            value = getattr(layer, setting)
            if setting in _WINDOW and type(value) is int:
                value = [value, value]
            if value == "same":  # one of two ways to say it
                value = [
                    d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)
                ]
            settings[setting] = value
        if known and name in ("Conv2d", "Linear"):
            settings["bias"] = layer.bias is not None
        described.append([name if known else f"another {name}", settings])
    return described


def _fill(module: Any, seed: int) -> Any:
    """Fill parameters and buffers with numbers that depend on the seed, order and shape alone."""
    import torch

    with torch.no_grad():
        tensors = [*module.named_parameters(), *module.named_buffers()]
        for index, (name, tensor) in enumerate(tensors):
            if not tensor.is_floating_point():
                continue
            generator = torch.Generator().manual_seed(1000 * seed + index)
            drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if tensor.dim() > 1:  # keep the size of the signal through ReLUs
                drawn *= (2 / drawn[0].numel()) ** 0.5
            if name.endswith("var"):
                drawn = drawn.abs() + 0.5
            tensor.copy_(drawn)
    return module


def _forward(module: Any, *inputs: Any, train: bool = False) -> Any:
    """Return what a network gives, in eval mode (or in train mode), without gradients."""
    import torch

    with torch.no_grad():
        return module.train(train)(*inputs)


def _vjp(function: Any, inputs: list[Any], cotangent: Any) -> list[Any]:
    """Return the gradient of ``(function(*inputs) * cotangent).sum()`` for each input."""
    import torch

    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with torch.enable_grad():
        output = function(*leaves)
        return list(torch.autograd.grad(output, leaves, cotangent, allow_unused=True))


_recorded: list[Any] = []


def record(value: Any) -> None:
    """Note something for a later call of ``"@recorded"`` in the same probe.

    What helpers note must not lie on objects that an answer holds in its hands.
    """
    _recorded.append(value)


HELPERS: dict[str, Any] = {
    "@count": lambda module: sum(p.numel() for p in module.parameters()),
    "@fill": _fill,
    "@forward": _forward,
    "@getattr": getattr,
    "@identity": lambda value: value,
    "@layers": _layers,
    "@parameter_shapes": lambda module: [list(p.shape) for p in module.parameters()],
    "@recorded": lambda: sorted(_recorded),
    "@state": lambda module: dict(module.state_dict()),
    "@vjp": _vjp,
}


# Probes


def exception_name(error: BaseException) -> str:
    """Return the name of the builtin exception that `error` is: a class of its own says nothing."""
    for kind in type(error).__mro__:
        name: str = kind.__name__
        if getattr(builtins, name, None) is kind:
            return name
    return "Exception"


def run_probe(
    calls: list[dict[str, Any]],
    namespace: dict[str, Any],
    given: Mapping[str, Any] = types.MappingProxyType({}),
    restore: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Run the calls of one probe.

    Parameters
    ----------
    calls
        As `vgglab.grading.probes.Call.to_json` writes them.
    namespace
        What the cells defined.
    given
        Names that come before those.
    restore
        Called before each call.

    Returns
    -------
    list of dict
        One for each call that returns something: ``{"value": ...}``, ``{"raised": name}`` for a
        call that was to raise, or, as the last, ``{"error": name, "message": text}`` or
        ``{"undefined": name}``.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
    _recorded.clear()
    kept: ChainMap[str, Any] = ChainMap({}, {**namespace, **given})
    answers: list[dict[str, Any]] = []
    for call in calls:
        if restore is not None:
            restore()
        try:
            function = _function(call["function"], kept)
            device = call["device"]
            arguments = [decode(argument, kept, device) for argument in call["args"]]
            options = {key: decode(v, kept, device) for key, v in call["kwargs"].items()}
            with torch.device(device) if torch is not None and device else nullcontext():
                result = function(*arguments, **options)
            if call["name"] is not None:
                kept[call["name"]] = result
            answer = {"value": encode(result)} if call["returned"] else None
        except UndefinedError as error:
            return [*answers, {"undefined": str(error)}]
        except TooLargeError:
            return [*answers, {"value": {"$object": "too large"}}]
        except BaseException as error:
            raised = exception_name(error)
            if not call["raises"] or raised == "NotImplementedError":
                return [*answers, {"error": raised, "message": _message(error)}]
            answer = {"raised": raised}
        if answer is not None:
            answers.append(answer)
    return answers


def _function(function: Any, kept: Mapping[str, Any]) -> Any:
    if isinstance(function, str) and function.startswith("@"):
        return HELPERS[function]
    return decode({"$ref": [function]} if isinstance(function, str) else function, kept)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:  # a message that raises
        return ""


# Rules of an assignment


def broken_rule(source: str, rules: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return where a cell uses what its assignment forbids, or ``None``.

    Parameters
    ----------
    source
        Of the cell, of which nothing is executed.
    rules
        ``"refused"``: a pattern of names that no attribute and no import may have.
        ``"imports"``: what may be imported. Empty if the assignment has no rules.
    """
    if not rules:
        return None
    refused, allowed = re.compile(rules["refused"], re.IGNORECASE), set(rules["imports"])
    try:
        found = list(_used_names(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # it does not run either
    for line, kind, name in found:
        if (kind == "import" and name not in allowed) or (
            kind == "builtin" and name in _REFLECTION
        ):
            return {"error": "refused", "line": line, "name": name}
        inner = name.startswith("_") and name not in _USUAL
        if kind in ("attribute", "import") and (refused.search(name) or inner):
            return {"error": "refused", "line": line, "name": name}
    return None


# With these a name can be reached that stands nowhere in the source.
_REFLECTION = {
    *("__import__", "__builtins__", "breakpoint", "compile", "delattr", "dir", "eval", "exec"),
    *("getattr", "globals", "input", "locals", "open", "setattr", "vars"),
}
_USUAL = {"__call__", "__init__", "__len__", "__name__", "_"}


def _used_names(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Yield line, kind and name of each attribute, import and plain name."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute):
            yield line, "attribute", node.attr
        elif isinstance(node, ast.MatchClass):
            yield from ((line, "attribute", name) for name in node.kwd_attrs)
        elif isinstance(node, ast.Name):
            yield line, "builtin", node.id
        elif isinstance(node, ast.Import):
            yield from ((line, "import", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield line, "import", node.module or "."
            yield from ((line, "attribute", alias.name) for alias in node.names)


# The process in the sandbox


class Kept:
    """Python, torch and what is given, as they were before student code ran."""

    def __init__(self, given: dict[str, Any]) -> None:
        torch = sys.modules.get("torch")
        places: list[Any] = [builtins, json, os, *_own_classes(given)]
        if torch is not None:
            nn = torch.nn
            classes = [value for value in vars(nn).values() if isinstance(value, type)]
            places += [torch, nn, nn.functional, nn.modules.module, torch.Tensor, *classes]
        self._attributes = [(place, dict(vars(place))) for place in places]
        self._names = [(place, place.__name__) for place in places if isinstance(place, type)]
        self._given = (given, dict(given))
        self._code: list[tuple[Any, ...]] = [
            (value, value.__code__, value.__defaults__, value.__kwdefaults__)
            for value in given.values()
            if isinstance(value, types.FunctionType)
        ]

    def restore(
        self,
        change: Callable[[Any, str, Any], None] = setattr,
        remove: Callable[[Any, str], None] = delattr,
    ) -> None:
        """Change back what was changed, as far as Python sees it."""
        for place, name in self._names:
            if place.__name__ != name:
                change(place, "__name__", name)
        for place, before in self._attributes:
            now = place.__dict__
            for name, value in before.items():
                if name not in now or now[name] is not value:
                    change(place, name, value)
            if len(now) > len(before) and place.__class__ is not types.ModuleType:
                for name in [*now]:
                    if name not in before:
                        remove(place, name)
        given, before = self._given
        given.update(before)
        for function, *code in self._code:
            function.__code__, function.__defaults__, function.__kwdefaults__ = code


def _own_classes(given: dict[str, Any]) -> Iterable[type]:
    return [v for v in given.values() if isinstance(v, type) and v.__module__ == "__main__"]


def run_cell(source: str, name: str, namespace: dict[str, Any]) -> dict[str, Any] | None:
    """Execute a cell; return what was wrong, or ``None``."""
    try:
        exec(compile(source, f"<{name}>", "exec"), namespace)
    except SyntaxError as error:
        lines = source.splitlines()
        line = error.lineno if type(error.lineno) is int else 0
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        magic = text.startswith(("%", "!", "?")) or text.endswith("?")
        return {"error": "magic" if magic else "SyntaxError", "line": line, "message": text[:80]}
    except BaseException as error:
        missing = error.name if type(error) in (NameError, ModuleNotFoundError) else None  # type: ignore[attr-defined]
        found = {"error": exception_name(error), "line": None, "message": _message(error)}
        return {**found, "name": missing if type(missing) is str else None}
    return None


def run_job(job: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
    """Execute the cells of one submission and run its probes.

    The probes come when the cells have run, so that no cell can have seen them.

    Parameters
    ----------
    job
        ``"given"`` and ``"helpers"``: sources for the namespace of what is given; answer cells
        have copies of the former alone. ``"cells"``: id and source of each. ``"rules"``: see
        `broken_rule`. ``"probes"``, or else a ``"descriptor"`` from which they come.
    emit
        Sends a message.
    """
    given: dict[str, Any] = {"__name__": "__main__", "record": record}
    for source in job.get("given", ()):
        exec(compile(source, "<given>", "exec"), given)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace = vars(main)
    namespace.update(given)
    del namespace["record"]
    for source in job.get("helpers", ()):
        exec(compile(source, "<helpers>", "exec"), given)
    # Before the first cell runs: later, nothing that is found here could be believed.
    broken = [broken_rule(cell["source"], job.get("rules") or {}) for cell in job["cells"]]
    names = {name: value for name, value in given.items() if not name.startswith("__")}
    before = Kept(given)
    for cell, problem in zip(job["cells"], broken, strict=True):
        problem = problem or run_cell(cell["source"], cell["id"], namespace)
        emit({"cell": cell["id"], "problem": problem})
    emit({"cells": "done"})
    probes = job["probes"] if "probes" in job else json.loads(_read_line(job["descriptor"]))
    for probe in probes:
        answers = run_probe(probe["calls"], namespace, names, before.restore)
        emit({"probe": probe["index"], "answers": answers})


def _read_line(descriptor: int) -> bytes:
    """Return the next line; no more than that is ever sent at a time."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(descriptor, 1 << 20)
        if not data:
            raise EOFError
        line += data
    return line


def main() -> None:
    """Run what standard input asks for; results go to what standard output was."""
    task_in, out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)

    def emit(message: dict[str, Any]) -> None:
        try:
            line = json.dumps(message)
        except (ValueError, RecursionError):  # an integer of more than 4300 digits
            line = json.dumps({**message, "answers": [{"value": {"$object": "too large"}}]})
        data = line.encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]

    task = json.loads(_read_line(task_in))
    _set_limits(task["limits"])
    sys.path.insert(0, "/site")
    gc.disable()  # an import leaves little garbage, and looking for it takes a seventh of the time
    try:
        for name in task["imports"]:
            import_module(name)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
    except Exception as error:
        emit({"fatal": f"{type(error).__name__}: {error}"})
        return
    gc.freeze()
    gc.enable()
    emit({"ready": True})
    if len(task["jobs"]) == 1:
        run_job({"descriptor": task_in, **task["jobs"][0]}, emit)
    else:  # several jobs are the selftest's, all by the same trusted author
        for number, job in enumerate(task["jobs"]):
            child = os.fork()
            if child == 0:
                emit({"job": number})
                try:
                    run_job(job, emit)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
    emit({"end": True})
    os._exit(0)  # taking torch apart takes half as long as importing it


def _set_limits(limits: dict[str, int]) -> None:
    import resource

    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


if __name__ == "__main__":
    main()
