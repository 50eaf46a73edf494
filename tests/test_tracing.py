import gc
import subprocess
import sys
import weakref
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import event, given
from hypothesis import strategies as st
from networks import asker_network, filled, torchvision_network
from sampling import examples, sampled
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from untouched import Careless, assert_unchanged, everything

from vgglab import tracing
from vgglab.models.network import vgg
from vgglab.shapes import Window, input_sizes
from vgglab.tracing import meta_results, trace
from vgglab.tracing.meta_results import meta_result
from vgglab.tracing.shortcuts import SHORTCUTS, shortcut

# --- the promise: nothing changes -----------------------------------------------------------


def without_wide_layers(model):
    """A torchvision VGG with 16 instead of 4096 hidden features; any other network as it is."""
    if type(model).__name__ == "VGG":
        model.classifier[0] = nn.Linear(512 * 49, 16, device="meta")
        model.classifier[3] = nn.Linear(16, 16, device="meta")
        model.classifier[6] = nn.Linear(16, 1000, device="meta")
    return model


@pytest.mark.sampled
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("name", "size", "fails"),
    sampled(
        [
            ("vgg16", (1, 3, 400, 400), False),
            ("vgg16", (1, 3, 16, 16), True),
            ("vgg19_bn", (2, 3, 64, 64), False),
            ("resnet18", (2, 3, 64, 64), False),
            ("resnet18", (2, 4, 64, 64), True),
            ("densenet121", (2, 3, 64, 64), False),
            ("googlenet", (2, 3, 96, 96), False),
            ("inception_v3", (2, 3, 299, 299), False),
            ("inception_v3", (2, 3, 64, 64), True),
        ],
        4,
    ),
)
def test_the_model_is_untouched(name, size, fails, training):
    """What is kept does not depend on the width, so the widest layers are left out."""
    model = filled(without_wide_layers(torchvision_network(name, "meta"))).train(training)
    model.register_forward_hook(lambda module, args, output: None)
    before = everything(model)
    assert (trace(model, size).failure is not None) == fails
    assert_unchanged(before, model)


@pytest.mark.wide
def test_the_400_pixel_network_is_untouched():
    model = filled(asker_network("meta"))
    before = everything(model)
    assert trace(model, (1, 3, 400, 400)).output_shapes == ((1, 3, 1, 1),)
    assert trace(model, (1, 3, 300, 300)).failure.path == "31"
    assert_unchanged(before, model)


def test_a_model_that_changes_itself_is_untouched():
    model = Careless()
    before = everything(model)
    result = trace(model, (2, 3, 9, 9))
    assert result.failure is result.fallback is None
    assert_unchanged(before, model)
    assert model.kept == []


def test_hooks_of_the_model_run_on_the_copy():
    class Hooked(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0
            self.register_forward_hook(self.hook)

        def forward(self, x):
            return x + 1

        def hook(self, module, args, output):
            self.calls += 1
            return output[:, :1]

    model = Hooked()
    assert trace(model, (2, 3)).output_shapes == ((2, 1),)
    assert model.calls == 0


def test_a_model_that_runs_for_real_is_untouched():
    class DataDependent(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            x = self.norm(F.dropout(x, training=True))
            return x if x.sum().item() > 0 else x.flatten(1)

    model = DataDependent()
    before = everything(model)
    result = trace(model, (2, 3, 5, 5))
    assert_unchanged(before, model)
    assert result.failure is None
    assert "meta" in result.fallback
    assert result.output_shapes == ((2, 75),)
    assert result.saved_input_bytes is None
    assert {op.saved_bytes for op in result.ops} == {None}


# --- what it sees is what torch does ---------------------------------------------------------


def real_shapes(model, *inputs):
    """Output shapes of all module calls in a real forward, in order of their end."""
    seen = []

    def hook(module, args, output):
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        seen.append((names[module], tuple(tuple(tensor.shape) for tensor in tensors)))

    names = {module: name for name, module in model.named_modules()}
    hooks = [module.register_forward_hook(hook) for module in names]
    model(*inputs)
    for handle in hooks:
        handle.remove()
    return seen


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "size"),
    sampled(
        [
            ("alexnet", (1, 3, 80, 96)),
            ("vgg11_bn", (2, 3, 40, 64)),
            ("resnet18", (1, 3, 65, 70)),
            ("densenet121", (1, 3, 48, 48)),
            ("googlenet", (1, 3, 64, 64)),
            ("squeezenet1_0", (1, 3, 64, 64)),
            ("mobilenet_v3_small", (1, 3, 50, 60)),
            ("shufflenet_v2_x0_5", (1, 3, 64, 64)),
            ("efficientnet_b0", (1, 3, 64, 64)),
            ("convnext_tiny", (1, 3, 64, 64)),
            ("vit_b_32", (1, 3, 224, 224)),
            ("swin_t", (1, 3, 64, 64)),
        ],
        6,
    ),
)
def test_shapes_are_those_of_a_real_forward(name, size):
    model = filled(torchvision_network(name, "meta")).eval()
    result = trace(model, size)
    ended = sorted(result.calls, key=lambda call: call.finished)
    assert result.failure is result.fallback is None
    assert [(call.path, call.output_shapes) for call in ended] == real_shapes(
        model, torch.zeros(size)
    )


