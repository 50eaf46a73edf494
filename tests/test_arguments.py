"""Wrong arguments: each public function names what it wants, and torch is never asked."""

import numpy as np
import pytest
import torch
from torch import nn

import vgglab
from vgglab.arguments import MAX_LENGTH, MAX_SIDE
from vgglab.lab.activations import activation_statistics
from vgglab.pooling import ExportableAdaptivePool2d
from vgglab.receptive_field.effective import effective_receptive_field

SIZE = (2, 3, 16, 16)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 5)
    ).eval()


# Functions of a model and a size; the name of the size.
OF_SIZES = {
    "trace": (vgglab.trace, "input_size"),
    "summary": (vgglab.summary, "input_size"),
    "diagnose": (vgglab.diagnose, "input_size"),
    "receptive_fields": (vgglab.receptive_fields, "input_size"),
    "receptive_field": (lambda m, s: vgglab.receptive_field(m, s, "0"), "input_size"),
    "compare": (lambda m, s: vgglab.compare(m, network(), s), "input_sizes"),
    "onnx_round_trip": (vgglab.onnx_round_trip, "input_sizes"),
    "fold_batchnorm": (vgglab.fold_batchnorm, "input_size"),
    "fc_to_conv": (vgglab.fc_to_conv, "input_size"),
    "fold_adaptive_pool": (vgglab.fold_adaptive_pool, "input_size"),
    "with_flatten": (vgglab.with_flatten, "input_size"),
    "with_new_fc": (vgglab.with_new_fc, "input_size"),
}
OF_MODELS = {
    **{name: (lambda m, call=call: call(m, SIZE)) for name, (call, _) in OF_SIZES.items()},
    "compare, after": lambda m: vgglab.compare(network(), m, SIZE),
    "with_adaptive_pool": lambda m: vgglab.with_adaptive_pool(m, 4),
    "with_gap_head": lambda m: vgglab.with_gap_head(m, 5),
    "with_spp_head": lambda m: vgglab.with_spp_head(m, (1,), 5),
    "class_activation_map": lambda m: vgglab.class_activation_map(m, torch.zeros(SIZE)),
    "grad_cam": lambda m: vgglab.grad_cam(m, torch.zeros(SIZE), "0"),
    "activation_statistics": lambda m: activation_statistics(m, torch.zeros(SIZE)),
    "effective_receptive_field": lambda m: effective_receptive_field(m, torch.zeros(SIZE), "0"),
}
OF_IMAGES = {
    "class_activation_map": lambda x: vgglab.class_activation_map(network(), x),
    "grad_cam": lambda x: vgglab.grad_cam(network(), x, "0"),
    "effective_receptive_field": lambda x: effective_receptive_field(network(), x, "0"),
    "activation_statistics": lambda x: activation_statistics(network(), x),
}
OF_INTEGERS = {
    "conv_output_size, size": (lambda n: vgglab.conv_output_size(n, 3), "size"),
    "conv_output_size, kernel": (lambda n: vgglab.conv_output_size(8, n), "kernel_size"),
    "conv_output_size, pair": (lambda n: vgglab.conv_output_size((8, n), 3), "size"),
    "feature_map_sizes": (lambda n: vgglab.feature_map_sizes(n, []), "size"),
    "input_sizes": (lambda n: vgglab.input_sizes(n, []), "output_size"),
    "adaptive_bins": (lambda n: vgglab.adaptive_bins(n, 7), "input_size"),
    "adaptive_matrix": (lambda n: vgglab.adaptive_matrix(12, n), "output_size"),
    "ExportableAdaptivePool2d": (lambda n: ExportableAdaptivePool2d(n, [(8, 8)]), "output_size"),
    "with_adaptive_pool": (lambda n: vgglab.with_adaptive_pool(network(), n), "output_size"),
    "with_gap_head": (lambda n: vgglab.with_gap_head(network(), n), "num_classes"),
    "with_spp_head": (lambda n: vgglab.with_spp_head(network(), (1,), n), "num_classes"),
    "vgg": (lambda n: vgglab.vgg("A", num_classes=n, device="meta"), "num_classes"),
    "vgg, channels": (lambda n: vgglab.vgg("A", in_channels=n, device="meta"), "in_channels"),
}


@pytest.mark.parametrize("value", [None, "vgg16", 3, nn.Conv2d, torch.zeros(3)], ids=str)
@pytest.mark.parametrize("name", OF_MODELS)
def test_what_is_no_model_is_named(name, value):
    argument = {"compare": "before", "compare, after": "after"}.get(name, "model")
    with pytest.raises(TypeError, match=rf"^{argument} must be a torch\.nn\.Module; got "):
        OF_MODELS[name](value)


@pytest.mark.parametrize("value", [None, 224, "1,3,224,224", (1, 3, 8.0, 8), (1, 3, True, 8)])
@pytest.mark.parametrize("name", OF_SIZES)
def test_what_is_no_size_is_named(name, value):
    call, argument = OF_SIZES[name]
    with pytest.raises(TypeError, match=rf"^{argument} must be a shape .*; got "):
        call(network(), value)


