"""Repaired networks asked about the images of a folder, whose names are classes."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from torchvision.transforms.v2.functional import to_pil_image

from vgglab.__main__ import main
from vgglab.lab.data import shapes
from vgglab.lab.repairs import REPAIRS
from vgglab.models.network import vgg


def invoke(*words):
    return CliRunner().invoke(main, ["repairs", *words])


@pytest.fixture
def small_vgg(monkeypatch):
    """A small network of a thousand classes for torchvision's with its weights, and two repairs."""
    from vgglab.lab import repairs
    from vgglab.models import loading

    few = {name: REPAIRS[name] for name in ("resize", "gap")}
    monkeypatch.setattr(repairs, "REPAIRS", few)

    def load(source, *, data=False, weights=None):
        torch.manual_seed(0)
        return vgg("A", head="fc", width=1 / 32).eval()

    monkeypatch.setattr(loading, "load_model", load)


def folder(root, names, count, side=230):
    images = shapes(len(names) * count, side).images
    for place, image in enumerate(images):
        path = root / names[place % len(names)]
        path.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(path / f"{place}.jpg")
    return str(root)


ASKED = ("torchvision:vgg11", "--weights", "IMAGENET1K_V1", "--images", "--size", "256")


def test_images_of_a_folder_are_asked_about(tmp_path, monkeypatch, small_vgg):
    names = ["n01440764", "Golden_Retriever", "nothing of that name"]
    monkeypatch.setenv("VGGLAB_DATA", folder(tmp_path, names, 3))
    done = invoke(*ASKED, "--epochs", "1", "--json")
    assert done.exit_code == 0, done.output
    _, found = json.loads(done.output)["tables"]
    assert sorted(found["classes"]) == ["Golden_Retriever", "n01440764"]
    assert found["left_out"] == ["nothing of that name"]
    for row in found["rows"].values():
        assert set(row) == {
            f"{s}, {w}" for s in ("enlarged", "larger") for w in ("before", "after")
        }
        assert all(share["images"] == 2 for share in row.values())


def test_labels_are_the_places_of_the_classes(tmp_path, monkeypatch):
    from vgglab.lab.folder_repairs import pictures_for

    names = ["n01440764", "goldfish", "Great-White_shark"]
    monkeypatch.setenv("VGGLAB_DATA", folder(tmp_path, names, 2))
    found = pictures_for("torchvision:vgg16", "IMAGENET1K_V1", (224, 224), 10)
    assert sorted(set(found.images.labels.tolist())) == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "count", "side", "words", "said"),
    [
        ([], 0, 0, ASKED, "VGGLAB_DATA must name a folder with CLASS/*.jpg"),
        (["a", "b"], 2, 230, ASKED, "must be named as classes of IMAGENET1K_V1"),
        (["tench"], 1, 230, ASKED, "each class must have at least 2 images; 'tench' has 1"),
        (["tench"], 2, 230, (*ASKED, "--epochs", "1"), "at least 3 images; 'tench' has 2"),
        (["tench"], 2, 100, ASKED, "images must be at least 224 px a side"),
        (["tench"], 2, 230, ("torchvision:vgg11", "--images"), "weights must be one of"),
        (["tench"], 2, 230, ("vgglab:A", "--images"), "model must be torchvision:NAME"),
    ],
)
def test_folders_that_will_not_do(tmp_path, monkeypatch, names, count, side, words, said):
    root = folder(tmp_path / "images", names, count, side) if names else str(tmp_path)
    monkeypatch.setenv("VGGLAB_DATA", root)
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert len(done.output.strip().splitlines()) == 1


def test_a_damaged_image_is_named(tmp_path, monkeypatch):
    root = folder(tmp_path, ["tench"], 2)
    (tmp_path / "tench" / "0.jpg").write_bytes(b"no image")
    monkeypatch.setenv("VGGLAB_DATA", root)
    done = invoke(*ASKED)
    assert done.exit_code == 2
    assert "0.jpg' cannot be read as an image" in done.output