def really_saved(model, *inputs):
    """Bytes that autograd keeps in a real forward, each storage once, without the parameters."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(*inputs)
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    del output
    return sum(storage.nbytes() for pointer, storage in storages.items() if pointer not in own)


def saved(result):
    return result.saved_input_bytes + sum(op.saved_bytes for op in result.ops)


@pytest.mark.sampled
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "name",
    sampled(["alexnet", "vgg11", "resnet18", "squeezenet1_0", "googlenet", "densenet121"], 3),
)
def test_saved_bytes_are_those_of_a_real_forward(name, training):
    model = filled(without_wide_layers(torchvision_network(name, "meta"))).train(training)
    size = (2, 3, 96, 96)
    expected = really_saved(model, torch.zeros(size))
    ours = saved(trace(model, size))
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        # On the CPU in eval mode BatchNorm keeps no statistics; on meta it says that it does.
        statistics = (
            2 * 4 * sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
        )
        assert expected <= ours <= expected + statistics
    else:
        assert ours == expected


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_mode_of_autograd_changes_nothing(context):
    model = vgg("A", width=1 / 16)
    with context():
        inside = trace(model, (1, 3, 64, 64))
    assert inside == trace(model, (1, 3, 64, 64))
    assert saved(inside) > 0


@pytest.mark.wide
def test_saved_bytes_of_the_400_pixel_network():
    model = filled(asker_network("meta"))
    assert saved(trace(model, (1, 3, 400, 400))) == really_saved(model, torch.zeros(1, 3, 400, 400))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    assert saved(trace(model, (1, 3, 400, 400))) == really_saved(model, torch.zeros(1, 3, 400, 400))


@pytest.mark.sampled
@pytest.mark.parametrize(
    "name",
    sampled(["vgg16", "resnet50", "mobilenet_v2", "densenet121", "vit_b_16", "swin_t"], 2),
)
def test_mult_adds_are_half_of_torchs_flops(name):
    model = torchvision_network(name, device="meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 224, 224, device="meta"))
    ours = sum(op.mult_adds for op in trace(model, (1, 3, 224, 224)).ops)
    assert ours == counter.get_total_flops() // 2


# --- edges -----------------------------------------------------------------------------------


def op_named(result, name):
    (op,) = [op for op in result.ops if op.name == name]
    return op


class Wiring(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x, y):
        a = self.conv(x)  # 0
        b = self.conv(y)  # 1: the same module again
        a += b  # 2: in place
        c = torch.cat([a, b], 1)  # 3
        c.narrow(1, 0, 1).mul_(2)  # 4: a view; 5: writes into c through it
        return c.sigmoid(), {"mean": c.mean()}


def test_edges_and_several_inputs_and_outputs():
    result = trace(Wiring(), [(1, 2, 3, 3), (1, 2, 3, 3)])
    assert [(op.name, op.sources) for op in result.ops] == [
        ("convolution", (-1,)),
        ("convolution", (-2,)),
        ("add_", (0, 1)),
        ("cat", (1, 2)),
        ("slice", (3,)),
        ("mul_", (4,)),
        ("sigmoid", (5,)),
        ("mean", (5,)),
    ]
    assert result.output_shapes == ((1, 4, 3, 3), ())
    assert [(call.path, call.repeated) for call in result.calls] == [
        ("", False),
        ("conv", False),
        ("conv", True),
    ]
    assert list(result.parameters) == ["conv.weight", "conv.bias"]


def test_shared_parameters_are_counted_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    result = trace(model, (2, 4))
    assert list(result.parameters) == ["0.weight", "0.bias", "2.bias"]
    assert [op.parameters for op in result.ops if op.name == "addmm"] == [
        ("0.bias", "0.weight"),
        ("2.bias", "0.weight"),
    ]


def test_dropout_and_batchnorm_leave_no_noise():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    result = trace(model, (2, 3, 8, 8))
    assert [(op.name, op.path) for op in result.ops] == [
        ("convolution", "0"),
        ("native_batch_norm", "1"),
        ("mul", "2"),
        ("relu", "3"),
    ]


@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_computed_weights_still_belong_to_their_parameters(modern):
    normed = nn.utils.parametrizations.weight_norm if modern else nn.utils.weight_norm
    model = nn.Sequential(normed(nn.Conv2d(3, 4, 3)))
    plain = trace(nn.Conv2d(3, 4, 3), (1, 3, 8, 8)).ops[-1]
    conv = trace(model, (1, 3, 8, 8)).ops[-1]
    assert conv.name == "convolution"
    assert len(conv.parameters) == 3
    assert conv.mult_adds == plain.mult_adds


def test_options_are_torchs_arguments():
    model = nn.Sequential(
        nn.Conv2d(2, 4, (3, 5), stride=2, padding=(1, 0), dilation=2, groups=2),
        nn.MaxPool2d(2, ceil_mode=True),
    )
    conv, pool = trace(model, (1, 2, 33, 33)).ops
    assert conv.options["kernel_size"] == [3, 5]
    assert conv.options["groups"] == 2
    assert conv.windows == (Window(3, 2, 1, 2), Window(5, 2, 0, 2))
    assert pool.windows == (Window(2, 2, ceil_mode=True),) * 2


def test_only_sliding_windows_over_an_image_are_windows():
    model = nn.Sequential(
        nn.ConvTranspose2d(2, 2, 2),
        nn.AdaptiveAvgPool2d(3),
        nn.ReLU(),
        nn.Flatten(2),
        nn.Conv1d(2, 2, 3),
    )
    assert [op.windows for op in trace(model, (1, 2, 8, 8)).ops] == [None] * 5


# --- windows of a whole network --------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("config", ["A", "C", "E"])
def test_inputs_for_a_7x7_map(config, norm):
    result = trace(vgg(config, norm=norm, device="meta"), (2, 3, 224, 300))
    for axis in (0, 1):
        assert input_sizes(7, result.windows(axis)) == range(224, 256)
        assert input_sizes(12, result.windows(axis)) == range(384, 416)


def test_windows_differ_by_axis():
    model = nn.Sequential(nn.Conv2d(1, 1, (3, 1), stride=(2, 1)), nn.ReLU(), nn.Flatten())
    result = trace(model, (1, 1, 9, 9))
    assert result.windows(0) == [Window(3, 2)]
    assert result.windows(1) == []


def test_windows_of_branches_are_refused():
    result = trace(torchvision_network("resnet18"), (2, 3, 64, 64))
    with pytest.raises(ValueError, match="paths through different windows meet in add_ at 'layer1"):
        result.windows(0)
    with pytest.raises(ValueError, match="axis must be 0"):
        result.windows(2)


# --- failures --------------------------------------------------------------------------------


class Broken(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.linear = nn.Linear(8, 5)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def raises(model, x):
    raise KeyError("no such key")


@pytest.mark.parametrize(
    ("forward", "path", "operation", "words"),
    [
        (lambda m, x: m.linear(m.conv(x).flatten(1)), "linear", "addmm", "128"),
        (lambda m, x: m.conv(x).view(-1, 7), "", "view", "shape '[-1, 7]' is invalid"),
        (lambda m, x: m.conv(x) + x, "", "add", "broadcast"),
        (lambda m, x: torch.cat([m.conv(x), x], 1), "", "cat", "Sizes"),
        (lambda m, x: m.conv(x[:, :2]), "conv", "convolution", "channel"),
        (lambda m, x: m.conv(x[:, :, :2]), "conv", "convolution", "Kernel size can't be greater"),
        (lambda m, x: F.max_pool2d(m.conv(x), 9), "", "max_pool2d_with_indices", "too small"),
        (raises, "", None, "no such key"),
    ],
)
def test_a_failure_ends_the_trace_and_says_where(forward, path, operation, words):
    result = trace(Broken(forward), (1, 3, 9, 9))
    assert (result.failure.path, result.failure.operation) == (path, operation)
    assert words in result.failure.message
    assert result.output_shapes == ()
    if operation not in ("convolution", None):
        assert result.ops[0].name == "convolution"


def test_the_message_names_both_matrices():
    failure = trace(vgg("D", head="fc-fixed", device="meta"), (1, 3, 400, 400)).failure
    assert (failure.path, failure.type) == ("classifier.0", "Linear")
    assert failure.input_shapes == ((4096,), (1, 73728), (25088, 4096))


def test_an_error_that_the_model_catches_is_no_failure():
    def forward(model, x):
        try:
            return model.linear(x)
        except RuntimeError:
            return model.conv(x)

    result = trace(Broken(forward), (1, 3, 9, 9))
    assert result.failure is None
    assert result.output_shapes == ((1, 8, 4, 4),)


def test_an_unfinished_model_is_a_failure():
    class Unfinished(nn.Module):
        pass

    assert trace(Unfinished(), (1, 3)).failure.error == "NotImplementedError"


def test_failures_agree_with_real_forwards():
    for size in (20, 31, 32, 33, 63, 64):
        model = vgg("A", width=1 / 16, head="conv")
        real = None
        try:
            model(torch.zeros(1, 3, size, size))
        except RuntimeError as error:
            real = error
        assert (trace(model, (1, 3, size, size)).failure is None) == (real is None), size


# --- any module ------------------------------------------------------------------------------


def test_lazy_modules_are_built_in_the_copy():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(5))
    result = trace(model, (1, 3, 8, 8))
    assert result.output_shapes == ((1, 5),)
    assert result.parameters["2.weight"].shape == (5, 144)
    assert isinstance(model[2], nn.LazyLinear)
    assert model[2].has_uninitialized_params()


def test_recurrent_and_attention_modules():
    lstm = trace(nn.LSTM(8, 6, num_layers=2, batch_first=True), (2, 5, 8))
    assert lstm.failure is lstm.fallback is None
    assert lstm.output_shapes == ((2, 5, 6), (2, 2, 6), (2, 2, 6))
    attention = trace(nn.MultiheadAttention(8, 2), [(5, 2, 8)] * 3)
    assert attention.output_shapes[0] == (5, 2, 8)


OPTIONS_OF_RECURRENT_LAYERS = [
    {},
    {"batch_first": True, "bias": False},
    {"num_layers": 2, "dropout": 0.5},
    {"bidirectional": True, "num_layers": 3, "batch_first": True},
]


RECURRENT_LAYERS = [
    *product((nn.RNN, nn.LSTM, nn.GRU), OPTIONS_OF_RECURRENT_LAYERS),
    (nn.LSTM, {"proj_size": 4}),
    (nn.RNN, {"nonlinearity": "relu"}),
]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("kind", "options", "by_name"),
    sampled(((*layer, by_name) for layer in RECURRENT_LAYERS for by_name in (False, True)), 6),
)
def test_a_few_steps_of_a_recurrent_layer_tell_all(kind, options, by_name):
    class Stepwise(kind):
        """Not torch's own class, and so run step by step."""

    class Net(nn.Module):
        def __init__(self, recurrent):
            super().__init__()
            self.lead_in, self.recurrent = nn.Linear(7, 8), recurrent
            width = (recurrent.proj_size or 6) * (1 + recurrent.bidirectional)
            self.head = nn.Linear(width, 3)

        def forward(self, x):
            x = self.lead_in(x).relu()
            rows, states = self.recurrent(input=x) if by_name else self.recurrent(x)
            return self.head(rows).tanh(), states

    for size in [(6, 4, 7), (4, 6, 7), (6, 7)]:
        few = trace(Net(kind(8, 6, **options)), size)
        whole = trace(Net(Stepwise(8, 6, **options)), size)
        assert few.ops == whole.ops
        assert few.output_shapes == whole.output_shapes
        assert few.saved_input_bytes == whole.saved_input_bytes


