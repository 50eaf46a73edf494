"""Fully connected layers as convolutions, with the pooling before them or without it."""

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

from vgglab.arguments import as_pair
from vgglab.convert.chain import Part
from vgglab.convert.dry_run import dry_run, has_hooks, image_batch
from vgglab.convert.split import ADAPTIVE_POOLS, MapShape, Split, find_split, require_flatten, sides
from vgglab.pooling import adaptive_matrix, pool_matrix
from vgglab.shapes import Window
from vgglab.tracing.copies import real_copy


def fc_to_conv(model: nn.Module, input_size: Sequence[int]) -> nn.Sequential:
    """Write the fully connected layers as convolutions.

    The first becomes a convolution as large as the feature map that it reads at `input_size`, the
    others become 1x1 convolutions. At larger inputs the result evaluates the network densely.

    Parameters
    ----------
    model
        A convolutional network with fully connected layers at its end.
    input_size
        Shape of the input, such as ``(1, 3, 224, 224)``, at which both are the same function.

    Returns
    -------
    torch.nn.Sequential
        Input (N, C, H, W), output a map of scores (N, num_classes, h, w); 1x1 at `input_size`.
        Adaptive pooling before the classifier is left out, a fixed one stays; ``BatchNorm1d``
        becomes ``BatchNorm2d`` with the same statistics.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` is no such network, or if at `input_size` the feature map does not fit or
        adaptive pooling changes it.

    Notes
    -----
    A linear layer on a flattened map reads it in the order C, H, W: its weight (out, C * H * W)
    becomes (out, C, H, W). Source: K. Simonyan and A. Zisserman, https://arxiv.org/abs/1409.1556,
    section 3.2.

    Examples
    --------
    >>> import torch
    >>> from vgglab import vgg
    >>> network = fc_to_conv(vgg("A", width=1 / 16), (1, 3, 224, 224))
    >>> network.classifier[0]
    Conv2d(32, 256, kernel_size=(7, 7), stride=(1, 1))
    >>> network(torch.zeros(1, 3, 400, 400)).shape
    torch.Size([1, 1000, 6, 6])
    """
    size = image_batch(input_size)
    split = find_split(model, size)
    require_flatten(split)
    shape = split.map_shape(split.maps, size)
    if prod(shape) != split.first.linear.in_features:
        raise split.misfit(split.maps, size, shape)
    adaptive = dict(part for part in split.pooling if isinstance(part[1], ADAPTIVE_POOLS))
    kept = [part for part in split.maps if part[0] not in adaptive]
    for call in split.dry_run(split.maps, size).calls:
        if call.path in adaptive and call.input_shapes != call.output_shapes:
            before, after = (shapes[0][2:] for shapes in (call.input_shapes, call.output_shapes))
            raise ValueError(
                f"input_size must be one at which {call.path} ({call.type}) changes nothing, so "
                f"that it can be left out; at {sides(size[2:])} it makes {sides(after)} of "
                f"{sides(before)}.{split.sizes_that_fit(kept, size)} fold_adaptive_pool keeps an "
                "average pooling at any size"
            )
    weight = split.first.linear.weight.detach().reshape(-1, *shape).clone()
    parts: list[Part] = [
        *kept,
        *_before(split, shape),
        (split.first.path, _convolution(split.first.linear, weight)),
        *_on_maps([*split.hidden, *split.after]),
    ]
    network = split.build(parts)
    larger = (*size[:2], size[2] + _STRIDE, size[3] + _STRIDE)
    scores = dry_run(network, larger).output_shapes
    if not scores or 1 in scores[0][2:]:
        raise ValueError(
            "model must give larger feature maps for larger images; "
            f"{type(model).__name__} gives one cell even at {sides(larger[2:])}"
        )
    return network


def fold_adaptive_pool(model: nn.Module, input_size: Sequence[int]) -> nn.Sequential:
    """Fold the average pooling before the first fully connected layer into it.

    Both are linear, so together they are one convolution, as large as the feature map at
    `input_size`. The other layers become 1x1 convolutions, and the map of scores is averaged:
    at `input_size` it has one cell.

    Parameters
    ----------
    model
        A convolutional network with adaptive or fixed average pooling right before the flatten.
    input_size
        Shape of the input, such as ``(1, 3, 400, 400)``, at which both are the same function.

    Returns
    -------
    torch.nn.Sequential
        Input (N, C, H, W) of `input_size` or larger, output (N, num_classes).

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` is no such network, or if at `input_size` the pooled map does not fit.

    Notes
    -----
    With A and B the matrices of the pooling for rows and columns (see `vgglab.pooling`),
    ``W'[o, c, i, j] = sum over k, l of W[o, c, k, l] * A[k, i] * B[l, j]``, computed in float64.

    In train mode dropout between pooling and first layer, as in AlexNet, drops numbers of the map
    and not of the pooled map, so there it is not the same random function.

    Examples
    --------
    >>> from vgglab import vgg
    >>> network = fold_adaptive_pool(vgg("A", width=1 / 16), (1, 3, 400, 400))
    >>> network.classifier[0]
    Conv2d(32, 256, kernel_size=(12, 12), stride=(1, 1))
    """
    size = image_batch(input_size)
    split = find_split(model, size)
    require_flatten(split)
    if not split.pooling:
        raise ValueError(
            "model must have average pooling right before the flatten, to be folded; "
            f"{type(model).__name__} has none there, see fc_to_conv"
        )
    channels, height, width = split.map_shape(split.backbone, size)
    rows, columns = pool_matrices(split.pooling, height, width)
    pooled = (channels, len(rows), len(columns))
    if prod(pooled) != split.first.linear.in_features:
        raise split.misfit(split.maps, size, pooled)
    for path, module in split.before:
        if not isinstance(module, nn.Dropout):
            raise ValueError(
                f"model must have nothing but dropout between pooling and {split.first.path}; "
                f"it has {path} ({type(module).__name__})"
            )
    dropout = [part for part in split.pooling if isinstance(part[1], nn.Dropout)]
    weight = _folded(split.first.linear.weight.detach().reshape(-1, *pooled), rows, columns)
    parts: list[Part] = [
        *split.backbone,
        *dropout,
        *split.before,
        (split.first.path, _convolution(split.first.linear, weight)),
        *_on_maps(split.hidden),
        (None, nn.AdaptiveAvgPool2d(1)),
        (None, nn.Flatten()),
        *split.after,
    ]
    return split.build(parts)


