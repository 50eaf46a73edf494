"""All networks of torchvision and timm through ``vgglab.diagnose``: crashes and contradictions.

    python tests/benchmarks/zoo.py [torchvision | timm] [--minutes 20] [--seconds 60] [--log FILE]

Each is diagnosed on the meta device at the size it is made for and at others. A contradiction is a
size that is said to fit and does not run, or one beside an interval that runs. Sizes that "cannot
be told" contradict nothing. A forward that stops has a next step if there is a repair, a size that
fits, or a line of the source to change. A network that takes the processor longer than --seconds
at one size has timed out there, which is counted apart and never as passed. Networks that are in
the log already are not done again. It exits with 1 if there is a crash, a contradiction or a
failure without a next step.
"""

import argparse
import json
import random
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from vgglab import diagnose, trace, tracing
from vgglab.diagnose import Diagnosis

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import shapes_of_torchvision

OTHER_SIZES = (97, 400)
MOST_PARAMETERS = 200e6


Network: TypeAlias = tuple[str, nn.Module, tuple[int, ...]]


def torchvision_networks(done: set[str]) -> Iterator[Network]:
    import torchvision

    models = torchvision.models
    for name in models.list_models(module=models):
        if name not in done:
            yield name, shapes_of_torchvision(name), (3, 224, 224)
    sized = [(models.segmentation, (3, 224, 224)), (models.video, (3, 16, 112, 112))]
    for module, made_for in sized:
        options = {"weights_backbone": None} if module is models.segmentation else {}
        for name in models.list_models(module=module):
            if name in done:
                continue
            with torch.device("meta"):
                model = models.get_model(name, weights=None, **options).eval()
            yield name, model, made_for


def timm_networks(done: set[str]) -> Iterator[Network]:
    import timm

    names = timm.list_models()
    random.Random(0).shuffle(names)
    for name in names:
        if name in done:
            continue
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


def contradictions(model: nn.Module, size: tuple[int, ...], found: Diagnosis) -> Iterator[str]:
    """Yield what a diagnosis says that a trace at another size refutes."""
    text, sizes = str(found), found.valid_sizes
    axes = len(sizes.axes)
    if found.ok != runs(model, size):
        yield f"ok is {found.ok}"
    if "whatever the input size" in text and sizes:
        yield "whatever the input size, beside sizes that fit"
    if sizes.exact and (size[-axes:] in sizes) != found.ok:
        yield f"ok is {found.ok} and the size {'fits' if size[-axes:] in sizes else 'does not fit'}"
    nearest = (*size[:-axes], *sizes.nearest(size[-axes:])) if sizes else size
    if sizes and nearest != size and not runs(model, nearest):
        yield f"{nearest} is said to fit"
    for axis, intervals in enumerate(sizes.axes if sizes else ()):
        inside = list(sizes.nearest(size[-axes:]))
        ends = [end for i in intervals[:2] for end in i if end] if sizes.exact else []
        beside = [n + d for n in ends for d in (-1, 0, 1) if n + d > 0]
        for side in dict.fromkeys(beside):
            inside[axis] = side
            tried = (*size[:-axes], *inside)
            if (tuple(inside) in sizes) != runs(model, tried):
                yield f"{tried} {'fits' if tuple(inside) in sizes else 'does not fit'}"


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise `TooLong` once the processor has worked so long."""

    def stop(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


class TooLong(BaseException):
    """No ``Exception``, which a trace would take for one of the network's own."""


def looked_at(model: nn.Module, size: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Return what is found at one size, in plain numbers, strings and lists."""
    row: dict[str, Any] = {"size": size}
    try:
        with limit(seconds):
            start, before = time.process_time(), Counted.traces
            found = diagnose(model, size)
            row |= {"ok": found.ok, "kind": found.kind, "explanation": found.explanation}
            row |= {"sizes": str(found.valid_sizes), "told": found.valid_sizes.exact}
            row["warnings"] = found.warnings
            row["seconds"] = time.process_time() - start
            row["traces"] = Counted.traces - before
            row["text"] = str(found)
            row["fixes"] = [fix.name for fix in found.fixes]
            row["traces_with_fixes"] = Counted.traces - before
            row["seconds_with_fixes"] = time.process_time() - start
            next_step = bool(found.fixes or found.valid_sizes or found.advice)
            row["next_step"] = found.ok or next_step
            start = time.process_time()
            trace(model, size)
            row["seconds_of_trace"] = time.process_time() - start
            row["contradictions"] = list(contradictions(model, size, found))
    except TooLong:
        row["timed_out"] = True
    except Exception:
        row["crash"] = traceback.format_exc(limit=-3)
    return row


class Counted(tracing.Recorder):
    """Counts the traces."""

    traces = 0

    def run(self) -> Exception | None:
        Counted.traces += 1
        return super().run()


def faults(row: dict[str, Any]) -> list[str]:
    """Return what is wrong with a row."""
    found = row.get("contradictions", []) + [row[key] for key in ("crash",) if key in row]
    return found + ["no next step"] * (row.get("next_step") is False)


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    """Return how often what was found."""
    count: Counter[str] = Counter(networks=len({row["network"] for row in rows}))
    for row in rows:
        count["diagnoses"] += 1
        count["told"] += row.get("told", False)
        count["timed out"] += "timed_out" in row
        count["crashes"] += "crash" in row
        count["contradictions"] += len(row.get("contradictions", []))
        count["without next step"] += row.get("next_step") is False
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", choices=["torchvision", "timm"])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tracing.Recorder = Counted  # type: ignore[misc]
    rows: list[dict[str, Any]] = []
    if options.log and options.log.exists():
        rows += map(json.loads, options.log.read_text().splitlines())
    done = {row["network"] for row in rows}
    networks = torchvision_networks(done) if options.zoo == "torchvision" else timm_networks(done)
    end = time.monotonic() + 60 * options.minutes
    for name, model, made_for in networks:
        if time.monotonic() > end:
            break
        for side in (made_for[-1], *OTHER_SIZES):
            size = (1, *made_for[:-2], side, side)
            row = {"network": name, **looked_at(model, size, options.seconds)}
            rows.append(row)
            for fault in faults(row):
                print(f"{name} {size}: {fault}", flush=True)
        if options.log:
            with options.log.open("a") as log:
                log.writelines(json.dumps(row) + "\n" for row in rows[-1 - len(OTHER_SIZES) :])
    count = counted(rows)
    print(dict(count))
    wrong = count["crashes"] + count["contradictions"] + count["without next step"]
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