def test_of_a_long_recurrent_layer_as_many_operations_run_as_of_a_short_one(monkeypatch):
    ran = []
    monkeypatch.setattr(tracing.recorder, "_mult_adds", lambda func, *rest: ran.append(func) or 0)
    counts = []
    for steps in (10, 1000):
        ran.clear()
        trace(nn.LSTM(8, 6, batch_first=True), (2, steps, 8))
        counts.append(len(ran))
    assert counts[0] == counts[1] > 0


def test_integer_inputs():
    result = trace(nn.Embedding(10, 4), (2, 3), dtypes=[torch.long])
    assert result.output_shapes == ((2, 3, 4),)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_half_precision_and_compiled_models():
    model = torch.compile(vgg("A", width=1 / 64).half(), backend="eager")
    result = trace(model, (1, 3, 64, 64))
    assert result.failure is None
    assert result.model_type == "VGG"
    assert result.input_bytes == 2 * 3 * 64 * 64


def test_tensors_made_in_the_forward():
    class MakesTensors(nn.Module):
        def forward(self, x):
            positions = torch.arange(x.shape[-1])
            return x + positions + torch.zeros(1)

    result = trace(MakesTensors(), (2, 3))
    assert result.fallback is None
    assert [op.name for op in result.ops] == ["add", "add"]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_script_modules():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.trace(nn.ReLU(), torch.zeros(1)))
    result = trace(model, (1, 3, 8, 8))
    assert result.output_shapes == ((1, 4, 6, 6),)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_a_gpu_stays_there():
    model = vgg("A", width=1 / 16, device="cuda")
    before = everything(model)
    allocated = torch.cuda.memory_allocated()
    assert trace(model, (1, 3, 224, 224)).output_shapes == ((1, 1000),)
    assert torch.cuda.memory_allocated() == allocated
    assert_unchanged(before, model)


