"""Repairs side by side: what they keep and answer, for any network and on folders of images."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torchvision import models
from untouched import assert_unchanged, everything

from vgglab.__main__ import main
from vgglab.lab.data import shapes
from vgglab.lab.experiments.catalogue import EXPERIMENTS
from vgglab.lab.experiments.repairing import (
    given,
    halves,
    repair_and_tune,
    scenes,
    scrambled,
    tune,
)
from vgglab.lab.repairs import REPAIRS, Case, MeanProbability, apply_repair, repairs_table
from vgglab.lab.small_networks import slim_fc_vgg
from vgglab.models.network import vgg

OLD, NEW, SMALL = (1, 3, 28, 28), (1, 3, 50, 50), (1, 3, 14, 14)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return slim_fc_vgg(width=1 / 8, hidden=16).eval()


@pytest.fixture(scope="module")
def table(network):
    return repairs_table(network, NEW)


# --- the repairs ---------------------------------------------------------------------------------


def test_each_repair_answers_at_the_new_size_and_the_network_is_not_changed(network):
    x = torch.randn(2, *NEW[1:])
    before = everything(network)
    for name in REPAIRS:
        repaired = apply_repair(name, Case(network, OLD, NEW))
        assert repaired(x).shape == (2, 10), name
    assert_unchanged(before, network)


def test_smaller_images_leave_out_what_needs_room(network):
    found = {name for name in REPAIRS if apply_repair(name, Case(network, OLD, SMALL)) is None}
    assert found == {"crop", "five-crops", "conv", "conv-probabilities"}


def test_the_same_function_at_the_trained_size(table):
    same = {row.name: row.same_function for row in table.rows}
    assert {name for name, answer in same.items() if answer} == {
        "resize",
        "crop",
        "five-crops",
        "pool",
        "conv",
        "conv-probabilities",
    }
    assert same["fold"] is None  # it takes no smaller map


def test_a_pool_in_the_place_of_a_maximum_is_another_function(network, table):
    """At 28 px the map has 14 cells: averages of four in place of their maximum."""
    assert {row.name: row.same_function for row in table.rows}["pool-in-place"] is False


def test_fold_and_pool_answer_the_same_and_fresh_weights_do_not(table):
    assert table.distances["fold"]["pool"] < 1e-4
    for name, row in REPAIRS.items():
        if row.fresh:
            assert table.distances[name]["pool"] > 0.1
    for a in table.distances:
        assert table.distances[a][a] == 0
        for b in table.distances:
            assert table.distances[a][b] == pytest.approx(table.distances[b][a])


def test_kept_weights_are_counted_with_and_without_numbers(network, table):
    without = repairs_table(slim_fc_vgg(width=1 / 8, hidden=16).to("meta"), NEW)
    assert {row.name: row.kept for row in without.rows} == {
        row.name: row.kept for row in table.rows
    }
    assert not without.distances
    kept = {row.name: row.kept for row in table.rows}
    features = sum(p.numel() for p in network.features.parameters())
    last = sum(p.numel() for p in network.classifier[2].parameters())
    assert kept["resize"] == sum(p.numel() for p in network.parameters())
    assert kept["gap"] == kept["new-classifier"] == features
    assert kept["new-first"] == kept["spp"] == features + last


def test_fresh_first_layers_take_the_askers_map():
    """400 px leave VGG-16 a map of 12x12, and its first layer 73,728 features."""
    found = apply_repair(
        "new-first", Case(vgg("D", device="meta"), (1, 3, 224, 224), (1, 3, 400, 400))
    )
    assert found.classifier[0].in_features == 12 * 12 * 512


def test_fresh_weights_follow_the_seed(network):
    first, same, other = (
        apply_repair("new-classifier", Case(network, OLD, NEW), seed).classifier[0].weight
        for seed in (0, 0, 1)
    )
    assert torch.allclose(first, same)
    assert not torch.allclose(first, other)


def test_the_mean_of_probabilities_is_one():
    scores = torch.randn(3, 5, 2, 4)
    mean = MeanProbability()(scores)
    assert torch.allclose(mean.exp(), scores.softmax(1).mean((2, 3)), atol=1e-6)


def test_five_crops_are_the_mean_of_five(network):
    x = torch.randn(2, *NEW[1:])
    crops = [
        x[..., t : t + 28, s : s + 28] for t, s in ((0, 0), (0, 22), (22, 0), (22, 22), (11, 11))
    ]
    wanted = torch.stack([network(crop) for crop in crops]).mean(0)
    assert torch.allclose(apply_repair("five-crops", Case(network, OLD, NEW))(x), wanted, atol=1e-5)


def test_data_decides_the_distances(network, table):
    other = repairs_table(network, NEW, torch.zeros(1, *NEW[1:]))
    assert other.distances["crop"]["pool"] != table.distances["crop"]["pool"]


def test_the_table_shows_and_is_plain(table):
    assert "five-crops" in str(table)
    assert "<table>" in table._repr_html_()
    assert json.loads(json.dumps(table.to_dict()))["rows"][0]["name"] == "resize"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: repairs_table(m, (3, 50, 50)), r"input_size must be \(N, C, H, W\)"),
        (lambda m: repairs_table(m, NEW, torch.zeros(1, 3, 8, 8)), "data must be images of"),
        (lambda m: repairs_table(models.resnet18(), NEW), "trained_size must be given"),
        (lambda m: apply_repair("glue", Case(m, OLD, NEW)), "name must be one of resize"),
        (lambda m: repairs_table(nn.Linear(2, 2), NEW), "must be a convolutional network"),
    ],
)
def test_bad_input_is_named(network, call, words):
    with pytest.raises(ValueError, match=words):
        call(network)


def test_another_family_of_networks():
    """GAP at its end: it is pooled already, and has no max pooling before its classifier."""
    case = Case(models.resnet18().to("meta"), (1, 3, 64, 64), (1, 3, 100, 100))
    found = {name for name in ("crop", "pool", "pool-in-place", "gap") if apply_repair(name, case)}
    assert found == {"crop", "pool", "gap"}


# --- the experiment ------------------------------------------------------------------------------

HELD = {
    "data": "shapes",
    "network": "trained",
    "stages": 2,
    "width": 1 / 8,
    "hidden": 8,
    "network_images": 50,
    "network_epochs": 1,
    "network_batch": 25,
    "network_lr": 0.05,
    "train_images": 10,
    "valid_images": 10,
    "test_images": 20,
    "epochs": 1,
    "lr": (0.01,),
    "sides": (14, 28, 50),
    "scene": "larger",
}


def test_a_run_says_what_every_side_gave(tmp_path):
    found = repair_and_tune(HELD | {"repair": "crop", "tuned": "head"}, 0, tmp_path / "c")
    assert found["before"]["14"] is None
    assert found["before"]["28"] == pytest.approx(found["as_trained"])
    assert set(found["valid"]["50"]) == {"0.0", "0.01"}
    assert found["rate"]["50"] in (0.0, 0.01)
    assert repair_and_tune(HELD | {"repair": "crop", "tuned": "all"}, 0, tmp_path / "c")[
        "before"
    ] == (pytest.approx(found["before"]))


@pytest.mark.parametrize("name", REPAIRS)
def test_a_repaired_network_is_cut_where_its_features_end(network, name):
    repaired = apply_repair(name, Case(network, OLD, NEW))
    front, head = halves(repaired)
    x = torch.randn(2, *NEW[1:])
    assert torch.allclose(head(front(x)), repaired(x), atol=1e-5)
    trained = sum(p.numel() for p in head.parameters())
    assert 0 < trained < sum(p.numel() for p in repaired.parameters())


def test_training_changes_a_copy_and_helps_on_what_it_saw(network):
    head = halves(apply_repair("pool", Case(network, OLD, NEW)))[1]
    maps, labels = torch.randn(20, 16, 12, 12), torch.arange(20) % 10
    before = everything(head)
    tuned = tune(head, maps, labels, rate=0.1, epochs=30, seed=0)
    assert_unchanged(before, head)
    loss = nn.functional.cross_entropy
    assert loss(tuned(maps), labels) < loss(head(maps), labels) / 2


def test_pictures_in_a_larger_scene_are_as_they_were():
    pictures = shapes(12, 28)
    larger = given(pictures, "larger", 50, 28, torch.Generator().manual_seed(0))
    assert larger.images.shape == (12, 3, 50, 50)
    for scene, picture in zip(larger.images, pictures.images, strict=True):
        windows = scene.unfold(1, 28, 1).unfold(2, 28, 1).permute(1, 2, 0, 3, 4)
        assert (windows == picture).flatten(2).all(2).any()
    smaller = given(pictures, "larger", 14, 28, torch.Generator())
    assert smaller.images.tolist() == pictures.images[:, :, 7:21, 7:21].tolist()


def test_scrambled_images_keep_their_mean_and_spectrum_and_show_nothing():
    images = shapes(6, 40).images
    found = scrambled(images, torch.Generator().manual_seed(0)).float()
    assert torch.allclose(
        found.mean((2, 3)), images.float().mean((2, 3)), atol=8
    )  # what was below 0 or above 255 is cut off
    alike = torch.corrcoef(torch.stack([found[0].flatten(), images[0].float().flatten()]))[0, 1]
    assert abs(alike) < 0.5


def test_images_to_train_on_choose_by_and_test_with_are_others(monkeypatch):
    parts = scenes(HELD | {"scene": "enlarged"}, 28, 28, 0)
    rows = [bytes(image.numpy()) for part in parts for image in part.images]
    assert len(set(rows)) == len(rows) == 40


def test_the_experiment_varies_all_repairs():
    budgets = EXPERIMENTS["repairs"].budgets
    assert budgets["cpu"].vary["repair"] == tuple(REPAIRS) == budgets["gpu"].vary["repair"]


# --- the command ---------------------------------------------------------------------------------


def invoke(*words):
    return CliRunner().invoke(main, ["repairs", *words])


def test_the_command_prints_the_table():
    done = invoke("vgglab:A,head=fc-fixed,width=0.0625", "--size", "400", "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.output)["tables"]
    assert found["old"] == [1, 3, 224, 224]
    assert found["distances"] == {}
