"""Answers to the exercises of chapter 08."""

from statistics import mean, stdev

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vgglab import fc_to_conv, vgg, with_adaptive_pool, with_gap_head


def corners(image, crop):
    d = image - crop
    return [(0, 0), (0, d), (d, 0), (d, d), (d // 2, d // 2)]


def paired(ours, others):
    pairs = [a - b for a, b in zip(ours, others, strict=True)]
    return mean(pairs), stdev(pairs) / len(pairs) ** 0.5


def by_numpy(ours, others):
    pairs = np.array(ours) - np.array(others)
    return pairs.mean(), pairs.std(ddof=1) / np.sqrt(len(pairs))


def dense(model):
    return fc_to_conv(model, (1, 3, 224, 224))


def narrow_on_meta():
    return vgg("D", head="fc-fixed", width=1 / 16, device="meta").eval()


def front(costs, shares):
    return [
        i
        for i, (cost, share) in enumerate(zip(costs, shares, strict=True))
        if all(
            c > cost or s < share
            for j, (c, s) in enumerate(zip(costs, shares, strict=True))
            if j != i
        )
    ]


def front_by_order(costs, shares):
    best, found = -1, []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -shares[i])):
        if shares[i] > best:
            best = shares[i]
            found.append(i)
    return sorted(found)


class ByHand(nn.Module):
    """The convolutions are written out, and the maximum is a pooling as large as the map."""

    def __init__(self, model):
        super().__init__()
        self.features, self.classifier = model.features, model.classifier

    def forward(self, x):
        x = self.features(x)
        fc6, relu, drop, fc7, _, _, fc8 = self.classifier
        kernel = fc6.weight.unflatten(1, (-1, 7, 7))
        x = drop(relu(F.conv2d(x, kernel, fc6.bias)))
        x = drop(relu(F.conv2d(x, fc7.weight[..., None, None], fc7.bias)))
        x = F.conv2d(x, fc8.weight[..., None, None], fc8.bias)
        return F.max_pool2d(x, x.shape[2:]).flatten(1)


