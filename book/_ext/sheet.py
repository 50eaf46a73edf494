"""The tables of the sheet for the wall: formulas with an example that is computed, and repairs."""

from __future__ import annotations

Rows = list[list[str]]

# What is asked, the formula, and a line of code whose value is an example.
FORMULAS = (
    (
        "side after a convolution or a pooling",
        r"\left\lfloor\frac{n + 2p - d(k-1) - 1}{s}\right\rfloor + 1",
        "conv_output_size(400, 2, stride=2)",
    ),
    (
        "side after a transposed convolution",
        r"(n-1)s - 2p + d(k-1) + p_\mathrm{out} + 1",
        "nn.ConvTranspose2d(3, 8, 4, 2, 1)(torch.zeros(1, 3, 12, 12)).shape[-1]",
    ),
    (
        "sides of VGG, from the image to the last map",
        r"\lfloor n / 2^i \rfloor",
        "feature_map_sizes(400, 5 * [Window(2, stride=2)])",
    ),
    (
        "sides of images that give a map of side m",
        r"32m \text{ to } 32m + 31",
        "input_sizes(7, 5 * [Window(2, stride=2)])",
    ),
    ("features that fc6 gets", r"512\,h\,w", "[512 * side**2 for side in (7, 12)]"),
    (
        "what a cell sees, layer by layer",
        r"r \leftarrow r + d(k-1)j,\quad j \leftarrow js",
        'receptive_field(vgg("D", device="meta"), (1, 3, 224, 224), "features").size',
    ),
    (
        "weights of a convolution",
        r"k^2 c_\mathrm{in} c_\mathrm{out} / g + c_\mathrm{out}",
        "summary(nn.Conv2d(64, 64, 3, padding=1), (1, 64, 224, 224)).total_params",
    ),
    (
        "its multiply-adds for one image",
        r"k^2 c_\mathrm{in} c_\mathrm{out} / g \cdot h\,w",
        "summary(nn.Conv2d(64, 64, 3, padding=1, bias=False), (1, 64, 224, 224)).mult_adds",
    ),
    (
        "three 3×3 for one 7×7, C channels",
        r"27C^2 \text{ for } 49C^2 \text{ weights}",
        "27 / 49",
    ),
    (
        "cells of bin i in adaptive pooling, n to m",
        r"\lfloor in/m \rfloor \text{ to } \lceil (i+1)n/m \rceil - 1",
        "[list(cells) for cells in adaptive_bins(12, 7)[:3]]",
    ),
    (
        "pooling and fc6 as one kernel",
        r"A_h^\top K A_w,\ A_{ij} = 1/\lvert\mathrm{bin}_i\rvert",
        "tuple(adaptive_matrix(12, 7).shape)",
    ),
    (
        "scores along a side with fc6 as a convolution",
        r"\lfloor n / 32 \rfloor - 6",
        "conv_output_size(12, 7)",
    ),
    (
        "BatchNorm folded into the layer before",
        r"wt,\quad \beta + (b - \mu)t \text{ with } t = \gamma/\sqrt{\sigma^2 + \epsilon}",
        "",
    ),
    (
        "LRN, as AlexNet has it",
        r"a_c\left(k + \alpha\textstyle\sum_{\lvert i - c\rvert \le n/2} a_i^2\right)^{-\beta}",
        "",
    ),
    (
        "weights of the last layer: Flatten, then GAP",
        r"c\,h\,w\,C \text{ and } c\,C",
        "512 * 7 * 7 * 1000, 512 * 1000",
    ),
)


def example(code: str) -> str:
    """Return what a line of code gives, beside it."""
    if not code:
        return ""
    import torch
    from torch import nn

    import vgglab

    names = {name: getattr(vgglab, name) for name in vgglab.__all__} | {"torch": torch, "nn": nn}
    value = eval(code, names)
    if isinstance(value, range):
        value = f"{value[0]} to {value[-1]}"
    elif isinstance(value, int):
        value = f"{value:,}"
    elif isinstance(value, float):
        value = f"{value:.2f}"
    return f"`{code}`: {value}"


def formula_rows() -> Rows:
    """Return a row for each formula, the head first."""
    rows = [[what, f"${latex}$", example(code)] for what, latex, code in FORMULAS]
    return [["what", "formula", "for example"], *rows]


def repair_rows() -> Rows:
    """Return a row for each repair of VGG-16 at 400 px, the head first."""
    from vgglab import diagnose, vgg

    found = diagnose(vgg("D", head="fc-fixed", device="meta").eval(), (1, 3, 400, 400))
    head = ["repair", "the same where", "weights kept", "parameters", "mult-adds", "line"]
    return [
        head,
        *(
            [
                fix.name,
                fix.same,
                f"{fix.share_kept:.0%}",
                f"{fix.parameters / 1e6:,.1f} M",
                f"{fix.mult_adds / 1e9:,.1f} G",
                f"`{fix.line}`",
            ]
            for fix in found.fixes
        ),
    ]
