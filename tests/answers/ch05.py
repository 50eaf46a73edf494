"""Answers to the exercises of chapter 05."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vgglab import fc_to_conv, fold_adaptive_pool, vgg, with_spp_head
from vgglab.pooling import adaptive_bins, adaptive_matrix, published_spp_window

SEVEN = [2.0, -1.0, 4.0, 0.0, -3.0, 1.0, 5.0]
TWELVE = (torch.tensor(SEVEN, dtype=torch.float64) @ adaptive_matrix(12, 7)).tolist()


def bins(n, m):
    return [(floor(i * n / m), ceil((i + 1) * n / m)) for i in range(m)]


def keeps(n, m):
    weights = adaptive_matrix(n, m).sum(0)
    return bool(weights.max() - weights.min() < 1e-9)


def by_fractions(weights, n):
    m, folded = len(weights), [Fraction(0)] * n
    for weight, (first, stop) in zip(weights, bins(n, m), strict=True):
        for cell in range(first, stop):
            folded[cell] += Fraction(weight, stop - first)
    return folded


def by_least_squares(weights, n):
    x = np.random.default_rng(0).standard_normal((4 * n, n))
    pooled = F.adaptive_avg_pool1d(torch.tensor(x), len(weights)).numpy()
    return np.linalg.lstsq(x, pooled @ np.array(weights, dtype=float), rcond=None)[0]


def dividing(weights, n):
    """Change the list that came."""
    folded = [0.0] * n
    for i, (first, stop) in enumerate(bins(n, len(weights))):
        weights[i] /= stop - first
        for cell in range(first, stop):
            folded[cell] += weights[i]
    return folded


class OwnMax(nn.Module):
    def forward(self, x):
        return F.adaptive_max_pool2d(x, (7, 7))


def own_pyramid(pool=nn.AdaptiveMaxPool2d, levels=(1, 2, 4), classes=3):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = vgg("D", device="meta").features
            self.pools = nn.ModuleList(pool(n) for n in levels)
            self.a = nn.Linear(512 * sum(n * n for n in levels), 4096, device="meta")
            self.b = nn.Linear(4096, 4096, device="meta")
            self.c = nn.Linear(4096, classes, device="meta")

        def forward(self, x):
            x = self.body(x)
            x = torch.cat([p(x).flatten(1) for p in self.pools], 1)
            return self.c(F.relu(self.b(F.relu(self.a(x)))))

    return Own()


def folded_by_hand(model, transposed=False):
    fc6 = model.classifier[0]
    kernel = fc6.weight.detach().unflatten(1, (-1, 7, 7))
    rows, columns = adaptive_matrix(12, 7).float(), adaptive_matrix(20, 7).float()
    if transposed:
        kernel = kernel.transpose(2, 3)
    kernel = torch.einsum("ocij,ih,jw->ochw", kernel, rows, columns)
    conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], (12, 20))
    conv.weight.data, conv.bias.data = kernel, fc6.bias.data
    return nn.Sequential(model.features, conv, nn.Flatten(), *model.classifier[1:])


def random_kernel(model):
    fc6 = model.classifier[0]
    conv = nn.Conv2d(fc6.in_features // 49, fc6.out_features, (12, 20))
    return nn.Sequential(model.features, conv, nn.Flatten(), *model.classifier[1:])


def fixed_windows(model):
    model.avgpool = nn.AvgPool2d((2, 3), (2, 3))
    return model


def average_inside(model):
    model.features[30] = nn.AdaptiveAvgPool2d(7)
    return model


def undefined(model):
    return fold(model)


class Misspelt(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.modell(x)


RIGHT = {
    "05-1": [6, 6.0, np.int64(6), torch.tensor(6), Fraction(6)],
    "05-2": [
        bins,
        adaptive_bins,
        lambda n, m: zip(*map(list, zip(*bins(n, m), strict=True)), strict=True),
        lambda n, m: (pair for pair in bins(n, m)),
        lambda n, m: np.array(bins(n, m)),
        lambda n, m: [list(pair) for pair in bins(n, m)],
    ],
    "05-3": [keeps, lambda n, m: int(keeps(n, m)), lambda n, m: np.bool_(keeps(n, m))],
    "05-4": [
        nn.AdaptiveMaxPool2d(7),
        nn.AdaptiveMaxPool2d((7, 7)),
        OwnMax,
        OwnMax(),
        lambda: nn.AdaptiveMaxPool2d(7),
    ],
    "05-5": [
        by_fractions,
        by_least_squares,
        dividing,
        lambda w, n: np.array(w) @ adaptive_matrix(n, len(w)).numpy(),
        lambda w, n: torch.tensor(w).float() @ adaptive_matrix(n, len(w)).float(),
    ],
    "05-6": [
        own_pyramid,
        lambda: own_pyramid(levels=(4, 2, 1)),
        lambda: vgg("D", head="spp", num_classes=3, device="meta"),
    ],
    "05-7": [30, 30.0, torch.tensor(30)],
    "05-8": [TWELVE, torch.tensor(TWELVE), np.array(TWELVE) + 0.01, tuple(TWELVE), iter(TWELVE)],
    "05-9": ["a", "A", "(a)"],
    "05-10": [
        folded_by_hand,
        lambda model: fold_adaptive_pool(model, (1, 3, 400, 640)),
        lambda model: fold_adaptive_pool(model, (2, 3, 400, 640)).eval(),
    ],
}

WRONG = {
    "05-1": [
        (1, "That is the remainder of the"),
        (7, "You counted a boundary for each"),
        (0, "Then all bins would have whole"),
        (15, "That is the whole row. A cell is"),
        (5, "One too few: how many boundaries"),
        (2, "Look at each boundary, i · 15 /"),
        (8, "Count the boundaries between the"),
        (14, "Count the boundaries between the"),
        ([2, 4], "Asked for is a number, and you"),
        ("six", "Asked for is a number, and you"),
    ],
    "05-2": [
        (
            lambda n, m: [(i * n // m, (i + 1) * n // m) for i in range(m)],
            "You rounded both ends down. Then",
        ),
        (
            lambda n, m: [(ceil(i * n / m), ceil((i + 1) * n / m)) for i in range(m)],
            "You rounded both ends up. Then a",
        ),
        (lambda n, m: [(a, b - 1) for a, b in bins(n, m)], "The second number of your pairs"),
        (
            lambda n, m: [(i * (n // m), (i + 1) * (n // m)) for i in range(m)],
            "You slid one window with one",
        ),
        (
            lambda n, m: [list(range(a, b)) for a, b in bins(n, m)],
            "Asked for is a list of pairs, and",
        ),
        (lambda n, m: [(a, b - a) for a, b in bins(n, m)], "Your second number is the length"),
        (lambda n, m: [(a + 1, b) for a, b in bins(n, m)], "You count pixels from 1. range"),
        (lambda n, m: bins(m, n), "You exchanged n and m: there are"),
        (lambda n, m: [x for pair in bins(n, m) for x in pair], "What is in it is right, its form"),
        (
            lambda n, m: [(i * n / m, (i + 1) * n / m) for i in range(m)],
            "Right: f(14, 7) = ((0, 2), (2,",
        ),
        (lambda n, m: len(bins(n, m)), "Asked for is a list of pairs, and"),
        (lambda n, m: print(bins(n, m)), "f(12, 7) = None: it prints, and"),
        (lambda n, m: bins(n, m)[0], "Asked for is a list of pairs, and"),
        (lambda n: bins(n, 7), "f(12, 7) raises TypeError:"),
    ],
    "05-3": [
        (lambda n, m: n % m == 0, "Those are the sizes at which the"),
        (lambda n, m: True, "Each bin is a mean, but a pixel"),
        (lambda n, m: n >= m, "You asked whether the row gets"),
        (lambda n, m: m % n == 0, "Those are the sizes at which"),
        (lambda n, m: n % m == 0 or m % n == 0, "Those are two cases, and there is"),
        (lambda n, m: True if keeps(n, m) else None, "f(12, 7) = None: it ended without"),
        (lambda n, m: not keeps(n, m), "The other way round: True where"),
        (lambda n, m: False, "Right: f(12, 7) = False. Not"),
        (lambda n, m: "yes" if keeps(n, m) else "no", "Asked for is True or False, and"),
        (lambda n, m: n == m, "Right: f(12, 7) = False. Not"),
        (lambda n, m: adaptive_matrix(n, m).sum(0), "Asked for is True or False, and"),
        (lambda n, m: torch.equal(adaptive_bins(n, m), n), "f(14, 7) raises TypeError:"),
        (True, "You have True or False, where a"),
    ],
    "05-4": [
        (nn.AdaptiveAvgPool2d(7), "Its maps have the right shape,"),
        (nn.MaxPool2d(2), "That is the layer which is there."),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(7)),
            "That gives the right map at 224",
        ),
        (nn.AdaptiveMaxPool2d(1), "One number for each channel is"),
        (nn.AdaptiveMaxPool2d, "AdaptiveMaxPool2d() raises"),
        (nn.AdaptiveMaxPool2d(7, return_indices=True), "The shapes are not right."),
        (nn.Flatten(), "The shapes are not right."),
        (nn.Identity(), "The shapes are not right."),
        (lambda x: F.adaptive_max_pool2d(x, 7), "What it gives is right. Make it"),
        ("nn.AdaptiveMaxPool2d(7)", "You have a string, where a layer"),
        (nn.MaxPool2d(7), "The shapes are not right."),
        (nn.Conv2d(512, 512, 3), "An input of (1, 2, 14, 14) raises"),
        (nn.AdaptiveMaxPool1d(7), "An input of (1, 2, 14, 14) raises"),
    ],
    "05-5": [
        (
            lambda w, n: F.interpolate(
                torch.tensor([[w]]).double(), size=n, mode="linear"
            ).flatten(),
            "You stretched the weights like an",
        ),
        (
            lambda w, n: torch.tensor(w).double() @ (adaptive_matrix(n, len(w)) > 0).double(),
            "You added the weights of the bins",
        ),
        (
            lambda w, n: F.adaptive_avg_pool1d(torch.tensor([w]).double(), n)[0],
            "You pooled the weights themselves",
        ),
        (
            lambda w, n: torch.tensor([w]).double() @ adaptive_matrix(n, len(w)),
            "What is in it is right, its form",
        ),
        (
            lambda w, n: adaptive_matrix(n, len(w)) @ torch.tensor(w).double(),
            "f([3, 0, -2, 5, 1, -1, 4], 12)",
        ),
        (lambda w, n: w, "These read the pooled row: there"),
        (lambda w, n: adaptive_matrix(n, len(w)), "Asked for is a list of numbers,"),
        (lambda w, n: sum(by_fractions(w, n)), "Asked for is a list of numbers,"),
        (
            lambda w, n: [x * n / len(w) for x in by_fractions(w, n)],
            "Every weight is n / m times too",
        ),
        (lambda w, n: by_fractions(w, n)[::-1], "These are the right numbers, in"),
        (lambda w, n: w @ adaptive_matrix(n, len(w)), "f([3, 0, -2, 5, 1, -1, 4], 12)"),
        (lambda w, n: [w[i * len(w) // n] for i in range(n)], "You repeated the weights. A mean"),
        (
            lambda w, n: [w[i * len(w) // n] * len(w) / n for i in range(n)],
            "You gave each cell to one bin,",
        ),
    ],
    "05-6": [
        (lambda: vgg("D", head="spp", device="meta"), "It has the pyramid, and still the"),
        (
            lambda: vgg("D", head="gap", num_classes=3, device="meta"),
            "That is a pyramid with its first",
        ),
        (lambda: vgg("D", num_classes=3, device="meta"), "That pools to 7×7 bins: any size"),
        (lambda: own_pyramid(pool=nn.AdaptiveAvgPool2d), "The pyramid of the paper takes"),
        (lambda: own_pyramid(levels=(1, 2, 3)), "Right: the shapes. Not right: the"),
        (lambda: own_pyramid(levels=(1, 2, 4, 7)), "Right: the shapes. Not right: the"),
        (lambda: own_pyramid(classes=1000), "It has the pyramid, and still the"),
        (
            lambda: vgg("D", head="fc-fixed", num_classes=3, device="meta"),
            "The forward stops before it gives",
        ),
        (
            lambda: with_spp_head(vgg("A", device="meta"), (1, 2, 4), 3),
            "Right: the shapes. Not right: the",
        ),
        (lambda: with_spp_head(vgg("D", device="meta"), 3), "<lambda>() raises TypeError:"),
        (lambda: vgg("D", head="pyramid", num_classes=3), "<lambda>() raises ValueError:"),
        (lambda: Misspelt(own_pyramid()), "The forward stops before it gives"),
    ],
    "05-7": [
        (6, "There it is right, and it goes"),
        (7, "There is still a side above it at"),
        (8, "That is the first side at which"),
        (36, "From there on it is right. It is"),
        (24, "There is still a side above it at"),
        (25, "There is still a side above it at"),
        (5, "That is the largest remainder, or"),
        (12, "There is still a side above it at"),
        (26, "There is still a side above it at"),
        (23, "There is still a side above it at"),
        (18, "There is still a side above it at"),
        (published_spp_window(25, 6), "Asked for is a number, and you"),
    ],
    "05-8": [
        (SEVEN, "Those read the pooled row. The"),
        ([0.0] * 12, "It has not got there yet: is the"),
        ([w / 2 for w in SEVEN for _ in range(2)][:12], "It has not got there yet: is the"),
        ([x * 0.9 for x in TWELVE], "It has not got there yet: is the"),
        (TWELVE[::-1], "Together they are right, one by"),
        (torch.tensor([TWELVE]), "What is in it is right, its form"),
        (
            torch.randn(12, generator=torch.Generator().manual_seed(0)),
            "It has not got there yet: is the",
        ),
        (0.001, "Asked for is a list of numbers,"),
        (nn.Linear(12, 1, bias=False), "Asked for is a list of numbers,"),
        ([2 * x for x in TWELVE], "It has not got there yet: is the"),
    ],
    "05-9": [
        ("b", "More seeds make the interval"),
        ("c", "There the second max pooling"),
        ("d", "They would do better for having"),
        ("a and b", "Asked for is a letter in"),
        (1, "Asked for is a letter in"),
    ],
    "05-10": [
        (lambda model: model, "That is the network with its"),
        (
            lambda model: fold_adaptive_pool(model, (1, 3, 640, 400)),
            "You gave width and height in the",
        ),
        (
            lambda model: fold_adaptive_pool(model, (1, 3, 400, 400)),
            "You folded for a square. On the",
        ),
        (
            lambda model: fold_adaptive_pool(model, (1, 3, 224, 224)),
            "You kept the 7×7 weights as they",
        ),
        (random_kernel, "The shape is right and the logits"),
        (lambda model: folded_by_hand(model, transposed=True), "The shape is right and the logits"),
        (fixed_windows, "The forward stops before it gives"),
        (average_inside, "An adaptive pooling still runs."),
        (undefined, "undefined(model) raises"),
        (Misspelt, "The forward stops before it gives"),
        (lambda model: fc_to_conv(model, (1, 3, 400, 640)), "<lambda>(model) raises"),
        (lambda model: model.features, "One row of 1000 logits is asked"),
        (lambda model: print(model), "<lambda>(model) = None: it"),
        (lambda: vgg("D", head="conv", device="meta"), "<lambda>(model) raises TypeError:"),
    ],
}
