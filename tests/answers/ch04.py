"""Answers to the exercises of chapter 04."""

from fractions import Fraction
from statistics import fmean, stdev

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vgglab import input_sizes, vgg, with_adaptive_pool
from vgglab.shapes import Window

POOLS = [Window(kernel_size=2, stride=2)] * 5


def fixed():
    return vgg("D", head="fc-fixed", device="meta")


def with_fc6(layer):
    model = fixed()
    model.classifier[0] = layer
    return model


def linear(features):
    return nn.Linear(features, 4096, device="meta")


def relu_before_fc6():
    model = fixed()
    _, relu, *others = model.classifier
    model.classifier = nn.Sequential(relu, linear(73728), *others)
    return model


def over_the_map(kernel=12):
    model = fixed()
    conv = nn.Conv2d(512, 4096, kernel, device="meta")
    return nn.Sequential(model.features, conv, nn.Flatten(), *model.classifier[1:])


class Between(nn.Module):
    """The network with something done to the image and to the map."""

    def __init__(self, model, image=lambda x: x, features=lambda x: x.flatten(1)):
        super().__init__()
        self.model, self.image, self.map = model, image, features

    def forward(self, x):
        return self.model.classifier(self.map(self.model.features(self.image(x))))


class Misspelt(Between):
    def forward(self, x):
        return self.model.clasifier(x)


def channels_last(parts):
    return Between(parts, features=lambda x: x.permute(0, 2, 3, 1).flatten(1))


def crops(model):
    return Between(model, image=lambda x: x[:, :, :224, :224])


def resizes(model):
    return Between(model, image=lambda x: F.interpolate(x, (224, 224)))


def cuts_channels(model):
    n = model.classifier[0].in_features
    return Between(model, features=lambda x: x.flatten(1)[:, :n])


def in_place(model):
    model.avgpool = nn.AdaptiveAvgPool2d(7)
    return model


def without_return(model):
    model.avgpool = nn.AdaptiveAvgPool2d(7)


def judged(first, second, t=2.776, pairs=True):
    found = [b - a for a, b in zip(first, second, strict=True)] if pairs else second
    half = t * stdev(found) / len(found) ** 0.5
    low, high = fmean(found) - half, fmean(found) + half
    return "better" if low > 0 else "worse" if high < 0 else "no difference seen"


def side(n):
    for _ in range(5):
        n //= 2
    return n


