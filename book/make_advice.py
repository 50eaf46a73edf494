"""Applies what is usually advised to two networks, and writes what it costs for the page on it.

    VGGLAB_DATA=cifar10.tar.xz python book/make_advice.py

Each advice is a line of code, run as it stands: on the trained network that comes with the package,
whose accuracy is measured before and after, and on VGG-16, whose weights are counted. No layer is
trained. It takes some minutes.
"""

import contextlib
import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torchvision.transforms import v2

import vgglab
from vgglab.lab.data import cifar10
from vgglab.lab.data.images import ImageSet
from vgglab.lab.pretrained import trained_slim_fc_vgg
from vgglab.lab.provenance import provenance, today
from vgglab.lab.training import evaluate

RECORD = Path(__file__).resolve().parent / "reference" / "usual_advice.json"
IMAGES = 2000
SEEDS = range(3)  # of layers with random weights


class Advice(NamedTuple):
    """What is said, and the line of code that does it."""

    said: str
    line: str


class View(nn.Module):
    """``x.view(rows, features)`` in the place of a flatten."""

    def __init__(self, rows: int, features: int) -> None:
        super().__init__()
        self.rows, self.features = rows, features

    def forward(self, x: Tensor) -> Tensor:
        return x.view(self.rows, self.features)


ADVICE = (
    Advice(
        "Set in_features to the number that came",
        "model.classifier[0] = nn.Linear(CAME, model.classifier[0].out_features)",
    ),
    Advice("Change the layer's attribute", "model.classifier[0].in_features = CAME"),
    Advice(
        "Let a lazy layer count",
        "model.classifier[0] = nn.LazyLinear(model.classifier[0].out_features)",
    ),
    Advice("Reshape to the number that is expected", "model.flatten = View(-1, WANTED)"),
    Advice("Take the head off", "model.classifier = nn.Identity()"),
    Advice(
        "Take the head off, average, and put one layer on",
        "model.avgpool = nn.AdaptiveAvgPool2d(1); model.classifier = nn.Linear(CHANNELS, CLASSES)",
    ),
    Advice("Replace the last pooling by an adaptive one", "model.features[-1] = POOL"),
    Advice("Put adaptive pooling before the flatten", "model.avgpool = POOL"),
    Advice("Resize the images", "model = nn.Sequential(v2.Resize((SIDE, SIDE)), model)"),
    Advice("Crop the images", "model = nn.Sequential(v2.CenterCrop((SIDE, SIDE)), model)"),
    Advice(
        "Write the FC layers as convolutions, and average the scores",
        "model = nn.Sequential(vgglab.fc_to_conv(model, (1, 3, SIDE, SIDE)), "
        "nn.AdaptiveAvgPool2d(1), nn.Flatten())",
    ),
)


def apply(advice: Advice, model: nn.Module, side: int, new: int) -> nn.Module:
    """Run the line of an advice on a copy of a network made for `side` px, for `new` px."""
    first, last = model.classifier[0], model.classifier[-1]
    failure = vgglab.trace(model, (1, 3, new, new)).failure
    assert failure is not None
    names: dict[str, Any] = {
        "model": copy.deepcopy(model),
        "CAME": failure.input_shapes[-2][-1],
        "WANTED": first.in_features,
        "CHANNELS": first.in_features // 49,
        "CLASSES": last.out_features,
        "POOL": nn.AdaptiveAvgPool2d((7, 7)),
        "SIDE": side,
        "nn": nn,
        "v2": v2,
        "vgglab": vgglab,
        "View": View,
    }
    exec(advice.line, names)
    repaired: nn.Module = names["model"].eval()
    return repaired


def kept(model: nn.Module, other: nn.Module) -> int:
    """Count the weights of a network that another has, in whatever shape."""
    there = [p.flatten() for p in other.parameters() if not is_lazy(p)]
    return sum(
        p.numel()
        for p in model.parameters()
        if any(p.numel() == q.numel() and torch.equal(p.flatten(), q) for q in there)
    )


def cost(model: nn.Module, other: nn.Module, new: int) -> dict[str, Any]:
    """Return what became of the weights, and whether the forward ends with a row an image."""
    total = sum(p.numel() for p in model.parameters())
    seen = vgglab.trace(other, (2, 3, new, new))
    return {
        "parameters": total,
        "lost": total - kept(model, other),
        "error": seen.failure and seen.failure.message,
        "returns": [list(shape) for shape in seen.output_shapes],
    }


def accuracies(
    advice: Advice, model: nn.Module, side: int, images: ImageSet, total: int
) -> list[float]:
    """Return how often the network is right afterwards, for each seed of random weights."""
    found = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        repaired = apply(advice, model, side, images.images.shape[-1])
        found.append(evaluate(repaired, images).accuracy)
        if kept(model, repaired) == total:
            break  # nothing is random
    return found


def main() -> None:
    """Apply each advice to both networks, and record what it costs."""
    torch.manual_seed(0)
    slim, (side, new) = trained_slim_fc_vgg(), (28, 56)
    vgg16 = vgglab.vgg("D", head="fc-fixed", device="meta").to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in vgg16.parameters():
            parameter.uniform_(-0.01, 0.01)
    small, large = (cifar10("test", size) for size in (side, new))
    step = len(small) // IMAGES  # they lie class by class
    small, large = (
        ImageSet(s.images[::step], s.labels[::step], s.classes, s.source) for s in (small, large)
    )
    total = sum(p.numel() for p in slim.parameters())
    rows = []
    for advice in ADVICE:
        repaired = apply(advice, slim, side, new)
        trained = cost(slim, repaired, new)
        is_scores = trained["returns"] == [[2, len(small.classes)]]
        trained["accuracy"] = accuracies(advice, slim, side, large, total) if is_scores else []
        with contextlib.suppress(RuntimeError), torch.no_grad():
            repaired(torch.zeros(2, 3, new, new))  # lazy layers count now
        old = vgglab.trace(repaired, (2, 3, side, side))
        trained["error_at_old_size"] = old.failure and old.failure.message
        big = cost(vgg16, apply(advice, vgg16, 224, 400), 400)
        rows.append({**advice._asdict(), "trained": trained, "vgg16": big})
        print(rows[-1], flush=True)
    record = {
        "command": "python book/make_advice.py",
        "date": today(),
        "provenance": provenance(),
        "images": {
            "source": dict(small.source),
            "count": len(small),
            "side": side,
            "new_side": new,
        },
        "as_trained": evaluate(slim, small).accuracy,
        "rows": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
