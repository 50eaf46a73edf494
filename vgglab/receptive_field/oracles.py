"""Two ways to see a receptive field that know nothing of the recurrence.

Both run a copy of the network in which nothing can cancel: weights are positive, biases are zero,
and what is not linear is replaced by what has the same inputs and is. One asks autograd which
pixels a cell depends on, the other changes pixels and looks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from vgglab.receptive_field import Box
from vgglab.shapes import Window
from vgglab.tracing import caller_undisturbed
from vgglab.tracing.copies import real_copy

_ACTIVATIONS = {
    *("relu", "relu6", "hardtanh", "leaky_relu", "elu", "celu", "selu", "silu", "gelu", "mish"),
    *("sigmoid", "tanh", "hardswish", "hardsigmoid", "softplus", "local_response_norm", "dropout"),
}
_SEEN_AT_ONCE = 32  # images that are run together


def gradient_support(
    model: nn.Module, input_size: tuple[int, int, int, int], layer: str, i: int, j: int
) -> Tensor:
    """Return the pixels on which a cell depends, by autograd.

    Parameters
    ----------
    model
        A network of convolutions, poolings, normalisations and common activations.
    input_size
        (N, C, H, W); N is not used.
    layer
        Path of the module whose output has the cell.
    i, j
        Row and column of the cell.

    Returns
    -------
    Tensor
        (H, W) of ``torch.bool``.
    """
    with _positive_copy(model, layer) as run:
        image = torch.ones(1, *input_size[1:], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(run(image)[0, :, i, j].sum(), image)
    return gradient[0].sum(0) > 0


def perturbation_box(
    model: nn.Module, input_size: tuple[int, int, int, int], layer: str, i: int, j: int
) -> Box:
    """Return the box of pixels that change a cell, by lighting up a row or a column at a time.

    Parameters
    ----------
    model, input_size, layer, i, j
        See `gradient_support`.

    Returns
    -------
    Box
        The smallest one around the pixels that count.
    """
    height, width = input_size[2:]
    rows = torch.eye(height, dtype=torch.bool)[:, :, None].expand(-1, -1, width)
    columns = torch.eye(width, dtype=torch.bool)[:, None].expand(-1, height, -1)
    lit = answers(model, input_size, layer, i, j, torch.cat([rows, columns]))
    (top, bottom), (left, right) = _ends(lit[:height]), _ends(lit[height:])
    return Box(top, left, bottom, right)


def answers(
    model: nn.Module,
    input_size: tuple[int, int, int, int],
    layer: str,
    i: int,
    j: int,
    masks: Tensor,
) -> Tensor:
    """Tell for each of several masks (M, H, W) whether a cell changes when its pixels are lit.

    The image is black elsewhere, so that a change of any size can be seen.

    Parameters
    ----------
    model, input_size, layer, i, j
        See `gradient_support`.
    masks
        (M, H, W), the pixels that are lit.

    Returns
    -------
    Tensor
        (M,), whether the cell is another one than that of a black image.
    """
    with _positive_copy(model, layer) as run, torch.no_grad():
        seen = [
            run(part[:, None].expand(-1, input_size[1], -1, -1).double())[:, :, i, j].sum(1) > 0
            for part in masks.split(_SEEN_AT_ONCE)
        ]
    return torch.cat(seen)


def box_of(mask: Tensor) -> Box:
    """Return the smallest box around the pixels of a mask (H, W)."""
    (top, bottom), (left, right) = _ends(mask.any(1)), _ends(mask.any(0))
    return Box(top, left, bottom, right)


def _ends(seen: Tensor) -> tuple[int, int]:
    places = seen.nonzero().flatten().tolist()
    return (places[0], places[-1] + 1) if places else (0, 0)


@contextmanager
def _positive_copy(model: nn.Module, layer: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """Give a function from images to the output of a layer of the copy."""
    copied = real_copy(model).cpu().double().eval()
    for module in copied.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                weight = name == "weight" and parameter.dim() > 1
                fill = 1 / parameter[0].numel() if weight else float(name == "weight")
                parameter.data.fill_(fill)
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            module.running_mean.zero_()
            cast("Tensor", module.running_var).fill_(1)
    found: list[Tensor] = []
    copied.get_submodule(layer).register_forward_hook(lambda *call: found.append(call[2]))

    def run(images: Tensor) -> Tensor:
        found.clear()
        with _Linearised():
            copied(images)
        return found[-1]

    with caller_undisturbed():
        yield run


class _Linearised(TorchFunctionMode):
    """Lets activations pass everything, and sums where the maximum is taken."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "").removesuffix("_")
        if name in _ACTIVATIONS:
            return args[0]
        if name == "max_pool2d":
            return _window_sum(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _window_sum(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Sum over the windows of a max pooling."""
    pairs = [
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (kernel_size, stride or kernel_size, padding, dilation)
    ]
    windows = [
        Window(kernel, stride, padding, dilation, ceil_mode)
        for kernel, stride, padding, dilation in zip(*pairs, strict=True)
    ]
    edges = []
    for window, size in zip(windows, x.shape[-2:], strict=True):
        end = (window.output_size(size) - 1) * window.stride + window.extent
        edges.append((window.padding, end - size - window.padding))
    padded = pad(x, (*edges[1], *edges[0]))
    ones = torch.ones(x.shape[1], 1, *pairs[0], dtype=x.dtype)
    return conv2d(padded, ones, stride=pairs[1], dilation=pairs[3], groups=x.shape[1])
