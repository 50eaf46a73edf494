"""Judge of assignment 4: layers run one by one, weights moved one by one, the package's fold."""

import copy
import math
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vgglab.convert import fold_adaptive_pool
from vgglab.grading import Call, Probe, Randn, Ref
from vgglab.shapes import Window, input_sizes

CONV, POOL = (3, 1, 1, 1), (2, 2, 0, 1)


def variant(random: Random) -> dict[str, Any]:
    """Return the small network of the public checks, and their sizes."""
    rows, columns = random.sample(range(3, 8), 2)
    flat, tall = random.choice(((5, 9), (6, 10), (4, 13)))
    height, width = random.sample(range(33, 90), 2)
    return {
        "small": [[random.randrange(3, 7)] for _ in range(random.choice((3, 4)))],
        "rows": rows,
        "columns": columns,
        "flat": flat,
        "tall": tall,
        "height": max(height, 40) * 2,
        "width": max(width, 40) * 2,
    }


def probes(variant: dict[str, Any], random: Random) -> list[Probe]:
    """Return the hidden probes."""

    def randn(*shape: int, dtype: str = "float64") -> Randn:
        return Randn(shape, seed=random.randrange(10**6), dtype=dtype)

    def patient(*args: Any, name: str = "net", **options: Any) -> Call:
        return Call("Patient", *args, **options, name=name, returned=False)

    def filled(*args: Any, name: str = "net", **options: Any) -> list[Call]:
        """Return calls that make a network in float64 with weights that are set."""
        fill = Call("@fill", Ref(name), random.randrange(1000), returned=False)
        double = Call("probe_double", Ref(name), returned=False)
        return [patient(*args, name=name, **options), double, fill]

    def stages() -> list[list[int]]:
        return [[random.randrange(3, 7) for _ in range(random.choice((1, 2)))] for _ in range(3)]

    def stopped(*sizes: tuple[int, ...]) -> list[Call]:
        return [Call("stops_at", Ref("net"), size) for size in sizes]

    def folded(
        pooled: tuple[int, int], *cells: tuple[int, int], out: int = 3, **options: Any
    ) -> list[Call]:
        """Return calls that fold, and read what came out."""
        channels = random.randrange(2, 5)
        linear = (channels * pooled[0] * pooled[1], out)
        calls = [
            Call("probe_linear", *linear, **options, name="fc", returned=False),
            Call("@fill", Ref("fc"), random.randrange(1000), returned=False),
        ]
        for size in cells:
            fold = Call("fold_pool", Ref("fc"), channels, pooled, size, name="c", returned=False)
            calls += [fold, Call("@forward", Ref("c"), randn(2, channels, *size))]
        return calls

    # No meta device: its kernels take seconds to import, for each submission.
    slim = [[random.randrange(2, 5)] * n for n in (2, 2, 3, 3, 3)]
    three = stages()
    rows, columns = random.sample(range(2, 7), 2)
    wide = {"cells": (rows, columns), "in_channels": random.choice((1, 2, 4))}
    fit = (8 * rows + random.randrange(8), 8 * columns + random.randrange(8))
    channels = random.randrange(3, 6)
    side = random.randrange(3, 6)
    made_up = [
        [
            (random.choice((2, 3, 4, 5, 7)), random.choice((1, 2, 3)), random.randrange(3), 1)
            for _ in range(3)
        ]
        for _ in range(3)
    ]
    dilated = [
        [(3, random.choice((1, 2)), random.randrange(3), random.choice((2, 3))), POOL]
        for _ in range(2)
    ]
    sizes = (channels * rows * columns, 8, 6, 4)
    convert = Call(
        "as_convolutions", Ref("old"), channels, rows, columns, name="new", returned=False
    )
    set_new = Call("@fill", Ref("new"), 7, returned=False)
    make_old = [
        Call("probe_classifier", *sizes, name="old", returned=False),
        Call("@fill", Ref("old"), random.randrange(1000), returned=False),
    ]
    fifteen = tuple(random.sample(range(10, 17), 2))
    pair = [*filled(three, cells=(3, 3), name="a"), *filled(three, cells=(3, 3), name="b")]
    image, wider = randn(2, 3, 24, 24), randn(1, 3, 27, 30)
    pooling = [
        Call("probe_pool", 3, 3, name="pool", returned=False),
        Call("probe_flatten", name="flat", returned=False),
        Call(
            "probe_chain",
            Ref("a", "features"),
            Ref("pool"),
            Ref("flat"),
            Ref("a", "classifier"),
            name="pooled",
            returned=False,
        ),
    ]
    return [
        Probe("q1", "VGG-16 in small, at sizes that fit and sizes that do not",
              patient(slim, hidden=8),
              *stopped((1, 3, 255, 224), (1, 3, 256, 224), (2, 3, 400, 400), (1, 3, 32, 1568)),
              hint="Which layer was entered last?"),
        Probe("q1", "images that are too small, and other networks",
              patient(three, **wide),
              *stopped((2, wide["in_channels"], 4, 64), (1, wide["in_channels"], 64, 2)),
              *stopped((1, wide["in_channels"], *fit), (1, wide["in_channels"], 9 * 8, 8))),
        Probe("q1", "images with other channels; a network in float64",
              patient(three, **wide), *stopped((1, 3, *fit), (2, 5, 64, 64)),
              Call("probe_double", Ref("net"), returned=False),
              *stopped((1, wide["in_channels"], *fit), (1, wide["in_channels"], 80, 80)),
              hint="Convolutions can stop too."),
        Probe("q1", "the network stays as it was: mode, statistics, hooks",
              patient([[3], [4]], cells=(2, 2), norm=True), *stopped((2, 3, 8, 8), (2, 3, 16, 16)),
              Call("@state", Ref("net", "features")), Call("@getattr", Ref("net"), "training"),
              Call("probe_hooks", Ref("net")),
              hint="In train mode BatchNorm remembers every image that it sees."),
        Probe("q2", "networks of halvings", *(
            Call("fitting_sides", [*[CONV] * 2, POOL] * stages, cells)
            for stages, cells in ((5, 12), (5, 1), (4, 7), (3, random.randrange(3, 20)))
        ), hint="What does a pooling with stride 2 do with an odd side?"),
        Probe("q2", "other windows, dilated ones too", *(
            Call("fitting_sides", w, random.randrange(4, 9)) for w in (*made_up, *dilated)
        )),
        Probe("q2", "numbers of cells that no image gives, and no windows at all",
              Call("fitting_sides", [(3, 1, 3, 1)], 2), Call("fitting_sides", [(1, 1, 2, 1)], 4),
              Call("fitting_sides", [(1, 1, 2, 1)], 5), Call("fitting_sides", [], 9)),
        Probe("q2", "maps that a layer accepts", *(
            Call("accepted_maps", 512 * n, 512) for n in (144, 1, 13, random.randrange(20, 60))
        ), Call("accepted_maps", 100, 64), Call("accepted_maps", 32, 64),
              hint="Square maps are few of them."),
        Probe("q3", "the layers, in order",
              patient(three, **wide),
              Call("as_convolutions", Ref("net", "classifier"), three[-1][-1], rows, columns,
                   name="new", returned=False),
              Call("@layers", Ref("new")),
              hint="From the second layer on the map has one cell."),
        Probe("q3", "what it computes on the map that it was made for", *make_old, convert,
              Call("@forward", Ref("new"), randn(3, channels, rows, columns)), rtol=1e-9,
              hint="In which order does flatten take channels, rows and columns?"),
        Probe("q3", "what it computes on a larger map", *make_old, convert,
              Call("@forward", Ref("new"), randn(1, channels, rows + 3, columns + 1)), rtol=1e-9),
        Probe("q3", "layers without biases",
              Call("probe_classifier", *sizes, bias=False, name="old", returned=False),
              Call("@fill", Ref("old"), 3, returned=False), convert,
              Call("@forward", Ref("new"), randn(2, channels, rows, columns)),
              Call("@count", Ref("new"))),
        Probe("q3", "dtype, and independence of the old network", *make_old, convert,
              Call("probe_dtype", Ref("new")), set_new, Call("@state", Ref("old")),
              hint="A view has the same memory."),
        Probe("q4", "larger maps, square ones",
              *folded((7, 7), (14, 14), (12, 12)), *folded((3, 3), fifteen[:1] * 2), rtol=1e-9,
              hint="Neighbouring bins can have a cell in common. How large is each bin?"),
        Probe("q4", "maps and bins that are not square",
              *folded((side, 2), fifteen, (side, 9)), *folded((2, side), (7, 12)), rtol=1e-9,
              hint="Each axis has its own bins."),
        Probe("q4", "maps that are smaller than the bins",
              *folded((7, 7), (6, 6), (1, 1)), *folded((7, 5), (4, 11)), rtol=1e-9,
              hint="A cell can be in several bins."),
        Probe("q4", "no biases; the same size before and after",
              *folded((4, 3), (4, 3), (9, 8), bias=False), rtol=1e-9),
        Probe("q4", "the layer that comes out, and independence of the one that came in",
              *folded((side, 2), (side, 2)), Call("@layers", Ref("c")),
              Call("probe_dtype", Ref("c")), Call("@fill", Ref("c"), 5, returned=False),
              Call("@state", Ref("fc"))),
        Probe("q5", "two networks that differ", *pair,
              Call("distance", Ref("a"), Ref("b"), [image]),
              Call("distance", Ref("b"), Ref("a"), [image]),
              Call("distance", Ref("a"), Ref("b"), [image, wider]),
              Call("distance", Ref("a"), Ref("b"), [wider, image]), atol=1e-10,
              hint="By which norm is it divided, and is it the largest that is returned?"),
        Probe("q5", "networks in float32 and in train mode that are the same",
              patient(three, cells=(3, 3), name="a"), *pooling,
              Call("ProbeRounded", Ref("a"), name="same", returned=False),
              Call("distance", Ref("a"), Ref("same"), [randn(3, 3, 25, 24, dtype="float32")]),
              Call("distance", Ref("a"), Ref("pooled"), [randn(2, 3, 24, 24, dtype="float32")]),
              Call("distance", Ref("pooled"), Ref("a"), [randn(2, 3, 26, 24, dtype="float32")]),
              Call("@getattr", Ref("a"), "training"), Call("probe_dtype", Ref("a")),
              Call("probe_dtype", Ref("pooled")), atol=1e-10,
              hint="In float32 rounding is about 1e-7."),
        Probe("q5", "one of them stops, or gives scores of another shape",
              *filled(three, cells=(3, 3), name="a"), *pooling,
              *filled(three, cells=(3, 3), num_classes=4, name="b"),
              Call("distance", Ref("a"), Ref("pooled"), [image, randn(1, 3, 40, 40)]),
              Call("distance", Ref("pooled"), Ref("a"), [image, randn(1, 3, 40, 40)]),
              Call("distance", Ref("a"), Ref("b"), [image]),
              Call("distance", Ref("a"), Ref("pooled"), [image]), atol=1e-10),
        Probe("q5", "scores as a row and as a map of one cell", *pair,
              Call("probe_map", Ref("a"), name="map", returned=False),
              Call("distance", Ref("a"), Ref("map"), [image]),
              Call("distance", Ref("map"), Ref("b"), [image]),
              Call("distance", Ref("map"), Ref("a", "features"), [image]), atol=1e-10),
        Probe("q6", "what it gives at 400×400 and at a size that is not square",
              *filled([[2], [3], [3], [4], [4]], cells=(7, 7)),
              *(call for size in ((400, 400), (random.randrange(130, 200), 336)) for call in (
                  Call("repair", Ref("net"), *size, name="new", returned=False),
                  Call("@forward", Ref("new"), randn(2, 3, *size)))), rtol=1e-8,
              hint="Which map does the folded layer read?"),
        Probe("q6", "other networks, maps smaller than the classifier's",
              *filled(three, **wide),
              Call("repair", Ref("net"), 17, 90, name="new", returned=False),
              Call("@forward", Ref("new"), randn(1, wide["in_channels"], 17, 90)), rtol=1e-8),
        Probe("q6", "no adaptive pooling, and a patient that stays as it was",
              *filled([[3], [4]], cells=(2, 3), norm=True), Call("probe_mode", Ref("net"), True,
                                                                 returned=False),
              Call("repair", Ref("net"), 20, 24, name="new", returned=False),
              Call("probe_adaptive", Ref("new")), Call("@forward", Ref("new"), randn(2, 3, 20, 24)),
              Call("@state", Ref("net", "features")), rtol=1e-8),
    ]  # fmt: skip


