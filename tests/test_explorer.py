import json
import re
import subprocess
import sys

import pytest
import torch
from pages import assert_self_contained
from torch import nn

from vgglab.diagnose.candidates import LEVELS
from vgglab.figures.explorer import EXAMPLES, explorer
from vgglab.lab.repairs import REPAIRS
from vgglab.models.configs import CONFIGS, FC_SIDE
from vgglab.models.network import vgg


@pytest.fixture(scope="module")
def data():
    return explorer("D").data()


@pytest.mark.parametrize("config", CONFIGS)
def test_channels_and_weights_are_the_networks(data, config):
    model = vgg(config, head="fc-fixed", device="meta")
    x = torch.empty(1, 3, 224, 224, device="meta")
    channels = []
    for module in model.features:
        x = module(x)
        if not isinstance(module, nn.ReLU):
            channels.append(x.shape[1])
    shown = data["configs"][config]
    assert [row[2] for layers in shown["stages"] for row in layers] == channels
    assert shown["weights"] == sum(p.numel() for p in model.features.parameters())


@pytest.mark.parametrize("config", CONFIGS)
def test_layers_are_those_of_the_network(data, config):
    names, kernels = [], []
    for stage, layers in enumerate(data["configs"][config]["stages"], start=1):
        for name, kernel, _ in layers:
            assert re.fullmatch(rf"(conv{stage}_\d|lrn{stage}|pool{stage})", name)
            names.append(re.match("[a-z]+", name)[0])
            kernels.append(kernel)
    kinds = {nn.Conv2d: "conv", nn.MaxPool2d: "pool", nn.LocalResponseNorm: "lrn"}
    modules = [m for m in vgg(config, device="meta").features if not isinstance(m, nn.ReLU)]
    assert names == [kinds[type(module)] for module in modules]
    for module, kernel in zip(modules, kernels, strict=True):
        side = getattr(module, "kernel_size", None)
        side = side[0] if isinstance(side, tuple) else side
        assert kernel == (f"{side}×{side}" if side else "")


def test_classifier_is_that_of_the_network(data):
    linear = [m for m in vgg("D", device="meta").classifier if isinstance(m, nn.Linear)]
    assert [size for _, size in data["classifier"]] == [layer.out_features for layer in linear]
    assert data["fc6"] == {"channels": 512, "side": FC_SIDE}
    assert linear[0].in_features == 512 * FC_SIDE**2


def test_repairs_are_those_of_the_lab(data):
    assert data["levels"] == list(LEVELS)
    for name, _, changed in data["repairs"][1:]:
        assert REPAIRS[name].changed == changed


@pytest.mark.parametrize("config", CONFIGS)
def test_html_is_small_and_always_the_same(config):
    html = explorer(config)._repr_html_()
    assert html == explorer(config)._repr_html_()
    assert len(html.encode()) < 60_000
    assert json.loads(json.dumps(explorer(config).data()))["config"] == config


def test_html_is_self_contained():
    assert_self_contained(explorer("D")._repr_html_())


def test_table_for_readers_without_scripts():
    html = explorer("A-LRN")._repr_html_()
    table = html[html.index("<table>") : html.index("</table>")]
    assert "<caption>Config A-LRN" in table
    rows = [
        re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in re.findall(r"<tr>.*?</tr>", table, re.S)
    ]
    assert rows[0] == ["input", "pool1", "pool2", "pool3", "pool4", "pool5", "features", "fits"]
    assert [tuple(map(int, row[0].split(" × "))) for row in rows[1:]] == list(EXAMPLES)
    squares = [[cell.split(" × ")[0] for cell in row] for row in rows]
    assert ["400", "200", "100", "50", "25", "12", "73,728", "no"] in squares
    assert ["255", "127", "63", "31", "15", "7", "25,088", "yes"] in squares
    assert rows[-1][-2:] == ["25,088", "by accident"]
    assert rows[1][-2:] == ["0", "too small"]
    assert table.count('scope="row"') == len(EXAMPLES)
    assert table.count('scope="col"') == len(rows[0])


def test_text():
    assert repr(explorer("E")).startswith("explorer('E'): input sides up to 4096")


@pytest.mark.parametrize("config", ["F", "vgg16", None, 16])
def test_unknown_config(config):
    with pytest.raises(ValueError, match="config must be one of A, A-LRN, B, C, D, E; got"):
        explorer(config)


def test_needs_no_torch():
    code = (
        "import sys; from vgglab.figures.explorer import explorer; explorer()._repr_html_(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
