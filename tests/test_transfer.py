"""Frozen features with new dense layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vgglab.lab.experiments.transfer import (
    ForImageNet,
    Frozen,
    fine_tune,
    freeze_batchnorm,
    transfer_features,
)
from vgglab.lab.pretrained import trained_slim_vgg

SETTINGS = {
    "data": "shapes",
    "side": 32,
    "backbone": "slim-vgg",
    "train_images": 20,
    "valid_images": 20,
    "test_images": 20,
    "epochs": 2,
    "warmup": 0,
    "lr": 0.01,
}


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.norm(x)


def test_what_is_frozen_is_evaluated_once_for_each_image_and_never_trained():
    network = Counting()
    network.norm.running_mean.fill_(0.5)
    frozen = Frozen(network)
    outer = nn.Sequential(frozen, nn.Flatten()).train()
    x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    first, again = outer(x[:3]), outer(x[[2, 3, 0]])
    assert network.seen == 4
    torch.testing.assert_close(first[[2, 0]], again[[0, 2]])
    torch.testing.assert_close(first, network.norm.eval()(x[:3]).flatten(1))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not first.requires_grad
    torch.testing.assert_close(network.norm.running_mean, torch.full((3,), 0.5))


def test_images_get_the_size_and_the_scale_of_imagenets():
    grey = ForImageNet()(torch.zeros(1, 3, 32, 32))  # zero is the middle of the pixels
    assert grey.shape == (1, 3, 224, 224)
    expected = (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(grey[0, :, 7, 9], expected)


@pytest.mark.parametrize(
    ("head", "parameters"),
    [
        ("gap", 128 * 5 + 5),
        ("flatten", 128 * 64 * 5 + 5),
        ("both", 128 * 65 * 5 + 5),
        ("gap-fc", 128 * 128 + 128 + 128 * 5 + 5),
        ("flatten-fc", 128 * 64 * 128 + 128 + 128 * 5 + 5),
    ],
)
def test_each_head_reads_what_its_name_says(tmp_path, head, parameters):
    result = transfer_features({**SETTINGS, "head": head}, 0, tmp_path / "checkpoint")
    assert result["parameters"] == parameters
    assert not result["diverged"]
    assert len(result["valid_accuracy"]) == 2


def test_a_frozen_batchnorm_is_the_trained_one_in_eval_mode_whatever_the_mode():
    network, frozen = trained_slim_vgg(), trained_slim_vgg()
    freeze_batchnorm(frozen.features)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(frozen.train()(x), network(x), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in frozen.modules())
    trained = {name for name, _ in frozen.named_parameters()}
    assert trained < {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_fine_tuning_trains_the_network_on_other_classes(tmp_path, norm):
    settings = {**SETTINGS, "norm": norm, "batch_size": 4}
    result = fine_tune(settings, 0, tmp_path / "checkpoint")
    assert not result["diverged"]
    assert len(result["valid_accuracy"]) == 2
