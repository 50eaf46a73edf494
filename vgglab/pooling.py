"""Pooling that fits any input: adaptive bins, spatial pyramids, and their matrices.

Along one axis average pooling is a matrix: a row for each output, a column for each input pixel, in
each row the weights of the pixels in that bin. With one matrix for the height and one for the width
the pooled map is ``A_h @ x @ A_w.T``, whether the windows slide (`pool_matrix`) or adapt to the
input (`adaptive_matrix`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgglab.arguments import as_pair, check_integer, check_side
from vgglab.shapes import IntOrPair, Window

Mode: TypeAlias = Literal["max", "avg"]


def adaptive_bins(input_size: int, output_size: int) -> list[range]:
    """Return the pixels that torch's adaptive pooling puts into each bin, along one axis.

    Bin i of m over n pixels is ``[floor(i * n / m), ceil((i + 1) * n / m))``. Neighbours share a
    pixel unless the boundary between them is a whole number; with m > n they repeat pixels.

    Parameters
    ----------
    input_size
        Height or width of the input in pixels.
    output_size
        Number of bins.

    Raises
    ------
    TypeError
        If an argument is no integer.
    ValueError
        If an argument is below 1.

    Notes
    -----
    Source: K. He, X. Zhang, S. Ren and J. Sun, "Spatial Pyramid Pooling in Deep Convolutional
    Networks for Visual Recognition", https://arxiv.org/abs/1406.4729, appendix A, "Implementation
    of Pooling Bins"; torch's ``AdaptiveAvgPool2d`` and ``AdaptiveMaxPool2d`` follow it.

    Examples
    --------
    >>> [(bin.start, bin.stop) for bin in adaptive_bins(12, 7)]
    [(0, 2), (1, 4), (3, 6), (5, 7), (6, 9), (8, 11), (10, 12)]
    """
    n = check_side("input_size", input_size)
    m = check_side("output_size", output_size, minimum=1)
    return [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def adaptive_matrix(
    input_size: int, output_size: int, *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Return adaptive average pooling along one axis as a matrix.

    Parameters
    ----------
    input_size
        Height or width of the input in pixels.
    output_size
        Number of bins.
    dtype
        Type of the numbers.

    Returns
    -------
    torch.Tensor
        Shape (output_size, input_size). Row i is the mean over bin i, so each row sums to 1. The
        sum of column j is the weight of pixel j in the whole output: where the weights differ, as
        for 12 pixels in 7 bins, pooling does not keep the mean of the map.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is below 1.

    See Also
    --------
    adaptive_bins
        The bins, and their source.

    Examples
    --------
    >>> adaptive_matrix(3, 2)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    bins = adaptive_bins(input_size, output_size)
    matrix = torch.zeros(output_size, input_size, dtype=dtype)
    for row, pixels in zip(matrix, bins, strict=True):
        row[pixels.start : pixels.stop] = 1 / len(pixels)
    return matrix


def pool_matrix(
    window: Window,
    input_size: int,
    *,
    count_include_pad: bool = True,
    divisor: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return average pooling with a sliding window along one axis as a matrix.

    Parameters
    ----------
    window
        The window of an ``AvgPool2d`` along this axis.
    input_size
        Height or width of the input in pixels.
    count_include_pad
        As in ``torch.nn.AvgPool2d``: whether a mean counts the zeros of the padding.
    divisor
        Divide each sum by this number and not by the number of pixels. torch's
        ``divisor_override`` is for both axes together: give it to one of the two matrices, and 1
        to the other.
    dtype
        Type of the numbers.

    Returns
    -------
    torch.Tensor
        Shape (number of places, input_size). Without `divisor` a row sums to 1, or to less where
        the mean counts zeros of the padding.

    Raises
    ------
    TypeError
        If `input_size` or `divisor` is no integer.
    ValueError
        If one of them is below 1, or if the window is one that torch's average pooling refuses:
        dilated, larger than the padded input, or padded by more than half its size.

    Examples
    --------
    >>> pool_matrix(Window(kernel_size=2, stride=2), 5)
    tensor([[0.5000, 0.5000, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.5000, 0.5000, 0.0000]], dtype=torch.float64)
    """
    size = check_side("input_size", input_size, minimum=1)
    if divisor is not None:
        divisor = check_integer("divisor", divisor, minimum=1)
    if window.dilation != 1:
        raise ValueError(f"window must have dilation 1, as all average pooling has; got {window}")
    if window.padding > window.kernel_size // 2:
        raise ValueError(f"window must have padding of at most half its size; got {window}")
    places = window.output_size(size)
    if places == 0:
        raise ValueError(
            f"input_size must be at least {window.smallest_input(1)} for {window}; got {size}"
        )
    matrix = torch.zeros(places, size, dtype=dtype)
    for place, row in enumerate(matrix):
        start = place * window.stride - window.padding
        stop = min(start + window.kernel_size, size + window.padding)
        pixels = range(max(start, 0), min(stop, size))
        count = stop - start if count_include_pad else len(pixels)
        row[pixels.start : pixels.stop] = 1 / (divisor or count)
    return matrix