RIGHT = {
    "08-1": [25088 * 4096 + 4096, 102_764_544, 25088 * 4096 + 4096, torch.tensor(102_764_544)],
    "08-2": [
        corners,
        lambda i, c: [list(pair) for pair in corners(i, c)],
        lambda i, c: torch.tensor(corners(i, c)),
        lambda i, c: np.array(corners(i, c)),
    ],
    "08-3": [
        lambda m: torch.softmax(m, dim=1).flatten(2).mean(2),
        lambda s: s.softmax(1).mean((2, 3)),
        lambda s: F.softmax(s, dim=1).flatten(2).mean(2),
        lambda s: (s.exp() / s.exp().sum(1, keepdim=True)).mean(dim=(-2, -1)),
        lambda s: s.softmax(1).mean((2, 3)).numpy(),
    ],
    "08-4": ["c", "C", "(c)"],
    "08-5": [paired, by_numpy, lambda a, b: list(paired(a, b))],
    "08-6": ["b", "B"],
    "08-7": [
        lambda side: (side // 32 - 6) ** 2,
        lambda side: ((side - 224) // 32 + 1) ** 2,
        lambda side: fc_to_conv(narrow_on_meta(), (1, 3, 224, 224))(
            torch.empty(1, 3, side, side, device="meta")
        )[0, 0].numel(),
    ],
    "08-8": [
        lambda a, b: (a.argmax(1) == b.argmax(1)).double().mean().item(),
        lambda a, b: (a.max(1).indices == b.max(1).indices).float().mean(),
        lambda a, b: np.mean(a.numpy().argmax(1) == b.numpy().argmax(1)),
    ],
    "08-9": [front, front_by_order],
    "08-10": [
        lambda model: nn.Sequential(dense(model), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        ByHand,
    ],
}

WRONG = {
    "08-1": [
        (73728 * 4096, "weights of the new layer"),
        (25088 * 4096, "Those are the weights. The biases"),
        (73728 * 4096 + 4096, "So many numbers has the new layer"),
        ((73728 - 25088) * 4096, "You counted what is added"),
        (0, "The layer is another object"),
        (138_357_544, None),
        (1000, None),
    ],
    "08-2": [
        (
            lambda s, c: [(0, 0), (0, s), (s, 0), (s, s), (s // 2, s // 2)],
            "Those are the corners of the image",
        ),
        (lambda s, c: [(0, 0), (0, s - c), (s - c, 0), (s - c, s - c)], "too few entries"),
        (
            lambda i, c: [(0, 0), (0, i - c), (i - c, 0), (i - c, i - c), (i // 2, i // 2)],
            "The middle crop begins in the middle",
        ),
        (
            lambda i, c: [(0, 0), (0, c), (c, 0), (c, c), ((i - c) // 2, (i - c) // 2)],
            "The last corners begin where the",
        ),
        (lambda i, c: [(b, a) for a, b in corners(i, c)], "The places are right; their order"),
        (lambda i, c: corners(i, c)[:4], "It has too few entries: 4"),
        (lambda i, c: (i - c) // 2, "Asked for is"),
    ],
    "08-3": [
        (lambda m: m.softmax(-1).mean((2, 3)), "along the columns"),
        (lambda m: m.sigmoid().mean((2, 3)), "A sigmoid looks"),
        (lambda m: m.log_softmax(1).mean((2, 3)), "logarithms of probabilities"),
        (lambda s: s.mean((2, 3)).softmax(1), "Those are the probabilities of the mean"),
        (lambda s: s.flatten(2).softmax(2).mean(2), "You shared one among the cells"),
        (lambda s: s.softmax(1).sum((2, 3)), "A sum grows with the number of"),
        (lambda s: s.mean((2, 3)), "That is the mean of the scores"),
        (lambda s: s.softmax(1), None),
    ],
    "08-4": [
        ("a", "Then each cell of the slide is"),
        ("b", "It averages cells of the slide"),
        ("d", "That layer is fresh"),
        ("conv", "Asked for is a letter in"),
    ],
    "08-5": [
        (
            lambda a, b: (
                mean(a) - mean(b),
                (stdev(a) ** 2 / len(a) + stdev(b) ** 2 / len(b)) ** 0.5,
            ),
            "The mean is right. Its error is that of two",
        ),
        (
            lambda a, b: (paired(a, b)[0], stdev([x - y for x, y in zip(a, b, strict=True)])),
            "The mean is right. That is how far",
        ),
        (lambda a, b: paired(b, a), "Ours less the others"),
        (lambda a, b: mean(a) - mean(b), "Asked for is"),
    ],
    "08-6": [
        ("a", "They make the interval narrower"),
        ("c", "It would say whether it holds"),
        ("d", "There too the objects grow"),
    ],
    "08-7": [
        (lambda side: (side // 32) ** 2, "Those are the cells of the last map"),
        (lambda side: (side // 32 - 7) ** 2, "At 224 px there is one window"),
        (lambda side: (side - 224 + 1) ** 2, "Those would be windows one pixel apart"),
        (lambda side: side // 32 - 6, "So many fit along one side"),
        (lambda side: 36, None),
    ],
    "08-8": [
        (
            lambda a, b: (a.argmax(0) == b.argmax(0)).double().mean().item(),
            "You looked for the image",
        ),
        (lambda a, b: int((a.argmax(1) == b.argmax(1)).sum()), "That is their number"),
        (lambda a, b: (a == b).double().mean().item(), "Two repairs can give other scores"),
        (
            lambda a, b: 1 - (a.argmax(1) == b.argmax(1)).double().mean().item(),
            "That is the share for which they differ",
        ),
        (lambda a, b: 0.5, None),
    ],
    "08-9": [
        (lambda c, s: [s.index(max(s))], "That is the most accurate one"),
        (lambda c, s: [c.index(min(c))], "That is the cheapest one"),
        (lambda c, s: list(range(len(c))), "To be cheaper or better than some other one"),
    ],
    "08-10": [
        (
            lambda model: nn.Sequential(dense(model), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "That is the mean of the windows",
        ),
        (lambda model: with_adaptive_pool(model), "That pools the map before"),
        (dense, "The windows are there."),
        (lambda model: model, "Nothing has changed yet"),
        (lambda model: with_gap_head(model, 1000), "At 224 px there is one window"),
    ],
}
