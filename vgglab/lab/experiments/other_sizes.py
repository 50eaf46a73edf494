"""One run of each experiment with networks that get more, or less, than they were made for.

The seed chooses weights, the order of the images, and which images are drawn.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgglab.arguments import needs
from vgglab.compare.reference import relative_l2
from vgglab.convert import fc_to_conv
from vgglab.lab.activations import activation_statistics
from vgglab.lab.data import ImageSet, digits
from vgglab.lab.experiments.running import Settings
from vgglab.lab.training import Recipe, fit, normalise
from vgglab.models.network import vgg
from vgglab.shapes import input_sizes
from vgglab.tracing import random_state_kept, trace

_SIDE = 7  # of the map for which a network's fully connected layers are made
_FOLDS = 5


def signal_scale(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Measure an untrained VGG: how large outputs and gradients are, convolution by convolution.

    All figures are decimal logarithms: of the standard deviation of the output, and of the root
    mean square of the gradient there and of the gradient of the weights.
    """
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg(settings["config"], head="gap", width=settings["width"]).eval()
        for module in network.features:
            if isinstance(module, nn.Conv2d) and settings["std"] != "He":
                nn.init.normal_(module.weight, std=settings["std"])
        images = torch.randn(settings["images"], 3, settings["side"], settings["side"])
    labels = torch.arange(len(images))
    rows = activation_statistics(
        network, images, kinds=nn.Conv2d, loss=lambda logits: F.cross_entropy(logits, labels)
    )
    sizes = [m.weight.numel() for m in network.features if isinstance(m, nn.Conv2d)]
    found: dict[str, list[float]] = {"output": [], "gradient": [], "weight_gradient": []}
    for row, size in zip(rows, sizes, strict=True):
        figures = row.std, row.gradient_rms or 0.0, (row.weight_gradient_norm or 0.0) / size**0.5
        for name, figure in zip(found, figures, strict=True):
            found[name].append(torch.tensor(figure).log10().item())
    return found


def force_shapes(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train on digits of 56 px, and test in ways of giving them that all run without an error."""
    train, test = _digits(settings, seed)
    network = _trained(settings, seed, checkpoint, train, 56, channels=(4, 8, 16))
    features, fc = network[:-2], network[-1]
    accuracy = {}
    batches = _chosen(test, torch.arange(len(test) // 49 * 49))  # for others the view fails
    for way, (give, lay_out) in _WAYS.items():
        right = 0
        for images, labels in zip(batches.images.split(49), batches.labels.split(49), strict=True):
            with torch.no_grad():
                rows = lay_out(features(give(normalise(images))))
                right += int((fc(rows).argmax(1) == labels).sum())
        accuracy[way] = right / len(batches)
    return {"accuracy": accuracy}


def _sized(height: int, width: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, size=(height, width), mode="bilinear")


def _with_rim(x: Tensor) -> Tensor:
    """Return digits as large as in training, in images that are 7 px larger."""
    return F.pad(_sized(56, 56)(x), (0, 7, 0, 7), value=x.min().item())


def _pooled(maps: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(maps, _SIDE).flatten(1)


def _regrouped(maps: Tensor) -> Tensor:
    """Return what view(-1, features) makes of a map that is too large: rows of several images."""
    return maps.view(-1, maps.shape[1] * _SIDE**2)[: len(maps)]


def _flattened(maps: Tensor) -> Tensor:
    return maps.flatten(1)


# How the pictures come, and how the maps are laid out for the fully connected layer.
_WAYS: Mapping[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "56 px, as trained": (_sized(56, 56), _flattened),
    "63 px, digit enlarged": (_sized(63, 63), _flattened),
    "63 px, digit of 56 px": (_with_rim, _flattened),
    "96 px, pooled to 7×7": (_sized(96, 96), _pooled),
    "96 px, view(-1, ...)": (_sized(96, 96), _regrouped),
    "8 px, pooled to 7×7": (_sized(8, 8), _pooled),
    "8×392 px, a strip": (_sized(8, 392), _flattened),
}


def replace_pool(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train on digits of 28 px, and give the last max pooling company or take its place.

    ``"moved"`` is the relative L2 distance of the logits at 28 px from those as trained.
    """
    train, test = _digits(settings, seed)
    network = _trained(settings, seed, checkpoint, train, 28, channels=(8, 32))
    features, fc = network[:-3], network[-1]
    ends = {
        "average after": nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(_SIDE)),
        "average instead": nn.AdaptiveAvgPool2d(_SIDE),
        "maximum instead": nn.AdaptiveMaxPool2d(_SIDE),
    }
    accuracy: dict[str, dict[str, float]] = {end: {} for end in ends}
    moved = {}
    for side in settings["sides"]:
        with torch.no_grad():
            maps = features(_sized(side, side)(normalise(test.images)))
            logits = {end: fc(pool(maps).flatten(1)) for end, pool in ends.items()}
        for end, scores in logits.items():
            right = (scores.argmax(1) == test.labels).double()
            accuracy[end][str(side)] = right.mean().item()
            if side == 28:
                moved[end] = relative_l2(scores, logits["average after"])
    return {"accuracy": accuracy, "moved": moved}


