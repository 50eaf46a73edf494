"""A copy of a model that can be run without anything being done to the model itself.

Hooks that belong to the model run on a copy: those of torch (lazy modules, weight_norm, pruning),
and those that are written in the classes of the model's modules or belong to an object that one of
them holds. All others are the caller's. They are left out unless the copy is to be handed over.
"""

import copy
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle


def meta_copy(model: nn.Module, *, hooks: bool = False) -> nn.Module:
    """Return a copy of a model whose tensors have shapes and no data."""
    copied: nn.Module = _Copier(model, _to_meta, hooks).copy(model)
    return copied


def real_copy(model: nn.Module, *, hooks: bool = False) -> nn.Module:
    """Return a copy of a model with copies of its data."""
    copied: nn.Module = _Copier(model, _cloned, hooks).copy(model)
    return copied


def with_data(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Give zeros to the tensors of a copy that have no data, so that it can be run."""
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is None or not tensor.is_meta or is_lazy(tensor):
                    continue
                zeros = torch.zeros_like(tensor, device=device)
                if isinstance(tensor, nn.Parameter):
                    zeros = nn.Parameter(zeros, requires_grad=tensor.requires_grad)
                table[name] = zeros  # type: ignore[assignment]
    return model


def callers_hooks(model: nn.Module) -> list[tuple[str, Any]]:
    """Return the hooks that are no part of the model, each with the path of its module."""
    found = [(path, hook) for path, hook in _hooks(model) if not _is_of_torch(_plain(hook))]
    if not found:
        return []
    modules = list(model.modules())
    classes = {kind for module in modules for kind in type(module).__mro__ if kind is not object}
    places = tuple(f"{kind.__module__}.{kind.__qualname__}." for kind in classes)
    held = {id(item) for module in modules for item in vars(module).values()}

    def is_own(hook: Any) -> bool:
        if isinstance(hook, MethodType) and id(hook.__self__) in held:
            return True
        code = hook.__func__ if isinstance(hook, MethodType) else hook
        return isinstance(code, FunctionType) and _place(code).startswith(places)

    return [(path, hook) for path, hook in found if not is_own(_plain(hook))]


_TABLES = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_ATOMS = {bool, int, float, str, type(None)}


class _Copier:
    """Copies a module with all below it, its tensors changed; shares everything else.

    Unlike ``copy.deepcopy`` this copies neither data of tensors nor what modules merely refer to,
    such as a trainer or a data set.
    """

    def __init__(self, model: nn.Module, change: Callable[[Tensor], Tensor], hooks: bool) -> None:
        self._change = change
        self._copies: dict[int, Any] = {}
        found = [] if hooks else list(_hooks(model))
        self._left_out = {id(hook) for _, hook in callers_hooks(model)} if found else set()
        # What keeps what the model's own hooks see, such as the maps of a feature extractor.
        owners = (getattr(_plain(hook), "__self__", None) for _, hook in found)
        self._objects = {id(owner) for owner in owners if hasattr(owner, "__dict__")}

    def copy(self, value: Any) -> Any:
        if type(value) in _ATOMS:
            return value
        key = id(value)
        if key in self._left_out:
            return value
        found = self._copies.get(key)
        if found is not None:
            return found
        new = self._new(value)
        if new is not value:
            self._copies[key] = new
        return new

    def _new(self, value: Any) -> Any:
        new: Any
        if type(value) in (dict, OrderedDict) and not value:  # a module has a dozen tables of hooks
            return type(value)()
        if isinstance(value, Tensor):
            return self._change(value)
        if isinstance(value, torch.jit.ScriptModule):
            return self._script(value)
        if isinstance(value, nn.Module):
            return self._module(value)
        if isinstance(value, dict):
            new = self._copies[id(value)] = value.copy()
            for key, item in value.items():
                new[key] = self.copy(item)
            return new
        if isinstance(value, list):
            new = self._copies[id(value)] = value.copy()
            new[:] = [self.copy(item) for item in value]
            return new
        if type(value) is tuple:
            return tuple(self.copy(item) for item in value)
        if isinstance(value, set):
            return value.copy()
        if isinstance(value, RemovableHandle):
            return self._handle(value)
        if isinstance(value, MethodType) and self._is_copied(value.__self__):
            return MethodType(value.__func__, self.copy(value.__self__))
        if type(value) is partial:
            arguments = map(self.copy, value.args)
            return partial(self.copy(value.func), *arguments, **self.copy(value.keywords))
        if isinstance(value, FunctionType) and value.__closure__:
            return self._closure(value)
        if id(value) in self._objects:
            new = self._copies[id(value)] = copy.copy(value)
            vars(new).update({name: self.copy(item) for name, item in vars(value).items()})
            return new
        return value

    def _is_copied(self, value: Any) -> bool:
        return isinstance(value, nn.Module) or id(value) in self._objects

    def _module(self, module: nn.Module) -> nn.Module:
        new = self._copies[id(module)] = object.__new__(type(module))
        state = vars(new)
        for name, item in vars(module).items():
            state[name] = item if type(item) in _ATOMS else self.copy(item)
        for table in _TABLES if self._left_out else ():
            hooks = vars(new).get(table, {})
            for key in [key for key, hook in hooks.items() if id(hook) in self._left_out]:
                del hooks[key]
        return new

    def _script(self, module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
        new: torch.jit.ScriptModule = copy.deepcopy(module)
        for part in new.modules():
            tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
            for name, tensor in tensors:
                part._c.setattr(name, self._change(tensor))  # type: ignore[operator, union-attr]
        return new

    def _handle(self, handle: RemovableHandle) -> RemovableHandle:
        """Return a handle of the copied tables: shared, it would remove the model's own hooks."""
        new = copy.copy(handle)
        new.hooks_dict_ref = self._reference(handle.hooks_dict_ref)
        new.extra_dict_ref = tuple(map(self._reference, handle.extra_dict_ref))
        return new

    def _reference(self, reference: Any) -> Any:
        table = reference()
        return reference if table is None else weakref.ref(self.copy(table))

    def _closure(self, function: FunctionType) -> FunctionType:
        """Return a function of the copied modules, if it is one of the model's modules."""
        cells = function.__closure__ or ()
        filled = [cell for cell in cells if _contents(cell) is not None]
        if not any(isinstance(_contents(cell), nn.Module | MethodType) for cell in filled):
            return function
        new_cells = {id(cell): CellType() for cell in cells}
        new = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            tuple(new_cells.values()),
        )
        new.__kwdefaults__ = function.__kwdefaults__
        new.__qualname__ = function.__qualname__
        self._copies[id(function)] = new
        for cell in filled:
            new_cells[id(cell)].cell_contents = self.copy(cell.cell_contents)
        return new


