"""Times that can be believed: the device's own clock, fresh inputs, and every result checked.

What is timed may be anybody's code. It cannot gain by answering from a cache, since no input comes
twice and none can be foreseen; by working later, in a lazy tensor, a thread or a side stream, since
its answer is copied and all streams are waited for while the clock runs; by leaving work out,
computing in another precision or changing its input, since the input is drawn anew afterwards, and
its answer computed and compared; or by putting functions of its own in the place of clocks, draws
and comparisons, which are bound when this module is loaded. Code in the same process that sets out
to rewrite this module could still deceive it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from secrets import randbits as _randbits
from time import perf_counter as _clock
from time import process_time as _processor_clock
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm as _norm

_copy, _fill, _detach, _double = Tensor.copy_, Tensor.fill_, Tensor.detach, Tensor.double
_clone, _sub, _empty_like = torch.clone, torch.sub, torch.empty_like
_Generator, _synchronize = torch.Generator, torch.cuda.synchronize
_event: Callable[..., torch.cuda.Event] = torch.cuda.Event
_record: Callable[..., None] = torch.cuda.Event.record
_elapsed_time: Callable[..., float] = torch.cuda.Event.elapsed_time

_LEFT_OUT = 0.1  # a change smaller than this share of what it should be was not made
_SMALL = 0.01
_SINGLE = 10  # times the tolerance: what the change of a single tensor may be off by


class Timings(NamedTuple):
    """Samples of the time of a call.

    Attributes
    ----------
    seconds
        One number a call, the warm-up left out.
    error
        The largest relative error of all calls.
    """

    seconds: list[float]
    error: float


def here() -> torch.device:
    """Return the GPU, or the processor where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def one_precision(name: str) -> Iterator[None]:
    """Compute convolutions and matrix products alike; torch's default is TF32 for the first only.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html, section on TensorFloat-32.
    """
    is_tf32 = name == "tf32"
    places: tuple[Any, ...]
    value: str | bool
    if hasattr(torch.backends.cudnn, "conv"):
        places = torch.backends.cudnn.conv, torch.backends.cuda.matmul
        setting, value = "fp32_precision", "tf32" if is_tf32 else "ieee"
    else:  # before torch 2.9
        places = torch.backends.cudnn, torch.backends.cuda.matmul
        setting, value = "allow_tf32", is_tf32
    before = [getattr(place, setting) for place in places]
    for place in places:
        setattr(place, setting, value)
    try:
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            setattr(place, setting, precision)


