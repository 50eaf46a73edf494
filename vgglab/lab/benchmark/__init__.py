"""How fast a VGG is on this machine: beside what the machine can do, and in its own memory.

Each measurement is a run of an experiment of `vgglab.lab.benchmark.grids`. The file of its records
is described by benchmark.schema.json and read by `vgglab.lab.benchmark.measurements`. The clock and
the checks are those of `vgglab.lab.timing`.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, randint, randn
from torch.nn.functional import cross_entropy

from vgglab.lab.benchmark.measurements import Measurement
from vgglab.lab.experiments.running import Settings
from vgglab.lab.memory import Checkpointed
from vgglab.lab.timing import here, one_precision, time_checked, time_work
from vgglab.models.configs import NUM_CLASSES
from vgglab.models.network import VGG, vgg
from vgglab.tracing import random_state_kept

CHOICES = {
    "mode": ("inference", "training"),
    "precision": ("float32", "tf32", "bfloat16"),
    "layout": ("NCHW", "NHWC"),
    "runner": ("eager", "compile", "graph", "checkpoint"),
}
"""What may be chosen, by the name of the setting.

Inference is in eval mode without autograd; training is a step of SGD, without dropout, so that its
result is known. In bfloat16 inference has bfloat16 weights, and training is under autocast.
"""

_NEEDS_GPU = {"precision": "tf32", "runner": "graph"}

# Relative errors. Between two of float32 are those of another order of sums; TF32 has 10 bits and
# bfloat16 has 7, so that each bound is below what the next lower precision gives.
_TOLERANCE = {
    "inference": {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 5e-2},
    "training": {"float32": 1e-3, "tf32": 5e-2, "bfloat16": 3e-1},
}

_PRODUCT_SIDE = {"cuda": 8192, "cpu": 512}
_COPIED_BYTES = {"cuda": 2**28, "cpu": 2**27}  # several times what caches hold

_ENOUGH_SECONDS = 0.2  # to have seen the device at its best

Work = Callable[..., Sequence[Tensor]]


def throughput(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time a forward pass or a training step of VGG-16; halve the batch until it fits.

    Returns
    -------
    dict
        The batch that was measured; seconds, one number a repetition; multiply-adds and the bytes
        that have to be read and written at least, for a batch; the largest relative error and its
        bound; what the allocator gave at most (``None`` on a CPU); and the device's roofs.

    Raises
    ------
    ValueError
        If a setting is not one of `CHOICES`, needs a GPU that is not there, does not compile, or
        does not fit into memory with a single image; or if the result is wrong or above a roof.
    """
    for name, accepted in CHOICES.items():
        if settings[name] not in accepted:
            raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {settings[name]!r}")
        if here().type == "cpu" and settings[name] == _NEEDS_GPU.get(name):
            raise ValueError(f"{name} {settings[name]!r} needs a GPU, and there is none")
    batch = settings["batch_size"]
    while True:
        try:
            return measure({**settings, "batch_size": batch}, seed)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "allocate" not in str(error):
                reason = str(error).strip().partition("\n")[0]
                raise ValueError(f"runner {settings['runner']!r} cannot run: {reason}") from error
        if batch == 1:
            raise ValueError(f"side must be one that fits into memory; got {settings['side']}")
        batch //= 2
        gc.collect()
        torch.cuda.empty_cache()


def measure(settings: Settings, seed: int) -> dict[str, Any]:
    """Return what `throughput` does, for the batch as it is asked for."""
    device, mode, precision = here(), settings["mode"], settings["precision"]
    with random_state_kept():
        torch.manual_seed(seed)
        original = vgg("D", head=settings["head"], width=settings["width"], dropout=0.0)
    original.train(mode == "training")
    draw = _drawing(settings)
    on_gpu = device.type == "cuda"
    before = torch.cuda.memory_allocated() if on_gpu else 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    format_ = torch.channels_last if settings["layout"] == "NHWC" else torch.contiguous_format
    network = deepcopy(original).to(device, _dtype(settings)).to(memory_format=format_)
    examples = draw(torch.Generator(device).manual_seed(seed))
    with one_precision(precision):
        work = _work(network, settings, examples)
        work(*examples)
    peak = torch.cuda.max_memory_allocated() - before if on_gpu else None
    with torch.no_grad():  # what the first step changed
        network.load_state_dict(original.state_dict())

    def in_precision(*inputs: Tensor) -> Sequence[Tensor]:
        with one_precision(precision):
            return work(*inputs)

    timings = time_checked(
        in_precision,
        _reference(original.to(device), mode),
        draw,
        tolerance=_TOLERANCE[mode][precision],
        warmup=settings["warmup"],
        repetitions=settings["repetitions"],
        timer=time_work,
        state=list(network.parameters()) if mode == "training" else (),
    )
    weights = sum(p.nbytes for p in network.parameters())
    found = {
        "batch_size": settings["batch_size"],
        "seconds": timings.seconds,
        "mult_adds": _mult_adds(settings),
        # Weights are read, and in training written; the images are read.
        "least_bytes": weights * (2 if mode == "training" else 1) + examples[0].nbytes,
        "copied_bytes": _COPIED_BYTES[device.type],
        "error": timings.error,
        "tolerance": _TOLERANCE[mode][precision],
        "peak_bytes": peak,
        "roofs": roofs(),
    }
    return _below_its_roofs(settings, found)


