"""A trace says whether the network's own code asks for a size."""

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