def compare_cells(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Compare each cell of a dense evaluation with the crop that it stands for.

    The network has random weights, and convolutions with padding or without: then an image has to
    be larger to end at 7x7. ``"step"`` is how far the scores of neighbouring crops are apart.
    """
    with random_state_kept():
        torch.manual_seed(seed)
        network = vgg(settings["config"], head="fc-fixed", width=settings["width"]).eval()
        photo = torch.cat(_photos(), dim=2)  # (1, 3, 854, 640)
        side, n = 224, settings["cells"]
        if not settings["padding"]:
            for module in network.features:
                if isinstance(module, nn.Conv2d):
                    module.padding = (0, 0)
            windows = trace(network.features, (1, 3, 512, 512)).windows(0)
            side = input_sizes(_SIDE, windows)[0]
        whole = side + 32 * (n - 1)
        top, left = (int(torch.randint(d - whole + 1, ())) for d in photo.shape[2:])
    image = photo[:, :, top : top + whole, left : left + whole]
    crops = image.unfold(2, side, 32).unfold(3, side, 32)[0].permute(1, 2, 0, 3, 4)
    with torch.no_grad():
        cells = fc_to_conv(network, (1, 3, side, side))(image)[0]  # (classes, n, n)
        of_crops = torch.stack([network(row) for row in crops]).permute(2, 0, 1)
    step = _distances(of_crops[:, :, 1:], of_crops[:, :, :-1])
    return {
        "distances": _distances(cells, of_crops).tolist(),
        "step": step.mean().item(),
        "same_class": int((cells.argmax(0) == of_crops.argmax(0)).sum()),
    }


def answer_patches(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train a network to tell two photographs apart by patches, and let it slide over both.

    It has seen the right halves; the left halves make a chequerboard. A patch that lies in one
    piece of it has a right answer.
    """
    side, stride = 56, 16
    photos = [photo.mean(dim=1, keepdim=True) for photo in _photos()]  # (1, 1, 427, 640)
    with random_state_kept():
        torch.manual_seed(seed)
        network = _plain((8, 16, 32), 1, nn.Linear(32 * _SIDE**2, 32), nn.ReLU(), nn.Linear(32, 2))
        seen, labels = _patches(photos, settings["train_images"], side)
    board = _chequerboard(photos)  # (1, 1, 416, 640)
    patches = board[0, 0].unfold(0, side, stride).unfold(1, side, stride)  # (23, 37, 56, 56)

    def sliding() -> nn.Module:
        return fc_to_conv(network, (1, 1, side, side))

    def dense(slider: nn.Module) -> Tensor:
        with torch.no_grad():
            scores: Tensor = slider(board)[0, :, ::2, ::2]  # (2, 23, 37)
        return scores

    def by_patch() -> Tensor:
        with torch.no_grad():
            return torch.stack([network(row[:, None]) for row in patches]).permute(2, 0, 1)

    untrained = relative_l2(dense(sliding()), by_patch())
    _learn(network, seen, labels, settings, seed)
    slider = sliding()
    from_map, from_patches = dense(slider), by_patch()

    kernel = next(
        m
        for m in slider.modules()
        if isinstance(m, nn.Conv2d) and m.stride == (1, 1) and m.kernel_size == (_SIDE, _SIDE)
    )
    rows = kernel.weight.detach().flatten(1)  # (32, 1568), as in the linear layer
    kernel.weight = nn.Parameter(rows.view(32, _SIDE, _SIDE, 32).permute(0, 3, 1, 2))
    means = seen.mean(dim=(1, 2, 3))
    threshold = (means[labels == 0].mean() + means[labels == 1].mean()) / 2
    answers = {
        "patches": from_patches.argmax(0),
        "dense": from_map.argmax(0),
        "dense, wrong order of weights": dense(slider).argmax(0),
        "brightness alone": (patches.mean(dim=(2, 3)) < threshold).long(),
    }
    truth, one_piece = _truth(board, side, stride)
    return {
        "moved": {"untrained": untrained, "trained": relative_l2(from_map, from_patches)},
        "same_answer": (answers["dense"] == answers["patches"]).double().mean().item(),
        "right": {
            name: (answer == truth)[one_piece].double().mean().item()
            for name, answer in answers.items()
        },
    }


def _plain(channels: tuple[int, ...], in_channels: int, *head: nn.Module) -> nn.Sequential:
    """Return blocks of a 3x3 convolution, ReLU and max pooling, then flatten and the head."""
    layers: list[nn.Module] = []
    for out_channels in channels:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        layers += [conv, nn.ReLU(), nn.MaxPool2d(2)]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.Flatten(), *head)


