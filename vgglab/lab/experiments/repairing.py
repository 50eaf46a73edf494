"""One run of the experiment on repairs: settings and a seed in, plain numbers out.

The seed chooses the pictures, where they lie in a larger scene, and the weights of fresh layers.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import center_crop, resize

from vgglab.lab.data import ImageSet, load_images
from vgglab.lab.experiments.running import Settings
from vgglab.lab.experiments.trials import Images
from vgglab.lab.pretrained import trained_slim_fc_vgg
from vgglab.lab.repairs import Case, apply_repair
from vgglab.lab.small_networks import slim_fc_vgg
from vgglab.lab.timing import here
from vgglab.lab.training import Recipe, fit, normalise
from vgglab.models.network import VGG
from vgglab.tracing import random_state_kept

SCENES = ("enlarged", "larger")
"""Pictures at another size: their objects grow with them. Pictures as they are in a larger scene:
their objects do not. In a scene that is smaller than the picture, its middle is seen."""

_BATCH = 50


def repair_and_tune(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Repair a trained network for images of several sides, and train it for a while on those.

    All pictures are new to the network: they are of the test split, which is divided into those to
    train on, those to choose a learning rate by, and those to test with. ``"before"`` and
    ``"after"`` are accuracies on the last; ``"rate"`` is the chosen one, 0 if none was better than
    not to train; ``"valid"`` has the accuracies that it was chosen by. Sides for which the repair
    does not apply have ``None``. ``"as_trained"`` is the accuracy of the network as it is on the
    same pictures at the side of its training.
    """
    network, base = _network(settings)
    front, head = halves(network)
    images = scenes(settings, base, base, seed)
    as_trained = accuracy(deepcopy(head), _known(front, images, normalise)[-1], images.test.labels)
    found: dict[str, Any] = {"before": {}, "after": {}, "rate": {}, "valid": {}}
    for side in settings["sides"]:
        case = Case(network, (1, 3, base, base), (1, 3, side, side))
        images = scenes(settings, side, base, seed)
        repaired = _repaired(settings["repair"], case, seed)
        measured = None if repaired is None else accuracies(repaired, images, settings, seed)
        for name in found:
            found[name][str(side)] = measured and measured[name]
    return {"as_trained": as_trained, **found}


_repaired = lru_cache(maxsize=64)(apply_repair)  # all repairs of a seed, for each kind of scene


def accuracies(
    repaired: nn.Module,
    images: Images,
    settings: Settings,
    seed: int,
    scale: Callable[[Tensor], Tensor] = normalise,
) -> dict[str, Any]:
    """Train a repaired network on some of the images, and return how often it is right on others.

    Parameters
    ----------
    repaired
        The network; it is not changed.
    images
        To train on, to choose a rate by, to test with, at the new side.
    settings
        ``"lr"``, the rates to choose from; ``"epochs"``; ``"tuned"``, ``"head"`` or ``"all"``.
    seed
        Of the order of the images.
    scale
        Makes of ``uint8`` images what the network was trained on.

    Returns
    -------
    dict
        ``"before"``, ``"after"``, ``"rate"`` and ``"valid"``, as in `repair_and_tune`.
    """
    front: nn.Module = nn.Identity()
    head = deepcopy(repaired)
    if settings["tuned"] == "head":
        front, head = halves(head)
    train, valid, test = (
        (maps, part.labels) for maps, part in zip(_known(front, images, scale), images, strict=True)
    )
    heads = {0.0: head} | {
        rate: tune(head, *train, rate=rate, epochs=settings["epochs"], seed=seed)
        for rate in settings["lr"]
    }
    shares = {rate: accuracy(tuned, *valid) for rate, tuned in heads.items()}
    best = max(shares, key=lambda rate: shares[rate])
    return {
        "before": accuracy(head, *test),
        "after": accuracy(heads[best], *test),
        "rate": best,
        "valid": {str(rate): share for rate, share in shares.items()},
    }


@lru_cache(maxsize=1)
def _trained(held: tuple[tuple[str, Any], ...]) -> tuple[VGG, int]:
    """Train the network of an experiment once for all runs of a process."""
    settings = dict(held)
    base = 7 * 2 ** settings["stages"]
    images = _pictures(settings["data"], "train", base, settings["network_images"])
    images = given(images, "enlarged", base, base, torch.Generator())
    with random_state_kept():
        torch.manual_seed(0)
        network = slim_fc_vgg(
            len(images.classes),
            width=settings["width"],
            stages=settings["stages"],
            hidden=settings["hidden"],
        )
        recipe = Recipe(
            settings["network_epochs"],
            batch_size=settings["network_batch"],
            lr=settings["network_lr"],
            warmup=0.5,
            channels_last=True,
        )
        fit(network, images, recipe)
    return network.eval(), base


def _network(settings: Settings) -> tuple[VGG, int]:
    """Return the network that is repaired, and the side of its training."""
    if settings["network"] == "shipped":
        return trained_slim_fc_vgg(), 28
    names = ("data", "stages", "width", "hidden", *(f"network_{n}" for n in _NETWORK))
    return _trained(tuple((name, settings[name]) for name in names))


_NETWORK = ("images", "epochs", "batch", "lr")


@lru_cache(maxsize=4)
def _pictures(data: str, split: str, base: int, count: int | None) -> ImageSet:
    """Return pictures as they are; figures are drawn at twice the side of the training."""
    if data == "shapes":
        return load_images(data, split, size=2 * base, count=count)
    images = load_images(data, split)
    return images if count in (None, len(images)) else images.take(count or 0)