def published_spp_window(input_size: int, output_size: int) -> Window:
    """Return the window that the SPP paper trains with: ceil(a / n) wide, with stride floor(a / n).

    It does not always have n places: for 7 pixels in 4 bins it has 6, and for 10 pixels in 6 bins,
    the paper's own pyramid on its own 180-pixel images, it has 9. `adaptive_bins`, which the paper
    gives for testing, always has the number that is asked for.

    Parameters
    ----------
    input_size
        a: height or width of the feature map in pixels.
    output_size
        n: the number of bins along it that the pyramid's level should have.

    Raises
    ------
    TypeError
        If an argument is no integer.
    ValueError
        If an argument is below 1, or `output_size` above `input_size`, where the stride would be 0.

    Notes
    -----
    Source: https://arxiv.org/abs/1406.4729, section 2.3, "Single-size training". The 10x10 map of
    180-pixel images is in section 2.3, "Multi-size training", the level of 6x6 bins in section 3.1.

    Examples
    --------
    >>> published_spp_window(13, 3)
    Window(kernel_size=5, stride=4, padding=0, dilation=1, ceil_mode=False)
    >>> published_spp_window(10, 6).output_size(10)
    9
    """
    a = check_side("input_size", input_size, minimum=1)
    n = check_side("output_size", output_size, minimum=1)
    if n > a:
        raise ValueError(f"output_size must be at most input_size, {a}; got {n}")
    return Window(kernel_size=-(-a // n), stride=a // n)


class SpatialPyramidPool(nn.Module):
    """Pool a feature map into square grids of several sizes and join them.

    Parameters
    ----------
    levels
        Side of each grid. ``(1, 2, 4)`` gives 1 + 4 + 16 = 21 bins.
    mode
        ``"max"`` as in the paper, or ``"avg"``.

    Raises
    ------
    TypeError
        If `levels` is no sequence of integers.
    ValueError
        If `levels` is empty or one is below 1, or `mode` is neither.

    Notes
    -----
    Shapes: (N, C, H, W) to (N, C * bins), at any H and W. Source: K. He, X. Zhang, S. Ren and
    J. Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
    https://arxiv.org/abs/1406.4729, section 2.2. The bins are those of `adaptive_bins`.
    """

    def __init__(self, levels: Sequence[int] = (1, 2, 4), mode: Mode = "max") -> None:
        super().__init__()
        if not isinstance(levels, Sequence):
            raise TypeError(f"levels must be a sequence of integers; got {levels!r}")
        if not levels:
            raise ValueError(f"levels must be positive integers, at least one; got {levels!r}")
        if mode not in _ADAPTIVE_POOL:
            raise ValueError(f"mode must be 'max' or 'avg'; got {mode!r}")
        self.levels = tuple(
            check_integer(f"levels[{place}]", level, minimum=1)
            for place, level in enumerate(levels)
        )
        self.mode = mode

    @property
    def bins(self) -> int:
        """Number of bins over all levels."""
        return sum(level**2 for level in self.levels)

    def forward(self, x: Tensor) -> Tensor:
        pool = _ADAPTIVE_POOL[self.mode]
        return torch.cat([pool(x, level).flatten(1) for level in self.levels], dim=1)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, mode={self.mode!r}"


_ADAPTIVE_POOL: dict[str, Callable[[Tensor, int], Tensor]] = {
    "max": F.adaptive_max_pool2d,
    "avg": F.adaptive_avg_pool2d,
}


class ExportableAdaptivePool2d(nn.Module):
    """Adaptive average pooling whose ONNX export is right at every declared size.

    The dynamo exporter of torch 2.14 accepts ``nn.AdaptiveAvgPool2d`` with a dynamic height and
    width, but the graph keeps the longest bin and the divisibility of the one size that it saw:
    exported at 12 for 7 bins, it is wrong at 16, without an error.
    Here the bins of all declared sizes are in the graph, and the size of the input selects them.

    Parameters
    ----------
    output_size
        Height and width of the output, or one number for both.
    input_sizes
        The sizes of the map to be pooled that may come: pairs (height, width), or one number for
        both. Every declared height is accepted with every declared width.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is below 1, or `input_sizes` is empty; in the forward, if a size was not declared.

    Notes
    -----
    Shapes: (N, C, H, W) to (N, C, h, w). Equal to ``nn.AdaptiveAvgPool2d`` within rounding: the sum
    over a bin is taken in another order.

    An exported graph cannot raise such an error. A size that was not declared but is below the
    largest declared one has no bins, and each mean is 0 / 0, NaN; a larger one fits no matrix, and
    the runtime refuses to multiply.
    """

    row_bins: Tensor
    column_bins: Tensor

    def __init__(self, output_size: IntOrPair, input_sizes: Iterable[IntOrPair]) -> None:
        super().__init__()
        self.output_size = _size("output_size", output_size)
        self.input_sizes = tuple(_size("input_sizes", size) for size in input_sizes)
        if not self.input_sizes:
            raise ValueError("input_sizes must have at least one size; got none")
        heights, widths = zip(*self.input_sizes, strict=True)
        # Not in the state_dict, which is to stay that of the network without this module.
        self.register_buffer("row_bins", _bin_table(heights, self.output_size[0]), persistent=False)
        self.register_buffer(
            "column_bins", _bin_table(widths, self.output_size[1]), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        heights, widths = zip(*self.input_sizes, strict=True)
        for axis, size, declared in (("height", height, heights), ("width", width, widths)):
            # While a graph with a dynamic size is exported, the size is a symbol and no int.
            if isinstance(size, int) and size not in declared:
                accepted = ", ".join(map(str, sorted(set(declared))))
                raise ValueError(f"the input's {axis} must be one of {accepted}; got {size}")
        rows = _averages(self.row_bins, height, x.dtype)  # (h, H)
        columns = _averages(self.column_bins, width, x.dtype)  # (w, W)
        return rows @ x @ columns.T

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, input_sizes={self.input_sizes}"


def _size(name: str, value: IntOrPair) -> tuple[int, int]:
    height, width = as_pair(name, value)
    return check_side(name, height, minimum=1), check_side(name, width, minimum=1)


def _bin_table(input_sizes: Sequence[int], output_size: int) -> Tensor:
    """Return which pixels are in which bin, by input size: (largest + 1, bins, largest)."""
    largest = max(input_sizes)
    table = torch.zeros(largest + 1, output_size, largest, dtype=torch.bool)
    for input_size in input_sizes:
        bins = adaptive_bins(input_size, output_size)
        for row, pixels in zip(table[input_size], bins, strict=True):
            row[pixels.start : pixels.stop] = True
    return table


def _averages(table: Tensor, input_size: int, dtype: torch.dtype) -> Tensor:
    """Return the matrix for an input size: (bins, input_size)."""
    bins = table.narrow(0, input_size, 1)[0, :, :input_size].to(dtype)
    return bins / bins.sum(dim=1, keepdim=True)
