from itertools import product
from math import gcd

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sampling import sampled
from torch import nn

from vgglab.pooling import (
    ExportableAdaptivePool2d,
    SpatialPyramidPool,
    adaptive_bins,
    adaptive_matrix,
    pool_matrix,
    published_spp_window,
)
from vgglab.shapes import Window

# --- adaptive bins ---------------------------------------------------------------------------


def torch_bins(n: int, m: int) -> torch.Tensor:
    """Which pixel is in which bin (m, n), seen by giving torch one lit pixel at a time."""
    return F.adaptive_max_pool1d(torch.eye(n)[:, None], m)[:, 0].T


@pytest.mark.sampled
def test_bins_are_torchs():
    for n, m in sampled(product(range(1, 65), repeat=2), 400):
        ours = [[float(pixel in pixels) for pixel in range(n)] for pixels in adaptive_bins(n, m)]
        assert torch.equal(torch.tensor(ours), torch_bins(n, m)), (n, m)


@given(n=st.integers(1, 64), m=st.integers(1, 64))
def test_rows_of_the_matrix_are_torchs_averages(n, m):
    expected = F.adaptive_avg_pool1d(torch.eye(n, dtype=torch.float64)[:, None], m)[:, 0].T
    torch.testing.assert_close(adaptive_matrix(n, m), expected, rtol=0, atol=1e-15)


sides = st.integers(1, 24)


@given(height=sides, width=sides, h=sides, w=sides)
def test_two_matrices_are_adaptive_average_pooling(height, width, h, w):
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    pooled = adaptive_matrix(height, h) @ x @ adaptive_matrix(width, w).T
    torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(x, (h, w)), rtol=0, atol=1e-14)


def test_twelve_pixels_in_seven_bins():
    bins = adaptive_bins(12, 7)
    assert [len(pixels) for pixels in bins] == [2, 3, 3, 2, 3, 3, 2]
    weights = adaptive_matrix(12, 7).sum(0)
    assert (weights.min().item(), weights.max().item()) == pytest.approx((1 / 3, 5 / 6))
    uses = [sum(pixel in pixels for pixels in bins) for pixel in range(12)]
    assert uses.count(2) == 6


@given(n=st.integers(1, 64), m=st.integers(1, 64))
def test_a_smaller_map_shares_what_the_cuts_hit_and_keeps_its_mean_where_bins_tile(n, m):
    """As chapter 05 derives it."""
    n, m = max(n, m), min(n, m)
    assert sum(len(pixels) for pixels in adaptive_bins(n, m)) - n == m - gcd(n, m)
    weights = adaptive_matrix(n, m).sum(0)
    assert torch.allclose(weights, weights[0]) == (n % m == 0)


def test_fourteen_pixels_in_seven_bins_weigh_the_same():
    assert adaptive_matrix(14, 7).sum(0).tolist() == [0.5] * 14


def test_type_of_the_matrix():
    assert adaptive_matrix(5, 3, dtype=torch.float16).dtype == torch.float16
    assert pool_matrix(Window(2), 3, dtype=torch.float32).dtype == torch.float32


# --- sliding windows -------------------------------------------------------------------------

