"""What a stack of convolutions without ReLUs between them can and cannot be.

It is one convolution with a larger kernel. Which kernels can be reached is a question of rank.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.nn.functional import conv2d

from vgglab.arguments import check_integer, needs


def compose_kernels(*weights: Tensor) -> Tensor:
    """Return the weight of the one convolution that several with stride 1 are together.

    Kernels are convolved with each other: ``W[o, i, s] = sum over m, p + q = s of
    W2[o, m, q] W1[m, i, p]``. Without padding both give the same map to rounding. With zero padding
    they do not at the border, where each convolution of the stack puts in zeros anew.

    Parameters
    ----------
    *weights
        (out_channels, in_channels, height, width) each, in the order in which they are applied.

    Returns
    -------
    Tensor
        (out_channels of the last, in_channels of the first, height, width).

    Raises
    ------
    ValueError
        If there are none, or if the channels of neighbours do not fit.
    """
    if not weights:
        raise ValueError("weights must be at least one convolution's; got none")
    whole = weights[0]
    for weight in weights[1:]:
        if weight.shape[1] != whole.shape[0]:
            raise ValueError(
                f"weights must fit each other: {whole.shape[0]} channels come out, and "
                f"{weight.shape[1]} are read"
            )
        height, width = weight.shape[2:]
        whole = conv2d(
            whole.transpose(0, 1), weight.flip((2, 3)), padding=(height - 1, width - 1)
        ).transpose(0, 1)
    return whole


def stack_shapes(
    channels: int, hidden: int, kernel_sizes: Sequence[int] = (3, 3, 3)
) -> list[tuple[int, int, int, int]]:
    """Return the shapes of the weights of a stack.

    Parameters
    ----------
    channels
        Of its input and of its output.
    hidden
        Channels between its convolutions.
    kernel_sizes
        Of its convolutions.
    """
    check_integer("channels", channels, minimum=1)
    check_integer("hidden", hidden, minimum=1)
    widths = [channels, *[hidden] * (len(kernel_sizes) - 1), channels]
    return [
        (widths[k + 1], widths[k], check_integer("kernel_sizes", size, minimum=1), size)
        for k, size in enumerate(kernel_sizes)
    ]


def reachable_dimension(channels: int, hidden: int, kernel_sizes: Sequence[int] = (3, 3, 3)) -> int:
    """Return the dimension of the set of kernels that a stack without ReLUs can be.

    It is the rank of the Jacobian of `compose_kernels` at random weights: in how many directions
    the kernel moves when all weights move. Parameters are those of `stack_shapes`.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = stack_shapes(channels, hidden, kernel_sizes)
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    jacobians = jacobian(compose_kernels, tuple(weights), vectorize=True)
    # Each (values of the kernel, values of one weight).
    columns = [moved.flatten(-4).flatten(0, 3) for moved in jacobians]
    return int(torch.linalg.matrix_rank(torch.cat(columns, 1)))


def fit_stack(
    kernel: Tensor,
    hidden: int,
    kernel_sizes: Sequence[int] = (3, 3, 3),
    *,
    starts: int = 5,
    seed: int = 0,
) -> float:
    """Fit a stack without ReLUs to a kernel by least squares, and return what is left.

    Parameters
    ----------
    kernel
        (channels, channels, height, width).
    hidden, kernel_sizes
        As in `stack_shapes`.
    starts
        How many random weights to start from; the best end counts, for the problem has local ones.
    seed
        Of those weights.

    Returns
    -------
    float
        Norm of the difference, divided by the norm of the kernel.

    Raises
    ------
    ValueError
        If the stack's kernel has another shape.
    """
    with needs("train"):
        from scipy.optimize import least_squares

    shapes = stack_shapes(kernel.shape[0], hidden, kernel_sizes)
    extent = sum(kernel_sizes) - len(kernel_sizes) + 1
    expected = (shapes[0][1], shapes[0][1], extent, extent)
    if tuple(kernel.shape) != expected:
        raise ValueError(f"kernel must be {expected} for this stack; got {tuple(kernel.shape)}")
    target = kernel.detach().double()
    counts = [torch.Size(shape).numel() for shape in shapes]

    def left(values: Tensor) -> Tensor:
        parts = zip(values.split(counts), shapes, strict=True)
        return (compose_kernels(*(part.view(shape) for part, shape in parts)) - target).flatten()

    generator = torch.Generator().manual_seed(seed)
    smallest = float("inf")
    for _ in range(starts):
        start = torch.randn(sum(counts), generator=generator, dtype=torch.float64) / 3
        found = least_squares(
            lambda x: left(torch.from_numpy(x)).numpy(),
            start.numpy(),
            lambda x: jacobian(left, torch.from_numpy(x), vectorize=True).numpy(),
            max_nfev=100,
        )
        smallest = min(smallest, float((2 * found.cost) ** 0.5))
        if smallest < 1e-6 * target.norm():
            break
    return smallest / float(target.norm())
