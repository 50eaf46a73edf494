"""What a judge asks of an answer: probes, made of calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class Ref:
    """What an earlier call of the same probe kept, or a part of it.

    Parameters
    ----------
    name
        The `name` of that call.
    *path
        Attributes or keys of a dict (strings) and indices (integers) that lead to the part:
        ``Ref("net", "features", 0)`` is ``net.features[0]``.
    """

    def __init__(self, name: str, *path: str | int) -> None:
        self.json = {"$ref": [name, *path]}


class Tensor:
    """A tensor as an argument.

    Parameters
    ----------
    data
        Nested lists of numbers.
    dtype
        Name of a dtype of torch.
    requires_grad
        Whether autograd records what is done with it.
    """

    def __init__(self, data: Any, dtype: str = "float32", requires_grad: bool = False) -> None:
        self.json = {"$tensor": {"data": data, "dtype": dtype, "requires_grad": requires_grad}}


class Randn:
    """A tensor of normal random numbers as an argument, always the same for a seed.

    Parameters
    ----------
    shape
        Its shape.
    seed
        Of the generator.
    dtype, requires_grad
        As for `Tensor`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        seed: int,
        dtype: str = "float32",
        requires_grad: bool = False,
    ) -> None:
        body = {"shape": list(shape), "seed": seed, "dtype": dtype, "requires_grad": requires_grad}
        self.json = {"$randn": body}


class Call:
    """One call of a function inside the worker.

    Parameters
    ----------
    function
        Name of what an answer, a given cell or the judge's ``probe_code.py`` defines; a helper
        such as ``"@layers"``; or a `Ref`, to call what an earlier call kept.
    *args, **kwargs
        Arguments: numbers, strings, ``None``, lists, tuples, dicts, `Tensor`, `Randn`, `Ref`.
    name
        Keeps the result for a `Ref` in later calls of the same probe.
    returned
        Whether the result is sent back and compared.
    device
        ``"meta"`` makes every tensor without data.
    raises
        The call is to raise; the class of the builtin exception is compared.
    """

    def __init__(
        self,
        function: str | Ref,
        /,
        *args: Any,
        name: str | None = None,
        returned: bool = True,
        device: str | None = None,
        raises: bool = False,
        **kwargs: Any,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.name, self.returned, self.device, self.raises = name, returned, device, raises

    def to_json(self) -> dict[str, Any]:
        """Return what the worker reads."""
        return {
            "function": _to_json(self.function),
            "args": [_to_json(argument) for argument in self.args],
            "kwargs": {key: _to_json(value) for key, value in self.kwargs.items()},
            "name": self.name,
            "returned": self.returned,
            "device": self.device,
            "raises": self.raises,
        }

    def __str__(self) -> str:
        function = self.function if isinstance(self.function, str) else "…"
        words = [_words(argument) for argument in self.args]
        words += [f"{key}={_words(value)}" for key, value in self.kwargs.items()]
        return f"{function.removeprefix('@')}({', '.join(words)})"


@dataclass(init=False)
class Probe:
    """One thing that is asked of an answer; all its calls must agree with the reference.

    Parameters
    ----------
    question
        Id of the question, such as ``"q1"``.
    says
        What is asked, for the feedback: no values.
    *calls
        At least one of them must return something or be to raise.
    points
        Weight among the probes of the question.
    rtol, atol
        Tolerances for floating-point numbers; ``None`` for those of the dtype: 1e-4 and 1e-6
        for 32 bits and fewer, 1e-5 and 1e-8 for 64 bits and Python's numbers.
    hint
        Shown when the probe is lost: no values.
    public
        Whether the feedback shows the calls, what came and what was expected.
    """

    question: str
    says: str
    calls: tuple[Call, ...]
    points: float
    rtol: float | None
    atol: float | None
    hint: str
    public: bool

    def __init__(
        self,
        question: str,
        says: str,
        *calls: Call,
        points: float = 1,
        rtol: float | None = None,
        atol: float | None = None,
        hint: str = "",
        public: bool = False,
    ) -> None:
        if not any(call.returned or call.raises for call in calls):
            raise ValueError(f"calls of the probe {says!r} must return something; none does")
        if not points > 0:
            raise ValueError(f"points of the probe {says!r} must be above 0; got {points!r}")
        self.question, self.says, self.calls, self.points = question, says, calls, points
        self.rtol, self.atol, self.hint, self.public = rtol, atol, hint, public

    def to_json(self) -> list[dict[str, Any]]:
        """Return the calls as the worker reads them."""
        return [call.to_json() for call in self.calls]


def _to_json(value: Any) -> Any:
    if isinstance(value, Ref | Tensor | Randn):
        return value.json
    if isinstance(value, tuple):
        return {"$tuple": [_to_json(item) for item in value]}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {"$dict": [(key, _to_json(item)) for key, item in value.items()]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        "arguments of a call must be numbers, strings, None, lists, tuples, dicts, Tensor, Randn "
        f"or Ref; got {type(value).__name__}"
    )


def _words(value: Any) -> str:
    if isinstance(value, Randn):
        body = value.json["$randn"]
        return f"randn({body['shape']}, {body['dtype']})"
    if isinstance(value, Tensor):
        return f"tensor({value.json['$tensor']['data']})"
    return "…" if isinstance(value, Ref) else repr(value)
