"""The receptive fields that the figure of chapter 02 has to show, of the networks themselves."""

from functools import cache

from torch import nn

from vgglab.convert import fc_to_conv
from vgglab.figures.explorer import explorer
from vgglab.figures.field_explorer import SIDE
from vgglab.models.network import vgg
from vgglab.receptive_field import ReceptiveField, receptive_fields


def names(config):
    stages = explorer("D").data()["configs"][config]["stages"]
    return [name for layers in stages for name, *_ in layers] + ["fc6"]


@cache
def fields(config: str) -> dict[str, list[ReceptiveField]]:
    """What a layer's cells see of the image, and of the map of each layer before it.

    Of the paper's network as it stands, with its ReLUs, and fc6 rewritten.
    """
    size = (1, 3, SIDE, SIDE)
    network = fc_to_conv(vgg(config, head="fc-fixed", device="meta"), size)
    layers = [*network.features, network.classifier[0]]
    shape = size
    found: dict[str, list[ReceptiveField]] = {name: [] for name in names(config)}
    follow = list(found)
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.ReLU):
            continue
        rest = nn.Sequential(*layers[index:])
        last = {int(field.path): field for field in receptive_fields(rest, shape)}
        kept = [field for k, field in last.items() if not isinstance(rest[k], nn.ReLU)]
        for name, field in zip(follow, kept, strict=True):
            found[name].append(field)
        follow.pop(0)
        shape = (1, getattr(layer, "out_channels", shape[1]), *kept[0].map_size)
    return found
