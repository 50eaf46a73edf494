"""A page's own network: shapes, sizes that fit and repairs of a stack that a reader writes.

The reader's browser computes here, for it cannot ask `vgglab`; tests compare its answers with
`vgglab`'s on generated networks. What the layers are called and which arguments they take is read
from torch. ``stack.html`` holds markup and style, ``stack.js`` the rest. Readers without scripts
see a table.
"""

import inspect
from html import escape
from typing import Any

from torch import nn

from vgglab.figures.element import fallback_table, figure_html
from vgglab.lab.small_networks import FC_SIDE, slim_fc_vgg
from vgglab.models.network import vgg
from vgglab.tracing import trace
from vgglab.valid_sizes.propagation import LIMIT

KINDS = {
    "convolution": "Conv2d",
    "transposed": "ConvTranspose2d",
    "pool": "MaxPool2d AvgPool2d",
    "adaptive": "AdaptiveAvgPool2d AdaptiveMaxPool2d",
    "norm": "BatchNorm2d",
    "features": "BatchNorm1d",
    "linear": "Linear",
    "flatten": "Flatten",
    "upsample": "Upsample",
    "same": (
        "ReLU ReLU6 LeakyReLU ELU GELU SiLU Hardswish Sigmoid Tanh Softmax LogSoftmax Identity "
        "Dropout Dropout1d Dropout2d LocalResponseNorm"
    ),
}
"""The layers that the page knows, by what they do to a shape."""

VALUES: dict[str, dict[str, Any]] = {
    **{name: {"least": 1, "most": 4096} for name in ("kernel_size", "dilation")},
    **{name: {"least": 0, "most": 4096} for name in ("padding", "output_padding")},
    **{name: {"least": 1, "most": 4096, "free": True} for name in ("stride", "output_size")},
    **{
        name: {"least": 1, "most": 10**9, "single": True}
        for name in (
            ["in_channels", "out_channels", "groups", "in_features", "out_features", "num_features"]
        )
    },
    "padding_mode": {"only": ["zeros"]},
    "return_indices": {"only": [False]},
    "start_dim": {"only": [1]},
    "end_dim": {"only": [-1, 3]},
    "mode": {"only": ["nearest", "bilinear"]},
}
"""What an argument may be: numbers from the least to the most, of both axes or a single one, or
``None`` where it is free; or only what is listed."""

TEXTS = {
    "flattened": "takes a map, and gets {} features: the map was flattened",
    "gets": "takes {} {} and gets {}",
    "window": "has a window of {} px, and the {} that comes is {} px{}",
    "around": " with {} px of padding on each side",
    "groups": "groups={} must divide {} and {} channels",
    "same": "padding=same needs stride 1",
    "extra": "output_padding must be below stride or dilation",
    "nothing": "leaves no cell of the map",
    "wide": "padding must be at most half of kernel_size",
    "map": "takes features, and gets a map",
    "product": "mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
    "size": "it needs size or scale_factor",
    "large": "makes a map of more than {} px a side",
    "value": "{} is no number, and no pair of them",
    "fewer": "{} takes fewer arguments",
    "no": "{} has no argument {}",
    "needs": "{} needs {}",
    "unknown": "{} with {}={} is not known here",
    "number": "{} of {} must be a whole number from {} to {}",
    "wrong": "{}: {}",
    "line": "Line {} cannot be read: {}.",
    "stranger": "{} is no layer that is known here, and may be no chain",
    "bracket": "a bracket of {} stays open",
    "no layer": "it is no layer, such as Conv2d(3, 64, 3)",
    "no rows": "the table has no layers",
    "chain": (
        "Read as a chain, in the order in which the layers stand; a forward may do otherwise."
    ),
    "joins": (
        "This is no chain: {} takes {} channels, which are the {} that come and {} from further "
        "up. Here each layer reads the one before."
    ),
    "put in": " A flatten is put before the first Linear.",
    "summary": (
        "Read from the shapes in a summary: it does not print strides and paddings, so the usual "
        "ones that fit were taken."
    ),
    "no kernel": "{} has no kernel that gives {} parameters",
    "too little": "the table does not say enough about {}",
    "no window": "no usual window makes {} of {}",
    "Adaptive pooling": "Averages every map to {} cells; keeps every weight.",
    "Convolutions": "The same weights as a {} window that slides; the scores are averaged.",
    "Flatten": "Turns the map into features.",
    "Keep the map": "Removes the flatten of layer {}.",
    "Change the line": "A fresh layer{}; other sizes fail again.",
    "lost": ": its {} trained weights are lost",
    "Leave it out": "Removes layer {}, {}.",
    "Other images": "The network stays as it is.",
    "built": " It was built for {} and gets {}.",
    "then": " Then layer {} stops.",
    "read": "{} layers read.",
    "address": "The address of this page holds the network: copy it.",
}
"""What the page says, with gaps for what it computes."""