def _before(split: Split, map_shape: MapShape) -> list[Part]:
    """Return what comes between the flatten and the first linear layer, for maps."""
    if map_shape[1:] == (1, 1):
        return _on_maps(split.before)
    for path, module in split.before:
        if type(module) not in _ELEMENTWISE:
            raise ValueError(
                f"model must have nothing between the flatten and {split.first.path} that treats "
                f"the cells of a map differently; it has {path} ({type(module).__name__})"
            )
    return split.before


_STRIDE = 512  # more pixels than the stride of a network from the image to its last map
_CHUNK = 64  # output channels that are computed at a time, for they are in float64

_MIXING = {"GLU", "MultiheadAttention", "PReLU", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}
_ELEMENTWISE = (
    nn.Dropout,
    nn.AlphaDropout,
    *(getattr(activation, name) for name in activation.__all__ if name not in _MIXING),
)


def _on_maps(parts: Iterable[Part]) -> list[Part]:
    """Return layers that do to each cell of a map what `parts` do to a row of features."""
    return [(path, _on_map(path, module)) for path, module in parts]


def _on_map(path: str | None, module: nn.Module) -> nn.Module:
    if type(module) in (*_ELEMENTWISE, nn.PReLU):
        return module
    if type(module) is nn.Linear:
        return _convolution(module, module.weight.detach()[:, :, None, None].clone())
    if type(module) is nn.BatchNorm1d:
        copy = real_copy(module, hooks=True)
        copy.__class__ = nn.BatchNorm2d  # they differ in nothing but the shapes that they accept
        return copy
    if isinstance(module, nn.Softmax | nn.LogSoftmax) and module.dim in (None, 1, -1):
        return type(module)(dim=1).train(module.training)
    raise ValueError(
        "model must have nothing but linear layers, BatchNorm1d, dropout, activations and softmax "
        f"over the classes after the flatten, to do that to each cell of a map; {path} is {module}"
    )


def _convolution(linear: nn.Linear, weight: Tensor) -> nn.Conv2d:
    """Return a convolution with this weight, and everything else from a linear layer."""
    if has_hooks(linear):
        raise ValueError(f"model must have no hooks on layers that are replaced; {linear} has some")
    outputs, channels, height, width = weight.shape
    bias = linear.bias
    # On the meta device no random weights are drawn.
    convolution = nn.Conv2d(
        channels, outputs, (height, width), bias=bias is not None, device="meta"
    )
    convolution.weight = nn.Parameter(weight, linear.weight.requires_grad)
    if bias is not None:
        convolution.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return convolution.train(linear.training)


def pool_matrices(pools: Iterable[Part], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return average poolings, one after the other, as matrices for rows and columns.

    Raises
    ------
    ValueError
        If one of them takes a maximum.
    """
    rows, columns = torch.eye(height, dtype=torch.float64), torch.eye(width, dtype=torch.float64)
    for path, pool in pools:
        if isinstance(pool, nn.AdaptiveMaxPool2d):
            raise ValueError(
                f"model must have average pooling, to be folded; {path} is {pool}, and taking a "
                "maximum is not linear"
            )
        if isinstance(pool, nn.AdaptiveAvgPool2d):
            h, w = as_pair("output_size", pool.output_size)
            rows = adaptive_matrix(len(rows), h or len(rows)) @ rows
            columns = adaptive_matrix(len(columns), w or len(columns)) @ columns
        elif isinstance(pool, nn.AvgPool2d):
            h, w = _windows(pool)
            padded, divisor = pool.count_include_pad, pool.divisor_override
            rows = pool_matrix(h, len(rows), count_include_pad=padded, divisor=divisor) @ rows
            columns = (
                pool_matrix(w, len(columns), count_include_pad=padded, divisor=divisor and 1)
                @ columns
            )
    return rows, columns


def _windows(pool: nn.AvgPool2d) -> tuple[Window, Window]:
    options = (pool.kernel_size, pool.stride, pool.padding)
    height, width = (
        Window(kernel_size, stride, padding, ceil_mode=pool.ceil_mode)
        for kernel_size, stride, padding in zip(*(as_pair("", o) for o in options), strict=True)
    )
    return height, width


def _folded(weight: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the weight (out, C, H, W) that reads a map as `weight` reads the pooled map."""
    rows, columns = rows.to(weight.device), columns.to(weight.device)
    folded = weight.new_empty(*weight.shape[:2], rows.shape[1], columns.shape[1])
    for part, result in zip(weight.split(_CHUNK), folded.split(_CHUNK), strict=True):
        result.copy_(rows.T @ part.to(rows.dtype) @ columns)
    return folded
