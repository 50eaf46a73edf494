import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vgglab.shapes import Window, conv_output_size, feature_map_sizes, input_sizes

sizes = st.integers(1, 40)
kernels = st.integers(1, 7)
strides = st.integers(1, 5)
dilations = st.integers(1, 3)


def torch_output_size(layer: nn.Module, size: int | tuple[int, int]) -> tuple[int, int] | None:
    """What torch itself says, or None where it refuses."""
    height, width = (size, size) if isinstance(size, int) else size
    try:
        output = layer(torch.zeros(1, 1, height, width))
    except RuntimeError:
        return None
    return output.shape[2], output.shape[3]


def our_output_size(*args, **kwargs) -> tuple[int, int] | None:
    try:
        return conv_output_size(*args, **kwargs)
    except ValueError:
        return None


pairs = st.tuples(sizes, sizes)


@given(
    size=pairs,
    kernel_size=st.tuples(kernels, kernels),
    stride=st.tuples(strides, strides),
    padding=st.one_of(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.just("valid")),
    dilation=st.tuples(dilations, dilations),
)
def test_convolution_is_torchs(size, kernel_size, stride, padding, dilation):
    layer = nn.Conv2d(1, 1, kernel_size, stride, padding, dilation)
    assert our_output_size(size, kernel_size, stride, padding, dilation) == torch_output_size(
        layer, size
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@given(size=pairs, kernel_size=st.tuples(kernels, kernels), dilation=dilations)
def test_same_padding_is_torchs(size, kernel_size, dilation):
    layer = nn.Conv2d(1, 1, kernel_size, padding="same", dilation=dilation)
    ours = conv_output_size(size, kernel_size, padding="same", dilation=dilation)
    assert ours == size == torch_output_size(layer, size)


@given(
    size=sizes,
    kernel_size=kernels,
    stride=strides,
    padding=st.integers(0, 3),
    dilation=dilations,
    ceil_mode=st.booleans(),
)
def test_pooling_is_torchs(size, kernel_size, stride, padding, dilation, ceil_mode):
    padding = min(padding, kernel_size // 2)  # torch allows no more
    layer = nn.MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    ours = our_output_size(size, kernel_size, stride, padding, dilation, ceil_mode)
    assert (None if ours is None else (ours, ours)) == torch_output_size(layer, size)


windows = st.builds(
    Window,
    kernel_size=kernels,
    stride=strides,
    padding=st.integers(0, 3),
    dilation=dilations,
    ceil_mode=st.booleans(),
).filter(lambda window: window.padding <= window.kernel_size // 2)


@given(stack=st.lists(windows, max_size=4), output_size=st.integers(1, 6))
def test_input_sizes_against_brute_force(stack, output_size):
    found = input_sizes(output_size, stack)
    highest = 7
    for window in reversed(stack):
        highest = highest * window.stride + window.extent
    brute_force = [
        n for n in range(1, highest + 1) if feature_map_sizes(n, stack)[-1] == output_size
    ]
    assert list(found) == brute_force


@given(window=windows, size=st.integers(1, 60))
def test_a_larger_input_never_gives_a_smaller_output(window, size):
    assert window.output_size(size) <= window.output_size(size + 1)


HALVINGS = [Window(kernel_size=2, stride=2)] * 5


def test_five_halvings():
    assert feature_map_sizes(224, HALVINGS) == [224, 112, 56, 28, 14, 7]
    assert feature_map_sizes(400, HALVINGS) == [400, 200, 100, 50, 25, 12]
    assert feature_map_sizes(31, HALVINGS)[-1] == 0
    assert all(feature_map_sizes(n, HALVINGS)[-1] == n // 32 for n in range(1, 1000))
    assert input_sizes(7, HALVINGS) == range(224, 256)
    assert input_sizes(12, HALVINGS) == range(384, 416)
    assert input_sizes(7, [window._replace(ceil_mode=True) for window in HALVINGS]) == range(
        193, 225
    )


def test_no_input_gives_a_size_that_a_window_skips():
    # A 1x1 kernel on one padded pixel each side has 3, 4, 5, ... places.
    assert not input_sizes(2, [Window(kernel_size=1, padding=1)])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: conv_output_size(0, 3), ValueError, "size must be at least 1; got 0"),
        (lambda: conv_output_size(8, -3), ValueError, "kernel_size must be at least 1; got -3"),
        (lambda: conv_output_size(8, 3, 0), ValueError, "stride must be at least 1; got 0"),
        (lambda: conv_output_size(8, 3, 1, -1), ValueError, "padding must be at least 0; got -1"),
        (lambda: conv_output_size(8, 3, dilation=0), ValueError, "dilation must be at least 1"),
        (lambda: conv_output_size(8.5, 3), TypeError, "size must be an integer; got 8.5"),
        (lambda: conv_output_size(True, 3), TypeError, "size must be an integer; got True"),
        (lambda: conv_output_size(8, (3, 3)), TypeError, "kernel_size must be an integer"),
        (lambda: conv_output_size(8, 3, padding="full"), TypeError, "'same' or 'valid'"),
        (lambda: conv_output_size((8, 8, 8), 3), ValueError, "size must be an integer or a pair"),
        (lambda: conv_output_size(8, 3, 2, "same"), ValueError, "'same' needs stride 1"),
        (lambda: conv_output_size(2, 3), ValueError, "size must be at least 3 for this window"),
        (lambda: input_sizes(0, HALVINGS), ValueError, "output_size must be at least 1; got 0"),
        (lambda: feature_map_sizes(-4, HALVINGS), ValueError, "size must be at least 1; got -4"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
