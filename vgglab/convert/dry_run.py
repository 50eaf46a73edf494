"""Trial runs of a network: without data, with a few images, and at a size at which it runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vgglab.arguments import check_image_size
from vgglab.tracing import Shape, Trace, trace
from vgglab.tracing.copies import meta_copy
from vgglab.valid_sizes import valid_sizes

_BATCH = 2  # BatchNorm in train mode does not take a single image


def image_batch(input_size: Sequence[int]) -> Shape:
    """Return the shape of a small batch of the images of `input_size`."""
    return (_BATCH, *check_image_size("input_size", input_size)[1:])


def dry_run(network: nn.Module, size: Shape | Sequence[Shape], *, training: bool = False) -> Trace:
    """Trace a network in eval or in train mode, whatever mode it is in.

    Dropout is shown in either mode, as one operation ``native_dropout`` with its options.
    """
    with _DropoutShown():
        return trace(network, size, training=training)


class _DropoutShown(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_dropout if func is F.dropout else func)(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.native_dropout(input, p, training)[0]


class Misfit(NamedTuple):
    """A linear layer, by path, and the number of features that it gets but does not take."""

    path: str
    features: int


class Run(NamedTuple):
    """A trial run that ended, if need be with a misfit mended."""

    size: Shape
    trace: Trace
    misfit: Misfit | None = None


def mended(network: nn.Module, misfit: Misfit | None) -> nn.Module:
    """Return the network, or a copy without data in which the misfit takes what it gets."""
    if misfit is None:
        return network
    copied = meta_copy(network, hooks=True)
    linear = copied.get_submodule(misfit.path)
    assert isinstance(linear, nn.Linear)
    weight = linear.weight.new_empty(linear.out_features, misfit.features)
    linear.weight = nn.Parameter(weight, linear.weight.requires_grad)
    return copied


def find_run(model: nn.Module, size: Shape) -> Run:
    """Run a network at `size`; if it does not end, at another size; if at none, mended.

    Raises
    ------
    ValueError
        If no run ends.
    """
    first = dry_run(model, size)
    if _ended(first):
        return Run(size, first)
    if first.fallback is not None:
        raise ValueError(
            f"model must run without data; {type(model).__name__} needs the values of its tensors "
            f"({first.fallback})"
        )
    stopped = linear_that_stopped(model, first)
    if stopped is not None and len(stopped[1]) != 2:
        path, shape = stopped
        raise ValueError(
            f"model must flatten its maps before {path}, which gets the shape {shape}; if the "
            "flatten was lost, with_flatten puts it back"
        )
    sizes = valid_sizes(meta_copy(model).eval(), first)
    if sizes:
        other = (*size[:2], *sizes.nearest((size[2], size[3])))
        again = dry_run(model, other)
        if _ended(again):
            return Run(other, again)
    if stopped is not None:
        misfit = Misfit(stopped[0], features=stopped[1][1])
        again = dry_run(mended(model, misfit), size)
        if _ended(again):
            return Run(size, again, misfit)
    reason = f"it returns {first.output_shapes} for {_BATCH} images"
    if first.failure is not None:
        where = first.failure.path or "its own code"
        reason = f"it stops in {where} ({first.failure.type}): {first.failure.message}"
    raise ValueError(
        f"model must run at some size; none was found for {type(model).__name__}: at "
        f"{'×'.join(map(str, size[1:]))} {reason}"
    )


def _ended(trace: Trace) -> bool:
    """Tell whether the forward ended with one row for each image: ``view(-1, k)`` mixes them."""
    if trace.failure is not None or trace.fallback is not None:
        return False
    return [shape[:1] for shape in trace.output_shapes] == [(_BATCH,)]


def linear_that_stopped(model: nn.Module, trace: Trace) -> tuple[str, Shape] | None:
    """Return path and input shape of the linear layer in which a forward stopped, if in one."""
    failure = trace.failure
    if failure is None or type(model.get_submodule(failure.path)) is not nn.Linear:
        return None
    (shape,) = trace.calls[-1].input_shapes
    return failure.path, shape
