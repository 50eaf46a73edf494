"""Time of ``vgglab.receptive_fields`` beside torchlens, in one run.

    pip install "torchlens[tabular]"
    python tests/benchmarks/receptive_field.py

Both give a row for each operation. torchlens runs the model with data first, vgglab traces it
without; either is counted. Times are medians over the calls after a first one that is not counted.
"""

import platform
import statistics
import time
from collections.abc import Callable

import torch
import torchlens
from tabulate import tabulate
from torch import nn
from torchvision import models

from vgglab import receptive_fields

NETWORKS = ("alexnet", "vgg16", "resnet50", "googlenet", "densenet121", "mobilenet_v2")
SIZE = (1, 3, 224, 224)
CALLS = {"vgglab": 15, "torchlens": 3}


def ours(model: nn.Module) -> int:
    return len(receptive_fields(model, SIZE))


def theirs(model: nn.Module) -> int:
    return len(torchlens.trace(model, torch.rand(SIZE)).receptive_fields().frame)


def milliseconds(action: Callable[[], int], calls: int) -> float:
    action()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    print(
        f"{platform.platform()}, torch {torch.__version__}, torchlens {torchlens.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    rows = []
    for name in NETWORKS:
        options = {"init_weights": False} if name == "googlenet" else {}
        model = models.get_model(name, **options).eval()
        times = {
            "vgglab": milliseconds(lambda: ours(model), CALLS["vgglab"]),  # noqa: B023
            "torchlens": milliseconds(lambda: theirs(model), CALLS["torchlens"]),  # noqa: B023
        }
        ratio = times["torchlens"] / times["vgglab"]
        rows.append([name, *(f"{t:.1f}" for t in times.values()), f"{ratio:.0f}"])
    headers = ["network", "vgglab (ms)", "torchlens (ms)", "ratio"]
    print(tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 3)))


if __name__ == "__main__":
    main()
