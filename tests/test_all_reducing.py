"""The experiment that times all-reduces, in two processes of its own."""

from __future__ import annotations

import pytest

from vgglab.lab.experiments import find_experiment
from vgglab.lab.experiments.all_reducing import head_buckets, time_all_reduces
from vgglab.lab.scaling import buckets, gradients
from vgglab.models.network import vgg


def test_a_heads_buckets_are_those_of_the_network():
    found = gradients(vgg("D", head="spp", device="meta"), (1, 3, 224, 224))
    assert head_buckets("spp", 1.0) == [sum(b) for b in buckets(g.nbytes for g in found)]
    assert sum(head_buckets("fc", 1.0)) == 4 * 138_357_544


@pytest.mark.wide
def test_a_run_times_everything_it_says(tmp_path):
    held = dict(find_experiment("all-reduce").budgets["tiny"].held)
    held |= {"processes": 2, "heads": ("gap",), "powers": (14, 16), "repetitions": 2, "steps": 1}
    found = time_all_reduces(held, 0, tmp_path / "checkpoint")
    sizes = {2**14, 2**15, *found["buckets"]["gap"]}
    seconds = found["seconds"]
    assert {*seconds["averages"]} == {*map(str, sizes)}
    assert all(len(taken) == 2 for taken in seconds["averages"].values())
    assert {*seconds["alone"]} == {*seconds["together"]} == {"gap/32"}
    assert all(
        taken > 0
        for part in seconds.values()
        for samples in part.values()
        for taken in samples
    )  # fmt: skip
