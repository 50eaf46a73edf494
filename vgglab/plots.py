"""One look for all figures of the course."""

import matplotlib as mpl
from cycler import cycler

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
