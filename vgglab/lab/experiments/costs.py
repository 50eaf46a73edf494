"""One run of each experiment that times something: settings and a seed in, plain numbers out.

The seed chooses weights and images. A run times all its arms in turn, again and again, so that
whatever else the machine does falls on all of them; the first arm is timed twice in each turn, and
how far those two are apart is what the method cannot tell from nothing.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vgglab.convert import fc_to_conv, fold_adaptive_pool
from vgglab.convert.chain import shared_chains
from vgglab.lab.experiments.reading import AGAIN
from vgglab.lab.experiments.running import Settings
from vgglab.lab.memory import forward_peak_bytes
from vgglab.lab.pretrained import trained_slim_fc_vgg
from vgglab.lab.repairs import REPAIRS, Case, apply_repair, onnx_sizes
from vgglab.lab.timing import here, one_precision, time_call
from vgglab.models.network import VGG, vgg
from vgglab.summary import summary
from vgglab.tracing import random_state_kept

_Layer = TypeVar("_Layer", bound=nn.Module)

_CROP, _STRIDE = 224, 32  # of VGG in pixels: its image, and a cell of its map
_SLIM_SIDES = 28, 56  # in pixels: of the training of the course's small network, and twice that
_VGG_SIDES = _CROP, 400


class _Arm(NamedTuple):
    """A network, and the batches that it takes one after the other."""

    network: nn.Module
    batches: Sequence[Tensor]


def forward_cost(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time the convolutions of a VGG, and its fully connected layers."""
    network = _vgg(settings, seed)
    images = _random(seed, settings["batch_size"], 3, settings["side"], settings["side"])
    features = _random(seed, settings["batch_size"], _first(network, nn.Linear).in_features)
    arms = {
        "fully connected": _Arm(network.classifier, [features]),
        "convolutions": _Arm(network.features, [images]),
    }
    return timed(settings, arms)


