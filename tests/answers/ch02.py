"""Answers to the exercises of chapter 02."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from vgglab import receptive_field, vgg


def reversed_in_place(layers):
    layers.reverse()
    size = 1
    for kernel, stride in layers:
        size = (size - 1) * stride + kernel
    return size


def popped(layers):
    size, jump = 1, 1
    while layers:
        kernel, stride = layers.pop(0)
        size += (kernel - 1) * jump
        jump *= stride
    return size


def sized(layers, *, start=1, off=1, first=False, doubling=False, jumps=True):
    size, jump = start, 1
    for kernel, stride in layers:
        if first:
            jump *= stride
        size += (kernel - off) * (jump if jumps else 1)
        if not first:
            jump = jump + stride if doubling else jump * stride
    return size


def turned(first, second):
    second.reverse()
    n = len(first) + len(second) - 1
    padded = [0.0] * (len(second) - 1) + first + [0.0] * (len(second) - 1)
    return [sum(a * b for a, b in zip(padded[k:], second, strict=False)) for k in range(n)]


def composed(first, second):
    whole = [0] * (len(first) + len(second) - 1)
    for p, a in enumerate(first):
        for q, b in enumerate(second):
            whole[p + q] += a * b
    return whole


def rows(i, size, stride, padding, height):
    first = i * stride - padding
    return max(first, 0), min(first + size, height) - 1


def conv(before, after=16, kernel=3, dilation=1, stride=1):
    padding = dilation * (kernel // 2)
    return nn.Conv2d(before, after, kernel, stride, padding, dilation, device="meta")


class Squeezed(nn.Module):
    """Every cell sees the whole image through a mean."""

    def __init__(self):
        super().__init__()
        self.start = nn.Sequential(conv(3), nn.ReLU(), nn.MaxPool2d(4))
        self.gate = nn.Conv2d(16, 16, 1, device="meta")

    def forward(self, x):
        x = self.start(x)
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


class Forgotten(nn.Module):
    """What sees enough is not used."""

    def __init__(self):
        super().__init__()
        self.start = nn.Sequential(conv(3), nn.MaxPool2d(4))
        self.far = conv(16, dilation=16)

    def forward(self, x):
        x = self.start(x)
        z = self.far(x)  # noqa: F841
        return x


class Misspelt(Forgotten):
    def forward(self, x):
        return resize(self.start(x))


def printing(layers):
    print(sized(layers))


RIGHT = {
    "02-1": [11, 11.0, np.int32(11), torch.tensor(11), 3 + 2 * 4],
    "02-2": [reversed_in_place, popped, sized, lambda layers: np.float64(sized(layers))],
    "02-3": [
        lambda c, k, d: d * (k * c) ** 2,
        lambda channels, kernel_size, depth: torch.tensor(depth * (kernel_size * channels) ** 2),
        lambda c, k, d: sum(
            nn.Conv2d(c, c, k, bias=False, device="meta").weight.numel() for _ in range(d)
        ),
    ],
    "02-4": [5, 5.0, (11 - 1) / 2, Fraction(10, 2), Decimal(5)],
    "02-5": [
        rows,
        lambda *a: list(rows(*a)),
        lambda *a: np.array(rows(*a)),
        lambda *a: (float(x) for x in rows(*a)),
    ],
    "02-6": [
        156,
        receptive_field(vgg("C", device="meta"), (1, 3, 224, 224), "features").size[0],
    ],
    "02-7": [
        composed,
        turned,
        np.convolve,
        lambda a, b: torch.tensor(composed(a, b)),
        lambda a, b: (x for x in composed(a, b)),
    ],
    "02-8": [(0.5, 1.0), [0.48, 0.97], (torch.tensor(0.55), torch.tensor(0.99)), (1 / 2, 1)],
    "02-9": [
        (True, False, False, True),
        [True, False, False, True],
        (1, 0, 0, 1),
        np.array([1, 0, 0, 1]),
    ],
    "02-10": [
        Squeezed,
        lambda: nn.Sequential(conv(3, stride=4), *(conv(16) for _ in range(8))),
        lambda: nn.Sequential(conv(3), nn.MaxPool2d(4), conv(16, dilation=16)),
    ],
}

WRONG = {
    "02-1": [
        (15, "Neighbouring windows overlap. How"),
        (13, "One layer too many: a pixel of"),
        (10, "Near. What does a cell see before"),
        (3, "This is what it sees of the map"),
        (7, "That is the field after three"),
        (9, "One layer too few: the first"),
        (5, "That is the number of layers."),
        (121, "That is the area of the field."),
        ("11", "Asked for is a number, and you"),
        ((11, 11), "Asked for is a number, and you"),
        (3**5, "Each layer adds rows to the"),
        (32, "Stride 1 halves nothing: each"),
    ],
    "02-2": [
        (lambda layers: sized(layers, first=True), "The stride of a layer counts for"),
        (lambda layers: sized(layers, jumps=False), "After a stride of 2, neighbouring"),
        (lambda layers: sized(layers, start=0), "Before any layer a cell sees one"),
        (lambda layers: sized(layers, off=0), "A kernel of k adds k − 1 steps,"),
        (lambda layers: sized(layers, doubling=True), "You added the strides up. Steps"),
        (lambda layers: (sized(layers), sized(layers)), "Asked for is a number, and you"),
        (printing, "f([(3, 1), (3, 1), (3, 1)]) ="),
        (lambda layers: sum(kernel for kernel, _ in layers), "Neighbouring windows overlap: a"),
        (lambda layers: layers.size, "f([(3, 1), (3, 1), (3, 1)])"),
        (lambda kernel_size, stride: kernel_size * stride, "f([(3, 1), (3, 1), (3, 1)])"),
        (11, "You have a number, where a"),
    ],
    "02-3": [
        (lambda c, k, d: k**2 * c**2, "This is one of the convolutions."),
        (lambda c, k, d: d * k**2 * c, "Each kernel is as deep as its"),
        (lambda c, k, d: d * (k**2 * c**2 + c), "These are the biases too."),
        (lambda c, k, d: (k**2 * c**2) ** d, "The layers stand one after the"),
        (lambda c, k, d: d * k * c**2, "A kernel has k rows and k columns."),
        (lambda c, k, d: d * k**2 * 2 * c, "Channels in and channels out are"),
        (lambda c, k, d: d * k**2, "That is one kernel for one"),
        (lambda c, k: k**2 * c**2, "f(64, 3, 3) raises TypeError:"),
        (110592, "You have a number, where a"),
    ],
    "02-4": [
        (4, "You divided the sides. But"),
        (10, "Each layer adds a row on both"),
        (14, "You divided the areas. That"),
        (3, "You divided the sides. But"),
        (6, "One too many: n layers see 1 + 2n."),
        (11, "That is the side of the kernel."),
        (11 / 3, "You divided the sides. But"),
        (8, "The first layer sees 3, and each"),
        (9, "The first layer sees 3, and each"),
        ([3] * 5, "Asked for is a number, and you"),
    ],
    "02-5": [
        (lambda i, s, t, p, h: (i * t - p, i * t - p + s - 1), "Rows that the image does not have"),
        (lambda i, s, t, p, h: (i * t, i * t + s - 1), "Row 0 of the map begins above the"),
        (
            lambda i, s, t, p, h: (max(i * t - p, 0), min(i * t - p + s, h)),
            "The second number is one more",
        ),
        (
            lambda i, s, t, p, h: (max(i * t - p, 0), min(max(i * t - p, 0) + s, h) - 1),
            "Cut off at the end what is",
        ),
        (
            lambda i, s, t, p, h: (max(i * t - p, 0), min(i * t - p + s, h - 1)),
            "Where the image does not end, the",
        ),
        (lambda *a: rows(*a)[::-1], "These are the right numbers, in"),
        (lambda *a: range(rows(*a)[0], rows(*a)[1] + 1), "These are the right ones, from"),
        (lambda *a: rows(*a)[0], "Asked for is a pair, and you have"),
        (
            lambda i, s, t, p, h: (max(i * t - p, 1), min(i * t - p + s, h)),
            "You count rows from 1.",
        ),
        (lambda i, s, t, p, h: print(i * t - p), "f(0, 212, 32, 90, 400) = None: it"),
    ],
    "02-6": [
        (212, "This is D. What does a 1×1"),
        (150, "This is A, with one convolution"),
        (206, "You took off 2 for each 1×1. But"),
        ((156, 156), "Asked for is a number, and you"),
        (224, "This is the side of the image. A"),
        (32, "This is the distance between two"),
        (31, "That is without the poolings:"),
        (7, "This is the side of the map."),
        (268, "This is E."),
        (180, "You took off too much or too"),
        (179, "You took off too much or too"),
    ],
    "02-7": [
        (lambda a, b: composed(a, b[::-1]), "One of the rows is the wrong way"),
        (lambda a, b: composed(a[::-1], b[::-1]), "The row is the wrong way round:"),
        (
            lambda a, b: [x * y for x, y in zip(a, b, strict=False)],
            "Three weights after three weights",
        ),
        (lambda a, b: [x + y for x, y in zip(a, b, strict=False)], "The second row reads what the"),
        (lambda a, b: np.convolve(a, b, "same"), "It has too few entries: 3."),
        (lambda a, b: np.convolve(a, b, "valid"), "You kept the places alone where"),
        (lambda a, b: np.correlate(a, b, "full"), "One of the rows is the wrong way"),
        (lambda a, b: a + b, "You put the rows next to each"),
        (lambda a, b: np.outer(a, b), "Asked for is a list of numbers,"),
        (lambda a, b: sum(composed(a, b)), "Asked for is a list of numbers,"),
        (lambda a, b: torch.conv1d(a, b), "f([1.0, 2.0, 3.0], [1.0, 0.0,"),
    ],
    "02-8": [
        ((1.0, 1.0), "The first should not be able to."),
        ((0.5, 0.5), "The second is not sure. Does a"),
        ((1.0, 0.5), "The other way round: first the"),
        ((50, 100), "These are percent. Answer with"),
        ((48.5, 97.0), "These are percent. Answer with"),
        (0.5, "Asked for is a pair, and you have"),
        ((7, 15), "Those are sizes of fields. The"),
        ((0.7, 0.8), "Neither a guess nor a certainty:"),
        ({"near": 0.5, "far": 1.0}, "What is in it is right, its form"),
        ((0.5, 0.85), "The second is not sure. Does a"),
        ("0.5, 1.0", "Asked for is a pair, and you have"),
    ],
    "02-9": [
        ((True, False, False, False), "The claim is not that the stack"),
        ((True, True, False, True), "You judged by the middle. What"),
        ((False, True, False, True), "You marked those in which 0 lies."),
        ((False, True, True, False), "0 of the 4 are right."),
        ((False, False, True, False), "1 of the 4 are right."),
        ((True, True, True, True), "An interval that reaches over one"),
        ([1, 4], "Asked for is a list of booleans,"),
        ((True, False), "It has too few entries: 2."),
        ("yes", "Asked for is a list of booleans,"),
    ],
    "02-10": [
        (
            lambda: nn.Sequential(conv(3), nn.MaxPool2d(4), conv(16, kernel=15)),
            "One large kernel sees enough and",
        ),
        (
            lambda: nn.Sequential(conv(3), nn.MaxPool2d(4), conv(16), conv(16), conv(16)),
            "What counts is what the output",
        ),
        (
            lambda: nn.Sequential(conv(3), nn.MaxPool2d(4), conv(16, 8, dilation=16)),
            "Two halvings bring 64 to 16; all",
        ),
        (
            lambda: nn.Sequential(conv(3), nn.MaxPool2d(8), conv(16, dilation=16)),
            "Two halvings bring 64 to 16; all",
        ),
        (Forgotten, "What counts is what the output"),
        (Misspelt, "The forward stops before it gives"),
        (
            lambda: nn.Sequential(conv(3), nn.MaxPool2d(4), conv(8)),
            "The forward stops before it gives",
        ),
        (lambda: vgg("D", device="meta").features, "Two halvings bring 64 to 16; all"),
        (lambda: conv(3), "Two halvings bring 64 to 16; all"),
    ],
}
