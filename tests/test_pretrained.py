"""The networks that come with the package are those that their cards describe."""

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
from vgglab.lab.pretrained import (
    SHIPPED,
    train,
    trained_slim_fc_vgg,
    trained_slim_vgg,
    trained_slim_vgg_card,
)
from vgglab.lab.pretrained.train import RECIPES, main, model_card
from vgglab.lab.training import evaluate, normalise

FOLDER = files("vgglab.lab.pretrained")
SAMPLE = Path(__file__).parent / "data" / "cifar10_sample"


TRAINED = {"gap": trained_slim_vgg, "fc": trained_slim_fc_vgg}
heads = pytest.mark.parametrize("head", SHIPPED)


@heads
def test_the_weights_are_those_of_the_card(head):
    weights = (FOLDER / f"{SHIPPED[head].name}.safetensors").read_bytes()
    card = trained_slim_vgg_card(head)
    assert sha256(weights).hexdigest() == card["weights_sha256"]
    assert len(weights) <= 3 * 2**20
    network = TRAINED[head]()
    assert sum(p.numel() for p in network.parameters()) == card["parameters"]
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@heads
def test_the_card_for_people_says_the_same(head):
    text = (FOLDER / f"{SHIPPED[head].name}.md").read_text("utf-8")
    assert text == model_card(trained_slim_vgg_card(head), head)


@heads
def test_the_recipe_of_the_card_is_the_one_of_the_command(head):
    card = trained_slim_vgg_card(head)
    assert card["recipe"] == asdict(RECIPES[head])
    assert len(card["train_loss"]) == RECIPES[head].epochs


@heads
def test_it_has_learnt(head):
    """It is surer of its answers than untrained networks of the same kind, on any image."""
    torch.manual_seed(0)
    x = normalise(shapes(100, SHIPPED[head].side or 32).images)
    with torch.no_grad():
        trained, untrained = (
            network.eval()(x).softmax(1).max(1).values.mean()
            for network in (TRAINED[head](), SHIPPED[head].build())
        )
    assert trained > 2 * untrained


@heads
def test_it_is_right_for_real_images(monkeypatch, head):
    """Of ten classes a network that has learnt nothing, or other classes, gets 2 of 20."""
    monkeypatch.setenv("VGGLAB_DATA", str(SAMPLE))
    images = cifar10("test", SHIPPED[head].side)
    assert len(images.labels) == 20
    assert evaluate(TRAINED[head](), images).accuracy * 20 >= {"gap": 15, "fc": 12}[head]


def test_the_fully_connected_one_takes_no_other_size():
    network = trained_slim_fc_vgg()
    assert network(torch.zeros(1, 3, 28, 28)).shape == (1, 10)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        network(torch.zeros(1, 3, 50, 50))


@pytest.mark.skipif(not os.environ.get("VGGLAB_DATA"), reason="needs CIFAR-10: set VGGLAB_DATA")
@heads
def test_its_accuracy_is_measured_again(head):
    card = trained_slim_vgg_card(head)
    images = cifar10("test", SHIPPED[head].side)
    if dict(images.source) != card["test_images"]:
        pytest.skip("VGGLAB_DATA names other images than those of the card")
    assert evaluate(TRAINED[head](), images).accuracy == pytest.approx(
        card["test_accuracy"], abs=5e-4
    )


@heads
def test_the_command_trains_and_writes_all_three_files(tmp_path, monkeypatch, head):
    images = shapes(16, 32)
    for place, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        for split in ("train", "test"):
            folder = tmp_path / "data" / split / images.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            to_pil_image(image).save(folder / f"{place}.png")
    monkeypatch.setenv("VGGLAB_DATA", str(tmp_path / "data"))
    short = replace(RECIPES[head], epochs=1, augment=False)
    monkeypatch.setattr(train, "RECIPES", {head: short})
    name = SHIPPED[head].name
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint.pt"
    done = CliRunner().invoke(
        main, ["--head", head, "--out", str(out), "--checkpoint", str(checkpoint)]
    )
    assert done.exit_code == 0, done.output
    card = json.loads((out / f"{name}.json").read_text())
    weights = (out / f"{name}.safetensors").read_bytes()
    assert card["weights_sha256"] == sha256(weights).hexdigest()
    assert card["train_loss"] != trained_slim_vgg_card(head)["train_loss"]
    assert (out / f"{name}.md").read_text("utf-8") == model_card(card, head)
    assert not checkpoint.exists()
