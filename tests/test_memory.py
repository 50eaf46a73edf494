"""The memory of a step: what a trace predicts, beside torch's own tracker."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from sampling import sampled
from torch import nn

from vgglab.lab.memory import (
    OPTIMIZERS,
    Checkpointed,
    allocated_memory,
    forward_peak_bytes,
    input_size_of,
    largest,
    memory_of_a_step,
    predicted_memory,
    tracked_memory,
    what_fits,
)
from vgglab.models.configs import CONFIGS
from vgglab.models.heads import HEADS
from vgglab.models.network import vgg

NETWORKS = {
    "A/fc": {"config": "A", "head": "fc"},
    "A/gap": {"config": "A", "head": "gap"},
    "A/spp": {"config": "A", "head": "spp"},
    "A/fc/batch": {"config": "A", "head": "fc", "norm": "batch"},
    "A/gap/lrn": {"config": "A", "head": "gap", "norm": "lrn"},
}
NEAR = 1e-3  # a share of the whole
STEPS = (None, *OPTIMIZERS)
ALL = list(product(CONFIGS, HEADS, STEPS))


def network(name, device="cpu", **options):
    return vgg(**NETWORKS[name], **options, device=device), (2, 3, 64, 64)


def is_predicted(model, input_size, optimizer) -> bool:
    model.train(optimizer is not None)
    total = predicted_memory(model, input_size, optimizer).total
    return total == pytest.approx(tracked_memory(model, input_size, optimizer), rel=NEAR)


@pytest.mark.parametrize("optimizer", [None, "adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_predicted_is_what_torch_tracks(name, optimizer):
    """While it is computed."""
    assert is_predicted(*network(name, width=1 / 16), optimizer)


@pytest.mark.sampled
@pytest.mark.parametrize(("config", "head", "optimizer"), sampled(ALL, 6))
def test_every_configuration_head_and_optimizer(config, head, optimizer):
    """At full width, with images of the training's side; on the meta device nothing is computed."""
    assert is_predicted(vgg(config, head=head, device="meta"), (32, 3, 224, 224), optimizer)


@pytest.mark.parametrize("optimizer", [None, "sgd"])
def test_local_response_normalisation_holds_more_than_its_operations_read(optimizer):
    assert is_predicted(vgg("A-LRN", device="meta"), (32, 3, 224, 224), optimizer)


def test_gradients_that_wait_are_counted():
    """A map that two operations read has its gradient from one while the other is at work."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
            self.last = nn.Linear(8, 3)

        def forward(self, x):
            x = self.first(x)
            return self.last((x + self.second(self.second(x).sigmoid())).mean((2, 3)))

    assert is_predicted(Both().to("meta"), (4, 8, 64, 64), "sgd")


def test_the_tracker_sees_on_meta_what_it_sees_on_a_cpu():
    for optimizer in STEPS:
        found = {
            tracked_memory(network("A/fc", device, width=1 / 16)[0], (2, 3, 64, 64), optimizer)
            for device in ("cpu", "meta")
        }
        assert len(found) == 1


def test_weights_are_paid_once_and_maps_by_the_image():
    model = vgg("D", device="meta").train()
    one, many = (predicted_memory(model, (n, 3, 224, 224), "adam") for n in (1, 32))
    weights = sum(p.nbytes for p in model.parameters())
    assert one.weights == many.weights == weights
    assert one.optimizer == many.optimizer == 2 * weights
    assert one.optimizer > one.activations
    assert many.activations > many.optimizer


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
    with pytest.raises(ValueError, match="model must keep all maps of a step"):
        predicted_memory(Checkpointed(vgg("A", device="meta")), (1, 3, 64, 64), "sgd")
    with pytest.raises(ValueError, match="model must take input_size"):
        predicted_memory(nn.Sequential(nn.Linear(3, 3)), (1, 4))


def test_columns_of_a_record():
    settings = {
        **NETWORKS["A/gap"],
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


# --- what fits, and what is kept ------------------------------------------------------------------


@pytest.mark.parametrize("limit", range(20))
def test_the_largest_that_fits(limit):
    asked = []
    assert largest(lambda number: asked.append(number) or number <= limit) == limit
    assert min(asked) == 1
    assert len(asked) == len(set(asked)) <= 12


@pytest.mark.sampled
@pytest.mark.parametrize("what", sampled(["batch", "side"], 1))
def test_what_fits_is_predicted_before_it_is_tried(what):
    settings = {
        "config": "A", "head": "fc", "width": 1 / 4, "optimizer": "adam", "what": what, "gib": 1
    }  # fmt: skip
    found = what_fits(settings, 0, Path("unused"))
    assert found["predicted"] == found["tracked"] > 1
    assert (found["allocated"] is None) == (not torch.cuda.is_available())
    model = vgg("A", width=1 / 4, device="meta").train()
    least = [
        tracked_memory(model, input_size_of(what, found["predicted"] + more), "adam")
        for more in (0, 1)
    ]
    assert least[0] <= 2**30 < least[1]


def test_checkpoints_change_no_gradient_and_keep_less():
    model, input_size = network("A/fc", width=1 / 16, dropout=0.0)
    images = torch.rand(input_size)
    model(images).sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    thrifty = Checkpointed(model)
    assert {id(p) for p in thrifty.parameters()} == {id(p) for p in model.parameters()}
    thrifty(images).sum().backward()
    for parameter, gradient in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    large = (8, 3, 224, 224)
    peaks = [
        tracked_memory(wrap(vgg("D", device="meta")).train(), large, "sgd")
        for wrap in (nn.Sequential, Checkpointed)
    ]
    assert peaks[1] < 0.95 * peaks[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the allocator is a GPU's")
def test_the_allocator_gives_at_least_what_is_predicted():
    model, input_size = network("A/fc", "cuda", width=1 / 4)
    assert allocated_memory(model, input_size, "sgd") >= (
        predicted_memory(model, input_size, "sgd").total
    )