def size_cost(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time the convolutions of a VGG at several sizes, and say what a training step keeps."""
    network = _vgg(settings, seed).features
    images = {
        side: _random(seed, settings["batch_size"], 3, side, side) for side in settings["sides"]
    }
    memory = {
        "saved_bytes": {
            f"{side} px": summary(network, tuple(x.shape)).saved_bytes for side, x in images.items()
        },
        "peak_bytes": {f"{side} px": _peak_bytes(network, x) for side, x in images.items()},
    }
    arms = {f"{side} px": _Arm(network, [x]) for side, x in images.items()}
    return {**timed(settings, arms), **memory}


def fold_cost(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time pooling and fc6, both folded into a convolution, and that as a matrix product."""
    network = _vgg(settings, seed)
    cells = settings["side"] // _STRIDE
    fc6 = _first(network, nn.Linear)
    folded = fold_adaptive_pool(network, (1, 3, settings["side"], settings["side"]))
    convolution = _first(folded.get_submodule("classifier"), nn.Conv2d)
    weight = convolution.weight.detach().flatten(1)
    product = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # no weights are drawn
    product.weight, product.bias = nn.Parameter(weight), nn.Parameter(fc6.bias.detach())
    maps = [_random(seed, settings["batch_size"], convolution.in_channels, cells, cells)]
    arms = {
        "pooled": _Arm(nn.Sequential(network.avgpool, nn.Flatten(), fc6), maps),
        "folded": _Arm(nn.Sequential(convolution, nn.Flatten()), maps),
        "folded, as a product": _Arm(nn.Sequential(nn.Flatten(), product), maps),
    }
    return timed(settings, arms)


def dense_cost(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time a VGG as convolutions on whole images, and on the crops that its cells stand for."""
    network = _vgg(settings, seed)
    dense = fc_to_conv(network, (1, 3, _CROP, _CROP))
    images = _random(seed, settings["images"], 3, settings["side"], settings["side"])
    starts = range(0, settings["side"] - _CROP + 1, _STRIDE)
    crops = torch.cat([images[:, :, i : i + _CROP, j : j + _CROP] for i in starts for j in starts])
    arms = {
        "dense": _Arm(dense, [images]),
        "crops": _Arm(network, crops.split(settings["crops_at_once"])),
    }
    return timed(settings, arms)


def repairs_cost(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time a network that was repaired in each way at a larger size, and say what a forward takes.

    ``"peak_bytes"`` is what a forward without gradients allocates at most, ``"saved_bytes"`` what a
    training step keeps for its backward pass; ``"onnx"`` as in a `RepairRow`, for those networks
    that are to be exported.
    """
    slim = settings["network"] == "slim"
    network = trained_slim_fc_vgg().to(here()) if slim else _vgg(settings, seed)
    old, new = _SLIM_SIDES if slim else _VGG_SIDES
    images = _random(seed, settings["batch_size"], 3, new, new)
    case = Case(network, (1, 3, old, old), (1, 3, new, new))
    with shared_chains():
        repaired = {name: apply_repair(name, case, seed) for name in REPAIRS}
    arms = {name: _Arm(made, [images]) for name, made in repaired.items() if made is not None}
    memory = {
        "saved_bytes": {
            name: summary(made, tuple(images.shape)).saved_bytes for name, (made, _) in arms.items()
        },
        "peak_bytes": {name: forward_peak_bytes(made, images) for name, (made, _) in arms.items()},
    }
    exported = arms if settings["network"] in settings["exported"] else {}
    onnx = {name: onnx_sizes(made, case) for name, (made, _) in exported.items()}
    return {**timed(settings, arms), **memory, "onnx": onnx}


def training_cost(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Time single training steps, and ask the trace what a step keeps for its backward pass.

    Times are compared between runs of one seed, which follow each other.
    """
    side, batch = settings["side"], settings["batch_size"]
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, 3, side, side, generator=generator)
    labels = torch.randint(1000, (batch,), generator=generator)
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg(settings["config"], norm=settings["norm"], head=settings["head"])
    device = here()
    saved = summary(network, tuple(images.shape)).saved_bytes
    network, images, labels = network.to(device), images.to(device), labels.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(network(images), labels).backward()
        optimizer.step()

    seconds = [time_call(step) for _ in range(settings["steps"] + 1)]
    return {"seconds": seconds[1:], "saved_bytes": saved}


def timed(settings: Settings, arms: Mapping[str, _Arm]) -> dict[str, Any]:
    """Time the arms in turn, the first of them twice, forth and back.

    Returns
    -------
    dict
        For each arm ``"seconds"``, one number a repetition, for one pass through its batches; and
        ``"mult_adds"``.
    """
    first = next(iter(arms))
    arms = {first: arms[first], f"{first}{AGAIN}": arms[first], **arms}
    work = {
        name: sum(summary(network, tuple(batch.shape)).mult_adds for batch in batches)
        for name, (network, batches) in arms.items()
    }
    dtype = torch.bfloat16 if settings["precision"] == "bfloat16" else torch.float32
    cast = {
        name: _Arm(network.to(dtype), [batch.to(dtype) for batch in batches])
        for name, (network, batches) in arms.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in cast}
    with one_precision(settings["precision"]), torch.no_grad():
        for network, batches in cast.values():
            for _ in range(settings["warmup"]):
                network(batches[0])
        for repetition in range(settings["repetitions"]):
            for name in reversed(cast) if repetition % 2 else cast:
                seconds[name].append(run_seconds(cast[name], settings["passes"]))
    return {"seconds": seconds, "mult_adds": work}


def run_seconds(arm: _Arm, passes: int) -> float:
    """Return the time of one pass, as the mean of several between two looks at the clock."""

    def call() -> None:
        for _ in range(passes):
            for batch in arm.batches:
                arm.network(batch)

    return time_call(call) / passes


def _peak_bytes(network: nn.Module, images: Tensor) -> int | None:
    """Return what a forward and a backward pass allocate at most, on a GPU."""
    if images.device.type != "cuda":
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    network(images).sum().backward()
    peak = torch.cuda.max_memory_allocated() - before
    network.zero_grad()
    return peak


def _vgg(settings: Settings, seed: int) -> VGG:
    """Return VGG-16, drawn on the CPU so that a seed means the same weights everywhere."""
    return deepcopy(_drawn(settings["head"], settings["width"], seed)).to(here())


@lru_cache(maxsize=1)  # the runs of a seed follow each other, and drawing takes longer than timing
def _drawn(head: str, width: float, seed: int) -> VGG:
    with random_state_kept():
        torch.manual_seed(seed)
        return vgg("D", head=head, width=width).eval()


def _first(network: nn.Module, kind: type[_Layer]) -> _Layer:
    """Return the first layer of some type."""
    return next(module for module in network.modules() if isinstance(module, kind))


def _random(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(here())
