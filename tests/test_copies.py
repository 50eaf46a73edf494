"""The promises about copies: the caller's model still runs, and the caller's hooks stay silent."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from untouched import assert_unchanged, everything

import vgglab
from vgglab.course.exercises import load_exercises
from vgglab.lab.activations import activation_statistics
from vgglab.lab.maps import class_activation_map, grad_cam
from vgglab.receptive_field.effective import effective_receptive_field
from vgglab.tracing.copies import meta_copy, real_copy

SIZE = (2, 3, 16, 16)
IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(SIZE)

ENTRIES = {
    "trace": lambda m: vgglab.trace(m, SIZE),
    "summary": lambda m: vgglab.summary(m, SIZE),
    "diagnose": lambda m: str(vgglab.diagnose(m, SIZE)),
    "diagnose at another size": lambda m: str(vgglab.diagnose(m, (2, 3, 24, 24))),
    "receptive_fields": lambda m: vgglab.receptive_fields(m, SIZE),
    "receptive_field": lambda m: vgglab.receptive_field(m, SIZE, "0"),
    "compare": lambda m: vgglab.compare(m, m, [SIZE]),
    "onnx_round_trip": lambda m: vgglab.onnx_round_trip(m, [SIZE]),
    "fc_to_conv": lambda m: vgglab.fc_to_conv(m, SIZE),
    "fold_adaptive_pool": lambda m: vgglab.fold_adaptive_pool(m, SIZE),
    "fold_batchnorm": lambda m: vgglab.fold_batchnorm(m, SIZE),
    "with_adaptive_pool": lambda m: vgglab.with_adaptive_pool(m, (4, 4)),
    "with_flatten": lambda m: vgglab.with_flatten(m, SIZE),
    "with_gap_head": lambda m: vgglab.with_gap_head(m, 5),
    "with_new_fc": lambda m: vgglab.with_new_fc(m, SIZE),
    "with_spp_head": lambda m: vgglab.with_spp_head(m, (2, 1), 5),
    "class_activation_map": lambda m: class_activation_map(m, IMAGES),
    "grad_cam": lambda m: grad_cam(m, IMAGES, "0"),
    "activation_statistics": lambda m: activation_statistics(m, IMAGES),
    "effective_receptive_field": lambda m: effective_receptive_field(m, IMAGES, "0"),
    "check": lambda m: vgglab.check(of_a_network(), m),
}


def of_a_network():
    """Return the id of an exercise whose answer is a network."""
    exercises = load_exercises().items()
    return next(id for id, exercise in exercises if isinstance(exercise.solution(), nn.Module))


def enter(name, model):
    """Call an entry point; what it says of a network that it cannot use is no matter here."""
    try:
        return ENTRIES[name](model)
    except ValueError as error:
        return error


class Nested(nn.Module):
    """A lazy layer below two others, and a handle of it kept by its grandparent."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()))
        self.handle = self.body[0][0].register_forward_hook(kept)

    def forward(self, x):
        return self.body(x).flatten(1)


def kept(module, args, output):
    return None


def half_initialised():
    model = nn.Sequential(nn.LazyConv2d(4, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    model[0](IMAGES)
    return model


LAZY = {
    "LazyLinear": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)),
    "LazyConv2d and LazyBatchNorm2d": lambda: nn.Sequential(
        nn.LazyConv2d(4, 3, 2, 1),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(5),
    ),
    "nested": Nested,
    "half initialised": half_initialised,
}


def hook_tables(model):
    return {
        (path, key): list(table)
        for path, module in model.named_modules()
        for key, table in vars(module).items()
        if key.endswith("_hooks")
    }


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("network", LAZY)
def test_a_lazy_model_still_runs(network, entry):
    model = LAZY[network]()
    hooks = hook_tables(model)
    lazy = sum(nn.parameter.is_lazy(p) for p in model.parameters())
    assert lazy
    for _ in range(2):
        enter(entry, model)
    assert hook_tables(model) == hooks
    assert all(module.training for module in model.modules())
    assert sum(nn.parameter.is_lazy(p) for p in model.parameters()) == lazy
    assert model(IMAGES).shape[0] == 2
    assert not any(nn.parameter.is_lazy(p) for p in [*model.parameters(), *model.buffers()])


