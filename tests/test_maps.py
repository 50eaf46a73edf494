"""Class activation maps: their mean is the logit; Grad-CAM; and the model stays as it is."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from untouched import assert_unchanged, everything

from vgglab import vgg
from vgglab.lab.maps import class_activation_map, grad_cam, upsample


def filled_statistics(model: nn.Module) -> nn.Module:
    """Give BatchNorm statistics that are not the initial ones."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model


class FunctionalEnd(nn.Module):
    """Pools and scores without a module for either."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(5, 8))

    def forward(self, x):
        x = torch.relu(self.conv(F.adaptive_avg_pool2d(x, 16))).mean((2, 3))
        return F.linear(F.dropout(x, 0.5, self.training), self.weight)


NETWORKS = {
    "vgg-gap": lambda: vgg("A", head="gap", width=1 / 8, num_classes=7),
    "vgg-conv": lambda: vgg("A", head="conv", width=1 / 16, num_classes=7),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=7),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(num_classes=7),
    "googlenet": lambda: torchvision.models.googlenet(num_classes=7, init_weights=False),
    "densenet121": lambda: torchvision.models.densenet121(num_classes=7),
    "functional": FunctionalEnd,
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_mean_of_a_map_and_the_bias_are_the_logit(name):
    model = filled_statistics(NETWORKS[name]()).double()
    size = (256, 288) if name == "vgg-conv" else (96, 96)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    before = everything(model)
    cam = class_activation_map(model, images)
    assert_unchanged(before, model)
    logits = model.eval()(images)
    torch.testing.assert_close(cam.logits, logits, rtol=1e-10, atol=1e-10)
    assert cam.maps.shape[-1] > 1
    assert cam.maps.std((2, 3)).max() > 0
    found = cam.maps.mean((2, 3)) + cam.bias
    assert (found - logits).abs().max() < 1e-10 * max(1, logits.abs().max())


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_of_any_size(images, classes, height, width, bias):
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes, bias=bias),
    ).double()
    x = torch.randn(images, 2, height, width, dtype=torch.float64)
    cam = class_activation_map(model, x)
    assert cam.maps.shape == (images, classes, height, width)
    assert torch.allclose(cam.maps.mean((2, 3)) + cam.bias, model(x), atol=1e-10)


def test_the_map_is_of_the_class_that_was_asked_for():
    cam = class_activation_map(FunctionalEnd(), torch.randn(3, 3, 32, 32))
    best = cam.logits.argmax(1)
    assert torch.equal(cam.of(), torch.stack([cam.maps[i, k] for i, k in enumerate(best)]))
    assert torch.equal(cam.of(2), cam.maps[:, 2])
    assert torch.equal(cam.of(torch.tensor([0, 4, 1]))[1], cam.maps[1, 4])


@pytest.mark.parametrize("classes", [5, -1, torch.tensor([0, 1]), torch.tensor([0.0, 1.0, 2.0])])
def test_a_class_that_is_not_there_is_refused(classes):
    cam = class_activation_map(FunctionalEnd(), torch.randn(3, 3, 32, 32))
    with pytest.raises(ValueError, match="classes must be"):
        cam.of(classes)


def test_a_bright_square_is_found_where_it_is():
    """A network that sums brightness: its map is the image, averaged over 4x4 pixels."""
    model = nn.Sequential(
        nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1, bias=False)
    )
    nn.init.ones_(model[3].weight)
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 20:24, 8:12] = 1
    cam = class_activation_map(model, image)
    assert cam.of().nonzero().tolist() == [[0, 5, 2]]
    large = upsample(cam.of(), (32, 32))
    assert divmod(int(large.argmax()), 32) in {(i, j) for i in (21, 22) for j in (9, 10)}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (lambda: vgg("A", width=1 / 8), r"'classifier\.6' that reads \(1, 512\) from relu_"),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 5)),
            r"a linear layer at '2' that reads \(1, 3600\) from convolution at '0'",
        ),
        (
            lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5)),
            "from _adaptive_avg_pool2d at '0'",
        ),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), "it ends in convolution at '0'"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 5)), "from its input"),
    ],
)
def test_another_ending_is_described(model, found):
    with pytest.raises(ValueError, match=found):
        class_activation_map(model(), torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([1], TypeError, "images must be a floating-point tensor .* got list"),
        (torch.zeros(3, 32, 32), ValueError, r"got the shape \(3, 32, 32\)"),
        (torch.zeros(1, 4, 32, 32), ValueError, r"it fails for \(1, 4, 32, 32\) at 'conv'"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        class_activation_map(FunctionalEnd(), images)


# --- Grad-CAM --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"),
    [("vgg-gap", "features"), ("resnet18", "layer4"), ("googlenet", "inception5b")],
)
def test_with_gap_it_is_the_positive_part_of_the_class_activation_map(name, layer):
    model = filled_statistics(NETWORKS[name]()).double().requires_grad_(False)
    images = torch.randn(3, 3, 96, 64, dtype=torch.float64)
    classes = torch.tensor([4, 0, 6])
    before = everything(model)
    found = grad_cam(model, images, layer, classes)
    assert_unchanged(before, model)
    maps = class_activation_map(model, images).of(classes)
    cells = maps[0].numel()
    assert (maps < 0).any()
    assert (maps > 0).any()
    torch.testing.assert_close(found, maps.relu() / cells, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", ["fc", "fc-fixed", "spp"])
def test_of_a_head_with_hidden_layers_it_is_what_the_paper_computes(head):
    """Equations 1 and 2, with the gradient that backward leaves at the map."""
    model = vgg("A", head=head, width=1 / 16, num_classes=7).double()
    images = torch.randn(2, 3, 224, 224, dtype=torch.float64)
    before = everything(model)
    with torch.no_grad():
        found = grad_cam(model, images, "features")
    assert_unchanged(before, model)

    model.eval()
    maps = model.features(images).detach().requires_grad_()
    logits = model.classifier(model.flatten(model.avgpool(maps)))
    logits.max(dim=1).values.sum().backward()
    weights = maps.grad.sum((2, 3), keepdim=True) / maps[0, 0].numel()
    expected = (weights * maps.detach()).sum(1).clamp(min=0)
    assert found.shape == (2, 7, 7)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_layer_is_taken_as_it_is_before_what_follows_overwrites_it():
    """The convolution's own output has negative cells, which the ReLU after it takes away."""
    convs = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True)]
    model = nn.Sequential(*convs, nn.Flatten(), nn.Linear(6 * 64, 4)).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    raw = model[0](images).detach().requires_grad_()
    logits = model[3](model[2](raw.relu()))
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), raw)
    expected = (gradient.mean((2, 3), keepdim=True) * raw.detach()).sum(1).relu()
    torch.testing.assert_close(grad_cam(model, images, "0", 1), expected, rtol=1e-9, atol=1e-12)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 5)

    def forward(self, x):
        self.unused(x)
        return self.linear(self.pool(self.body(x)).flatten(1))


@pytest.mark.parametrize(
    ("model", "layer", "classes", "message"),
    [
        (TwoHeads, "bodi", None, r"layer must be a module of the model, such as \['body'"),
        (TwoHeads, "unused", None, "layer must be one that the logits depend on; got 'unused'"),
        (TwoHeads, "linear", None, r"must return a map \(N, channels, h, w\); 'linear' does not"),
        (TwoHeads, "body", 5, "classes must be from 0 to 4; got 5"),
        (TwoHeads, "body", torch.tensor([0, 1]), "classes must be an integer or 3 of them"),
        (lambda: nn.Conv2d(3, 4, 3), "", None, "model must return logits"),
    ],
)
def test_what_has_no_grad_cam_is_refused(model, layer, classes, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(model(), torch.randn(3, 3, 16, 16), layer, classes)


def test_images_that_a_model_does_not_take_have_no_grad_cam():
    with pytest.raises(ValueError, match=r"it fails for \(1, 4, 16, 16\) at 'unused'"):
        grad_cam(TwoHeads(), torch.zeros(1, 4, 16, 16), "body")
