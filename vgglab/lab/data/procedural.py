"""Images of plain figures with everything under control, drawn from numbers.

A scene is drawn from one row of random numbers, and only then turned into pixels. So the same seed
gives the same scenes at every size of image, and fewer images are the first of more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from vgglab.arguments import as_pair, check_integer
from vgglab.lab.data.images import ImageSet

Floats: TypeAlias = NDArray[np.float32]
Range: TypeAlias = tuple[float, float]

POSITIONS: Mapping[str, tuple[Range, Range]] = {
    "anywhere": ((0.0, 1.0), (0.0, 1.0)),
    "left": ((0.0, 0.5), (0.0, 1.0)),
    "right": ((0.5, 1.0), (0.0, 1.0)),
    "centre": ((0.5, 0.5), (0.5, 0.5)),
}
"""Where centres may lie, along x and along y, as shares of what keeps a figure in the image."""

_TRIES = 60  # places drawn for each figure, of which the first free one is taken
_SPOTS = 12  # the most distractors
_CHUNK = 256  # images that are drawn at once


def _disk(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return u**2 + v**2 <= 1


def _square(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return np.maximum(abs(u), abs(v)) <= 1


def _triangle(u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Equilateral, centred on its centroid."""
    return np.maximum(v, abs(u) * np.float32(3**0.5 / 2) - v / 2) <= 0.5


