"""Forwards that end and should not be trusted; and that sound networks are left alone."""

import sys

import pytest
import torch
from networks import shapes_of_torchvision
from sampling import sampled
from torch import Tensor, nn
from torchvision.models import VisionTransformer

import vgglab
from vgglab import diagnose
from vgglab.diagnose.warnings import find_warnings
from vgglab.tracing import trace
from vgglab.valid_sizes.propagation import propagate


class Function(nn.Module):
    def __init__(self, function: object, *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs, *self.layers)


class InAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Conv2d(3, 8, 3)]
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks[0](x).mean((2, 3)))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.forgotten = nn.Linear(8, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def edited() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 1000))
    model[1].out_features = 10
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 4))
    model[0].register_forward_hook(lambda module, given, result: 2 * result)
    return model


TRAPS = {
    "hooks that did not run": (hooked, (2, 8), "The hooks on 0 were not run"),
    "lazy layers": (
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)),
        (2, 3, 8, 8),
        "1 has no weights yet",
    ),
    "edited attribute": (edited, (2, 3, 4, 4), "1.out_features says 10"),
    "layers in a list": (InAList, (2, 3, 8, 8), "blocks keeps 1 layers in a list"),
    "unused layers": (Unused, (2, 8), "does not use forgotten"),
    "batch flattened": (
        lambda: nn.Sequential(nn.Flatten(0), nn.Linear(48, 2)),
        (1, 3, 4, 4),
        "0 flattens the batch as well",
    ),
    "column against vector": (
        lambda: Function(lambda x, fc: fc(x) - x[:, 0], nn.Linear(8, 1)),
        (4, 8),
        "gives (4, 4)",
    ),
    "cells as rows": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 1, 2), nn.Flatten(0)),
        (3, 3, 16, 16),
        "returns 27 numbers for 3 inputs, 3×3 cells of each",
    ),
    "softmax before the loss": (
        lambda: nn.Sequential(nn.Linear(8, 4), nn.Softmax(1)),
        (2, 8),
        "takes scores and does that itself",
    ),
    "scores cut off": (
        lambda: nn.Sequential(nn.Linear(8, 4), nn.ReLU()),
        (2, 8),
        "cuts off negative scores",
    ),
    "nothing between two layers": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.Dropout(), nn.Linear(6, 4)),
        (2, 8),
        "no activation",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_named(name: str) -> None:
    make, size, words = TRAPS[name]
    found = diagnose(make(), size)
    assert found.ok
    assert len(found.warnings) == 1, found.warnings
    assert words in found.warnings[0]
    assert found.fixes == []  # no other size would help


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ((4,), None),
        ((4, 10), None),
        ((4, 7), "scores for 10 classes, and the target 7"),
        ((4, 1), "class indices of (4,)"),
        ((3,), "rows, 4 and 3"),
    ],
)
def test_what_the_loss_will_say(target: tuple[int, ...], words: str | None) -> None:
    found = diagnose(nn.Linear(8, 10), (4, 8), target=target)
    assert found.ok
    assert [words in warning for warning in found.warnings] == [True] * (words is not None)


