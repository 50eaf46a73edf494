"""Answers to the exercises of chapter 10."""

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vgglab import with_adaptive_pool, with_gap_head, with_spp_head


def naive(gradients, all_reduce, ranks):
    for gradient in gradients:
        all_reduce(gradient)
        gradient /= ranks


def divided_first(gradients, all_reduce, ranks):
    for gradient in gradients:
        gradient.div_(ranks)
        all_reduce(gradient)


def sums(gradients, all_reduce, ranks):
    for gradient in gradients:
        all_reduce(gradient)


def rebound(gradients, all_reduce, ranks):
    for gradient in gradients:
        all_reduce(gradient)
        gradient = gradient / ranks


def flat(gradients, all_reduce, ranks):
    vector = torch.cat([g.reshape(-1) for g in gradients]) / ranks
    all_reduce(vector)
    start = 0
    for g in gradients:
        g.copy_(vector[start : start + g.numel()].view(g.shape))
        start += g.numel()


def by_torch(gradients, all_reduce, ranks):
    vector = parameters_to_vector(gradients)
    all_reduce(vector)
    vector_to_parameters(vector / ranks, gradients)


def flat_sums(gradients, all_reduce, ranks):
    vector = parameters_to_vector(gradients)
    all_reduce(vector)
    vector_to_parameters(vector, gradients)


def filled(sizes, limit):
    found, open_ = [], []
    for size in sizes:
        open_.append(size)
        if sum(open_) >= limit:
            found.append(open_)
            open_ = []
    return [*found, open_] if open_ else found


def not_above(sizes, limit):
    found = [[]]
    for size in sizes:
        if found[-1] and sum(found[-1]) + size > limit:
            found.append([])
        found[-1].append(size)
    return found


def arrived(ready, taken):
    end = 0
    for r, t in zip(ready, taken, strict=True):
        end = max(r, end) + t
    return end


def pooled(model):
    return nn.Sequential(model.features, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.LazyLinear(1000))


RIGHT = {
    "10-1": [411_058_176, (25088 * 4096 + 4096) * 4, torch.tensor(411_058_176)],
    "10-2": [naive, divided_first],
    "10-3": [flat, by_torch],
    "10-4": [filled, lambda s, n: [tuple(b) for b in filled(s, n)]],
    "10-5": [
        lambda r, t: max(r[i] + sum(t[i:]) for i in range(len(r))),
        arrived,
        lambda r, t: torch.tensor(arrived(r, t)),
    ],
    "10-6": ["c", "C"],
    "10-7": ["d", "(d)"],
    "10-8": [lambda model: with_gap_head(model, 1000), pooled],
}

WRONG = {
    "10-1": [
        (822_116_352, "you took eight"),
        (205_529_088, "half precision"),
        (411.058176, "megabytes"),
        (25088 * 4096 + 4096, "Those are the numbers"),
        (25088 * 4096 * 4, "Those are the weights. Biases"),
        (553_430_176, None),
    ],
    "10-2": [
        (sums, "Those are sums"),
        (rebound, "Those are sums"),
        (3, "where a function is asked for"),
    ],
    "10-3": [
        (naive, "The averages are right"),
        (flat_sums, "Those are sums"),
    ],
    "10-4": [
        (lambda s, n: [s], "One bucket for all"),
        (lambda s, n: [s[i : i + 2] for i in range(0, len(s), 2)], None),
        (not_above, "Your buckets are closed before"),
        (lambda s, n: [[x] for x in s], "One bucket a gradient"),
    ],
    "10-5": [
        (lambda r, t: r[-1] + t[-1], "never waits"),
        (lambda r, t: sum(t), "as if every bucket were full"),
        (lambda r, t: sum(r) + sum(t), "do not add up"),
        (lambda r, t: max(r) + max(t), None),
        (
            lambda r, t: max(a + b for a, b in zip(r, t, strict=True)),
            "There they travel side by side",
        ),
        (lambda r, t: r[-1] + sum(t), "There nothing travels before"),
    ],
    "10-6": [("a", "There several short bars"), ("b", "That one has a bar")],
    "10-7": [("a", "More repetitions"), ("b", "A faster link"), ("c", "A larger batch")],
    "10-8": [
        (lambda model: model, "Its head has hidden layers"),
        (with_adaptive_pool, "Its head has hidden layers"),
        (lambda model: with_spp_head(model, (1, 2, 4), 1000), "Its head has hidden layers"),
    ],
}
