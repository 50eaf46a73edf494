"""Results without data for operations that torch takes long to work out on the meta device.

There torch runs these as Python code of many operations, and in small networks they take most of
the time of a trace; the first of them even loads torch's compiler. A shortcut answers for plain
arguments and leaves all others to torch, the wrong ones too, so that errors are torch's.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_REAL = (torch.float32, torch.float64)


def shortcut(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the result of an operation on tensors of the meta device; ``None``: ask torch."""
    answer = SHORTCUTS.get(name)
    return None if answer is None or kwargs else answer(*args)


def _of_one(x: Tensor) -> Tensor | None:
    return _like(x) if _is_plain(x) else None


def _of_two(x: Tensor, y: Any, alpha: float = 1) -> Tensor | None:
    if not (isinstance(y, Tensor) and x.shape == y.shape and x.dtype == y.dtype):
        return None
    return x.new_empty(x.shape) if _is_plain(x) and _is_plain(y) else None


def _cat(tensors: list[Tensor], dim: int = 0) -> Tensor | None:
    if not tensors or not all(_is_plain(x) and x.dim() == tensors[0].dim() for x in tensors):
        return None
    first = tensors[0]
    if not -first.dim() <= dim < first.dim():
        return None
    shapes = {(*x.shape[: dim % x.dim()], *x.shape[dim % x.dim() + 1 :]) for x in tensors}
    if len(shapes) > 1 or any(x.dtype != first.dtype for x in tensors):
        return None
    shape = list(first.shape)
    shape[dim] = sum(x.shape[dim] for x in tensors)
    return first.new_empty(shape)


def _addmm(bias: Tensor, rows: Tensor, matrix: Tensor) -> Tensor | None:
    same = bias.dtype == rows.dtype == matrix.dtype
    fits = rows.dim() == matrix.dim() == 2 and rows.shape[1] == matrix.shape[0]
    if not (same and fits and _is_plain(rows) and bias.shape == matrix.shape[1:]):
        return None
    return rows.new_empty(rows.shape[0], matrix.shape[1])


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor] | None:
    if not _is_plain(x) or x.dim() < 2:
        return None
    channels = x.shape[1]
    statistics = [s for s in (weight, bias, running_mean, running_var) if s is not None]
    if any(s.shape != (channels,) or s.dtype != x.dtype for s in statistics):
        return None
    if x.numel() == channels if training else running_mean is None or running_var is None:
        return None
    return _like(x), x.new_empty(channels), x.new_empty(channels)


def _mean(x: Tensor, dims: list[int] | None = None, keepdim: bool = False) -> Tensor | None:
    if not (_is_plain(x) and dims and all(-x.dim() <= d < x.dim() for d in dims)):
        return None
    gone = {d % x.dim() for d in dims}
    if len(gone) < len(dims):
        return None
    kept = [1 if d in gone else n for d, n in enumerate(x.shape) if keepdim or d not in gone]
    return x.new_empty(kept)


def _bernoulli_(x: Tensor, p: float | Tensor = 0.5) -> Tensor | None:  # the mask of dropout
    return x if _is_plain(x) and isinstance(p, float) and 0 <= p <= 1 else None


def _native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor] | None:
    if not (_is_plain(x) and train and 0 < p < 1):
        return None
    return _like(x), torch.empty_like(x, dtype=torch.bool)


SHORTCUTS: Mapping[str, Callable[..., Any]] = {
    "relu": _of_one,
    "neg": _of_one,
    "add": _of_two,
    "mul": _of_two,
    "cat": _cat,
    "addmm": _addmm,
    "mean": _mean,
    "bernoulli_": _bernoulli_,
    "native_dropout": _native_dropout,
    "native_batch_norm": _batch_norm,
}


def _is_plain(x: Tensor) -> bool:
    return x.is_meta and x.dtype in _REAL and x.numel() > 0 and x.is_contiguous()


def _like(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
