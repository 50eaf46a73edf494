"""How often repaired networks are right about images in a folder, with torchvision's weights.

The folder that ``VGGLAB_DATA`` names holds ``CLASS/*.jpg``, as torchvision's ``ImageFolder`` has
it. A class is named as the weights name it, in any spelling of case and hyphens, or by the WordNet
id of ImageNet, for which timm knows the order.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tabulate import tabulate
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.v2.functional import center_crop, normalize, pil_to_tensor, resize

from vgglab.arguments import needs
from vgglab.lab.data import ENVIRONMENT, ImageSet
from vgglab.lab.data.folders import SUFFIXES
from vgglab.lab.experiments.repairing import SCENES, accuracies, given
from vgglab.lab.experiments.trials import Images
from vgglab.lab.repairs import Case, RepairsTable, apply_repair
from vgglab.report import Report

with needs("train"):
    from scipy.stats import binomtest

RATES = (1e-4, 1e-3, 1e-2)
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # ImageNet's, as torchvision's weights


@dataclass(frozen=True)
class Share:
    """How many of some images a network is right about.

    Attributes
    ----------
    right, images
        Numbers of them.
    """

    right: int
    images: int

    def __str__(self) -> str:
        found = binomtest(self.right, self.images).proportion_ci(method="wilson")
        share = self.right / self.images
        return f"{share:.0%} [{found.low:.0%}, {found.high:.0%}]"


@dataclass(frozen=True, repr=False)
class AccuracyTable(Report):
    """How often each repaired network is right; printed it is a table, in a notebook too.

    Attributes
    ----------
    rows
        For each repair, each of `SCENES`, ``"before"`` or ``"after"`` training: how many are right.
    classes
        Names of the folders that were used.
    left_out
        Names of those that are none of the network's classes.
    """

    rows: Mapping[str, Mapping[str, Share]]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, strings, lists and dicts."""
        return asdict(self)

    def _title(self) -> str:
        return f"Images of {len(self.classes)} classes, and how many are named right"

    def _tables(self, tablefmt: str) -> list[str]:
        columns = list(next(iter(self.rows.values()))) if self.rows else []
        cells = [
            [name, *(str(row[column]) for column in columns)] for name, row in self.rows.items()
        ]
        return [tabulate(cells, ("Repair", *columns), tablefmt, disable_numparse=True)]

    def _sentences(self) -> list[str]:
        said = [
            "Enlarged: the images at the new size. Larger: the images at the trained size, "
            "anywhere in a scene of the new size. In brackets the 95% interval by Wilson.",
        ]
        if self.left_out:
            said.append(f"Folders that are none of the classes: {', '.join(self.left_out)}.")
        return said


@dataclass(frozen=True)
class Pictures:
    """Images of a folder, labelled by the places of their classes among a network's.

    Attributes
    ----------
    images
        Of the larger of the two sides.
    split
        For each image 0 to train on it, 1 to choose a rate by, 2 to test with.
    folders, left_out
        Names of the folders that are classes, and of those that are none.
    """

    images: ImageSet
    split: Tensor
    folders: tuple[str, ...]
    left_out: tuple[str, ...]


def pictures_for(
    model: str,
    weights: str | None,
    size: tuple[int, int],
    per_class: int,
    trained: tuple[int, int] | None = None,
    epochs: int = 0,
) -> Pictures:
    """Read images for a model of torchvision from the folder that ``VGGLAB_DATA`` names.

    Parameters
    ----------
    model, weights
        ``"torchvision:NAME"``, and the name of a set of its weights.
    size
        Height and width to give, which must be equal.
    per_class
        The most images to read of each class, the first by name.
    trained
        Height and width of the training; by default those of the weights.
    epochs
        Of the training to come: without it all images are to test with.

    Raises
    ------
    ValueError
        If there are no weights with names of classes, no folder of images, no class of the weights
        among them, too few images of a class, or one that is too small or damaged.
    ImportError
        If classes are WordNet ids and timm is not there.
    """
    categories = _categories(model, weights)
    if size[0] != size[1]:
        raise ValueError(f"size must be square, to be compared on images; got {size}")
    root = Path(os.environ.get(ENVIRONMENT, "")).expanduser()
    named = root != Path() and root.is_dir()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if named else []
    files = {path.name: _images_in(path)[:per_class] for path in folders}
    files = {name: paths for name, paths in files.items() if paths}
    if not files:
        raise ValueError(
            f"{ENVIRONMENT} must name a folder with CLASS/*.jpg; "
            f"{str(root) if root != Path() else 'it is not set, and'} has no images like that"
        )
    places = {name: place for name in files if (place := _place(name, categories)) is not None}
    if not places:
        raise ValueError(
            f"the folders in {str(root)!r} must be named as classes of {weights} are, or by "
            f"WordNet ids; none of {', '.join(list(files)[:5])} is one"
        )
    fewest = 3 if epochs else 2
    for name in places:
        if len(files[name]) < fewest:
            raise ValueError(
                f"each class must have at least {fewest} images; {name!r} has {len(files[name])}"
            )
    base = (trained or (224, 224))[0]
    side = max(size[0], base)
    read = [
        (_read(path, base, side), place, number % 3 if epochs else 2)
        for name, place in places.items()
        for number, path in enumerate(files[name])
    ]
    images, labels, split = zip(*read, strict=True)
    source = {"data": root.name, "per_class": per_class}
    return Pictures(
        ImageSet(torch.stack(images), torch.tensor(labels), tuple(categories), source),
        torch.tensor(split),
        tuple(places),
        tuple(name for name in files if name not in places),
    )