RIGHT = {
    "04-1": [(320, 351), [320, 351], np.array([320, 351]), (320.0, 351.0), iter((320, 351))],
    "04-2": [
        lambda h, w: 512 * (h // 32) * (w // 32),
        lambda h, w: 512.0 * int(h / 32) * int(w / 32),
        lambda h, w: torch.empty(1, 512, side(h), side(w)).numel(),
        lambda h, w: (
            vgg("D", device="meta")
            .features(torch.empty(1, 3, h, w, device="meta"))
            .flatten(1)
            .shape[1]
        ),
    ],
    "04-3": [
        (4, 512, 9, 15),
        torch.Size([4, 512, 9, 15]),
        [4, 512, 9, 15],
        fixed().features(torch.empty(4, 3, 300, 500, device="meta")).shape,
    ],
    "04-4": [(49, 225), [49, 225], np.array([49, 225])],
    "04-5": [
        lambda parts: nn.Sequential(parts.features, nn.Flatten(), parts.classifier),
        lambda parts: nn.Sequential(*parts.features, nn.Flatten(1), *parts.classifier),
        lambda parts: Between(parts, features=lambda x: x.view(len(x), -1)),
        lambda parts: nn.Sequential(
            parts.features, nn.AdaptiveAvgPool2d(7), nn.Flatten(), parts.classifier
        ),
        lambda parts: parts,
    ],
    "04-6": [
        lambda: with_fc6(linear(73728)),
        lambda: with_fc6(nn.LazyLinear(4096, device="meta")),
        lambda: with_fc6(linear(512 * 12 * 12)),
        over_the_map,
        lambda: nn.Sequential(
            fixed().features,
            nn.AdaptiveAvgPool2d(12),
            nn.Flatten(),
            linear(73728),
            *fixed().classifier[1:],
        ),
    ],
    "04-7": [
        lambda t, f: 4 * f + 16 * t,
        lambda t, f: 16 * t + 4 * f,
        lambda t, f: 4 * (t + f) + 4 * t + 8 * t,
        lambda t, f: np.int64(16) * t + 4 * f,
        lambda t, f: 16.0 * t + 4.0 * f,
        lambda t, f: Fraction(16 * t + 4 * f),
    ],
    "04-8": [judged, lambda a, b: judged(a, b).upper(), lambda a, b: f" {judged(a, b)}."],
    "04-9": ["b", "B", "(b)"],
    "04-10": [
        in_place,
        with_adaptive_pool,
        crops,
        resizes,
        lambda model: nn.Sequential(
            model.features, nn.AdaptiveMaxPool2d(7), nn.Flatten(), model.classifier
        ),
        lambda model: Between(model, features=lambda x: F.interpolate(x, (7, 7)).flatten(1)),
    ],
}

WRONG = {
    "04-1": [
        (range(320, 352), "These are the right ones, from"),
        (list(range(320, 352)), "These are the right ones, from"),
        ((320, 352), "The lower end is right. Put the"),
        ((320, 320), "That input gives the message, but"),
        ((10, 10), "That is the side of the feature"),
        ((289, 320), "You rounded up at each pooling."),
        ((351, 320), "These are the right numbers, in"),
        (320, "Asked for is a pair, and you have"),
        ({320, 351}, "Asked for is a pair, and you have"),
        ((319, 351), "Right so far: the second."),
        ((224, 255), "Those sides give 25088 features,"),
        (input_sizes(10, POOLS), "These are the right ones, from"),
        ("320 to 351", "Asked for is a pair, and you have"),
        ((320, 350), "Right so far: the first."),
    ],
    "04-2": [
        (lambda h, w: 512 * round(h / 32) * round(w / 32), "You rounded to the nearest"),
        (lambda h, w: 512 * (h // 32) ** 2, "Images need not be square: your"),
        (lambda h, w: 512 * h * w / 1024, "You divided without rounding. A"),
        (lambda h, w: 512 * (h * w // 1024), "You rounded the area. Rounding"),
        (lambda h, w: 512 * -(-h // 32) * -(-w // 32), "You rounded up. A window that"),
        (lambda h, w: (h // 32) * (w // 32), "That counts the cells of one map."),
        (lambda h, w: 25088, "That is right at 224 px alone."),
        (lambda h, w: 3 * (h // 32) * (w // 32), "Every number is 0.00585938 times"),
        (lambda h, w: (512, h // 32, w // 32), "Asked for is a number, and you"),
        (lambda h, w: print(512 * (h // 32) * (w // 32)), "f(224, 224) = None: it prints,"),
        (lambda h, w: 512 * (h // 16) * (w // 16), "There are five poolings: one more"),
        (lambda size: 512 * (size // 32) ** 2, "f(224, 224) raises TypeError:"),
        (25088, "You have a number, where a"),
        (lambda h, w: 4096, "Those are the features that fc6"),
    ],
    "04-3": [
        ((4, 512, 15, 9), "torch's order is (N, C, H, W):"),
        ((4, 512, 10, 16), "You rounded up. The last window"),
        ((512, 9, 15), "That is one image. The batch"),
        ((4, 9, 15, 512), "Channels last is the order of"),
        ((4, 512, 9), "Asked for is a tuple of 4"),
        ((4, 3, 300, 500), "Right so far: the first."),
        ((4, 512, 7, 7), "Right so far: the first and"),
        ((1, 512, 9, 15), "Right so far: the second and"),
        (4 * 512 * 9 * 15, "Asked for is a tuple of 4"),
        (torch.zeros(4, 512, 9, 15), "Asked for is a tuple of 4"),
        (torch.empty(4, 512, 9, 15, device="meta"), "Asked for is a tuple of 4"),
        ("4x512x9x15", "Asked for is a tuple of 4"),
        ((4, 512, 18, 31), "Right so far: the first and"),
        ((4, 69120), "Asked for is a tuple of 4"),
    ],
    "04-4": [
        ((49, 49), "The batch is right. flatten(1)"),
        ((225, 49), "Those are the two numbers, in the"),
        ((1, 4), "A view cannot drop what is left"),
        ((98, 450), "That batch runs, and so does a"),
        ((7, 32), "7 · 225 cells are no multiple of"),
        (49, "Asked for is a pair, and you have"),
        ((49, 25088), "Right so far: the first."),
        ((1, 225), "Right so far: the second."),
        ((225, 225), "Right so far: the second."),
        ((49, 224), "Right so far: the first."),
        ((25088, 49), "25088 is a row's length. How many"),
    ],
    "04-5": [
        (channels_last, "It runs, and gives other scores."),
        (
            lambda parts: nn.Sequential(parts.features, parts.classifier),
            "The map arrives with four",
        ),
        (
            lambda parts: nn.Sequential(parts.features, nn.Flatten(0), parts.classifier),
            "You laid the batch into the same",
        ),
        (
            lambda parts: nn.Sequential(parts.features, nn.Flatten(2), parts.classifier),
            "You laid each channel into a row",
        ),
        (
            lambda parts: nn.Sequential(
                parts.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), parts.classifier
            ),
            "You averaged each channel first.",
        ),
        (
            lambda parts: Between(parts, features=lambda x: x.mT.flatten(1)),
            "It runs, and gives other scores.",
        ),
        (
            lambda parts: nn.Sequential(parts.features, nn.Flatten()),
            "A row of 1000 scores for each",
        ),
        (lambda parts: Misspelt(parts), "The forward stops before it gives"),
        (
            lambda: nn.Sequential(fixed().features, nn.Flatten(), fixed().classifier),
            "<lambda>(model) raises TypeError:",
        ),
        (lambda parts: nn.Flatten, "You have the class Flatten, where"),
        (fixed(), "You have a network or layer, VGG,"),
        (lambda parts: print(parts), "<lambda>(model) = None: it"),
    ],
    "04-6": [
        (fixed, "Nothing has changed yet: fc6"),
        (relu_before_fc6, "Right: the shapes and the parameters and the layers that run. Not"),
        (lambda: with_fc6(linear(512 * 13 * 13)), "You rounded the side up. The last"),
        (lambda: with_fc6(linear(512 * 12)), "You counted one row of the map. A"),
        (lambda: vgg("D", device="meta"), "It runs, at both sizes: you"),
        (lambda: with_fc6(linear(51200)), "The forward stops before it gives"),
        (
            lambda: with_fc6(nn.Linear(73728, 1000, device="meta")),
            "The forward stops before it gives",
        ),
        (
            lambda: with_fc6(nn.Linear(25088, 73728, device="meta")),
            "The forward stops before it gives",
        ),
        (lambda: over_the_map(7), "The forward stops before it gives"),
        (lambda: with_fc6(nn.Sequential()), "The forward stops before it gives"),
        (
            lambda: Between(fixed(), image=lambda x: x[:, :, :224, :224]),
            "Right: the shapes. Not right: the",
        ),
        (lambda: vgg("D", head="gap", device="meta"), "Right: the shapes. Not right: the"),
        (lambda: Misspelt(fixed()), "The forward stops before it gives"),
        (
            lambda: with_fc6(nn.Linear(73728, 4096, bias=False, device="meta")),
            "Right: the shapes. Not right: the",
        ),
        (
            lambda: setattr(fixed(), "avgpool", nn.AdaptiveAvgPool2d(7)),
            "<lambda>() = None: it ended",
        ),
    ],
    "04-7": [
        (lambda t, f: 16 * t, "You left the frozen weights out"),
        (lambda t, f: 8 * t + 4 * f, "without what Adam remembers"),
        (lambda t, f: 4 * (t + f), "Those are the weights alone: all"),
        (lambda t, f: 16 * (t + f), "You gave frozen weights a"),
        (lambda t, f: 12 * t + 4 * f, "Three numbers for each trainable"),
        (lambda t, f: 4 * t + f, "You counted numbers. How many"),
        (lambda t, f: 32 * t + 8 * f, "Every number is 2 times what it"),
        (lambda t, f: (16 * t + 4 * f) / 2**20, "Every number is 9.53674e-07 times"),
        (lambda t, f: 16 * t + 8 * f, "Right: f(100, 0) = 1600. Not"),
        (lambda t, f: f"{16 * t + 4 * f} bytes", "Asked for is a number, and you"),
        (lambda t, f: print(16 * t + 4 * f), "f(100, 0) = None: it prints, and"),
        (lambda t: 16 * t, "f(100, 0) raises TypeError:"),
    ],
    "04-8": [
        (
            lambda a, b: "better" if fmean(b) > fmean(a) else "worse",
            "You compared two means. Two means",
        ),
        (lambda a, b: judged(b, a), "That is how the first way does"),
        (lambda a, b: "no difference seen", "You asked whether two intervals"),
        (lambda a, b: judged(a, b, t=1.0), "Right: f([0.9, 0.8, 0.7, 0.95,"),
        (lambda a, b: judged(a, b) == "better", "Asked for is a string, and you"),
        (
            lambda a, b: judged(a, b).replace("no difference seen", "no difference"),
            "Right: f([0.9, 0.8, 0.7, 0.95,",
        ),
        (lambda a, b: "better", "Right: f([0.6, 0.75, 0.9, 0.7,"),
        (
            lambda a, b: "better" if judged(a, b) == "better" else None,
            "f([0.9, 0.8, 0.7, 0.95, 0.85],",
        ),
        (
            lambda a, b: interval([y - x for x, y in zip(a, b, strict=True)]),
            "f([0.9, 0.8, 0.7, 0.95, 0.85],",
        ),
        (lambda a, b: (fmean(a), fmean(b)), "Asked for is a string, and you"),
        ("better", "You have a string, where a"),
        (lambda a, b: judged(a, b, pairs=False), "Right: f([0.6, 0.75, 0.9, 0.7,"),
    ],
    "04-9": [
        ("a", "That row is what the others are"),
        ("c", "There the digit is larger than in"),
        ("d", "There one cell is copied, and"),
        ("63 px, digit of 56 px", "Asked for is a letter in"),
        (2, "Asked for is a letter in"),
        ("e", None),
    ],
    "04-10": [
        (lambda model: model, "fc6 still does not get 7×7 cells."),
        (cuts_channels, "Some channels of the map never"),
        (lambda model: vgg("D", head="gap", device="meta"), "Some weights are gone, new, or of"),
        (lambda model: model.features, "The output is not one row of 1000"),
        (without_return, "without_return(model) = None: it"),
        (Misspelt, "The forward stops before it gives"),
        (
            lambda model: Between(model, image=lambda x: resize(x)),
            "The forward stops before it gives",
        ),
        (
            lambda model: Between(model, image=lambda x: x[:, :, :400, :400]),
            "The forward stops before it gives",
        ),
        (
            lambda model: Between(model, features=lambda x: x.mean((2, 3))),
            "The forward stops before it gives",
        ),
        (lambda model: vgg("D", width=1 / 4), "Some weights are gone, new, or of"),
        (
            lambda model: Between(model, features=lambda x: x[:, :, :7, :7].flatten(0)),
            "It does not give 1000 scores at",
        ),
        (lambda: fixed(), "<lambda>(model) raises TypeError:"),
        (fixed(), "You have a network or layer, VGG,"),
    ],
}
