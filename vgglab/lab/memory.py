"""The memory that a step takes: predicted from a trace, tracked by torch, and allocated."""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from vgglab.lab.experiments.running import Settings
from vgglab.lab.timing import here
from vgglab.models.network import VGG, vgg
from vgglab.tracing import Trace, random_state_kept, trace
from vgglab.tracing.operations import RESHAPES, Kind, Op, Shape


class _Optimizer(NamedTuple):
    make: Callable[[Any], torch.optim.Optimizer]
    state: int  # numbers that it keeps of each weight
    scratch: int  # numbers that it needs for a moment of each weight that it is busy with


OPTIMIZERS = {
    "sgd": _Optimizer(partial(torch.optim.SGD, lr=1e-3, foreach=False), 0, 0),
    "momentum": _Optimizer(partial(torch.optim.SGD, lr=1e-3, momentum=0.9, foreach=False), 1, 0),
    "adam": _Optimizer(partial(torch.optim.Adam, lr=1e-3, foreach=False), 2, 2),
}
"""Those that are known here, by name; they go from weight to weight, on every device."""


_TEMPORARY = {"div": 2, "pow": 2}
"""Maps that autograd's formula of an operation makes besides gradients (derivatives.yaml)."""


class Memory(NamedTuple):
    """Bytes, at the moment of a step at which there are most.

    Attributes
    ----------
    weights
        Parameters and buffers.
    gradients
        Of the parameters, as far as there are any yet.
    optimizer
        What the optimiser keeps from step to step.
    activations
        The input, and what is kept of the maps for the backward pass.
    workspace
        What is there for a moment: an operation's input and output without autograd, the gradients
        of maps in the backward pass, an optimiser's intermediate results. What a kernel allocates
        for itself is not known to torch's dispatcher, and is not in it.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


def predicted_memory(
    model: nn.Module, input_size: tuple[int, ...], optimizer: str | None = None
) -> Memory:
    """Predict the peak of a training step, or of a forward pass, without computing anything.

    The step is one that follows others: the optimiser's state is there, the last gradients are
    gone, and the loss is the cross-entropy of the logits.

    Parameters
    ----------
    model
        Of weights of one type.
    input_size
        (N, C, H, W).
    optimizer
        ``"sgd"`` (without momentum), ``"momentum"`` or ``"adam"``; ``None`` for a forward pass
        without autograd, in the mode that the model is in.

    Returns
    -------
    Memory
        In bytes.

    Raises
    ------
    ValueError
        If there is no such optimiser, if the model does not take the input, or if a step is asked
        for and the model is `Checkpointed`: a trace does not see what is computed again.
    """
    if optimizer is not None and optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
    if optimizer is not None and any(isinstance(m, Checkpointed) for m in model.modules()):
        raise ValueError(
            "model must keep all maps of a step, for a trace does not see those that Checkpointed "
            "computes again; tracked_memory does"
        )
    traced = trace(model, input_size, training=optimizer is not None)
    if traced.failure is not None or traced.fallback is not None:
        reason = traced.fallback if traced.failure is None else traced.failure.message
        raise ValueError(f"model must take input_size {input_size} on the meta device; {reason}")
    weights = sum(p.bytes for p in traced.parameters.values())
    weights += sum(buffer.nbytes for buffer in model.buffers())
    moments = _forward if optimizer is None else _training
    return max(moments(traced, weights, optimizer), key=lambda moment: moment.total)


def _forward(traced: Trace, weights: int, optimizer: str | None) -> Iterator[Memory]:
    size = _Sizes(traced)
    owner: dict[int, int] = {}  # the operation that made the memory of each one's output
    last_read: dict[int, int] = {}
    squares: dict[int, int] = {}  # of local response normalisation, by the module's call
    for op in traced.ops:
        made = [source for source in op.sources if source >= 0]
        last_read |= dict.fromkeys((owner[source] for source in made), op.index)
        hands_on = op.name.endswith("_") or op.kind in RESHAPES
        owner[op.index] = owner[made[0]] if hands_on and made else op.index
        # torch's local_response_norm names the mean of the squares until the power is taken.
        if traced.calls[op.call].type == "LocalResponseNorm":
            if op.kind is Kind.AVERAGE_POOL:
                squares[op.call] = op.index
            elif op.name == "pow":
                last_read[squares[op.call]] = op.index
    alive: dict[int, int] = {}
    for op in traced.ops:
        alive = {index: held for index, held in alive.items() if last_read[index] >= op.index}
        if owner[op.index] == op.index:
            alive[op.index] = size.of(op.output_shapes[0])
            last_read.setdefault(op.index, op.index)
        indices = sum(prod(shape) * torch.int64.itemsize for shape in op.output_shapes[1:])
        yield Memory(weights, 0, 0, traced.input_bytes, sum(alive.values()) + indices)


def _training(traced: Trace, weights: int, optimizer: str | None) -> Iterator[Memory]:
    chosen = OPTIMIZERS[str(optimizer)]
    size = _Sizes(traced)
    trainable = [p for p in traced.parameters.values() if p.trainable]
    kept = chosen.state * sum(p.bytes for p in trainable)
    logits = sum(map(size.of, traced.output_shapes))
    saved = traced.input_bytes + sum(op.saved_bytes or 0 for op in traced.ops)
    yield Memory(weights, 0, kept, saved + logits, 2 * logits)  # the loss: log-softmax is kept
    gradients = 0
    counted: set[str] = set()
    waiting: dict[int, int] = {}  # gradients of maps that several operations read
    for op in reversed(traced.ops):
        own = op.saved_bytes or 0
        saved -= own
        # Of its own output an operation keeps what is no map: indices, a mask. The map itself is
        # kept for those that come after, whose backward pass is over.
        aside = max(0, own - size.of(op.output_shapes[0]))
        for name in {*op.parameters} - counted:
            gradients += traced.parameters[name].bytes * traced.parameters[name].trainable
        counted.update(op.parameters)
        waiting.pop(op.index, None)
        flowing = size.of(op.output_shapes[0])
        if op.kind not in RESHAPES:  # those hand the same gradient on
            flowing += sum(size.of(shape) for shape in size.of_maps(op))
            flowing += _TEMPORARY.get(op.name, 0) * size.of(op.output_shapes[0])
        yield Memory(weights, gradients, kept, saved + aside, flowing + sum(waiting.values()))
        waiting |= {k: size.of(traced.ops[k].output_shapes[0]) for k in op.sources if k >= 0}
    scratch = chosen.scratch * max((p.bytes for p in trainable), default=0)
    yield Memory(weights, gradients, kept, saved, scratch)


class _Sizes:
    """Bytes of tensors of a trace, in the type of its parameters."""

    def __init__(self, traced: Trace) -> None:
        first = next(iter(traced.parameters.values()), None)
        self._each = first.bytes // first.count if first else torch.finfo().bits // 8

    def of(self, shape: Shape) -> int:
        """Return the bytes of a map."""
        return prod(shape) * self._each

    def of_maps(self, op: Op) -> list[Shape]:
        """Return the shapes of the inputs that other operations made."""
        computed = [source >= 0 for source in op.sources]
        return [shape for shape, made in zip(op.input_shapes, computed, strict=False) if made]


def tracked_memory(model: nn.Module, input_size: tuple[int, ...], optimizer: str | None) -> int:
    """Run what `predicted_memory` predicts, and return the peak that torch's own tracker saw.

    Source: ``torch.distributed._tools.mem_tracker``.

    Parameters
    ----------
    model, input_size, optimizer
        As `predicted_memory` takes them. The weights change in a training step; on the meta device
        nothing is computed.

    Returns
    -------
    int
        In bytes.
    """
    step, held = _step(model, input_size, optimizer)
    return _tracked(step, model, *held)


def _tracked(step: Callable[[], object], *held: Any) -> int:
    """Return the most bytes of tensors during a step, with those of what is held before."""
    from torch.distributed._tools.mem_tracker import MemTracker

    tracker = MemTracker()
    tracker.track_external(*held)
    with tracker:
        step()
    return sum(peak["Total"] for peak in tracker.get_tracker_snapshot("peak").values())


def allocated_memory(
    model: nn.Module, input_size: tuple[int, ...], optimizer: str | None
) -> int | None:
    """Run what `predicted_memory` predicts, and return the peak of a GPU's allocator.

    Returns
    -------
    int or None
        In bytes, with the weights; ``None`` if the model is on no GPU.
    """
    step, _ = _step(model, input_size, optimizer)
    if next(model.parameters()).device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated()


def forward_peak_bytes(network: nn.Module, images: Tensor) -> int:
    """Return what a forward without gradients allocates at most, beside weights and images.

    On a CPU it is the most that tensors take at once; what a library takes within one operation is
    not seen.
    """
    with torch.no_grad():
        if images.device.type == "cuda":
            network(images)  # what is allocated once is there
            before: int = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            network(images)
            peak: int = torch.cuda.max_memory_allocated()
            return peak - before
        held = sum(x.nbytes for x in (images, *network.parameters(), *network.buffers()))
        return _tracked(lambda: network(images), network, images) - held


def _step(
    model: nn.Module, input_size: tuple[int, ...], optimizer: str | None
) -> tuple[Callable[[], None], list[Any]]:
    """Return a step that others have gone before, and what it holds besides the model."""
    first = next(model.parameters())
    images = torch.zeros(input_size, device=first.device, dtype=first.dtype)
    if optimizer is None:

        def forward() -> None:
            with torch.no_grad():
                model(images)

        return forward, [images]
    labels = torch.zeros(input_size[0], device=first.device, dtype=torch.long)
    chosen = OPTIMIZERS[optimizer].make(model.parameters())

    def step() -> None:
        cross_entropy(model(images), labels).backward()
        chosen.step()

    step()
    chosen.zero_grad()
    return step, [images, labels, chosen]


class Checkpointed(nn.Module):
    """A VGG that keeps the map before each stage, and computes the rest again when it needs it.

    Source: T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training Deep Nets with Sublinear Memory
    Cost", https://arxiv.org/abs/1604.06174; ``torch.utils.checkpoint``.

    Parameters
    ----------
    network
        A `vgglab.models.network.VGG`; its weights are shared.
    """

    def __init__(self, network: VGG) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        layers: list[nn.Module] = []
        for layer in network.features:
            layers.append(layer)
            if isinstance(layer, nn.MaxPool2d):
                self.stages.append(nn.Sequential(*layers))
                layers = []
        self.head = nn.Sequential(*layers, network.avgpool, network.flatten, network.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        for stage in self.stages:
            x = checkpoint(stage, x, use_reentrant=False)
        logits: Tensor = self.head(x)
        return logits


def largest(fits: Callable[[int], bool]) -> int:
    """Return the largest number that fits, 0 if 1 does not; what is larger than one, fits no more.

    Parameters
    ----------
    fits
        Tells whether a number, 1 or more, fits.
    """
    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


_SIDE_STEP = 32  # px: between them the last map does not grow


def input_size_of(what: str, number: int) -> tuple[int, int, int, int]:
    """Return a batch of images of 224 px, or one image of ``32 * number`` px."""
    if what == "batch":
        return (number, 3, 224, 224)
    return (1, 3, _SIDE_STEP * number, _SIDE_STEP * number)


def what_fits(settings: Settings, seed: int, checkpoint_path: Path) -> dict[str, Any]:
    """Predict the largest batch or image that fits, then find it by the tracker and on the GPU.

    The tracker runs on the meta device. The GPU's allocator is held to the same limit.
    """
    optimizer, what, limit = settings["optimizer"], settings["what"], settings["gib"] * 2**30
    network = _network(settings, seed, "meta")

    def within(measure: Callable[..., int]) -> int:
        return largest(
            lambda number: measure(network, input_size_of(what, number), optimizer) <= limit
        )

    return {
        "predicted": within(lambda *step: predicted_memory(*step).total),
        "tracked": within(tracked_memory),
        "allocated": _largest_on_gpu(settings, seed, limit) if here().type == "cuda" else None,
    }


def _largest_on_gpu(settings: Settings, seed: int, limit: int) -> int:
    network = _network(settings, seed, "cuda")

    def fits(number: int) -> bool:
        try:
            allocated_memory(
                network, input_size_of(settings["what"], number), settings["optimizer"]
            )
        except torch.OutOfMemoryError:
            return False
        finally:
            network.zero_grad()
            gc.collect()
            torch.cuda.empty_cache()
        return True

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
    try:
        return largest(fits)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _network(settings: Settings, seed: int, device: str) -> VGG:
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg(
            settings["config"], head=settings["head"], width=settings["width"], device=device
        )
    return network.train(settings["optimizer"] is not None)


def memory_of_a_step(settings: Settings, seed: int, checkpoint_path: Path) -> dict[str, Any]:
    """Predict, track and allocate the memory of a step of some VGG.

    What is tracked are tensors on the meta device, where nothing is computed; only what is
    allocated needs a GPU.
    """
    side, optimizer = settings["side"], settings["optimizer"]
    step = (settings["batch_size"], 3, side, side), optimizer
    network = _network(settings, seed, "meta")
    predicted = predicted_memory(network, *step)
    on_gpu = here().type == "cuda"
    return {
        "predicted": {**predicted._asdict(), "total": predicted.total},
        "tracked": tracked_memory(network, *step),
        "allocated": allocated_memory(_network(settings, seed, "cuda"), *step) if on_gpu else None,
    }
