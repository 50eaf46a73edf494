"""Results without data, worked out once for each form of the arguments.

Torch works out many of them in Python, which takes most of the time of a trace; a transformer asks
the same a hundred times over. What an operation returns on the meta device depends on the shapes,
strides and types of what it is given and on nothing else, which torch's own `FakeTensor` relies on
as well.
"""

from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

MOST_KEPT = 4096
"""How many results are remembered; a network has a few hundred."""


def meta_result(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what an operation returns; one that writes or returns views is run each time."""
    found = None
    if _is_function(func):
        with suppress(_NoFormError):
            given = _form(args), _form(tuple(kwargs.items()))
            found = worked_out(func, *given, torch.get_default_dtype())
    return func(*args, **kwargs) if found is None else _of_form(found)


class _TensorForm(NamedTuple):
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


class _Value(NamedTuple):
    """Anything else, with its type: to Python ``1``, ``1.0`` and ``True`` are equal."""

    type: type
    value: Any


class _NoFormError(Exception):
    """An argument is more than its form."""


@lru_cache(MOST_KEPT)
def worked_out(func: Any, args: Any, kwargs: Any, default_dtype: torch.dtype) -> Any:
    """Return the form of a result; ``None``: a view, of which torch does not say so.

    The default type is given because operations on whole numbers read it.
    """
    made_args, made_kwargs = _of_form(args), dict(_of_form(kwargs))
    result = func(*made_args, **made_kwargs)
    given = _storages((made_args, made_kwargs))
    return None if given & _storages(result) else _form(result)


def _storages(values: Any) -> set[int]:
    tensors = [x for x in tree_leaves(values) if isinstance(x, Tensor)]
    return {x.untyped_storage()._cdata for x in tensors}


@cache
def _is_function(func: Any) -> bool:
    """Tell whether an operation of torch makes new tensors of others and does nothing else."""
    taken, returned = func._schema.arguments, func._schema.returns
    reads = any("Tensor" in str(value.type) for value in taken)
    makes = bool(returned) and all(str(value.type) == "Tensor" for value in returned)
    alone = not any(value.alias_info for value in (*taken, *returned))
    return func.namespace == "aten" and reads and makes and alone


def _form(value: Any) -> Any:
    if isinstance(value, Tensor):
        if not value.is_meta or value.layout is not torch.strided or value.is_complex():
            raise _NoFormError
        return _TensorForm(value.shape, value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    if value.__hash__ is None:
        raise _NoFormError
    return _Value(type(value), value)


def _of_form(form: Any) -> Any:
    if isinstance(form, _TensorForm):
        shape, stride, dtype = form
        return torch.empty_strided(shape, stride, dtype=dtype, device="meta")
    return form.value if isinstance(form, _Value) else tuple(map(_of_form, form))
