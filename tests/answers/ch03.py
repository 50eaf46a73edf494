"""Answers to the exercises of chapter 03."""

from decimal import Decimal
from fractions import Fraction
from math import sqrt
from statistics import fmean, pvariance, variance

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def in_place(a, size, alpha, beta, k):
    old = list(a)
    for c in range(len(a)):
        window = old[max(c - size // 2, 0) : c + size // 2 + 1]
        a[c] /= (k + alpha * sum(x * x for x in window)) ** beta
    return a


def in_torch(a, size, alpha, beta, k):
    x = torch.tensor(a).view(1, -1, 1)
    return F.local_response_norm(x, size, alpha * size, beta, k).flatten()


def while_reading(a, size, alpha, beta, k):
    """Read values that have been divided already."""
    for c in range(len(a)):
        window = a[max(c - size // 2, 0) : c + size // 2 + 1]
        a[c] /= (k + alpha * sum(x * x for x in window)) ** beta
    return a


def lrn(a, size, alpha, beta, k, *, square=True, first=True, power=True, times=1, divide=True):
    found = []
    for c in range(len(a)):
        window = a[max(c - size // 2, 0) : c + size // 2 + 1]
        total = sum(x * x if square else x for x in window)
        scale = (k + alpha * times * total) ** (beta if power else 1)
        found.append(a[c] / scale if divide else a[c] * scale)
    return found if first else sum(found)


def remembered(values, mean, var, momentum):
    bn = nn.BatchNorm1d(1, momentum=momentum).double()
    bn.running_mean.fill_(mean)
    bn.running_var.fill_(var)
    bn(torch.tensor(values, dtype=torch.float64).view(-1, 1))
    return bn.running_mean, bn.running_var


def moved(values, mean, var, momentum, spread=variance, share=True):
    m = momentum if share else 1 - momentum
    return (1 - m) * mean + m * fmean(values), (1 - m) * var + m * spread(values)


def fold(w, b, weight, bias, mean, var, eps):
    s = weight / sqrt(var + eps)
    return w * s, (b - mean) * s + bias


def block(*, bias=False, norm=nn.BatchNorm2d, pool=nn.MaxPool2d, act=nn.ReLU, padding=1):
    layers = []
    for channels in (3, 64):
        layers.append(nn.Conv2d(channels, 64, 3, padding=padding, bias=bias))
        layers += [norm(64)] if norm else []
        layers += [act()] if act else []
    return nn.Sequential(*layers, pool(2))


def after_relu():
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.BatchNorm2d(64),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.BatchNorm2d(64),
        nn.MaxPool2d(2),
    )


class Block(nn.Module):
    """Norms are defined before convolutions, and functions do the rest."""

    def __init__(self):
        super().__init__()
        self.n1, self.n2 = nn.BatchNorm2d(64), nn.BatchNorm2d(64)
        self.c2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.c1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)

    def forward(self, x):
        x = torch.clamp(self.n1(self.c1(x)), min=0)
        return F.max_pool2d(self.n2(self.c2(x)).relu(), 2)


class Unfinished(Block):
    def forward(self, x):
        return self.n3(x)


RIGHT = {
    "03-1": [4, 4.0, np.int64(4), len(range(4)), torch.tensor(4)],
    "03-2": [in_place, in_torch, lrn, lambda *a: np.array(lrn(*a)), lambda *a: iter(lrn(*a))],
    "03-3": [5e-4, 0.0005, Fraction(1, 2000), Decimal("0.0005"), 1e-4 * 5, torch.tensor(5e-4)],
    "03-4": [
        moved,
        lambda *a: list(moved(*a)),
        lambda *a: np.array(moved(*a)),
        lambda *a: torch.tensor(moved(*a)),
        lambda *a: tuple(x.item() for x in remembered(*a)),
    ],
    "03-5": [8 / 9, Fraction(8, 9), 0.88889, 0.8889, Decimal(8) / 9, np.float32(8 / 9)],
    "03-6": [(1, 2, 2, 2), [1, 2, 2, 2], torch.tensor([1, 2, 2, 2]), (1.0, 2.0, 2.0, 2.0)],
    "03-7": [fold, lambda *a: torch.tensor(fold(*a)), lambda *a: [np.float64(x) for x in fold(*a)]],
    "03-8": [(2.3026, 1.2), [2.31, 0.4], (torch.tensor(2.3), torch.tensor(1.0))],
    "03-9": [
        (False, True, False, True),
        [0, 1, 0, 1],
        np.array([False, True, False, True]),
    ],
    "03-10": [
        Block,
        block,
        lambda: block(padding="same"),
        lambda: nn.Sequential(block()[:3], block()[3:]),
        lambda: nn.Sequential(
            nn.LazyConv2d(64, 3, padding=1, bias=False),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
            nn.LazyConv2d(64, 3, padding=1, bias=False),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
    ],
}

WRONG = {
    "03-1": [
        ("4", "you have a string"),
        (5, "That holds in the middle of the"),
        (3, "That many belong to the first"),
        (2, "That is how far the window"),
        (64, "That is all of the channels. The"),
        (25, "The window is a row of channels"),
        (1, "That is the number of the"),
        (6, "The window has at most five"),
        ([0, 1, 2, 3], "Asked for is a number, and you"),
        (range(4), "Asked for is a number, and you"),
        ("4", "Asked for is a number, and you"),
    ],
    "03-2": [
        (lambda a, s, al, b, k: lrn(a, s, al / s, b, k), "That is torch's formula: it"),
        (lambda *a: lrn(*a, square=False), "You added up the values as they"),
        (lambda *a: lrn(*a, power=False), "You did not use beta: the sum is"),
        (lambda *a: lrn(*a, divide=False), "You multiplied where LRN divides."),
        (lambda a, s, al, b, k: lrn(a, len(a) * 2 + 1, al, b, k), "You added up too many squares,"),
        (lambda a, s, al, b, k: lrn(a, 1, al, b, k), "Each channel was divided by"),
        (lambda a, s, al, b, k: lrn(a, 2 * s + 1, al, b, k), "You added up too many squares,"),
        (while_reading, "You divide by values that have"),
        (lambda a, s, al, b, k: lrn(a, s, al, b, 0), "k is missing: it is added to the"),
        (lambda *a: lrn(*a)[0], "Asked for is a list of numbers,"),
        (lambda a, s, al, b, k: a / (k + al * a**2) ** b, "f([1.0, 2.0, 3.0, 4.0, 5.0, 6.0],"),
        (lambda *a: torch.tensor(lrn(*a)).view(1, -1), "What is in it is right, its form"),
        (lambda *a: print(lrn(*a)), "f([1.0, 2.0, 3.0, 4.0, 5.0, 6.0],"),
    ],
    "03-3": [
        (1e-4, "You copied AlexNet's constant."),
        (2e-5, "torch divides alpha by the size."),
        (2.5e-3, "You took the window for a square"),
        (5e-5, "You halved it. By what does torch"),
        (1e-4 * 25, "You took the window for a square"),
        (5e-3, "A power of ten went astray: 1e-4"),
        (5, "That is the size alone. Which"),
        ("5e-4", "Asked for is a number, and you"),
        (0.0004, "The channel itself is in the"),
    ],
    "03-4": [
        (lambda *a: moved(*a, spread=pvariance), "The mean is right. The variance"),
        (lambda *a: moved(*a, share=False), "You took momentum for the share"),
        (
            lambda *a: moved(*a, spread=lambda v: sqrt(variance(v))),
            "The mean is right. In the other",
        ),
        (lambda v, m, s, p: (fmean(v), variance(v)), "Those are the statistics of this"),
        (
            lambda v, m, s, p: (m + p * fmean(v), s + p * variance(v)),
            "You added a share of the batch",
        ),
        (remembered, "What is in it is right, its form"),
        (
            lambda *a: {"mean": moved(*a)[0], "var": moved(*a)[1]},
            "What is in it is right, its form",
        ),
        (lambda *a: moved(*a)[::-1], "These are the right numbers, in"),
        (lambda *a: moved(*a)[0], "Asked for is a pair, and you have"),
        (lambda *a: print(moved(*a)), "f([1.0, 2.0, 3.0, 6.0], 0.0, 1.0,"),
        (lambda v, m, s, p: (m, s), "Those are the old ones: nothing"),
        (lambda v, m, s, p: v.mean(), "f([1.0, 2.0, 3.0, 6.0], 0.0, 1.0,"),
        (lambda v, m, s, p: (p * fmean(v), p * variance(v)), "You kept nothing of the old"),
    ],
    "03-5": [
        ("8/9", "you have a string"),
        (9 / 8, "You divided the other way round."),
        (1 / 9, "That is the part by which the two"),
        (1, "Then the two variances would be"),
        (0, "You counted the images alone. A"),
        (2 / 3, "You counted one row of the map. A"),
        (0.889, "That is near, within one percent."),
        (0.89, "That is near, within one percent."),
        (8, "You have one of the two numbers."),
        (9, "You have one of the two numbers."),
        ("8/9", "Asked for is a number, and you"),
        ((8, 9), "Asked for is a number, and you"),
        (sqrt(8 / 9), "That is the ratio of the standard"),
        (7 / 9, "By one less, not by two, is the"),
        (1.125, "You divided the other way round."),
    ],
    "03-6": [
        ((1, 1, 1, 1), "You took no_grad for eval. It"),
        ((1, 2, 2, 3), "You took gradients for train mode"),
        ((1, 1, 1, 2), "You counted the calls that"),
        ((1, 2, 3, 4), "You counted every call. The layer"),
        (2, "Asked for is a tuple of 4"),
        ((0, 1, 1, 1), "The number after each call is"),
        ((1, 1, 0, 0), "Right so far: the first."),
        ((True, True, False, False), "Asked for is a tuple of 4"),
        ((2, 2), "Asked for is a tuple of 4"),
        ((1, 0, 0, 0), "Right so far: the first."),
    ],
    "03-7": [
        (
            lambda w, b, g, c, m, v, e: (w * g / sqrt(v), (b - m) * g / sqrt(v) + c),
            "You left out eps. It is small,",
        ),
        (
            lambda w, b, g, c, m, v, e: (w * g / (sqrt(v) + e), (b - m) * g / (sqrt(v) + e) + c),
            "You added eps after the root.",
        ),
        (
            lambda w, b, g, c, m, v, e: (w * g / (v + e), (b - m) * g / (v + e) + c),
            "You divided by a variance.",
        ),
        (lambda w, b, g, c, m, v, e: (fold(w, b, g, c, m, v, e)[0], b), "Right so far: the first."),
        (
            lambda w, b, g, c, m, v, e: (fold(w, b, g, c, m, v, e)[0], b - m + c),
            "Right: f(2.0, 1.0, 3.0, 0.5, 4.0,",
        ),
        (
            lambda w, b, g, c, m, v, e: fold(w, b, g, c, -m, v, e),
            "The weight is right. The mean has",
        ),
        (lambda w, b, g, c, m, v, e: fold(w, b, 1, c, m, v, e), "BatchNorm's own weight is"),
        (lambda w, b, g, c, m, v, e: (w * g, (b - m) * g + c), "The variance is missing:"),
        (lambda *a: fold(*a)[::-1], "These are the right numbers, in"),
        (lambda *a: fold(*a)[0], "Asked for is a pair, and you have"),
        (lambda w, b, bn: fold(w, b, *bn), "f(2.0, 1.0, 3.0, 0.5, 4.0, 8.0,"),
        (lambda *a: sum(fold(*a)), "Asked for is a pair, and you have"),
    ],
    "03-8": [
        ((2.3, 2.3), "The second has not learnt either."),
        ((1.0, 0.9), "The first has learnt, so it is"),
        ((1.0, 2.3), "The other way round: first the"),
        (1.2, "Asked for is a pair, and you have"),
        ((2.3, 2.0), "The second has not learnt either."),
        ((0.1, 0.9), "The first has learnt, so it is"),
        ((3.5, 4.0), "Both are above log(10): a start"),
        ((2.3, float("nan")), "The second has not learnt either."),
        ("2.3, 1.0", "Asked for is a pair, and you have"),
        ([2.3], "Asked for is a pair, and you have"),
    ],
    "03-9": [
        ((True, True, False, True), "You compared A-LRN with A. That"),
        ((True, True, False, False), "You marked where LRN does harm."),
        ((False, False, False, True), "You marked where LRN helps. If it"),
        ((True, False, True, False), "Those are the outcomes that the"),
        ((False, True, False, False), "3 of the 4 are right."),
        ((False, False, False, False), "2 of the 4 are right."),
        ([2, 4], "Asked for is a list of booleans,"),
        ((True,) * 4, "2 of the 4 are right."),
        ((True, False), "It has too few entries: 2."),
    ],
    "03-10": [
        (lambda: block(bias=True), "That is torchvision's block,"),
        (lambda: block(bias=True, norm=None), "Plain VGG-16 has that many"),
        (lambda: block(norm=None), "The kernels alone have parameters"),
        (after_relu, "The order differs: torchvision"),
        (lambda: block(act=None), "No ReLU runs: one follows each"),
        (lambda: block(pool=nn.AvgPool2d), "Your pooling takes means. VGG's"),
        (lambda: block(padding=0), "Each convolution takes a row or a"),
        (lambda: block()[:-1], "The map is as large as the image:"),
        (
            lambda: block(norm=lambda c: nn.BatchNorm2d(c, affine=False)),
            "Right: the shapes. Not right: the",
        ),
        (lambda: block(act=nn.Tanh), "Right: the shapes and the"),
        (lambda: nn.Sequential(*block()[:3], nn.MaxPool2d(2)), "Right: the shapes. Not right: the"),
        (Unfinished, "The forward stops before it gives"),
        (
            lambda: nn.Sequential(*block()[:5], nn.MaxPool2d(2), nn.BatchNorm2d(64)),
            "Right: the shapes. Not right: the",
        ),
        (lambda: block(norm=nn.InstanceNorm2d), "Right: the shapes. Not right: the"),
    ],
}
