"""Time of ``vgglab.diagnose`` beside one trace, and beside a real forward on the CPU, in one run.

    python tests/benchmarks/diagnose.py [--traces]

With --traces the forwards are left out, and larger networks are looked at. A forward that stops is
a short one: what a diagnosis takes is divided by the longer of a network's traces.

A diagnosis here is everything but the repairs: whether the forward ends, why it stops, which sizes
fit, what not to trust. The real forward only says whether it ends. Times are medians over the calls
after a first one that is not counted.
"""

import contextlib
import platform
import statistics
import sys
import time
from collections.abc import Callable

import timm
import torch
from tabulate import tabulate
from torch import nn
from torchvision import models

from vgglab import diagnose, trace, vgg

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg16 of the paper": lambda: vgg("D", head="fc-fixed"),
    "torchvision alexnet": models.alexnet,
    "torchvision vgg16": models.vgg16,
    "torchvision vgg19_bn": models.vgg19_bn,
    "torchvision resnet50": models.resnet50,
    "torchvision densenet121": models.densenet121,
}
LARGER: dict[str, Callable[[], nn.Module]] = {
    "torchvision swin_t": models.swin_t,
    "torchvision swin_v2_t": models.swin_v2_t,
    "torchvision vit_b_16": models.vit_b_16,
    "timm ecaresnet26t": lambda: timm.create_model("ecaresnet26t"),
    "timm convnext_atto": lambda: timm.create_model("convnext_atto"),
    "timm nasnetalarge": lambda: timm.create_model("nasnetalarge"),
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


def processor_milliseconds(action: Callable[[], None], calls: int) -> float:
    """Return the time that the processor took, which other work on the machine changes less."""
    action()
    times = []
    for _ in range(calls):
        start = time.process_time()
        action()
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def beside_traces() -> None:
    rows = []
    for name, build in (NETWORKS | LARGER).items():
        with torch.device("meta"):
            model = build().eval()
        sizes = [(1, 3, side, side) for side in SIZES[1:3]]
        traces = [processor_milliseconds(lambda: trace(model, size), 3) for size in sizes]  # noqa: B023
        for size in sizes:
            ours = processor_milliseconds(lambda: diagnosis(model, size), 3)  # noqa: B023
            printed = processor_milliseconds(lambda: str(diagnose(model, size)), 1)  # noqa: B023
            one = max(traces)
            numbers = [f"{n:.0f}" for n in (one, ours, printed)]
            rows.append([name, size[-1], *numbers, f"{ours / one:.1f}", f"{printed / one:.1f}"])
            print(*rows[-1], flush=True)
    headers = ["network", "side", "trace (ms)", "diagnosis (ms)", "with repairs (ms)", "ratio"]
    headers.append("with repairs")
    print(tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 6)))


def main() -> None:
    print(f"{platform.platform()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    if "--traces" in sys.argv:
        beside_traces()
        return
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
