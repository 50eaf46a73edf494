"""The algebra of chapter 06: a linear layer as a convolution, and average pooling folded into it.

Nothing here takes a network apart: layers and tensors in, layers and tensors out. Shapes are those
of torch: a feature map (C, H, W), a convolution's weight (out, C, kernel_height, kernel_width).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vgglab.arguments import as_pair
from vgglab.pooling import adaptive_matrix, pool_matrix
from vgglab.shapes import Window

_CHUNK = 64  # output channels that are computed at a time, for they are in float64


def linear_as_convolution(linear: nn.Linear, map_shape: tuple[int, int, int]) -> nn.Conv2d:
    """Write a linear layer on a flattened map as a convolution as large as the map.

    Flattening reads a map in the order C, H, W, so the weight (out, C * H * W) is the weight
    (out, C, H, W). Source: K. Simonyan and A. Zisserman, https://arxiv.org/abs/1409.1556,
    section 3.2.

    Parameters
    ----------
    linear
        A layer with ``in_features = C * H * W``.
    map_shape
        Shape (C, H, W) of the map that is flattened.

    Returns
    -------
    torch.nn.Conv2d
        With copies of the layer's numbers. On a map (N, C, H, W) it gives (N, out, 1, 1), on a
        larger one a map of scores.

    Raises
    ------
    ValueError
        If the map has not as many numbers as the layer reads.

    Examples
    --------
    >>> linear_as_convolution(nn.Linear(8 * 3 * 3, 10), (8, 3, 3))
    Conv2d(8, 10, kernel_size=(3, 3), stride=(1, 1))
    """
    channels, height, width = map_shape
    if channels * height * width != linear.in_features:
        raise ValueError(
            f"map_shape must have the {linear.in_features} numbers that the layer reads; "
            f"got {map_shape}"
        )
    weight = linear.weight.detach().reshape(-1, *map_shape).clone()  # (out, C, H, W)
    return _convolution(linear, weight)


def pool_matrices(pools: Iterable[nn.Module], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return average poolings, one after the other, as one matrix for rows and one for columns.

    Average pooling of a map x (H, W) is ``rows @ x @ columns.T``.

    Parameters
    ----------
    pools
        ``nn.AvgPool2d`` and ``nn.AdaptiveAvgPool2d``; other modules are taken to change nothing,
        as dropout in eval mode does.
    height, width
        H and W of the map that comes.

    Returns
    -------
    rows : Tensor
        (pooled height, H), in float64.
    columns : Tensor
        (pooled width, W), in float64.
    """
    rows = torch.eye(height, dtype=torch.float64)  # (H, H): nothing is pooled yet
    columns = torch.eye(width, dtype=torch.float64)  # (W, W)
    for pool in pools:
        if isinstance(pool, nn.AdaptiveAvgPool2d):
            h, w = as_pair("output_size", pool.output_size)
            rows = adaptive_matrix(len(rows), h or len(rows)) @ rows  # (h, H)
            columns = adaptive_matrix(len(columns), w or len(columns)) @ columns  # (w, W)
        elif isinstance(pool, nn.AvgPool2d):
            down, across = _windows(pool)
            padded, divisor = pool.count_include_pad, pool.divisor_override
            rows = pool_matrix(down, len(rows), count_include_pad=padded, divisor=divisor) @ rows
            # A divisor that is given counts for the whole window, and the rows have had it.
            columns = (
                pool_matrix(across, len(columns), count_include_pad=padded, divisor=divisor and 1)
                @ columns
            )
    return rows, columns


def fold_weight(weight: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the weight that reads a map as `weight` reads the pooled map.

    ``W'[o, c, i, j] = sum over k, l of W[o, c, k, l] * rows[k, i] * columns[l, j]``.

    Parameters
    ----------
    weight
        (out, C, pooled height, pooled width).
    rows, columns
        (pooled height, H) and (pooled width, W), from `pool_matrices`.

    Returns
    -------
    Tensor
        (out, C, H, W), computed in float64, in the type of `weight`.
    """
    rows, columns = rows.to(weight.device), columns.to(weight.device)
    folded = weight.new_empty(*weight.shape[:2], rows.shape[1], columns.shape[1])  # (out, C, H, W)
    for part, result in zip(weight.split(_CHUNK), folded.split(_CHUNK), strict=True):
        result.copy_(rows.T @ part.to(rows.dtype) @ columns)  # (H, h) @ (h, w) @ (w, W)
    return folded


def fold_pooling(linear: nn.Linear, rows: Tensor, columns: Tensor) -> nn.Conv2d:
    """Write average pooling, a flatten and a linear layer as one convolution.

    Parameters
    ----------
    linear
        Reads the pooled map, flattened: ``in_features = C * pooled height * pooled width``.
    rows, columns
        (pooled height, H) and (pooled width, W), from `pool_matrices`.

    Returns
    -------
    torch.nn.Conv2d
        As large as the map before the pooling: on (N, C, H, W) it gives (N, out, 1, 1).

    Examples
    --------
    >>> rows, columns = pool_matrices([nn.AdaptiveAvgPool2d(7)], 12, 12)
    >>> fold_pooling(nn.Linear(8 * 7 * 7, 10), rows, columns)
    Conv2d(8, 10, kernel_size=(12, 12), stride=(1, 1))
    """
    weight = linear.weight.detach().unflatten(1, (-1, len(rows), len(columns)))  # (out, C, h, w)
    return _convolution(linear, fold_weight(weight, rows, columns))


def _convolution(linear: nn.Linear, weight: Tensor) -> nn.Conv2d:
    """Return a convolution with this weight, and everything else from a linear layer."""
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


def _windows(pool: nn.AvgPool2d) -> tuple[Window, Window]:
    options = (pool.kernel_size, pool.stride, pool.padding)
    height, width = (
        Window(kernel_size, stride, padding, ceil_mode=pool.ceil_mode)
        for kernel_size, stride, padding in zip(*(as_pair("", o) for o in options), strict=True)
    )
    return height, width
