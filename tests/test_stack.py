"""The page for readers' own stacks; tests/browser/test_stack.py uses it."""

import gzip
import re

import pytest
from pages import assert_self_contained
from torch import nn

from vgglab.figures.stack import KINDS, lines_of, stack, stack_data
from vgglab.lab.small_networks import slim_fc_vgg
from vgglab.models.network import vgg


@pytest.fixture(scope="module")
def html():
    return stack()


def test_page_is_small_and_self_contained(html):
    assert len(gzip.compress(html.encode())) < 22_000
    assert_self_contained(html)


def test_table_for_readers_without_scripts(html):
    table = html[html.index("<table>") : html.index("</table>")]
    assert "VGG-16, as in the paper, on an image of 3 × 400 × 400" in table
    assert "<td>MaxPool2d</td><td>512 × 12 × 12</td>" in table
    assert re.findall('scope="row">([^<]*)</th><td>[^<]*</td><td>stops', table) == ["classifier.0"]


def test_layers_take_the_arguments_that_torchs_do():
    layers = stack_data()["layers"]
    assert [*layers] == " ".join(KINDS.values()).split()
    assert layers["MaxPool2d"]["parameters"][:2] == [["kernel_size"], ["stride", None]]
    for name, layer in layers.items():
        needed = [f"{p[0]}=2" for p in layer["parameters"] if len(p) == 1]
        assert isinstance(eval(f"nn.{name}({', '.join(needed)})", {"nn": nn}), nn.Module)


@pytest.mark.parametrize(
    "network",
    [
        vgg("D", head="conv", norm="batch", device="meta"),
        slim_fc_vgg(),
        nn.Sequential(
            nn.Conv2d(3, 6, (3, 5), stride=(2, 1), groups=3, bias=False),
            nn.Conv2d(6, 6, 3, padding="same"),
            nn.ConvTranspose2d(6, 4, 3, 2, 1, 1),
            nn.AvgPool2d(2, 1, ceil_mode=True),
            nn.AdaptiveMaxPool2d((None, 3)),
            nn.Upsample(size=(4, 5), mode="bilinear"),
        ),
    ],
)
def test_lines_build_the_same_layers(network):
    built = [eval(f"nn.{line}", {"nn": nn}) for line in lines_of(network)]
    leaves = [
        m for m in network.modules() if not [*m.children()] and not isinstance(m, nn.Identity)
    ]
    plain = re.compile(", inplace=True|inplace=True")
    assert [str(m) for m in built] == [plain.sub("", str(m)) for m in leaves]
