"""Sweeps: `make test` runs a sample that changes with the day, `make test-all` the whole."""

import datetime
import os
import random
from collections.abc import Iterable
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")

WIDE = os.environ.get("VGGLAB_WIDE", "") == "1"
# Set for the processes that this one starts too, so that all choose the same.
SEED = os.environ.setdefault("VGGLAB_SEED", datetime.date.today().isoformat())


def sampled(items: Iterable[T], k: int) -> list[T]:
    """`k` of the items in their own order, chosen by `SEED`; all of them if `WIDE`."""
    everything = list(items)
    if WIDE or k >= len(everything):
        return everything
    chosen = sorted(random.Random(SEED).sample(range(len(everything)), k))
    return [everything[i] for i in chosen]


def examples(few: int, many: int) -> settings:
    """How many cases hypothesis makes: `few`, or `many` if `WIDE`."""
    return settings(max_examples=many if WIDE else few)
