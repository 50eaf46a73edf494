"""Where a forward asks a tensor for its size, so that it may do something else at another size."""

import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_READS = frozenset(
    {
        Tensor.shape.__get__,  # type: ignore[attr-defined]
        Tensor.size,
        Tensor.numel,
        Tensor.nelement,
        Tensor.__len__,
        Tensor.__iter__,  # these give as many parts as there are
        Tensor.split,
        Tensor.unbind,
        torch.split,
        torch.unbind,
    }
)

_WRAPPERS = ("torch.overrides", "torch._tensor", "torch.functional")
"""Between the code that asks and the method that answers, where that is written in Python."""

_NOT_THE_NETWORKS = ("torch.", "vgglab.tracing.")


class SizeReads(TorchFunctionMode):
    """Notice whether code asks for a size, torch's own apart.

    Attributes
    ----------
    any
        Whether some did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.any = False

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _READS:
            self.any |= not f"{_reader()}.".startswith(_NOT_THE_NETWORKS)
        return func(*args, **(kwargs or {}))


def _reader() -> str:
    """Return the name of the module whose code asked."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in _WRAPPERS:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")) if frame is not None else ""