def accuracy_table(
    network: nn.Module, table: RepairsTable, pictures: Pictures, epochs: int = 0
) -> AccuracyTable:
    """Ask each repaired network about pictures, before and after it was trained on some of them.

    Parameters
    ----------
    network
        The one that `table` is of.
    table
        Says which repairs apply.
    pictures
        From `pictures_for`.
    epochs
        Of the training of what comes after the features; 0 for none.
    """
    case = Case(network, table.old, table.new)
    base, side = table.old[2], table.new[2]
    settings = {"lr": RATES if epochs else (), "epochs": epochs, "tuned": "head"}
    scale: Callable[[Tensor], Tensor] = partial(_scaled, mean=_MEAN, std=_STD)
    shown = {}
    for scene in SCENES:
        generator = torch.Generator().manual_seed(0)
        # Without training there is nothing to choose, and the test images stand for all.
        parts = (pictures.images.subset(pictures.split == (k if epochs else 2)) for k in range(3))
        images = Images(*(given(part, scene, side, base, generator) for part in parts))
        shown[scene] = images if epochs else Images(images.test, images.test, images.test)
    rows: dict[str, dict[str, Share]] = {}
    for name in (row.name for row in table.rows):
        repaired = apply_repair(name, case)
        if repaired is None:
            continue
        rows[name] = {}
        for scene, images in shown.items():
            found = accuracies(repaired, images, settings, 0, scale)
            for when in ("before", "after") if epochs else ("before",):
                right = round(found[when] * len(images.test))
                rows[name][f"{scene}, {when}"] = Share(right, len(images.test))
    return AccuracyTable(rows, pictures.folders, pictures.left_out)


def _categories(model: str, weights: str | None) -> Sequence[str]:
    library, _, name = model.partition(":")
    if library != "torchvision" or name not in models.list_models():
        raise ValueError(
            f"model must be torchvision:NAME, whose weights name their classes; got {model!r}"
        )
    known = {member.name: member for member in models.get_model_weights(name)}
    if weights not in known:
        raise ValueError(
            f"weights must be one of {', '.join(known)}, for random ones are right by chance; "
            f"got {weights!r}"
        )
    categories: Sequence[str] = known[weights].meta["categories"]
    return categories


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _place(folder: str, categories: Sequence[str]) -> int | None:
    """Return the place of a folder's class among the names of the weights' classes."""
    if folder[:1] == "n" and folder[1:].isdecimal() and len(folder) == 9:
        try:
            from timm.data.imagenet_info import ImageNetInfo
        except ImportError as error:
            raise ImportError(
                "timm knows the order of WordNet ids and is not installed: pip install timm"
            ) from error
        ids: list[str] = ImageNetInfo("imagenet-1k").label_names()
        return ids.index(folder) if folder in ids and len(ids) == len(categories) else None
    plain = [_plain(name) for name in categories]
    return plain.index(_plain(folder)) if _plain(folder) in plain else None


def _read(path: Path, base: int, side: int) -> Tensor:
    try:
        with Image.open(path) as file:
            image = pil_to_tensor(file.convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise ValueError(f"{str(path)!r} cannot be read as an image: {error}") from error
    if min(image.shape[1:]) < base:
        raise ValueError(
            f"images must be at least {base} px a side; {str(path)!r} has "
            f"{image.shape[1]}×{image.shape[2]}"
        )
    square: Tensor = center_crop(resize(image, [side], antialias=True), [side, side])
    return square


def _scaled(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    scaled: Tensor = normalize(images.float() / 255, mean, std)
    return scaled