CLASSIFIERS = {
    "linear": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Linear(8, 10)),
        (2, 3, 4, 4),
    ),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.Conv2d(8, 10, 1), nn.Flatten(2), nn.AvgPool1d(4)
        ),
        (2, 3, 4, 4),
    ),
    "pixel by pixel": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 10, 1)),
        (2, 3, 4, 4),
    ),
    "registered before others": (
        lambda: Function(lambda x, fc, other: fc(other(x)), nn.Linear(6, 10), nn.Linear(8, 6)),
        (2, 8),
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_another_number_of_classes_is_a_repair(name: str) -> None:
    make, size = CLASSIFIERS[name]
    model = make()
    out = model(torch.zeros(size)).shape
    for wanted in (7, 12):
        found = diagnose(model, size, target=(*out[:1], wanted, *out[2:]))
        assert (found.ok, found.kind) == (True, "num-classes")
        (fix,) = found.fixes
        repaired = fix.apply()
        assert repaired(torch.zeros(size)).shape == (*out[:1], wanted, *out[2:])
        last = next(
            m
            for m in model.modules()
            if getattr(m, "out_features", 0) == 10 or getattr(m, "out_channels", 0) == 10
        )
        lost = sum(p.numel() for p in last.parameters())
        total = sum(p.numel() for p in model.parameters())
        assert fix.weights_kept == total - lost
        assert fix.share_kept == pytest.approx(1 - lost / total)
        assert f"{fix.share_kept:.0%}" in str(found)


def test_class_indices_are_looked_at() -> None:
    model = nn.Linear(8, 10)
    assert diagnose(model, (3, 8), target=torch.tensor([0, 9, 4])).kind is None
    found = diagnose(model, (3, 8), target=torch.tensor([0, 10, 4]))
    assert found.kind == "num-classes"
    assert "the target 11" in found.warnings[0]
    assert [fix.name for fix in found.fixes] == ["classes"]
    assert diagnose(model, (3, 8), target=torch.rand(3, 10)).kind is None
    with pytest.raises(TypeError, match="target must be a shape"):
        diagnose(model, (3, 8), target="labels")


def test_one_score_against_a_vector() -> None:
    (warning,) = diagnose(nn.Linear(8, 1), (4, 8), target=(4,)).warnings
    assert "(4, 4)" in warning


SOUND = ["vgg11_bn", "resnet18", "densenet121", "mobilenet_v2", "squeezenet1_0", "swin_t"]


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled([*SOUND, "vit_b_32", "convnext_tiny", "alexnet"], 2))
@pytest.mark.parametrize("training", [False, True])
def test_sound_networks_are_left_alone(name: str, training: bool) -> None:
    model = shapes_of_torchvision(name).train(training)
    seen = trace(model, (2, 3, 224, 224))
    assert find_warnings(model, seen, propagate(seen)) == []


def heads_by_hand(x: Tensor, both: nn.Linear, last: nn.Linear) -> Tensor:
    """Attention of 4 heads as one writes it, the steps first: a head is a row of the batch."""
    steps, batch, features = x.shape
    q, k = (y.reshape(steps, batch * 4, -1).transpose(0, 1) for y in both(x).chunk(2, -1))
    weighed = torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), k)
    y = weighed.transpose(0, 1).reshape(steps, batch, features)
    return last(y)  # type: ignore[no-any-return]


