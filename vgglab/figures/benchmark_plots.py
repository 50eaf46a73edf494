"""Figures of `vgglab bench`: where parameters, work, time and memory go, and the roofs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vgglab.arguments import needs
from vgglab.figures.plots import COLORS, HATCHES
from vgglab.lab.benchmark.layers import WHOLE
from vgglab.lab.benchmark.measurements import LayersMeasurement
from vgglab.lab.memory import Memory

with needs("train"):
    from matplotlib import pyplot as plt
    from matplotlib.axes import Axes

_PALE = ("#DDDDDD", "#C4C4C4", "#ABABAB", "#929292", "#797979")


def stage_of(layer: str) -> str:
    """Return ``"conv3"`` for ``"conv3_2"``, and the name of a layer that is in no stage."""
    return layer.partition("_")[0]


def draw_shares(rows: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Draw a bar for each row, parted among the stages and the fully connected layers.

    Parameters
    ----------
    rows
        By what is shared out, numbers by the names of the layers, the same layers in each.
    ax
        Where to draw; by default a new figure, as high as the rows need.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    if not rows:
        raise ValueError("rows must be at least one; got none")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 1.5 + 0.42 * len(rows)))
    parts = list(dict.fromkeys(stage_of(layer) for layer in next(iter(rows.values()))))
    convolutions = sum(part.startswith("conv") for part in parts)
    colors = [*_PALE[:convolutions], *COLORS[1:]]
    hatches = [*[""] * convolutions, *HATCHES[1:]]
    left = np.zeros(len(rows))
    for part, color, hatch in zip(parts, colors, hatches, strict=False):
        shares = np.array(
            [
                sum(n for layer, n in row.items() if stage_of(layer) == part) / sum(row.values())
                for row in rows.values()
            ]
        )
        bars = ax.barh([*rows], 100 * shares, left=100 * left, color=color, hatch=hatch, label=part)
        ax.bar_label(
            bars,
            [f"{share:.0%}" if share > 0.055 else "" for share in shares],
            label_type="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
        left += shares
    ax.set(xlim=(0, 100), xlabel="%")
    ax.invert_yaxis()
    ax.grid(False)
    ax.figure.legend(loc="outside upper left", ncols=8, frameon=False, fontsize=8, columnspacing=1)
    return ax


def draw_roofline(measured: LayersMeasurement, ax: Axes) -> Axes:
    """Draw each layer's multiply-adds a second against those for each byte, under two roofs.

    The slope is a large copy's bytes a second, the level a large product's multiply-adds a second,
    both measured in the same run.

    Source: S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance
    model for multicore architectures", https://doi.org/10.1145/1498765.1498785.

    Parameters
    ----------
    measured
        Of one batch.
    ax
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.
    """
    roofs, precision = measured.result["roofs"], measured.settings["precision"]
    product, copy = roofs[precision] / 1e9, roofs["copy"] / 1e9
    layers = {name: layer for name, layer in measured.layers().items() if name != WHOLE}
    at = {
        name: layer.result["mult_adds"] / layer.result["moved_bytes"]
        for name, layer in layers.items()
    }
    line = np.geomspace(min(at.values()) / 2, 2 * max(at.values()), 200)
    ax.plot(line, np.minimum(product, line * copy), color=COLORS[6], linewidth=1.5)
    for name, layer in layers.items():
        fully = name.startswith("fc")
        height = layer.result["mult_adds"] / layer.seconds / 1e9
        look: dict[str, Any] = {"marker": "D" if fully else "o", "color": COLORS[1 if fully else 0]}
        ax.plot(at[name], height, linestyle="none", markeredgecolor="white", ms=7, **look)
        if fully or name == "conv1_1":
            place: dict[str, Any] = {"xytext": (6, -9), "textcoords": "offset points"}
            ax.annotate(name, (at[name], height), fontsize=8, **place)
    ax.set(xscale="log", yscale="log", xlabel="mult-adds for each byte")
    return ax


def draw_memory(bars: Mapping[str, Memory], ax: Axes | None = None) -> Axes:
    """Draw a bar for each step, parted among what the memory is for.

    Parameters
    ----------
    bars
        By name, what `vgglab.lab.memory.predicted_memory` returned.
    ax
        Where to draw; by default a new figure, as high as the bars need.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If there are no bars.
    """
    if not bars:
        raise ValueError("bars must be at least one; got none")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 1.4 + 0.36 * len(bars)))
    left = np.zeros(len(bars))
    parts: Sequence[str] = Memory._fields
    for part, color, hatch in zip(parts, COLORS, HATCHES, strict=False):
        width = np.array([getattr(bar, part) for bar in bars.values()]) / 2**30
        ax.barh([*bars], width, left=left, color=color, hatch=hatch, edgecolor="white", label=part)
        left += width
    ax.set(xlabel="GiB")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.figure.legend(loc="outside upper left", ncols=5, frameon=False, fontsize=9)
    return ax
