"""The loop: what is promised of seeds, checkpoints, interruptions and failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vgglab.lab.data import ImageSet, shapes
from vgglab.lab.training import (
    DivergenceError,
    Epoch,
    Recipe,
    evaluate,
    fit,
    normalise,
)
from vgglab.lab.training.checkpoints import load_checkpoint, save_checkpoint

IMAGES = shapes(40, 16, kinds=("disk", "cross"), clutter=0)
RECIPE = Recipe(epochs=4, batch_size=16, lr=0.05, augment=True, device="cpu")


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(16, 2),
    )


def trained(recipe: Recipe = RECIPE, **options: object) -> tuple[nn.Module, list[Epoch]]:
    model = network()
    return model, fit(model, IMAGES, recipe, **options)


def same_weights(ours: nn.Module, others: nn.Module) -> bool:
    pairs = zip(ours.state_dict().values(), others.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def losses(history: list[Epoch]) -> list[float]:
    return [epoch.train_loss for epoch in history]


def test_a_step_is_torchs_sgd():
    """With one batch an epoch, no dropout and no schedule, the steps can be done by hand."""
    recipe = Recipe(epochs=3, batch_size=40, lr=0.1, schedule="constant", device="cpu")
    model, by_hand = (nn.Sequential(nn.Flatten(), nn.Linear(768, 2)) for _ in range(2))
    by_hand.load_state_dict(model.state_dict())
    history = fit(model, IMAGES, recipe)
    optimizer = torch.optim.SGD(
        by_hand.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    for epoch in history:
        loss = F.cross_entropy(by_hand(normalise(IMAGES.images)), IMAGES.labels)
        assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(model[1].weight, by_hand[1].weight)


def test_the_learning_rate_rises_and_falls():
    rates: list[float] = []

    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    step = torch.optim.SGD.step

    def spied(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", spied)
        fit(model, IMAGES, Recipe(epochs=4, batch_size=10, lr=1.0, warmup=1, device="cpu"))
    assert len(rates) == 16
    assert rates[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[10] == pytest.approx(0.5)  # in the middle of the half cosine
    assert 0 < rates[-1] < 0.05


def test_same_seed_same_bits():
    first, history = trained()
    second, again = trained()
    assert same_weights(first, second)
    assert losses(history) == losses(again)
    other, _ = trained(replace(RECIPE, seed=1))
    assert not same_weights(first, other)


def test_it_learns():
    images = shapes(200, 16, kinds=("disk", "cross"), clutter=0, scale=(0.3, 0.35))
    model = network()
    before = evaluate(model, images)
    fit(model, images, Recipe(epochs=8, batch_size=20, lr=0.05, device="cpu"))
    after = evaluate(model, images)
    assert after.loss < before.loss
    assert after.accuracy > 0.8


def test_the_callers_random_state_and_globals_are_kept():
    torch.manual_seed(7)
    model = network()
    before = torch.get_rng_state()
    fit(model, IMAGES, RECIPE, valid=IMAGES)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.is_grad_enabled()
    assert model.training


def test_evaluation_changes_nothing_and_is_exact():
    model = network()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = evaluate(model, IMAGES, Recipe(batch_size=7))
    assert [module.training for module in model] == [True, False, True, True, True, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    logits = model.eval()(normalise(IMAGES.images))
    assert found.loss == pytest.approx(F.cross_entropy(logits, IMAGES.labels).item(), rel=1e-5)
    assert found.accuracy == (logits.argmax(1) == IMAGES.labels).float().mean().item()


@pytest.mark.parametrize("options", [{"channels_last": True}, {"precision": "bf16-mixed"}])
def test_layout_and_precision_change_little(options):
    plain, _ = trained(replace(RECIPE, augment=False))
    other, _ = trained(replace(RECIPE, augment=False, **options))
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, rtol=0.1, atol=0.02)
        assert other.state_dict()[name].dtype == tensor.dtype


# --- interruptions ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, after):
    whole, history = trained(valid=IMAGES)

    def stop(epoch: Epoch) -> None:
        if epoch.number == after:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(valid=IMAGES, checkpoint=path, on_epoch=stop)
    model = network(seed=5)  # whatever it was, the checkpoint says what it is
    again = fit(model, IMAGES, RECIPE, valid=IMAGES, checkpoint=path)
    assert same_weights(model, whole)
    assert [replace(e, seconds=0) for e in again] == [replace(e, seconds=0) for e in history]


# After each epoch it waits to be let on, so that it is never further than the test has let it.
KILLED = """
import sys
from pathlib import Path
from test_training import *
def say(epoch):
    print(epoch.number, flush=True)
    sys.stdin.readline()
