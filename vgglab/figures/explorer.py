"""An interactive figure: input size, every layer's shape, and whether fc6 accepts the result.

What the figure says of networks and repairs is computed here, with `vgglab.models.configs`, and
handed over as JSON. ``explorer.html`` holds the figure's markup and style, ``explorer.js`` its
behaviour and the arithmetic of sides, which tests compare with `vgglab.shapes` and with torch.
Readers without scripts see a table.

The photograph is a part of chelsea of scikit-image (CC0, Stefan van der Walt).
"""

from dataclasses import dataclass
from typing import Any

from vgglab.figures.element import fallback_table, figure_html, photograph
from vgglab.models.configs import (
    CONFIGS,
    FC_SIDE,
    FULLY_CONNECTED,
    Config,
    Conv,
    config_title,
    get_config,
)
from vgglab.shapes import Window, feature_map_sizes, input_sizes

START = (400, 400)
EXAMPLES = (
    *((side, side) for side in (31, 224, 255, 256, 384)),
    START,
    (600, 600),
    (360, 640),
    (32, 1568),
)
"""Heights and widths in pixels."""
MOST = 4096
"""Largest side that can be typed, in pixels."""
SLIDER = 640
"""Largest side of the sliders, in pixels."""

POOL = Window(kernel_size=2, stride=2)
POOLS = (POOL,) * 5

LEVELS = (1, 2, 4)
REPAIRS = (
    ("none", "No repair", "none"),
    ("resize", "Resize the image", "none"),
    ("crop", "Take the middle of the image", "none"),
    ("pool", "Adaptive average pooling before fc6", "none"),
    ("fold", "That pooling folded into fc6, whose weights are computed", "first"),
    ("conv", "FC layers as convolutions", "none"),
    ("new-first", "A new fc6 for this map", "first"),
    ("gap", "Global average pooling, one new layer", "all"),
    ("spp", "Spatial pyramid pooling, a new fc6", "first"),
)
"""Names as in `vgglab.lab.repairs`, titles, and which FC layers get other weights."""


@dataclass(frozen=True)
class Explorer:
    """The figure for one configuration of Table 1; readers can switch to the others.

    Build one with `explorer`. A notebook shows it when it is the last line of a cell.

    Attributes
    ----------
    config
        The configuration that the figure shows first.
    """

    config: str

    def data(self) -> dict[str, Any]:
        """Return everything that the figure shows, as the plain dict that its JSON is made from.

        Returns
        -------
        dict
            ``config``: the one shown first. ``start`` and ``examples``: heights and widths.
            ``most`` and ``slider``: the largest sides. ``configs``: for each configuration the
            title, the five stages of layers, each layer a name, a kernel and a number of channels,
            and the number of ``weights`` of the convolutions. ``pool``: kernel size and stride.
            ``classifier``: names and sizes of the fully connected layers. ``fc6``: what it expects.
            ``repairs``: name, title, and which of the fully connected layers are new. ``levels``:
            of spatial pyramid pooling. ``photo``: a data URL.
        """
        return {
            "config": self.config,
            "start": list(START),
            "examples": [list(size) for size in EXAMPLES],
            "most": MOST,
            "slider": SLIDER,
            "configs": {
                name: {
                    "title": config_title(config),
                    "stages": _stages(config),
                    "weights": _weights(config),
                }
                for name, config in CONFIGS.items()
            },
            "pool": [POOL.kernel_size, POOL.stride],
            "classifier": [list(layer) for layer in FULLY_CONNECTED],
            "fc6": {"channels": CONFIGS[self.config].convs()[-1].out_channels, "side": FC_SIDE},
            "repairs": [list(repair) for repair in REPAIRS],
            "levels": list(LEVELS),
            "photo": photograph(),
        }

    def __repr__(self) -> str:
        return (
            f"explorer({self.config!r}): input sides up to {MOST} pixels, "
            "shown as a figure in a notebook"
        )

    def _repr_html_(self) -> str:
        return f"""\
<figure class="vgglab-figure">
{figure_html("explorer", self.data(), _table(CONFIGS[self.config]))}\
<figcaption>Each pooling halves the map and drops what is left over.
The first fully connected layer, fc6, has one weight for each of the features of a
{FC_SIDE} × {FC_SIDE} map, so only some inputs fit. Each picture has as many cells as a map of that
stage, and each cell about the mean colour of the pixels that its poolings read.
Photograph: chelsea of scikit-image (CC0, Stefan van der Walt).</figcaption>
</figure>
"""


def explorer(config: str = "D") -> Explorer:
    """Return the interactive figure "input size, every layer's shape, does 25088 match?".

    It is about the paper's own network, ``vgg(config, head="fc-fixed")``, on inputs of any
    height and width up to 4096 pixels, and what each of eight repairs answers at that size.

    Parameters
    ----------
    config
        A letter of Table 1 of the paper: ``"A"``, ``"A-LRN"``, ``"B"``, ``"C"``, ``"D"``, ``"E"``.

    Raises
    ------
    ValueError
        If the paper has no such configuration.
    """
    return Explorer(get_config(config).name)


def _stages(config: Config) -> list[list[list[str | int]]]:
    """Return [name, kernel, channels] for each layer of each stage."""
    stages: list[list[list[str | int]]] = [[]]
    channels = convs = 0
    for layer in config.layers():
        stage = len(stages)
        if isinstance(layer, Conv):
            convs += 1
            channels = layer.out_channels
            kernel = f"{layer.kernel_size}×{layer.kernel_size}"
            stages[-1].append([f"conv{stage}_{convs}", kernel, channels])
        elif layer == "maxpool":
            kernel = f"{POOL.kernel_size}×{POOL.kernel_size}"
            stages[-1].append([f"pool{stage}", kernel, channels])
            stages.append([])
            convs = 0
        else:
            stages[-1].append([f"{layer.lower()}{stage}", "", channels])
    return stages[:-1]


def _weights(config: Config) -> int:
    """Return the number of weights and biases of the convolutions."""
    channels, count = 3, 0
    for conv in config.convs():
        count += conv.out_channels * (channels * conv.kernel_size**2 + 1)
        channels = conv.out_channels
    return count


def _table(config: Config) -> str:
    """Return the figure's content for readers without scripts."""
    channels = config.convs()[-1].out_channels
    rows = []
    for size in EXAMPLES:
        halved = [feature_map_sizes(side, POOLS)[1:] for side in size]
        cells = [" × ".join(map(str, sides)) for sides in zip(*halved, strict=True)]
        map_size = tuple(sides[-1] for sides in halved)
        features = channels * map_size[0] * map_size[1]
        if not features:
            fits = "too small"
        elif map_size == (FC_SIDE, FC_SIDE):
            fits = "yes"
        else:
            fits = "by accident" if features == channels * FC_SIDE**2 else "no"
        rows.append(
            f'<tr><th scope="row">{" × ".join(map(str, size))}</th>'
            + "".join(f"<td>{cell}</td>" for cell in [*cells, f"{features:,}", fits])
            + "</tr>"
        )
    right = input_sizes(FC_SIDE, POOLS)
    return fallback_table(
        "explorer",
        "Sizes of the feature maps",
        f"Config {config_title(config)}: heights and widths of the maps; fc6 expects "
        f"{channels * FC_SIDE**2:,} features, which sides of {right[0]} to {right[-1]} px give",
        ["input", *(f"pool{stage}" for stage, _ in enumerate(POOLS, 1)), "features", "fits"],
        "\n".join(rows),
    )
