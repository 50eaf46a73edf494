"""What probes call besides the answers."""

import math as _math
from random import Random as _Random

from torch import nn


def probe_network(channels, rows, columns, classes):
    """Return a network in float64 that is another one in train mode."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * rows * columns, classes),
    ).double()


def probe_mode(module, training):
    """Return a network in train mode or in eval mode."""
    return module.train(training)


def probe_run(head, lr, seed, valid, test):
    """Return a run; None stands for nan, which JSON does not have."""
    valid, test = (_math.nan if x is None else x for x in (valid, test))
    return {"head": head, "lr": lr, "seed": seed, "valid": valid, "test": test}


def probe_list(*runs):
    """Return runs in a list."""
    return list(runs)


def probe_world(salt, levels, noise):
    """Return a trial with invented accuracies, which notes what it is asked for.

    `levels` has mean accuracies on validation and on test images by head and rate; `None` is a run
    that diverges. A part of the luck of a seed is the same for all.
    """
    means = {(head, lr): both for head, lr, *both in levels}

    def trial(head, lr, seed):
        record([head, lr, seed])
        common = _Random(f"{salt}:{seed}").uniform(-0.2, 0.2)
        own = _Random(f"{salt}:{seed}:{head}:{lr}").uniform(-noise, noise)
        return {
            split: _math.nan if level is None else level + common + own
            for split, level in zip(("valid", "test"), means[head, lr], strict=True)
        }

    return trial
