"""The doctor: where a forward stops, why, which sizes fit, and what the repairs are worth."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from networks import shapes_of_torchvision, small_networks, torchvision_network
from sampling import examples, sampled
from torch import Tensor, nn
from torchvision.transforms import v2

import vgglab
from vgglab import diagnose, vgg
from vgglab.diagnose import Diagnosis

RECORD = Path(__file__).parent / "golden" / "torchvision_forwards.json"
FORWARDS = json.loads(RECORD.read_text(encoding="utf-8"))["errors"]


@pytest.fixture(scope="module")
def fixed() -> nn.Module:
    """VGG-16 of the paper, without adaptive pooling, on the meta device."""
    return vgg("D", head="fc-fixed", device="meta").eval()


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(FORWARDS, 3))
def test_ok_agrees_with_real_forwards_of_torchvision(name: str) -> None:
    """The record says with which torch it was made; compared is only whether a forward ends."""
    model = shapes_of_torchvision(name)
    for size, error in FORWARDS[name].items():
        found = diagnose(model, (1, 3, int(size), int(size)))
        assert found.ok == (error is None), (size, error)


def test_the_question(fixed: nn.Module) -> None:
    found = diagnose(fixed, (1, 3, 400, 400))
    assert not found.ok
    assert found.kind == "input-size"
    assert (found.layer, found.operation) == ("classifier.0", "addmm")
    assert (found.expected, found.got) == (25088, 73728)
    assert "73728 = 512·12·12" in found.explanation
    assert "25088 = 512·7·7" in found.explanation
    assert "400 → 200 → 100 → 50 → 25 → 12" in found.explanation
    assert str(found.valid_sizes) == "224 to 255 px along each axis"
    names = [fix.name for fix in found.fixes]
    assert names == ["resize", "crop", "pool", "fold", "conv", "gap", "spp", "fc"]
    same = {fix.name: fix.same for fix in found.fixes}
    assert same["resize"] == same["crop"] == "one old size"
    assert same["pool"] == same["conv"] == "all old sizes"
    assert same["fold"] == "this size"
    assert same["gap"] == same["spp"] == same["fc"] == "no"
    kept = {fix.name: fix.share_kept for fix in found.fixes}
    assert kept["pool"] == kept["fold"] == kept["resize"] == 1
    fc6 = 25088 * 4096 + 4096
    everything = next(fix for fix in found.fixes if fix.name == "pool").weights_kept
    assert found.fixes[-1].weights_kept == everything - fc6


def rebuilt(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


def resnet_features() -> list[nn.Module]:
    return list(torchvision_network("resnet18", "meta").eval().children())[:-2]


class Flattening(nn.Module):
    """One convolution and pooling, a flatten in `forward`, one linear layer."""

    def __init__(self, flatten: object, in_features: int = 4 * 7 * 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(in_features, 10)
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(F.max_pool2d(F.relu(self.conv(x)), 2)))


class Residual(nn.Module):
    """Two ways that meet in a sum."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x)


class Stacked(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.left(x), self.right(x)])