@given(
    layers=st.lists(
        st.sampled_from(["conv", "stride", "pool", "ceil", "dilated", "norm", "relu_"]), max_size=6
    ),
    size=st.integers(1, 40),
)
def test_random_stacks_end_where_real_ones_end(layers, size):
    build = {
        "conv": lambda: nn.Conv2d(2, 2, 3, padding=1),
        "stride": lambda: nn.Conv2d(2, 2, 3, stride=2),
        "pool": lambda: nn.MaxPool2d(2),
        "ceil": lambda: nn.AvgPool2d(3, stride=2, ceil_mode=True),
        "dilated": lambda: nn.Conv2d(2, 2, 3, dilation=2),
        "norm": lambda: nn.BatchNorm2d(2),
        "relu_": lambda: nn.ReLU(inplace=True),
    }
    model = nn.Sequential(*(build[layer]() for layer in layers)).eval()
    x = torch.zeros(1, 2, size, size)
    result = trace(model, tuple(x.shape))
    try:
        with torch.no_grad():
            expected = (tuple(model(x.clone()).shape),)
    except RuntimeError:
        expected = ()
    assert result.output_shapes == expected


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "size", "error", "words"),
    [
        ("vgg16", (1, 3, 8, 8), TypeError, "model must be a torch.nn.Module; got str"),
        (nn.ReLU(), 224, TypeError, "input_size must be a shape such as .* got 224"),
        (nn.ReLU(), (), TypeError, "input_size must be a shape"),
        (nn.ReLU(), "1,3", TypeError, "input_size must be a shape"),
        (nn.ReLU(), (1, 3.0), TypeError, "3.0 is no integer"),
        (nn.ReLU(), (1, True), TypeError, "True is no integer"),
        (nn.ReLU(), [(1, 3), 4], TypeError, "input_size must be a shape"),
        (nn.ReLU(), (1, 0, 8), ValueError, "all sizes at least 1; got \\(1, 0, 8\\)"),
        (nn.ReLU(), (1, -3, 8), ValueError, "all sizes at least 1"),
    ],
)
def test_bad_input_is_named(model, size, error, words):
    with pytest.raises(error, match=words):
        trace(model, size)