@lru_cache(maxsize=8)
def _scenes(
    data: str, counts: tuple[int, int, int], scene: str, side: int, base: int, seed: int
) -> Images:
    # Of figures twice as many as are needed, for all classes must have enough.
    whole = _pictures(data, "test", base, 2 * sum(counts) if data == "shapes" else None)
    test, rest = whole.divide(counts[2], seed)
    valid, rest = rest.divide(counts[1], seed)
    parts = Images(rest.take(counts[0], seed), valid, test)
    generator = torch.Generator().manual_seed(seed)
    return Images(*(given(part, scene, side, base, generator) for part in parts))


def scenes(settings: Settings, side: int, base: int, seed: int) -> Images:
    """Return what to train on, to choose by and to test with, at a side.

    ``"scene"`` is one of `SCENES`. Around a picture in a larger scene lies another one with its
    phases scrambled: it has the colours and the contrasts of a photograph, at each scale, and shows
    nothing. The picture lies anywhere in it.
    """
    names = ("train_images", "valid_images", "test_images")
    counts = tuple(settings[name] for name in names)
    return _scenes(settings["data"], counts, settings["scene"], side, base, seed)


def given(part: ImageSet, scene: str, side: int, base: int, generator: torch.Generator) -> ImageSet:
    """Return pictures as one of `SCENES` has them, at a side; `base` is that of the training."""
    if scene == "enlarged":
        return replace(part, images=resize(part.images, [side, side], antialias=True))
    pictures = resize(part.images, [base, base], antialias=True)
    if side <= base:
        return replace(part, images=center_crop(pictures, [side, side]))
    order = torch.randperm(len(part), generator=generator)
    canvas = scrambled(resize(part.images[order], [side, side], antialias=True), generator)
    places = torch.randint(side - base + 1, (len(part), 2), generator=generator).tolist()
    for ground, picture, (top, left) in zip(canvas, pictures, places, strict=True):
        ground[:, top : top + base, left : left + base] = picture
    return replace(part, images=canvas)


def scrambled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (N, C, H, W) with random phases: the same spectrum, and nothing to be seen.

    The channels of an image get the same shifts of phase, so that its colours stay together.
    """
    noise = torch.rand(len(images), 1, *images.shape[2:], generator=generator)
    phases = torch.exp(1j * torch.fft.rfft2(noise).angle())
    phases[:, :, 0, 0] = 1.0  # the mean stays
    mixed = torch.fft.irfft2(torch.fft.rfft2(images.float()) * phases, s=images.shape[2:])
    result: Tensor = mixed.round().clamp(0, 255).to(torch.uint8)
    return result


def halves(repaired: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut a repaired network after its ``features``: what stays as it is, and what is trained."""
    parts = list(_in_a_row(repaired))
    cut = next(place for place, (name, _) in enumerate(parts) if name == "features") + 1
    modules = [module for _, module in parts]
    return nn.Sequential(*modules[:cut]), nn.Sequential(*modules[cut:])


def _in_a_row(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if name != "features" and any(part == "features" for part, _ in child.named_children()):
            yield from _in_a_row(child)
        else:
            yield name, child


def _mixed(device: torch.device) -> torch.autocast:
    """Return bf16 autocast on a GPU, as in `vgglab.lab.training`; nothing elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _maps(front: nn.Module, images: ImageSet, scale: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what comes out of `front`: a row for each image, with one map or with several."""
    front = deepcopy(front).to(here()).eval()
    with torch.no_grad(), _mixed(here()):
        parts = [front(scale(batch.to(here()))) for batch in images.images.split(_BATCH)]
    maps = torch.cat(parts) if parts else torch.empty(0)
    return maps if len(maps) == len(images) else maps.unflatten(0, (len(images), -1))


_KNOWN: dict[tuple[int, str], tuple[Images, list[Tensor]]] = {}
"""Maps of the last images that were asked for, which most repairs read alike."""
_MOST_KNOWN = 24  # sides, times the ways to come to a map


def _known(front: nn.Module, images: Images, scale: Callable[[Tensor], Tensor]) -> list[Tensor]:
    key = id(images), f"{front} {next(front.parameters(), torch.empty(0)).flatten()[:1]}"
    if key not in _KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        # The images are kept, so that no others get their identity.
        _KNOWN[key] = images, [_maps(front, part, scale) for part in images]
    return _KNOWN[key][1]


def _scores(head: nn.Module, maps: Tensor) -> Tensor:
    scores: Tensor = head(maps.flatten(0, 1) if maps.dim() == 5 else maps)
    return scores


def tune(
    head: nn.Module, maps: Tensor, labels: Tensor, *, rate: float, epochs: int, seed: int
) -> nn.Module:
    """Return a copy of `head`, trained by SGD whose rate falls to 0 along a half cosine.

    It stays in eval mode: BatchNorm keeps its statistics.
    """
    head = deepcopy(head).to(here()).eval().requires_grad_()
    optimizer = torch.optim.SGD(head.parameters(), lr=rate, momentum=0.9, nesterov=True)
    steps = epochs * -(-len(labels) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=generator).split(_BATCH):
            wanted = labels[batch].to(maps.device)
            with _mixed(maps.device):
                loss = F.cross_entropy(_scores(head, maps[batch.to(maps.device)]), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head


def accuracy(head: nn.Module, maps: Tensor, labels: Tensor) -> float:
    """Return the share of images whose largest score is the right one."""
    head = head.to(maps.device).eval()
    with torch.no_grad(), _mixed(maps.device):
        found = torch.cat([_scores(head, part).argmax(1) for part in maps.split(250)])
    return (found.cpu() == labels).double().mean().item()
