import copy
import sys

import pytest
import torch
import torch.nn.functional as F
from sampling import sampled
from torch import nn
from untouched import assert_unchanged, everything

from vgglab.compare import compare
from vgglab.compare.onnx import OnnxRow, onnx_round_trip
from vgglab.models.network import vgg
from vgglab.pooling import ExportableAdaptivePool2d

pytest.importorskip("onnxruntime")

SIZES = [(1, 2, 12, 12), (3, 2, 7, 14), (1, 2, 16, 16)]


@pytest.fixture(scope="module")
def convolution():
    """A network of which nothing depends on the size."""
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())


def test_a_convolution_is_exact_at_every_size_and_untouched(convolution):
    before = everything(convolution)
    result = onnx_round_trip(convolution, SIZES)
    assert result.ok
    assert result.exported_at == (2, 2, 12, 12)
    assert [row.input_size for row in result.rows] == SIZES
    assert all(row.exact and row.relative_l2 < 1e-5 for row in result.rows)
    assert_unchanged(before, convolution)


def test_torchs_adaptive_pool_is_wrong_at_a_size_that_the_exporter_did_not_see():
    """The reason for `ExportableAdaptivePool2d`: once this fails, torch's own pool may do."""
    result = onnx_round_trip(nn.AdaptiveAvgPool2d(7), SIZES)
    seen, _, larger = result.rows
    assert seen.exact
    assert larger.relative_l2 > 0.01
    assert not larger.exact
    assert not result.ok
    assert "wrong" in str(result)
    assert "wrong" in result._repr_html_()


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", sampled([torch.float32, torch.float64, torch.bfloat16], 1))
def test_ours_is_exact_at_the_declared_sizes_and_answers_at_no_other(dtype):
    pool = ExportableAdaptivePool2d(7, [(12, 12), (7, 14)])
    network = nn.Sequential(nn.Conv2d(2, 2, 1), pool).to(dtype)
    result = onnx_round_trip(network, SIZES)
    assert [row.exact for row in result.rows] == [True, True, False]
    assert "height must be one of 7, 12; got 16" in result.rows[2].error
    assert not result.ok


def test_where_the_graph_fails():
    class Halves(nn.Module):
        def forward(self, x):
            return F.adaptive_avg_pool2d(x, 7)

    result = onnx_round_trip(Halves(), [(1, 2, 12, 12), (1, 2, 6, 6)])
    assert result.rows[1].relative_l2 is None
    assert result.rows[1].error.startswith("onnxruntime: ")


def test_what_cannot_be_exported_is_not_checked():
    result = onnx_round_trip(nn.AdaptiveMaxPool2d(5), SIZES)
    assert not result.ok
    assert result.rows == ()
    assert result.not_checked.startswith("The export failed. ")
    assert str(result) == f"ONNX: not checked\n\n{result.not_checked}"


def test_what_does_not_run_is_not_checked():
    result = onnx_round_trip(nn.Conv2d(3, 1, 1), SIZES)
    assert (result.ok, result.not_checked) == (False, "The model runs at none of these sizes.")


def test_what_is_not_installed_is_not_checked(monkeypatch, convolution):
    module = sys.modules[onnx_round_trip.__module__]  # `vgglab.compare` is the function
    monkeypatch.setattr(
        module, "find_spec", lambda name: None if name == "onnxruntime" else "there"
    )
    result = onnx_round_trip(convolution, SIZES)
    assert not result.ok
    assert result.rows == ()
    assert result.not_checked == "It needs onnxruntime: pip install 'vgglab[onnx]'"


@pytest.mark.parametrize("distance", [None, float("nan"), float("inf"), 1e-3])
def test_what_counts_as_exact(distance):
    assert not OnnxRow((1,), relative_l2=distance, rounding=1e-7).exact
    assert OnnxRow((1,), relative_l2=2e-7, rounding=1e-7).exact


def test_a_comparison_exports_what_came_after():
    before = vgg("A", width=1 / 32, num_classes=10)
    after = copy.deepcopy(before)
    after.avgpool = ExportableAdaptivePool2d(7, [2, 3])
    result = compare(before, after, [(1, 3, 64, 64), (1, 3, 96, 64)])
    assert result.verdict == "equal within rounding"
    assert result.state_dicts.loads
    assert result.onnx().ok


def test_bad_input_is_named():
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module; got str"):
        onnx_round_trip("vgg16", SIZES)
    with pytest.raises(TypeError, match="input_sizes must be a shape such as"):
        onnx_round_trip(nn.ReLU(), 224)