def test_bad_dtypes_are_named():
    with pytest.raises(TypeError, match="dtypes must be a list of torch types"):
        trace(nn.ReLU(), (1, 3), dtypes=["float"])
    with pytest.raises(ValueError, match="one type for each of 1 inputs"):
        trace(nn.ReLU(), (1, 3), dtypes=[torch.float, torch.float])


# --- shortcuts --------------------------------------------------------------------------------


def tensors(*shapes):
    """Tensors without data of these shapes, of some type and layout, now and then the wrong one."""
    types = st.sampled_from([torch.float32] * 6 + [torch.float64, torch.bfloat16, torch.int64])

    def build(dtypes, transposed):
        made = [torch.empty(s, dtype=d, device="meta") for s, d in zip(shapes, dtypes, strict=True)]
        return [t.mT if transposed and t.dim() > 1 else t for t in made]

    several = st.one_of(types.map(lambda t: [t] * len(shapes)), st.tuples(*[types] * len(shapes)))
    return st.builds(build, several, st.sampled_from([False] * 4 + [True]))


@st.composite
def shortened_calls(draw):
    """An operation that has a shortcut, with arguments that now and then do not fit."""
    n, c, k, m = (draw(st.sampled_from([1, 2, 3, 4, 1, 2, 3, 4, 0])) for _ in range(4))
    off = draw(st.sampled_from([0] * 5 + [1]))
    kind = draw(st.sampled_from(sorted(SHORTCUTS)))
    if kind in ("relu", "neg"):
        return kind, draw(tensors((n, c, k)))
    if kind == "bernoulli_":
        return kind, [
            *draw(tensors((n, c, k))),
            *draw(st.sampled_from([(), (0.0,), (0.7,), (1.5,)])),
        ]
    if kind == "native_dropout":
        p, train = draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.booleans())
        return kind, [*draw(tensors((n, c, k))), p, train]
    if kind in ("add", "mul"):
        x, y = draw(tensors((n, c, k), (n, c, k + off)))
        return kind, [x, draw(st.sampled_from([y, y, 2.0]))]
    if kind == "cat":
        return kind, [
            draw(tensors((n, c, k), (n, m, k + off))),
            draw(st.sampled_from([1, 1, -2, 0])),
        ]
    if kind == "mean":
        dims = draw(st.lists(st.integers(-3, 2), max_size=3, unique_by=lambda d: d % 3))
        return kind, [
            *draw(tensors((n, c, k))),
            dims,
            *draw(st.sampled_from([(), (False,), (True,)])),
        ]
    if kind == "addmm":
        return kind, draw(tensors((m,), (n, k), (k + off, m)))
    image = draw(st.sampled_from([(n, c), (n, c, k), (n, c, k, m)]))
    image, *statistics = draw(tensors(image, (c,), (c,), (c + off,), (c,)))
    first, last = draw(st.sampled_from([(0, 4), (2, 4), (0, 2)]))
    statistics = [s if first <= i < last else None for i, s in enumerate(statistics)]
    return kind, [image, *statistics, draw(st.booleans()), 0.1, 1e-5]


