"""Times that can be believed: two controls, and cheats none of which passes."""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from vgglab.lab import timing

CHEATS = sorted(path.stem for path in Path(__file__).with_name("exploits").glob("[a-z]*.py"))
TOLERANCE = 1e-4


def network():
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(2048, 5)).to(timing.here())


def draw(generator):
    device = generator.device
    images = torch.randn(4, 3, 8, 8, generator=generator, device=device)
    return [images, torch.randint(5, (4,), generator=generator, device=device)]


def train(model, lr=1.0):
    def work(images, labels):
        loss = cross_entropy(model(images), labels)
        weights = list(model.parameters())
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.sub_(gradient, alpha=lr)
        return [loss]

    return work


def known(model, mode):
    """Return the same computation as it is known to be right."""
    model = deepcopy(model)

    def answers(images):
        with timing.one_precision("float32"), torch.no_grad():
            return [model(images)]

    def step(images, labels):
        with timing.one_precision("float32"):
            loss = cross_entropy(model(images), labels)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
        return [loss.detach(), *(-gradient for gradient in gradients)]

    return step if mode == "training" else answers


def timed(make, mode="inference"):
    model = network()
    training = mode == "training"
    reference = known(model, mode)
    return timing.time_checked(
        make(model.requires_grad_(training)),
        reference,
        draw if training else lambda generator: draw(generator)[:1],
        tolerance=TOLERANCE,
        warmup=1,
        repetitions=3,
        state=list(model.parameters()) if training else (),
    )


HONEST = {"inference": lambda model: lambda images: [model(images)], "training": train}


@pytest.mark.parametrize("mode", HONEST)
def test_what_is_right_is_timed(mode):
    found = timed(HONEST[mode], mode)
    assert len(found.seconds) == 3
    assert min(found.seconds) > 0
    assert found.error < TOLERANCE


@pytest.mark.parametrize("mode", HONEST)
def test_what_is_wrong_is_refused(mode):
    """The other control: everything else is as it should be."""
    wrong = {
        "inference": lambda model: lambda images: [1.001 * model(images)],
        "training": lambda model: train(model, lr=0.999),
    }
    with pytest.raises(ValueError, match=r"error of 0\.0001; it was 0\.001 off"):
        timed(wrong[mode], mode)


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_passes(name, monkeypatch):
    cheat = import_module(f"exploits.{name}")
    if hasattr(cheat, "DEVICE") and not torch.cuda.is_available():
        pytest.skip("this cheat needs a GPU")
    mode = getattr(cheat, "MODE", "inference")
    with monkeypatch.context() as patch:

        def attempt():
            return timed(lambda model: cheat.make(model, patch), mode)

        if cheat.SAID is None:
            assert min(attempt().seconds) > 0
        else:
            with pytest.raises(ValueError, match=cheat.SAID):
                attempt()


def test_there_are_cheats_of_many_kinds_that_need_no_gpu():
    on_cpu = [name for name in CHEATS if not hasattr(import_module(f"exploits.{name}"), "DEVICE")]
    assert len(on_cpu) >= 8


def test_weights_are_as_they_were():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    timing.time_checked(
        train(model),
        known(model, "training"),
        draw,
        tolerance=TOLERANCE,
        warmup=0,
        repetitions=2,
        state=list(model.parameters()),
    )
    for parameter, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old, rtol=0, atol=0)


def test_no_input_comes_twice():
    seen = []

    def make(model):
        def work(images):
            seen.append(images.double())
            return [model(images)]

        return work

    timed(make)
    assert len({images.sum().item() for images in seen}) == len(seen) == 4


def test_time_that_the_processor_works_is_asked_only_for_one_thread(monkeypatch):
    """With several threads the clock on the wall decides, as on a GPU."""
    monkeypatch.setattr(timing, "time_call", lambda call: 11.0)
    monkeypatch.setattr(timing, "here", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    called = []
    assert 0 <= timing.time_work(lambda: called.append(1)) < 11.0
    assert called == [1]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert timing.time_work(lambda: None) == 11.0