def _below_its_roofs(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """Return the result; what is above a roof is measured again: the machine may have been busy."""
    for _ in range(3):
        if Measurement(settings, found).above() is None:
            break
        roofs.cache_clear()
        found["roofs"] = {name: max(roof, found["roofs"][name]) for name, roof in roofs().items()}
    Measurement(settings, found).check()
    return found


def _dtype(settings: Settings) -> torch.dtype:
    low = settings["precision"] == "bfloat16" and settings["mode"] == "inference"
    return torch.bfloat16 if low else torch.float32


def _drawing(settings: Settings) -> Callable[[torch.Generator], list[Tensor]]:
    """Return what draws a batch, in the type and layout that the network takes."""
    batch, side, dtype = settings["batch_size"], settings["side"], _dtype(settings)
    format_ = torch.channels_last if settings["layout"] == "NHWC" else torch.contiguous_format

    def draw(generator: torch.Generator) -> list[Tensor]:
        place: Any = {"generator": generator, "device": generator.device}
        images = randn(batch, 3, side, side, **place).to(dtype, memory_format=format_)
        if settings["mode"] == "inference":
            return [images]
        return [images, randint(NUM_CLASSES, (batch,), **place)]

    return draw


def _work(network: VGG, settings: Settings, examples: Sequence[Tensor]) -> Work:
    """Return what is timed."""
    runner = settings["runner"]
    forward: nn.Module = network
    if runner == "compile":
        torch.compiler.reset()  # after some networks of one class torch would run the next in eager
        forward = torch.compile(network, dynamic=False, fullgraph=True)  # type: ignore[assignment]
    elif runner == "checkpoint":
        forward = Checkpointed(network)
    if settings["mode"] == "inference":

        def work(*inputs: Tensor) -> Sequence[Tensor]:
            with torch.no_grad():
                return [forward(*inputs)]
    else:
        # With a rate of 1 the weights change by the gradient, which rounding leaves readable.
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        low = settings["precision"] == "bfloat16"

        def work(*inputs: Tensor) -> Sequence[Tensor]:
            images, labels = inputs
            optimizer.zero_grad()
            with torch.autocast(here().type, torch.bfloat16, low, cache_enabled=runner != "graph"):
                loss = cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
            return [loss.detach()]

    return _captured(work, examples) if runner == "graph" else work


def _captured(work: Work, examples: Sequence[Tensor]) -> Work:
    """Return the replay of a CUDA graph, with the copy of the inputs to where it reads them.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html, section on CUDA graphs.
    """
    static = [example.clone() for example in examples]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work(*static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work(*static)

    def replay(*inputs: Tensor) -> Sequence[Tensor]:
        for place, tensor in zip(static, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return results

    return replay


def _reference(network: nn.Module, mode: str) -> Work:
    """Return the same computation in float32, NCHW and eager mode, of a network of its own."""
    weights = list(network.parameters())

    def answers(images: Tensor) -> Sequence[Tensor]:
        with one_precision("float32"), torch.no_grad():
            return [network(images.float().contiguous())]

    def step(images: Tensor, labels: Tensor) -> Sequence[Tensor]:
        with one_precision("float32"):
            loss = cross_entropy(network(images.contiguous()), labels)
            return [loss.detach(), *(-part for part in torch.autograd.grad(loss, weights))]

    return step if mode == "training" else answers


def _mult_adds(settings: Settings) -> int:
    """Return the multiply-adds of products and convolutions, as torch counts them: with backward.

    Source: ``torch.utils.flop_counter``.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = vgg("D", head=settings["head"], width=settings["width"], dropout=0.0)
        images = torch.empty(settings["batch_size"], 3, settings["side"], settings["side"])
    counter = FlopCounterMode(display=False)
    with counter, torch.set_grad_enabled(settings["mode"] == "training"):
        answers = network(images)
        if answers.requires_grad:
            answers.sum().backward()
    return counter.get_total_flops() // 2


@lru_cache(maxsize=1)
def roofs() -> Mapping[str, float]:
    """Measure what the device can do at best: products of large matrices, and a large copy.

    Returns
    -------
    Mapping
        Multiply-adds a second for each of the precisions that the device has, and under ``"copy"``
        the bytes that are read and written a second. Whoever computes in a low precision may do it
        in a higher one, so that no roof is below that of float32.
    """
    device = here()
    side = _PRODUCT_SIDE[device.type]
    found: dict[str, float] = {}
    for name in CHOICES["precision"]:
        if device.type == "cpu" and name == "tf32":
            continue
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        with one_precision(name):
            rate = side**3 / _least_seconds(lambda a=left, b=right: a @ b)  # type: ignore[misc]
        found[name] = max(rate, found.get("float32", 0.0))
    source = torch.zeros(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found["copy"] = 2 * source.nbytes / _least_seconds(lambda: target.copy_(source))
    return found


def _least_seconds(call: Callable[[], object]) -> float:
    call()
    least, spent = float("inf"), 0.0
    while spent < _ENOUGH_SECONDS:
        seconds = time_work(call)
        least, spent = min(least, seconds), spent + seconds
    return least
