"""One run of the experiment that times all-reduces: settings and a seed in, plain numbers out.

Processes of this machine, each with its share of the processor, average tensors as data parallel
training does: divided by their number, then added up by gloo.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing import spawn  # type: ignore[attr-defined]
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from vgglab.lab.experiments.running import Settings
from vgglab.lab.scaling import buckets, gradients
from vgglab.lab.timing import time_call
from vgglab.models.network import vgg
from vgglab.tracing import random_state_kept

_LONG = 2**24  # bytes that go through between two looks at the clock, so that short ones are told


def time_all_reduces(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time powers of two and the buckets of VGG's heads in turn, then whole steps with each head.

    ``"averages"`` holds the seconds of one average, by its bytes; ``"alone"`` those of forward and
    backward without it, while the other processes compute too, and ``"together"`` with it, by head
    and side.
    """
    with TemporaryDirectory() as folder:
        spawn(_work, (dict(settings), seed, folder), settings["processes"])
        # Written a moment ago, by this function.
        found: dict[str, Any] = pickle.loads(Path(folder, "result").read_bytes())
    return found


def head_buckets(head: str, width: float) -> list[int]:
    """Return the bytes of the buckets of a VGG-16 with some head."""
    found = gradients(vgg("D", head=head, width=width, device="meta"), (1, 3, 224, 224))
    return [sum(bucket) for bucket in buckets(layer.nbytes for layer in found)]


def _work(rank: int, settings: Settings, seed: int, folder: str) -> None:
    processes = settings["processes"]
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes
    )
    heads = settings["heads"]
    sizes = {head: head_buckets(head, settings["bucket_width"]) for head in heads}
    powers = {2**k for k in range(*settings["powers"])}
    averaged = sorted(powers.union(*sizes.values()))
    seconds: dict[str, Any] = {"averages": _sweep(settings, averaged)}
    arms = [(head, side) for head in heads for side in settings["sides"]]
    steps = {f"{head}/{side}": _steps(settings, seed, head, side) for head, side in arms}
    for part in ("alone", "together"):
        seconds[part] = {name: taken[part] for name, taken in steps.items()}
    if rank == 0:
        result = pickle.dumps({"seconds": seconds, "buckets": sizes})
        Path(folder, "result").write_bytes(result)
    dist.barrier()
    dist.destroy_process_group()


def _sweep(settings: Settings, sizes: list[int]) -> dict[str, list[float]]:
    """Time averages of these bytes in turn, forth and back."""
    tensors = {size: torch.zeros(size // 4) for size in sizes}
    seconds: dict[str, list[float]] = {str(size): [] for size in sizes}
    for size in sizes:
        _average(tensors[size], 1)()
    for repetition in range(settings["repetitions"]):
        for size in reversed(sizes) if repetition % 2 else sizes:
            passes = min(settings["passes"], max(1, _LONG // size))
            dist.barrier()
            seconds[str(size)].append(time_call(_average(tensors[size], passes)) / passes)
    return seconds


def _average(tensor: torch.Tensor, passes: int) -> Callable[[], None]:
    def call() -> None:
        for _ in range(passes):
            tensor.div_(dist.get_world_size())
            dist.all_reduce(tensor)

    return call


def _steps(settings: Settings, seed: int, head: str, side: int) -> dict[str, list[float]]:
    """Time forward and backward, with and without averaging, in turn."""
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg("D", head=head, width=settings["step_width"])
    images = torch.rand(settings["batch_size"], 3, side, side)
    labels = torch.zeros(len(images), dtype=torch.long)
    parallel = DistributedDataParallel(network, gradient_as_bucket_view=True)

    def step() -> None:
        cross_entropy(parallel(images), labels).backward()

    def alone() -> None:
        with parallel.no_sync():
            step()

    seconds: dict[str, list[float]] = {"alone": [], "together": []}
    for repetition in range(settings["steps"] + 2):  # buckets are formed anew after the first
        for name, call in (("alone", alone), ("together", step)):
            dist.barrier()
            taken = time_call(call)
            if repetition >= 2:
                seconds[name].append(taken)
    return seconds
