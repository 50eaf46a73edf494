"""The one walk over a model: run it without computing anything, and write down what happens.

`trace` runs a copy of the model whose tensors live on torch's meta device: they have a shape, a
type and a place in the autograd graph, but no data. Every operation that torch executes passes by
a ``TorchDispatchMode``, so functional code is seen as well as modules. What autograd would keep
for the backward pass is seen by ``saved_tensors_hooks``.

A model that needs the values of its tensors (an ``if`` on an activation, say) cannot run like
this. A copy of it is then run for real, in eval mode and without autograd, and the trace says so.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from inspect import Parameter as Argument
from inspect import signature
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from vgglab.arguments import check_model, check_sizes, number_type
from vgglab.tracing.copies import callers_hooks, meta_copy, real_copy, with_data
from vgglab.tracing.operations import Op, Shape
from vgglab.tracing.recorder import Recorder
from vgglab.tracing.records import CodeLine, Failure, ModuleCall, Parameter, Trace

__all__ = [
    "CodeLine",
    "Failure",
    "InputSize",
    "ModuleCall",
    "Op",
    "Parameter",
    "Shape",
    "Trace",
    "caller_undisturbed",
    "random_state_kept",
    "trace",
]

InputSize: TypeAlias = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]


def trace(
    model: nn.Module,
    input_size: InputSize,
    *,
    dtypes: Sequence[torch.dtype] | None = None,
    training: bool | None = None,
    kwargs: Mapping[str, Any] | None = None,
    watch_sizes: bool = True,
) -> Trace:
    """Run `model` once without computing anything and return what happened.

    The model, its hooks and the state of all random generators are as before when this returns,
    also when the forward fails: only a copy without data is run.

    Hooks of modules run on the copy if they are part of the model: those of torch (``weight_norm``,
    lazy modules, pruning), and those that the classes of the model's modules register themselves.
    All others belong to the caller and do not fire, so a trace does not show what they change:
    `Trace.hooks_left_out` says where there are some.

    Parameters
    ----------
    model
        Any module, on any device.
    input_size
        Shape of the input, such as ``(1, 3, 224, 224)``, or a list of shapes for several inputs, or
        a dict of them by what the forward calls them. Inputs that the forward takes by name alone
        are given by name.
    dtypes
        Types of the inputs; by default that of the model's first floating-point parameter, or whole
        numbers where an embedding asks for them.
    training
        Whether to run all of it in train or in eval mode; by default each module in its own.
    kwargs
        What else the forward is given by name. Tensors are copied.
    watch_sizes
        Whether to notice where the forward asks for sizes. Without it a trace takes a tenth less
        time, and `Trace.reads_sizes` is true.

    Returns
    -------
    Trace
        Up to the operation that failed, if one did: a forward that fails is no error here.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1 or above `vgglab.arguments.MAX_SIDE`, or the number of `dtypes` is not
        that of the inputs.
    """
    model = check_model("model", model)
    if isinstance(input_size, Mapping):
        input_size = _in_order(model, input_size, _check_kwargs(kwargs))
    sizes = check_sizes("input_size", input_size)
    input_dtypes = _check_dtypes(dtypes, len(sizes), model)
    further = _check_kwargs(kwargs)
    names = _names_of_inputs(model, len(sizes), further)

    def recorded(copied: nn.Module, device: torch.device | str) -> Recorder:
        pairs = zip(sizes, input_dtypes, strict=True)
        inputs = [torch.zeros(size, dtype=dtype, device=device) for size, dtype in pairs]
        others = {key: _copied_to(value, device) for key, value in further.items()}
        return Recorder(copied, inputs, names, others, watch_sizes)

    fallback = None
    with caller_undisturbed(), torch.inference_mode(False):
        # Tensors that the forward makes may have to be on the meta device too. That slows every
        # call of torch down, so it comes second.
        for default_device in (nullcontext(), torch.device("meta")):
            copied = meta_copy(model)
            if training is not None:
                copied.train(training)
            recorder = recorded(copied, "meta")
            with torch.enable_grad(), default_device:
                error = recorder.run()
            if error is None or not _needs_values(error):
                break
        else:
            fallback = str(error).partition("\n")[0]
            device = next((p.device for p in model.parameters() if not p.is_meta), "cpu")
            with torch.device(device):
                recorder = recorded(with_data(real_copy(model), device).eval(), device)
                with torch.no_grad():
                    error = recorder.run()
    if error is not None and dtypes is None and _WANTS_INDICES.search(str(error)):
        whole = [
            torch.long if len(size) <= 2 else d for size, d in zip(sizes, input_dtypes, strict=True)
        ]
        return trace(
            model, sizes, dtypes=whole, training=training, kwargs=kwargs, watch_sizes=watch_sizes
        )

    ops, saved_input_bytes = recorder.ops, None
    if fallback is None:
        saved = recorder.saved_bytes()
        ops = [replace(op, saved_bytes=saved.get(op.index, 0)) for op in ops]
        saved_input_bytes = saved.get(-1, 0)
    return Trace(
        model_type=type(model).__name__,
        input_sizes=sizes,
        input_bytes=sum(x.nbytes for x in recorder.inputs),
        saved_input_bytes=saved_input_bytes,
        parameters={
            name: Parameter(name, tuple(p.shape), p.numel(), p.nbytes, p.requires_grad)
            for name, p in recorder.model.named_parameters()
            if not isinstance(p, nn.UninitializedParameter)
        },
        modules={path: type(module).__name__ for path, module in recorder.modules.items()},
        ops=tuple(ops),
        calls=tuple(recorder.calls),
        output_shapes=recorder.output_shapes,
        output_sources=recorder.output_sources,
        failure=_failure(recorder, error) if error is not None else None,
        fallback=fallback,
        reads_sizes=recorder.reads_sizes,
        comparisons=recorder.comparisons,
        hooks_left_out=tuple(dict.fromkeys(path for path, _ in callers_hooks(model))),
        call_options={"dtypes": input_dtypes, "training": training, "kwargs": kwargs},
    )


def _failure(recorder: Recorder, error: Exception) -> Failure:
    """Return where an error that ended a forward was first seen."""
    found = next((failure for seen, failure in recorder.failures if seen is error), None)
    if found is None:
        kind = type(recorder.model).__name__
        found = Failure("", kind, None, (), type(error).__name__, str(error))
    return replace(found, line=recorder.line)


_WANTS_INDICES = re.compile("scalar types: Long, Int|used as indices must be long")  # or torch 2.6


def _needs_values(error: Exception) -> bool:
    """Tell whether a forward failed only because meta tensors hold no data."""
    return isinstance(error, NotImplementedError) or "meta" in str(error).lower()


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give every random generator its state back."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


# Hooks of all modules, as `torch.nn.modules.module.register_module_forward_hook` keeps them.
_HOOKS_OF_ALL = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
)


@contextmanager
def caller_undisturbed() -> Iterator[None]:
    """Keep every random generator's state, and the caller's hooks of all modules silent."""
    tables = [getattr(torch.nn.modules.module, name) for name in _HOOKS_OF_ALL]
    hooks = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    try:
        with random_state_kept():
            yield
    finally:
        for table, kept in zip(tables, hooks, strict=True):
            table.update(kept)


def _check_dtypes(dtypes: Any, number: int, model: nn.Module) -> Sequence[torch.dtype]:
    if dtypes is None:
        return [number_type(model)] * number
    if isinstance(dtypes, Sequence):
        dtypes = [getattr(d, "dtype", d) for d in dtypes]  # torch.LongTensor is a type of tensors
    if not isinstance(dtypes, Sequence) or not all(isinstance(d, torch.dtype) for d in dtypes):
        raise TypeError(f"dtypes must be a list of torch types, one an input; got {dtypes!r}")
    if len(dtypes) != number:
        raise ValueError(f"dtypes must have one type for each of {number} inputs; got {dtypes!r}")
    return dtypes


def _check_kwargs(kwargs: Any) -> Mapping[str, Any]:
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise TypeError(f"kwargs must be a dict of what the forward takes by name; got {kwargs!r}")
    return kwargs


def _names_of_inputs(
    model: nn.Module, number: int, further: Mapping[str, Any]
) -> tuple[str | None, ...]:
    """Return a name for each input that the forward takes by name alone, else ``None``."""
    try:
        arguments = signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # TorchScript
        return (None,) * number
    if any(a.kind is Argument.VAR_POSITIONAL for a in arguments):
        return (None,) * number
    free = [a for a in arguments if a.name not in further]
    in_order = [a for a in free if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    by_name = [a.name for a in free if a.kind is a.KEYWORD_ONLY]
    by_name.sort(
        key=lambda name: signature(model.forward).parameters[name].default is not Argument.empty
    )
    left = max(number - len(in_order), 0)
    if left > len(by_name):
        return (None,) * number
    return (*(None,) * (number - left), *by_name[:left])


def _in_order(model: nn.Module, sizes: Mapping[str, Any], further: Mapping[str, Any]) -> list[Any]:
    """Return shapes that were given by name in the order in which the forward takes them."""
    arguments = signature(model.forward).parameters.values()
    variable = (Argument.VAR_POSITIONAL, Argument.VAR_KEYWORD)
    taken = [a.name for a in arguments if a.name not in further and a.kind not in variable]
    if not sizes or not sizes.keys() <= {*taken}:
        raise ValueError(
            f"input_size must name inputs of the forward, {', '.join(taken)}; got {dict(sizes)!r}"
        )
    order = [name for name in taken if name in sizes]
    passed = [
        name or taken[k] for k, name in enumerate(_names_of_inputs(model, len(order), further))
    ]
    if passed != order:
        raise ValueError(
            f"input_size must name the first inputs of the forward, {', '.join(passed)}, and the "
            f"others be given as kwargs; got {dict(sizes)!r}"
        )
    return [sizes[name] for name in order]


def _copied_to(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        if value.is_meta:
            return torch.zeros_like(value, device=device)
        return value.detach().to(device, copy=True)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_copied_to(item, device) for item in value)
    if type(value) is dict:
        return {key: _copied_to(item, device) for key, item in value.items()}
    return value