FAILURES = {
    "view with a number": (
        lambda: Flattening(lambda x: x.view(-1, 196)),
        (1, 3, 20, 20),
        ("input-size", "", "view", 196, 324),
        ("324 = 4·9·9", "196 = 4·7·7", "20 → 18 → 9"),
    ),
    "view of the rest": (
        lambda: Flattening(lambda x: x.view(x.size(0), -1)),
        (2, 3, 20, 20),
        ("input-size", "fc", "addmm", 196, 324),
        ("324 = 4·9·9", "196 = 4·7·7"),
    ),
    "reshape with a number": (
        lambda: Flattening(lambda x: x.reshape(x.shape[0], 196)),
        (2, 3, 20, 20),
        ("input-size", "", "view", 196, 324),
        ("324 = 4·9·9",),
    ),
    "a height and a width": (
        lambda: Flattening(lambda x: torch.flatten(x, 1)),
        (1, 3, 16, 30),
        ("input-size", "fc", "addmm", 196, 392),
        ("392 = 4·7·14", "the height goes 16 → 14 → 7, the width 30 → 28 → 14"),
    ),
    "features of another network": (
        lambda: Flattening(lambda x: torch.flatten(x, 1), in_features=195),
        (1, 3, 16, 16),
        ("wrong-in-features", "fc", "addmm", 195, 196),
        ("195 is no multiple of 4",),
    ),
    "two layers that do not fit": (
        lambda: rebuilt(nn.Flatten(), nn.Linear(48, 20), nn.Linear(21, 3)),
        (1, 3, 4, 4),
        ("wrong-in-features", "2", "addmm", 21, 20),
        ("whatever the input size",),
    ),
    "flatten lost between two parts": (
        lambda: rebuilt(
            *(lambda v: (v.features, v.classifier))(vgg("A", head="fc-fixed", device="meta"))
        ),
        (1, 3, 224, 224),
        ("missing-flatten", "1.0", "addmm", 25088, 7),
        ("3584 = 1·512·7 rows of 7", "25088 = 512·7·7", "a flatten is missing"),
    ),
    "flatten lost with children()": (
        lambda: rebuilt(*torchvision_network("resnet18", "meta").eval().children()),
        (1, 3, 224, 224),
        ("missing-flatten", "9", "addmm", 512, 1),
        ("512 = 512·1·1", "a flatten is missing"),
    ),
    "pooling lost": (
        lambda: rebuilt(*resnet_features(), nn.Flatten(), nn.Linear(512, 10, device="meta")),
        (1, 3, 224, 224),
        ("missing-pool", "9", "addmm", 512, 25088),
        ("25088 = 512·7·7", "averaged to one cell"),
    ),
    "fixed average pooling of the first ResNets": (
        lambda: rebuilt(
            *resnet_features(),
            nn.AvgPool2d(7, stride=1),
            nn.Flatten(),
            nn.Linear(512, 10, device="meta"),
        ),
        (1, 3, 256, 256),
        ("input-size", "10", "addmm", 512, 2048),
        ("2048 = 512·2·2", "512 = 512·1·1"),
    ),
    "fixed average pooling of 8×8, as in Inception": (
        lambda: rebuilt(
            nn.Conv2d(3, 16, 3, stride=8),
            nn.AvgPool2d(8),
            nn.Flatten(),
            nn.Linear(16, 10),
        ),
        (1, 3, 224, 224),
        ("input-size", "3", "addmm", 16, 144),
        ("144 = 16·3·3",),
    ),
    "grey image": (
        lambda: vgg("A", head="fc-fixed", device="meta"),
        (1, 1, 224, 224),
        ("channel-mismatch", "features.0", "convolution", 3, 1),
        ("wants 3 channels and gets 1",),
    ),
    "channels last": (
        lambda: vgg("A", head="fc-fixed", device="meta"),
        (1, 224, 224, 3),
        ("channel-mismatch", "features.0", "convolution", 3, 224),
        ("channels come last",),
    ),
    "channels inside": (
        lambda: rebuilt(nn.Conv2d(3, 8, 3), nn.Conv2d(9, 8, 3)),
        (1, 3, 16, 16),
        ("channel-mismatch", "1", "convolution", 9, 8),
        ("The layer before it",),
    ),
    "channels of a normalisation": (
        lambda: rebuilt(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(9)),
        (2, 3, 16, 16),
        ("channel-mismatch", "1", None, 9, 8),
        ("9", "8"),
    ),
    "no batch": (
        lambda: vgg("A", head="fc-fixed", device="meta"),
        (3, 224, 224),
        ("unbatched-input", "classifier.0", "addmm", (1, 3, 224, 224), (3, 224, 224)),
        ("no batch",),
    ),
    "no batch and no channels": (
        lambda: rebuilt(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 26 * 26, 10)),
        (28, 28),
        ("unbatched-input", "0", None, (1, 1, 28, 28), (28, 28)),
        ("no batch",),
    ),
    "too small for a pooling": (
        lambda: vgg("A", head="fc-fixed", device="meta"),
        (1, 3, 20, 224),
        ("input-too-small", "features.20", "max_pool2d_with_indices", 2, 1),
        ("the height goes 20 → 10 → 5 → 2 → 1",),
    ),
    "too small for a convolution": (
        lambda: rebuilt(nn.Conv2d(3, 8, 3, dilation=4)),
        (1, 3, 32, 8),
        ("input-too-small", "0", "convolution", 9, 8),
        ("9 px", "width"),
    ),
    "too much padding": (
        lambda: rebuilt(nn.MaxPool2d(2, padding=2)),
        (1, 3, 32, 32),
        ("padding-mismatch", "0", "max_pool2d_with_indices", 1, 2),
        ("half",),
    ),
    "a sum of two sizes": (
        lambda: Residual(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(3, 8, 3, stride=2)),
        (1, 3, 32, 32),
        ("padding-mismatch", "", "add", (1, 8, 16, 16), (1, 8, 15, 15)),
        ("from left", "from right", "32 → 16", "32 → 15"),
    ),
    "a sum of two rows": (
        lambda: rebuilt(nn.Flatten(), Residual(nn.Linear(48, 8), nn.Linear(48, 9))),
        (2, 3, 4, 4),
        ("wrong-in-features", "1", "add", (2, 8), (2, 9)),
        ("their features differ",),
    ),
    "a stack of two sizes": (
        lambda: Stacked(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(3, 8, 3, stride=2)),
        (1, 3, 32, 32),
        ("padding-mismatch", "", "stack", (1, 8, 16, 16), (1, 8, 15, 15)),
        ("from left", "from right", "32 → 16", "32 → 15"),
    ),
    "a sum of two widths": (
        lambda: Residual(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 9, 1)),
        (1, 3, 32, 32),
        ("channel-mismatch", "", "add", (1, 8, 32, 32), (1, 9, 32, 32)),
        ("their channels differ",),
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("case", sampled(FAILURES, 9))
def test_failures(case: str) -> None:
    make, size, facts, quoted = FAILURES[case]
    model = make().eval()
    found = diagnose(model, size)
    assert not found.ok
    kind, layer, operation, expected, got = facts
    assert found.kind == kind, found.explanation
    assert found.layer == layer
    if operation is not None:
        assert (found.operation, found.expected, found.got) == (operation, expected, got)
    for words in quoted:
        assert words in found.explanation
    check_fixes(model, found)