# Reference answers


def stops_at(model: nn.Module, input_size: tuple[int, ...]) -> tuple[str, tuple[int, ...]] | None:
    """Run a copy's layers one by one."""
    model = copy.deepcopy(model).eval()
    like = next(model.parameters())
    x = torch.zeros(input_size, device=like.device, dtype=like.dtype)
    for part in ("features", "classifier"):
        for name, layer in model.get_submodule(part).named_children():
            try:
                with torch.no_grad():
                    y = layer(x)
            except RuntimeError:
                return f"{part}.{name}", tuple(x.shape)
            x = y
        x = x.flatten(1)
    return None


def fitting_sides(windows: list[tuple[int, ...]], cells: int) -> tuple[int, int] | None:
    """Return what the package finds by walking backwards."""
    sides = input_sizes(cells, [Window(*window) for window in windows])
    return (sides[0], sides[-1]) if sides else None


def accepted_maps(in_features: int, channels: int) -> list[tuple[int, int]]:
    """Try all maps."""
    numbers = range(1, in_features // channels + 1)
    return [(h, w) for h in numbers for w in numbers if channels * h * w == in_features]


def as_convolutions(
    classifier: nn.Sequential, channels: int, rows: int, columns: int
) -> nn.Sequential:
    """Move the weights one by one."""
    converted = nn.Sequential()
    for layer in classifier:
        if not isinstance(layer, nn.Linear):
            converted.append(copy.deepcopy(layer))
            continue
        kernel = torch.empty(layer.out_features, channels, rows, columns, dtype=layer.weight.dtype)
        for number in range(layer.in_features):
            c, place = divmod(number, rows * columns)
            i, j = divmod(place, columns)
            kernel[:, c, i, j] = layer.weight.detach()[:, number]
        converted.append(_conv(kernel, layer.bias))
        channels, rows, columns = layer.out_features, 1, 1
    return converted


def _conv(kernel: Tensor, bias: Tensor | None) -> nn.Conv2d:
    out, channels, *sides = kernel.shape
    conv = nn.Conv2d(channels, out, tuple(sides), bias=bias is not None, dtype=kernel.dtype)
    conv.weight = nn.Parameter(kernel.clone())
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone())
    return conv


