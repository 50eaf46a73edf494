"""Judge of assignment 6: torch's own shapes, and what `vgglab.lab.scaling` predicts."""

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn

from vgglab.course.notebooks import RESULTS
from vgglab.grading import Call, Probe
from vgglab.lab import scaling
from vgglab.lab.experiments import scaling_findings
from vgglab.lab.experiments.reading import recorded
from vgglab.models.heads import HEADS
from vgglab.models.network import vgg

Link = tuple[float, float]
Layers = list[tuple[int, int]]
Convolutions = list[tuple[tuple[int, ...], int]]


def variant(random: Random) -> dict[str, Any]:
    """Return sizes of examples, a sweep and a curve with noise, and what chapter 10 measured."""
    devices = random.choice((4, 6, 8))
    link = (random.randrange(20, 90) * 1e-6, random.randrange(20, 80) / 10 * 1e9)
    sizes = [2**k for k in range(12, 28, 2)]
    unseen = random.sample(range(30_000, 3_000_000), 3) + random.sample(range(10**7, 10**8), 2)
    nbytes = random.randrange(200, 600) * 10**6
    curve = _curve(
        *(random.uniform(0.05, 0.15), random.uniform(5e-4, 3e-3), random.uniform(2e9, 6e9)), nbytes
    )
    record = recorded(RESULTS / "all-reduce.json", "cpu")
    alone, together = (
        scaling_findings.measured_seconds(record, part) for part in ("alone", "together")
    )
    fitted = scaling_findings.fitted_link(record)
    held = record.definition["held"]
    width = held["step_width"]
    return {
        "hidden": random.randrange(20, 60),
        "microseconds": random.randrange(5, 60),
        "gigabits": random.choice((10, 25, 40, 50, 100)),
        "sweep_devices": devices,
        "sweep": _noisy({b: ring_seconds(b, devices, link) for b in sizes}, 0.15, random),
        "held_out": _noisy({b: ring_seconds(b, devices, link) for b in unseen}, 0.25, random),
        "curve_batch": random.choice((16, 32, 64)),
        "curve_bytes": nbytes,
        "curve": _noisy(curve, 0.01, random),
        "record_source": str(record).splitlines()[0],
        "record": [
            (*_head_and_side(name), round(alone[name], 3), round(taken, 3))
            for name, taken in together.items()
        ],
        "record_bytes": {
            head: sum(g.nbytes for g in scaling.gradients(_network(head, width), (1, 3, 64, 64)))
            for head in held["heads"]
        },
        "record_link": (float(f"{fitted.latency:.3g}"), float(f"{fitted.bandwidth:.3g}")),
    }


def _head_and_side(name: str) -> tuple[str, int]:
    head, side = name.split("/")
    return head, int(side)


def _network(head: str, width: float) -> nn.Module:
    return vgg("D", head=head, width=width, device="meta")


def _curve(compute: float, latency: float, bandwidth: float, nbytes: int) -> dict[int, float]:
    link = (latency, bandwidth)
    return {2**k: compute + ring_seconds(nbytes, 2**k, link) for k in range(8)}


def _noisy(seconds: dict[int, float], noise: float, random: Random) -> dict[int, float]:
    return {
        key: float(f"{value * (1 + random.uniform(-noise, noise)):.4g}")
        for key, value in seconds.items()
    }