@pytest.mark.parametrize("value", [(1, 3, 0, 8), (-1, 3, 8, 8), (1, 3, 8, 99_999_999)])
@pytest.mark.parametrize("name", OF_SIZES)
def test_a_size_out_of_range_is_named(name, value):
    call, argument = OF_SIZES[name]
    with pytest.raises(ValueError, match=rf"^{argument} must be a shape .*; got \({value[0]}, 3"):
        call(network(), value)


def test_the_largest_side_is_taken_and_the_next_is_not():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2))
    assert vgglab.trace(model, (1, 3, MAX_SIDE, 4)).failure is None
    with pytest.raises(ValueError, match=r"at most 65,536 pixels a side; got"):
        vgglab.trace(model, (1, 3, 4, MAX_SIDE + 1))


def test_a_signal_may_be_longer_than_an_image():
    model = nn.Sequential(nn.Conv1d(1, 4, 80, stride=4))
    assert vgglab.trace(model, (1, 1, MAX_LENGTH)).failure is None
    with pytest.raises(ValueError, match=r"at most 1,048,576 steps long; got"):
        vgglab.trace(model, (1, 1, MAX_LENGTH + 1))


@pytest.mark.parametrize(
    "size", [list(SIZE), torch.Size(SIZE), tuple(np.array(SIZE)), tuple(np.array(SIZE, np.int8))]
)
@pytest.mark.parametrize("name", ["trace", "compare", "fold_adaptive_pool"])
def test_every_kind_of_size_is_taken(name, size):
    assert OF_SIZES[name][0](network(), size) is not None


@pytest.mark.parametrize("name", ["trace", "summary", "diagnose", "compare"])
def test_a_list_of_sizes_is_taken(name):
    assert OF_SIZES[name][0](network(), [SIZE]) is not None


@pytest.mark.parametrize("value", [None, [1.0], np.zeros(SIZE)], ids=["None", "list", "array"])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_what_are_no_images_is_named(name, value):
    with pytest.raises(TypeError, match=r"^images must be a .*tensor .*; got \w+$"):
        OF_IMAGES[name](value)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_without_a_number_are_named(name):
    with pytest.raises(ValueError, match=r"^images must be .*; got the shape \(0, 3, 16, 16\)"):
        OF_IMAGES[name](torch.zeros(0, 3, 16, 16))


@pytest.mark.parametrize("value", [None, "3", 3.0, True])
@pytest.mark.parametrize("name", OF_INTEGERS)
def test_what_is_no_integer_is_named(name, value):
    call, argument = OF_INTEGERS[name]
    with pytest.raises(TypeError, match=rf"^{argument} must be .*; got {value!r}"):
        call(value)


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize("name", OF_INTEGERS)
def test_an_integer_out_of_range_is_named(name, value):
    call, argument = OF_INTEGERS[name]
    with pytest.raises(ValueError, match=rf"^{argument} must be .*; got {value}"):
        call(value)


def test_numpy_integers_are_integers():
    assert vgglab.conv_output_size(np.int64(400), np.int32(2), 2) == 200
    assert vgglab.adaptive_bins(np.int64(12), 7) == vgglab.adaptive_bins(12, 7)


def test_a_compiled_model_is_its_model():
    model = network()
    compiled = torch.compile(model)
    assert vgglab.trace(compiled, SIZE) == vgglab.trace(model, SIZE)
    assert vgglab.compare(compiled, model, SIZE).verdict == "identical"
    assert isinstance(vgglab.with_adaptive_pool(compiled, 4)[0], nn.Conv2d)
    images = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(SIZE)
    assert effective_receptive_field(compiled, images, "0").side() > 0


class TwoInputs(nn.Module):
    """Takes an image and what is known of it."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 + 5, 2)

    def forward(self, pixels, meta):
        return self.head(torch.cat([self.conv(pixels).mean((2, 3)), meta], 1))


class ByName(TwoInputs):
    def forward(self, *, meta, pixels):
        return super().forward(pixels, meta)


@pytest.mark.parametrize("make", [TwoInputs, ByName])
@pytest.mark.parametrize("call", [vgglab.trace, vgglab.summary, vgglab.diagnose])
def test_sizes_may_be_given_by_what_the_forward_calls_them(make, call):
    found = call(make(), {"meta": (2, 5), "pixels": (2, 3, 9, 9)})
    seen = found if call is vgglab.trace else found.trace
    assert seen.failure is None
    assert {*seen.input_sizes} == {(2, 5), (2, 3, 9, 9)}


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"pixel": (2, 3, 9, 9)}, "must name inputs of the forward, pixels, meta; got"),
        ({}, "must name inputs of the forward"),
        ({"meta": (2, 5)}, "must name the first inputs of the forward, pixels, and the others"),
    ],
)
def test_names_that_the_forward_does_not_have_are_told(sizes, words):
    with pytest.raises(ValueError, match=words):
        vgglab.diagnose(TwoInputs(), sizes)
