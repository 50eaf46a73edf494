"""Ranks as threads: sums over all of them, and mistakes that end."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch

from vgglab.lab import ranks
from vgglab.lab.ranks import run_ranks


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_rank_gets_the_sum_and_results_come_by_rank(count):
    def work(rank, all_reduce):
        tensor = torch.tensor([1.0, rank])
        all_reduce(tensor)
        return rank, tensor.tolist()

    total = sum(range(count))
    assert run_ranks(count, work) == [(rank, [count, total]) for rank in range(count)]


def test_a_rank_that_is_waited_for_in_vain_is_an_error(monkeypatch):
    monkeypatch.setattr(ranks, "PATIENCE", timedelta(milliseconds=300))
    with pytest.raises(RuntimeError):
        run_ranks(2, lambda rank, all_reduce: rank or all_reduce(torch.ones(1)))


def test_a_mistake_in_a_rank_comes_out():
    def work(rank, all_reduce):
        raise KeyError(rank)

    with pytest.raises(KeyError):
        run_ranks(2, work)
    with pytest.raises(ValueError, match="ranks must be at least 1; got 0"):
        run_ranks(0, work)