def check_fixes(model: nn.Module, found: Diagnosis) -> None:
    """Apply every repair on offer: it runs, costs what it says, and is the line that it shows."""
    real = not any(parameter.is_meta for parameter in model.parameters())
    for fix in found.fixes:
        repaired = fix.apply()
        assert diagnose(repaired, list(fix.input_sizes)).ok
        assert sum(p.numel() for p in repaired.parameters()) == fix.parameters
        assert fix.line.startswith("model = ")
        assert "\n" not in fix.line
        if real:
            batch = torch.rand(fix.input_sizes[0])
            with torch.no_grad():
                output = repaired.eval()(batch)
            assert len(output) == (len(batch) if batch.ndim == 4 else 1)


GENERATED = {"flatten": 1, "view": 2, "view of batch": 3, "reshape": 4, "nn.Flatten": 2}


@pytest.mark.parametrize("flatten", sampled([*GENERATED, "reshape of features"], 3))
@examples(3, 50)
@given(data=st.data(), side=st.integers(1, 64), seed=st.integers(0, 2**32 - 1))
def test_every_fix_of_generated_networks_is_what_it_claims_to_be(
    flatten: str, data: st.DataObject, side: int, seed: int
) -> None:
    """Networks for each way to write the flatten, with different numbers of blocks."""
    networks = small_networks(blocks=GENERATED.get(flatten), flatten=flatten)
    model, channels, made_for = data.draw(networks)
    model = model.double().eval()
    size = (2, channels, side, side)
    torch.manual_seed(seed)
    image = torch.rand(size, dtype=torch.float64)
    fitting = torch.rand(2, channels, made_for, made_for, dtype=torch.float64)
    found = diagnose(model, size)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with torch.no_grad():
        answers = model(fitting)
        assert found.ok == runs(model, image) or found.warnings
        # Where a fixed average pooling ignored a border, a repaired network reads it.
        ignores = any("ignores" in words for words in diagnose(model, fitting.shape).warnings)
        networks = {fix.name: fix.apply().double().eval() for fix in found.fixes}
        assert len(networks) == len(found.fixes)
        for fix in found.fixes:
            repaired = networks[fix.name]
            output = repaired(image)
            assert output.shape == answers.shape, fix
            assert torch.isfinite(output).all()
            if fix.name == "resize":
                target = v2.Resize(repaired[0].size)(image)
                torch.testing.assert_close(output, model(target))
            elif fix.name == "crop":
                target = v2.CenterCrop(repaired[0].size)(image)
                torch.testing.assert_close(output, model(target))
            elif fix.name == "pad":
                target = nn.functional.pad(image, repaired[0].padding)
                torch.testing.assert_close(output, model(target))
            elif fix.name in ("pool", "conv"):
                if not ignores:
                    torch.testing.assert_close(repaired(fitting), answers)
            elif fix.name == "fold":
                torch.testing.assert_close(output, networks.get("pool", model)(image))
            else:
                assert fix.same == "no"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def runs(model: nn.Module, image: Tensor) -> bool:
    try:
        model(image)
    except RuntimeError:
        return False
    return True


