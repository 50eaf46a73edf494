"""Trials that time something: the arms, their order, one precision for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sampling import sampled

from vgglab.lab.experiments import costs, find_experiment
from vgglab.lab.experiments.reading import AGAIN
from vgglab.lab.repairs import REPAIRS
from vgglab.summary import summary

SMALL = {
    "width": 1 / 32,
    "precision": "float32",
    "warmup": 1,
    "repetitions": 3,
    "passes": 2,
    "batch_size": 2,
    "images": 2,
    "crops_at_once": 3,
}
RUNS = {
    "forward-cost": {**SMALL, "head": "fc", "side": 64},
    "size-cost": {**SMALL, "head": "fc", "sides": (32, 64)},
    "fold-cost": {**SMALL, "head": "fc", "side": 384},
    "dense-cost": {**SMALL, "head": "fc-fixed", "side": 256},
    "repairs-cost": {**SMALL, "head": "fc-fixed", "network": "slim", "exported": ()},
}
TIMED = pytest.mark.parametrize("name", RUNS)


def run(name: str) -> dict:
    return find_experiment(name).trial(RUNS[name], 0, Path("unused"))


@pytest.fixture
def arms(monkeypatch):
    """Take the arms instead of timing them."""
    taken: dict = {}
    monkeypatch.setattr(costs, "timed", lambda settings, arms: taken.update(arms) or {})
    return taken


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(RUNS, 2))
def test_each_repetition_of_each_arm_is_kept(name):
    result = run(name)
    first, again, *others = result["seconds"]
    assert again == first + AGAIN
    assert others
    assert result["mult_adds"].keys() == result["seconds"].keys()
    assert result["mult_adds"][first] == result["mult_adds"][again]
    for seconds in result["seconds"].values():
        assert len(seconds) == SMALL["repetitions"]
        assert min(seconds) > 0


@TIMED
def test_every_budget_gives_what_the_trial_asks_for(name):
    for size in find_experiment(name).budgets.values():
        assert {*size.vary, *size.held} <= RUNS[name].keys()
        assert {*size.vary, *size.held} >= {"head", "precision", "width", "warmup", "repetitions"}
        assert size.held["repetitions"] % 2 == 1  # the median is one of them


def test_the_arms_take_turns_forth_and_back(monkeypatch):
    order = []

    def seconds(arm, passes):
        order.append(arm.batches[0].shape[-1])
        return 1.0

    monkeypatch.setattr(costs, "run_seconds", seconds)
    run("size-cost")
    assert order == [32, 32, 64, 64, 32, 32, 32, 32, 64]


@pytest.mark.parametrize(
    ("precision", "used", "dtype"),
    [
        ("float32", "ieee", torch.float32),
        ("tf32", "tf32", torch.float32),
        ("bfloat16", "ieee", torch.bfloat16),
    ],
)
def test_convolutions_and_products_have_one_precision(monkeypatch, precision, used, dtype):
    places = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [place.fp32_precision for place in places]
    seen = []

    def seconds(arm, passes):
        assert {p.dtype for p in arm.network.parameters()} == {arm.batches[0].dtype} == {dtype}
        seen.append([place.fp32_precision for place in places])
        return 1.0

    monkeypatch.setattr(costs, "run_seconds", seconds)
    costs.fold_cost({**RUNS["fold-cost"], "precision": precision}, 0, Path("unused"))
    assert seen == [[used, used]] * len(seen)
    assert seen
    assert [place.fp32_precision for place in places] == before


def test_what_is_folded_is_the_same_function(arms):
    run("fold-cost")
    with torch.no_grad():
        pooled, *others = (network(*batches) for network, batches in arms.values())
    assert len(others) == 2
    for other in others:
        torch.testing.assert_close(other, pooled, rtol=1e-4, atol=1e-5)


def test_there_is_a_crop_for_each_cell(arms):
    """In the order of the images within a place, and of the places along the rows."""
    run("dense-cost")
    (dense, (images,)), (network, batches) = arms["dense"], arms["crops"]
    with torch.no_grad():
        scores = dense(images)
        first = network(batches[0][:1])
        one = dense(images[:1, :, :224, :224])
    assert sum(map(len, batches)) == len(scores) * scores.shape[2] * scores.shape[3]
    assert {len(batch) for batch in batches} <= {SMALL["crops_at_once"], 2}
    torch.testing.assert_close(one.flatten(1), first, rtol=1e-4, atol=1e-5)


def test_memory_is_told_for_each_size():
    result = run("size-cost")
    assert result["saved_bytes"].keys() == result["peak_bytes"].keys() == {"32 px", "64 px"}
    # Every map has four times the cells; the weights are not counted.
    assert 3 < result["saved_bytes"]["64 px"] / result["saved_bytes"]["32 px"] <= 4


def test_every_repair_is_timed_and_five_crops_take_five_times_the_work(arms):
    result = run("repairs-cost")
    assert [*arms] == [*REPAIRS]
    assert result["peak_bytes"].keys() == result["saved_bytes"].keys() == arms.keys()
    one, five = (summary(arms[n].network, (2, 3, 56, 56)).mult_adds for n in ("crop", "five-crops"))
    assert five == 5 * one