def _cross(u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Five squares."""
    small, large = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
    return (small <= 1 / 3) & (large <= 1)


def _ring(u: Floats, v: Floats) -> NDArray[np.bool_]:
    square = u**2 + v**2
    return (square <= 1) & (square >= 0.25)


# What lies inside a figure, and its area: all are drawn with the same area.
_FIGURES = {
    "disk": (_disk, np.pi),
    "square": (_square, 4.0),
    "triangle": (_triangle, 27**0.5 / 4),
    "cross": (_cross, 20 / 9),
    "ring": (_ring, 0.75 * np.pi),
}

SHAPES = tuple(_FIGURES)
# A figure lies within this many radii of its centre: that of the triangle's corners.
_REACH = (np.pi / _FIGURES["triangle"][1]) ** 0.5


@dataclass(frozen=True)
class _Scenes:
    """What is to be drawn, with lengths as shares of the image's shorter side; K figures each."""

    kinds: NDArray[np.int64]  # (N, K), -1 where there is none
    centres: Floats  # (N, K, 2), x and y as shares of width and height
    radii: Floats  # (N, K), of the disk of the same area
    angles: Floats  # (N, K), in radians
    looks: Floats  # (N, K + 1, 8), colours and textures; the last row is the background's
    spots: Floats  # (N, S, 6), place, radius and colour of the distractors


def shapes(
    count: int,
    size: int | tuple[int, int] = 64,
    *,
    seed: int = 0,
    kinds: Sequence[str] = SHAPES,
    figures: int | tuple[int, int] = 1,
    position: str = "anywhere",
    scale: Range = (0.16, 0.3),
    rotation: Range = (0.0, 360.0),
    clutter: int = 4,
) -> ImageSet:
    """Draw images of filled, textured figures; the label is the kind of the first figure.

    All kinds have the same area at the same scale, and colours are drawn independently, so that
    neither tells the kind.

    Parameters
    ----------
    count
        Number of images, with the kinds in equal shares (or one more of the first ones).
    size
        Side of the images in pixels, or (height, width).
    seed
        Same seed, same scenes, at every `size`; the first ones are the same for every `count`.
    kinds
        Some of ``SHAPES``.
    figures
        How many in each image, or the least and the most; all of different places and, if
        `kinds` has enough of them, of different kinds.
    position
        Where the centres lie: ``"anywhere"``, ``"left"`` or ``"right"`` (half), ``"centre"``.
    scale
        Least and largest radius of the disk of the same area, as shares of the shorter side.
    rotation
        Least and largest angle in degrees.
    clutter
        Number of small disks behind the figures.

    Returns
    -------
    ImageSet
        Of (count, 3, H, W). Its `notes` are ``"kinds"`` (N, K), -1 where there is no figure;
        ``"centres"`` (N, K, 2), x and y from 0 to 1 of width and height; ``"radii"`` (N, K) in
        shares of the shorter side; ``"boxes"`` (N, K, 4), first and last column and row
        ``x1, y1, x2, y2`` of a figure (all -1 where nothing of it is seen); ``"masks"``
        (N, H, W), the place of the figure that is seen at a pixel, -1 for none.

    Raises
    ------
    ValueError
        If an argument is out of its range, or if the figures do not fit side by side.
    """
    check_integer("count", count, minimum=1)
    height, width = (check_integer("size", side, minimum=8) for side in as_pair("size", size))
    least, most = _least_and_most(figures)
    kinds = tuple(kinds)
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(SHAPES):
        raise ValueError(f"kinds must be different ones of {', '.join(SHAPES)}; got {kinds!r}")
    if position not in POSITIONS:
        raise ValueError(f"position must be one of {', '.join(POSITIONS)}; got {position!r}")
    if not 0 < scale[0] <= scale[1] <= 0.5:
        raise ValueError(f"scale must be two numbers with 0 < least <= most <= 0.5; got {scale!r}")
    if not rotation[0] <= rotation[1]:
        raise ValueError(f"rotation must be two angles, the least first; got {rotation!r}")
    check_integer("clutter", clutter, minimum=0)
    if clutter > _SPOTS:
        raise ValueError(f"clutter must be at most {_SPOTS}; got {clutter}")

    shorter = min(height, width)
    aspect = np.array([width / shorter, height / shorter], dtype=np.float32)
    scenes = _scenes(
        count, seed, kinds, (least, most), POSITIONS[position], scale, rotation, clutter, aspect
    )
    images = np.empty((count, 3, height, width), dtype=np.uint8)
    masks = np.empty((count, height, width), dtype=np.int8)
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        _draw(scenes, part, kinds, aspect, images[part], masks[part])
    notes = {
        "kinds": torch.from_numpy(scenes.kinds),
        "centres": torch.from_numpy(scenes.centres),
        "radii": torch.from_numpy(scenes.radii),
        "boxes": _boxes(torch.from_numpy(masks), most),
        "masks": torch.from_numpy(masks),
    }
    source = {
        "data": "shapes",
        "count": count,
        "size": [height, width],
        "seed": seed,
        "kinds": list(kinds),
        "figures": [least, most],
        "position": position,
        "scale": list(scale),
        "rotation": list(rotation),
        "clutter": clutter,
    }
    labels = torch.from_numpy(scenes.kinds[:, 0].copy())
    return ImageSet(torch.from_numpy(images), labels, kinds, source, notes)


def _least_and_most(figures: int | tuple[int, int]) -> tuple[int, int]:
    least, most = (figures, figures) if isinstance(figures, int) else figures
    check_integer("figures", least, minimum=1)
    check_integer("figures", most, minimum=least)
    if most > 8:
        raise ValueError(f"figures must be at most 8; got {most}")
    return least, most


def _scenes(
    count: int,
    seed: int,
    kinds: tuple[str, ...],
    figures: tuple[int, int],
    position: tuple[Range, Range],
    scale: Range,
    rotation: Range,
    clutter: int,
    aspect: Floats,
) -> _Scenes:
    least, slots = figures
    widths = [1, slots, slots, slots, slots * _TRIES * 2, (slots + 1) * 8, _SPOTS * 6]
    rows = np.random.default_rng(seed).random((count, sum(widths)))
    parts = np.split(rows.astype(np.float32), np.cumsum(widths)[:-1], axis=1)
    number, kind, radius, angle, places, looks, spots = parts

    present = np.arange(slots) < least + np.floor(number * (slots - least + 1))
    order = np.argsort(kind, axis=1)  # figures of an image are of different kinds
    kind_of = (np.arange(count)[:, None] + order - order[:, :1]) % len(kinds)
    radii = scale[0] + (scale[1] - scale[0]) * radius
    room = np.clip(1 - 2 * radii[:, :, None] * np.float32(_REACH) / aspect, 0, 1)  # (N, K, 2)

    low, high = np.array(position, dtype=np.float32).T
    drawn = low + (high - low) * places.reshape(count, slots, _TRIES, 2)
    drawn = 0.5 + (drawn - 0.5) * room[:, :, None]
    centres = np.empty((count, slots, 2), dtype=np.float32)
    for slot in range(slots):
        free = np.ones((count, _TRIES), dtype=bool)
        for other in range(slot):
            apart = (drawn[:, slot] - centres[:, other, None]) * aspect
            near = (radii[:, slot] + radii[:, other]) * np.float32(_REACH)
            free &= (apart**2).sum(-1) > near[:, None] ** 2
        if not free[present[:, slot]].any(axis=1).all():
            raise ValueError(
                "scale must be small enough for the figures to lie side by side; got "
                f"{scale!r} for {slots} figures"
            )
        centres[:, slot] = drawn[np.arange(count), slot, free.argmax(axis=1)]
    return _Scenes(
        kinds=np.where(present, kind_of, -1),
        centres=centres,
        radii=radii.astype(np.float32),
        angles=np.radians(rotation[0] + (rotation[1] - rotation[0]) * angle).astype(np.float32),
        looks=looks.reshape(count, slots + 1, 8),
        spots=spots.reshape(count, _SPOTS, 6)[:, :clutter],
    )


def _draw(
    scenes: _Scenes,
    part: slice,
    kinds: tuple[str, ...],
    aspect: Floats,
    images: NDArray[np.uint8],
    masks: NDArray[np.int8],
) -> None:
    """Fill `images` and `masks` with some of the scenes, from back to front."""
    height, width = masks.shape[1:]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width * aspect[0])[None, None, :]
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height * aspect[1])[None, :, None]
    looks = scenes.looks[part]
    slots = scenes.kinds.shape[1]
    colours = _texture(looks[:, slots], x, y, light=looks[:, slots, :1] < 0.5)  # (n, 3, H, W)

    for spot in range(scenes.spots.shape[1]):
        place = scenes.spots[part, spot]
        radius = 0.02 + 0.04 * place[:, 2]
        far = (x - _column(place[:, 0] * aspect[0])) ** 2 + (
            y - _column(place[:, 1] * aspect[1])
        ) ** 2
        inside = far <= _column(radius) ** 2
        np.copyto(colours, place[:, 3:6, None, None], where=inside[:, None])

    masks[:] = -1
    for slot in range(slots):
        centre = scenes.centres[part, slot] * aspect
        dx, dy = x - _column(centre[:, 0]), y - _column(centre[:, 1])
        angle = _column(scenes.angles[part, slot])
        radius = _column(scenes.radii[part, slot])
        u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        inside = np.zeros(masks.shape, dtype=bool)
        for kind, name in enumerate(kinds):
            chosen = scenes.kinds[part, slot] == kind
            lies_inside, area = _FIGURES[name]
            unit = radius[chosen] * np.float32((np.pi / area) ** 0.5)
            inside[chosen] = lies_inside(u[chosen] / unit, v[chosen] / unit)
        dark = looks[:, slots, :1] < 0.5  # light figures on dark grounds, and dark ones on light
        np.copyto(colours, _texture(looks[:, slot], x, y, light=~dark), where=inside[:, None])
        masks[inside] = slot
    images[:] = np.round(colours * 255)


