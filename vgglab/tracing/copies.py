"""A copy of a model that can be run without anything being done to the model itself."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose tensors have shapes and no data."""
    copied: nn.Module = _copy(model, _to_meta, {})
    return copied


def real_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model with copies of its data."""
    copied: nn.Module = _copy(model, _cloned, {})
    return copied


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
    if type(value) in (dict, OrderedDict) and not value:  # a module has a dozen tables of hooks
        new = type(value)()
    elif isinstance(value, dict):
        new = value.copy()
        for key, item in value.items():
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
    return copy.deepcopy(tensor if tensor.is_leaf else tensor.detach())