def _hooks(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules():
        held = vars(module)
        for table in _TABLES:
            if hooks := held.get(table):
                for hook in hooks.values():
                    yield path, hook


def _plain(hook: Any) -> Any:
    while isinstance(hook, partial):
        hook = hook.func
    return hook


def _is_of_torch(hook: Any) -> bool:
    """Tell a hook of torch, or of a repair of ours: it is a part of the model."""
    if isinstance(hook, MethodType):
        hook = hook.__func__
    kinds = [hook] if isinstance(hook, FunctionType) else type(hook).__mro__
    return any(_place(kind).startswith(("torch.", "vgglab.convert.")) for kind in kinds)


def _place(code: Any) -> str:
    return f"{code.__module__}.{code.__qualname__}"


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


def _to_meta(tensor: Tensor) -> Tensor:
    """Return a tensor of the same kind without data."""
    if is_lazy(tensor):
        return _uninitialized(tensor, "meta")
    if tensor.layout == torch.strided:  # empty_like takes long for a tensor on the meta device
        empty = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
        )
    else:
        empty = torch.empty_like(tensor.detach(), device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty.requires_grad_(tensor.requires_grad)


def _cloned(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):  # torch cannot copy its uninitialised buffers
        return _uninitialized(tensor, tensor.device)
    return copy.deepcopy(tensor if tensor.is_leaf else tensor.detach())


def _uninitialized(tensor: Tensor, device: torch.device | str) -> Tensor:
    kind: Any = type(tensor)
    new: Tensor = kind(tensor.requires_grad, device=device, dtype=tensor.dtype)
    return new