def _texture(look: Floats, x: Floats, y: Floats, light: NDArray[np.bool_]) -> Floats:
    """Return stripes of two near colours (n, 3, H, W), from 0 to 1, light or dark ones."""
    base = np.where(light, 0.62 + 0.3 * look[:, 1:4], 0.08 + 0.3 * look[:, 1:4])
    angle, phase = 2 * np.pi * look[:, 4], 2 * np.pi * look[:, 5]
    frequency = 20 + 40 * look[:, 6]
    wave = np.sin(
        _column(frequency * np.cos(angle)) * x
        + _column(frequency * np.sin(angle)) * y
        + _column(phase)
    )
    strength = _column(0.02 + 0.06 * look[:, 7])
    textured: Floats = base[:, :, None, None] + (strength * wave)[:, None]
    return textured


def _column(values: Floats) -> Floats:
    return values[:, None, None]


def _boxes(masks: torch.Tensor, slots: int) -> torch.Tensor:
    """Return the first and last column and row of each figure (N, K, 4)."""
    boxes = torch.full((len(masks), slots, 4), -1)
    for slot in range(slots):
        seen = masks == slot
        for axis, first in ((1, 0), (2, 1)):  # columns seen in any row, rows seen in any column
            line = seen.any(dim=axis).int()
            some = line.sum(dim=1) > 0
            boxes[some, slot, first] = line.argmax(dim=1)[some]
            boxes[some, slot, first + 2] = line.shape[1] - 1 - line.flip(1).argmax(dim=1)[some]
    return boxes
