"""How long each layer of VGG-16 takes by itself, and the whole network beside them."""

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vgglab.compare.reference import relative_l2
from vgglab.lab.benchmark import _COPIED_BYTES, _TOLERANCE, roofs
from vgglab.lab.experiments.running import Settings
from vgglab.lab.timing import here, one_precision, time_work
from vgglab.models.configs import get_config
from vgglab.models.network import vgg
from vgglab.tracing import random_state_kept, trace
from vgglab.tracing.operations import Shape

WHOLE = "whole"
"""The name of the network among its layers."""


def layer_names(config: str = "D") -> list[str]:
    """Return the names of the layers with weights, as the literature has them.

    >>> layer_names()[:3], layer_names()[-3:]
    (['conv1_1', 'conv1_2', 'conv2_1'], ['fc6', 'fc7', 'fc8'])
    """
    names, stage, number = [], 1, 0
    for layer in get_config(config).layers():
        if layer == "maxpool":
            stage, number = stage + 1, 0
        elif layer != "LRN":
            number += 1
            names.append(f"conv{stage}_{number}")
    return [*names, "fc6", "fc7", "fc8"]


def moved_bytes(shapes: Mapping[str, int], mode: str) -> int:
    """Return the bytes that a layer reads and writes if each operation does so once.

    Parameters
    ----------
    shapes
        Bytes of the ``"input"``, the ``"weights"`` and the ``"output"``.
    mode
        ``"inference"``, or ``"training"``: with the gradients of input and weights, and a step of
        SGD, which reads weights and gradients and writes weights.
    """
    passes = {"input": 1, "weights": 1, "output": 1}
    if mode == "training":
        # forward x, w -> y; input's gradient dy, w -> dx; weights' gradient dy, x -> dw; the step
        passes = {"input": 3, "weights": 1 + 1 + 1 + 3, "output": 3}
    return sum(passes[name] * shapes[name] for name in passes)


def layer_times(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time each layer alone, on fresh inputs of its own shape, then the whole network.

    Inference is the layer's forward; training is forward, backward to input and weights, and a step
    of SGD. Each result is compared with float32.

    Returns
    -------
    dict
        By layer the seconds, one number a repetition, multiply-adds, bytes moved, the bytes of the
        weights that have to be moved at least, and the largest relative error; its bound, the size
        of the copy, and the device's roofs.
    """
    mode, batch, side = settings["mode"], settings["batch_size"], settings["side"]
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg("D", width=settings["width"], dropout=0.0).train(mode == "training")
    traced = trace(network, (batch, 3, side, side))
    shapes: dict[str, tuple[Shape, Shape]] = {
        call.path: (call.input_shapes[0], call.output_shapes[0])
        for call in traced.calls
        if call.parameters
    }
    work = {op.path: op.mult_adds for op in traced.ops if op.mult_adds}
    paths = dict(zip((*layer_names(), WHOLE), (*shapes, ""), strict=True))
    shapes[""] = traced.input_sizes[0], traced.output_shapes[0]
    found: dict[str, dict[str, Any]] = {}
    for name, path in paths.items():
        layer = network.get_submodule(path)
        first = path in ("", "features.0")  # whose input needs no gradient
        seconds, error = _timed(layer, *shapes[path], settings, needs_input=not first)
        each = torch.finfo().bits // 8
        sizes = {
            "input": prod(shapes[path][0]) * each,
            "weights": sum(p.numel() for p in layer.parameters()) * each,
            "output": prod(shapes[path][1]) * each,
        }
        products = 1 if mode == "inference" else 2 if first else 3
        found[name] = {
            "seconds": seconds,
            "mult_adds": products * work.get(path, 0),
            "moved_bytes": moved_bytes(sizes, mode),
            "least_bytes": sizes["weights"] * (2 if mode == "training" else 1),
            "error": error,
        }
    for figure in ("mult_adds", "moved_bytes"):
        found[WHOLE][figure] = sum(found[name][figure] for name in paths if name != WHOLE)
    return {
        "batch_size": batch,
        "layers": found,
        "copied_bytes": _COPIED_BYTES[here().type],
        "tolerance": _TOLERANCE[mode][settings["precision"]],
        "roofs": roofs(),
    }


def _timed(
    layer: nn.Module,
    input_size: tuple[int, ...],
    output_size: tuple[int, ...],
    settings: Settings,
    *,
    needs_input: bool,
) -> tuple[list[float], float]:
    """Return the seconds of each repetition, and the largest relative error of an output."""
    device, training = here(), settings["mode"] == "training"
    precision = settings["precision"]
    layer = layer.to(device)
    low = precision == "bfloat16"
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)  # the weights stay as they are
    kept: list[Tensor] = []

    def step(x: Tensor, gradient: Tensor) -> None:
        with torch.set_grad_enabled(training), torch.autocast(device.type, torch.bfloat16, low):
            kept[:] = [layer(x)]
        if training:
            kept[0].backward(gradient.to(kept[0].dtype))
            optimizer.step()

    seconds, worst = [], 0.0
    for repetition in range(settings["warmup"] + settings["repetitions"]):
        x = torch.randn(input_size, device=device).requires_grad_(training and needs_input)
        call: Callable[[], None] = partial(step, x, torch.randn(output_size, device=device))
        with one_precision(precision):
            taken = time_work(call)
        optimizer.zero_grad()
        with one_precision("float32"), torch.no_grad():
            worst = max(worst, relative_l2(kept[0].detach(), layer(x)))
        if repetition >= settings["warmup"]:
            seconds.append(taken)
    return seconds, worst
