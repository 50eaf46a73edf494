"""Where a forward asks a tensor for its size, so that it may do something else at another size.

The numbers that it gets are followed through the arithmetic of its code, up to where it compares
them: what it asked there tells at which other sizes it may take another way. Numbers that the code
hands to ``int()`` or ``range()`` are no longer seen.
"""

import math
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SIZES = frozenset({Tensor.shape.__get__, Tensor.size})  # type: ignore[attr-defined]

_READS = _SIZES | frozenset(
    {
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

_WRAPPERS = (__name__, "torch.overrides", "torch._tensor", "torch.functional")
"""Between the code that asks and the method that answers, where that is written in Python."""

_NOT_THE_NETWORKS = ("torch.", "vgglab.tracing.")

_TREATS_ALL_ALIKE = "einops."
"""Its comparisons are those of its cache, and checks."""


class SizeOf(NamedTuple):
    """The size of one dimension of what an operation returned, or of an input (-1 - k)."""

    source: int
    dim: int


class Computed(NamedTuple):
    """What code computed of sizes."""

    function: Callable[..., Any]
    arguments: "tuple[Expression, ...]"


Expression: TypeAlias = int | float | SizeOf | Computed


class SizeReads(TorchFunctionMode):
    """Notice whether code asks for a size, torch's own apart, and what it compares sizes with.

    Parameters
    ----------
    source_of
        Returns the operation (or input) that a tensor comes from; ``None``: neither.

    Attributes
    ----------
    any
        Whether some did.
    comparisons
        What was compared, each comparison once.
    """

    def __init__(self, source_of: Callable[[Tensor], int | None]) -> None:
        super().__init__()
        self.any = False
        self.comparisons: dict[Computed, None] = {}
        self._source_of: Callable[[Tensor], int | None] | None = source_of

    def __exit__(self, *error: Any) -> None:
        self._source_of = None  # numbers that are left over ask nothing any more
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in _READS or f"{_reader()}.".startswith(_NOT_THE_NETWORKS):
            return result
        self.any = True
        source = self._source_of(args[0]) if func in _SIZES and self._source_of else None
        if source is None:
            return result
        if isinstance(result, torch.Size):
            return torch.Size(
                [_IntFollowed(side, SizeOf(source, k), self) for k, side in enumerate(result)]
            )
        dim = kwargs["dim"] if kwargs else args[1]
        return _IntFollowed(result, SizeOf(source, dim % args[0].dim()), self)

    def compared(self, comparison: Computed) -> None:
        """Note what code compares."""
        name = f"{_reader()}."
        if self._source_of and not name.startswith((*_NOT_THE_NETWORKS, _TREATS_ALL_ALIKE)):
            self.comparisons[comparison] = None


def _reader() -> str:
    """Return the name of the module whose code asked."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _WRAPPERS:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")) if frame is not None else ""


class _Followed:
    """A number that knows how it was computed of sizes; otherwise it is a plain number."""

    plain: Callable[[Any], Any]
    expression: Expression
    reads: SizeReads

    def __new__(cls, value: Any, expression: Expression, reads: SizeReads) -> Any:
        self = super().__new__(cls, value)  # type: ignore[call-arg]
        self.expression, self.reads = expression, reads
        return self

    def __reduce__(self) -> Any:
        return self.plain, (self.plain(self),)

    def __hash__(self) -> int:
        return hash(self.plain(self))

    def __bool__(self) -> bool:
        self.reads.compared(Computed(operator.ne, (self.expression, 0)))
        return bool(self.plain(self))

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other


class _IntFollowed(_Followed, int):
    plain = int


class _FloatFollowed(_Followed, float):
    plain = float


def _computed(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of numbers returns, such that it can be followed further."""
    followed = next(a for a in arguments if isinstance(a, _Followed))
    plain = [a.plain(a) if isinstance(a, _Followed) else a for a in arguments]
    expressions = tuple(a.expression if isinstance(a, _Followed) else a for a in arguments)
    result, expression = function(*plain), Computed(function, expressions)
    if isinstance(result, bool):
        followed.reads.compared(expression)
        return result
    kind = {int: _IntFollowed, float: _FloatFollowed}.get(type(result))
    return kind(result, expression, followed.reads) if kind else result


def _method(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def method(self: Any, *others: Any) -> Any:
        if not all(isinstance(other, int | float) for other in others):
            return NotImplemented
        arguments = (*others, self) if reflected else (self, *others)
        return _computed(function, *arguments)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and"):
    _function = getattr(operator, f"__{_name}__")
    setattr(_Followed, f"__{_name}__", _method(_function))
    setattr(_Followed, f"__r{_name}__", _method(_function, reflected=True))
for _name in ("neg", "pos", "abs", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(_Followed, f"__{_name}__", _method(getattr(operator, f"__{_name}__")))
for _name in ("floor", "ceil", "trunc"):
    setattr(_Followed, f"__{_name}__", _method(getattr(math, _name)))
setattr(_Followed, "__round__", _method(round))  # noqa: B010 - its type is not that of int's
