"""Judge of assignment 5: the package's probes, scipy's t, and a walk through all runs."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from math import isnan
from random import Random
from typing import Any

from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from vgglab.grading import Call, Probe, Randn, Ref
from vgglab.grading import Tensor as Numbers

CLAIMS = (
    "Flatten is more accurate than GAP, for it keeps all that the convolutions have found.",
    "GAP is as accurate as Flatten, and does not care where the figure is.",
    "GAP gives up information, so a network with GAP is the worse one.",
)


def variant(random: Random) -> dict[str, Any]:
    """Return the claim, the noise of the images and the distance of the shift."""
    return {
        "claim": random.choice(CLAIMS),
        "noise": random.choice((0.25, 0.3)),
        "distance": random.choice((8, 10, 12)),
    }


def probes(variant: dict[str, Any], random: Random) -> list[Probe]:
    """Return the hidden probes."""
    sides = random.sample(range(5, 9), 2)
    channels, classes = random.sample(range(2, 7), 2)
    shape = (channels, *sides, classes)

    def randn(*shape: int, dtype: str = "float64") -> Randn:
        return Randn(shape, seed=random.randrange(10**6), dtype=dtype)

    def fill(name: str) -> Call:
        return Call("@fill", Ref(name), random.randrange(1000), returned=False)

    def head(kind: str) -> list[Call]:
        return [Call("make_head", kind, *shape, name="head", returned=False), fill("head")]

    images, labels = randn(40, 2, *sides), [random.randrange(3) for _ in range(40)]
    model = [Call("probe_network", 2, *sides, 3, name="net", returned=False), fill("net")]

    def accuracy(*distances: int, train: bool = False) -> list[Call]:
        targets = Numbers(labels, dtype="int64")
        return [
            Call("probe_mode", Ref("net"), train, returned=False),
            Call("shifted_accuracy", Ref("net"), images, targets, list(distances)),
        ]

    def runs(*rows: tuple[Any, ...]) -> list[Call]:
        """Return calls that make the runs, in some order, with those of another head between."""
        others = [("other", 0.1, seed, random.random(), random.random()) for seed in range(3)]
        mixed = random.sample([*rows, *others], len(rows) + 3)
        calls = [
            Call("probe_run", *row, name=f"run{n}", returned=False) for n, row in enumerate(mixed)
        ]
        refs = [Ref(f"run{n}") for n in range(len(mixed))]
        return [*calls, Call("probe_list", *refs, name="runs", returned=False)]

    def chosen(*functions: str) -> list[Call]:
        return [Call(function, Ref("runs"), "gap") for function in functions]

    def level(low: float = 0.3) -> float:
        return round(random.uniform(low, low + 0.3), 3)

    # Rates whose order by validation is not their order by test accuracy.
    rates = sorted(random.sample((0.01, 0.03, 0.05, 0.1, 0.2, 0.3), 3))
    best = random.sample(rates, 3)
    plain = [
        ("gap", lr, seed, level(0.3 + 0.3 * place), level(0.9 - 0.3 * place))
        for place, lr in enumerate(best)
        for seed in range(3)
    ]
    one_lucky = [
        ("gap", best[0], 0, 0.99, 0.5),
        ("gap", best[0], 1, 0.2, 0.4),
        ("gap", best[1], 0, 0.7, 0.3),
        ("gap", best[1], 1, 0.72, 0.2),
    ]
    more_seeds = [("gap", best[0], seed, 0.5, level()) for seed in range(5)]
    more_seeds += [("gap", best[1], seed, 0.6, level()) for seed in range(2)]
    diverged = [
        ("gap", max(rates), 0, None, None),
        ("gap", max(rates), 1, 0.8, 0.9),
        ("gap", max(rates), 2, 0.8, 0.9),
    ]
    diverged += [("gap", min(rates), seed, 0.6, level()) for seed in range(3)]
    still_best = [
        ("gap", best[0], 4, None, None),
        ("gap", best[0], 5, 0.9, 0.7),
        ("gap", best[1], 4, 0.3, 0.8),
        ("gap", best[1], 5, 0.3, 0.8),
    ]
    equal = [("gap", lr, seed, 0.5, level()) for lr in rates[::-1] for seed in (0, 1)]

    def scores(n: int, luck: float, gain: float = 0.0, first: int = 0) -> list[dict[int, float]]:
        """Return two heads that share the luck of their seeds; the orders of seeds differ."""
        seeds = range(first, first + n)
        common = {seed: random.uniform(0.3, 0.3 + luck) for seed in seeds}
        both = []
        for extra in (gain, 0.0):
            values = {s: common[s] + extra + random.uniform(0, 0.02) for s in seeds}
            both.append({s: values[s] for s in random.sample(list(seeds), n)})
        return both

    few, many = scores(3, 0.4, 0.05), scores(random.randrange(8, 13), 0.4)
    two = scores(2, 0.2, -0.1, first=7)
    ours, others = scores(6, 0.3)
    extra = {**others, 100: 0.0, 101: 1.0}
    margin = round(random.uniform(0.01, 0.05), 3)

    def world(
        levels: list[tuple[Any, ...]], noise: float, size: float, seeds: list[int]
    ) -> list[Call]:
        """Return calls that make invented trials, and study them."""
        heads = ("gap", "flatten")
        tried = sorted({row[1] for row in levels})
        return [
            Call("probe_world", random.randrange(10**6), levels, noise, name="w", returned=False),
            Call("study", Ref("w"), heads, random.sample(tried, len(tried)), seeds, size, name="s"),
        ]

    low, high = random.sample((0.01, 0.1), 2)
    # By test accuracy each head would be judged at the other rate, and the verdict turned round.
    opposed = [
        ("gap", low, 0.6, 0.6),
        ("gap", high, 0.3, 0.9),
        ("flatten", high, 0.6, 0.4),
        ("flatten", low, 0.5, 0.95),
    ]
    close = [
        ("gap", low, 0.6, 0.605),
        ("gap", high, 0.4, 0.5),
        ("flatten", high, 0.3, 0.5),
        ("flatten", low, 0.5, 0.6),
    ]
    behind = [
        ("gap", low, 0.5, 0.4),
        ("gap", high, 0.3, 0.5),
        ("flatten", high, 0.4, 0.5),
        ("flatten", low, 0.6, 0.6),
    ]
    lost = [
        ("gap", low, 0.5, 0.55),
        ("gap", high, None, None),
        ("flatten", high, None, None),
        ("flatten", low, 0.6, 0.5),
    ]
    seeds = random.sample(range(50), 6)
    return [
        *(
            Probe("q1", f"{kind}: parameters, and what it computes", *head(kind),
                  Call("@parameter_shapes", Ref("head")),
                  Call("@forward", Ref("head"), randn(3, *shape[:3], dtype="float32")),
                  hint="How many numbers does the linear layer read?")
            for kind in ("gap", "flatten")
        ),
        Probe("q1", "other kinds are refused",
              Call("make_head", "fc", *shape, raises=True),
              Call("make_head", "GAP", *shape, raises=True)),
        Probe("q2", "images moved in all directions", *(
            Call("shift", randn(2, 2, *sides), dy, dx)
            for dy, dx in ((0, 2), (0, -3), (1, 0), (-2, 0), (2, -1), (0, 0))
        ), hint="Zeros come in, on the side from which the image moves away."),
        Probe("q2", "images moved out of sight", *(
            Call("shift", randn(1, 1, *sides), dy, dx)
            for dy, dx in ((0, sides[1]), (-sides[0], 1), (sides[0] + 3, 0), (0, -sides[1] - 1))
        )),
        Probe("q2", "images that stay as they were",
              Call("@identity", randn(2, 1, *sides), name="x", returned=False),
              Call("shift", Ref("x"), 1, 2), Call("@identity", Ref("x"))),
        Probe("q2", "accuracy by distance", *model, *accuracy(0, 1, 3, -2, sides[1]),
              hint="Right is right, and not left."),
        Probe("q2", "a model in train mode, which stays so", *model, *accuracy(0, 2, train=True),
              Call("@getattr", Ref("net"), "training"), Call("@state", Ref("net", 1)),
              hint="In train mode BatchNorm learns from the test images."),
        Probe("q2", "a model in eval mode, which stays so", *model, *accuracy(1),
              Call("@getattr", Ref("net"), "training")),
        Probe("q3", "the rate that is best on validation images", *runs(*plain),
              *chosen("choose_rate"), *runs(*one_lucky), *chosen("choose_rate"),
              hint="Test images are for the end. And one seed can be lucky."),
        Probe("q3", "rates with different numbers of seeds, and equal ones", *runs(*more_seeds),
              *chosen("choose_rate"), *runs(*equal), *chosen("choose_rate"),
              hint="Compare means."),
        Probe("q3", "runs that diverged", *runs(*diverged), *chosen("choose_rate"),
              *runs(*still_best), *chosen("choose_rate", "test_scores"),
              hint="No number is larger than nan, and none is smaller."),
        Probe("q3", "test accuracies at that rate, by seed", *runs(*plain),
              *chosen("test_scores"), *runs(*more_seeds), *chosen("test_scores")),
        Probe("q3", "a head without runs", *runs(*plain),
              Call("choose_rate", Ref("runs"), "spp", raises=True),
              Call("test_scores", Ref("runs"), "spp", raises=True)),
        Probe("q4", "means of differences", *(
            call for pair in (few, many, two) for call in (
                Call("paired_interval", *pair, name="i", returned=False),
                Call("@identity", Ref("i", 0)))
        ), hint="Which two numbers are a pair?"),
        Probe("q4", "intervals for 95 %", *(
            Call("paired_interval", *pair) for pair in (few, many, two)
        ), hint="How many degrees of freedom have n differences? How much lies on each side?"),
        Probe("q4", "other confidences",
              Call("paired_interval", *many, 0.9), Call("paired_interval", *few, confidence=0.99)),
        Probe("q4", "seeds that only one has, and too few pairs",
              Call("paired_interval", ours, extra), Call("paired_interval", extra, ours),
              Call("paired_interval", {1: 0.5}, {1: 0.4}, raises=True),
              Call("paired_interval", {1: 0.5, 2: 0.4}, {3: 0.5, 4: 0.4}, raises=True),
              hint="Without a partner there is no difference."),
        Probe("q4", "a difference that is seen, and one that is not", *(
            Call("verdict", low, high, margin) for low, high in (
                (margin / 2, 3 * margin), (-3 * margin, -margin / 2), (-2 * margin, 3 * margin),
                (-margin / 2, 2 * margin), (0.0, 2 * margin), (-2 * margin, 0.0))
        ), points=2, hint="What does an interval say that has 0 inside, or at its end?"),
        Probe("q4", "differences that do not matter", *(
            Call("verdict", low, high, margin) for low, high in (
                (-margin / 2, margin / 3), (margin / 4, margin / 2), (-margin, margin),
                (-margin / 2, -margin / 4), (-1.1 * margin, margin / 2), (margin / 2, 2 * margin))
        ), hint="A small difference can be seen and not matter."),
        Probe("q5", "the rates and the interval", *world(opposed, 0.03, 0.02, seeds),
              *world(close, 0.03, 0.02, seeds), hint="Choose first, then compare in pairs."),
        Probe("q5", "which of the two is ours", *world(behind, 0.02, 0.01, seeds[:4])),
        Probe("q5", "no difference seen, and none that matters",
              *world(close, 0.09, 0.001, seeds[:3]), *world(close, 0.09, 0.001, seeds[3:]),
              *world(close, 0.09, 0.001, seeds[1:4]), *world(close, 0.002, 0.05, seeds),
              hint="The margin belongs to the verdict."),
        Probe("q5", "runs that diverge", *world(lost, 0.02, 0.02, seeds)),
        Probe("q5", "each training once", *world(opposed, 0.02, 0.02, seeds),
              Call("@recorded"), hint="Keep the runs, and read them twice."),
    ]  # fmt: skip


# Reference answers


class _Head(nn.Module):
    """A linear layer after GAP or Flatten, written without either."""

    def __init__(self, kind: str, inputs: int, classes: int) -> None:
        super().__init__()
        self.kind = kind
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = x.mean((2, 3)) if self.kind == "gap" else x.reshape(len(x), -1)
        return F.linear(features, self.linear.weight, self.linear.bias)


def make_head(kind: str, channels: int, rows: int, columns: int, classes: int) -> nn.Module:
    """Return a head."""
    inputs = {"gap": channels, "flatten": channels * rows * columns}
    if kind not in inputs:
        raise ValueError(f"no head {kind}")
    return _Head(kind, inputs[kind], classes)


def shift(images: Tensor, dy: int, dx: int) -> Tensor:
    """Pad so widely that everything can be cut out."""
    height, width = images.shape[-2:]
    far = height + width + abs(dy) + abs(dx)
    wide = F.pad(images, (far, far, far, far))
    return wide[..., far - dy : far - dy + height, far - dx : far - dx + width]


def shifted_accuracy(
    model: nn.Module, images: Tensor, labels: Tensor, distances: list[int]
) -> dict[int, float]:
    """Count, image by image, with a copy of the model."""
    model = deepcopy(model).eval()
    found = {}
    for distance in distances:
        answers = [int(model(shift(x[None], 0, distance))[0].argmax()) for x in images]
        hits = [answer == label for answer, label in zip(answers, labels.tolist(), strict=True)]
        found[distance] = sum(hits) / len(hits)
    return found


def _accuracies(runs: list[dict[str, Any]], head: str, lr: float, split: str) -> dict[int, float]:
    chosen = [run for run in runs if (run["head"], run["lr"]) == (head, lr)]
    return {run["seed"]: 0.0 if isnan(run[split]) else run[split] for run in chosen}


def choose_rate(runs: list[dict[str, Any]], head: str) -> float:
    """Return the rate with the best mean, looking at the smaller ones first."""
    best, rate = -1.0, None
    for lr in sorted({run["lr"] for run in runs if run["head"] == head}):
        values = list(_accuracies(runs, head, lr, "valid").values())
        if sum(values) / len(values) > best:
            best, rate = sum(values) / len(values), lr
    if rate is None:
        raise ValueError(f"no run has the head {head}")
    return rate


def test_scores(runs: list[dict[str, Any]], head: str) -> dict[int, float]:
    """Return test accuracies by seed."""
    return _accuracies(runs, head, choose_rate(runs, head), "test")


def paired_interval(
    ours: dict[int, float], others: dict[int, float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the interval of a paired t test, by scipy."""
    seeds = sorted(set(ours) & set(others))
    if len(seeds) < 2:
        raise ValueError("too few pairs")
    pair = [[scores[seed] for seed in seeds] for scores in (ours, others)]
    low, high = stats.ttest_rel(*pair).confidence_interval(confidence)
    return float(low + high) / 2, float(low), float(high)


def verdict(low: float, high: float, margin: float) -> str:
    """Return the verdict."""
    if max(abs(low), abs(high)) <= margin:
        return "no difference that matters"
    if low * high <= 0:
        return "no difference seen"
    return "ours is better" if low + high > 0 else "ours is worse"


def study(
    trial: Callable[[str, float, int], dict[str, float]],
    heads: tuple[str, str],
    rates: list[float],
    seeds: Iterable[int],
    margin: float,
) -> dict[str, Any]:
    """Return what the study finds."""
    runs = []
    for seed in seeds:
        for lr in rates:
            for head in heads:
                runs.append({"head": head, "lr": lr, "seed": seed} | trial(head, lr, seed))
    mean, low, high = paired_interval(*(test_scores(runs, head) for head in heads))
    return {
        "rates": {head: choose_rate(runs, head) for head in heads},
        "interval": (mean, low, high),
        "verdict": verdict(low, high, margin),
    }
