import urllib.error
from itertools import product

import pytest
import torch
import torchvision
from networks import filled, torchvision_network
from sampling import sampled
from torch import nn

from vgglab.models.configs import CONFIGS, PAPER_PARAMETERS
from vgglab.models.heads import HEADS
from vgglab.models.network import NORMS, vgg

TORCHVISION = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def small(config="A", **options):
    return vgg(config, width=1 / 16, num_classes=5, **options)


@pytest.mark.sampled
@pytest.mark.parametrize(("config", "head", "norm"), sampled(product(CONFIGS, HEADS, NORMS), 20))
def test_every_combination_runs(config, head, norm):
    model = small(config, head=head, norm=norm).eval()
    assert model(torch.zeros(2, 3, 224, 224)).shape == (2, 5)


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("config", TORCHVISION)
def test_keys_and_shapes_are_torchvisions(config, norm):
    name = TORCHVISION[config] + ("_bn" if norm else "")
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name)
    ours = vgg(config, norm=norm, device="meta")
    assert {key: tensor.shape for key, tensor in ours.state_dict().items()} == {
        key: tensor.shape for key, tensor in theirs.state_dict().items()
    }
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("config", CONFIGS)
def test_parameter_counts_are_the_papers(config):
    assert round(count(vgg(config, device="meta")) / 1e6) == PAPER_PARAMETERS[config]


def test_same_weights_give_torchvisions_output():
    theirs = filled(torchvision_network("vgg11_bn", "meta"), random=True).eval()
    ours = vgg("A", norm="batch", device="meta")
    ours.load_state_dict(theirs.state_dict(), assign=True)
    x = torch.rand(1, 3, 100, 130)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x))


@pytest.mark.parametrize(
    ("head", "works"), [("fc", True), ("fc-fixed", False), ("conv", True), ("gap", True)]
)
def test_heads_at_400_pixels(head, works):
    model = small(head=head).eval()
    x = torch.zeros(1, 3, 400, 400)
    if works:
        assert model(x).shape == (1, 5)
    else:
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            model(x)


def test_lrn_is_alexnets_formula():
    norm = next(m for m in small("A-LRN").modules() if isinstance(m, nn.LocalResponseNorm))
    x = torch.rand(1, 8, 2, 2, dtype=torch.float64) * 50
    n, k, alpha, beta = 5, 2.0, 1e-4, 0.75  # Krizhevsky et al. 2012, section 3.3
    expected = torch.empty_like(x)
    for i in range(8):
        neighbours = x[:, max(0, i - n // 2) : min(7, i + n // 2) + 1]
        expected[:, i] = x[:, i] / (k + alpha * (neighbours**2).sum(1)) ** beta
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize(
    ("config", "norm", "expected"),
    [
        ("A", None, 0),
        ("A-LRN", None, 1),
        ("A-LRN", "batch", 1),
        ("A-LRN", "lrn", 8),
        ("A", "lrn", 8),
    ],
)
def test_number_of_lrn_layers(config, norm, expected):
    modules = small(config, norm=norm).modules()
    assert sum(isinstance(module, nn.LocalResponseNorm) for module in modules) == expected


@pytest.mark.parametrize(
    ("norm", "groups"), [("group", [1, 1, 2, 2, 4, 4, 4, 4]), ("layer", [1] * 8)]
)
def test_groups_are_of_eight_channels_and_layernorm_is_one_group(norm, groups):
    layers = list(small("A", norm=norm).features)
    norms = [layer for layer in layers if isinstance(layer, nn.GroupNorm)]
    assert [layer.num_groups for layer in norms] == groups
    for layer, before in zip(layers[1:], layers, strict=False):
        assert isinstance(layer, nn.GroupNorm) == isinstance(before, nn.Conv2d)


def test_initialisation():
    model = vgg("A", width=0.5)
    conv, linear = model.features[3], model.classifier[0]
    fan_out = conv.weight.shape[0] * 9
    assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not conv.bias.any()
    assert not linear.bias.any()


def test_width_scales_channels_and_hidden_features_alone():
    model = vgg("D", width=0.25, device="meta")
    assert model.features[0].weight.shape == (16, 3, 3, 3)
    assert model.features[28].weight.shape == (128, 128, 3, 3)
    assert model.classifier[0].weight.shape == (1024, 128 * 49)
    assert model.classifier[6].weight.shape == (1000, 1024)


def test_device_and_dtype():
    model = vgg("E", device="meta", dtype=torch.bfloat16, in_channels=1)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.bfloat16)}
    assert model.features[0].weight.shape == (64, 1, 3, 3)


@pytest.mark.sampled
@pytest.mark.parametrize("head", sampled(["fc", "fc-fixed", "conv"], 1))
def test_official_weights_go_through_torchvision(monkeypatch, head):
    theirs = filled(torchvision_network("vgg11", "meta"), random=True).eval()
    fetched = []

    def fetch(url, **options):
        fetched.append((url, options["check_hash"]))
        return theirs.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    before = torch.get_rng_state()
    ours = vgg("A", head=head, weights="IMAGENET1K_V1").eval()
    assert torch.equal(torch.get_rng_state(), before)
    assert fetched == [(torchvision.models.VGG11_Weights.IMAGENET1K_V1.url, True)]
    assert all(p.requires_grad for p in ours.parameters())
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_weights_offline_are_one_sentence(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConnectionError) as caught:
        vgg("D", weights="IMAGENET1K_V1")
    message = str(caught.value)
    assert "'IMAGENET1K_V1' for vgg16 could not be fetched from https://" in message
    assert "no network" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"config": "vgg16"},
            ValueError,
            "config must be one of A, A-LRN, B, C, D, E; got",
        ),
        ({"norm": "instance"}, ValueError, "one of None, 'batch', .*; got 'instance'"),
        (
            {"head": "mlp"},
            ValueError,
            "head must be one of fc, fc-fixed, conv, gap, spp",
        ),
        ({"num_classes": 0}, ValueError, "num_classes must be at least 1; got 0"),
        ({"num_classes": 2.5}, TypeError, "num_classes must be an integer; got 2.5"),
        ({"in_channels": -3}, ValueError, "in_channels must be at least 1; got -3"),
        ({"width": 0}, ValueError, "width must be a number above 0; got 0"),
        ({"width": "half"}, ValueError, "width must be a number above 0; got 'half'"),
        ({"dropout": 1.5}, ValueError, "dropout must be between 0 and 1; got 1.5"),
        ({"weights": "V9"}, ValueError, "weights for vgg16 must be one of IMAGENET1K_V1; got 'V9'"),
        ({"config": "C", "weights": "IMAGENET1K_V1"}, ValueError, "configs A, B, D and E"),
        ({"norm": "lrn", "weights": "IMAGENET1K_V1"}, ValueError, "norm None or 'batch'"),
        ({"head": "gap", "weights": "IMAGENET1K_V1"}, ValueError, "heads fc, fc-fixed, conv"),
        ({"width": 0.5, "weights": "IMAGENET1K_V1"}, ValueError, "weights need width=1.0"),
        ({"num_classes": 3, "weights": "IMAGENET1K_V1"}, ValueError, "need num_classes=1000"),
    ],
)
def test_bad_input_is_named(options, error, words):
    with pytest.raises(error, match=words):
        vgg(**options)