SEQUENCES = {
    "attention": lambda: Function(lambda x, a: a(x, x, x)[0], nn.MultiheadAttention(64, 4)),
    "batch first": lambda: Function(
        lambda x, a: a(x, x, x)[0], nn.MultiheadAttention(64, 4, batch_first=True)
    ),
    "a layer behind": lambda: Function(
        lambda x, a, b: b(a(x, x, x)[0].relu()), nn.MultiheadAttention(64, 4), nn.Linear(64, 5)
    ),
    "encoder": lambda: nn.TransformerEncoderLayer(64, 4, 32),
    "encoder, batch first": lambda: nn.TransformerEncoderLayer(64, 4, 32, batch_first=True),
    "decoder": lambda: Function(lambda x, d: d(x, x), nn.TransformerDecoderLayer(64, 4, 32)),
    "by hand": lambda: Function(heads_by_hand, nn.Linear(64, 128), nn.Linear(64, 64)),
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("size", [(2, 10, 64), (10, 2, 64), (1, 7, 64), (3, 9, 64)])
@pytest.mark.parametrize("training", [False, True])
def test_tokens_are_no_maps(name: str, size: tuple[int, ...], training: bool) -> None:
    found = diagnose(SEQUENCES[name]().train(training), size)
    assert (found.ok, found.kind, found.warnings) == (True, None, [])


def test_inputs_by_name_and_outputs_in_a_dict() -> None:
    class ByName(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8 * 16 * 16, 10)

        def forward(self, *, pixel_values: Tensor, scale: Tensor) -> dict[str, Tensor]:
            return {"logits": self.fc((self.conv(pixel_values) * scale).flatten(1))}

    model = ByName().eval()
    given = {"scale": torch.ones(1)}
    found = diagnose(model, (2, 3, 48, 48), kwargs=given)
    assert (found.kind, found.layer) == ("input-size", "fc")
    assert str(found.valid_sizes) == "31 to 32 px along each axis"
    assert diagnose(model, (2, 3, 32, 32), kwargs=given).ok


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_is_one_operation_whatever_the_length(layer: type[nn.RNNBase]) -> None:
    model = layer(4, 3, batch_first=True)
    counts = [[op.name for op in trace(model, (2, n, 4)).ops] for n in (3, 30)]
    assert counts[0] == counts[1] == [model.mode.lower()]
    short, long = (trace(model, (2, n, 4)).ops[0].mult_adds for n in (3, 30))
    assert long == 10 * short > 0


def test_the_features_of_a_recurrent_head_are_explained() -> None:
    class Reader(nn.Module):
        """Columns of a map as a sequence, as in the reading of text lines."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lstm = nn.Conv2d(1, 8, 3, 2, 1), nn.LSTM(8 * 16, 6, batch_first=True)
            self.fc = nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).permute(0, 3, 1, 2).flatten(2)
            return self.fc(self.lstm(x)[0])

    found = diagnose(Reader().eval(), (2, 1, 48, 160))
    assert (found.kind, found.layer) == ("input-size", "lstm")
    assert "192 = 8·24" in found.explanation
    assert str(found.valid_sizes) == "height 31 to 32 px, width 1 and more px"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The types of the models that were traced, in order."""
    names = []
    plain = trace

    def counted(model: nn.Module, *args: object, **kwargs: object) -> object:
        names.append(type(model).__name__)
        return plain(model, *args, **kwargs)

    for place in ("diagnose", "tracing", "convert.dry_run", "summary"):
        monkeypatch.setattr(sys.modules[f"vgglab.{place}"], "trace", counted)
    return names


def test_a_diagnosis_with_all_its_repairs_traces_few_networks(traced: list[str]) -> None:
    """Each repair once; what conversions try on the way there is shared."""
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(512, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    found = diagnose(model, (2, 3, 48, 48))
    assert len(found.fixes) == 8
    assert str(found)
    assert len(traced) <= 3 * len(found.fixes)


def test_a_diagnosis_traces_the_model_few_times(traced: list[str]) -> None:
    model = VisionTransformer(64, 16, 2, num_heads=2, hidden_dim=32, mlp_dim=64).eval()
    found = diagnose(model, (1, 3, 100, 100))
    assert str(found.valid_sizes) in str(found)
    assert traced.count("VisionTransformer") <= 4


def scripted(wanted: int) -> nn.Module:
    return torch.jit.script(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Flatten(), nn.Linear(wanted, 10)).eval()
    )


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_is_explained_too() -> None:
    found = diagnose(scripted(2048), (1, 3, 48, 48))
    assert (found.kind, found.layer, found.expected, found.got) == ("input-size", "2", 2048, 4608)
    assert str(found.valid_sizes) == "31 to 32 px along each axis"
    assert diagnose(scripted(2048), (1, 3, 32, 32)).ok


def test_pooled_features_are_those_of_the_pooled_map() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 8, 2)).eval()
    fixes = {fix.name: fix for fix in diagnose(model, (2, 1, 20)).fixes}
    x, old = torch.rand(2, 1, 20), torch.rand(2, 1, 10)
    by_hand = model[2](nn.AdaptiveAvgPool1d(8)(model[0](x)).flatten(1))
    torch.testing.assert_close(fixes["pool"].apply()(x), by_hand)
    torch.testing.assert_close(fixes["pool"].apply()(old), model(old))
    assert fixes["pool"].share_kept == 1
    assert fixes["fc"].weights_kept == 4 * 3 + 4
    assert set(diagnose(model, (2, 1, 20)).distances()) >= {("resize", "pool")}


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8 * 16 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).permute(0, 2, 3, 1).flatten(1))


def test_features_that_are_laid_out_otherwise_are_not_pooled_as_channels() -> None:
    found = diagnose(ChannelsLast().eval(), (2, 3, 48, 48))
    assert found.kind == "input-size"
    assert "pool" not in [fix.name for fix in found.fixes]


@pytest.mark.parametrize("channels", [1, 2, 5, 6])
def test_another_number_of_channels_keeps_the_weights(channels: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    grey = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(
        vgglab.with_in_channels(model, channels)(grey.expand(-1, channels, -1, -1)),
        model(grey.expand(-1, 3, -1, -1)),
    )
