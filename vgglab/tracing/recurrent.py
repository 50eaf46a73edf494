"""A recurrent layer without data: its first steps tell what all of them do.

Torch runs one on the meta device as Python code of many operations a step. Each step makes and
keeps what the one before it did, from the second one on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

FEW = (2, 3)
"""The numbers of steps from whose difference one step is known."""


def steps_of(layer: nn.RNNBase, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    """Return how many steps a layer is to go, if a few of them tell all, else ``None``."""
    given = _sequence(args, kwargs)
    if type(layer) not in (nn.RNN, nn.LSTM, nn.GRU) or not isinstance(given, Tensor):
        return None
    if not given.is_meta or given.dim() not in (2, 3):
        return None
    steps = given.shape[_along(layer, given)]
    return steps if steps > max(FEW) else None


def after_steps(
    forward: Callable[..., Any],
    layer: nn.RNNBase,
    steps: int,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Return what the layer returns after that many steps of those that it is given."""
    given = _sequence(args, kwargs)
    short = given.narrow(_along(layer, given), 0, steps)
    if "input" in kwargs:
        return forward(*args, **{**kwargs, "input": short})
    return forward(short, *args[1:], **kwargs)


def lengthened(layer: nn.RNNBase, result: Any, steps: int) -> Any:
    """Return a result as if it had come after more steps: states have no length, outputs do."""
    outputs, states = result
    axis = _along(layer, outputs)
    shape = [steps if d == axis else n for d, n in enumerate(outputs.shape)]
    full = torch.empty_strided(shape, outputs.stride(), dtype=outputs.dtype, device="meta")
    # Copied, so that autograd knows where it comes from.
    return full.copy_(outputs.narrow(axis, 0, 1)), states


def _sequence(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input")


def _along(layer: nn.RNNBase, sequence: Tensor) -> int:
    """Return the dimension of the steps."""
    return 1 if layer.batch_first and sequence.dim() == 3 else 0