def facts(result):
    return [(t.shape, t.stride(), t.dtype, t.device.type) for t in tree_leaves(result)]


@examples(60, 300)
@given(shortened_calls())
def test_shortcuts_answer_as_torch_does(call):
    name, args = call
    answer = shortcut(name, args, {})
    event(f"{name}: {'answered' if answer is not None else 'left to torch'}")
    if answer is not None:
        assert facts(answer) == facts(getattr(torch.ops.aten, name)(*args))


def test_rare_arguments_are_left_to_torch():
    class Rare(nn.Module):
        def forward(self, x):
            return torch.add(x, 2.0, alpha=3), torch.add(x, x, alpha=3), torch.mean(x, (0,))

    assert trace(Rare(), (2, 3)).output_shapes == ((2, 3), (2, 3), (3,))
    assert shortcut("cat", [[]], {}) is None


def test_shortcuts_are_taken():
    image, rows = (torch.empty(shape, device="meta") for shape in [(2, 3, 4, 4), (2, 3)])
    statistics = [torch.empty(3, device="meta") for _ in range(4)]
    for name in ("relu", "neg"):
        assert shortcut(name, [image], {}) is not None
    assert shortcut("bernoulli_", [image, 0.5], {}) is image
    assert shortcut("native_dropout", [image, 0.5, True], {}) is not None
    assert shortcut("add", [image, image], {}) is not None
    assert shortcut("mul", [image, image], {}) is not None
    assert shortcut("cat", [[image, image], 1], {}) is not None
    assert shortcut("mean", [image, [-1, -2], True], {}) is not None
    assert shortcut("addmm", [rows.new_empty(5), rows, rows.new_empty(3, 5)], {}) is not None
    for training in (False, True):
        arguments = [image, *statistics, training, 0.1, 1e-5]
        assert shortcut("native_batch_norm", arguments, {}) is not None


