"""Output sizes of convolution and pooling, forwards and backwards.

Along one axis a convolution or a pooling is a window: it has a size, a stride, a padding and a
dilation. `conv_output_size` says how many places the window has on an input; `input_sizes` turns
the question round: which inputs give a feature map of that size?

Source of the arithmetic: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep
learning", https://arxiv.org/abs/1603.07285, section 2 and relationship 15 (dilation); the rule for
`ceil_mode` is that of torch's ``MaxPool2d``: a last window that would start in the padding on the
right is dropped.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias, overload

from vgglab.arguments import as_pair, check_integer

IntOrPair: TypeAlias = int | Sequence[int]


class Window(NamedTuple):
    """A convolution or pooling along one axis; all fields in pixels of its input."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def extent(self) -> int:
        """Pixels from the first to the last tap, ``dilation * (kernel_size - 1) + 1``."""
        return self.dilation * (self.kernel_size - 1) + 1

    def output_size(self, size: int) -> int:
        """Return the number of places the window has on `size` pixels; 0 if it does not fit."""
        room = size + 2 * self.padding - self.extent
        if self.ceil_mode:
            places = -(-room // self.stride) + 1
            if (places - 1) * self.stride >= size + self.padding:
                places -= 1
        else:
            places = room // self.stride + 1
        return max(places, 0)

    def smallest_input(self, output_size: int) -> int:
        """Return the smallest input with at least `output_size` places."""
        enough = output_size * self.stride + self.extent
        return 1 + bisect_left(range(1, enough + 1), output_size, key=self.output_size)


@overload
def conv_output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int: ...


@overload
def conv_output_size(
    size: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> tuple[int, int]: ...


def conv_output_size(
    size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> int | tuple[int, int]:
    """Return the output size of a convolution or pooling, as torch computes it.

    ``floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1`` along each
    axis. With `ceil_mode` the division rounds up, and a last window that would start in the
    padding on the right is dropped.

    Parameters
    ----------
    size
        Height or width of the input in pixels, or the pair (height, width).
    kernel_size, stride, padding, dilation
        As in ``torch.nn.Conv2d``. With a pair as `size` each may be a pair too. `padding` may also
        be ``"valid"`` (none) or ``"same"`` (the output is as large as the input; stride 1 only).
    ceil_mode
        As in ``torch.nn.MaxPool2d``.

    Returns
    -------
    int or tuple of int
        The output size; a pair if `size` is a pair.

    Raises
    ------
    TypeError
        If an argument is neither an integer nor, with a pair as `size`, a pair of integers.
    ValueError
        If an argument is out of range, or the window does not fit into the padded input.

    Examples
    --------
    >>> conv_output_size(400, kernel_size=2, stride=2)
    200
    >>> conv_output_size((256, 300), kernel_size=25, stride=5)
    (47, 56)
    """
    if isinstance(size, Sequence) and not isinstance(size, str):
        per_axis = zip(
            as_pair("size", size),
            as_pair("kernel_size", kernel_size),
            as_pair("stride", stride),
            as_pair("padding", padding),
            as_pair("dilation", dilation),
            strict=True,
        )
        height, width = (conv_output_size(*axis, ceil_mode=ceil_mode) for axis in per_axis)
        return height, width

    size = check_integer("size", size, minimum=1)
    same = padding == "same"
    window = Window(
        kernel_size=check_integer("kernel_size", kernel_size, minimum=1),
        stride=check_integer("stride", stride, minimum=1),
        padding=0 if padding in ("same", "valid") else check_integer("padding", padding, minimum=0),
        dilation=check_integer("dilation", dilation, minimum=1),
        ceil_mode=ceil_mode,
    )
    if same and window.stride != 1:
        raise ValueError(f"padding 'same' needs stride 1; got stride {window.stride}")
    output_size = size if same else window.output_size(size)
    if output_size == 0:
        raise ValueError(
            f"size must be at least {window.smallest_input(1)} for this window "
            f"(kernel_size {window.kernel_size}, dilation {window.dilation}, "
            f"padding {window.padding}); got {size}"
        )
    return output_size


def feature_map_sizes(size: int, windows: Iterable[Window]) -> list[int]:
    """Return `size` and the size after each window; 0 from the first that does not fit.

    Parameters
    ----------
    size
        Height or width of the input in pixels.
    windows
        Convolutions and poolings along that axis, in order.

    Returns
    -------
    list of int
        One size more than there are windows.

    Raises
    ------
    TypeError
        If `size` is no integer.
    ValueError
        If `size` is below 1.

    Examples
    --------
    >>> feature_map_sizes(400, [Window(kernel_size=2, stride=2)] * 5)
    [400, 200, 100, 50, 25, 12]
    """
    sizes = [check_integer("size", size, minimum=1)]
    for window in windows:
        sizes.append(window.output_size(sizes[-1]) if sizes[-1] else 0)
    return sizes


def input_sizes(output_size: int, windows: Sequence[Window]) -> range:
    """Return every input size for which `windows`, one after the other, end at `output_size`.

    The output of a window never shrinks when its input grows, so along one axis the sizes form one
    unbroken range; it is empty if no input gives `output_size`.

    Parameters
    ----------
    output_size
        Height or width of the last map in pixels.
    windows
        Convolutions and poolings along that axis, in order.

    Returns
    -------
    range
        Heights or widths in pixels.

    Raises
    ------
    TypeError
        If `output_size` is no integer.
    ValueError
        If `output_size` is below 1.

    Examples
    --------
    >>> input_sizes(7, [Window(kernel_size=2, stride=2)] * 5)
    range(224, 256)
    """
    first = check_integer("output_size", output_size, minimum=1)
    stop = first + 1
    for window in reversed(windows):
        first, stop = window.smallest_input(first), window.smallest_input(stop)
    return range(first, stop)
