"""Local response normalisation and batch normalisation, written out."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vgglab.arguments import check_integer

FORMULAS = ("torch", "alexnet")


def lrn_window(channel: int, channels: int, size: int = 5) -> range:
    """Return the channels whose squares are added up for one channel.

    ``size // 2`` before it and ``(size - 1) // 2`` after it, as far as there are any: with an even
    size one more before than after, as in torch.

    Parameters
    ----------
    channel
        From 0.
    channels
        How many there are.
    size
        How many are added up in the middle of the channels.

    Raises
    ------
    TypeError, ValueError
        If an argument is no integer, or out of range.
    """
    check_integer("channels", channels, minimum=1)
    check_integer("size", size, minimum=1)
    if check_integer("channel", channel, minimum=0) >= channels:
        raise ValueError(f"channel must be below the {channels} channels; got {channel}")
    return range(max(channel - size // 2, 0), min(channel + (size - 1) // 2, channels - 1) + 1)


def local_response_norm(
    x: Tensor,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    formula: str = "torch",
) -> Tensor:
    """Divide each number by a power of the squares at its place in neighbouring channels.

    .. code-block:: text

        alexnet:  b[c] = a[c] / (k + alpha        * sum of a[j]^2 for j in lrn_window(c)) ^ beta
        torch:    b[c] = a[c] / (k + alpha / size * sum of a[j]^2 for j in lrn_window(c)) ^ beta

    Source: A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet Classification with Deep
    Convolutional Neural Networks", 2012, section 3.3, which takes size 5, alpha 1e-4, beta 0.75
    and k = 2. torch divides alpha by the size, and takes k = 1 if it is not told otherwise.

    Parameters
    ----------
    x
        (N, C, ...), three dimensions or more.
    size
        Channels that are added up: see `lrn_window`.
    alpha, beta, k
        As in the formulas.
    formula
        ``"torch"`` or ``"alexnet"``.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    TypeError
        If `x` is no tensor, or `size` no integer.
    ValueError
        If `x` is not floating-point or has no channels or fewer than three dimensions, if `size` is
        below 1, or if there is no such formula.
    """
    check_integer("size", size, minimum=1)
    _check_floating(x)
    if x.dim() < 3 or x.shape[1] == 0:
        raise ValueError(
            f"x must be (N, C, ...), with channels and three dimensions; got {tuple(x.shape)}"
        )
    if formula not in FORMULAS:
        raise ValueError(f"formula must be one of {', '.join(FORMULAS)}; got {formula!r}")
    nothing = [0, 0] * (x.dim() - 2)  # pad() counts dimensions from the last
    padded = pad(x.square(), [*nothing, size // 2, (size - 1) // 2])
    sums = padded.unfold(1, size, 1).sum(-1)
    factor = alpha / size if formula == "torch" else alpha
    return x / (k + factor * sums) ** beta


class BatchNorm2d(nn.Module):
    """Batch normalisation of feature maps, with the arguments and the state of torch's own.

    In train mode each channel gets the mean and the variance of the batch, over N, H and W, and
    the running statistics move towards them. The variance that normalises is the biased one, with
    the factor 1/n; the one that is remembered is unbiased, with 1/(n - 1), where n = N * H * W.
    In eval mode the running statistics take their place.

    Source: S. Ioffe and C. Szegedy, "Batch Normalization", https://arxiv.org/abs/1502.03167,
    algorithms 1 and 2.

    Parameters
    ----------
    num_features
        Channels.
    eps
        Added to the variance.
    momentum
        Share of the newest batch in the running statistics; ``None``: all batches count alike.
    affine
        Whether a factor and an offset for each channel are learnt.
    track_running_stats
        Whether there are running statistics; without them batches are used in eval mode too.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        check_integer("num_features", num_features, minimum=1)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features) if tracked else None)
        self.register_buffer("running_var", torch.ones(num_features) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if tracked else None)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        _check_floating(x)
        if x.dim() != 4 or x.shape[1] != self.num_features:
            raise ValueError(f"x must be (N, {self.num_features}, H, W); got {tuple(x.shape)}")
        if self.training or self.running_mean is None or self.running_var is None:
            mean, var = self._of_batch(x)
        else:
            mean, var = self.running_mean, self.running_var
        scale = (var + self.eps).rsqrt()
        x = (x - mean[:, None, None]) * scale[:, None, None]
        if self.weight is not None and self.bias is not None:
            x = x * self.weight[:, None, None] + self.bias[:, None, None]
        return x

    def _of_batch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and biased variance; in train mode remember them."""
        count = x.numel() // self.num_features
        if self.training and count < 2:
            raise ValueError(
                "x must have at least two values a channel in train mode, for one has no variance; "
                f"got {tuple(x.shape)}: use larger batches or maps, or eval mode"
            )
        mean = x.mean((0, 2, 3))
        var = x.var((0, 2, 3), correction=0)
        if self.training and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self._remember(mean, var * count / (count - 1))
        return mean, var

    def _remember(self, mean: Tensor, unbiased: Tensor) -> None:
        running_mean, running_var = (
            cast("Tensor", self.running_mean),
            cast("Tensor", self.running_var),
        )
        batches = cast("Tensor", self.num_batches_tracked)
        batches.add_(1)
        share = 1 / float(batches) if self.momentum is None else self.momentum
        running_mean.lerp_(mean, share)
        running_var.lerp_(unbiased, share)


def _check_floating(x: object) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor; got {type(x).__name__}")
    if not x.is_floating_point():
        raise ValueError(f"x must be floating-point; got {x.dtype}")