fit(network(), IMAGES, LONG, checkpoint=Path(sys.argv[1]), on_epoch=say)
"""
LONG = replace(RECIPE, epochs=100)


def test_a_killed_training_loses_at_most_an_epoch(tmp_path):
    """SIGKILL when an epoch was just let on; what is on the disk is whole, and goes on from."""
    path = tmp_path / "checkpoint.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (1, 2):
        assert int(process.stdout.readline()) == number
        process.stdin.write("on\n")
        process.stdin.flush()
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    said = max([2, *map(int, rest.split())])
    done = len(load_checkpoint(path)["history"])
    assert done in (said, said + 1)
    assert done <= 3

    def stop(epoch: Epoch) -> None:
        if epoch.number == done + 1:
            raise KeyboardInterrupt

    direct, resumed = network(), network()
    for model, checkpoint in ((direct, None), (resumed, path)):
        with pytest.raises(KeyboardInterrupt):
            fit(model, IMAGES, LONG, checkpoint=checkpoint, on_epoch=stop)
    states = direct.state_dict(), resumed.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_damaged_checkpoint_is_put_aside(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trained(checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is damaged .* put aside as 'checkpoint.pt.damaged'"):
        trained(checkpoint=path)
    assert not path.exists()
    assert path.with_name("checkpoint.pt.damaged").read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("recipe", "images", "what"),
    [
        (replace(RECIPE, lr=0.01), IMAGES, "recipe"),
        (RECIPE, IMAGES.take(20), "images"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, recipe, images, what):
    path = tmp_path / "checkpoint.pt"
    trained(checkpoint=path)
    with pytest.raises(ValueError, match=f"checkpoint must be of the same {what}"):
        fit(network(), images, recipe, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint must be of the same model"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), IMAGES, RECIPE, checkpoint=path)


class Unwritable:
    def __reduce__(self):
        raise ValueError("not to be written")


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one_whole(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"small": torch.zeros(10)})
    with pytest.raises(ValueError, match="not to be written"):
        save_checkpoint(path, {"large": torch.zeros(1000), "other": Unwritable()})
    assert list(load_checkpoint(path)) == ["small"]
    assert list(tmp_path.iterdir()) == [path]


def test_checkpoints_hold_no_code(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"call": os.getcwd})
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path)


# --- failures -----------------------------------------------------------------------------------


def test_divergence_is_named_early():
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    recipe = Recipe(epochs=2, batch_size=1, lr=1e30, device="cpu", schedule="constant")
    with pytest.raises(DivergenceError, match=r"in epoch 1, by step \d+ of 40; .* was 1e\+30") as e:
        fit(model, IMAGES, recipe)
    assert int(str(e.value).split("by step ")[1].split()[0]) <= 21


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_said(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    words = f"device must be auto or cpu on a machine without such a GPU; got '{device}'"
    with pytest.raises(ValueError, match=words):
        fit(nn.Linear(1, 1), shapes(4, 16), Recipe(device=device))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1; got 0"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer; got 1.5"),
        ({"lr": -1}, ValueError, "lr must be a number from 0; got -1"),
        ({"lr": float("nan")}, ValueError, "lr must be a number from 0; got nan"),
        ({"schedule": "step"}, ValueError, "schedule must be one of cosine, constant; got 'step'"),
        ({"device": "tpu"}, ValueError, "device must be one of auto, cpu, cuda, mps; got 'tpu'"),
        ({"precision": "64"}, ValueError, "precision must be one of auto, 32-true"),
    ],
)
def test_bad_recipes(options, error, words):
    with pytest.raises(error, match=words):
        Recipe(**options)


def test_progress_is_silent_where_there_is_no_terminal(capfd):
    trained()
    captured = capfd.readouterr()
    assert "epoch" not in captured.err + captured.out


def test_labels_beyond_the_logits_are_named():
    images = ImageSet(IMAGES.images, IMAGES.labels + 1, ("a", "b", "c"), {})
    with pytest.raises(ValueError, match="model must return at least 3 logits"):
        fit(network(), images, RECIPE)
