"""An interactive figure: input size, every layer's shape, and whether fc6 accepts the result.

Every number that the figure shows is computed here, with `vgglab.models.configs` and
`vgglab.shapes`, and handed over as JSON. ``explorer.html`` holds the figure's markup and style,
``explorer.js`` its behaviour: it looks numbers up and draws them. Readers without scripts see a
table.
"""

from dataclasses import dataclass
from typing import Any

from vgglab.figures.element import fallback_table, figure_html
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

INPUT_SIZES = range(32, 513)
EXAMPLES = (32, 224, 255, 256, 384, 400, 512)
START = 400

POOL = Window(kernel_size=2, stride=2)
POOLS = (POOL,) * 5


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
            ``config`` and ``start``: the configuration and input side shown first. ``examples``:
            instructive input sides. ``configs``: for each configuration the title and the five
            stages of layers, each layer a name, a kernel and a number of channels. ``sides``: for
            each input side the input and the five poolings' sides. ``odd``: the sides of which a
            pooling drops the last row and column. ``maps``: for each side of the last feature map
            the number of features, the smallest and largest input that gives it, and torch's
            error at fc6 (``None`` if it fits). ``classifier``: names and sizes of the fully
            connected layers. ``fc6``: what it expects.
        """
        sides = {size: feature_map_sizes(size, POOLS) for size in INPUT_SIZES}
        channels = CONFIGS[self.config].convs()[-1].out_channels
        return {
            "config": self.config,
            "start": START,
            "examples": list(EXAMPLES),
            "configs": {
                name: {"title": config_title(config), "stages": _stages(config)}
                for name, config in CONFIGS.items()
            },
            "sides": {str(size): row for size, row in sides.items()},
            "odd": sorted({side for row in sides.values() for side in row[:-1] if _drops(side)}),
            "maps": {
                str(side): _feature_map(channels, side)
                for side in sorted({row[-1] for row in sides.values()})
            },
            "classifier": [list(layer) for layer in FULLY_CONNECTED],
            "fc6": {"channels": channels, "side": FC_SIDE},
        }

    def __repr__(self) -> str:
        return (
            f"explorer({self.config!r}): input sides {INPUT_SIZES[0]} to {INPUT_SIZES[-1]}, "
            "shown as a figure in a notebook"
        )

    def _repr_html_(self) -> str:
        data = self.data()
        return f"""\
<figure class="vgglab-figure">
{figure_html("explorer", data, _table(data))}\
<figcaption>Each pooling halves the map and drops what is left over.
The first fully connected layer, fc6, has one weight for each of the features of a
{FC_SIDE} × {FC_SIDE} map, so only some inputs fit.</figcaption>
</figure>
"""


def explorer(config: str = "D") -> Explorer:
    """Return the interactive figure "input size, every layer's shape, does 25088 match?".

    It is about the paper's own network, ``vgg(config, head="fc-fixed")``, on square inputs of
    32 to 512 pixels.

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


def _drops(side: int) -> bool:
    """Whether the pooling's last window ends before the last pixel."""
    return (POOL.output_size(side) - 1) * POOL.stride + POOL.extent < side


def _feature_map(channels: int, side: int) -> dict[str, Any]:
    inputs = input_sizes(side, POOLS)
    features, expected = channels * side**2, channels * FC_SIDE**2
    hidden = FULLY_CONNECTED[0][1]
    error = f"mat1 and mat2 shapes cannot be multiplied (1x{features} and {expected}x{hidden})"
    return {
        "features": features,
        "inputs": [inputs[0], inputs[-1]],
        "error": None if features == expected else error,
    }


def _table(data: dict[str, Any]) -> str:
    """Return the figure's content for readers without scripts."""
    stages = data["configs"][data["config"]]["stages"]
    rows = []
    for size in data["examples"]:
        side, *halved = data["sides"][str(size)]
        feature_map = data["maps"][str(halved[-1])]
        cells = [*map(str, halved), f"{feature_map['features']:,}"]
        cells.append("no" if feature_map["error"] else "yes")
        rows.append(
            f'<tr><th scope="row">{side}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    expected = data["maps"][str(FC_SIDE)]["features"]
    title = data["configs"][data["config"]]["title"]
    return fallback_table(
        "explorer",
        "Sides of the feature maps",
        f"Config {title}: sides of the maps in pixels; fc6 expects {expected:,} features",
        ["input", *(stage[-1][0] for stage in stages), "features", "fits"],
        "\n".join(rows),
    )
