"""What a trained network's answer depends on, and what can be read from its features."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

from vgglab.diagnose import diagnose
from vgglab.lab.data import ImageSet
from vgglab.lab.training import evaluate
from vgglab.shapes import as_pair, check_integer

_PENALTIES = tuple(10.0**power for power in range(-1, 7))


def shift(images: Tensor, dy: int, dx: int, mode: str = "zero") -> Tensor:
    """Return images moved down by `dy` and right by `dx` pixels.

    Parameters
    ----------
    images
        (N, C, H, W).
    dy, dx
        Whole pixels; up and left if negative.
    mode
        What comes in at the edge: ``"zero"``, or ``"wrap"``, what went out on the other side.

    Raises
    ------
    ValueError
        If `mode` is neither, or if nothing of the images would stay in view.
    """
    _check_images(images)
    height, width = images.shape[-2:]
    for name, value, size in (("dy", dy, height), ("dx", dx, width)):
        if abs(check_integer(name, value, minimum=-size)) >= size:
            raise ValueError(
                f"{name} must be less than the {size} pixels of the images; got {value}"
            )
    if mode == "wrap":
        return images.roll((dy, dx), (-2, -1))
    if mode == "zero":
        return pad(images, (dx, -dx, dy, -dy))
    raise ValueError(f"mode must be 'zero' or 'wrap'; got {mode!r}")


def shuffle_patches(images: Tensor, grid: int, seed: int = 0) -> Tensor:
    """Cut each image into ``grid * grid`` patches and put them together in another order.

    Parameters
    ----------
    images
        (N, C, H, W), with height and width multiples of `grid`.
    grid
        Patches along each side; 1 changes nothing.
    seed
        Of the orders; each image has its own.

    Raises
    ------
    ValueError
        If the images cannot be cut like that.
    """
    _check_images(images)
    number, channels, height, width = images.shape
    check_integer("grid", grid, minimum=1)
    if height % grid or width % grid:
        raise ValueError(f"grid must divide height and width, {height} and {width}; got {grid}")
    cut = images.reshape(number, channels, grid, height // grid, grid, width // grid)
    patches: Tensor = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(number, grid**2, generator=generator).argsort(1).to(images.device)
    patches = patches[torch.arange(number, device=images.device)[:, None], order]
    rows: Tensor = patches.unflatten(1, (grid, grid)).permute(0, 3, 1, 4, 2, 5)
    return rows.reshape(images.shape)


def shift_probe(
    model: nn.Module, images: ImageSet, distances: Sequence[int], mode: str = "zero"
) -> dict[int, float]:
    """Return the accuracy on images moved to the right, by distance in pixels.

    Parameters
    ----------
    model
        A classifier as `vgglab.lab.training.evaluate` takes it.
    images
        What to move.
    distances
        Pixels; to the left if negative.
    mode
        See `shift`.
    """
    return {
        dx: evaluate(model, replace(images, images=shift(images.images, 0, dx, mode))).accuracy
        for dx in distances
    }


def shuffle_probe(
    model: nn.Module, images: ImageSet, grids: Sequence[int], seed: int = 0
) -> dict[int, float]:
    """Return the accuracy on images in patches, by patches along a side: see `shuffle_patches`."""
    return {
        grid: evaluate(
            model, replace(images, images=shuffle_patches(images.images, grid, seed))
        ).accuracy
        for grid in grids
    }


def resize_probe(
    model: nn.Module, images: ImageSet, sizes: Sequence[int | tuple[int, int]]
) -> dict[int | tuple[int, int], float | None]:
    """Return the accuracy on resized images, by size; ``None`` where the model cannot run.

    Parameters
    ----------
    model
        A classifier as `vgglab.lab.training.evaluate` takes it.
    images
        What to resize, bilinearly and with antialiasing.
    sizes
        Side in pixels, or (height, width).
    """
    found: dict[int | tuple[int, int], float | None] = {}
    for size in sizes:
        pair = as_pair("sizes", size)
        fits = diagnose(model, (1, images.images.shape[1], *pair)).ok
        resized = resize(images.images, list(pair), antialias=True) if fits else None
        found[size] = (
            None if resized is None else evaluate(model, replace(images, images=resized)).accuracy
        )
    return found


def readout(features: Tensor, targets: Tensor, *, seed: int = 0, folds: int = 5) -> float:
    """Return how well a linear model reads a target from features that it has not seen.

    Ridge regression, with its penalty chosen within the training part of each fold. Every image is
    predicted once. The features are divided by one number, their standard deviation: scaling each
    by its own would blow up those that are zero for nearly all images.

    Source of the idea: G. Alain and Y. Bengio, "Understanding intermediate layers using linear
    classifier probes", 2016, section 3.

    Parameters
    ----------
    features
        (N, D).
    targets
        (N,): floating-point numbers to be estimated, or integers that name classes.
    seed
        Of the division into folds.
    folds
        Number of parts, each left out once.

    Returns
    -------
    float
        For numbers, the coefficient of determination R²: 1 is perfect, 0 is what their mean gives,
        and less is worse than that. For classes, balanced accuracy: the mean over the classes of
        the share that is recognised; 1 / classes is chance.

    Raises
    ------
    ValueError
        If the shapes do not belong together, if the targets are all the same, or if a class has
        fewer images than there are folds.
    """
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    check_integer("folds", folds, minimum=2)
    if features.dim() != 2 or targets.dim() != 1 or len(features) != len(targets):
        raise ValueError(
            "features and targets must be (N, D) and (N,); got "
            f"{tuple(features.shape)} and {tuple(targets.shape)}"
        )
    values, counts = torch.unique(targets, return_counts=True)
    if len(values) < 2:
        raise ValueError("targets must not all be the same; there is nothing to read")
    numbers = targets.is_floating_point()
    if not numbers and counts.min() < folds:
        raise ValueError(
            f"folds must be at most {counts.min()}, the images of the rarest class; got {folds}"
        )
    parts = (KFold if numbers else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    model = (RidgeCV if numbers else RidgeClassifierCV)(alphas=_PENALTIES)
    score = r2_score if numbers else balanced_accuracy_score
    scaled = features.detach().cpu().double()
    scaled = scaled / scaled.std().clamp_min(torch.finfo(scaled.dtype).tiny)
    x, y = scaled.numpy(), targets.cpu().numpy()
    return float(score(y, cross_val_predict(model, x, y, cv=parts)))


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dim() != 4:
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of the shape (N, C, H, W); got {shape}")
