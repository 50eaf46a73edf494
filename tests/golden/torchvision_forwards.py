"""Run every classification model of torchvision at several sizes and write down what happens.

    python tests/golden/torchvision_forwards.py

The result, ``torchvision_forwards.json`` beside this file, says for each model and size whether
a real forward of one image on the CPU, in eval mode, ended, or with which error it stopped. The
weights are random, none is downloaded. It takes some ten minutes on 2 cores. The file names the
versions of torch and torchvision that it was made with; other versions word errors otherwise, and
tests compare only whether a forward ended.
"""

import json
import platform
import sys
import warnings
from datetime import date
from pathlib import Path

import torch
import torchvision
from torchvision import models

SIZES = (32, 64, 100, 224, 299, 400, 512)


def forwards(name: str) -> dict[str, str | None]:
    """Return the error for each size, or None if the forward ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of builders, about initialisation
        model = models.get_model(name, weights=None).eval()
    outcomes: dict[str, str | None] = {}
    for size in SIZES:
        try:
            with torch.inference_mode():
                model(torch.rand(1, 3, size, size))
        except Exception as error:
            outcomes[str(size)] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        else:
            outcomes[str(size)] = None
    return outcomes


def main() -> None:
    torch.manual_seed(0)
    table = {}
    for name in models.list_models(module=models):
        table[name] = forwards(name)
        print(name, *("ok" if error is None else "-" for error in table[name].values()))
    record = {
        "command": f"python {' '.join(sys.argv)}",
        "date": date.today().isoformat(),
        "device": f"CPU, {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "seed": 0,
        "input": "one image, 3 channels, square, uniform noise; eval mode, random weights",
        "errors": table,
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
