"""What a trained network's answer depends on: images moved, cut up and resized."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import resize

from vgglab.arguments import as_pair, check_images, check_integer, check_side
from vgglab.diagnose import diagnose
from vgglab.lab.data import ImageSet
from vgglab.lab.training import evaluate


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
    check_images("images", images, floating=False)
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
    check_images("images", images, floating=False)
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
        pair = [check_side("sizes", side) for side in as_pair("sizes", size)]
        fits = diagnose(model, (1, images.images.shape[1], *pair)).ok
        resized = resize(images.images, pair, antialias=True) if fits else None
        found[size] = (
            None if resized is None else evaluate(model, replace(images, images=resized)).accuracy
        )
    return found
