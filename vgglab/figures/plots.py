"""One look for all figures of the course."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vgglab.arguments import needs
from vgglab.lab.activations import Activation
from vgglab.lab.experiments.reading import AGAIN, Recorded
from vgglab.lab.experiments.running import Budget
from vgglab.lab.experiments.tables import setting_name
from vgglab.lab.experiments.verdicts import interval
from vgglab.pooling import adaptive_bins, adaptive_matrix
from vgglab.receptive_field.effective import EffectiveField

with needs("train"):
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Patch, Rectangle

# Okabe and Ito's colours, told apart by colour-blind readers too
# (https://jfly.uni-koeln.de/color/); the light yellow is left out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "--")


def use_style() -> None:
    """Set matplotlib's defaults for the rest of the session.

    The background is opaque, so that a figure reads the same on a light and on a dark page, and
    the size fits a phone held upright without the text becoming illegible.
    """
    mpl.rcParams.update(
        {
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=COLORS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 120,
            "figure.facecolor": "white",
            "figure.figsize": (6.4, 3.6),
            "font.size": 11,
            "grid.alpha": 0.3,
            "savefig.facecolor": "white",
        }
    )


def draw_bins(input_size: int, output_size: int, ax: Axes | None = None) -> Axes:
    """Draw the bins of adaptive pooling along one axis.

    There is a row for each bin and a column for each pixel; a hatched pixel is in several bins.
    Under its column stands the weight of the pixel in the whole output of average pooling: the sum
    of 1 / size over its bins.

    Parameters
    ----------
    input_size
        Height or width of the input in pixels.
    output_size
        Number of bins.
    ax
        Where to draw; by default a new figure, as large as the table needs.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is below 1.
    """
    bins = adaptive_bins(input_size, output_size)
    weights = adaptive_matrix(input_size, output_size).sum(0).tolist()
    if ax is None:
        width = 0.7 + max(0.27 * input_size, 3)
        _, ax = plt.subplots(figsize=(width, 1.3 + 0.27 * (output_size + 1)))

    alone: dict[str, Any] = {"facecolor": COLORS[5], "edgecolor": "black", "linewidth": 0.8}
    shared = alone | {"facecolor": "white", "hatch": HATCHES[1]}
    for row, pixels in enumerate(bins):
        for pixel in pixels:
            style = shared if sum(pixel in other for other in bins) > 1 else alone
            ax.add_patch(Rectangle((pixel - 0.5, row - 0.5), 1, 1, **style))
    for pixel, weight in enumerate(weights):
        text = f"{weight:.2g}".removeprefix("0")
        ax.text(pixel, output_size, text, ha="center", va="center", fontsize="small")

    ax.set(
        xlim=(-0.6, input_size - 0.4),
        ylim=(output_size + 0.4, -0.6),
        aspect="equal",
        xlabel="pixel",
        xticks=range(input_size),
        yticks=range(output_size + 1),
        yticklabels=[*(f"bin {row}" for row in range(output_size)), "weight"],
        title=f"Adaptive pooling, {input_size} → {output_size}",
    )
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    key = [Patch(label="in one bin", **alone), Patch(label="in several bins", **shared)]
    ax.legend(
        handles=key,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4,  # below the labels, in font sizes
        ncols=2,
        frameon=False,
    )
    return ax


def draw_effective(fields: Sequence[EffectiveField], axes: Sequence[Axes] | None = None) -> None:
    """Draw how much each pixel counts, a picture for each field, all of the same image.

    A frame shows the pixels that the cell can depend on at all. Under each picture stands the share
    of its side that counts.

    Parameters
    ----------
    fields
        From `vgglab.receptive_field.effective.effective_receptive_field`.
    axes
        Where to draw, one each; by default a new figure with a row for each three.

    Raises
    ------
    ValueError
        If there are no fields, or not as many axes.
    """
    if not fields:
        raise ValueError("fields must be at least one; got none")
    if axes is None:
        columns = min(len(fields), 3)
        rows = -(-len(fields) // columns)
        _, grid = plt.subplots(rows, columns, figsize=(2.15 * columns, 2.5 * rows), squeeze=False)
        for spare in grid.flat[len(fields) :]:
            spare.set_axis_off()
        axes = list(grid.flat[: len(fields)])
    if len(axes) != len(fields):
        raise ValueError(f"axes must be as many as fields, {len(fields)}; got {len(axes)}")
    for field, ax in zip(fields, axes, strict=True):
        # The root, so that what counts little is seen at all.
        shown = field.magnitude.sqrt().numpy()
        ax.imshow(shown, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        box = field.box
        size = box.right - box.left, box.bottom - box.top
        corner = box.left - 0.5, box.top - 0.5
        ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linestyle="--"))
        ax.set(title=field.path, xlabel=f"{field.share:.0%} counts", xticks=[], yticks=[])
        ax.grid(False)


def draw_intervals(
    samples: Mapping[str, Sequence[float]],
    ax: Axes | None = None,
    *,
    chance: float | None = None,
    xlabel: str = "",
) -> Axes:
    """Draw a row of dots for each name, one a seed, and their mean with its confidence interval.

    Parameters
    ----------
    samples
        One number a seed, two or more, by the name of the row.
    ax
        Where to draw; by default a new figure, as high as the rows need.
    chance
        What guessing gives: a dotted line.
    xlabel
        What the numbers are.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If a row has fewer than two numbers.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(4.8, 1.2 + 0.4 * len(samples)))
    for row, values in enumerate(samples.values()):
        found = interval(values)
        ax.plot(values, [row + 0.22] * len(values), "o", c=COLORS[0], fillstyle="none", ms=5)
        half = found.high - found.mean
        ax.errorbar(found.mean, row - 0.1, xerr=half, fmt="D", c=COLORS[1], capsize=4)
    if chance is not None:
        ax.axvline(chance, color=COLORS[6], linestyle=":", label="guessing")
        ax.legend(loc="best", frameon=False)
    ax.set_yticks(range(len(samples)), list(samples))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(xlabel)
    return ax


