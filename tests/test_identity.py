"""Which network a model is: from what it executes, not from names."""

import re

import pytest
from networks import shapes_of_torchvision
from sampling import sampled
from torch import nn
from untouched import assert_unchanged, everything

from vgglab import CONFIGS, diagnose, identify, trace, vgg
from vgglab.diagnose.identity import LAYERS_WITH_WEIGHTS
from vgglab.models.heads import HEADS
from vgglab.models.network import NORMS
from vgglab.tracing.operations import Kind

CASES = [(c, n, h, w) for c in CONFIGS for n in NORMS for h in HEADS for w in (1.0, 0.125)]
CASES = [case for case in CASES if case[0] != "A-LRN" or case[1] is None]


@pytest.mark.sampled
@pytest.mark.parametrize(("config", "norm", "head", "width"), sampled(CASES, 20))
def test_every_vgg_of_ours_is_known(config, norm, head, width):
    if config == "A" and norm == "lrn":
        width = 1.0
    model = vgg(
        config, norm=norm, head=head, width=width, num_classes=7, in_channels=2, device="meta"
    )
    found = identify(model)
    assert (found.config, found.norm, found.head) == (config, norm, head)
    assert (found.width, found.num_classes) == (width, 7)
    assert found.exact
    assert found.name == (CONFIGS[config].nickname or f"vgg-{config}")
    assert sum(found.layers) == CONFIGS[config].weight_layers - 2 * (head == "gap")


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(LAYERS_WITH_WEIGHTS, 1))
def test_torchvisions_networks_are_known(name):
    model = shapes_of_torchvision(name)
    kinds = [op.kind for op in trace(model, (1, 3, 224, 224)).ops]
    count = kinds.count(Kind.CONVOLUTION) + kinds.count(Kind.LINEAR)
    assert count == LAYERS_WITH_WEIGHTS[name]
    found = identify(model)
    assert (found.name, found.exact, found.config) == (name, True, None)
    assert sum(found.layers) == count


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn", "vgg19"])
def test_torchvisions_vggs_are_the_papers(name):
    found = identify(shapes_of_torchvision(name))
    assert (found.name, found.head, found.exact) == (name.removesuffix("_bn"), "fc", True)
    assert found.norm == ("batch" if name.endswith("_bn") else None)


def altered(change):
    model = vgg("D", head="gap", device="meta")
    layers = list(model.features)
    change(layers)
    model.features = nn.Sequential(*layers)
    return model


def conv(*args, **options):
    return nn.Conv2d(*args, device="meta", **options)


DIFFERENT = {
    "a convolution too few": (
        lambda layers: layers.__delitem__(slice(12, 14)),
        "Stage 3 has conv3-256, conv3-256; that of the paper's D (vgg16) has conv3-256, conv3-256,",
    ),
    "no padding": (
        lambda layers: layers.__setitem__(2, conv(64, 64, 3)),
        "features.2 pads by 0; the paper pads by 1",
    ),
    "no activation": (lambda layers: layers.__delitem__(3), "No activation follows features.2."),
    "other channels": (
        lambda layers: (
            layers.__setitem__(5, conv(64, 96, 3, padding=1)),
            layers.__setitem__(7, conv(96, 128, 3, padding=1)),
        ),
        "Stage 2 has conv3-96, conv3-128",
    ),
    "BatchNorm once": (
        lambda layers: layers.insert(1, nn.BatchNorm2d(64, device="meta")),
        "1 of its 13 convolutions are normalised.",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_otherwise_is_named(name):
    change, words = DIFFERENT[name]
    found = identify(altered(change))
    assert (found.name, found.exact) == ("vgg16", False)
    (said,) = found.differences
    assert words in said
    assert said in str(found)


class VGG19(nn.Sequential):
    """Has another number of layers than its name says."""


def test_a_name_that_is_wrong_is_said():
    model = VGG19(*vgg("D", head="gap", device="meta").children())
    found = identify(model)
    assert (found.name, found.exact) == ("vgg16", True)
    words = "has 13 convolutions, as vgg16; a vgg19 has 16. Stage 3"
    assert words in found.named_otherwise
    assert any(words in warning for warning in diagnose(model, (1, 3, 64, 64)).warnings)


def test_a_network_that_stops_is_known_by_its_features():
    model = nn.Sequential(*vgg("A", device="meta").features, nn.Flatten(), nn.Linear(512, 10))
    for size in (None, (2, 3, 32, 32), (2, 3, 60, 60)):
        found = identify(model, size)
        assert (found.name, found.head, found.num_classes) == ("vgg11", "other", 10)


def test_features_alone_have_no_head():
    found = identify(vgg("B", device="meta").features)
    assert (found.name, found.head, found.num_classes) == ("vgg13", None, None)
    assert "It has no head." in str(found)


def test_a_relative_is_known_with_what_differs():
    """A ResNet as it is used for images of 32 px: a small first window, no pooling after it."""
    model = shapes_of_torchvision("resnet18")
    model.conv1, model.maxpool = conv(3, 64, 3, padding=1, bias=False), nn.Identity()
    found = identify(model)
    assert (found.name, found.exact) == ("resnet18", False)
    (said,) = found.differences
    assert re.fullmatch(
        r"At layer 1 it has a 3×3 .* stride 1 .* in place of a 7×7 .* 64 channels.", said
    )
    model.fc = nn.Identity()
    assert identify(model).name == "resnet18"


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 10, device="meta")),
        nn.Sequential(nn.Conv1d(4, 8, 3)),
        nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5)),
        nn.ReLU(),
    ],
    ids=["linear", "signals", "small", "no weights"],
)
def test_what_is_like_none_is_not_forced(model):
    found = identify(model)
    assert (found.name, found.exact, found.differences) == (None, False, ())
    assert "like none" in found.explanation


def test_the_model_and_the_random_state_are_left_alone():
    for model in (vgg("A", width=0.1), nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(21)])):
        before = everything(model)
        identify(model)
        assert_unchanged(before, model)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module; got str"):
        identify("vgg16")
    with pytest.raises(ValueError, match="input_size must be"):
        identify(nn.ReLU(), (1, 3, 0, 5))
