"""Time and memory of ``vgglab.summary`` beside torchinfo and torchsummary, in one run.

    python tests/benchmarks/summary.py

Each tool summarises the same models in a fresh process. It first summarises a small network, so
that imports and first-use costs are not counted. Time is the median over the calls; memory is the
highest resident memory during the first call beyond what the process had before it. Linux only,
for the way in which memory is read.
"""

import contextlib
import io
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn
from torchvision.models import vgg16

sys.path.append(str(Path(__file__).parents[1]))
from networks import asker_network

TOOLS = ("vgglab", "torchinfo", "torchsummary")
CALLS = {"vgglab": 20, "torchinfo": 5, "torchsummary": 5}


MODELS = {
    "vgg16 at 224": (vgg16, (1, 3, 224, 224)),
    "333 M parameters at 400": (asker_network, (1, 3, 400, 400)),
}


def summarise(tool: str, model: nn.Module, size: tuple[int, ...]) -> None:
    if tool == "vgglab":
        from vgglab import summary

        str(summary(model, size))
    elif tool == "torchinfo":
        import torchinfo

        str(torchinfo.summary(model, size, device="cpu", verbose=0))
    else:
        import torchsummary

        with contextlib.redirect_stdout(io.StringIO()):
            torchsummary.summary(model, size[1:], device="cpu")


def memory(field: str) -> int:
    """Return a field of this process's memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure(tool: str, model_name: str) -> dict[str, float]:
    warm_up = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(True), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Dropout(),
        nn.Flatten(), nn.Linear(4, 4), nn.Softmax(1),
    )  # fmt: skip
    summarise(tool, warm_up, (1, 3, 32, 32))
    build, size = MODELS[model_name]
    model = build()

    Path("/proc/self/clear_refs").write_text("5")  # the highest value starts again from here
    before = memory("VmRSS")
    summarise(tool, model, size)
    extra = max(0, memory("VmHWM") - before)

    seconds = []
    for _ in range(CALLS[tool]):
        start = time.perf_counter()
        summarise(tool, model, size)
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "bytes": extra}


def main() -> None:
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark reads memory from /proc and needs Linux")
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads\n"
    )
    rows = []
    for model_name in MODELS:
        results = {}
        for tool in TOOLS:
            command = [sys.executable, __file__, tool, model_name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[tool] = json.loads(done.stdout)
        ours = results["vgglab"]
        for tool, result in results.items():
            rows.append(
                [
                    model_name,
                    tool,
                    f"{result['seconds'] * 1e3:.1f}",
                    f"{result['seconds'] / ours['seconds']:.1f}",
                    f"{result['bytes'] / 2**20:.1f}",
                    # One page is the least that can be seen.
                    f"{result['bytes'] / max(ours['bytes'], 4096):.1f}",
                ]
            )
    headers = ["model", "tool", "ms", "x vgglab", "extra MiB", "x vgglab"]
    print(tabulate(rows, headers, disable_numparse=True, colalign=("left", "left", *["right"] * 4)))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()
