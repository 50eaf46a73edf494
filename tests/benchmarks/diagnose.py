"""Time of ``vgglab.diagnose`` beside a real forward on the CPU, in one run.

    python tests/benchmarks/diagnose.py

A diagnosis here is everything but the repairs: whether the forward ends, why it stops, which sizes
fit, what not to trust. The real forward only says whether it ends. Times are medians over the calls
after a first one that is not counted.
"""

import contextlib
import platform
import statistics
import time
from collections.abc import Callable

import torch
from tabulate import tabulate
from torch import nn
from torchvision import models

from vgglab import diagnose, vgg

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg16 of the paper": lambda: vgg("D", head="fc-fixed"),
    "torchvision alexnet": models.alexnet,
    "torchvision vgg16": models.vgg16,
    "torchvision vgg19_bn": models.vgg19_bn,
    "torchvision resnet50": models.resnet50,
    "torchvision densenet121": models.densenet121,
}
SIZES = (32, 224, 400, 512)
CALLS = 9


def diagnosis(model: nn.Module, size: tuple[int, ...]) -> None:
    found = diagnose(model, size)
    _ = found.explanation, found.valid_sizes, found.warnings


def forward(model: nn.Module, size: tuple[int, ...]) -> None:
    with torch.inference_mode(), contextlib.suppress(RuntimeError):
        model(torch.rand(size))


def milliseconds(action: Callable[[], None], calls: int) -> float:
    action()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    print(f"{platform.platform()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    rows = []
    for name, build in NETWORKS.items():
        model = build().eval()
        for side in SIZES:
            size = (1, 3, side, side)
            ours = milliseconds(lambda: diagnosis(model, size), CALLS)  # noqa: B023
            theirs = milliseconds(lambda: forward(model, size), 3)  # noqa: B023
            ok = "yes" if diagnose(model, size).ok else "no"
            rows.append([name, side, ok, f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.1f}"])
    headers = ["network", "side", "ends", "diagnosis (ms)", "forward (ms)", "ratio"]
    print(tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 5)))


if __name__ == "__main__":
    main()