def _trained(
    settings: Settings,
    seed: int,
    checkpoint: Path,
    train: ImageSet,
    side: int,
    *,
    channels: tuple[int, ...],
) -> nn.Sequential:
    with random_state_kept():
        torch.manual_seed(seed)
        fc = nn.Linear(channels[-1] * _SIDE**2, len(train.classes))
        network = _plain(channels, 1, fc)
    enlarged = _sized(side, side)(train.images.float()).round().to(torch.uint8)
    recipe = Recipe(settings["epochs"], batch_size=25, lr=settings["lr"], seed=seed, device="cpu")
    fit(network, replace(train, images=enlarged), recipe, checkpoint=checkpoint)
    return network.eval()


def _digits(settings: Settings, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return digits of 8x8 px to train on and to test on; five seeds in a row test on others."""
    parts = digits("train"), digits("test")
    whole = replace(
        parts[0],
        images=torch.cat([part.images for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
    )
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    fold = torch.arange(len(whole)) % _FOLDS == seed % _FOLDS
    train, test = order[~fold], order[fold]
    picked = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))]
    return _chosen(whole, picked[: settings["train_images"]]), _chosen(whole, test)


def _chosen(images: ImageSet, places: Tensor) -> ImageSet:
    return replace(images, images=images.images[places], labels=images.labels[places])


def _learn(
    network: nn.Module, patches: Tensor, labels: Tensor, settings: Settings, seed: int
) -> None:
    """Train on patches of floating-point numbers."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings["lr"])
    for _ in range(settings["epochs"]):
        for batch in torch.randperm(len(patches), generator=order).split(20):
            loss = F.cross_entropy(network(patches[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@cache
def _photos() -> tuple[Tensor, ...]:
    """Return the two photographs of scikit-learn, (1, 3, 427, 640) each, around 0."""
    with needs("train"):
        from sklearn.datasets import load_sample_images
    photos = load_sample_images().images
    return tuple((torch.tensor(p).permute(2, 0, 1) / 255 - 0.5)[None] / 0.25 for p in photos)


def _patches(photos: list[Tensor], number: int, side: int) -> tuple[Tensor, Tensor]:
    """Cut patches from the right halves; return them, and of which photograph each is."""
    patches, labels = [], []
    for label, photo in enumerate(photos):
        height, width = photo.shape[2:]
        for _ in range(number):
            top = int(torch.randint(height - side + 1, ()))
            left = width // 2 + int(torch.randint(width // 2 - side + 1, ()))
            patches.append(photo[0, :, top : top + side, left : left + side])
            labels.append(label)
    return torch.stack(patches), torch.tensor(labels)


def _chequerboard(photos: list[Tensor]) -> Tensor:
    first, second = (photo[:, :, :416, :320] for photo in photos)
    top = torch.cat([first[:, :, :208], second[:, :, :208]], dim=3)
    bottom = torch.cat([second[:, :, 208:], first[:, :, 208:]], dim=3)
    return torch.cat([top, bottom], dim=2)


def _truth(board: Tensor, side: int, stride: int) -> tuple[Tensor, Tensor]:
    """Return of which photograph each patch of the chequerboard is, and which are of one only."""
    height, width = board.shape[2:]
    tops = torch.arange(0, height - side + 1, stride)
    lefts = torch.arange(0, width - side + 1, stride)
    above, below = tops + side <= height // 2, tops >= height // 2
    west, east = lefts + side <= width // 2, lefts >= width // 2
    return (above[:, None] != west).long(), (above | below)[:, None] & (west | east)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the relative L2 distance of the scores in each cell, (H, W) from (classes, H, W)."""
    distances: Tensor = (a - b).norm(dim=0) / b.norm(dim=0)
    return distances
