"""The page in which the trained networks run; tests/browser/test_see.py uses it."""

import base64
import json
import re

import numpy as np
import pytest
import torch
from pages import assert_self_contained
from torch import nn

from vgglab.figures.see import HEADS, rounded_network, see, weights_script
from vgglab.lab.repairs import REPAIRS


@pytest.fixture(scope="module")
def html():
    return see()


@pytest.fixture(scope="module", params=HEADS)
def head(request):
    return request.param


def test_page_is_small_and_names_nothing_from_elsewhere(html):
    assert len(html) < 120_000
    plain = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", html)
    (picture,) = re.findall(r'<img src="" width="224" alt="([^"]+)">', plain)
    assert "22 × 22 answers" in picture
    assert "sure of “cat”" in picture
    assert_self_contained(re.sub("<img[^>]*>", "", plain))


def test_every_repair_that_needs_no_training_is_there(html):
    data = json.loads(re.search(r'"application/json">(.*?)</script>', html, re.DOTALL)[1])
    trained = [name for name, repair in REPAIRS.items() if not repair.fresh]
    assert [*data["repairs"]] == ["none", *trained, "network-gap"]
    assert {name: data["repairs"][name] for name in trained} == {
        name: REPAIRS[name].note for name in trained
    }


def test_the_script_holds_each_weight_in_half_precision(head):
    script = weights_script(head)
    assert len(script) < 1_200_000
    text = re.fullmatch(r"\(globalThis\.vgglabWeights \?\?= \{\}\)\.\w+ = (.*);\n", script)[1]
    data = json.loads(text)
    half = np.frombuffer(base64.b64decode(data["half"]), "<f2")
    network = rounded_network(head)
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert np.array_equal(half, torch.cat([w.flatten() for w in weights]).numpy())
    layers = [layer for layer in [*data["layers"], *data["head"]] if layer.get("kind") != "pool"]
    assert sum(layer["inputs"] * layer["out"] for layer in layers) == len(half)


def test_the_rounding_changes_little(head):
    """Of the one with FC layers nothing: its weights are shipped in half precision."""
    images = torch.randn(4, 3, 28 if head == "fc" else 32, 28 if head == "fc" else 32)
    with torch.no_grad():
        before, after = HEADS[head]()(images), rounded_network(head)(images)
    assert (before - after).abs().max() < (1e-5 if head == "fc" else 0.02)
