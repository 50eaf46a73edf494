import json
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from pages import assert_self_contained
from torch import nn

from vgglab.figures.explorer import EXAMPLES, INPUT_SIZES, explorer
from vgglab.models.configs import CONFIGS, FC_SIDE
from vgglab.models.network import vgg

# Each side at which a map of the chain changes, and its neighbours, lies beside a multiple of 32.
SAMPLE = sorted({size for size in INPUT_SIZES if size % 32 in (0, 1, 15, 31)} | set(EXAMPLES))


@pytest.fixture(scope="module")
def data():
    return explorer("D").data()


def torch_shapes(model, size):
    """The outputs of the layers that the figure names: no ReLU."""
    shapes = []
    x = torch.empty(1, 3, size, size, device="meta")
    for module in model.features:
        x = module(x)
        if not isinstance(module, nn.ReLU):
            shapes.append([*x.shape[1:]])
    return shapes


@pytest.mark.parametrize("config", CONFIGS)
def test_shapes_are_torchs(data, config):
    model = vgg(config, head="fc-fixed", device="meta")
    stages = data["configs"][config]["stages"]
    for size in SAMPLE:
        sides = data["sides"][str(size)]
        shown = [
            [channels, side, side]
            for stage, layers in enumerate(stages)
            for name, _, channels in layers
            for side in [sides[stage + 1] if name.startswith("pool") else sides[stage]]
        ]
        assert shown == torch_shapes(model, size), size


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


def test_every_size_is_there(data):
    assert list(data["sides"]) == [str(size) for size in range(32, 513)]
    for size, sides in data["sides"].items():
        assert sides[0] == int(size)
        first, last = data["maps"][str(sides[-1])]["inputs"]
        assert first <= int(size) <= last


def test_odd_sides_lose_their_last_pixel(data):
    for sides in data["sides"].values():
        for before, after in pairwise(sides):
            assert (before in data["odd"]) == (before != 2 * after)


def test_classifier_is_that_of_the_network(data):
    linear = [m for m in vgg("D", device="meta").classifier if isinstance(m, nn.Linear)]
    assert [size for _, size in data["classifier"]] == [layer.out_features for layer in linear]
    assert data["fc6"] == {"channels": 512, "side": FC_SIDE}
    assert data["maps"][str(FC_SIDE)]["features"] == linear[0].in_features


def test_verdict_is_torchs(data):
    # Of one number each, however large they look: torch checks the shapes before it multiplies.
    weight = torch.empty(1, 1).expand(4096, 25088)
    for side, feature_map in data["maps"].items():
        assert feature_map["features"] == 512 * int(side) ** 2
        features = torch.empty(1, 1).expand(1, feature_map["features"])
        if side == "7":
            assert feature_map["error"] is None
        else:
            with pytest.raises(RuntimeError) as raised:
                nn.functional.linear(features, weight)
            assert feature_map["error"] == str(raised.value)


@pytest.mark.parametrize(("side", "inputs"), [(7, [224, 255]), (12, [384, 415]), (16, [512, 543])])
def test_inputs_of_a_map(data, side, inputs):
    assert data["maps"][str(side)]["inputs"] == inputs


@pytest.mark.parametrize("config", CONFIGS)
def test_html_is_small_and_always_the_same(config):
    html = explorer(config)._repr_html_()
    assert html == explorer(config)._repr_html_()
    assert len(html.encode()) < 40_000
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
    assert [int(row[0]) for row in rows[1:]] == list(EXAMPLES)
    assert ["400", "200", "100", "50", "25", "12", "73,728", "no"] in rows
    assert ["255", "127", "63", "31", "15", "7", "25,088", "yes"] in rows
    assert table.count('scope="row"') == len(EXAMPLES)
    assert table.count('scope="col"') == len(rows[0])


def test_text():
    assert repr(explorer("E")).startswith("explorer('E'): input sides 32 to 512")


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
