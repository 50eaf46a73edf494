"""Answers to the exercises of chapter 07."""

from fractions import Fraction

import numpy as np
import torch
from torch import nn

from vgglab import vgg, with_gap_head


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class MeanOfFloats(nn.Module):
    def forward(self, x):
        return x.float().mean(dim=(-2, -1))


def dividing(weight, height, width):
    for row in weight:
        for i in range(len(row)):
            row[i] /= height * width
    return [[w for w in row for _ in range(height * width)] for row in weight]


def spread(weight, height, width):
    cells = height * width
    return [[w / cells for w in row for _ in range(cells)] for row in weight]


def cam(maps, weight, bias):
    rows, columns = len(maps[0]), len(maps[0][0])
    return [
        [sum(m[i][j] * w for m, w in zip(maps, weight, strict=True)) for j in range(columns)]
        for i in range(rows)
    ]


def popping(maps, weight, bias):
    total = 0
    while maps:
        total = total + weight.pop(0) * np.array(maps.pop(0))
    return total


def body(config="D"):
    return vgg(config, device="meta").features


def linear(features, classes=5):
    return nn.Linear(features, classes, device="meta")


def without_relu():
    layers = [layer for layer in body() if not isinstance(layer, nn.ReLU)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(512))


def averaging():
    layers = [nn.AvgPool2d(2) if isinstance(x, nn.MaxPool2d) else x for x in body()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(512))