def draw_activations(statistics: Sequence[Activation], ax: Axes | None = None) -> Axes:
    """Draw how large the values are that each layer returns, and their gradients.

    There is a column for each layer, in the order of execution, and a row for each bin of
    magnitudes; the colour says how many of the layer's values are in the bin. Over it lie the
    standard deviation of the values and, if there was a loss, the root mean square of its gradient;
    zeros and what is outside the scale are left out. Under each column stands the share of the
    values that are below the scale.

    Parameters
    ----------
    statistics
        From `vgglab.lab.activations.activation_statistics`.
    ax
        Where to draw; by default a new figure, as wide as the layers need.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If there are no layers, or their bins are not the same.
    """
    if not statistics:
        raise ValueError("statistics must have at least one layer; got none")
    scales = {(row.decades, len(row.counts)) for row in statistics}
    if len(scales) > 1:
        raise ValueError(f"statistics must have the same bins in all layers; got {scales}")
    (((low, high), _),) = scales
    layers = len(statistics)
    if ax is None:
        _, ax = plt.subplots(figsize=(2 + max(0.4 * layers, 4.4), 4))

    seen = [(1 - row.near_zero) / max(sum(row.counts), 1) for row in statistics]
    shares = np.array([row.counts for row in statistics]).T * seen
    mesh = ax.pcolormesh(
        np.arange(layers + 1) - 0.5,
        np.linspace(low, high, len(shares) + 1),
        np.ma.masked_equal(shares, 0),
        norm=LogNorm(1e-4, 1),
        cmap="viridis_r",
    )
    ax.figure.colorbar(mesh, ax=ax, label="share of the values", extend="min")
    lines = {
        "standard deviation": [row.std for row in statistics],
        "gradient (RMS)": [row.gradient_rms or 0.0 for row in statistics],
    }
    for (label, values), color, marker in zip(lines.items(), COLORS[1::5], "os", strict=True):
        heights = [np.log10(v) if 10.0**low <= v <= 10.0**high else np.nan for v in values]
        if not np.isnan(heights).all():
            ax.plot(heights, color=color, marker=marker, markeredgecolor="white", label=label)

    below = low - 0.06 * (high - low)
    for column, row in enumerate(statistics):
        text = f"{row.near_zero:.0%}"
        ax.text(column, below, text, ha="center", va="center", fontsize="x-small")
    ax.set(
        xlim=(-0.6, layers - 0.4),
        ylim=(low - 0.12 * (high - low), high),
        xticks=range(layers),
        yticks=range(low, high + 1),
        yticklabels=[f"$10^{{{power}}}$" for power in range(low, high + 1)],
        ylabel="magnitude",
        title="Activations by layer; below, the share that is near zero",
    )
    ax.set_xticklabels([row.path for row in statistics], rotation=90, fontsize="small")
    ax.grid(False)
    if ax.lines:
        ax.legend(loc="upper right", fontsize="small")
    return ax


def draw_time_ratios(records: Sequence[Recorded]) -> Axes:
    """Draw how many times as long as the first arm the others take, with confidence intervals.

    A row for each setting of each record; a short line for each arm is at the ratio of mult-adds.

    Parameters
    ----------
    records
        Of an experiment whose results have ``"seconds"`` and ``"mult_adds"`` for each arm.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If there are no records.
    """
    rows = [(r, settings) for r in records for settings in Budget(**r.definition).combinations()]
    if not rows:
        raise ValueError("records must be at least one; got none")
    _, ax = plt.subplots(figsize=(5.4, 1.4 + 0.36 * len(rows)))
    for row, (record, settings) in enumerate(rows):
        (works, *_) = record.samples("mult_adds", **settings)
        first, *others = works
        for k, arm in enumerate(others):
            found = record.time_ratio(arm, first, **settings)
            place, color = row + 0.24 * (k - (len(others) - 1) / 2), COLORS[k - 1]
            style: dict[str, Any] = {"c": color, "fmt": "oDs^"[k], "ms": 5, "capsize": 3}
            if arm.endswith(AGAIN):
                style |= {"c": "grey", "mfc": "white"}
            else:
                said = "as the mult-adds say" if (row, k) == (0, 1) else ""
                at = works[arm] / works[first]
                ax.plot(at, place, "|", ms=12, mew=2, c=COLORS[6], label=said)
            error = ([found.mean - found.low], [found.high - found.mean])
            ax.errorbar(found.mean, place, xerr=error, label="" if row else arm, **style)
    if ax.get_xlim()[1] > 4:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set(yticks=range(len(rows)), yticklabels=[setting_name(*row) for row in rows])
    ax.set(xlabel=f"times as long as “{first}”")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return ax
