"""Watches a forward: every operation that torch executes, and every call of a module."""

import linecache
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial, wraps
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor, nn
from torch._prims_common import suggest_memory_format
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vgglab.tracing import recurrent
from vgglab.tracing.meta_results import meta_result
from vgglab.tracing.operations import ADAPTIVE_POOLS, PRODUCTS, Constant, Kind, Op, Shape, kind_of
from vgglab.tracing.records import CodeLine, Failure, ModuleCall
from vgglab.tracing.shortcuts import shortcut
from vgglab.tracing.size_reads import Computed, SizeReads

_ADAPTIVE_LAYERS = (
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)


class Recorder(TorchDispatchMode):
    """Runs a model that nobody else uses and writes down operations and module calls."""

    def __init__(
        self,
        model: nn.Module,
        inputs: list[Tensor],
        names: Sequence[str | None],
        further: Mapping[str, Any],
        watch_sizes: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.modules = dict(model.named_modules())
        self.inputs = inputs
        self.line: CodeLine | None = None  # where the forward stopped
        pairs = list(zip(names, inputs, strict=True))
        self._args = [x for name, x in pairs if name is None]
        self._kwargs = {**further, **{name: x for name, x in pairs if name is not None}}
        self._in_one: list[int] | None = None  # mult-adds of what counts as one operation
        self.ops: list[Op] = []
        self.calls: list[ModuleCall] = []
        self.output_shapes: tuple[Shape, ...] = ()
        self.output_sources: tuple[int, ...] = ()
        self.failures: list[tuple[BaseException, Failure]] = []
        self._size_reads = SizeReads(self._source) if watch_sizes else None

        self._stack: list[ModuleCall] = []
        self._modules_called: set[int] = set()
        self._calls_finished = 0
        self._keep_alive: list[Tensor] = []  # so that no id or storage is used again

        # The model's own memory, by storage, and the names of the parameters in it.
        self._state: dict[int, tuple[str, ...]] = {}
        self._names: dict[int, str] = {}
        self._buffers: dict[int, Tensor] = {}
        for name, parameter in model.named_parameters():
            self._add_parameter(name, parameter)
        for buffer in model.buffers():
            if not isinstance(buffer, nn.UninitializedBuffer):
                self._state.setdefault(_storage(buffer), ())
                self._buffers[id(buffer)] = buffer

        # Who made a tensor, who last wrote into a storage, which parameters a tensor is made of.
        self._made_by = {id(x): -1 - k for k, x in enumerate(inputs)}
        self._written_by: dict[int, int] = {}
        self._derived_from: dict[int, tuple[str, ...]] = {}
        # The operation to which a storage is booked (-1: it came from outside), and its bytes.
        self._booked: dict[int, tuple[int, int]] = {}
        self._saved: set[int] = set()
        self._saved_uncounted: dict[int, int] = {}  # bytes of steps that were not run, by operation
        # What adaptive poolings were built for, by their path.
        self._output_sizes: dict[str, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, torch's default, loads its compiler at the first operation: two seconds for nothing.
        # A model with compiled parts has loaded it: see `_nothing_compiled`.
        return False

    def run(self) -> Exception | None:
        """Run the forward; return the exception that ended it, if one did."""
        for path, module in self.modules.items():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            if isinstance(module, _ADAPTIVE_LAYERS):
                self._output_sizes[path] = module.output_size
            if isinstance(module, nn.RNNBase):
                module.forward = self._as_one(module)
            if path:
                module.forward = self._watched(path, module)
        try:
            # Autograd's graph holds the hook, and is held by tensors that this holds: no circle
            # that Python sees, and so none that it would clear away.
            keep = saved_tensors_hooks(partial(_save, ref(self)), _saved)
            with _nothing_compiled(), self._size_reads or nullcontext(), self, keep:
                run = self._watched("", self.model, self.model.__call__)
                outputs = _tensors(run(*self._args, **self._kwargs))
            self.output_shapes = _shapes(outputs)
            self.output_sources = tuple(sorted(set(self._sources(outputs).values())))
        except Exception as error:
            self.line = _line_of(error)
            return error
        return None

    @property
    def reads_sizes(self) -> bool:
        """Whether code that is not torch's asked for a size, or was not watched."""
        if self._size_reads is None or self._size_reads.any:
            return True
        return any(isinstance(module, torch.jit.ScriptModule) for module in self.modules.values())

    @property
    def comparisons(self) -> tuple[Computed, ...]:
        """What code that is not torch's compared with a size, as far as it was watched."""
        return () if self._size_reads is None else tuple(self._size_reads.comparisons)

    def saved_bytes(self) -> dict[int, int]:
        """Return the bytes that autograd keeps, by the operation that made them; -1: inputs."""
        saved: dict[int, int] = {}
        kept = [self._booked[storage] for storage in self._saved]
        for owner, size in (*kept, *self._saved_uncounted.items()):
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
                self._note(error, *self._refused(module, args))
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

    def _as_one(self, layer: nn.RNNBase) -> Callable[..., Any]:
        """Return the forward of a recurrent layer, written down as one operation."""
        forward, name = layer.forward, layer.mode.lower()

        def run(*args: Any, **kwargs: Any) -> Any:
            given = _tensors(args) + _tensors(kwargs)
            op = self._op(name, None, (), {}, [*given, *layer.parameters()])
            options = ("input_size", "hidden_size", "num_layers", "batch_first", "bidirectional")
            op = replace(op, options={option: getattr(layer, option) for option in options})
            self._in_one = []
            try:
                result = self._after_all_steps(layer, forward, args, kwargs)
            except Exception as error:
                self._note(error, op, _shapes(given))
                raise
            finally:
                mult_adds, self._in_one = sum(self._in_one or ()), None
            outputs = _tensors(result)
            self._keep_alive += outputs
            if op.sources:
                self._made_by.update({id(output): op.index for output in outputs})
                self.ops.append(replace(op, output_shapes=_shapes(outputs), mult_adds=mult_adds))
            return result

        return run

    def _after_all_steps(
        self, layer: nn.RNNBase, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Return what a recurrent layer returns, and count its mult-adds and what autograd keeps.

        A few steps are run, and the rest is counted as so many more of them.
        """
        steps = recurrent.steps_of(layer, args, kwargs)
        if steps is None:
            return forward(*args, **kwargs)
        index, before, counts = len(self.ops), self._saved, []
        for few in recurrent.FEW:
            self._in_one, self._saved = [], set(before)
            result = recurrent.after_steps(forward, layer, few, args, kwargs)
            booked = [self._booked[storage] for storage in self._saved - before]
            saved = sum(size for owner, size in booked if owner == index)
            counts.append((sum(self._in_one), saved))
        left = steps - max(recurrent.FEW)
        a_step = [more - less for less, more in zip(*counts, strict=True)]
        self._in_one = [counts[-1][0] + left * a_step[0]]
        self._saved_uncounted[index] = left * a_step[1]
        return recurrent.lengthened(layer, result, steps)

    def _refused(self, module: nn.Module, args: Any) -> tuple[Op | None, tuple[Shape, ...]]:
        """Return the operation that torch refused before it came to it."""
        given = _tensors(args)
        if isinstance(module, nn.MaxPool1d) and len(given) == 1 and given[0].dim() in (2, 3):
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
            options = {name: _as_list(getattr(module, name)) for name in names}
            op = self._op("max_pool1d_with_indices", None, (), {}, given)
            op = replace(op, options=options)
            (window,) = op.all_windows
            if window.output_size(given[0].shape[-1]) < 1:
                return op, _shapes(given)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            name, channels = "native_batch_norm", module.num_features
        elif isinstance(module, nn.GroupNorm):
            name, channels = "native_group_norm", module.num_channels
        else:
            return None, ()
        if len(given) != 1 or given[0].dim() < 2 or given[0].shape[1] == channels:
            return None, ()
        state = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        state = [x for x in state if tuple(x.shape) == (channels,)]
        return self._op(name, None, (), {}, [*given, *state]), _shapes(given)

    def _begin(self, path: str, module: nn.Module, args: Any, kwargs: Any) -> ModuleCall:
        own_parameters = []
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in self._names:  # a lazy module has just made it
                self._add_parameter(f"{path}.{name}".lstrip("."), parameter)
            own_parameters.append(self._names[id(parameter)])
        call = ModuleCall(
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

    def _note(self, error: Exception, op: Op | None, shapes: tuple[Shape, ...]) -> None:
        """Note where an exception was first seen; the model may still catch it."""
        if any(seen is error for seen, _ in self.failures):
            return
        call = self._stack[-1]
        inner = self.failures[-1][1] if self.failures else None
        scripted = "TorchScript interpreter" in str(error)
        if op is None and inner and inner.op and (scripted or inner.message in str(error)):
            failure = inner  # the error of an operation was put into another
            path = next(iter(inner.op.parameters), "").rpartition(".")[0]
            if scripted and path:
                layer = getattr(self.modules.get(path), "original_name", inner.type)
                failure = replace(inner, path=path, type=str(layer))
        else:
            failure = Failure(call.path, call.type, op, shapes, type(error).__name__, str(error))
        self.failures.append((error, failure))

    def save(self, tensor: Tensor) -> Any:
        """Note what autograd keeps, and return what it is made of again: it has no data."""
        storage = _storage(tensor)
        if storage not in self._state:
            self._book(tensor, -1)
            self._saved.add(storage)
        # For the same reason not the tensor: a saved output would hold what made it.
        if tensor.is_meta and tensor.layout == torch.strided:
            return tensor.shape, tensor.stride(), tensor.dtype
        return tensor.detach()

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
        name = func.overloadpacket.__name__
        if self._in_one is not None:
            result = func(*args, **kwargs)
            for output in _tensors(result):
                self._book(output, len(self.ops))
            self._in_one.append(_mult_adds(func, name, args, kwargs, result) or 0)
            return result
        is_convolution = kind_of(name) is Kind.CONVOLUTION
        try:
            if is_convolution and len(args) == 9:
                _require_channels(args[0], args[1], args[6], args[8])
            result = shortcut(name, args, kwargs)
            if result is None:
                result = meta_result(func, args, kwargs)
            if is_convolution and result.is_meta:
                result = _laid_out(result, args[0], args[1])
            # On the meta device torch 2.11 lets a kernel pass that is larger than its input.
            if is_convolution and result.numel() == 0 < args[0].numel():
                raise RuntimeError("Kernel size can't be greater than actual input size")
        except Exception as error:
            shapes = (*_shapes(tensors), *map(_of_packed, args))
            op = self._op(name, func, args, kwargs, tensors)
            self._note(error, op, tuple(shape for shape in shapes if shape))
            raise
        self._record(name, func, args, kwargs, tensors, result)
        return result

    def _record(
        self,
        name: str,
        func: Any,
        args: Any,
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        result: Any,
    ) -> None:
        outputs = _tensors(result)
        index = len(self.ops)
        self._keep_alive += outputs
        for output in outputs:
            self._book(output, index)

        sources = self._sources(tensors)
        kind = kind_of(name)
        if kind is Kind.SAME_DATA:
            self._made_by.update({id(o): source for o in outputs for source in sources.values()})
            return
        if kind is Kind.NO_DATA:
            return
        op = self._op(name, func, args, kwargs, tensors, (result, outputs))
        if not (sources or op.parameters):
            return  # a fresh tensor, a random mask, a counter
        if not sources and any(_storage(x) in self._state for x in outputs):
            return  # a view of a parameter, an update of a buffer
        if not sources:
            self._derived_from.update({id(output): op.parameters for output in outputs})
        if _schema(func).writes:
            self._written_by[_storage(tensors[0])] = index
        self._made_by.update({id(output): index for output in outputs})
        self.ops.append(op)

    def _op(
        self,
        name: str,
        func: Any,
        args: Any,
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        ran: tuple[Any, list[Tensor]] | None = None,
    ) -> Op:
        """Return what is known of an operation, with its result if it has run."""
        sources = self._sources(tensors)
        call = self._stack[-1]
        return Op(
            index=len(self.ops),
            name=name,
            path=call.path,
            call=call.index,
            sources=tuple(sorted(set(sources.values()))),
            input_shapes=_shapes([x for x in tensors if id(x) in sources]),
            output_shapes=_shapes(ran[1]) if ran else (),
            parameters=tuple(dict.fromkeys(p for x in tensors for p in self._parameters_in(x))),
            constants=tuple(
                Constant(tuple(x.shape), id(x) not in self._names and id(x) not in self._buffers)
                for x in tensors
                if id(x) not in sources
                and (_storage(x) in self._state or id(x) in self._derived_from)
            ),
            options=self._options(name, func, args, kwargs, call.path) if func else {},
            mult_adds=_mult_adds(func, name, args, kwargs, ran[0]) if ran else None,
            saved_bytes=None,  # known when the forward has ended
            written=sources.get(id(tensors[0])) if func and _schema(func).writes else None,
            made=_shapes([x for x in tensors if id(x) not in sources and self._is_made(x)]),
        )

    def _is_made(self, tensor: Tensor) -> bool:
        """Tell whether a tensor holds neither data of the input nor parameters or buffers."""
        return _storage(tensor) not in self._state and id(tensor) not in self._derived_from

    def _options(
        self, name: str, func: Any, args: Any, kwargs: dict[str, Any], path: str
    ) -> dict[str, Any]:
        """Return the arguments that are no tensors, by name."""
        schema, kind = _schema(func), kind_of(name)
        given = dict(zip(schema.names, args, strict=False)) | kwargs
        options = {key: given.get(key, default) for key, default in schema.options.items()}
        if kind is Kind.CONVOLUTION:
            options["kernel_size"] = list(args[1].shape[2:])
        if kind in ADAPTIVE_POOLS:
            # By now the layer has put what comes in the place of each None.
            rank = len(options["output_size"])
            asked = self._output_sizes.get(path, rank)
            sides = asked if isinstance(asked, tuple | list) else [asked] * rank
            options["kept"] = [k - rank for k, side in enumerate(sides) if side is None]
        return options

    def _sources(self, tensors: list[Tensor]) -> dict[int, int]:
        """Return where the data of those tensors comes from that hold data of the input."""
        return {id(x): source for x in tensors if (source := self._source(x)) is not None}

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


def _save(recorder: "ref[Recorder]", tensor: Tensor) -> Any:
    """Save for a recorder that may be gone, if the caller goes on with what a forward returned."""
    alive = recorder()
    return tensor if alive is None else alive.save(tensor)


def _saved(kept: Any) -> Tensor:
    """Return a tensor that autograd asks for again, where a forward takes gradients itself."""
    if isinstance(kept, Tensor):
        return kept
    shape, stride, dtype = kept
    return torch.empty_strided(shape, stride, dtype=dtype, device="meta")


def _laid_out(result: Tensor, *read: Tensor) -> Tensor:
    """Return what a convolution returns in the order in memory that it has with data.

    There the channels come last if they do in the input or the weight, which the meta device
    forgets: views of it are then refused.
    """
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(result.dim())
    if order is None or not result.is_contiguous():
        return result
    last = [suggest_memory_format(x) is order for x in read if x.dim() == result.dim()]
    return result.contiguous(memory_format=order) if any(last) else result


def _of_packed(value: Any) -> Shape:
    """Return the shape of the matrix in packed weights of a quantised linear layer, else ()."""
    if not isinstance(value, torch.ScriptObject) or "LinearPacked" not in str(value._type()):
        return ()
    weight, _ = torch.ops.quantized.linear_unpack(value)
    return tuple(weight.shape[::-1])


def _as_list(value: Any) -> Any:
    """Return what torch makes of the option of a layer in one dimension."""
    return value if isinstance(value, bool) else [*value] if isinstance(value, tuple) else [value]


def _line_of(error: BaseException) -> CodeLine | None:
    """Return the innermost line in the traceback of an error that is neither torch's nor ours."""
    found = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("torch", "vgglab"):
            file = frame.f_code.co_filename
            found = CodeLine(file, number, linecache.getline(file, number).strip())
    return found


def _require_channels(x: Tensor, weight: Tensor, transposed: bool, groups: int) -> None:
    """Refuse what torch refuses of a convolution: on the meta device it lets groups pass."""
    rank = weight.dim() - 2
    if x.dim() not in (rank + 1, rank + 2):
        return
    channels = x.shape[-rank - 1]
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    size = list(weight.shape)
    if not transposed and weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size {size} instead"
        )
    if channels != wanted:
        kind = f"transposed={int(transposed)}, " if transposed else ""
        raise RuntimeError(
            f"Given {kind}groups={groups}, weight of size {size}, expected input{list(x.shape)} to "
            f"have {wanted} channels, but got {channels} channels instead"
        )


class _Schema(NamedTuple):
    """What torch declares of an operation."""

    names: tuple[str, ...]
    options: dict[str, Any]  # the arguments that are no tensors, with their defaults
    writes: bool


def _nothing_compiled() -> AbstractContextManager[None]:
    """Let compiled parts of a model run as they are written, if there can be any."""
    if "torch._dynamo" in sys.modules:
        eager: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
        return eager
    return nullcontext()


@cache
def _schema(func: Any) -> _Schema:
    arguments = func._schema.arguments
    return _Schema(
        names=tuple(a.name for a in arguments),
        options={a.name: a.default_value for a in arguments if "Tensor" not in str(a.type)},
        writes=any(a.alias_info is not None and a.alias_info.is_write for a in arguments),
    )


def _mult_adds(func: Any, name: str, args: Any, kwargs: dict[str, Any], result: Any) -> int | None:
    formula = flop_registry.get(func.overloadpacket)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=result)) // 2  # two FLOPs each
    return None if kind_of(name) in PRODUCTS else 0


_NUMBERS = {int, float, bool, type(None)}


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if not isinstance(value, list | tuple):
        if not isinstance(value, Mapping):
            return []
        value = value.values()
    found: list[Tensor] = []
    for item in value:
        if isinstance(item, Tensor):
            found.append(item)
        elif type(item) not in _NUMBERS:
            found += _tensors(item)
    return found


def _shapes(value: Any) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in _tensors(value))
