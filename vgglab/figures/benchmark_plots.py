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
    from matplotlib.ticker import LogLocator, NullFormatter

_PALE = ("#DDDDDD", "#C4C4C4", "#ABABAB", "#929292", "#797979")


def stage_of(layer: str) -> str:
    """Return ``"conv3"`` for ``"conv3_2"``, and the name of a layer that is in no stage."""
    return layer.partition("_")[0]


def draw_shares(rows: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Draw a bar for each row, parted among the stages and the fully connected layers.

    Parameters
    ----------
    rows
        By what is shared out, such as ``"time"``: its part of each layer, in any unit. All rows
        have the same layers, at least one of them.
    ax
        By default of a new figure, which grows with the rows.

    Returns
    -------
    matplotlib.axes.Axes
        From 0 to 100 %, the first row on top.
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
        Gets logarithmic scales.

    Returns
    -------
    matplotlib.axes.Axes
        The same, with a line for the roofs and a point for each layer.
    """
    roofs, precision = measured.result["roofs"], measured.settings["precision"]
    product, copy = roofs[precision] / 1e9, roofs["copy"] / 1e9
    layers = {name: layer for name, layer in measured.layers().items() if name != WHOLE}
    at = {
        name: layer.result["mult_adds"] / layer.result["moved_bytes"]
        for name, layer in layers.items()
    }
    heights = {
        name: layer.result["mult_adds"] / layer.seconds / 1e9 for name, layer in layers.items()
    }
    line = np.geomspace(min(at.values()) / 2, 2 * max(at.values()), 200)
    ax.plot(line, np.minimum(product, line * copy), color=COLORS[6], linewidth=1.5)
    for name, height in heights.items():
        fully = name.startswith("fc")
        look: dict[str, Any] = {"marker": "D" if fully else "o", "color": COLORS[1 if fully else 0]}
        ax.plot(at[name], height, linestyle="none", markeredgecolor="white", ms=7, **look)
    # The fully connected layers may lie one on another: their names keep a line's height apart.
    named = sorted((n for n in heights if n.startswith("fc")), key=lambda n: -heights[n])
    for name, above in [*zip(named, (8, 0, -8), strict=False), ("conv1_1", -5)]:
        if name in heights:
            place: dict[str, Any] = {"xytext": (7, above), "textcoords": "offset points"}
            ax.annotate(name, (at[name], heights[name]), fontsize=8, va="center", **place)
    ax.set(xscale="log", yscale="log", xlabel="mult-adds for each byte")
    for axis in (ax.xaxis, ax.yaxis):
        # Of a short axis the powers of ten alone would be too few.
        low, high = np.log10(axis.get_view_interval())
        axis.set_major_locator(LogLocator(subs=(1,) if high - low > 2 else (1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    return ax


def draw_memory(bars: Mapping[str, Memory], ax: Axes | None = None) -> Axes:
    """Draw a bar for each step, parted among what the memory is for.

    Parameters
    ----------
    bars
        What `vgglab.lab.memory.predicted_memory` returned, by the step's name; one or more.
    ax
        By default of a new figure, which grows with the bars.

    Returns
    -------
    matplotlib.axes.Axes
        In GiB, the first bar on top.
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
