"""The one walk over a model: run it without computing anything, and write down what happens.

`trace` runs a copy of the model whose tensors live on torch's meta device: they have a shape, a
type and a place in the autograd graph, but no data. Every operation that torch executes passes by
a ``TorchDispatchMode``, so functional code is seen as well as modules. What autograd would keep
for the backward pass is seen by ``saved_tensors_hooks``.

A model that needs the values of its tensors (an ``if`` on an activation, say) cannot run like
this. A copy of it is then run for real, in eval mode and without autograd, and the trace says so.
"""

import copy
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, wraps
from types import MethodType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vgglab.shapes import Window

Shape: TypeAlias = tuple[int, ...]
InputSize: TypeAlias = Sequence[int] | Sequence[Sequence[int]]


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model: what is needed of it without its data."""

    name: str
    shape: Shape
    count: int
    bytes: int
    trainable: bool


@dataclass(frozen=True)
class Op:
    """One operation that torch executed.

    Attributes
    ----------
    index
        Its place in `Trace.ops`.
    name
        torch's own name, such as ``"convolution"``, ``"addmm"``, ``"max_pool2d_with_indices"``.
    path
        The module in which it ran; ``""`` is the model itself.
    call
        The index of that module's call in `Trace.calls`.
    sources
        The operations whose outputs it reads, by index; the model's k-th input is ``-1 - k``.
    input_shapes
        Shapes of the tensors that it reads, parameters left out.
    output_shapes
        Shapes of the tensors that it returns.
    parameters
        Names of the parameters that it reads.
    options
        Its other arguments by torch's names, such as ``stride`` and ``padding``.
    mult_adds
        Multiplications with an addition, for the whole batch; ``None`` if there is no formula.
    saved_bytes
        Bytes of its output that autograd keeps for the backward pass, each piece of memory counted
        once; ``None`` if the trace ran without autograd.
    """

    index: int
    name: str
    path: str
    call: int
    sources: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: tuple[str, ...]
    options: Mapping[str, Any]
    mult_adds: int | None
    saved_bytes: int | None

    @property
    def windows(self) -> tuple[Window, Window] | None:
        """The windows along height and width of a convolution or pooling; else ``None``."""
        options = self.options
        if not _SLIDING_WINDOW.match(self.name) or options.get("transposed"):
            return None
        if len(self.output_shapes[0]) < 3 or len(options["kernel_size"]) < 2:
            return None
        kernel_size = _last_two(options["kernel_size"])
        stride = _last_two(options["stride"]) if options["stride"] else kernel_size
        padding = _last_two(options["padding"])
        dilation = _last_two(options.get("dilation", 1))
        ceil_mode = options.get("ceil_mode", False)
        height, width = (
            Window(*axis, ceil_mode)
            for axis in zip(kernel_size, stride, padding, dilation, strict=True)
        )
        return height, width


@dataclass
class Call:
    """One call of a module.

    Attributes
    ----------
    index
        Its place in `Trace.calls`, in order of their beginning.
    parent
        The index of the call around it; ``None`` for the model itself.
    path
        Path of the module; ``""`` is the model itself.
    type
        Class of the module.
    is_leaf
        Whether the module holds no modules.
    is_sequence
        Whether the module is a ``Sequential`` or a ``ModuleList``.
    repeated
        Whether the same module had been called before.
    parameters
        Names of the parameters that the module itself holds, those of its children left out.
    input_shapes
        Shapes of the tensors that came.
    first_op
        How many operations had been executed when it began.
    output_shapes
        Shapes of the tensors that it returned; empty if it did not end.
    output_bytes
        Bytes of those tensors.
    finished
        How many calls had ended before it did; ``None`` if it did not.
    """

    index: int
    parent: int | None
    path: str
    type: str
    is_leaf: bool
    is_sequence: bool
    repeated: bool
    parameters: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    first_op: int
    output_shapes: tuple[Shape, ...] = ()
    output_bytes: tuple[int, ...] = ()
    finished: int | None = None


@dataclass(frozen=True)
class Failure:
    """Where and why the forward stopped.

    Attributes
    ----------
    path
        Path of the innermost module in which it stopped.
    type
        Class of that module.
    operation
        torch's name of the operation that refused; ``None`` if the error came from Python code.
    input_shapes
        Shapes of all tensors that came to that operation, parameters included.
    error
        Class of the exception.
    message
        Its text.
    """

    path: str
    type: str
    operation: str | None
    input_shapes: tuple[Shape, ...]
    error: str
    message: str


@dataclass(frozen=True)
class Trace:
    """What happened when a model was run.

    Attributes
    ----------
    model_type
        Class of the model.
    input_sizes
        Shapes of the inputs.
    input_bytes
        Bytes of the inputs.
    saved_input_bytes
        Those of them that autograd keeps for the backward pass; ``None`` without autograd.
    parameters
        All parameters by name, shared ones once.
    modules
        The class of each module, by path; shared ones once.
    ops
        The operations in order, up to the failure if there was one.
    calls
        The calls of modules in order, up to the failure if there was one.
    output_shapes
        Shapes of the tensors that the model returned.
    failure
        ``None`` if the forward ended.
    fallback
        ``None`` if the model ran on the meta device, else why it had to run for real.
    """

    model_type: str
    input_sizes: tuple[Shape, ...]
    input_bytes: int
    saved_input_bytes: int | None
    parameters: Mapping[str, Parameter]
    modules: Mapping[str, str]
    ops: tuple[Op, ...]
    calls: tuple[Call, ...]
    output_shapes: tuple[Shape, ...]
    failure: Failure | None = None
    fallback: str | None = None

    def windows(self, axis: int) -> list[Window]:
        """Return the windows between the first input and the last feature map, along one axis.

        Give them to `vgglab.input_sizes`. The feature map ends where its height and width are
        pooled to a fixed size or flattened.

        Parameters
        ----------
        axis
            0 for the height, 1 for the width.

        Raises
        ------
        ValueError
            If `axis` is neither, or if paths through different windows meet (as in a ResNet).
        """
        if axis not in (0, 1):
            raise ValueError(f"axis must be 0 (height) or 1 (width); got {axis!r}")
        chains: dict[int, tuple[Window, ...]] = {-1: ()}
        last: tuple[Window, ...] = ()
        for op in self.ops:
            incoming = {chains[source] for source in op.sources if source in chains}
            if not incoming:
                continue
            if len(incoming) > 1:
                raise ValueError(
                    f"paths through different windows meet in {op.name} at {op.path!r}: "
                    "there is no single chain of windows"
                )
            (chain,) = incoming
            if op.windows is not None:
                window = op.windows[axis]
                # A 1x1 window at every pixel changes no size.
                last = chain if window == Window(kernel_size=1) else (*chain, window)
            elif op.input_shapes[0][-2:] == op.output_shapes[0][-2:]:
                last = chain
            else:
                continue
            chains[op.index] = last
        return list(last)


def trace(
    model: nn.Module, input_size: InputSize, *, dtypes: Sequence[torch.dtype] | None = None
) -> Trace:
    """Run `model` once without computing anything and return what happened.

    The model, its hooks and the state of all random generators are as before when this returns,
    also when the forward fails: only a copy without data is run.

    Parameters
    ----------
    model
        Any module; on any device, in train or eval mode, which is respected.
    input_size
        Shape of the input, such as ``(1, 3, 224, 224)``, or a list of shapes for several inputs.
    dtypes
        Types of the inputs; by default that of the model's first floating-point parameter.

    Returns
    -------
    Trace
        Up to the operation that failed, if one did: a forward that fails is no error here.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1, or the number of `dtypes` is not that of the inputs.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    sizes = _check_input_size(input_size)
    input_dtypes = _check_dtypes(dtypes, len(sizes), model)

    def inputs(device: torch.device | str) -> list[Tensor]:
        pairs = zip(sizes, input_dtypes, strict=True)
        return [torch.zeros(size, dtype=dtype, device=device) for size, dtype in pairs]

    fallback = None
    with _random_state_kept():
        # Tensors that the forward makes may have to be on the meta device too. That slows every
        # call of torch down, so it comes second.
        for default_device in (nullcontext(), torch.device("meta")):
            recorder = _Recorder(_copy(model, _to_meta, {}), inputs("meta"))
            with torch.enable_grad(), default_device:
                error = recorder.run()
            if error is None or not _needs_values(error):
                break
        else:
            fallback = str(error).partition("\n")[0]
            device = next((p.device for p in model.parameters()), "cpu")
            recorder = _Recorder(_copy(model, _cloned, {}).eval(), inputs(device))
            with torch.no_grad():
                error = recorder.run()

    saved = recorder.saved_bytes() if fallback is None else None
    ops = tuple(
        Op(index, **vars(op), saved_bytes=None if saved is None else saved.get(index, 0))
        for index, op in enumerate(recorder.ops)
    )
    return Trace(
        model_type=type(model).__name__,
        input_sizes=sizes,
        input_bytes=sum(x.nbytes for x in inputs("meta")),
        saved_input_bytes=None if saved is None else saved.get(-1, 0),
        parameters={
            name: Parameter(name, tuple(p.shape), p.numel(), p.nbytes, p.requires_grad)
            for name, p in recorder.model.named_parameters()
            if not isinstance(p, nn.UninitializedParameter)
        },
        modules={path: type(module).__name__ for path, module in recorder.model.named_modules()},
        ops=ops,
        calls=tuple(recorder.calls),
        output_shapes=recorder.output_shapes,
        failure=next((f for seen, f in recorder.failures if seen is error), None),
        fallback=fallback,
    )


