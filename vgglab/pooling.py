"""Pooling that fits any input: spatial pyramids."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpatialPyramidPool(nn.Module):
    """Max-pool a feature map into square grids of several sizes and join them.

    Parameters
    ----------
    levels
        Side of each grid. ``(1, 2, 4)`` gives 1 + 4 + 16 = 21 bins.

    Raises
    ------
    ValueError
        If `levels` is empty or holds anything but positive integers.

    Notes
    -----
    Shapes: (N, C, H, W) to (N, C * bins), at any H and W. Source: K. He, X. Zhang, S. Ren and
    J. Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
    https://arxiv.org/abs/1406.4729, section 2.2. The windows are those of torch's adaptive
    pooling, which always gives the number of bins that is asked for.
    """

    def __init__(self, levels: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        if not levels or any(type(level) is not int or level < 1 for level in levels):
            raise ValueError(f"levels must be positive integers, at least one; got {levels!r}")
        self.levels = tuple(levels)

    @property
    def bins(self) -> int:
        """Number of bins over all levels."""
        return sum(level**2 for level in self.levels)

    def forward(self, x: Tensor) -> Tensor:
        grids = [F.adaptive_max_pool2d(x, level).flatten(1) for level in self.levels]
        return torch.cat(grids, dim=1)  # (N, C * bins)

    def extra_repr(self) -> str:
        return f"levels={self.levels}"