class Misspelt(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.fc = body(), linear(512)

    def forward(self, x):
        return self.fcc(self.features(x).mean((2, 3)))


class Unused(Misspelt):
    """All convolutions are there, and the forward skips most."""

    def __init__(self):
        super().__init__()
        self.short = nn.Conv2d(3, 512, 1, device="meta")

    def forward(self, x):
        return self.fc(self.short(x).mean((2, 3)))


RIGHT = {
    "07-1": [(100352, 2048), [100352, 2048], np.array([2048 * 49, 2048]), (100352.0, 2048.0)],
    "07-2": [
        lambda c, h, w, k: ((c * h * w + 1) * k, (c + 1) * k),
        lambda c, h, w, k: [k * (c * h * w) + k, k * c + k],
        lambda c, h, w, k: torch.tensor([(c * h * w + 1) * k, (c + 1) * k]),
        lambda c, h, w, k: (
            sum(p.numel() for p in nn.Linear(n, k, device="meta").parameters())
            for n in (c * h * w, c)
        ),
    ],
    "07-3": [
        Mean,
        Mean(),
        MeanOfFloats(),
        nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1)),
        lambda: nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
    ],
    "07-4": [
        dividing,
        spread,
        lambda w, h, v: np.repeat(np.array(w), h * v, axis=1) / (h * v),
        lambda w, h, v: torch.tensor(w).repeat_interleave(h * v, 1) / (h * v),
        lambda w, h, v: [
            [Fraction(int(4 * x), 4 * h * v) for x in r for _ in range(h * v)] for r in w
        ],
    ],
    "07-5": [(224, 255), [224, 255], torch.tensor((224, 255))],
    "07-6": [
        popping,
        cam,
        lambda m, w, b: np.tensordot(np.array(w), np.array(m), 1),
        lambda m, w, b: (torch.tensor(m) * torch.tensor(w)[:, None, None]).sum(0),
    ],
    "07-7": [
        (False, False, True, False),
        [0, 0, 1, 0],
        np.array([False, False, True, False]),
        torch.tensor([0, 0, 1, 0]).bool(),
    ],
    "07-8": [(0.5, 1.0), [0.47, 0.99], (torch.tensor(0.5), 1)],
    "07-9": ["c", "C", "(c)"],
    "07-10": [
        lambda: with_gap_head(vgg("D", device="meta"), 5),
        lambda: nn.Sequential(
            body(),
            nn.Conv2d(512, 5, 3, padding=1, device="meta"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        lambda: nn.Sequential(body(), Mean(), linear(512)),
        lambda: nn.Sequential(body(), nn.AdaptiveAvgPool2d(7), nn.Flatten(), linear(25088)),
    ],
}

WRONG = {
    "07-1": [
        ("100352, 2048", "you have a string"),
        ((100352, 2048, 1), "you have a tuple of 3 numbers"),
        ((100352, 49), "The second number is that of the"),
        ((2048, 100352), "Look at which of the two keeps"),
        ((25088, 512), "Those are VGG-16's. How many"),
        (100352, "Asked for is a pair, and you have"),
        ((100352, 1), "Right so far: the first."),
        ((100352, 1000), "Right so far: the first."),
        ((2048, 2048), "Right so far: the second."),
        ((32768, 512), "Those are not ResNet-50's"),
        ((2048 * 7, 2048), "Right so far: the second."),
        ((2048, 7, 7), "you have a tuple of 3 numbers"),
        ("100352 and 2048", "you have a string"),
        ((2048, 1), "Flatten keeps every number of the"),
    ],
    "07-2": [
        (lambda c, h, w, k: (c * h * w * k, c * k), "Besides its matrix of weights, a"),
        (lambda c, h, w, k: (c * h * w + 1, c + 1), "That is for one class."),
        (lambda c, h, w, k: (c * h * w * k + k, h * w * k + k), "Your second number counts cells."),
        (lambda c, h, w, k: ((c + 1) * k, (c * h * w + 1) * k), "These are the right numbers, in"),
        (lambda c, h, w, k: (c * h * w * k + 1, c * k + 1), "There is one bias for each class,"),
        (lambda c, h, w, k: (c * h * w * k + k, k), "Right so far: the first."),
        (lambda c, h, w, k: c * h * w * k + k, "Asked for is a pair, and you have"),
        (
            lambda c, h, w, k: {"flatten": c * h * w * k + k, "gap": c * k + k},
            "What is in it is right, its form",
        ),
        (lambda c, h, w, k: print(c), "f(512, 7, 7, 1000) = None: it"),
        (lambda c, h, w, k: (c * h * w, c), "Those are the features. A linear"),
        (lambda c, h, k: (c * h * k, c * k), "f(512, 7, 7, 1000) raises"),
        ((25089000, 513000), "You have a pair, where a function"),
    ],
    "07-3": [
        (nn.AdaptiveAvgPool2d(1), "The means are right. Look at the"),
        (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), "That is the largest number of"),
        (nn.Flatten(), "That keeps every cell, so that"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(0)), "The means are right, and the"),
        (nn.AdaptiveAvgPool2d, "AdaptiveAvgPool2d() raises"),
        (lambda x: x.mean((2, 3)), "What it gives is right. Make it"),
        (nn.AvgPool2d(7), "An input of (2, 3, 4, 4) raises"),
        (lambda x: x.mean(), "The shapes are not right."),
        (nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), "An input of (1, 2, 1, 1) raises"),
        (nn.Linear(512, 10), "An input of (2, 3, 4, 4) raises"),
        ("nn.AdaptiveAvgPool2d(1)", "You have a string, where a layer"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), "The shapes are not right."),
        (torch.zeros(2, 3), "You have a tensor of shape (2,"),
    ],
    "07-4": [
        (
            lambda w, h, v: [[x for x in r for _ in range(h * v)] for r in w],
            "Your logits are those of sums",
        ),
        (
            lambda w, h, v: (torch.tensor(w) / (h * v)).repeat(1, h * v),
            "The numbers are right and their",
        ),
        (
            lambda w, h, v: [[x / len(r) for x in r for _ in range(h * v)] for r in w],
            "You divided by the number of",
        ),
        (
            lambda w, h, v: [x / (h * v) for r in w for x in r for _ in range(h * v)],
            "What is in it is right, its form",
        ),
        (lambda w, h, v: torch.tensor(spread(w, h, v)).T, "Rows and columns are exchanged: a"),
        (lambda w, h, v: w, "That is the weight after GAP."),
        (lambda w, h, v: [[x / (h * v) for x in r] for r in w], "You divided, and did not repeat:"),
        (lambda w, h, v: spread(w, h, v)[0], "What is in it is right, its form"),
        (
            lambda w, h, v: [[x / h for x in r for _ in range(h * v)] for r in w],
            "You divided by one side. GAP",
        ),
        (lambda w, h, v: w.repeat_interleave(h * v, 1), "f([[1.0, 2.0]], 2, 2) raises"),
        (
            lambda w, h, v: torch.tensor(spread(w, h, v)).view(len(w), -1, h, v),
            "What is in it is right, its form",
        ),
        (lambda w, h, v: print(spread(w, h, v)), "f([[1.0, 2.0]], 2, 2) = None: it"),
        (
            lambda w, h, v: [[x * h * v for x in r for _ in range(h * v)] for r in w],
            "You multiplied where a mean",
        ),
    ],
    "07-5": [
        ((224, 224), "224 px runs, and it is not the"),
        ((224, 256), "At your second side the map has a"),
        ((193, 224), "Every pooling rounds down, not up."),
        (range(224, 256), "These are the right ones, from"),
        (224, "Asked for is a pair, and you have"),
        ((255, 224), "These are the right numbers, in"),
        ((32, 255), "Right so far: the second."),
        ((224, 1000), "Right so far: the first."),
        ((7, 7), "That is the side of the map. The"),
        ((217, 255), "Right so far: the second."),
        ("224-255", "Asked for is a pair, and you have"),
        ((223, 255), "Right so far: the second."),
    ],
    "07-6": [
        (lambda m, w, b: np.array(cam(m, w, b)) + b, "The mean of your map is the logit"),
        (
            lambda m, w, b: np.array(cam(m, w, b)) / np.array(m[0]).size,
            "The sum of your map gives the",
        ),
        (lambda m, w, b: np.array(m).sum(0), "You added the channels up. Which"),
        (lambda m, w, b: np.array(cam(m, w, b)).clip(0), "You cut off what speaks against"),
        (lambda m, w, b: np.array(cam(m, w, b)).mean() + b, "Asked for is a list of lists of"),
        (
            lambda m, w, b: [[x * w[k] for x in r] for k, c in enumerate(m) for r in c],
            "You weighted the channels, and",
        ),
        (lambda m, w, b: np.array(cam(m, w, b)) / len(m), "Every number is 0.5 times what it"),
        (lambda m, w, b: np.array(cam(m, w, b)).T, "Right: f([[[2.0]], [[7.0]]],"),
        (lambda m, w, b: np.array(cam(m, w, b)).flatten(), "What is in it is right, its form"),
        (lambda m, w, b: np.einsum("chw,c->chw", m, w), "Asked for is a list of lists of"),
        (lambda m, w, b: m * w, "f([[[1.0, 0.0, 2.0], [3.0, 1.0,"),
        (lambda m, w, b: print(cam(m, w, b)), "f([[[1.0, 0.0, 2.0], [3.0, 1.0,"),
        (lambda m, w, b: -np.array(cam(m, w, b)), "Every number is -1 times what it"),
    ],
    "07-7": [
        ((True,) * 4, "Then GAP would be Flatten. A mean"),
        ((False,) * 4, "Three of the four move cells. One"),
        ((True, False, True, False), "Mirroring is a change of the"),
        ((False, True, True, False), "3 of the 4 are right."),
        ((False, False, True, True), "3 of the 4 are right."),
        ((False, False, False, True), "2 of the 4 are right."),
        ((True, True, False, True), "0 of the 4 are right."),
        ([3], "Asked for is a tuple of 4"),
        ("channels", "Asked for is a tuple of 4"),
        ((False, True), "Asked for is a tuple of 4"),
    ],
    "07-8": [
        ((1.0, 1.0), "GAP can tell your two kinds"),
        ((0.5, 0.5), "Flatten guesses as well. Do the"),
        ((1.0, 0.5), "The other way round: first GAP."),
        ((50, 100), "These are percent. Answer with"),
        (0.5, "Asked for is a pair, and you have"),
        ((0.7, 0.8), "Neither guesses nor is sure: are"),
        ({"GAP": 0.5, "Flatten": 1.0}, "What is in it is right, its form"),
        ((0.5,), "Asked for is a pair, and you have"),
        ((0.1, 0.95), "GAP can tell your two kinds"),
        ("0.5 1", "Asked for is a pair, and you have"),
    ],
    "07-9": [
        ("a", "That is what learning by heart"),
        ("b", "Copies make it harder to learn"),
        ("d", "That says that both were stopped"),
        ("e", None),
        (3, "Asked for is a letter in"),
        ("no better", "Asked for is a letter in"),
    ],
    "07-10": [
        (lambda: vgg("D", num_classes=5, device="meta"), "It takes both sizes. Where are"),
        (
            lambda: nn.Sequential(body(), nn.Flatten(), linear(25088)),
            "The forward stops before it gives",
        ),
        (lambda: vgg("D", head="gap", device="meta"), "How many classes does it tell"),
        (
            lambda: vgg("A", head="gap", num_classes=5, device="meta"),
            "The head is right. VGG-16 has",
        ),
        (without_relu, "VGG-16 runs thirteen convolutions"),
        (averaging, "VGG-16 runs thirteen convolutions"),
        (Misspelt, "The forward stops before it gives"),
        (Unused, "VGG-16 runs thirteen convolutions"),
        (
            lambda: nn.Sequential(body(), nn.AdaptiveAvgPool2d(1), linear(512)),
            "The forward stops before it gives",
        ),
        (lambda: nn.Sequential(body(), linear(512)), "The forward stops before it gives"),
        (
            lambda: vgg("D", head="gap", num_classes=5, width=1 / 2, device="meta"),
            "VGG-16 runs thirteen convolutions",
        ),
        (lambda: vgg("E", head="gap", num_classes=5, device="meta"), "The convolutions have 14.7"),
        (lambda: body().append(undefined), "<lambda>() raises NameError: name"),
    ],
}
