"""One run of each experiment: settings and a seed in, plain numbers out.

The seed chooses the weights, the order of the images, and which images are drawn.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

from vgglab.diagnose import diagnose
from vgglab.lab.data import ImageSet, cifar10, digits, shapes
from vgglab.lab.experiments.running import Settings
from vgglab.lab.maps import class_activation_map, upsample
from vgglab.lab.readout import readout
from vgglab.lab.small_networks import blur_pools, slim_vgg
from vgglab.lab.stacked_networks import stacked_network
from vgglab.lab.training import DivergenceError, Epoch, Recipe, evaluate, fit, normalise
from vgglab.models.network import VGG
from vgglab.receptive_field.effective import effective_receptive_field
from vgglab.summary import summary
from vgglab.tracing import random_state_kept

# Scenes to choose by and to test with are drawn with other seeds than those to train on.
_VALID_SEED, _TEST_SEED = 500_000, 1_000_000
_BATCH_SIZE = 64
_DROPOUT = 0.5  # of a head called ``NAME+dropout``: VGG's own (section 3.1)


class Images(NamedTuple):
    """What to train on, what to choose a learning rate by, and what to test on."""

    train: ImageSet
    valid: ImageSet
    test: ImageSet


def compare_stacks(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train a network whose stacks are of some kind, and say what it is made of."""
    images = draw_images(settings, seed)
    stack, channels, norm = settings["network"].split("/")
    with random_state_kept():
        torch.manual_seed(seed)
        network = stacked_network(
            stack,
            channels=int(channels),
            norm=norm,
            num_classes=len(images.train.classes),
            in_channels=images.train.images.shape[1],
        )
    size = summary(network, (1, *images.train.images.shape[1:]))
    result = train(network, settings, seed, checkpoint, images)
    return {**result, "parameters": size.total_params, "mult_adds": size.mult_adds}