def time_call(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes, from an idle device to an idle device.

    On a GPU the time is that between two events. The second is recorded when all streams are done,
    not only the one that it is recorded in.
    """
    if here().type == "cpu":
        begun = _clock()
        call()
        return _clock() - begun
    start, end = _event(enable_timing=True), _event(enable_timing=True)
    _synchronize()
    _record(start)
    call()
    _synchronize()
    _record(end)
    _synchronize()
    return _elapsed_time(start, end) / 1000


def time_work(call: Callable[[], object]) -> float:
    """Return the seconds that a call of this package's own code takes.

    As `time_call`; but on a CPU with one thread it is the time that the processor spent on this
    process, so that what else the machine does is not in it. A call that lets another process work
    for it would gain, so strangers' code is not timed like this.
    """
    if here().type != "cpu" or torch.get_num_threads() != 1:
        return time_call(call)
    begun = _processor_clock()
    call()
    return _processor_clock() - begun


def time_checked(
    work: Callable[..., Sequence[Tensor]],
    reference: Callable[..., Sequence[Tensor]],
    draw: Callable[[torch.Generator], Sequence[Tensor]],
    *,
    tolerance: float,
    warmup: int,
    repetitions: int,
    state: Sequence[Tensor] = (),
    timer: Callable[[Callable[[], object]], float] = time_call,
) -> Timings:
    """Time a computation again and again, each time on other inputs, and check each result.

    Parameters
    ----------
    work
        What is timed. Takes what `draw` gives, returns tensors.
    reference
        The same computation as it is known to be right. It returns what `work` does and, after
        that, by how much each tensor of `state` is to change.
    draw
        Makes the inputs from a generator of the device, whose seed nobody can foresee.
    tolerance
        The largest relative error (L2) of any tensor that `work` returns, and of all changes of
        `state` together; ten times as much is allowed to the change of a single tensor.
    warmup
        Calls before those that count; they are checked too.
    repetitions
        Calls that count.
    state
        Tensors that `work` changes, such as weights. Each call finds them as they were.
    timer
        `time_call`, or `time_work` for what is this package's own.

    Returns
    -------
    Timings
        In seconds, one a repetition.

    Raises
    ------
    ValueError
        If a result is not a plain tensor of the right shape, or not right within `tolerance`.
    """
    before = [_clone(_detach(tensor)) for tensor in state]
    seconds, worst = [], 0.0
    wanted = reference(*_drawn(draw, 0))
    kept = [_empty_like(tensor) for tensor in wanted[: len(wanted) - len(state)]]
    for repetition in range(warmup + repetitions):
        seed = _randbits(63)
        inputs = _drawn(draw, seed)
        _restore(state, before)
        for place in kept:
            _fill(place, torch.nan)
        taken = timer(partial(_keep, work, inputs, kept))
        after = [_clone(_detach(tensor)) for tensor in state]  # before anything else can run
        wanted = reference(*_drawn(draw, seed))
        changes = [_sub(new, old) for new, old in zip(after, before, strict=True)]
        worst = max(worst, _checked([*kept, *changes], wanted, len(kept), tolerance))
        if repetition >= warmup:
            seconds.append(taken)
    _restore(state, before)
    return Timings(seconds, worst)


def _drawn(draw: Callable[[torch.Generator], Sequence[Tensor]], seed: int) -> Sequence[Tensor]:
    return draw(_Generator(here()).manual_seed(seed))


def _restore(state: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, old in zip(state, before, strict=True):
            _copy(tensor, old)


def _keep(
    work: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], places: Sequence[Tensor]
) -> None:
    """Work, and copy what it returns, so that it exists when the clock stops."""
    results = work(*inputs)
    if len(results) != len(places):
        raise ValueError(f"work must return {len(places)} tensors; got {len(results)}")
    for result, place in zip(results, places, strict=True):
        if type(result) is not Tensor:
            raise ValueError(f"work must return plain tensors; got {type(result).__name__}")
        if result.shape != place.shape or result.device != place.device:
            raise ValueError(
                f"work must return {tuple(place.shape)} on {place.device}; "
                f"got {tuple(result.shape)} on {result.device}"
            )
        _copy(place, _detach(result))


def _checked(
    found: Sequence[Tensor], wanted: Sequence[Tensor], answers: int, tolerance: float
) -> float:
    """Return the largest relative error: of each answer, of the changes together, of a change.

    The last counts a tenth: where a layer's gradient is small, rounding is large beside it. For the
    same reason it is relative to its own size and a hundredth of all together.
    """
    pairs = [(_double(new), _double(right)) for new, right in zip(found, wanted, strict=True)]
    norms = [
        (float(_norm(_sub(new, right))), float(_norm(right)), float(_norm(new)))
        for new, right in pairs
    ]
    errors = [_relative(off, size) for off, size, _ in norms]
    if changes := norms[answers:]:
        if any(made < _LEFT_OUT * size for _, size, made in changes):
            raise ValueError(
                "work must change all that the reference changes; it left something out"
            )
        off, size, _ = (
            sum(part**2 for part in parts) ** 0.5 for parts in zip(*changes, strict=True)
        )
        single = max(_relative(part, of + _SMALL * size) for part, of, _ in changes)
        errors[answers:] = [_relative(off, size), single / _SINGLE]
    for error in errors:
        if not error <= tolerance:  # what is not a number is no answer either
            raise ValueError(
                f"work must be right to a relative error of {tolerance:g}; it was {error:.2g} off"
            )
    return max(errors)


def _relative(difference: float, size: float) -> float:
    return difference / size if size else difference