def probes(variant: dict[str, Any], random: Random) -> list[Probe]:
    """Return the hidden probes."""
    hidden, classes = random.randrange(20, 600), random.randrange(5, 50)
    few, many = random.randrange(3, 7), random.randrange(30, 400)
    channels = random.sample(range(4, 60), 4)
    convolutions: Convolutions = [
        ((after, before, *random.sample((1, 3, 5, 7), 2)), random.randrange(40, 4000))
        for before, after in pairwise(channels)
    ]
    nbytes = random.randrange(10**5, 10**7)

    def link(slow: float = 1.0) -> Link:
        return random.uniform(2e-5, 4e-4) * slow, random.uniform(1e9, 2e10) / slow

    def sweep(devices: int, noise: float, sizes: range = range(12, 27)) -> dict[int, float]:
        chosen, own = random.sample([2**k for k in sizes], 7), link()
        return _noisy({b: ring_seconds(b, devices, own) for b in chosen}, noise, random)

    def unseen(devices: int, own: Link) -> dict[int, float]:
        sizes = random.sample(range(10**4, 10**7), random.choice((4, 5, 7)))
        return _noisy({b: ring_seconds(b, devices, own) for b in sizes}, 0.5, random)

    def layers(count: int, heavy: int = 0) -> Layers:
        """Return layers whose work falls and whose bytes grow, the last ones by a factor more."""
        found = [
            (random.randrange(10**5, 2 * 10**7), random.randrange(10**8, 2 * 10**9))
            for _ in range(count)
        ]
        return [*found, *((random.randrange(10**8, 4 * 10**8), 10**7) for _ in range(heavy))]

    sizes = [random.randrange(1, 30) for _ in range(20)]
    limits = (random.randrange(4, 12), random.randrange(30, 60))
    mib, own, slow = 2**20, link(), link(8)
    usual = [random.randrange(mib // 4, 12 * mib) for _ in range(14)]
    light, wide = layers(9), layers(8, heavy=2)
    # One layer carries nearly all bytes and is made last: nothing of it can be hidden.
    late = [(300 * mib, 10**9), *layers(4)]
    small = [(random.randrange(10**3, 10**5), random.randrange(10**6, 10**7)) for _ in range(12)]

    def step(*args: Any, **options: Any) -> Call:
        return Call("step_seconds", *args, **options)

    def share(network: Layers, devices: int, scaling: str, used: Link, batch: int = 64) -> Call:
        return Call("efficiency", network, batch, 5e12, devices, used, scaling)

    networks = {"wide": wide, "light": light, "late": late}
    counts = random.sample([2**k for k in range(9)], 9)
    below = {"speed": 5e12, "link": own}
    curves = [
        (random.uniform(0.2, 0.4), 1e-5, 2e10),
        (0.02, random.uniform(3e-3, 6e-3), 4e10),
        (0.02, 1e-5, random.uniform(1e9, 2e9)),
    ]
    sent = random.randrange(10**8, 5 * 10**8)
    drawn = [_curve(*one, sent) for one in curves]
    noisy = [_noisy(curve, 0.02, random) for curve in drawn]
    few_points = [{n: curve[n] for n in random.sample([1, 2, 4, 8, 16, 32], 4)} for curve in drawn]
    return [
        Probe("q1", "convolutions and global average pooling",
              Call("layer_costs", convolutions, "gap", hidden, classes),
              Call("layer_costs", convolutions[:1], "gap", classes=classes),
              hint="Which of the numbers of a shape says how many biases there are?"),
        Probe("q1", "the fully connected head",
              Call("layer_costs", convolutions, "fc", hidden, classes),
              Call("layer_costs", convolutions[:2], "fc", classes, hidden),
              hint="How many numbers has a channel after pooling to 7×7?"),
        Probe("q1", "the pyramid",
              Call("layer_costs", convolutions, "spp", hidden, classes),
              Call("layer_costs", convolutions[1:], "spp", many, few),
              hint="A grid of 4×4 has 16 cells."),
        Probe("q1", "numbers of two and of eight bytes",
              Call("layer_costs", convolutions, "gap", hidden, classes, 2),
              Call("layer_costs", convolutions, "fc", few, many, bytes_each=8)),
        Probe("q1", "other heads are refused",
              Call("layer_costs", convolutions, "GAP", hidden, classes, raises=True),
              Call("layer_costs", convolutions, "flatten", raises=True)),
        Probe("q2", "units", Call("link_of", few, many), Call("link_of", many, few),
              hint="A byte has eight bits."),
        Probe("q2", "the bytes that a device sends",
              *(Call("ring_bytes", nbytes, n) for n in (1, 2, few, many)),
              hint="How large is a part, and how many rounds are there?"),
        Probe("q2", "the time of a ring",
              *(Call("ring_seconds", nbytes, n, slow) for n in (1, 2, few, many)),
              Call("ring_seconds", 8, many, slow),
              hint="Each round has its latency."),
        Probe("q3", "a link that fits without an error",
              Call("fit_link", sweep(2, 0.0), 2), Call("fit_link", sweep(few, 0.0), few),
              rtol=0.01, hint="The parts get smaller with the number of devices."),
        Probe("q3", "measurements with noise",
              Call("fit_link", sweep(few, 0.2), few), Call("fit_link", sweep(2, 0.1), 2),
              Call("fit_link", variant["sweep"], variant["sweep_devices"]), rtol=1e-5,
              hint="Divide each equation by what was measured."),
        Probe("q3", "too few sizes", Call("fit_link", {nbytes: 0.5}, 2, raises=True),
              Call("fit_link", {}, 4, raises=True)),
        Probe("q3", "the median error of predictions",
              Call("median_error", unseen(few, own), few, own),
              Call("median_error", unseen(2, slow), 2, (slow[0], slow[1] * 3)),
              Call("median_error", unseen(8, slow), 8, (slow[0], slow[1] / 3)),
              hint="Too short by a fifth is as bad as too long by a quarter."),
        Probe("q4", "buckets", Call("fill_buckets", sizes, *limits),
              Call("fill_buckets", sizes[::-1], *limits), Call("fill_buckets", usual),
              Call("fill_buckets", [5, 5, 1, 60, 1, 2], 10, 20), Call("fill_buckets", [9], 3, 4),
              hint="A bucket is closed when it has reached its limit, and not before."),
        Probe("q4", "steps without overlap",
              step(light, 0.2, 4, own, overlap=False), step(wide, 0.3, few, slow, overlap=False),
              hint="Each bucket has its own all-reduce, with its latencies."),
        Probe("q4", "steps with overlap",
              step(light, 0.2, 4, slow), step(wide, 0.3, few, own), step(late, 0.3, 8, own),
              step(late, 0.1, 2, slow, first=2**30, following=2**30),
              hint="Backward begins with the last layer, and messages wait for one another."),
        Probe("q4", "nearly all of it hidden, many small buckets, one device",
              step(small, 0.5, 4, own), step(small, 0.002, many, slow, first=1, following=1),
              step(wide, 0.25, 1, slow), step(wide, 0.25, 1, slow, overlap=False),
              hint="What has one device to send?"),
        Probe("q5", "weak scaling", share(wide, 4, "weak", own), share(light, 16, "weak", slow),
              share(late, 256, "weak", slow, batch=7), share(light, 1, "weak", own),
              hint="How much does a device compute, and is it three times forward?"),
        Probe("q5", "strong scaling", share(wide, 4, "strong", own),
              share(light, 16, "strong", slow), share(late, 64, "strong", slow),
              hint="The more devices share a batch, the less has each to compute."),
        Probe("q5", "what is refused",
              Call("efficiency", wide, 64, 5e12, 3, own, "strong", raises=True),
              Call("efficiency", wide, 64, 5e12, 4, own, "medium", raises=True)),
        Probe("q5", "where each network falls below a bound",
              *(Call("first_below", networks, 64, counts=counts, scaling="weak", bound=bound,
                     **below) for bound in (0.95, 0.6, 0.001)),
              hint="The numbers of devices come in any order, and there may be none."),
        Probe("q5", "the same in strong scaling",
              *(Call("first_below", networks, 48, counts=[*counts, 3, 48], scaling="strong",
                     bound=bound, **below) for bound in (0.9, 0.5, 0.2)),
              hint="Some of them cannot share the batch."),
        Probe("q6", "parts of curves without noise",
              *(Call("parts_of", curve, sent) for curve in drawn), rtol=1e-3),
        Probe("q6", "parts of curves with noise",
              *(Call("parts_of", curve, sent) for curve in noisy[:2]),
              Call("parts_of", variant["curve"], variant["curve_bytes"]), rtol=1e-4,
              hint="The errors are relative here too."),
        Probe("q6", "too few points", Call("parts_of", {1: 0.2, 8: 0.5}, sent, raises=True),
              Call("limited_by", {1: 0.2}, sent, 8, raises=True)),
        Probe("q6", "what limits a step of the curve",
              *(Call("limited_by", curve, sent, 64) for curve in drawn),
              *(Call("limited_by", curve, sent, 1) for curve in drawn), points=2,
              hint="Which of the three times is the longest?"),
        Probe("q6", "beyond the curve",
              *(Call("limited_by", curve, sent, n) for curve in few_points for n in (3, 10**6)),
              hint="Only one of the three grows without an end."),
    ]  # fmt: skip


# Reference answers


def layer_costs(
    convolutions: Convolutions,
    head: str,
    hidden: int = 4096,
    classes: int = 1000,
    bytes_each: int = 4,
) -> Layers:
    """Build everything without data, with the package's head, and ask torch for its sizes."""
    if head not in ("fc", "spp", "gap"):
        raise ValueError(f"no head {head}")
    dtype = {2: torch.float16, 4: torch.float32, 8: torch.float64}[bytes_each]
    with torch.device("meta"):
        layers: list[tuple[nn.Module, int]] = [
            (nn.Conv2d(before, after, tuple(kernel)), places)
            for (after, before, *kernel), places in convolutions
        ]
        classifier = HEADS[head](convolutions[-1][0][0], hidden, classes, 0.5).classifier
    layers += [(layer, 1) for layer in classifier if isinstance(layer, nn.Linear)]
    return [
        (
            sum(p.numel() * p.element_size() for p in layer.to(dtype).parameters()),
            places * max(p.numel() for p in layer.parameters()),
        )
        for layer, places in layers
    ]


def link_of(microseconds: float, gigabits: float) -> Link:
    """Return seconds, and bytes a second."""
    return microseconds * 1e-6, gigabits * 125_000_000.0


def ring_bytes(nbytes: int, devices: int) -> float:
    """Count rounds, each of one part."""
    return float(sum(nbytes / devices for _ in range(2) for _ in range(devices - 1)))


def ring_seconds(nbytes: int, devices: int, link: Link) -> float:
    """Ask the package."""
    return scaling.all_reduce_seconds(nbytes, devices, scaling.Link(*link))


def fit_link(sweep: dict[int, float], devices: int) -> Link:
    """Ask the package, which asks numpy."""
    found = scaling.fit_link(sweep, devices)
    return found.latency, found.bandwidth


def median_error(held_out: dict[int, float], devices: int, link: Link) -> float:
    """Ask the package."""
    return scaling_findings.median_error(
        [
            scaling_findings.Prediction("bucket", str(b), ring_seconds(b, devices, link), seconds)
            for b, seconds in held_out.items()
        ]
    )


def fill_buckets(
    sizes: list[int], first: int = scaling.FIRST_BUCKET, following: int = scaling.BUCKET
) -> list[list[int]]:
    """Ask the package, whose buckets are compared with torch's own."""
    return scaling.buckets(sizes, first, following)


def step_seconds(layers: Layers, compute: float, devices: int, link: Link, **options: Any) -> float:
    """Ask the package, which wants the layers in the order of backward."""
    made = [scaling.Gradient("", *layer) for layer in reversed(layers)]
    return scaling.step_time(made, compute, devices, scaling.Link(*link), **options).seconds


def efficiency(
    layers: Layers, batch: int, speed: float, devices: int, link: Link, scaling: str
) -> float:
    """Compare with one device that does it all."""
    images = {"weak": batch * devices, "strong": batch}
    if scaling not in images or images[scaling] % devices:
        raise ValueError("no such scaling, or a batch that is not shared")
    alone = sum(3 * images[scaling] * work / speed for _, work in layers)
    return alone / devices / step_seconds(layers, alone / devices, devices, link)


def first_below(
    networks: dict[str, Layers],
    batch: int,
    speed: float,
    counts: list[int],
    link: Link,
    scaling: str,
    bound: float,
) -> dict[str, int | None]:
    """Try all numbers of devices."""
    found: dict[str, int | None] = {}
    for name, layers in networks.items():
        under = []
        for n in counts:
            try:
                if efficiency(layers, batch, speed, n, link, scaling) < bound:
                    under.append(n)
            except ValueError:
                continue
        found[name] = min(under, default=None)
    return found


def parts_of(curve: dict[int, float], nbytes: int) -> tuple[float, float, float]:
    """Solve by numpy, in milliseconds, milliseconds and those of a megabyte."""
    if len(curve) < 3:
        raise ValueError("too few points")
    n, taken = (np.array([*part], dtype=float) for part in (curve.keys(), curve.values()))
    rounds = 2 * (n - 1)
    table = np.stack([np.ones(len(n)), rounds, rounds * nbytes / n / 1e6], axis=1)
    found, *_ = np.linalg.lstsq(table / taken[:, None] / 1e3, np.ones(len(n)), rcond=None)
    compute, latency, megabyte = (float(value) for value in found)
    return compute / 1e3, latency / 1e3, 1e9 / megabyte


def limited_by(curve: dict[int, float], nbytes: int, devices: int) -> str:
    """Take away one part after the other, and see what is gained most."""
    compute, latency, bandwidth = parts_of(curve, nbytes)

    def seconds(compute: float, latency: float, bandwidth: float) -> float:
        return compute + ring_seconds(nbytes, devices, (latency, bandwidth))

    without = {
        "compute": seconds(0.0, latency, bandwidth),
        "latency": seconds(compute, 0.0, bandwidth),
        "bandwidth": seconds(compute, latency, float("inf")),
    }
    return min(without, key=lambda name: without[name])