DOUBTS = {
    "strip": (lambda: vgg("D", head="fc-fixed", device="meta"), (1, 3, 32, 1568), "1×49"),
    "copied cell": (lambda: vgg("D", device="meta"), (1, 3, 32, 32), "copies the only cell"),
    "upsampling": (lambda: vgg("D", device="meta"), (1, 3, 200, 224), "6×7 to 7×7"),
    "uneven bins": (lambda: vgg("D", device="meta"), (1, 3, 400, 400), "overlap"),
    "batch eaten": (
        lambda: Flattening(lambda x: x.view(-1, 196)),
        (49, 3, 20, 20),
        "49 images as 81 rows",
    ),
    "border ignored": (
        lambda: rebuilt(nn.AvgPool2d(7), nn.Flatten(), nn.Linear(3, 2)),
        (1, 3, 9, 8),
        "averages 7×7 cells of a 9×8 map",
    ),
    "width read as features": (
        lambda: rebuilt(nn.Conv2d(3, 8, 3), nn.Linear(30, 10)),
        (1, 3, 32, 32),
        "a flatten is missing",
    ),
    "stretched sum": (
        lambda: Residual(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, (1, 32))),
        (1, 3, 32, 32),
        "32×32 and 32×1",
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("case", sampled(DOUBTS, 3))
def test_doubts(case: str) -> None:
    make, size, words = DOUBTS[case]
    model = make().eval()
    found = diagnose(model, size)
    assert found.ok
    assert len(found.warnings) == 1, found.warnings
    assert words in found.warnings[0]
    check_fixes(model, found)


@pytest.mark.parametrize("side", [231, 400])
def test_a_border_that_is_ignored_on_the_way_is_no_doubt(side: int) -> None:
    """The head reads all of the last map, whatever strides and poolings before it left out."""
    with torch.device("meta"):
        model = torchvision_network("densenet121").eval()
    found = diagnose(model, (1, 3, side, side))
    assert found.ok
    assert found.warnings == found.fixes == []


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg16", 224),
        ("vgg16", 448),
        ("resnet18", 300),
        ("densenet121", 224),
        ("convnext_tiny", 96),
    ],
)
def test_no_doubts_about_sound_forwards(name: str, size: int) -> None:
    found = diagnose(torchvision_network(name, "meta").eval(), (2, 3, size, size))
    assert found.ok
    assert found.warnings == []
    assert found.fixes == []


def test_copied_cell_acts_as_a_smaller_layer() -> None:
    """The claim of the warning: one cell copied 49 times is one layer of summed weights."""
    model = vgg("A", width=1 / 16).eval()
    cell = torch.rand(1, 32, 1, 1)
    fc = model.classifier[0]
    summed = fc.weight.view(-1, 32, 49).sum(2)
    pooled = model.avgpool(cell).flatten(1)
    torch.testing.assert_close(fc(pooled), F.linear(cell.flatten(1), summed, fc.bias))


def test_uneven_bins_weigh_cells_as_the_warning_says() -> None:
    cells = torch.zeros(1, 1, 12, 12, requires_grad=True)
    F.adaptive_avg_pool2d(cells, 7).sum().backward()
    ratio = cells.grad.max() / cells.grad.min()
    (warning,) = diagnose(vgg("D", device="meta"), (1, 3, 400, 400)).warnings
    assert f"count {ratio:.3g} times as much" in warning


