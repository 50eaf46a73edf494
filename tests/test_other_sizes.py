import pytest
import torch

from vgglab.lab.experiments import other_sizes

CELLS = {"config": "A", "width": 1 / 16, "cells": 2}


def test_a_draw_ten_times_as_large_adds_a_power_of_ten_a_layer(tmp_path):
    settings = {"config": "A", "width": 1 / 16, "side": 32, "images": 2}
    small, large = (
        other_sizes.signal_scale({**settings, "std": std}, 0, tmp_path)["output"]
        for std in (0.01, 0.1)
    )
    grown = [b - a for a, b in zip(small, large, strict=True)]
    assert grown == pytest.approx(range(1, 9), abs=1e-3)


def test_without_padding_cells_are_crops_and_with_it_they_are_not(tmp_path):
    bare = other_sizes.compare_cells({**CELLS, "padding": False}, 0, tmp_path)
    padded = other_sizes.compare_cells({**CELLS, "padding": True}, 0, tmp_path)
    assert torch.tensor(bare["distances"]).max() < 1e-3
    assert bare["same_class"] == 4
    assert torch.tensor(padded["distances"]).min() > 0.05
    assert torch.tensor(padded["distances"]).shape == (2, 2)


def test_pooling_after_the_max_pooling_moves_nothing_where_the_map_fits(tmp_path):
    settings = {"train_images": 40, "epochs": 1, "lr": 0.02, "sides": (28, 31)}
    result = other_sizes.replace_pool(settings, 0, tmp_path / "checkpoint")
    assert result["moved"]["average after"] == result["moved"]["maximum instead"] == 0
    assert result["moved"]["average instead"] > 0.01
    same = {way: sides["28"] for way, sides in result["accuracy"].items()}
    assert same["average after"] == same["maximum instead"]


def test_what_is_learnt_gets_lost_in_silent_shapes(tmp_path):
    settings = {"train_images": 300, "epochs": 5, "lr": 0.02}
    accuracy = other_sizes.force_shapes(settings, 0, tmp_path / "checkpoint")["accuracy"]
    assert accuracy["56 px, as trained"] > 0.7
    assert accuracy["63 px, digit of 56 px"] > 0.6
    for way in ("96 px, view(-1, ...)", "8×392 px, a strip"):
        assert accuracy[way] < 0.35


def test_the_wrong_order_of_weights_makes_guesses(tmp_path):
    state = torch.get_rng_state()
    settings = {"train_images": 60, "epochs": 4, "lr": 2e-3}
    result = other_sizes.answer_patches(settings, 0, tmp_path)
    right = result["right"]
    assert right["dense"] > right["dense, wrong order of weights"] + 0.1
    assert right["patches"] == pytest.approx(right["dense"], abs=0.1)
    assert 0 < result["moved"]["trained"] < 1
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_test_on_different_digits(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        other_sizes, "fit", lambda network, images, recipe, **_: seen.append(images)
    )
    settings = {"train_images": 2000, "epochs": 1, "lr": 0.02, "sides": (28,)}
    for seed in range(5):
        other_sizes.replace_pool(settings, seed, tmp_path)
    # Each digit is left out once: it is in four of the five sets of images to train on.
    everything = torch.cat([images.images for images in seen])
    _, times = everything.flatten(1).unique(dim=0, return_counts=True)
    assert (times % 4 == 0).all()
    assert len(everything) == 4 * 1797
