"""All networks of torchvision and timm through ``vgglab.diagnose``: crashes and contradictions.

    python tests/benchmarks/zoo.py [torchvision | timm] [--minutes 20]

Each is diagnosed on the meta device at the size it is made for and at others. A contradiction is a
size that is said to fit and does not run, or one beside an interval that runs. Sizes that "cannot
be told" contradict nothing. It exits with 1 if there is a crash or a contradiction.
"""

import argparse
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from vgglab import diagnose, trace

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import shapes_of_torchvision

OTHER_SIZES = (97, 400)
MOST_PARAMETERS = 200e6


def torchvision_networks() -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    import torchvision

    for name in torchvision.models.list_models(module=torchvision.models):
        yield name, shapes_of_torchvision(name), (3, 224, 224)
    for name in torchvision.models.list_models(module=torchvision.models.segmentation):
        with torch.device("meta"):
            options = {"weights": None, "weights_backbone": None}
            yield name, torchvision.models.get_model(name, **options).eval(), (3, 224, 224)
    for name in torchvision.models.list_models(module=torchvision.models.video):
        with torch.device("meta"):
            yield name, torchvision.models.get_model(name, weights=None).eval(), (3, 16, 112, 112)


def timm_networks() -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    import timm

    names = timm.list_models()
    random.Random(0).shuffle(names)
    for name in names:
        try:
            with torch.device("meta"):
                model = timm.create_model(name, pretrained=False).eval()
        except Exception as error:
            print(f"{name}: not built on the meta device ({type(error).__name__})")
            continue
        if sum(p.numel() for p in model.parameters()) < MOST_PARAMETERS:
            yield name, model, tuple(model.default_cfg.get("input_size", (3, 224, 224)))


def runs(model: nn.Module, size: tuple[int, ...]) -> bool:
    return trace(model, size).failure is None


def contradictions(model: nn.Module, size: tuple[int, ...]) -> Iterator[str]:
    """Yield what a diagnosis says that a trace at another size refutes."""
    found = diagnose(model, size)
    text, sizes = str(found), found.valid_sizes
    axes = len(sizes.axes)
    if found.ok != runs(model, size):
        yield f"ok is {found.ok}"
    if "whatever the input size" in text and sizes:
        yield "whatever the input size, beside sizes that fit"
    if sizes.exact and (size[-axes:] in sizes) != found.ok:
        yield f"ok is {found.ok} and the size {'fits' if size[-axes:] in sizes else 'does not fit'}"
    for axis, intervals in enumerate(sizes.axes if sizes else ()):
        inside = list(sizes.nearest(size[-axes:]))
        ends = [end for i in intervals[:2] for end in i if end] if sizes.exact else []
        beside = [n + d for n in ends for d in (-1, 0, 1) if n + d > 0]
        for side in dict.fromkeys(beside):
            inside[axis] = side
            tried = (*size[:-axes], *inside)
            if (tuple(inside) in sizes) != runs(model, tried):
                yield f"{tried} {'fits' if tuple(inside) in sizes else 'does not fit'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", choices=["torchvision", "timm"])
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    networks = torchvision_networks() if options.zoo == "torchvision" else timm_networks()
    end = time.monotonic() + 60 * options.minutes
    count: Counter[str] = Counter()
    for name, model, made_for in networks:
        if time.monotonic() > end:
            break
        count["networks"] += 1
        for side in (made_for[-1], *OTHER_SIZES):
            size = (1, *made_for[:-2], side, side)
            count["diagnoses"] += 1
            try:
                for told in contradictions(model, size):
                    count["contradictions"] += 1
                    print(f"{name} {size}: {told}", flush=True)
                count["told"] += diagnose(model, size).valid_sizes.exact
            except Exception:
                count["crashes"] += 1
                print(f"{name} {size}: {traceback.format_exc(limit=-3)}", flush=True)
    print(dict(count))
    raise SystemExit(bool(count["crashes"] + count["contradictions"]))


if __name__ == "__main__":
    main()
