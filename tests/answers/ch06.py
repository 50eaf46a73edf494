"""Answers to the exercises of chapter 06."""

from fractions import Fraction
from math import log

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vgglab import fc_to_conv, vgg

FLOOR = log(1 + 1 / np.e)


def by_a_layer(weight, channels, height, width):
    conv = nn.Conv2d(channels, len(weight), (height, width), bias=False)
    conv.weight = nn.Parameter(weight.reshape(-1, channels, height, width))
    return conv.weight


def by_data(weight, channels, height, width):
    conv = nn.Conv2d(channels, len(weight), (height, width), bias=False)
    conv.weight.data = weight.view(len(weight), channels, height, width)
    return conv.weight.detach()


def resized(weight, channels, height, width):
    return weight.resize_(len(weight), channels, height, width)


def small(*head, act=nn.ReLU, pool=nn.MaxPool2d):
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), act(), pool(4), *head)


def head(kernel=7, last=1, act=nn.ReLU, bias=True):
    return nn.Conv2d(8, 32, kernel, bias=bias), act(), nn.Conv2d(32, 10, last)


class Small(nn.Module):
    """The layers are defined in another order."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(32, 10, 1)
        self.middle = nn.Conv2d(8, 32, 7)
        self.first = nn.Conv2d(1, 8, 3, padding="same")

    def forward(self, x):
        x = F.max_pool2d(self.first(x), 4).relu()
        return self.last(F.relu(self.middle(x)))


class Misspelt(Small):
    def forward(self, x):
        return self.lst(x)


def clean(field):
    starts = [32 * cell - (field - 32) / 2 for cell in range(7)]
    return sum(start >= 0 and start + field <= 224 for start in starts) ** 2


def unpadded(padding=0, act=nn.ReLU, pool=nn.MaxPool2d, width=1, end=()):
    layers, channels = [], 3
    for stage in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
        for out in stage:
            layers.append(nn.Conv2d(channels, out // width, 3, padding=padding, device="meta"))
            layers.append(act())
            channels = out // width
        layers.append(pool(2))
    for kernel, out in ((7, 4096), (1, 4096), (1, 1000)):
        layers += [nn.Conv2d(channels, out, kernel, device="meta"), act()]
        channels = out
    return nn.Sequential(*layers[:-1], *end)


def converted(size=404, change=True):
    model = vgg("D", head="fc-fixed", device="meta").eval()
    for module in model.features:
        if isinstance(module, nn.Conv2d) and change:
            module.padding = 0, 0
    return fc_to_conv(model, (1, 3, size, size))


RIGHT = {
    "06-1": [
        (3, 20, 10, 15),
        [3, 20, 10, 15],
        torch.Size([3, 20, 10, 15]),
        np.array([3, 20, 10, 15]),
    ],
    "06-2": [
        lambda c, i, j: 49 * c + 7 * i + j,
        lambda c, i, j: torch.arange(512 * 49).view(512, 7, 7)[c, i, j],
        lambda c, i, j: np.ravel_multi_index((c, i, j), (512, 7, 7)),
        lambda c, i, j: (c * 7 + i) * 7.0 + j,
    ],
    "06-3": [
        by_a_layer,
        by_data,
        resized,
        lambda w, c, h, v: w.reshape(len(w), c, h, v).numpy(),
        lambda w, c, h, v: w.unflatten(1, (c, h, v)).tolist(),
        lambda w, c, h, v: w.view(w.size(0), c, h, v).double(),
    ],
    "06-4": [(224, 255), [224, 255], torch.tensor([224, 255])],
    "06-5": [
        lambda s: (s // 32 - 6) ** 2,
        lambda n: (n // 32 - 6) ** 2,
        lambda n: ((n - 224) // 32 + 1) ** 2,
        lambda n: float(n // 32 - 6) ** 2,
        lambda n: len([1 for _ in range(0, n - 223, 32)]) ** 2,
    ],
    "06-6": [
        Small,
        lambda: small(*head()),
        small(*head()),
        lambda: small(*head(act=lambda: nn.ReLU(inplace=True))),
    ],
    "06-7": [
        clean,
        lambda f: torch.tensor(clean(f)),
        lambda f: float(clean(f)),
        lambda f: Fraction(clean(f)),
    ],
    "06-8": [
        {1: 0.1, 2: 0.4},
        {1: torch.tensor(0.05), 2: torch.tensor(0.35)},
        {1.0: 0.2, 2.0: 0.33},
    ],
    "06-9": ["b", "B", "(b)"],
    "06-10": [converted, unpadded, lambda: nn.Sequential(*unpadded(), nn.Identity())],
}

WRONG = {
    "06-1": [
        ((3, 20, 16, 21), "That is the map that the 7×7"),
        ((3, 20, 15, 10), "torch's order is (N, C, H, W):"),
        ((3, 20, 9, 14), "Count the places again: the"),
        ((3, 20, 2, 3), "Those are crops laid side by"),
        ((3, 20, 1, 1), "One cell is left only at the size"),
        ((20, 10, 15), "Asked for is a tuple of 4"),
        ((3, 1000, 10, 15), "Right so far: the first and third"),
        ((3, 10, 15, 20), "These are the right numbers, in"),
        ((3, 20), "Asked for is a tuple of 4"),
        (9000, "Asked for is a tuple of 4"),
        (torch.empty(3, 20, 10, 15), "Asked for is a tuple of 4"),
        ((1, 20, 10, 15), "Right so far: the second and"),
    ],
    "06-2": [
        (lambda c, i, j: (7 * i + j) * 512 + c, "That is the order of libraries"),
        (lambda c, i, j: 49 * c + 7 * j + i, "You walk down the columns."),
        (lambda c, i, j: 7 * c + i + j, "How many numbers lie between two"),
        (lambda c, i, j: 49 * c + 7 * i + j + 1, "You count from one; Python counts"),
        (lambda c, i, j: 512 * c + 7 * i + j, "Right: f(0, 0, 0) = 0. Not right:"),
        (lambda c, i, j: c * i * j, "Right: f(0, 0, 0) = 0. Not right:"),
        (lambda c, i, j: c + 512 * i + 3584 * j, "Right: f(0, 0, 0) = 0. Not right:"),
        (lambda c, i, j: (c, 7 * i + j), "Asked for is a number, and you"),
        (lambda c, i, j: print(49 * c), "f(0, 0, 0) = None: it prints, and"),
        (lambda c, i, j: 7 * i + j, "Right: f(0, 0, 0) = 0. Not right:"),
        (25087, "You have a number, where a"),
        (lambda c, i: 49 * c + i, "f(0, 0, 0) raises TypeError:"),
    ],
    "06-3": [
        (
            lambda w, c, h, v: w.reshape(-1, h, v, c).permute(0, 3, 1, 2),
            "The shape is right and the",
        ),
        (lambda w, c, h, v: w.reshape(-1, c, v, h).transpose(2, 3), "The shape is right and the"),
        (lambda w, c, h, v: w.reshape(-1, c, h, v).flip(2, 3), "You turned the kernel round."),
        (
            lambda w, c, h, v: w.reshape(-1, c, h, v).transpose(0, 1),
            "A convolution's weight begins",
        ),
        (lambda w, c, h, v: w, "That is the weight of the linear"),
        (lambda w, c, h, v: w.reshape(-1, c, v, h), "Right: f(tensor([[0., 1., 2., 3.,"),
        (lambda w, c, h, v: w.reshape(c, h, v), "f(tensor([[ 0., 1., 2., 3., 4.,"),
        (lambda w, c, h, v: nn.Conv2d(c, len(w), (h, v)), "Asked for is a tensor of shape"),
        (lambda w, c, h, v: w.T.reshape(-1, c, h, v), "Right: f(tensor([[0., 1., 2., 3.,"),
        (lambda w, c, h, v: (len(w), c, h, v), "Asked for is a tensor of shape"),
        (lambda w, c, h, v: w.view(-1, c, h, v).mean(0), "What is in it is right, its form"),
        (lambda w, c, h, v: w.weight.reshape(-1, c, h, v), "f(tensor([[0., 1., 2., 3., 4.,"),
    ],
    "06-4": [
        ((384, 415), "That is the range for the kernel"),
        ((224, 224), "That input is in the range, and"),
        ((32, 63), "There the map before the kernel"),
        ((224, 256), "The lower end is right. Put the"),
        (range(224, 256), "These are the right ones, from"),
        ((193, 224), "Every pooling rounds down, not"),
        (224, "Asked for is a pair, and you have"),
        ((7, 7), "That is the side of the map. The"),
        ((255, 224), "These are the right numbers, in"),
        ((224, 287), "Right so far: the first."),
        ((0, 255), "Right so far: the second."),
    ],
    "06-5": [
        (lambda s: (s - 223) ** 2, "one pixel apart"),
        (lambda n: (n // 224) ** 2, "Those are crops side by side. In"),
        (lambda n: (n // 32) ** 2, "Those are the cells of the map"),
        (lambda n: n // 32 - 6, "Those are the crops in one row."),
        (lambda n: ((n - 224) / 32 + 1) ** 2, "You divided without rounding."),
        (lambda n: (n // 32 - 7) ** 2, "Count the places again: the"),
        (lambda n: (n // 32 - 6, n // 32 - 6), "Asked for is a number, and you"),
        (lambda n: 1, "Right: f(224) = 1. Not right:"),
        (lambda n: print((n // 32 - 6) ** 2), "f(224) = None: it prints, and"),
        (lambda n: 2 * (n // 32 - 6), "Right: f(256) = 4. Not right:"),
        (lambda h, w: (h // 32 - 6) * (w // 32 - 6), "f(224) raises TypeError:"),
        (36, "You have a number, where a"),
    ],
    "06-6": [
        (
            lambda: small(nn.Flatten(), nn.Linear(392, 32), nn.ReLU(), nn.Linear(32, 10)),
            "Nothing has changed yet: its",
        ),
        (lambda: small(*head(10)), "That kernel is as large as the"),
        (lambda: small(*head(1)), "A 1×1 kernel sees one cell. The"),
        (lambda: small(*head(7, 7)), "After the first kernel the map at"),
        (lambda: small(*head(), nn.AdaptiveAvgPool2d(1)), "You averaged the map at the end."),
        (lambda: small(nn.Conv2d(8, 32, 7), nn.Conv2d(32, 10, 1)), "Right: the shapes and the"),
        (lambda: small(*head(act=nn.Tanh)), "Right: the shapes and the"),
        (lambda: small(*head(), pool=nn.AvgPool2d), "Right: the shapes and the"),
        (lambda: small(*head(), act=nn.Identity), "Right: the shapes and the"),
        (lambda: small(*head(bias=False)), "Right: the shapes. Not right: the"),
        (lambda: small(*head(), nn.Flatten()), "Not right: the shapes."),
        (lambda: small(*head(), nn.ReLU()), "Right: the shapes and the"),
        (Misspelt, "The forward stops before it gives"),
        (
            lambda: small(nn.Conv2d(8, 32, 7, padding=3), nn.ReLU(), nn.Conv2d(32, 10, 1)),
            "Not right: the shapes.",
        ),
    ],
    "06-7": [
        (lambda f: round(clean(f) ** 0.5), "Those are the cells along one"),
        (lambda f: 49 - clean(f), "Those are the cells that do see"),
        (lambda f: (224 // f) ** 2, "Fields of neighbouring cells"),
        (
            lambda f: sum(32 * c - (f - 32) / 2 >= 0 for c in range(7)) ** 2,
            "You looked at the left and at the",
        ),
        (lambda f: 49, "Right: f(32) = 49. Not right:"),
        (lambda f: 0, "Right: f(268) = 0. Not right:"),
        (lambda f: (7 - 2 * ((f - 32) // 32)) ** 2, "Right: f(32) = 49. Not right:"),
        (
            lambda f: sum(32 * c >= 0 and 32 * c + f <= 224 for c in range(7)) ** 2,
            "Right: f(32) = 49. Not right:",
        ),
        (lambda f: print(clean(f)), "f(32) = None: it prints, and"),
        (lambda f: (clean(f), 49), "Asked for is a number, and you"),
        (lambda f: [clean(f)], "What is in it is right, its form"),
        (9, "You have a number, where a"),
    ],
    "06-8": [
        ({1: 0.1, 2: 0.1}, "The second loss is smaller than"),
        ({1: 0.4, 2: 0.4}, "The first loss is large. Is there"),
        ({1: 0.4, 2: 0.1}, "Those are the two losses, in the"),
        ((0.1, 0.4), "Asked for is a dict with the keys"),
        ({1: 0.1, 2: 1.2}, "The second loss is smaller than"),
        (0.1, "Asked for is a dict with the keys"),
        ({"one": 0.1, "two": 0.4}, "Asked for is a dict with the keys"),
        ({1: 10, 2: 40}, None),
        ({2: 0.4}, "Asked for is a dict with the keys"),
        ([0.1, 0.4], "Asked for is a dict with the keys"),
    ],
    "06-9": [
        ("a", "That shows once more that padding"),
        ("c", "They would tell how much the"),
        ("d", "The crop keeps its zeros, so"),
        ("reflect", "Asked for is a letter in"),
        (2, "Asked for is a letter in"),
    ],
    "06-10": [
        (lambda: converted(224, change=False), "Nothing has changed yet: each"),
        (lambda: unpadded(padding=1), "Nothing has changed yet: each"),
        (
            lambda: unpadded(end=(nn.AdaptiveAvgPool2d(1), nn.Flatten())),
            "The padding is gone, and so is",
        ),
        (lambda: unpadded(act=nn.Identity), "Right: the shapes and the"),
        (lambda: unpadded(pool=nn.AvgPool2d), "Right: the shapes and the"),
        (lambda: unpadded(width=2), "Right: the shapes. Not right: the"),
        (lambda: nn.Sequential(unpadded()[1], unpadded()[0], *unpadded()[2:]), "Right: the"),
        (lambda: vgg("D", head="conv", device="meta"), "Not right: the shapes."),
        (lambda: vgg("D", head="fc-fixed", device="meta"), "The forward stops before it gives"),
        (lambda: unpadded()[:-1], "Not right: the shapes."),
        (lambda: converted(400), "<lambda>() raises ValueError:"),
        (lambda: nn.Sequential(unpadded(), undefined), "<lambda>() raises NameError: name"),
        (Misspelt, "The forward stops before it gives"),
        (lambda: unpadded(end=(nn.ReLU(),)), "Right: the shapes and the"),
    ],
}
