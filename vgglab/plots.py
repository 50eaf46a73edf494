"""One look for all figures of the course."""

from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from vgglab.pooling import adaptive_bins, adaptive_matrix

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
