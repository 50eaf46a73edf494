"""Fully connected layers as convolutions, with the pooling before them or without it."""

from collections.abc import Iterable, Sequence
from math import prod

from torch import nn
from torch.nn.modules import activation

from vgglab.convert.chain import Part, has_hooks
from vgglab.convert.dry_run import dry_run, image_batch
from vgglab.convert.folding import fold_pooling, linear_as_convolution, pool_matrices
from vgglab.convert.split import ADAPTIVE_POOLS, MapShape, Split, find_split, require_flatten, sides
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
    parts: list[Part] = [
        *kept,
        *_before(split, shape),
        (split.first.path, linear_as_convolution(_replaceable(split.first.linear), shape)),
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
    for path, pool in split.pooling:
        if isinstance(pool, nn.AdaptiveMaxPool2d):
            raise ValueError(
                f"model must have average pooling, to be folded; {path} is {pool}, and taking a "
                "maximum is not linear"
            )
    rows, columns = pool_matrices((pool for _, pool in split.pooling), height, width)
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
    folded = fold_pooling(_replaceable(split.first.linear), rows, columns)
    parts: list[Part] = [
        *split.backbone,
        *dropout,
        *split.before,
        (split.first.path, folded),
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
        return linear_as_convolution(_replaceable(module), (module.in_features, 1, 1))
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


def _replaceable(linear: nn.Linear) -> nn.Linear:
    if has_hooks(linear):
        raise ValueError(f"model must have no hooks on layers that are replaced; {linear} has some")
    return linear
