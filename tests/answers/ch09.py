"""Answers to the exercises of chapter 09."""

from itertools import count

import torch

from vgglab import vgg
from vgglab.lab.memory import predicted_memory


def intensity(batch, inputs, outputs):
    weights = inputs * outputs
    return batch * weights / (4 * weights + 4 * batch * inputs + 4 * batch * outputs)


def least_batch(product, copy):
    return next(n for n in count(1) if intensity(n, 25088, 4096) * copy >= product)


def need(config, side, batch, optimizer="adam"):
    network = vgg(config, device="meta").train()
    return predicted_memory(network, (batch, 3, side, side), optimizer).total


def by_halving(config, side, limit):
    low, high = 0, 4096
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if need(config, side, middle) <= limit else (low, middle)
    return low


RIGHT = {
    "09-1": [4 * 138_357_544, 553_430_176, torch.tensor(553_430_176)],
    "09-2": [intensity, lambda n, i, o: 1 / (4 / n + 4 / o + 4 / i)],
    "09-3": [
        lambda i, product, copy: min(product, i * copy),
        lambda i, product, copy: product if i > product / copy else i * copy,
    ],
    "09-4": [least_batch],
    "09-5": [
        lambda work, again: sum(w * (4 if yes else 3) for w, yes in zip(work, again, strict=True)),
    ],
    "09-6": ["b", "B", "(b)"],
    "09-7": [((0.61, 22_223_776), (0.61, 14_704_288)), [[0.4, 21.2], [0.402, 14.0]]],
    "09-8": [by_halving],
}

WRONG = {
    "09-1": [
        (138_357_544, "Those are the weights. A training step"),
        (2 * 138_357_544, "Weights and gradients are counted"),
        (3 * 138_357_544, "Momentum would keep one"),
        (16 * 138_357_544, "Those are bytes in float32"),
        (14_714_688, None),
    ],
    "09-2": [
        (lambda n, i, o: 4 * intensity(n, i, o), "Those are multiply-adds for each number"),
        (lambda n, i, o: 2 * intensity(n, i, o), "A multiplication with its addition"),
        (lambda n, i, o: n / 4, "The weights are moved there"),
        (lambda n, i, o: n * i * o / (4 * n * (i * o + i + o)), "You read the weights once for"),
        (lambda n, i, o: n * i * o, None),
    ],
    "09-3": [
        (lambda i, product, copy: max(product, i * copy), "The layer has to stay below both"),
        (lambda i, product, copy: i * copy, "That is the slope alone"),
        (lambda i, product, copy: min(product, copy / i), "The more work a byte brings"),
        (lambda i, product, copy: product, None),
    ],
    "09-4": [
        (lambda product, copy: least_batch(product, copy) - 1, "With that batch it is still below"),
        (lambda product, copy: -int(-4 * product // copy), "Near: that leaves out what input"),
        (lambda product, copy: -int(-product // copy), "A float32 is several bytes"),
        (lambda product, copy: product, None),
    ],
    "09-5": [
        (lambda work, again: 3 * sum(work), "That is a step that keeps all its maps"),
        (
            lambda work, again: sum(
                w * (6 if yes else 3) for w, yes in zip(work, again, strict=True)
            ),
            "Only the forward pass of a stage",
        ),
        (
            lambda work, again: sum(
                w * (3 if yes else 2) for w, yes in zip(work, again, strict=True)
            ),
            "A backward pass has two products",
        ),
        (
            lambda work, again: sum(
                w * (3 if yes else 4) for w, yes in zip(work, again, strict=True)
            ),
            "Those are the stages that keep their",
        ),
        (lambda work, again: 4, None),
    ],
    "09-6": [
        ("a", "A faster device of both kinds"),
        ("c", "Those make the samples scatter"),
        ("d", "The convolutions may be bound by"),
    ],
    "09-7": [
        (((0.61, 22_223_776), (0.61, 22_223_776)), "Both take the same. Was the second one"),
        (((0.61, 6_317_880), (0.61, 6_317_880)), "A forward pass alone keeps nothing"),
        (((0.61, 22_223_776), (0.12, 14_704_288)), "Checkpointed shares the weights"),
        (((0.61, 14_704_288), (0.61, 22_223_776)), "the other way round"),
        (((2.31, 22_223_776), (2.31, 14_704_288)), "the loss of a network that guesses"),
        (((0.61, 22_223_776), (0.72, 14_704_288)), "Did both begin with the same weights"),
        ([0.61, 0.61], None),
        (0.61, None),
    ],
    "09-8": [
        (lambda config, side, limit: limit // need(config, side, 1), "You divided by the need"),
        (lambda config, side, limit: 4, None),
    ],
}