@examples(15, 60)
@given(
    st.sampled_from(sorted(FAILURES.keys() - {"pooling lost", "flatten lost with children()"})),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_no_input_makes_the_doctor_stumble(case: str, size: list[int]) -> None:
    """Inputs of any rank: there is always an answer, and it can be printed."""
    found = diagnose(FAILURES[case][0]().eval(), tuple(size))
    assert found.ok or found.explanation
    assert str(found.valid_sizes)
    assert isinstance(found.warnings, list)


def test_the_line_of_a_fix_is_what_it_applies(fixed: nn.Module) -> None:
    fix = next(f for f in diagnose(fixed, (1, 3, 400, 400)).fixes if f.name == "fold")
    assert fix.line == (
        "model = vgglab.fold_adaptive_pool("
        "vgglab.with_adaptive_pool(model, (7, 7)), (1, 3, 400, 400))"
    )
    by_hand = vgglab.fold_adaptive_pool(vgglab.with_adaptive_pool(fixed, (7, 7)), (1, 3, 400, 400))
    shapes = {name: p.shape for name, p in fix.apply().named_parameters()}
    assert shapes == {name: p.shape for name, p in by_hand.named_parameters()}
    assert shapes["classifier.0.weight"] == (4096, 512, 12, 12)


def test_two_problems_are_repaired_one_after_the_other(fixed: nn.Module) -> None:
    found = diagnose(fixed, (3, 400, 400))
    assert found.kind == "unbatched-input"
    assert found.fixes
    assert all("nn.Unflatten" in fix.line for fix in found.fixes)
    assert "pool" in [fix.name for fix in found.fixes]


def test_python_errors_are_explained_from_their_text() -> None:
    found = diagnose(torchvision_network("vit_b_32", "meta").eval(), (1, 3, 400, 400))
    assert (found.kind, found.operation, found.expected) == ("input-size", None, None)
    assert "AssertionError" in found.explanation
    assert (224, 224) in found.valid_sizes
    assert [fix.name for fix in found.fixes][:2] == ["resize", "crop"]


class RowsByLstm(nn.Module):
    """A convolution, then a recurrent layer over the cells of each row: the usual CNN and LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 8, 8)
        self.lstm = nn.LSTM(16, 8, batch_first=True)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        rows, _ = self.lstm(x.permute(0, 2, 3, 1).reshape(n * h, w, c))
        return self.fc(rows.mean(1))


def test_a_recurrent_layer_has_no_warnings() -> None:
    """Some of its operations read parameters alone."""
    found = diagnose(RowsByLstm().eval(), (1, 3, 32, 32))
    assert (found.ok, found.warnings) == (True, [])


def test_a_gain_used_through_a_view_does_not_hide_that_the_size_is_wrong() -> None:
    gain = nn.Parameter(torch.ones(8))
    model = rebuilt(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(8 * 16 * 16, 10)
    )
    model[0].register_parameter("gain", gain)
    model[0].register_forward_hook(lambda module, _, out: out * module.gain[:, None, None])
    found = diagnose(model, (1, 3, 48, 48))
    assert (found.kind, str(found.valid_sizes)) == ("input-size", "31 to 32 px along each axis")


def test_a_model_in_train_mode_is_diagnosed_in_train_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
    assert not diagnose(model, (1, 3, 32, 32)).ok
    assert diagnose(model, (2, 3, 32, 32)).ok
    assert diagnose(model.eval(), (1, 3, 32, 32)).ok


def test_nothing_of_the_caller_changes() -> None:
    model = vgg("A", head="fc-fixed", norm="batch", width=1 / 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    found = diagnose(model, (2, 3, 400, 400))
    assert str(found)
    assert found._repr_html_()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


def test_report_golden(fixed: nn.Module, request: pytest.FixtureRequest) -> None:
    """The whole report for the question, letter by letter."""
    path = Path(__file__).parent / "golden" / "diagnose_vgg16_400.txt"
    report = str(diagnose(fixed, (1, 3, 400, 400))) + "\n"
    if request.config.getoption("--overwrite"):
        path.write_text(report, encoding="utf-8")
    assert report == path.read_text(encoding="utf-8")


def test_to_dict_is_plain(fixed: nn.Module) -> None:
    plain = diagnose(fixed, (1, 3, 400, 400)).to_dict()
    again = json.loads(json.dumps(plain))
    assert again["expected"] == 25088
    assert again["valid_sizes"]["height"] == [[224, 255]]
    assert {fix["name"] for fix in again["fixes"]} >= {"pool", "fold"}


def test_html_is_escaped_and_holds_every_line(fixed: nn.Module) -> None:
    found = diagnose(fixed, (1, 3, 400, 400))
    html = found._repr_html_()
    for fix in found.fixes:
        assert f"<code>{escape(fix.line)}</code>" in html


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        ((1, 3, -400, 400), ValueError, "at least 1"),
        ((1, 3, 400.0, 400), TypeError, "400.0"),
        ("400", TypeError, "'400'"),
    ],
)
def test_bad_input_size(size: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        diagnose(nn.Conv2d(3, 8, 3), size)


def test_bad_model() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module; got str"):
        diagnose("vgg16", (1, 3, 224, 224))


def test_what_is_no_image_network() -> None:
    """A network of features has no sizes of images; that is said, not guessed."""
    found = diagnose(nn.Sequential(nn.Linear(8, 4), nn.Linear(5, 2)), (1, 8))
    assert found.kind == "wrong-in-features"
    assert [fix.name for fix in found.fixes] == ["fc"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "none" in str(found.valid_sizes)


class Written(nn.Module):
    """A network of a few layers and a forward that is written in one line."""

    def __init__(self, forward: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.written = nn.ModuleList(layers), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.written(x, *self.layers)


class Bias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.zeros(1, 1, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.grid


POSTED_LIKE = {
    "a sequence of features": (
        lambda: Written(lambda x, a, b: b(a(x)).mean(1), nn.Linear(64, 8), nn.Linear(8, 4)),
        (2, 20, 100),
        "wrong-in-features",
        ["wants 64 features and gets 100 from the input", "nn.Linear(100, 8)"],
        ["flatten", "height"],
    ),
    "an image that nobody flattened": (
        lambda: nn.Sequential(nn.Linear(784, 8)),
        (5, 28, 28),
        "missing-flatten",
        ["784 = 28·28", "x.flatten(1)"],
        [],
    ),
    "patches that were transposed": (
        lambda: Written(
            lambda x, a: a(F.unfold(x, 8, stride=8).transpose(1, 2)).mean(1), nn.Linear(147, 8)
        ),
        (2, 3, 64, 64),
        "wrong-in-features",
        ["wants 147 features and gets 192", "nn.Linear(192, 8)"],
        ["channels", "rows"],
    ),
    "tokens, embedded and read as an image": (
        lambda: Written(
            lambda x, a, b: F.max_pool1d(b(a(x).unsqueeze(1)), 3),
            nn.Embedding(9, 16),
            nn.Conv2d(1, 4, (3, 16)),
        ),
        (3, 50),
        "wrong-dimensions",
        ["max_pool1d"],
        ["has no batch"],
    ),
    "columns for a recurrent layer": (
        lambda: Written(
            lambda x, a, b: b(a(x).permute(0, 3, 1, 2).flatten(2))[0],
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.GRU(128, 4, batch_first=True),
        ),
        (2, 3, 64, 40),
        "input-size",
        ["nn.MaxPool2d((2, 1))", "height 31 to 32 px, width 1 and more"],
        ["MaxPool1d"],
    ),
    "channels that do not divide": (
        lambda: Written(
            lambda x, a: (
                sum(part.mean((1, 2, 3)) for part in (a(x).chunk(2, 1)))
                + (a(x).chunk(2, 1)[0] + a(x).chunk(2, 1)[1]).mean((1, 2, 3))
            ),
            nn.Conv2d(3, 15, 3),
        ),
        (2, 3, 16, 16),
        "channel-mismatch",
        ["(2, 8, 14, 14)", "(2, 7, 14, 14)", "their channels differ"],
        ["padding"],
    ),
    "ways that part at the first layer": (
        lambda: Written(
            lambda x, a, b: a(x) + b(x), nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 3, 2, 0)
        ),
        (2, 3, 64, 64),
        "padding-mismatch",
        ["3 to 4 px", "the side goes 64 → 31"],
        ["Resize", "CenterCrop"],  # images of 64 px, of which 3 would be left
    ),
    "a height that the code wants": (
        lambda: Written(
            lambda x, a: tall(a(x), 1).mean((2, 3)), nn.Conv2d(3, 4, (8, 3), stride=(8, 1))
        ),
        (2, 3, 32, 40),
        "input-size",
        ["insists on 1", "height 8 to 15 px"],
        [],
    ),
    "channels for a pixel shuffle": (
        lambda: nn.Sequential(nn.Conv2d(3, 10, 3), nn.PixelShuffle(2)),
        (2, 3, 16, 16),
        "channel-mismatch",
        ["2×2 cells of 4 channels", "10 is no multiple"],
        ["none of the messages"],
    ),
    "a group norm for other channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 12, 3), nn.GroupNorm(4, 16)),
        (2, 3, 16, 16),
        "channel-mismatch",
        ["normalises 16 channels and gets 12", "nn.GroupNorm(4, 12)", "fit: none"],
        [],
    ),
    "a shortcut without its stride": (
        lambda: Written(
            lambda x, a, b: a(x) + b(a(x)), nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, 2, 1)
        ),
        (2, 3, 34, 34),
        "padding-mismatch",
        ["a stride of its own: nn.Conv2d(8, 8, 1, stride=2)"],
        [],
    ),
    "a grid for images of one size": (
        lambda: Written(lambda x, a: a(x * torch.ones(1, 1, 32, 32)), nn.Conv2d(3, 8, 3)),
        (2, 3, 64, 64),
        "input-size",
        ["32"],
        ["1 against 2"],
    ),
    "a part of a table that is kept": (
        Bias,
        (2, 3, 64, 64),
        "input-size",
        ["a buffer of shape (1, 1, 32, 32)", "32 for 64", "made for inputs of one size"],
        ["differ by a few cells"],
    ),
    "channels for a pixel shuffle in between": (
        lambda: nn.Sequential(nn.Conv2d(3, 10, 3), nn.PixelShuffle(2), nn.ReLU()),
        (2, 3, 16, 16),
        "channel-mismatch",
        ["fit: none"],
        ["of the weights"],
    ),
    "groups that do not divide what comes": (
        lambda: nn.Sequential(nn.Conv2d(3, 12, 3), nn.Conv2d(16, 16, 3, groups=16)),
        (2, 3, 16, 16),
        "channel-mismatch",
        ["wants 16 channels and gets 12"],
        ["groups=16"],  # no such layer takes 12 channels
    ),
}


def tall(x: Tensor, height: int) -> Tensor:
    assert x.shape[2] == height, f"the height of the map must be {height}"
    return x


@pytest.mark.parametrize("name", POSTED_LIKE)
def test_networks_as_they_are_posted(name: str) -> None:
    make, size, kind, said, unsaid = POSTED_LIKE[name]
    report = str(found := diagnose(make().eval(), size))
    assert found.kind == kind
    assert [words for words in said if words not in report] == [], report
    assert [words for words in unsaid if words in report] == [], report


class HeadOfItsOwn(nn.Module):
    """Below 40 px a head that fits; above, another one that fits no image."""

    def __init__(self, large: nn.Module) -> None:
        super().__init__()
        self.conv, self.large = nn.Conv2d(3, 8, 3, padding=1), large
        self.small = nn.Linear(8 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if x.shape[-1] > 40:
            return self.large(x)  # type: ignore[no-any-return]
        return self.small(F.adaptive_avg_pool2d(x, 4).flatten(1))  # type: ignore[no-any-return]


HEADS = {
    "no multiple of the channels": lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 10)),
    "two layers": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 10)),
    "pooled to a fixed size": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(8 * 16, 10)
    ),
    "two maps side by side": lambda: Written(
        lambda x, fc: fc(torch.cat([x.flatten(1), F.max_pool2d(x, 2).flatten(1)], 1)),
        nn.Linear(100, 10),
    ),
}
OF_ALL_SIZES = ("not the size of", "whatever the", "no other size", "No larger", "no image")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("side", [56, 224])
def test_no_sentence_contradicts_the_sizes_beside_it(head: str, side: int) -> None:
    """What is true of every size on one way is not said where another way ends."""
    found = diagnose(HeadOfItsOwn(HEADS[head]()), (1, 3, side, side))
    assert not found.ok
    report = str(found)
    assert found.valid_sizes
    assert [words for words in OF_ALL_SIZES if words in report] == [], report
    assert "takes another way" in report


def test_what_no_square_image_gives_another_image_may_give() -> None:
    model = nn.Sequential(nn.MaxPool2d((2, 4)), nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    report = str(found := diagnose(model, (1, 3, 40, 40)))
    assert found.valid_sizes
    assert "No square image gives a map with so many cells" in report
    assert "not the size" not in report