def fold_pool(
    linear: nn.Linear, channels: int, pooled: tuple[int, int], cells: tuple[int, int]
) -> nn.Conv2d:
    """Read the kernel from what torch's pooling and the layer do."""
    nothing = torch.zeros(1, channels, *cells, dtype=linear.weight.dtype)

    def both(x: Tensor) -> Tensor:
        return F.linear(F.adaptive_avg_pool2d(x, tuple(pooled)).flatten(1), linear.weight).flatten()

    kernel = torch.autograd.functional.jacobian(both, nothing)[:, 0]
    return _conv(kernel.detach(), linear.bias)


def distance(before: nn.Module, after: nn.Module, images: list[Tensor]) -> float:
    """Return the largest relative distance."""
    found = [0.0]
    for image in images:
        outputs = []
        for network in (before, after):
            network = copy.deepcopy(network).to(torch.float64).eval()
            try:
                outputs.append(network(image.to(torch.float64)).detach())
            except RuntimeError:
                return math.inf
        shapes = {y.shape[:2] if y.shape[2:].numel() == 1 else y.shape for y in outputs}
        if len(shapes) > 1:
            return math.inf
        a, b = (y.flatten() for y in outputs)
        found.append(float((b - a).square().sum().sqrt() / a.square().sum().sqrt()))
    return max(found)


def repair(model: nn.Module, height: int, width: int) -> nn.Module:
    """Let the package fold the pooling of the pooled network."""
    pooled = nn.Sequential(
        model.features, nn.AdaptiveAvgPool2d(model.cells), nn.Flatten(), model.classifier
    )
    folded = fold_adaptive_pool(pooled, (1, model.features[0].in_channels, height, width))
    # It ends with a pooling to one cell, for larger images.
    return nn.Sequential(*(m for m in folded if not isinstance(m, nn.AdaptiveAvgPool2d)))
