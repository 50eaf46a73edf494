"""A trace says whether the network's own code asks for a size."""

import copy
import json
import math

import pytest
import torch
from networks import torchvision_network
from torch import nn

from vgglab import trace

SIZE = (2, 3, 8, 8)


class Written(nn.Module):
    """A convolution, and a forward of one's own after it."""

    def __init__(self, then):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.then = then

    def forward(self, x):
        return self.then(self.convolution(x))


def width_of(x):
    return x.shape[-1]


@pytest.mark.parametrize(
    "then",
    [
        lambda x: x if x.shape[-1] > 4 else -x,
        lambda x: x * x.size(2),
        lambda x: x * width_of(x),
        lambda x: x * x.numel(),
        lambda x: x.view(len(x), -1),
        lambda x: sum(row for row in x),
        lambda x: sum(x.unbind(3)),
        lambda x: sum(torch.split(x, 2, 3)),
        lambda x: sum(x.split(2, 3)),
    ],
    ids=["shape", "size", "helper", "numel", "len", "loop", "unbind", "torch.split", "split"],
)
def test_code_that_asks_for_a_size_is_noticed(then):
    assert trace(Written(then), SIZE).reads_sizes


@pytest.mark.parametrize(
    "then",
    [
        lambda x: torch.flatten(x, 1),
        lambda x: nn.functional.adaptive_avg_pool2d(x, (None, 2)),
        lambda x: nn.MultiheadAttention(8, 2, device=x.device)(x[:, 0], x[:, 0], x[:, 0])[0],
        lambda x: x + 1 if x.requires_grad else x,
    ],
    ids=["flatten", "pooling", "attention", "a branch on something else"],
)
def test_what_torch_asks_for_does_not_count(then):
    assert not trace(Written(then), SIZE).reads_sizes


@pytest.mark.parametrize(
    ("then", "asked"),
    [
        (lambda x: x if x.shape[-1] > 4 else -x, 1),
        (lambda x: x if 2 < x.size(-1) < 40 else -x, 2),
        (lambda x: x if x.size(dim=3) == 8 else -x, 1),
        (lambda x: x if x.shape == (2, 3, 8, 8) else -x, 4),
        (lambda x: -x if x.shape[2] % 4 else x, 1),
        (lambda x: x if math.ceil(x.shape[2] * 0.5 - 1) >= 3 else -x, 1),
        (lambda x: x[: max(x.shape[2], 4)], 1),
        (lambda x: x if divmod(100 - round(x.shape[2] / 2), 2)[1] == 0 else -x, 1),
        (lambda x: x if abs(-x.shape[2]) ** 2 >> 1 < 9 else -x, 1),
        (lambda x: x.view(x.shape[0], -1, x.shape[2] * x.shape[3] // 2), 0),
        (lambda x: nn.functional.interpolate(x, size=(x.shape[2] * 2, x.shape[3])), 0),
        (lambda x: x + x.shape[2] * torch.ones(x.shape[3:], device=x.device), 0),
        (lambda x: x if x.shape[2] != "8" else -x, 0),
    ],
)
def test_what_is_compared_with_a_size_is_noted(then, asked):
    found = trace(Written(then), SIZE)
    assert found.failure is None
    assert len(found.comparisons) == asked


def test_numbers_that_are_left_over_are_plain_again():
    kept = []
    model = Written(lambda x: kept.append(x.shape[2]) or x)
    found = trace(model, SIZE)
    assert kept == [8]
    assert kept[0] > 4
    assert not found.comparisons
    assert type(copy.deepcopy(kept)[0]) is int
    assert json.dumps({kept[0]: kept}) == '{"8": [8]}'


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "densenet121"])
def test_usual_networks_ask_for_none(name):
    assert not trace(torchvision_network(name, "meta"), (1, 3, 224, 224)).reads_sizes


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)
def test_what_cannot_be_watched_counts():
    scripted = nn.Sequential(torch.jit.script(nn.Conv2d(3, 3, 1)))
    assert trace(scripted, SIZE).reads_sizes


def test_a_trace_that_did_not_watch_takes_it_that_sizes_are_read():
    model = Written(lambda x: torch.flatten(x, 1))
    assert trace(model, SIZE, watch_sizes=False).reads_sizes