def test_a_lazy_model_is_traced_alike_as_often_as_one_wants():
    model = LAZY["LazyConv2d and LazyBatchNorm2d"]()
    first, second = (vgglab.trace(model, SIZE) for _ in range(2))
    assert first.failure is second.failure is None
    assert first == second


# --- the caller's hooks ---------------------------------------------------------------------


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64, 5),
    ).eval()


REGISTER = {
    "pre": lambda module, note: module.register_forward_pre_hook(lambda *call: note()),
    "forward": lambda module, note: module.register_forward_hook(lambda *call: note()),
    "partial": lambda module, note: module.register_forward_hook(partial(_call, note)),
    "backward": lambda module, note: module.register_full_backward_hook(lambda *call: note()),
    "backward pre": lambda module, note: module.register_full_backward_pre_hook(
        lambda *call: note()
    ),
}


def _call(note, *call):
    note()


OF_ALL_MODULES = (
    nn.modules.module.register_module_forward_pre_hook,
    nn.modules.module.register_module_forward_hook,
    nn.modules.module.register_module_full_backward_pre_hook,
    nn.modules.module.register_module_full_backward_hook,
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_hook_of_the_caller_fires(entry):
    model = network()
    fired = []
    for kind, register in REGISTER.items():
        register(model[0], lambda kind=kind: fired.append(kind))
    before = everything(model)
    of_all = [register(lambda *call: fired.append("all")) for register in OF_ALL_MODULES]
    try:
        enter(entry, model)
        assert fired == []
        model(IMAGES)
        assert {"pre", "forward", "all"} <= set(fired)  # they are still there
    finally:
        for handle in of_all:
            handle.remove()
    before.pop("rng")  # new layers draw weights
    after = everything(model)
    after.pop("rng")
    values = before.pop("values"), after.pop("values")
    assert before == after
    assert all(torch.equal(x, values[1][name]) for name, x in values[0].items())


def test_every_entry_takes_the_network_with_hooks():
    """So that none of the counts above is of an error."""
    refused = {"fc_to_conv", "with_flatten", "with_new_fc"}  # the pool is there, all fits
    for entry in ENTRIES.keys() - refused - {"class_activation_map"}:
        assert not isinstance(enter(entry, network()), Exception), entry


def test_repairs_fire_no_hook():
    model = vgglab.vgg("A", head="fc-fixed", width=1 / 16)
    fired = []
    model.features[0].register_forward_hook(lambda *call: fired.append(1))
    found = vgglab.diagnose(model, (1, 3, 400, 400))
    assert len(found.fixes) > 2
    assert fired == []
    found.fixes[0].apply()
    assert fired == []


def test_a_trace_says_where_hooks_were_left_out():
    model = network()
    model[2].register_forward_hook(lambda module, args, output: output[:, :1])
    assert vgglab.trace(model, SIZE).hooks_left_out == ("2",)
    assert vgglab.trace(network(), SIZE).hooks_left_out == ()


class Watching(nn.Module):
    """Registers hooks in its own code: they are part of the model."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.seen = []
        self.conv.register_forward_hook(lambda *call: self.seen.append(call[2]))
        self.conv.register_forward_pre_hook(self.double)

    def double(self, module, args):
        return (2 * args[0],)

    def forward(self, x):
        self.conv(x)
        return self.seen.pop()


def test_hooks_that_a_model_registers_itself_run_on_the_copy():
    model = Watching()
    before = everything(model)
    trace = vgglab.trace(model, SIZE)
    assert trace.output_shapes == ((2, 4, 16, 16),)
    assert [op.name for op in trace.ops] == ["mul", "convolution"]
    assert trace.hooks_left_out == ()
    assert_unchanged(before, model)


def test_a_feature_extractor_of_hooks_runs_on_the_copy():
    import timm

    model = timm.create_model("efficientnet_b0", features_only=True, feature_cls="hook")
    shapes = tuple(tuple(x.shape) for x in model.eval()(torch.zeros(1, 3, 64, 64)))
    before = everything(model)
    assert vgglab.trace(model, (1, 3, 64, 64)).output_shapes == shapes
    assert_unchanged(before, model)


# --- hooks and code that the result depends on ----------------------------------------------


def pruned():
    model = network()
    prune.l1_unstructured(model[5], "weight", 0.5)
    return model


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def old_weight_norm():
    model = network()
    nn.utils.weight_norm(model[5])
    return model


def with_parametrization(change):
    model = network()
    change(model[5])
    return model


class ClosureOverSelf(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.run = lambda x: self.norm(x)
        self.other = partial(torch.nn.Module.__call__, self.norm)

    def forward(self, x):
        return self.other(self.run(x))


DEPENDENT = {
    "pruning": pruned,
    "weight_norm, a hook": old_weight_norm,
    "spectral_norm, a hook": lambda: with_parametrization(nn.utils.spectral_norm),
    "weight_norm, a parametrization": lambda: with_parametrization(parametrizations.weight_norm),
    "spectral_norm, a parametrization": lambda: with_parametrization(
        parametrizations.spectral_norm
    ),
    "functions of self": ClosureOverSelf,
    "own hooks": Watching,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", DEPENDENT)
def test_what_the_result_depends_on_is_copied(name, training):
    model = DEPENDENT[name]().train(training)
    before = everything(model)
    assert vgglab.trace(model, SIZE).failure is vgglab.trace(model, SIZE).fallback is None
    output = real_copy(model)(IMAGES)
    assert meta_copy(model)(IMAGES.to("meta")).shape == output.shape
    assert_unchanged(before, model)
    torch.testing.assert_close(model(IMAGES), output)


@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("copied", [meta_copy, real_copy])
def test_handles_of_a_copy_remove_the_hooks_of_the_copy(copied, hooks):
    model = Nested()
    new = copied(model, hooks=hooks)
    new.handle.remove()
    assert not new.body[0][0]._forward_hooks
    assert list(model.body[0][0]._forward_hooks.values()) == [kept]
    model.handle.remove()
    assert not model.body[0][0]._forward_hooks


def scripted():
    return torch.jit.script(network())


def traced():
    return torch.jit.trace(network(), IMAGES)


def partly_scripted():
    model = network()
    model[0] = torch.jit.script(model[0])
    return model


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)
@pytest.mark.parametrize(
    "make",
    [
        scripted,
        pytest.param(
            traced,
            marks=pytest.mark.xfail(
                torch.__version__ < (2, 9), reason="as README says", strict=True
            ),
        ),
        partly_scripted,
    ],
)
def test_torchscript(make):
    model = make()
    expected = model(IMAGES)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert vgglab.trace(model, SIZE).output_shapes == ((2, 5),)
    assert vgglab.compare(model, network(), [SIZE]).rows
    assert all(torch.equal(x, model.state_dict()[name]) for name, x in before.items())
    torch.testing.assert_close(model(IMAGES), expected)


class ChangesWhatItIsGiven(nn.Module):
    """Runs on data alone, and writes into a tensor that it gets by name."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x, *, memory):
        if x.sum() > 1:  # needs numbers
            x = -x
        memory.add_(1)
        return self.linear(x)


def test_what_is_given_by_name_is_not_changed():
    memory = torch.zeros(3)
    found = vgglab.trace(ChangesWhatItIsGiven(), (2, 4), kwargs={"memory": memory})
    assert found.fallback is not None
    assert found.failure is None
    assert memory.count_nonzero() == 0
