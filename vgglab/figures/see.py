"""The trained networks in a page: a reader's browser runs them on the reader's own photograph.

The weights come from the package, in half precision, as a script that the page loads when it needs
it: a page that was opened from a file may load no other kind of file. ``see.html`` holds markup and
style, ``see.js`` the loops. Tests compare what they say with torch.

Photographs: "cat" is chelsea of scikit-image (CC0, Stefan van der Walt), a square of it at 224 px;
"temple" and "flower" are china.jpg (CC BY 2.0, danielbuechele) and flower.jpg (CC BY 2.0,
vultilion) of scikit-learn.
"""

import base64
import io
import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vgglab.arguments import needs
from vgglab.convert import fc_to_conv
from vgglab.figures.element import figure_html
from vgglab.lab.pretrained import trained_slim_fc_vgg, trained_slim_vgg, trained_slim_vgg_card
from vgglab.lab.repairs import REPAIRS
from vgglab.lab.small_networks import FC_SIDE
from vgglab.lab.training import normalise
from vgglab.models.network import VGG

FOLDER = "see_weights"
"""Beside the page, where the scripts with the weights lie."""

HEADS = {"fc": trained_slim_fc_vgg, "gap": trained_slim_vgg}
SIDE = 224
START = 112


def see() -> str:
    """Return the page's figure, as HTML that needs nothing but the scripts with the weights."""
    data = {
        "start": START,
        "pictures": [
            {"name": name, "alt": alt, "source": _data_url(image)}
            for (name, alt), image in zip(_PICTURES, _pictures(), strict=True)
        ],
        "weights": {head: f"{FOLDER}/{head}.js" for head in HEADS},
        "repairs": {
            "none": "No repair.",
            **{name: repair.note for name, repair in REPAIRS.items() if not repair.fresh},
            "network-gap": "Another network, trained with global average pooling: takes any size.",
        },
    }
    return f"""\
<div class="vgglab-figure">
{figure_html("see", data, _still())}\
</div>
"""


def weights_script(head: str) -> str:
    """Return the script that gives a page the weights of the network with that head.

    Parameters
    ----------
    head
        ``"fc"`` or ``"gap"``, as in `vgglab.lab.pretrained.SHIPPED`.
    """
    network = rounded_network(head)
    layers: list[dict[str, Any]] = []
    weights: list[Tensor] = []
    for module in network.features:
        if isinstance(module, nn.Conv2d):
            weights.append(module.weight)
            layers.append(
                {"kind": "conv", "inputs": module.weight[0].numel(), "out": len(module.weight)}
            )
            assert module.bias is not None
            bias = module.bias.double()
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            assert module.running_mean is not None
            scale = module.weight.double() / (module.running_var.double() + module.eps).sqrt()
            shift = (bias - module.running_mean.double()) * scale + module.bias.double()
            layers[-1] |= {"scale": scale.tolist(), "shift": shift.tolist()}
        elif isinstance(module, nn.MaxPool2d):
            layers.append({"kind": "pool"})
    linear = [module for module in network.classifier if isinstance(module, nn.Linear)]
    weights += [module.weight for module in linear]
    channels = next(layer["out"] for layer in reversed(layers) if "out" in layer)
    half = torch.cat([weight.flatten() for weight in weights]).half().numpy()
    data = {
        "half": base64.b64encode(half.astype("<f2").tobytes()).decode(),
        "layers": layers,
        "head": [
            {"inputs": m.in_features, "out": m.out_features, "shift": m.bias.tolist()}
            for m in linear
        ],
        "side": round((linear[0].in_features / channels) ** 0.5),
        "classes": trained_slim_vgg_card(head)["classes"],
    }
    text = json.dumps(data, separators=(",", ":"))
    return f"(globalThis.vgglabWeights ??= {{}}).{head} = {text};\n"


@torch.no_grad()
def rounded_network(head: str) -> VGG:
    """Return the network with that head, its weights rounded to half precision, without gradients.

    Of ``"fc"`` they are what is shipped.
    """
    network = HEADS[head]().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.copy_(module.weight.half())
    return network


_PICTURES = (
    ("cat", "The face of a cat"),
    ("temple", "The roofs of a temple under a blue sky"),
    ("flower", "A flower before leaves"),
)


@cache
def _pictures() -> tuple[Image.Image, ...]:
    with needs("train"):
        from sklearn.datasets import load_sample_images
    cat = Image.open(io.BytesIO((files("vgglab.figures") / "cat.jpg").read_bytes()))
    photos = map(Image.fromarray, load_sample_images().images)
    return (cat.convert("RGB"), *map(_square, photos))


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    box = (left, top, left + side, top + side)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box)


def _data_url(image: Image.Image) -> str:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def _still() -> str:
    """Return what the page shows first as a picture, for readers without scripts."""
    network = rounded_network("fc")
    image = _pictures()[0].resize((START, START), Image.Resampling.BILINEAR)
    x = normalise(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])
    scores = fc_to_conv(network, (1, 3, FC_SIDE, FC_SIDE))(x)[0]  # (10, h, w)
    classes = trained_slim_vgg_card("fc")["classes"]
    best = int(scores.mean((1, 2)).argmax())
    sure = scores.softmax(0)[best].numpy()
    step = FC_SIDE // 7
    rim = (START - step * len(sure)) // 2
    shade = np.full((START, START), 0.8)  # as showClassMap in see.js
    cells = sure.repeat(step, 0).repeat(step, 1)
    shade[rim : rim + len(cells), rim : rim + len(cells)] = 0.8 * (1 - cells)
    drawn = Image.fromarray((np.array(image) * (1 - shade[..., None])).astype(np.uint8))
    drawn = drawn.resize((2 * START, 2 * START), Image.Resampling.NEAREST)
    alt = (
        f"A photograph of a cat, {START} pixels a side, and over it where the network with its FC "
        f"layers as convolutions, {len(sure)} × {len(sure)} answers, is sure of “{classes[best]}”: "
        "the lighter, the surer."
    )
    return (
        "<p>This page needs scripts to run the network; this is what it shows first.</p>\n"
        f'<p><img src="{_data_url(drawn)}" width="{drawn.width}" alt="{alt}"></p>'
    )