SIZE = 400


def stack() -> str:
    """Return the page's own network, as HTML that needs nothing else."""
    data = stack_data()
    return f"""\
<div class="vgglab-figure">
{figure_html("stack", data, _table())}\
</div>
"""


def stack_data() -> dict[str, Any]:
    """Return what the page starts from, as the plain dict that its JSON is made from.

    Returns
    -------
    dict
        ``layers``: for each layer its kind and its parameters in order, each a name and, if it has
        one, a default. ``examples``: titles with an input (C, H, W) and lines of code. ``limit``:
        the largest side that is tried. ``texts`` and ``values``: `TEXTS` and `VALUES`.
    """
    return {
        "layers": {
            name: {"kind": kind, "parameters": _parameters(name)}
            for kind, names in KINDS.items()
            for name in names.split()
        },
        "examples": {
            title: {"input": list(size), "lines": lines_of(network)}
            for title, (size, network) in _examples().items()
        },
        "limit": LIMIT,
        "texts": TEXTS,
        "values": VALUES,
    }


def lines_of(network: nn.Module) -> list[str]:
    """Return the layers of a chain, in the order of their registration, as lines of code.

    Parameters
    ----------
    network
        Of layers that the page knows.
    """
    leaves = [module for module in network.modules() if not [*module.children()]]
    return [_line(module) for module in leaves if not isinstance(module, nn.Identity)]


def _examples() -> dict[str, tuple[tuple[int, int, int], nn.Module]]:
    """Return networks that show something at once; the first is seen first."""
    return {
        "VGG-16, as in the paper": ((3, SIZE, SIZE), vgg("D", head="fc-fixed", device="meta")),
        "VGG-16 with adaptive pooling": ((3, SIZE, SIZE), vgg("D", device="meta")),
        "VGG-16 with a map of scores": (
            (3, SIZE, SIZE),
            nn.Sequential(vgg("D", head="conv", device="meta")),
        ),
        "A small network on photographs": ((3, 3 * FC_SIDE, 4 * FC_SIDE), slim_fc_vgg()),
        "A decoder": (
            (3, 30, 30),
            nn.Sequential(
                nn.Conv2d(3, 16, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(32, 16, 2, stride=2),
                nn.ReLU(),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(16, 3, 1),
            ),
        ),
    }


def _parameters(name: str) -> list[list[Any]]:
    parameters = inspect.signature(getattr(nn, name)).parameters.values()
    return [
        [p.name] if p.default is p.empty else [p.name, p.default]
        for p in parameters
        if p.name not in ("device", "dtype", "args", "kwargs")
    ]


def _line(module: nn.Module) -> str:
    """Return a layer as it would be written, without what is torch's default."""
    parts = []
    for name, *default in _parameters(type(module).__name__):
        value = getattr(module, name, None)
        if name == "bias":
            value = value is not None
        if isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        is_pool = isinstance(module, nn.MaxPool2d | nn.AvgPool2d)
        unsaid = is_pool and name == "stride" and value == module.kernel_size
        if name == "inplace" or [value] == default or unsaid:
            continue
        parts.append(f"{name}={value!r}" if default else repr(value))
    return f"{type(module).__name__}({', '.join(parts)})"


def _table() -> str:
    """Return what the page shows first for readers without scripts."""
    (title, (size, network)), *_ = _examples().items()
    found = trace(network, (1, *size))
    assert found.failure is not None
    rows = []
    for op in found.ops:
        shape = " × ".join(map(str, op.output_shapes[0][1:]))
        rows.append((op.path, found.modules[op.path], shape))
    rows.append((found.failure.path, found.failure.type, f"stops: {found.failure.message}"))
    body = "\n".join(
        f'<tr><th scope="row">{escape(path)}</th><td>{kind}</td><td>{escape(shape)}</td></tr>'
        for path, kind, shape in rows
        if kind not in ("ReLU", "Dropout")
    )
    sides = " × ".join(map(str, size))
    return "<p>This page needs scripts to work on your own network.</p>\n" + fallback_table(
        "stack",
        "Shapes of the layers' outputs",
        f"{title}, on an image of {sides}: channels × height × width",
        ("layer", "type", "output"),
        body,
    )
