"""Images to train on and to test with: three sets, one way to ask for them.

``shapes`` needs nothing and is under control, ``digits`` is real and tiny, ``cifar10`` is real.
Loading gives an `ImageSet`, whole in memory.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

from vgglab.lab.data.digits import digits
from vgglab.lab.data.folders import check_archive, read_images
from vgglab.lab.data.images import ImageSet
from vgglab.lab.data.procedural import SHAPES, shapes

__all__ = [
    "DATASETS",
    "SHAPES",
    "ImageSet",
    "cifar10",
    "digits",
    "load_images",
    "origin",
    "read_images",
    "shapes",
    "shift_and_mirror",
]

ENVIRONMENT = "VGGLAB_DATA"
"""Variable that names a folder or an archive of images."""

_SPLITS = ("train", "test")
_SEEDS = {"train": 0, "test": 1_000_000}


def cifar10(split: str = "train", size: int | None = None) -> ImageSet:
    """Return CIFAR-10, or the images that ``VGGLAB_DATA`` names.

    ``VGGLAB_DATA`` may be a folder with ``train/CLASS/`` and ``test/CLASS/``, or a tar archive of
    one. Without it torchvision's copy is used, and downloaded at first use, to
    ``~/.cache/vgglab``.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Parameters
    ----------
    split
        ``"train"`` or ``"test"``: 50,000 and 10,000 images in CIFAR-10.
    size
        Side in pixels to which images are resized; by default as they are, 32.

    Raises
    ------
    ValueError
        If `split` is neither, or if what ``VGGLAB_DATA`` names is damaged.
    FileNotFoundError
        If there is nothing where ``VGGLAB_DATA`` points to.
    ConnectionError
        If it is not set and the download fails.
    """
    _check_split(split)
    root = os.environ.get(ENVIRONMENT)
    if root:
        return read_images(Path(root).expanduser(), split, size)
    from torchvision.datasets import CIFAR10

    folder = Path("~/.cache/vgglab").expanduser()
    try:
        found = CIFAR10(str(folder), train=split == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"CIFAR-10 is not in {folder} and could not be downloaded ({error}); go online once, "
            f"or set {ENVIRONMENT} to a folder with train/CLASS/ and test/CLASS/, or to a tar "
            "archive of one; shapes and digits need no download"
        ) from error
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    if size is not None:
        images = resize(images, [size, size], antialias=True)
    source = {"data": "cifar10 (torchvision)", "split": split, "size": size}
    return ImageSet(images, torch.tensor(found.targets), tuple(found.classes), source)


def _shapes_split(split: str = "train", *, count: int = 2000, **options: Any) -> ImageSet:
    """Return `shapes` whose two splits have no scene in common."""
    _check_split(split)
    seed = options.pop("seed", 0)
    return shapes(count, seed=seed + _SEEDS[split], **options)


DATASETS: Mapping[str, Callable[..., ImageSet]] = {
    "shapes": _shapes_split,
    "digits": digits,
    "cifar10": cifar10,
}


def load_images(
    name: str = "shapes", split: str = "train", *, or_shapes: bool = False, **options: Any
) -> ImageSet:
    """Return a set of images by its name.

    Parameters
    ----------
    name
        ``"shapes"``, ``"digits"`` or ``"cifar10"``.
    split
        ``"train"`` or ``"test"``.
    or_shapes
        Return ``shapes``, with a warning, if the images cannot be had.
    **options
        Those of the set: see `shapes` (with ``count=2000``), `digits` and `cifar10`.

    Raises
    ------
    ValueError
        If there is no such set.
    ConnectionError
        If the images cannot be had and `or_shapes` is false.
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {', '.join(DATASETS)}; got {name!r}")
    try:
        return DATASETS[name](split, **options)
    except ConnectionError as error:
        if not or_shapes:
            raise
        warnings.warn(f"shapes are used in place of {name}: {error}", stacklevel=2)
        return _shapes_split(split, size=32)


def origin(name: str) -> dict[str, str]:
    """Return where the images of a set come from, for the records of experiments.

    Parameters
    ----------
    name
        Of `DATASETS`. For ``"cifar10"`` the answer depends on ``VGGLAB_DATA``; an archive is named
        with its SHA-256.
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {', '.join(DATASETS)}; got {name!r}")
    root = Path(os.environ.get(ENVIRONMENT, "")).expanduser()
    if name == "cifar10" and root.is_file():
        return {"data": root.name, "sha256": check_archive(root)}
    if name == "cifar10" and root != Path():
        return {"data": root.name}
    return {
        "data": {"cifar10": "cifar10 (torchvision)", "digits": "digits (scikit-learn)"}.get(
            name, name
        )
    }


def shift_and_mirror(batch: Tensor) -> Tensor:
    """Augment images (N, C, H, W) as is usual for CIFAR-10, each in its own way.

    Each is moved by up to an eighth of its width in both directions, with zeros where it came from,
    and half of them are mirrored. torchvision's transforms draw one way for a whole batch.

    Source: K. He and others, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    count, _, height, width = batch.shape
    most = width // 8
    padded = pad(batch, [most] * 4)
    down, right = torch.randint(2 * most + 1, (2, count, 1), device=batch.device)
    rows = down + torch.arange(height, device=batch.device)  # (N, H)
    columns = right + torch.arange(width, device=batch.device)
    mirrored = torch.rand(count, 1, device=batch.device) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    images = torch.arange(count, device=batch.device)[:, None, None]
    # Two indices with a slice between them put the channels last.
    return padded[images, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2).contiguous()


def _check_split(split: str) -> None:
    if split not in _SPLITS:
        raise ValueError(f"split must be 'train' or 'test'; got {split!r}")
