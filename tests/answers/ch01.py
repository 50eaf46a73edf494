"""Answers to the exercises of chapter 01."""

from fractions import Fraction
from math import sqrt

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vgglab import summary, vgg

IMAGE = (1, 3, 224, 224)


def by_popping(layers):
    total, channels = 0, 3
    while layers:
        layer = layers.pop(0)
        if layer == "M":
            continue
        out, kernel = layer if isinstance(layer, tuple) else (layer, 3)
        total += kernel * kernel * channels * out + out
        channels = out
    return total + 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000


def by_building(layers):
    net, channels = [], 3
    for layer in layers:
        if layer != "M":
            out, kernel = layer if isinstance(layer, tuple) else (layer, 3)
            net.append(nn.Conv2d(channels, out, kernel, device="meta"))
            channels = out
    net += [nn.Linear(a, b, device="meta") for a, b in ((25088, 4096), (4096, 4096), (4096, 1000))]
    return torch.tensor(sum(p.numel() for p in nn.Sequential(*net).parameters()))


def counted(layers, *, biases=True, first=3, fc=True, kernel=None, norm=0, pair=(0, 1)):
    total, channels = 0, first
    for layer in layers:
        if layer == "M":
            continue
        entry = layer if isinstance(layer, tuple) else (layer, 3)
        out, size = entry[pair[0]], entry[pair[1]]
        total += (kernel or size) ** 2 * channels * out + (biases + norm) * out
        channels = out
    if fc:
        total += 25088 * 4096 + 4096 * 4096 + 4096 * 1000 + biases * 9192
    return total


def printing(layers):
    print(counted(layers))


def one_way_out(layers):
    if any(isinstance(layer, tuple) for layer in layers):
        return counted(layers)


def without_pairs(layers):
    return sum(9 * layer for layer in layers if layer != "M")


def rival(act=nn.ReLU, pool=nn.MaxPool2d, channels=(64, 128, 256, 512, 512), **options):
    options = {"padding": 2, "device": "meta"} | options
    layers, before = [], 3
    for out in channels:
        layers.append(nn.Conv2d(before, out, 5, **options))
        layers += [act()] if act else []
        layers.append(pool(2))
        before = out
    return nn.Sequential(*layers)


def pooled_first():
    stages = zip(*[iter(rival())] * 3, strict=True)
    return nn.Sequential(*(layer for conv, relu, pool in stages for layer in (conv, pool, relu)))


class Rival(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = (3, 64, 128, 256, 512, 512)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 5, padding="same", device="meta")
            for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, x):
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return x


class Typo(Rival):
    def forward(self, x):
        return self.conv(x)


class Padded(nn.Module):
    """Eighteen layers, of which the forward runs one."""

    def __init__(self):
        super().__init__()
        self.unused = nn.ModuleList(nn.Conv2d(8, 8, 3, device="meta") for _ in range(18))
        self.end = nn.Sequential(
            nn.Conv2d(3, 8, 3, device="meta"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 1000, device="meta"),
        )

    def forward(self, x):
        return self.end(x)


