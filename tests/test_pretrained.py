"""The network that comes with the package is the one that its card describes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torchvision.transforms.v2.functional import to_pil_image

from vgglab.lab.data import cifar10, shapes
from vgglab.lab.pretrained import NAME, train, trained_slim_vgg, trained_slim_vgg_card
from vgglab.lab.pretrained.train import RECIPE, main, model_card
from vgglab.lab.small_networks import slim_vgg
from vgglab.lab.training import evaluate, normalise

FOLDER = files("vgglab.lab.pretrained")
SAMPLE = Path(__file__).parent / "data" / "cifar10_sample"


def test_the_weights_are_those_of_the_card():
    weights = (FOLDER / f"{NAME}.safetensors").read_bytes()
    card = trained_slim_vgg_card()
    assert sha256(weights).hexdigest() == card["weights_sha256"]
    assert len(weights) <= 3 * 2**20
    network = trained_slim_vgg()
    assert sum(p.numel() for p in network.parameters()) == card["parameters"]
    assert not network.training


def test_the_card_for_people_says_the_same():
    text = (FOLDER / f"{NAME}.md").read_text("utf-8")
    assert text == model_card(trained_slim_vgg_card())


def test_the_recipe_of_the_card_is_the_one_of_the_command():
    card = trained_slim_vgg_card()
    assert card["recipe"] == asdict(RECIPE)
    assert len(card["train_loss"]) == RECIPE.epochs


def test_it_has_learnt():
    """It is surer of its answers than untrained networks of the same kind, on any image."""
    torch.manual_seed(0)
    x = normalise(shapes(100, 32).images)
    with torch.no_grad():
        trained, untrained = (
            network.eval()(x).softmax(1).max(1).values.mean()
            for network in (trained_slim_vgg(), slim_vgg())
        )
    assert trained > 2 * untrained


def test_it_is_right_for_real_images(monkeypatch):
    """Of ten classes a network that has learnt nothing, or other classes, gets 2 of 20."""
    monkeypatch.setenv("VGGLAB_DATA", str(SAMPLE))
    images = cifar10("test")
    assert len(images.labels) == 20
    assert evaluate(trained_slim_vgg(), images).accuracy * 20 >= 15  # 18 of them


@pytest.mark.skipif(not os.environ.get("VGGLAB_DATA"), reason="needs CIFAR-10: set VGGLAB_DATA")
def test_its_accuracy_is_measured_again():
    card = trained_slim_vgg_card()
    images = cifar10("test")
    if dict(images.source) != card["test_images"]:
        pytest.skip("VGGLAB_DATA names other images than those of the card")
    assert evaluate(trained_slim_vgg(), images).accuracy == pytest.approx(
        card["test_accuracy"], abs=5e-4
    )


def test_the_command_trains_and_writes_all_three_files(tmp_path, monkeypatch):
    images = shapes(16, 32)
    for place, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        for split in ("train", "test"):
            folder = tmp_path / "data" / split / images.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            to_pil_image(image).save(folder / f"{place}.png")
    monkeypatch.setenv("VGGLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(train, "RECIPE", replace(RECIPE, epochs=1, augment=False))
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint.pt"
    done = CliRunner().invoke(main, ["--out", str(out), "--checkpoint", str(checkpoint)])
    assert done.exit_code == 0, done.output
    card = json.loads((out / f"{NAME}.json").read_text())
    weights = (out / f"{NAME}.safetensors").read_bytes()
    assert card["weights_sha256"] == sha256(weights).hexdigest()
    assert card["train_loss"] != trained_slim_vgg_card()["train_loss"]
    assert (out / f"{NAME}.md").read_text("utf-8") == model_card(card)
    assert not checkpoint.exists()
