"""The memory of a step: what a trace predicts, beside torch's own tracker."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from vgglab.lab.memory import (
    OPTIMIZERS,
    allocated_memory,
    forward_peak_bytes,
    memory_of_a_step,
    predicted_memory,
    tracked_memory,
)
from vgglab.models.network import vgg

NETWORKS = {
    "A/fc": ({"config": "A", "head": "fc"}, 64),
    "A/gap": ({"config": "A", "head": "gap"}, 64),
    "D/fc-fixed": ({"config": "D", "head": "fc-fixed"}, 224),
    "D/spp": ({"config": "D", "head": "spp"}, 64),
    "E/conv": ({"config": "E", "head": "conv"}, 224),
    "A/fc/batch": ({"config": "A", "head": "fc", "norm": "batch"}, 64),
    "A/gap/lrn": ({"config": "A", "head": "gap", "norm": "lrn"}, 64),
}


def network(name, device="cpu", **options):
    chosen, side = NETWORKS[name]
    return vgg(**chosen, **options, device=device), (2, 3, side, side)


@pytest.mark.parametrize("optimizer", [None, *OPTIMIZERS])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_predicted_is_what_torch_tracks(name, optimizer):
    model, input_size = network(name, width=1 / 16)
    model.train(optimizer is not None)
    predicted = predicted_memory(model, input_size, optimizer)
    assert predicted.total == pytest.approx(tracked_memory(model, input_size, optimizer), rel=0.05)


@pytest.mark.parametrize("name", ["A/fc", "D/fc-fixed"])
def test_at_full_width_without_computing(name):
    model, input_size = network(name, "meta")
    predicted = predicted_memory(model, input_size, "momentum")
    assert predicted.total == pytest.approx(tracked_memory(model, input_size, "momentum"), rel=0.05)
    assert predicted.weights == predicted.optimizer == sum(p.nbytes for p in model.parameters())


def test_a_frozen_layer_needs_no_gradient_and_no_state():
    model, input_size = network("A/fc", width=1 / 16)
    model.features.requires_grad_(False)
    trained = sum(p.nbytes for p in model.classifier.parameters())
    predicted = predicted_memory(model, input_size, "adam")
    assert predicted.optimizer == 2 * trained
    assert predicted.gradients <= trained


def test_the_model_is_not_changed_by_a_prediction():
    model, input_size = network("A/gap", width=1 / 16)
    predicted_memory(model, input_size, "adam")
    assert all(p.grad is None for p in model.parameters())


def test_what_cannot_be_predicted_is_said():
    model, input_size = network("A/gap", "meta")
    with pytest.raises(
        ValueError, match="optimizer must be one of sgd, momentum, adam; got 'lion'"
    ):
        predicted_memory(model, input_size, "lion")
    with pytest.raises(ValueError, match="model must take input_size"):
        predicted_memory(nn.Sequential(nn.Linear(3, 3)), (1, 4))


def test_columns_of_a_record():
    settings = {
        **NETWORKS["A/gap"][0],
        "width": 1 / 16,
        "side": 32,
        "batch_size": 2,
        "optimizer": "sgd",
    }
    found = memory_of_a_step(settings, 0, Path("unused"))
    parts = {k: v for k, v in found["predicted"].items() if k != "total"}
    assert sum(parts.values()) == found["predicted"]["total"]
    assert found["tracked"] > 0
    assert (found["allocated"] is None) == (not torch.cuda.is_available())


def test_what_a_forward_allocates_at_most():
    """A third layer comes when the first one's output is gone; in place nothing is allocated."""
    images = torch.rand(4, 1, 64, 64)
    alike = [nn.Sequential(*[nn.ReLU()] * layers) for layers in (1, 2, 3)]
    peaks = [forward_peak_bytes(network, images) for network in alike]
    assert peaks == [images.nbytes, 2 * images.nbytes, 2 * images.nbytes]
    assert forward_peak_bytes(nn.ReLU(inplace=True), images) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the allocator is a GPU's")
def test_the_allocator_gives_at_least_what_is_predicted():
    model, input_size = network("A/fc", "cuda", width=1 / 4)
    assert allocated_memory(model, input_size, "sgd") >= (
        predicted_memory(model, input_size, "sgd").total
    )