# --- results that are remembered ---------------------------------------------------------------


@st.composite
def operations(draw):
    """An operation of torch with arguments in any layout, as transformers and others call it."""
    dtype = draw(st.sampled_from([torch.float32, torch.float16, torch.float64, torch.int64]))
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    x = torch.empty(shape, dtype=dtype, device="meta")
    x = x.permute(draw(st.permutations(range(len(shape)))))
    x = draw(st.sampled_from([x, x[:, :1].expand(x.shape), x[..., ::2]]))
    scalar = draw(st.sampled_from([1, 1.0, True, 2]))
    dim = draw(st.integers(0, x.dim() - 1))
    width = x.shape[-1]
    weight = torch.empty(width, dtype=dtype, device="meta")
    calls = [
        (torch.ops.aten.mul.Tensor, (x, scalar), {}),
        (torch.ops.aten.div.Tensor, (x, scalar), {}),
        (torch.ops.aten.add.Tensor, (x, x.transpose(-1, -2).contiguous()[:1, :1]), {}),
        (torch.ops.aten.sum.dim_IntList, (x, [dim], bool(scalar)), {}),
        (torch.ops.aten.amax.default, (x, [dim]), {}),
        (torch.ops.aten.max.dim, (x, dim), {}),
        (torch.ops.aten.gelu.default, (x,), {"approximate": "tanh"}),
        (torch.ops.aten._softmax.default, (x, dim, False), {}),
        (torch.ops.aten.clone.default, (x,), {"memory_format": torch.contiguous_format}),
        (torch.ops.aten._to_copy.default, (x,), {"dtype": torch.float64}),
        (torch.ops.aten.native_layer_norm.default, (x, [width], weight, weight, 1e-5), {}),
        (torch.ops.aten.stack.default, ([x, x], dim), {}),
        (torch.ops.aten._unsafe_view.default, (x, [-1]), {}),
        (torch.ops.aten.empty_like.default, (x,), {}),
    ]
    return draw(st.sampled_from(calls))


def outcome(function, *args):
    try:
        return facts(function(*args))
    except Exception as error:
        return type(error), str(error)


@examples(60, 300)
@given(operations(), st.sampled_from([torch.float32, torch.float64]))
def test_remembered_results_are_those_of_torch(call, default):
    func, args, kwargs = call
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        expected = outcome(lambda: func(*args, **kwargs))
        assert outcome(meta_result, func, args, kwargs) == expected
        assert outcome(meta_result, func, args, kwargs) == expected
    finally:
        torch.set_default_dtype(before)


