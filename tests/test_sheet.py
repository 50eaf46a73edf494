"""The sheet for the wall: its examples are what its formulas give, its repairs what they do."""

import importlib.util
from math import ceil, floor
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

import vgglab
from vgglab import summary, vgg
from vgglab.normalization import local_response_norm

SPEC = importlib.util.spec_from_file_location(
    "sheet", Path(__file__).parents[1] / "book/_ext/sheet.py"
)
sheet = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sheet)

ROWS = {what: shown for what, _, shown in sheet.formula_rows()[1:]}


def seen_by_a_cell():
    sees, jump = 1, 1
    for convolutions in (2, 2, 3, 3, 3):
        for kernel_size, stride in [(3, 1)] * convolutions + [(2, 2)]:
            sees, jump = sees + (kernel_size - 1) * jump, jump * stride
    return sees, sees


# The formulas, worked out by hand for the numbers of the examples.
WORKED_OUT = {
    "side after a convolution or a pooling": (400 - (2 - 1) - 1) // 2 + 1,
    "side after a transposed convolution": (12 - 1) * 2 - 2 * 1 + (4 - 1) + 0 + 1,
    "sides of VGG, from the image to the last map": [floor(400 / 2**i) for i in range(6)],
    "sides of images that give a map of side m": f"{32 * 7} to {32 * 7 + 31}",
    "features that fc6 gets": [512 * 7 * 7, 512 * 12 * 12],
    "what a cell sees, layer by layer": seen_by_a_cell(),
    "weights of a convolution": f"{3**2 * 64 * 64 + 64:,}",
    "its multiply-adds for one image": f"{3**2 * 64 * 64 * 224 * 224:,}",
    "three 3×3 for one 7×7, C channels": f"{3 * 9 / 49:.2f}",
    "cells of bin i in adaptive pooling, n to m": [
        list(range(floor(i * 12 / 7), ceil((i + 1) * 12 / 7))) for i in range(3)
    ],
    "pooling and fc6 as one kernel": (7, 12),
    "scores along a side with fc6 as a convolution": 400 // 32 - 6,
    "weights of the last layer: Flatten, then GAP": (512 * 7 * 7 * 1000, 512 * 1000),
}


def test_an_example_is_what_its_formula_gives():
    assert {what for what, shown in ROWS.items() if shown} == WORKED_OUT.keys()
    for what, value in WORKED_OUT.items():
        assert ROWS[what].endswith(f"`: {value}"), ROWS[what]


def test_the_formulas_without_an_example():
    norm, x = nn.BatchNorm2d(3).eval(), torch.rand(2, 3, 4, 4)
    norm.running_mean += 0.5
    norm.running_var += 2
    gain = norm.weight / (norm.running_var + norm.eps) ** 0.5
    folded = x * gain.view(3, 1, 1) + (norm.bias + (0 - norm.running_mean) * gain).view(3, 1, 1)
    torch.testing.assert_close(norm(x), folded)
    a = torch.rand(1, 5, 1, 1)
    k, alpha, beta = 2, 0.1, 0.75
    around = sum(float(a[0, i]) ** 2 for i in range(5) if abs(i - 2) <= 3 / 2)
    lrn = local_response_norm(a, 3, alpha=alpha, beta=beta, k=k, formula="alexnet")
    assert float(lrn[0, 2]) == pytest.approx(float(a[0, 2]) / (k + alpha * around) ** beta)


def test_the_repairs_are_what_their_lines_do():
    head, *rows = sheet.repair_rows()
    assert len(rows) >= 6
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        names = {"model": vgg("D", head="fc-fixed", device="meta").eval()}
        exec(cells["line"].strip("`"), names | {"vgglab": vgglab, "nn": nn, "v2": v2}, names)
        found = summary(names["model"], (1, 3, 400, 400))
        assert cells["parameters"] == f"{found.total_params / 1e6:,.1f} M"
        assert cells["mult-adds"] == f"{found.mult_adds / 1e9:,.1f} G"
