"""Time one dense forward of VGG-16 against 36 crops, and add a record for chapter 06.

From the root of the repository, on a machine with nothing else to do::

    OMP_NUM_THREADS=1 python book/results/06_fc_to_conv.py

Writes ``06_fc_to_conv.json`` beside this file: a list of records, one for each kind of device.
"""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from vgglab import fc_to_conv, summary, vgg

RECORDS = Path(__file__).with_suffix(".json")
SEEDS = range(5)
IMAGE, CROP, STRIDE = 400, 224, 32


def device_name(kind: str) -> str:
    """Return the name of the processor."""
    if kind == "cuda":
        return torch.cuda.get_device_name()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def crops(image: Tensor) -> Tensor:
    """Cut the crops that the cells of the map stand for, row by row."""
    starts = range(0, IMAGE - CROP + 1, STRIDE)
    return torch.cat([image[:, :, i : i + CROP, j : j + CROP] for i in starts for j in starts])


def seconds(network: nn.Module, images: Tensor, batch: int) -> float:
    """Return the time of a forward of all images."""
    run = Timer(
        "for part in images.split(batch): network(part)",
        globals={"network": network, "images": images, "batch": batch},
        num_threads=torch.get_num_threads(),
    )
    with torch.no_grad():
        run.timeit(1)  # warm up
        return run.timeit(1 if images.device.type == "cpu" else 20).median


def main() -> None:
    """Measure, and replace the record of this kind of device."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    batch = 36 if kind == "cuda" else 6
    samples = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = vgg("D", head="fc-fixed", device=kind).eval()
        dense = fc_to_conv(network, (1, 3, CROP, CROP))
        image = torch.rand(1, 3, IMAGE, IMAGE, device=kind)
        cut = crops(image)
        sample = {
            "seed": seed,
            "dense_s": seconds(dense, image, 1),
            "crops_s": seconds(network, cut, batch),
        }
        samples.append(sample)
        print(sample, flush=True)
    work = len(cut) * summary(network, (1, 3, CROP, CROP)).mult_adds
    work /= summary(dense, (1, 3, IMAGE, IMAGE)).mult_adds
    ratios = sorted(sample["crops_s"] / sample["dense_s"] for sample in samples)
    name = device_name(kind)
    threads = f", {torch.get_num_threads()} thread" if kind == "cpu" else ""
    record = {
        "kind": kind,
        "device": name,
        "threads": torch.get_num_threads(),
        "driver_cuda": torch.version.cuda if kind == "cuda" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')} python "
        + " ".join(sys.argv),
        "seeds": list(SEEDS),
        "image_px": IMAGE,
        "crops": len(cut),
        "batch_of_crops": batch,
        "samples": samples,
        "mult_adds_ratio": work,
        "time_ratio_median": median(ratios),
        "summary": f"the full VGG-16 in float32 took {median(ratios):.1f} times as long for the "
        f"{len(cut)} crops as for one dense forward at {IMAGE} px (median of {len(SEEDS)}; "
        f"{ratios[0]:.1f} to {ratios[-1]:.1f}), where the mult-adds differ by a factor of "
        f"{work:.1f} ({name}{threads})",
    }
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else []
    records = [r for r in records if r["kind"] != kind] + [record]
    RECORDS.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