def test_remembered_results_are_tensors_of_their_own():
    x = torch.empty(2, 3, device="meta")
    one, other = (meta_result(torch.ops.aten.gelu.default, (x,), {}) for _ in range(2))
    assert one.untyped_storage()._cdata != other.untyped_storage()._cdata
    for func in (torch.ops.aten._unsafe_view.default, torch.ops.aten.view.default):
        for _ in range(2):
            view = meta_result(func, (x, [3, 2]), {})
            assert view.untyped_storage()._cdata == x.untyped_storage()._cdata
    assert meta_result(torch.ops.aten.add_.Tensor, (x, x), {}) is x


def test_what_has_data_is_computed():
    x = torch.tensor([1.0, 2.0])
    assert meta_result(torch.ops.aten.mul.Tensor, (x, 3), {}).tolist() == [3, 6]


def test_a_second_trace_works_out_nothing_again():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    first = trace(model, (2, 5, 8), training=True)
    known = meta_results.worked_out.cache_info()
    assert trace(model, (2, 5, 8), training=True) == first
    assert meta_results.worked_out.cache_info().misses == known.misses


# --- torch's compiler ------------------------------------------------------------------------


def test_a_trace_loads_no_compiler():
    """It takes two seconds to load, which would be most of what `vgglab diagnose` takes."""
    code = (
        "import sys, vgglab; vgglab.quiz('03-predict'); "
        "vgglab.diagnose(vgglab.vgg('A', norm='batch', device='meta'), (1, 3, 224, 224)); "
        "vgglab.summary(vgglab.vgg('A', head='gap', device='meta'), (1, 3, 224, 224)); "
        "print('torch._dynamo' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert printed.stdout == "False\n"


class HalfCompiled(nn.Module):
    """A compiled layer, and a compiled function."""

    def __init__(self):
        super().__init__()
        self.conv = torch.compile(nn.Conv2d(3, 4, 3))
        self.double = torch.compile(lambda x: 2 * x)

    def forward(self, x):
        return self.double(self.conv(x)).relu()


def test_compiled_parts_are_traced_and_not_compiled():
    before = torch._dynamo.utils.counters["frames"].copy()
    seen = trace(HalfCompiled(), (1, 3, 8, 8))
    assert [op.name for op in seen.ops] == ["convolution", "mul", "relu"]
    assert torch._dynamo.utils.counters["frames"] == before


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 3), nn.Conv3d(3, 8, 3)])
def test_the_order_in_memory_is_that_of_data(layer):
    """What is permuted stays so after a convolution, and a view is refused."""
    rank = layer.weight.dim()

    class Permuted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return torch.relu(self.layer(x.movedim(-1, 1))).view(len(x), -1)

    size = (2, *(8,) * (rank - 2), 3)
    with pytest.raises(RuntimeError, match="view size"):
        Permuted()(torch.zeros(size))
    failure = trace(Permuted(), size).failure
    assert failure is not None
    assert "view size" in failure.message


@pytest.mark.parametrize("side", [8, 9], ids=["ends", "stops"])
def test_a_trace_leaves_nothing_behind(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of autograd would hold the copy of the network for ever."""
    seen: list[weakref.ref[Any]] = []

    class Seen(tracing.Recorder):
        def run(self) -> Exception | None:
            seen.extend([weakref.ref(self), weakref.ref(self.model)])
            return super().run()

    monkeypatch.setattr(tracing, "Recorder", Seen)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Dropout(), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 36, 2))
    assert (trace(model, (2, 3, side, side)).failure is None) == (side == 8)
    gc.collect()
    assert [reference() for reference in seen] == [None, None]


def test_a_forward_may_take_gradients_itself():
    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            x = x.requires_grad_()
            scores = torch.relu(self.conv(x)).exp().sum()
            return torch.autograd.grad(scores, x, create_graph=True)[0]

    found = trace(Penalised(), (2, 3, 9, 8))
    assert found.failure is None
    assert found.fallback is None
    assert found.output_shapes == ((2, 3, 9, 8),)