def widen_field(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Measure how much of the last map's field counts, before and after training.

    Both figures are shares of the field's side: that of a square as large as what counts, and the
    standard deviation. The images are mirrored beyond their border, so that the field of the middle
    cell fits in.
    """
    images = draw_images(settings, seed)
    network = _slim({**settings, "head": "gap"}, seed, images.train)
    half = settings["side"] // 2
    seen = pad(normalise(images.test.images[: settings["seen_images"]]), [half] * 4, "reflect")

    def measured() -> dict[str, Any]:
        field = effective_receptive_field(network, seen, "features")
        extent = field.box.bottom - field.box.top
        return {"share": field.share, "spread": sum(field.spread) / 2 / extent}

    before = measured()
    result = train(network, settings, seed, checkpoint, images)
    return {**result, "before": before, "after": measured()}


def compare_heads(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train one backbone with some head."""
    images = draw_images(settings, seed)
    network = _slim(settings, seed, images.train)
    result = train(network, settings, seed, checkpoint, images)
    if "keep_answers" in settings:
        right = _answers(network, images.test.images) == images.test.labels
        result["answers"] = right.int().tolist()
    return {**result, "parameters": sum(p.numel() for p in network.parameters())}


def _answers(network: nn.Module, images: Tensor) -> Tensor:
    """Return the class of the largest logit for each of the images (N, C, H, W)."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(normalise(part)).argmax(1) for part in images.split(250)])


def move_objects(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train with figures in the left half and test in both."""
    images = draw_images(settings, seed, position="left")
    network = _slim(settings, seed, images.train)
    result = train(network, settings, seed, checkpoint, images)
    right = _shapes(settings, _TEST_SEED + seed, settings["test_images"], position="right")
    return {**result, "accuracy_right": evaluate(network, right).accuracy}


def resize_images(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train at one size and test the same scenes at others, as they are and resized back."""
    images = draw_images(settings, seed)
    network = _slim(settings, seed, images.train)
    result = train(network, settings, seed, checkpoint, images)
    as_they_are: dict[str, float | None] = {}
    resized: dict[str, float] = {}
    for side in settings["sides"]:
        others = shapes(settings["test_images"], side, seed=_TEST_SEED + seed)
        fits = diagnose(network, (1, *others.images.shape[1:])).ok
        as_they_are[str(side)] = evaluate(network, others).accuracy if fits else None
        back = resize(others.images, [settings["side"]] * 2, antialias=True)
        resized[str(side)] = evaluate(network, replace(others, images=back)).accuracy
    return {**result, "accuracy_by_side": as_they_are, "accuracy_resized": resized}


def shift_objects(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train with GAP, and see whether the answer stays the same while the scene moves on.

    The scenes to test with are drawn larger, with a figure of the size that was learnt in the left
    half. They are moved to the right, pixel by pixel, and what leaves them there comes in on the
    left; for moves of up to half of their side that is no part of the figure.
    """
    images = draw_images(settings, seed)
    network = _slim({**settings, "head": "gap"}, seed, images.train)
    if settings["blur"]:
        blur_pools(network.features)
    result = train(network, settings, seed, checkpoint, images)
    test = shapes(
        settings["test_images"],
        settings["read_side"],
        seed=_TEST_SEED + seed,
        scale=_SMALL,
        position="left",
    )
    answers = [_answers(network, test.images.roll(by, dims=-1)) for by in settings["shifts"]]
    return {
        **result,
        "same_answer": [_share(found == answers[0]) for found in answers],
        "right_answer": [_share(found == test.labels) for found in answers],
    }


def _share(found: Tensor) -> float:
    return found.float().mean().item()


_SMALL = (0.07, 0.1)  # in scenes of twice the side the size of figures that were learnt
_TO_READ: Mapping[str, dict[str, Any]] = {
    "position": {"figures": 1},
    "count": {"figures": (1, 4)},
    "layout": {"figures": 2, "kinds": ("disk", "cross")},
}


def read_features(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Read position, count and layout from the means of a map's channels and from its cells.

    The network, with GAP, has learnt the kind of single figures, or nothing. Position is that of
    one figure from left to right; count, one to four; layout, whether the disk or the cross is on
    the left. The scenes are drawn larger, so that small figures have the size that was learnt.
    What reads them is linear.
    """
    images = draw_images(settings, seed)
    network = _slim({**settings, "head": "gap"}, seed, images.train)
    result: dict[str, Any] = {}
    if settings["trained"]:
        result = train(network, settings, seed, checkpoint, images)
    network.eval()
    drawn = {
        name: shapes(
            settings["test_images"],
            settings["read_side"],
            seed=_TEST_SEED + seed,
            scale=_SMALL,
            **options,
        )
        for name, options in _TO_READ.items()
    }
    targets = {
        "position": drawn["position"].notes["centres"][:, 0, 0],
        "count": (drawn["count"].notes["kinds"] >= 0).sum(1).float(),
        "layout": _disk_is_left(drawn["layout"]),
    }
    for name, scenes in drawn.items():
        maps = _maps(network, scenes)
        result[name] = {
            "gap": readout(maps.mean((2, 3)), targets[name], seed=seed),
            "flatten": readout(maps.flatten(1), targets[name], seed=seed),
        }
    return result


def read_position(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Read the position of one figure from the means of the channels of an untrained network.

    Its convolutions go on at the border of the image with zeros, with its mirror image, or with its
    other side: then there is no border.
    """
    scenes = shapes(
        settings["test_images"],
        settings["read_side"],
        seed=_TEST_SEED + seed,
        scale=_SMALL,
        **_TO_READ["position"],
    )
    network = _slim({**settings, "head": "gap"}, seed, scenes).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = settings["padding_mode"]
    across = scenes.notes["centres"][:, 0, 0]
    return {"position": readout(_maps(network, scenes).mean((2, 3)), across, seed=seed)}


def point_at_objects(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train with GAP, and see whether the map of the right class is brightest on the figure.

    Beside it the share of images in which the middle is on the figure, and the mean share of the
    image that the figure covers: what a place drawn at random would give. The scenes are drawn
    larger, so that small figures have the size that was learnt.
    """
    images = draw_images(settings, seed)
    network = _slim({**settings, "head": "gap"}, seed, images.train)
    result = train(network, settings, seed, checkpoint, images)
    side = settings["read_side"]
    test = shapes(settings["test_images"], side, seed=_TEST_SEED + seed, scale=_SMALL)
    maps = torch.cat(
        [
            class_activation_map(network, normalise(batch)).of(labels)
            for batch, labels in zip(test.images.split(250), test.labels.split(250), strict=True)
        ]
    )
    brightest = upsample(maps, (side, side)).flatten(1).argmax(1)
    masks = (test.notes["masks"] >= 0).flatten(1).float()  # (N, side * side)
    middle = side // 2 * side + side // 2
    return {
        **result,
        "map_on_figure": masks[torch.arange(len(masks)), brightest].mean().item(),
        "middle_on_figure": masks[:, middle].mean().item(),
        "area_of_figure": masks.mean().item(),
    }


def _disk_is_left(images: ImageSet) -> Tensor:
    kinds, x = images.notes["kinds"], images.notes["centres"][:, :, 0]
    disk_first = kinds[:, 0] == images.classes.index("disk")
    return ((x[:, 0] < x[:, 1]) == disk_first).long()


def _maps(network: VGG, images: ImageSet) -> Tensor:
    """Return the last feature maps (N, C, H, W)."""
    with torch.no_grad():
        parts = [network.features(normalise(batch)) for batch in images.images.split(250)]
    return torch.cat(parts)


def draw_images(settings: Settings, seed: int, **options: Any) -> Images:
    """Return the images of a run: scenes are drawn, with `options`, and real ones chosen."""
    counts = settings["train_images"], settings["valid_images"], settings["test_images"]
    if settings["data"] == "shapes":
        seeds = seed, _VALID_SEED + seed, _TEST_SEED + seed
        return Images(
            *(
                _shapes(settings, number, count, **options)
                for number, count in zip(seeds, counts, strict=True)
            )
        )
    train, test = (_real(settings["data"], split, settings["side"]) for split in ("train", "test"))
    valid, rest = train.divide(counts[1], seed)
    if counts[2] < len(test):
        test = test.take(counts[2], seed)
    return Images(rest.take(counts[0], seed), valid, test)


def _shapes(settings: Settings, seed: int, count: int, **options: Any) -> ImageSet:
    return shapes(count, settings["side"], seed=seed, **options)


@lru_cache(maxsize=2)
def _real(name: str, split: str, side: int) -> ImageSet:
    """Load a set of real images once for all runs of a process."""
    return digits(split, side) if name == "digits" else cifar10(split, side)


def _slim(settings: Settings, seed: int, images: ImageSet) -> VGG:
    head, _, dropout = settings["head"].partition("+")
    with random_state_kept():
        torch.manual_seed(seed)
        return slim_vgg(
            head,
            width=settings["width"],
            side=settings["side"],
            num_classes=len(images.classes),
            in_channels=images.images.shape[1],
            dropout=_DROPOUT if dropout else 0.0,
        )


def train(
    network: nn.Module, settings: Settings, seed: int, checkpoint: Path, images: Images
) -> dict[str, Any]:
    """Train, and say how it went; that the loss became infinite is a result too."""
    recipe = Recipe(
        epochs=settings["epochs"],
        batch_size=settings.get("batch_size", _BATCH_SIZE),
        lr=settings["lr"],
        warmup=settings["warmup"],
        augment=settings.get("augment", False),
        channels_last=settings.get("channels_last", False),
        seed=seed,
    )
    epochs: list[Epoch] = []
    diverged = False
    try:
        epochs = fit(
            network,
            images.train,
            recipe,
            valid=images.valid,
            checkpoint=checkpoint,
            on_epoch=epochs.append,
        )
    except DivergenceError:
        diverged = True
    if torch.cuda.is_available():
        network.cuda()
    accuracy = evaluate(network, images.test).accuracy
    network.cpu()
    return {
        "accuracy": accuracy,
        "diverged": diverged,
        "train_loss": [epoch.train_loss for epoch in epochs],
        "valid_accuracy": [epoch.valid.accuracy for epoch in epochs if epoch.valid],
        "seconds": sum(epoch.seconds for epoch in epochs),
    }
