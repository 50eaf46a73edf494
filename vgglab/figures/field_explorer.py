"""An interactive figure: what a cell of a feature map sees of the image, layer by layer.

Every box that the figure draws is computed here, with `vgglab.receptive_field`, and handed over as
JSON. ``field_explorer.html`` holds the figure's markup and style, ``field_explorer.js`` its
behaviour: it looks numbers up and draws them. Readers without scripts see a table.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from torch import nn

from vgglab.arguments import as_pair
from vgglab.figures.element import fallback_table, figure_html, photograph
from vgglab.models.configs import CONFIGS, FC_SIDE, FULLY_CONNECTED, config_title, get_config
from vgglab.models.network import vgg
from vgglab.receptive_field import ReceptiveField, receptive_fields

SIDE = 224
START = ("conv4_1", 0.1, 0.4)
FC6 = FULLY_CONNECTED[0][0]

AxisData: TypeAlias = tuple[int, int, int, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class FieldExplorer:
    """The figure for one configuration of Table 1; readers can switch to the others.

    Build one with `field_explorer`. A notebook shows it when it is the last line of a cell.

    Attributes
    ----------
    config
        The configuration that the figure shows first.
    """

    config: str

    def data(self) -> dict[str, Any]:
        """Return everything that the figure shows, as the plain dict that its JSON is made from.

        Image, kernels and maps are square, so one axis speaks for both.

        Returns
        -------
        dict
            ``config`` and ``start``: the configuration shown first, and the layer and the place of
            its cell, as parts of the image's height and width. ``configs``: for
            each configuration the title, the ``maps`` and what is ``seen``. ``maps``: from the
            image to the output of fc6, each a name, the kernel and the stride that made it, and its
            side. ``seen``: for each map, and for each of the maps before it, an index into
            ``axes``. ``axes``: the size, the stride and the padding of what a cell sees, and of
            each cell the first and the last place that it sees within the map. ``photo``: a data
            URL.
        """
        networks, axes = _tables()
        return {
            "config": self.config,
            "start": list(START),
            "configs": {
                name: {"title": config_title(config), **networks[name]}
                for name, config in CONFIGS.items()
            },
            "axes": [list(axis) for axis in axes],
            "photo": photograph(),
        }

    def __repr__(self) -> str:
        return (
            f"field_explorer({self.config!r}): receptive fields at {SIDE} × {SIDE} pixels, "
            "shown as a figure in a notebook"
        )

    def _repr_html_(self) -> str:
        data = self.data()
        return f"""\
<figure class="vgglab-figure">
{figure_html("field_explorer", data, _table(data))}\
<figcaption>What one cell of a feature map can depend on, in the map before it, in the one before
that, and so on to the image. Rows and columns are counted from 0. {FC6} is written as a
{FC_SIDE} × {FC_SIDE} convolution. A map is drawn as the photograph with as many cells.
Photograph: chelsea of scikit-image (CC0, Stefan van der Walt).</figcaption>
</figure>
"""


def field_explorer(config: str = "D") -> FieldExplorer:
    """Return the interactive figure "which pixels does this cell see?".

    It is about the paper's own network, ``vgg(config, head="conv")``, on square images of 224
    pixels, up to its first fully connected layer.

    Parameters
    ----------
    config
        A letter of Table 1 of the paper: ``"A"``, ``"A-LRN"``, ``"B"``, ``"C"``, ``"D"``, ``"E"``.

    Raises
    ------
    ValueError
        If the paper has no such configuration.
    """
    return FieldExplorer(get_config(config).name)


@cache
def _tables() -> tuple[dict[str, dict[str, Any]], tuple[AxisData, ...]]:
    """Return ``maps`` and ``seen`` of each configuration, and the ``axes`` that they share."""
    places: dict[AxisData, int] = {}
    networks = {}
    for config in CONFIGS:
        layers = _layers(config)
        maps: list[list[Any]] = [["image", None, None, SIDE]]
        seen: list[list[int]] = [[] for _ in range(len(layers) + 1)]
        # From the image, then from each map on: what follows is a network of its own.
        for begin, (name, layer) in enumerate(layers.items()):
            rest = nn.Sequential(OrderedDict(list(layers.items())[begin:]))
            fields = {f.path: f for f in receptive_fields(rest, (1, 1, maps[-1][3], maps[-1][3]))}
            for row, field in zip(seen[begin + 1 :], fields.values(), strict=True):
                row.append(places.setdefault(_axis(field), len(places)))
            maps.append([name, *_window(layer), fields[name].map_size[0]])
        networks[config] = {"maps": maps, "seen": seen}
    return networks, tuple(places)


def _layers(config: str) -> dict[str, nn.Module]:
    """Return the layers by name. Of one channel each, for channels see the same; without ReLUs."""
    model = vgg(config, head="conv", in_channels=1, width=1 / 512, device="meta")
    kinds = {nn.Conv2d: "conv", nn.LocalResponseNorm: "lrn", nn.MaxPool2d: "pool"}
    layers: dict[str, nn.Module] = {}
    stage = convs = 1
    for module in model.features:
        kind = kinds.get(type(module))
        if kind == "conv":
            layers[f"conv{stage}_{convs}"] = module
            convs += 1
        elif kind:
            layers[f"{kind}{stage}"] = module
        if kind == "pool":
            stage, convs = stage + 1, 1
    return {**layers, FC6: model.classifier[0]}


def _window(layer: nn.Module) -> tuple[int, int]:
    """Return the side of the kernel and the stride; LRN reads across channels only."""
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
        kernel, stride = as_pair("kernel_size", layer.kernel_size), as_pair("stride", layer.stride)
        return kernel[0], stride[0]
    return 1, 1


def _axis(field: ReceptiveField) -> AxisData:
    if field.size is None or field.stride is None or field.padding is None:
        raise ValueError(f"the field must be the same for every cell but for a shift; got {field}")
    boxes = [field.box(k, k) for k in range(field.map_size[0])]
    first, last = tuple(box.top for box in boxes), tuple(box.bottom - 1 for box in boxes)
    return field.size[0], field.stride[0], field.padding[0], first, last


def _table(data: dict[str, Any]) -> str:
    """Return the figure's content for readers without scripts."""
    config = data["configs"][data["config"]]
    rows = []
    for (name, _, _, side), seen in zip(config["maps"][1:], config["seen"][1:], strict=True):
        size, stride, padding, first, last = data["axes"][seen[0]]
        middle = side // 2
        rows.append(
            f'<tr><th scope="row">{name}</th><td>{side} × {side}</td><td>{size} × {size}</td>'
            f"<td>{stride}</td><td>{padding}</td><td>({middle}, {middle})</td>"
            f"<td>{first[middle]}–{last[middle]}</td></tr>"
        )
    table = fallback_table(
        "field_explorer",
        "Receptive fields by layer",
        f"Config {config['title']}: receptive fields in an image of {SIDE} × {SIDE} pixels, and "
        "what the cell in the middle of each map sees of it",
        ["layer", "map", "field", "stride", "padding", "middle cell", "its rows and columns"],
        "\n".join(rows),
    )
    return f"<style>figure:has(> vgglab-field-explorer) {{ margin-inline: 0; }}</style>\n{table}"
