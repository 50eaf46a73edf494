"""Ranks that add up tensors, as threads: gloo's own all-reduce, in a notebook as well."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch import Tensor

from vgglab.arguments import check_integer

AllReduce = Callable[[Tensor], None]

PATIENCE = timedelta(seconds=10)
"""How long ranks wait for one that never comes."""


def run_ranks(ranks: int, work: Callable[[int, AllReduce], Any]) -> list[Any]:
    """Run a function once for each rank, all at the same time.

    Parameters
    ----------
    ranks
        How many.
    work
        Takes the rank, from 0, and ``all_reduce``, which puts the sum over all ranks into a tensor.

    Returns
    -------
    list
        What it returned, by rank.

    Raises
    ------
    RuntimeError
        If some rank waits for another that never adds its part.
    """
    check_integer("ranks", ranks, minimum=1)
    store = dist.HashStore()  # type: ignore[attr-defined]

    def one(rank: int) -> Any:
        group = dist.ProcessGroupGloo(store, rank, ranks, PATIENCE)

        def all_reduce(tensor: Tensor) -> None:
            group.allreduce([tensor]).wait()  # type: ignore[attr-defined]

        return work(rank, all_reduce)

    with ThreadPoolExecutor(ranks) as threads:
        return list(threads.map(one, range(ranks)))