windows = st.builds(
    Window,
    kernel_size=st.integers(1, 6),
    stride=st.integers(1, 5),
    padding=st.integers(0, 3),
    dilation=st.just(1),
    ceil_mode=st.booleans(),
).filter(lambda window: window.padding <= window.kernel_size // 2)


@given(
    vertical=windows,
    horizontal=windows,
    height=sides,
    width=sides,
    count_include_pad=st.booleans(),
    divisor=st.none() | st.integers(1, 9),
)
def test_two_matrices_are_average_pooling(
    vertical, horizontal, height, width, count_include_pad, divisor
):
    horizontal = horizontal._replace(ceil_mode=vertical.ceil_mode)
    layer = nn.AvgPool2d(
        *zip(vertical[:3], horizontal[:3], strict=True),
        ceil_mode=vertical.ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor,
    )
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    rule = {"count_include_pad": count_include_pad}
    try:
        rows = pool_matrix(vertical, height, divisor=divisor, **rule)
        columns = pool_matrix(horizontal, width, divisor=divisor and 1, **rule)
    except ValueError:
        with pytest.raises(RuntimeError, match="too small"):
            layer(x)
    else:
        torch.testing.assert_close(rows @ x @ columns.T, layer(x), rtol=0, atol=1e-13)


# --- spatial pyramids ------------------------------------------------------------------------


def test_bins_and_features_of_the_usual_pyramid():
    pool = SpatialPyramidPool((1, 2, 4))
    assert pool.bins == 21
    assert pool(torch.rand(2, 512, 12, 12)).shape == (2, 10_752)


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("size", [(1, 1), (3, 17), (7, 7), (13, 10)])
def test_features_do_not_depend_on_the_size_of_the_map(size, mode):
    assert SpatialPyramidPool((1, 3, 6), mode)(torch.rand(1, 2, *size)).shape == (1, 2 * 46)


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_level_is_pooling_over_its_bins(mode):
    x = torch.rand(2, 5, 9, 13)
    reduce = {"max": torch.amax, "avg": torch.mean}[mode]
    cells = [
        reduce(x[:, :, rows.start : rows.stop, columns.start : columns.stop], (2, 3))
        for rows in adaptive_bins(9, 4)
        for columns in adaptive_bins(13, 4)
    ]
    pooled = SpatialPyramidPool((1, 4), mode)(x)
    torch.testing.assert_close(pooled[:, :5], reduce(x, (2, 3)))
    torch.testing.assert_close(pooled[:, 5:], torch.stack(cells, dim=2).flatten(1))


@pytest.mark.parametrize(
    ("a", "n", "places"), [(13, 3, 3), (13, 6, 6), (10, 3, 3), (5, 3, 4), (7, 4, 6), (10, 6, 9)]
)
def test_places_of_the_published_window(a, n, places):
    window = published_spp_window(a, n)
    layer = nn.MaxPool2d(window.kernel_size, window.stride)
    assert layer(torch.zeros(1, 1, a, a)).shape[-1] == window.output_size(a) == places


@given(a=st.integers(1, 64), n=st.integers(1, 64))
def test_the_published_window_is_right_where_it_divides(a, n):
    window = published_spp_window(a * n, n)
    assert window == Window(kernel_size=a, stride=a)
    assert window.output_size(a * n) == n


@given(a=st.integers(1, 64), n=st.integers(1, 64))
def test_the_published_window_is_right_where_the_remainder_is_at_most_the_quotient(a, n):
    """As chapter 05 derives it; elsewhere it has too many places, never too few."""
    a, n = max(a, n), min(a, n)
    places = published_spp_window(a, n).output_size(a)
    quotient, remainder = divmod(a, n)
    assert places >= n
    assert (places == n) == (remainder <= quotient)


# --- an adaptive pool for ONNX ---------------------------------------------------------------


@pytest.fixture(scope="module")
def exported():
    """The graph of a small network with a dynamic batch, height and width, in onnxruntime."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pool = ExportableAdaptivePool2d(7, [6, 7, 12, (14, 16)])
    model = nn.Sequential(nn.MaxPool2d(2), pool, nn.ReLU()).eval()
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        model,
        (torch.rand(2, 3, 24, 24),),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options)
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


@pytest.mark.parametrize("height", [6, 7, 12, 14])
@pytest.mark.parametrize("width", [6, 7, 12, 16])
def test_the_graph_is_right_at_every_declared_size(exported, height, width):
    x = torch.rand(3, 3, 2 * height, 2 * width)
    expected = F.adaptive_avg_pool2d(F.max_pool2d(x, 2), 7)
    torch.testing.assert_close(exported(x), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("height", "width"), [(5, 12), (12, 5), (13, 13), (12, 14), (1, 1)])
def test_the_graph_does_not_answer_at_other_sizes(exported, height, width):
    assert exported(torch.rand(1, 3, 2 * height, 2 * width)).isnan().all()


@pytest.mark.parametrize(("height", "width"), [(15, 12), (12, 17), (30, 30)])
def test_the_graph_fails_above_the_largest_size(exported, height, width):
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        exported(torch.rand(1, 3, 2 * height, 2 * width))


@given(height=sides, width=sides, h=st.integers(1, 9), w=st.integers(1, 9))
def test_in_torch_it_is_adaptive_average_pooling(height, width, h, w):
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    pool = ExportableAdaptivePool2d((h, w), [(height, width), 5])
    torch.testing.assert_close(pool(x), F.adaptive_avg_pool2d(x, (h, w)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_it_is_as_exact_as_the_input(dtype):
    pool = ExportableAdaptivePool2d(7, [12]).half().to(dtype)
    x = torch.rand(2, 3, 12, 12, dtype=dtype)
    exact = F.adaptive_avg_pool2d(x.double(), 7)
    assert (pool(x) - exact).abs().max() <= 4 * torch.finfo(dtype).eps


def test_it_adds_nothing_to_the_state_dict_and_passes_gradients():
    pool = ExportableAdaptivePool2d(3, [5])
    assert not pool.state_dict()
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pool, x)


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "error", "words"),
    [
        ((), ValueError, r"levels must be positive integers, at least one; got \(\)"),
        ((0, 1), ValueError, r"levels\[0\] must be at least 1; got 0"),
        ((1, -2), ValueError, r"levels\[1\] must be at least 1; got -2"),
        ((1.5,), TypeError, r"levels\[0\] must be an integer; got 1.5"),
        ((True,), TypeError, r"levels\[0\] must be an integer; got True"),
        (4, TypeError, "levels must be a sequence of integers; got 4"),
    ],
)
def test_bad_levels_are_named(levels, error, words):
    with pytest.raises(error, match=words):
        SpatialPyramidPool(levels)


DECLARED = ExportableAdaptivePool2d(7, [12, (7, 14)])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: adaptive_bins(0, 7), ValueError, "input_size must be at least 1; got 0"),
        (lambda: adaptive_bins(12, -7), ValueError, "output_size must be at least 1; got -7"),
        (lambda: adaptive_bins(12.0, 7), TypeError, "input_size must be an integer; got 12.0"),
        (lambda: adaptive_matrix(12, "7"), TypeError, "output_size must be an integer; got '7'"),
        (lambda: adaptive_matrix(-1, 7), ValueError, "input_size must be at least 1; got -1"),
        (lambda: pool_matrix(Window(2), True), TypeError, "input_size must be an integer"),
        (lambda: pool_matrix(Window(5, 1, 1), 2), ValueError, "input_size must be at least 3 for"),
        (lambda: pool_matrix(Window(2, dilation=2), 8), ValueError, "dilation 1, .* got Window"),
        (lambda: pool_matrix(Window(3, padding=2), 8), ValueError, "at most half its size"),
        (lambda: pool_matrix(Window(2), 8, divisor=0), ValueError, "divisor must be at least 1"),
        (lambda: published_spp_window(4, 7), ValueError, "at most input_size, 4; got 7"),
        (lambda: SpatialPyramidPool(mode="mean"), ValueError, "'max' or 'avg'; got 'mean'"),
        (lambda: ExportableAdaptivePool2d(7, []), ValueError, "at least one size; got none"),
        (lambda: ExportableAdaptivePool2d(0, [7]), ValueError, "output_size must be at least 1"),
        (lambda: ExportableAdaptivePool2d(7, [(7, 0)]), ValueError, "input_sizes must be at least"),
        (lambda: ExportableAdaptivePool2d(7, [(7, 7, 7)]), ValueError, "input_sizes must be an"),
        (lambda: DECLARED(torch.rand(1, 1, 8, 12)), ValueError, "height must be one of 7, 12; got"),
        (lambda: DECLARED(torch.rand(1, 1, 12, 7)), ValueError, "width must be one of 12, 14; got"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