@dataclass
class _OpenOp:
    """An operation while the model still runs: all of `Op` but what is known only at the end."""

    name: str
    path: str
    call: int
    sources: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: tuple[str, ...]
    options: Mapping[str, Any]
    mult_adds: int | None


class _Recorder(TorchDispatchMode):
    """Runs a model that nobody else uses and writes down operations and module calls."""

    def __init__(self, model: nn.Module, inputs: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.inputs = inputs
        self.ops: list[_OpenOp] = []
        self.calls: list[Call] = []
        self.output_shapes: tuple[Shape, ...] = ()
        self.failures: list[tuple[BaseException, Failure]] = []

        self._stack: list[Call] = []
        self._modules_called: set[int] = set()
        self._calls_finished = 0
        self._keep_alive: list[Tensor] = []  # so that no id or storage is used again

        # The model's own memory, by storage, and the names of the parameters in it.
        self._state: dict[int, tuple[str, ...]] = {}
        self._names: dict[int, str] = {}
        for name, parameter in model.named_parameters():
            self._add_parameter(name, parameter)
        for buffer in model.buffers():
            if not isinstance(buffer, nn.UninitializedBuffer):
                self._state.setdefault(_storage(buffer), ())

        # Who made a tensor, who last wrote into a storage, which parameters a tensor is made of.
        self._made_by = {id(x): -1 - k for k, x in enumerate(inputs)}
        self._written_by: dict[int, int] = {}
        self._derived_from: dict[int, tuple[str, ...]] = {}
        # The operation to which a storage is booked (-1: it came from outside), and its bytes.
        self._booked: dict[int, tuple[int, int]] = {}
        self._saved: set[int] = set()

    def run(self) -> Exception | None:
        """Run the forward; return the exception that ended it, if one did."""
        for path, module in self.model.named_modules():
            if path and not isinstance(module, torch.jit.ScriptModule):
                module.forward = self._watched(path, module)
        try:
            with self, saved_tensors_hooks(self._save, lambda tensor: tensor):
                run = self._watched("", self.model, self.model.__call__)
                self.output_shapes = _shapes(run(*self.inputs))
        except Exception as error:
            return error
        return None

    def saved_bytes(self) -> dict[int, int]:
        """Return the bytes that autograd keeps, by the operation that made them; -1: inputs."""
        saved: dict[int, int] = {}
        for storage in self._saved:
            owner, size = self._booked[storage]
            owner = min(owner, len(self.ops) - 1)
            saved[owner] = saved.get(owner, 0) + size
        return saved

    def _add_parameter(self, name: str, parameter: nn.Parameter) -> None:
        if not isinstance(parameter, nn.UninitializedParameter):
            storage = _storage(parameter)
            self._state[storage] = (*self._state.get(storage, ()), name)
            self._names[id(parameter)] = name

    def _watched(
        self, path: str, module: nn.Module, forward: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """Return the module's forward, with its calls written down."""
        forward = forward or module.forward

        @wraps(forward)
        def run(*args: Any, **kwargs: Any) -> Any:
            call = self._begin(path, module, args, kwargs)
            try:
                output = forward(*args, **kwargs)
            except Exception as error:
                self._note(error, None, ())
                raise
            finally:
                self._stack.pop()
            tensors = _tensors(output)
            call.output_shapes = _shapes(tensors)
            call.output_bytes = tuple(tensor.nbytes for tensor in tensors)
            call.finished = self._calls_finished
            self._calls_finished += 1
            return output

        return run

    def _begin(self, path: str, module: nn.Module, args: Any, kwargs: Any) -> Call:
        own_parameters = []
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in self._names:  # a lazy module has just made it
                self._add_parameter(f"{path}.{name}".lstrip("."), parameter)
            own_parameters.append(self._names[id(parameter)])
        call = Call(
            index=len(self.calls),
            parent=self._stack[-1].index if self._stack else None,
            path=path,
            type=type(module).__name__,
            is_leaf=next(module.children(), None) is None,
            is_sequence=isinstance(module, nn.Sequential | nn.ModuleList),
            repeated=id(module) in self._modules_called,
            parameters=tuple(own_parameters),
            input_shapes=_shapes((args, kwargs)),
            first_op=len(self.ops),
        )
        self._modules_called.add(id(module))
        self.calls.append(call)
        self._stack.append(call)
        return call

    def _note(self, error: Exception, operation: str | None, shapes: tuple[Shape, ...]) -> None:
        """Note where an exception was first seen; the model may still catch it."""
        if any(seen is error for seen, _ in self.failures):
            return
        call = self._stack[-1]
        failure = Failure(call.path, call.type, operation, shapes, type(error).__name__, str(error))
        self.failures.append((error, failure))

    def _save(self, tensor: Tensor) -> Tensor:
        storage = _storage(tensor)
        if storage not in self._state:
            self._book(tensor, -1)
            self._saved.add(storage)
        return tensor

    def _book(self, tensor: Tensor, owner: int) -> None:
        storage = _storage(tensor)
        if storage not in self._booked:
            self._booked[storage] = (owner, tensor.untyped_storage().nbytes())
            self._keep_alive.append(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors(args) + _tensors(kwargs)
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            self._note(error, func.overloadpacket.__name__, _shapes(tensors))
            raise
        self._record(func, args, kwargs, tensors, result)
        return result

    def _record(
        self, func: Any, args: Any, kwargs: dict[str, Any], tensors: list[Tensor], result: Any
    ) -> None:
        name = func.overloadpacket.__name__
        outputs = _tensors(result)
        index = len(self.ops)
        self._keep_alive += outputs
        for output in outputs:
            self._book(output, index)

        sources = {id(x): s for x in tensors if (s := self._source(x)) is not None}
        if name in _SAME_DATA:
            self._made_by.update({id(o): source for o in outputs for source in sources.values()})
            return
        parameters = tuple(dict.fromkeys(p for x in tensors for p in self._parameters_in(x)))
        if name in _READ_NO_DATA or not (sources or parameters):
            return  # a fresh tensor, a random mask, a counter
        if not sources and any(_storage(x) in self._state for x in outputs):
            return  # a view of a parameter, an update of a buffer
        if not sources:
            self._derived_from.update({id(output): parameters for output in outputs})
        schema = _schema(func)
        if schema.writes:
            self._written_by[_storage(tensors[0])] = index
        self._made_by.update({id(output): index for output in outputs})
        self.ops.append(
            _OpenOp(
                name=name,
                path=self._stack[-1].path,
                call=self._stack[-1].index,
                sources=tuple(sorted(set(sources.values()))),
                input_shapes=_shapes([x for x in tensors if id(x) in sources]),
                output_shapes=_shapes(outputs),
                parameters=parameters,
                options=_options(name, schema, args, kwargs),
                mult_adds=_mult_adds(func, name, args, kwargs, result),
            )
        )

    def _source(self, tensor: Tensor) -> int | None:
        """Return the operation (or input) that a tensor's data comes from; ``None``: neither."""
        made_by = self._made_by.get(id(tensor))
        written_by = self._written_by.get(_storage(tensor))
        if made_by is None or written_by is None:
            return written_by if made_by is None else made_by
        return max(made_by, written_by)

    def _parameters_in(self, tensor: Tensor) -> tuple[str, ...]:
        """Return the parameters that a tensor is, shows a part of, or was computed from alone."""
        return self._state.get(_storage(tensor)) or self._derived_from.get(id(tensor), ())


# Operations that hand on the data of their input, and operations that look only at its shape.
_SAME_DATA = {"detach", "alias", "lift_fresh"}
_READ_NO_DATA = {
    *("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"),
    *("new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided"),
}
# Names of operations that multiply matrices; the last is the one behind nn.Bilinear.
_PRODUCT = re.compile(r"conv|mm|matmul|attention|lstm|gru|rnn|_trilinear")
_SLIDING_WINDOW = re.compile(r"^(convolution|(max|avg)_pool2d.*)$")


class _Schema(NamedTuple):
    """What torch declares of an operation."""

    names: tuple[str, ...]
    options: dict[str, Any]  # the arguments that are no tensors, with their defaults
    writes: bool


@cache
def _schema(func: Any) -> _Schema:
    arguments = func._schema.arguments
    return _Schema(
        names=tuple(a.name for a in arguments),
        options={a.name: a.default_value for a in arguments if "Tensor" not in str(a.type)},
        writes=any(a.alias_info is not None and a.alias_info.is_write for a in arguments),
    )


def _options(name: str, schema: _Schema, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that are no tensors, by name."""
    given = dict(zip(schema.names, args, strict=False)) | kwargs
    options = {key: given.get(key, default) for key, default in schema.options.items()}
    if name == "convolution":
        options["kernel_size"] = list(args[1].shape[2:])
    return options


def _mult_adds(func: Any, name: str, args: Any, kwargs: dict[str, Any], result: Any) -> int | None:
    formula = flop_registry.get(func.overloadpacket)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=result)) // 2  # two FLOPs each
    return None if _PRODUCT.search(name) else 0


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for item in value for tensor in _tensors(item)]


def _shapes(value: Any) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in _tensors(value))


def _last_two(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return value[-2 % len(value)], value[-1]


_ATOMS = {bool, int, float, str, type(None)}


def _copy(value: Any, change: Callable[[Tensor], Tensor], copies: dict[int, Any]) -> Any:
    """Copy a module with all below it, its tensors changed by `change`; share everything else.

    Unlike ``copy.deepcopy`` this copies neither data of tensors nor what modules merely refer to,
    such as a trainer or a data set.
    """
    if type(value) in _ATOMS:
        return value
    if id(value) in copies:
        return copies[id(value)]
    new: Any
    if isinstance(value, dict):
        new = value.copy()
        for key, item in value.items() if value else ():  # most are empty tables of hooks
            new[key] = _copy(item, change, copies)
    elif isinstance(value, torch.jit.ScriptModule):
        new = copy.deepcopy(value)
        new._apply(change)
    elif isinstance(value, nn.Module):
        new = object.__new__(type(value))
        copies[id(value)] = new
        vars(new).update(
            {name: _copy(attribute, change, copies) for name, attribute in vars(value).items()}
        )
    elif isinstance(value, Tensor):
        new = change(value)
    elif isinstance(value, list):
        new = value.copy()
        new[:] = [_copy(item, change, copies) for item in value]
    elif type(value) is tuple:
        new = tuple(_copy(item, change, copies) for item in value)
    elif isinstance(value, set):
        new = value.copy()
    elif isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
        new = MethodType(value.__func__, _copy(value.__self__, change, copies))
    else:
        return value
    copies[id(value)] = new
    return new


def _to_meta(tensor: Tensor) -> Tensor:
    """Return a tensor of the same kind without data."""
    if isinstance(tensor, nn.UninitializedParameter):
        return nn.UninitializedParameter(  # type: ignore[call-arg]
            tensor.requires_grad,  # type: ignore[arg-type]
            device="meta",
            dtype=tensor.dtype,
        )
    if isinstance(tensor, nn.UninitializedBuffer):
        return nn.UninitializedBuffer(  # type: ignore[call-arg]
            tensor.requires_grad,  # type: ignore[arg-type]
            device="meta",
            dtype=tensor.dtype,
        )
    empty = torch.empty_like(tensor.detach(), device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty.requires_grad_(tensor.requires_grad)


def _cloned(tensor: Tensor) -> Tensor:
    return copy.deepcopy(tensor if tensor.is_leaf else tensor.detach())


def _needs_values(error: Exception) -> bool:
    """Tell whether a forward failed only because meta tensors hold no data."""
    return isinstance(error, NotImplementedError) or "meta" in str(error).lower()


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Give every random generator its state back."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _check_input_size(input_size: Any) -> tuple[Shape, ...]:
    accepted = "input_size must be a shape such as (1, 3, 224, 224), or a list of shapes"
    if not isinstance(input_size, Sequence) or isinstance(input_size, str) or not input_size:
        raise TypeError(f"{accepted}; got {input_size!r}")
    nested = [isinstance(item, Sequence) and not isinstance(item, str) for item in input_size]
    if any(nested) and not all(nested):
        raise TypeError(f"{accepted}; got {input_size!r}")
    shapes: list[Any] = list(input_size) if nested[0] else [input_size]
    for shape in shapes:
        for size in shape:
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"{accepted}; got {input_size!r}, where {size!r} is no integer")
            if size < 1:
                raise ValueError(f"{accepted}, all sizes at least 1; got {input_size!r}")
    return tuple(tuple(shape) for shape in shapes)


def _check_dtypes(dtypes: Any, number: int, model: nn.Module) -> Sequence[torch.dtype]:
    if dtypes is None:
        floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
        return [next(floating, torch.get_default_dtype())] * number
    if not isinstance(dtypes, Sequence) or not all(isinstance(d, torch.dtype) for d in dtypes):
        raise TypeError(f"dtypes must be a list of torch types, one an input; got {dtypes!r}")
    if len(dtypes) != number:
        raise ValueError(f"dtypes must have one type for each of {number} inputs; got {dtypes!r}")
    return dtypes