class ThrownAway(Padded):
    """A long branch is computed and not used."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1, device="meta") for _ in range(16))

    def forward(self, x):
        z = x
        for conv in self.convs:
            z = conv(z)
        return self.end(x)


class Thin(nn.Module):
    """Deep and cheap, with a residual connection."""

    def __init__(self):
        super().__init__()
        self.start = nn.Conv2d(3, 16, 3, stride=2, padding=1, device="meta")
        self.convs = nn.ModuleList(
            nn.Conv2d(16, 16, 3, padding=1, device="meta") for _ in range(14)
        )
        self.end = nn.Linear(16, 1000, device="meta")

    def forward(self, x):
        x = self.start(x)
        for conv in self.convs:
            x = x + F.relu(conv(x))
        return self.end(x.mean((2, 3)))


class Misspelt(Thin):
    def forward(self, x):
        return self.endd(self.start(x).mean((2, 3)))


class WrongLinear(Thin):
    def forward(self, x):
        return self.end(self.start(x).flatten(1))


RIGHT = {
    "01-1": [
        2.359808e6,
        2359808,
        512 * (3 * 3 * 512 + 1),
        2359808.0,
        np.int64(2359808),
        torch.tensor(2359808),
        Fraction(2359808),
        sum(p.numel() for p in nn.Conv2d(512, 512, 3).parameters()),
    ],
    "01-2": [
        924844032,
        56 * 56 * 9 * 128 * 256,
        float(56**2 * 9 * 128 * 256),
        next(
            row.mult_adds
            for row in summary(vgg("D", device="meta"), IMAGE).rows
            if row.path == "features.10"
        ),
    ],
    "01-3": [by_popping, by_building, counted],
    "01-4": [
        (512, 8, 8),
        [512, 8, 8],
        torch.Size([512, 8, 8]),
        np.array([512, 8, 8]),
        (x for x in (512, 8, 8)),
    ],
    "01-5": [
        rival,
        Rival,
        Rival(),
        lambda: rival(padding="same"),
        lambda: rival(act=lambda: nn.ReLU(inplace=True)),
        lambda: nn.Sequential(rival(), nn.Identity()),
        pooled_first,
    ],
    "01-6": [
        lambda i, o, k: sqrt(2 / (i * k * k)),
        lambda i, o, k: torch.tensor(2 / (i * k**2)).sqrt(),
        lambda i, o, k: np.float32(np.sqrt(2 / (i * k**2))),
        lambda in_channels, out_channels, kernel_size: (
            nn.init.calculate_gain("relu") / (in_channels * kernel_size**2) ** 0.5
        ),
    ],
    "01-7": [
        [True, False, False, False],
        (True, False, False, False),
        [1, 0, 0, 0],
        np.array([True, False, False, False]),
        torch.tensor([True, False, False, False]),
    ],
    "01-8": [2.9, 3, 3.3, torch.tensor(2.8)],
    "01-9": ["c", "C", " c", "(c)"],
    "01-10": [
        lambda: vgg("D", width=1 / 4, device="meta"),
        lambda: vgg("E", width=1 / 2, device="meta"),
        Thin,
        lambda: vgg("E", norm="batch", head="gap", width=1 / 2, device="meta"),
    ],
}

WRONG = {
    "01-1": [
        (3 * 512 * 512 + 512, "as wide as it is high"),
        ("2,359,808", "you have a string"),
        (2359296, "These are the weights. Each"),
        (9 * 512 + 512, "One kernel does not look at one"),
        (9 * 256 * 512 + 512, "The layer before it has more"),
        (9 * 512 * 512 + 1, "There is one bias for each output"),
        (9 * 512 * 512 + 512 * 512, "You gave a bias to each pair of"),
        (25 * 512 * 512 + 512, None),
        (512 * 512 + 512, "A kernel covers more than one"),
        ("3*3*512*512+512", "Asked for is a number, and you"),
        (2.36e6, "That is near, within one percent."),
        (138357544, "That is the whole network. One"),
        ((512, 512, 3, 3), "Asked for is a number, and you"),
        (nn.Conv2d(512, 512, 3, device="meta"), "Asked for is a number, and you"),
    ],
    "01-2": [
        (224 * 224 * 9 * 128 * 256, "You multiplied by the size of the"),
        (112 * 112 * 9 * 128 * 256, "The third stage comes after two"),
        (56 * 56 * 9 * 256 * 256, "Twice too many: either you"),
        (56 * 9 * 128 * 256, "A map has a height and a width."),
        (9 * 128 * 256, "Those are the weights: the work"),
        (2 * 924844032, "Twice too many: either you"),
        (56 * 56 * 128 * 256, "A kernel covers nine positions of"),
        (56 * 56 * (9 * 128 * 256 + 256), "Adding a bias is no"),
        (56 * 56 * 9 * 128, "That is the work for one output"),
        (28 * 28 * 9 * 128 * 256, "You have counted the pooling at"),
        (9.25e8, "That is near, within one percent."),
    ],
    "01-3": [
        (lambda layers: counted(layers, biases=False), "Too few by as many as there are"),
        (lambda layers: counted(layers, fc=False), "This is the convolutional part."),
        (lambda layers: counted(layers, kernel=3), "Right for A, and too many for C:"),
        (lambda layers: counted(layers, first=1), "An image has three channels: what"),
        (lambda layers: counted(layers, norm=2), "You counted BatchNorm's scale and"),
        (lambda layers: counted(layers, pair=(1, 0)), None),
        (printing, "f([64, 'M', 128, 'M', 256, 256,"),
        (one_way_out, "f([64, 'M', 128, 'M', 256, 256,"),
        (without_pairs, "f([64, 64, 'M', 128, 128, 'M',"),
        (lambda: 21484520, "f([64, 'M', 128, 'M', 256, 256,"),
        (132863336, "You have a number, where a"),
    ],
    "01-4": [
        ((7, 7, 512), None),
        ((512, 7, 7), "That is the right network's map."),
        ((512, 13, 13), "You added the three frames at the"),
        ((512, 9, 9), "Near, but a pooling comes after"),
        ((8, 8, 512), "These are the right numbers, in"),
        ((1, 512, 8, 8), "Asked for is a tuple of 3"),
        ((512, 8), "Asked for is a tuple of 3"),
        ((256, 8, 8), "Right so far: the second and"),
        (8, "Asked for is a tuple of 3"),
        (512 * 8 * 8, "Asked for is a tuple of 3"),
        ((512, 14, 14), "Right so far: the first."),
    ],
    "01-5": [
        (lambda: rival(act=None), "No ReLU runs. One belongs to each"),
        (lambda: rival(pool=nn.AvgPool2d), "Your poolings take means. VGG's"),
        (lambda: rival(act=nn.GELU), "Right: the shapes and the"),
        (lambda: rival(padding=1), "padding=1 keeps the size for a"),
        (lambda: rival(padding=0), "Without padding each convolution"),
        (lambda: rival(channels=(64, 64, 128, 128, 256)), "Not right: the shapes."),
        (lambda: rival(bias=False), "Right: the shapes. Not right: the"),
        (lambda: rival()[:-1], "The last pooling is missing."),
        (lambda: nn.Sequential(rival()[1], rival()[0], *rival()[2:]), "Right: the shapes and the"),
        (lambda: vgg("B", device="meta").features, "That is B itself. One 5×5 takes"),
        (Typo, "The forward stops before it gives"),
        (lambda: nn.Sequential(undefined), "<lambda>() raises NameError: name"),
        ("rival", "You have a string, where a"),
    ],
    "01-6": [
        (lambda i, o, k: sqrt(2 / (o * k**2)), "This keeps the gradient on its"),
        (lambda i, o, k: sqrt(1 / (i * k**2)), "Right without a ReLU. What does"),
        (lambda i, o, k: 2 / (i * k**2), "This is the variance of the"),
        (lambda i, o, k: sqrt(2 / i), "An output sums over more than the"),
        (lambda i, o, k: sqrt(2 / (i * k)), "A kernel has k rows and k columns."),
        (lambda i, o, k: sqrt(2 / ((i + o) * k**2)), "That is Glorot's rule, a"),
        (lambda i, o, k: sqrt(4 / ((i + o) * k**2)), "That is a compromise of both"),
        (lambda i, o, k: sqrt(i * k**2 / 2), "Upside down: the more terms in a"),
        (lambda i, o, k: math.sqrt(2 / (i * k**2)), "f(64, 128, 3) raises NameError:"),
        (lambda i, k: sqrt(2 / (i * k**2)), "f(64, 128, 3) raises TypeError:"),
        (0.0589, "You have a number, where a"),
    ],
    "01-7": [
        ([True] * 4, "Write the channels in and out of"),
        ([False] * 4, "Both networks begin with the same"),
        ([True, False, False, True], "Compare channels in as well as"),
        ([True, False, True, False], "3 of the 4 are right."),
        ([True], "It has too few entries: 1."),
        ([1], "It has too few entries: 1."),
        ("True, False, False, False", "Asked for is a list of booleans,"),
        ([1, 2, 3, 4], "Asked for is a list of booleans,"),
    ],
    "01-8": [
        (7.5, "That is more than A falls. Which"),
        (-2.9, "A fall by so many powers is asked"),
        (900, "That is the factor. How many tens"),
        (15000, "That is the factor. How many tens"),
        (0.001, "That is the factor. How many tens"),
        (1.0, "That is less than A falls. Read"),
        ("four", "Asked for is a number, and you"),
        ((0, -2.9), "Asked for is a number, and you"),
    ],
    "01-9": [
        ("a", "That tells how sure the"),
        ("b", "D has as many ReLUs as C. Set"),
        ("d", "That changes what neither B nor C"),
        ("e", None),
        (3, "Asked for is a letter in"),
        ("C without the ReLUs", "Asked for is a letter in"),
    ],
    "01-10": [
        (lambda: vgg("A", device="meta"), "That is A itself: it is neither"),
        (lambda: vgg("E", device="meta"), "A convolution's work grows with"),
        (lambda: vgg("A", width=1 / 4, device="meta"), "Only layers count that run, and"),
        (
            lambda: vgg("D", width=1 / 2, head="conv", device="meta"),
            "One of its convolutions is larger",
        ),
        (Padded, "Only layers count that run, and"),
        (ThrownAway, "Only layers count that run, and"),
        (Misspelt, "The forward stops before it gives"),
        (WrongLinear, "The forward stops before it gives"),
        (
            lambda: vgg("D", width=1 / 2, num_classes=10, device="meta"),
            "What comes out is not one row of",
        ),
        (lambda: nn.Sequential(), "What comes out is not one row of"),
    ],
}
