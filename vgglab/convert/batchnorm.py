"""BatchNorm folded into the layers before it: the same function with fewer operations."""

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vgglab.arguments import check_model
from vgglab.convert.chain import has_hooks
from vgglab.tracing import InputSize, Op, Shape, Trace, trace
from vgglab.tracing.copies import real_copy

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

Pair: TypeAlias = tuple[str, str]
"""Path of a layer, and of the BatchNorm that reads it."""


def fold_batchnorm(model: nn.Module, input_size: InputSize) -> nn.Module:
    """Put each BatchNorm that follows a convolution or a linear layer into that layer's weights.

    In eval mode BatchNorm multiplies each channel by ``weight / sqrt(running_var + eps)`` and adds
    a constant. The layer before it can do both: its weights are multiplied by that factor, and the
    constant goes into its bias. In train mode this is not so, for there the factor is another for
    each batch.

    Source: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", https://arxiv.org/abs/1712.05877, section 3.2, equation 14.

    Parameters
    ----------
    model
        Any network.
    input_size
        An input that it takes, as in `vgglab.trace`. What follows what is read from a trace.

    Returns
    -------
    torch.nn.Module
        A copy in eval mode, with ``nn.Identity`` in the place of each BatchNorm that was folded.
        One that cannot be folded stays: if it follows another kind of layer, if something else
        reads that layer's output too, if either module is used twice, has hooks or weights that
        are shared or read elsewhere, or if there are no running statistics.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` does not take inputs of `input_size`, or cannot be traced.
    """
    model = check_model("model", model)
    traced = trace(model, input_size, training=False)
    if traced.failure is not None:
        raise ValueError(
            f"input_size must be one that the model takes; {input_size} stops in "
            f"{traced.failure.path} ({traced.failure.type}): {traced.failure.message}"
        )
    folded = real_copy(model, hooks=True).eval()
    for layer_path, norm_path in list(_pairs(folded, traced)):
        layer, norm = folded.get_submodule(layer_path), folded.get_submodule(norm_path)
        _fold(layer, norm)
        folded.set_submodule(norm_path, nn.Identity().eval())
    return folded


def _pairs(model: nn.Module, traced: Trace) -> Iterator[Pair]:
    """Give the layers that can take up the BatchNorm after them."""
    modules = dict(model.named_modules())
    calls = Counter(call.path for call in traced.calls)
    places = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    owners = Counter(
        id(parameter) for module in model.modules() for parameter in module._parameters.values()
    )
    readers = Counter(source for op in traced.ops for source in op.sources)
    reads = Counter(name for op in traced.ops for name in op.parameters)

    def alone(path: str) -> bool:
        module = modules[path]
        shared = any(
            parameter is not None and (owners[id(parameter)] > 1 or reads[f"{path}.{name}"] > 1)
            for name, parameter in module._parameters.items()
        )
        return calls[path] == 1 == places[id(module)] and not shared and not has_hooks(module)

    for op in traced.ops:
        if len(op.sources) != 1 or op.sources[0] < 0 or type(modules[op.path]) not in _NORMS:
            continue
        before = traced.ops[op.sources[0]]
        layer, norm = modules[before.path], cast("_BatchNorm", modules[op.path])
        if (
            _can_take(layer, before.output_shapes[0])
            and norm.running_mean is not None
            and readers[before.index] == 1
            and not _may_be_returned(before, traced)
            and alone(before.path)
            and alone(op.path)
        ):
            yield before.path, op.path


def _can_take(layer: nn.Module, output: Shape) -> bool:
    """Tell whether the channels of a layer are those that BatchNorm normalises: dimension 1."""
    if isinstance(layer, _TRANSPOSED) and layer.groups > 1:
        return False
    return type(layer) in _LAYERS and len(output) == cast("Tensor", layer.weight).dim()


def _may_be_returned(op: Op, traced: Trace) -> bool:
    """Tell whether one of several outputs could be this one: a trace knows only their shapes."""
    return len(traced.output_shapes) > 1 and op.output_shapes[0] in traced.output_shapes


def _fold(layer: nn.Module, norm: nn.Module) -> None:
    assert isinstance(norm, _BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight = cast("nn.Parameter", layer.weight)
    layer.weight, layer.bias = fuse_conv_bn_weights(
        weight,
        cast("Tensor | None", layer.bias),
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(layer, _TRANSPOSED),
    )
    layer.bias.requires_grad_(weight.requires_grad)
