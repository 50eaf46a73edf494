"""The machine, the versions and the date of a measurement."""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch
import torchvision

from vgglab import __version__


def provenance() -> dict[str, object]:
    """Return the device, its driver and the versions, as plain values.

    Two measurements may be put together if this is the same for both.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "kind": kind,
        "device": _device(kind),
        "threads": torch.get_num_threads(),
        "driver": _driver() if kind == "cuda" else None,
        "cuda": torch.version.cuda if kind == "cuda" else None,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
        "vgglab": __version__,
    }


def today() -> str:
    """Return the date in UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).date().isoformat()


def _device(kind: str) -> str:
    if kind == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _driver() -> str | None:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.splitlines()[0].strip()
